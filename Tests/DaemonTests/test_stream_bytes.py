"""Every byte of a stream is the model server's, `../docs/calls.md`, however it was cut, framed or compressed."""

import gzip
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamserver import CHAT, NONE, OLLAMA, each_kind, said, site  # noqa: F401

SHAPES = {
    "LF": ("text/event-stream", 'data: {"a":"é\U0001f30d"}\n\n: ping\n\nid: 7\nretry: 5\ndata: x\ndata: y\n\n:\n\ndata: [DONE]\n\n'),
    "CRLF": ("text/event-stream", 'data: {"a":"é"}\r\n\r\n: ping\r\n\r\ndata:{}\r\n\r\ndata: [DONE]\r\n\r\n'),
    "no space": ("text/event-stream", 'data:{"a":1}\n\ndata:\n\ndata:[DONE]\n\n'),
    "bytes": ("application/octet-stream", "\x00\r\n\r\n\x01data: \n\n0\r\n\r\n\x7f"),
    "lines": ("application/jsonl", '{"a":"é"}\n\n{"done":false}\r\n{"b":1}\n'),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_frames_may_be_cut_anywhere(site, shape):
    """As many streams as there are places, each in two pieces."""
    content_type, text = SHAPES[shape]
    body = text.encode()
    each = site(NONE if "json" in content_type else CHAT)
    cuts = range(1, len(body))
    each.route.answer_with(*(said(body[:cut], body[cut:], pause=0.02, content_type=content_type) for cut in cuts))
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: each.call().whole(), cuts))
    assert got == [body] * len(cuts)
    jobs = each.jobs()
    assert {job["status"] for job in jobs} == {"COMPLETED"} and len(jobs) == len(cuts)
    assert each.output(jobs[0]) == body


@each_kind([CHAT, OLLAMA])
def test_a_stream_may_come_byte_by_byte(site, kind):
    each = site(kind)
    each.route.answer_with(said(*(kind.whole[n : n + 1] for n in range(len(kind.whole))), content_type=kind.content_type))
    assert each.call().whole() == kind.whole
    assert each.gateway.ended(each.job())["status"] == "COMPLETED"


def test_chunks_may_be_cut_anywhere_and_carry_extensions_and_trailers(site):
    each = site()
    chunks = b"".join(b'%X;a="b"\r\n%b\r\n' % (len(frame), frame) for frame in [*CHAT.frames, CHAT.mark])
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    answer += b"000\r\nX-Trailer: 1\r\n\r\n"
    each.route.answer_with(said(*(answer[n : n + 1] for n in range(len(answer))), raw=True))
    client = each.call()
    assert client.whole() == CHAT.whole and client.headers["X-Trailer"] is None


@each_kind([CHAT, OLLAMA])
@pytest.mark.parametrize("framing", ["length", "close", "HTTP/1.0"])
def test_a_stream_may_be_framed_otherwise(site, kind, framing):
    each = site(kind)
    feed = each.feed(framing=framing, length=len(kind.whole))
    with each.call() as client:
        for frame in kind.frames:
            feed.send(frame)
            client.until(feed.body, timeout=3)
        feed.send(kind.mark)
        feed.finish()
        assert client.whole() == kind.whole
    assert each.gateway.ended(each.job())["status"] == "COMPLETED"


def test_a_compressed_stream_is_opaque(site):
    """Whether it is whole, only its framing says."""
    each = site()
    packed = gzip.compress(CHAT.frames[0])
    feed = each.feed(headers=[("Content-Encoding", "gzip")])
    with each.call() as client:
        feed.send(packed[:20])
        client.until(packed[:20], timeout=3)
        assert client.headers["Content-Encoding"] == "gzip"
        feed.send(packed[20:])
        feed.finish()
        assert client.whole() == packed
    job = each.gateway.ended(each.job())
    reader = each.raw(job, offset=-1)
    assert reader.whole() == packed and reader.headers["Content-Encoding"] == "gzip"
    feed = each.feed(headers=[("Content-Encoding", "gzip")])
    with each.call() as client:
        feed.send(packed[:20])
        client.until(packed[:20])
        feed.cut()
        assert client.to_end().ending == "cut" and client.body == packed[:20]


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/x-ndjson", "application/octet-stream"])
def test_a_long_stream_with_long_frames_is_the_servers(site, content_type):
    each = site(NONE)
    body = b"".join(b"data: %b\n\n" % os.urandom(size).hex().encode() for size in (1, 70_000, 2_000_000, 0, 100, 300_000))
    pieces = [body[n : n + 40_009] for n in range(0, len(body), 40_009)]
    each.route.answer_with(said(*pieces, content_type=content_type))
    assert each.call().whole() == body
    assert each.output(each.gateway.ended(each.job())) == body
