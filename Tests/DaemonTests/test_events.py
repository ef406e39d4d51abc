"""Listening: Server-Sent Events, frame by frame."""

import json
import re

import pytest

import answers
import wire
from contract import problem

PENDING, RUNNING = ("Updated", "PENDING"), ("Updated", "RUNNING")
COMPLETED, CANCELLED = ("Updated", "COMPLETED"), ("Updated", "CANCELLED")
WILL_RETRY, FAILED = ("Error", "RUNNING"), ("Failed", "ERROR")


def kinds(events):
    return [event.kind for event in events]


def stream_of(gateway, job, last=None, query=""):
    """The whole body of a stream that ends, as bytes."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with wire.Stream(gateway.address, job["urls"]["events"] + query, headers) as stream:
        assert stream.status == 200
        return stream.to_end()


# Bytes


def test_the_head_of_a_stream(gateway, model):
    model.route.hold()
    job = gateway.submit(model.name)
    with gateway.listen(job) as stream:
        assert stream.status == 200
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert stream.headers["Cache-Control"] == "no-store"
        assert stream.headers["X-Accel-Buffering"] == "no"
        assert stream.headers["Content-Length"] is None
        assert stream.headers["Content-Encoding"] is None


def test_a_frame_is_id_retry_data_and_an_empty_line(gateway, model):
    job = gateway.submit(model.name)
    body = stream_of(gateway, job)
    frame = rb"data: \{[\x20-\x7e]+\}\n\n"
    assert re.fullmatch(rb"id: \d+\nretry: 2000\n" + frame + rb"(id: \d+\n" + frame + rb"){2}", body), body


def test_the_data_is_compact_ascii_json_with_three_members(gateway, model):
    for event in gateway.events(gateway.submit(model.name, {"a": [1, "b"]})):
        assert set(event.envelope) == {"detail_type", "status", "data"}
        assert event.data_line == json.dumps(event.envelope, separators=(",", ":")).encode()


def test_every_response_begins_with_a_retry(gateway, model):
    job = gateway.submit(model.name)
    first, *_ = gateway.events(job)
    again = stream_of(gateway, job, last=first.id)
    assert again.startswith(b"id: ") and again.count(b"\nretry: 2000\n") == 1


def test_characters_outside_ascii_and_line_separators_are_escaped(gateway, model):
    output = {"a": "\u2028\u2029\u0085\u000b\u000c\u007f é 😀", "ключ": "\u0000\r\n"}
    model.route.answer_with(answers.ok(json.dumps(output, ensure_ascii=False).encode()))
    body = stream_of(gateway, gateway.submit(model.name, metadata={"é": "\u2028"}))
    events = wire.parse(body)
    assert events[0].data["metadata"] == {"é": "\u2028"}
    assert events[-1].data["output"] == output


def test_numbers_and_the_order_of_members_stay_as_they_came(gateway, model):
    model.route.answer_with(answers.ok(b'{ "z" : 1e400,\n "a":-0.0 , "z2":[ 1.50, 12345678901234567890 ] }'))
    final = gateway.events(gateway.submit(model.name))[-1]
    assert b'"output":{"z":1e400,"a":-0.0,"z2":[1.50,12345678901234567890]}' in final.data_line


def test_a_large_output_is_left_out_and_named(gateway, model):
    model.route.answer_with(answers.ok(json.dumps({"predicted_layers": [{"n": 1}], "x": "a" * 70_000}).encode()))
    job = gateway.submit(model.name)
    final = gateway.events(job)[-1]
    assert len(final.data_line) <= 64 << 10
    assert final.data["omitted"] == ["output"]
    assert "output" not in final.data and final.data["predicted_layers"] == [{"n": 1}]
    assert gateway.record(job)["output"]["x"] == "a" * 70_000, "to be read at urls.self"


def test_large_layers_are_left_out_after_the_output(gateway, model):
    model.route.answer_with(answers.ok(json.dumps({"predicted_layers": [{"x": "\u2028" * 12_000}]}).encode()))
    final = gateway.events(gateway.submit(model.name))[-1]
    assert len(final.data_line) <= 64 << 10, "the escaped form counts"
    assert final.data["omitted"] == ["output", "predicted_layers"]
    assert not {"output", "predicted_layers"} & set(final.data)


def test_layers_of_an_output_that_events_do_not_read_are_left_out_too(gateway, model):
    """They are inside an output of more than 1 MiB; an empty list would say that there are none."""
    model.route.answer_with(answers.ok(json.dumps({"x": "a" * (1 << 20), "predicted_layers": [{"n": 1}]}).encode()))
    job = gateway.submit(model.name)
    final = gateway.events(job)[-1]
    assert final.data["omitted"] == ["output", "predicted_layers"]
    assert not {"output", "predicted_layers"} & set(final.data)
    assert gateway.record(job)["predicted_layers"] == [{"n": 1}]


def test_what_fits_is_not_left_out(gateway, model):
    model.route.answer_with(answers.ok(json.dumps({"x": "a" * 50_000}).encode()))
    assert "omitted" not in gateway.events(gateway.submit(model.name))[-1].data


# The story of a job


def test_events_of_a_job_that_completes(gateway, model):
    job = gateway.submit(model.name)
    accepted, started, final = gateway.events(job)
    assert kinds([accepted, started, final]) == [PENDING, RUNNING, COMPLETED]
    summary = set(job) - {"input", "output", "predicted_layers", "queue"}
    for event in (accepted, started):
        assert set(event.data) == summary | {"message"}
        assert event.data["status"] == event.status and event.data["id"] == job["id"]
        assert isinstance(event.data["message"], str)
    assert (accepted.data["attempt"], started.data["attempt"]) == (0, 1)
    record = gateway.record(job)
    del record["input"]
    assert final.data == record


def test_events_of_a_job_that_is_retried(gateway, model):
    model.route.answer_with(answers.status(500), answers.ok())
    job = gateway.submit(model.name)
    events = gateway.events(job)
    assert kinds(events) == [PENDING, RUNNING, WILL_RETRY, PENDING, RUNNING, COMPLETED]
    failed, again = events[2].data, events[3].data
    assert set(failed) == {"error", "attempt", "retry_at"}
    assert failed["attempt"] == 1
    assert failed["error"]["code"] == "http_error" and failed["error"]["status"] == 500
    assert failed["error"]["retryable"] is True
    assert again["run_at"] == failed["retry_at"]
    assert again["error"] == failed["error"], "the cause of the last failed attempt"
    assert events[4].data["attempt"] == 2
    assert events[5].data["error"] is None, "null again once COMPLETED"
    assert events[4].data["started_at"] == events[1].data["started_at"], "the start of the first attempt stays"


def test_events_of_a_job_that_fails_for_good(gateway, model):
    model.route.answer_with(answers.status(400))
    events = gateway.events(gateway.submit(model.name))
    assert kinds(events) == [PENDING, RUNNING, FAILED]
    assert events[-1].data["error"]["code"] == "http_error"
    assert "input" not in events[-1].data


def test_events_of_a_job_that_is_cancelled_before_it_runs(gateway, model):
    job = gateway.submit(model.name, delay="1h")
    gateway.cancel(job)
    assert kinds(gateway.events(job)) == [PENDING, CANCELLED]


def test_events_of_a_job_that_is_cancelled_while_it_runs(gateway, model):
    model.route.hold()
    job = gateway.submit(model.name)
    model.route.wait_calls(1)
    gateway.cancel(job)
    assert kinds(gateway.events(job)) == [PENDING, RUNNING, CANCELLED]


def test_events_of_a_job_that_expires(gateway, model):
    model.route.hold()
    gateway.submit(model.name)
    model.route.wait_calls(1)
    events = gateway.events(gateway.submit(model.name, expires_in="100ms"))
    assert kinds(events) == [PENDING, FAILED]
    assert events[-1].data["error"]["code"] == "expired"


# When a listener comes, and comes again


def test_ids_grow_and_are_never_given_twice(gateway, model):
    ids = [event.id for _ in range(3) for event in gateway.events(gateway.submit(model.name))]
    assert ids == sorted(set(ids))


def test_listeners_get_the_same_bytes_whenever_they_come(gateway, model):
    model.route.hold()
    job = gateway.submit(model.name)
    with gateway.listen(job) as early:
        early.events(1)
        model.route.wait_calls(1)
        with gateway.listen(job) as middle:
            assert kinds(middle.events(2)) == [PENDING, RUNNING]
            model.route.release()
            bytes_of_early = early.to_end()
            assert middle.to_end() == bytes_of_early
    assert stream_of(gateway, job) == bytes_of_early, "late"
    assert kinds(wire.parse(bytes_of_early)) == [PENDING, RUNNING, COMPLETED]


def test_a_listener_that_comes_back_gets_what_came_after_its_last_id(gateway, model):
    model.route.answer_with(answers.status(503), answers.status(503), answers.ok())
    job = gateway.submit(model.name)
    events = gateway.events(job)
    for n, event in enumerate(events[:-1]):
        assert [each.id for each in gateway.events(job, last=event.id)] == [each.id for each in events[n + 1 :]]
        for name in ("last_event_id", "lastEventId"):
            query = f"?{name}={event.id}"
            assert stream_of(gateway, job, query=query) == stream_of(gateway, job, last=event.id)


def test_the_header_wins_over_the_query(gateway, model):
    job = gateway.submit(model.name)
    first, second, final = gateway.events(job)
    body = stream_of(gateway, job, last=second.id, query=f"?last_event_id={first.id}")
    assert [event.id for event in wire.parse(body)] == [final.id]


@pytest.mark.parametrize("last", ["abc", "-1", "1.5", "0x1", "99999999999999", "9" * 30, "1 2", "0"])
def test_an_unusable_id_is_answered_with_all_events(gateway, model, last):
    job = gateway.submit(model.name)
    everything = stream_of(gateway, job)
    assert stream_of(gateway, job, last=last) == everything
    assert stream_of(gateway, job, query="?last_event_id=" + last.replace(" ", "%20")) == everything


def test_an_id_past_this_jobs_newest_is_answered_with_all_events(gateway, model):
    job, later = gateway.submit(model.name), gateway.submit(model.name)
    everything = stream_of(gateway, job)
    newest = gateway.events(later)[-1].id
    assert newest > wire.parse(everything)[-1].id
    assert stream_of(gateway, job, last=newest) == everything


def test_after_the_final_event_the_answer_is_204(gateway, model):
    job = gateway.submit(model.name)
    final = gateway.events(job)[-1]
    for answer in (
        gateway.get(job["urls"]["events"], Last_Event_ID=str(final.id)),
        gateway.get(f"{job['urls']['events']}?last_event_id={final.id}"),
    ):
        assert (answer.status, answer.body) == (204, b"")


def test_heartbeats_are_bare_comment_lines(make_gateway, model_server):
    gateway = make_gateway({"ocr": {}}, heartbeat="1s")
    route = model_server.route("/ocr")
    route.hold()
    job = gateway.submit("ocr")
    with gateway.listen(job) as stream:
        stream.events(2)
        quiet = stream.received
        body = stream.until(lambda received: len(received) >= len(quiet) + 4)
        assert body == quiet + b":\n:\n"
        route.release()
        assert kinds(wire.parse(stream.to_end())) == [PENDING, RUNNING, COMPLETED]


def test_the_history_survives_a_restart_with_the_same_ids(make_gateway, model_server):
    gateway = make_gateway({"ocr": {}})
    model_server.route("/ocr").answer_with(answers.status(500), answers.ok())
    job = gateway.submit("ocr")
    before = stream_of(gateway, job)
    gateway.stop()
    gateway.restart()
    assert stream_of(gateway, job) == before
    assert gateway.events(gateway.submit("ocr"))[0].id > wire.parse(before)[-1].id


def test_a_slow_start_is_no_reason_to_wait_for_the_head(gateway, model):
    job = gateway.submit(model.name, delay="1h")
    with gateway.listen(job) as stream:
        assert stream.status == 200
        assert kinds(stream.events(1)) == [PENDING]
    gateway.cancel(job)


def test_a_listener_that_hangs_up_does_not_hurt_the_job_or_the_others(gateway, model):
    model.route.hold()
    job = gateway.submit(model.name)
    with gateway.listen(job) as staying:
        with gateway.listen(job) as leaving:
            leaving.events(2)
        model.route.release()
        assert kinds(wire.parse(staying.to_end())) == [PENDING, RUNNING, COMPLETED]


# What is refused


def test_404_for_an_unknown_event_id(gateway):
    problem(gateway.get("/v1/async/notify/01935f2e-0000-7000-8000-000000000000"), 404)


def test_the_id_of_the_job_names_its_events_too(gateway, model):
    job = gateway.submit(model.name)
    everything = stream_of(gateway, job)
    for kind in ("async/notify", "notifications"):
        own, other = (gateway.get(f"/v1/{kind}/{job[name]}") for name in ("event_id", "id"))
        assert (own.status, other.status, own.body) == (200, 200, other.body)
    assert other.json()["results"][-1]["id"] == wire.parse(everything)[-1].id
    assert gateway.request("DELETE", job["urls"]["self"]).status == 204
    problem(gateway.get(f"/v1/async/notify/{job['id']}"), 410)


def test_400_for_what_is_no_uuid(gateway):
    problem(gateway.get("/v1/async/notify/nonsense"), 400)


def test_405_for_another_method(gateway, model):
    answer = gateway.post(gateway.submit(model.name)["urls"]["events"], b"")
    problem(answer, 405)
    assert "GET" in answer.headers["Allow"]


def test_406_for_a_client_that_takes_no_event_stream(gateway, model):
    problem(gateway.get(gateway.submit(model.name)["urls"]["events"], Accept="image/png"), 406)


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*", "text/*"])
def test_every_accept_that_covers_event_streams_is_served(gateway, model, accept):
    job = gateway.submit(model.name)
    with wire.Stream(gateway.address, job["urls"]["events"], {"Accept": accept}) as stream:
        assert stream.status == 200
        stream.to_end()


def test_head_answers_as_get_would_without_a_stream(gateway, model):
    job = gateway.submit(model.name)
    final = gateway.events(job)[-1]
    events = job["urls"]["events"]
    answer = gateway.request("HEAD", events)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert gateway.request("HEAD", events, headers={"Last-Event-ID": str(final.id)}).status == 204
    assert gateway.request("HEAD", "/v1/async/notify/01935f2e-0000-7000-8000-000000000000").status == 404


def test_a_stream_of_http_1_0_ends_with_its_connection(gateway, model):
    """It has neither chunks nor a length, whatever the client would like to do with the connection."""
    job = gateway.ended(gateway.submit(model.name))
    with wire.dial(gateway.address) as sock:
        sock.sendall(f"GET {job['urls']['events']} HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n".encode())
        received = wire.read_to_close(sock)
    assert b"connection: close\r\n" in received.lower() and b'"COMPLETED"' in received
