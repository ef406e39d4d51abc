// Sends exactly N equal POSTs over K kept-alive connections, each of which waits for its answer (a closed loop).
// usage: fill PORT N K PATH BODY_FILE
// stdout: {"ok", "refused", "seconds", "p50_us", "p99_us", "last"}; `last` is the body of the last 2xx answer.
#include "net.h"

enum { ANSWER_LIMIT = 16384, BODY_LIMIT = 60000, SILENCE_MS = 60000 };

struct connection {
    int fd;
    size_t count;
    uint64_t sent_at;
    char bytes[ANSWER_LIMIT];
};

static char request[BODY_LIMIT + 1024];
static size_t request_length;
static char last[ANSWER_LIMIT] = "null";

static void read_request(const char *path, const char *file_name) {
    static char body[BODY_LIMIT];
    FILE *file = fopen(file_name, "r");
    if (!file) die(file_name);
    int length = (int)fread(body, 1, sizeof body, file);
    fclose(file);
    request_length = (size_t)snprintf(request, sizeof request,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%.*s", path,
        length, length, body);
}

static void send_request(struct connection *it) {
    it->count = 0;
    it->sent_at = now_ns();
    if (write(it->fd, request, request_length) != (ssize_t)request_length) die("write");
}

// Reads what is there: 1 once the answer is complete.
static int read_answer(struct connection *it, int *is_accepted) {
    ssize_t count = read(it->fd, it->bytes + it->count, sizeof it->bytes - it->count);
    if (count <= 0) die("the server closed a connection");
    it->count += (size_t)count;
    struct http_part part = http_part(it->bytes, it->count);
    if (!part.head || it->count < part.head + part.body) return 0;
    *is_accepted = it->bytes[9] == '2';
    if (*is_accepted) snprintf(last, sizeof last, "%.*s", (int)part.body, it->bytes + part.head);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 6) return fprintf(stderr, "usage: fill PORT N K PATH BODY_FILE\n"), 64;
    int port = atoi(argv[1]), poll = epoll_create1(0);
    size_t wanted = strtoul(argv[2], NULL, 10), width = strtoul(argv[3], NULL, 10);
    if (width > wanted) width = wanted;
    read_request(argv[4], argv[5]);
    struct connection *all = must_allocate(calloc(width, sizeof *all));
    uint64_t *took_us = must_allocate(calloc(wanted + 1, sizeof *took_us)), began = now_ns();
    size_t sent = 0, answered = 0, accepted = 0;
    for (; sent < width; sent++) {
        all[sent].fd = connect_to(port);
        watch(poll, EPOLL_CTL_ADD, all[sent].fd, EPOLLIN, (uint32_t)sent);
        send_request(&all[sent]);
    }
    struct epoll_event events[256];
    while (answered < wanted) {
        int ready = epoll_wait(poll, events, 256, SILENCE_MS);
        if (ready <= 0) return fprintf(stderr, "fill: no answer for %d ms\n", SILENCE_MS), 1;
        for (int i = 0; i < ready; i++) {
            struct connection *it = &all[events[i].data.u32];
            int is_accepted;
            if (!read_answer(it, &is_accepted)) continue;
            took_us[answered++] = (now_ns() - it->sent_at) / 1000;
            accepted += (size_t)is_accepted;
            if (sent < wanted) send_request(it), sent++;
        }
    }
    double seconds = (double)(now_ns() - began) / 1e9;
    qsort(took_us, answered, sizeof *took_us, by_size);
    printf("{\"ok\": %zu, \"refused\": %zu, \"seconds\": %.4f, \"p50_us\": %lu, \"p99_us\": %lu, \"last\": %s}\n",
        accepted, answered - accepted, seconds, quantile(took_us, answered, 0.5), quantile(took_us, answered, 0.99),
        last);
    return 0;
}
