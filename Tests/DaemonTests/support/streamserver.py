"""Streams of a scripted model server, sent step by step as a test says, in the languages of the dialects."""

import dataclasses
import json
import socket
import threading
import time

import pytest

from streamreader import Reader
from waiting import until

PATIENCE = 10.0


class Feed:
    """One answer of a `Route`: the test says when its head goes out, each of its pieces, and how it ends.

    `framing`: "chunked", "length", "close" (what ends it is the end of the connection) or "HTTP/1.0" (the same, older).
    With `held`, the head waits for `open`. `length` is what the head of "length" says.
    """

    def __init__(self, content_type="text/event-stream", framing="chunked", status=200, headers=(), held=False, length=0):
        self.content_type, self.framing, self.status, self.headers = content_type, framing, status, list(headers)
        self.length = length
        self.body = b""  # what was sent so far
        self.closed_at = None  # when the gateway closed the connection, on the monotonic clock
        self._held = held
        self._exchange = None
        self._attached = threading.Event()
        self._done = threading.Event()

    def __call__(self, exchange):
        exchange.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        exchange.socket.settimeout(PATIENCE)
        self._exchange = exchange
        if not self._held:
            self._send_head()
        self._attached.set()
        while not self._done.is_set():
            if exchange.route.over.is_set():
                return exchange.close()
            if exchange.client_has_gone(patience=0.05):
                self.closed_at = time.monotonic()
                return exchange.close()

    def _send_head(self):
        version = "HTTP/1.0" if self.framing == "HTTP/1.0" else "HTTP/1.1"
        lines = [f"{version} {self.status} Scripted"]
        if self.content_type:
            lines.append(f"Content-Type: {self.content_type}")
        if self.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
        elif self.framing == "length":
            lines.append(f"Content-Length: {self.length}")
        elif self.framing == "close":
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in self.headers]
        self._exchange.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    # What the test says

    def call(self, timeout=PATIENCE):
        """The call that this answers, once it has come."""
        assert self._attached.wait(timeout), "the model server was not called"
        return self._exchange.call

    @property
    def is_over(self):
        """Whether it was ended, or the gateway has hung up."""
        return self._done.is_set() or self.closed_at is not None

    def open(self):
        """Sends the head that was held."""
        self.call()
        self._send_head()

    def send(self, *pieces):
        """Each piece as a write of its own, in a chunk of its own where there are chunks."""
        self.call()
        for piece in pieces:
            self.body += piece
            self._exchange.send(b"%x\r\n%b\r\n" % (len(piece), piece) if self.framing == "chunked" else piece)

    def send_raw(self, data):
        """Bytes of the connection, whatever they are."""
        self.call()
        self._exchange.send(data)

    def finish(self):
        """A whole answer's end."""
        self.call()
        if self.framing == "chunked":
            self._exchange.send(b"0\r\n\r\n")
        elif self.framing != "length":
            self._exchange.close()
            self._exchange.socket.shutdown(socket.SHUT_WR)
        self._done.set()

    def cut(self):
        """Closes the connection as it is."""
        self.call()
        self._exchange.close()
        self._exchange.socket.shutdown(socket.SHUT_RDWR)
        self._done.set()

    def reset(self):
        """Ends the connection with RST in place of FIN."""
        self.call()
        self._exchange.reset()
        self._done.set()

    def hung_up(self, timeout=PATIENCE):
        """When the gateway closed the connection, which it has to do."""
        return until(lambda: self.closed_at, "the gateway closes the connection to the model server", timeout)


class Feeds:
    """A `Feed` of its own for each call, in the order in which they come."""

    def __init__(self, **keys):
        self.made = []
        self._keys = keys

    def __call__(self, exchange):
        feed = Feed(**self._keys)
        self.made.append(feed)
        feed(exchange)

    def wait(self, count, timeout=PATIENCE):
        until(lambda: len(self.made) >= count, f"{count} calls, {len(self.made)} came", timeout)
        return self.made[:count]


