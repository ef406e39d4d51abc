"""The setting `health` of a model: a path that is asked every 10 s, and the `state` that follows from it."""

import json
import time

import answers
from modelserver import ModelServer
from waiting import until

# Two rounds, and some patience.
ROUNDS = 30


def shown(gateway, name="ocr"):
    return gateway.get(f"/v1/models/{name}").json()


def wait_state(gateway, state, name="ocr"):
    return until(lambda: (now := shown(gateway, name))["state"] == state and now, f"state {state}", ROUNDS, 0.1)


def test_the_state_follows_the_health_path(make_gateway, model_server):
    health = model_server.route("/health")
    health.answer_with(answers.status(503))
    gateway = make_gateway({"ocr": {"health": "/health", "headers": {"Authorization": "Bearer canary-1"}}})
    model = wait_state(gateway, "down")
    assert "503" in model["last_error"]
    assert 'inferq_model_up{model="ocr"} 0' in gateway.get("/metrics").body.decode()
    asked = health.calls[0]
    assert (asked.method, asked.target, asked.body) == ("GET", "/health", b"")
    assert asked.header("Authorization") == "Bearer canary-1", "as a call has it"
    health.answer_with(answers.ok())
    model = wait_state(gateway, "up")
    assert model["last_error"] is None
    lines = [json.loads(line) for line in gateway.log().splitlines()]
    turns = [line["message"] for line in lines if line.get("model") == "ocr"]
    assert turns == ["model server is down by its health path", "model server is up again"], "once each"
    first, second, *_ = [call.started for call in health.calls]
    assert 8 < second - first < 15


def test_a_model_that_is_down_by_its_health_path_still_gets_its_jobs(make_gateway, model_server):
    model_server.route("/health").answer_with(answers.status(500))
    gateway = make_gateway({"ocr": {"health": "/health"}})
    wait_state(gateway, "down")
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
    assert shown(gateway)["state"] == "down", "the probe alone decides what is shown"


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
    begun = time.monotonic()
    jobs = [gateway.submit(name) for name in scripts]
    assert all(gateway.ended(job)["status"] == "COMPLETED" for job in jobs)
    assert time.monotonic() - begun < 5, "no call waits for a probe"
    assert "5s" in wait_state(gateway, "down", "hang")["last_error"]
    wait_state(gateway, "down", "drip")
    assert shown(gateway, "well")["state"] == "up"
    assert gateway.peak_memory() < 1 << 30
    model_server.route("/health/hang").wait_calls(2, ROUNDS)
    begun = time.monotonic()
    gateway.stop()
    assert time.monotonic() - begun < 4, "a stop does not wait for a probe"


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
        gateway.ended(gateway.submit("ocr"))
        assert shown(gateway)["state"] == "down"
        server.listen()
        gateway.ended(gateway.submit("ocr"))
        assert shown(gateway)["state"] == "up"
    finally:
        server.close()
