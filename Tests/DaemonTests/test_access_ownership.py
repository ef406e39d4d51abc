"""A job belongs to its client: anyone who may not see it gets what he gets for an id that never was."""

import json
import urllib.parse
import uuid

import pytest

import answers
import wire
from accesspaths import JSON_BODY, NOBODY
from contract import problem
from streamreader import Reader
from waiting import until

MODELS = {"held": {"concurrency": 1}, "quick": {}, "failing": {"max_attempts": 1}, "parked": {}}
CLIENTS = {
    "alice": {}, "bob": {}, "auditor": {"scopes": ["read", "read:all"]}, "operator": {"scopes": ["operate"]},
    "both": {"scopes": ["submit", "read", "cancel", "read:all"]},
}  # fmt: skip
STATES = ["PENDING", "RUNNING", "COMPLETED", "ERROR", "CANCELLED"]
OFFSET = "0001_000000000000"

# Every way to a job: method, target, headers, body. `{id}` and `{event_id}` are the job's.
WAYS = {
    "record": ("GET", "/v1/inference/{id}"),
    "head of the record": ("HEAD", "/v1/inference/{id}"),
    "record once ended": ("GET", "/v1/inference/{id}?wait=30s"),
    "record if changed": ("GET", "/v1/inference/{id}", {"If-None-Match": '"x", *'}),
    "input": ("GET", "/v1/inference/{id}/input"),
    "head of the input": ("HEAD", "/v1/inference/{id}/input"),
    "output": ("GET", "/v1/inference/{id}/output"),
    "head of the output": ("HEAD", "/v1/inference/{id}/output"),
    "output from an offset": ("GET", "/v1/inference/{id}/output?offset=" + OFFSET),
    "output from the beginning": ("GET", "/v1/inference/{id}/output?offset=-1"),
    "output from now on": ("GET", "/v1/inference/{id}/output?offset=now&live=true"),
    "output live": ("GET", f"/v1/inference/{{id}}/output?offset={OFFSET}&live=true"),
    "head of the output from an offset": ("HEAD", "/v1/inference/{id}/output?offset=" + OFFSET),
    "events": ("GET", "/v1/async/notify/{event_id}"),
    "head of the events": ("HEAD", "/v1/async/notify/{event_id}"),
    "events by the job's id": ("GET", "/v1/async/notify/{id}"),
    "events after the first": ("GET", "/v1/async/notify/{event_id}", {"Last-Event-ID": "1"}),
    "events after the last": ("GET", "/v1/async/notify/{event_id}", {"Last-Event-ID": "{last}"}),
    "events after one in the query": ("GET", "/v1/async/notify/{event_id}?last_event_id={last}"),
    "events with the output": ("GET", "/v1/async/notify/{event_id}?output=true"),
    "history": ("GET", "/v1/notifications/{event_id}"),
    "head of the history": ("HEAD", "/v1/notifications/{event_id}"),
    "history by the job's id": ("GET", "/v1/notifications/{id}"),
    "history after one": ("GET", "/v1/notifications/{event_id}?after={last}&limit=1"),
    "history with the output": ("GET", "/v1/notifications/{event_id}?output=true"),
    "cancel": ("POST", "/v1/inference/{id}/cancel"),
    "retry": ("POST", "/v1/inference/{id}/retry"),
    "delete": ("DELETE", "/v1/inference/{id}"),
    "ticket": ("POST", "/v1/inference/{id}/ticket", JSON_BODY, b'{"expires_in": "1h"}'),
    "record of the reference gateway": ("GET", "/v2/inference/{id}"),
    "head of it": ("HEAD", "/v2/inference/{id}"),
    "its tasks": ("GET", "/v2/inference/{id}/tasks"),
    "its cancel": ("POST", "/v2/inference/{id}/cancel"),
    "its delete": ("DELETE", "/v2/inference/{id}"),
    "its events": ("GET", "/v2/async/notify/{id}"),
    "its events by the event's id": ("GET", "/v2/async/notify/{event_id}"),
    "its history": ("GET", "/v2/notifications/{event_id}"),
}
SAFE = [name for name, way in WAYS.items() if way[0] in ("GET", "HEAD")]