def said(*pieces, ending="finish", pause=0.0, raw=False, **keys):
    """An answer that needs no test to go on: these pieces, so far apart, and `ending`, a method of `Feed`.

    With `raw`, the pieces are those of the connection, and the head is among them.
    """

    def answer(exchange):
        feed = Feed(**keys | ({"held": True, "framing": "raw"} if raw else {}))
        speaker = threading.Thread(target=speak, args=(feed,), daemon=True)
        speaker.start()
        feed(exchange)
        speaker.join()

    def speak(feed):
        try:
            for number, piece in enumerate(pieces):
                if number and pause:
                    time.sleep(pause)
                feed.send_raw(piece) if raw else feed.send(piece)
            getattr(feed, ending)()
        except OSError:
            pass  # the gateway has hung up

    return answer


# The languages


def data(document, event=None):
    """A frame of Server-Sent Events; `event` also names it."""
    text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


def line(document):
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


def _chat(text):
    delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return data({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]})


def _completion(text):
    return data({"id": "cmpl-1", "object": "text_completion", "choices": [{"index": 0, "text": text}]})


def _named(kind, **members):
    return data({"type": kind} | members, kind)


def _delta(text):
    return _named("response.output_text.delta", sequence_number=3, output_index=0, content_index=0, delta=text)


def _block(text):
    return _named("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def _message(text):
    return line({"model": "m", "message": {"role": "assistant", "content": text}, "done": False})


def _response(status, **members):
    return {"response": {"id": "resp_1", "object": "response", "status": status, "output": []} | members}


@dataclasses.dataclass
class Kind:
    """How a stream of one path looks: what makes a frame of a text, its end mark, and the server's own error."""

    name: str
    dialect: str
    path: str
    frame: object
    mark: bytes  # empty: the framing of HTTP alone says that it is whole
    error: bytes
    content_type: str = "text/event-stream"
    mount: str = ""

    @property
    def target(self):
        return self.mount + self.path

    @property
    def frames(self):
        return [self.frame("Hällo "), self.frame("wörld \U0001f30d"), self.frame('"[DONE]" {"error": "no"}')]

    @property
    def whole(self):
        return b"".join(self.frames) + self.mark

    def ending(self, tail):
        """The error's words in what the gateway sent at the end, which must be a frame of this dialect and no more."""
        if self.content_type == "application/x-ndjson":
            assert tail.endswith(b"\n") and tail.count(b"\n") == 1, tail
            document = json.loads(tail)
            assert set(document) == {"error"}, tail
            return document["error"]
        if self.path == "/v1/chat/completions":
            assert tail.endswith(b"\n\ndata: [DONE]\n\n"), tail
        tail = tail.removesuffix(b"data: [DONE]\n\n")
        assert tail.endswith(b"\n\n") and tail.count(b"\n\n") == 1, tail
        fields = [each.partition(": ") for each in tail.decode().removesuffix("\n\n").split("\n")]
        assert {name for name, _, _ in fields} <= {"event", "data"}, tail
        found = {name: value for name, _, value in fields}
        document = json.loads(found["data"])
        if self.path == "/v1/messages":
            assert found["event"] == document["type"] == "error", tail
        if self.path == "/v1/responses":
            assert found["event"] == document["type"], tail
            assert document["type"] in ("error", "response.failed"), tail
            return (document.get("response", {}).get("error") or document)["message"]
        error = document["error"]
        return error if isinstance(error, str) else error["message"]


WORDS = "the GPU has fallen off the bus"
NDJSON = "application/x-ndjson"
ERROR = data({"error": {"message": WORDS, "type": "server_error", "param": None, "code": 500}})
FAILED = _response("failed", error={"code": "server_error", "message": WORDS})
LAST = {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}

CHAT = Kind("chat", "openai", "/v1/chat/completions", _chat, data("[DONE]"), ERROR)
COMPLETIONS = Kind("completions", "openai", "/v1/completions", _completion, CHAT.mark, ERROR)
RESPONSES = Kind(
    "responses", "openai", "/v1/responses", _delta,
    _named("response.completed", sequence_number=9, **_response("completed")),
    _named("response.failed", sequence_number=9, **FAILED),
)  # fmt: skip
MESSAGES = Kind(
    "messages", "openai", "/v1/messages", _block, _named("message_stop"),
    _named("error", error={"type": "api_error", "message": WORDS}),
)  # fmt: skip
OLLAMA = Kind("ollama", "ollama", "/api/chat", _message, line(LAST), line({"error": WORDS}), NDJSON)
GENERATE = Kind(
    "generate", "ollama", "/api/generate", lambda text: line({"response": text, "done": False}),
    line({"response": "", "done": True}), line({"error": WORDS}), NDJSON,
)  # fmt: skip
OLLAMA_CHAT = Kind("ollama-v1", "ollama", "/v1/chat/completions", _chat, CHAT.mark, ERROR)
KSERVE = Kind(
    "kserve", "kserve", "/v2/models/m/generate_stream", lambda text: data({"model_name": "m", "text_output": text}), b"",
    data({"error": WORDS}),
)  # fmt: skip
NONE = Kind("none", "none", "/say", lambda text: data({"text": text}), b"", data({"error": WORDS}), mount="/upstream/m")

MARKED = [CHAT, COMPLETIONS, RESPONSES, MESSAGES, OLLAMA, GENERATE, OLLAMA_CHAT]
SPOKEN = [*MARKED, KSERVE]  # all whose dialect knows errors


def each_kind(kinds):
    return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.name)


