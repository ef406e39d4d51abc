"""What a client hears of itself, and clients that no one here wrote: with a key they work as they are."""

import json
import pathlib
import re
import shutil
import subprocess

import httpx
import ollama
import openai
import pytest

import answers
from contract import problem
from gateway import BINARY, environment
from keyfile import from_now, key_id, make_key, seal
from reference_sdk import geostudio_at
from streamserver import CHAT, OLLAMA, said
from waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:geostudio")

SETTINGS = {"access": {"failures": "10000/1m"}}
MODELS = {
    "llama": {"dialect": "openai", "names": ["gpt-4o"], "max_attempts": 1}, "hugger": {"dialect": "ollama"},
    "parked": {}, "ocr": {},
}  # fmt: skip
EXPIRES = from_now(86_400)
CLIENTS = {
    "alice": {}, "bob": {}, "operator": {"scopes": ["operate"]}, "reader": {"scopes": ["read"]},
    "bounded": {"expires": EXPIRES, "max_pending": 7, "max_running": 3, "rate": "600/1m", "models": ["parked"]},
    "sparing": {"rate": "2/1m"},
}  # fmt: skip


# What one hears


def test_a_client_hears_who_it_is(gateway):
    me = gateway.client("alice").get("/v1/me")
    assert me.status == 200
    assert me.json()["client"] == "alice"
    assert sorted(me.json()["scopes"]) == ["cancel", "read", "submit"]
    assert key_id(gateway.keys["alice"]) in me.body.decode()
    assert gateway.keys["alice"] not in me.body.decode()


def test_a_client_hears_its_limits_what_it_uses_of_them_and_when_its_key_ends(gateway):
    assert gateway.post("/v1/models/parked/pause", b"", {}).status == 200
    bounded = gateway.client("bounded")
    before = bounded.get("/v1/me").body.decode()
    for _ in range(5):
        bounded.submit("parked")
    me = bounded.get("/v1/me")
    said_ = json.dumps(me.json())
    assert EXPIRES[:19] in said_, "the end of the key"
    assert "7" in said_ and "3" in said_ and "600" in said_ and "parked" in said_, "its limits"
    assert "5" in [part.strip(" ,}]") for part in said_.replace(":", " ").split()], "of which 5 wait"
    assert before != me.body.decode()


@pytest.mark.parametrize("name", ["operator", "reader"])
def test_every_scope_may_ask_who_it_is(gateway, name):
    assert gateway.client(name).get("/v1/me").json()["client"] == name


def test_who_operates_hears_of_all_clients(gateway):
    gateway.client("alice").ended(gateway.client("alice").submit("ocr"))
    answer = gateway.client("operator").get("/v1/clients")
    assert answer.status == 200
    listed = {each["name"]: each for each in answer.json()["results"]}
    assert set(CLIENTS) <= set(listed)
    assert (listed["alice"]["pending"], listed["alice"]["running"]) == (0, 0)
    for key in gateway.keys.tables:
        assert gateway.keys[key] not in answer.body.decode()


def test_the_counts_of_a_client_follow_its_jobs(gateway, model):
    def counts():
        listed = gateway.client("operator").get("/v1/clients").json()["results"]
        [bob] = [each for each in listed if each["name"] == "bob"]
        return bob["pending"], bob["running"]

    before = counts()
    model.route.hold()
    jobs = [gateway.client("bob").submit(model.name) for _ in range(3)]
    model.route.wait_calls(1)
    until(lambda: counts() == (before[0] + 2, before[1] + 1), "two wait, one runs")
    model.route.release()
    for job in jobs:
        gateway.client("bob").ended(job)
    until(lambda: counts() == before, "none is left")


@pytest.mark.parametrize("name", ["alice", "reader"])
def test_nobody_else_hears_of_other_clients(gateway, name):
    assert problem(gateway.client(name).get("/v1/clients"), 403)["code"] == "scope_missing"


# The OpenAI SDK

COMPLETION = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
}  # fmt: skip


