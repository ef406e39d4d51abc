"""Workers on other hosts: what they take, what they report, and what becomes of their jobs when anything fails."""

import json
import re
import signal
import socket
import subprocess
import time

import pytest

import answers
import wire
from contract import KIB, MIB
from gateway import BINARY, JSON_TYPE, environment, toml
from ports import free_port
from redis_fixtures import (
    Sluice, kinds, make_worker, needs_redis, redis, redis_gateway, stays, use_redis, use_ring, wait_idle,
    workers,
)  # fmt: skip
from redis_server import Link
from waiting import fair, until

pytestmark = needs_redis

BYTES = bytes(range(256))
PENDING, RUNNING, COMPLETED = ("Updated", "PENDING"), ("Updated", "RUNNING"), ("Updated", "COMPLETED")
LOST = 15.0  # seconds until the jobs of a dead worker run elsewhere


@pytest.fixture
def far(redis_gateway):
    """A gateway whose one model, `far`, is served by workers alone."""
    return redis_gateway({}, far=["far"])


@pytest.fixture
def route(model_server):
    """What worker `w1` calls for its model `far`."""
    return model_server.route("/w1/far")


@pytest.fixture
def second(model_server):
    """What worker `w2` calls for its model `far`."""
    return model_server.route("/w2/far")


def running(gateway, route, count=1, answer=None, **options):
    """Jobs that run at a worker whose model server holds its answers, with `answer` if given."""
    route.answer_with(answer) if answer else route.hold()
    jobs = [gateway.submit("far", {"n": n}, **options) for n in range(count)]
    route.wait_calls(count)
    for job in jobs:
        gateway.wait_status(job, "RUNNING")
    return jobs


def interruption(events):
    """The message of the one event that says that an attempt was interrupted."""
    told = [event.data["message"] for event in events[1:] if event.kind == PENDING]
    assert len(told) == 1, kinds(events)
    assert "interrupted" in told[0].lower(), told
    return told[0]


# A job


def test_a_model_without_a_url_is_served_by_a_worker(far, make_worker, route):
    route.answer_with(answers.ok(b'{"predicted_layers":[{"uri":"a"}]}'))
    job = far.submit("far", {"n": 1})
    stays(lambda: far.record(job)["status"] == "PENDING", "without a worker the job is PENDING", 1.0)
    make_worker("w1", {"far": {}})
    record = far.ended(job)
    assert (record["status"], record["attempt"]) == ("COMPLETED", 1)
    assert record["output"] == {"predicted_layers": [{"uri": "a"}]} and record["predicted_layers"] == [{"uri": "a"}]
    assert kinds(far.events(job)) == [PENDING, RUNNING, COMPLETED]
    assert [call.body for call in route.calls] == [b'{"n": 1}']


def test_the_model_server_beside_a_worker_sees_what_it_would_see_of_the_gateway(far, make_worker, route):
    make_worker("w1", {"far": {"headers": {"X-Extra": "from the worker's file"}}})
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"Content-Type": "application/json", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    job = far.post("/v1/async/inference", {"model": "far", "input": [1]}, headers).json()
    far.ended(job)
    [call] = route.calls
    assert (call.method, call.target, call.body) == ("POST", "/w1/far", b"[1]")
    expected = {
        "Content-Type": "application/json", "X-Inference-Id": job["id"], "X-Event-Id": job["event_id"],
        "X-Attempt": "1", "Idempotency-Key": job["id"], "X-Extra": "from the worker's file",
    }  # fmt: skip
    assert {name: call.header(name) for name in expected} == expected
    assert call.header("X-Notify-Url") == far.url + "/v1/notifications" and call.header("X-Notify-Token")
    assert call.header("traceparent").split("-")[1] == trace


