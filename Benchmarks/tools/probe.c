// The limit probe: the whole path of a job in one thread, with none of the safety. It marks what a machine can do.
// A durable submit, the call of a model server over HTTP, a durable result, and its event stream; SQLite in WAL mode
// with synchronous=FULL, and one commit for all that became ready during the last one. Nothing is validated, nothing is
// tried again, and a restart forgets the queue.
// usage: probe PORT DATABASE MODEL_PORT CALLS      PORT 0: a free one; CALLS: that run at a time
#include <signal.h>
#include <sqlite3.h>
#include <sys/random.h>

#include "net.h"

enum { DESCRIPTORS = 32768, NOBODY = -1 };

enum role { UNUSED, CLIENT, LISTENER, MODEL_IDLE, MODEL_BUSY };

// `opened` tells a connection from an earlier one with the same descriptor; `next` chains the listeners of a job.
struct connection {
    char *bytes;
    size_t count;
    uint32_t opened;
    enum role role;
    int next;
    size_t job;
};

struct job {
    uint64_t random;
    char *input, *output;
    size_t input_length, output_length;
    int has_ended, listener;
};

struct submit {
    int fd;
    uint32_t opened;
    size_t job;
};

// A list that grows: `room` elements are allocated.
#define LIST(type) \
    struct { \
        type *all; \
        size_t count, room; \
    }
#define APPEND(list, value) \
    do { \
        if ((list).count == (list).room) { \
            (list).room = (list).room ? (list).room * 2 : 1024; \
            (list).all = must_allocate(realloc((list).all, (list).room * sizeof *(list).all)); \
        } \
        (list).all[(list).count++] = value; \
    } while (0)

static struct connection connections[DESCRIPTORS];
static LIST(struct job) jobs;
static LIST(struct submit) submits; // to be committed, then answered
static LIST(size_t) endings;        // jobs whose output is to be committed, then told
static LIST(int) idle_calls;
static size_t next_call; // jobs are called in the order of their numbers, which is that of their commits
static size_t committed;
static int poll_fd;
static sqlite3 *db;
static sqlite3_stmt *insert_job, *update_job, *select_job;

static void drop(int fd) {
    struct connection *it = &connections[fd];
    close(fd);
    free(it->bytes);
    *it = (struct connection){.opened = it->opened + 1};
}

static void send_bytes(int fd, const char *bytes, size_t count) {
    if (send(fd, bytes, count, MSG_NOSIGNAL) != (ssize_t)count) drop(fd);
}

