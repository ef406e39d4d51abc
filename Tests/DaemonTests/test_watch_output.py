"""What `inferq watch --output` and `inferq submit --watch` print of an answer, while it comes and afterwards."""

import json
import subprocess
import threading

import pytest

import answers
from commands import Command, Relay, on_terminal, screen
from gateway import BINARY, environment

PATH = "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"


def event(frame):
    return b"data: " + json.dumps(frame).encode() + b"\n\n"


def line(frame):
    return json.dumps(frame).encode() + b"\n"


def delta(text):
    return event({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]})


def messages(kind, **rest):
    return f"event: {kind}\n".encode() + event({"type": kind} | rest)


@pytest.fixture
def llm(make_gateway, model_server):
    """A gateway with the model "llm" of the dialect `openai`; its route is that of chat."""
    gateway = make_gateway({"llm": {"url": model_server.url(""), "dialect": "openai", "max_attempts": 3}})
    gateway.route = model_server.route(PATH)
    return gateway


def submit(gateway, *arguments, path=PATH, model="llm"):
    return Command("submit", model, "{}", *(["--path", path] if path else []), *arguments, url=gateway.url)


def submitted(gateway, *arguments, **keys):
    """The id of a job that was submitted without watching it."""
    with submit(gateway, *arguments, **keys) as command:
        assert command.end() == 0, command.errors
        return command.output.decode().strip()


def watch(gateway, job, *arguments):
    return Command("watch", "--output", *arguments, job, url=gateway.url)


# While it comes


def test_the_text_is_printed_as_it_comes(llm):
    middle, end = threading.Event(), threading.Event()
    llm.route.answer_with(answers.streamed(delta(""), delta("Grüß "), middle, delta("Gott\n"), end, DONE))
    with submit(llm, "--watch") as command:
        command.wait_output("Grüß ".encode())
        middle.set()
        command.wait_output("Grüß Gott\n".encode())
        end.set()
        assert command.end() == 0, command.errors
    assert command.output == "Grüß Gott\n".encode(), "and nothing else"
    said = command.errors.decode()
    assert "attempt 1 started" in said and "completed in" in said
    assert "\x1b" not in said and "\r" not in said and "Grüß" not in said
    with watch(llm, command.names[1]) as late:
        assert late.end() == 0 and late.output == command.output


DIALECTS = {
    "chat": ("openai", PATH, "text/event-stream", [delta("a"), delta("b"), DONE]),
    "completions": ("openai", "/v1/completions", "text/event-stream", [
        event({"choices": [{"index": 0, "text": "a"}]}), event({"choices": [{"index": 0, "text": "b"}]}), DONE,
    ]),
    "responses": ("openai", "/v1/responses", "text/event-stream", [
        messages("response.created", response={"output": []}),
        messages("response.output_text.delta", delta="a"), messages("response.output_text.delta", delta="b"),
        messages("response.output_text.done", text="ab"), messages("response.completed", response={"output": []}),
    ]),
    "messages": ("openai", "/v1/messages", "text/event-stream", [
        messages("message_start", message={"content": []}), messages("ping"),
        messages("content_block_delta", index=0, delta={"type": "text_delta", "text": "a"}),
        messages("content_block_delta", index=0, delta={"type": "text_delta", "text": "b"}),
        messages("message_stop"),
    ]),
    "llama.cpp": ("openai", "/completion", "text/event-stream", [
        event({"content": "a", "stop": False}), event({"content": "b", "stop": False}), event({"content": "", "stop": True}),
    ]),
    "tgi": ("openai", "/generate_stream", "text/event-stream", [
        event({"token": {"text": "a", "special": False}, "generated_text": None}),
        event({"token": {"text": "b", "special": False}, "generated_text": "ab"}),
    ]),
    "ollama chat": ("ollama", "/api/chat", "application/x-ndjson", [
        line({"message": {"content": "a"}, "done": False}), line({"message": {"content": "b"}, "done": False}),
        line({"message": {"content": ""}, "done": True}),
    ]),
    "ollama generate": ("ollama", "/api/generate", "application/x-ndjson", [
        line({"response": "a", "done": False}), line({"response": "b", "done": False}), line({"response": "", "done": True}),
    ]),
    "plain": ("none", "/say", "text/plain", [b"a", b"b"]),
}  # fmt: skip


