#!/usr/bin/env python3
"""What one job after another writes to the disk: the pages of each of its commits, and bytes, for pages of several sizes.

The pages are read from the write-ahead log, frame by frame; whose they are, SQLite's own `dbstat` says of a copy. Others have
ended before the jobs that are looked at, so that tables and indexes have the shapes that they keep. The bytes are
`write_bytes` of `/proc`, which counts pages of 4 KiB that were made dirty; checkpoints are among them.
"""

import collections
import contextlib
import shutil
import sqlite3
import statistics
import tempfile
import time

from harness import command, disk, tools
from harness.log import commits
from harness.model import Client, Model
from harness.progress import Progress
from harness.system import Gateway

# What a job commits when nothing goes wrong, in this order.
COMMITS = ("submit", "claim", "outcome")
SIZES = {"4 KiB": {"store.page_size": "4KiB"}, "2 KiB": {}, "1 KiB (flash)": {"store.profile": "flash"}}


def owners(database):
    """Whose page each one is, as `job` or `job_due`; those of the pointer map are no one's."""
    with tempfile.TemporaryDirectory(dir=database.parent) as name:
        for suffix in ("", "-wal"):
            shutil.copy(f"{database}{suffix}", f"{name}/copy{suffix}")
        with contextlib.closing(sqlite3.connect(f"{name}/copy")) as connection:
            found = dict(connection.execute("SELECT pageno, name FROM dbstat"))
    return found | {1: "the header"}


def one_after_another(gateway, count):
    client = Client(gateway.port)
    for _ in range(count):
        gateway.wait_ended(client, gateway.submit(client)["id"])
    client.close()


def measured(gateway, options, step):
    """Pages of each commit by their owners, pages of each commit, and bytes of a job."""
    gateway.fresh()
    step(f"{options.before:,} jobs that end before")
    filled = tools.fill(gateway.port, options.before, gateway.dialect.submit, gateway.dialect.body)
    if filled["refused"]:
        raise tools.ToolError(f"{filled['refused']} submits were refused")
    client = Client(gateway.port)
    while any(each["pending"] or each["running"] for each in client.json("GET", "/v1/models")["results"]):
        time.sleep(0.05)
    client.close()
    # The log is empty then, and has room for all that is looked at.
    gateway.stop()
    gateway.start()
    step(f"{options.jobs:,} jobs, one after another")
    one_after_another(gateway, options.jobs)
    found = commits(gateway.database.with_name("inferq.db-wal"))[-3 * options.jobs:]
    if len(found) < 3 * options.jobs:
        raise tools.ToolError(f"the log has {len(found)} commits, and {3 * options.jobs} were to be in it")
    whose = owners(gateway.database)
    counted = collections.defaultdict(lambda: [0.0, 0.0, 0.0])
    for number, pages in enumerate(found):
        for page in pages:
            counted[whose.get(page, "the pointer map")][number % 3] += 1 / options.jobs
    step(f"{options.long:,} jobs, with checkpoints")
    begun = disk.written(gateway.process.pid)
    one_after_another(gateway, options.long)
    written = (disk.written(gateway.process.pid) - begun) / options.long
    return counted, [statistics.fmean(map(len, found[number::3])) for number in range(3)], written


def main(options):
    progress = Progress(3 * len(SIZES))
    results = {}
    for size, settings in SIZES.items():
        with Model() as model, Gateway(model, settings) as gateway:
            results[size] = measured(gateway, options, lambda what: progress.step(f"pages of {size}: {what}"))
    progress.end()
    columns = [(size, number) for size in SIZES for number in range(3)]
    names = collections.Counter()
    for counted, _, _ in results.values():
        names.update({name: sum(counts) for name, counts in counted.items()})
    rows = [
        [name, *(f"{results[size][0][name][number]:.2f}" if results[size][0][name][number] else "" for size, number in columns)]
        for name, _ in names.most_common()
    ]
    rows.append(["pages", *(f"{results[size][1][number]:.1f}" for size, number in columns)])
    rows.append(["KiB of a job", *(f"{results[size][2] / 1024:.1f}" if number == 2 else "" for size, number in columns)])
    return ["", *(f"{size}: {COMMITS[number]}" for size, number in columns)], rows


if __name__ == "__main__":
    command.measure("pages", main, command.options(
        __doc__, jobs=(100, "jobs whose commits are looked at"), before=(20_000, "jobs that have ended before"),
        long=(3_000, "jobs over which bytes are counted")))
