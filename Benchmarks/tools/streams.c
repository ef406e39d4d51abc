// A model server whose answers come piece by piece, and the clients that read them, in one thread.
// usage: streams      the first line of stdout is the port of the server
// stdin, a line for each run:
//   PORT PATH CLIENTS COUNT FRAMES RATE SIZE STEP
//     PORT     that the clients connect to: a gateway's, or the server's own
//     CLIENTS  connections, each with one stream after another, COUNT streams in all
//     FRAMES   of SIZE bytes in each stream; the first comes at once, then RATE a second; 0: as fast as they are taken
//     STEP     1: the frames of all streams are written at the same moments, as a server with batches does; 0: spread
// stdout: a line of JSON for each run. The times of frames are from before the server's write to after the client's
// read. Frames are counted, and must come in order. What the server is to send stands in the body of the request.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>

#include "net.h"

enum { DESCRIPTORS = 4096, REQUEST_LIMIT = 65536, LINE_LIMIT = 65536, WRITE_LIMIT = 65536, LATENCIES = 1 << 22 };

static const uint64_t SILENCE = 60 * 1000000000ull;
static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char LAST[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

enum side { NONE, SERVER, CLIENT };
enum state { IN_HEAD, IN_SIZE, IN_DATA, AFTER_DATA, IN_TRAILER };

// What the server's end of a connection and the client's keep. `in` holds what came: of a request all, of an answer the
// head and the sizes of chunks.
struct connection {
    enum side side;
    size_t in_count, out_count, out_sent;
    char *in, *out;
    // Server: the stream that is being sent.
    int is_sending, is_blocked;
    uint64_t frames, next, size, interval, base;
    // Client: the stream that is being read.
    enum state state;
    int is_asking, has_first, is_whole, is_done;
    size_t chunk, line_count;
    char *line;
    uint64_t asked, seen;
};

static struct connection connections[DESCRIPTORS];
static int poll_fd, highest;
static uint64_t served;

static struct {
    int port;
    char path[256];
    size_t clients, count, frames, rate, size, step;
    size_t asked, ended, failed, frame_count, blocked;
    uint64_t bytes, began, heard;
    size_t first_count, latency_count;
    uint64_t *first_us, *latency_us;
} run;

static void forget(int fd) {
    struct connection *it = &connections[fd];
    it->side = NONE;
    close(fd);
}

static void take_on(int fd, enum side side) {
    struct connection *it = &connections[fd];
    char *in = it->in ? it->in : must_allocate(malloc(REQUEST_LIMIT + 1));
    char *out = it->out ? it->out : must_allocate(malloc(2 * WRITE_LIMIT + LINE_LIMIT));
    char *line = it->line ? it->line : must_allocate(malloc(LINE_LIMIT + 1));
    *it = (struct connection){.side = side, .in = in, .out = out, .line = line};
    if (fd > highest) highest = fd;
    watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, (uint32_t)fd);
}

// MARK: The server

static void add_frame(struct connection *it) {
    char *to = it->out + it->out_count;
    int head = sprintf(to, "%lx\r\n", it->size);
    char *frame = to + head;
    int length = sprintf(frame,
        "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\" word\"}}],\"id\":\"chatcmpl\","
        "\"object\":\"chat.completion.chunk\",\"n\":%lu,\"sent_ns\":%lu,\"pad\":\"", it->next, now_ns());
    memset(frame + length, 'x', it->size - (size_t)length - 4);
    memcpy(frame + it->size - 4, "\"}\n\n\r\n", 6);
    it->out_count += (size_t)head + it->size + 2;
    it->next++;
}

static uint64_t due(const struct connection *it) { return it->next ? it->base + it->next * it->interval : 0; }

