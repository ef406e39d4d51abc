"""A Redis that fails, in every way that `redis_faults.py` knows: the ring takes over, and no one notices.

By hand, for longer: `python3 redis_flips.py --bin .build/debug/inferq --flips 100`.
"""

import concurrent.futures
import dataclasses
import subprocess
import sys
import threading
import time

import pytest

import redis_flips
import wire
from conftest import FAST, _close, _run
from contract import SLACK, when
from gateway import BINARY, FINAL, JSON_TYPE
from modelserver import ModelServer
from redis_faults import FAULTS, FIRST_PASSWORD
from redis_fixtures import (
    Watch, at_low_port, broker, make_worker, needs_redis, redis, redis_gateway, said_of_redis, since, status,
    use_redis, use_ring, wait_idle, within, workers,
)  # fmt: skip
from redis_server import Link, RedisServer
from waiting import as_quick_as, fair, until

pytestmark = [needs_redis, pytest.mark.timeout(120)]

CLIENTS, SUBMITS, LASTS = 4, 120, 2.0  # of the load while a fault lasts: clients, their submits, seconds


@dataclasses.dataclass
class Outage:
    """What clients saw of one fault, from before it struck until after it was mended."""

    fault: object
    struck: float = 0.0  # on the monotonic clock
    struck_at: float = 0.0  # in seconds of the epoch
    mended: float = 0.0
    usual: list = dataclasses.field(default_factory=list)  # (seconds, status), before it
    submits: list = dataclasses.field(default_factory=list)  # (seconds, status)
    records: list = dataclasses.field(default_factory=list)  # as they are in the end
    seen: list = dataclasses.field(default_factory=list)  # as in Watch
    calls: dict = dataclasses.field(default_factory=dict)  # how often, by job
    named: str = ""  # the broker while the fault lasted
    said: dict = dataclasses.field(default_factory=dict)  # of Redis in the log: how often, by message
    errors: list = dataclasses.field(default_factory=list)
    slowness: float = 1.0  # of this machine meanwhile

    @property
    def returned(self):
        """When Redis was in use again, for good; None if never."""
        others = [at for at, _, name in self.seen if name != "redis"]
        last = max(others, default=self.struck)
        return next((at for at, *_ in self.seen if at > last), None)

    @property
    def changes(self):
        """How often the broker was another one than before."""
        names = [name.partition(" ")[0] for *_, name in self.seen]
        return sum(earlier != later for earlier, later in zip(names, names[1:]))


def submit_for(gateway, seconds, clients=CLIENTS, count=SUBMITS):
    """Submits from several clients at an even pace: ([(seconds, status)], [records])."""
    begun, pace = time.monotonic(), seconds / count

    def submit(number):
        while time.monotonic() < begun + number * pace:
            time.sleep(pace / 4)
        sent = time.monotonic()
        body = b'{"model":"ocr","input":%d}' % number
        answer = wire.exchange(gateway.address, "POST", "/v1/async/inference", body, JSON_TYPE)
        return time.monotonic() - sent, answer.status, answer.status == 202 and answer.json()

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        results = list(pool.map(submit, range(count)))
    return [result[:2] for result in results], [record for *_, record in results if record]


