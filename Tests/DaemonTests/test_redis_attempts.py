"""Attempts at workers: each ends, none runs twice without need, and a job that kills its workers is found out."""

import http.server
import json
import threading

import pytest

import answers
from contract import KIB
from redis_fixtures import (
    Sluice, make_worker, needs_redis, redis, redis_gateway, stays, workers,
)  # fmt: skip
from redis_server import Link
from waiting import until

pytestmark = needs_redis


@pytest.fixture
def far(redis_gateway):
    """A gateway whose one model, `far`, is served by workers alone."""
    return redis_gateway({}, far=["far"])


@pytest.fixture
def route(model_server):
    """What worker `w1` calls for its model `far`."""
    return model_server.route("/w1/far")


# Large bodies that do not arrive


@pytest.fixture
def stranger():
    """An HTTP server that is not a gateway: `stranger.status` is what it answers to everything."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(self.server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = answer

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("status", [200, 403, 404, 409, 410])
def test_an_answer_that_the_public_url_leads_astray_is_a_failure(redis_gateway, make_worker, route, stranger, status):
    stranger.status = status
    gateway = redis_gateway({}, far=["far"], public_url=stranger.url)
    worker = make_worker("w1", {"far": {}})
    route.answer_with(answers.ok(b'"' + b"x" * 100 * KIB + b'"'))
    record = gateway.ended(gateway.submit("far", max_attempts=1), timeout=20)
    assert (record["status"], record["attempt"], record["error"]["code"]) == ("ERROR", 1, "bad_response")
    assert stranger.url in record["error"]["message"] and str(status) in record["error"]["message"]
    until(lambda: [line for line in worker.log().splitlines() if stranger.url in line and "public_url" in line],
          "a line that names the address")
    assert len(route.calls) == 1


@pytest.mark.timeout(60)
def test_an_input_that_the_public_url_leads_astray_is_a_failure(redis_gateway, make_worker, route, stranger):
    stranger.status = 404
    gateway = redis_gateway({}, far=["far"], public_url=stranger.url)
    make_worker("w1", {"far": {}})
    record = gateway.ended(gateway.submit("far", "x" * 100 * KIB, max_attempts=1), timeout=20)
    assert (record["status"], record["error"]["code"]) == ("ERROR", "bad_response")
    assert stranger.url in record["error"]["message"]
    assert not route.calls


# Intervals


@pytest.mark.timeout(60)
def test_a_heartbeat_that_is_too_slow_for_the_gateway_is_refused_with_a_sentence(far, make_worker, route):
    slow = make_worker("w1", {"far": {}}, broker={"heartbeat": "20s", "worker_timeout": "60s"})
    job = far.submit("far")
    said = "broker.heartbeat is more than half of"
    until(lambda: said in slow.log() and any(said in line for line in far.log_lines("warning")), "both to say so")
    stays(lambda: far.record(job)["status"] == "PENDING" and not route.calls, "no attempt without end", 3.0)
    assert not workers(far)
    make_worker("w2", {"far": {}})
    assert far.ended(job)["status"] == "COMPLETED"


@pytest.mark.timeout(60)
def test_a_slow_heartbeat_that_both_agree_on_interrupts_nothing(redis_gateway, make_worker, route):
    slow = {"heartbeat": "20s", "worker_timeout": "60s"}
    gateway = redis_gateway({}, far=["far"], broker={"worker_timeout": "60s"})
    make_worker("w1", {"far": {}}, broker=slow)
    route.answer_with(answers.after(9.0))
    record = gateway.ended(gateway.submit("far"), timeout=30)
    assert (record["status"], record["attempt"], len(route.calls)) == ("COMPLETED", 1, 1)


def just_beaten(redis):
    """Returns when a worker has just told of itself."""
    [worker] = redis.command("SMEMBERS", "inferq:workers")
    with redis.client() as client:
        def left():
            return client("PTTL", b"inferq:worker:" + worker)

        before = [left()]

        def is_new():
            before.append(left())
            return before[-1] > before[-2]

        until(is_new, "a heartbeat")


@pytest.mark.timeout(90)
@pytest.mark.parametrize("redis_went, seconds", [(False, 7), (True, 13)], ids=["line", "line and redis"])
def test_a_heartbeat_from_before_the_attempt_says_nothing_of_it(
    redis, redis_gateway, make_worker, route, redis_went, seconds
):
    """A worker that cannot reach Redis for a while has left its last heartbeat there, without the attempt that it has
    begun since. No one may take that for its word; and after an outage it has its grace to come back."""
    with Link(redis.address) as link:
        gateway = redis_gateway({}, far=["far"])
        make_worker("w1", {"far": {}}, broker={"redis": link.url, "heartbeat": "5s"})
        until(lambda: "w1" in workers(gateway), "the worker")
        route.hold()
        just_beaten(redis)
        job = gateway.submit("far")
        route.wait_calls(1)
        link.cut()
        if redis_went:
            redis.hang_up()
        stays(lambda: gateway.record(job)["status"] == "RUNNING", "the attempt goes on", seconds, every=0.2)
        link.mend()
        route.release()
        record = gateway.ended(job, timeout=20)
        assert (record["status"], record["attempt"], len(route.calls)) == ("COMPLETED", 1, 1)


# A reload


@pytest.mark.parametrize("size", [10, 100 * KIB], ids=["small", "large"])
def test_an_attempt_outlives_the_removal_of_its_model(redis_gateway, make_worker, route, size):
    gateway = redis_gateway({"other": {}}, far=["far"])
    make_worker("w1", {"far": {}})
    until(lambda: workers(gateway), "the worker")
    route.answer_with(answers.ok(b'{"predicted_layers":[{"a":"%s"}]}' % (b"x" * size)))
    route.hold()
    job = gateway.submit("far")
    route.wait_calls(1)
    gateway.wait_status(job, "RUNNING")
    del gateway.models["far"]
    gateway.reload()
    until(lambda: "configuration reloaded" in gateway.log(), "the reload")
    route.release()
    record = gateway.ended(job)
    assert (record["status"], record["attempt"], len(route.calls)) == ("COMPLETED", 1, 1)
    assert len(record["predicted_layers"]) == 1


# A worker that is in the wrong place


@pytest.mark.timeout(60)
def test_a_worker_that_sees_no_gateway_says_so(redis, far, make_worker):
    lost = make_worker("w1", {"far": {}}, broker={"redis": redis.url[:-1] + "5"})
    until(lambda: "no gateway is seen in this redis" in lost.log(), "a line that says so", timeout=20)
    assert "database=5" in lost.log()


@pytest.mark.timeout(60)
def test_a_worker_whose_models_nobody_has_says_so(far, make_worker):
    unwanted = make_worker("w1", {"near": {}})
    wanted = make_worker("w2", {"far": {}})
    until(lambda: "no gateway in this redis has a model of this worker" in unwanted.log(), "a line that says so", 20)
    assert "no gateway" not in wanted.log()


# The poison guard


@pytest.mark.timeout(150)
def test_a_job_that_kills_its_worker_each_time_ends_poisoned_and_its_neighbour_completes(far, make_worker, route):
    """Both are there at the first two deaths, and are suspects then; each runs alone, and one of them kills again."""
    worker, sluice = make_worker("w1", {"far": {"concurrency": 2}}), Sluice()
    route.answer_with(sluice)
    neighbour, killer = far.submit("far", "neighbour"), far.submit("far", "killer")
    for attempt in ("1", "2", "3"):
        until(lambda: (b'"killer"', attempt) in [(call.body, call.header("X-Attempt")) for call in route.calls],
              f"call {attempt}", 30)
        until(lambda: killer["id"] in json.dumps(workers(far)), "the worker to name it")
        if attempt == "2":
            sluice.let_through(neighbour["id"])
        worker.kill()
        worker.start()
    record = far.ended(killer, timeout=30)
    assert (record["status"], record["error"]["code"], record["attempt"]) == ("ERROR", "poisoned", 3)
    until(lambda: "its workers crashed while it ran" in far.log(), "a line that says so")
    assert far.record(neighbour)["status"] == "COMPLETED"
