"""Calls whose answers are streams, `../docs/calls.md`: what a client sees of them, and when."""

import json
import os
import time

import pytest

import wire
from streamserver import CHAT, COMPLETIONS, GENERATE, MARKED, NONE, SPOKEN, WORDS, data, each_kind, said, site  # noqa: F401
from waiting import fair, until

DONE = data("[DONE]")
FIRST = data({"n": 1})


# At once


@each_kind([*MARKED, NONE])
def test_each_piece_is_shown_while_the_server_says_no_more(site, kind):
    each = site(kind)
    feed = each.feed()
    with each.call() as client:
        for frame in kind.frames:
            feed.send(frame)
            client.until(feed.body, timeout=3)
        client.silent(0.05)
        feed.send(kind.mark) if kind.mark else None
        feed.finish()
        assert client.whole() == kind.whole
    assert client.status == 200
    job = each.gateway.ended(each.job())
    assert job["status"] == "COMPLETED" and each.output(job) == kind.whole


def test_an_answer_of_another_type_is_a_stream_if_it_takes_its_time(site):
    each = site()
    for content_type in ("application/octet-stream", "application/json", "text/plain", None):
        feed = each.feed(content_type=content_type)
        with each.call() as client:
            feed.send(b"\x00\xff half")
            client.until(b"\x00\xff half", timeout=3)
            assert client.headers["Content-Type"] == content_type
            assert client.headers["X-Accel-Buffering"] == "no"
            feed.send(b" whole")
            feed.finish()
            assert client.whole() == b"\x00\xff half whole"


def test_an_answer_that_is_whole_at_once_is_none(site):
    each = site()
    for keys in ({"framing": "chunked"}, {"framing": "length", "length": 4}, {"framing": "close"}, {"framing": "HTTP/1.0"}):
        each.route.answer_with(said(b"fine", content_type="text/plain", **keys))
        client = each.call()
        assert client.whole() == b"fine" and client.headers["X-Accel-Buffering"] is None, keys
        assert client.headers["Content-Length"] == "4", keys


@pytest.mark.parametrize("status", [400, 404, 422])
def test_only_2xx_are_streams(site, status):
    each = site()
    each.route.answer_with(said(FIRST, status=status, headers=[("Cache-Control", "public")]))
    client = each.call()
    assert client.whole() == FIRST and client.status == status and client.headers["x-should-retry"] == "false"
    assert (client.headers["X-Accel-Buffering"], client.headers["Cache-Control"]) == (None, "public")


def test_a_5xx_of_a_streams_type_is_repeated_and_not_shown(site):
    each = site(max_attempts=2)
    each.route.answer_with(said(FIRST, status=500), said(CHAT.whole))
    assert each.call().whole() == CHAT.whole and len(each.route.calls) == 2


