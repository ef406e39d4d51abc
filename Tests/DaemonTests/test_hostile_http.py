"""Malformed, ambiguous and greedy HTTP: refused before anything acts on it, and the gateway answers others as before."""

import json
import re
import time

import pytest

import wire
from contract import KIB, MIB, SUBMIT, problem
from waiting import fair, until

HOST = b"Host: 127.0.0.1\r\n"
# What an attacker would have taken for a request of its own.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PLAIN = b"POST /v1/async/inference?model=nobody HTTP/1.1\r\n" + HOST + b"Content-Type: text/plain\r\n"


@pytest.fixture(autouse=True)
def healthy(gateway):
    """After every test: the same process answers, at once, and nothing went to the log that someone must look at."""
    pid = gateway.process.pid
    yield
    began = time.monotonic()
    assert gateway.get("/readyz").status == 200
    assert time.monotonic() - began < fair(5, began)
    assert gateway.process.pid == pid and gateway.is_running
    assert not gateway.error_lines()


def statuses(received):
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3})", received)]


def refused(gateway, data, allowed=(400,)):
    """One answer at most, an error, then the end of the connection."""
    received = gateway.raw(data)
    found = statuses(received)
    assert len(found) <= 1, received
    assert b"smuggled" not in received, received
    if found:
        assert found[0] in allowed, received
        head, _, body = received.partition(b"\r\n\r\n")
        assert b"connection: close" in head.lower()
        if body:
            assert json.loads(body)["status"] == found[0]
    return found


# Methods


@pytest.mark.parametrize("method", [b"FOO", b"BREW", b"X", b"M-SEARCH2"])
@pytest.mark.parametrize("path", [b"/v1/inference", b"/nowhere"])
def test_a_method_that_nobody_knows_is_405(gateway, method, path):
    received = gateway.raw(method + b" " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert statuses(received) == [405], received
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"allow: " in head.lower() and json.loads(body)["code"] == "method_not_allowed"


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"(GET) / HTTP/1.1\r\n\r\n", b"FOO\r\n\r\n"])
def test_what_does_not_begin_with_a_method_is_malformed(gateway, data):
    refused(gateway, data)


@pytest.mark.parametrize("data, reason", [
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "it begins like TLS, and this address speaks plain HTTP"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "it is HTTP/2, which this gateway does not speak"),
    (b"hello\r\n\r\n", "it does not begin with a method"),
    (b"GET /livez\r\n\r\n", "its first line is not a method, a target and HTTP/1.1, and CR LF behind them"),
    (b"GET /li vez HTTP/1.1\r\n" + HOST, "its first line is not a method, a target and HTTP/1.1, and CR LF behind them"),
    (b"GET livez HTTP/1.1\r\n" + HOST, "its target is not a path, or holds a byte that must be percent-encoded"),
    (b"GET http://other/livez HTTP/1.1\r\n" + HOST + b"\r\n",
     "its target is neither a path nor a URL with the host of the Host header"),
    (b"GET /livez HTTP/1.1\r\n\r\n", "it has no Host header"),
    (PLAIN + HOST + b"\r\n", "it has 2 Host headers"),
    (PLAIN + b"X-A\r\n", "a header has a malformed name or value"),
    (PLAIN + b"Content-Length: five\r\n", "its Content-Length is not a number, or there is a Transfer-Encoding as well"),
    (PLAIN + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
     "its Content-Length is not a number, or there is a Transfer-Encoding as well"),
    (PLAIN + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
     "it has more than one of the headers Content-Length and Transfer-Encoding"),
    (PLAIN.replace(b"/1.1", b"/1.0") + b"Transfer-Encoding: chunked\r\n\r\n", "HTTP/1.0 has no Transfer-Encoding"),
    (PLAIN + b"Transfer-Encoding: chunked\r\n\r\nfive\r\n", "the size of a chunk is not a hexadecimal number, or is too large"),
    (PLAIN + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
     "a line or a chunk does not end with CR LF, or a chunk has a malformed extension"),
])  # fmt: skip
def test_what_is_malformed_is_said(gateway, data, reason):
    found = json.loads(gateway.raw(data).partition(b"\r\n\r\n")[2])
    assert found["code"] == "malformed_http"
    assert found["detail"] == f"The request is not well-formed HTTP/1.1: {reason}."


