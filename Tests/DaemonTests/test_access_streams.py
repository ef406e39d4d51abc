"""Streams whose key is taken away or ends, and those of others, which go on."""

import contextlib
import json
import threading
import time

import pytest

import wire
from accesspaths import JSON_BODY
from keyfile import from_now
from streamreader import Reader
from streamserver import CHAT, Feed
from waiting import fair, until

MODELS = {
    "llama": {"dialect": "openai", "concurrency": 64, "max_attempts": 1}, "held": {"concurrency": 64},
}  # fmt: skip
SETTINGS = {"access": {"failures": "10000/1m"}, "heartbeat": "60s"}
CLIENTS = {"bob": {}}
WITHIN = 1.0  # seconds from the reload to the end of each stream


class Holder:
    """A client of one test, with a job that runs and says its first piece."""

    def __init__(self, gateway, server, name, **table):
        self.gateway, self.name = gateway, name
        self.key = gateway.keys.add(name, **table)
        gateway.reload_keys()
        until(lambda: self.client().get("/v1/models").status == 200, "the new client")
        for path in HELD:
            server.route(path).hold()
        self.feed = Feed()
        server.route(CHAT.path).answer_with(self.feed)
        answer = wire.exchange(gateway.address, "POST", CHAT.path, b'{"model":"llama","stream":true}',
                               self.headers | JSON_BODY | {"Prefer": "respond-async"})  # fmt: skip
        assert answer.status == 202, answer.body
        self.job = json.loads(answer.body)
        self.feed.call()
        self.feed.send(CHAT.frames[0])

    def client(self):
        return self.gateway.client(key=self.key)

    @property
    def headers(self):
        return {"X-API-Key": self.key}

    def open(self, way):
        """A reader of one of the streams, open and with its head, or of a request that waits."""
        method, target, headers, body, begun = WAYS[way]
        names = {name: self.job[name] for name in ("id", "event_id")}
        reader = Reader(self.gateway.address, method, target.format(**names), body, self.headers | headers)
        if begun:
            reader.until(lambda got: begun.encode() in got)
        return reader


# Of the model "held": of its jobs, and of calls below its root.
HELD = ("/held", "/say")

# method, target, headers, body, and what is read of a stream before its key goes (nothing: it waits for its answer)
WAYS = {
    "events": ("GET", "/v1/async/notify/{event_id}", {}, b"", '"RUNNING"'),
    "events with the output": ("GET", "/v1/async/notify/{event_id}?output=true", {}, b"", "Inf:Task:Output"),
    "events of the reference gateway": ("GET", "/v2/async/notify/{id}", {}, b"", '"RUNNING"'),
    "output": ("GET", "/v1/inference/{id}/output?offset=0001_000000000000&live=true", {}, b"", "data: "),
    "all events": ("GET", "/v1/events", {"Last-Event-ID": "0"}, b"", ""),
    "record once ended": ("GET", "/v1/inference/{id}?wait=60s", {}, b"", ""),
    "submit that waits": ("POST", "/v1/inference", JSON_BODY, b'{"model":"held"}', ""),
    "call": ("POST", "/upstream/held/say", JSON_BODY, b"{}", ""),
}


@pytest.fixture
def holder(gateway, _shared_server):
    made = []

    def make(name, **table):
        made.append(Holder(gateway, _shared_server, name, **table))
        return made[-1]

    yield make
    for path in HELD:
        _shared_server.route(path).release()
    for each in made:
        with contextlib.suppress(OSError):  # the gateway may have hung up
            if not each.feed.is_over:
                each.feed.finish()


def has_arrived(gateway, way, job):
    """Requests that wait show by a job of theirs."""
    if way in ("submit that waits", "call"):
        found = gateway.get("/v1/inference?model=held&status=RUNNING").json()["results"]
        return any(each["client"] == job["client"] for each in found)
    return True


def to_the_end(reader):
    """Reads to the end, whichever it is; one without an answer too."""
    try:
        reader.to_end(10)
    except AssertionError:
        assert reader.ending, f"it is still open: {reader.body[-300:]!r}"


@pytest.mark.parametrize("way", WAYS)
def test_what_is_open_ends_with_its_key(gateway, holder, way):
    each = holder("gone-" + str(list(WAYS).index(way)))
    reader = each.open(way)
    until(lambda: has_arrived(gateway, way, each.job), "the request is at work")
    if way == "all events":
        assert reader.status == 200
    gateway.keys.revoke(each.name)
    begun = time.monotonic()
    gateway.reload_keys()
    to_the_end(reader)
    taken = time.monotonic() - begun
    assert taken < fair(WITHIN, begun) + 0.5, f"{taken:.2f} s"
    assert not reader.has_head or reader.status in (200, 401)
    assert b"COMPLETED" not in reader.body
    assert each.client().get("/v1/inference").status == 401, "and it cannot come back"


