"""What the log tells an administrator, and what it must not tell."""

import datetime
import json
import re

import pytest

import answers
import wire
from modelserver import ModelServer
from waiting import until


def lines(gateway):
    """The log as objects. Every line must be one."""
    found = [json.loads(line) for line in gateway.log().splitlines()]
    for line in found:
        assert {"time", "level", "message"} <= set(line), line
        datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00"))
    return found


def of(gateway, message, **fields):
    """Lines that begin with a message and have these fields."""
    return [
        line
        for line in lines(gateway)
        if line["message"].startswith(message) and fields.items() <= line.items()
    ]


def test_start_reload_and_stop_are_told(make_gateway):
    gateway = make_gateway({"ocr": {}})
    [ready] = until(lambda: of(gateway, "ready"), "the line of the start")
    [opened] = of(gateway, "store opened")
    assert opened["interrupted"] == 0 and opened["path"].endswith("inferq.db")
    assert ready["version"] == gateway.get("/livez").json()["version"]
    assert ready["listen"] == [f"127.0.0.1:{gateway.port}"] and ready["models"] == ["ocr"]
    gateway.models["asr"] = gateway.models.pop("ocr")
    gateway.reload()
    [reloaded] = until(lambda: of(gateway, "configuration reloaded"), "the line of the reload")
    assert (reloaded["models"], reloaded["added"], reloaded["removed"]) == (1, ["asr"], ["ocr"])
    gateway.models["asr"]["concurrency"] = 0
    gateway.errors_expected = True
    gateway.reload()
    [refused] = until(lambda: of(gateway, "the new configuration is refused"), "the line of the refusal")
    assert refused["level"] == "error" and "concurrency" in refused["problem"]
    gateway.stop()
    assert [line["message"] for line in lines(gateway)][-2:] == [of(gateway, "stopping")[0]["message"], "stopped"]


def test_a_failed_attempt_says_what_becomes_of_the_job(gateway, model):
    model.route.answer_with(answers.status(503, body=b"busy"), answers.status(400))
    job = gateway.ended(gateway.submit(model.name))
    first, second = until(
        lambda: len(found := of(gateway, "attempt failed", job_id=job["id"])) == 2 and found, "both lines"
    )
    assert first["message"] == "attempt failed, will be repeated" and first["level"] == "notice"
    [told] = [event.data for event in gateway.events(job) if event.kind == ("Error", "RUNNING")]
    assert first["retry_at"] == told["retry_at"]
    assert second["message"] == "attempt failed, the job ended in ERROR" and second["level"] == "warning"
    assert "retry_at" not in second
    for line, attempt, status in ((first, 1, 503), (second, 2, 400)):
        assert (line["model"], line["attempt"], line["code"]) == (model.name, attempt, "http_error")
        assert line["status"] == status and isinstance(line["reason"], str)
    assert "busy" not in gateway.log(), "no payloads"


def test_failures_that_repeat_themselves_do_not_flood(make_gateway, model_server):
    model_server.route("/ocr").answer_with(answers.status(400))
    gateway = make_gateway({"ocr": {"concurrency": 8}, "asr": {}})
    model_server.route("/asr").answer_with(answers.status(400))
    for job in [gateway.submit("ocr") for _ in range(60)]:
        gateway.ended(job)
    gateway.ended(gateway.submit("asr"))
    until(lambda: of(gateway, "attempt failed", model="asr"), "the line of the other model, which the first does not silence")
    assert 1 <= len(of(gateway, "attempt failed", model="ocr")) <= 20


def test_a_model_server_that_goes_and_comes_is_told_once(make_gateway):
    server = ModelServer(listening=False)
    try:
        gateway = make_gateway({"ocr": {"url": server.url(), "max_attempts": 1}})
        jobs = [gateway.submit("ocr") for _ in range(6)]
        until(lambda: of(gateway, "model server is away, its jobs wait"), "the line of its going")
        server.listen()
        for job in jobs:
            gateway.ended(job)
        until(lambda: of(gateway, "model server is back"), "the line of its return")
        turns = [line["message"] for line in lines(gateway) if line["message"].startswith("model server")]
        assert turns == ["model server is away, its jobs wait", "model server is back"]
    finally:
        server.close()