static void send_json(int fd, const char *status, const char *body) {
    char bytes[2048];
    int length = snprintf(bytes, sizeof bytes,
        "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body), body);
    send_bytes(fd, bytes, (size_t)length);
}

// Identifiers: 16 hexadecimal digits of random bits, 16 of the job's number.
static size_t job_named(const char *identifier) {
    char random[17] = {0}, number[17] = {0};
    memcpy(random, identifier, 16);
    memcpy(number, identifier + 16, 16);
    size_t found = strtoull(number, NULL, 16);
    return found < jobs.count && jobs.all[found].random == strtoull(random, NULL, 16) ? found : jobs.count;
}

static void send_final_event(int fd, size_t number) {
    struct job *job = &jobs.all[number];
    char event[1900], bytes[2048];
    int length = snprintf(event, sizeof event,
        "data: {\"detail_type\":\"Inf:Task:Updated\",\"status\":\"COMPLETED\",\"data\":"
        "{\"id\":\"%016lx%016lx\",\"output\":%.*s}}\n\n",
        job->random, number, (int)job->output_length, job->output);
    int count = snprintf(bytes, sizeof bytes, "%x\r\n%s\r\n0\r\n\r\n", length, event);
    send_bytes(fd, bytes, (size_t)count);
}

static void submit(int fd, const char *body, size_t length) {
    struct job job = {.input = must_allocate(malloc(length + 1)), .input_length = length, .listener = NOBODY};
    memcpy(job.input, body, length);
    if (getrandom(&job.random, sizeof job.random, 0) != sizeof job.random) die("getrandom");
    APPEND(jobs, job);
    struct submit it = {fd, connections[fd].opened, jobs.count - 1};
    APPEND(submits, it);
}

static void read_record(int fd, const char *identifier) {
    size_t number = job_named(identifier);
    if (number == jobs.count) return send_json(fd, "404 Not Found", "{}");
    sqlite3_bind_int64(select_job, 1, (sqlite3_int64)number);
    sqlite3_step(select_job);
    const char *output = (const char *)sqlite3_column_text(select_job, 0);
    char record[1024];
    snprintf(record, sizeof record, "{\"id\":\"%.32s\",\"status\":\"%s\",\"output\":%s}", identifier,
        output ? "COMPLETED" : "PENDING", output ? output : "null");
    sqlite3_reset(select_job);
    send_json(fd, "200 OK", record);
}

static void listen_to(int fd, const char *identifier) {
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    size_t number = job_named(identifier);
    if (number == jobs.count) return send_json(fd, "404 Not Found", "{}");
    struct connection *it = &connections[fd];
    it->role = LISTENER;
    it->job = number;
    it->next = jobs.all[number].listener;
    send_bytes(fd, head, sizeof head - 1);
    if (it->role != LISTENER) return;
    if (!jobs.all[number].has_ended) {
        jobs.all[number].listener = fd;
        return;
    }
    it->role = CLIENT;
    send_final_event(fd, number);
}

static void serve(int fd) {
    static const char submit_path[] = "POST ", record_path[] = "GET /v1/inference/",
                      events_path[] = "GET /v1/async/notify/";
    struct connection *it = &connections[fd];
    while (it->count && it->role == CLIENT) {
        struct http_part part = http_part(it->bytes, it->count);
        if (!part.head || it->count < part.head + part.body) return;
        if (!strncmp(it->bytes, submit_path, sizeof submit_path - 1)) submit(fd, it->bytes + part.head, part.body);
        else if (!strncmp(it->bytes, record_path, sizeof record_path - 1))
            read_record(fd, it->bytes + sizeof record_path - 1);
        else if (!strncmp(it->bytes, events_path, sizeof events_path - 1))
            listen_to(fd, it->bytes + sizeof events_path - 1);
        else send_json(fd, "200 OK", "{}");
        if (it->role == UNUSED) return;
        it->count -= part.head + part.body;
        memmove(it->bytes, it->bytes + part.head + part.body, it->count);
    }
    if (it->count) return;
    free(it->bytes); // an idle connection keeps none
    it->bytes = NULL;
}

static void run(const char *sql) {
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) exit((fprintf(stderr, "%s\n", sqlite3_errmsg(db)), 1));
}

static void write_rows(void) {
    for (size_t i = 0; i < submits.count; i++) {
        struct job *job = &jobs.all[submits.all[i].job];
        sqlite3_bind_int64(insert_job, 1, (sqlite3_int64)submits.all[i].job);
        sqlite3_bind_int64(insert_job, 2, (sqlite3_int64)job->random);
        sqlite3_bind_text(insert_job, 3, job->input, (int)job->input_length, SQLITE_STATIC);
        sqlite3_step(insert_job);
        sqlite3_reset(insert_job);
    }
    for (size_t i = 0; i < endings.count; i++) {
        struct job *job = &jobs.all[endings.all[i]];
        sqlite3_bind_text(update_job, 1, job->output, (int)job->output_length, SQLITE_STATIC);
        sqlite3_bind_int64(update_job, 2, (sqlite3_int64)endings.all[i]);
        sqlite3_step(update_job);
        sqlite3_reset(update_job);
    }
}

static void tell_listeners(size_t number) {
    struct job *job = &jobs.all[number];
    job->has_ended = 1;
    for (int fd = job->listener, next; fd != NOBODY; fd = next) {
        next = connections[fd].next;
        connections[fd].role = CLIENT;
        send_final_event(fd, number);
    }
    job->listener = NOBODY;
}

static void commit(void) {
    if (!submits.count && !endings.count) return;
    run("BEGIN IMMEDIATE");
    write_rows();
    run("COMMIT");
    for (size_t i = 0; i < submits.count; i++) {
        struct submit *it = &submits.all[i];
        char body[256];
        snprintf(body, sizeof body,
            "{\"id\":\"%016lx%016lx\",\"event_id\":\"%016lx%016lx\",\"status\":\"PENDING\",\"created_at\":%ld}",
            jobs.all[it->job].random, it->job, jobs.all[it->job].random, it->job, time(NULL));
        if (connections[it->fd].opened == it->opened) send_json(it->fd, "202 Accepted", body);
    }
    committed += submits.count;
    for (size_t i = 0; i < endings.count; i++) tell_listeners(endings.all[i]);
    submits.count = endings.count = 0;
}

