"""What the tests with Redis share. A test file imports the fixtures that it uses, and `needs_redis` as `pytestmark`."""

import contextlib
import datetime
import json
import threading
import time

import pytest

import answers
import wire
from conftest import FAST, _close, _run
from conftest import _gateways as _shown_with_a_failure
from gateway import BINARY, toml
from ports import free_port
from redis_server import MISSING, RedisServer
from redis_worker import Worker
from waiting import fair, until

needs_redis = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

AWAY = "redis unreachable since "


@pytest.fixture(scope="module")
def shared_redis(tmp_path_factory):
    """The Redis that the tests of one file share."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def gateway(request, shared_redis, _shared_server, tmp_path_factory):
    """As that of conftest.py, in whose place it stands where it is imported, but with `shared_redis`."""
    wanted = sum("model" in item.fixturenames for item in request.session.items if item.path == request.path)
    models = {f"m{n:03}": {"url": _shared_server.url(f"/m{n:03}")} | FAST for n in range(max(wanted, 1))}
    settings = {"broker": {"kind": "auto", "redis": shared_redis.url}}
    each = at_low_port(_run(tmp_path_factory.mktemp("gateway"), models, settings))
    each.free_models = sorted(models)
    try:
        yield use_redis(each.start())
    finally:
        _shared_server.let_go()
        _close(each)


@pytest.fixture
def redis(tmp_path):
    """A Redis of the test's own, without a password."""
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.close()


@pytest.fixture
def redis_gateway(redis, make_gateway, model_server):
    """Starts gateways that use `redis`: `redis_gateway({"ocr": {}}, far=["sar"], broker={"kind": "redis"})`.

    Models in `far` have no `url` here: only workers serve them. It returns once Redis is in use.
    """
    made = []

    def make(models, far=(), started=True, broker=(), **settings):
        settings["broker"] = {"kind": "auto", "redis": redis.url} | dict(broker)
        gateway = make_gateway(models | dict.fromkeys(far, {}), started=False, **settings)
        for name in far:
            del gateway.models[name]["url"]
        at_low_port(gateway)
        made.append(gateway)
        return use_redis(gateway.start()) if started else gateway

    yield make
    model_server.let_go()
    with contextlib.ExitStack() as stack:  # all of them, even if one did not end well
        for each in made:
            stack.callback(each.close)


@pytest.fixture
def make_worker(redis, model_server):
    """Starts workers on `redis`: `make_worker("w1", {"far": {"concurrency": 2}})`.

    Without a `url` a model has the path `/WORKER/MODEL` of `model_server`, so its calls are told apart.
    """
    made = []

    def make(name, models, started=True, broker=(), worker=None, **settings):
        models = {each: {"url": model_server.url(f"/{name}/{each}")} | keys for each, keys in models.items()}
        settings = {"log_format": "text", "drain_timeout": "5s"} | settings
        settings["broker"] = {"redis": redis.url} | dict(broker)
        settings["worker"] = {"name": name} if worker is None else worker
        settings["models"] = models
        each = Worker(BINARY, redis.folder.parent / f"worker-{name}", name, toml(settings))
        made.append(each)
        _shown_with_a_failure.append(each)
        return each.start() if started else each

    yield make
    model_server.let_go()
    with contextlib.ExitStack() as stack:
        for each in made:
            stack.callback(_shown_with_a_failure.remove, each)
            stack.callback(each.close)


def at_low_port(gateway):
    """Below the ephemeral ports: a gateway that is away must not find its port taken when it comes back."""
    gateway.port = free_port()
    gateway.address = ("127.0.0.1", gateway.port)
    gateway.url = f"http://127.0.0.1:{gateway.port}"
    return gateway


# What is used, and what is there


def broker(gateway):
    """The broker that readyz names; readyz is 200 with any of them."""
    answer = gateway.get("/readyz")
    assert answer.status == 200, answer
    return answer.json()["broker"]


