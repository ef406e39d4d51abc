"""A stream among the events of its job, `../docs/calls.md`: `?output=true`, and every id of it."""

import base64

import pytest

import wire
from gateway import DESCRIPTION
from streamserver import CHAT, NONE, data, said, site  # noqa: F401
from test_stream_views import shown, streaming  # noqa: F401
from waiting import until

DONE = data("[DONE]")
TEXTS = ["Hällo ", "wörld \U0001f30d", "\u2028\x85 z", "\U0001f469\u200d\U0001f680" * 3]
OUTPUT = "Inf:Task:Output"


def listen(each, job, last=None, query="?output=true", **headers):
    if last is not None:
        headers["Last-Event-ID"] = str(last)
    return wire.Stream(each.address, job["urls"]["events"] + query, headers)


def read(each, job, last=None, **more):
    """All events of a job that has ended."""
    with listen(each, job, last, **more) as stream:
        assert stream.status == 200, stream.status
        return wire.parse(stream.to_end())


def piece(data):
    """The bytes of one event, held against what it says of itself."""
    assert set(data) in ({"attempt", "from", "to", "text"}, {"attempt", "from", "to", "base64"}), data
    found = data["text"].encode() if "text" in data else base64.b64decode(data["base64"], validate=True)
    assert 0 < len(found) == data["to"] - data["from"] <= 65536, data
    return found


def pieces(events):
    """What the events of a listener say of each attempt: where its bytes begin, and the bytes, which have no gap."""
    found = {}
    for event in events:
        if event.detail_type == OUTPUT:
            assert event.status == "RUNNING"
            said = event.data
            start, so_far = found.get(said["attempt"], (said["from"], b""))
            assert said["from"] == start + len(so_far), said
            found[said["attempt"]] = (start, so_far + piece(said))
    return found


def told(events):
    """What events say but for the answer's head in `call`, which has a test of its own."""
    return [(event.id, {name: it for name, it in event.envelope["data"].items() if name != "call"}) for event in events]


def test_events_stay_as_they_were(streaming):
    """Also the head of the answer, which is not known while the job waits."""
    each, feed, job = streaming()
    with each.gateway.listen(job) as stream:
        before = [event.data for event in stream.events(2)]
    feed.send(DONE)
    feed.finish()
    each.gateway.ended(job)
    assert [event.data for event in each.gateway.events(job)[:2]] == before
    assert before[0]["call"]["answer_status"] is None


def test_the_pieces_stand_among_the_events(streaming):
    each, feed, job = streaming()
    with listen(each, job) as stream:
        for count, text in enumerate(TEXTS, 1):
            feed.send(CHAT.frame(text))
            stream.until(lambda received, count=count: received.count(OUTPUT.encode()) == count, timeout=3)
        feed.send(DONE)
        feed.finish()
        events = wire.parse(stream.to_end())
    kinds = [event.kind for event in events]
    assert kinds == [("Updated", "PENDING"), ("Updated", "RUNNING"), *[("Output", "RUNNING")] * 5, ("Updated", "COMPLETED")]
    assert pieces(events) == {1: (0, feed.body)}
    assert [event.data["text"] for event in events[2:-1]] == [frame.decode() for frame in [*map(CHAT.frame, TEXTS), DONE]]
    ids = [event.id for event in events]
    assert ids == sorted(set(ids))
    for event in events:
        DESCRIPTION.check_event(event)
    assert pieces(read(each, job)) == {1: (0, feed.body)}


def test_without_the_parameter_the_events_are_as_ever(streaming):
    each, feed, job = streaming(CHAT.frame("one"))
    with each.gateway.listen(job) as plain, listen(each, job, query="?output=false") as off:
        feed.send(DONE)
        feed.finish()
        got = [wire.parse(stream.to_end()) for stream in (plain, off)]
    for events in got:
        assert [event.kind for event in events] == [("Updated", "PENDING"), ("Updated", "RUNNING"), ("Updated", "COMPLETED")]
    full = [event for event in read(each, job) if event.detail_type != OUTPUT]
    assert told(full) == told(got[0]) == told(got[1])


def test_the_stream_of_all_events_never_carries_pieces(streaming):
    each, feed, job = streaming()
    with wire.Stream(each.address, "/v1/events") as every:
        feed.send(CHAT.frame("one"))
        shown(each, job, len(feed.body))
        feed.send(DONE)
        feed.finish()
        every.until(lambda received: b'"COMPLETED"' in received)
        assert OUTPUT.encode() not in every.received
    with wire.Stream(each.address, "/v1/events?output=true") as every:
        assert every.status in (200, 400)
        if every.status == 200:
            each.route.answer_with(said(CHAT.whole))
            each.submit()
            every.until(lambda received: b'"COMPLETED"' in received)
            assert OUTPUT.encode() not in every.received


@pytest.mark.parametrize("bad", ["", "yes", "1", "TRUE"])
def test_a_bad_parameter_is_400(streaming, bad):
    each, _, job = streaming()
    for url in (job["urls"]["events"], job["urls"]["history"]):
        assert each.gateway.get(f"{url}?output={bad}").status == 400, url


