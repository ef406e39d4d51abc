"""Keys, tickets and cookies stand nowhere but where they belong: not in the log, the store, a backup, a process or an error."""

import io
import pathlib
import subprocess
import tarfile
import urllib.parse

import pytest

import wire
from accesspaths import JSON_BODY, NOBODY
from accesssockets import cookie, on, sign_in, sockets  # noqa: F401
from contract import SUBMIT
from gateway import BINARY, environment
from keyfile import digest, make_key

CALL = "/v1/chat/completions"
SAME = {"Sec-Fetch-Site": "same-origin"}


class Secrets:
    """Everything that must not be found, by name, and the answers that were errors."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.words = {"alice's key": gateway.keys["alice"], "root's key": gateway.keys["root"], "a wrong key": make_key()}
        self.errors = []

    def ask(self, method, target, headers=None, body=None):
        answer = wire.exchange(self.gateway.address, method, target, body, (JSON_BODY if body else {}) | (headers or {}))
        if answer.status >= 400:
            self.errors.append(answer.body + str(answer.headers).encode())
        return answer

    def found_in(self, data):
        """The names of what stands in these bytes, whole or without its prefix."""
        return [name for name, word in self.words.items() if word.encode() in data or word[5:48].encode() in data]


@pytest.fixture
def used(sockets, model_server, request):
    """A gateway where everything was done that a key, a ticket or a cookie can be sent with, good and bad."""
    model_server.route(CALL)
    gateway = sockets(
        {"ocr": {}, "llama": {"url": model_server.url(""), "dialect": "openai", "forward_authorization": True}},
        clients={"alice": {}}, log_level="trace", log_format=getattr(request, "param", "json"), access={"failures": "5/1m"},
    )  # fmt: skip
    secrets = Secrets(gateway)
    good, wrong = secrets.words["alice's key"], secrets.words["a wrong key"]
    for key in (good, wrong):
        for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
            for target in ("/v1/inference", f"/v1/inference/{NOBODY}", "/v1/nothing", "/v1/me", "/upstream/llama/health"):
                secrets.ask("GET", target, headers)
            secrets.ask("POST", SUBMIT, headers | {"Idempotency-Key": "k"}, b'{"model":"ocr"}')
            secrets.ask("POST", SUBMIT, headers, b"not json")
            secrets.ask("POST", CALL, headers, b'{"model":"llama"}')
            secrets.ask("POST", "/upstream/llama/x", headers, b"{}")
        secrets.ask("GET", "/v1/inference", {"Authorization": f"Bearer {good}", "X-API-Key": wrong})
        secrets.ask("GET", "/v1/inference", {"Authorization": f"Basic {key}"})
        secrets.ask("GET", f"/v1/inference?key={key}")
        secrets.ask("GET", f"/v1/inference?key={key}", {"X-API-Key": good})
        secrets.ask("POST", "/v1/session", SAME, b'{"key":"%s","x":1}' % key.encode())
        secrets.ask("POST", "/v1/session", SAME, b'{"key":"%s"' % key.encode())
    job = gateway.ended(gateway.client("alice").submit("ocr"))
    made = gateway.client("alice").post(job["urls"]["self"] + "/ticket", {"expires_in": "1h"}).json()
    target = urllib.parse.urlsplit(made["url"])
    secrets.words["the ticket"] = urllib.parse.parse_qs(target.query)["ticket"][0]
    for path in (target.path, "/v1/inference", f"/v1/async/notify/{NOBODY}", "/nothing"):
        secrets.ask("GET", f"{path}?{target.query}")
    secrets.words["the cookie"] = cookie(sign_in(gateway, good, SAME)).partition("=")[2]
    field = cookie(sign_in(gateway, good, SAME))
    secrets.words["another cookie"] = field.partition("=")[2]
    for target in ("/v1/inference", "/nothing", "/upstream/llama/health"):
        secrets.ask("GET", target, {"Cookie": field} | SAME)
    secrets.ask("POST", CALL, {"Cookie": field} | SAME, b'{"model":"llama"}')
    secrets.ask("DELETE", "/v1/session", {"Cookie": field} | SAME)
    gateway.raw(f"GET /v1/inference HTTP/1.1\r\nAuthorization: Bearer {good}\r\nbroken\r\n\r\n".encode())
    on(gateway.local, "GET", "/v1/inference", headers={"X-API-Key": good})
    gateway.reload_keys()
    return secrets


@pytest.mark.parametrize("used", ["json", "text", "journal"], indirect=True)
def test_the_log_tells_none(used):
    used.gateway.stop()
    log = used.gateway.log_file.read_bytes()
    assert used.found_in(log) == []
    assert digest(used.gateway.keys["alice"]).encode() not in log


def test_the_store_holds_none_and_no_hash_of_a_key(used):
    gateway = used.gateway

    def look():
        for file in gateway.folder.rglob("*"):
            if file.is_file() and file.parent != gateway.keys.folder:
                data = file.read_bytes()
                assert used.found_in(data) == [], file.name
                hashed = digest(gateway.keys["alice"])
                assert hashed.encode() not in data and bytes.fromhex(hashed) not in data, file.name

    look()
    gateway.stop()
    look()


def test_a_backup_holds_none(used):
    answer = on(used.gateway.admin, "GET", "/v1/store/backup")
    assert answer.status == 200
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        for member in archive:
            if member.isfile():
                assert used.found_in(archive.extractfile(member).read()) == [], member.name


def test_no_process_shows_one(used):
    for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            data = file.read_bytes()
        except OSError:
            continue
        assert used.found_in(data) == [], data
    ours = pathlib.Path(f"/proc/{used.gateway.process.pid}/environ").read_bytes()
    assert used.found_in(ours) == []


def test_no_error_shows_one(used):
    assert len(used.errors) > 20
    for answer in used.errors:
        assert used.found_in(answer) == [], answer


def test_metrics_lists_and_what_is_said_of_clients_show_none(used):
    for target in ("/metrics", "/v1/clients", "/v1/me", "/v1/status", "/v1/inference?limit=1000", "/openapi.json", "/"):
        answer = used.gateway.get(target)
        assert answer.status == 200
        assert used.found_in(answer.body) == [], target
        assert digest(used.gateway.keys["alice"]).encode() not in answer.body, target


def test_a_client_command_does_not_repeat_its_key(used):
    key = used.words["a wrong key"]
    for variables in ({"INFERQ_KEY": key}, {"INFERQ_KEY": used.words["alice's key"]}):
        ran = subprocess.run([BINARY, "jobs", "--url", used.gateway.url], capture_output=True, timeout=60,
                             env=environment(**variables))  # fmt: skip
        assert used.found_in(ran.stdout + ran.stderr) == []


# On the way to the model server


def test_no_model_server_gets_one(used, model_server):
    calls = model_server.calls
    assert len(calls) > 5
    for call in calls:
        sent = "\n".join(f"{name}: {value}" for name, value in call.header_list).encode() + call.body + call.target.encode()
        assert used.found_in(sent) == [], call.target
        for name in ("Authorization", "X-Api-Key", "Cookie"):
            assert call.header(name) is None, (call.target, name)


@pytest.mark.parametrize("forwarded", [True, False])
@pytest.mark.parametrize("name, form", [("Authorization", "Bearer {}"), ("X-API-Key", "{}")])
def test_a_key_ends_at_the_gateway(make_gateway, model_server, forwarded, name, form):
    llama = {"url": model_server.url(""), "dialect": "openai", "forward_authorization": forwarded}
    gateway = make_gateway({"llama": llama}, clients={"alice": {}})
    headers = {name: form.format(gateway.keys["alice"]), "Cookie": "a=b"}
    for method, target in (("POST", CALL), ("POST", "/upstream/llama/x"), ("GET", "/upstream/llama/y"), ("POST", SUBMIT)):
        body = b'{"model":"llama"}' if method == "POST" else None
        answer = wire.exchange(gateway.address, method, target, body, headers | JSON_BODY)
        assert answer.status in (200, 202)
    gateway.ended(answer.json())
    calls = model_server.calls
    assert len(calls) == 4
    for call in calls:
        assert [call.header(each) for each in ("Authorization", "X-Api-Key", "Cookie")] == [None] * 3


def test_a_key_that_was_sent_on_a_socket_where_it_is_ignored_ends_there_too(sockets, model_server):
    llama = {"url": model_server.url(""), "dialect": "openai", "forward_authorization": True}
    gateway = sockets({"llama": llama}, clients={"alice": {}})
    for headers in ({"Authorization": f"Bearer {gateway.keys['alice']}"}, {"X-API-Key": gateway.keys["alice"]}):
        assert on(gateway.local, "POST", CALL, b'{"model":"llama"}', headers).status == 200
    for call in model_server.calls:
        assert gateway.keys["alice"] not in str(call.header_list)


def test_what_the_configuration_sends_still_goes_out(make_gateway, model_server):
    llama = {"url": model_server.url(""), "dialect": "openai", "headers": {"Authorization": "Bearer the-servers"}}
    gateway = make_gateway({"llama": llama}, clients={"alice": {}})
    answer = wire.exchange(gateway.address, "POST", CALL, b'{"model":"llama"}', gateway.client("alice").headers | JSON_BODY)
    assert answer.status == 200
    [call] = model_server.calls
    assert call.all("Authorization") == ["Bearer the-servers"]