@pytest.mark.parametrize("size", [0, 64 * KIB, 64 * KIB + 1, 4 * MIB])
def test_a_body_comes_through_byte_for_byte(far, make_worker, route, size):
    make_worker("w1", {"far": {}})
    body = (BYTES * (size // 256 + 1))[:size]
    job = far.submit_bytes("far", body, "image/png")
    assert far.ended(job)["status"] == "COMPLETED"
    assert (route.calls[0].body, route.calls[0].header("Content-Type")) == (body, "image/png")


@pytest.mark.parametrize("size", [0, 64 * KIB, 64 * KIB + 1, 4 * MIB])
def test_an_answer_comes_back_byte_for_byte(far, make_worker, route, size):
    make_worker("w1", {"far": {}})
    body = (BYTES * (size // 256 + 1))[:size]
    route.answer_with(answers.ok(body, "application/octet-stream"))
    job = far.ended(far.submit("far"))
    output = far.get(job["urls"]["output"])
    assert (job["status"], output.body) == ("COMPLETED", body)
    assert output.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("size", [10, 100 * KIB])
def test_an_encoded_answer_keeps_its_encoding(far, make_worker, route, size):
    make_worker("w1", {"far": {}})
    route.answer_with(answers.ok(b"\x1f" * size, headers=[("Content-Encoding", "gzip")]))
    job = far.ended(far.submit("far"))
    assert (job["output"]["content_encoding"], job["output"]["bytes"]) == ("gzip", size)
    assert "gzip" in job["output_note"]
    output = far.get(job["urls"]["output"])
    assert (output.body, output.headers["Content-Encoding"]) == (b"\x1f" * size, "gzip")


def test_a_large_json_answer_has_its_layers(far, make_worker, route):
    make_worker("w1", {"far": {}})
    route.answer_with(answers.ok(b'{"predicted_layers":[{"a":1.10}],"pad":"%s"}' % (b"x" * 200 * KIB)))
    job = far.ended(far.submit("far"))
    assert job["predicted_layers"] == [{"a": 1.10}] and len(job["output"]["pad"]) == 200 * KIB


def test_a_large_body_does_not_lie_in_redis(redis, far, make_worker, route):
    jobs = [far.submit_bytes("far", BYTES * 4096) for _ in range(2)]
    until(redis.streams, "an offer")
    with redis.client() as client:
        held = sum(client("MEMORY", "USAGE", key, "SAMPLES", 0) for key in redis.keys("inferq*"))
    assert held < 256 * KIB, f"{held} bytes in Redis for bodies of 1 MiB"
    make_worker("w1", {"far": {}})
    assert {far.ended(job)["status"] for job in jobs} == {"COMPLETED"}


def test_progress_from_beside_a_worker_reaches_the_listeners(far, make_worker, route):
    make_worker("w1", {"far": {}})
    [job] = running(far, route)
    [call] = route.calls
    url = call.header("X-Notify-Url").removeprefix(far.url)
    with far.listen(job) as stream:
        stream.events(2)
        for detail_type, detail in (
            ("Inf:Task:Notify", {"message": "half", "progress": 0.5}),
            ("Inf:Task:LayerReady", {"predicted_layers": [{"uri": "early"}]}),
        ):
            body = {"event_id": job["event_id"], "detail_type": detail_type, "detail": detail}
            answer = far.post(url, body, JSON_TYPE | {"X-Notify-Token": call.header("X-Notify-Token")})
            assert answer.status == 201, answer
        route.release()
        events = wire.parse(stream.to_end())
    assert kinds(events) == [PENDING, RUNNING, ("Notify", "RUNNING"), ("LayerReady", "RUNNING"), COMPLETED]
    assert far.record(job)["predicted_layers"] == [{"uri": "early"}]


def test_a_failure_is_repeated_through_a_worker(far, make_worker, route):
    make_worker("w1", {"far": {}})
    route.answer_with(answers.status(500, body=b"busy"), answers.ok())
    job = far.submit("far")
    record = far.ended(job)
    assert (record["status"], record["attempt"], record["error"]) == ("COMPLETED", 2, None)
    events = far.events(job)
    assert kinds(events) == [PENDING, RUNNING, ("Error", "RUNNING"), PENDING, RUNNING, COMPLETED]
    assert (events[2].data["error"]["status"], events[2].data["error"]["body"]) == (500, "busy")
    assert [call.header("X-Attempt") for call in route.calls] == ["1", "2"]


@pytest.mark.parametrize("answer, code", [
    (answers.status(400), "http_error"), (answers.closed(), "bad_response"), (answers.half_body(), "bad_response"),
    (answers.garbage(), "bad_response"), (answers.hang(), "timeout"),
])  # fmt: skip
def test_a_failure_for_good_has_its_code(far, make_worker, route, answer, code):
    make_worker("w1", {"far": {}})
    route.answer_with(answer)
    record = far.ended(far.submit("far", max_attempts=1, timeout="500ms"))
    assert (record["status"], record["error"]["code"], record["error"]["attempt"]) == ("ERROR", code, 1)


def test_a_timeout_of_the_workers_model_ends_the_attempt(far, make_worker, route):
    make_worker("w1", {"far": {"timeout": "500ms"}})
    route.answer_with(answers.hang())
    record = far.ended(far.submit("far", max_attempts=1))
    assert (record["status"], record["error"]["code"]) == ("ERROR", "timeout")
    assert route.calls[0].dropped.wait(60)


# Which worker, and how many at a time


def test_a_worker_is_listed_with_what_it_serves_and_does(redis_gateway, make_worker, model_server):
    gateway = redis_gateway({}, far=["far", "sar"])
    worker = make_worker("w1", {"far": {"concurrency": 2}, "sar": {}})
    [job] = running(gateway, model_server.route("/w1/far"))
    until(lambda: workers(gateway)["w1"]["jobs"] == [job["id"]], "the job in the list of workers")
    listed = workers(gateway)
    assert listed.keys() == {"w1"}
    assert sorted(listed["w1"]["models"]) == ["far", "sar"] and listed["w1"]["slots"] == 3
    assert isinstance(listed["w1"]["host"], str) and listed["w1"]["host"]
    model_server.route("/w1/far").release()
    gateway.ended(job)
    until(lambda: workers(gateway)["w1"]["jobs"] == [], "no job in the list of workers")
    worker.stop()
    until(lambda: not workers(gateway), "an empty list of workers")


def test_the_command_line_and_metrics_show_the_workers(far, make_worker):
    make_worker("rack-7", {"far": {}})
    until(lambda: "rack-7" in workers(far), "the worker")
    shown = subprocess.run([BINARY, "status", "--url", far.url], capture_output=True, text=True, timeout=30)
    assert "rack-7" in shown.stdout
    assert re.search(r"^inferq_\w*worker\w*(\{.*\})? [1-9]", far.get("/metrics").body.decode(), re.MULTILINE)


def test_a_worker_without_a_name_has_the_hosts(far, make_worker):
    make_worker("unnamed", {"far": {}}, worker={})
    until(lambda: workers(far).keys() == {socket.gethostname()}, "the host's name")


def test_concurrency_is_per_worker(far, make_worker, route, second):
    for name in ("w1", "w2"):
        make_worker(name, {"far": {"concurrency": 2}})
    route.hold(), second.hold()
    jobs = [far.submit("far", {"n": n}) for n in range(9)]
    route.wait_calls(2), second.wait_calls(2)
    until(lambda: [far.record(job)["status"] for job in jobs].count("RUNNING") == 4, "four that run")
    stays(lambda: route.active + second.active == 4, "no more than four run", 0.5)
    route.release(), second.release()
    assert {far.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert (route.most_active, second.most_active) == (2, 2)
    assert len(route.calls) + len(second.calls) == 9


def test_a_gateways_own_slots_work_beside_those_of_a_worker(redis_gateway, make_worker, model_server, route):
    gateway = redis_gateway({"far": {"concurrency": 2}})
    make_worker("w1", {"far": {"concurrency": 3}})
    here = model_server.route("/far")
    here.hold(), route.hold()
    jobs = [gateway.submit("far", {"n": n}) for n in range(8)]
    here.wait_calls(2), route.wait_calls(3)
    stays(lambda: here.active + route.active == 5, "five run", 0.5)
    here.release(), route.release()
    assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert len(here.calls) + len(route.calls) == 8


def test_a_worker_takes_jobs_of_its_models_only(redis_gateway, make_worker, model_server):
    gateway = redis_gateway({"near": {}}, far=["far", "other"])
    make_worker("w1", {"far": {}, "unknown": {}})
    waiting = gateway.submit("other")
    jobs = [gateway.submit(model) for model in ("near", "far", "near", "far")]
    assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert len(model_server.route("/near").calls) == len(model_server.route("/w1/far").calls) == 2
    assert gateway.record(waiting)["status"] == "PENDING"


def test_a_worker_runs_jobs_by_priority_then_by_age(far, make_worker, route):
    make_worker("w1", {"far": {}})
    jobs = running(far, route)
    order = [100, 0, 5, -5, 5, 0, 99]
    jobs += [far.submit("far", {"n": n}, priority=priority) for n, priority in enumerate(order)]
    route.release()
    for job in jobs:
        far.ended(job)
    assert [call.body for call in route.calls[1:]] == [b'{"n": %d}' % n for n in (0, 6, 2, 4, 1, 5, 3)]


def test_a_paused_model_gives_workers_nothing(far, make_worker, route):
    make_worker("w1", {"far": {}})
    far.post("/v1/models/far/pause", b"")
    job = far.submit("far")
    stays(lambda: far.record(job)["status"] == "PENDING", "a paused model's job is PENDING", 1.0)
    far.post("/v1/models/far/resume", b"")
    assert far.ended(job)["status"] == "COMPLETED"


def test_nothing_is_left_in_redis_when_a_worker_has_done_its_jobs(redis, far, make_worker, route):
    make_worker("w1", {"far": {"concurrency": 4}})
    route.answer_with(answers.status(500), answers.status(400), answers.ok(bytes(200 * KIB), "image/png"), answers.ok())
    jobs = [far.submit("far", {"n": n}) for n in range(40)] + [far.submit_bytes("far", BYTES * 1024)]
    for job in jobs[::5]:
        far.cancel(job)
    for job in jobs:
        far.ended(job)
    wait_idle(redis)


# Cancel


def test_a_cancel_stops_the_call_at_the_worker(far, make_worker, route):
    make_worker("w1", {"far": {}})
    [job] = running(far, route)
    assert far.cancel(job).json()["status"] == "CANCELLED"
    assert route.calls[0].dropped.wait(60), "the model server sees the connection closed"
    route.release()
    assert far.ended(far.submit("far"))["status"] == "COMPLETED", "the slot is free again"
    assert far.record(job)["status"] == "CANCELLED"


def test_a_pending_job_that_is_cancelled_never_reaches_a_worker(far, make_worker, route):
    make_worker("w1", {"far": {}})
    [first] = running(far, route)
    pending = [far.submit("far", {"pending": n}) for n in range(4)]
    for job in pending:
        assert far.cancel(job).json()["status"] == "CANCELLED"
    route.release()
    far.ended(first), far.ended(far.submit("far", "last"))
    assert [call.body for call in route.calls] == [b'{"n": 0}', b'"last"']


# A stop of the worker


def test_sigterm_drains(far, make_worker, route):
    worker = make_worker("w1", {"far": {}})
    [job] = running(far, route)
    worker.terminate()
    late = far.submit("far", "late")
    stays(lambda: worker.is_running, "it waits for its attempt", 0.5)
    route.release()
    worker.wait_stopped()
    record = far.ended(job)
    assert (record["status"], record["attempt"]) == ("COMPLETED", 1)
    assert far.record(late)["status"] == "PENDING" and len(route.calls) == 1, "it takes nothing new"


def test_past_drain_timeout_a_job_is_put_back_as_interrupted(far, make_worker, route, second):
    worker = make_worker("w1", {"far": {}}, drain_timeout="500ms")
    [job] = running(far, route, max_attempts=1)
    make_worker("w2", {"far": {}})
    begun = time.monotonic()
    worker.stop()
    assert route.calls[0].dropped.wait(60)
    record = far.ended(job)
    assert time.monotonic() - begun < fair(8, begun), "at once: no heartbeat has to grow old"
    assert (record["status"], record["attempt"]) == ("COMPLETED", 2), "an interruption does not count"
    events = far.events(job)
    assert kinds(events) == [PENDING, RUNNING, PENDING, RUNNING, COMPLETED] and interruption(events)
    assert len(second.calls) == 1


def test_a_stop_of_an_idle_worker_is_quick(far, make_worker):
    worker = make_worker("w1", {"far": {}})
    begun = time.monotonic()
    worker.stop()
    assert time.monotonic() - begun < fair(3, begun)


def test_a_worker_that_starts_again_takes_jobs_again(far, make_worker, route):
    worker = make_worker("w1", {"far": {}})
    far.ended(far.submit("far"))
    worker.stop()
    job = far.submit("far")
    worker.start()
    assert far.ended(job)["status"] == "COMPLETED"


# The death of a worker


@pytest.mark.timeout(90)
def test_the_jobs_of_a_killed_worker_run_elsewhere(far, make_worker, route, second):
    worker = make_worker("w1", {"far": {"concurrency": 2}})
    jobs = running(far, route, 2, max_attempts=1)
    make_worker("w2", {"far": {"concurrency": 2}})
    with far.listen(jobs[0]) as stream:
        stream.events(2)
        worker.kill()
        killed = time.monotonic()
        second.wait_calls(2, LOST)
        assert time.monotonic() - killed > 5, "the heartbeat decides, and it is not old at once"
        events = wire.parse(stream.to_end())
    records = [far.ended(job) for job in jobs]
    assert {(record["status"], record["attempt"]) for record in records} == {("COMPLETED", 2)}, "it does not count"
    assert kinds(events) == [PENDING, RUNNING, PENDING, RUNNING, COMPLETED] and interruption(events)
    until(lambda: workers(far).keys() == {"w2"}, "the dead one to be gone from the list")


@pytest.mark.timeout(90)
def test_a_killed_worker_that_starts_again_is_another_one(far, make_worker, route):
    """Its own name does not make it the one that has the jobs: they run again, and once."""
    worker = make_worker("w1", {"far": {}})
    [job] = running(far, route, max_attempts=1)
    worker.kill()
    route.release()
    worker.start()
    record = far.ended(job, timeout=LOST + 5)
    assert (record["status"], record["attempt"], len(route.calls)) == ("COMPLETED", 2, 2)


@pytest.mark.timeout(120)
def test_what_a_worker_says_after_30_s_in_a_freeze_changes_nothing(redis, far, make_worker, route, second):
    """One of its jobs has ended elsewhere by then, the other still runs there."""
    worker = make_worker("w1", {"far": {"concurrency": 2}})
    first, other = Sluice(answers.ok(b'{"from":"w1"}')), Sluice(answers.ok(b'{"from":"w2"}'))
    jobs = running(far, route, 2, first)
    make_worker("w2", {"far": {"concurrency": 2}})
    second.answer_with(other)
    worker.freeze()
    frozen = time.monotonic()
    first.let_through()
    for call in route.calls:
        assert call.answered.wait(60), "the answers wait for the worker in its kernel"
    calls = second.wait_calls(2, LOST)
    assert [call.header("X-Attempt") for call in calls] == ["2", "2"]
    ended, still = jobs
    other.let_through(ended["id"])
    before = far.ended(ended), far.events(ended)
    assert before[0]["output"] == {"from": "w2"}
    until(lambda: time.monotonic() - frozen > 30, "30 s in a freeze", 40)
    worker.thaw()
    until(lambda: "w1" in workers(far) and not workers(far)["w1"]["jobs"], "the worker, awake and idle")
    told = far.record(still)
    assert (told["status"], told["attempt"]) == ("RUNNING", 2)
    assert (far.record(ended), far.events(ended)) == before
    other.let_through()
    record = far.ended(still)
    assert (record["status"], record["attempt"], record["output"]) == ("COMPLETED", 2, {"from": "w2"})
    assert kinds(far.events(still)) == [PENDING, RUNNING, PENDING, RUNNING, COMPLETED]
    route.hold(), second.hold()
    more = [far.submit("far", {"more": n}) for n in range(4)]
    route.wait_calls(4), second.wait_calls(4)
    route.release(), second.release()
    assert {far.ended(job)["status"] for job in more} == {"COMPLETED"}, "it works on as before"
    wait_idle(redis)


# A restart of the gateway


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("answered", ["while it is away", "after its return"])
def test_a_restart_of_the_gateway_keeps_what_runs_at_a_worker(redis, far, make_worker, route, number, answered):
    make_worker("w1", {"far": {}})
    [job] = running(far, route, max_attempts=1)
    with far.listen(job) as stream:
        seen = stream.events(2)
    if number is signal.SIGTERM:
        far.stop()
    else:
        far.kill()
    if answered == "while it is away":
        route.release()
        assert route.calls[0].answered.wait(60)
    far.restart()
    if answered == "after its return":
        stays(lambda: far.record(job)["status"] == "RUNNING", "the job goes on", 1.0)
        route.release()
    record = far.ended(job)
    assert (record["status"], record["attempt"], len(route.calls)) == ("COMPLETED", 1, 1)
    assert kinds(far.events(job, last=seen[-1].id)) == [COMPLETED]
    wait_idle(redis)


def test_a_job_at_a_worker_can_be_cancelled_after_a_restart_of_the_gateway(far, make_worker, route):
    make_worker("w1", {"far": {}})
    [job] = running(far, route)
    far.kill()
    far.restart()
    assert far.cancel(job).json()["status"] == "CANCELLED"
    assert route.calls[0].dropped.wait(60)


def test_a_token_holds_over_a_restart_of_the_gateway(far, make_worker, route):
    make_worker("w1", {"far": {}})
    [job] = running(far, route)
    [call] = route.calls
    far.kill()
    far.restart()
    body = {"event_id": job["event_id"], "detail_type": "Inf:Task:Notify", "detail": {"progress": 0.5}}
    answer = far.post("/v1/notifications", body, JSON_TYPE | {"X-Notify-Token": call.header("X-Notify-Token")})
    assert answer.status == 201, answer


@pytest.mark.timeout(90)
def test_a_worker_that_died_while_the_gateway_was_away_is_found_dead(far, make_worker, route, second):
    worker = make_worker("w1", {"far": {}})
    [job] = running(far, route, max_attempts=1)
    far.kill()
    worker.kill()
    make_worker("w2", {"far": {}})
    far.restart()
    record = far.ended(job, timeout=LOST + 5)
    assert (record["status"], record["attempt"], len(second.calls)) == ("COMPLETED", 2, 1)


# Redis away while a job runs at a worker


@pytest.mark.timeout(120)
def test_20_s_without_redis_interrupt_nothing(redis, redis_gateway, make_worker, model_server, route):
    """It loses its data, too. The gateway has a slot of its own, which must not run what the worker has."""
    gateway = redis_gateway({"far": {}})
    make_worker("w1", {"far": {"concurrency": 2}})
    here, sluice = model_server.route("/far"), Sluice()
    here.hold(), route.answer_with(sluice)
    jobs = [gateway.submit("far", {"n": n}, max_attempts=1) for n in range(3)]
    here.wait_calls(1), route.wait_calls(2)
    gone = time.monotonic()
    redis.kill()
    use_ring(gateway)
    # One of the two is answered during the outage, the other one after it.
    answered = route.calls[0].header("X-Inference-Id")
    sluice.let_through(answered)
    assert route.calls[0].answered.wait(60)
    here.release()
    more = gateway.submit("far", "more")
    assert gateway.ended(more)["status"] == "COMPLETED"
    assert {call.body for call in here.calls[1:]} == {b'"more"'}, "left alone until Redis is back"
    until(lambda: time.monotonic() - gone > 20, "20 s without Redis", 30)
    redis.start()
    use_redis(gateway)
    until(lambda: "w1" in workers(gateway), "the worker's return")
    gateway.ended(next(job for job in jobs if job["id"] == answered))
    sluice.let_through()
    records = [gateway.ended(job) for job in jobs]
    assert {(record["status"], record["attempt"]) for record in records} == {("COMPLETED", 1)}
    assert (len(here.calls), len(route.calls)) == (2, 2)
    wait_idle(redis)


@pytest.mark.parametrize(
    "side, trouble", [("gateway", Link.silence), ("worker", Link.cut), ("worker", Link.silence)],
    ids=["gateway, silent", "worker, cut", "worker, silent"],
)  # fmt: skip
def test_a_bad_line_of_one_of_them_interrupts_nothing(redis, redis_gateway, make_worker, route, side, trouble):
    """For less than the age at which a heartbeat counts as dead."""
    with Link(redis.address) as link:
        lines = {"gateway": {}, "worker": {}} | {side: {"redis": link.url}}
        gateway = redis_gateway({}, far=["far"], broker=lines["gateway"])
        make_worker("w1", {"far": {"concurrency": 2}}, broker=lines["worker"])
        sluice = Sluice()
        jobs = running(gateway, route, 2, sluice, max_attempts=1)
        trouble(link)
        begun = time.monotonic()
        sluice.let_through(jobs[0]["id"])
        if side == "gateway":
            use_ring(gateway)
        until(lambda: time.monotonic() - begun > 3, "some time of trouble")
        link.mend()
        use_redis(gateway)
        sluice.let_through()
        records = [gateway.ended(job, timeout=15) for job in jobs]
        assert {(record["status"], record["attempt"]) for record in records} == {("COMPLETED", 1)}
        assert len(route.calls) == 2


def test_a_worker_that_is_killed_while_redis_is_away_is_found_dead_after_its_grace(
    redis, redis_gateway, make_worker, route, second
):
    """No one is declared dead while Redis is away; after its return a worker has `worker_grace` to show itself."""
    gateway = redis_gateway({}, far=["far"], broker={"worker_grace": "3s"})
    worker = make_worker("w1", {"far": {}})
    [job] = running(gateway, route, max_attempts=1)
    make_worker("w2", {"far": {}})
    redis.kill()
    worker.kill()
    use_ring(gateway)
    stays(lambda: gateway.record(job)["status"] == "RUNNING", "nobody is dead while Redis is away", 2.0)
    redis.start()
    record = gateway.ended(job, timeout=3 + LOST)
    assert (record["status"], record["attempt"], len(second.calls)) == ("COMPLETED", 2, 1)


@pytest.mark.parametrize("name", ["flushed", "emptied"])
def test_a_redis_that_loses_its_data_interrupts_nothing(redis, far, make_worker, route, name):
    make_worker("w1", {"far": {"concurrency": 2}})
    jobs = running(far, route, 2, max_attempts=1)
    pending = [far.submit("far", {"pending": n}) for n in range(5)]
    redis.command("FLUSHALL") if name == "flushed" else redis.restart()
    # Longer than two looks of the gateway at the heartbeats, which are gone for a moment.
    stays(lambda: {far.record(job)["status"] for job in jobs} == {"RUNNING"}, "they run", 3)
    use_redis(far)
    route.release()
    records = [far.ended(job, timeout=15) for job in jobs + pending]
    assert {(record["status"], record["attempt"]) for record in records} == {("COMPLETED", 1)}
    assert len(route.calls) == 7
    wait_idle(redis)


# The start of a worker


def test_a_worker_that_cannot_reach_redis_keeps_trying_and_says_so(redis, far, make_worker, route):
    redis.kill()
    worker = make_worker("w1", {"far": {}}, started=False)
    worker.launch()
    until(lambda: re.search(r"Z (warning|error) .*redis", worker.log(), re.IGNORECASE), "a line that says so")
    assert worker.is_running and not worker.is_ready()
    redis.start()
    worker.wait_ready()
    assert far.ended(far.submit("far"))["status"] == "COMPLETED"
    assert len(re.findall(r"Z (?:warning|error) .*redis", worker.log(), re.IGNORECASE)) <= 2, "not for each attempt"


def test_a_worker_without_redis_stops_at_once(redis, make_worker):
    redis.kill()
    worker = make_worker("w1", {"far": {}}, started=False)
    worker.launch()
    until(worker.log, "its first words")
    begun = time.monotonic()
    worker.stop()
    assert time.monotonic() - begun < fair(4, begun)


def refused(tmp_path, settings):
    file = tmp_path / "worker.toml"
    file.write_text(toml(settings))
    ended = subprocess.run(
        [BINARY, "worker", "--config", file], capture_output=True, text=True, timeout=20, env=environment()
    )
    assert ended.returncode == 78, (ended.returncode, ended.stderr)
    return ended.stderr


@pytest.mark.parametrize("settings, says", [
    ({"models": {"far": {"url": "http://127.0.0.1:9/"}}}, "broker.redis"),
    ({"broker": {"redis": "redis://127.0.0.1:6379"}, "models": {"far": {}}}, "url"),
    ({"broker": {"redis": "redis://127.0.0.1:6379"}}, "models"),
    ({"broker": {"redis": "rediss://127.0.0.1:6379"}, "models": {"far": {"url": "http://127.0.0.1:9/"}}}, "TLS"),
])  # fmt: skip
def test_a_worker_that_could_do_nothing_exits_78(tmp_path, settings, says):
    assert says in refused(tmp_path, settings)


def test_secrets_and_payloads_never_stand_in_a_workers_log(redis, far, make_worker, route):
    secrets = {name: f"canary-{name}" for name in ("password", "header", "input", "output", "error")}
    redis.command("ACL", "SETUSER", "site", "on", ">" + secrets["password"], "~*", "&*", "+@all")
    worker = make_worker(
        "w1", {"far": {"headers": {"Authorization": secrets["header"]}}}, log_level="trace",
        broker={"redis": redis.url_with("site", secrets["password"])},
    )  # fmt: skip
    output = json.dumps(secrets["output"]).encode()
    route.answer_with(answers.status(500, body=secrets["error"].encode()), answers.ok(output))
    assert far.ended(far.submit("far", secrets["input"]))["status"] == "COMPLETED"
    tokens = [call.header("X-Notify-Token") for call in route.calls]
    worker.stop()
    assert worker.log()
    for secret in [*secrets.values(), *tokens]:
        assert secret not in worker.log()
