#!/usr/bin/env python3
"""What keys and TLS cost: CPU of a request with a key, a flood of wrong keys, memory of a listener over TLS.

A gateway in mode `open` and one in mode `keys` take short turns, so that whatever else slows the machine meets both; what a key
adds is the median of the differences of neighbours. The flood comes from one core, over connections that the
gateway closes after each refusal, while another client sends submits at a steady pace.
"""

import http.client
import json
import pathlib
import secrets
import socket
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
import zlib

from harness import command, processes, tools
from harness.model import Client, Model
from harness.progress import Progress
from harness.report import KIB, MICROSECONDS, RATE, SHARE
from harness.system import Gateway, binary

WIDTH = 64
# Of each of the two in a round, and the seconds of load in each.
TURNS, SLICE = 8, 2
# Submits a second of the good client, and how many connections it has for them.
PACE, HANDS = 500, 8
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def run(*words):
    done = subprocess.run([binary(), *map(str, words)], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise tools.ToolError(f"inferq {words[0]} {words[1]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


class Keyed(Gateway):
    """The gateway in mode `keys` with one client, and a TLS listener beside the plain one."""

    def start(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="inferq-bench-", dir=self._base))
        self.tls_port = tools.free_port()
        self.also_listen = [f"tls://127.0.0.1:{self.tls_port}"]
        (self.work / "keys.d").mkdir()
        self.settings |= {
            "access.mode": "keys", "access.keys": str(self.work / "keys.d"),
            "tls.certificate": str(self.work / "tls/cert.pem"), "tls.key": str(self.work / "tls/key.pem"),
        }
        run("cert", "init", "--name", "localhost", "--address", "127.0.0.1", "--out", self.work / "tls")
        self._write_config(self.work, self.port, self.model)
        self.key = run("key", "add", "erp", "--config", self.work / "inferq.toml")
        return super().start()

    def client_context(self):
        return ssl.create_default_context(cafile=self.work / "tls/ca.pem")


class Bare(Gateway):
    """The gateway as it is without keys."""

    key = None


def fields(system):
    return {"X-API-Key": system.key} if system.key else {}


def wrong_key():
    """A key of the right form that is no one's, so that it is hashed and looked for."""
    digits = "".join(secrets.choice(DIGITS) for _ in range(43))
    number, end = zlib.crc32(digits.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        end = DIGITS[digit] + end
    return f"infq_{digits}{end}"


# What a key costs


def cost(system, job, request):
    """CPU of a submit, or of a read of this job, over 64 connections, in microseconds."""
    method, path, body = {
        "submit": ("POST", "/v1/async/inference", system.dialect.body),
        "read": ("GET", f"/v1/inference/{job}", None),
    }[request]
    processes.wait_for_quiet(2.0)
    before = processes.run_seconds(system.pids())
    result = tools.wrk(system.port, WIDTH, SLICE, method, path, body, headers=fields(system))
    return (processes.run_seconds(system.pids()) - before) / result["requests"] * 1e6


def turns(systems):
    """`TURNS` of each system for each request: name and request -> microseconds."""
    found, jobs = {}, {}
    for name, system in systems.items():
        # It runs, so its record does not tell of its place in the queue, which costs more the deeper that is.
        client = Client(system.port)
        jobs[name] = client.json("POST", "/v1/async/inference", system.dialect.body, fields(system))["id"]
        client.close()
    for turn in range(TURNS):
        # Neither of them is always the first.
        for name in list(systems)[:: 1 if turn % 2 else -1]:
            for request in ("submit", "read"):
                found.setdefault((name, request), []).append(cost(systems[name], jobs[name], request))
    return found


# A flood of wrong keys


class Steady:
    """A client that sends submits at a steady pace, as far as it is answered."""

    def __init__(self, system, seconds):
        self._system, self._end = system, time.monotonic() + seconds
        self._begin, self._seconds = time.monotonic(), seconds
        self._taken, self.answered, self.bad = 0, 0, 0
        self._lock = threading.Lock()

    def _next(self):
        """When the next submit is due; nothing after the end."""
        with self._lock:
            due = self._begin + self._taken / PACE
            self._taken += 1
        return due if due < self._end else None

    def _work(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._system.port, timeout=30)
        body = json.dumps(self._system.dialect.body)
        headers = {"Content-Type": "application/json"} | fields(self._system)
        while (due := self._next()) is not None:
            time.sleep(max(0.0, due - time.monotonic()))
            connection.request("POST", "/v1/async/inference", body, headers)
            answer = connection.getresponse()
            answer.read()
            with self._lock:
                self.answered += answer.status == 202
                self.bad += answer.status != 202
        connection.close()

    def rate(self):
        hands = [threading.Thread(target=self._work) for _ in range(HANDS)]
        for each in hands:
            each.start()
        for each in hands:
            each.join()
        if self.bad:
            raise tools.ToolError(f"{self.bad} submits of the good client were refused")
        return self.answered / max(self._seconds, time.monotonic() - self._begin)


def flooded(system, seconds):
    """The good client's submits a second, alone and beside the flood; refusals a second, and the CPU of each."""
    alone = Steady(system, seconds).rate()
    processes.wait_for_quiet(5.0)
    outcome = {}

    def flood():
        outcome["flood"] = tools.wrk(
            system.port, 16, seconds, "GET", "/v1/inference", headers={"X-API-Key": wrong_key()}, refusals=True, core=0)

    thread = threading.Thread(target=flood)
    with processes.Window(system.pids) as used:
        thread.start()
        beside = Steady(system, seconds).rate()
        thread.join()
    # What the good client costs is no part of the refusals.
    with processes.Window(system.pids) as quiet:
        Steady(system, seconds).rate()
    refused = outcome["flood"]["requests"]
    # As much work as an answer to anybody is, if its connection is closed as well.
    with processes.Window(system.pids) as answering:
        answered = tools.wrk(system.port, 16, seconds, "GET", "/livez", headers={"Connection": "close"}, core=0)
    return {
        "answer": answering.cpu / answered["requests"] * 1e6,
        "alone": alone, "beside": beside, "refused": outcome["flood"]["per_second"],
        "refusal": (used.cpu - quiet.cpu) / refused * 1e6,
    }


# Memory of a listener


def opened(system, event_id, count, context):
    """Event streams that wait, over TLS if there is a context."""
    port = system.tls_port if context else system.port
    request = f"GET /v1/async/notify/{event_id} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {system.key}\r\n\r\n".encode()
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), 10)
        if context:
            sock = context.wrap_socket(sock, server_hostname="localhost")
        sock.sendall(request)
        heard = b""
        while b'"status":"RUNNING"' not in heard:
            heard += sock.recv(1 << 16)
        yield sock