def test_the_text_of_each_dialect_and_with_raw_the_bytes(make_gateway, model_server):
    models = {kind: {"url": model_server.url(""), "dialect": kind} for kind in ("openai", "ollama", "none")}
    gateway = make_gateway(models)
    for name, (model, path, content_type, frames) in DIALECTS.items():
        model_server.route(path).answer_with(answers.streamed(*frames, content_type=content_type))
        with submit(gateway, "--watch", path=path, model=model) as command:
            assert command.end() == 0, (name, command.errors)
        assert command.output == b"ab", name
        with submit(gateway, "--watch", "--raw", path=path, model=model) as command:
            assert command.end() == 0, (name, command.errors)
        assert command.output == b"".join(frames), name


def test_a_stream_of_nobody_is_printed_as_it_is(make_gateway, model_server):
    gateway = make_gateway({"own": {}})
    frames = [b"data: one\n\n", b": ping\n\n", b'data: {"n":2}\n\n', b"\xff\xfe"]
    model_server.route("/own").answer_with(answers.streamed(*frames))
    with submit(gateway, "--watch", path=None, model="own") as command:
        assert command.end() == 0, command.errors
    assert command.output == b"".join(frames)


# Attempts


def test_a_repeated_attempt_begins_on_a_new_line_and_standard_error_says_so(llm):
    cut = threading.Event()
    llm.route.answer_with(
        answers.streamed(delta("a"), delta("b"), cut, answers.CUT), answers.streamed(delta("A"), delta("B"), DONE))
    with submit(llm, "--watch") as command:
        command.wait_output(b"ab")
        cut.set()
        assert command.end() == 0, command.errors
    assert command.output == b"ab\nAB"
    assert b"inferq: attempt 2 starts from the beginning\n" in command.errors
    for name in command.names:
        with watch(llm, name) as late:
            assert late.end() == 0
        assert late.output == b"AB", "who comes late gets the answer alone"
        with watch(llm, name, "--raw") as late:
            assert late.end() == 0
        assert late.output == delta("A") + delta("B") + DONE


def test_raw_bytes_of_two_attempts_are_told_apart(llm):
    cut = threading.Event()
    llm.route.answer_with(answers.streamed(delta("a"), cut, answers.CUT), answers.streamed(delta("b"), DONE))
    with submit(llm, "--watch", "--raw") as command:
        command.wait_output(delta("a"))
        cut.set()
        assert command.end() == 0, command.errors
    assert command.output == delta("a") + delta("b") + DONE
    assert f"attempt 2 starts from the beginning, at byte {len(delta('a'))} of".encode() in command.errors


def test_a_job_that_fails_has_printed_what_came(llm):
    gates = [threading.Event() for _ in range(3)]
    error = event({"error": {"message": "out of memory"}})
    llm.route.answer_with(*[answers.streamed(delta("a"), gate, error, DONE) for gate in gates])
    with submit(llm, "--watch") as command:
        for count, gate in enumerate(gates):
            command.wait_output(b"a" + count * b"\na")
            gate.set()
        assert command.end() == 1
    assert command.output == b"a\na\na"
    assert command.errors.count(b"inferq: job ") == 1 and b"out of memory" in command.errors
    with watch(llm, command.names[0]) as late:
        assert late.end() == 1
    assert late.output == b"a" and b"out of memory" in late.errors


def test_a_job_that_is_cancelled_ends_the_watch(llm):
    llm.route.answer_with(answers.streamed(delta("a"), threading.Event()))
    job = submitted(llm)
    with watch(llm, job) as command:
        command.wait_output(b"a")
        llm.cancel({"urls": {"cancel": f"/v1/inference/{job}/cancel"}})
        assert command.end() == 1
    assert command.output == b"a" and b"was cancelled" in command.errors


