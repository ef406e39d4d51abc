"""What is measured of a system, one function each; a result is a dictionary of figures.

Before every measurement the system is started anew on an empty store, and the machine is given time to become quiet.
Rates are per second, times in the unit that their names end in, memory in bytes.
"""

import os
import re
import signal
import socket
import statistics
import subprocess
import time

from harness import processes, tools
from harness.model import Client
from harness.system import CALLS

# One job at a time and twenty a second: what a client sees who finds the gateway idle.
SINGLE_JOBS = 200
SINGLE_INTERVAL = 0.05
SYNCED_SUBMITS = 200
# The column "calls" of a line of `strace -c`, but for the last line.
COUNTED_CALLS = r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(?!total)\w+$"


def _window(system, quiet):
    processes.wait_for_quiet(quiet)
    return processes.Window(system.pids)


def _cost(window, operations):
    return {"cpu_us": window.cpu / operations * 1e6, "foreign_cores": window.foreign}


def start(system, options):
    """From the start of the process to its first 200, on an empty store that exists."""
    system.close()
    system.start()
    system.stop()
    processes.wait_for_quiet(options.quiet)
    seconds = system.start()
    return {"seconds": seconds}


def idle(system, options):
    """Memory and CPU of a system that no one asks."""
    system.fresh()
    processes.wait_for_quiet(options.quiet)
    return {
        "memory": processes.memory(system.pids()),
        "processes": len(system.pids()),
        "cores": _idle_cores(system, options.seconds * 2),
    }


def _idle_cores(system, seconds):
    """The part of a core that a system uses while nothing is asked of it."""
    before, began = processes.run_seconds(system.pids()), time.monotonic()
    time.sleep(seconds)
    return (processes.run_seconds(system.pids()) - before) / (time.monotonic() - began)


def submits(connections):
    """Durable submits in a closed loop, while the model server holds its answers: nothing but submits goes on."""

    def measure(system, options):
        system.fresh()
        system.model.set(gate=1)
        with _window(system, options.quiet) as window:
            result = tools.wrk(
                system.port, connections, options.seconds, "POST", system.dialect.submit, system.dialect.body
            )
        return result | _cost(window, result["requests"])

    return measure


def reads(connections):
    """Records of 200 ended jobs, in turn."""

    def measure(system, options):
        system.fresh()
        client = Client(system.port)
        ids = [system.submit(client)["id"] for _ in range(200)]
        for each in ids:
            system.wait_ended(client, each)
        client.close()
        paths = [system.dialect.record.format(id=each) for each in ids]
        with _window(system, options.quiet) as window:
            result = tools.wrk(system.port, connections, options.seconds, "GET", paths=paths)
        return result | _cost(window, result["requests"])

    return measure


def single(system, options):
    """From a submit to the final event at its listener, one job at a time, with a model that answers at once."""
    system.fresh()
    client = Client(system.port)
    took = []
    with _window(system, options.quiet) as window:
        for _ in range(SINGLE_JOBS):
            began = time.perf_counter()
            _wait_final_event(system, system.submit(client)["event_id"])
            took.append(time.perf_counter() - began)
            time.sleep(max(0.0, SINGLE_INTERVAL - took[-1]))
    client.close()
    cuts = statistics.quantiles(took, n=100)
    return {"p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3} | _cost(window, SINGLE_JOBS)


def _wait_final_event(system, event_id):
    path = system.dialect.events.format(event_id=event_id)
    with socket.create_connection(("127.0.0.1", system.port), timeout=10) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode())
        received = b""
        while system.dialect.final.encode() not in received:
            piece = stream.recv(65536)
            if not piece:
                raise tools.ToolError(f"{system.name} ended a stream before its final event: {received[-300:]!r}")
            received += piece


