"""The setting `health` of a model: a path that is asked every 10 s, and what follows from it."""

import json
import time

import pytest

import answers
from contract import SLACK
from modelserver import ModelServer
from waiting import fair, until

# Two rounds, and some patience.
ROUNDS = 30


def shown(gateway, name="ocr"):
    return gateway.get(f"/v1/models/{name}").json()


def wait_state(gateway, state, name="ocr"):
    return until(lambda: (now := shown(gateway, name))["state"] == state and now, f"state {state}", ROUNDS, 0.1)


def test_the_state_follows_the_health_path(make_gateway, model_server):
    health = model_server.route("/health")
    health.answer_with(*[answers.status(500)] * 3, answers.ok())
    gateway = make_gateway({"ocr": {"health": "/health", "headers": {"Authorization": "Bearer canary-1"}}})
    model = wait_state(gateway, "down")
    assert "500" in model["last_error"]
    assert 'inferq_model_up{model="ocr"} 0' in gateway.get("/metrics").body.decode()
    asked = health.calls[0]
    assert (asked.method, asked.target, asked.body) == ("GET", "/health", b"")
    assert asked.header("Authorization") == "Bearer canary-1", "as a call has it"
    model = wait_state(gateway, "up")
    assert model["last_error"] is None

    def turns():
        lines = [json.loads(line) for line in gateway.log().splitlines()]
        return [line["message"] for line in lines if line.get("model") == "ocr"]

    until(lambda: "model server is back" in turns(), "the line that says so")
    assert turns() == ["model server is away, its jobs wait", "model server is back"], "once each"
    first, second, third, *_ = [call.started for call in health.calls]
    assert 0.2 < second - first < 0.5 + SLACK and 0.4 < third - second < 0.8 + SLACK, "soon, then less often"
    *_, well, next_one = health.wait_calls(5, ROUNDS)
    assert next_one.started - well.started > 8, "every 10 s while all is well"


def test_nothing_is_called_while_the_health_path_is_not_2xx(make_gateway, model_server):
    health, route = model_server.route("/health"), model_server.route("/ocr")
    health.answer_with(answers.status(400))
    gateway = make_gateway({"ocr": {"health": "/health", "max_attempts": 1}})
    jobs = [gateway.submit("ocr", {"n": n}) for n in range(5)]
    wait_state(gateway, "down")
    health.wait_calls(len(health.calls) + 3)
    assert not route.calls and shown(gateway)["pending"] == 5
    health.answer_with(answers.ok())
    for job in jobs:
        record = gateway.ended(job)
        assert (record["status"], record["attempt"]) == ("COMPLETED", 1)
        assert [event.status for event in gateway.events(job)] == ["PENDING", "RUNNING", "COMPLETED"]
    assert [call.body for call in route.calls] == [b'{"n": %d}' % n for n in range(5)]
    good = next(call for call in health.calls if call.answered.is_set() and call.started > health.calls[2].started)
    assert route.calls[0].started > good.started


def test_an_error_of_a_server_that_is_not_ready_is_not_the_jobs(make_gateway, model_server):
    """As MLServer does it: 400 to calls while a model loads, and 400 of its health path."""
    health, route = model_server.route("/health"), model_server.route("/ocr")
    gateway = make_gateway({"ocr": {"health": "/health", "max_attempts": 1}})
    gateway.ended(gateway.submit("ocr"))
    health.answer_with(answers.status(400))
    route.answer_with(answers.status(400, body=b'{"error":"Model x is not ready yet."}'), answers.ok())
    jobs = [gateway.submit("ocr", {"n": n}) for n in range(3)]
    wait_state(gateway, "down")
    health.answer_with(answers.ok())
    assert {(record["status"], record["attempt"]) for record in map(gateway.ended, jobs)} == {("COMPLETED", 1)}
    route.answer_with(answers.status(400))
    assert gateway.ended(gateway.submit("ocr"))["status"] == "ERROR", "a ready server means it"


@pytest.mark.parametrize("end", ["cancel", "timeout"])
def test_a_server_is_asked_after_its_client_has_hung_up(make_gateway, model_server, end):
    """It may not survive that: mlx_lm does not."""
    health, route = model_server.route("/health"), model_server.route("/ocr")
    gateway = make_gateway({"ocr": {"health": "/health", "max_attempts": 1}})
    wait_state(gateway, "up")
    route.answer_with(answers.hang(), answers.ok())
    first = gateway.submit("ocr", **({"timeout": "1s"} if end == "timeout" else {}))
    route.wait_calls(1)
    other = gateway.submit("ocr")
    asked = len(health.calls)
    health.answer_with(answers.status(500))
    if end == "cancel":
        gateway.cancel(first)
    wait_state(gateway, "down")
    assert len(route.calls) == 1 and gateway.record(other)["status"] == "PENDING"
    assert health.calls[asked].started - route.calls[0].started < 9, "at once, not at the next look"
    health.answer_with(answers.ok())
    assert gateway.ended(other)["status"] == "COMPLETED"


