"""Streams for clients that no one here wrote: the OpenAI SDK, over a scripted server and over llama.cpp's own."""

import asyncio
import json
import subprocess
import sys

import httpx
import httpx_sse
import openai
import pytest

import wire
from streamserver import CHAT, COMPLETIONS, RESPONSES, WORDS, data, said, site  # noqa: F401
from test_calls_sdk import MESSAGES, SERVER, Llama
from waiting import until

DONE = data("[DONE]")


def client_of(gateway, **keys):
    return openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", timeout=30, **keys)


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


class SlowLlama(Llama):
    """One slot, and about a hundred tokens a second."""

    def start(self):
        model = self.folder / "tiny.gguf"
        command = [sys.executable, SERVER, "--port", str(self.port), "--model", model, "--slots", "1", "--duty", "0.02"]
        self.process = subprocess.Popen(command, stdout=(self.folder / "llama.log").open("ab"), stderr=subprocess.STDOUT)
        return self


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    server = SlowLlama(tmp_path_factory.mktemp("llama")).start()
    yield server
    server.stop()


@pytest.fixture
def tiny(make_gateway, llama):
    """A gateway before the real server, which is up."""
    gateway = make_gateway({"tiny": {
        "url": f"http://127.0.0.1:{llama.port}", "dialect": "openai", "health": "/health", "linger": "200ms",
    }})  # fmt: skip
    until(lambda: gateway.get("/v1/models/tiny").json()["state"] == "up", "the server", timeout=30)
    return gateway


def busy_slots(llama):
    slots = wire.exchange(("127.0.0.1", llama.port), "GET", "/slots").json()
    return sum(slot["is_processing"] for slot in slots)


# llama.cpp's own server


@pytest.mark.timeout(90)
def test_the_sdk_reads_a_real_stream_as_it_comes(tiny):
    with client_of(tiny).chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=60, stream=True) as stream:
        chunks = iter(stream)
        first = next(chunks)
        assert tiny.get("/v1/inference").json()["results"][0]["status"] == "RUNNING"
        rest = list(chunks)
    assert first.object == "chat.completion.chunk" and text_of(rest) and rest[-1].choices[0].finish_reason == "length"
    [job] = tiny.get("/v1/inference").json()["results"]
    record = tiny.ended(job)
    assert record["status"] == "COMPLETED"
    frames = tiny.get(job["urls"]["output"]).body
    assert frames.endswith(DONE) and frames.count(b"data: ") == len(rest) + 2


@pytest.mark.timeout(90)
@pytest.mark.parametrize("how", ["hang up", "cancel"])
def test_a_cancel_in_the_middle_frees_the_slot_of_a_real_server(tiny, llama, how):
    until(lambda: busy_slots(llama) == 0, "a free slot", timeout=20)
    stream = client_of(tiny).chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=3000, stream=True)
    for _, _ in zip(stream, range(3)):
        pass
    assert busy_slots(llama) == 1
    [job] = tiny.get("/v1/inference").json()["results"]
    if how == "cancel":
        tiny.cancel(job)
        with pytest.raises((openai.APIError, httpx.RemoteProtocolError)):
            list(stream)
    else:
        stream.close()
    until(lambda: busy_slots(llama) == 0, "the slot is freed", timeout=5)
    assert tiny.ended(job)["status"] == "CANCELLED"
    assert tiny.get(job["urls"]["output"]).body.count(b"data: ") >= 3


@pytest.mark.timeout(90)
def test_a_real_responses_stream_ends_with_its_terminal_event(tiny):
    with httpx.Client(timeout=60) as client:
        body = {"model": "tiny", "input": "hi", "max_output_tokens": 8, "stream": True}
        with httpx_sse.connect_sse(client, "POST", tiny.url + "/v1/responses", json=body) as source:
            events = [event.event for event in source.iter_sse()]
    assert events[-1] in ("response.completed", "response.incomplete"), events
    assert tiny.ended(tiny.get("/v1/inference").json()["results"][0])["status"] == "COMPLETED"


