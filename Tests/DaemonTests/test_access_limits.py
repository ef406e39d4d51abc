"""What a client's table bounds: its models, its priority, its jobs, its rate; and what wrong keys cost an address."""

import concurrent.futures
import http.client
import json
import re

import pytest

import wire
from accesspaths import JSON_BODY, Asked
from contract import SUBMIT, problem
from gateway import ROOT
from keyfile import EVERYTHING, make_key
from waiting import until

FILTER = ROOT / "examples/fail2ban/filter.conf"
MODELS = {
    "ocr": {"concurrency": 4}, "asr": {}, "parked": {}, "narrow": {"queue_limit": 20}, "llama": {"dialect": "openai"},
    "wide": {"concurrency": 8},
}  # fmt: skip
CLIENTS = {
    "alice": {"max_priority": 100}, "bob": {"max_priority": 100},
    "picky": {"models": ["ocr"]}, "modest": {"max_priority": 5}, "plain": {},
    "few": {"max_pending": 3}, "one": {"max_running": 1}, "slow": {"rate": "3/1m"}, "brisk": {"rate": "5/1s"},
    "slower": {"rate": "3/1m", "scopes": EVERYTHING},
}  # fmt: skip


def submit(gateway, name, model, **job):
    return gateway.client(name).post(SUBMIT, {"model": model, "job": job} if job else {"model": model})


def refused(answer, status, code):
    found = problem(answer, status)
    assert found["code"] == code
    return found


@pytest.fixture(scope="module", autouse=True)
def paused(gateway):
    for name in ("parked", "narrow"):
        assert gateway.post(f"/v1/models/{name}/pause", b"", {}).status == 200


# Models


def test_a_client_has_the_models_of_its_table_alone(gateway):
    assert submit(gateway, "picky", "ocr").status == 202
    refused(submit(gateway, "picky", "asr"), 403, "model_not_allowed")
    refused(gateway.client("picky").post("/v1/inference", {"model": "asr"}), 403, "model_not_allowed")
    refused(gateway.client("picky").post("/v2/inference", {"model_display_name": "asr"}), 403, "model_not_allowed")
    answer = gateway.client("picky").request("POST", SUBMIT + "?model=asr", b"x", {"Content-Type": "text/plain"})
    refused(answer, 403, "model_not_allowed")


@pytest.mark.parametrize("method, target", [
    ("POST", "/v1/chat/completions"), ("POST", "/upstream/llama/v1/chat/completions"), ("GET", "/upstream/llama/health"),
    ("POST", "/upstream/asr/say"), ("GET", "/upstream/asr/health"),
])  # fmt: skip
def test_calls_of_other_models_are_refused_too(gateway, _shared_server, method, target):
    before = len(_shared_server.route("/v1/chat/completions").calls)
    body = b'{"model":"llama"}' if method == "POST" else b""
    answer = Asked(gateway.address, method, target, gateway.client("picky").headers | JSON_BODY, body)
    assert answer.status == 403
    if "llama" in target:
        assert answer.code == "model_not_allowed"
    assert len(_shared_server.route("/v1/chat/completions").calls) == before


# Priority


@pytest.mark.parametrize("name, allowed, priority", [
    ("modest", True, 5), ("modest", False, 6), ("modest", True, -100), ("plain", True, 0), ("plain", False, 1),
])  # fmt: skip
def test_a_priority_has_a_bound(gateway, name, allowed, priority):
    answers = [
        submit(gateway, name, "ocr", priority=priority),
        gateway.client(name).post("/v1/inference", {"model": "ocr", "job": {"priority": priority}}),
        gateway.client(name).request("POST", f"{SUBMIT}?model=ocr&priority={priority}", b"x", {"Content-Type": "a/b"}),
    ]
    for answer in answers:
        if allowed:
            assert answer.status in (200, 202)
        else:
            refused(answer, 403, "priority_not_allowed")


def test_a_call_has_the_same_bound(gateway):
    for priority, status in (("5", 200), ("6", 403)):
        headers = gateway.client("modest").headers | JSON_BODY | {"X-Inferq-Priority": priority}
        answer = Asked(gateway.address, "POST", "/v1/chat/completions", headers, b'{"model":"llama"}')
        assert answer.status == status
        assert status == 200 or answer.code == "priority_not_allowed"


# Jobs that wait


