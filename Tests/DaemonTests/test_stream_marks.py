"""Streams that end as they should not, `../docs/calls.md`: each is found, and no client takes it for whole."""

import json

import pytest

from streamserver import (
    CHAT, GENERATE, KSERVE, MARKED, MESSAGES, NONE, OLLAMA, OLLAMA_CHAT, RESPONSES, SPOKEN, WORDS, Kind, data, each_kind, line,
    said, site,
)  # fmt: skip # noqa: F401
from waiting import until

OTHER = "the fan stands still"


def broken(each, code, *pieces, ending="finish", words="", **keys):
    """What became of a call whose client saw the first piece before the others came: the client, and the job."""
    feed = each.feed(**keys)
    with each.call() as client:
        feed.send(pieces[0])
        client.until(pieces[0])
        feed.send(*pieces[1:])
        getattr(feed, ending)()
        client.to_end()
    job = each.gateway.ended(each.jobs()[0])
    assert job["status"] == "ERROR", job
    assert job["error"]["code"] == code and words in job["error"]["message"], job["error"]
    assert (client.status, client.ending) == (200, "cut"), (client.status, client.ending, client.body[-500:])
    return client, job


def said_by(each, client, sent):
    """What the gateway itself told the client after `sent`, the server's bytes."""
    assert client.body.startswith(sent), client.body
    return each.kind.ending(client.body.removeprefix(sent))


def refused(kind, answer):
    """The words of an error in the form of the dialect, in place of an answer."""
    document = json.loads(answer.body)
    error = document["error"]
    if kind.path == "/v1/messages":
        assert document["type"] == "error" and set(error) == {"type", "message"}
    elif kind.path.startswith("/v1/"):
        assert set(error) == {"message", "type", "param", "code"}
    else:
        assert set(document) == {"error"}
        return error
    return error["message"]


# Without an end mark


@each_kind(MARKED)
@pytest.mark.parametrize("framing", ["chunked", "close", "HTTP/1.0"])
def test_a_stream_without_its_mark_is_broken_however_well_it_ends(site, kind, framing):
    each = site(kind)
    client, job = broken(each, "bad_response", *kind.frames, framing=framing)
    sent = b"".join(kind.frames)
    assert said_by(each, client, sent)
    assert each.output(job) == sent


@each_kind([*SPOKEN, NONE])
@pytest.mark.parametrize("ending", ["cut", "reset"])
def test_a_connection_that_ends_in_the_middle_breaks_the_stream(site, kind, ending):
    each = site(kind)
    feed = each.feed()
    with each.call() as client:
        feed.send(*kind.frames)
        client.until(lambda body: body == feed.body)
        getattr(feed, ending)()
        client.to_end()
    job = each.gateway.ended(each.job())
    assert (job["status"], job["error"]["code"], client.ending) == ("ERROR", "bad_response", "cut")
    assert each.output(job) == feed.body
    if kind is not NONE:
        assert said_by(each, client, feed.body)


@each_kind([*SPOKEN, NONE])
def test_chunks_without_a_last_one_are_cut_even_after_the_mark(site, kind):
    each = site(kind)
    _, job = broken(each, "bad_response", *kind.frames, kind.mark or kind.frame("."), ending="cut")
    assert each.output(job).startswith(b"".join(kind.frames))


@each_kind([*SPOKEN, NONE])
def test_a_length_that_is_not_reached_is_cut(site, kind):
    each = site(kind)
    _, job = broken(each, "bad_response", *kind.frames, framing="length", length=5000, ending="cut")
    assert each.output(job) == b"".join(kind.frames)


@each_kind(SPOKEN)
def test_a_torn_last_frame_is_followed_by_nothing(site, kind):
    each = site(kind)
    torn = kind.frames[0][:-9]
    client, job = broken(each, "bad_response", kind.frames[0], torn, ending="cut")
    assert client.body == kind.frames[0] + torn == each.output(job)


