/* Preloaded into a process: each sync takes SLOW_SYNC_US microseconds more, as on a card or a disk that turns. */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct timespec more;

__attribute__((constructor)) static void begin(void) {
    const char *us = getenv("SLOW_SYNC_US");
    long wanted = us ? atol(us) : 0;
    more = (struct timespec){wanted / 1000000, wanted % 1000000 * 1000};
}

static int slowly(const char *name, int descriptor) {
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = next(descriptor);
    clock_nanosleep(CLOCK_MONOTONIC, 0, &more, NULL);
    return result;
}

int fsync(int descriptor) { return slowly("fsync", descriptor); }
int fdatasync(int descriptor) { return slowly("fdatasync", descriptor); }