def sdk(gateway, key, **options):
    return openai.OpenAI(base_url=gateway.url + "/v1", api_key=key, timeout=30, **options)


def ask(client, **more):
    return client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}], **more)


def test_the_sdk_of_openai_sends_its_key(gateway, _shared_server):
    _shared_server.route(CHAT.path).answer_with(answers.ok(json.dumps(COMPLETION).encode()))
    client = sdk(gateway, gateway.keys["alice"])
    assert ask(client).choices[0].message.content == "hi"
    assert "llama" in [each.id for each in client.models.list().data]


def test_the_sdk_of_openai_reads_a_stream(gateway, _shared_server):
    _shared_server.route(CHAT.path).answer_with(said(*CHAT.frames, CHAT.mark))
    pieces = [each.choices[0].delta.content for each in ask(sdk(gateway, gateway.keys["alice"]), stream=True)]
    assert "".join(pieces).startswith("Hällo wörld")


@pytest.mark.parametrize("key", ["sk-wrong", make_key()], ids=["foreign", "wrong"])
def test_the_sdk_of_openai_hears_of_a_wrong_key(gateway, key):
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(sdk(gateway, key))
    assert caught.value.code == "key_invalid" and key not in str(caught.value)
    with pytest.raises(openai.AuthenticationError):
        sdk(gateway, key).models.list()


def test_the_sdk_of_openai_hears_what_it_may_not(gateway):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask(sdk(gateway, gateway.keys["bounded"]))
    assert caught.value.code == "model_not_allowed"
    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask(sdk(gateway, gateway.keys["reader"]))
    assert caught.value.code == "scope_missing"


def test_the_sdk_of_openai_hears_of_its_rate(gateway):
    client = sdk(gateway, gateway.keys["sparing"], max_retries=0)
    for _ in range(2):
        client.models.list()
    with pytest.raises(openai.RateLimitError) as caught:
        client.models.list()
    assert int(caught.value.response.headers["Retry-After"]) >= 1


# Others


def test_the_client_of_ollama_sends_a_key_as_a_header(gateway, _shared_server):
    _shared_server.route(OLLAMA.path).answer_with(
        said(*OLLAMA.frames, OLLAMA.mark, content_type=OLLAMA.content_type))  # fmt: skip
    chat = [{"role": "user", "content": "hi"}]
    client = ollama.Client(gateway.url, headers={"Authorization": f"Bearer {gateway.keys['alice']}"})
    pieces = [each.message.content for each in client.chat("hugger", chat, stream=True)]
    assert "".join(pieces).startswith("Hällo")
    with pytest.raises(ollama.ResponseError) as caught:
        ollama.Client(gateway.url).chat("hugger", chat)
    assert caught.value.status_code == 401 and caught.value.error


def test_clients_of_messages_send_a_key_in_a_header_of_its_own(gateway, _shared_server):
    _shared_server.route("/v1/messages").answer_with(answers.ok(b'{"type":"message"}'))
    body = {"model": "llama", "max_tokens": 1, "messages": []}
    headers = {"x-api-key": gateway.keys["alice"], "anthropic-version": "2023-06-01"}
    assert httpx.post(gateway.url + "/v1/messages", json=body, headers=headers).json() == {"type": "message"}
    refused = httpx.post(gateway.url + "/v1/messages", json=body, headers=headers | {"x-api-key": make_key()})
    assert refused.status_code == 401 and refused.json()["type"] == "error"


@pytest.fixture
def geostudio(gateway, monkeypatch):
    """Makes clients as their users make them: the gateway's address in the environment, and a key."""
    return geostudio_at(gateway.url, monkeypatch)


