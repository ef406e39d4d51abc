"""Calls of model servers in their own languages, `../docs/calls.md`: what passes, what is added, and who waits."""

import hashlib
import json
import os
import socket
import threading
import time

import pytest

import answers
import wire
from gateway import DESCRIPTION
from waiting import until

JSON_TYPE = {"Content-Type": "application/json"}
ADDED = {"date", "x-inference-id", "x-event-id", "link", "x-request-id", "x-should-retry", "content-length"}


@pytest.fixture
def llama(make_gateway, model_server):
    """A gateway with a model `llama` of the dialect `openai` at `model_server`."""

    def make(**keys):
        keys = {"url": model_server.url(""), "dialect": "openai"} | keys
        return make_gateway({"llama": keys})

    return make


def call(gateway, target="/v1/chat/completions", body=None, method="POST", headers=None, timeout=20.0):
    """Not held against the description: the answer is the model server's."""
    if body is None:
        body = {"model": "llama", "messages": []}
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return wire.exchange(gateway.address, method, target, body, JSON_TYPE | (headers or {}), timeout)


def jobs(gateway):
    return gateway.get("/v1/inference?limit=1000").json()["results"]


# Verbatim


@pytest.mark.parametrize("target, seen", [
    ("/v1/chat/completions", "/v1/chat/completions"),
    ("/v1/embeddings?a=1&a=%20b", "/v1/embeddings?a=1&a=%20b"),
    ("/upstream/llama/v1/chat/completions", "/v1/chat/completions"),
    ("/upstream/llama/any/thing%20else?x=%2F", "/any/thing%20else?x=%2F"),
    ("/v1/audio/transcriptions", "/v1/audio/transcriptions"),
])  # fmt: skip
def test_a_call_reaches_the_server_as_it_was_made(llama, model_server, target, seen):
    gateway = llama()
    route = model_server.route(seen)
    body = b'{ "model":"llama",  "n": 1.0, "text": "\\u00e9\xc3\xa9" }'
    answer = call(gateway, target, body, headers={"X-Own": "1", "Accept": "text/x-odd", "OpenAI-Beta": "a, b"})
    assert (answer.status, answer.body) == (200, b'{"ok":true}')
    [made] = route.calls
    assert (made.method, made.target, made.body) == ("POST", seen, body)
    assert (made.header("X-Own"), made.header("Accept"), made.header("OpenAI-Beta")) == ("1", "text/x-odd", "a, b")
    assert made.header("Content-Length") == str(len(body))
    record = gateway.record({"urls": {"self": "/v1/inference/" + answer.headers["X-Inference-Id"]}})
    assert record["call"] == {
        "method": "POST", "target": seen, "dialect": "openai", "answer_status": 200, "answer_type": "application/json",
    }  # fmt: skip
    assert record["status"] == "COMPLETED" and record["event_id"] == answer.headers["X-Event-Id"]
    assert made.header("X-Inference-Id") == made.header("X-Request-Id") == record["id"]


def test_secrets_and_what_belongs_to_the_connection_stay(llama, model_server):
    gateway = llama(headers={"X-Configured": "ours"})
    sent = {
        "Authorization": "Bearer hunter2", "Cookie": "a=hunter2", "X-Api-Key": "hunter2", "Proxy-Authorization": "hunter2",
        "Accept-Encoding": "br", "Connection": "X-Named, close", "X-Named": "hunter2", "TE": "trailers",
        "Keep-Alive": "5", "Prefer": "wait=5", "X-Inferq-Priority": "3", "X-Request-Id": "theirs",
        "X-Configured": "theirs", "X-Notify-Token": "forged", "Idempotency-Key": "k1",
    }  # fmt: skip
    assert call(gateway, headers=sent).status == 200
    [made] = model_server.route("/v1/chat/completions").calls
    for name in ("Authorization", "Cookie", "X-Api-Key", "Proxy-Authorization", "X-Named", "TE", "Keep-Alive", "Prefer",
                 "X-Inferq-Priority"):  # fmt: skip
        assert made.header(name) is None, name
    assert made.header("Accept-Encoding") == "identity"
    assert made.header("X-Configured") == "ours"
    assert made.header("Idempotency-Key") == "k1"
    assert made.header("X-Request-Id") != "theirs" and made.header("X-Notify-Token") != "forged"
    [job] = jobs(gateway)
    assert job["priority"] == 3
    assert b"hunter2" not in b"".join(file.read_bytes() for file in gateway.folder.iterdir() if file.is_file())