def test_so_many_may_wait_and_no_more(gateway):
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: submit(gateway, "few", "parked"), range(12)))
    accepted = [answer.json() for answer in answers if answer.status == 202]
    assert len(accepted) == 3
    for answer in answers:
        if answer.status != 202:
            refused(answer, 429, "client_limit")
            assert int(answer.headers["Retry-After"]) >= 1
    refused(submit(gateway, "few", "ocr"), 429, "client_limit")
    assert submit(gateway, "alice", "parked").status == 202, "it is no one else's bound"
    assert gateway.client("few").cancel(accepted[0]).status == 200
    assert submit(gateway, "few", "parked").status == 202, "one has gone"
    keyed = JSON_BODY | {"Idempotency-Key": "k"}
    refused(gateway.client("few").post(SUBMIT, {"model": "parked"}, keyed), 429, "client_limit")


def test_a_submit_that_was_made_before_is_given_again_at_the_bound(make_gateway):
    gateway = make_gateway({"ocr": {}}, clients={"few": {"max_pending": 1}})
    assert gateway.post("/v1/models/ocr/pause", b"", {}).status == 200
    keyed = JSON_BODY | {"Idempotency-Key": "k"}
    first = gateway.client("few").post(SUBMIT, {"model": "ocr"}, keyed)
    again = gateway.client("few").post(SUBMIT, {"model": "ocr"}, keyed)
    assert (first.status, again.status, again.json()["id"]) == (202, 202, first.json()["id"])
    refused(gateway.client("few").post(SUBMIT, {"model": "ocr"}), 429, "client_limit")


def test_jobs_that_run_do_not_wait(gateway, _shared_server):
    route = _shared_server.route("/wide")
    route.hold()
    name = "counted"
    gateway.keys.add(name, max_pending=1)
    gateway.reload_keys()
    until(lambda: gateway.client(name).get("/v1/models").status == 200, "the new client")
    before, jobs = len(route.calls), []
    for number in range(3):
        answer = submit(gateway, name, "wide")
        assert answer.status == 202
        jobs.append(answer.json())
        route.wait_calls(before + number + 1)
        gateway.client(name).wait_status(jobs[-1], "RUNNING")
    route.release()
    for job in jobs:
        gateway.client(name).ended(job)


def test_who_fills_the_queue_leaves_room_for_others(gateway):
    accepted = []
    while (answer := submit(gateway, "alice", "narrow")).status == 202:
        accepted.append(answer.json())
        assert len(accepted) <= 20
    assert answer.status == 429 and answer.json()["code"] in ("client_limit", "queue_full")
    assert len(accepted) >= 5, "alone it may have a good part of it"
    found = submit(gateway, "bob", "narrow")
    assert found.status == 202, "somebody new can always submit"


# Jobs that run


def test_one_clients_bound_lets_the_others_go_on(gateway, _shared_server):
    route = _shared_server.route("/wide")
    route.hold()
    before = len(route.calls)
    one, bob = gateway.client("one"), gateway.client("bob")
    held = [one.submit("wide", {"one": number}) for number in range(3)]
    others = [bob.submit("wide", {"bob": number}) for number in range(3)]
    calls = route.wait_calls(before + 4)[before:]
    for job in others:
        bob.wait_status(job, "RUNNING")
    assert [one.record(job)["status"] for job in held] == ["RUNNING", "PENDING", "PENDING"]
    assert sorted(call.body[2:5] for call in calls) == [b"bob"] * 3 + [b"one"]
    route.release()
    for job in held:
        assert one.ended(job)["status"] == "COMPLETED"
    order = [call.body for call in route.calls[before:] if b"one" in call.body]
    assert order == [b'{"one": %d}' % number for number in range(3)]
    for job in others:
        bob.ended(job)


def test_the_bound_is_over_all_models(gateway, _shared_server):
    wide, asr = _shared_server.route("/wide"), _shared_server.route("/asr")
    wide.hold()
    one = gateway.client("one")
    before = len(wide.calls), len(asr.calls)
    first = one.submit("wide")
    wide.wait_calls(before[0] + 1)
    second = one.submit("asr")
    gateway.client("bob").ended(gateway.client("bob").submit("asr"))
    assert one.record(second)["status"] == "PENDING" and len(asr.calls) == before[1] + 1
    wide.release()
    one.ended(first)
    assert one.ended(second)["status"] == "COMPLETED"


# Rate


