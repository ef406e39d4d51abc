"""Several gateways on one Redis: each has its own store and jobs, and any worker serves all of them."""

import subprocess
import sys
import time

import pytest

import answers
import redis_site
from contract import problem
from gateway import BINARY, JSON_TYPE
from redis_fixtures import (
    broker, kinds, make_worker, needs_redis, redis, redis_gateway, use_redis, use_ring, wait_idle, workers,
)  # fmt: skip
from waiting import fair, until

pytestmark = needs_redis

PENDING, RUNNING, COMPLETED = ("Updated", "PENDING"), ("Updated", "RUNNING"), ("Updated", "COMPLETED")
NOBODY = "01935f2e-0000-7000-8000-000000000000"


@pytest.fixture
def two(redis_gateway):
    """Two gateways whose model `far` is served by workers alone."""
    return redis_gateway({}, far=["far"]), redis_gateway({}, far=["far"])


@pytest.fixture
def route(model_server):
    return model_server.route("/w1/far")


# One worker for all of them


def test_a_worker_serves_two_gateways(redis, two, make_worker, route):
    make_worker("w1", {"far": {}})
    jobs = [(gateway, gateway.submit("far", {"n": n})) for n in range(10) for gateway in two]
    for gateway, job in jobs:
        assert gateway.ended(job)["status"] == "COMPLETED"
        assert kinds(gateway.events(job)) == [PENDING, RUNNING, COMPLETED]
    assert len(route.calls) == 20
    wait_idle(redis)


def test_a_worker_serves_two_gateways_fairly(two, make_worker, route):
    """The one that has many jobs and came first does not make the other one wait for all of them."""
    make_worker("w1", {"far": {}})
    first, second = two
    # Now the worker knows both.
    for gateway in two:
        gateway.ended(gateway.submit("far"), timeout=30)
    warm = len(route.calls)
    route.answer_with(answers.after(0.1))
    route.hold()
    many = [first.submit("far", {"n": n}) for n in range(30)]
    route.wait_calls(warm + 1)
    few = [second.submit("far", {"n": n}) for n in range(8)]
    route.release()
    for gateway, jobs in ((first, many), (second, few)):
        assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    order = [call.header("X-Inference-Id") for call in route.calls[warm:]]
    last = max(order.index(job["id"]) for job in few)
    assert last < 22, f"the last of 8 jobs came as number {last + 1} of 38; by turns it is number 17 or so"


def test_both_list_the_worker(two, make_worker):
    make_worker("w1", {"far": {"concurrency": 2}})
    for gateway in two:
        until(lambda: "w1" in workers(gateway), "the worker")
        assert workers(gateway)["w1"]["slots"] == 2


def test_concurrency_of_a_worker_holds_over_all_gateways(two, make_worker, route):
    make_worker("w1", {"far": {"concurrency": 2}})
    route.hold()
    jobs = [(gateway, gateway.submit("far")) for _ in range(5) for gateway in two]
    route.wait_calls(2)
    route.release()
    for gateway, job in jobs:
        assert gateway.ended(job)["status"] == "COMPLETED"
    assert route.most_active == 2


def test_a_cancel_reaches_the_job_of_its_own_gateway(two, make_worker, route):
    make_worker("w1", {"far": {"concurrency": 2}})
    route.hold()
    jobs = [gateway.submit("far") for gateway in two]
    calls = {call.header("X-Inference-Id"): call for call in route.wait_calls(2)}
    two[1].wait_status(jobs[1], "RUNNING")
    assert two[1].cancel(jobs[1]).json()["status"] == "CANCELLED"
    assert calls[jobs[1]["id"]].dropped.wait(60)
    assert not calls[jobs[0]["id"]].dropped.is_set()
    route.release()
    assert two[0].ended(jobs[0])["status"] == "COMPLETED"