@pytest.mark.parametrize("status", [200, 201, 202, 203, 400, 401, 404, 409, 418, 422, 451])
def test_an_answer_of_any_status_is_the_clients(llama, model_server, status):
    gateway = llama()
    fields = [("X-Server", "mine"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Connection", "X-Hop"), ("X-Hop", "1")]
    body = b'{"error" : {"message":"as it came"}}'
    model_server.route("/v1/chat/completions").answer_with(answers.ok(body, "application/json; x=1", status, fields))
    answer = call(gateway)
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers["Content-Type"] == "application/json; x=1"
    assert answer.headers["X-Server"] == "mine" and answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers["X-Hop"] is None
    assert answer.headers["Link"] == f"</v1/async/notify/{answer.headers['X-Event-Id']}>; rel=\"monitor\""
    assert answer.headers["x-should-retry"] == (None if status < 300 else "false")
    [job] = jobs(gateway)
    assert job["status"] == ("COMPLETED" if status < 300 else "ERROR")
    assert job["attempt"] == 1 and job["call"]["answer_status"] == status
    output = gateway.get(job["urls"]["output"])
    assert output.body == body


def test_an_error_is_kept_whole(llama, model_server):
    gateway = llama()
    body = os.urandom(300_000)
    model_server.route("/v1/chat/completions").answer_with(answers.ok(body, "image/x", 422))
    answer = call(gateway)
    assert (answer.status, answer.body) == (422, body)
    assert gateway.get(jobs(gateway)[0]["urls"]["output"]).body == body


def test_an_error_that_is_too_large_to_keep_says_so(llama, model_server):
    gateway = llama(max_answer="1KiB")
    model_server.route("/v1/chat/completions").answer_with(answers.ok(bytes(2000), "image/x", 400))
    answer = call(gateway)
    assert answer.status == 400 and "larger than 1024 bytes" in answer.json()["error"]["message"]


def test_101_is_no_answer(llama, model_server):
    gateway = llama(max_attempts=1)
    model_server.route("/v1/chat/completions").answer_with(lambda exchange: exchange.send(answers.head(101, [])))
    answer = call(gateway)
    assert answer.status == 502 and answer.json()["error"]["code"] == "bad_response"


def test_errors_that_may_pass_are_repeated_and_the_last_one_is_passed_on(llama, model_server):
    gateway = llama(max_attempts=3)
    route = model_server.route("/v1/chat/completions")
    route.answer_with(*(answers.ok(b'{"n":%d}' % n, status=500 + n) for n in range(5)))
    answer = call(gateway)
    assert (answer.status, answer.body, answer.headers["x-should-retry"]) == (502, b'{"n":2}', "false")
    assert len(route.calls) == 3
    route.answer_with(answers.status(500), answers.ok(b"fine", "text/plain"))
    assert call(gateway).body == b"fine"


def test_a_redirect_is_not_followed_and_not_passed_on(llama, model_server):
    gateway = llama()
    model_server.route("/v1/chat/completions").answer_with(answers.redirect("http://127.0.0.1:1/elsewhere"))
    answer = call(gateway)
    assert answer.status == 502 and answer.headers["x-should-retry"] == "false"
    assert "http://127.0.0.1:1/elsewhere" in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == "http_error"
    [job] = jobs(gateway)
    assert (answer.headers["X-Inference-Id"], answer.headers["X-Event-Id"]) == (job["id"], job["event_id"])
    assert answer.headers["X-Request-Id"] == job["id"] and job["event_id"] in answer.headers["Link"]
    assert len(model_server.route("/v1/chat/completions").calls) == 1


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_every_size_pass_byte_for_byte(llama, model_server, size, chunked):
    gateway = llama()
    body = os.urandom(size)
    model_server.route("/upload").answer_with(answers.echo())
    fields = {"Content-Type": "application/x-odd", "Content-Encoding": "x-odd"}
    if chunked:
        pieces = [body[n:n + 10_000] for n in range(0, size, 10_000)]
        answer = wire.exchange(gateway.address, "POST", "/upstream/llama/upload", iter(pieces), fields, 20)
    else:
        answer = wire.exchange(gateway.address, "POST", "/upstream/llama/upload", body, fields, 20)
    assert (answer.status, hashlib.sha256(answer.body).hexdigest()) == (200, hashlib.sha256(body).hexdigest())
    [made] = model_server.route("/upload").calls
    assert made.header("Content-Encoding") == "x-odd" and made.header("Content-Length") == str(size)


@pytest.mark.timeout(60)
def test_a_large_upload_does_not_lie_in_memory(llama, model_server):
    gateway = llama()
    assert call(gateway).status == 200
    before = gateway.peak_memory()
    body = bytes(200 << 20)
    answer = call(gateway, "/upstream/llama/upload", body, timeout=60)
    assert answer.status == 200
    assert len(model_server.route("/upload").calls[0].body) == len(body)
    assert gateway.peak_memory() - before < 32 << 20


def test_a_body_past_the_limit_is_refused_and_leaves_nothing(make_gateway, model_server):
    gateway = make_gateway({"llama": {"url": model_server.url(""), "dialect": "openai"}}, max_upload="100KiB")
    answer = call(gateway, body=bytes(200_000))
    assert answer.status == 413 and answer.json()["error"]["code"] == "body_too_large"
    assert "max_upload" in answer.json()["error"]["message"]
    assert jobs(gateway) == [] and list((gateway.folder / "blobs").iterdir()) == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_are_jobs_where_the_model_names_them(llama, model_server, method):
    gateway = llama(queued=[f"{method} /v1/thing/*"])
    answer = call(gateway, "/upstream/llama/v1/thing/7", method=method)
    assert answer.status == 200 and model_server.route("/v1/thing/7").calls[0].method == method
    assert jobs(gateway)[0]["call"]["method"] == method
    assert call(gateway, "/upstream/llama/v1/other", method=method).status == 405


# Handed through


def test_gets_are_handed_through_and_make_no_job(llama, model_server):
    gateway = llama()
    model_server.route("/health").answer_with(answers.ok(b"alive", "text/plain", headers=[("X-Server", "mine")]))
    answer = wire.exchange(gateway.address, "GET", "/upstream/llama/health?x=1", headers={"X-Own": "1", "Cookie": "a"})
    assert (answer.status, answer.body, answer.headers["X-Server"]) == (200, b"alive", "mine")
    [made] = model_server.route("/health").calls
    assert (made.method, made.target, made.header("X-Own"), made.header("Cookie")) == ("GET", "/health?x=1", "1", None)
    assert jobs(gateway) == []


def test_a_server_that_is_away_is_502_for_what_is_handed_through(llama, model_server):
    gateway = llama()
    model_server.stop_listening()
    answer = wire.exchange(gateway.address, "GET", "/upstream/llama/health")
    assert answer.status == 502 and answer.json()["error"]["code"] == "connect_failed"


def test_an_answer_that_breaks_off_is_cut_for_the_client_too(llama, model_server):
    gateway = llama()
    for target, answer in (("/half", answers.half_body()), ("/chunks", answers.half_chunked())):
        model_server.route(target).answer_with(answer)
        with wire.dial(gateway.address, 10) as sock:
            sock.sendall(b"GET /upstream/llama%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % target.encode())
            received = wire.read_to_close(sock)
        assert received.startswith(b"HTTP/1.1 200") and b"half" in received and not received.endswith(b"0\r\n\r\n")


# Whose call it is


def test_a_model_is_found_by_its_names(make_gateway, model_server):
    gateway = make_gateway({
        "small": {"url": model_server.url("/s"), "dialect": "openai", "names": ["qwen3-*", "Qwen/Qwen3-8B"]},
        "large": {"url": model_server.url("/l"), "dialect": "openai"},
    })  # fmt: skip
    for name, base in [("small", "/s"), ("qwen3-0.6b", "/s"), ("Qwen/Qwen3-8B", "/s"), ("large", "/l")]:
        assert call(gateway, body={"model": name}).status == 200, name
        assert len(model_server.route(base + "/v1/chat/completions").calls) >= 1
    assert len(model_server.route("/s/v1/chat/completions").calls) == 3
    answer = call(gateway, body={"model": "gpt-4"})
    assert answer.status == 404
    error = answer.json()["error"]
    assert error["code"] == "model_not_found" and "small" in error["message"] and "large" in error["message"]
    assert call(gateway, body={"messages": []}).status in (404, 422)
    assert len(jobs(gateway)) == 4


def test_one_model_alone_needs_no_name(llama):
    gateway = llama()
    assert call(gateway, body={"messages": []}).status == 200
    assert call(gateway, body={"model": "gpt-4"}).status == 404


def test_multipart_names_its_model(llama, model_server):
    gateway = llama(names=["whisper-1"])
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + os.urandom(200_000).replace(b"--b", b"")
        + b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'
    )  # fmt: skip
    fields = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = wire.exchange(gateway.address, "POST", "/v1/audio/transcriptions", body, fields)
    assert answer.status == 200
    assert model_server.route("/v1/audio/transcriptions").calls[0].body == body


def test_a_dialect_that_no_model_has_has_no_paths(make_gateway, model_server):
    gateway = make_gateway({"plain": {}})
    assert gateway.post("/v1/chat/completions", {"model": "plain"}).status == 404
    answer = call(gateway, "/upstream/plain/any/path")
    assert answer.status == 200 and model_server.route("/any/path").calls[0].method == "POST"
    assert call(gateway, "/upstream/nobody/any/path").headers["Content-Type"] == "application/problem+json"


def test_native_submits_go_to_the_first_path_of_the_dialect(llama, model_server):
    gateway = llama()
    job = gateway.ended(gateway.submit("llama", {"messages": []}))
    assert job["status"] == "COMPLETED" and job["call"] is None
    assert model_server.route("/v1/chat/completions").calls[0].body == b'{"messages": []}'


# Waiting


def test_a_call_waits_longer_than_a_submit(make_gateway, model_server):
    gateway = make_gateway({"llama": {"url": model_server.url(""), "dialect": "openai"}}, sync_wait="100ms")
    model_server.route("/v1/chat/completions").answer_with(answers.after(1.0))
    assert call(gateway).status == 200


def test_a_client_may_ask_not_to_wait(llama, model_server):
    gateway = llama()
    model_server.route("/v1/chat/completions").hold()
    answer = call(gateway, headers={"Prefer": "respond-async"})
    assert answer.status == 202 and answer.headers["Preference-Applied"] == "respond-async"
    job = answer.json()
    assert answer.headers["Location"] == job["urls"]["self"]
    answer = call(gateway, headers={"Prefer": "wait=1"})
    assert answer.status == 202 and answer.headers["Preference-Applied"] == "wait=1"
    model_server.let_go()
    assert gateway.ended(job)["status"] == "COMPLETED"


def test_options_stand_in_header_fields(llama):
    gateway = llama()
    fields = {
        "X-Inferq-Priority": "7", "X-Inferq-Timeout": "9s", "X-Inferq-Expires-In": "1h", "X-Inferq-Max-Attempts": "2",
        "X-Inferq-Metadata": '{"a":1}', "Prefer": "respond-async",
    }  # fmt: skip
    job = call(gateway, headers=fields).json()
    assert (job["priority"], job["max_attempts"], job["metadata"]) == (7, 2, {"a": 1})
    assert job["expires_at"] is not None
    answer = call(gateway, headers={"X-Inferq-Priority": "700"})
    assert answer.status == 400 and "X-Inferq-Priority" in answer.json()["error"]["message"]
    answer = call(gateway, headers={"X-Inferq-Colour": "red"})
    assert answer.status == 400 and "X-Inferq-Priority" in answer.json()["error"]["message"]


def begin_call(gateway, body=b'{"model":"llama"}', headers=b""):
    """Sends a call and returns its connection, on which nothing was read."""
    sock = wire.dial(gateway.address)
    sock.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers
        + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )  # fmt: skip
    return sock


def hang_up_after(gateway, seconds=0.2, headers=b""):
    """Makes a call and closes the connection; returns once the gateway has the job."""
    known = len(jobs(gateway))
    sock = begin_call(gateway, headers=headers)
    until(lambda: len(jobs(gateway)) == known + 1, "the job")
    sock.close()
    return jobs(gateway)[0]


def test_a_job_whose_client_is_gone_is_cancelled_after_a_while(llama, model_server):
    gateway = llama(linger="500ms")
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.hang())
    running = hang_up_after(gateway)
    route.wait_calls(1)
    assert gateway.ended(running)["status"] == "CANCELLED"
    assert route.calls[0].dropped.wait(10)