static void send_out(int fd) {
    struct connection *it = &connections[fd];
    for (;;) {
        uint64_t now = it->interval ? now_ns() : 0;
        while (it->is_sending && it->out_count < WRITE_LIMIT && due(it) <= now) {
            add_frame(it);
            if (it->next < it->frames) continue;
            memcpy(it->out + it->out_count, LAST, sizeof LAST - 1);
            it->out_count += sizeof LAST - 1;
            it->is_sending = 0;
        }
        if (!it->out_count) return;
        ssize_t sent = send(fd, it->out + it->out_sent, it->out_count - it->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return forget(fd);
        if (sent > 0) it->out_sent += (size_t)sent;
        int is_blocked = it->out_sent < it->out_count;
        if (is_blocked != it->is_blocked) {
            it->is_blocked = is_blocked;
            run.blocked += (size_t)is_blocked;
            watch(poll_fd, EPOLL_CTL_MOD, fd, is_blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, (uint32_t)fd);
        }
        if (is_blocked) return;
        it->out_count = it->out_sent = 0;
    }
}

static uint64_t number(const char *body, const char *name) {
    const char *found = strstr(body, name);
    return found ? strtoull(found + strlen(name), NULL, 10) : 0;
}

static void begin_stream(int fd, const char *body) {
    struct connection *it = &connections[fd];
    it->frames = number(body, "\"frames\":"), it->size = number(body, "\"size\":"), it->next = 0;
    uint64_t rate = number(body, "\"rate\":"), now = now_ns();
    it->interval = rate ? 1000000000u / rate : 0;
    it->base = 0;
    if (rate) {
        // Spread by the golden ratio, which leaves no two streams close together.
        double turns = (double)served * 0.6180339887, share = turns - (double)(uint64_t)turns;
        uint64_t spread = (uint64_t)(share * (double)it->interval);
        it->base = now - (number(body, "\"step\":") ? now % it->interval : spread);
    }
    served++;
    it->is_sending = 1;
    memcpy(it->out, HEAD, sizeof HEAD - 1);
    it->out_count = sizeof HEAD - 1;
    send_out(fd);
}

static void serve(int fd) {
    struct connection *it = &connections[fd];
    while (it->side == SERVER && it->in_count && !it->is_sending && !it->out_count) {
        struct http_part part = http_part(it->in, it->in_count);
        size_t whole = part.head + part.body;
        if (!part.head || it->in_count < whole) return;
        char last = it->in[whole];
        it->in[whole] = 0;
        int is_stream = part.body && strstr(it->in + part.head, "\"frames\":") != NULL;
        if (is_stream) begin_stream(fd, it->in + part.head);
        else {
            it->out_count = (size_t)sprintf(it->out,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
            send_out(fd);
        }
        it->in[whole] = last;
        it->in_count -= whole;
        memmove(it->in, it->in + whole, it->in_count);
    }
}

static void accept_all(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= DESCRIPTORS) exit((fprintf(stderr, "streams: too many connections\n"), 1));
        no_delay(fd);
        take_on(fd, SERVER);
    }
}

// Writes the frames that are due; the nanoseconds until the next one.
static uint64_t write_due(void) {
    uint64_t now = now_ns(), next = now + 200000000;
    for (int fd = 0; fd <= highest; fd++) {
        struct connection *it = &connections[fd];
        if (it->side != SERVER || !it->is_sending || it->is_blocked) continue;
        if (due(it) <= now) send_out(fd);
        if (it->side == SERVER && it->is_sending && !it->is_blocked && due(it) < next) next = due(it);
    }
    now = now_ns();
    return next > now ? next - now : 0;
}

// MARK: The clients

static void ask(int fd) {
    struct connection *it = &connections[fd];
    char body[2048], request[4096];
    int length = snprintf(body, sizeof body,
        "{\"model\":\"m\",\"stream\":true,\"frames\":%zu,\"rate\":%zu,\"size\":%zu,\"step\":%zu,"
        "\"messages\":[{\"role\":\"user\",\"content\":\"%0700d\"}]}", run.frames, run.rate, run.size, run.step, 0);
    int count = snprintf(request, sizeof request,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
        run.path, length, body);
    it->state = IN_HEAD;
    it->in[0] = 0;
    it->in_count = it->line_count = 0;
    it->has_first = it->is_done = 0;
    it->seen = 0;
    it->is_asking = 1;
    it->asked = now_ns();
    run.asked++;
    if (send(fd, request, (size_t)count, MSG_NOSIGNAL) != count) die("the request");
}

