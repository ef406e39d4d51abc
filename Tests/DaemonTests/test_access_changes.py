"""What a change of keys, of the mode or of the configuration does to those who are there already, and what strangers hear of it."""

import contextlib
import json
import subprocess
import time

import pytest

import answers
import wire
from accesspaths import JSON_BODY
from accesssockets import on, sockets  # noqa: F401
from contract import problem
from gateway import BINARY, environment
from keyfile import Keyring, from_now
from service import ServiceManager
from waiting import fair, until


def status(gateway, key=None, target="/v1/inference"):
    return wire.exchange(gateway.address, "GET", target, headers={"X-API-Key": key} if key else {}).status


@contextlib.contextmanager
def listening(gateway, key=None):
    """An event stream of all jobs, open and quiet."""
    with wire.dial(gateway.address) as sock:
        field = f"X-API-Key: {key}\r\n" if key else ""
        sock.sendall(f"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n{field}\r\n".encode())
        heard = b""
        while b"\r\n\r\n" not in heard:
            heard += sock.recv(1 << 16)
        assert heard.startswith(b"HTTP/1.1 200 "), heard
        yield sock


def cut_after(sock, begun):
    """Seconds until the stream ends."""
    sock.settimeout(30)
    with contextlib.suppress(ConnectionError):
        while sock.recv(1 << 16):
            pass
    return time.monotonic() - begun


def within(seconds, begun, passed):
    assert passed < max(seconds, fair(seconds, begun)), f"{passed:.1f} s"


# Streams that are open


def test_a_stream_ends_with_the_overlap_of_its_key(make_gateway):
    """The key had no end when the stream began."""
    gateway = make_gateway({"ocr": {}}, clients={"alice": {}})
    old = gateway.keys["alice"]
    with listening(gateway, old) as sock:
        begun = time.monotonic()
        gateway.keys.rotate("alice", expires=from_now(3))
        gateway.reload_keys()
        passed = cut_after(sock, begun)
    assert passed > 1.5, "the overlap holds for streams too"
    within(4.5, begun, passed)
    assert status(gateway, old) == 401


def test_a_stream_goes_on_over_changes_that_leave_its_key(make_gateway):
    gateway = make_gateway({"ocr": {}}, clients={"alice": {}})
    with listening(gateway, gateway.keys["alice"]) as sock:
        gateway.keys.rotate("alice", expires=from_now(3600))
        bob = gateway.keys.add("bob")
        gateway.reload_keys()
        until(lambda: status(gateway, bob) == 200, "the reload")
        job = gateway.client("alice").submit("ocr")
        heard = b""
        while job["id"].encode() not in heard:
            heard += sock.recv(1 << 16)


def test_strangers_streams_end_when_keys_are_asked_for(make_gateway):
    gateway = make_gateway({"ocr": {}}, access={"mode": "open"}, heartbeat="2s", started=False)
    keys = Keyring(gateway.folder / "keys.d", {"alice": {}})
    gateway.settings["access"]["keys"] = str(keys.folder)
    gateway.start()
    with listening(gateway) as sock:
        gateway.settings["access"]["mode"] = "keys"
        begun = time.monotonic()
        gateway.reload()
        within(1.5, begun, cut_after(sock, begun))
    assert (status(gateway), status(gateway, keys["alice"])) == (401, 200)
    # And the other way no one is cut.
    with listening(gateway, keys["alice"]) as sock:
        gateway.settings["access"]["mode"] = "open"
        gateway.reload()
        until(lambda: status(gateway) == 200, "mode open")
        sock.settimeout(30)
        assert b":\n" in sock.recv(1 << 16), "a heartbeat"


# Keys beside a configuration that is broken


@pytest.mark.parametrize("fault", [
    {"limits": {"head_timeout": "soon"}}, {"tls": {"certificate": "/nowhere/cert.pem", "key": "/nowhere/key.pem"}},
], ids=["a setting", "a certificate"])  # fmt: skip
def test_a_key_is_revoked_whatever_else_is_wrong(make_gateway, fault):
    gateway = make_gateway({"ocr": {}}, clients={"alice": {}, "bob": {}})
    alice, bob = gateway.keys["alice"], gateway.keys["bob"]
    gateway.errors_expected = True
    gateway.settings |= fault
    gateway.keys.revoke("alice")
    gateway.reload_keys()
    until(lambda: status(gateway, alice) == 401, "alice's key is good no more")
    assert status(gateway, bob) == 200
    for words in ("the new configuration is refused, the old one stays", "the keys of clients were reloaded anyway"):
        until(lambda: words in gateway.log(), f"the line {words!r}")


# Retries


