"""Submits that are refused: the status, the problem document, and which check comes first."""

import json
import re

import pytest

import wire
from contract import MIB, SUBMIT, problem
from gateway import JSON_TYPE
from keyfile import make_key


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b'{"model":"M"} x', b"{'model':'M'}", b'{"model":"M",}', b'{"model":"M","x":01}']
)
def test_400_for_a_body_that_is_not_json(gateway, model, body):
    document = problem(gateway.post(SUBMIT, body.replace(b"M", model.name.encode())), 400)
    assert re.search(r"line \d+.*column \d+", document["detail"]), document["detail"]


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null"])
def test_400_for_json_that_is_no_object(gateway, body):
    problem(gateway.post(SUBMIT, body), 400)


@pytest.mark.parametrize(
    "body, names",
    [
        ({"input": 1}, "model"),
        ({"model": 5}, "model"),
        ({"model": None, "input": 1}, "model"),
        ({"model": "M", "job": []}, "job"),
        ({"model": "M", "job": None}, "job"),
        ({"model": "M", "job": {"priority": 101}}, "priority"),
        ({"model": "M", "job": {"priority": -101}}, "priority"),
        ({"model": "M", "job": {"priority": 1.5}}, "priority"),
        ({"model": "M", "job": {"priority": "high"}}, "priority"),
        ({"model": "M", "job": {"max_attempts": 0}}, "max_attempts"),
        ({"model": "M", "job": {"max_attempts": 26}}, "max_attempts"),
        ({"model": "M", "job": {"delay": "5 parsecs"}}, "delay"),
        ({"model": "M", "job": {"delay": ""}}, "delay"),
        ({"model": "M", "job": {"delay": -1}}, "delay"),
        ({"model": "M", "job": {"delay": True}}, "delay"),
        ({"model": "M", "job": {"expires_in": "soon"}}, "expires_in"),
        ({"model": "M", "job": {"timeout": "-5s"}}, "timeout"),
        ({"model": "M", "job": {"run_at": "yesterday"}}, "run_at"),
        ({"model": "M", "job": {"run_at": 5}}, "run_at"),
        ({"model": "M", "job": {"metadata": [1]}}, "metadata"),
        ({"model": "M", "job": {"metadata": "text"}}, "metadata"),
        ({"model": "M", "job": {"colour": "red"}}, "colour"),
    ],
    ids=json.dumps,
)
def test_400_for_a_wrong_member_names_it(gateway, model, body, names):
    if body.get("model") == "M":
        body = body | {"model": model.name}
    problem(gateway.post(SUBMIT, body), 400, names)
    assert not model.calls


def test_400_for_a_clients_secret_in_the_place_of_an_idempotency_key(gateway, model):
    """It would stand in the store and in its backups."""
    key = make_key()
    for answer in (
        gateway.post(SUBMIT, {"model": model.name, "job": {"key": key}}),
        gateway.request("POST", SUBMIT, b'{"model":"%s"}' % model.name.encode(), JSON_TYPE | {"Idempotency-Key": key}),
    ):
        document = problem(answer, 400, "access key")
        assert key not in str(document)


@pytest.mark.parametrize("name", ["model", "model_display_name", "input", "job"])
@pytest.mark.parametrize("escaped", [False, True])
def test_400_for_a_member_that_is_given_twice(gateway, model, name, escaped):
    value = b"{}" if name in ("input", "job") else json.dumps(model.name).encode()
    second = f"\\u{ord(name[0]):04x}{name[1:]}" if escaped else name
    body = b'{"model":"%s"' % model.name.encode() if not name.startswith("model") else b'{"x":1'
    body += b',"%s":%s,"%s":%s}' % (name.encode(), value, second.encode(), value)
    problem(gateway.post(SUBMIT, body), 400, name)


def test_nesting_is_allowed_to_a_depth_of_128(gateway, model):
    def body(arrays):
        return b'{"model":"%s","input":' % model.name.encode() + b"[" * arrays + b"]" * arrays + b"}"

    assert gateway.post(SUBMIT, body(127)).status == 202
    problem(gateway.post(SUBMIT, body(128)), 400, "128")
    problem(gateway.post(SUBMIT, b'{"model":"x","input":' + b"[" * 100_000), 400)


def test_400_for_a_byte_order_mark(gateway, model):
    problem(gateway.post(SUBMIT, b'\xef\xbb\xbf{"model":"%s"}' % model.name.encode()), 400)


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"])
def test_400_for_invalid_utf8_says_line_and_column(gateway, model, bad):
    body = b'{"model":"%s",\n"input":"%s"}' % (model.name.encode(), bad)
    document = problem(gateway.post(SUBMIT, body), 400)
    place = re.search(r"line (\d+).*?column (\d+)", document["detail"])
    assert place and (int(place[1]), int(place[2])) == (2, 10), document["detail"]


def test_400_for_query_items_beside_json(gateway, model):
    problem(gateway.request("POST", f"{SUBMIT}?priority=1", b'{"model":"%s"}' % model.name.encode(), JSON_TYPE), 400)


