"""Keys, retry, delete, the reports of model servers, the history as JSON, and the pause of models."""

import concurrent.futures
import json

import pytest

import answers
import wire
from contract import SUBMIT, problem
from gateway import JSON_TYPE
from waiting import until

NOBODY = "01935f2e-0000-7000-8000-000000000000"


def keyed(gateway, model, key, **members):
    return gateway.post(SUBMIT, {"model": model.name, **members}, JSON_TYPE | {"Idempotency-Key": key})


def running(gateway, model):
    """A job that is RUNNING until the model's gate opens, and the call that the model server got."""
    model.route.hold()
    job = gateway.submit(model.name)
    return job, model.route.wait_calls(1)[0]


def report(gateway, job, token, detail, detail_type="Inf:Task:Notify"):
    body = {"event_id": job["event_id"], "detail_type": detail_type, "detail": detail}
    return gateway.post("/v1/notifications", body, JSON_TYPE | ({"X-Notify-Token": token} if token else {}))


# Idempotency keys


def test_the_same_key_and_request_give_the_first_job_and_start_nothing(gateway, model):
    first = keyed(gateway, model, "k-same", a=1)
    again = keyed(gateway, model, "k-same", a=1)
    assert (first.status, again.status) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true" and first.headers["Idempotency-Replayed"] is None
    gateway.ended(first.json())
    assert len(model.route.wait_calls(1)) == 1


def test_sixteen_equal_submits_at_once_make_one_job(gateway, model):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: keyed(gateway, model, "k-many").json()["id"], range(16)))
    assert len(set(results)) == 1


def test_a_key_with_another_request_is_422(gateway, model):
    keyed(gateway, model, "k-other", a=1)
    problem(keyed(gateway, model, "k-other", a=2), 422)


def test_both_forms_of_submit_share_the_keys(gateway, model):
    first = keyed(gateway, model, "k-forms").json()
    waited = gateway.post("/v1/inference", {"model": model.name}, JSON_TYPE | {"Idempotency-Key": "k-forms"})
    assert (waited.status, waited.json()["id"]) == (200, first["id"])


def test_a_header_and_a_member_that_differ_are_400(gateway, model):
    problem(keyed(gateway, model, "k-a", job={"key": "k-b"}), 400, "Idempotency-Key")


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00fc"])
def test_what_is_no_key_is_400(gateway, model, key):
    problem(gateway.post(SUBMIT, {"model": model.name, "job": {"key": key}}), 400, "job.key")


def test_a_key_is_known_after_a_restart_and_free_after_the_deletion(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"url": model_server.url("/ocr")}})
    headers = JSON_TYPE | {"Idempotency-Key": "k"}
    first = gateway.post(SUBMIT, {"model": "ocr"}, headers).json()
    gateway.ended(first)
    gateway.stop()
    gateway.restart()
    assert gateway.post(SUBMIT, {"model": "ocr"}, headers).json()["id"] == first["id"]
    assert gateway.request("DELETE", first["urls"]["self"]).status == 204
    assert gateway.post(SUBMIT, {"model": "ocr"}, headers).json()["id"] != first["id"]


# Retry and delete


def failed(gateway, model, **options):
    model.route.answer_with(answers.status(400), answers.ok())
    return gateway.ended(gateway.submit(model.name, max_attempts=1, **options))


def test_a_retry_is_a_new_job_with_the_same_input_and_options(gateway, model):
    job = failed(gateway, model, priority=7, metadata={"a": 1}, expires_in="1h")
    answer = gateway.post(job["urls"]["self"] + "/retry", b"")
    new = answer.json()
    assert (answer.status, new["status"], new["retry_of"]) == (202, "PENDING", job["id"])
    assert answer.headers["Location"] == new["urls"]["self"]
    assert (new["priority"], new["metadata"], new["expires_at"]) == (7, {"a": 1}, None)
    assert gateway.ended(new)["status"] == "COMPLETED"
    first, second = model.route.wait_calls(2)
    assert first.body == second.body


