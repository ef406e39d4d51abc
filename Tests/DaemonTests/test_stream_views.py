"""A stream read again from any byte, `../docs/calls.md`: the raw view by (attempt, byte)."""

import http.client
import json

import pytest

from contract import problem
from gateway import DESCRIPTION
from streamreader import Reader, offset
from streamserver import CHAT, OLLAMA, data, each_kind, said, site  # noqa: F401
from waiting import until

DONE = data("[DONE]")
TEXTS = ["Hällo ", "wörld \U0001f30d", "\u2028\x85 z", "\U0001f469\u200d\U0001f680" * 3]


@pytest.fixture
def streaming(site):
    """A job whose stream has begun: its site, its feed, its record."""

    def make(*pieces, **keys):
        each = site(**keys)
        feed = each.feed()
        job = each.submit(feed)
        for piece in pieces:
            feed.send(piece)
            shown(each, job, len(feed.body))
        return each, feed, job

    return make


def shown(each, job, count, attempt=1):
    """Waits until so many bytes of an attempt are there."""
    wanted = {"attempt": attempt, "bytes": count}
    until(lambda: wanted.items() <= (each.gateway.record(job).get("stream") or {}).items(), f"{wanted} in the record")


class Tails:
    """Asks for the output from many offsets, on one connection."""

    def __init__(self, each, job):
        self._target = job["urls"]["output"]
        self._connection = http.client.HTTPConnection(*each.address, timeout=15)

    def at(self, coordinate):
        self._connection.request("GET", f"{self._target}?offset={coordinate}")
        answer = self._connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def check(self, attempt, whole, closed):
        for byte in range(len(whole) + 1):
            status, headers, body = self.at(offset(attempt, byte))
            assert (status, body) == (200, whole[byte:]), byte
            assert headers["Stream-Next-Offset"] == offset(attempt, len(whole)), byte
            assert headers["X-Attempt"] == str(attempt)
            assert headers["Stream-Closed"] == ("true" if closed else None)
            assert headers["Content-Type"] == "text/event-stream"


def test_every_offset_gives_the_tail_while_the_stream_goes_on_and_after_it(streaming):
    each, feed, job = streaming(*(CHAT.frame(text) for text in TEXTS))
    Tails(each, job).check(1, feed.body, closed=False)
    feed.send(DONE)
    feed.finish()
    each.gateway.ended(job)
    Tails(each, job).check(1, feed.body, closed=True)


def test_readers_from_many_offsets_follow_to_the_end(streaming):
    each, feed, job = streaming(CHAT.frame("one"))
    so_far = len(feed.body)
    starts = [*range(0, so_far + 1, 9), so_far]
    readers = [each.raw(job, offset=offset(1, start), live="true") for start in starts]
    for reader, start in zip(readers, starts):
        assert reader.until(lambda body, start=start: len(body) == so_far - start) == feed.body[start:]
        assert reader.status == 200 and reader.attempt == 1 and not reader.is_closed
    for text in TEXTS:
        feed.send(CHAT.frame(text))
        for reader, start in zip(readers, starts):
            reader.until(lambda body, start=start: body == feed.body[start:], timeout=3)
    feed.send(DONE)
    feed.finish()
    for reader, start in zip(readers, starts):
        assert reader.whole() == feed.body[start:]


def test_the_beginning_and_now(streaming):
    each, feed, job = streaming(CHAT.frame("one"))
    begin, now = each.raw(job, offset=-1, live="true"), each.raw(job, offset="now", live="true")
    assert (begin.status, now.status) == (200, 200)
    assert now.next_offset == offset(1, len(feed.body))
    answer = each.raw(job, offset="now")
    assert answer.whole() == b"" and answer.next_offset == now.next_offset and answer.attempt == 1
    assert each.raw(job, offset=-1).whole() == feed.body
    before = feed.body
    feed.send(DONE)
    feed.finish()
    assert begin.whole() == feed.body and now.whole() == feed.body.removeprefix(before)
    each.gateway.ended(job)
    for live in ({}, {"live": "true"}):
        assert each.raw(job, offset=-1, **live).whole() == feed.body
        answer = each.raw(job, offset="now", **live)
        assert answer.whole() == b"" and answer.is_closed and answer.next_offset == offset(1, len(feed.body))
    assert each.raw(job, live="true").whole() == feed.body


def test_a_reader_may_come_before_the_first_byte(site):
    each = site(concurrency=1)
    first, second = each.feeds(2)
    busy, job = each.submit(first), each.submit()
    readers = [each.raw(job, offset=-1, live="true"), each.raw(job, live="true")]
    assert each.raw(job, offset=-1).whole() == b""
    problem(each.gateway.get(job["urls"]["output"]), 409)
    first.send(DONE)
    first.finish()
    second.call()
    answer = each.raw(job, offset=-1)
    assert answer.whole() == b"" and answer.status == 200 and not answer.is_closed
    problem(each.gateway.get(job["urls"]["output"]), 409)
    second.send(CHAT.frame("mine"))
    for reader in readers:
        reader.until(second.body)
        assert reader.headers["Content-Type"] == "text/event-stream"
    second.send(DONE)
    second.finish()
    assert [reader.whole() for reader in readers] == [second.body] * 2
    assert each.output(each.gateway.ended(busy)) == DONE


