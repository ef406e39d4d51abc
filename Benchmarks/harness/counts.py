"""Counts of instructions and the like, against the limits in counts.json."""

import argparse
import json
import subprocess
import sys

from harness import report, tools
from harness.machine import ROOT
from harness.report import NUMBER

LIMITS = ROOT / "Benchmarks/counts.json"
# How far a count may lie above its limit: those of one thread repeat to 0.1 %, and where several threads meet, rounds
# of the store have more or fewer members each time.
TOLERANCE = 1.10


def parser(description):
    """The options that both scripts have."""
    found = argparse.ArgumentParser(description=description.split("\n")[0])
    found.add_argument("--only", help="cases whose name holds this")
    found.add_argument("--set", action="store_true", help="make the counts the new limits")
    return found


def strip(program, target):
    """Copies a program for valgrind: Debian 12's stumbles over the debugging information of Swift's compiler."""
    subprocess.run(["strip", "--strip-debug", "-o", target, program], check=True)


def figure(count):
    """With three decimals at most, and thousands apart."""
    return f"{count:,}" if isinstance(count, int) else f"{count:,.3f}".rstrip("0").rstrip(".")


def judge(title, counts, options):
    """Prints each count beside its limit, or writes them down as the limits; the exit code."""
    limits = json.loads(LIMITS.read_text()) if LIMITS.exists() else {}
    rows = []
    for name, count in counts.items():
        limit = limits.get(name)
        ratio = count / limit if limit else None
        verdict = "" if ratio is None else report.REACHED if ratio <= TOLERANCE else report.MISSED
        rows.append([name, figure(count), figure(limit) if limit else "", NUMBER.text([ratio] if ratio else []), verdict])
    lines = [[title, "each time", "limit", "of the limit", ""], ["---"] * 5, *rows]
    print("\n".join("| " + " | ".join(cells) + " |" for cells in lines))
    if options.set:
        LIMITS.write_text(json.dumps(limits | counts, indent=2) + "\n")
        return 0
    return 1 if any(row[-1] == report.MISSED for row in rows) else 0


def run(main, options):
    """Ends the process with what `main` returns, or with one sentence of what failed."""
    try:
        sys.exit(main(options))
    except (tools.ToolError, ValueError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"{sys.argv[0]}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