def test_a_large_input_is_retried_and_outlives_the_first_job(gateway, model):
    model.route.answer_with(answers.status(400), answers.ok())
    body = bytes(range(256)) * 1024
    job = gateway.post(f"{SUBMIT}?model={model.name}&max_attempts=1", body, {"Content-Type": "image/png"}).json()
    gateway.ended(job)
    new = gateway.post(job["urls"]["self"] + "/retry", b"").json()
    assert gateway.request("DELETE", job["urls"]["self"]).status == 204
    gateway.ended(new)
    assert gateway.get(new["urls"]["input"]).body == body
    assert model.route.wait_calls(2)[1].body == body


def test_only_what_failed_or_was_cancelled_is_retried(gateway, model):
    job, _ = running(gateway, model)
    problem(gateway.post(job["urls"]["self"] + "/retry", b""), 409)
    model.route.release()
    gateway.ended(job)
    problem(gateway.post(job["urls"]["self"] + "/retry", b""), 409)
    problem(gateway.post(f"/v1/inference/{NOBODY}/retry", b""), 404)


def test_a_deleted_job_is_gone_everywhere(gateway, model):
    job = gateway.ended(gateway.submit(model.name))
    assert gateway.request("DELETE", job["urls"]["self"]).status == 204
    for name in ("self", "events", "history", "input", "output"):
        problem(gateway.get(job["urls"][name]), 410)
    problem(gateway.post(job["urls"]["cancel"], b""), 410)
    problem(gateway.request("DELETE", job["urls"]["self"]), 410)


def test_a_job_that_has_not_ended_is_not_deleted(gateway, model):
    job, _ = running(gateway, model)
    problem(gateway.request("DELETE", job["urls"]["self"]), 409)
    problem(gateway.request("DELETE", f"/v1/inference/{NOBODY}"), 404)


# The reports of model servers


def test_progress_reaches_the_listeners(gateway, model):
    job, call = running(gateway, model)
    assert call.header("X-Notify-Url") == gateway.url + "/v1/notifications"
    answer = report(gateway, job, call.header("X-Notify-Token"), {"message": "half \u2028", "progress": 0.5, "x": 1})
    assert answer.status == 201
    assert answer.json()["event_id"] == job["event_id"]
    model.route.release()
    gateway.ended(job)
    events = wire.parse(gateway.get(job["urls"]["events"]).body)
    told = [event for event in events if event.id == answer.json()["id"]]
    assert [event.envelope["detail_type"] for event in told] == ["Inf:Task:Notify"]
    assert told[0].envelope == {
        "detail_type": "Inf:Task:Notify", "status": "RUNNING",
        "data": {"message": "half \u2028", "progress": 0.5, "x": 1},
    }


def test_layers_that_were_handed_over_early_stay_when_the_answer_has_none(gateway, model):
    model.route.answer_with(answers.ok(b'{"text": "no layers"}'))
    job, call = running(gateway, model)
    for number in (1, 2):
        layers = {"predicted_layers": [{"uri": f"layer-{number}"}]}
        assert report(gateway, job, call.header("X-Notify-Token"), layers, "Inf:Task:LayerReady").status == 201
    model.route.release()
    assert gateway.ended(job)["predicted_layers"] == [{"uri": "layer-1"}, {"uri": "layer-2"}]


def test_a_token_holds_for_one_attempt_of_one_job(gateway, model):
    job, call = running(gateway, model)
    token = call.header("X-Notify-Token")
    problem(report(gateway, job, None, {}), 403)
    problem(report(gateway, job, "nonsense", {}), 403)
    problem(report(gateway, job, token[:-1] + ("0" if token[-1] != "0" else "1"), {}), 403)
    problem(report(gateway, {"event_id": NOBODY}, token, {}), 404)
    model.route.release()
    other = gateway.ended(gateway.submit(model.name))
    problem(report(gateway, other, token, {}), 403)
    gateway.ended(job)
    problem(report(gateway, job, token, {}), 409)