def test_past_its_rate_a_client_is_told_to_wait(gateway):
    slow = gateway.client("slow")
    assert [slow.get("/v1/models").status for _ in range(3)] == [200] * 3
    answer = slow.get("/v1/models")
    refused(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert re.fullmatch(r'"[^"]+";q=3;w=60(;.*)?', answer.headers["RateLimit-Policy"])
    found = re.fullmatch(r'"([^"]+)";r=0(?:;t=(\d+))?(;.*)?', answer.headers["RateLimit"])
    assert found and found[1] == re.match(r'"([^"]+)"', answer.headers["RateLimit-Policy"])[1]
    assert gateway.client("plain").get("/v1/models").status == 200
    submitted = slow.post(SUBMIT, {"model": "ocr"})
    refused(submitted, 429, "rate_limited")


def test_a_call_past_the_rate_is_refused_in_its_dialect(gateway):
    headers = gateway.client("slower").headers | JSON_BODY
    for _ in range(4):
        answer = Asked(gateway.address, "POST", "/v1/chat/completions", headers, b'{"model":"llama"}')
    assert (answer.status, answer.code) == (429, "rate_limited")
    assert answer.headers["Retry-After"]


def test_a_rate_comes_back(gateway):
    brisk = gateway.client("brisk")
    until(lambda: brisk.get("/v1/models").status == 429, "the bound", every=0)
    until(lambda: brisk.get("/v1/models").status == 200, "the next second")


# Wrong keys


@pytest.fixture
def guarded(make_gateway):
    return make_gateway({"ocr": {}}, clients={"alice": {}}, access={"failures": "5/1m"})


def from_address(gateway, address, key=None, target="/v1/inference"):
    """Asked from an address of loopback."""
    connection = http.client.HTTPConnection(*gateway.address, timeout=10, source_address=(address, 0))
    try:
        connection.request("GET", target, headers={"Authorization": f"Bearer {key}"} if key else {})
        response = connection.getresponse()
        return wire.Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def block(gateway, address):
    """Wrong keys from an address until it is blocked; the refusal."""
    for number in range(20):
        answer = from_address(gateway, address, make_key())
        if answer.status == 429:
            return number, answer
        assert answer.status == 401
    raise AssertionError("20 wrong keys and no block")


def test_too_many_wrong_keys_of_an_address_are_429(guarded):
    number, answer = block(guarded, "127.0.0.2")
    assert number == 5
    refused(answer, 429, "too_many_failures")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_a_good_key_from_a_blocked_address_is_served(guarded):
    block(guarded, "127.0.0.3")
    for _ in range(5):
        assert from_address(guarded, "127.0.0.3", guarded.keys["alice"]).status == 200
    assert from_address(guarded, "127.0.0.3", target="/livez").status == 200


def test_other_addresses_are_not_blocked(guarded):
    block(guarded, "127.0.0.4")
    assert from_address(guarded, "127.0.0.5", make_key()).status == 401


def test_missing_keys_do_not_count(guarded):
    assert {from_address(guarded, "127.0.0.6").status for _ in range(20)} == {401}
    assert from_address(guarded, "127.0.0.6", make_key()).status == 401


def test_good_keys_do_not_forgive_wrong_ones(guarded):
    for _ in range(5):
        assert from_address(guarded, "127.0.0.7", make_key()).status == 401
        assert from_address(guarded, "127.0.0.7", guarded.keys["alice"]).status == 200
    assert from_address(guarded, "127.0.0.7", make_key()).status == 429


def test_a_block_ends(make_gateway):
    gateway = make_gateway({"ocr": {}}, clients={"alice": {}}, access={"failures": "5/2s"})
    block(gateway, "127.0.0.8")
    until(lambda: from_address(gateway, "127.0.0.8", make_key()).status == 401, "the end of the block")


def test_refusals_are_counted_and_an_address_is_one_line(guarded):
    block(guarded, "127.0.0.9")
    for _ in range(50):
        from_address(guarded, "127.0.0.9", make_key())
    told = until(
        lambda: [json.loads(line) for line in guarded.log_lines("notice") if "127.0.0.9" in line], "a line that says so")
    assert 1 <= len(told) <= 2, "it is told once in a minute"
    assert {line["remote"] for line in told} == {"127.0.0.9"}
    # The filter that is shipped finds the address in the text.
    [pattern] = re.findall(r"^failregex = \^%\(__prefix_line\)s(.*)$", FILTER.read_text(), re.MULTILINE)
    banned = re.fullmatch(pattern.replace("<ADDR>", r"(\S+)").rstrip("$"), told[0]["message"])
    assert banned and banned[1] == "127.0.0.9", told[0]
    counted = re.findall(r'^inferq_auth_failures_total\{reason="(\w+)"\} (\d+)', guarded.get("/metrics").body.decode(), re.M)
    assert sum(int(number) for _, number in counted) >= 50