def test_the_sdk_of_the_reference_gateway_sends_its_key(geostudio, gateway, model):
    request = {
        "model_display_name": model.name, "spatial_domain": {"bbox": [[36.7, -1.4, 36.9, -1.2]]},
        "temporal_domain": ["2024-04-25_2024-05-05"], "description": "floods of April", "location": "Nairobi, Kenya",
    }  # fmt: skip
    sdk_ = geostudio.Client(api_key=gateway.keys["alice"])
    job = sdk_.submit_inference(request)
    assert gateway.client("alice").ended({"urls": {"self": "/v1/inference/" + job["id"]}})["client"] == "alice"
    assert sdk_.poll_inference_until_finished(job["id"])["status"] == "COMPLETED"
    assert job["id"] in [each["id"] for each in sdk_.list_inferences()["results"]]
    assert gateway.client("bob").get("/v2/inference/" + job["id"]).status == 404


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
@pytest.mark.parametrize("header", ["Authorization: Bearer {}", "X-API-Key: {}"])
def test_curl_sends_a_key_from_a_file(gateway, tmp_path, header):
    file = tmp_path / "header"
    file.write_text(header.format(gateway.keys["alice"]))
    command = ["curl", "-sS", "--fail", "-H", f"@{file}", gateway.url + "/v1/inference"]
    ran = subprocess.run(command, capture_output=True, timeout=60)
    assert ran.returncode == 0 and b'"results"' in ran.stdout
    ran = subprocess.run(["curl", "-sS", "--fail", gateway.url + "/v1/inference"], capture_output=True, timeout=60)
    assert ran.returncode == 22 and b"401" in ran.stderr


# Commands


def inferq(gateway, *arguments, **variables):
    command = [BINARY, *arguments, "--url", gateway.url]
    return subprocess.run(command, capture_output=True, timeout=60, stdin=subprocess.DEVNULL, env=environment(**variables))


@pytest.mark.parametrize("command", [["jobs"], ["models"], ["status"], ["submit", "ocr", "{}"]], ids=lambda it: it[0])
def test_a_command_takes_its_key_from_the_environment(gateway, command):
    ran = inferq(gateway, *command, INFERQ_KEY=gateway.keys["alice"])
    assert ran.returncode == 0, ran.stderr


def test_a_command_takes_its_key_from_a_file(gateway, tmp_path):
    file: pathlib.Path = tmp_path / "key"
    file.write_text(gateway.keys["alice"] + "\n")
    file.chmod(0o600)
    assert inferq(gateway, "jobs", INFERQ_KEY_FILE=str(file)).returncode == 0
    assert inferq(gateway, "jobs", INFERQ_KEY_FILE=str(tmp_path / "absent")).returncode != 0


@pytest.mark.parametrize("variables", [{}, {"INFERQ_KEY": "x"}, {"INFERQ_KEY": make_key()}], ids=["none", "no key", "wrong"])
@pytest.mark.parametrize("command", [["jobs"], ["status"], ["submit", "ocr", "{}"]], ids=lambda it: it[0])
def test_a_command_without_a_good_key_says_so_in_one_sentence(gateway, command, variables):
    ran = inferq(gateway, *command, **variables)
    assert ran.returncode not in (0, 1)
    [line] = ran.stderr.decode().splitlines()
    assert line.startswith("inferq: ") and "key" in line
    assert not variables or len(variables["INFERQ_KEY"]) < 9 or variables["INFERQ_KEY"] not in line


def test_keys_that_the_command_makes_have_the_published_form(gateway):
    command = [BINARY, "key", "add", "erp", "--scopes", "submit,read", "--config", gateway.config_file]
    ran = subprocess.run(command, capture_output=True, timeout=60, env=environment())
    assert ran.returncode == 0, ran.stderr
    [key] = re.findall(r"infq_[0-9A-Za-z]{49}", ran.stdout.decode())
    assert seal(key[5:48]) == key
    until(lambda: gateway.client(key=key).get("/v1/models").status == 200, "the reload that it asks for")
    assert gateway.client(key=key).get("/v1/me").json()["client"] == "erp"


def test_a_key_is_no_argument(gateway):
    ran = inferq(gateway, "jobs", "--key", gateway.keys["alice"])
    assert ran.returncode == 64