# A scripted server


def test_the_sdk_reads_whole_streams_synchronously_and_not(site):
    each = site()
    each.route.answer_with(said(*CHAT.frames, CHAT.mark, pause=0.05))
    stream = client_of(each.gateway).chat.completions.create(model="m", messages=MESSAGES, stream=True)
    expected = 'Hällo wörld \U0001f30d"[DONE]" {"error": "no"}'
    assert text_of(stream) == expected

    async def read():
        async with openai.AsyncOpenAI(base_url=each.gateway.url + "/v1", api_key="none", timeout=30) as client:
            stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            return text_of([chunk async for chunk in stream]), stream.response.headers["x-request-id"]

    text, id = asyncio.run(read())
    assert text == expected and id in {job["id"] for job in each.jobs()}


def test_the_sdk_reads_many_streams_at_once(site):
    each = site()
    each.route.answer_with(said(*CHAT.frames * 10, CHAT.mark, pause=0.02))

    async def read():
        async with openai.AsyncOpenAI(base_url=each.gateway.url + "/v1", api_key="none", timeout=30) as client:

            async def one():
                return text_of([chunk async for chunk in await client.chat.completions.create(
                    model="m", messages=MESSAGES, stream=True,
                )])  # fmt: skip

            return await asyncio.gather(*(one() for _ in range(30)))

    assert len(set(asyncio.run(read()))) == 1 and len(each.route.calls) == 30


@pytest.mark.parametrize("tail, ending, words", [
    (CHAT.error, "finish", WORDS), (b":\n\n", "finish", ""), (b":\n\n", "cut", ""), (b'data: {"to', "cut", ""),
], ids=["error", "no mark", "cut", "torn"])  # fmt: skip
def test_the_sdk_never_takes_a_broken_stream_for_whole(site, tail, ending, words):
    each = site()
    each.route.answer_with(said(CHAT.frames[0], tail, ending=ending, pause=0.3))
    stream = client_of(each.gateway, max_retries=0).chat.completions.create(model="m", messages=MESSAGES, stream=True)
    got = []
    with pytest.raises((openai.APIError, httpx.HTTPError)) as found:
        got += [next(iter(stream))]
        got += list(stream)
    assert text_of(got) == "Hällo " and words in str(found.value)


def test_the_sdk_is_told_of_an_error_as_the_first_frame(site):
    each = site()
    each.route.answer_with(said(CHAT.error))
    with pytest.raises(openai.InternalServerError) as found:
        client_of(each.gateway).chat.completions.create(model="m", messages=MESSAGES, stream=True)
    assert found.value.code == "stream_error" and WORDS in found.value.message
    assert len(each.route.calls) == 1, "the SDK must not repeat what the gateway has given up"


def test_the_sdk_reads_completions_and_responses(site):
    each = site(COMPLETIONS)
    each.route.answer_with(said(*COMPLETIONS.frames, COMPLETIONS.mark))
    stream = client_of(each.gateway).completions.create(model="m", prompt="x", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream).startswith("Hällo ")
    each = site(RESPONSES)
    each.route.answer_with(said(*RESPONSES.frames, RESPONSES.mark))
    events = list(client_of(each.gateway).responses.create(model="m", input="x", stream=True))
    assert [event.type for event in events] == ["response.output_text.delta"] * 3 + ["response.completed"]


# Other readers


@pytest.mark.parametrize("last", ["", "&last_event_id=0"])
def test_another_reader_of_events_reads_the_pieces(site, last):
    each = site()
    each.route.answer_with(said(*CHAT.frames, CHAT.mark))
    job = each.gateway.ended(each.submit())
    with httpx.Client(timeout=30) as client:
        url = each.gateway.url + job["urls"]["events"] + "?output=true" + last
        with httpx_sse.connect_sse(client, "GET", url) as source:
            events = [json.loads(event.data) for event in source.iter_sse()]
    assert "".join(event["data"].get("text", "") for event in events) == CHAT.whole.decode()
