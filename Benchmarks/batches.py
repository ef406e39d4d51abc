#!/usr/bin/env python3
"""Batches of the OpenAI API: lines a second beside native jobs a second, a call beside a batch, and memory.

The model server answers at once for the first and the last, and takes 20 ms for the call beside a batch.
"""

import json
import statistics
import time

from harness import command, processes, tools
from harness.model import Client, Model
from harness.progress import Progress
from harness.report import MIB, MILLISECONDS, RATE
from harness.system import Gateway

PATH = "/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "Describe the scene in one sentence."}]}
BOUNDARY = "inferq-benchmark"
SERVICE_MS = 20
CALLS = 100


def form(count):
    """A file of `count` lines as a client sends it."""
    lines = "".join(
        json.dumps({"custom_id": f"r{number}", "method": "POST", "url": PATH, "body": BODY}) + "\n" for number in range(count))
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n')  # fmt: skip
    return (head + lines + f"\r\n--{BOUNDARY}--\r\n").encode()


class Batch:
    """A batch of so many lines, from the moment at which it is asked for."""

    def __init__(self, gateway, count):
        self._client = Client(gateway.port)
        connection = self._client._connection
        connection.request(
            "POST", "/v1/files", form(count), {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})  # fmt: skip
        file = json.loads(connection.getresponse().read())
        self.began = time.monotonic()
        self._id = self._client.json("POST", "/v1/batches", {
            "input_file_id": file["id"], "endpoint": PATH, "completion_window": "24h"})["id"]  # fmt: skip

    def look(self):
        return self._client.json("GET", f"/v1/batches/{self._id}")

    def wait(self, *states, watch=lambda: None):
        while (batch := self.look())["status"] not in states:
            watch()
            time.sleep(0.05)
        return batch

    def cancel(self):
        self._client.json("POST", f"/v1/batches/{self._id}/cancel", {})
        self.wait("cancelled")
        self._client.close()

    def end(self, watch=lambda: None):
        """The seconds to its end; every line must have been answered."""
        batch = self.wait("completed", "failed", "expired", "cancelled", watch=watch)
        seconds = time.monotonic() - self.began
        counts = batch["request_counts"]
        if batch["status"] != "completed" or counts["completed"] != counts["total"]:
            raise tools.ToolError(f"the batch is {batch['status']}: {counts}")
        self._client.close()
        return seconds


def native(gateway, count):
    """Native jobs a second, from the first submit to the last end."""
    gateway.model.set(reset=1)
    began = time.monotonic()
    tools.fill(gateway.port, count, gateway.dialect.submit, gateway.dialect.body, 64)
    client = Client(gateway.port)
    while gateway.model.stats()["done"] < count or client.json("GET", "/v1/models/m")["pending"]:
        time.sleep(0.02)
    client.close()
    return count / (time.monotonic() - began)


def calls(gateway):
    """The seconds that each of some calls takes, one after the other."""
    client = Client(gateway.port)
    found = []
    for _ in range(CALLS):
        began = time.monotonic()
        client.json("POST", PATH, BODY)
        found.append(time.monotonic() - began)
    client.close()
    return statistics.median(found) * 1000


def main(options):
    rates = {"native": [], "batch": []}
    alone, beside, memory = [], [], []
    progress = Progress(options.rounds * 3)
    settings = {"models.m.dialect": "openai"}
    with Model() as model:
        for round_ in range(options.rounds):
            with Gateway(model, settings) as gateway:
                progress.step(f"native jobs and a batch, round {round_ + 1} of {options.rounds}")
                gateway.fresh()
                rates["native"].append(native(gateway, options.lines))
                rates["batch"].append(options.lines / Batch(gateway, options.lines).end())
            with Gateway(model, settings | {"models.m.concurrency": 4}) as gateway:
                progress.step(f"calls beside a batch, round {round_ + 1} of {options.rounds}")
                gateway.fresh()
                model.set(delay_ms=SERVICE_MS)
                alone.append(calls(gateway))
                batch = Batch(gateway, options.lines)
                batch.wait("in_progress")
                beside.append(calls(gateway))
                batch.cancel()
                model.set(delay_ms=0)
            with Gateway(model, settings) as gateway:
                progress.step(f"memory of 50,000 lines, round {round_ + 1} of {options.rounds}")
                gateway.fresh()
                # What jobs as such take, and what is made at first use, is no part of it.
                native(gateway, options.lines)
                Batch(gateway, 500).end()
                time.sleep(1)
                before, most = processes.memory(gateway.pids()), []
                Batch(gateway, 50_000).end(watch=lambda: most.append(processes.memory(gateway.pids())))
                memory.append(max(most) - before)
    progress.end()
    share = statistics.median(one / other for one, other in zip(rates["batch"], rates["native"], strict=True))
    rows = [
        (f"native jobs, {options.lines:,} over 64 connections", RATE, rates["native"], ""),
        (f"lines of a batch of {options.lines:,}", RATE, rates["batch"], f"0.8 x: {share:.2f} x"),
        (f"a call, model of {SERVICE_MS} ms, p50", MILLISECONDS, alone, ""),
        ("the same beside a batch, p50", MILLISECONDS, beside, f"2 x: {statistics.median(beside) / statistics.median(alone):.2f} x"),
        ("memory of a batch of 50,000 lines", MIB, memory, "+ 8 MiB"),
    ]
    return ["batches", "inferq", "goal"], [[title, shape.text(values), goal] for title, shape, values, goal in rows]


if __name__ == "__main__":
    command.measure("batches", main, command.options(__doc__, rounds=(3, "rounds"), lines=(20_000, "of a batch")))