def test_the_streams_of_others_go_on(gateway, holder, model):
    each = holder("gone-beside")
    bob = gateway.client("bob")
    model.route.hold()
    job = bob.submit(model.name)
    with bob.listen(job) as stream, wire.Stream(gateway.address, "/v1/events", bob.headers) as everything:
        stream.events(2)
        hers = each.open("events")
        gateway.keys.revoke(each.name)
        gateway.reload_keys()
        to_the_end(hers)
        model.route.release()
        assert wire.parse(stream.to_end())[-1].status == "COMPLETED"
        everything.until(lambda received: b"COMPLETED" in received)


def test_a_stream_of_a_clients_other_key_goes_on(gateway, holder):
    each = holder("rotating")
    old = each.key
    each_old = each.open("events")
    each.key = gateway.keys.rotate("rotating")
    gateway.reload_keys()
    until(lambda: each.client().get("/v1/models").status == 200, "the new key")
    new = each.open("events")
    gateway.keys.revoke("rotating", old)
    gateway.reload_keys()
    to_the_end(each_old)
    each.feed.send(CHAT.mark)
    each.feed.finish()
    assert b'"COMPLETED"' in new.to_end().body and new.ending == "clean"
    assert b'"COMPLETED"' not in each_old.body


def test_a_reload_that_changes_nothing_ends_no_stream(gateway, holder):
    each = holder("staying")
    readers = [each.open(way) for way in ("events", "output")]
    for number in range(3):
        seen = gateway.keys.add(f"marker-{number}")
        gateway.reload_keys()
        until(lambda: gateway.client(key=seen).get("/v1/models").status == 200, "the reload")
    each.feed.send(CHAT.mark)
    each.feed.finish()
    for reader in readers:
        assert reader.to_end().ending == "clean"


def test_a_refused_reload_ends_no_stream(make_gateway, model_server):
    gateway = make_gateway({"ocr": {}}, clients={"alice": {}})
    gateway.errors_expected = True
    alice = gateway.client("alice")
    model_server.route("/ocr").hold()
    job = alice.submit("ocr")
    with alice.listen(job) as stream:
        stream.events(2)
        (gateway.keys.folder / "broken.toml").write_text("[keys.")
        gateway.reload()
        until(lambda: gateway.error_lines(), "the refusal")
        model_server.route("/ocr").release()
        assert wire.parse(stream.to_end())[-1].status == "COMPLETED"


@pytest.mark.parametrize("way", ["events", "output", "all events"])
def test_what_is_open_ends_when_its_key_expires(gateway, holder, way):
    expires = time.time() + 6
    each = holder("brief-" + str(list(WAYS).index(way)), expires=from_now(6))
    begun = time.monotonic()
    reader = each.open(way)
    assert reader.status == 200
    to_the_end(reader)
    late = time.time() - expires
    assert -0.5 < late < fair(WITHIN, begun) + 1, f"{late:.2f} s after its expiry"
    assert each.client().get("/v1/inference").json()["code"] == "key_expired"


def test_many_streams_end_at_once(gateway, holder):
    each = holder("many")
    readers = [each.open("events") for _ in range(100)]
    gateway.keys.revoke("many")
    begun = time.monotonic()
    gateway.reload_keys()
    threads = [threading.Thread(target=to_the_end, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun < fair(WITHIN, begun) + 1
    assert all(reader.ending for reader in readers)
    assert not any(b"COMPLETED" in reader.body for reader in readers)


def test_the_job_of_a_client_that_went_goes_on(gateway, holder):
    """What it submitted is in the store; a key that is lost by mistake costs no work."""
    each = holder("kept")
    gateway.keys.revoke("kept")
    gateway.reload_keys()
    until(lambda: each.client().get("/v1/models").status == 401, "the reload")
    each.feed.send(CHAT.mark)
    each.feed.finish()
    assert gateway.ended(each.job)["status"] == "COMPLETED"


@pytest.mark.parametrize("way", [way for way in WAYS if "{" in WAYS[way][1]])
def test_anothers_stream_is_404(gateway, holder, way):
    each = holder("watched-" + str(list(WAYS).index(way)))
    each.key = gateway.keys["bob"]
    method, target, _, _, _ = WAYS[way]
    with Reader(gateway.address, method, target.format(**each.job), headers=each.headers) as reader:
        assert reader.status == 404
