#!/usr/bin/env python3
"""What a deep queue costs: the same questions to a gateway with 1,000 and with 1,000,000 queued jobs."""

import statistics
import time

from harness import command, processes, tools
from harness.model import Client, Model
from harness.progress import Progress
from harness.report import MIB, MILLISECONDS, NUMBER, RATE, SECONDS
from harness.system import inferq

SHALLOW = 1_000
# Submits for one rate, and how often: few enough that a thousand queued jobs stay a shallow queue.
SUBMITS, ROUNDS = 4_000, 5
QUESTIONS = {
    "list, newest 25": "/v1/inference?limit=25",
    "list, PENDING of a model": "/v1/inference?status=PENDING&model=m&limit=25",
    "list, COMPLETED": "/v1/inference?status=COMPLETED&limit=25",
    "models": "/v1/models",
    "metrics": "/metrics",
}
# How often each is asked.
ASKED = 200


def p50_ms(client, requests):
    """The median time of these requests, (method, path) each."""
    took = []
    for method, path in requests:
        began = time.perf_counter()
        status, data = client.request(method, path)
        took.append((time.perf_counter() - began) * 1e3)
        if status != 200:
            raise tools.ToolError(f"{method} {path} was answered with {status}: {data[:200]!r}")
    return statistics.median(took)


def costs(gateway, depth, progress):
    """The figures of a gateway with `depth` queued jobs, by title: value and shape."""
    progress.step(f"filling the queue to {depth:,}")
    first = gateway.backlog(SHALLOW, 64)["last"]["id"]
    if depth > SHALLOW:
        tools.fill(gateway.port, depth - SHALLOW, gateway.dialect.submit, gateway.dialect.body, 64)
    client, pid = Client(gateway.port), gateway.process.pid
    figures = {"memory": (processes.private(pid), MIB)}
    for title, path in QUESTIONS.items():
        progress.step(f"{title} at {depth:,}")
        figures[title] = (p50_ms(client, [("GET", path)] * ASKED), MILLISECONDS)
    progress.step(f"reads and cancels at {depth:,}")
    figures["one record"] = (p50_ms(client, [("GET", f"/v1/inference/{first}")] * ASKED), MILLISECONDS)
    pending = client.json("GET", f"/v1/inference?status=PENDING&limit={ASKED}")["results"]
    cancels = [("POST", each["urls"]["cancel"]) for each in pending]
    figures["cancel"] = (p50_ms(client, cancels), MILLISECONDS)
    client.close()
    progress.step(f"submits at {depth:,}")
    figures["submits, 64 connections"] = (rate_of_submits(gateway), RATE)
    progress.step(f"jobs at {depth:,}")
    figures["jobs, 0 ms model"] = (rate_of_jobs(gateway), RATE)
    progress.step(f"a kill and a start at {depth:,}")
    figures["ready after a kill"] = (ready_after_kill(gateway), SECONDS)
    return figures


def rate_of_submits(gateway):
    filled = (
        tools.fill(gateway.port, SUBMITS, gateway.dialect.submit, gateway.dialect.body, 64) for _ in range(ROUNDS)
    )
    return statistics.median(SUBMITS / each["seconds"] for each in filled)


def rate_of_jobs(gateway):
    """From the opened gate on, until as many jobs have ended as the shallow queue has left."""
    gateway.model.set(reset=1, gate=0)
    began = time.monotonic()
    while (done := gateway.model.stats()["done"]) < SHALLOW + SUBMITS:
        time.sleep(0.005)
    rate = done / (time.monotonic() - began)
    gateway.model.set(gate=1)
    return rate


def ready_after_kill(gateway):
    gateway.kill()
    return gateway.start()


def main(options):
    progress = Progress(2 * (len(QUESTIONS) + 5))
    columns = []
    with Model() as model:
        for depth in (SHALLOW, options.depth):
            with inferq(model) as gateway:
                gateway.fresh()
                columns.append(costs(gateway, depth, progress))
    progress.end()
    rows = []
    for title, (shallow, shape) in columns[0].items():
        deep = columns[1][title][0]
        compared = f"+ {MIB.text([deep - shallow])}" if shape is MIB else f"{NUMBER.text([deep / shallow])} x"
        rows.append([title, shape.text([shallow]), shape.text([deep]), compared])
    heads = ["queued jobs", f"{SHALLOW:,}", f"{options.depth:,}", "deep against shallow"]
    return heads, rows


if __name__ == "__main__":
    command.measure("depth", main, command.options(__doc__, depth=(1_000_000, "queued jobs")))