def listeners(system, count):
    """Bytes of memory for each of `count` listeners, without and with TLS."""
    client = Client(system.port)
    system.model.set(gate=1)
    event_id = client.json("POST", "/v1/async/inference", system.dialect.body, fields(system))["event_id"]
    client.close()
    found = {}
    for name, context in (("plain", None), ("tls", system.client_context())):
        # What is made at first use is no part of the rest.
        for sock in list(opened(system, event_id, 20, context)):
            sock.close()
        time.sleep(1)
        before = processes.memory(system.pids())
        held = list(opened(system, event_id, count, context))
        time.sleep(1)
        found[name] = (processes.memory(system.pids()) - before) / count
        for sock in held:
            sock.close()
        time.sleep(1)
    return found


def main(options):
    found = {(name, request): [] for name in ("open", "keys") for request in ("submit", "read")}
    floods, memory = [], []
    progress = Progress(options.rounds * 3)
    with Model() as model:
        for round_ in range(options.rounds):
            with Bare(model, {}) as bare, Keyed(model, {}) as keyed:
                progress.step(f"modes open and keys, round {round_ + 1} of {options.rounds}")
                model.set(gate=1, reset=1)
                bare.start()
                keyed.start()
                for name, values in turns({"open": bare, "keys": keyed}).items():
                    found[name] += values
            with Keyed(model, {}) as system:
                progress.step(f"wrong keys, round {round_ + 1} of {options.rounds}")
                model.set(gate=1, reset=1)
                system.start()
                floods.append(flooded(system, options.seconds))
            with Keyed(model, {"limits.connections": options.count + 100}) as system:
                progress.step(f"listeners, round {round_ + 1} of {options.rounds}")
                model.set(gate=1, reset=1)
                system.start()
                memory.append(listeners(system, options.count))
    progress.end()

    def of(list_, name):
        return [each[name] for each in list_]

    added = {
        request: statistics.median(
            keys - bare for keys, bare in zip(found["keys", request], found["open", request], strict=True))
        for request in ("submit", "read")
    }
    rows = [
        (f"CPU of a submit, {WIDTH} connections, mode open", MICROSECONDS, found["open", "submit"], ""),
        ("the same with a key", MICROSECONDS, found["keys", "submit"], f"+ 5 us: {added['submit']:+.1f} us"),
        (f"CPU of a read, {WIDTH} connections, mode open", MICROSECONDS, found["open", "read"], ""),
        ("the same with a key", MICROSECONDS, found["keys", "read"], f"{added['read']:+.1f} us"),
        (f"submits of a client that sends {PACE}/s", RATE, of(floods, "alone"), ""),
        ("the same beside a flood of wrong keys", RATE, of(floods, "beside"), f"{0.8 * PACE:.0f}/s"),
        ("wrong keys refused meanwhile", RATE, of(floods, "refused"), ""),
        ("CPU of a refusal, its connection included", MICROSECONDS, of(floods, "refusal"), "150 us"),
        ("CPU of `/livez`, its connection included", MICROSECONDS, of(floods, "answer"), ""),
        (f"memory of each of {options.count:,} idle listeners", KIB, of(memory, "plain"), ""),
        ("the same over TLS", KIB, of(memory, "tls"), ""),
    ]
    return ["", "", "goal"], [[title, shape.text(values), goal] for title, shape, values, goal in rows]


if __name__ == "__main__":
    chosen = command.options(
        __doc__, rounds=(3, "rounds"), seconds=(3, "of each flood"), count=(1000, "listeners"))
    command.measure("access", main, chosen)
