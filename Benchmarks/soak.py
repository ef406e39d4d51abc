#!/usr/bin/env python3
"""Many short cycles of all that clients do, with memory, write-ahead log and descriptors after each of them."""

import csv
import os
import statistics
import time

from harness import command, processes, report, tools
from harness.model import Client, Model
from harness.progress import Progress
from harness.report import MIB, NUMBER
from harness.system import inferq

# One cycle: about what a small site does in five minutes.
JOBS, LISTENERS, CANCELS, LISTS = 1_000, 50, 20, 20
# Ended jobs go soon, so that every cycle works on what an earlier one left, and the store has one size.
RETENTION = "1m"
COLUMNS = ["seconds", "memory", "resident", "log", "database", "descriptors", "threads"]


def cycle(gateway, client):
    """A backlog with listeners, cancels and lists; then all of it runs."""
    gateway.model.set(gate=1)
    job = gateway.submit(client)
    path = gateway.dialect.events.format(event_id=job["event_id"])
    with tools.Listeners(gateway.port, LISTENERS, [path]) as listeners:
        last = gateway.backlog(JOBS)["last"]["id"]
        pending = client.json("GET", f"/v1/inference?status=PENDING&limit={CANCELS + 1}")["results"]
        for each in pending[1:]:
            client.json("POST", each["urls"]["cancel"])
        for _ in range(LISTS):
            client.json("GET", "/v1/inference?limit=25")
            client.request("GET", "/metrics")
        gateway.model.set(gate=0)
        listeners.said("ended")
    gateway.wait_ended(client, last)


def sample(gateway, began):
    pid = gateway.process.pid
    return [
        time.monotonic() - began,
        processes.private(pid),
        processes.resident(pid),
        gateway.database.with_name("inferq.db-wal").stat().st_size,
        gateway.database.stat().st_size,
        processes.descriptors(pid),
        len(os.listdir(f"/proc/{pid}/task")),
    ]


def run(gateway, minutes, progress):
    samples, began = [], time.monotonic()
    while (past := time.monotonic() - began) < minutes * 60:
        client = Client(gateway.port)
        cycle(gateway, client)
        client.close()
        samples.append(sample(gateway, began))
        memory, descriptors = samples[-1][1] / 2**20, samples[-1][5]
        progress.note(f"{past / 60:.1f} of {minutes} min, {len(samples)} cycles, {memory:.1f} MiB, {descriptors} open")
    return samples


def keep(samples):
    report.RESULTS.mkdir(parents=True, exist_ok=True)
    with (report.RESULTS / "soak.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([COLUMNS, *samples])


def main(options):
    progress = Progress()
    with Model() as model, inferq(model, store__retention=RETENTION) as gateway:
        gateway.fresh()
        progress.step(f"{options.minutes} minutes of cycles")
        samples = run(gateway, options.minutes, progress)
    progress.end()
    keep(samples)
    quarter = max(1, len(samples) // 4)
    rows = []
    for number, (title, shape) in enumerate([
        ("private memory", MIB), ("resident memory", MIB), ("write-ahead log", MIB), ("database", MIB),
        ("descriptors", NUMBER), ("threads", NUMBER),
    ], start=1):
        values = [each[number] for each in samples]
        # The first quarter fills caches and arenas; the second is what the last must not exceed.
        parts = [values[i * quarter:(i + 1) * quarter] or values for i in range(4)]
        rows.append([title, *(shape.text([statistics.median(part)]) for part in parts), shape.text([max(values)])])
    heads = [f"{len(samples):,} cycles in {options.minutes} min", "first quarter", "second", "third", "last", "most"]
    return heads, rows


if __name__ == "__main__":
    command.measure("soak", main, command.options(__doc__, minutes=(60, "of cycles")))
