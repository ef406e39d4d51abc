#!/usr/bin/env python3
"""Many listeners: 10,000 that wait, 1,000 with 20 events a second, some that do not read, and some that come and go."""

import argparse
import collections
import contextlib
import socket
import statistics
import time

from harness import command, nchan, processes, tools
from harness.measures import streams
from harness.model import Client, Model
from harness.progress import Progress
from harness.report import KIB, MILLISECONDS, MILLISECONDS_OF_US, NUMBER, RATE, SECONDS, SHARE_OF_A_CORE
from harness.system import inferq
from harness.talker import Talker

RATE_OF_EVENTS = 20
STALLED = HEALTHY = 50
# Bytes of an event for readers that do not read: some dozen fill the buffers of the kernel.
LARGE = 16_000
# One wave of listeners that come, have their first event, and hang up.
WAVE = 1_000
FIRST_EVENT = '"status":"PENDING"'


@contextlib.contextmanager
def talking(**settings):
    """A gateway, the one job that runs at its model server, and the path of its events."""
    with Talker() as talker, inferq(talker, models__m__concurrency=1, **settings) as gateway:
        gateway.start()
        client = Client(gateway.port)
        event_id = gateway.submit(client)["event_id"]
        client.close()
        yield gateway, talker, event_id, gateway.dialect.events.format(event_id=event_id)


def waiting(options):
    """Listeners of one job that wait for its end, in turn with those of nchan where it is installed."""
    quiet = argparse.Namespace(quiet=3, seconds=5)
    ours, theirs = collections.defaultdict(list), collections.defaultdict(list)
    for _ in range(options.rounds):
        with Model() as model, inferq(model, limits__connections=options.count + 100) as gateway:
            for name, value in streams(options.count)(gateway, quiet).items():
                ours[name].append(value)
        if nchan.missing() is None:
            for name, value in nchan.streams(options.count, quiet).items():
                theirs[name].append(value)
    goal = "2 x nchan"
    if theirs:
        times = statistics.median(ours["to_all_ms"]) / statistics.median(theirs["to_all_ms"])
        goal += f": {times:.2f} x"
    yield f"opening {options.count:,} listeners", SECONDS, ours["open_s"], "3 s", theirs["open_s"]
    yield "memory of each", KIB, ours["memory_each"], "16 KiB", theirs["memory_each"]
    yield "CPU while they wait, heartbeats included, of a core", SHARE_OF_A_CORE, ours["cores"], ""
    yield "one event to all of them", MILLISECONDS, ours["to_all_ms"], goal, theirs["to_all_ms"]


def delivering(count, seconds):
    """Listeners of one job with 20 events a second: what they say, and seconds of the gateway's CPU for each delivery."""
    with talking() as (gateway, talker, event_id, path):
        with tools.Listeners(gateway.port, count, [path]) as listeners, processes.Window(gateway.pids) as window:
            sent = talker.report(gateway.port, event_id, RATE_OF_EVENTS, seconds)
            talker.answer()
            ended = listeners.said("ended")
    if ended["latencies"] != sent * count:
        raise tools.ToolError(f"{ended['latencies']} of {sent * count} events came")
    return ended, window.cpu / (sent * count)


def busy(options):
    """A thousand listeners of one job with 20 events a second, from the report's POST to the listener's read."""
    count = min(options.count, 1_000)
    ended, cpu = delivering(count, options.seconds)
    title = f"{count:,} listeners at {RATE_OF_EVENTS} events a second"
    yield f"{title}, p50", MILLISECONDS_OF_US, ended["latency_p50_us"], ""
    yield f"{title}, p99", MILLISECONDS_OF_US, ended["latency_p99_us"], "75 ms"
    yield "CPU of each delivery, in us", NUMBER, cpu * 1e6, "15 us"


def stalled(options):
    """What listeners that do not read cost those that do."""
    alone, _ = beside(0, options)
    crowded, memory = beside(STALLED, options)
    title = f"{HEALTHY} listeners that read"
    yield f"{title}, p99", MILLISECONDS_OF_US, alone, ""
    yield f"{title} beside {STALLED} that do not, p99", MILLISECONDS_OF_US, crowded, f"2 x: {crowded / alone:.2f} x"
    yield "memory of one that does not read", KIB, memory / STALLED, "64 KiB"


def beside(count, options):
    """p99 in microseconds of those that read, and what the gateway's memory grew by at most."""
    # None is cut off before the end: the worst case.
    with talking(limits__listener_timeout="10m") as (gateway, talker, event_id, path), contextlib.ExitStack() as open_:
        pid = gateway.process.pid
        with tools.Listeners(gateway.port, HEALTHY, [path]) as listeners:
            talker.report(gateway.port, event_id, RATE_OF_EVENTS, 1, LARGE)
            before = processes.private(pid)
            for _ in range(count):
                open_.enter_context(deaf_listener(gateway.port, path))
            talker.report(gateway.port, event_id, RATE_OF_EVENTS, options.seconds, LARGE)
            memory = processes.private(pid) - before
            talker.answer()
            return listeners.said("ended")["latency_p99_us"], memory


def deaf_listener(port, path):
    """A connection with a small window that asks for the events and never reads."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return sock


def storm(options):
    """Waves of listeners that come, have their first event and hang up, all of a wave at once."""
    with Model() as model, inferq(model) as gateway:
        gateway.fresh()
        model.set(gate=1)
        client = Client(gateway.port)
        path = gateway.dialect.events.format(event_id=gateway.submit(client)["event_id"])
        client.close()
        pid, took, memory = gateway.process.pid, [], []
        wave(gateway, path)
        descriptors = open_after(pid, 0, 1)
        for _ in range(options.waves):
            took.append(wave(gateway, path))
            memory.append(processes.private(pid))
        left = open_after(pid, descriptors) - descriptors
    yield f"listeners that come and go, waves of {WAVE:,}", RATE, WAVE / statistics.median(took), ""
    yield "memory, last quarter against second", NUMBER, ratio(memory), "1"
    yield "descriptors left open", NUMBER, left, "0"


def wave(gateway, path):
    """Seconds from the first connection to the last event."""
    began = time.monotonic()
    with tools.Listeners(gateway.port, WAVE, [path], FIRST_EVENT) as listeners:
        listeners.said("ended")
    return time.monotonic() - began


def open_after(pid, wanted, limit=10.0):
    """The descriptors, once there are no more than `wanted` or `limit` seconds have passed."""
    end = time.monotonic() + limit
    while (now := processes.descriptors(pid)) > wanted and time.monotonic() < end:
        time.sleep(0.05)
    return now


def ratio(values):
    quarter = max(1, len(values) // 4)
    return statistics.median(values[-quarter:]) / statistics.median(values[quarter:2 * quarter] or values)


def main(options):
    parts = [waiting, busy, stalled, storm]
    progress, rows = Progress(len(parts)), []
    for part in parts:
        progress.step(part.__doc__)
        rows += [row(*each) for each in part(options)]
    progress.end()
    return ["listeners", "nchan", "inferq", "goal"], rows


def row(title, shape, ours, goal, theirs=()):
    ours = ours if isinstance(ours, list) else [ours]
    return [title, shape.text(theirs), shape.text(ours), goal]


if __name__ == "__main__":
    command.measure("listeners", main, command.options(
        __doc__,
        count=(10_000, "listeners that wait"),
        seconds=(10, "of events"),
        waves=(40, "that come and go"),
        rounds=(3, "of the listeners that wait"),
    ))
