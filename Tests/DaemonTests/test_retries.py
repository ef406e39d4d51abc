"""Attempts that fail: which are repeated and when, and which end the job at once."""

import email.utils
import time

import pytest

import answers
from contract import KIB, SLACK, when
from modelserver import ModelServer
from waiting import fair, until


def gaps(calls):
    """Seconds between the start of each call and that of the next one: never less than the pause, however late a busy
    machine notes them."""
    return [after.started - before.started for before, after in zip(calls, calls[1:])]


# Answers that are repeated, and those that are not

REPEATED = {
    "408": (answers.status(408), "http_error"),
    "425": (answers.status(425), "http_error"),
    "429": (answers.status(429), "http_error"),
    "500": (answers.status(500), "http_error"),
    "502": (answers.status(502), "http_error"),
    "503": (answers.status(503), "http_error"),
    "504": (answers.status(504), "http_error"),
    "599": (answers.status(599), "http_error"),
    "closed": (answers.closed(), "bad_response"),
    "half a head": (answers.half_head(), "bad_response"),
    "half a body": (answers.half_body(), "bad_response"),
    "half a chunk": (answers.half_chunked(), "bad_response"),
    "not HTTP": (answers.garbage(), "bad_response"),
    "two lengths": (answers.two_lengths(), "bad_response"),
    "silence": (answers.hang(), "timeout"),
    "a dribble": (answers.dribble(), "timeout"),
}


@pytest.mark.parametrize("cause", REPEATED)
def test_an_attempt_is_repeated_after(gateway, model, cause):
    answer, code = REPEATED[cause]
    model.route.answer_with(answer, answers.ok())
    job = gateway.submit(model.name, timeout="300ms")
    record = gateway.ended(job)
    assert (record["status"], record["attempt"], record["error"]) == ("COMPLETED", 2, None)
    assert len(model.calls) == 2
    error = next(event for event in gateway.events(job) if event.detail_type == "Inf:Task:Error").data["error"]
    assert (error["code"], error["attempt"], error["retryable"]) == (code, 1, True)
    assert error["message"]
    if code == "http_error":
        assert (error["status"], error["body"]) == (int(cause), '{"reason":"scripted"}')


@pytest.mark.parametrize("cause", ["500", "closed", "silence"])
def test_the_job_ends_in_error_after_max_attempts(gateway, model, cause):
    answer, code = REPEATED[cause]
    model.route.answer_with(answer)
    record = gateway.ended(gateway.submit(model.name, timeout="300ms", max_attempts=2))
    assert (record["status"], record["attempt"]) == ("ERROR", 2)
    assert (record["error"]["code"], record["error"]["attempt"]) == (code, 2)
    assert record["finished_at"] and record["output"] is None and len(model.calls) == 2


@pytest.mark.parametrize("code", [300, 301, 302, 307, 400, 401, 403, 404, 409, 413, 422])
def test_any_other_status_ends_the_job_at_once(gateway, model, code):
    model.route.answer_with(answers.status(code, body=b"x" * 5000))
    record = gateway.ended(gateway.submit(model.name))
    assert (record["status"], record["attempt"]) == ("ERROR", 1)
    error = record["error"]
    assert (error["code"], error["status"], error["retryable"]) == ("http_error", code, False)
    assert error["body"] == "x" * 4096, "the first 4 KiB"
    assert len(model.calls) == 1


def test_redirects_are_not_followed(gateway, model, _shared_server):
    elsewhere = _shared_server.route("/elsewhere")
    model.route.answer_with(answers.redirect(_shared_server.url("/elsewhere")))
    record = gateway.ended(gateway.submit(model.name))
    assert (record["status"], record["error"]["status"]) == ("ERROR", 302)
    assert f"a redirect to {_shared_server.url('/elsewhere')}" in record["error"]["message"]
    assert not elsewhere.calls


def test_a_server_that_never_reads_is_a_timeout(make_gateway):
    server = ModelServer(accepting=False)
    try:
        gateway = make_gateway({"ocr": {"url": server.url(), "timeout": "300ms", "max_attempts": 2}})
        record = gateway.ended(gateway.submit("ocr"))
        assert (record["status"], record["attempt"], record["error"]["code"]) == ("ERROR", 2, "timeout")
    finally:
        server.close()