static void connect_and_ask(void) {
    int fd = connect_to(run.port);
    if (fd >= DESCRIPTORS || fcntl(fd, F_SETFL, O_NONBLOCK)) die("connect");
    take_on(fd, CLIENT);
    ask(fd);
}

static void fail(int fd, const char *why) {
    struct connection *it = &connections[fd];
    if (!run.failed++) fprintf(stderr, "streams: %s after %lu frames: %.300s\n", why, it->seen, it->in);
    run.ended++;
    forget(fd);
    if (run.asked < run.count) connect_and_ask();
}

static void end(int fd) {
    struct connection *it = &connections[fd];
    if (!it->is_done || it->seen != run.frames) return fail(fd, "a stream ended too early");
    run.ended++;
    it->is_asking = 0;
    if (run.asked < run.count) ask(fd);
    else forget(fd);
}

static void take_line(struct connection *it, char *line, size_t length, uint64_t now) {
    line[length] = 0;
    if (!memcmp(line, "data: [DONE]", length < 12 ? length : 12) && length == 12) {
        it->is_done = 1;
        return;
    }
    char *order = strstr(line, "\"n\":"), *sent = strstr(line, "\"sent_ns\":");
    if (!order || !sent || strtoull(order + 4, NULL, 10) != it->seen) return;
    it->seen++;
    run.frame_count++;
    if (run.latency_count < LATENCIES)
        run.latency_us[run.latency_count++] = (now - strtoull(sent + 10, NULL, 10)) / 1000;
}

static void take_data(struct connection *it, char *bytes, size_t count, uint64_t now) {
    if (!it->has_first) {
        it->has_first = 1;
        run.first_us[run.first_count++] = (now - it->asked) / 1000;
    }
    run.bytes += count;
    for (char *rest = bytes, *stop = bytes + count; rest < stop;) {
        char *newline = memchr(rest, '\n', (size_t)(stop - rest));
        size_t length = (size_t)((newline ? newline : stop) - rest);
        if (it->line_count + length > LINE_LIMIT) length = LINE_LIMIT - it->line_count;
        memcpy(it->line + it->line_count, rest, length);
        it->line_count += length;
        if (!newline) return;
        if (it->line_count) take_line(it, it->line, it->line_count, now);
        it->line_count = 0;
        rest = newline + 1;
    }
}

// Takes in the framing of an answer. The client's `in` holds what is not whole of a head or of the size of a chunk.
static void take(int fd, char *bytes, size_t count, uint64_t now) {
    struct connection *it = &connections[fd];
    char *stop = bytes + count;
    while (bytes < stop && it->side == CLIENT && it->is_asking) {
        if (it->state == IN_DATA) {
            size_t some = (size_t)(stop - bytes) < it->chunk ? (size_t)(stop - bytes) : it->chunk;
            take_data(it, bytes, some, now);
            bytes += some;
            if ((it->chunk -= some)) continue;
            if (it->is_whole) return end(fd);
            it->state = AFTER_DATA;
            continue;
        }
        if (it->in_count >= REQUEST_LIMIT) return fail(fd, "a head that is too long came");
        it->in[it->in_count++] = *bytes++;
        it->in[it->in_count] = 0;
        if (it->in[it->in_count - 1] != '\n') continue;
        switch (it->state) {
        case IN_HEAD:
            if (it->in_count < 4 || memcmp(it->in + it->in_count - 4, "\r\n\r\n", 4)) continue;
            if (!strstr(it->in, " 200 ")) return fail(fd, "an answer was no stream");
            // A gateway may answer with all at once, if it has all.
            it->is_whole = !strcasestr(it->in, "\r\nTransfer-Encoding:");
            it->chunk = http_part(it->in, it->in_count).body;
            it->state = it->is_whole ? IN_DATA : IN_SIZE;
            break;
        case IN_SIZE:
            it->chunk = strtoul(it->in, NULL, 16);
            it->state = it->chunk ? IN_DATA : IN_TRAILER;
            break;
        case AFTER_DATA:
            it->state = IN_SIZE;
            break;
        default:
            if (it->in_count == 2) return end(fd);
        }
        it->in_count = 0;
    }
}

