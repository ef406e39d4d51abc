"""Through workers too a model server that is away is not a failed job: who has none takes nothing, and others go on."""

import time

import pytest

import answers
from contract import SLACK
from modelserver import ModelServer
from redis_fixtures import make_worker, needs_redis, redis, redis_gateway, workers  # fmt: skip
from waiting import until

pytestmark = needs_redis


@pytest.fixture
def absent():
    """A model server whose port refuses connections until it listens."""
    server = ModelServer(listening=False)
    yield server
    server.close()


@pytest.fixture
def far(redis_gateway):
    """A gateway whose one model, `far`, is served by workers alone."""
    return redis_gateway({}, far=["far"])


def model(gateway, name="far"):
    return gateway.get(f"/v1/models/{name}").json()


def statuses(gateway, job):
    return [event.status for event in gateway.events(job)]


def test_jobs_wait_for_the_only_workers_server_in_their_order(far, make_worker, absent):
    make_worker("w1", {"far": {"url": absent.url()}})
    jobs = [far.submit("far", {"n": n}, max_attempts=1) for n in range(5)]
    until(lambda: "far" in workers(far).get("w1", {"away": {}})["away"], "the worker to say so")
    shown = until(lambda: (now := model(far))["state"] == "down" and now, "the gateway to say so")
    assert "no connection" in shown["last_error"] and shown["since"] and shown["concurrency"] == 0
    assert workers(far)["w1"]["away"]["far"]["state"] == "down"
    time_of_return = time.monotonic()
    absent.listen()
    for job in jobs:
        record = far.ended(job)
        assert (record["status"], record["attempt"], record["error"]) == ("COMPLETED", 1, None)
    calls = absent.route().calls
    assert [call.body for call in calls] == [b'{"n": %d}' % n for n in range(5)]
    assert calls[0].started - time_of_return < 2 + SLACK
    assert statuses(far, jobs[0])[-2:] == ["RUNNING", "COMPLETED"]
    assert statuses(far, jobs[4]) == ["PENDING", "RUNNING", "COMPLETED"]
    until(lambda: model(far)["state"] == "up" and not workers(far)["w1"]["away"], "all to be well again")


def test_a_worker_without_its_server_takes_nothing_from_one_that_has_one(far, make_worker, absent, model_server):
    make_worker("w1", {"far": {"url": absent.url()}})
    make_worker("w2", {"far": {}})
    jobs = [far.submit("far", {"n": n}, max_attempts=1) for n in range(30)]
    records = [far.ended(job) for job in jobs]
    assert {(record["status"], record["attempt"]) for record in records} == {("COMPLETED", 1)}
    assert len(model_server.route("/w2/far").calls) == 30
    shown = model(far)
    assert shown["state"] == "up", "somebody's server is"
    assert shown["last_error"].startswith("worker w1: no connection"), "and the page shows whose is not"


def test_a_slot_of_the_gateway_goes_on_beside_a_worker_without_its_server(redis_gateway, make_worker, absent, model_server):
    gateway = redis_gateway({"far": {}})
    make_worker("w1", {"far": {"url": absent.url()}})
    until(lambda: "w1" in workers(gateway), "the worker")
    jobs = [gateway.submit("far", {"n": n}, max_attempts=1) for n in range(30)]
    assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert len(model_server.route("/far").calls) == 30


def test_a_worker_goes_on_beside_a_gateway_without_its_server(redis_gateway, make_worker, absent, model_server):
    gateway = redis_gateway({"far": {"url": absent.url()}})
    make_worker("w1", {"far": {}})
    until(lambda: "w1" in workers(gateway), "the worker")
    jobs = [gateway.submit("far", {"n": n}, max_attempts=1) for n in range(30)]
    assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert len(model_server.route("/w1/far").calls) == 30


@pytest.mark.parametrize(
    "answer",
    [answers.status(503, retry_after=1), answers.status(503, body=b'{"error":{"message":"Loading model"}}')],
    ids=["Retry-After", "llama.cpp"],
)
def test_a_workers_server_that_loads_holds_the_line(far, make_worker, model_server, answer):
    route = model_server.route("/w1/far")
    route.answer_with(answer)
    make_worker("w1", {"far": {}})
    jobs = [far.submit("far", {"n": n}, max_attempts=1) for n in range(3)]
    until(lambda: model(far)["state"] == "loading", "the gateway to say so")
    route.wait_calls(2)
    route.answer_with(answers.ok())
    for job in jobs:
        record = far.ended(job)
        assert (record["status"], record["attempt"]) == ("COMPLETED", 1)
    bodies = [call.body for call in route.calls]
    assert bodies == [b'{"n": 0}'] * (len(bodies) - 2) + [b'{"n": 1}', b'{"n": 2}']
    assert {call.header("X-Attempt") for call in route.calls} == {"1"}
    assert statuses(far, jobs[0]) == ["PENDING", "RUNNING", "PENDING", "RUNNING", "COMPLETED"]


def test_a_workers_health_path_decides(far, make_worker, model_server):
    health, route = model_server.route("/health"), model_server.route("/w1/far")
    health.answer_with(answers.status(400))
    make_worker("w1", {"far": {"health": "/health"}})
    job = far.submit("far", max_attempts=1)
    until(lambda: model(far)["state"] == "down", "the gateway to say so")
    assert not route.calls and far.record(job)["status"] == "PENDING"
    health.answer_with(answers.ok())
    assert far.ended(job)["attempt"] == 1


def test_a_long_probe_of_a_worker_is_seen_to_run_and_holds_nobody_up(far, make_worker, absent):
    make_worker("w1", {"far": {"url": absent.url(), "concurrency": 2}})
    absent.route().hold()
    jobs = [far.submit("far") for _ in range(2)]
    until(lambda: model(far)["state"] == "down", "the gateway to say so")
    absent.listen()
    absent.route().wait_calls(2)
    until(lambda: [far.record(job)["status"] for job in jobs] == ["RUNNING"] * 2, "both to be seen running")
    absent.route().release()
    for job in jobs:
        assert far.ended(job)["attempt"] == 1
        assert statuses(far, job)[-2:] == ["RUNNING", "COMPLETED"]
