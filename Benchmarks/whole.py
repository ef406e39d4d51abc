#!/usr/bin/env python3
"""Instructions of the program for whole requests, counted by valgrind, against the limits in instructions.json.

What a request costs from the bytes that arrive to the bytes that leave, its share of commits and of the program's threads
included; the kernel's part is not in it. Each case runs twice, the second time with twice as many requests: the difference
is free of the start. Of 64 clients that send at a time, commits have more or fewer members from run to run, so that
figures with commits differ by a few percent. `--functions 40` names where the instructions are.
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

from harness import instructions, tools
from harness.model import Client, Model
from harness.progress import Progress
from harness.system import BODY, Gateway, binary
from harness.talker import Talker

CLIENTS = 64


class CountedGateway(Gateway):
    """A gateway under valgrind, which writes what it has counted to `counts` as it ends."""

    def __init__(self, model, program, counts):
        super().__init__(model, {"drain_timeout": "1s"})
        self.program, self.counts = program, counts

    def stop(self):
        """As it is: calls that the closed gate holds are interrupted, and none of those behind them is made."""
        if self.process:
            tools.end(self.process)
            self.process = None

    def _write_config(self, work, port, model):
        words = super()._write_config(work, port, model)
        return ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={self.counts}", self.program, *words[1:]]


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


def send_all(gateway, message, count):
    """`count` requests, one on each connection at a time."""
    connections = [Connection(gateway.port) for _ in range(CLIENTS)]
    for _ in range(count // CLIENTS):
        for each in connections:
            each.send(message)
        for each in connections:
            each.receive()


# The cases: what is done `count` times by a gateway that has just started.


def read(gateway, count):
    client = Client(gateway.port)
    job = gateway.submit(client)["id"]
    gateway.wait_ended(client, job)
    send_all(gateway, request("GET", f"/v1/inference/{job}"), count)


def submit(gateway, count):
    gateway.model.set(gate=1)
    send_all(gateway, request("POST", gateway.dialect.submit, {"model": "m"} | BODY), count)


def job(gateway, count):
    send_all(gateway, request("POST", gateway.dialect.submit, {"model": "m"} | BODY), count)
    client = Client(gateway.port)
    while client.json("GET", "/v1/models")["results"][0]["pending"]:
        time.sleep(0.05)


def wait(gateway, count):
    send_all(gateway, request("POST", "/v1/inference", {"model": "m"} | BODY), count)


def delivery(gateway, count):
    """Events of one job that all clients listen to."""
    told = gateway.submit(Client(gateway.port))
    listeners = [Connection(gateway.port) for _ in range(CLIENTS)]
    for each in listeners:
        each.send(request("GET", f"/v1/async/notify/{told['event_id']}"))
        each.until(b'"RUNNING"')
    for number in range(count // CLIENTS):
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


def functions(path):
    """Instructions of each function itself, as callgrind has written them."""
    names, counts, function, is_call = {}, collections.Counter(), "", False
    for line in path.read_text(errors="replace").splitlines():
        if found := re.match(r"c?fn=\((\d+)\)(?: (.*))?$", line):
            if found[2]:
                names[found[1]] = found[2]
            if line.startswith("fn="):
                function = names[found[1]]
        elif line.startswith("calls="):
            is_call = True
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            # The line behind a call has what the callee took.
            if not is_call:
                counts[function] += int(line.split()[1])
            is_call = False
    return counts


def counted(case, count, program, folder):
    body, make_model, _ = case
    path = folder / f"counts.{count}"
    with make_model() as model, CountedGateway(model, program, path) as gateway:
        gateway.start()
        body(gateway, count)
    return functions(path)


def names(mangled):
    return subprocess.run(
        ["swift-demangle", "--simplified"], input="\n".join(mangled), capture_output=True, text=True, check=True
    ).stdout.splitlines()


def main(options):
    tools.build()
    chosen = {name: case for name, case in CASES.items() if not options.only or options.only in name}
    progress, counts = Progress(2 * len(chosen)), {}
    parent = os.environ.get("INFERQ_BENCH_DIR", "/var/tmp")
    with tempfile.TemporaryDirectory(prefix="inferq-whole-", dir=parent) as name:
        folder = pathlib.Path(name)
        program = folder / "inferq"
        instructions.strip(binary(), program)
        for title, case in chosen.items():
            times, found = case[2], []
            for factor in (1, 2):
                progress.step(f"{title}, {factor * times} times")
                found.append(counted(case, factor * times, program, folder))
            once, twice = found
            each = {function: (twice[function] - once[function]) / times for function in twice}
            counts[title] = round(sum(each.values()))
            most = sorted(each, key=each.get, reverse=True)[: options.functions]
            for function, text in zip(most, names(most) if most else []):
                print(f"{each[function]:12,.0f}  {text[:150]}")
    progress.end()
    return instructions.judge("whole request", counts, options)


if __name__ == "__main__":
    parser = instructions.parser(__doc__)
    parser.add_argument("--functions", type=int, default=0, help="how many functions to name for each case")
    instructions.run(main, parser.parse_args())
