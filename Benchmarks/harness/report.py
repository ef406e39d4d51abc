"""Tables of what was measured, and their place in the documentation."""

import dataclasses
import json
import pathlib
import statistics

from harness import machine
from harness.machine import ROOT

DOCUMENT = ROOT / "docs/performance.md"
LIMIT = "probe"
RESULTS = ROOT / ".build/benchmarks/results"


@dataclasses.dataclass(frozen=True)
class Shape:
    """How a value is written: times `scale`, with three digits that count or with `places`, then `suffix`."""

    suffix: str = ""
    scale: float = 1.0
    places: int | None = None

    def digits(self, value):
        value *= self.scale
        if self.places is not None:
            return f"{value:.{self.places}f}"
        if abs(value) >= 1000:
            return f"{round(value, 3 - len(str(int(abs(value))))):,.0f}"
        return f"{value:.3g}"

    def text(self, values):
        """The median, and the range of several values where it shows; nothing without values."""
        if not values:
            return ""
        median, low, high = (self.digits(each) for each in (statistics.median(values), min(values), max(values)))
        return f"{median}{self.suffix}" + ("" if low == high else f" ({low} to {high})")


NUMBER = Shape()
RATE = Shape("/s")
SECONDS = Shape(" s")
MILLISECONDS = Shape(" ms")
MILLISECONDS_OF_US = Shape(" ms", 1e-3)
MICROSECONDS = Shape(" us")
MIB = Shape(" MiB", 1 / 2**20)
KIB = Shape(" KiB", 1 / 2**10)
SHARE = Shape(" %", 100, 0)
SHARE_OF_A_CORE = Shape(" %", 100, 3)
COMPARISONS = {"share": SHARE, "times": Shape(" x")}


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table. `compare` is how inferq's figure stands to the limit's: "share", "times" or nothing.

    `must` is the bound that the design sets, in the unit of `goal`, what it applies to: the figure itself or the
    comparison. `is_ceiling` says that less is better.
    """

    title: str
    measure: str
    figure: str
    shape: Shape
    compare: str = ""
    must: float | None = None
    bound: str = ""
    goal: str = "figure"
    is_ceiling: bool = True

    def verdict(self, mine, limit):
        """What stands in the last column. `mine`, `limit`: medians, None where there is none."""
        if self.must is None:
            return ""
        if self.goal == "ratio":
            return f"{self.bound}: {self._met(mine / limit)}" if limit else self.bound
        also = ", by the other too" if limit is not None and self._met(mine) != REACHED != self._met(limit) else ""
        return f"{self.bound}: {self._met(mine)}{also}"

    def _met(self, value):
        return REACHED if (value <= self.must if self.is_ceiling else value >= self.must) else MISSED


REACHED, MISSED = "reached", "**missed**"

ROWS = [
    Row("start to first answer, empty store", "start", "seconds", SECONDS, must=0.15, bound="0.15 s"),
    Row("memory, idle", "idle", "memory", MIB, must=34 * 2**20, bound="34 MiB"),
    Row("CPU, idle", "idle", "cores", SHARE_OF_A_CORE, must=0.001, bound="0.1 %"),
    Row("durable submits, 1 connection", "submits, 1 connection", "per_second", RATE, "share"),
    Row("the same, p50", "submits, 1 connection", "p50_us", MILLISECONDS_OF_US, "times", 2, "2 x", "ratio"),
    Row("durable submits, 64 connections", "submits, 64 connections", "per_second", RATE, "share", 10_000,
        "10,000/s", is_ceiling=False),
    Row("the same, p99", "submits, 64 connections", "p99_us", MILLISECONDS_OF_US, "times", 30_000, "30 ms"),
    Row("rate of submits, 256 connections against 16", "submits, 256 against 16", "ratio", NUMBER, must=0.95,
        bound="0.95", is_ceiling=False),
    Row("CPU per submit, 64 connections", "submits, 64 connections", "cpu_us", MICROSECONDS, "times", 120, "120 us"),
    Row("syncs per submit, 1 connection", "syncs, 1 connection", "per_submit", NUMBER, must=1.05, bound="1.0"),
    Row("syncs per submit, 64 connections", "syncs, 64 connections", "per_submit", NUMBER, must=0.1, bound="0.1"),
    Row("submit to final event, 0 ms model, p50", "single jobs", "p50_ms", MILLISECONDS, "times", 2, "2 x", "ratio"),
    Row("the same, p99", "single jobs", "p99_ms", MILLISECONDS, "times", 10, "10 ms"),
    Row("jobs through a 0 ms model", "drain, 0 ms", "per_second", RATE, "share", 5_000, "5,000/s", is_ceiling=False),
    Row("CPU per job, submit aside", "drain, 0 ms", "cpu_us", MICROSECONDS, "times", 250, "250 us"),
    Row("calls of the model server per job", "drain, 0 ms", "calls_per_job", NUMBER, must=1, bound="1"),
    Row("64 at a time through a 20 ms model, of ideal", "drain, 20 ms", "ideal", SHARE, "share", 0.85, "85 %",
        is_ceiling=False),
    Row("reads of one record, 64 connections", "reads, 64 connections", "per_second", RATE, "share", 18_000,
        "18,000/s", is_ceiling=False),
    Row("CPU per read", "reads, 64 connections", "cpu_us", MICROSECONDS, "times", 80, "80 us"),
    Row("opening 1,000 listeners", "streams, 1,000", "open_s", SECONDS, "times"),
    Row("memory of an idle listener", "streams, 1,000", "memory_each", KIB, must=16 * 1024, bound="16 KiB"),
    Row("CPU with 1,000 idle listeners", "streams, 1,000", "cores", SHARE_OF_A_CORE, must=0.001, bound="0.1 %"),
    Row("one event to 1,000 listeners", "streams, 1,000", "to_all_ms", MILLISECONDS, "times"),
]


def values(results, system, measure, name):
    """A figure in all rounds; empty where it was not measured."""
    return [each[name] for each in results.get(system, {}).get(measure, []) if name in each]


def table(results, mine, other):
    """Markdown: a line for each figure that was measured, the two systems and their ratio.

    Beside the probe, which marks the limit of the machine, the goals of the design stand in a last column.
    """
    heads = ["metric", other, mine, f"{mine} against {other}"] + (["goal"] if other == LIMIT else [])
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for row in ROWS:
        ours, theirs = (values(results, each, row.measure, row.figure) for each in (mine, other))
        if not ours:
            continue
        median, against = statistics.median(ours), statistics.median(theirs) if theirs else None
        compared = COMPARISONS[row.compare if other == LIMIT else "times"] if row.compare or other != LIMIT else None
        cells = [row.title, row.shape.text(theirs), row.shape.text(ours)]
        cells.append(compared.text([median / against]) if compared and against else "")
        if other == LIMIT:
            cells.append(row.verdict(median, against))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def heading(results, rounds):
    """The machine, the commit, the date, and how far the figures of this run can be trusted."""
    foreign = [cores for system, measures in results.items() for measure in measures
               for cores in values(results, system, measure, "foreign_cores")]
    said = "One round" if rounds == 1 else f"Medians of {rounds} rounds, with ranges"
    return f"{machine.heading()} {said}; other programs used {NUMBER.text(foreign) or 'an unknown number of'} cores."


def save(name, heading, results):
    """Keeps heading and figures of the newest run for a later look; what it did not measure stays as it was."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    kept = json.loads(path.read_text())["results"] if path.exists() else {}
    merged = {system: kept.get(system, {}) | measures for system, measures in results.items()}
    path.write_text(json.dumps({"heading": heading, "results": merged}, indent=1))