def drain(jobs, delay_ms):
    """A backlog of that many jobs through the model server, counted there, until the last record has ended.

    `ideal` is the share of what 64 calls at a time of a model with that delay can give.
    """

    def measure(system, options):
        system.fresh()
        last = system.backlog(jobs)["last"]["id"]
        memory = processes.memory(system.pids())
        system.model.set(delay_ms=delay_ms)
        client = Client(system.port)
        with _window(system, options.quiet) as window:
            began = time.monotonic()
            system.model.set(gate=0)
            _wait_calls(system, jobs, options.limit)
            system.wait_ended(client, last)
            seconds = time.monotonic() - began
        client.close()
        calls = system.model.stats()["started"]
        result = {"per_second": jobs / seconds, "calls_per_job": calls / jobs, "memory": memory}
        if delay_ms:
            result["ideal"] = jobs / seconds / (CALLS / (delay_ms / 1000))
        return result | _cost(window, jobs)

    return measure


def _wait_calls(system, jobs, limit):
    end = time.monotonic() + limit
    while (done := system.model.stats()["done"]) < jobs:
        if time.monotonic() > end:
            raise tools.ToolError(f"{system.name}: {done} of {jobs} calls were answered within {limit} s")
        time.sleep(0.02)


def streams(count):
    """Listeners of one job: opening them, their memory, what they cost idle, and the final event to all of them."""

    def measure(system, options):
        system.fresh()
        system.model.set(gate=1)
        client = Client(system.port)
        path = system.dialect.events.format(event_id=system.submit(client)["event_id"])
        before = processes.memory(system.pids())
        with tools.Listeners(system.port, count, [path], system.dialect.final) as listeners:
            processes.wait_for_quiet(options.quiet)
            memory = processes.memory(system.pids()) - before
            cores = _idle_cores(system, options.seconds * 2)
            began = time.monotonic_ns()
            system.model.set(gate=0)
            ended = listeners.said("ended")
        client.close()
        if ended["marked"] != count:
            raise tools.ToolError(f"{system.name}: {ended['marked']} of {count} listeners had the final event")
        return {
            "open_s": listeners.opened["seconds"],
            "memory_each": memory / count,
            "cores": cores,
            "to_all_ms": (ended["last_ns"] - began) / 1e6,
        }

    return measure


def syncs(connections):
    """Calls of fsync and fdatasync for each submit, counted by strace."""

    def measure(system, options):
        system.fresh()
        # Fills what takes jobs early, so that the counted submits are nothing but submits.
        system.backlog(CALLS * 2)
        count = SYNCED_SUBMITS * (10 if connections > 1 else 1)
        trace = subprocess.Popen(
            ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync,msync,sync_file_range"]
            + [word for pid in system.pids() for word in ("-p", str(pid))],
            stderr=subprocess.PIPE,
            text=True,
        )
        _wait_traced(system.process.pid)
        tools.fill(system.port, count, system.dialect.submit, system.dialect.body, connections)
        trace.send_signal(signal.SIGINT)
        lines = re.findall(COUNTED_CALLS, trace.communicate()[1], re.MULTILINE)
        system.model.set(gate=0)
        return {"per_submit": sum(map(int, lines)) / count}

    return measure


def _wait_traced(pid, limit=10.0):
    """Waits until every thread of the process has a tracer."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        threads = [f"/proc/{pid}/task/{thread}/status" for thread in os.listdir(f"/proc/{pid}/task")]
        if all(re.search(r"TracerPid:\s+[1-9]", open(each).read()) for each in threads):
            return
        time.sleep(0.02)
    raise tools.ToolError(f"strace did not attach to process {pid} within {limit} s; install strace, and run as root")


def add_width(figures):
    """Adds how the rate of submits changes from 16 to 256 connections, round by round."""
    few, many = (figures.get(f"submits, {count} connections", []) for count in (16, 256))
    if few and many:
        figures["submits, 256 against 16"] = [
            {"ratio": wide["per_second"] / narrow["per_second"]} for narrow, wide in zip(few, many, strict=True)
        ]


MEASURES = {
    "start": start,
    "idle": idle,
    "submits, 1 connection": submits(1),
    "submits, 16 connections": submits(16),
    "submits, 64 connections": submits(64),
    "submits, 256 connections": submits(256),
    "syncs, 1 connection": syncs(1),
    "syncs, 64 connections": syncs(64),
    "single jobs": single,
    "drain, 0 ms": drain(10_000, 0),
    "drain, 20 ms": drain(4_000, 20),
    "reads, 64 connections": reads(64),
    "streams, 1,000": streams(1_000),
}