def test_a_call_that_waits_is_never_made_when_its_client_is_gone(llama, model_server):
    gateway = llama(linger="500ms")
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.hang(), answers.ok(b"not this one", "text/plain"))
    other = gateway.submit("llama")
    route.wait_calls(1)
    assert gateway.ended(hang_up_after(gateway))["status"] == "CANCELLED"
    gateway.cancel(other)
    assert gateway.ended(gateway.submit("llama"))["status"] == "COMPLETED"
    assert len(route.calls) == 2, "the one that waited was never called"


@pytest.mark.parametrize("field", [b"Idempotency-Key: k\r\n", b"X-Conversation-Id: c\r\n"])
def test_a_client_that_opts_in_may_go(llama, model_server, field):
    gateway = llama(linger="100ms")
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.after(1.5))
    assert gateway.ended(hang_up_after(gateway, headers=field))["status"] == "COMPLETED"


def test_a_job_that_is_listened_to_goes_on(llama, model_server):
    gateway = llama(linger="300ms")
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.after(2.0))
    job = hang_up_after(gateway)
    assert [event.status for event in gateway.events(job)][-1] == "COMPLETED"


def test_the_last_client_to_leave_counts(llama, model_server):
    gateway = llama(linger="2s")
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.hang())
    job = hang_up_after(gateway)
    route.wait_calls(1)
    with begin_call(gateway, headers=b"x-stainless-retry-count: 1\r\n") as sock:
        sock.settimeout(1.5)
        with pytest.raises(TimeoutError):
            sock.recv(1)
    left = time.monotonic()
    assert gateway.ended(job)["status"] == "CANCELLED"
    assert time.monotonic() - left > 1.9, "as long as if no one had asked before"
    assert len(jobs(gateway)) == 1 and len(route.calls) == 1