def test_pauses_and_expired_jobs_are_told(gateway, model):
    gateway.post(f"/v1/models/{model.name}/pause", b"")
    job = gateway.ended(gateway.submit(model.name, expires_in="50ms"))
    gateway.post(f"/v1/models/{model.name}/resume", b"")
    until(lambda: of(gateway, "job expired", job_id=job["id"], model=model.name), "the line of the expired job")
    told = [line["message"] for line in lines(gateway) if line.get("model") == model.name]
    assert told[0] == "model paused" and "model resumed" in told


def test_refusals_that_an_administrator_can_change_are_told(make_gateway):
    gateway = make_gateway({"ocr": {"queue_limit": 1}})
    gateway.submit("ocr", delay="1h")
    for _ in range(30):
        assert gateway.post("/v1/async/inference", {"model": "ocr"}).status == 429
        gateway.get("/v1/models", Origin="https://app.example")
        gateway.get("/v1/models", Host="gate.example")
        gateway.get("/nowhere")
    for code, word in (("queue_full", "ocr"), ("forbidden_origin", "app.example"), ("misdirected", "gate.example")):
        found = until(lambda code=code: of(gateway, "request refused", code=code), f"a line of {code}")
        assert 1 <= len(found) <= 10 and all(word in line["reason"] for line in found), code
    assert not of(gateway, "request refused", code="no_such_path"), "a client's own mistake"


def test_secrets_and_payloads_never_stand_in_the_log(make_gateway, model_server):
    secrets = {name: f"canary-{name}" for name in ("header", "input", "output", "error", "query", "metadata", "key")}
    route = model_server.route("/ocr")
    route.answer_with(
        answers.status(500, body=secrets["error"].encode()), answers.ok(json.dumps(secrets["output"]).encode())
    )
    model_server.route("/health").answer_with(answers.status(500, body=secrets["error"].encode()))
    gateway = make_gateway(
        {"ocr": {"headers": {"Authorization": secrets["header"]}, "health": "/health?" + secrets["query"]}},
        log_level="trace",
    )
    job = gateway.submit("ocr", secrets["input"], metadata={"a": secrets["metadata"]}, key=secrets["key"])
    until(lambda: of(gateway, "model server is away, its jobs wait"), "the line of its going")
    model_server.route("/health").answer_with(answers.ok(secrets["error"].encode()))
    assert gateway.ended(job)["status"] == "COMPLETED"
    gateway.get("/v1/inference?strange=" + secrets["query"])
    gateway.get("/nowhere?" + secrets["query"])
    tokens = [call.header("X-Notify-Token") for call in route.calls]
    gateway.stop()
    log = gateway.log()
    assert "attempt failed" in log
    for secret in [*secrets.values(), *tokens]:
        assert secret not in log


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_a_stranger_sends_stays_in_its_line(make_gateway, log_format):
    gateway = make_gateway({"ocr": {}}, log_format=log_format)
    forged = "https://a\u2028\u0085\u202e2026-11-23T00:00:00.000Z error forged"
    request = f"GET /livez HTTP/1.1\r\nHost: localhost\r\nOrigin: {forged}\r\nConnection: close\r\n\r\n"
    assert b" 403 " in gateway.raw(request.encode())
    log = until(lambda: (log := gateway.log()) and "forbidden_origin" in log and log, "the refusal in the log")
    for character in ("\u2028", "\u0085", "\u202e", "\x1b"):
        assert character not in log
    [line] = [line for line in log.split("\n") if "forged" in line]
    assert "forbidden_origin" in line


def test_the_text_format_is_for_people(make_gateway, model_server):
    model_server.route("/ocr").answer_with(answers.status(503), answers.ok())
    gateway = make_gateway({"ocr": {}}, log_format="text")
    job = gateway.ended(gateway.submit("ocr"))
    gateway.stop()
    log = gateway.log().splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "
    for line in log:
        assert re.match(stamp + r"(debug|info |notice|warning|error) ", line), line
    [failed] = [line for line in log if "attempt failed" in line]
    assert re.match(stamp + "notice attempt failed, will be repeated attempt=1 code=http_error ", failed), failed
    assert f"job_id={job['id']} model=ocr" in failed and " retry_at=20" in failed and " status=503" in failed


def test_connections_past_the_limit_are_told(make_gateway):
    gateway = make_gateway({}, limits={"connections": 2})
    # Set up on several loops, so which of them are past the limit is not known.
    held = [wire.dial(gateway.address) for _ in range(6)]
    try:
        until(lambda: of(gateway, "request refused", code="connections"), "the line that says so")
    finally:
        for sock in held:
            sock.close()
