"""A model server that is away or loading is not a failed job: its line waits, keeps its order, and goes on by itself."""

import os
import signal
import time

import pytest

import answers
from contract import SLACK
from modelserver import ModelServer
from waiting import until

LLAMA = answers.status(503, body=b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}')
ASKS = answers.status(503, retry_after=1)


def shown(gateway, name="ocr"):
    return gateway.get(f"/v1/models/{name}").json()


def wait_state(gateway, state, name="ocr", timeout=10.0):
    return until(lambda: (now := shown(gateway, name))["state"] == state and now, f"state {state}", timeout)


def statuses(gateway, job):
    return [event.status for event in gateway.events(job)]


def commits(gateway):
    lines = gateway.get("/metrics").body.decode().splitlines()
    return int(next(line for line in lines if line.startswith("inferq_store_commit_operations_count")).split()[1])


@pytest.fixture
def absent():
    """A model server whose port refuses connections until it listens."""
    server = ModelServer(listening=False)
    yield server
    server.close()


# Away


def test_jobs_wait_for_a_server_that_is_away_and_keep_their_order(make_gateway, absent):
    gateway = make_gateway({"ocr": {"url": absent.url(), "max_attempts": 1}})
    jobs = [gateway.submit("ocr", {"n": n}) for n in range(6)]
    model = wait_state(gateway, "down")
    assert "refused" in model["last_error"] and model["since"] and model["last_error_at"] >= jobs[0]["created_at"]
    assert 'inferq_model_up{model="ocr"} 0' in gateway.get("/metrics").body.decode()
    gateway.submit("ocr", {"n": "first"}, priority=1)
    time_of_return = time.monotonic()
    absent.listen()
    records = [gateway.ended(job) for job in jobs]
    assert {(record["status"], record["attempt"], record["error"]) for record in records} == {("COMPLETED", 1, None)}
    calls = absent.route().calls
    assert [call.body for call in calls] == [b'{"n": "first"}'] + [b'{"n": %d}' % n for n in range(6)]
    assert calls[0].started - time_of_return < 2 + SLACK
    assert {call.header("X-Attempt") for call in calls} == {"1"}
    model = shown(gateway)
    assert (model["state"], model["last_error"]) == ("up", None)


def test_the_refused_job_says_once_why_it_waits(make_gateway, absent):
    gateway = make_gateway({"ocr": {"url": absent.url()}})
    job = gateway.submit("ocr")
    later = gateway.submit("ocr")
    wait_state(gateway, "down")
    until(lambda: gateway.record(job)["status"] == "PENDING", "the job to be back")
    record = gateway.record(job)
    assert (record["attempt"], record["started_at"], record["error"]) == (0, None, None)
    before = commits(gateway)
    wait = gateway.get(f"/v1/inference/{job['id']}?wait=3s").json()
    assert wait["status"] == "PENDING"
    assert commits(gateway) == before, "probes of a port that refuses cost no disk writes"
    absent.listen()
    gateway.ended(later)
    assert statuses(gateway, job) == ["PENDING", "RUNNING", "PENDING", "RUNNING", "COMPLETED"]
    assert statuses(gateway, later) == ["PENDING", "RUNNING", "COMPLETED"]
    assert "no connection" in gateway.events(job)[2].data["message"]


def test_a_job_that_waits_can_be_cancelled_and_expires(make_gateway, absent):
    gateway = make_gateway({"ocr": {"url": absent.url()}})
    first = gateway.submit("ocr")
    wait_state(gateway, "down")
    short = gateway.submit("ocr", expires_in="300ms")
    record = gateway.ended(short)
    assert (record["status"], record["error"]["code"]) == ("ERROR", "expired")
    assert gateway.cancel(first).json()["status"] == "CANCELLED"
    absent.listen()
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
    assert len(absent.route().calls) == 1, "neither of the two was called"


def test_a_refused_first_job_still_expires(make_gateway, absent):
    gateway = make_gateway({"ocr": {"url": absent.url()}})
    record = gateway.ended(gateway.submit("ocr", expires_in="700ms"))
    assert (record["status"], record["error"]["code"], record["attempt"]) == ("ERROR", "expired", 0)


