"""HTTP and Server-Sent Events as bytes, so that the tests can say what exactly stands on the wire."""

import http.client
import json
import re
import socket
import ssl
import time
from dataclasses import dataclass


@dataclass
class Answer:
    """One HTTP answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)


@dataclass(frozen=True)
class Secure:
    """A TCP address at which TLS is spoken."""

    address: tuple
    context: ssl.SSLContext
    name: str = "localhost"


class _OtherConnection(http.client.HTTPConnection):
    """Over what is no bare TCP."""

    def __init__(self, address, timeout):
        super().__init__("localhost", timeout=timeout)
        self._address = address

    def connect(self):
        self.sock = dial(self._address, self.timeout)


def dial(address, timeout=10.0):
    """A connected socket. `address` is `(host, port)`, a `Secure` one, or the path of a Unix socket."""
    if isinstance(address, tuple):
        return socket.create_connection(address, timeout)
    if isinstance(address, Secure):
        sock = socket.create_connection(address.address, timeout)
        try:
            return address.context.wrap_socket(sock, server_hostname=address.name)
        except OSError:
            sock.close()
            raise
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(str(address))
    return sock


def connect(address, timeout=10.0):
    if isinstance(address, tuple):
        return http.client.HTTPConnection(*address, timeout=timeout)
    return _OtherConnection(address, timeout)


def exchange(address, method, target, body=None, headers=None, timeout=15.0):
    """One request on a connection of its own. An answer that comes before the body was taken is still read."""
    connection = connect(address, timeout)
    try:
        try:
            connection.request(method, target, body=body, headers=headers or {})
        except (BrokenPipeError, ConnectionResetError):
            # A listener that closes can reset a connection before it is made, too.
            if connection.sock is None:
                raise
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def read_answer(sock, method="GET"):
    """The next answer on a raw socket (one per connection: what follows it is lost)."""
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    return Answer(response.status, response.headers, response.read())


def read_to_close(sock):
    """Everything until the peer closes; a reset counts as a close."""
    received = b""
    try:
        while piece := sock.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


@dataclass
class Event:
    """One frame of a stream, with its exact bytes."""

    id: int
    frame: bytes
    data_line: bytes

    @property
    def envelope(self):
        return json.loads(self.data_line)

    @property
    def detail_type(self):
        return self.envelope["detail_type"]

    @property
    def status(self):
        return self.envelope["status"]

    @property
    def data(self):
        return self.envelope["data"]

    @property
    def kind(self):
        return (self.detail_type.removeprefix("Inf:Task:"), self.status)


FRAME = re.compile(rb"id: (0|[1-9][0-9]*)\n(retry: 2000\n)?data: ([\x20-\x7f]+)\n\n")
HEARTBEAT = b":\n"


def parse(stream):
    """The events of a stream. Strict: a byte that belongs neither to a frame nor to a heartbeat is a failure.

    `retry` stands in the first frame of a response and in no other.
    """
    events, at = [], 0
    while at < len(stream):
        if stream.startswith(HEARTBEAT, at):
            at += len(HEARTBEAT)
            continue
        frame = FRAME.match(stream, at)
        assert frame, f"not a frame: {stream[at:at + 200]!r}"
        assert bool(frame[2]) == (not events), f"retry belongs in the first frame alone: {frame[0][:200]!r}"
        events.append(Event(int(frame[1]), frame[0], frame[3]))
        at = frame.end()
    return events


class Stream:
    """One listener. A context manager: leaving it hangs up."""

    def __init__(self, address, target, headers=None, timeout=10.0):
        self._connection = connect(address, timeout)
        self._connection.request("GET", target, headers=headers or {})
        self._socket = self._connection.sock
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.headers = self._response.headers
        self.received = b""
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._response.close()
        self._connection.close()

    def _read(self, deadline):
        left = deadline - time.monotonic()
        assert left > 0, f"nothing more came; so far: {self.received[-500:]!r}"
        self._socket.settimeout(left)
        try:
            piece = self._response.read1(65536)
        except TimeoutError:
            raise AssertionError(f"nothing more came; so far: {self.received[-500:]!r}") from None
        self.received += piece
        self.ended = not piece

    def until(self, condition, timeout=10.0):
        """Reads until `condition(bytes received so far)` is true."""
        deadline = time.monotonic() + timeout
        while not condition(self.received):
            assert not self.ended, f"the stream ended early: {self.received[-500:]!r}"
            self._read(deadline)
        return self.received

    def events(self, count, timeout=10.0):
        """The first `count` events of this response."""
        self.until(lambda received: received.count(b"\n\n") >= count, timeout)
        return parse(self.received[: self.received.rindex(b"\n\n") + 2])[:count]

    def to_end(self, timeout=15.0):
        """All bytes of the body. An end that is not a clean one (a cut chunk) raises `IncompleteRead`."""
        deadline = time.monotonic() + timeout
        while not self.ended:
            self._read(deadline)
        return self.received
