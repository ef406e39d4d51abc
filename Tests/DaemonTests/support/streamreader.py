"""A client of HTTP that reads an answer as it comes, and tells a whole one from one that was cut."""

import email.parser
import http.client
import re
import time

import wire
from waiting import fair

CHUNK = re.compile(rb"([0-9a-fA-F]+)[^\r\n]*\r\n")


def offset(attempt, byte):
    """A coordinate in the form in which the raw view takes it."""
    return f"{attempt:04}_{byte:012}"


class Reader:
    """One request on a connection of its own, sent at once; its answer is read when something is asked of it.

    `ending` is None while the answer goes on; "clean" where its framing says that it is whole, "cut" where it ended before
    that, and "closed" or "reset" where it has no framing but the end of the connection.
    """

    def __init__(self, address, method, target, body=b"", headers=None, version="1.1", timeout=15.0, buffer=None):
        self._method, self._timeout = method, timeout
        self.socket = wire.dial(address, timeout)
        if buffer:
            self.socket.setsockopt(wire.socket.SOL_SOCKET, wire.socket.SO_RCVBUF, buffer)
        fields = {"Host": "127.0.0.1"} | (headers or {})
        if body or method == "POST":
            fields["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/{version}"] + [f"{name}: {value}" for name, value in fields.items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
        self._head = None
        self._raw = b""
        self._left = 0  # of the chunk, or of the length
        self._framing = ""
        self._body = bytearray()
        self.arrivals = []  # when the body had become so long
        self.ending = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # The head

    def _await_head(self):
        begun = time.monotonic()
        while self._head is None:
            assert self.ending is None, f"the connection ended before the head of an answer: {self._raw!r}"
            self._read(begun, self._timeout)
        return self._head

    @property
    def status(self):
        return int(self._await_head()[0].split()[1])

    @property
    def headers(self):
        return self._await_head()[1]

    @property
    def has_head(self):
        return self._head is not None

    @property
    def attempt(self):
        return int(self.headers["X-Attempt"])

    @property
    def next_offset(self):
        return self.headers["Stream-Next-Offset"]

    @property
    def is_closed(self):
        value = self.headers["Stream-Closed"]
        assert value in (None, "true"), value
        return value == "true"

    # The body

    @property
    def body(self):
        return bytes(self._body)

    def _read(self, begun, timeout):
        """Reads once; nothing within `timeout` fair seconds since `begun` is a failure."""
        while True:
            self.socket.settimeout(0.25)
            try:
                data = self.socket.recv(1 << 18)
                break
            except TimeoutError:
                passed = time.monotonic() - begun
                if passed > timeout and passed > fair(timeout, begun):
                    so_far = f"{len(self._body)} bytes: {self.body[-300:]!r}"
                    raise AssertionError(f"nothing more within {passed:.1f} s; so far {so_far}") from None
            except ConnectionResetError:
                return self._ended("reset")
        if not data:
            return self._ended("closed")
        self._raw += data
        self._take()

    def _ended(self, how):
        self.ending = how if self._framing == "close" else "cut"

    def _take(self):
        if self._head is None:
            head, found, rest = self._raw.partition(b"\r\n\r\n")
            if not found:
                return
            first, _, fields = head.decode("latin-1").partition("\r\n")
            headers = email.parser.Parser(_class=http.client.HTTPMessage).parsestr(fields)
            self._head, self._raw = (first, headers), rest
            self._begin(int(first.split()[1]), headers)
        before = len(self._body)
        if self._framing == "chunked":
            self._take_chunks()
        elif self._framing == "length":
            self._body += self._raw[: self._left]
            self._left -= len(self._raw[: self._left])
            self._raw = b""
            if self._left == 0:
                self.ending = "clean"
        elif self._framing == "close":
            self._body += self._raw
            self._raw = b""
        if len(self._body) > before:
            self.arrivals.append((time.monotonic(), len(self._body)))

    def _begin(self, status, headers):
        if self._method == "HEAD" or status in (204, 304):
            self.ending = "clean"
        elif headers["Transfer-Encoding"]:
            assert headers["Transfer-Encoding"] == "chunked" and headers["Content-Length"] is None, str(headers)
            self._framing = "chunked"
        elif headers["Content-Length"]:
            self._framing, self._left = "length", int(headers["Content-Length"])
        else:
            self._framing = "close"

    def _take_chunks(self):
        while self._raw:
            if self._left > 2:
                piece = self._raw[: self._left - 2]
                self._body += piece
                self._left -= len(piece)
                self._raw = self._raw[len(piece) :]
            elif self._left:
                if len(self._raw) < self._left:
                    return
                assert self._raw[: self._left] == b"\r\n"[2 - self._left :], self._raw[:20]
                self._raw, self._left = self._raw[self._left :], 0
            elif self._raw.startswith(b"0\r\n\r\n"):
                self.ending = "clean"
                self._raw = self._raw[5:]
                return
            elif (size := CHUNK.match(self._raw)) and int(size[1], 16):
                self._left, self._raw = int(size[1], 16) + 2, self._raw[size.end() :]
            else:
                assert b"\r\n" not in self._raw or self._raw.startswith(b"0\r\n"), f"no chunk: {self._raw[:40]!r}"
                return

    def until(self, wanted, timeout=10.0):
        """Reads until the body ends with `wanted`, or until it holds for `wanted(body)`."""
        begun = time.monotonic()
        self._await_head()
        while not (self._body.endswith(wanted) if isinstance(wanted, bytes) else wanted(self.body)):
            assert self.ending is None, f"the answer ended, {self.ending}: {self.status} {self.body[-1000:]!r}"
            self._read(begun, timeout)
        return self.body

    def silent(self, seconds):
        """Nothing comes for so long, no end either."""
        before = len(self._body)
        assert self.ending is None, f"the answer ended, {self.ending}"
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            return
        raise AssertionError(f"something came after {before} bytes: {data!r}")

    def to_end(self, timeout=15.0):
        """Reads until the answer ends in whatever way; itself."""
        begun = time.monotonic()
        while self.ending is None:
            self._read(begun, timeout)
        assert self.has_head, "the connection ended without an answer"
        return self

    def to_any_end(self):
        """As `to_end`, for readers whose gateway may die at any time, also before the head."""
        try:
            while self.ending is None:
                self._read(time.monotonic(), 60)
        except OSError:
            self.ending = "cut"
        return self

    def whole(self, timeout=15.0):
        """The body of an answer that ends as it should."""
        self.to_end(timeout)
        assert self.ending == "clean", f"{self.status}, {self.ending}: {self.body[-1000:]!r}"
        return self.body