def test_linger_can_be_for_ever(llama, model_server):
    gateway = llama(linger="forever")
    model_server.route("/v1/chat/completions").answer_with(answers.after(1.0))
    assert gateway.ended(hang_up_after(gateway))["status"] == "COMPLETED"


def test_a_cancelled_call_is_409(llama, model_server):
    gateway = llama()
    model_server.route("/v1/chat/completions").answer_with(answers.hang())
    found = []
    thread = threading.Thread(target=lambda: found.append(call(gateway)))
    thread.start()
    until(lambda: jobs(gateway), "the job")
    gateway.cancel(jobs(gateway)[0])
    thread.join(20)
    [answer] = found
    assert answer.status == 409 and answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["code"] == "cancelled"


# Repeats


def test_a_repeat_of_an_sdk_is_given_the_first_answer(llama, model_server):
    gateway = llama()
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.after(1.0, answers.ok(b"first", "text/plain")), answers.ok(b"second", "text/plain"))
    body = b'{"model":"llama"}'
    job = hang_up_after(gateway)
    answer = call(gateway, body=body, headers={"x-stainless-retry-count": "1"})
    assert (answer.body, answer.headers["X-Inferq-Attached"]) == (b"first", "true")
    assert answer.headers["X-Inference-Id"] == job["id"] and len(route.calls) == 1
    again = call(gateway, body=body, headers={"x-stainless-retry-count": "2"})
    assert (again.body, again.headers["X-Inferq-Attached"]) == (b"first", "true")
    other = call(gateway, body=b'{"model": "llama"}', headers={"x-stainless-retry-count": "1"})
    assert (other.body, other.headers["X-Inferq-Attached"]) == (b"second", None)
    fresh = call(gateway, body=body, headers={"x-stainless-retry-count": "0"})
    assert (fresh.body, fresh.headers["X-Inferq-Attached"]) == (b"second", None)