@pytest.mark.parametrize("status", [200, 201, 203])
def test_the_head_of_a_stream(site, status):
    each = site()
    fields = [
        ("Cache-Control", "public, max-age=60"), ("X-Accel-Buffering", "yes"), ("X-Server", "mine"), ("Connection", "X-Hop"),
        ("X-Hop", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Keep-Alive", "timeout=5"),
    ]  # fmt: skip
    each.route.answer_with(said(*CHAT.frames, CHAT.mark, status=status, headers=fields, content_type="text/event-stream; x=1"))
    client = each.call()
    assert client.whole() == CHAT.whole and client.status == status
    job, headers = each.job(), client.headers
    for name, values in {
        "Content-Type": ["text/event-stream; x=1"], "X-Accel-Buffering": ["no"], "Cache-Control": ["no-store, no-transform"],
        "X-Inference-Id": [job["id"]], "X-Event-Id": [job["event_id"]], "x-request-id": [job["id"]], "X-Server": ["mine"],
        "Link": [f"<{job['urls']['events']}>; rel=\"monitor\""], "Set-Cookie": ["a=1", "b=2"], "X-Hop": None, "Keep-Alive": None,
        "x-should-retry": None,
    }.items():  # fmt: skip
        assert headers.get_all(name) == values, name


def test_the_servers_own_request_id_stays(site):
    each = site()
    each.route.answer_with(said(CHAT.whole, headers=[("X-Request-Id", "theirs")]))
    client = each.call()
    assert client.whole() == CHAT.whole and client.headers.get_all("X-Request-Id") == ["theirs"]


# Clients


def test_a_client_that_does_not_read_slows_nobody(site):
    each = site(NONE)
    body = os.urandom(16 << 20)
    feed = each.feed(content_type="application/octet-stream")
    with each.call() as client:
        feed.send(*(body[n : n + 65536] for n in range(0, len(body), 65536)))
        feed.finish()
        assert each.gateway.ended(each.job(), timeout=5)["status"] == "COMPLETED"
        assert client.whole() == body


def test_a_client_of_http_1_0_is_given_the_end_of_the_connection_as_the_end(site):
    each = site()
    feed = each.feed()
    with each.call(version="1.0") as client:
        feed.send(FIRST)
        client.until(FIRST, timeout=3)
        assert client.headers["Transfer-Encoding"] is None and client.headers["Content-Length"] is None
        feed.send(DONE)
        feed.finish()
        client.to_end()
        assert (client.body, client.ending) == (FIRST + DONE, "closed")


@pytest.mark.parametrize("rest", [b"", b"data: torn"], ids=["at a frame end", "torn"])
def test_a_client_of_http_1_0_is_not_told_that_a_broken_stream_is_whole(site, rest):
    """It knows only how the connection ends: a FIN says that this is all there is."""
    each = site()
    feed = each.feed()
    with each.call(version="1.0") as client:
        feed.send(FIRST + rest)
        client.until(FIRST + rest)
        feed.cut()
        assert client.to_end().ending == "reset"


def test_a_connection_is_kept_after_a_stream_that_is_whole(site):
    each = site()
    each.route.answer_with(said(CHAT.whole))
    request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    request += b"Content-Length: 2\r\n\r\n{}"
    with wire.dial(each.address) as sock:
        for _ in range(3):
            sock.sendall(request)
            response = wire.http.client.HTTPResponse(sock, method="POST")
            response.begin()
            assert response.read() == CHAT.whole


@pytest.mark.long
@pytest.mark.timeout(60)
def test_silence_is_broken_by_comment_lines_at_frame_ends_of_events_alone(site):
    """15 s after the last byte, and never inside of a frame, in another type, or in what is kept."""
    frame, torn, lines = site(), site(COMPLETIONS), site(GENERATE)
    feeds = [each.feed() for each in (frame, torn, lines)]
    clients = [each.call() for each in (frame, torn, lines)]
    feeds[0].send(FIRST)
    feeds[1].send(FIRST, b'data: {"to')
    feeds[2].send(GENERATE.frames[0])
    for feed, client in zip(feeds, clients):
        client.until(feed.body)
    came = clients[0].arrivals[-1][0]
    clients[0].until(FIRST + b":\n", timeout=25)
    waited = clients[0].arrivals[-1][0] - came
    assert 14 < waited < fair(17, came), f"{waited:.1f} s"
    feeds[1].send(b'rn": 1}\n\n')
    for feed, end in zip(feeds, (DONE, DONE, GENERATE.mark)):
        feed.send(end)
        feed.finish()
    assert clients[0].whole() == FIRST + b":\n" + DONE
    # Overdue, a comment may come as soon as the torn frame has its end, before what follows it.
    torn_body = feeds[1].body
    assert clients[1].whole() in (torn_body, torn_body.removesuffix(DONE) + b":\n" + DONE)
    assert clients[2].whole() == feeds[2].body
    for each, feed in zip((frame, torn, lines), feeds):
        assert each.output(each.gateway.ended(each.job())) == feed.body


# Gone, cancelled


@each_kind(SPOKEN)
def test_a_cancel_reaches_the_server_at_once_and_cuts_the_client(site, kind):
    each = site(kind)
    feed = each.feed()
    with each.call() as client:
        feed.send(kind.frames[0])
        client.until(feed.body)
        job = each.job()
        begun = time.monotonic()
        assert each.gateway.cancel(job).json()["status"] == "CANCELLED"
        assert feed.hung_up() - begun < fair(0.5, begun)
        client.to_end()
    assert client.ending == "cut" and client.body.startswith(feed.body)
    assert kind.ending(client.body.removeprefix(feed.body))
    assert each.gateway.record(job)["status"] == "CANCELLED" and each.output(job) == feed.body


def test_a_job_whose_client_hangs_up_in_the_middle_is_cancelled_after_a_while(site):
    each = site(linger="300ms")
    feed = each.feed()
    with each.call() as client:
        feed.send(FIRST)
        client.until(FIRST)
    begun = time.monotonic()
    assert feed.hung_up() - begun > 0.25
    job = each.gateway.ended(each.job())
    assert job["status"] == "CANCELLED" and each.output(job) == FIRST


@pytest.mark.parametrize("opt", [{"Idempotency-Key": "k"}, {"X-Conversation-Id": "c"}])
def test_a_job_goes_on_whose_client_has_opted_in(site, opt):
    each = site(linger="100ms")
    feed = each.feed()
    with each.call(opt) as client:
        feed.send(FIRST)
        client.until(FIRST)
    with pytest.raises(AssertionError, match="hangs up|closes the connection"):
        feed.hung_up(timeout=0.5)
    feed.send(DONE)
    feed.finish()
    assert each.gateway.ended(each.job())["status"] == "COMPLETED"


@pytest.mark.parametrize("view", ["raw", "events"])
def test_a_job_goes_on_while_somebody_reads_it_elsewhere(site, view):
    each = site(linger="200ms")
    feed = each.feed()
    with each.call() as client:
        feed.send(FIRST)
        client.until(FIRST)
        job = each.job()
        other = each.raw(job, offset=-1, live="true") if view == "raw" else each.gateway.listen(job)
        assert other.status == 200
    with other:
        with pytest.raises(AssertionError, match="closes the connection"):
            feed.hung_up(timeout=0.6)
        feed.send(DONE)
        feed.finish()
        assert each.gateway.ended(job)["status"] == "COMPLETED"


def test_a_repeat_is_given_the_stream_from_its_first_byte(site):
    each = site()
    feed = each.feed()
    key = {"Idempotency-Key": "k"}
    with each.call(key) as client, each.call(key) as early:
        feed.send(FIRST)
        client.until(FIRST)
        early.until(FIRST)
    with each.call(key) as late:
        late.until(FIRST)
        assert late.headers["X-Inferq-Attached"] == "true"
        feed.send(DONE)
        feed.finish()
        assert late.whole() == FIRST + DONE
    after = each.call(key)
    assert after.whole() == FIRST + DONE and len(each.route.calls) == 1
    assert after.headers["Content-Type"] == "text/event-stream"


def test_a_repeat_of_an_sdk_after_a_broken_connection_is_given_the_stream_from_its_first_byte(site):
    each = site()
    feed = each.feed()
    with each.call() as client:
        feed.send(FIRST)
        client.until(FIRST)
    with each.call({"x-stainless-retry-count": "1"}) as again:
        again.until(FIRST)
        feed.send(DONE)
        feed.finish()
        assert again.whole() == FIRST + DONE
    assert again.headers["X-Inferq-Attached"] == "true" and len(each.route.calls) == 1


# The record


def test_the_record_tells_how_far_a_running_stream_is(site):
    each = site()
    feed = each.feed()
    job = each.submit(feed)
    feed.send(FIRST)
    until(lambda: (each.gateway.record(job).get("stream") or {}).get("bytes") == len(FIRST), "the first piece in the record")
    assert each.gateway.record(job)["stream"] == {"attempt": 1, "bytes": len(FIRST), "pieces": 1}
    feed.send(FIRST)
    until(lambda: each.gateway.record(job)["stream"]["bytes"] == 2 * len(FIRST), "the second")
    assert each.gateway.record(job)["stream"]["pieces"] == 2
    feed.send(DONE)
    feed.finish()
    ended = each.gateway.ended(job)
    assert not ended.get("stream") and ended["status"] == "COMPLETED" and ended["error"] is None
    text = (FIRST * 2 + DONE).decode()
    assert ended["output"] == {"content_type": "text/event-stream", "bytes": len(text), "text": text}
    assert ended["call"]["answer_status"] == 200 and ended["call"]["answer_type"] == "text/event-stream"


def test_a_native_job_streams_too(site):
    each = site()
    feed = each.feed()
    job = each.gateway.submit("m", {"stream": True})
    feed.send(FIRST)
    with each.raw(job, offset=-1, live="true") as reader:
        reader.until(FIRST)
        feed.send(DONE)
        feed.finish()
        assert reader.whole() == FIRST + DONE
    assert each.gateway.ended(job)["status"] == "COMPLETED"


def test_a_submit_that_waits_is_given_the_record_in_the_end(site):
    each = site()
    each.route.answer_with(said(*CHAT.frames, CHAT.mark, pause=0.05))
    answer = each.gateway.post("/v1/inference", {"model": "m", "input": {"stream": True}})
    assert answer.status == 200 and answer.json()["output"]["text"] == CHAT.whole.decode()


def test_a_broken_native_stream_is_an_error_of_the_job(site):
    each = site()
    each.route.answer_with(said(CHAT.frames[0], CHAT.error))
    answer = each.gateway.post("/v1/inference", {"model": "m", "input": {"stream": True}})
    assert answer.status == 502 and json.loads(answer.body)["error"]["code"] == "stream_error"
    assert WORDS in json.loads(answer.body)["error"]["message"]
