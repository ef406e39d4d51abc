"""`POST /v1/inference`: the same submit, answered when the job has ended."""

import threading
import time

import pytest

import answers
import wire
from contract import problem
from gateway import JSON_TYPE
from waiting import fair, until


def sync(gateway, model, headers=None, **job):
    return gateway.post("/v1/inference", {"model": model.name, "input": {}, "job": job}, JSON_TYPE | (headers or {}))


def test_the_synchronous_form_answers_200_and_the_record(gateway, model):
    answer = sync(gateway, model)
    assert answer.status == 200
    record = answer.json()
    assert (record["status"], record["output"]) == ("COMPLETED", {"ok": True})
    assert record == gateway.record(record)


@pytest.mark.parametrize("prefer", ["wait=1", 'Wait = "1"; x=y', "wait=1, wait=60"])
def test_prefer_wait_bounds_the_wait_and_the_job_goes_on(gateway, model, prefer):
    model.route.hold()
    started = time.monotonic()
    answer = sync(gateway, model, {"Prefer": prefer})
    assert 0.9 < time.monotonic() - started < fair(4, started)
    assert (answer.status, answer.headers["Preference-Applied"]) == (202, "wait=1")
    job = answer.json()
    assert job["status"] == "RUNNING"
    model.route.release()
    assert gateway.ended(job)["status"] == "COMPLETED"


def test_a_wait_that_is_too_long_is_said_to_be_shorter(make_gateway, model_server):
    gateway = make_gateway({"ocr": {}}, sync_wait="1s")
    model_server.route("/ocr").hold()
    for wait in ("100", "9" * 30):
        answer = gateway.request("POST", "/v1/inference", b'{"model":"ocr"}', JSON_TYPE | {"Prefer": f"wait={wait}"})
        assert (answer.status, answer.headers["Preference-Applied"]) == (202, "wait=1")
    model_server.let_go()


def test_a_repeat_whose_first_job_failed_says_that_it_is_one(gateway, model):
    model.route.answer_with(answers.status(400))
    first, again = (sync(gateway, model, {"Idempotency-Key": "failed"}) for _ in range(2))
    assert (first.status, again.status) == (400, 400) and first.json()["id"] == again.json()["id"]
    assert (first.headers["Idempotency-Replayed"], again.headers["Idempotency-Replayed"]) == (None, "true")


def test_prefer_respond_async_makes_it_the_asynchronous_form(gateway, model):
    model.route.hold()
    answer = sync(gateway, model, {"Prefer": "respond-async"})
    assert (answer.status, answer.json()["status"]) == (202, "PENDING")
    assert answer.headers["Location"] == f"/v1/inference/{answer.json()['id']}"


def test_past_sync_wait_the_answer_is_202(make_gateway, model_server):
    gateway = make_gateway({"ocr": {}}, sync_wait="500ms")
    model_server.route("/ocr").hold()
    answer = gateway.post("/v1/inference", {"model": "ocr"})
    assert (answer.status, answer.json()["status"]) == (202, "RUNNING")


def failed_sync(answer, status, code, gateway):
    """A problem document with the job's id and the record's error."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.headers["Content-Type"].partition(";")[0] == "application/problem+json"
    assert answer.headers["x-should-retry"] == "false", "or SDKs submit it again"
    document = answer.json()
    record = gateway.get(f"/v1/inference/{document['id']}").json()
    assert document["status"] == status and document["error"] == record["error"]
    assert (record["error"] or {}).get("code") == code


@pytest.mark.parametrize("code", [500, 302, 304, 599])
def test_a_job_in_error_is_502(gateway, model, code):
    model.route.answer_with(answers.status(code))
    failed_sync(sync(gateway, model, max_attempts=1), 502, "http_error", gateway)


@pytest.mark.parametrize("code", [400, 401, 404, 408, 418, 422, 429, 499])
def test_what_the_model_server_refuses_is_refused(gateway, model, code):
    model.route.answer_with(answers.status(code))
    failed_sync(sync(gateway, model, max_attempts=1), code, "http_error", gateway)


def test_a_refusal_is_the_same_for_a_repeated_key(gateway, model):
    model.route.answer_with(answers.status(422))
    for _ in range(2):
        failed_sync(sync(gateway, model, {"Idempotency-Key": model.name}), 422, "http_error", gateway)
    assert len(model.calls) == 1


def test_a_connection_that_breaks_is_502(gateway, model):
    model.route.answer_with(answers.half_body())
    failed_sync(sync(gateway, model, max_attempts=1), 502, "bad_response", gateway)


def test_a_wait_of_any_length_is_cut(make_gateway, model_server):
    gateway = make_gateway({"ocr": {}}, sync_wait="500ms")
    model_server.route("/ocr").hold()
    answer = gateway.post("/v1/inference", {"model": "ocr"}, JSON_TYPE | {"Prefer": "wait=" + "9" * 30})
    assert (answer.status, answer.json()["status"]) == (202, "RUNNING")


def test_a_job_that_timed_out_is_504(gateway, model):
    model.route.answer_with(answers.hang())
    failed_sync(sync(gateway, model, timeout="100ms", max_attempts=1), 504, "timeout", gateway)


def test_a_job_that_expired_is_504(gateway, model):
    model.route.hold()
    gateway.submit(model.name)
    model.route.wait_calls(1)
    failed_sync(sync(gateway, model, expires_in="100ms"), 504, "expired", gateway)


def test_a_job_that_was_cancelled_is_409(gateway, model):
    model.route.hold()
    found = []
    waiting = threading.Thread(target=lambda: found.append(sync(gateway, model)))
    waiting.start()
    call = model.route.wait_calls(1)[0]
    own = f"/v1/inference/{call.header('X-Inference-Id')}"
    assert gateway.get(own).json()["status"] == "RUNNING", "it can be read meanwhile"
    gateway.post(own + "/cancel", b"", {})
    waiting.join(10)
    failed_sync(found[0], 409, None, gateway)


def test_the_job_goes_on_when_the_synchronous_client_hangs_up(gateway, model):
    model.route.hold()
    body = b'{"model":"%s"}' % model.name.encode()
    with wire.dial(gateway.address) as sock:
        head = "POST /v1/inference HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        call = model.route.wait_calls(1)[0]
    own = f"/v1/inference/{call.header('X-Inference-Id')}"
    model.route.release()
    until(lambda: gateway.get(own).json()["status"] == "COMPLETED", "completed without its client")


@pytest.mark.parametrize("body, status", [(b"{", 400), (b"{}", 400), (b'{"model":"nobody"}', 422)])
def test_the_synchronous_form_refuses_what_the_other_refuses(gateway, body, status):
    problem(gateway.post("/v1/inference", body), status)