def load(name):
    """Heading and figures of the newest run."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise ValueError(f"{path} is not there: nothing has been measured yet")
    kept = json.loads(path.read_text())
    return kept["heading"], kept["results"]


def publish(section, heads, rows, foreign, is_recorded):
    """Prints a table of cells under the machine's name, and puts it into its section of the documentation if wanted.

    `foreign`: cores that other programs used meanwhile.
    """
    lines = ["| " + " | ".join(cells) + " |" for cells in [heads, ["---"] * len(heads), *rows]]
    text = f"{machine.heading()} Other programs used {NUMBER.text([foreign])} cores.\n\n" + "\n".join(lines)
    print(text)
    if is_recorded:
        record(section, text)


def record(section, text, document=DOCUMENT):
    """Puts `text` between the marks of a section of the document: `<!-- SECTION -->` and `<!-- end of SECTION -->`."""
    page = pathlib.Path(document)
    first, last = f"<!-- {section} -->\n", f"<!-- end of {section} -->"
    before, found, rest = page.read_text().partition(first)
    _, is_closed, after = rest.partition(last)
    if not found or not is_closed:
        raise ValueError(f"{page} has no marks {first.strip()} and {last}; put them where the table belongs")
    page.write_text(f"{before}{first}\n{text}\n\n{last}{after}")