static void call_models(void) {
    while (idle_calls.count && next_call < committed) {
        int fd = idle_calls.all[--idle_calls.count];
        struct job *job = &jobs.all[next_call];
        char request[8192];
        int length = snprintf(request, sizeof request,
            "POST /infer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            "Content-Length: %zu\r\n\r\n%.*s",
            job->input_length, (int)job->input_length, job->input);
        free(job->input);
        job->input = NULL;
        connections[fd].role = MODEL_BUSY;
        connections[fd].job = next_call++;
        if (send(fd, request, (size_t)length, MSG_NOSIGNAL) != length) die("the model server");
    }
}

// The answers of this model server are small: each comes in one read.
static void take_output(int fd, char *bytes, size_t count) {
    struct connection *it = &connections[fd];
    struct job *job = &jobs.all[it->job];
    struct http_part part = http_part(bytes, count);
    if (!part.head || count != part.head + part.body) die("the model server's answer came in pieces");
    job->output = must_allocate(malloc(part.body));
    job->output_length = part.body;
    memcpy(job->output, bytes + part.head, part.body);
    APPEND(endings, it->job);
    it->role = MODEL_IDLE;
    APPEND(idle_calls, fd);
}

static void take_request(int fd, const char *bytes, size_t count) {
    struct connection *it = &connections[fd];
    it->bytes = must_allocate(realloc(it->bytes, it->count + count));
    memcpy(it->bytes + it->count, bytes, count);
    it->count += count;
    serve(fd);
}

static void hang_up(int fd) {
    struct connection *it = &connections[fd];
    if (it->role >= MODEL_IDLE) die("the model server closed a connection");
    if (it->role == LISTENER) {
        int *link = &jobs.all[it->job].listener;
        while (*link != NOBODY && *link != fd) link = &connections[*link].next;
        if (*link == fd) *link = it->next;
    }
    drop(fd);
}

static void accept_all(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= DESCRIPTORS) {
            close(fd);
            continue;
        }
        connections[fd] = (struct connection){.opened = connections[fd].opened + 1, .role = CLIENT};
        no_delay(fd);
        watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, (uint32_t)fd);
    }
}

static void open_database(const char *path) {
    if (sqlite3_open(path, &db)) die(path);
    run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000;"
        "CREATE TABLE IF NOT EXISTS job(id INTEGER PRIMARY KEY, random INT, input TEXT, output TEXT);"
        "CREATE INDEX IF NOT EXISTS pending ON job(id) WHERE output IS NULL;");
    sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO job VALUES(?, ?, ?, NULL)", -1, &insert_job, NULL);
    sqlite3_prepare_v2(db, "UPDATE job SET output = ? WHERE id = ?", -1, &update_job, NULL);
    sqlite3_prepare_v2(db, "SELECT output FROM job WHERE id = ?", -1, &select_job, NULL);
}

static void take_ready(int fd) {
    static char bytes[1 << 16];
    ssize_t count = read(fd, bytes, sizeof bytes);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return hang_up(fd);
    if (connections[fd].role == MODEL_BUSY) take_output(fd, bytes, (size_t)count);
    else if (connections[fd].role == CLIENT) take_request(fd, bytes, (size_t)count);
}

int main(int argc, char **argv) {
    if (argc != 5) return fprintf(stderr, "usage: probe PORT DATABASE MODEL_PORT CALLS\n"), 64;
    signal(SIGPIPE, SIG_IGN);
    open_database(argv[2]);
    poll_fd = epoll_create1(0);
    for (int i = 0, calls = atoi(argv[4]); i < calls; i++) {
        int fd = connect_to(atoi(argv[3]));
        connections[fd].role = MODEL_IDLE;
        APPEND(idle_calls, fd);
        watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, (uint32_t)fd);
    }
    int listener = listen_on(atoi(argv[1]));
    watch(poll_fd, EPOLL_CTL_ADD, listener, EPOLLIN, (uint32_t)listener);
    struct epoll_event events[1024];
    for (;;) {
        int ready = epoll_wait(poll_fd, events, 1024, -1);
        for (int i = 0; i < ready; i++) {
            int fd = (int)events[i].data.u32;
            if (fd == listener) accept_all(listener);
            else take_ready(fd);
        }
        commit();
        call_models();
    }
}