@pytest.mark.parametrize("ending", ["cut", "reset"])
def test_opaque_bytes_are_followed_by_nothing(site, ending):
    each = site()
    feed = each.feed(content_type="application/octet-stream")
    with each.call() as client:
        feed.send(b"\x00\x01\n\n")
        client.until(feed.body)
        getattr(feed, ending)()
        client.to_end()
    assert (client.ending, client.body) == ("cut", b"\x00\x01\n\n")
    assert each.gateway.ended(each.job())["error"]["code"] == "bad_response"


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/json", "text/plain"])
def test_what_ends_with_the_connection_and_is_of_another_type_is_whole(site, content_type):
    each = site()
    each.route.answer_with(said(b'{"error":', b'"x"}', pause=0.2, framing="close", content_type=content_type))
    assert each.call().whole() == b'{"error":"x"}'
    assert each.gateway.ended(each.job())["status"] == "COMPLETED"


# Errors in the middle


@each_kind(SPOKEN)
@pytest.mark.parametrize("after", ["nothing", "mark", "cut"])
def test_an_error_in_the_middle_is_the_jobs(site, kind, after):
    """Also with the end mark after it, as vLLM does it."""
    each = site(kind)
    rest = [kind.mark] if after == "mark" and kind.mark else []
    ending = "cut" if after == "cut" else "finish"
    client, job = broken(each, "stream_error", kind.frames[0], kind.error, *rest, ending=ending, words=WORDS)
    sent = b"".join([kind.frames[0], kind.error, *rest])
    assert client.body in (sent, sent + kind.mark), "the server's own error is the one that a client gets"
    assert each.output(job) == sent


@pytest.mark.parametrize("kind, error", [
    (CHAT, data({"error": {"message": OTHER, "type": "x", "param": None, "code": None}}, "error")),
    (CHAT, data({"choices": [], "error": {"message": OTHER}})),
    (CHAT, data({"error": OTHER})),
    (CHAT, data('{ "error" : {\ndata: "message": "%s"}}' % OTHER)),
    (CHAT, data({"error": {"message": OTHER}}).replace(b"\n", b"\r\n")),
    (CHAT, b'data:{"error":{"message":"%b"}}\n\n' % OTHER.encode()),
    (RESPONSES, data({"type": "error", "code": None, "message": OTHER, "param": None, "sequence_number": 3}, "error")),
    (OLLAMA, line({"error": OTHER}).replace(b"\n", b"\r\n")),
    (OLLAMA, line({"model": "m", "error": OTHER})),
    (OLLAMA_CHAT, data({"error": {"message": OTHER}})),
], ids=["named", "choices", "text", "two lines", "CRLF", "no space", "Responses", "CRLF line", "member", "Ollama"])  # fmt: skip
def test_errors_of_other_forms_are_found(site, kind, error):
    each = site(kind)
    broken(each, "stream_error", kind.frames[0], error, kind.mark, words=OTHER)


@each_kind([CHAT, OLLAMA])
def test_an_error_and_a_mark_are_found_in_pieces_of_one_byte(site, kind):
    each = site(kind)
    for tail, status in ((kind.error, "ERROR"), (kind.mark, "COMPLETED")):
        sent = kind.frames[0] + tail
        pieces = [sent[:1], *(sent[n : n + 1] for n in range(1, len(sent)))]
        each.route.answer_with(said(*pieces, content_type=kind.content_type, pause=0.001))
        assert each.call().to_end().body.startswith(sent)
        assert each.gateway.ended(each.jobs()[0])["status"] == status


# What is none


@pytest.mark.parametrize("kind, frame", [
    (CHAT, data({"choices": [], "error": None})),
    (CHAT, CHAT.frame('data: [DONE]\n\n{"error": {"message": "x"}}')),
    (CHAT, b': {"error": {"message": "x"}}\n\n'),
    (CHAT, b"event: chunk\ndata: {}\n\n"),
    (OLLAMA, OLLAMA.frame('{"error": "x"}\n')),
    (OLLAMA, b"\n"),
    (MESSAGES, data({"type": "ping"}, "ping")),
    (RESPONSES, data({"type": "response.created", "response": {"error": None}}, "response.created")),
], ids=["null", "quoted", "comment", "named", "quoted line", "empty line", "ping", "nested"])  # fmt: skip
def test_what_only_looks_like_an_error_is_none(site, kind, frame):
    each = site(kind)
    each.route.answer_with(said(kind.frames[0], frame, kind.mark, content_type=kind.content_type))
    assert each.call().whole() == kind.frames[0] + frame + kind.mark
    assert each.gateway.ended(each.job())["status"] == "COMPLETED"