class Site:
    """A gateway with one model `m` of a dialect, and what its model server says."""

    def __init__(self, gateway, route, kind):
        self.gateway, self.route, self.kind = gateway, route, kind
        self.address = gateway.address

    def feed(self, **keys):
        """The next call's answer, under the test's control."""
        feed = Feed(**{"content_type": self.kind.content_type} | keys)
        self.route.answer_with(feed)
        return feed

    def feeds(self, count=None, **keys):
        """So many answers for the calls from here on; without a count, one for each."""
        keys = {"content_type": self.kind.content_type} | keys
        made = Feeds(**keys) if count is None else [Feed(**keys) for _ in range(count)]
        self.route.answer_with(*(made if isinstance(made, list) else [made]))
        return made

    def call(self, headers=None, body=None, **keys):
        """The client of a call, as soon as it has sent its request."""
        if body is None:
            body = b'{"model":"m","stream":true}'
        fields = {"Content-Type": "application/json"} | (headers or {})
        return Reader(self.address, "POST", self.kind.target, body, fields, **keys)

    def submit(self, feed=None):
        """The record of a call that no one waits for, and whose answer has begun if `feed` is given."""
        answer = self.call({"Prefer": "respond-async"}).to_end()
        assert answer.status == 202, answer.body
        if feed:
            feed.call()
        return json.loads(answer.body)

    def jobs(self):
        return self.gateway.get("/v1/inference?limit=1000").json()["results"]

    def job(self):
        [job] = self.jobs()
        return job

    def output(self, job):
        """What is kept at `urls.output`."""
        return self.gateway.get(job["urls"]["output"]).body

    def raw(self, job, method="GET", headers=None, **items):
        """A reader of the raw view."""
        query = "&".join(f"{name}={value}" for name, value in items.items())
        return Reader(self.address, method, job["urls"]["output"] + ("?" + query if query else ""), headers=headers)


@pytest.fixture
def site(make_gateway, model_server):
    """Makes sites; one attempt for each job unless the test says otherwise."""

    def make(kind=CHAT, settings=None, **keys):
        table = {"url": model_server.url(""), "dialect": kind.dialect, "max_attempts": 1, "concurrency": 64} | keys
        return Site(make_gateway({"m": table}, **(settings or {})), model_server.route(kind.path), kind)

    return make
