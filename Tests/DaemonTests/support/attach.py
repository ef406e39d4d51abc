"""Many listeners in one process: attaches them to event streams, reads each to its end, and says what they got.

    python3 attach.py HOST PORT

A line of JSON on standard input is an order: {"path": ..., "count": ..., "spread": seconds, "after": id or null,
"headers": {name: value}}. For each order one line of JSON goes out once all its listeners have their end: the order and
"got", a list of [number of listeners, HTTP status, ids, last frame's data up to 200 characters, whether the end was clean].
"""

import collections
import errno
import heapq
import json
import os
import random
import re
import select
import socket
import sys
import time

FRAME = re.compile(rb"id: (\d+)\n(?:retry: 2000\n)?data: ([^\n]*)\n\n|:\n")


def dechunk(body):
    """The content, and whether it ends as it should."""
    content, at = [], 0
    while True:
        end = body.find(b"\r\n", at)
        if end < 0:
            return b"".join(content), False
        size = int(body[at:end].split(b";")[0], 16)
        if size == 0:
            return b"".join(content), body[end:] == b"\r\n\r\n"
        content.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


def understood(received):
    """What one listener got, in a form that is the same for listeners that got the same."""
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head[9:12]) if head.startswith(b"HTTP/1.1 ") else 0
    if status != 200:
        return status, (), "", True
    content, is_clean = dechunk(body) if b"transfer-encoding: chunked" in head.lower() else (body, False)
    ids, last, at = [], b"", 0
    while at < len(content):
        frame = FRAME.match(content, at)
        if not frame:
            return status, tuple(ids), f"not a frame: {content[at:at + 80]!r}", False
        if frame[1]:
            ids.append(int(frame[1]))
            last = frame[2]
        at = frame.end()
    return status, tuple(ids), last[:200].decode("ascii"), is_clean


class Listeners:
    def __init__(self, host, port):
        self.address = (host, port)
        self.epoll = select.epoll()
        self.open = {}
        self.due = []
        self.orders = {}
        self.number = 0

    def take(self, line):
        order = json.loads(line)
        self.number += 1
        request = f"GET {order['path']} HTTP/1.1\r\nHost: {self.address[0]}\r\nConnection: close\r\n"
        request += "".join(f"{name}: {value}\r\n" for name, value in order["headers"].items())
        if order.get("after") is not None:
            request += f"Last-Event-ID: {order['after']}\r\n"
        self.orders[self.number] = [order, order["count"], collections.Counter(), (request + "\r\n").encode()]
        now = time.monotonic()
        for _ in range(order["count"]):
            heapq.heappush(self.due, (now + random.random() * order["spread"], self.number))

    def attach(self, number):
        sock = socket.socket()
        sock.setblocking(False)
        error = sock.connect_ex(self.address)
        if error not in (0, errno.EINPROGRESS):
            return self.done(number, (0, (), os.strerror(error), False))
        self.open[sock.fileno()] = [sock, number, bytearray(), False]
        self.epoll.register(sock.fileno(), select.EPOLLOUT | select.EPOLLIN)

    def ready(self, descriptor):
        sock, number, received, is_sent = self.open[descriptor]
        try:
            if not is_sent:
                sock.send(self.orders[number][3])
                self.open[descriptor][3] = True
                self.epoll.modify(descriptor, select.EPOLLIN)
                return
            piece = sock.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if piece:
            received += piece
            return
        self.epoll.unregister(descriptor)
        del self.open[descriptor]
        sock.close()
        self.done(number, understood(bytes(received)))

    def done(self, number, got):
        order = self.orders[number]
        order[2][got] += 1
        order[1] -= 1
        if order[1] == 0:
            result = [[count, *each] for each, count in order[2].items()]
            print(json.dumps(order[0] | {"got": result}), flush=True)
            del self.orders[number]

    def run(self):
        self.epoll.register(0, select.EPOLLIN)
        lines, has_ended = b"", False
        while not has_ended or self.orders:
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                self.attach(heapq.heappop(self.due)[1])
            wait = max(0.0, self.due[0][0] - now) if self.due else 1.0
            for descriptor, _ in self.epoll.poll(wait):
                if descriptor:
                    self.ready(descriptor)
                    continue
                piece = os.read(0, 1 << 16)
                if not piece:
                    self.epoll.unregister(0)
                    has_ended = True
                *complete, lines = (lines + piece).split(b"\n")
                for line in complete:
                    self.take(line)


if __name__ == "__main__":
    Listeners(sys.argv[1], int(sys.argv[2])).run()
