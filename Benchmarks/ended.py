#!/usr/bin/env python3
"""A million ended jobs, then retention that removes them while submits and jobs go on."""

import contextlib
import re
import sqlite3
import statistics
import threading
import time

from harness import command, processes, tools
from harness.model import Client, Model
from harness.progress import Progress
from harness.report import MIB, MILLISECONDS_OF_US, NUMBER, RATE
from harness.system import inferq

# One measurement of the load: submits over 16 connections, whose jobs run at once.
LOAD, WIDTH = 4_000, 16
ROUNDS = 5


def finished(gateway, client):
    status, data = client.request("GET", "/metrics")
    found = re.search(rb"^inferq_jobs_finished_total\{.*completed.*\} (\S+)", data, re.MULTILINE)
    if not found:
        raise tools.ToolError(f"/metrics was answered with {status} and without the number of finished jobs")
    return int(float(found[1]))


def load(gateway):
    return tools.fill(gateway.port, LOAD, gateway.dialect.submit, gateway.dialect.body, WIDTH)


def sizes(gateway):
    """Bytes of the database and of its write-ahead log."""
    return gateway.database.stat().st_size, gateway.database.with_name("inferq.db-wal").stat().st_size


class Watch:
    """Looks at memory and write-ahead log ten times a second, and keeps the most."""

    def __init__(self, gateway):
        self._gateway, self._is_over = gateway, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.memory = self.log = 0

    def _run(self):
        while not self._is_over.wait(0.1):
            self.memory = max(self.memory, processes.private(self._gateway.process.pid))
            self.log = max(self.log, sizes(self._gateway)[1])

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()


def fill(gateway, count, progress):
    tools.fill(gateway.port, count, gateway.dialect.submit, gateway.dialect.body, WIDTH)
    client = Client(gateway.port)
    while (done := finished(gateway, client)) < count:
        progress.note(f"{done:,} of {count:,} have ended")
        time.sleep(1)
    client.close()


def under_retention(gateway, seconds, progress):
    """Loads for that many seconds while retention removes what has ended; the loads."""
    gateway.reload({"store.retention": "1s"})
    began, loads = time.monotonic(), []
    while time.monotonic() - began < seconds:
        loads.append(load(gateway))
        progress.note(f"{time.monotonic() - began:.0f} of {seconds} s, {len(loads) * LOAD:,} jobs more")
    return loads


def kept(gateway):
    """Jobs that are left, counted in the file of the stopped gateway."""
    with contextlib.closing(sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM job").fetchone()[0]


def main(options):
    progress = Progress(3)
    with Model() as model, inferq(model) as gateway:
        gateway.fresh()
        progress.step("the load on an empty store")
        empty = [load(gateway) for _ in range(ROUNDS)]
        progress.step(f"{options.jobs:,} jobs")
        fill(gateway, options.jobs, progress)
        full = [load(gateway) for _ in range(ROUNDS)]
        memory, (database, _) = processes.private(gateway.process.pid), sizes(gateway)
        progress.step("retention at work")
        began = time.monotonic()
        with Watch(gateway) as watch:
            loads = under_retention(gateway, options.seconds, progress)
        seconds = time.monotonic() - began
        gateway.stop()
        ended = options.jobs + LOAD * (2 * ROUNDS + len(loads)) + 1
        removed = ended - kept(gateway)
    progress.end()

    def row(title, shape, *values):
        return [title, *(shape.text([value]) if value is not None else "" for value in values)]

    def median(loads, key):
        return statistics.median(LOAD / each["seconds"] if key == "rate" else each[key] for each in loads)

    rows = [
        row("submits with their jobs", RATE, *(median(each, "rate") for each in (empty, full, loads))),
        row("p50 of a submit", MILLISECONDS_OF_US, *(median(each, "p50_us") for each in (empty, full, loads))),
        row("p99 of a submit", MILLISECONDS_OF_US, *(median(each, "p99_us") for each in (empty, full, loads))),
        row("memory, at most", MIB, None, memory, watch.memory),
        row("write-ahead log, at most", MIB, None, None, watch.log),
        row("database", MIB, None, database, None),
        row("jobs removed", RATE, None, None, removed / seconds),
    ]
    heads = ["", "empty store", f"{NUMBER.text([options.jobs])} ended", "while they are removed"]
    return heads, rows


if __name__ == "__main__":
    command.measure("ended", main, command.options(
        __doc__,
        jobs=(1_000_000, "ended jobs"),
        seconds=(60, "of retention at work"),
    ))