def test_the_same_key_attaches_and_another_request_with_it_is_refused(llama, model_server):
    gateway = llama()
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.ok(b"first", "text/plain"), answers.ok(b"second", "text/plain"))
    key = {"Idempotency-Key": "k"}
    assert call(gateway, headers=key).body == b"first"
    answer = call(gateway, headers=key)
    assert (answer.body, answer.headers["X-Inferq-Attached"], len(route.calls)) == (b"first", "true", 1)
    for other in (call(gateway, body={"model": "llama", "n": 2}, headers=key), call(gateway, "/v1/completions", headers=key)):
        assert other.status == 422 and other.json()["error"]["code"] == "key_reused"


def test_a_key_belongs_to_one_model(make_gateway, model_server):
    gateway = make_gateway({
        "a": {"url": model_server.url("/a"), "dialect": "openai"}, "b": {"url": model_server.url("/b"), "dialect": "openai"},
    })  # fmt: skip
    key = {"Idempotency-Key": "k"}
    assert call(gateway, "/upstream/a/v1/x", {}, headers=key).status == 200
    answer = call(gateway, "/upstream/b/v1/x", {}, headers=key)
    assert answer.status == 422 and answer.json()["error"]["code"] == "key_reused"
    again = call(gateway, "/upstream/a/v1/x", {}, headers=key)
    assert (again.status, again.headers["Idempotency-Replayed"]) == (200, "true")