def test_a_paused_model_holds_no_slot_and_no_stop(make_gateway, model_server):
    """Nobody asks its server, so nobody waits for the answer."""
    health, route = model_server.route("/health"), model_server.route("/ocr")
    gateway = make_gateway({"ocr": {"health": "/health", "max_attempts": 1}})
    wait_state(gateway, "up")
    route.answer_with(answers.hang())
    job = gateway.submit("ocr")
    route.wait_calls(1)
    gateway.post("/v1/models/ocr/pause", b"", headers={})
    gateway.cancel(job)
    until(lambda: shown(gateway)["running"] == 0, "the slot to be free")
    started = time.monotonic()
    gateway.stop()
    assert time.monotonic() - started < fair(5, started)


def test_503_of_the_health_path_is_loading(make_gateway, model_server):
    model_server.route("/health").answer_with(answers.status(503))
    gateway = make_gateway({"ocr": {"health": "/health", "ready_timeout": "2s"}})
    wait_state(gateway, "loading")
    wait_state(gateway, "down")


def test_a_server_that_is_not_there_is_down_and_comes_up(make_gateway):
    server = ModelServer(listening=False)
    try:
        gateway = make_gateway({"ocr": {"url": server.url("/predict?x=1"), "health": "/health"}})
        wait_state(gateway, "down")
        server.listen()
        wait_state(gateway, "up")
        assert server.route("/health").calls[0].target == "/health"
    finally:
        server.close()


def test_a_health_path_that_hangs_hurts_nothing(make_gateway, model_server):
    scripts = {"hang": answers.hang(), "drip": answers.dribble(), "flood": answers.endless(), "well": answers.ok()}
    for name, script in scripts.items():
        model_server.route("/health/" + name).answer_with(script)
    gateway = make_gateway({name: {"health": "/health/" + name} for name in scripts})
    model_server.route("/health/hang").wait_calls(1)
    assert gateway.ended(gateway.submit("well"))["status"] == "COMPLETED", "no model waits for another's probe"
    assert "5s" in wait_state(gateway, "down", "hang")["last_error"]
    wait_state(gateway, "down", "drip")
    assert shown(gateway, "well")["state"] == "up"
    assert gateway.peak_memory() < 1 << 30
    model_server.route("/health/hang").wait_calls(2, ROUNDS)
    begun = time.monotonic()
    gateway.stop()
    assert time.monotonic() - begun < fair(4, begun), "a stop does not wait for a probe"


def test_a_health_path_on_a_unix_socket(make_gateway, tmp_path):
    server = ModelServer(path=tmp_path / "model.sock")
    try:
        server.route("/well").answer_with(answers.status(500))
        gateway = make_gateway({"ocr": {"url": server.url("/predict"), "health": "/well?full=1"}})
        wait_state(gateway, "down")
        assert server.route("/well").calls[0].target == "/well?full=1"
    finally:
        server.close()


def test_a_reload_adds_and_removes_the_health_path(make_gateway, model_server):
    model_server.route("/health").answer_with(answers.status(500))
    gateway = make_gateway({"ocr": {}})
    assert shown(gateway)["state"] == "up"
    gateway.models["ocr"]["health"] = "/health"
    gateway.reload()
    wait_state(gateway, "down")
    del gateway.models["ocr"]["health"]
    gateway.reload()
    wait_state(gateway, "up")


def test_without_a_health_path_the_calls_decide(make_gateway):
    server = ModelServer(listening=False)
    try:
        gateway = make_gateway({"ocr": {"url": server.url("/ocr"), "max_attempts": 1}})
        assert shown(gateway)["state"] == "up", "no opinion yet"
        gateway.submit("ocr")
        wait_state(gateway, "down")
        server.listen()
        gateway.ended(gateway.submit("ocr"))
        assert shown(gateway)["state"] == "up"
    finally:
        server.close()


def test_a_model_that_is_resumed_is_asked_how_it_is(make_gateway, model_server):
    """While it is paused, no one asks; and no one else has a health path that would wake the one who does."""
    health = model_server.route("/health")
    health.answer_with(answers.ok())
    gateway = make_gateway({"ocr": {"health": "/health"}})
    health.wait_calls(1)
    assert gateway.post("/v1/models/ocr/pause", b"", {}).status == 200
    gateway.stop()
    gateway.start()
    job = gateway.submit("ocr")
    assert gateway.post("/v1/models/ocr/resume", b"", {}).status == 200
    assert gateway.ended(job)["status"] == "COMPLETED"
