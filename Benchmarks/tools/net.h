// What the tools share: a clock, sockets on loopback, and the few fields of HTTP that they read.
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// Monotonic nanoseconds: the same clock as Python's time.monotonic_ns().
static inline uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static inline void *must_allocate(void *memory) {
    if (!memory) die("memory");
    return memory;
}

static inline struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void no_delay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static inline void watch(int poll, int operation, int fd, uint32_t events, uint32_t number) {
    struct epoll_event event = {.events = events, .data.u32 = number};
    if (epoll_ctl(poll, operation, fd, &event)) die("epoll_ctl");
}

// A listening socket on 127.0.0.1. Port 0 takes a free one; the port goes to standard output as the first line.
static inline int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = loopback(port);
    socklen_t length = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (void *)&address, sizeof address) || listen(fd, 4096)) die("listen");
    getsockname(fd, (void *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static inline int connect_to(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = loopback(port);
    if (connect(fd, (void *)&address, sizeof address)) die("connect");
    no_delay(fd);
    return fd;
}

// One request or answer at the start of `bytes`: the length of its head (0: not all there yet) and of its body.
struct http_part {
    size_t head, body;
};

static inline struct http_part http_part(char *bytes, size_t count) {
    char *end = memmem(bytes, count, "\r\n\r\n", 4);
    if (!end) return (struct http_part){0, 0};
    struct http_part part = {(size_t)(end - bytes) + 4, 0};
    for (char *line = bytes; (line = memchr(line, '\n', (size_t)(end - line) + 1)) && ++line < end;)
        if (!strncasecmp(line, "content-length:", 15)) part.body = strtoul(line + 15, NULL, 10);
    return part;
}

static inline int by_size(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

// The value that `share` of the sorted values do not exceed; 0 without values.
static inline uint64_t quantile(const uint64_t *sorted, size_t count, double share) {
    if (!count) return 0;
    size_t place = (size_t)((double)count * share);
    return sorted[place < count ? place : count - 1];
}