def use_redis(gateway, timeout=10.0):
    """The gateway, once it uses Redis."""
    until(lambda: broker(gateway) == "redis", "the use of Redis", timeout, 0.02)
    return gateway


def use_ring(gateway, timeout=10.0):
    """The gateway, once it uses the ring in the place of its Redis."""
    until(lambda: broker(gateway).startswith(f"ring ({AWAY}"), "the use of the ring", timeout, 0.02)
    return gateway


def status(gateway):
    """`/v1/status`, not held against the description: `Description` closes `Model`, which this page extends."""
    answer = wire.exchange(gateway.address, "GET", "/v1/status")
    assert answer.status == 200, answer
    return answer.json()


def workers(gateway):
    """The workers that are alive, by name."""
    answer = gateway.get("/v1/workers")
    assert answer.status == 200, answer
    return {each["name"]: each for each in answer.json()["results"]}


def wait_idle(redis, prefix="inferq", timeout=10.0):
    """Returns once nothing is left in the streams and groups below the prefix."""
    until(lambda: not redis.leftovers(prefix), f"an idle Redis: {redis.leftovers(prefix)}", timeout, 0.05)


# Calls that wait


class Sluice:
    """An answer for `Route.answer_with` that holds each call until its job is let through."""

    def __init__(self, then=None):
        self._then, self._open, self._jobs = then or answers.ok(), False, set()

    def let_through(self, *jobs):
        """`jobs`: ids; all of them, and those to come, if none is named."""
        if jobs:
            self._jobs |= set(jobs)
        else:
            self._open = True

    def __call__(self, exchange):
        job = exchange.call.header("X-Inference-Id")
        while not (self._open or job in self._jobs or exchange.route.over.is_set()):
            if exchange.client_has_gone(patience=0.01):
                return exchange.close()
        self._then(exchange)


# Time


def within(seconds, condition, every=0.02):
    """The first true value of `condition()`, or what it is after so many seconds: for who asserts later."""
    begun = time.monotonic()
    while not (value := condition()) and time.monotonic() - begun < fair(seconds, begun):
        time.sleep(every)
    return value


def stays(condition, what, seconds, every=0.05):
    """Fails, naming `what`, if `condition()` is ever false within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"no longer: {what}"
        time.sleep(every)


def since(text):
    """The seconds of the epoch that stand in `ring (redis unreachable since ...: why)`."""
    return datetime.datetime.fromisoformat(text.partition(" since ")[2].split(": ")[0].rstrip(")")).timestamp()


class Watch(contextlib.AbstractContextManager):
    """Asks for readyz all the time, and keeps what it said: (seconds on the monotonic clock, status, broker)."""

    def __init__(self, gateway, every=0.02):
        self.seen = []
        self._gateway, self._every, self._over = gateway, every, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(20)

    def _run(self):
        while not self._over.wait(self._every):
            try:
                answer = wire.exchange(self._gateway.address, "GET", "/readyz")
                self.seen.append((time.monotonic(), answer.status, answer.json().get("broker", "")))
            except (OSError, wire.http.client.HTTPException, ValueError) as error:
                self.seen.append((time.monotonic(), repr(error), ""))

    def first(self, condition, after=0.0):
        """When `condition(broker)` was first true; None if never."""
        return next((at for at, _, broker in list(self.seen) if at >= after and condition(broker)), None)


# The log


def said_of_redis(gateway, *levels):
    """How often each message about Redis stands in the log of a gateway, by message."""
    counts = {}
    for line in gateway.log_lines(*levels):
        if "redis" in line.lower():
            message = json.loads(line)["message"]
            counts[message] = counts.get(message, 0) + 1
    return counts


# Events


def kinds(events):
    return [event.kind for event in events]


def exact(text):
    """JSON with its numbers as they are written."""
    return json.loads(text, parse_int=str, parse_float=str)


def as_published(event):
    """What an event of a stream looks like on its channel."""
    return {"id": str(event.id)} | exact(event.data_line)
