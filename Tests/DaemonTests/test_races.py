"""Races over HTTP, found by chance: whatever is asked at whatever moment, no listener misses or doubles an event.

INFERQ_RACE_SECONDS says how long it goes on, half of it with two clients (60 unless set); ten minutes make about 10^5 attachments.
"""

import concurrent.futures
import http.client
import json
import operator
import os
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, precondition, rule, run_state_machine_as_test

import answers
from gateway import FINAL
from waiting import until

SECONDS = float(os.environ.get("INFERQ_RACE_SECONDS", "60"))
# What another client may try with a job that is not his.
WAYS = [
    *(("GET", operator.itemgetter(name)) for name in ("self", "events", "history", "input", "output")),
    ("POST", operator.itemgetter("cancel")), ("DELETE", operator.itemgetter("self")),
    *(("POST", lambda urls, what=what: f"{urls['self']}/{what}") for what in ("retry", "ticket")),
]


def notify(call, detail):
    """One report of progress; what becomes of it is the gateway's affair."""
    url = urllib.parse.urlsplit(call.header("X-Notify-Url"))
    body = {"event_id": call.header("X-Event-Id"), "detail_type": "Inf:Task:Notify", "detail": detail}
    headers = {"Content-Type": "application/json", "X-Notify-Token": call.header("X-Notify-Token")}
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    try:
        connection.request("POST", url.path, json.dumps(body), headers)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def scripted(exchange):
    """Does what the job's input says: reports, waits, fails at first or for good."""
    wanted = json.loads(exchange.call.body)
    for number in range(wanted["reports"]):
        status = notify(exchange.call, {"progress": (number + 1) / 10})
        # 409 and 410: the job was cancelled, or even deleted, meanwhile. 0: the gateway could not be reached.
        assert status in (201, 409, 410, 0), status
        time.sleep(wanted["pause"])
    attempt = int(exchange.call.header("X-Attempt"))
    if attempt <= wanted["failures"]:
        answers.status(503)(exchange)
    elif wanted["ends"] == "error":
        answers.status(400)(exchange)
    else:
        answers.ok(json.dumps({"attempt": attempt}).encode())(exchange)


class Attachers:
    """Processes that listen, and what they say."""

    def __init__(self, gateway, count):
        self.attached = 0
        self.results = []
        self.lock = threading.Lock()
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("support") / "attach.py"), *map(str, gateway.address)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            )
            for _ in range(count)
        ]
        self.waiting = 0
        for process in self.processes:
            threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def _read(self, process):
        for line in process.stdout:
            with self.lock:
                self.results.append(json.loads(line))
                self.waiting -= 1

    def listen(self, gateway, path, count, spread, after=None):
        with self.lock:
            self.attached += count
            self.waiting += 1
            process = self.processes[self.attached % len(self.processes)]
        order = {"path": path, "count": count, "spread": spread, "after": after, "headers": gateway.headers}
        process.stdin.write(json.dumps(order) + "\n")

    def take_results(self):
        until(lambda: self.waiting == 0, "every listener has its end", 60, 0.02)
        with self.lock:
            taken, self.results = self.results, []
        return taken

    def close(self):
        for process in self.processes:
            process.stdin.close()
            process.kill()
            process.wait()
            process.stdout.close()


