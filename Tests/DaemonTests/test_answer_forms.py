"""How the record shows what a model server answered: JSON, text, or bytes, encoded or not."""

import gzip
import hashlib
import json

import pytest

import answers
from contract import KIB

LAYERS = b'{"predicted_layers":[{"name":"line"}]}'


def answered(gateway, model, body, content_type, headers=()):
    model.route.answer_with(answers.ok(body, content_type, headers=headers))
    job = gateway.submit(model.name)
    record = gateway.ended(job)
    assert record["status"] == "COMPLETED", record
    final = gateway.events(job)[-1].data
    assert {key: final.get(key) for key in ("output", "output_note")} == {
        key: record.get(key) for key in ("output", "output_note")
    }, "the final event shows the same"
    raw = gateway.get(job["urls"]["output"])
    assert raw.body == body and raw.headers["Content-Type"] == (content_type or "application/octet-stream")
    return record, raw


# Encodings


def test_a_call_asks_for_an_answer_without_encoding(gateway, model):
    gateway.ended(gateway.submit(model.name))
    assert model.calls[0].header("Accept-Encoding") == "identity"


def test_the_configuration_may_ask_for_another_encoding(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"headers": {"accept-encoding": "br"}}})
    gateway.ended(gateway.submit("ocr"))
    assert model_server.route("/ocr").calls[0].all("Accept-Encoding") == ["br"]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
def test_an_encoded_answer_keeps_its_encoding(gateway, model, content_type):
    body = gzip.compress(LAYERS)
    record, raw = answered(gateway, model, body, content_type, [("Content-Encoding", "gzip")])
    assert record["output"] == {
        "content_type": content_type,
        "content_encoding": "gzip",
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    assert record["predicted_layers"] == []
    assert ("gzip" in record.get("output_note", "")) == (content_type == "application/json")
    assert raw.headers["Content-Encoding"] == "gzip"


def test_several_encodings_are_told_in_their_order(gateway, model):
    headers = [("Content-Encoding", "br"), ("Content-Encoding", "identity , gzip")]
    record, raw = answered(gateway, model, b"\x00", "image/png", headers)
    assert record["output"]["content_encoding"] == raw.headers["Content-Encoding"] == "br, gzip"


def test_identity_is_no_encoding(gateway, model):
    record, raw = answered(gateway, model, LAYERS, "application/json", [("Content-Encoding", "identity")])
    assert record["output"] == json.loads(LAYERS) and "output_note" not in record
    assert raw.headers["Content-Encoding"] is None


def test_a_long_encoding_does_not_fill_the_records(gateway, model):
    record, _ = answered(gateway, model, b"x", "image/png", [("Content-Encoding", "x" * 60_000)])
    assert len(record["output"]["content_encoding"]) == 200


# JSON under another label


@pytest.mark.parametrize("content_type", ["text/html", "text/plain; charset=latin-1", "application/octet-stream", None])
@pytest.mark.parametrize("body", [LAYERS, b"\r\n " + LAYERS + b"\n"], ids=["plain", "white space"])
def test_json_is_found_under_another_label(gateway, model, content_type, body):
    record, _ = answered(gateway, model, body, content_type)
    assert record["output"] == json.loads(LAYERS)
    assert record["predicted_layers"] == [{"name": "line"}]
    assert "output_note" not in record


@pytest.mark.parametrize("content_type", ["text/csv", "application/octet-stream", None])
@pytest.mark.parametrize("body", [b"1", b'"word"', b"null", b"{'a': 1}", b'{"a":1} {"b":2}', b'{"a":NaN}', b""])
def test_what_is_no_object_or_array_is_no_json_without_its_label(gateway, model, content_type, body):
    record, _ = answered(gateway, model, body, content_type)
    assert record["output"]["bytes"] == len(body) and "output_note" not in record


def test_another_type_is_taken_at_its_word(gateway, model):
    record, _ = answered(gateway, model, LAYERS, "image/svg+xml")
    assert record["output"]["bytes"] == len(LAYERS) and record["predicted_layers"] == []


# What claims to be JSON


@pytest.mark.parametrize(
    "body, reason",
    [
        (b'{"score": NaN}', "NaN is not a JSON value, at line 1, column 11"),
        (b'[1,\n -Infinity]', "-Infinity is not a JSON value, at line 2, column 2"),
        (b'[Infinity]', "Infinity is not a JSON value, at line 1, column 2"),
        (b'\xef\xbb\xbf{"a":1}', "the text begins with a byte order mark at line 1, column 1"),
        ('{"name":"Grün"}'.encode("latin-1"), "the text is not valid UTF-8 at line 1, column 12"),
        (b"", "it is empty"),
        (b"<html>", "expected a value but found '<' at line 1, column 1"),
        (b"[" * 200, "arrays and objects are nested deeper than 128 at line 1, column 129"),
    ],
    ids=["NaN", "minus infinity", "infinity", "BOM", "Latin-1", "empty", "HTML", "deep"],
)
def test_a_note_says_why_an_answer_is_not_shown_as_json(gateway, model, body, reason):
    record, _ = answered(gateway, model, body, "application/geo+json; charset=utf-8")
    assert record["output"]["sha256"] == hashlib.sha256(body).hexdigest()
    assert record["output_note"] == f"The answer is labeled application/geo+json, but it is not valid JSON: {reason}."


# Texts


@pytest.mark.parametrize(
    "content_type, body",
    [
        ("text/plain", "Grüße\r\n\x00\u2028".encode()),
        ("TEXT/PLAIN; charset=UTF-8", b""),
        ('text/plain;charset="utf-8"', b"\xef\xbb\xbfwith a mark"),
        ("text/plain; charset=ISO-8859-1", b"ASCII alone"),
        ("text/event-stream", b'data: {"a":1}\n\ndata: [DONE]\n\n'),
        ("application/x-ndjson", b'{"a":1}\n{"b":2}\n'),
        ("text/plain", b"x" * 64 * KIB),
    ],
)
def test_a_text_stands_in_the_record(gateway, model, content_type, body):
    model.route.answer_with(answers.ok(body, content_type))
    record = gateway.ended(gateway.submit(model.name))
    assert record["output"] == {"content_type": content_type, "bytes": len(body), "text": body.decode()}
    assert record["predicted_layers"] == []


def test_a_text_too_long_for_an_event_is_left_out_of_it(gateway, model):
    model.route.answer_with(answers.ok(b"\x01" * 64 * KIB, "text/plain"))
    job = gateway.submit(model.name)
    gateway.ended(job)
    final = gateway.events(job)[-1]
    assert final.data["omitted"] == ["output"] and "output" not in final.data


@pytest.mark.parametrize(
    "content_type, body",
    [
        ("text/plain", b"x" * (64 * KIB + 1)),
        ("text/plain", "Grüße".encode("latin-1")),
        ("text/plain; charset=latin-1", "Grüße".encode()),
        ("text/plain; charset=utf-16", "text".encode("utf-16-be")),
        ("text/html", b"<p>"),
        (None, b"text"),
    ],
)
def test_other_texts_are_kept_as_bytes(gateway, model, content_type, body):
    record, _ = answered(gateway, model, body, content_type)
    assert record["output"]["sha256"] == hashlib.sha256(body).hexdigest() and "text" not in record["output"]