@pytest.fixture(scope="module")
def alices(gateway, _shared_server):
    """One job of hers in each state, and one that she deleted."""
    alice = gateway.client("alice")
    _shared_server.route("/held").hold()
    _shared_server.route("/failing").answer_with(answers.status(400))
    jobs = {"RUNNING": alice.submit("held", {"secret": "hers"})}
    _shared_server.route("/held").wait_calls(1)
    jobs["PENDING"] = alice.submit("held", {"secret": "hers"})
    jobs["COMPLETED"] = alice.submit("quick", {"secret": "hers"})
    jobs["ERROR"] = alice.submit("failing", {"secret": "hers"})
    jobs["CANCELLED"] = alice.submit("held", {"secret": "hers"})
    alice.cancel(jobs["CANCELLED"])
    jobs["deleted"] = alice.submit("quick", {"secret": "hers"})
    alice.ended(jobs["deleted"])
    assert alice.request("DELETE", jobs["deleted"]["urls"]["self"]).status == 204
    for state in ("COMPLETED", "ERROR"):
        alice.wait_status(jobs[state], state)
    return jobs


def go(gateway, way, job, newest="1"):
    """The answer to one client on one way to a job: status, fields and bytes, without what names the id."""
    method, target, headers, body = (*WAYS[way], {}, b"")[:4] if len(WAYS[way]) == 2 else (*WAYS[way], b"")[:4]
    names = {"id": job["id"], "event_id": job["event_id"], "last": newest}
    headers = {name: value.replace("{last}", newest) for name, value in headers.items()}
    with Reader(gateway.address, method, target.format(**names), body, gateway.headers | headers) as reader:
        status = reader.status
        received = reader.to_end().body if status >= 400 or method != "GET" else b""
        fields = sorted((name.lower(), value) for name, value in reader.headers.items() if name.lower() != "date")
    for each in (job["id"], job["event_id"]):
        received = received.replace(each.encode(), b"ID")
        fields = [(name, value.replace(each, "ID")) for name, value in fields]
    return status, fields, received


def never_was():
    return {"id": NOBODY, "event_id": str(uuid.UUID(NOBODY))}


def last_event(gateway, job):
    return str(gateway.client("alice").get(job["urls"]["history"] + "?limit=1000").json()["results"][-1]["id"])


# What is another's does not exist for him


@pytest.mark.parametrize("way", WAYS)
def test_another_clients_job_is_as_one_that_never_was(gateway, alices, way):
    bob, alice = gateway.client("bob"), gateway.client("alice")
    for state in STATES:
        job = alices[state]
        newest = last_event(gateway, job)
        status, fields, received = go(bob, way, job, newest)
        assert status == 404, state
        assert (status, fields, received) == go(bob, way, never_was(), newest), state
        assert b"hers" not in received
        assert alice.record(job)["status"] == state, "nothing happened to it"


@pytest.mark.parametrize("way", WAYS)
def test_what_another_deleted_is_as_one_that_never_was_too(gateway, alices, way):
    bob = gateway.client("bob")
    assert go(bob, way, alices["deleted"]) == go(bob, way, never_was())
    assert go(bob, way, never_was())[0] == 404


@pytest.mark.parametrize("way", WAYS)
def test_what_one_deleted_oneself_is_gone(gateway, alices, way):
    alice = gateway.client("alice")
    status, _, _ = go(alice, way, alices["deleted"])
    assert status == 410
    assert go(alice, way, never_was())[0] == 404


@pytest.mark.parametrize("way", SAFE)
def test_ones_own_jobs_are_there_on_every_way(gateway, alices, way):
    alice = gateway.client("alice")
    for state in STATES:
        job = alices[state]
        if ("?wait" in WAYS[way][1] or "live" in WAYS[way][1]) and state in ("PENDING", "RUNNING"):
            continue  # the answer waits for what the model server says
        status, _, _ = go(alice, way, job, last_event(gateway, job))
        assert status in (200, 204, 304) or (status == 409 and "output" in WAYS[way][1]), state