def test_head_tells_how_far_the_stream_is_and_whether_it_is_closed(streaming):
    each, feed, job = streaming(CHAT.frame("one"))
    for items in ({"offset": "-1"}, {"offset": "now"}, {"offset": offset(1, 3)}):
        head = each.raw(job, "HEAD", **items).to_end()
        assert (head.status, head.body, head.is_closed, head.attempt) == (200, b"", False, 1)
        assert head.next_offset == offset(1, len(feed.body))
        assert head.headers["Content-Type"] == "text/event-stream"
    feed.send(DONE)
    feed.finish()
    each.gateway.ended(job)
    for items in ({}, {"offset": "-1"}, {"offset": "now"}, {"offset": offset(1, 3), "live": "true"}):
        head = each.raw(job, "HEAD", **items).to_end()
        assert (head.status, head.is_closed, head.next_offset) == (200, True, offset(1, len(feed.body)))


@pytest.mark.parametrize("bad", [
    "", "x", "-2", "NOW", "1", "0001", "0001_", "_000000000000", "0001_00000000000x", "0001-000000000000", "0001_-00000000001",
    "+001_000000000000", "0001_000000000000%20", "%EF%BC%90001_000000000000", "-1&offset=now",
])  # fmt: skip
def test_a_bad_offset_is_400(streaming, bad):
    each, feed, job = streaming(CHAT.frame("one"))
    for live in ("", "&live=true"):
        target = f"{job['urls']['output']}?offset={bad}{live}"
        answer = each.gateway.get(target)
        problem(answer, 400, "offset")


@pytest.mark.parametrize("bad", ["", "yes", "sse", "TRUE", "1"])
def test_a_bad_live_is_400(streaming, bad):
    each, _, job = streaming(CHAT.frame("one"))
    problem(each.gateway.get(f"{job['urls']['output']}?offset=-1&live={bad}"), 400, "live")


def test_an_offset_that_is_not_there_yet_gives_no_foreign_bytes(streaming):
    each, feed, job = streaming(CHAT.frame("one"))
    for coordinate in (offset(1, len(feed.body) + 1), offset(1, 999_999_999_999), offset(2, 0), offset(9999, 5), offset(0, 0)):
        answer = each.raw(job, offset=coordinate).to_end()
        assert answer.status == 400 or (answer.status, answer.body) == (200, b""), (coordinate, answer.status, answer.body)


def test_unknown_jobs_and_those_that_are_gone(streaming):
    each, feed, job = streaming(DONE)
    for query in ("?offset=-1", "?live=true", "?offset=-1&live=true"):
        assert each.gateway.get("/v1/inference/01935f2e-0000-7000-8000-000000000000/output" + query).status == 404
    feed.finish()
    each.gateway.ended(job)
    assert each.gateway.request("DELETE", job["urls"]["self"]).status == 204
    for query in ("?offset=-1", "?live=true", "?offset=-1&live=true"):
        assert each.gateway.get(job["urls"]["output"] + query).status == 410


# Ends


@pytest.mark.parametrize("end", ["cut", "error", "cancel"])
def test_a_reader_of_a_job_that_fails_is_cut_and_then_told(streaming, end):
    each, feed, job = streaming(CHAT.frame("one"))
    readers = [each.raw(job, offset=-1, live="true"), each.raw(job, offset=offset(1, 7), live="true")]
    for reader, start in zip(readers, (0, 7)):
        reader.until(feed.body[start:])
    if end == "cancel":
        each.gateway.cancel(job)
    else:
        feed.send(CHAT.error) if end == "error" else None
        feed.finish() if end == "error" else feed.cut()
    for reader, start in zip(readers, (0, 7)):
        reader.to_end()
        assert (reader.ending, reader.body) == ("cut", feed.body[start:])
    assert each.gateway.ended(job)["status"] == ("CANCELLED" if end == "cancel" else "ERROR")
    for live in ({}, {"live": "true"}):
        for start in (0, 7, len(feed.body)):
            again = each.raw(job, offset=offset(1, start), **live)
            assert again.whole() == feed.body[start:]
            assert again.is_closed and again.next_offset == offset(1, len(feed.body))
    plain = each.raw(job)
    assert plain.whole() == feed.body and plain.headers["Content-Type"] == "text/event-stream"


def test_a_job_that_ends_without_a_byte_ends_its_readers(streaming):
    each, feed, job = streaming()
    readers = [each.raw(job, offset=-1, live="true"), each.raw(job, live="true")]
    each.gateway.cancel(job)
    for reader in readers:
        reader.to_end()
        assert reader.body == b"" or reader.status == 409


