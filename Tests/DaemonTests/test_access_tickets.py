"""A ticket opens the events of one job to who cannot send a header, and nothing else."""

import datetime
import json
import pathlib
import shutil
import subprocess
import threading
import urllib.parse

import pytest

import wire
from accesspaths import JSON_BODY, NOBODY
from contract import problem
from streamreader import Reader
from test_event_clients import node_is_there
from waiting import until

SETTINGS = {"access": {"failures": "10000/1m"}}
CLIENTS = {
    "alice": {}, "bob": {}, "sender": {"scopes": ["submit"]}, "leaving": {}, "listening": {}, "rotating": {},
    "auditor": {"scopes": ["read", "read:all"]},
}  # fmt: skip


def ticket(gateway, job, name="alice", **body):
    """The address that a ticket for a job opens, as path and query."""
    answer = gateway.client(name).post(f"/v1/inference/{job['id']}/ticket", body)
    assert answer.status in (200, 201), answer.body
    parts = urllib.parse.urlsplit(answer.json()["url"])
    assert urllib.parse.parse_qs(parts.query)["ticket"]
    return f"{parts.path}?{parts.query}"


def opened(gateway, target, method="GET", headers=None):
    """The status to somebody without a key."""
    with Reader(gateway.address, method, target, headers=headers) as reader:
        return reader.status


def value(target):
    return urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)["ticket"][0]


@pytest.fixture
def held(gateway, model):
    """A job of alice that runs until the model's gate opens."""
    model.route.hold()
    job = gateway.client("alice").submit(model.name)
    model.route.wait_calls(1)
    return job


# What it opens


def test_a_ticket_opens_the_jobs_events_without_a_key(gateway, held, model):
    with wire.Stream(gateway.address, ticket(gateway, held, expires_in="1h")) as stream:
        assert (stream.status, stream.headers["Content-Type"].partition(";")[0]) == (200, "text/event-stream")
        stream.events(2)
        model.route.release()
        events = wire.parse(stream.to_end())
    assert [event.status for event in events] == ["PENDING", "RUNNING", "COMPLETED"]


def test_a_ticket_says_when_it_ends(gateway, held):
    answer = gateway.client("alice").post(f"/v1/inference/{held['id']}/ticket", {"expires_in": "2h"})
    assert {"url", "expires_at"} <= set(answer.json())
    left = datetime.datetime.fromisoformat(answer.json()["expires_at"]) - datetime.datetime.now(datetime.UTC)
    assert 7100 < left.total_seconds() < 7300
    assert held["event_id"] in answer.json()["url"] or held["id"] in answer.json()["url"]


def test_an_answer_with_a_ticket_is_not_kept_on_its_way(gateway, held):
    answer = gateway.client("alice").post(f"/v1/inference/{held['id']}/ticket", {"expires_in": "1h"})
    assert "no-store" in answer.headers["Cache-Control"]


def test_a_listener_comes_back_with_its_last_event(gateway, held, model):
    target = ticket(gateway, held)
    with wire.Stream(gateway.address, target) as stream:
        first, _ = stream.events(2)
    model.route.release()
    with wire.Stream(gateway.address, target, {"Last-Event-ID": str(first.id)}) as stream:
        events = wire.parse(stream.to_end())
    assert [event.status for event in events] == ["RUNNING", "COMPLETED"]
    assert opened(gateway, target, headers={"Last-Event-ID": str(events[-1].id)}) == 204


@pytest.mark.parametrize("allowed", ["1h", "24h", "1d", 60])
def test_a_ticket_lasts_for_a_day_at_most(gateway, held, allowed):
    assert opened(gateway, ticket(gateway, held, expires_in=allowed)) == 200


@pytest.mark.parametrize("expires_in", ["25h", "86401s", 86401, "2d", "0s", -1, "soon", "", None, {}, [1]])
def test_another_length_is_400(gateway, held, expires_in):
    answer = gateway.client("alice").post(f"/v1/inference/{held['id']}/ticket", {"expires_in": expires_in})
    problem(answer, 400)


def test_an_unknown_member_is_400(gateway, held):
    problem(gateway.client("alice").post(f"/v1/inference/{held['id']}/ticket", {"expires": "1h"}), 400)


@pytest.mark.skipif(not node_is_there(), reason="no node >= 20")
def test_an_event_source_reads_with_a_ticket(gateway, held, model):
    url = gateway.url + ticket(gateway, held)
    script = pathlib.Path(__file__).with_name("support") / "eventsource.mjs"
    threading.Timer(0.5, model.route.release).start()
    ran = subprocess.run(["node", "--no-warnings", "--experimental-eventsource", script, url],
                         capture_output=True, text=True, timeout=60)  # fmt: skip
    lines = ran.stdout.splitlines()
    # Node may end before it comes back for the 204.
    assert ran.returncode == 0, ran
    told = [json.loads(json.loads(line)[1])["status"] for line in lines if line != "closed"]
    assert told == ["PENDING", "RUNNING", "COMPLETED"]


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_curl_reads_with_a_ticket(gateway, held, model):
    model.route.release()
    gateway.ended(held)
    ran = subprocess.run(["curl", "-sSN", gateway.url + ticket(gateway, held)], capture_output=True, timeout=60)
    assert ran.returncode == 0 and ran.stdout.count(b"\ndata: ") == 3


# What it does not open


