"""Submitting: what a job is made of, and what the model server and the record get of it."""

import datetime
import hashlib
import json
import uuid

import pytest

import answers
from contract import KIB, MIB, SUBMIT, when
from gateway import JSON_TYPE


def submit_raw(gateway, body, headers=None, query=""):
    answer = gateway.request("POST", SUBMIT + query, body, JSON_TYPE if headers is None else headers)
    assert answer.status == 202, (answer.status, answer.body)
    return answer.json()


# The body that the model server gets


@pytest.mark.parametrize(
    "value",
    [
        b'{ "a" :\t1 ,\r\n "b":[ ] }',
        b'{"huge":1e400,"tiny":-0.0,"long":12345678901234567890.000}',
        '{"é":"naïve 😀 \\u00e9 \\/ \\ud83d\\ude00"}'.encode(),
        b'{"twice":1,"twice":2}',
        b'{"job":{"priority":"not mine"},"model":1,"input":2}',
        b'"text"',
        b"null",
        b"false",
        b"1e400",
        b"[1,\n2]",
        b"{}",
    ],
)
def test_the_input_member_goes_out_byte_for_byte(gateway, model, value):
    body = b'{ "model": "%s" , "input" : %s }' % (model.name.encode(), value)
    job = submit_raw(gateway, body)
    assert model.route.wait_calls(1)[0].body == value
    assert gateway.get(job["urls"]["input"]).body == value
    assert job["input"] == json.loads(value)
    assert value in gateway.get(job["urls"]["self"]).body


@pytest.mark.parametrize("name", ["model", "model_display_name"])
def test_without_input_the_whole_object_goes_out_byte_for_byte(gateway, model, name):
    body = b'{ "x" : [1, 2.50,\n 1e400] ,"%s":"%s", "y":"\xc3\xa9"}' % (name.encode(), model.name.encode())
    job = submit_raw(gateway, body)
    assert job["model"] == model.name
    assert model.route.wait_calls(1)[0].body == body


def test_model_wins_over_model_display_name(gateway, model):
    body = b'{"model_display_name":"nobody","model":"%s"}' % model.name.encode()
    assert submit_raw(gateway, body)["model"] == model.name


@pytest.mark.parametrize(
    "sent, kept",
    [
        (b'{"job":{"priority":1} , "model":"M","x":1}', b'{ "model":"M","x":1}'),
        (b'{"model":"M", "job":{"priority":1}\n,"x":[1, 2]}', b'{"model":"M", "x":[1, 2]}'),
        (b'{"model":"M","x":1 , "job":{"priority":1} }', b'{"model":"M","x":1  }'),
        (b'{"job":{"priority":1},"model":"M"}', b'{"model":"M"}'),
    ],
    ids=["first", "middle", "last", "the only other"],
)
def test_the_job_member_alone_is_taken_out_of_the_whole_object(gateway, model, sent, kept):
    name = model.name.encode()
    job = submit_raw(gateway, sent.replace(b"M", name))
    assert job["priority"] == 1
    assert model.route.wait_calls(1)[0].body == kept.replace(b"M", name)
    assert "job" not in job["input"]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "application/x+json"])
def test_json_is_known_by_its_content_type(gateway, model, content_type):
    job = submit_raw(gateway, b'{"model":"%s","input":1}' % model.name.encode(), {"Content-Type": content_type})
    assert job["input"] == 1


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", "text/plain; charset=latin-1"])
def test_a_body_of_another_type_goes_out_with_its_type(gateway, model, content_type):
    body = bytes(range(256))
    job = gateway.submit_bytes(model.name, body, content_type)
    call = model.route.wait_calls(1)[0]
    assert (call.body, call.header("Content-Type")) == (body, content_type)
    digest = hashlib.sha256(body).hexdigest()
    assert job["input"] == {"content_type": content_type, "bytes": 256, "sha256": digest}
    kept = gateway.get(job["urls"]["input"])
    assert (kept.body, kept.headers["Content-Type"]) == (body, content_type)