def test_an_attempt_that_is_over_gives_its_rest_and_the_next_begins_at_0(site):
    each = site(max_attempts=3)
    first, second = each.feeds(2)
    job = each.submit(first)
    first.send(CHAT.frame("one"))
    shown(each, job, len(first.body))
    reader = each.raw(job, offset=-1, live="true")
    reader.until(first.body)
    first.cut()
    reader.to_end()
    assert (reader.ending, reader.body, reader.attempt) == ("cut", first.body, 1)
    second.send(CHAT.frame("another"))
    shown(each, job, len(second.body), attempt=2)
    end = offset(1, len(first.body))

    def check(closed):
        for live in ({}, {"live": "true"}):
            rest = each.raw(job, offset=offset(1, 5), **live).to_end()
            assert (rest.status, rest.attempt, rest.body) == (200, 1, first.body[5:])
            assert rest.ending == "cut" or not live
            assert (offset(1, 5) if live else end) <= rest.next_offset <= end and not rest.is_closed
        fresh = each.raw(job, offset=end)
        assert (fresh.whole(), fresh.status, fresh.attempt, fresh.is_closed) == (second.body, 200, 2, closed)
        assert fresh.next_offset == offset(2, len(second.body))
        newest = each.raw(job, offset=-1)
        assert (newest.whole(), newest.attempt) == (second.body, 2)

    check(closed=False)
    follower = each.raw(job, offset=end, live="true")
    follower.until(second.body)
    second.send(DONE)
    second.finish()
    assert follower.whole() == second.body and follower.attempt == 2
    each.gateway.ended(job)
    check(closed=True)
    Tails(each, job).check(2, second.body, closed=True)
    assert each.output(job) == second.body


def test_a_reader_that_waits_for_a_repeated_attempt_is_given_it(site):
    each = site(max_attempts=3, backoff={"base": "300ms", "cap": "300ms"})
    first, second = each.feeds(2)
    job = each.submit(first)
    first.send(CHAT.frame("one"))
    shown(each, job, len(first.body))
    first.cut()
    each.gateway.wait_status(job, "PENDING")
    reader = each.raw(job, offset=offset(1, len(first.body)), live="true")
    second.send(CHAT.frame("two"), DONE)
    second.finish()
    reader.to_end()
    if not reader.body:
        # At the end of the attempt it was cut with nothing more to read, and asks again.
        assert reader.ending == "cut"
        reader = each.raw(job, offset=offset(1, len(first.body)), live="true").to_end()
    assert (reader.body, reader.ending, reader.attempt) == (second.body, "clean", 2)


# What the raw view is of


def test_an_output_that_was_no_stream_is_read_by_offset_too(site):
    each = site()
    each.route.answer_with(said(b'{"a": 1}', content_type="application/json", framing="length", length=8))
    job = each.gateway.ended(each.submit())
    for start in range(9):
        answer = each.raw(job, offset=offset(1, start))
        assert answer.whole() == b'{"a": 1}'[start:] and answer.is_closed
        assert answer.headers["Content-Type"] == "application/json"


@each_kind([CHAT, OLLAMA])
def test_the_raw_view_has_the_servers_type_and_is_not_held_back_by_proxies(site, kind):
    each = site(kind)
    feed = each.feed()
    job = each.submit(feed)
    feed.send(kind.frames[0])
    with each.raw(job, offset=-1, live="true") as reader:
        reader.until(feed.body)
        assert reader.headers["Content-Type"] == kind.content_type
        assert reader.headers["X-Accel-Buffering"] == "no" and "no-store" in reader.headers["Cache-Control"]
        feed.send(kind.mark)
        feed.finish()
        assert reader.whole() == feed.body


def test_a_reader_of_http_1_0_is_given_the_end_of_the_connection_as_the_end(streaming):
    each, feed, job = streaming(CHAT.frame("one"))
    target = job["urls"]["output"] + "?offset=-1&live=true"
    with Reader(each.address, "GET", target, version="1.0") as reader:
        reader.until(feed.body)
        assert reader.headers["Transfer-Encoding"] is None
        feed.send(DONE)
        feed.finish()
        reader.to_end()
        assert (reader.ending, reader.body) == ("closed", feed.body)


def test_records_of_streams_are_as_described(streaming):
    each, feed, job = streaming(CHAT.frame("one"))
    assert each.gateway.record(job)["status"] == "RUNNING"
    assert [each["status"] for each in each.gateway.get("/v1/inference").json()["results"]] == ["RUNNING"]
    feed.send(DONE)
    feed.finish()
    each.gateway.ended(job)
    for event in each.gateway.events(job):
        DESCRIPTION.check_event(event)
    assert json.loads(each.raw(job, offset="x").to_end().body)["status"] == 400
