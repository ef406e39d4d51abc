#!/usr/bin/env python3
"""What answers cost that come piece by piece: time to the first byte, delay and CPU of each piece, bytes on disk, memory.

Frames have 230 bytes, as llama.cpp's. Each is on disk before its reader gets it. All parts take turns; medians of the
rounds. The sync of the store's disk is measured in the same rounds, since most goals are told in syncs.
"""

import collections
import statistics
import time

from harness import command, disk, processes
from harness.progress import Progress
from harness.report import MIB, MICROSECONDS, MILLISECONDS, MILLISECONDS_OF_US, MISSED, NUMBER, REACHED, Shape
from harness.streamer import FRAME, streaming
from listeners import delivering

# Streams of three frames, one after another.
LONE = 200
FLUSH_MS = 25
WIDTHS, FLUSHES_MS = (1, 16, 64), (0, 25, 250)
RATE = 100
LISTENERS = 1_000
LARGE, LARGE_EACH = 64 << 20, 1 << 20
TIMES = Shape(" x")
PIECES, COMMITS = "inferq_stream_pieces_total", "inferq_store_commit_duration_seconds_count"


def first_byte(found, options):
    """Time to the first byte, one stream after another."""
    with streaming() as (streamer, gateway):
        times = disk.syncs_us(gateway.work)
        found["sync p50"].append(statistics.median(times))
        found["sync p99"].append(times[len(times) * 99 // 100])
        for name, through in [("first alone", None), ("first", gateway)]:
            processes.wait_for_quiet(options.quiet)
            commits = gateway.metric(COMMITS)
            said = streamer.run(through, count=LONE, frames=3, rate=RATE)
            found[f"{name} commits"].append((gateway.metric(COMMITS) - commits) / LONE)
            found[name].append(said["first_p50_us"])
            found[f"{name} p99"].append(said["first_p99_us"])
        processes.wait_for_quiet(options.quiet)
        said = streamer.run(gateway, frames=50 * options.seconds, rate=50)
        found["lone p50"].append(said["frame_p50_us"])
        found["lone p99"].append(said["frame_p99_us"])


def many(found, options):
    """64 streams of 100 frames a second, spread and in step."""
    for name, is_in_step in [("spread", False), ("step", True)]:
        with streaming() as (streamer, gateway):
            processes.wait_for_quiet(options.quiet)
            cost, said = measured(streamer, gateway, 64, options.seconds, is_in_step)
            for figure, value in cost.items():
                found[f"{name} {figure}"].append(value)
            found[f"{name} first"].append(said["first_p99_us"])


def measured(streamer, gateway, width, seconds, is_in_step=False):
    """What streams cost that run side by side for some seconds, and what the tool said."""
    before = [gateway.metric(name) for name in (PIECES, COMMITS)]
    used, began = processes.run_seconds(gateway.pids()), time.monotonic()
    said = streamer.run(gateway, clients=width, frames=RATE * seconds, rate=RATE, is_in_step=is_in_step)
    used, took = processes.run_seconds(gateway.pids()) - used, time.monotonic() - began
    pieces, commits = (gateway.metric(name) - was for name, was in zip((PIECES, COMMITS), before, strict=True))
    return {
        "frame us": used / said["frames"] * 1e6,
        "piece us": used / pieces * 1e6,
        "cores": used / took,
        "frames a piece": said["frames"] / pieces,
        "pieces a commit": pieces / commits,
        "p50": said["frame_p50_us"],
        "p99": said["frame_p99_us"],
    }, said


def deliveries(found, options):
    """One event to one of 1,000 listeners."""
    processes.wait_for_quiet(options.quiet)
    found["delivery us"].append(delivering(LISTENERS, options.seconds)[1] * 1e6)


def memory(found, options):
    """A stream of 64 MiB, and 64 of 1 MiB, as fast as they go."""
    for name, width, size in [("large", 1, LARGE), ("small", 64, LARGE_EACH)]:
        with streaming() as (streamer, gateway):
            processes.wait_for_quiet(options.quiet)
            pid = gateway.process.pid
            idle = processes.resident(pid)
            processes.forget_peak(pid)
            said = streamer.run(gateway, clients=width, frames=size // FRAME)
            found[f"{name} memory"].append(processes.peak(pid) - idle)
            found[f"{name} rate"].append(said["bytes"] / said["seconds"])


def rows(found):
    """Those of the table: title, figure, goal."""

    def median(name):
        return statistics.median(found[name])

    def verdict(value, must, text):
        return f"{text}: {REACHED if value <= must else MISSED}"

    def ratio(name):
        return [each / other for each, other in zip(found[name], found["delivery us"], strict=True)]

    sync = median("sync p50")
    added = [through - alone for through, alone in zip(found["first"], found["first alone"], strict=True)]
    first = 3 * sync + 1_500
    lone = FLUSH_MS * 1_000 + 2 * median("sync p99") + 5_000
    of_us = MILLISECONDS_OF_US
    yield "one sync, p50", of_us.text(found["sync p50"]), ""
    yield "one sync, p99", of_us.text(found["sync p99"]), ""
    yield "first byte, the model server alone, p50", of_us.text(found["first alone"]), ""
    yield "first byte, p50", of_us.text(found["first"]), ""
    yield "first byte, p99", of_us.text(found["first p99"]), ""
    yield ("first byte, added, p50", of_us.text(added),
           verdict(statistics.median(added), first, f"3 syncs + 1.5 ms = {of_us.text([first])}"))
    yield "commits of a stream of three frames", NUMBER.text(found["first commits"]), ""
    yield "a frame at 50/s, from write to read, p50", of_us.text(found["lone p50"]), ""
    yield ("a frame at 50/s, from write to read, p99", of_us.text(found["lone p99"]),
           verdict(median("lone p99"), lone, f"flush + 2 syncs (p99) + 5 ms = {of_us.text([lone])}"))
    yield "one event to one of 1,000 listeners: CPU", MICROSECONDS.text(found["delivery us"]), ""
    for name, title in [("spread", "64 streams of 100/s"), ("step", "64 streams of 100/s, in step")]:
        yield f"{title}: frames in a piece", NUMBER.text(found[f"{name} frames a piece"]), ""
        yield f"{title}: pieces in a commit", NUMBER.text(found[f"{name} pieces a commit"]), ""
        yield f"{title}: cores", NUMBER.text(found[f"{name} cores"]), ""
        yield f"{title}: CPU of a piece", MICROSECONDS.text(found[f"{name} piece us"]), ""
        yield (f"{title}: CPU of a piece, against an event", TIMES.text(ratio(f"{name} piece us")),
               verdict(statistics.median(ratio(f"{name} piece us")), 4, "4 x"))
        yield f"{title}: CPU of a frame", MICROSECONDS.text(found[f"{name} frame us"]), ""
        yield (f"{title}: CPU of a frame, against an event", TIMES.text(ratio(f"{name} frame us")),
               verdict(statistics.median(ratio(f"{name} frame us")), 4, "4 x"))
        yield f"{title}: a frame, from write to read, p50", of_us.text(found[f"{name} p50"]), ""
        yield f"{title}: a frame, from write to read, p99", of_us.text(found[f"{name} p99"]), ""
        yield f"{title}: first byte of all at once, p99", of_us.text(found[f"{name} first"]), ""
    for name, title, must in [("large", "a stream of 64 MiB", 8), ("small", "64 streams of 1 MiB", 32)]:
        yield (f"{title}: memory", MIB.text(found[f"{name} memory"]),
               verdict(median(f"{name} memory"), must << 20, f"{must} MiB"))
        yield f"{title}: bytes a second", MIB.text(found[f"{name} rate"]), ""


def costs(options):
    parts = [first_byte, many, deliveries, memory]
    found, progress = collections.defaultdict(list), Progress(options.rounds * len(parts))
    for round_ in range(options.rounds):
        for part in parts:
            progress.step(f"{part.__doc__} Round {round_ + 1} of {options.rounds}")
            part(found, options)
    progress.end()
    return ["streams", "inferq", "goal"], [list(row) for row in rows(found)]


def storage(options):
    """Bytes written and CPU, by the number of streams and by `stream.flush`."""
    cells = [(width, flush) for width in WIDTHS for flush in FLUSHES_MS]
    found = {cell: collections.defaultdict(list) for cell in cells}
    progress = Progress(options.rounds * len(cells))
    for round_ in range(options.rounds):
        for width, flush in cells:
            progress.step(f"{width} streams, flush of {flush} ms, round {round_ + 1} of {options.rounds}")
            with streaming(stream__flush=f"{flush}ms") as (streamer, gateway):
                disk.must_be_real(gateway.work)
                # What was written before is in the database then, and not part of the checkpoint at the end.
                gateway.stop()
                gateway.start()
                processes.wait_for_quiet(options.quiet)
                before = disk.written(gateway.process.pid) + disk.written_by_ended()
                cost, said = measured(streamer, gateway, width, options.seconds)
                gateway.stop()
                cost["written"] = (disk.written_by_ended() - before) / said["bytes"]
            for figure, value in cost.items():
                found[width, flush][figure].append(value)
    progress.end()
    shapes = {
        "written": TIMES, "frames a piece": NUMBER, "pieces a commit": NUMBER, "piece us": MICROSECONDS,
        "frame us": MICROSECONDS, "p99": MILLISECONDS_OF_US,
    }
    heads = [
        "streams", "flush", "written against streamed", "frames in a piece", "pieces in a commit", "CPU of a piece",
        "CPU of a frame", "from write to read, p99",
    ]
    return heads, [
        [f"{width}", MILLISECONDS.text([flush]),
         *(shape.text(found[width, flush][figure]) for figure, shape in shapes.items())]
        for width, flush in cells
    ]


if __name__ == "__main__":
    chosen = command.options(
        __doc__,
        rounds=(3, "rounds"),
        seconds=(10, "of frames for each figure"),
        quiet=(3.0, "seconds to wait, at most, for a quiet machine"),
    )
    command.measure("streams", costs, chosen)
    command.measure("stream storage", storage, chosen)