def test_the_models_timeout_holds_for_each_attempt_and_drops_the_call(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"timeout": "300ms", "max_attempts": 2}})
    route = model_server.route("/ocr")
    route.answer_with(answers.hang())
    record = gateway.ended(gateway.submit("ocr"))
    assert record["error"]["code"] == "timeout"
    # By the gateway's clock: a busy model server notes late when a call began.
    assert (when(record["finished_at"]) - when(record["created_at"])).total_seconds() >= 2 * 0.3
    for call in route.calls:
        assert call.dropped.wait(60)
        assert call.ended - call.started < fair(0.3 + SLACK, call.started)


@pytest.mark.parametrize("answer", [answers.ok(bytes(64 * KIB + 1)), answers.endless()], ids=["one byte", "endless"])
def test_an_answer_over_max_answer_ends_the_job_at_once(make_gateway, model_server, answer):
    gateway = make_gateway({"ocr": {"max_answer": "64KiB"}})
    route = model_server.route("/ocr")
    route.answer_with(answer)
    record = gateway.ended(gateway.submit("ocr"))
    assert (record["status"], record["attempt"], record["error"]["code"]) == ("ERROR", 1, "too_large")
    until(lambda: route.active == 0, "the rest of the answer to be refused")


def test_an_answer_of_max_answer_completes(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"max_answer": "64KiB"}})
    model_server.route("/ocr").answer_with(answers.ok(bytes(64 * KIB), "application/octet-stream"))
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"


# When the next attempt starts


def test_the_backoff_doubles_up_to_its_cap_with_full_jitter(gateway, model):
    begun = time.monotonic()
    model.route.answer_with(answers.status(500))
    job = gateway.submit(model.name, max_attempts=6)
    gateway.ended(job)
    found = gaps(model.calls)
    assert len(found) == 5
    for gap, most in zip(found, [0.05, 0.1, 0.2, 0.2, 0.2]):
        assert gap < fair(most + SLACK, begun)
    assert sum(found) < fair(0.75 + SLACK, begun)


@pytest.mark.parametrize("status", [429, 500])
def test_retry_after_in_seconds_replaces_the_backoff(gateway, model, status):
    model.route.answer_with(answers.status(status, retry_after=1), answers.ok())
    job = gateway.submit(model.name)
    assert gateway.ended(job)["attempt"] == 2
    assert 0.98 < gaps(model.calls)[0] < fair(1.1 + SLACK, model.calls[0].started)


@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"])
def test_retry_after_may_be_a_date(gateway, model, form):
    due = int(time.time()) + 2
    date, is_due = time.strftime(form, time.gmtime(due)), time.monotonic() + due - time.time()
    model.route.answer_with(answers.status(429, retry_after=date), answers.ok())
    job = gateway.submit(model.name)
    assert gateway.ended(job)["attempt"] == 2
    assert model.calls[1].started > is_due - 0.1, "not before that date"
    assert gaps(model.calls)[0] < fair(2.2 + SLACK, model.calls[0].started)


@pytest.mark.parametrize("seconds", [999_999, "9" * 30])
def test_retry_after_is_obeyed_up_to_an_hour(gateway, model, seconds):
    model.route.answer_with(answers.status(429, retry_after=seconds))
    job = gateway.submit(model.name)
    until(lambda: gateway.record(job)["error"], "the first attempt to fail")
    record = gateway.record(job)
    assert 3590 < when(record["run_at"]).timestamp() - time.time() < 3600 * 1.1 + SLACK
    gateway.cancel(job)


def test_retry_after_holds_for_this_job_alone(gateway, model):
    model.route.answer_with(answers.status(429, retry_after=3600), answers.ok())
    waiting = gateway.submit(model.name)
    until(lambda: gateway.record(waiting)["error"], "the first attempt to fail")
    assert gateway.ended(gateway.submit(model.name))["status"] == "COMPLETED"
    gateway.cancel(waiting)
