/* Preloaded into a gateway: notes each change of a file below one folder, each sync and each 202 in one total order, so
 * that shadow_loop.py can tell what a disk that keeps only what was synced would hold at any moment.
 *
 * A change and its record are one step under a lock. The record comes first: after a kill the last one may not have
 * happened, and none is missing. A sync is two records, its begin and its end, since writes may come in between. A 202
 * is noted before its bytes go to the kernel. The real sync is left out: the process is only ever killed, and what the
 * kernel holds then is compared with the records.
 *
 * SHADOW_FOLDER      below it files are watched, those of the WAL's index (-shm) aside: they are memory
 * SHADOW_LOG         where the records go
 * SHADOW_FAIL_AT     the n-th sync fails with EIO; those after it would succeed
 * SHADOW_DELAY       microseconds that a sync takes at most
 * SHADOW_UNREADABLE  while there is a file of this name, reads of watched files fail with EIO
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { VOID, MADE, KNOWN, WRITE, CUT, RENAME, UNLINK, LINK, FOLDER, SYNC, SYNCED, ANSWER };

/* In the byte order of this machine, then `length` bytes. `used`: how many of them were really written. */
struct record {
    uint32_t type, file;
    uint64_t position, length, used;
};

#define NEXT(name)                                                                                                    \
    ({                                                                                                                \
        static __typeof__(&name) next_##name;                                                                         \
        if (!next_##name) next_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                   \
        next_##name;                                                                                                  \
    })
#define FILES 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder, *unreadable;
static size_t folder_length;
static int log_file = -1;
static off_t log_end;
static uint32_t files;
static uint64_t syncs, fail_at;
static unsigned delay;
static struct { dev_t device; ino_t inode; uint32_t file; } known[FILES];

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("SHADOW_LOG"), *number = getenv("SHADOW_FAIL_AT"), *longest = getenv("SHADOW_DELAY");
    folder = getenv("SHADOW_FOLDER");
    unreadable = getenv("SHADOW_UNREADABLE");
    if (!folder) return;
    folder_length = strlen(folder);
    fail_at = number ? strtoull(number, NULL, 10) : 0;
    delay = longest ? (unsigned)atoi(longest) : 0;
    if (!log) return;
    log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (log_file < 0) abort();
    log_end = lseek(log_file, 0, SEEK_END);
}

/* Under the lock. Returns where the record is. */
static off_t note(int type, uint32_t file, uint64_t position, const void *bytes, size_t length) {
    struct record record = {(uint32_t)type, file, position, length, length};
    struct iovec parts[] = {{&record, sizeof record}, {(void *)bytes, length}};
    off_t place = log_end;
    ssize_t size = (ssize_t)(sizeof record + length);
    if (log_file < 0) return 0;
    if (syscall(SYS_pwritev, log_file, parts, 2, (long)place, 0L) != size) abort();
    log_end += size;
    return place;
}

static void note_used(off_t place, ssize_t used) {
    struct record record;
    if (log_file < 0) return;
    if (syscall(SYS_pread64, log_file, &record, sizeof record, place) != sizeof record) abort();
    if (used < 0) record.type = VOID;
    else record.used = (uint64_t)used;
    if (syscall(SYS_pwrite64, log_file, &record, sizeof record, place) != sizeof record) abort();
}

static int is_watched(const char *path) {
    size_t length = strlen(path);
    if (!folder || strncmp(path, folder, folder_length)) return 0;
    if (path[folder_length] != '/' && path[folder_length]) return 0;
    return length < 4 || strcmp(path + length - 4, "-shm");
}

/* Under the lock. The place of a file in the table, or where it would be. */
static unsigned slot(const struct stat *status) {
    unsigned place = (unsigned)(status->st_ino * 2654435761u) % FILES;
    while (known[place].file && (known[place].inode != status->st_ino || known[place].device != status->st_dev))
        place = (place + 1) % FILES;
    return place;
}

/* Under the lock. The number of a watched file, 0 for any other. */
static uint32_t number_of(int descriptor) {
    struct stat status;
    if (!folder || fstat(descriptor, &status) || !S_ISREG(status.st_mode)) return 0;
    return known[slot(&status)].file;
}