def test_submits_are_accepted_up_to_the_limit_while_the_server_is_away(make_gateway, absent):
    gateway = make_gateway({"ocr": {"url": absent.url(), "queue_limit": 3}})
    for _ in range(3):
        gateway.submit("ocr")
    until(lambda: shown(gateway)["pending"] == 3, "all three to be pending")
    assert gateway.post("/v1/async/inference", {"model": "ocr"}).status == 429


def test_a_restart_of_the_gateway_changes_nothing_for_jobs_that_wait(make_gateway, absent):
    gateway = make_gateway({"ocr": {"url": absent.url(), "max_attempts": 1}})
    jobs = [gateway.submit("ocr", {"n": n}) for n in range(3)]
    wait_state(gateway, "down")
    gateway.kill()
    gateway.start()
    wait_state(gateway, "down")
    absent.listen()
    assert [gateway.ended(job)["attempt"] for job in jobs][1:] == [1, 1]
    assert [call.body for call in absent.route().calls] == [b'{"n": %d}' % n for n in range(3)]


def test_a_server_that_dies_at_work_fails_that_job_alone(make_gateway):
    server = ModelServer()
    other = None
    try:
        gateway = make_gateway({"ocr": {"url": server.url(), "max_attempts": 1}})
        server.route().answer_with(answers.closed())
        server.route().hold()
        jobs = [gateway.submit("ocr", {"n": n}) for n in range(4)]
        server.route().wait_calls(1)
        port = server.stop_listening()
        server.route().release()
        record = gateway.ended(jobs[0])
        assert (record["status"], record["error"]["code"]) == ("ERROR", "bad_response")
        wait_state(gateway, "down")
        other = ModelServer(port=port)
        assert [gateway.ended(job)["status"] for job in jobs[1:]] == ["COMPLETED"] * 3
        assert [call.body for call in other.route().calls] == [b'{"n": %d}' % n for n in (1, 2, 3)]
    finally:
        server.close()
        if other:
            other.close()


# Loading


@pytest.mark.parametrize("answer", [LLAMA, ASKS], ids=["llama.cpp", "Retry-After"])
def test_503_that_says_loading_holds_the_line_at_any_time(gateway, model, answer):
    gateway.ended(gateway.submit(model.name))
    model.route.answer_with(answer, answer, answers.ok())
    jobs = [gateway.submit(model.name, {"n": n}, max_attempts=1) for n in range(3)]
    assert wait_state(gateway, "loading", model.name)["last_error"]
    records = [gateway.ended(job) for job in jobs]
    assert {(record["status"], record["attempt"]) for record in records} == {("COMPLETED", 1)}
    assert [call.body for call in model.calls[1:]] == [b'{"n": %d}' % n for n in (0, 0, 0, 1, 2)]
    assert {call.header("X-Attempt") for call in model.calls} == {"1"}
    assert statuses(gateway, jobs[0]) == ["PENDING", "RUNNING", "PENDING", "RUNNING", "COMPLETED"]
    assert statuses(gateway, jobs[1]) == ["PENDING", "RUNNING", "COMPLETED"]


def test_503_that_says_nothing_is_a_failed_attempt(gateway, model):
    model.route.answer_with(answers.status(503), answers.ok())
    assert gateway.ended(gateway.submit(model.name))["attempt"] == 2


def test_a_longer_pause_that_the_server_asks_for_is_kept(gateway, model):
    model.route.answer_with(answers.status(503, retry_after=3), answers.ok())
    gateway.ended(gateway.submit(model.name))
    first, second = model.calls
    assert 2.9 < second.started - first.ended < 3 + SLACK


def test_loading_for_longer_than_ready_timeout_is_shown_as_down_and_fails_nothing(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"ready_timeout": "1s", "max_attempts": 1}})
    route = model_server.route("/ocr")
    route.answer_with(LLAMA)
    job = gateway.submit("ocr")
    wait_state(gateway, "loading")
    wait_state(gateway, "down")
    route.answer_with(answers.ok())
    record = gateway.ended(job)
    assert (record["status"], record["attempt"]) == ("COMPLETED", 1)


