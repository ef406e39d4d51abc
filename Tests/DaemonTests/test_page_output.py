"""The page for people: the text of a job that is open, while it comes and afterwards."""

import json
import threading

import pytest

import answers
import wire
from gateway import JSON_TYPE
from test_page import has_status, needs_chromium, picture

pytestmark = needs_chromium
PATH = "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"
SHOWN = "document.getElementById('output')?.textContent"
TITLE = "document.getElementById('output-title')?.textContent"


@pytest.fixture
def page(make_gateway, model_server, browser):
    """A gateway with the model "llm" of the dialect `openai` and "own" of none, and its page in a tab."""
    url = model_server.url("")
    gateway = make_gateway({
        "llm": {"url": url, "dialect": "openai", "concurrency": 2, "max_attempts": 2}, "own": {},
        "local": {"url": url, "dialect": "ollama"},
    })  # fmt: skip
    with browser.tab(gateway.url + "/") as tab:
        tab.gateway, tab.route, tab.server = gateway, model_server.route(PATH), model_server
        tab.wait("document.getElementById('connection').textContent.startsWith('Live')")
        yield tab


def delta(text):
    frame = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(frame).encode() + b"\n\n"


def called(page, model="llm", path=PATH):
    """A job that is a call; its record."""
    headers = JSON_TYPE | {"Prefer": "respond-async"}
    answer = wire.exchange(page.gateway.address, "POST", f"/upstream/{model}{path}", b"{}", headers, 20)
    assert answer.status == 202, answer
    return answer.json()


def opened(page, job):
    page.evaluate(f"location.hash = '{job['id']}'")
    page.wait(f"document.getElementById('facts').textContent.includes('{job['id']}')")
    return job


def wait_text(page, text):
    page.wait(f"{SHOWN} === {json.dumps(text)}")


def streams(page):
    """The addresses of the streams for one job alone."""
    return [url for url in page.requests("EventSource") if "/v1/async/notify/" in url]


def test_the_text_of_the_open_job_grows_and_is_there_after_a_reload(page):
    gates = [threading.Event() for _ in range(3)]
    page.route.answer_with(
        answers.streamed(delta("Grüß "), gates[0], delta("Gott 😀"), gates[1], delta("!"), gates[2], DONE))
    job = opened(page, called(page))
    wait_text(page, "Grüß ")
    assert page.evaluate(TITLE) == "Output so far"
    gates[0].set()
    wait_text(page, "Grüß Gott 😀")
    picture(page, "output-grows")
    page.call("Page.reload")
    wait_text(page, "Grüß Gott 😀")
    gates[1].set()
    wait_text(page, "Grüß Gott 😀!")
    gates[2].set()
    page.wait(f"{TITLE} === 'Output'")
    wait_text(page, "Grüß Gott 😀!")
    assert page.evaluate("live") is None, "a stream for a job that runs alone"
    assert len(streams(page)) == 2, "one before the reload and one after it"
    page.call("Page.reload")
    wait_text(page, "Grüß Gott 😀!")
    assert page.troubles() == [] and len(streams(page)) == 2
    assert page.gateway.get(job["urls"]["output"]).status == 200


def test_only_the_open_job_has_a_stream_of_its_own(page):
    never = threading.Event()
    page.route.answer_with(answers.streamed(delta("one"), never), answers.streamed(delta("two"), never))
    first = called(page)
    page.route.wait_calls(1)
    second = called(page)
    page.wait(has_status(second, "RUNNING"))
    assert streams(page) == []
    opened(page, first)
    wait_text(page, "one")
    opened(page, second)
    wait_text(page, "two")
    page.evaluate("document.getElementById('job-close').click()")
    page.wait("document.getElementById('job').hidden")
    assert page.evaluate("live") is None
    assert [url.partition("?")[0] for url in streams(page)] == [
        page.gateway.url + job["urls"]["events"] for job in (first, second)
    ]


def test_the_text_begins_anew_with_the_attempt(page):
    cut, end = threading.Event(), threading.Event()
    page.route.answer_with(
        answers.streamed(delta("one"), cut, answers.CUT), answers.streamed(delta("two"), end, DONE))
    opened(page, called(page))
    wait_text(page, "one")
    cut.set()
    wait_text(page, "two")
    assert page.evaluate(TITLE) == "Output so far, attempt 2"
    end.set()
    page.wait(f"{TITLE} === 'Output'")
    wait_text(page, "two")


def test_it_goes_on_over_a_crash_of_the_gateway(page):
    end = threading.Event()
    page.route.answer_with(answers.streamed(delta("one"), end), answers.streamed(delta("two"), end, DONE))
    job = opened(page, called(page))
    wait_text(page, "one")
    page.gateway.kill()
    page.wait("!document.getElementById('away').hidden")
    assert page.evaluate(SHOWN) == "one", "what was shown stays"
    page.gateway.start()
    page.wait(f"{SHOWN} === 'two'", 30)
    end.set()
    page.wait(has_status(job, "COMPLETED"))
    wait_text(page, "two")