@pytest.mark.parametrize(
    "query, names",
    [
        ("", "model"),
        ("?model=M&colour=red", "colour"),
        ("?model=M&priority=101", "priority"),
        ("?model=M&priority=high", "priority"),
        ("?model=M&max_attempts=0", "max_attempts"),
        ("?model=M&delay=soon", "delay"),
        ("?model=M&run_at=soon", "run_at"),
        ("?model=M&run_at=2026-01-31T12:00:00+01:00", "%2B"),
        ("?model=M&priority=99999999999999999999", "-100 to 100"),
        ("?model=M&metadata=5", "metadata"),
        ("?model=M&metadata={", "metadata"),
    ],
)
def test_400_for_a_bad_query_item_names_it(gateway, model, query, names):
    target = SUBMIT + query.replace("M", model.name).replace("{", "%7B")
    problem(gateway.request("POST", target, b"x", {"Content-Type": "text/plain"}), 400, names)


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", None])
@pytest.mark.parametrize("body", [b'{"model":"x"}', b'\r\n\t {"model":"x"}'])
def test_400_for_json_that_is_not_labeled_says_how(gateway, content_type, body):
    headers = {"Content-Type": content_type} if content_type else {}
    for path in (SUBMIT, "/v1/inference"):
        problem(gateway.request("POST", path, body, headers), 400, "send Content-Type: application/json")
        problem(gateway.request("POST", path, b'"' + body, headers), 400, "query item model")
        problem(gateway.request("POST", path, b"", headers), 400, "query item model")


def test_422_for_an_unknown_model_lists_the_known_ones(gateway, model):
    problem(gateway.post(SUBMIT, {"model": "nobody"}), 422, model.name)
    problem(gateway.request("POST", f"{SUBMIT}?model=nobody", b"x", {"Content-Type": "text/plain"}), 422, model.name)


def test_415_for_a_content_encoding(gateway, model):
    headers = JSON_TYPE | {"Content-Encoding": "gzip"}
    problem(gateway.post(SUBMIT, {"model": model.name}, headers), 415)


def test_405_says_what_is_allowed(gateway):
    answer = gateway.request("DELETE", SUBMIT)
    problem(answer, 405)
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    "method, target, headers, length, status",
    [
        ("POST", "/v1/nothing", {"Host": "evil.example"}, 1, 421),
        ("DELETE", "/v1/nothing", {}, 0, 404),
        ("PUT", SUBMIT, {"Content-Encoding": "gzip"}, 1, 405),
        ("POST", SUBMIT, {"Content-Encoding": "gzip", "Accept": "image/png"}, 1, 415),
        ("POST", SUBMIT, {"Accept": "image/png"}, 17 * MIB, 406),
        ("POST", SUBMIT, {"Content-Type": "application/json"}, 17 * MIB, 413),
    ],
    ids=["421 before 404", "404 before 405", "405 before 415", "415 before 406", "406 before 413", "413 before 400"],
)
def test_the_checks_come_in_the_order_of_the_contract(gateway, method, target, headers, length, status):
    headers = {"Host": "127.0.0.1", "Content-Length": str(length)} | headers
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    with wire.dial(gateway.address) as sock:
        sock.sendall(head.encode() + b"\r\n" + (b"x" if length == 1 else b""))
        problem(wire.read_answer(sock, method), status)


# Size, and the length of the queue


def test_413_is_answered_before_the_body_is_sent(gateway):
    for expect in ("", "Expect: 100-continue\r\n"):
        head = f"POST {SUBMIT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{expect}"
        with wire.dial(gateway.address) as sock:
            sock.sendall((head + f"Content-Length: {16 * MIB + 1}\r\n\r\n").encode())
            assert sock.recv(12) == b"HTTP/1.1 413"


def test_100_continue_is_answered_for_a_body_that_may_come(gateway, model):
    body = b'{"model":"%s"}' % model.name.encode()
    head = f"POST {SUBMIT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    with wire.dial(gateway.address) as sock:
        sock.sendall((head + f"Content-Length: {len(body)}\r\n\r\n").encode())
        assert sock.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert wire.read_answer(sock, "POST").status == 202


def test_16_mib_are_taken_and_one_byte_more_is_413(gateway, model):
    body = bytes(16 * MIB)
    gateway.submit_bytes(model.name, body)
    assert model.route.wait_calls(1)[0].body == body
    target = f"{SUBMIT}?model={model.name}"
    problem(gateway.request("POST", target, body + b"x", {"Content-Type": "text/plain"}), 413)


def test_max_body_holds_for_chunked_bodies(make_gateway):
    gateway = make_gateway({"ocr": {}}, max_body="1KiB")
    headers = {"Content-Type": "text/plain"}
    target = f"{SUBMIT}?model=ocr"
    assert gateway.request("POST", target, iter([bytes(1000), bytes(24)]), headers).status == 202
    problem(gateway.request("POST", target, iter([bytes(1000), bytes(25)]), headers), 413)


def test_429_when_the_queue_of_the_model_is_full(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"queue_limit": 2}, "other": {}})
    route = model_server.route("/ocr")
    route.hold()
    running = gateway.submit("ocr")
    route.wait_calls(1)
    queued = [gateway.submit("ocr") for _ in range(2)]
    for path in (SUBMIT, "/v1/inference"):
        answer = gateway.post(path, {"model": "ocr"})
        problem(answer, 429)
        assert int(answer.headers["Retry-After"]) >= 1
    problem(gateway.post(SUBMIT, b'{"model":"ocr"'), 400)
    gateway.submit("other")
    gateway.cancel(queued[0])
    queued.append(gateway.submit("ocr"))
    route.release()
    states = [gateway.ended(job)["status"] for job in (running, *queued)]
    assert states == ["COMPLETED", "CANCELLED", "COMPLETED", "COMPLETED"]