# Errors of our own


def test_a_full_queue_is_said_in_the_dialect(llama, model_server):
    gateway = llama(queue_limit=1)
    model_server.route("/v1/chat/completions").hold()

    def refused():
        answer = call(gateway, headers={"Prefer": "respond-async"})
        return answer.status == 429 and answer

    # One may be refused before its predecessor was claimed, and then the next one is not.
    answer = until(refused, "a full queue")
    assert 1 <= int(answer.headers["Retry-After"]) <= 120
    error = answer.json()["error"]
    assert error["code"] == "queue_full" and set(error) == {"message", "type", "param", "code"}
    model_server.let_go()


@pytest.mark.parametrize("form, target, member", [
    ("openai", "/v1/chat/completions", lambda body: body["error"]["message"]),
    ("openai", "/v1/messages", lambda body: body["error"]["message"]),
    ("ollama", "/api/chat", lambda body: body["error"]),
])  # fmt: skip
def test_an_unknown_model_is_said_in_each_dialect(make_gateway, model_server, form, target, member):
    gateway = make_gateway({"own": {"url": model_server.url(""), "dialect": form}})
    answer = call(gateway, target, {"model": "gone"})
    assert answer.status == 404 and "own" in member(answer.json()) and "gone" in member(answer.json())


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize("sent, status", [
    (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(300)) + b"Content-Length: 2\r\n\r\n{}", 431),
    (HEAD + b"X-Long: " + b"x" * 9000 + b"\r\nContent-Length: 2\r\n\r\n{}", 431),
    (HEAD + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nContent-Length: 2\r\n\r\n{}", 501),
    (b"CONNECT /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 501),
    (b"POST /upstream/llama/../../etc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}", 400),
    (b"POST /upstream/llama/%2e%2E/etc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}", 400),
], ids=["two lengths", "length and chunks", "unknown coding", "300 fields", "9 KiB of fields", "WebSocket", "CONNECT",
        "dots", "encoded dots"])  # fmt: skip
def test_bad_requests_reach_no_model_server(llama, model_server, sent, status):
    gateway = llama()
    with wire.dial(gateway.address) as sock:
        sock.sendall(sent)
        assert wire.read_answer(sock, "POST").status == status
    assert jobs(gateway) == [] and model_server.route("/v1/chat/completions").calls == []


def test_an_answer_whose_head_is_too_large_is_said_to_be(llama, model_server):
    gateway = llama(max_attempts=1)
    fields = [(f"X-{n}", "x" * 1000) for n in range(17)]
    model_server.route("/v1/chat/completions").answer_with(answers.ok(headers=fields))
    answer = call(gateway)
    assert answer.status == 502 and "head of the model server's answer is too large" in answer.json()["error"]["message"]


# Durable


def test_a_call_survives_a_kill(llama, model_server):
    gateway = llama()
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.hang(), answers.ok(b"after the kill", "text/plain"))
    job = call(gateway, headers={"Prefer": "respond-async", "X-Own": "1"}).json()
    route.wait_calls(1)
    gateway.kill()
    gateway.restart()
    ended = gateway.ended(job)
    assert ended["status"] == "COMPLETED" and ended["attempt"] == 2
    assert gateway.get(job["urls"]["output"]).body == b"after the kill"
    assert route.calls[1].header("X-Own") == "1" and route.calls[1].body == route.calls[0].body