def machine(clients, attachers, pool):
    """`clients`: the gateway as each of them asks it, by the name that its jobs carry."""
    names = sorted(clients)

    class Races(RuleBasedStateMachine):
        jobs = Bundle("jobs")

        def __init__(self):
            super().__init__()
            self.all = {}
            self.deleted = set()
            self.cancelled = set()
            self.pending = []

        def owner(self, job):
            return clients[job["client"]]

        @rule(
            target=jobs, reports=st.integers(0, 4), pause=st.sampled_from([0.0, 0.002, 0.02]),
            failures=st.sampled_from([0, 0, 0, 1, 2]), ends=st.sampled_from(["ok", "ok", "error"]),
            listeners=st.integers(0, 150), delay=st.sampled_from([0, 0, 0, 0.05]), name=st.sampled_from(names),
        )
        def submit(self, listeners, delay, name, **wanted):
            job = clients[name].submit("race", wanted, delay=delay)
            assert job["client"] == name
            self.all[job["urls"]["events"]] = job
            if listeners:
                attachers.listen(clients[name], job["urls"]["events"], listeners, 0.1)
            return job

        @precondition(lambda self: len(names) > 1)
        @rule(job=jobs, asked=st.sampled_from(WAYS), data=st.data())
        def meddle(self, job, asked, data):
            """Another client finds nothing there, whatever the owner does with it at that moment."""
            name = data.draw(st.sampled_from([each for each in names if each != job["client"]]))
            method, path = asked
            answer = clients[name].request(method, path(job["urls"]), b"" if method == "POST" else None)
            assert answer.status == 404, (method, path(job["urls"]), answer)

        @rule(job=jobs, count=st.integers(1, 150), spread=st.sampled_from([0.0, 0.05, 0.3]))
        def listen(self, job, count, spread):
            attachers.listen(self.owner(job), job["urls"]["events"], count, spread)

        @rule(job=jobs, count=st.integers(1, 60))
        def come_back(self, job, count):
            page = self.owner(job).get(job["urls"]["history"])
            if page.status == 200 and page.json()["results"]:
                events = page.json()["results"]
                attachers.listen(self.owner(job), job["urls"]["events"], count, 0.05, events[len(events) // 2]["id"])

        @rule(job=jobs, count=st.integers(1, 3))
        def cancel(self, job, count):
            """Several at the same moment, beside the model server's answer."""
            for asked in [pool.submit(self.owner(job).cancel, job) for _ in range(count)]:
                self.pending.append((job, "cancel", asked))
            self.cancelled.add(job["urls"]["events"])

        @rule(target=jobs, job=jobs)
        def retry(self, job):
            answer = self.owner(job).post(job["urls"]["self"] + "/retry", b"", headers={})
            if answer.status == 202:
                again = answer.json()
                assert again["retry_of"] == job["id"] and again["status"] == "PENDING"
                self.all[again["urls"]["events"]] = again
                return again
            assert answer.status in (409, 410), answer
            return job

        @rule(job=consumes(jobs))
        def delete(self, job):
            """Beside those that listen. Refused while the job has not ended."""
            answer = self.owner(job).request("DELETE", job["urls"]["self"])
            assert answer.status in (204, 409, 410), answer
            if answer.status == 204:
                self.deleted.add(job["urls"]["events"])
                assert self.owner(job).get(job["urls"]["self"]).status == 410

        def teardown(self):
            finals = {}
            for path, job in self.all.items():
                if path in self.deleted:
                    continue
                record = self.owner(job).ended(job, timeout=60)
                assert record["status"] in FINAL
                finals[path] = record["status"]
            for job, _, asked in self.pending:
                answer = asked.result(30)
                if answer.status == 410:
                    assert job["urls"]["events"] in self.deleted
                    continue
                assert answer.status == 200, answer
                told = answer.json()["status"]
                assert told in FINAL, "a cancel is answered with the end"
                assert finals.get(job["urls"]["events"], told) == told, "an end does not change"
            histories = {path: self.history(job) for path, job in self.all.items() if path not in self.deleted}
            for result in attachers.take_results():
                self.check(result, histories.get(result["path"]), finals.get(result["path"]))

        def history(self, job):
            events, after = [], 0
            while after is not None:
                page = self.owner(job).get(f"{job['urls']['history']}?after={after}").json()
                events += page["results"]
                after = page["next"]
            ids = [event["id"] for event in events]
            assert ids == sorted(set(ids))
            finals = [event["status"] in FINAL for event in events]
            assert finals == [False] * (len(events) - 1) + [True], "one final event, the last one"
            if events[-1]["status"] == "CANCELLED":
                assert job["urls"]["events"] in self.cancelled
            running = [event for event in events if event["status"] == "RUNNING" and "attempt" in event["data"]]
            attempts = [event["data"]["attempt"] for event in running if event["detail_type"] == "Inf:Task:Updated"]
            assert attempts == list(range(1, len(attempts) + 1)), "attempts are counted once each"
            return ids, events[-1]["status"]

        def check(self, result, history, final):
            for count, status, ids, last, is_clean in result["got"]:
                where = (result["path"], count, status, ids, last)
                if history is None:  # deleted: what was there before is in order, and the rest is 410
                    assert status in (200, 204, 410), where
                    assert ids == sorted(set(ids)) and is_clean, where
                    continue
                expected = [number for number in history[0] if number > (result["after"] or 0)]
                if not expected:
                    assert status == 204, where
                    continue
                assert status == 200 and is_clean, where
                assert ids == expected, (where, history)
                assert f'"status":"{final}"' in last, where

    return Races


@pytest.mark.long
@pytest.mark.timeout(SECONDS / 2 + 240)
@pytest.mark.parametrize("names", [None, ("alice", "bob")], ids=["open", "two clients"])
def test_no_listener_misses_or_doubles_an_event(make_gateway, model_server, names):
    gateway = make_gateway(
        {"race": {"concurrency": 8, "max_attempts": 3, "backoff": {"base": "10ms", "cap": "30ms"}}},
        limits={"connections": 8000}, clients=names and dict.fromkeys(names, {}),
    )
    clients = {name: gateway.client(name) for name in names} if names else {"anonymous": gateway}
    model_server.route("/race").answer_with(scripted)
    attachers = Attachers(gateway, 2)
    end = time.monotonic() + SECONDS / 2
    rounds = 0
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            races = machine(clients, attachers, pool)
            while time.monotonic() < end:
                run_state_machine_as_test(
                    races,
                    settings=settings(
                        max_examples=5, stateful_step_count=20, deadline=None, database=None, phases=[Phase.generate],
                        suppress_health_check=list(HealthCheck), print_blob=False,
                    ),
                )  # fmt: skip
                rounds += 5
    finally:
        attachers.close()
    print(f"{attachers.attached} attachments in {rounds} rounds")
    assert attachers.attached > 100
    assert not gateway.error_lines()