/* Calls */

static int is_there(const char *path) {
    struct stat status;
    return !lstat(path, &status);
}

static int open_watched(int (*next)(int, const char *, int, ...), int at, const char *path, int flags, mode_t mode) {
    struct stat status;
    if (!is_watched(path)) return next(at, path, flags, mode);
    pthread_mutex_lock(&lock);
    int was_there = is_there(path), descriptor = next(at, path, flags, mode), error = errno;
    if (descriptor >= 0 && !fstat(descriptor, &status) && S_ISREG(status.st_mode)) {
        unsigned place = slot(&status);
        if (!was_there || !known[place].file) {
            known[place].device = status.st_dev;
            known[place].inode = status.st_ino;
            known[place].file = ++files;
            note(was_there ? KNOWN : MADE, files, 0, path, strlen(path));
        }
        if (was_there && flags & O_TRUNC) note(CUT, known[place].file, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return descriptor;
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | __O_TMPFILE) ? (mode_t)va_arg(rest, unsigned) : 0;
}

#define OPEN(name, next_name, first, at)                                                                              \
    int name(first const char *path, int flags, ...) {                                                                \
        va_list rest;                                                                                                 \
        va_start(rest, flags);                                                                                        \
        mode_t mode = mode_of(flags, rest);                                                                           \
        va_end(rest);                                                                                                 \
        return open_watched(NEXT(next_name), at, path, flags, mode);                                                  \
    }
OPEN(open, openat, , AT_FDCWD)
OPEN(open64, openat64, , AT_FDCWD)
#define AT int folder_descriptor,
OPEN(openat, openat, AT, folder_descriptor)
OPEN(openat64, openat64, AT, folder_descriptor)

static void note_answer(const struct iovec *parts, size_t count) {
    static const char head[] = "HTTP/1.1 202";
    char bytes[2048];
    size_t length = 0;
    if (!count || parts[0].iov_len < sizeof head - 1 || memcmp(parts[0].iov_base, head, sizeof head - 1)) return;
    for (size_t index = 0; index < count && length < sizeof bytes; index++) {
        size_t part = parts[index].iov_len;
        if (part > sizeof bytes - length) part = sizeof bytes - length;
        memcpy(bytes + length, parts[index].iov_base, part);
        length += part;
    }
    pthread_mutex_lock(&lock);
    note(ANSWER, 0, 0, bytes, length);
    pthread_mutex_unlock(&lock);
}

/* `next` writes at `position`, or where the file stands (-1). */
static ssize_t write_watched(int descriptor, const void *bytes, size_t count, off_t position) {
    pthread_mutex_lock(&lock);
    uint32_t file = number_of(descriptor);
    ssize_t written;
    if (file) {
        off_t at = position < 0 ? lseek(descriptor, 0, SEEK_CUR) : position;
        off_t place = note(WRITE, file, (uint64_t)at, bytes, count);
        written = position < 0 ? NEXT(write)(descriptor, bytes, count)
                               : NEXT(pwrite)(descriptor, bytes, count, position);
        int error = errno;
        if (written != (ssize_t)count) note_used(place, written);
        pthread_mutex_unlock(&lock);
        errno = error;
        return written;
    }
    pthread_mutex_unlock(&lock);
    if (position >= 0) return NEXT(pwrite)(descriptor, bytes, count, position);
    struct iovec part = {(void *)bytes, count};
    if (folder) note_answer(&part, 1);
    return NEXT(write)(descriptor, bytes, count);
}

ssize_t write(int descriptor, const void *bytes, size_t count) { return write_watched(descriptor, bytes, count, -1); }

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t position) {
    return write_watched(descriptor, bytes, count, position);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t position) {
    return write_watched(descriptor, bytes, count, position);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    if (folder) note_answer(parts, (size_t)count);
    return NEXT(writev)(descriptor, parts, count);
}

ssize_t send(int descriptor, const void *bytes, size_t count, int flags) {
    struct iovec part = {(void *)bytes, count};
    if (folder) note_answer(&part, 1);
    return NEXT(send)(descriptor, bytes, count, flags);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
    if (folder) note_answer(message->msg_iov, message->msg_iovlen);
    return NEXT(sendmsg)(descriptor, message, flags);
}