@pytest.mark.parametrize("kind, frame", [
    (CHAT, CHAT.frame("data: [DONE]\n\n")), (CHAT, b": data: [DONE]\n\n"), (CHAT, data({"done": True})),
    (OLLAMA, OLLAMA.frame('{"done":true}')), (OLLAMA, line({"done": False})), (OLLAMA, line({"message": {"done": True}})),
    (RESPONSES, data({"type": "response.output_text.delta", "delta": "response.completed"}, "response.output_text.delta")),
    (MESSAGES, data({"type": "message_delta", "delta": {"stop_reason": "message_stop"}}, "message_delta")),
], ids=["quoted", "comment", "done", "quoted line", "false", "nested", "delta", "reason"])  # fmt: skip
def test_what_only_looks_like_a_mark_is_none(site, kind, frame):
    each = site(kind)
    broken(each, "bad_response", kind.frames[0], frame)


@pytest.mark.parametrize("kind, mark", [
    (CHAT, b"data:[DONE]\n\n"), (CHAT, b"data: [DONE]\r\n\r\n"),
    (RESPONSES, data({"type": "response.incomplete", "response": {"status": "incomplete"}}, "response.incomplete")),
    (OLLAMA, line({"model": "m", "done_reason": "stop"})), (OLLAMA, b'{"done" : true}\n'), (GENERATE, b'{"done":true}\r\n'),
], ids=["no space", "CRLF", "incomplete", "reason", "spaces", "CRLF line"])  # fmt: skip
def test_marks_of_other_forms_are_found(site, kind, mark):
    each = site(kind)
    each.route.answer_with(said(kind.frames[0], mark, content_type=kind.content_type))
    assert each.call().whole() == kind.frames[0] + mark
    assert each.gateway.ended(each.job())["status"] == "COMPLETED"


@pytest.mark.parametrize("path, frame, mark", [
    ("/completion", {"content": "a", "stop": False}, {"content": "", "stop": True}),
    ("/generate_stream", {"token": {"text": "a"}, "generated_text": None}, {"token": {}, "generated_text": "a"}),
])  # fmt: skip
def test_the_marks_of_servers_own_paths(site, path, frame, mark):
    """llama.cpp's, and that of Text Generation Inference."""
    each = site(Kind("own", "openai", path, data, data(mark), b"", mount="/upstream/m"))
    each.route.answer_with(said(data(frame), data(mark)))
    assert each.call().whole() == data(frame) + data(mark)
    broken(each, "bad_response", data(frame))


# Before a byte was shown


@each_kind(SPOKEN)
def test_an_error_as_the_first_frame_is_502(site, kind):
    each = site(kind)
    each.route.answer_with(said(kind.error, kind.mark or kind.error, content_type=kind.content_type))
    client = each.call()
    client.whole()
    assert client.status == 502 and client.headers["x-should-retry"] == "false"
    assert WORDS in refused(kind, client)
    assert client.headers["Content-Type"].startswith("application/json") and client.headers["X-Accel-Buffering"] is None
    job = each.gateway.ended(each.job())
    assert (job["status"], job["error"]["code"]) == ("ERROR", "stream_error")


@each_kind([*SPOKEN])
@pytest.mark.parametrize("ending", ["finish", "cut", "reset"])
def test_a_stream_without_a_byte_is_502(site, kind, ending):
    each = site(kind)
    each.route.answer_with(said(content_type=kind.content_type, ending=ending))
    client = each.call()
    client.whole()
    assert client.status == 502 and refused(kind, client) and client.headers["x-should-retry"] == "false"
    job = each.gateway.ended(each.job())
    assert (job["status"], job["error"]["code"]) == ("ERROR", "bad_response")


@each_kind([CHAT, OLLAMA])
def test_what_was_not_shown_is_repeated_and_nobody_sees_it(site, kind):
    each = site(kind, max_attempts=3)
    keys = {"content_type": kind.content_type}
    each.route.answer_with(said(kind.error, **keys), said(**keys), said(*kind.frames, kind.mark, **keys))
    client = each.call()
    assert client.whole() == kind.whole and client.status == 200
    assert len(each.route.calls) == 3 and each.gateway.ended(each.job())["attempt"] == 3


# After bytes were shown


def test_a_plain_call_ends_with_the_attempt_that_was_shown(site):
    each = site(max_attempts=5)
    broken(each, "bad_response", CHAT.frames[0], ending="cut")
    assert each.job()["attempt"] == 1 and len(each.route.calls) == 1