@pytest.mark.parametrize("way", SAFE)
def test_who_reads_all_reads_anothers_on_every_way(gateway, alices, way):
    if "?wait" not in WAYS[way][1]:
        job = alices["COMPLETED"]
        assert go(gateway.client("auditor"), way, job, last_event(gateway, job))[0] in (200, 204, 304)


@pytest.mark.parametrize("way", ["cancel", "retry", "delete", "its cancel", "its delete"])
def test_who_reads_all_changes_nothing_of_anothers(gateway, alices, way):
    for name in ("auditor", "both"):
        for state in STATES:
            assert go(gateway.client(name), way, alices[state])[0] in (403, 404), (name, state)
            assert gateway.client("alice").record(alices[state])["status"] == state


def test_an_id_that_is_none_is_400_for_everybody(gateway):
    for name in ("alice", "bob", "auditor"):
        problem(gateway.client(name).get("/v1/inference/none"), 400)


# Lists and counts


def ids(gateway, target="/v1/inference?limit=1000"):
    return {job["id"] for job in gateway.get(target).json()["results"]}


def test_lists_show_ones_own(gateway, alices):
    alice, bob = gateway.client("alice"), gateway.client("bob")
    own = bob.submit("quick")
    hers = {alices[state]["id"] for state in STATES}
    for target in ("/v1/inference?limit=1000", "/v2/inference?limit=1000"):
        assert hers <= ids(alice, target) and own["id"] not in ids(alice, target)
        assert own["id"] in ids(bob, target) and not hers & ids(bob, target)
    bob.ended(own)
    for query in ("model=held", "status=PENDING", "status=RUNNING", "model=failing&status=ERROR"):
        assert bob.get("/v1/inference?" + query).json() == {"results": [], "next": None}


def test_the_number_of_all_jobs_is_that_of_ones_own(gateway, alices):
    found = gateway.client("bob").get("/v2/inference?limit=1000").json()
    assert found["total_records"] == len(found["results"])
    assert gateway.client("both").get("/v2/inference?limit=1").json()["total_records"] > found["total_records"]


def test_a_cursor_of_another_shows_ones_own(gateway, alices):
    cursor = gateway.client("alice").get("/v1/inference?limit=1").json()["next"]
    answer = gateway.client("bob").get(f"/v1/inference?limit=1000&cursor={urllib.parse.quote(cursor)}")
    assert answer.status in (200, 400)
    if answer.status == 200:
        assert all(job["client"] == "bob" for job in answer.json()["results"])


def test_who_reads_all_lists_all(gateway, alices):
    own = gateway.client("bob").submit("quick")
    assert {own["id"]} | {alices[state]["id"] for state in STATES} <= ids(gateway.client("auditor"))


def model(gateway, name):
    return gateway.get(f"/v1/models/{name}").json()


def test_the_counts_of_a_model_are_ones_own(gateway, alices):
    names = ("pending", "running")
    assert [model(gateway.client("alice"), "held")[name] for name in names] == [1, 1]
    assert [model(gateway.client("bob"), "held")[name] for name in names] == [0, 0]
    assert [model(gateway.client("auditor"), "held")[name] for name in names] == [1, 1]
    assert model(gateway.client("bob"), "held")["oldest_pending_seconds"] in (None, 0)


def test_the_counts_of_the_overview_are_ones_own(gateway, alices):
    def counts(name):
        [held] = [each for each in gateway.client(name).get("/v1/status").json()["models"] if each["name"] == "held"]
        return held["pending"], held["running"]

    assert (counts("alice"), counts("bob"), counts("auditor")) == ((1, 1), (0, 0), (1, 1))