// MARK: Both

static void ready(int fd, uint32_t what) {
    static char bytes[1 << 18];
    struct connection *it = &connections[fd];
    if (it->side == SERVER && what & EPOLLOUT) send_out(fd), serve(fd);
    if (it->side == NONE || !(what & ~(uint32_t)EPOLLOUT)) return;
    int is_server = it->side == SERVER;
    char *to = is_server ? it->in + it->in_count : bytes;
    ssize_t count = read(fd, to, is_server ? REQUEST_LIMIT - it->in_count : sizeof bytes);
    uint64_t now = now_ns();
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
        if (!is_server) return fail(fd, "a stream was cut");
        return forget(fd);
    }
    if (is_server) it->in_count += (size_t)count, serve(fd);
    else run.heard = now, take(fd, bytes, (size_t)count, now);
}

static void report(void) {
    qsort(run.first_us, run.first_count, sizeof *run.first_us, by_size);
    qsort(run.latency_us, run.latency_count, sizeof *run.latency_us, by_size);
    printf("{\"streams\": %zu, \"failed\": %zu, \"frames\": %zu, \"bytes\": %lu, \"blocked\": %zu, \"seconds\": %.3f, "
           "\"first_p50_us\": %lu, \"first_p99_us\": %lu, \"frame_p50_us\": %lu, \"frame_p99_us\": %lu, "
           "\"frame_max_us\": %lu}\n",
        run.ended, run.failed + (run.count - run.ended), run.frame_count, run.bytes, run.blocked,
        (double)(now_ns() - run.began) / 1e9, quantile(run.first_us, run.first_count, 0.5),
        quantile(run.first_us, run.first_count, 0.99), quantile(run.latency_us, run.latency_count, 0.5),
        quantile(run.latency_us, run.latency_count, 0.99), quantile(run.latency_us, run.latency_count, 1));
}

// Reads one line of what to do. Until it is written, nothing is asked; the server serves all the same.
static int next_run(void) {
    char line[512];
    if (!fgets(line, sizeof line, stdin)) return 0;
    uint64_t *first = run.first_us, *latency = run.latency_us;
    memset(&run, 0, sizeof run);
    if (sscanf(line, "%d %255s %zu %zu %zu %zu %zu %zu", &run.port, run.path, &run.clients, &run.count, &run.frames,
            &run.rate, &run.size, &run.step) != 8 || !run.clients || !run.frames || run.size < 230 || run.size > 8192)
        exit((fprintf(stderr, "streams: not understood: %s", line), 64));
    run.first_us = must_allocate(realloc(first, run.count * sizeof *first));
    run.latency_us = latency ? latency : must_allocate(malloc(LATENCIES * sizeof *latency));
    run.began = run.heard = now_ns();
    for (size_t i = 0; i < run.clients && run.asked < run.count; i++) connect_and_ask();
    return 1;
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1ul);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int listener = listen_on(0), is_running = 0;
    poll_fd = epoll_create1(0);
    watch(poll_fd, EPOLL_CTL_ADD, listener, EPOLLIN, (uint32_t)listener);
    watch(poll_fd, EPOLL_CTL_ADD, 0, EPOLLIN, 0);
    struct epoll_event events[256];
    for (;;) {
        uint64_t wait = write_due();
        struct timespec time = {(time_t)(wait / 1000000000), (long)(wait % 1000000000)};
        int count = epoll_pwait2(poll_fd, events, 256, &time, NULL);
        for (int i = 0; i < count; i++) {
            int fd = (int)events[i].data.u32;
            if (fd == listener) accept_all(listener);
            else if (fd) ready(fd, events[i].events);
            else if (!is_running && !(is_running = next_run())) return 0;
        }
        if (is_running && (run.ended == run.count || now_ns() - run.heard > SILENCE)) {
            for (int fd = 0; fd <= highest; fd++)
                if (connections[fd].side == CLIENT) forget(fd);
            report();
            is_running = 0;
        }
    }
}
