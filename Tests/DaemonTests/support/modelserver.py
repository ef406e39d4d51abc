"""A scripted model server on raw sockets, so that it can misbehave in every way a real one has."""

import dataclasses
import select
import socket
import struct
import threading
import time

import answers
from waiting import until


@dataclasses.dataclass
class Call:
    """One request as the model server saw it."""

    method: str
    target: str
    header_list: list
    body: bytes
    started: float = dataclasses.field(default_factory=time.monotonic)
    ended: float | None = None
    answered: threading.Event = dataclasses.field(default_factory=threading.Event)
    dropped: threading.Event = dataclasses.field(default_factory=threading.Event)

    def all(self, name):
        return [value for key, value in self.header_list if key.lower() == name.lower()]

    def header(self, name):
        """The header's value, None if it is absent; twice is a failure."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} more than once: {values}"
        return values[0] if values else None


class Exchange:
    """What an answer works with: the call, and the connection that it came on."""

    def __init__(self, sock, call, route):
        self.socket, self.call, self.route = sock, call, route
        self.keep_open = True

    def send(self, data):
        """Sends; raises OSError once the client has gone, after noting it."""
        try:
            self.socket.sendall(data)
        except OSError:
            self.call.dropped.set()
            raise

    def client_has_gone(self, patience=0.0):
        readable, _, _ = select.select([self.socket], [], [], patience)
        try:
            gone = bool(readable) and self.socket.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            gone = True
        if gone:
            self.call.dropped.set()
        return gone

    def wait_for(self, event):
        """Waits for an event or for the client to hang up: true if it was the event."""
        while not event.is_set():
            if self.client_has_gone(patience=0.01):
                return False
        return True

    def hang(self):
        """Says nothing until the client hangs up or the test is over."""
        self.keep_open = False
        self.wait_for(self.route.over)

    def close(self):
        self.keep_open = False

    def reset(self):
        """Closes with RST instead of FIN."""
        self.keep_open = False
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Route:
    """One path of the server, which is one model: its script, its gate, and the calls that came."""

    def __init__(self):
        self.calls = []
        self.most_active = 0
        self.active = 0
        self.over = threading.Event()
        self._script = [answers.ok()]
        self._gate = threading.Event()
        self._gate.set()
        self._lock = threading.Lock()

    def answer_with(self, *script):
        """The nth call from here on gets the nth answer; those past the end get the last one."""
        with self._lock:
            self._script = list(script)

    def hold(self):
        """Calls wait for `release` before they are answered."""
        self._gate.clear()

    def release(self):
        self._gate.set()

    def let_go(self):
        """The test is over: whatever waits is answered, hangs end, later calls get 200."""
        self.answer_with(answers.ok())
        self.over.set()
        self.release()

    def wait_calls(self, count, timeout=10.0):
        """The first `count` calls, once they have come."""
        until(lambda: len(self.calls) >= count, f"{count} calls of the model server, {len(self.calls)} came", timeout)
        return self.calls[:count]

    def take(self, sock, call):
        with self._lock:
            self.calls.append(call)
            answer = self._script.pop(0) if len(self._script) > 1 else self._script[0]
            self.active += 1
            self.most_active = max(self.most_active, self.active)
        exchange = Exchange(sock, call, self)
        try:
            if exchange.wait_for(self._gate):
                answer(exchange)
                call.answered.set()
            else:
                exchange.close()
        except OSError:
            exchange.close()
        finally:
            with self._lock:
                self.active -= 1
                call.ended = time.monotonic()
        return exchange.keep_open


class ModelServer:
    """Listens on a free TCP port of loopback, or on a Unix socket; one thread per connection.

    With `listening=False` the port is taken and refuses connections until `listen`; with `accepting=False` the
    kernel completes connections that nobody ever reads from. `close_after_answers` makes it close each connection once
    it has answered, without having said so.
    """

    def __init__(self, path=None, port=0, listening=True, accepting=True):
        self._routes = {}
        self._lock = threading.Lock()
        self.close_after_answers = False
        self._socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(str(path) if path else ("127.0.0.1", port))
        self._path = path
        self._accepting = accepting
        if listening:
            self.listen()

    def listen(self):
        self._socket.listen(256)
        if self._accepting:
            threading.Thread(target=self._accept, daemon=True).start()

    def stop_listening(self):
        """Refuses connections from now on; those that there are go on. Returns the port."""
        port = self._socket.getsockname()[1]
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        return port

    def url(self, target="/predict"):
        if self._path:
            return "http+unix://" + str(self._path).replace("/", "%2F") + target
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}{target}"

    def route(self, target="/predict"):
        with self._lock:
            return self._routes.setdefault(target.partition("?")[0], Route())

    @property
    def calls(self):
        """Those of all routes."""
        with self._lock:
            return [call for route in self._routes.values() for call in route.calls]

    def let_go(self):
        for route in list(self._routes.values()):
            route.let_go()

    def close(self):
        self.let_go()
        self._socket.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock:
            buffer = b""
            keep_open = True
            while keep_open:
                try:
                    call, buffer = self._read(sock, buffer)
                except (OSError, EOFError):
                    return
                keep_open = self.route(call.target).take(sock, call) and not self.close_after_answers

    def _read(self, sock, buffer):
        def more():
            piece = sock.recv(1 << 20)
            if not piece:
                raise EOFError
            return piece

        while b"\r\n\r\n" not in buffer:
            buffer += more()
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = [(key, value.strip()) for key, _, value in (line.partition(":") for line in lines)]
        named = {key.lower(): value for key, value in headers}
        if named.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while True:
                while b"\r\n" not in buffer:
                    buffer += more()
                size, _, buffer = buffer.partition(b"\r\n")
                length = int(size.partition(b";")[0], 16)
                while len(buffer) < length + 2:
                    buffer += more()
                body, buffer = body + buffer[:length], buffer[length + 2 :]
                if length == 0:
                    break
        else:
            length = int(named.get("content-length", "0"))
            pieces, size = [buffer], len(buffer)
            while size < length:
                pieces.append(more())
                size += len(pieces[-1])
            buffer = b"".join(pieces)
            body, buffer = buffer[:length], buffer[length:]
        return Call(method, target, headers, body), buffer