@pytest.mark.parametrize("body, says", [
    (b"{", "line 1"), (b"[]", "object"), (b"{}", "event_id"),
    (json.dumps({"event_id": NOBODY, "detail_type": "x", "detail": {}}).encode(), "detail_type"),
    (json.dumps({"event_id": NOBODY, "detail_type": "Inf:Task:Notify", "detail": []}).encode(), "detail"),
    (json.dumps({"event_id": NOBODY, "detail_type": "Inf:Task:Notify", "detail": {"progress": 2}}).encode(), "progress"),
    (json.dumps({"event_id": NOBODY, "detail_type": "Inf:Task:LayerReady", "detail": {}}).encode(), "predicted_layers"),
])
def test_a_malformed_report_is_400(gateway, body, says):
    problem(gateway.post("/v1/notifications", body), 400, says)


def test_a_detail_over_48_kib_is_413(gateway, model):
    job, call = running(gateway, model)
    problem(report(gateway, job, call.header("X-Notify-Token"), {"message": "x" * (48 << 10)}), 413)


# The history as JSON


def test_the_history_has_what_the_stream_has(gateway, model):
    job = gateway.ended(gateway.submit(model.name))
    stream = wire.parse(gateway.get(job["urls"]["events"]).body)
    history = gateway.get(job["urls"]["history"]).json()
    assert history["next"] is None
    assert [entry["id"] for entry in history["results"]] == [event.id for event in stream]
    for entry, event in zip(history["results"], stream):
        assert {name: entry[name] for name in ("detail_type", "status", "data")} == event.envelope
        assert set(entry) == {"id", "timestamp", "detail_type", "status", "data"}


def test_the_history_is_paged_until_the_final_event(gateway, model):
    job, _ = running(gateway, model)
    url = job["urls"]["history"]
    until(lambda: len(gateway.get(url).json()["results"]) == 2, "the second event")
    page = gateway.get(f"{url}?limit=1").json()
    assert page["next"] == page["results"][0]["id"]
    rest = gateway.get(f"{url}?after={page['next']}").json()
    assert gateway.get(f"{url}?after={rest['next']}").json() == {"results": [], "next": rest["next"]}
    model.route.release()
    gateway.ended(job)
    last = gateway.get(f"{url}?after={rest['next']}").json()
    assert ([entry["status"] for entry in last["results"]], last["next"]) == (["COMPLETED"], None)
    problem(gateway.get(f"{url}?limit=0"), 400, "limit")


# Models


def test_a_paused_model_takes_no_jobs_until_it_is_resumed_across_restarts(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"url": model_server.url("/ocr")}})
    assert gateway.post("/v1/models/ocr/pause", b"").json()["state"] == "paused"
    job = gateway.submit("ocr")
    gateway.stop()
    gateway.restart()
    figures = gateway.get("/v1/models/ocr").json()
    assert (figures["state"], figures["pending"], figures["running"]) == ("paused", 1, 0)
    assert figures["oldest_pending_seconds"] >= 0
    assert not model_server.route("/ocr").calls
    assert gateway.post("/v1/models/ocr/resume", b"").json()["state"] == "up"
    assert gateway.ended(job)["status"] == "COMPLETED"


def test_a_model_shows_its_trouble(make_gateway):
    gateway = make_gateway({"ocr": {"url": "http://127.0.0.1:1/predict", "max_attempts": 1}})
    gateway.submit("ocr")
    until(lambda: gateway.get("/v1/models/ocr").json()["state"] == "down", "the refused call")
    figures = gateway.get("/v1/models").json()["results"]
    assert [figure["name"] for figure in figures] == ["ocr"]
    assert figures[0]["state"] == "down" and "connection" in figures[0]["last_error"]
    problem(gateway.get("/v1/models/nobody"), 404)
    problem(gateway.post("/v1/models/nobody/pause", b""), 404)
