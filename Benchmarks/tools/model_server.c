// A model server that is never the bottleneck: one thread, HTTP/1.1 with kept-alive connections. It ends by a signal.
// Every POST is answered with a small JSON of predicted layers, after a delay or once the gate opens.
//   GET /stats                             {"started", "done", "active", "most_active"}
//   GET /control?delay_ms=20&gate=1&reset=1   sets what it names: a closed gate (1) holds every answer, a reset
//                                             zeroes the counts
// usage: model_server PORT      0 takes a free port; the port goes to standard output
#include <signal.h>

#include "net.h"

enum { DESCRIPTORS = 65536, REQUEST_LIMIT = 65536 };

// `opened` tells a connection from an earlier one with the same descriptor.
struct connection {
    char *bytes;
    size_t count;
    uint32_t opened;
    int is_busy;
};

struct answer {
    uint64_t due;
    int fd;
    uint32_t opened;
};

static struct connection connections[DESCRIPTORS];
static struct {
    struct answer *all;
    size_t first, end, room;
} line; // a ring of answers to come, in the order of arrival: the delay is the same for all
static uint64_t started, done, active, most_active;
static int delay_ms, gate, poll_fd;

static const char LAYERS[] =
    "{\"status\":\"ok\",\"model\":\"prithvi-burn-scars\",\"predicted_layers\":[{\"name\":\"mask\",\"uri\":"
    "\"file:///var/lib/layers/0001/mask.tif\",\"bbox\":[-122.5,37.2,-121.7,37.9],\"crs\":\"EPSG:4326\"},"
    "{\"name\":\"rgb\",\"uri\":\"file:///var/lib/layers/0001/rgb.tif\"}],\"elapsed_ms\":0}";

static void serve(int fd);

static void drop(int fd) {
    epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, NULL);
    close(fd);
    connections[fd].opened++;
    connections[fd].count = 0;
    if (connections[fd].is_busy) active--;
    connections[fd].is_busy = 0;
}

static void send_json(int fd, const char *body) {
    char bytes[2048];
    int length = snprintf(bytes, sizeof bytes,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    if (send(fd, bytes, (size_t)length, MSG_NOSIGNAL) != length) drop(fd);
}

static void answer(int fd) {
    connections[fd].is_busy = 0;
    active--;
    done++;
    send_json(fd, LAYERS);
}

static void answer_later(int fd) {
    if (line.end - line.first == line.room) {
        size_t room = line.room ? line.room * 2 : 1024, count = line.end - line.first;
        struct answer *all = must_allocate(calloc(room, sizeof *all));
        for (size_t i = 0; i < count; i++) all[i] = line.all[(line.first + i) % line.room];
        free(line.all);
        line.all = all, line.first = 0, line.end = count, line.room = room;
    }
    line.all[line.end++ % line.room] =
        (struct answer){now_ns() + (uint64_t)delay_ms * 1000000u, fd, connections[fd].opened};
}

static void answer_due(void) {
    uint64_t now = now_ns();
    while (!gate && line.first != line.end && line.all[line.first % line.room].due <= now) {
        struct answer it = line.all[line.first++ % line.room];
        struct connection *to = &connections[it.fd];
        if (to->opened != it.opened || !to->is_busy) continue;
        answer(it.fd);
        if (to->opened == it.opened && to->count) serve(it.fd);
    }
}

static int item(const char *target, const char *name, int *value) {
    const char *found = strstr(target, name);
    if (found) *value = atoi(found + strlen(name));
    return found != NULL;
}

static void control(int fd, const char *target) {
    int wants_reset = 0;
    item(target, "delay_ms=", &delay_ms);
    item(target, "gate=", &gate);
    if (item(target, "reset=", &wants_reset) && wants_reset) started = done = most_active = 0;
    send_json(fd, "{}");
    answer_due();
}

static void stats(int fd) {
    char body[256];
    snprintf(body, sizeof body, "{\"started\":%lu,\"done\":%lu,\"active\":%lu,\"most_active\":%lu}", started, done,
        active, most_active);
    send_json(fd, body);
}

static void call(int fd) {
    started++;
    if (++active > most_active) most_active = active;
    connections[fd].is_busy = 1;
    if (gate || delay_ms) answer_later(fd);
    else answer(fd);
}

// Serves the complete requests of a connection, until one of them waits for its answer.
static void serve(int fd) {
    struct connection *it = &connections[fd];
    while (it->count && !it->is_busy) {
        struct http_part part = http_part(it->bytes, it->count);
        if (!part.head || it->count < part.head + part.body) return;
        char first[256];
        size_t length = (size_t)((char *)memchr(it->bytes, '\r', part.head) - it->bytes);
        snprintf(first, sizeof first, "%.*s", (int)(length < 255 ? length : 255), it->bytes);
        it->count -= part.head + part.body;
        memmove(it->bytes, it->bytes + part.head + part.body, it->count);
        if (!strncmp(first, "GET /stats", 10)) stats(fd);
        else if (!strncmp(first, "GET /control", 12)) control(fd, first);
        else if (!strncmp(first, "GET ", 4)) send_json(fd, "{\"ready\":true}");
        else call(fd);
    }
}

static void accept_all(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= DESCRIPTORS) {
            close(fd);
            continue;
        }
        struct connection *it = &connections[fd];
        if (!it->bytes) it->bytes = must_allocate(malloc(REQUEST_LIMIT));
        it->count = 0, it->is_busy = 0, it->opened++;
        no_delay(fd);
        watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, (uint32_t)fd);
    }
}

static int wait_ms(void) {
    if (gate || line.first == line.end) return -1;
    uint64_t due = line.all[line.first % line.room].due, now = now_ns();
    return due <= now ? 0 : (int)((due - now + 999999) / 1000000);
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: model_server PORT\n"), 64;
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on(atoi(argv[1]));
    poll_fd = epoll_create1(0);
    watch(poll_fd, EPOLL_CTL_ADD, listener, EPOLLIN, (uint32_t)listener);
    struct epoll_event events[256];
    for (;;) {
        int ready = epoll_wait(poll_fd, events, 256, wait_ms());
        answer_due();
        for (int i = 0; i < ready; i++) {
            int fd = (int)events[i].data.u32;
            struct connection *it = &connections[fd];
            if (fd == listener) {
                accept_all(listener);
                continue;
            }
            ssize_t count = read(fd, it->bytes + it->count, REQUEST_LIMIT - it->count);
            if (count > 0) it->count += (size_t)count, serve(fd);
            else if (count == 0 || errno != EAGAIN) drop(fd);
        }
    }
}
