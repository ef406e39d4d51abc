#!/usr/bin/env python3
"""Where the gateway's CPU goes on each hot path: shares by part, and the functions that take most, by `perf record`.

The samples are of the CPU clock, which every machine has. A share is of the gateway's own samples: what it waited is
not in them.
"""

import argparse
import collections
import contextlib
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from harness import command, report, tools
from harness.measures import drain, reads, submits
from harness.model import Model
from harness.progress import Progress
from harness.streamer import streaming
from harness.system import inferq
from listeners import talking

# The first that matches a sample's module or function; what matches nothing is "other".
PARTS = [
    ("the kernel: network", r"tcp|sock|skb|inet|ip_|net|epoll|eventfd|writev|readv|sendmsg|recv"),
    ("the kernel: files", r"ext4|jbd2|blk|fdatasync|fsync|vfs_|filemap|folio|pwrite|pread|submit_bio"),
    ("the kernel: the rest", r""),
    ("SQLite", r"sqlite3"),
    ("memory and reference counts", r"swift_(retain|release|alloc|dealloc|bridge|once|beginAccess|unknownObject)|swift.*"
                                    r"(RefCount|[rR]etain|[rR]elease)| (malloc|cfree|free|calloc|realloc|_int_|__mem|__libc_(m|c|re)alloc)|unlink_chunk"),
    ("tasks", r"swift_task|swift_job|swift_continuation|AsyncTask|swift_async|swift_asyncLet"),
    ("GRDB", r"\$s4GRDB"),
    ("NIO", r"\$s\d+NIO|c_nio|llhttp"),
    ("swift-http-types", r"\$s9HTTPTypes"),
    ("InferqCore", r"\$s10InferqCore"),
    ("InferqHTTP", r"\$s10InferqHTTP"),
]
JOBS = 40_000


@contextlib.contextmanager
def recorded(gateway, folder):
    """Samples of the gateway while the body runs."""
    words = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "-o", folder / "data", "-p", str(gateway.process.pid)]
    perf = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        perf.send_signal(signal.SIGINT)
        perf.wait(30)


def samples(folder):
    """How many samples each (module, function) has."""
    words = ["perf", "script", "--no-demangle", "-i", folder / "data", "-F", "ip,sym,dso"]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^\s*[0-9a-f]+ (.+) \((.*)\)$", printed, re.MULTILINE)
    return collections.Counter((module, re.sub(r"\+0x[0-9a-f]+$", "", function)) for function, module in found)


def part(module, function):
    is_kernel = module.startswith("[")      # and its modules, as [ext4]
    for name, pattern in PARTS:
        if name.startswith("the kernel") != is_kernel:
            continue
        if re.search(pattern, function if is_kernel else f"{module} {function}"):
            return name
    return "other"


def submitting(options):
    with Model() as model, inferq(model) as gateway:
        gateway.fresh()
        yield gateway, lambda: submits(64)(gateway, options)


def draining(options):
    with Model() as model, inferq(model) as gateway:
        gateway.fresh()
        yield gateway, lambda: drain(JOBS, 0)(gateway, options)


def reading(options):
    with Model() as model, inferq(model) as gateway:
        gateway.fresh()
        yield gateway, lambda: reads(64)(gateway, options)


def listening(options):
    """1,000 listeners of one job with 20 events a second."""
    with talking() as (gateway, talker, event_id, path):
        def run():
            with tools.Listeners(gateway.port, 1_000, [path]) as listeners:
                talker.report(gateway.port, event_id, 20, options.seconds)
                talker.answer()
                listeners.said("ended")

        yield gateway, run


def piecing(options):
    """64 streams with 100 frames a second, each read by its caller."""
    with streaming() as (streamer, gateway):
        yield gateway, lambda: streamer.run(gateway, clients=64, frames=100 * options.seconds, rate=100)


PATHS = {
    "submit": submitting, "claim to outcome": draining, "event to 1,000 listeners": listening, "record read": reading,
    "frames of 64 streams": piecing,
}


def profile(path, options):
    """Shares by part, and by function, of one path."""
    with tempfile.TemporaryDirectory() as name, contextlib.contextmanager(path)(options) as (gateway, run):
        folder = pathlib.Path(name)
        # The measures would start it again.
        gateway.fresh = lambda: None
        with recorded(gateway, folder):
            run()
        counted = samples(folder)
    total = sum(counted.values())
    if total < 100:
        raise tools.ToolError(f"perf has {total} samples only: is it allowed to look at other processes?")
    by_part = collections.Counter()
    for (module, function), count in counted.items():
        by_part[part(module, function)] += count / total
    return by_part, [(function, count / total) for (_, function), count in counted.most_common(options.top)]


def main(options):
    if shutil.which("perf") is None:
        raise tools.ToolError("perf is not installed: apt-get install linux-perf")
    paths = {title: path for title, path in PATHS.items() if not options.only or title.startswith(tuple(options.only))}
    progress, shares = Progress(len(paths)), {}
    for title, path in paths.items():
        progress.step(title)
        shares[title], functions = profile(path, options)
        for function, share in functions:
            progress.note(f"{share:5.1%} {demangled(function)[:160]}")
    progress.end()
    names = [name for name, _ in PARTS] + ["other"]
    rows = [[name, *(report.SHARE.text([shares[title][name]]) for title in paths)] for name in names]
    return ["CPU of", *paths], rows


def demangled(function):
    if shutil.which("swift") is None or not function.startswith("$s"):
        return function
    words = ["swift", "demangle", "--simplified", "--compact", function]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip() or function


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=5, help="of load for each path (5)")
    parser.add_argument("--top", type=int, default=12, help="functions to name for each path (12)")
    parser.add_argument("--only", action="append", metavar="NAME", help="paths whose name begins so")
    parser.add_argument("--record", action="store_true", help="write the table into docs/performance.md")
    parser.set_defaults(quiet=2.0, limit=120.0)
    options = parser.parse_args()
    if options.record and options.only:
        parser.error("--record writes the whole table; leave out --only")
    return options


if __name__ == "__main__":
    command.measure("profile", main, parse())
