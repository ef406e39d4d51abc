#!/usr/bin/env python3
"""Measures the built gateway and the limit of the machine in turn, and prints them side by side.

Rounds go over all systems, so that what else the machine does meets them alike: only ratios within one run count.
The figures of every round are kept in .build/benchmarks/results.
"""

import argparse

from harness import command, report, tools
from harness.measures import MEASURES, add_width
from harness.model import Model
from harness.progress import Progress
from harness.system import SYSTEMS


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--against", choices=["probe", "reference"], default="probe", help="the other system")
    parser.add_argument("--only", action="append", metavar="NAME", help="measures whose name begins so")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of load for each figure")
    parser.add_argument("--quiet", type=float, default=5.0, help="seconds to wait, at most, for a quiet machine")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds after which a backlog counts as stuck")
    parser.add_argument("--last", action="store_true", help="measure nothing; print the newest run again")
    parser.add_argument("--record", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    if options.record and options.only:
        parser.error("--record writes the whole table; leave out --only")
    return options


def chosen(prefixes):
    names = [name for name in MEASURES if not prefixes or any(name.startswith(each) for each in prefixes)]
    if not names:
        raise tools.ToolError(f"no measure begins with {' or '.join(prefixes)}; there are: {'; '.join(MEASURES)}")
    return names


def run(options):
    """Figures by system and measure, a list with an element for each round."""
    names = chosen(options.only)
    results = {name: {measure: [] for measure in names} for name in (options.against, "inferq")}
    progress = Progress(options.rounds * len(names) * 2)
    with Model() as model:
        for round_ in range(options.rounds):
            for system in results:
                with SYSTEMS[system](model) as measured:
                    for measure in names:
                        progress.step(f"{system}: {measure}, round {round_ + 1} of {options.rounds}")
                        results[system][measure].append(MEASURES[measure](measured, options))
    progress.end()
    for figures in results.values():
        add_width(figures)
    return results


def main():
    options = arguments()
    if not options.last:
        measured = run(options)
        report.save(options.against, report.heading(measured, options.rounds), measured)
    heading, results = report.load(options.against)
    text = f"{heading}\n\n{report.table(results, 'inferq', options.against)}"
    print(text)
    if options.record:
        report.record("figures" if options.against == "probe" else "reference", text)


if __name__ == "__main__":
    command.run(main)
