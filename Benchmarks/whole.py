#!/usr/bin/env python3
"""What whole requests cost the program, counted by valgrind and by the kernel, against the limits in counts.json.

From the bytes that arrive to the bytes that leave, the share of commits and of all threads included; the kernel's part is
not in it. Of 64 clients that send at a time: instructions; allocations (calls of malloc and its like); and misses of the
caches of a small processor, 32 KiB for code, 32 KiB for data and 512 KiB behind both. Of one client whose requests follow
each other: wake-ups (times that a thread of the program waited).

Each case runs twice, the second time with twice as many requests: the difference is free of the start. Commits have more or
fewer members from run to run, so that figures with commits differ by a few percent. `--functions 40` names where the
instructions are.
"""

import collections
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time

from harness import counts, tools
from harness.model import Client, Model
from harness.progress import Progress
from harness.system import BODY, Gateway, binary
from harness.talker import Talker

CLIENTS = 64
# A small processor: bytes, associativity, bytes a line.
CACHES = ["--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=524288,8,64"]
# Functions of libc that others call for memory.
ALLOCATIONS = re.compile(r"(malloc|calloc|realloc|posix_memalign|aligned_alloc|memalign)(@@.*)?$")
# What is counted, by the columns of callgrind's events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw.
COLUMNS = {"instructions": [0], "misses of code": [3], "misses of data": [4, 5], "misses of both caches": [6, 7, 8]}


class CountedGateway(Gateway):
    """A gateway under valgrind, which writes what it has counted to `path` as it ends."""

    def __init__(self, model, program, path):
        super().__init__(model, {"drain_timeout": "1s"})
        self.program, self.path = program, path

    def stop(self):
        """As it is: calls that the closed gate holds are interrupted, and none of those behind them is made."""
        if self.process:
            tools.end(self.process)
            self.process = None

    def _write_config(self, work, port, model):
        words = super()._write_config(work, port, model)
        tool = ["valgrind", "-q", "--tool=callgrind", *CACHES, f"--callgrind-out-file={self.path}"]
        return [*tool, self.program, *words[1:]]


