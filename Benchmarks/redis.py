#!/usr/bin/env python3
"""What the way through Redis costs: the ring, a Redis on this host, and a worker that takes all jobs from it.

The systems take turns; medians of the rounds, and ratios of the medians.
"""

import json
import statistics
import subprocess
import types

from harness import command, tools
from harness.measures import drain, single
from harness.model import Model
from harness.progress import Progress
from harness.report import NUMBER, RATE
from harness.system import CALLS, Gateway, binary

PROGRAM = "redis-server"


class WithRedis(Gateway):
    """The gateway with a redis-server of its own, without files."""

    def __init__(self, model, settings):
        self.redis_port = tools.free_port()
        self.redis = None
        address = f"redis://127.0.0.1:{self.redis_port}/0"
        super().__init__(model, {"broker.kind": "redis", "broker.redis": address} | settings)

    def start(self):
        if self.redis is None:
            words = [PROGRAM, "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            self.redis = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        return super().start()

    def close(self):
        super().close()
        if self.redis:
            tools.end(self.redis)
            self.redis = None

    def pids(self):
        return super().pids() + [self.redis.pid]


class WithWorker(WithRedis):
    """As above, with a model that a worker alone serves."""

    def __init__(self, model, settings):
        super().__init__(model, settings)
        del self.settings["models.m.url"]
        self.worker = None

    def start(self):
        seconds = super().start()
        if self.worker is None:
            settings = {
                "log_level": "warning",
                "broker.redis": self.settings["broker.redis"],
                "models.m.url": self.model.url,
                "models.m.concurrency": CALLS,
            }
            path = self.work / "worker.toml"
            path.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items()) + "\n")
            self.worker = subprocess.Popen([binary(), "worker", "--config", path], stdin=subprocess.DEVNULL)
        return seconds

    def close(self):
        if self.worker:
            tools.end(self.worker)
            self.worker = None
        super().close()

    def pids(self):
        return super().pids() + [self.worker.pid]


SYSTEMS = {"ring": Gateway, "redis": WithRedis, "worker": WithWorker}


def main(options):
    window = types.SimpleNamespace(quiet=5.0, seconds=2, limit=300.0)
    figures = {name: {"drain": [], "single": []} for name in SYSTEMS}
    progress = Progress(options.rounds * len(SYSTEMS) * 2)
    with Model() as model:
        for round_ in range(options.rounds):
            for name, system in SYSTEMS.items():
                with system(model, {}) as measured:
                    progress.step(f"{name}: jobs, round {round_ + 1} of {options.rounds}")
                    figures[name]["drain"].append(drain(options.jobs, 0)(measured, window))
                    progress.step(f"{name}: single jobs, round {round_ + 1} of {options.rounds}")
                    figures[name]["single"].append(single(measured, window))
    progress.end()

    def row(title, measure, figure, shape, compare):
        values = {name: [each[figure] for each in found[measure]] for name, found in figures.items()}
        ring, redis, worker = (statistics.median(values[name]) for name in SYSTEMS)
        return [title, *(shape.text(values[name]) for name in SYSTEMS), compare(ring, redis), compare(ring, worker)]

    def share(ring, other):
        return f"{other / ring:.0%}"

    def added(ring, other):
        return f"+ {other - ring:.2f} ms"

    heads = ["", "ring", "redis", "worker", "redis against ring", "worker against ring"]
    return heads, [
        row("jobs through a 0 ms model, per second", "drain", "per_second", RATE, share),
        row("CPU per job, of all processes, us", "drain", "cpu_us", NUMBER, share),
        row("submit to final event, p50, ms", "single", "p50_ms", NUMBER, added),
        row("the same, p99, ms", "single", "p99_ms", NUMBER, added),
    ]


if __name__ == "__main__":
    chosen = command.options(__doc__, rounds=(3, "rounds"), jobs=(10_000, "of one drain"))
    command.measure("redis", main, chosen)
