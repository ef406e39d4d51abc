"""Keys of submits and repeats of calls are each client's own, and so is what was made before there were clients."""

import concurrent.futures
import json
import subprocess
import sys

import pytest

import answers
import wire
from accesspaths import JSON_BODY
from contract import SUBMIT, problem
from waiting import until

MODELS = {"llama": {"dialect": "openai", "linger": "60s"}}
CLIENTS = {"alice": {}, "bob": {}, "auditor": {"scopes": ["read", "read:all"]}}
CALL = "/v1/chat/completions"
BODY = b'{"model":"llama","messages":[]}'


def keyed(gateway, name, model, key, **members):
    return gateway.client(name).post(SUBMIT, {"model": model.name, **members}, JSON_BODY | {"Idempotency-Key": key})


# Keys of submits


def test_one_key_of_two_clients_makes_two_jobs(gateway, model):
    first, second = (keyed(gateway, name, model, "k-two") for name in ("alice", "bob"))
    assert (first.status, second.status) == (202, 202)
    assert first.json()["id"] != second.json()["id"]
    assert second.headers["Idempotency-Replayed"] is None
    for name, answer in (("alice", first), ("bob", second)):
        assert gateway.client(name).ended(answer.json())["client"] == name
    assert len(model.calls) == 2


def test_each_client_gets_its_own_job_again(gateway, model):
    made = {name: keyed(gateway, name, model, "k-again").json()["id"] for name in ("alice", "bob")}
    for name, job in made.items():
        again = keyed(gateway, name, model, "k-again")
        assert (again.json()["id"], again.headers["Idempotency-Replayed"]) == (job, "true")


def test_anothers_key_with_another_body_is_no_conflict(gateway, model):
    assert keyed(gateway, "alice", model, "k-body", a=1).status == 202
    assert keyed(gateway, "bob", model, "k-body", a=2).status == 202
    problem(keyed(gateway, "alice", model, "k-body", a=3), 422)


def test_a_key_of_the_body_is_each_clients_own_too(gateway, model):
    jobs = [gateway.client(name).submit(model.name, key="k-member") for name in ("alice", "bob", "alice")]
    assert jobs[0]["id"] == jobs[2]["id"] != jobs[1]["id"]


def test_a_key_on_the_path_of_the_reference_gateway_is_each_clients_own(gateway, model):
    made = [gateway.client(name).post("/v2/inference", {"model_display_name": model.name},
                                      JSON_BODY | {"Idempotency-Key": "k-v2"}) for name in ("alice", "bob")]  # fmt: skip
    assert [answer.status for answer in made] == [201, 201]
    assert made[0].json()["id"] != made[1].json()["id"]


def test_equal_submits_of_two_clients_at_once_make_one_job_for_each(gateway, model):
    def one(number):
        return keyed(gateway, "alice" if number % 2 else "bob", model, "k-many").json()

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = {(job["client"], job["id"]) for job in pool.map(one, range(16))}
    assert len(found) == 2 and {client for client, _ in found} == {"alice", "bob"}


def test_a_new_key_of_a_client_finds_the_job_of_its_old_one(gateway, model):
    first = keyed(gateway, "alice", model, "k-rotated").json()
    gateway.keys.rotate("alice")
    gateway.reload_keys()
    until(lambda: gateway.client("alice").get("/v1/inference").status == 200, "the new key")
    again = keyed(gateway, "alice", model, "k-rotated")
    assert (again.json()["id"], again.headers["Idempotency-Replayed"]) == (first["id"], "true")


def test_keys_are_each_clients_own_after_a_restart(make_gateway):
    gateway = make_gateway({"ocr": {}}, clients={"alice": {}, "bob": {}})
    headers = JSON_BODY | {"Idempotency-Key": "k"}
    made = {name: gateway.client(name).post(SUBMIT, {"model": "ocr"}, headers).json()["id"] for name in ("alice", "bob")}
    gateway.stop()
    gateway.restart()
    again = {name: gateway.client(name).post(SUBMIT, {"model": "ocr"}, headers).json()["id"] for name in ("alice", "bob")}
    assert again == made


# Repeats of calls


def call(gateway, name, body=BODY, **headers):
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    return wire.exchange(gateway.address, "POST", CALL, body, JSON_BODY | gateway.client(name).headers | headers)