def suffer(gateway, redis, route, fault):
    """Lets the fault strike in the middle of some load, and mends it. Asserts nothing: that is for the tests."""
    seen = Outage(fault)
    seen.records.append(gateway.ended(gateway.submit("ocr")))
    seen.usual, records = submit_for(gateway, LASTS / 2, count=SUBMITS // 2)
    seen.records += [gateway.ended(job) for job in records]
    before = len(route.calls)
    with Watch(gateway) as watch:
        first = threading.Thread(target=lambda: seen.records.extend(submit_for(gateway, 0.5, 2, 20)[1]))
        first.start()
        until(lambda: len(route.calls) > before + 5, "jobs on their way when the fault strikes")
        seen.struck, seen.struck_at = time.monotonic(), time.time()
        fault.strike(redis)
        seen.mended = time.monotonic()
        seen.submits, records = submit_for(gateway, LASTS)
        first.join()
        jobs, seen.records = seen.records + records, []
        if fault.lasts:
            within(10, lambda: watch.first(lambda name: name.startswith("ring ("), seen.struck))
            seen.named = broker(gateway)
        for job in jobs:
            within(10, lambda: gateway.record(job)["status"] in FINAL)
            seen.records.append(gateway.record(job))
        if fault.lasts:
            fault.mend(redis)
            seen.mended = time.monotonic()
        asked = time.monotonic()
        within(15, lambda: watch.seen[-1][0] > asked and watch.seen[-1][2] == "redis")
        seen.records.append(gateway.ended(gateway.submit("ocr")))
    for call in route.calls:
        job = call.header("X-Inference-Id")
        seen.calls[job] = seen.calls.get(job, 0) + 1
    seen.seen = watch.seen
    seen.said = said_of_redis(gateway, "warning", "error", "critical")
    seen.errors = gateway.error_lines()
    seen.slowness = fair(1.0, seen.struck)
    return seen


@pytest.fixture(scope="module", params=FAULTS.values(), ids=str)
def outage(request, tmp_path_factory):
    """One fault, from its beginning to its end; the tests look at it from several sides."""
    folder = tmp_path_factory.mktemp("outage")
    redis = RedisServer(folder / "redis", password=FIRST_PASSWORD).start()
    server = ModelServer()
    models = {"ocr": {"url": server.url("/ocr"), "concurrency": 4} | FAST}
    gateway = _run(folder, models, {"broker": {"kind": "auto", "redis": redis.url}})
    try:
        use_redis(at_low_port(gateway).start())
        yield suffer(gateway, redis, server.route("/ocr"), request.param)
    finally:
        server.close()
        try:
            _close(gateway)
        finally:
            redis.close()


lasting = pytest.mark.parametrize(
    "outage", [fault for fault in FAULTS.values() if fault.lasts], ids=str, indirect=True
)  # the first ones of all, so that pytest sees the same parameters


def test_submits_are_answered_202_all_the_time(outage):
    assert {status for _, status in outage.submits} == {202}


def test_submits_are_answered_as_quickly_as_ever(outage):
    usual, taken = ([seconds for seconds, _ in each] for each in (outage.usual, outage.submits))
    assert not as_quick_as(usual, taken, outage.slowness)


def test_jobs_complete_within_4_s(outage):
    assert {record["status"] for record in outage.records} == {"COMPLETED"}
    slow = {r["id"]: (when(r["finished_at"]) - when(r["created_at"])).total_seconds() for r in outage.records}
    assert max(slow.values()) < (4 + SLACK) * outage.slowness, sorted(slow.items(), key=lambda item: item[1])[-3:]


def test_each_job_is_called_once(outage):
    """No process has crashed, so there is no excuse for a second call."""
    assert outage.calls == {record["id"]: 1 for record in outage.records}
    assert {record["attempt"] for record in outage.records} == {1}


def test_readyz_is_200_all_the_time(outage):
    assert {status for _, status, _ in outage.seen} == {200}


@lasting
def test_readyz_names_the_ring_and_since_when(outage):
    assert outage.named.startswith("ring (redis unreachable since ") and outage.named.endswith(")")
    assert abs(since(outage.named) - outage.struck_at) < (2 + SLACK) * outage.slowness


@lasting
def test_the_ring_takes_over_within_2_s(outage):
    taken = next(at for at, _, name in outage.seen if at > outage.struck and name.startswith("ring ("))
    assert taken - outage.struck < (2 + SLACK) * outage.slowness


def test_redis_is_used_again_within_5_s(outage):
    assert outage.returned is not None, "not at all"
    assert outage.returned - outage.mended < 5 * outage.slowness


def test_the_broker_does_not_flap(outage):
    assert outage.changes == 2 if outage.fault.lasts else outage.changes <= 2


@lasting
def test_the_log_says_it_once(outage):
    assert outage.said, "nothing of Redis in the log"
    assert set(outage.said.values()) == {1}, outage.said


def test_nobody_is_asked_to_look(outage):
    assert not outage.errors


# What was under way


@pytest.mark.parametrize("fault", [FAULTS["killed"], FAULTS["frozen"], FAULTS["flushed"]], ids=str)
def test_an_attempt_of_the_gateway_goes_on(redis, redis_gateway, model_server, fault):
    gateway = redis_gateway({"ocr": {}})
    route = model_server.route("/ocr")
    route.hold()
    job = gateway.submit("ocr")
    route.wait_calls(1)
    with gateway.listen(job) as stream:
        stream.events(2)
        fault.strike(redis)
        if fault.lasts:
            use_ring(gateway)
        route.release()
        assert wire.parse(stream.to_end())[-1].status == "COMPLETED"
    fault.mend(redis)
    use_redis(gateway)
    assert (gateway.record(job)["attempt"], len(route.calls)) == (1, 1)


@pytest.mark.parametrize("fault", [FAULTS["killed"], FAULTS["frozen"], FAULTS["flushed"]], ids=str)
def test_what_was_offered_and_not_taken_is_offered_again(redis, redis_gateway, model_server, fault):
    gateway = redis_gateway({"ocr": {"concurrency": 2}})
    route = model_server.route("/ocr")
    route.hold()
    jobs = [gateway.submit("ocr", {"n": n}) for n in range(6)]
    route.wait_calls(2)
    fault.strike(redis)
    if fault.lasts:
        use_ring(gateway)
    route.release()
    assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert sorted(call.body for call in route.calls) == [b'{"n": %d}' % n for n in range(6)]
    fault.mend(redis)
    use_redis(gateway)
    wait_idle(redis)


@pytest.mark.parametrize("fault", [FAULTS["killed"], FAULTS["frozen"]], ids=str)
def test_a_cancel_during_an_outage_holds_after_it(redis, redis_gateway, model_server, fault):
    gateway = redis_gateway({"ocr": {}})
    route = model_server.route("/ocr")
    route.hold()
    running, pending = gateway.submit("ocr", 1), gateway.submit("ocr", 2)
    [call] = route.wait_calls(1)
    fault.strike(redis)
    for job in (pending, running):
        assert gateway.cancel(job).json()["status"] == "CANCELLED"
    assert call.dropped.wait(60)
    route.release()
    fault.mend(redis)
    use_redis(gateway)
    assert gateway.ended(gateway.submit("ocr", 3))["status"] == "COMPLETED"
    assert [call.body for call in route.calls] == [b"1", b"3"]
    assert {gateway.record(job)["status"] for job in (running, pending)} == {"CANCELLED"}


# The start


@pytest.mark.parametrize("fault", [FAULTS["killed"], FAULTS["frozen"], FAULTS["replica"]], ids=str)
def test_a_gateway_that_starts_without_its_redis_uses_the_ring_until_it_comes(redis, redis_gateway, fault):
    fault.strike(redis)
    gateway = redis_gateway({"ocr": {}}, started=False)
    gateway.start(timeout=5)
    job = gateway.submit("ocr")
    assert gateway.ended(job, timeout=4)["status"] == "COMPLETED"
    use_ring(gateway)
    fault.mend(redis)
    use_redis(gateway)
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"


@pytest.mark.parametrize("fault", [FAULTS["killed"], FAULTS["frozen"]], ids=str)
def test_a_stop_does_not_wait_for_a_redis_that_is_away(redis, redis_gateway, fault):
    gateway = redis_gateway({"ocr": {}})
    fault.strike(redis)
    begun = time.monotonic()
    gateway.stop()
    assert time.monotonic() - begun < fair(3 + SLACK, begun)


# A line that is bad


def test_a_redis_that_does_not_stay_is_not_used_again(redis, redis_gateway):
    """Two good answers in a row are 500 ms apart; it is there for less than that at a time."""
    with Link(redis.address) as link:
        gateway = redis_gateway({"ocr": {}}, broker={"redis": link.url})
        link.cut()
        use_ring(gateway)
        with Watch(gateway) as watch:
            rounds = 0
            while rounds < 6:
                mended = time.monotonic()
                link.mend()
                time.sleep(0.3)
                link.cut()
                lasted = time.monotonic() - mended
                time.sleep(0.6)
                assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
                rounds += 1
                if lasted > 0.45:   # This machine was too busy: it may well have been there for 500 ms.
                    use_ring(gateway)
                    watch.seen.clear()
                    rounds = 0
        assert {name.partition(" ")[0] for *_, name in watch.seen} == {"ring"}
        link.mend()
        use_redis(gateway)


def test_two_outages_stand_twice_in_the_log(redis, redis_gateway):
    gateway = redis_gateway({"ocr": {}})
    for _ in range(2):
        redis.kill()
        use_ring(gateway)
        redis.start()
        use_redis(gateway)
    said = said_of_redis(gateway, "warning", "error")
    assert said and set(said.values()) == {2}, said


def test_metrics_and_status_say_that_the_ring_is_used(redis, redis_gateway):
    gateway = redis_gateway({"ocr": {}})
    redis.kill()
    use_ring(gateway)
    metrics = gateway.get("/metrics").body.decode()
    assert 'inferq_broker_active{kind="ring"} 1' in metrics
    assert 'inferq_broker_active{kind="redis"} 1' not in metrics
    shown = subprocess.run([BINARY, "status", "--url", gateway.url], capture_output=True, text=True, timeout=30)
    assert "redis unreachable since" in shown.stdout
    assert "redis unreachable since" in status(gateway)["broker"]


def test_a_slow_line_does_not_slow_submits_or_listeners(redis, redis_gateway, model_server):
    """100 ms each way. A listener has its event when the submit is answered, not when Redis has heard of it."""
    with Link(redis.address, delay=0.0) as link:
        gateway = redis_gateway({"ocr": {}}, broker={"redis": link.url})
        model_server.route("/ocr").hold()

        def measure(count):
            taken = []
            for _ in range(count):
                begun = time.monotonic()
                job = gateway.submit("ocr", delay="1h")
                with gateway.listen(job) as stream:
                    stream.events(1)
                taken.append(time.monotonic() - begun)
            return sorted(taken)

        usual = measure(20)
        link.delay, begun = 0.1, time.monotonic()
        taken = measure(40)
        assert taken[-2] < max(fair(0.15, begun), 4 * usual[-2]), (taken[-5:], usual[-5:])
        model_server.route("/ocr").release()
        assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
        assert broker(gateway) == "redis"


def test_a_silent_line_is_a_redis_that_hangs(redis, redis_gateway):
    """What was on its way comes late, after the ring has done the work: it changes nothing."""
    with Link(redis.address) as link:
        gateway = redis_gateway({"ocr": {}}, broker={"redis": link.url})
        link.silence()
        jobs = [gateway.submit("ocr", {"n": n}) for n in range(10)]
        use_ring(gateway, timeout=2 + SLACK)
        records = [gateway.ended(job) for job in jobs]
        assert {(record["status"], record["attempt"]) for record in records} == {("COMPLETED", 1)}
        link.mend()
        use_redis(gateway)
        assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
        assert [gateway.record(job) for job in jobs] == records
        wait_idle(redis)


def test_a_subscriber_that_does_not_read_delays_nobody(redis, redis_gateway):
    redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 1")
    gateway = redis_gateway({"ocr": {"concurrency": 4}})
    with redis.subscribe("inferq:event:*"):
        jobs = [gateway.submit("ocr", metadata={"pad": "x" * 3000}) for _ in range(300)]
        assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert broker(gateway) == "redis"


def test_a_worker_and_the_gateway_share_a_model_through_an_outage(redis, redis_gateway, make_worker, model_server):
    """While Redis is away the gateway works alone; with it both do."""
    gateway = redis_gateway({"ocr": {"url": model_server.url("/here")}})
    make_worker("w1", {"ocr": {}})
    here, there = model_server.route("/here"), model_server.route("/w1/ocr")

    def both_work():
        before = len(here.calls), len(there.calls)
        here.hold(), there.hold()
        jobs = [gateway.submit("ocr") for _ in range(2)]
        here.wait_calls(before[0] + 1), there.wait_calls(before[1] + 1)
        here.release(), there.release()
        assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}

    both_work()
    redis.kill()
    use_ring(gateway)
    before = len(there.calls)
    jobs = [gateway.submit("ocr") for _ in range(10)]
    assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert len(there.calls) == before
    redis.start()
    use_redis(gateway)
    until(lambda: "w1" in workers(gateway), "the worker to come back")
    both_work()


# Under load


def run(*options, within):
    """Runs `redis_flips.py` for at most `within` seconds; its exit code, and what it printed."""
    command = [sys.executable, redis_flips.__file__, "--bin", str(BINARY), *options]
    flips = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        printed, _ = flips.communicate(timeout=within)
    finally:
        if flips.poll() is None:
            flips.terminate()  # it ends its processes
            flips.communicate(timeout=60)
    print(printed)
    return flips.returncode, printed


@pytest.mark.long
@pytest.mark.timeout(220)
def test_ten_flips_under_load_break_no_promise():
    code, printed = run("--flips", "10", "--seconds-max", "2.5", within=600)
    assert code == 0, printed


@pytest.mark.long
@pytest.mark.timeout(160)
def test_three_flips_with_a_worker_elsewhere_break_no_promise():
    code, printed = run("--flips", "3", "--workers", "1", "--seconds-max", "2.5", within=500)
    assert code == 0, printed