def test_a_gateway_that_is_gone_holds_up_nobody(redis, two, make_worker, route):
    """Its jobs at the worker wait for it, those of the other one go on."""
    make_worker("w1", {"far": {"concurrency": 2}})
    route.hold()
    gone, left = two
    kept = gone.submit("far")
    route.wait_calls(1)
    waiting = [gone.submit("far", {"n": n}) for n in range(3)]
    gone.kill()
    route.release()
    jobs = [left.submit("far", {"n": n}) for n in range(20)]
    assert {left.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    gone.restart()
    record = gone.ended(kept)
    assert (record["status"], record["attempt"]) == ("COMPLETED", 1)
    # One of them may have been on its way to the worker, and no one answered it.
    assert {gone.ended(job, timeout=20)["status"] for job in waiting} == {"COMPLETED"}
    assert len(route.calls) == 24
    wait_idle(redis)


# Whose job it is


def test_each_lists_its_own_jobs_alone(two):
    jobs = [{gateway.submit("far")["id"] for _ in range(3)} for gateway in two]
    for gateway, own in zip(two, jobs):
        listed = gateway.get("/v1/inference").json()["results"]
        assert {record["id"] for record in listed} == own


def test_each_has_its_own_idempotency_keys(two):
    headers = JSON_TYPE | {"Idempotency-Key": "k"}
    ids = {gateway.post("/v1/async/inference", {"model": "far"}, headers).json()["id"] for gateway in two}
    assert len(ids) == 2


def misdirected(gateway, owner_url, method, target):
    """Checks that a gateway sends anyone who asks for a foreign job to its owner."""
    body = b"" if method == "POST" else None
    answer = gateway.request(method, target, body)
    assert answer.status == 421, (answer.status, answer.body)
    assert answer.headers["Location"] == owner_url + target
    problem(answer, 421, owner_url)


FOREIGN = [
    ("GET", "self", ""), ("HEAD", "self", ""), ("GET", "self", "?wait=1s"), ("DELETE", "self", ""),
    ("GET", "input", ""), ("GET", "output", ""), ("GET", "events", ""), ("GET", "events", "?last_event_id=1"),
    ("GET", "history", "?after=1&limit=2"), ("POST", "cancel", ""), ("POST", "self", "/retry"),
]  # fmt: skip


@pytest.mark.parametrize("ended", [False, True], ids=["pending", "ended"])
def test_a_job_of_another_gateway_is_421_with_its_url(two, make_worker, ended):
    owner, other = two
    job = owner.submit("far")
    if ended:
        make_worker("w1", {"far": {}})
        owner.ended(job)
    for method, name, rest in FOREIGN:
        if method == "HEAD":
            answer = other.request("HEAD", job["urls"][name])
            assert (answer.status, answer.headers["Location"]) == (421, owner.url + job["urls"][name])
        else:
            misdirected(other, owner.url, method, job["urls"][name] + rest)
    assert owner.record(job)["status"] == ("COMPLETED" if ended else "PENDING"), "nothing was done to it"


def test_the_public_url_of_the_owner_is_named(redis_gateway):
    owner = redis_gateway({}, far=["far"], public_url="http://gate-a.example:8484")
    other = redis_gateway({}, far=["far"])
    job = owner.submit("far")
    misdirected(other, "http://gate-a.example:8484", "GET", job["urls"]["self"])


def test_a_job_of_nobody_is_404(two):
    for gateway in two:
        for target in (f"/v1/inference/{NOBODY}", f"/v1/async/notify/{NOBODY}", f"/v1/notifications/{NOBODY}"):
            problem(gateway.get(target), 404)


def test_a_deleted_job_is_410_at_its_owner(two, make_worker):
    make_worker("w1", {"far": {}})
    owner, _ = two
    job = owner.ended(owner.submit("far"))
    assert owner.request("DELETE", job["urls"]["self"]).status == 204
    problem(owner.get(job["urls"]["self"]), 410)


def test_a_job_of_a_gateway_that_has_stopped_is_404_until_it_is_back(two):
    owner, other = two
    job = owner.submit("far")
    misdirected(other, owner.url, "GET", job["urls"]["self"])
    owner.stop()
    until(lambda: other.get(job["urls"]["self"]).status == 404, "404", 15)
    use_redis(owner.restart())
    until(lambda: other.get(job["urls"]["self"]).status == 421, "421 again")
    misdirected(other, owner.url, "GET", job["urls"]["self"])


@pytest.mark.parametrize("trouble", ["killed", "frozen"])
def test_without_redis_a_foreign_job_is_404_and_quickly(redis, two, trouble):
    """No one knows then whose it is; and no answer waits for Redis."""
    owner, other = two
    job = owner.submit("far")
    redis.kill() if trouble == "killed" else redis.freeze()
    begun = time.monotonic()
    status = other.get(job["urls"]["self"]).status
    assert time.monotonic() - begun < fair(2, begun)
    assert status in (404, 421)
    use_ring(other)
    begun = time.monotonic()
    assert other.get(job["urls"]["self"]).status == 404
    assert time.monotonic() - begun < fair(0.25, begun)


def test_a_restart_of_one_is_nothing_to_the_other(two, make_worker, route):
    make_worker("w1", {"far": {"concurrency": 2}})
    route.hold()
    jobs = [gateway.submit("far") for gateway in two]
    route.wait_calls(2)
    two[0].stop()
    assert broker(two[1]) == "redis"
    two[0].restart()
    route.release()
    records = [gateway.ended(job) for gateway, job in zip(two, jobs)]
    assert {(record["status"], record["attempt"]) for record in records} == {("COMPLETED", 1)}
    assert len(route.calls) == 2


# A site


def run(*options, within):
    """Runs `redis_site.py` for at most `within` seconds; its exit code, and what it printed."""
    command = [sys.executable, redis_site.__file__, "--bin", str(BINARY), *options]
    site = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        printed, _ = site.communicate(timeout=within)
    finally:
        if site.poll() is None:
            site.terminate()  # it ends its processes
            site.communicate(timeout=60)
    print(printed)
    return site.returncode, printed


@pytest.mark.long
@pytest.mark.timeout(200)
def test_a_site_of_six_hosts_keeps_its_promises_through_all_that_happens_to_it():
    """A short version; by hand `redis_site.py` freezes a worker for 30 s and cuts Redis off for 20 s."""
    code, printed = run("--freeze", "16", "--cut", "6", "--calm", "2", within=600)
    assert code == 0, printed
