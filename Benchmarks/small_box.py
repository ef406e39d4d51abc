#!/usr/bin/env python3
"""A small box: one processor, 256 MiB with the cache of its files, a disk whose every sync takes 20 ms longer.

It starts with a million queued jobs, is killed again and again, and then serves for an hour: jobs run, streams are read,
listeners wait, and a client asks ten times a second. Load and model servers have the other processor.
"""

import contextlib
import os
import pathlib
import statistics
import threading
import time

from harness import command, processes, tools
from harness.box import BoxedGateway, Group
from harness.model import Client, Model
from harness.progress import Progress
from harness.report import MIB, MILLISECONDS, NUMBER, SECONDS
from harness.streamer import Streamer
from harness.system import BODY

MEMORY, SYNC_US = 256 << 20, 20_000
LISTENERS, STREAMS, FRAMES, FRAMES_PER_SECOND = 200, 4, 100, 20
STARTS = 5
DROP_CACHES = pathlib.Path("/proc/sys/vm/drop_caches")
# A client asks one thing, waits so long, and asks the next.
PAUSE = 0.1
# No request may take longer.
MOST_MS = 1_000
SETTINGS = {
    "store.profile": "flash",
    "models.m.concurrency": 4,
    "models.s.dialect": "openai",
    "limits.connections": 1_000,
}


class Asker:
    """A client that asks what clients ask; how long each took, in milliseconds."""

    def __init__(self, gateway):
        self.took = {}
        self._gateway = gateway

    def ask(self, seconds, tell):
        client, end = Client(self._gateway.port), time.monotonic() + seconds
        told = time.monotonic()
        while time.monotonic() < end:
            job = self._time(client, "a submit", "POST", "/v1/async/inference", {"model": "m"} | BODY)
            self._time(client, "a record", "GET", f"/v1/inference/{job['id']}")
            self._time(client, "a list", "GET", "/v1/inference?status=COMPLETED&limit=25")
            self._time(client, "all models", "GET", "/v1/models")
            self._time(client, "the status", "GET", "/v1/status")
            if time.monotonic() - told > 20:
                told = time.monotonic()
                worst = max(max(each) for each in self.took.values())
                tell(f"{(end - told) / 60:.1f} min left, worst {worst:.0f} ms")
        client.close()

    def _time(self, client, what, *request):
        time.sleep(PAUSE)
        began = time.perf_counter()
        answer = client.json(*request)
        self.took.setdefault(what, []).append((time.perf_counter() - began) * 1e3)
        return answer


class Reader(threading.Thread):
    """Streams that are read until it is told to stop."""

    def __init__(self, streamer, gateway):
        super().__init__(daemon=True)
        self._streamer, self._gateway = streamer, gateway
        self.is_over, self.streams, self.error = threading.Event(), 0, None

    def run(self):
        try:
            while not self.is_over.is_set():
                self._streamer.run(
                    self._gateway, clients=STREAMS, frames=FRAMES, rate=FRAMES_PER_SECOND, mount="/upstream/s")
                self.streams += STREAMS
        except tools.ToolError as error:
            self.error = error


def filled(gateway, options, progress):
    """Queued jobs, on the whole machine."""
    gateway.start()
    progress.step(f"filling the queue to {options.depth:,}")
    gateway.model.set(gate=1, reset=1)
    if (done := tools.fill(gateway.port, options.depth, gateway.dialect.submit, gateway.dialect.body, 64))["refused"]:
        raise tools.ToolError(f"{done['refused']} submits were refused")
    gateway.kill()
    # What of the store is in memory is no one's in the box, and would be read there for nothing.
    os.sync()
    DROP_CACHES.write_text("3")
    return done["last"]


def main(options):
    progress = Progress(4)
    with contextlib.ExitStack() as stack:
        model, streamer = stack.enter_context(Model()), stack.enter_context(Streamer())
        mount = {"models.s.url": streamer.url, "models.s.concurrency": STREAMS}
        gateway = stack.enter_context(BoxedGateway(model, SETTINGS | mount))
        last = filled(gateway, options, progress)
        gateway.group, gateway.sync_us = stack.enter_context(Group(MEMORY)), SYNC_US
        stack.callback(gateway.close)
        for pid in (0, model.process.pid, streamer.process.pid):
            os.sched_setaffinity(pid, {1})
        progress.step(f"{STARTS} starts after a kill, in the box")
        starts = []
        for _ in range(STARTS):
            starts.append(gateway.start())
            gateway.kill()
        gateway.start()
        model.set(gate=0, delay_ms=20)
        done = model.stats()["done"]
        progress.step(f"{options.minutes} minutes of load")
        path = gateway.dialect.events.format(event_id=last["event_id"])
        asker, reader = Asker(gateway), Reader(streamer, gateway)
        with tools.Listeners(gateway.port, LISTENERS, [path]):
            reader.start()
            asker.ask(options.minutes * 60, progress.note)
        reader.is_over.set()
        reader.join()
        if reader.error:
            raise reader.error
        done = model.stats()["done"] - done
        private = processes.private(gateway.process.pid)
        progress.step("the stop")
        peak, kills = gateway.group.peak, gateway.group.kills
        gateway.close()
    progress.end()
    rows = [
        [f"ready after a kill, {options.depth:,} queued jobs", SECONDS.text(starts)],
        [f"jobs that ended in {options.minutes} min", NUMBER.text([done])],
        ["streams that were read whole", NUMBER.text([reader.streams])],
        ["memory of its own at the end", MIB.text([private])],
        ["the most memory, with the cache of files, of 256 MiB", MIB.text([peak])],
        ["processes killed for memory", NUMBER.text([kills])],
    ]
    for what, took in asker.took.items():
        rows.append([f"{what}, p50", MILLISECONDS.text([statistics.median(took)])])
        verdict = "reached" if max(took) <= MOST_MS else "**missed**"
        rows.append([f"{what}, the slowest of {len(took):,}", f"{MILLISECONDS.text([max(took)])}; 1 s: {verdict}"])
    return ["a small box", ""], rows


if __name__ == "__main__":
    command.measure("small box", main, command.options(
        __doc__, minutes=(60, "of load"), depth=(1_000_000, "queued jobs at the start")))
