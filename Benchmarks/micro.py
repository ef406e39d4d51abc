#!/usr/bin/env python3
"""Instructions of the parts that matter, counted by valgrind, against the limits in counts.json.

A count says nothing about time, but it is the same on a machine that is busy with something else, so a change of the
code shows where a change of the neighbours does not. `--set` writes the counts of this run as the new limits.
"""

import os
import pathlib
import re
import subprocess
import tempfile

from harness import counts, tools
from harness.machine import ROOT
from harness.progress import Progress

PROGRAM = ROOT / ".build/release/MicroCount"


def counted(name, times, folder):
    """Instructions of a process that does one case so many times."""
    # Prepared without the tool: it is fifty times slower with it.
    run(name, 0, folder)
    printed = run(name, times, folder, ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-fd=1"])
    found = re.search(r"Collected : (\d+)", printed)
    if not found:
        raise tools.ToolError(f"valgrind counted nothing: {printed[-500:]}")
    return int(found[1])


def run(name, times, folder, launcher=()):
    command = [*launcher, folder / "MicroCount", name, "--times", str(times), "--folder", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode:
        raise tools.ToolError(f"{name}: {(done.stderr or done.stdout)[-500:]}")
    return done.stdout


def cases():
    """Name and number of times of each case."""
    for line in subprocess.run([PROGRAM], capture_output=True, text=True, check=True).stdout.splitlines():
        times, _, name = line.partition("\t")
        yield name, int(times)


def each(name, times, folder):
    """Instructions of one time: what twice as many take more, so that the start of the process falls out."""
    return (counted(name, 2 * times, folder) - counted(name, times, folder)) / times


def main(options):
    if not PROGRAM.exists():
        raise tools.ToolError(f"{PROGRAM} is not there: `make bench-micro` builds it")
    chosen = [(name, times) for name, times in cases() if not options.only or options.only in name]
    progress, found = Progress(len(chosen)), {}
    parent = os.environ.get("INFERQ_BENCH_DIR", "/var/tmp")
    with tempfile.TemporaryDirectory(prefix="inferq-micro-", dir=parent) as name:
        folder = pathlib.Path(name)
        counts.strip(PROGRAM, folder / "MicroCount")
        for name, times in chosen:
            progress.step(name)
            found[name] = round(each(name, times, folder))
    progress.end()
    return counts.judge("part, instructions", found, options)


if __name__ == "__main__":
    counts.run(main, counts.parser(__doc__).parse_args())