def test_a_job_whose_503_is_its_own_holds_nobody_up_and_ends(make_gateway, model_server):
    gateway = make_gateway(
        {"ocr": {"ready_timeout": "1s", "max_attempts": 2, "backoff": {"base": "10ms", "cap": "10ms"}}}
    )
    route = model_server.route("/ocr")

    def answer(exchange):
        (LLAMA if exchange.call.body == b'"bad"' else answers.ok())(exchange)

    route.answer_with(answer)
    bad = gateway.submit("ocr", "bad")
    good = [gateway.submit("ocr", n) for n in range(3)]
    assert [gateway.ended(job)["status"] for job in good] == ["COMPLETED"] * 3
    record = gateway.ended(bad)
    assert (record["status"], record["error"]["status"], record["attempt"]) == ("ERROR", 503, 2)


def test_a_probe_that_takes_long_does_not_hold_the_others_up(make_gateway, absent):
    gateway = make_gateway({"ocr": {"url": absent.url(), "concurrency": 2}})
    absent.route().hold()
    jobs = [gateway.submit("ocr")]
    wait_state(gateway, "down")
    # Not before: its call could be on its way to a server that is away, and arrive as it comes back.
    jobs.append(gateway.submit("ocr"))
    absent.listen()
    absent.route().wait_calls(2)
    assert [gateway.record(job)["status"] for job in jobs] == ["RUNNING"] * 2, "both are seen to run"
    assert shown(gateway)["state"] == "up"
    absent.route().release()
    for job in jobs:
        assert gateway.ended(job)["attempt"] == 1


# Connections


def test_three_resets_in_a_row_of_one_job_are_a_failed_attempt(gateway, model):
    model.route.answer_with(answers.reset())
    record = gateway.ended(gateway.submit(model.name, max_attempts=1))
    assert (record["status"], record["attempt"], record["error"]["code"]) == ("ERROR", 1, "bad_response")
    assert len(model.calls) == 3
    model.route.answer_with(answers.reset(), answers.reset(), answers.ok())
    record = gateway.ended(gateway.submit(model.name, max_attempts=1))
    assert (record["status"], record["attempt"]) == ("COMPLETED", 1)


def test_a_connection_that_the_server_had_closed_costs_no_attempt(make_gateway):
    server = ModelServer()
    try:
        server.close_after_answers = True
        gateway = make_gateway({"ocr": {"url": server.url(), "max_attempts": 1}})
        jobs = [gateway.submit("ocr", n) for n in range(40)]
        records = [gateway.ended(job) for job in jobs]
        assert {(record["status"], record["attempt"]) for record in records} == {("COMPLETED", 1)}
        assert len(server.route().calls) == 40, "each was called once"
    finally:
        server.close()


def test_after_101_the_connection_serves_nobody(make_gateway, model_server):
    gateway = make_gateway({"up": {"max_attempts": 1}, "ocr": {"url": model_server.url("/ocr"), "max_attempts": 1}})
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    model_server.route("/up").answer_with(lambda exchange: exchange.send(upgrade))
    record = gateway.ended(gateway.submit("up"))
    assert (record["status"], record["error"]["status"]) == ("ERROR", 101)
    model_server.route("/up").answer_with(answers.ok())
    for _ in range(3):
        assert gateway.ended(gateway.submit("up"))["status"] == "COMPLETED"
        assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"


# Time


def test_an_answer_that_lies_in_the_socket_counts_although_its_deadline_has_passed(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"timeout": "4s", "concurrency": 4, "max_attempts": 3}})
    route = model_server.route("/ocr")
    route.hold()
    jobs = [gateway.submit("ocr") for _ in range(4)]
    route.wait_calls(4)
    os.kill(gateway.process.pid, signal.SIGSTOP)
    try:
        route.release()
        for call in route.calls:
            assert call.answered.wait(60)
        stopped_at = route.calls[0].started
        until(lambda: time.monotonic() - stopped_at > 5, "the deadlines to pass")
    finally:
        os.kill(gateway.process.pid, signal.SIGCONT)
    records = [gateway.ended(job) for job in jobs]
    assert {(record["status"], record["attempt"]) for record in records} == {("COMPLETED", 1)}
    assert len(route.calls) == 4