def test_a_ticket_opens_nothing_else_of_its_job(gateway, held):
    query = urllib.parse.urlsplit(ticket(gateway, held)).query
    urls = held["urls"]
    targets = [("GET", urls[name]) for name in ("self", "history", "input", "output")]
    targets += [("POST", urls["cancel"]), ("POST", urls["self"] + "/retry"), ("POST", urls["self"] + "/ticket")]
    targets += [("DELETE", urls["self"]), ("GET", "/v2/inference/" + held["id"]), ("GET", "/v1/inference"), ("GET", "/v1/me")]
    targets += [("GET", "/v1/events"), ("GET", "/v1/models"), ("POST", "/v1/async/inference"), ("GET", "/metrics")]
    for method, target in targets:
        assert opened(gateway, f"{target}?{query}", method) == 401, target
    assert gateway.client("alice").record(held)["status"] == "RUNNING"


def test_a_ticket_opens_no_other_job(gateway, held, model):
    query = urllib.parse.urlsplit(ticket(gateway, held)).query
    others = [gateway.client(name).submit(model.name) for name in ("alice", "bob")]
    for job in [*others, {"event_id": NOBODY, "id": NOBODY}]:
        for target in (f"/v1/async/notify/{job['event_id']}", f"/v2/async/notify/{job['id']}"):
            assert opened(gateway, f"{target}?{query}") in (401, 403, 404), target


def test_a_ticket_is_no_key(gateway, held):
    word = value(ticket(gateway, held))
    for headers in ({"Authorization": f"Bearer {word}"}, {"X-API-Key": word}, {"Cookie": f"ticket={word}"}):
        assert opened(gateway, "/v1/inference", headers=headers) == 401


@pytest.mark.parametrize("change", [
    lambda word: "", lambda word: "x", lambda word: word[:-1], lambda word: word + "A", lambda word: word[::-1],
    lambda word: ("B" if word[0] == "A" else "A") + word[1:], lambda word: word[:-2] + ("AA" if word[-2:] != "AA" else "BB"),
    lambda word: word.swapcase(), lambda word: "%00", lambda word: "%F0%9F%94%91", lambda word: "a" * 4000,
], ids=["empty", "x", "shorter", "longer", "backwards", "first", "last", "case", "zero", "utf-8", "long"])  # fmt: skip
def test_a_changed_ticket_is_refused(gateway, held, change):
    target = ticket(gateway, held)
    path, _, _ = target.partition("?")
    assert opened(gateway, f"{path}?ticket={change(value(target))}") in (400, 401, 403)


def test_two_tickets_in_one_address_open_nothing_more(gateway, held):
    target = ticket(gateway, held)
    assert opened(gateway, f"{target}&ticket=x") in (200, 400, 401, 403)
    assert opened(gateway, f"{target.replace('ticket=', 'ticket=x&ticket=')}") in (200, 400, 401, 403)
    assert opened(gateway, f"/v1/events?{target.partition('?')[2]}&ticket=x") in (400, 401)


def test_a_ticket_ends(gateway, held):
    target = ticket(gateway, held, expires_in="2s")
    assert opened(gateway, target) == 200
    until(lambda: opened(gateway, target) in (401, 403), "the end of the ticket")


# Who makes one


def test_a_ticket_needs_read(gateway, model):
    answer = gateway.client("sender").post("/v1/async/inference", {"model": model.name})
    refused = gateway.client("sender").post(f"/v1/inference/{answer.json()['id']}/ticket", {"expires_in": "1h"})
    assert problem(refused, 403)["code"] == "scope_missing"


def test_nobody_makes_a_ticket_for_anothers_job(gateway, held):
    problem(gateway.client("bob").post(f"/v1/inference/{held['id']}/ticket", {"expires_in": "1h"}), 404)
    assert wire.exchange(gateway.address, "POST", f"/v1/inference/{held['id']}/ticket", b"{}", JSON_BODY).status == 401


def test_a_ticket_of_who_reads_all_is_for_any_job(gateway, held):
    assert opened(gateway, ticket(gateway, held, "auditor")) == 200


def revoke(gateway, name):
    gateway.keys.revoke(name)
    gateway.reload_keys()
    until(lambda: gateway.client(name).get("/v1/models").status == 401, "the reload")


def test_a_ticket_dies_with_the_key_of_its_maker(gateway, model):
    job = gateway.client("leaving").submit(model.name)
    target = ticket(gateway, job, "leaving")
    assert opened(gateway, target) == 200
    revoke(gateway, "leaving")
    assert opened(gateway, target) in (401, 403)


def test_a_stream_by_a_ticket_ends_with_the_key_of_its_maker(gateway, model):
    model.route.hold()
    job = gateway.client("listening").submit(model.name)
    model.route.wait_calls(1)
    with Reader(gateway.address, "GET", ticket(gateway, job, "listening")) as reader:
        reader.until(lambda got: b"RUNNING" in got)
        revoke(gateway, "listening")
        reader.to_end()
    assert b"COMPLETED" not in reader.body


def test_a_ticket_dies_with_that_key_alone_of_a_client(gateway, model):
    job = gateway.client("rotating").submit(model.name)
    old = gateway.keys["rotating"]
    by_old = ticket(gateway, job, "rotating")
    gateway.keys.rotate("rotating")
    gateway.reload_keys()
    until(lambda: gateway.client("rotating").get("/v1/models").status == 200, "the new key")
    by_new = ticket(gateway, job, "rotating")
    gateway.keys.revoke("rotating", old)
    gateway.reload_keys()
    until(lambda: gateway.client(key=old).get("/v1/models").status == 401, "the end of the old key")
    assert opened(gateway, by_old) in (401, 403)
    assert opened(gateway, by_new) == 200


def test_a_ticket_of_a_job_that_was_deleted_opens_nothing(gateway, model):
    alice = gateway.client("alice")
    job = alice.submit(model.name)
    alice.ended(job)
    target = ticket(gateway, job)
    assert alice.request("DELETE", job["urls"]["self"]).status == 204
    assert opened(gateway, target) in (401, 403, 404, 410)
