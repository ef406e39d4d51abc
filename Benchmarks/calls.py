#!/usr/bin/env python3
"""What a call through the gateway costs: beside the model server called directly, and a native submit that waits.

A call and a submit are each on disk before they are claimed, and again with their answers. The three take turns; medians of
the rounds. The sync of the store's disk is measured in the same run, since it is most of what a call adds.
"""

import statistics

from harness import command, disk, processes, tools
from harness.model import Model
from harness.progress import Progress
from harness.system import BODY, Gateway

# With 1 KiB of text, as a chat has it.
CALL = BODY | {"model": "m", "text": "x" * 700}


def main(options):
    systems = ["direct", "call", "native"]
    found = {(name, width): [] for name in systems for width in (1, 64)}
    syncs = []
    progress = Progress(options.rounds * 6)
    with Model() as model, Gateway(model, {"models.m.paths": ["/infer"], "sync_wait": "1h"}) as gateway:
        for round_ in range(options.rounds):
            gateway.fresh()
            syncs.append(statistics.median(disk.syncs_us(gateway.work)))
            for width in (1, 64):
                for name in systems:
                    progress.step(f"{name}, {width} connections, round {round_ + 1} of {options.rounds}")
                    port, path = {
                        "direct": (model.port, "/infer"),
                        "call": (gateway.port, "/infer"),
                        "native": (gateway.port, "/v1/inference"),
                    }[name]
                    processes.wait_for_quiet(5.0)
                    with processes.Window(gateway.pids) as used:
                        result = tools.wrk(port, width, options.seconds, "POST", path, CALL)
                    result["cpu_us"] = used.cpu / result["requests"] * 1e6
                    found[name, width].append(result)
    progress.end()

    def median(name, width, figure):
        return statistics.median(each[figure] for each in found[name, width])

    def row(title, width, figure):
        return [title, *(f"{median(name, width, figure):,.0f}" for name in systems)]

    added = median("call", 1, "p50_us") - median("direct", 1, "p50_us")
    sync = statistics.median(syncs)
    share = median("call", 64, "per_second") / median("native", 64, "per_second")
    heads = ["", "model server alone", "call", "native submit that waits"]
    return heads, [
        row("1 connection: p50, us", 1, "p50_us"),
        row("1 connection: p99, us", 1, "p99_us"),
        row("64 connections: per second", 64, "per_second"),
        row("64 connections: CPU of the gateway for each, us", 64, "cpu_us"),
        ["one sync, p50, us", "", f"{sync:,.0f}", ""],
        ["a call adds, p50, us", "", f"{added:,.0f}", f"3 syncs and {added - 3 * sync:,.0f}"],
        ["calls against native submits, 64 connections", "", f"{share:.2f}", ""],
    ]


if __name__ == "__main__":
    chosen = command.options(__doc__, rounds=(3, "rounds"), seconds=(3, "of load for each figure"))
    command.measure("calls", main, chosen)