/* Runs a call that changes something, after its record. */
#define CHANGE(condition, record, call)                                                                               \
    if (!(condition)) return call;                                                                                    \
    pthread_mutex_lock(&lock);                                                                                        \
    off_t place = record;                                                                                             \
    int result = call, error = errno;                                                                                 \
    if (result) note_used(place, -1);                                                                                 \
    pthread_mutex_unlock(&lock);                                                                                      \
    errno = error;                                                                                                    \
    return result;

static int is_file(int descriptor) {
    pthread_mutex_lock(&lock);
    int found = number_of(descriptor) != 0;
    pthread_mutex_unlock(&lock);
    return found;
}

int ftruncate(int descriptor, off_t length) {
    CHANGE(is_file(descriptor), note(CUT, number_of(descriptor), (uint64_t)length, NULL, 0),
           NEXT(ftruncate)(descriptor, length))
}

int ftruncate64(int descriptor, off64_t length) { return ftruncate(descriptor, length); }

int posix_fallocate(int descriptor, off_t position, off_t length) {
    if (is_file(descriptor)) abort();       /* nothing here reserves room: it would have to be noted */
    return NEXT(posix_fallocate)(descriptor, position, length);
}

static off_t note_two(int type, const char *from, const char *to) {
    char both[2 * PATH_MAX];
    return note(type, 0, strlen(from), both, (size_t)snprintf(both, sizeof both, "%s%s", from, to));
}

int rename(const char *from, const char *to) {
    CHANGE(is_watched(from), note_two(RENAME, from, to), NEXT(rename)(from, to))
}

int link(const char *from, const char *to) {
    CHANGE(is_watched(from), note_two(LINK, from, to), NEXT(link)(from, to))
}

int unlink(const char *path) {
    CHANGE(is_watched(path), note(UNLINK, 0, 0, path, strlen(path)), NEXT(unlink)(path))
}

int remove(const char *path) { return unlink(path); }

int mkdir(const char *path, mode_t mode) {
    CHANGE(is_watched(path), note(FOLDER, 0, 0, path, strlen(path)), NEXT(mkdir)(path, mode))
}

static int sync_watched(int descriptor, int (*next)(int)) {
    struct stat status;
    char path[PATH_MAX], name[64];
    ssize_t length = 0;
    pthread_mutex_lock(&lock);
    uint32_t file = number_of(descriptor);
    if (!file && folder && !fstat(descriptor, &status) && S_ISDIR(status.st_mode)) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
        length = readlink(name, path, sizeof path - 1);
        path[length < 0 ? 0 : length] = 0;
        if (length < 0 || !is_watched(path)) length = 0;
    }
    if (!file && !length) {
        pthread_mutex_unlock(&lock);
        return next(descriptor);
    }
    uint64_t number = ++syncs;
    int fails = number == fail_at;
    note(SYNC, file, number, path, (size_t)length);
    pthread_mutex_unlock(&lock);
    if (delay) usleep((unsigned)rand() % delay);
    pthread_mutex_lock(&lock);
    note(SYNCED, (uint32_t)fails, number, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = EIO;
    return fails ? -1 : 0;
}

int fsync(int descriptor) { return sync_watched(descriptor, NEXT(fsync)); }

int fdatasync(int descriptor) { return sync_watched(descriptor, NEXT(fdatasync)); }

/* Reads */

static int is_unreadable(int descriptor) { return unreadable && is_file(descriptor) && is_there(unreadable); }

ssize_t read(int descriptor, void *bytes, size_t count) {
    if (!is_unreadable(descriptor)) return NEXT(read)(descriptor, bytes, count);
    errno = EIO;
    return -1;
}

ssize_t pread(int descriptor, void *bytes, size_t count, off_t position) {
    if (!is_unreadable(descriptor)) return NEXT(pread)(descriptor, bytes, count, position);
    errno = EIO;
    return -1;
}

ssize_t pread64(int descriptor, void *bytes, size_t count, off64_t position) {
    return pread(descriptor, bytes, count, position);
}