def test_what_came_of_a_failed_answer_stays(page):
    cut = threading.Event()
    page.route.answer_with(answers.streamed(delta("half"), cut, answers.CUT))
    opened(page, called(page))
    wait_text(page, "half")
    cut.set()
    page.wait("document.querySelector('#facts .ERROR') !== null")
    wait_text(page, "half")


def test_the_end_of_a_long_text_is_shown(page):
    word = "0123456789abcdef" * 256                 # 4 KiB
    end = threading.Event()
    page.route.answer_with(answers.streamed(*[delta(word)] * 100, end, *[delta(word)] * 200, delta("end"), DONE))
    job = opened(page, called(page))
    page.wait(f"{SHOWN}.length === {256 * 1024 + 1}")
    assert page.evaluate(SHOWN).startswith("…")
    end.set()
    page.wait(f"{TITLE} === 'Output' && {SHOWN}?.endsWith('end')")
    shown = page.evaluate(SHOWN)
    assert len(shown) == 256 * 1024 + 1 and shown[1:] == (word * 300 + "end")[-256 * 1024:]
    page.call("Page.reload")                        # its record does not hold so much
    page.wait(f"{SHOWN}?.endsWith('end')")
    assert page.evaluate(SHOWN) == shown
    assert "text" not in page.gateway.record(job)["output"]


@pytest.mark.parametrize("size", [1, 300 << 10], ids=["in the record", "too long for the record"])
def test_pieces_that_come_after_the_end_was_shown_are_not_shown_twice(page, size):
    more, end = threading.Event(), threading.Event()
    page.route.answer_with(answers.streamed(delta("one "), more, delta("x" * size + " two"), end, DONE))
    job = opened(page, called(page))
    wait_text(page, "one ")
    page.evaluate("""{
        const {source} = live, hear = source.onmessage;
        globalThis.kept = [];
        source.onmessage = frame => kept.push(() => hear(frame));
    }""")
    more.set()
    page.wait("kept.length > 0")
    end.set()
    page.wait(f"{TITLE} === 'Output' && {SHOWN}?.endsWith('two')")
    shown = page.evaluate(SHOWN)
    page.evaluate("{kept.forEach(hear => hear()); showOpened();}")
    assert page.evaluate(SHOWN) == shown and job["id"] in page.evaluate("location.hash")


def test_foreign_text_is_text_while_it_comes(page):
    bad = '<img src=x onerror="document.title=1">'
    never = threading.Event()
    page.route.answer_with(answers.streamed(delta(bad), never))
    opened(page, called(page))
    wait_text(page, bad)
    assert page.evaluate("document.querySelector('#output *')") is None
    assert page.evaluate("document.title") == "inferq" and page.troubles() == []


def lines(*frames):
    return [json.dumps(frame).encode() + b"\n" for frame in frames]


@pytest.mark.parametrize("model, path, content_type, steps, text", [
    ("local", "/api/chat", "application/x-ndjson", lines(
        {"message": {"thinking": "hm"}, "done": False}, {"message": {"content": "a"}, "done": False},
        {"message": {"content": "b"}, "done": False}), "hm\n\nab"),
    ("llm", "/v1/responses", "text/event-stream", [
        b'event: response.created\r\ndata: {"type":"response.created"}\r\n\r\n',
        b'data: {"type":"response.output_text.delta",\r\ndata: "delta":"ab"}\r\n\r\n'], "ab"),
    ("llm", "/v1/messages", "text/event-stream", [
        b'data: {"type":"message_start"}\n\n',
        b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"ab"}}\n\n'], "ab"),
    ("llm", "/completion", "text/event-stream", [b'data: {"content":"ab","stop":false}\n\n'], "ab"),
    ("llm", "/generate_stream", "text/event-stream", [b'data: {"token":{"text":"ab"}}\n\n'], "ab"),
    ("own", "", "text/event-stream", [b"data: a\n\n", b": b\n\n"], "data: a\n\n: b\n\n"),
    ("own", "", "text/plain", [b"Gr\xc3", b"\xbc\xc3\x9fe"], "Grüße"),
    ("own", "", "application/json", [b'{"a":', b"1"], '{"a":1'),
], ids=["ollama", "responses", "messages", "llama.cpp", "tgi", "events", "plain", "json"])  # fmt: skip
def test_the_text_of_each_dialect(page, model, path, content_type, steps, text):
    never = threading.Event()
    page.server.route(path or "/own").answer_with(answers.streamed(*steps, never, content_type=content_type))
    opened(page, called(page, model, path) if path else page.gateway.submit(model))
    wait_text(page, text)


def test_an_answer_that_is_no_text_is_not_shown(page):
    page.server.route("/own").answer_with(answers.streamed(b"\xff\xd8\xff", threading.Event(), content_type="image/jpeg"))
    opened(page, page.gateway.submit("own"))
    page.wait("opened.answer")
    page.evaluate("draw()")
    assert page.evaluate("document.getElementById('output-part').hidden")