def test_a_server_that_is_away_costs_no_call(llama, model_server):
    gateway = llama(max_attempts=1)
    route = model_server.route("/v1/chat/completions")
    loading = b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}'
    route.answer_with(answers.ok(loading, status=503), answers.ok(loading, status=503), answers.ok(b"up", "text/plain"))
    answer = call(gateway)
    assert (answer.status, answer.body) == (200, b"up")


def test_a_retry_makes_the_same_call_and_waits_for_nobody(llama, model_server):
    gateway = llama(linger="100ms")
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.status(400), answers.hang(), answers.ok(b"fine", "text/plain"))
    assert call(gateway, headers={"X-Own": "1"}).status == 400
    [job] = jobs(gateway)
    again = gateway.post(job["urls"]["self"] + "/retry", b"", headers={}).json()
    route.wait_calls(2)
    gateway.kill()
    gateway.restart()
    ended = gateway.ended(again)
    assert ended["status"] == "COMPLETED" and ended["call"]["target"] == "/v1/chat/completions"
    assert route.calls[1].header("X-Own") == "1"


def test_records_and_lists_are_as_described(llama):
    gateway = llama()
    call(gateway)
    [job] = jobs(gateway)
    gateway.record(job)
    for event in gateway.events(job):
        DESCRIPTION.check_event(event)


def test_connections_are_kept(llama):
    """Three calls on one connection, one of them an error."""
    gateway = llama()
    with wire.dial(gateway.address) as sock:
        for body, status in [(b'{"model":"llama"}', 200), (b'{"model":"gone"}', 404), (b'{"model":"llama"}', 200)]:
            sock.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body
            )
            response = wire.http.client.HTTPResponse(sock, method="POST")
            response.begin()
            response.read()
            assert response.status == status
        assert isinstance(sock, socket.socket)


# The Open Inference Protocol


def test_the_calls_of_a_kserve_server(make_gateway, model_server):
    gateway = make_gateway({
        "resnet": {"url": model_server.url(""), "dialect": "kserve"}, "other": {"url": model_server.url("/other")},
    })  # fmt: skip
    for target in ("/v2/models/resnet", "/v2/models/resnet/ready", "/v2/health/ready", "/v2/models/resnet/versions/1"):
        model_server.route(target).answer_with(answers.ok(target.encode(), "text/plain"))
        assert wire.exchange(gateway.address, "GET", target).body == target.encode()
    answer = call(gateway, "/v2/models/resnet/versions/2/infer", {"inputs": []})
    assert answer.status == 200 and model_server.route("/v2/models/resnet/versions/2/infer").calls[0].method == "POST"
    assert call(gateway, "/v2/models/gone/infer", {}).json()["error"]
    assert gateway.get("/v2/models/other").json()["display_name"] == "other"
    [listed] = [each for each in gateway.get("/v2/models").json()["results"] if each["display_name"] == "resnet"]
    assert gateway.get("/v2/models/" + listed["id"]).json()["display_name"] == "resnet"
    assert len(jobs(gateway)) == 1


def test_the_administration_of_ollama_is_closed(make_gateway, model_server):
    gateway = make_gateway({"gemma": {"url": model_server.url(""), "dialect": "ollama", "names": ["gemma3:*"]}})
    assert call(gateway, "/api/chat", {"model": "gemma3:4b"}).status == 200
    model_server.route("/api/tags").answer_with(answers.ok(b'{"models":[]}'))
    assert wire.exchange(gateway.address, "GET", "/api/tags").body == b'{"models":[]}'
    for target in ("/api/pull", "/api/%70ull", "/upstream/gemma/api/delete", "/upstream/gemma/api/%64elete", "/api/create"):
        answer = call(gateway, target, {"model": "gemma3:4b"}, method="DELETE" if "elete" in target else "POST")
        assert answer.status == 403 and "error" in answer.json(), target
    for target in ("/upstream/gemma/a/../b", "/upstream/gemma/a/%2e%2E/b", "/api/..%2fv1/chat"):
        assert call(gateway, target, {}).status in (400, 404), target
    assert [each.target for each in model_server.route("/api/delete").calls] == []


# Restarts


