"""How long a stream may take, `../docs/calls.md`: to its head, between two bytes, and altogether."""

import json
import time

import pytest

from streamserver import CHAT, MESSAGES, OLLAMA, Feed, data, each_kind, said, site  # noqa: F401
from waiting import fair

DONE = data("[DONE]")
PING = b": ping\n\n"


def timed_out(each, client):
    """What a client was shown whose job ran out of time after it had begun to stream."""
    client.to_end()
    assert (client.status, client.ending) == (200, "cut")
    job = each.gateway.ended(each.job())
    assert (job["status"], job["error"]["code"]) == ("ERROR", "timeout"), job
    return job


@each_kind([CHAT, MESSAGES, OLLAMA])
def test_the_head_of_an_answer_has_its_time(site, kind):
    each = site(kind, first_byte_timeout="300ms")
    feed = each.feed(held=True)
    begun = time.monotonic()
    client = each.call()
    client.whole()
    assert client.status == 504 and client.headers["x-should-retry"] == "false"
    assert 0.25 < time.monotonic() - begun < fair(1.5, begun)
    assert "error" in json.loads(client.body)
    feed.hung_up()
    job = each.gateway.ended(each.job())
    assert (job["status"], job["error"]["code"]) == ("ERROR", "timeout")


def test_a_head_in_time_may_be_followed_by_a_longer_silence(site):
    each = site(first_byte_timeout="300ms")
    each.route.answer_with(said(CHAT.frames[0], DONE, pause=0.8))
    assert each.call().whole() == CHAT.frames[0] + DONE


def test_a_head_too_late_is_repeated(site):
    each = site(first_byte_timeout="300ms", max_attempts=2)
    late, second = Feed(held=True), Feed()
    each.route.answer_with(late, second)
    client = each.call()
    late.hung_up()
    second.send(CHAT.whole)
    second.finish()
    assert client.whole() == CHAT.whole


@pytest.mark.parametrize("silence", ["nothing", "pings"])
def test_silence_between_two_bytes_has_its_time_and_pings_do_not_count(site, silence):
    each = site(idle_timeout="600ms")
    feed = each.feed()
    begun = time.monotonic()
    with each.call() as client:
        feed.send(CHAT.frames[0])
        client.until(CHAT.frames[0])
        while silence == "pings" and not feed.closed_at:
            try:
                feed.send(PING)
            except OSError:
                break
            time.sleep(0.1)
            assert time.monotonic() - begun < fair(4, begun), "pings counted"
        feed.hung_up()
        assert 0.5 < feed.closed_at - begun < fair(3, begun)
        job = timed_out(each, client)
    tail = client.body[len(CHAT.frames[0]) :].replace(PING, b"")
    assert client.body.startswith(CHAT.frames[0]) and CHAT.ending(tail)
    assert each.output(job).replace(PING, b"") == CHAT.frames[0]


def test_pings_of_anthropics_form_count_as_data(site):
    """They are events with data, which a client sees."""
    each = site(MESSAGES, idle_timeout="600ms")
    ping = data({"type": "ping"}, "ping")
    each.route.answer_with(said(MESSAGES.frames[0], *[ping] * 8, MESSAGES.mark, pause=0.15))
    assert each.call().whole() == MESSAGES.frames[0] + ping * 8 + MESSAGES.mark


def test_bytes_in_time_keep_a_stream_going(site):
    each = site(idle_timeout="600ms", first_byte_timeout="500ms")
    each.route.answer_with(said(*[CHAT.frames[0]] * 6, DONE, pause=0.25))
    assert each.call().whole() == CHAT.frames[0] * 6 + DONE


def test_an_attempt_has_its_time_however_busy_it_is(site):
    each = site(timeout="800ms")
    feed = each.feed()
    begun = time.monotonic()
    with each.call() as client:
        while not feed.closed_at:
            try:
                feed.send(CHAT.frames[0])
            except OSError:
                break
            time.sleep(0.05)
            assert time.monotonic() - begun < fair(5, begun), "the attempt goes on"
        assert 0.7 < feed.hung_up() - begun < fair(3, begun)
        job = timed_out(each, client)
    assert CHAT.ending(client.body.removeprefix(each.output(job)))
    assert set(each.output(job).split(b"\n\n")) == {CHAT.frames[0].removesuffix(b"\n\n"), b""}


def test_a_client_may_ask_for_less_time(site):
    each = site()
    feed = each.feed()
    with each.call({"X-Inferq-Timeout": "500ms"}) as client:
        feed.send(CHAT.frames[0])
        client.until(CHAT.frames[0])
        feed.hung_up()
        timed_out(each, client)


def test_an_answer_that_grows_too_large_is_cut_and_its_part_kept(site):
    each = site(max_answer="100KiB")
    frame = CHAT.frame("x" * 1000)
    each.route.answer_with(said(*[frame] * 200, DONE))
    client = each.call().to_end()
    assert (client.status, client.ending) == (200, "cut")
    job = each.gateway.ended(each.job())
    assert (job["status"], job["error"]["code"]) == ("ERROR", "too_large")
    kept = each.output(job)
    assert client.body.startswith(kept) and 50 << 10 < len(kept) <= 100 << 10 and (frame * 200).startswith(kept)