def hang_up_after(gateway, name, body, route):
    """A call of a client who vanishes once the model server works on it."""
    before = len(route.calls)
    key = gateway.keys[name]
    with wire.dial(gateway.address) as sock:
        head = f"POST {CALL} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        route.wait_calls(before + 1)


@pytest.mark.parametrize("name, attached", [("alice", "true"), ("bob", None)])
def test_a_repeated_call_attaches_for_its_own_client_alone(gateway, _shared_server, name, attached):
    route = _shared_server.route(CALL)
    body = json.dumps({"model": "llama", "for": name}).encode()
    route.answer_with(answers.after(1.0, answers.ok(b"first", "text/plain")), answers.ok(b"second", "text/plain"))
    hang_up_after(gateway, "alice", body, route)
    answer = call(gateway, name, body, x_stainless_retry_count="1")
    assert (answer.status, answer.headers["X-Inferq-Attached"]) == (200, attached)
    assert answer.body == (b"first" if attached else b"second")


def test_a_key_of_a_call_is_each_clients_own(gateway, _shared_server):
    route = _shared_server.route(CALL)
    route.answer_with(answers.ok(b"first", "text/plain"), answers.ok(b"second", "text/plain"))
    assert call(gateway, "alice", Idempotency_Key="k-call").body == b"first"
    other = call(gateway, "bob", Idempotency_Key="k-call")
    assert (other.body, other.headers["X-Inferq-Attached"]) == (b"second", None)
    again = call(gateway, "alice", Idempotency_Key="k-call")
    assert (again.body, again.headers["X-Inferq-Attached"]) == (b"first", "true")


def test_a_call_is_its_clients_job(gateway, _shared_server):
    _shared_server.route(CALL).answer_with(answers.ok(b"said", "text/plain"))
    answer = call(gateway, "alice")
    target = "/v1/inference/" + answer.headers["X-Inference-Id"]
    assert gateway.client("alice").get(target).json()["client"] == "alice"
    assert gateway.client("bob").get(target).status == 404
    assert gateway.client("bob").get("/v1/async/notify/" + answer.headers["X-Event-Id"]).status == 404


# Without keys, and what is older than they are


def test_in_mode_open_everybody_is_anonymous_and_may_do_all(make_gateway):
    gateway = make_gateway({"ocr": {}})
    job = gateway.submit("ocr", priority=100)
    assert job["client"] == gateway.ended(job)["client"] == "anonymous"
    me = gateway.get("/v1/me")
    assert (me.status, me.json()["client"]) == (200, "anonymous")
    assert gateway.post("/v1/models/ocr/pause", b"", {}).status == 200
    assert gateway.get("/metrics").status == 200 and gateway.get("/v1/clients").status == 200
    assert gateway.client(key="anything").get("/v1/inference").status == 200, "as today"


def test_what_nobody_in_particular_made_is_no_clients(make_gateway):
    gateway = make_gateway({"ocr": {}})
    job = gateway.ended(gateway.submit("ocr"))
    gateway.stop()
    gateway.use_keys(CLIENTS)
    gateway.restart()
    assert gateway.client("alice").get(job["urls"]["self"]).status == 404
    assert gateway.client("alice").get("/v1/inference").json()["results"] == []
    assert gateway.client("auditor").get(job["urls"]["self"]).json()["client"] == "anonymous"


# Without a checkpoint, which would write pages without their seals.
FORGET = """
import os, sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("PRAGMA wal_autocheckpoint = 0")
change = "UPDATE job SET client = NULL WHERE client = (SELECT id FROM client WHERE name = ?)"
os._exit(0 if store.execute(change, sys.argv[2:]).rowcount else 1)
"""


def test_a_job_of_before_has_no_client(make_gateway):
    """As a store that is older than clients has it: its rows lack the name."""
    gateway = make_gateway({"ocr": {}}, clients=CLIENTS)
    job = gateway.client("alice").submit("ocr")
    gateway.ended(job)
    gateway.stop()
    subprocess.run([sys.executable, "-c", FORGET, gateway.folder / "inferq.db", "alice"], check=True)
    gateway.restart()
    assert gateway.record(job)["client"] is None
    assert gateway.client("alice").get(job["urls"]["self"]).status == 404
    assert gateway.client("auditor").get(job["urls"]["self"]).status == 200