def test_a_client_that_comes_back_after_a_restart_finds_its_call(llama, model_server):
    gateway = llama(linger="60s")
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.hang(), answers.ok(b"once", "text/plain"), answers.ok(b"twice", "text/plain"))
    body = json.dumps({"model": "llama", "text": "x" * 100_000}).encode()
    for count, each in enumerate((body, b'{"model":"llama"}'), 1):
        sock = begin_call(gateway, each)
        until(lambda count=count: len(jobs(gateway)) == count, "the job")
    route.wait_calls(1)
    gateway.kill()
    gateway.restart()
    for each, expected in ((body, b"once"), (b'{"model":"llama"}', b"twice")):
        answer = call(gateway, body=each, headers={"x-stainless-retry-count": "1"})
        assert (answer.body, answer.headers["X-Inferq-Attached"]) == (expected, "true")
    assert len(jobs(gateway)) == 2 and len(route.calls) == 3


def test_a_client_that_comes_back_after_a_restart_finds_its_answer(llama, model_server):
    """Its call had ended, and the power went before it had the last byte: the answer is on disk."""
    gateway = llama()
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.ok(b"first", "text/plain"), answers.ok(b"second", "text/plain"), answers.ok(b"more", "text/plain"))
    short, long = b'{"model":"llama"}', json.dumps({"model": "llama", "text": "x" * 100_000}).encode()
    for body, expected in ((short, b"first"), (long, b"second")):
        assert call(gateway, body=body).body == expected
    assert call(gateway, headers={"Prefer": "respond-async"}, body=b'{"model":"llama","n":1}').status == 202
    until(lambda: {job["status"] for job in jobs(gateway)} == {"COMPLETED"}, "the ends of all three")
    gateway.kill()
    gateway.restart()
    again = {"x-stainless-retry-count": "1"}
    for body, expected in ((short, b"first"), (long, b"second")):
        answer = call(gateway, body=body, headers=again)
        assert (answer.body, answer.headers["X-Inferq-Attached"]) == (expected, "true")
    assert len(jobs(gateway)) == 3 and len(route.calls) == 3
    # What was to outlive its client waits for no repeat.
    assert "X-Inferq-Attached" not in call(gateway, body=b'{"model":"llama","n":1}', headers=again).headers
    assert len(route.calls) == 4


def test_a_call_whose_client_does_not_come_back_after_a_restart_is_cancelled(llama, model_server):
    gateway = llama(linger="1s")
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.hang())
    kept = call(gateway, headers={"Prefer": "respond-async"}).json()
    route.wait_calls(1)
    sock = begin_call(gateway)
    until(lambda: len(jobs(gateway)) == 2, "the second job")
    gateway.kill()
    gateway.restart()
    [lost] = [job for job in jobs(gateway) if job["id"] != kept["id"]]
    assert gateway.ended(lost)["status"] == "CANCELLED"
    assert gateway.record(kept)["status"] == "RUNNING"


# What is true of native submits as well


def test_jobs_of_a_model_expire_that_name_no_time(llama, model_server):
    gateway = llama(expires_in="1s")
    model_server.route("/v1/chat/completions").hold()
    running = gateway.submit("llama")
    model_server.route("/v1/chat/completions").wait_calls(1)
    called = call(gateway, headers={"Prefer": "respond-async"}).json()
    native, own = gateway.submit("llama"), gateway.submit("llama", expires_in="1h")
    assert gateway.ended(called)["error"]["code"] == gateway.ended(native)["error"]["code"] == "expired"
    model_server.let_go()
    assert gateway.ended(own)["status"] == gateway.ended(running)["status"] == "COMPLETED"


def test_an_input_that_is_not_as_it_was_stored_is_said_to_be(llama, model_server):
    gateway = llama(max_attempts=1)
    route = model_server.route("/v1/chat/completions")
    route.hold()
    gateway.submit("llama")
    route.wait_calls(1)
    job = call(gateway, body=b"{" + b" " * 100_000 + b"}", headers={"Prefer": "respond-async"}).json()
    [blob] = (gateway.folder / "blobs").iterdir()
    data = bytearray(blob.read_bytes())
    data[70_000] ^= 1
    blob.write_bytes(data)
    model_server.let_go()
    error = gateway.ended(job)["error"]
    assert "the stored input cannot be read" in error["message"] and "does not match what was written" in error["message"]
    # The record is there first.
    until(lambda: any("the stored input cannot be read" in line for line in gateway.log_lines("warning")), "the log")