@each_kind([*SPOKEN])
def test_a_stream_that_breaks_at_once_is_no_success_either(site, kind):
    """Whether anything was shown before it was known is chance; a clean end is not."""
    each = site(kind)
    each.route.answer_with(said(kind.frames[0], kind.error, content_type=kind.content_type))
    client = each.call().to_end()
    assert (client.status, client.ending) in ((200, "cut"), (502, "clean"))
    job = each.gateway.ended(each.job())
    assert job["error"]["code"] == "stream_error" and each.output(job) == kind.frames[0] + kind.error


@pytest.mark.parametrize("opt", ["restart", "key", "async"])
def test_whoever_does_not_need_the_connection_is_given_another_attempt(site, opt):
    """Its output is the last attempt's alone, and what was shown of the first stays where it was."""
    each = site(max_attempts=3, **({"after_output": "restart"} if opt == "restart" else {}))
    headers = {"restart": {}, "key": {"Idempotency-Key": "k"}, "async": {"Prefer": "respond-async"}}[opt]
    first, second = each.feeds(2)
    client = each.call(headers)
    first.send(CHAT.frames[0])
    if opt == "async":
        client.whole()
    else:
        client.until(lambda body: body.startswith(first.body))
    job = each.job()
    until(lambda: (each.gateway.record(job).get("stream") or {}).get("bytes"), "the first piece")
    first.cut()
    second.send(CHAT.frames[1])
    if opt != "async":
        client.to_end()
        assert client.ending == "cut" and client.body.startswith(first.body) and CHAT.frames[1] not in client.body
    second.send(CHAT.mark)
    second.finish()
    job = each.gateway.ended(job)
    assert (job["status"], job["attempt"]) == ("COMPLETED", 2)
    assert each.output(job) == CHAT.frames[1] + CHAT.mark
    if opt == "key":
        again = each.call(headers)
        assert again.whole() == CHAT.frames[1] + CHAT.mark and again.headers["X-Inferq-Attached"] == "true"


def test_a_job_that_restarts_after_output_goes_on_without_its_client(site):
    each = site(max_attempts=2, after_output="restart", linger="100ms")
    first, second = each.feeds(2)
    client = each.call()
    first.send(CHAT.frames[0])
    client.until(lambda body: body.startswith(first.body))
    first.cut()
    client.to_end()
    client.close()
    with pytest.raises(AssertionError, match="closes the connection"):
        second.call() and second.hung_up(timeout=0.5)
    second.send(CHAT.whole)
    second.finish()
    assert each.gateway.ended(each.job())["status"] == "COMPLETED"


def test_the_last_attempts_part_is_kept(site):
    each = site(max_attempts=2)
    each.route.answer_with(said(CHAT.frames[0], ending="cut"), said(CHAT.frames[1], CHAT.error))
    job = each.gateway.ended(each.submit())
    assert (job["status"], job["attempt"], job["error"]["code"]) == ("ERROR", 2, "stream_error")
    assert each.output(job) == CHAT.frames[1] + CHAT.error


def test_a_job_that_is_cancelled_between_two_attempts_keeps_what_came(site):
    each = site(max_attempts=3, backoff={"base": "20s", "cap": "20s"})
    feed = each.feed()
    job = each.submit(feed)
    feed.send(CHAT.frames[0])
    until(lambda: (each.gateway.record(job).get("stream") or {}).get("bytes"), "the first piece")
    feed.cut()
    each.gateway.wait_status(job, "PENDING")
    each.gateway.cancel(job)
    assert each.raw(job, offset=-1).whole() == feed.body
    assert each.output(job) == feed.body


@pytest.mark.parametrize("kind", [KSERVE, NONE], ids=lambda kind: kind.name)
def test_a_dialect_without_marks_goes_by_the_framing(site, kind):
    each = site(kind)
    each.route.answer_with(said(*kind.frames))
    assert each.call().whole() == kind.whole
    assert each.gateway.ended(each.job())["status"] == "COMPLETED"


def test_an_error_of_a_server_without_a_dialect_is_its_own_affair(site):
    each = site(NONE)
    each.route.answer_with(said(NONE.error, NONE.frames[0], NONE.error))
    assert each.call().whole() == NONE.error + NONE.frames[0] + NONE.error
    assert each.gateway.ended(each.job())["status"] == "COMPLETED"
