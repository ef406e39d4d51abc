"""What others have written into Redis: it is left out, counted and said once, and nothing stops for it."""

import json
import random
import re

import pytest

from redis_fixtures import (
    make_worker, needs_redis, redis, redis_gateway, stays, use_redis, workers,
)  # fmt: skip
from waiting import until

pytestmark = needs_redis

BIG = 2**63 - 1
JOB = "01a224b5-8b70-7000-b3d9-5c38e853b04b"
HEARTBEAT = {
    "name": "other", "host": "h", "slots": {"far": 1}, "busy": {}, "attempts": {}, "interval": 2000, "beat": 1, "boot": "b",
}  # fmt: skip


@pytest.fixture
def far(redis_gateway):
    """A gateway whose one model, `far`, is served by workers alone."""
    return redis_gateway({}, far=["far"])


def instance(redis):
    [gateway] = redis.command("SMEMBERS", "inferq:gateways")
    return gateway.decode()


def refused(gateway, what):
    found = re.search(rf'inferq_redis_refused_total{{what="{what}"}} (\d+)', gateway.get("/metrics").body.decode())
    return int(found[1])


def outages(gateway):
    return int(re.search(r"inferq_redis_outages_total (\d+)", gateway.get("/metrics").body.decode())[1])


def beat(redis, name, value):
    redis.command("SET", f"inferq:worker:{name}", value, "PX", 60_000)
    redis.command("SADD", "inferq:workers", name)


def test_a_heartbeat_of_this_version_is_taken(redis, far):
    """So that the ones below are refused for what is wrong with them."""
    beat(redis, "other", json.dumps(HEARTBEAT))
    until(lambda: "other" in workers(far), "the worker")


@pytest.mark.parametrize("change", [
    {"slots": {"far": BIG}}, {"slots": {"far": -BIG - 1}, "busy": {"far": BIG}}, {"slots": {"far": -1}},
    {"slots": {"far": 2**64}}, {"slots": {"far": 1e300}}, {"interval": 0}, {"name": "a\nb"}, {"attempts": {"x": ["y"]}},
], ids=json.dumps)  # fmt: skip
def test_a_heartbeat_with_impossible_numbers_is_nobodys(redis, far, make_worker, change):
    make_worker("w1", {"far": {}})
    until(lambda: "w1" in workers(far), "the worker")
    before = outages(far)
    beat(redis, "other", json.dumps(HEARTBEAT | change))
    until(lambda: refused(far, "heartbeat") >= 2, "the look at it, twice")
    assert workers(far).keys() == {"w1"}
    assert far.ended(far.submit("far"))["status"] == "COMPLETED"
    said = "heartbeat in redis is not understood"
    until(lambda: [line for line in far.log_lines("warning") if said in line], "a line that says so")
    assert far.log().count(said) == 1
    assert outages(far) == before


WORDS = [
    {"word": "take", "entry": "none", "model": "far"}, {"word": "take", "entry": "1-1", "model": "nobody's"},
    {"word": "give-back", "entry": "+", "model": "far"}, {"word": "dance"}, {},
    {"word": "failed", "code": "poisoned", "message": "x"},
    {"word": "failed", "code": "timeout", "message": "x", "retry_after_ms": str(BIG)},
]  # fmt: skip


def test_words_that_nobody_of_ours_says_end_nothing(redis, far, make_worker):
    make_worker("w1", {"far": {}})
    inbox, before = f"inferq:gateway:{instance(redis)}:in", outages(far)
    for fields in WORDS:
        named = {"worker": "q", "job": JOB, "lease": "1"} | fields
        redis.command("XADD", inbox, "*", *[each for pair in named.items() for each in pair])
    redis.command("XADD", inbox, "*", "worker", "q", "job", JOB, "lease", str(BIG), "word", "interrupted")
    redis.command("XADD", inbox, "*", b"\xff\xfe", b"\x00")
    until(lambda: refused(far, "word") >= 6, "the words to be refused")
    far.errors_expected = True  # one line, that a worker of another version speaks
    assert far.ended(far.submit("far"))["status"] == "COMPLETED"
    assert outages(far) == before
    until(lambda: far.log_lines("error"), "a line that says so")
    assert len(far.log_lines("error")) == 1
    assert redis.command("XLEN", inbox) == 0


