#!/usr/bin/env python3
"""Load on the packaged gateway, and the account of it.

    load.py run IDS       submits and listens until SIGTERM; accepted jobs go to the file IDS; prints the account
    load.py settle IDS    waits until every job in IDS has ended; prints how
    load.py once PATH     one job, its events read from PATH (tcp, ipv6 or unix) to the end; prints the record

`run` and `settle` exit with 1 if something was refused, reset, not answered, or has not ended. With CRASHES=1 in the
environment, requests that a crash cut off are counted and allowed.
"""

import collections
import http.client
import json
import os
import signal
import socket
import sys
import threading
import time

SOCKET = "/run/inferq/inferq.sock"
FINAL = ("COMPLETED", "ERROR", "CANCELLED")


class UnixConnection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def connect(path, timeout=30):
    if path == "unix":
        return UnixConnection("localhost", timeout=timeout)
    return http.client.HTTPConnection({"tcp": "127.0.0.1", "ipv6": "::1"}[path], 8484, timeout=timeout)


def request(path, method, target, body=None, headers=None, timeout=30):
    connection = connect(path, timeout)
    try:
        connection.request(method, target, body, {"Connection": "close"} | (headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def submit(path, number):
    body = json.dumps({"model": "echo", "input": {"number": number}})
    status, answer = request(path, "POST", "/v1/async/inference", body, {"Content-Type": "application/json"})
    return status, json.loads(answer)


def events(path, job, last=0, timeout=60):
    """The events after `last`, until the stream ends."""
    connection = connect(path, timeout)
    try:
        headers = {"Last-Event-ID": str(last)} if last else {}
        connection.request("GET", job["urls"]["events"], headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError(f"events answered {answer.status}")
        number = 0
        for line in answer:
            if line.startswith(b"id:"):
                number = int(line[3:])
            elif line.startswith(b"data:"):
                yield number, json.loads(line[5:])
    except http.client.IncompleteRead:
        return
    finally:
        connection.close()


class Account:
    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.examples = []

    def add(self, what, example=None):
        with self.lock:
            self.counts[what] += 1
            if example and len(self.examples) < 5:
                self.examples.append(example)

    def failed(self, error):
        if isinstance(error, ConnectionRefusedError):
            self.add("refused", repr(error))
        elif isinstance(error, (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)):
            self.add("reset", repr(error))
        else:
            self.add("unanswered", repr(error))


def run(file):
    over, account = threading.Event(), Account()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    out = open(file, "a", buffering=1)

    def submitter(path, offset):
        number = offset
        while not over.is_set():
            number += 1
            try:
                status, job = submit(path, number)
            except OSError as error:
                account.failed(error)
                continue
            account.add(f"status_{status}", None if status == 202 else str(job)[:300])
            if status == 202:
                with account.lock:
                    out.write(job["id"] + "\n")
            time.sleep(0.05)

    def listener(path):
        while not over.is_set():
            try:
                status, job = submit(path, 0)
                if status != 202:
                    account.add(f"status_{status}", str(job)[:300])
                    continue
            except OSError as error:
                account.failed(error)
                continue
            with account.lock:
                out.write(job["id"] + "\n")
            seen, last, ended, tries = [], 0, False, 0
            while not ended and tries < 50:
                tries += 1
                try:
                    for last, event in events(path, job, last):
                        seen.append(last)
                        ended = event["status"] in FINAL
                except (OSError, http.client.HTTPException) as error:
                    account.failed(error)
            account.add("streams")
            if tries > 1:
                account.add("streams_resumed")
            if not ended or seen != sorted(set(seen)):
                account.add("streams_wrong", f"{job['id']}: {seen}")

    paths = ["tcp", "unix", "ipv6", "tcp"]
    threads = [threading.Thread(target=submitter, args=(path, n)) for n, path in enumerate(paths)]
    threads += [threading.Thread(target=listener, args=(path,)) for path in ("tcp", "unix", "ipv6")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.close()
    print(json.dumps(account.counts, sort_keys=True), *account.examples, sep="\n", flush=True)
    bad = {key: n for key, n in account.counts.items() if key not in ("status_202", "streams", "streams_resumed")}
    if os.environ.get("CRASHES"):
        bad = {key: n for key, n in bad.items() if key not in ("refused", "reset", "unanswered")}
    return 1 if bad or not account.counts["status_202"] else 0


def settle(file):
    waiting = set(open(file).read().split())
    ends, total = collections.Counter(), len(waiting)
    # A minute to end, and time for the questions themselves.
    deadline = time.monotonic() + 60 + total / 100
    while waiting and time.monotonic() < deadline:
        for job in list(waiting):
            status, body = request("tcp", "GET", f"/v1/inference/{job}")
            record = json.loads(body) if status == 200 else {"status": f"HTTP {status}"}
            if record["status"] in FINAL or status != 200:
                ends[record["status"]] += 1
                waiting.remove(job)
            else:
                time.sleep(0.01)
    print(json.dumps({"accepted": total, "not_ended": len(waiting)} | ends))
    return 0 if total and ends == {"COMPLETED": total} else 1


def once(path):
    status, job = submit(path, 1)
    assert status == 202, (status, job)
    seen = [event["status"] for _, event in events(path, job)]
    assert seen[0] == "PENDING" and seen[-1] == "COMPLETED", seen
    status, record = request(path, "GET", job["urls"]["self"])
    assert json.loads(record)["status"] == "COMPLETED"
    print(job["id"])
    return 0


sys.exit({"run": run, "settle": settle, "once": once}[sys.argv[1]](sys.argv[2]))