def test_a_retry_is_bounded_as_a_submit_is(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"max_attempts": 1}, "asr": {"max_attempts": 1}}, clients={"alice": {"max_priority": 9}})
    for name in ("ocr", "asr"):
        model_server.route(f"/{name}").answer_with(answers.status(400), answers.status(400))
    alice = gateway.client("alice")
    of_model, of_priority, fine = alice.submit("asr"), alice.submit("ocr", priority=9), alice.submit("ocr", priority=1)
    for job in (of_model, of_priority, fine):
        alice.ended(job)
    gateway.keys.tables["alice"] |= {"models": ["ocr"], "max_priority": 5}
    gateway.reload_keys()

    def retry(job):
        return alice.post(job["urls"]["self"] + "/retry", b"", {})

    until(lambda: alice.post("/v1/async/inference", {"model": "asr"}).status == 403, "the new limits")
    assert problem(retry(of_model), 403)["code"] == "model_not_allowed"
    assert problem(retry(of_priority), 403)["code"] == "priority_not_allowed"
    assert retry(fine).status == 202
    assert gateway.post(of_model["urls"]["self"] + "/retry", b"", {}).status == 202, "anyone who may operate retries it"


# What strangers hear


def test_options_tell_a_stranger_of_no_model(make_gateway):
    gateway = make_gateway({"ocr": {"dialect": "openai"}}, clients={"alice": {}})
    heard = {
        (answer.status, answer.headers["Allow"], answer.body)
        for path in ("/upstream/ocr/x", "/upstream/nope/x", "/v1/chat/completions", "/v1/chat/nonsense", "/nowhere")
        for answer in [wire.exchange(gateway.address, "OPTIONS", path)]
    }
    assert len(heard) == 1 and heard.pop()[0] == 204


def test_a_report_without_a_token_is_not_read(make_gateway):
    gateway = make_gateway({"ocr": {}}, clients={"alice": {}})
    with wire.dial(gateway.address) as sock:
        sock.sendall(
            b"POST /v1/notifications HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
        answer = wire.read_to_close(sock)
    assert answer.startswith(b"HTTP/1.1 403 ") and b"wrong_token" in answer


def test_a_broken_key_file_is_no_business_of_strangers(tmp_path):
    keys = Keyring(tmp_path / "keys.d", {"alice": {}})
    (keys.folder / "bob.toml").write_text("[keys.bob\n")
    manager = ServiceManager(tmp_path)
    manager.write_config(f'[access]\nmode = "keys"\nkeys = "{keys.folder}"\n')
    try:
        manager.start().wait_for("^STATUS=degraded: .*bob")
        for path in ("/readyz", "/livez", "/v1/inference", "/upstream/ocr/x"):
            answer = wire.exchange(manager.address, "GET", path)
            assert b"bob" not in answer.body and b"version" not in answer.body, (path, answer)
        assert wire.exchange(manager.address, "GET", "/readyz").status == 503
        manager.stop()
    finally:
        manager.close()


def test_an_expired_key_is_told_of_with_its_address(make_gateway):
    gateway = make_gateway({"ocr": {}}, clients={"alice": {"expires": from_now(-1)}})
    for _ in range(5):
        assert status(gateway, gateway.keys["alice"]) == 401
    told = until(
        lambda: [json.loads(line) for line in gateway.log_lines("notice") if "expired key" in line], "a line that says so")
    assert [(line["message"], line["remote"]) for line in told] == [
        ("an expired key was refused from 127.0.0.1", "127.0.0.1")]


# What is told of others


def test_the_pause_that_a_client_is_told_is_enough(make_gateway):
    """Clients of OpenAI give up past 120 s, so they are told less; no one else does."""
    gateway = make_gateway({"ocr": {"dialect": "openai"}}, clients={"slow": {"rate": "1/10m"}})
    slow = gateway.client("slow")
    assert slow.get("/v1/inference").status == 200
    assert int(slow.get("/v1/inference").headers["Retry-After"]) > 500
    asked = wire.exchange(gateway.address, "POST", "/v1/chat/completions", b'{"model":"ocr"}', JSON_BODY | slow.headers)
    assert asked.status == 429 and int(asked.headers["Retry-After"]) == 120


def test_rates_are_those_of_ones_own_jobs(make_gateway):
    gateway = make_gateway({"ocr": {}}, clients={"alice": {}, "idle": {}})
    for job in [gateway.client("alice").submit("ocr") for _ in range(20)]:
        gateway.client("alice").ended(job)

    def rate(name):
        return gateway.client(name).get("/v1/status").json()["models"][0]["ended_per_second"]

    until(lambda: rate("alice") > 0, "the rate of the client's jobs")
    assert rate("idle") == 0


def test_a_backup_goes_to_the_socket_of_root_wherever_it_stands(sockets, tmp_path):  # noqa: F811
    keyed = sockets(clients={"alice": {}})
    assert keyed.settings["listen"].index(f"unix:{keyed.local}") < keyed.settings["listen"].index(f"admin+unix:{keyed.admin}")
    ran = subprocess.run(
        [BINARY, "backup", tmp_path / "b.tar", "--config", keyed.config_file], capture_output=True, text=True, timeout=60,
        env=environment())
    assert ran.returncode == 0, ran.stderr
    refused = problem(on(keyed.local, "GET", "/v1/store/check"), 403)
    assert refused["code"] == "scope_missing" and "root has it on the socket admin+unix:" in refused["detail"]
    on(keyed.local, "GET", "/v1/inference")
    rows = {row["name"]: row for row in json.loads(on(keyed.admin, "GET", "/v1/clients").body)["results"]}
    assert rows["local"]["usage"]["requests_today"] >= 1 and rows["local"]["last_seen"], rows