def test_a_body_without_a_type_goes_out_byte_for_byte(gateway, model):
    submit_raw(gateway, b'{"not":"looked at"', headers={}, query=f"?model={model.name}")
    assert model.route.wait_calls(1)[0].body == b'{"not":"looked at"'


@pytest.mark.parametrize("size", [64 * KIB + 1, 5 * MIB])
def test_a_large_body_is_stored_and_delivered_byte_for_byte(gateway, model, size):
    body = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
    job = gateway.submit_bytes(model.name, body)
    assert model.route.wait_calls(1)[0].body == body
    assert gateway.get(job["urls"]["input"]).body == body
    assert job["input"]["bytes"] == size
    assert job["input"]["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("size, inline", [(64 * KIB, True), (64 * KIB + 1, False)])
def test_input_is_shown_in_the_record_up_to_64_kib(gateway, model, size, inline):
    value = b'"' + b"a" * (size - 2) + b'"'
    job = submit_raw(gateway, b'{"model":"%s","input":%s}' % (model.name.encode(), value))
    if inline:
        assert job["input"] == "a" * (size - 2)
    else:
        digest = hashlib.sha256(value).hexdigest()
        assert job["input"] == {"content_type": "application/json", "bytes": size, "sha256": digest}
    assert model.route.wait_calls(1)[0].body == value


def test_a_body_in_chunks_is_as_good_as_one_with_a_length(gateway, model):
    body = b'{"model":"%s","input":[1]}' % model.name.encode()
    answer = gateway.request("POST", SUBMIT, iter([body[:7], body[7:]]), JSON_TYPE)
    assert answer.status == 202, answer
    assert model.route.wait_calls(1)[0].body == b"[1]"


# The record


def test_the_202_carries_the_record_with_exactly_these_members(gateway, model):
    model.route.hold()
    before = datetime.datetime.now(datetime.timezone.utc)
    answer = gateway.post(SUBMIT, {"model": model.name, "input": {"a": [1]}})
    job = answer.json()
    assert answer.headers["Content-Type"].partition(";")[0] == "application/json"
    assert answer.headers["Location"] == f"/v1/inference/{job['id']}"
    created = when(job["created_at"])
    assert abs((created - before).total_seconds()) < 5
    assert when(job.pop("run_at")) <= created + datetime.timedelta(milliseconds=50)
    assert isinstance(job["queue"].pop("ahead"), int)
    own = f"/v1/inference/{job['id']}"
    assert job == {
        "id": job["id"],
        "event_id": job["event_id"],
        "model": model.name,
        "client": "anonymous",
        "status": "PENDING",
        "attempt": 0,
        "max_attempts": 3,
        "priority": 0,
        "created_at": job["created_at"],
        "expires_at": None,
        "started_at": None,
        "finished_at": None,
        "queue": {},
        "retry_of": None,
        "call": None,
        "metadata": {},
        "input": {"a": [1]},
        "output": None,
        "predicted_layers": [],
        "error": None,
        "urls": {
            "self": own,
            "events": f"/v1/async/notify/{job['event_id']}",
            "history": f"/v1/notifications/{job['event_id']}",
            "input": f"{own}/input",
            "output": f"{own}/output",
            "cancel": f"{own}/cancel",
        },
    }


def test_the_record_of_a_completed_job_has_times_output_and_layers(gateway, model):
    model.route.answer_with(answers.ok(b'{ "predicted_layers" : [{"name":"one"}], "big":1e400 }'))
    job = gateway.submit(model.name)
    record = gateway.ended(job)
    assert (record["status"], record["attempt"], record["error"]) == ("COMPLETED", 1, None)
    assert record["predicted_layers"] == [{"name": "one"}]
    assert when(record["created_at"]) <= when(record["started_at"]) <= when(record["finished_at"])
    assert "queue" not in record
    assert b'{ "predicted_layers" : [{"name":"one"}], "big":1e400 }' in gateway.get(job["urls"]["self"]).body


@pytest.mark.parametrize(
    "answer, layers",
    [
        (b'{"predicted_layers":{"one":1}}', [{"one": 1}]),
        (b'{"predicted_layers":[{"a":1},{"b":2}]}', [{"a": 1}, {"b": 2}]),
        (b'{"predicted_layers":[{"a":1},2]}', []),
        (b'{"predicted_layers":"none"}', []),
        (b'{"other":1}', []),
        (b"[1]", []),
    ],
)
def test_predicted_layers_are_an_object_or_an_array_of_objects(gateway, model, answer, layers):
    model.route.answer_with(answers.ok(answer))
    assert gateway.ended(gateway.submit(model.name))["predicted_layers"] == layers


def test_ids_are_two_uuid7_that_grow_in_the_order_of_submission(gateway, model):
    model.route.hold()
    jobs = [gateway.submit(model.name) for _ in range(20)]
    for name in ("id", "event_id"):
        ids = [job[name] for job in jobs]
        assert ids == sorted(ids) and len(set(ids)) == len(ids)
        for text, job in zip(ids, jobs):
            parsed = uuid.UUID(text)
            assert str(parsed) == text and parsed.version == 7 and parsed.variant == uuid.RFC_4122
            assert abs((parsed.int >> 80) / 1000 - when(job["created_at"]).timestamp()) < 2
    tail = (1 << 48) - 1
    assert all(uuid.UUID(job["id"]).int & tail != uuid.UUID(job["event_id"]).int & tail for job in jobs)


# The job member


@pytest.mark.parametrize(
    "duration, seconds",
    [(90, 90), ("250ms", 0.25), ("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400)],
)
def test_durations_are_seconds_or_a_number_with_a_unit(gateway, model, duration, seconds):
    job = gateway.submit(model.name, delay=duration, expires_in=duration)
    created = when(job["created_at"])
    assert abs((when(job["run_at"]) - created).total_seconds() - seconds) < 0.05
    assert abs((when(job["expires_at"]) - created).total_seconds() - seconds) < 0.05
    gateway.cancel(job)


def test_job_members_stand_in_the_record(gateway, model):
    metadata = {"who": "é", "n": [1.50, None]}
    job = gateway.submit(
        model.name, run_at="2999-01-02T03:04:05.678Z", priority=-100, max_attempts=25, timeout="9s", metadata=metadata
    )
    assert (job["priority"], job["max_attempts"], job["metadata"]) == (-100, 25, metadata)
    assert job["run_at"] == "2999-01-02T03:04:05.678Z"
    assert "queue" not in job, "queue is there while PENDING and due"
    gateway.cancel(job)


def test_run_at_with_an_offset_is_shown_in_utc(gateway, model):
    job = gateway.submit(model.name, run_at="2999-01-02T03:04:05+02:00")
    assert job["run_at"] == "2999-01-02T01:04:05.000Z"
    gateway.cancel(job)


def test_job_members_are_query_items_beside_another_type(gateway, model):
    job = gateway.submit_bytes(
        model.name, b"x", priority=100, max_attempts=1, delay="1h", expires_in="2h", timeout=5, metadata='{"a":[1]}'
    )
    assert (job["priority"], job["max_attempts"], job["metadata"]) == (100, 1, {"a": [1]})
    assert (when(job["run_at"]) - when(job["created_at"])).total_seconds() == pytest.approx(3600, abs=0.05)
    assert (when(job["expires_at"]) - when(job["created_at"])).total_seconds() == pytest.approx(7200, abs=0.05)
    gateway.cancel(job)


def test_metadata_may_have_4_kib(gateway, model):
    def metadata(size):
        return {"k": "v" * (size - len('{"k":""}'))}

    def body(size):
        text = json.dumps({"model": model.name, "job": {"metadata": metadata(size)}}, separators=(",", ":"))
        return text.encode()

    assert submit_raw(gateway, body(4096))["metadata"] == metadata(4096)
    assert gateway.post(SUBMIT, body(4097)).status == 400