def test_the_answer_to_head_for_a_stream_has_no_body(gateway, model):
    """The next answer on the connection follows its head at once."""
    job = gateway.submit(model.name)
    for path in (job["urls"]["events"], "/v1/events"):
        head = f"HEAD {path} HTTP/1.1\r\n".encode() + HOST
        received = gateway.raw(head + b"\r\n" + b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        first, _, rest = received.partition(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 200") and b"text/event-stream" in first
        assert rest.startswith(b"HTTP/1.1 200"), rest


# Requests that two readers would cut in different places


@pytest.mark.parametrize("name, data", {
    "a length and chunks": PLAIN + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunks and a length": PLAIN + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths that differ": PLAIN + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
    "two lengths that agree": PLAIN + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + SMUGGLED,
    "a list of lengths": PLAIN + b"Content-Length: 5, 5\r\n\r\nhello" + SMUGGLED,
    "a negative length": PLAIN + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "a length with a sign": PLAIN + b"Content-Length: +5\r\n\r\nhello" + SMUGGLED,
    "a length in hexadecimal": PLAIN + b"Content-Length: 0x5\r\n\r\nhello" + SMUGGLED,
    "a length with a space": PLAIN + b"Content-Length: 5 5\r\n\r\nhello" + SMUGGLED,
    "an empty length": PLAIN + b"Content-Length:\r\n\r\n" + SMUGGLED,
    "a space before the colon": PLAIN + b"Content-Length : 5\r\n\r\nhello" + SMUGGLED,
    "a tab before the colon": PLAIN + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a folded field": PLAIN + b"X-A: 1\r\n Content-Length: 5\r\n\r\nhello" + SMUGGLED,
    "a folded coding": PLAIN + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a NUL in a value": PLAIN + b"X-A: a\0b\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "a NUL in a name": PLAIN + b"X\0A: b\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "a carriage return in a value": PLAIN + b"X-A: a\rX-B: b\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "a line feed alone in the head": PLAIN + b"X-A: a\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "line feeds alone everywhere": (PLAIN + b"Content-Length: 0\r\n\r\n").replace(b"\r\n", b"\n") + SMUGGLED,
    "a line feed alone at the end of the head": PLAIN + b"Content-Length: 0\r\n\n" + SMUGGLED,
    "carriage returns alone": (PLAIN + b"Content-Length: 0\r\n\r\n").replace(b"\r\n", b"\r") + SMUGGLED,
    "another coding alone": PLAIN + b"Transfer-Encoding: gzip\r\n\r\n" + SMUGGLED,
    "another coding before the chunks": PLAIN + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "another coding after chunks": PLAIN + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunks twice": PLAIN + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two codings": PLAIN + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a coding nobody knows": PLAIN + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a coding with a vertical tab": PLAIN + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunks in HTTP/1.0": PLAIN.replace(b"/1.1", b"/1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a field without a colon": PLAIN + b"Content-Length\r\n\r\n" + SMUGGLED,
    "a field without a name": PLAIN + b": 5\r\n\r\n" + SMUGGLED,
    "a first line that is folded": b"POST / HTTP/1.1\r\n Host: 127.0.0.1\r\n\r\n" + SMUGGLED,
    "two hosts": PLAIN + HOST + b"Content-Length: 0\r\n\r\n" + SMUGGLED,
    "no host": b"GET /livez HTTP/1.1\r\n\r\n" + SMUGGLED,
}.items())  # fmt: skip
def test_a_request_with_two_readings_is_refused(gateway, name, data):
    refused(gateway, data, (400, 501, 505))


@pytest.mark.parametrize("length", [2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**40])
@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"], ids=["at once", "invited"])
@pytest.mark.parametrize("content_type", [b"application/json", b"text/plain"])
def test_a_length_that_no_counter_holds_is_too_large(gateway, model, length, expect, content_type):
    head = PLAIN.replace(b"text/plain", content_type).replace(b"nobody", model.name.encode())
    if content_type != b"text/plain":
        head = head.replace(b"?model=" + model.name.encode(), b"")
    refused(gateway, head + expect + b"content-LENGTH: \t%d \r\n\r\nhello" % length + SMUGGLED, (413,))
    assert not model.calls


CHUNKED = PLAIN.replace(b"nobody", b"MODEL") + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("body", [
    b"g\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n",
    b"\r\nhello\r\n0\r\n\r\n", b"5 5\r\nhello\r\n0\r\n\r\n", b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\nhello", b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhelloworld\r\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"5;a=\0\r\nhello\r\n0\r\n\r\n",
    b"5;a=\n\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nX-A: \0\r\n\r\n", b"5\r\nhello\r\n0\r\nContent-Length 5\r\n\r\n",
])  # fmt: skip
def test_a_malformed_chunk_makes_no_job(gateway, model, body):
    found = refused(gateway, CHUNKED.replace(b"MODEL", model.name.encode()) + body + SMUGGLED, (400, 413))
    assert not model.calls, found


def test_a_flood_of_chunk_extensions_is_bounded(gateway, model):
    """Bytes that are no body must not pass the limits of bodies (CVE-2023-39326 and its kind)."""
    head = CHUNKED.replace(b"MODEL", model.name.encode())
    with wire.dial(gateway.address) as sock:
        sock.sendall(head)
        sent = 0
        try:
            while sent < 64 * MIB:
                piece = b"1;" + b"x" * (64 * KIB) + b"\r\nh\r\n"
                sock.sendall(piece)
                sent += len(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 64 * MIB, "the gateway went on reading"
    assert gateway.peak_memory() < 1 << 30
    assert not model.calls


def test_a_small_extension_and_trailers_are_no_trouble(gateway, model):
    body = b"5;name=value\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"
    with wire.dial(gateway.address) as sock:
        sock.sendall(CHUNKED.replace(b"MODEL", model.name.encode()) + body)
        assert wire.read_answer(sock, "POST").status == 202
    assert model.route.wait_calls(1)[0].body == b"hello"


# First lines


@pytest.mark.parametrize("line", [
    b"GET /livez", b"GET /livez HTTP/1.1 x", b"GET /livez HTTP/2.0", b"GET /livez HTTP/1.10",
    b"GET /livez HTTP/9.9", b"GET /livez http/1.1", b"GET /livez HTTP1.1", b"GET /livez HTTP/1.1\0", b"GET\t/livez HTTP/1.1",
    b"GET livez HTTP/1.1", b"GET /li vez HTTP/1.1", b"GET /\0 HTTP/1.1", b"GET /\x01 HTTP/1.1", b"GET /\x7f HTTP/1.1",
    b"/livez HTTP/1.1", b"HTTP/1.1 200 OK", b"PRI * HTTP/2.0", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"CONNECT evil.example:443 HTTP/1.1", b"GET?/livez HTTP/1.1",
])  # fmt: skip
def test_a_malformed_first_line_is_refused(gateway, line):
    refused(gateway, line + b"\r\n" + HOST + b"\r\n" + SMUGGLED, (400, 404, 405, 421, 501, 505))


def test_noise_is_refused(gateway):
    for noise in (b"\0" * 4096, b"\xff" * 4096, b"\r\n" * 4096 + b"\0", b"A" * 200_000, b"GET " + b"/" * 300_000):
        refused(gateway, noise, (400, 414, 431))


# Sizes


def test_a_long_target_is_414_and_one_at_the_limit_is_not(gateway):
    for length, status in ((16 * KIB, 404), (16 * KIB + 1, 414), (60 * KIB, 414)):
        received = gateway.raw(b"GET /" + b"a" * (length - 1) + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        assert statuses(received) == [status], (length, received[:200])


def test_a_huge_target_is_cut_off(gateway):
    received = b""
    with wire.dial(gateway.address) as sock:
        try:
            for _ in range(256):
                sock.sendall(b"GET /" + b"a" * (64 * KIB))
        except (BrokenPipeError, ConnectionResetError):
            pass
        received = wire.read_to_close(sock)
    assert statuses(received)[:1] in ([], [400], [414], [431])


def test_a_head_over_64_kib_is_431_and_one_below_is_not(gateway):
    def ask(size):
        filler = b"".join(b"X-%04d: " % n + b"v" * 1000 + b"\r\n" for n in range(size // 1010))
        return statuses(gateway.raw(b"GET /livez HTTP/1.1\r\n" + HOST + filler + b"Connection: close\r\n\r\n"))

    assert ask(60 * KIB) == [200]
    assert ask(80 * KIB) == [431]


@pytest.mark.parametrize("count, status", [(90, 200), (101, 431), (1_000, 431), (5_000, 431)])
def test_more_than_100_fields_are_431(gateway, count, status):
    fields = b"".join(b"X-%d: 1\r\n" % n for n in range(count - 2))
    received = gateway.raw(b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n" + fields + b"\r\n")
    assert statuses(received) == [status], received[:300]


def test_an_endless_head_is_cut_off_and_costs_no_memory(gateway):
    before = gateway.peak_memory()
    for field in (b"X-Flood: " + b"v" * 1000 + b"\r\n", b"v" * 1000):
        with wire.dial(gateway.address) as sock:
            sock.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"X-Start: ")
            sent = 0
            try:
                while sent < 32 * MIB:
                    sock.sendall(field * 64)
                    sent += 64 * len(field)
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert sent < 32 * MIB, "the gateway went on reading"
    assert gateway.peak_memory() - before < 64 * MIB


# Expectations


def test_an_expectation_that_nobody_knows_is_417(gateway, model):
    head = PLAIN.replace(b"nobody", model.name.encode()) + b"Expect: 200-maybe\r\nContent-Length: 5\r\n\r\n"
    with wire.dial(gateway.address) as sock:
        sock.sendall(head)
        problem(wire.read_answer(sock, "POST"), 417)
    assert not model.calls


@pytest.mark.parametrize("target, extra, status", [
    ("/v1/async/inference?model=nobody", b"Content-Length: 17000000\r\n", 413),
    ("/v1/nothing", b"Content-Length: 5\r\n", 404),
    ("/v1/async/inference?model=nobody", b"Content-Length: 5\r\nContent-Encoding: gzip\r\n", 415),
    ("/v1/async/inference?model=nobody", b"Content-Length: 5\r\nHost: 127.0.0.1\r\n", 400),
])  # fmt: skip
def test_what_the_head_refuses_is_not_invited(gateway, target, extra, status):
    head = f"POST {target} HTTP/1.1\r\n".encode() + HOST + b"Content-Type: text/plain\r\nExpect: 100-continue\r\n"
    with wire.dial(gateway.address) as sock:
        sock.sendall(head + extra + b"\r\n")
        received = wire.read_to_close(sock)
    assert statuses(received) == [status]


def test_an_expectation_of_http_1_0_is_ignored(gateway, model):
    head = PLAIN.replace(b"nobody", model.name.encode()).replace(b"/1.1", b"/1.0")
    received = gateway.raw(head + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
    assert statuses(received) == [202], received[:300]


def test_an_answer_before_the_body_leaves_the_connection_usable(gateway):
    """The body that comes after a 404 is thrown away, and the next request is a request, with deadlines of its own."""
    body = b"x" * 100_000
    head = b"POST /v1/nothing HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body)
    with wire.dial(gateway.address) as sock:
        sock.sendall(head + body[:1])
        assert wire.read_answer(sock, "POST").status == 404
        sock.sendall(body[1:] + b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        assert wire.read_answer(sock).status == 200


# Uncommon and allowed


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_pipelined_bodies_arrive_whole(gateway, model, framing):
    """That one body was taken is told when the next one is on its way: nothing of that one may be lost."""
    bodies = [bytes([number]) * 70_000 for number in range(24)]
    head = PLAIN.replace(b"nobody", model.name.encode()) + (
        b"Transfer-Encoding: chunked\r\n\r\n" if framing == "chunks" else b"Content-Length: 70000\r\n\r\n"
    )
    with wire.dial(gateway.address) as sock:
        for _ in range(5):
            received = b""
            for body in bodies:
                framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if framing == "chunks" else body
                sock.sendall(head + framed)
            while len(statuses(received)) < len(bodies) or not received.endswith(b"[]}"):
                received += sock.recv(65536)
            assert statuses(received) == [202] * len(bodies)
            sizes = [int(size) for size in re.findall(rb'"input":{"content_type":"text/plain","bytes":(\d+)', received)]
            assert sizes == [70_000] * len(bodies)


def test_pipelined_requests_are_answered_in_order(gateway):
    paths = ["/livez", "/v1/nothing", "/v1/models", "/livez"]
    requests = b"".join(f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"\r\n" for path in paths)
    with wire.dial(gateway.address) as sock:
        sock.sendall(requests)
        received = b""

        def more():
            nonlocal received
            received += sock.recv(65536)
            return len(statuses(received)) == len(paths)

        until(more, "four answers")
    assert statuses(received) == [200, 404, 200, 200]


def test_pipelined_submits_make_one_job_each(gateway, model):
    body = json.dumps({"model": model.name}).encode()
    one = b"POST " + SUBMIT.encode() + b" HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    one += b"Content-Length: %d\r\n\r\n" % len(body) + body
    received = gateway.raw(one * 9 + one.replace(HOST, HOST + b"Connection: close\r\n"))
    assert statuses(received) == [202] * 10
    ids = re.findall(rb'"id":"([0-9a-f-]{36})","event_id"', received)
    assert len(set(ids)) == 10
    model.route.wait_calls(10)


def test_what_follows_a_malformed_request_in_the_pipeline_is_not_read(gateway):
    """The first request was read well and is answered for itself: its answer must not be the second one's 400."""
    good = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
    for _ in range(20):
        received = gateway.raw(good + b"GET /livez HTTP/1.1\r\nX A: 1\r\n\r\n" + SMUGGLED)
        assert statuses(received) in ([200], [200, 400])
        assert b"smuggled" not in received


def test_a_refusal_does_not_take_the_place_of_an_earlier_answer(gateway, model):
    """The submit was accepted: its client must learn that, and not of what is wrong with the next head."""
    body = json.dumps({"model": model.name}).encode()
    submit = b"POST " + SUBMIT.encode() + b" HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    submit += b"Content-Length: %d\r\n\r\n" % len(body) + body
    received = gateway.raw(submit + b"GET /livez HTTP/1.1\r\n" + HOST + HOST + b"\r\n" + SMUGGLED)
    assert statuses(received) == [202], received


def test_http_1_0_is_answered_and_closed(gateway):
    for head in (b"GET /livez HTTP/1.0\r\n\r\n", b"GET /livez HTTP/1.0\r\n" + HOST + b"\r\n"):
        received = gateway.raw(head)
        assert statuses(received) == [200]
        assert b"chunked" not in received.lower()
        assert json.loads(received.partition(b"\r\n\r\n")[2])["status"] == "UP"


def test_an_absolute_target_is_served_and_its_host_is_checked(gateway):
    own = f"127.0.0.1:{gateway.port}".encode()

    def ask(target, host):
        received = gateway.raw(b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
        return statuses(received)

    assert ask(b"http://" + own + b"/livez", own) == [200]
    # The target and the field must name the same host (RFC 9112, section 3.2.2), and that one is checked.
    assert ask(b"http://evil.example/livez", own) == [400]
    assert ask(b"http://evil.example/livez", b"evil.example") == [421]
    assert ask(b"/livez", b"evil.example") == [421]


def test_empty_lines_before_a_request_are_skipped(gateway):
    received = gateway.raw(b"\r\n\r\nGET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert statuses(received) == [200]


def test_a_body_on_a_get_does_not_become_a_request(gateway):
    body = SMUGGLED
    head = b"GET /livez HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body)
    tail = b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    received = gateway.raw(head + body + tail)
    assert statuses(received) == [200, 200]
    assert b"smuggled" not in received


def test_a_request_in_single_bytes_is_a_request(gateway, model):
    body = json.dumps({"model": model.name}).encode()
    data = b"POST " + SUBMIT.encode() + b" HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    data += b"Content-Length: %d\r\n\r\n" % len(body) + body
    with wire.dial(gateway.address) as sock:
        sock.setsockopt(6, 1, 1)  # TCP_NODELAY: one packet each
        for byte in data:
            sock.sendall(bytes([byte]))
        assert wire.read_answer(sock, "POST").status == 202


def test_clients_that_hang_up_at_every_point_leave_nothing_behind(gateway, model):
    body = json.dumps({"model": model.name}).encode()
    data = b"POST " + SUBMIT.encode() + b" HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    data += b"Content-Length: %d\r\n\r\n" % len(body) + body
    for end in range(0, len(data), 7):
        with wire.dial(gateway.address) as sock:
            sock.sendall(data[:end])
    # Only the whole request would have been a job.
    assert gateway.get(f"/v1/inference?model={model.name}").json()["results"] == []
