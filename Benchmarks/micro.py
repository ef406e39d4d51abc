#!/usr/bin/env python3
"""Instructions of the parts that matter, counted by valgrind, against the limits in instructions.json.

A count says nothing about time, but it is the same on a machine that is busy with something else, so a change of the
code shows where a change of the neighbours does not. `--set` writes the counts of this run as the new limits.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from harness import report, tools
from harness.machine import ROOT
from harness.progress import Progress
from harness.report import NUMBER

PROGRAM = ROOT / ".build/release/MicroCount"
LIMITS = ROOT / "Benchmarks/instructions.json"
# How far a count may lie above its limit: those of one thread repeat to 0.1 %, and where several threads meet, rounds
# of the store have more or fewer members each time.
TOLERANCE = 1.10


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
    limits = json.loads(LIMITS.read_text()) if LIMITS.exists() else {}
    chosen = [(name, times) for name, times in cases() if not options.only or options.only in name]
    progress, rows, counts = Progress(len(chosen)), [], {}
    parent = os.environ.get("INFERQ_BENCH_DIR", "/var/tmp")
    with tempfile.TemporaryDirectory(prefix="inferq-micro-", dir=parent) as name:
        folder = pathlib.Path(name)
        # Debian 12's valgrind stumbles over the debugging information that Swift's compiler writes.
        subprocess.run(["strip", "--strip-debug", "-o", folder / "MicroCount", PROGRAM], check=True)
        for name, times in chosen:
            progress.step(name)
            counts[name] = round(each(name, times, folder))
            limit = limits.get(name)
            ratio = counts[name] / limit if limit else None
            verdict = "" if ratio is None else report.REACHED if ratio <= TOLERANCE else report.MISSED
            rows.append([name, f"{counts[name]:,}", f"{limit:,}" if limit else "", NUMBER.text([ratio] if ratio else []), verdict])
    progress.end()
    lines = [["part", "instructions each time", "limit", "of the limit", ""], ["---"] * 5, *rows]
    print("\n".join("| " + " | ".join(cells) + " |" for cells in lines))
    if options.set:
        LIMITS.write_text(json.dumps(limits | counts, indent=2) + "\n")
        return 0
    return 1 if any(row[-1] == report.MISSED for row in rows) else 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", help="cases whose name holds this")
    parser.add_argument("--set", action="store_true", help="make the counts the new limits")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main(parse()))
    except (tools.ToolError, ValueError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"{sys.argv[0]}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