def test_every_id_gives_the_rest_while_the_stream_goes_on_and_after_it(streaming):
    each, feed, job = streaming(*(CHAT.frame(text) for text in TEXTS))
    with listen(each, job) as stream:
        seen = stream.events(2 + len(TEXTS))
    for last, count in zip(seen, range(len(seen) - 1, -1, -1)):
        if count:
            with listen(each, job, last.id) as stream:
                assert told(stream.events(count)) == told(seen[-count:])
    with listen(each, job, query=f"?output=true&last_event_id={seen[2].id}") as stream:
        assert stream.events(1)[0].id == seen[3].id
    feed.send(DONE)
    feed.finish()
    each.gateway.ended(job)
    events = read(each, job)
    assert told(events[: len(seen)]) == told(seen)
    for number, last in enumerate(events[:-1]):
        rest = read(each, job, last.id)
        assert told(rest) == told(events[number + 1 :])
        if last.detail_type == OUTPUT and rest[0].detail_type == OUTPUT:
            assert pieces(rest)[1] == (last.data["to"], feed.body[last.data["to"] :])
    with listen(each, job, events[-1].id) as stream:
        assert stream.status == 204


def test_an_id_of_a_piece_works_without_the_parameter_too(streaming):
    each, feed, job = streaming(CHAT.frame("one"), CHAT.frame("two"))
    feed.send(DONE)
    feed.finish()
    each.gateway.ended(job)
    for event in read(each, job)[2:-1]:
        assert [after.kind for after in each.gateway.events(job, event.id)] == [("Updated", "COMPLETED")]


def test_an_id_that_is_none_of_the_job_gives_all(streaming):
    each, feed, job = streaming(CHAT.frame("one"))
    feed.send(DONE)
    feed.finish()
    each.gateway.ended(job)
    for last in (10**12, "x", -1):
        assert pieces(read(each, job, last)) == {1: (0, feed.body)}


def test_text_ends_at_a_whole_character(streaming):
    """Cut at every byte of a frame that has characters of two, three and four; what is torn stands in base64."""
    each, feed, job = streaming(CHAT.frame("begin"))
    frame = 'data: {"é€\U0001f30d":"\U0001f469\u200d\U0001f680"}\n\n'.encode()
    for n in range(len(frame)):
        feed.send(frame[n : n + 1])
        shown(each, job, len(feed.body)) if frame[n] > 127 else None
    feed.send(DONE)
    feed.finish()
    each.gateway.ended(job)
    events = read(each, job)
    assert pieces(events) == {1: (0, feed.body)}
    for event in events:
        if "base64" in event.data:
            with pytest.raises(UnicodeDecodeError):
                piece(event.data).decode()


def test_bytes_that_are_no_text_stand_in_base64(site):
    each = site(NONE)
    body = bytes(range(256)) * 1000
    each.route.answer_with(said(*(body[n : n + 9001] for n in range(0, len(body), 9001)), content_type="application/x-ndjson"))
    job = each.submit()
    each.gateway.ended(job)
    assert pieces(read(each, job)) == {1: (0, body)}
    assert all(len(event.frame) <= 128 << 10 for event in read(each, job))


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_the_history_has_them_too(streaming, limit):
    each, feed, job = streaming(*(CHAT.frame(text) for text in TEXTS))
    feed.send(DONE)
    feed.finish()
    each.gateway.ended(job)
    events, after = [], 0
    while after is not None:
        page = each.gateway.get(f"{job['urls']['history']}?output=true&limit={limit}&after={after}").json()
        events += page["results"]
        after = page["next"]
    assert [(event["id"], event["detail_type"], event["data"]) for event in events] == [
        (event.id, event.detail_type, event.data) for event in read(each, job)
    ]
    plain = each.gateway.get(job["urls"]["history"]).json()["results"]
    assert [event["status"] for event in plain] == ["PENDING", "RUNNING", "COMPLETED"]


def test_both_attempts_are_told_and_never_spliced(site):
    each = site(max_attempts=3)
    first, second = each.feeds(2)
    job = each.submit(first)
    with listen(each, job) as stream:
        first.send(CHAT.frame("one"), CHAT.frame("two"))
        stream.until(lambda received: b"two" in received)
        first.cut()
        second.send(CHAT.frame("another"))
        stream.until(lambda received: b"another" in received)
        second.send(DONE)
        second.finish()
        events = wire.parse(stream.to_end())
    assert pieces(events) == {1: (0, first.body), 2: (0, second.body)}
    kinds = [event.kind for event in events]
    between = kinds[kinds.index(("Error", "RUNNING")) :]
    assert between[:3] == [("Error", "RUNNING"), ("Updated", "PENDING"), ("Updated", "RUNNING")]
    attempts = [event.data["attempt"] for event in events if event.detail_type == OUTPUT]
    assert attempts == sorted(attempts)
    assert pieces(read(each, job)) == {1: (0, first.body), 2: (0, second.body)}
    *before, final = read(each, job)
    assert final.status == "COMPLETED" and final.data["output"]["bytes"] == len(second.body)
    for event in before:
        assert pieces(read(each, job, event.id)).get(2, (0, second.body))[1] in second.body


def test_an_interruption_says_what_was_shown(streaming):
    each, feed, job = streaming(CHAT.frame("one"), CHAT.frame("two"))
    each.gateway.kill()
    second = each.feed()
    each.gateway.restart()
    second.send(CHAT.frame("another"), DONE)
    second.finish()
    assert each.gateway.ended(job)["status"] == "COMPLETED"
    events = read(each, job)
    assert pieces(events) == {1: (0, feed.body), 2: (0, second.body)}
    [again] = [event for event in events if event.kind == ("Updated", "PENDING") and event is not events[0]]
    assert again.data["shown"] == {"attempt": 1, "bytes": len(feed.body), "pieces": 2}
    assert again.data["attempt"] == 1 and again.data["message"]
    assert "shown" not in events[0].data
    until(lambda: each.gateway.record(job)["attempt"] == 2, "the second attempt")
