"""What the disk of the stores does: the time of a sync, and what a process has written."""

import os
import pathlib
import resource
import time

from harness import tools

SYNCS = 2000
IN_MEMORY = {"tmpfs", "ramfs", "overlay"}


def syncs_us(folder):
    """The times of fdatasync after 4 KiB were appended, in microseconds, sorted."""
    path = pathlib.Path(folder) / "inferq-bench-sync"
    taken = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(SYNCS):
            os.write(descriptor, bytes(4096))
            began = time.monotonic()
            os.fdatasync(descriptor)
            taken.append((time.monotonic() - began) * 1e6)
    finally:
        os.close(descriptor)
        path.unlink()
    return sorted(taken)


def kind(folder):
    """The type of the file system that holds a folder, as `ext4`."""
    folder = pathlib.Path(folder).resolve()
    mounts = [line.split()[1:3] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    # Of two on one place, the last hides the other.
    return max((len(place), number, name) for number, (place, name) in enumerate(mounts)
               if folder.is_relative_to(place))[2]


def must_be_real(folder):
    """Refuses a folder in memory, where syncs cost nothing and nothing is written."""
    if (name := kind(folder)) in IN_MEMORY:
        raise tools.ToolError(f"{folder} is on {name}: name a folder on a disk in INFERQ_BENCH_DIR")


def written(pid):
    """Bytes that a process has had written to a disk: the pages that it made dirty."""
    lines = pathlib.Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def written_by_ended():
    """The same of all children that have ended, together."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock * 512
