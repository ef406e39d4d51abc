"""The OpenAI SDK, unmodified, through inferq to a real LLM server: llama.cpp's own, with a model made on the spot."""

import asyncio
import json
import pathlib
import signal
import subprocess
import sys
import threading
import tomllib

import openai
import pytest

from ports import free_port
from test_commands import inferq
from waiting import until

SERVER = pathlib.Path(__file__).with_name("support") / "llama_server.py"
MESSAGES = [{"role": "user", "content": "hi"}]


class Llama:
    """The process of the model server. It says much the same each time, so answers can be compared."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None

    def start(self):
        model = self.folder / "tiny.gguf"
        self.process = subprocess.Popen(
            [sys.executable, SERVER, "--port", str(self.port), "--model", model, "--slots", "4"],
            stdout=(self.folder / "llama.log").open("ab"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    server = Llama(tmp_path_factory.mktemp("llama")).start()
    yield server
    server.stop()


@pytest.fixture
def gateway(make_gateway, llama):
    return make_gateway({"tiny": {
        "url": f"http://127.0.0.1:{llama.port}", "dialect": "openai", "names": ["gpt-*"], "health": "/health",
    }})  # fmt: skip


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", timeout=60)


def ask(client, **more):
    return client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=8, **more)


@pytest.mark.timeout(60)
def test_chat_completions_are_those_of_the_server(client, gateway, llama):
    own = openai.OpenAI(base_url=f"http://127.0.0.1:{llama.port}/v1", api_key="none", timeout=60)
    through = ask(client)
    assert through.choices[0].message.content == ask(own).choices[0].message.content
    assert through.usage.completion_tokens == 8
    [job] = gateway.get("/v1/inference").json()["results"]
    assert job["status"] == "COMPLETED" and job["call"]["answer_status"] == 200


@pytest.mark.timeout(60)
def test_a_stream_is_read_by_the_sdk(client):
    pieces = [chunk for chunk in ask(client, stream=True, stream_options={"include_usage": True})]
    assert pieces[-1].usage.completion_tokens == 8
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text == ask(client).choices[0].message.content


@pytest.mark.timeout(60)
def test_models_are_listed_for_the_sdk(client):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "inferq"


@pytest.mark.timeout(60)
def test_errors_are_the_sdks_own(client):
    with pytest.raises(openai.NotFoundError) as found:
        client.chat.completions.create(model="other", messages=MESSAGES)
    assert found.value.code == "model_not_found" and "tiny" in found.value.message
    with pytest.raises(openai.BadRequestError) as found:
        client.chat.completions.create(model="tiny", messages="no list")
    assert "messages" in found.value.message


@pytest.mark.timeout(60)
def test_an_error_is_not_asked_for_again_by_the_sdk(client, gateway):
    """llama.cpp has no embeddings here and says 501, which the SDK would repeat twice."""
    with pytest.raises(openai.InternalServerError):
        client.embeddings.create(model="tiny", input="hi")
    assert len(gateway.get("/v1/inference").json()["results"]) == 1


@pytest.mark.timeout(90)
def test_a_server_that_restarts_costs_nobody_his_call(client, gateway, llama):
    assert ask(client).usage.completion_tokens == 8
    llama.stop()
    found = []
    threads = [threading.Thread(target=lambda: found.append(ask(client).usage.completion_tokens)) for _ in range(5)]
    for thread in threads:
        thread.start()
    until(lambda: len(gateway.get("/v1/inference").json()["results"]) == 6, "five jobs that wait")
    llama.start()
    for thread in threads:
        thread.join(60)
    assert found == [8] * 5
    assert {job["attempt"] for job in gateway.get("/v1/inference").json()["results"]} == {1}


# Responses in the background


@pytest.mark.timeout(60)
def test_a_background_response_is_what_the_server_says_itself(client, llama):
    own = openai.OpenAI(base_url=f"http://127.0.0.1:{llama.port}/v1", api_key="none", timeout=60)
    said = own.responses.create(model="tiny", input="hi", max_output_tokens=8, temperature=0)
    asked = client.responses.create(model="gpt-4o", input="hi", max_output_tokens=8, temperature=0, background=True)
    assert asked.status == "queued"
    ended = until(lambda: (it := client.responses.retrieve(asked.id)).status == "completed" and it, "the end", 30)
    assert ended.output_text == said.output_text and ended.usage.output_tokens == 8
    # Of llama.cpp's own stream, which has no numbers, the SDK can make nothing.
    with client.responses.stream(response_id=asked.id) as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert "".join(texts) == said.output_text == stream.get_final_response().output_text


@pytest.mark.timeout(60)
def test_the_asynchronous_sdk_follows_one_while_it_is_made(gateway):
    async def follow():
        async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="none", timeout=60) as client:
            asked = await client.responses.create(
                model="tiny", input="count", max_output_tokens=400, extra_body={"ignore_eos": True}, background=True)  # fmt: skip
            seen = [event async for event in await client.responses.retrieve(asked.id, stream=True)]
            numbers = [event.sequence_number for event in seen]
            assert numbers == list(range(len(seen))) and seen[-1].type == "response.completed"
            middle = len(seen) // 2
            rest = await client.responses.retrieve(asked.id, stream=True, starting_after=middle)
            assert [event.sequence_number async for event in rest] == numbers[middle + 1 :]
            assert (await client.responses.retrieve(asked.id)).output_text == seen[-1].response.output_text

    asyncio.run(follow())


@pytest.mark.timeout(60)
def test_a_previous_response_needs_a_server_that_keeps_them(client):
    asked = client.responses.create(model="tiny", input="hi", max_output_tokens=4, background=True)
    until(lambda: client.responses.retrieve(asked.id).status == "completed", "the end", 30)
    with pytest.raises(openai.BadRequestError, match="has not kept it"):
        client.responses.create(model="tiny", input="more", background=True, previous_response_id=asked.id)


# Batches


@pytest.mark.timeout(60)
def test_a_batch_is_run_by_the_server(client, gateway, llama):
    own = openai.OpenAI(base_url=f"http://127.0.0.1:{llama.port}/v1", api_key="none", timeout=60)
    said = own.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=8, temperature=0)
    body = {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 8, "temperature": 0}
    requests = [{"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": body} for n in range(6)]

    async def run():
        async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="none", timeout=60) as each:
            file = await each.files.create(file=("in.jsonl", "\n".join(map(json.dumps, requests)).encode()), purpose="batch")
            batch = await each.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")  # fmt: skip
            while (batch := await each.batches.retrieve(batch.id)).status != "completed":
                assert batch.status in ("validating", "in_progress", "finalizing"), batch
                await asyncio.sleep(0.05)
            return batch, (await each.files.content(batch.output_file_id)).text

    batch, output = asyncio.run(run())
    answers = [json.loads(line) for line in output.splitlines()]
    assert [each["custom_id"] for each in answers] == [f"r{n}" for n in range(6)]
    texts = {each["response"]["body"]["choices"][0]["message"]["content"] for each in answers}
    assert texts == {said.choices[0].message.content}
    assert batch.usage.output_tokens == 6 * 8 and batch.request_counts.completed == 6


def test_a_first_configuration_is_written_for_the_server_that_runs(llama, make_gateway, tmp_path):
    file = tmp_path / "first.toml"
    ended = inferq("config", "init", file, "--port", llama.port, "--port", free_port())
    assert ended.returncode == 0, ended.stderr
    assert f"found llama.cpp's server at http://127.0.0.1:{llama.port}\n" in ended.stderr.decode()
    assert inferq("check", "--config", file).returncode == 0
    model = tomllib.loads(file.read_text())["models"]["llama"]
    assert model["dialect"] == "openai" and model["health"] == "/health" and model["concurrency"] >= 1
    gateway = make_gateway({"llama": model})
    own = openai.OpenAI(base_url=f"http://127.0.0.1:{llama.port}/v1", api_key="none")
    name = own.models.list().data[0].id
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
    assert client.chat.completions.create(model=name, messages=MESSAGES, max_tokens=4).usage.completion_tokens == 4
