// Opens N event streams, holds them, and times the events: one thread, so 10,000 streams cost what a client costs.
// usage: listeners PORT N PATHS_FILE MARK SECONDS
//   PATHS_FILE  a request path on each line, taken in turn
//   MARK        text of the event that ends the wait, within the first 1,000 bytes of its line
//   SECONDS     after which it ends all the same
// stdout, a line of JSON each: {"said": "open", ...} once all streams are open; {"said": "ended", ...} once each has
// had MARK. Times are monotonic nanoseconds. An event that holds "sent_ns":T counts for the latencies, in microseconds.
#include <signal.h>

#include "net.h"

enum { LINE_LIMIT = 1024, OPENING_AT_A_TIME = 128, LATENCIES = 1 << 22 };

enum state { CONNECTING, ASKED, OPEN, CLOSED };

// `line` holds the beginning of a line whose end has not come yet.
struct stream {
    int fd;
    enum state state;
    int has_mark;
    size_t length;
    char *line;
};

static struct stream *streams;
static char **paths;
static size_t path_count, opening, open_count, failed, marked;
static uint64_t event_count, latency_count, *latencies_us, *marked_at;
static int port, poll_fd;
static const char *mark;

static void read_paths(const char *name) {
    FILE *file = fopen(name, "r");
    if (!file) die(name);
    char *text = NULL;
    size_t room = 0;
    while (getline(&text, &room, file) > 0) {
        text[strcspn(text, "\r\n")] = 0;
        paths = must_allocate(realloc(paths, (path_count + 1) * sizeof *paths));
        paths[path_count++] = must_allocate(strdup(text));
    }
    free(text);
    fclose(file);
    if (!path_count) exit((fprintf(stderr, "listeners: no path in %s\n", name), 64));
}

static void begin(size_t number) {
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || (connect(fd, (void *)&address, sizeof address) && errno != EINPROGRESS)) die("connect");
    no_delay(fd);
    streams[number] = (struct stream){.fd = fd, .state = CONNECTING};
    watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLOUT, (uint32_t)number);
    opening++;
}

static void end(struct stream *it) {
    if (it->state <= ASKED) opening--;
    if (!it->has_mark) failed++;
    it->state = CLOSED;
    close(it->fd);
}

static void ask(size_t number) {
    struct stream *it = &streams[number];
    char request[1024];
    int length = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n", paths[number % path_count]);
    if (send(it->fd, request, (size_t)length, MSG_NOSIGNAL) != length) return end(it);
    it->state = ASKED;
    watch(poll_fd, EPOLL_CTL_MOD, it->fd, EPOLLIN, (uint32_t)number);
}

static void take_line(struct stream *it, const char *text, size_t length, uint64_t now) {
    if (length < 5 || memcmp(text, "data:", 5)) return;
    event_count++;
    const char *sent = memmem(text, length, "\"sent_ns\":", 10);
    if (sent && latency_count < LATENCIES)
        latencies_us[latency_count++] = (now - strtoull(sent + 10, NULL, 10)) / 1000;
    if (it->has_mark || !memmem(text, length, mark, strlen(mark))) return;
    it->has_mark = 1;
    marked_at[marked++] = now;
}

// Takes the complete lines, and keeps the beginning of the last one.
static void take(struct stream *it, char *bytes, size_t count) {
    uint64_t now = now_ns();
    char *rest = bytes, *stop = bytes + count, *newline;
    while ((newline = memchr(rest, '\n', (size_t)(stop - rest)))) {
        size_t length = (size_t)(newline - rest);
        if (it->length) {
            size_t fits = length < LINE_LIMIT - it->length ? length : LINE_LIMIT - it->length;
            memcpy(it->line + it->length, rest, fits);
            take_line(it, it->line, it->length + fits, now);
            it->length = 0;
        } else take_line(it, rest, length, now);
        rest = newline + 1;
    }
    size_t left = (size_t)(stop - rest), fits = left < LINE_LIMIT - it->length ? left : LINE_LIMIT - it->length;
    if (!fits) return;
    if (!it->line) it->line = must_allocate(malloc(LINE_LIMIT + 1));
    memcpy(it->line + it->length, rest, fits);
    it->length += fits;
}

static void ready(size_t number) {
    static char bytes[1 << 18];
    struct stream *it = &streams[number];
    if (it->state == CONNECTING) return ask(number);
    ssize_t count = read(it->fd, bytes, sizeof bytes - 1);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return end(it);
    bytes[count] = 0;
    if (it->state == ASKED) {
        if (!strstr(bytes, " 200 ")) return end(it);
        it->state = OPEN;
        opening--, open_count++;
    }
    take(it, bytes, (size_t)count);
}

static void report(size_t wanted) {
    qsort(marked_at, marked, sizeof *marked_at, by_size);
    qsort(latencies_us, latency_count, sizeof *latencies_us, by_size);
    printf("{\"said\": \"ended\", \"streams\": %zu, \"marked\": %zu, \"failed\": %zu, \"events\": %lu, "
           "\"first_ns\": %lu, \"p50_ns\": %lu, \"p99_ns\": %lu, \"last_ns\": %lu, \"latencies\": %lu, "
           "\"latency_p50_us\": %lu, \"latency_p99_us\": %lu, \"latency_max_us\": %lu}\n",
        wanted, marked, failed, event_count, quantile(marked_at, marked, 0), quantile(marked_at, marked, 0.5),
        quantile(marked_at, marked, 0.99), quantile(marked_at, marked, 1), latency_count,
        quantile(latencies_us, latency_count, 0.5), quantile(latencies_us, latency_count, 0.99),
        quantile(latencies_us, latency_count, 1));
}

int main(int argc, char **argv) {
    if (argc != 6) return fprintf(stderr, "usage: listeners PORT N PATHS_FILE MARK SECONDS\n"), 64;
    setvbuf(stdout, NULL, _IOLBF, 0);
    port = atoi(argv[1]);
    mark = argv[4];
    size_t wanted = strtoul(argv[2], NULL, 10), next = 0;
    read_paths(argv[3]);
    streams = must_allocate(calloc(wanted, sizeof *streams));
    marked_at = must_allocate(calloc(wanted, sizeof *marked_at));
    latencies_us = must_allocate(malloc(LATENCIES * sizeof *latencies_us));
    poll_fd = epoll_create1(0);
    uint64_t began = now_ns(), limit = began + (uint64_t)(atof(argv[5]) * 1e9);
    int has_said_open = 0;
    struct epoll_event events[512];
    while (marked + failed < wanted && now_ns() < limit) {
        while (next < wanted && opening < OPENING_AT_A_TIME) begin(next++);
        int count = epoll_wait(poll_fd, events, 512, 200);
        for (int i = 0; i < count; i++) ready(events[i].data.u32);
        if (has_said_open || open_count + failed < wanted) continue;
        has_said_open = 1;
        printf("{\"said\": \"open\", \"open\": %zu, \"failed\": %zu, \"seconds\": %.3f}\n", open_count, failed,
            (double)(now_ns() - began) / 1e9);
    }
    report(wanted);
    return 0;
}