class Connection:
    """One kept-alive connection whose requests are bytes: the clients' own work is not what is measured."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.read = b""

    def send(self, request):
        self.socket.sendall(request)

    def receive(self):
        """The next answer, whose length its head tells."""
        head = self.until(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 2"):
            raise tools.ToolError(f"a request was answered with {head[:300]!r}")
        length = int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1])
        while len(self.read) < length:
            self.more()
        self.read = self.read[length:]

    def until(self, mark):
        while mark not in self.read:
            self.more()
        found, _, self.read = self.read.partition(mark)
        return found

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise tools.ToolError("the gateway has closed a connection")
        self.read += data


def request(method, path, body=None):
    data = b"" if body is None else json.dumps(body).encode()
    fields = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n" if data else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode() + data


def send_all(gateway, message, count, clients):
    """`count` requests, one on each connection at a time."""
    connections = [Connection(gateway.port) for _ in range(clients)]
    for _ in range(count // clients):
        for each in connections:
            each.send(message)
        for each in connections:
            each.receive()


# The cases: what is done `count` times by a gateway that has just started.


def read(gateway, count, clients):
    client = Client(gateway.port)
    job = gateway.submit(client)["id"]
    gateway.wait_ended(client, job)
    send_all(gateway, request("GET", f"/v1/inference/{job}"), count, clients)


def submit(gateway, count, clients):
    gateway.model.set(gate=1)
    send_all(gateway, request("POST", gateway.dialect.submit, {"model": "m"} | BODY), count, clients)


def job(gateway, count, clients):
    send_all(gateway, request("POST", gateway.dialect.submit, {"model": "m"} | BODY), count, clients)
    client = Client(gateway.port)
    while client.json("GET", "/v1/models")["results"][0]["pending"]:
        time.sleep(0.05)


def wait(gateway, count, clients):
    send_all(gateway, request("POST", "/v1/inference", {"model": "m"} | BODY), count, clients)


def delivery(gateway, count, clients):
    """Events of one job that all clients listen to."""
    told = gateway.submit(Client(gateway.port))
    listeners = [Connection(gateway.port) for _ in range(clients)]
    for each in listeners:
        each.send(request("GET", f"/v1/async/notify/{told['event_id']}"))
        each.until(b'"RUNNING"')
    for number in range(count // clients):
        # One at a time: events that come faster are handed on together.
        gateway.model.report(gateway.port, told["event_id"], 1, 1, padding=150 + number % 2)
        for each in listeners:
            each.until(b'"padding":"x')
    gateway.model.answer()


CASES = {
    "program: a read of a record": (read, Model, 1920),
    "program: a submit": (submit, Model, 1920),
    "program: a job, its submit included": (job, Model, 1920),
    "program: a submit that waits for its answer": (wait, Model, 1920),
    "program: a delivery of an event": (delivery, Talker, 3840),
}


def totals(path):
    """All that callgrind has written, and the instructions of each function itself."""
    names, sums, each, function, callee = {}, collections.Counter(), collections.Counter(), "", None
    for line in path.read_text(errors="replace").splitlines():
        if found := re.match(r"(c?)fn=\((\d+)\)(?: (.*))?$", line):
            if found[3]:
                names[found[2]] = found[3]
            if found[1]:
                callee = names[found[2]]
            else:
                function = names[found[2]]
        elif line.startswith("calls="):
            if ALLOCATIONS.match(callee):
                sums["allocations"] += int(line[6:].split()[0])
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            # The line behind a call has what the callee took.
            if callee is None:
                costs = [int(text) for text in line.split()[1:]]
                each[function] += costs[0]
                for name, columns in COLUMNS.items():
                    sums[name] += sum(costs[column] for column in columns if column < len(costs))
            callee = None
    return sums, each


def counted(case, count, program, folder):
    body, make_model, _ = case
    path = folder / f"counts.{count}"
    with make_model() as model, CountedGateway(model, program, path) as gateway:
        gateway.start()
        body(gateway, count, CLIENTS)
    return totals(path)


def waits(gateway):
    """How often the threads of the gateway have waited."""
    texts = [path.read_text() for path in pathlib.Path(f"/proc/{gateway.process.pid}/task").glob("*/status")]
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[1]) for text in texts)


def wakeups(case, count):
    """Of each of `count` requests that follow each other."""
    body, make_model, _ = case
    found = []
    for factor in (1, 2):
        with make_model() as model, Gateway(model, {"drain_timeout": "1s"}) as gateway:
            gateway.start()
            body(gateway, factor * count, 1)
            found.append(waits(gateway))
    return (found[1] - found[0]) / count


def names(mangled):
    return subprocess.run(
        ["swift-demangle", "--simplified"], input="\n".join(mangled), capture_output=True, text=True, check=True
    ).stdout.splitlines()


def main(options):
    tools.build()
    chosen = {name: case for name, case in CASES.items() if not options.only or options.only in name}
    progress, found = Progress(3 * len(chosen)), {}
    parent = os.environ.get("INFERQ_BENCH_DIR", "/var/tmp")
    with tempfile.TemporaryDirectory(prefix="inferq-whole-", dir=parent) as name:
        folder = pathlib.Path(name)
        program = folder / "inferq"
        counts.strip(binary(), program)
        for title, case in chosen.items():
            times, runs = case[2], []
            for factor in (1, 2):
                progress.step(f"{title}, {factor * times} times")
                runs.append(counted(case, factor * times, program, folder))
            (sums, functions), (more, all_functions) = runs
            for what in [*COLUMNS, "allocations"]:
                key = title if what == "instructions" else f"{title}, {what}"
                found[key] = round((more[what] - sums[what]) / times)
            each = {function: (all_functions[function] - functions[function]) / times for function in all_functions}
            most = sorted(each, key=each.get, reverse=True)[: options.functions]
            for function, text in zip(most, names(most) if most else []):
                print(f"{each[function]:12,.0f}  {text[:150]}")
            progress.step(f"{title}, one after the other")
            found[f"{title}, wake-ups"] = round(wakeups(case, 500), 2)
    progress.end()
    return counts.judge("whole request", found, options)


if __name__ == "__main__":
    parser = counts.parser(__doc__)
    parser.add_argument("--functions", type=int, default=0, help="how many functions to name for each case")
    counts.run(main, parser.parse_args())