def test_a_worker_whose_inbox_is_something_else_ends_nothing(redis, far, make_worker):
    """Its key is not a stream: no one can tell it anything, and no one else suffers."""
    make_worker("w1", {"far": {}})
    before = outages(far)
    redis.command("SET", "inferq:worker:q:in", "x")
    inbox = f"inferq:gateway:{instance(redis)}:in"
    redis.command("XADD", inbox, "*", "worker", "q", "job", JOB, "lease", "1", "word", "interrupted")
    until(lambda: refused(far, "key") == 1, "the key to be refused")
    assert far.ended(far.submit("far"))["status"] == "COMPLETED"
    assert outages(far) == before


def test_a_worker_leaves_out_gateways_and_offers_that_are_none(redis, far, make_worker):
    """Beside the real one: a gateway whose stream is a text, one that offers nonsense, and one that is none."""
    told = json.dumps({"url": "http://127.0.0.1:9", "models": ["far"], "session": "s", "patience": 10_000})
    spoiled, nonsense = "a" * 32, "b" * 32
    for name in (spoiled, nonsense, "no gateway"):
        redis.command("SET", f"inferq:gateway:{name}", told, "PX", 60_000)
        redis.command("SADD", "inferq:gateways", name)
    redis.command("SET", "inferq:gateway:" + "c" * 32, '{"url":[', "PX", 60_000)
    redis.command("SADD", "inferq:gateways", "c" * 32)
    redis.command("SET", f"inferq:gateway:{spoiled}:jobs:far", "x")
    stream = f"inferq:gateway:{nonsense}:jobs:far"
    redis.command("XGROUP", "CREATE", stream, "workers", "0", "MKSTREAM")
    redis.command("XADD", stream, "*", "job", JOB, "attempt", str(BIG + 1))
    worker = make_worker("w1", {"far": {}})
    worker.errors_expected = True  # one line, that a gateway of another version offers
    for _ in range(3):
        assert far.ended(far.submit("far"))["status"] == "COMPLETED"
    until(lambda: "a gateway offers something that this version does not understand" in worker.log(), "the line about the offer")
    assert "redis cannot be used" not in worker.log()
    assert worker.log().count("does not understand") == 1


@pytest.mark.timeout(90)
def test_whatever_stands_in_redis_jobs_go_on(redis, far, make_worker):
    """Two hundred random entries and heartbeats, made of what processes of ours write; the seed is in the name of a key."""
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    worker = make_worker("w1", {"far": {}})
    far.errors_expected = worker.errors_expected = True
    gateway, before = instance(redis), outages(far)
    pieces = ["", "0", "-1", "1", str(BIG), str(-BIG - 1), str(2**64), "1e999", "far", JOB, "1-1", "\x00", "é" * 300]
    names = ["worker", "job", "lease", "word", "entry", "model", "body", "type", "code", "message", "status", "attempt"]
    words = ["take", "give-back", "answered", "failed", "interrupted"]
    with redis.client() as client:
        for _ in range(200):
            fields = {name: chance.choice(pieces) for name in chance.sample(names, chance.randrange(1, 9))}
            fields["word"] = chance.choice(words)
            stream = f"inferq:gateway:{gateway}:" + chance.choice(["in", "in", "jobs:far"])
            client("XADD", stream, "*", *[each for pair in fields.items() for each in pair])
            name = f"x{chance.randrange(20)}"
            values = [chance.choice([0, -1, BIG, 1, "x", None, [], {}, 0.5, {"far": BIG}]) for _ in HEARTBEAT]
            told = HEARTBEAT | dict(chance.sample(list(zip(HEARTBEAT, values)), 2))
            client("SET", f"inferq:worker:{name}", json.dumps(told)[: chance.randrange(20, 400)], "PX", 5000)
            client("SADD", "inferq:workers", name)
    for _ in range(3):
        job = far.submit("far")
        assert far.ended(job, timeout=30)["status"] == "COMPLETED", f"seed {seed}"
    stays(lambda: far.is_running and worker.is_running, f"they run, seed {seed}", 3)
    assert outages(far) == before, f"seed {seed}"
    assert "redis cannot be used" not in worker.log(), f"seed {seed}"
