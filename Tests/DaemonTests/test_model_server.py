"""The call to the model server: what it sees, and which answers complete a job."""

import hashlib
import re

import pytest

import answers
from contract import MIB
from modelserver import ModelServer


# The request


def test_the_headers_of_a_call(gateway, model):
    model.route.answer_with(answers.status(500), answers.ok())
    job = gateway.submit(model.name)
    gateway.ended(job)
    first, second = model.calls
    for call, attempt in ((first, "1"), (second, "2")):
        assert (call.method, call.target) == ("POST", "/" + model.name)
        assert call.header("Content-Type") == "application/json"
        assert call.header("X-Inference-Id") == job["id"]
        assert call.header("X-Event-Id") == job["event_id"]
        assert call.header("X-Attempt") == attempt
        assert call.header("Idempotency-Key") == job["id"]
        assert call.header("Accept-Encoding") == "identity"
        assert call.header("X-Notify-Url").startswith(gateway.url + "/"), "absolute"
        assert call.header("X-Notify-Token")
        assert re.fullmatch(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", call.header("traceparent"))
        assert call.header("Host") and call.header("Content-Length") == "2"
    assert first.header("X-Notify-Token") != second.header("X-Notify-Token"), "a token holds for one attempt"


def test_a_trace_is_passed_on(gateway, model):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"Content-Type": "application/json", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    gateway.post("/v1/async/inference", {"model": model.name}, headers)
    assert model.route.wait_calls(1)[0].header("traceparent").split("-")[1] == trace


def test_headers_from_the_configuration_and_the_public_url(make_gateway, model_server):
    models = {"ocr": {"url": model_server.url("/a/b?c=d"), "headers": {"X-Extra": "from the file"}}}
    gateway = make_gateway(models, public_url="http://gateway.example:8484")
    gateway.submit("ocr")
    call = model_server.route("/a/b").wait_calls(1)[0]
    assert call.target == "/a/b?c=d"
    assert call.header("X-Extra") == "from the file"
    assert call.header("X-Notify-Url").startswith("http://gateway.example:8484/")


def test_a_model_server_may_listen_on_a_unix_socket(make_gateway, tmp_path):
    server = ModelServer(path=tmp_path / "model.sock")
    try:
        gateway = make_gateway({"ocr": {"url": server.url("/predict")}})
        assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
        assert server.route("/predict").calls[0].target == "/predict"
    finally:
        server.close()


# Answers that complete the job


@pytest.mark.parametrize("answer", [answers.ok(b""), answers.no_content(), answers.ok(status=201)])
def test_every_2xx_completes_the_job(gateway, model, answer):
    model.route.answer_with(answer)
    record = gateway.ended(gateway.submit(model.name))
    assert (record["status"], record["attempt"], record["error"]) == ("COMPLETED", 1, None)


DEEP = b"[" * 200 + b"]" * 200


@pytest.mark.parametrize(
    "body, content_type",
    [
        (b"\x89PNG\r\n\x1a\n\x00\xff", "image/png"),
        (b"<html>not JSON</html>", "application/json"),
        (b'{"cut":', "application/json"),
        (b'{"bad":"\xff"}', "application/json"),
        (DEEP, "application/json"),
        (b'"' + b"a" * MIB + b'"', "application/json"),
    ],
    ids=["image", "html as JSON", "half JSON", "not UTF-8", "200 levels", "over 1 MiB"],
)
def test_what_is_not_json_or_too_deep_or_large_is_kept_as_bytes(gateway, model, body, content_type):
    model.route.answer_with(answers.ok(body, content_type))
    job = gateway.submit(model.name)
    record = gateway.ended(job)
    digest = hashlib.sha256(body).hexdigest()
    assert record["status"] == "COMPLETED"
    assert record["output"] == {"content_type": content_type, "bytes": len(body), "sha256": digest}
    assert record["predicted_layers"] == []
    assert gateway.get(job["urls"]["output"]).body == body


@pytest.mark.parametrize("body", [b'"' + b"a" * (MIB - 2) + b'"', b"[" * 128 + b"]" * 128], ids=["1 MiB", "128 levels"])
def test_json_within_the_limits_is_shown_as_it_came(gateway, model, body):
    model.route.answer_with(answers.ok(body))
    job = gateway.submit(model.name)
    gateway.ended(job)
    assert body in gateway.get(job["urls"]["self"]).body


def test_a_head_over_the_limit_is_called_too_large(gateway, model):
    model.route.answer_with(answers.ok(headers=[("X-Large", "x" * 90_000)]))
    record = gateway.ended(gateway.submit(model.name, max_attempts=1))
    assert (record["error"]["code"], record["error"]["message"]) == (
        "bad_response",
        "the head of the model server's answer is too large",
    )


def test_layers_is_a_json_pointer(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"layers": "/a~1b/1/~0"}})
    model_server.route("/ocr").answer_with(answers.ok(b'{"a/b":[0,{"~":[{"name":"found"}]}]}'))
    assert gateway.ended(gateway.submit("ocr"))["predicted_layers"] == [{"name": "found"}]


def test_an_answer_in_gzip_is_not_blown_up(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"max_answer": "1MiB"}})
    model_server.route("/ocr").answer_with(answers.gzip_bomb())
    before = gateway.peak_memory()
    gateway.ended(gateway.submit("ocr", max_attempts=1), timeout=20)
    assert gateway.peak_memory() - before < 64 * MIB