def test_what_is_ahead_is_ones_own(gateway, alices):
    assert gateway.post("/v1/models/parked/pause", b"", {}).status == 200
    alice, bob = gateway.client("alice"), gateway.client("bob")
    before = [alice.submit("parked") for _ in range(3)]
    his = [bob.submit("parked") for _ in range(2)]
    assert bob.record(his[0])["queue"]["ahead"] == 0
    assert bob.record(his[1])["queue"]["ahead"] == 1
    assert alice.record(before[2])["queue"]["ahead"] == 2
    assert gateway.client("auditor").record(his[1])["queue"]["ahead"] >= 1


# All events


def heard(gateway, target, headers, marker):
    """The events of a stream up to the first one of `marker`, a job."""
    with wire.Stream(gateway.address, target, gateway.headers | headers) as stream:
        assert stream.status == 200
        submitted = marker()
        stream.until(lambda received: submitted["event_id"].encode() in received and received.endswith(b"\n\n"))
        return [event.envelope["event_id"] for event in wire.parse(stream.received)], submitted


@pytest.mark.parametrize("query, headers", [("", {}), ("?model=quick", {}), ("", {"Last-Event-ID": "1"})])
def test_the_stream_of_all_jobs_is_that_of_ones_own(gateway, alices, query, headers):
    alice, bob = gateway.client("alice"), gateway.client("bob")

    def both():
        alice.ended(alice.submit("quick"))
        return bob.submit("quick")

    found, _ = heard(bob, "/v1/events" + query, headers, both)
    known = {bob.get(f"/v1/notifications/{event}").status for event in set(found)}
    assert known == {200}, "each event is one of a job of his"


def test_who_reads_all_hears_all(gateway):
    alice = gateway.client("alice")
    found, job = heard(gateway.client("auditor"), "/v1/events", {}, lambda: alice.submit("quick"))
    assert job["event_id"] in found


# Who operates


def test_who_operates_cancels_retries_and_deletes_all(gateway, _shared_server):
    alice, operator = gateway.client("alice"), gateway.client("operator")
    job = alice.submit("held")
    assert operator.cancel(job).status == 200
    assert alice.record(job)["status"] == "CANCELLED"
    again = operator.post(f"/v1/inference/{job['id']}/retry", b"", {})
    assert again.status == 202 and again.json()["retry_of"] == job["id"]
    assert operator.cancel(again.json()).status == 200
    for each in (job, again.json()):
        assert operator.request("DELETE", each["urls"]["self"]).status == 204
    assert alice.get(job["urls"]["self"]).status == 410


# The name in the record


def test_a_record_says_whose_it_is(gateway, alices):
    alice = gateway.client("alice")
    job = alices["COMPLETED"]
    assert job["client"] == alice.record(job)["client"] == "alice"
    assert {each["client"] for each in alice.get("/v1/inference?limit=1000").json()["results"]} == {"alice"}
    assert gateway.client("auditor").record(job)["client"] == "alice"
    for event in alice.events(job):
        if "status" in event.data:
            assert event.data["client"] == "alice"


def test_no_body_chooses_the_client(gateway):
    bob = gateway.client("bob")
    job = bob.post("/v1/async/inference", {"model": "quick", "client": "alice", "input": {"client": "alice"}})
    assert (job.status, job.json()["client"]) == (202, "bob")
    problem(bob.post("/v1/async/inference", {"model": "quick", "job": {"client": "alice"}}), 400)
    for name in ("X-Client", "X-Inferq-Client"):
        answer = bob.post("/v1/async/inference", {"model": "quick"}, JSON_BODY | {name: "alice"})
        assert answer.status >= 400 or json.loads(answer.body)["client"] == "bob"


def test_a_retry_is_its_clients(gateway, alices):
    alice = gateway.client("alice")
    again = alice.post(f"/v1/inference/{alices['CANCELLED']['id']}/retry", b"", {}).json()
    assert again["client"] == "alice"
    assert alice.cancel(again).status == 200
    until(lambda: alice.record(again)["status"] == "CANCELLED", "the cancel")