def test_an_answer_that_is_no_text_is_printed_once_it_is_whole(llm):
    image = bytes(range(256))
    typed = {"content_type": "image/png"}
    pause = threading.Event()
    threading.Timer(0.3, pause.set).start()     # longer than an answer may take that is not stored while it comes
    llm.route.answer_with(
        answers.streamed(image, pause, answers.CUT, **typed), answers.streamed(image, pause, image, **typed))
    with submit(llm, "--watch") as command:
        assert command.end() == 0, command.errors
    assert command.output == image * 2
    llm.route.answer_with(answers.status(400, body=b'{"error":"no such thing"}'))
    with submit(llm, "--watch") as command:
        assert command.end() == 1
    assert command.output == b"" and b"status 400" in command.errors


# Breaks


def test_the_watch_goes_on_over_a_crash_of_the_gateway(llm):
    later = threading.Event()
    llm.route.answer_with(answers.streamed(delta("a"), delta("b"), later), answers.streamed(delta("A"), DONE))
    job = submitted(llm)
    with watch(llm, job) as command:
        command.wait_output(b"ab")
        llm.kill()
        llm.restart()
        assert command.end() == 0, command.errors
    assert command.output == b"ab\nA"
    assert b"attempt 2 starts from the beginning" in command.errors


@pytest.mark.parametrize("raw", [False, True])
def test_a_connection_that_breaks_costs_no_byte(llm, raw):
    steps = [threading.Event() for _ in range(2)]
    script = []
    for number, step in enumerate(steps):
        script += [delta(f"{number} "), step]
    llm.route.answer_with(answers.streamed(*script, DONE))
    job = submitted(llm)
    relay = Relay(llm.address)
    frames = [delta(f"{number} ") if raw else b"%d " % number for number in range(2)]
    with Command("watch", "--output", *(["--raw"] if raw else []), job, url=relay.url) as command:
        for number, step in enumerate(steps):
            command.wait_output(b"".join(frames[: number + 1]), timeout=15)
            relay.cut()
            step.set()
        assert command.end() == 0, command.errors
    relay.close()
    assert command.output == b"".join(frames) + (DONE if raw else b"")
    assert b"starts from the beginning" not in command.errors


# On a terminal


def test_a_terminal_shows_the_text_in_place_of_the_progress_line(llm):
    llm.route.answer_with(answers.streamed(delta("one\ntwo\x1b[2J"), delta(" three"), DONE))
    code, written = on_terminal("submit", "llm", "{}", "--path", PATH, "--watch", url=llm.url)
    assert code == 0, written
    assert screen(written)[1:] == ["one", "two\\u001b[2J three", ""], written
    assert "PENDING" in written, "the line was there before the text"


def test_a_terminal_shows_why_an_attempt_is_repeated(llm):
    cut = threading.Event()
    llm.route.answer_with(answers.streamed(delta("a."), cut, answers.CUT), answers.streamed(delta("b"), DONE))
    command = ["submit", "llm", "{}", "--path", PATH, "--watch"]
    code, written = on_terminal(*command, url=llm.url, after="a.", gate=cut)
    shown = screen(written)
    assert code == 0 and shown[1] == "a." and shown[3:] == ["b", ""], written
    assert shown[2].startswith("inferq: attempt 1 failed (bad_response: ")
    assert shown[2].endswith("; attempt 2 starts from the beginning")


# Usage


@pytest.mark.parametrize("arguments", [
    ["submit", "llm", "{}", "--raw"],
    ["watch", "--raw", "01935f2e-0000-7000-8000-000000000000"],
    ["watch", "--json", "--output", "01935f2e-0000-7000-8000-000000000000"],
])  # fmt: skip
def test_options_that_do_not_go_together_exit_64(arguments):
    ended = subprocess.run([BINARY, *arguments], capture_output=True, timeout=30, env=environment())
    assert ended.returncode == 64 and ended.stderr and not ended.stdout


def test_an_unknown_job_is_said_to_be_so(llm):
    with watch(llm, "01935f2e-0000-7000-8000-000000000000") as command:
        assert command.end() == 64
    assert command.output == b"" and command.errors.count(b"\n") == 1
