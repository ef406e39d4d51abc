"""What processes use: CPU, memory and descriptors, read from /proc."""

import os
import pathlib
import re
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


def _fields(pid):
    """Fields of /proc/PID/stat from the third on: the second, the name, may hold blanks. None if it has gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def family(pid):
    """The process and all its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _fields(entry)):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def cpu_seconds(pids):
    """User and system time of these processes and of the children that they waited for."""
    return sum(sum(map(int, fields[11:15])) for pid in pids if (fields := _fields(pid))) / TICKS_PER_SECOND


def run_seconds(pids):
    """CPU time of these processes to the nanosecond, for what costs next to nothing."""
    # The clock of a process, as clock_getcpuclockid(3) makes it of a pid.
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def memory(pids):
    """Proportional set size in bytes: pages that processes share count once."""
    return _sum_of("smaps_rollup", r"^Pss:\s+(\d+) kB", pids)


def resident(pid):
    """Resident set size in bytes."""
    return _sum_of("status", r"^VmRSS:\s+(\d+) kB", [pid])


def forget_peak(pid):
    """Lets the peak of the resident set begin again."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak(pid):
    """The most that the resident set has had, in bytes."""
    return _sum_of("status", r"^VmHWM:\s+(\d+) kB", [pid])


def private(pid):
    """Memory in bytes that no file backs: what a process has for itself."""
    return _sum_of("status", r"^RssAnon:\s+(\d+) kB", [pid])


def descriptors(pid):
    """Descriptors that the process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def _sum_of(name, pattern, pids):
    total = 0
    for pid in pids:
        try:
            found = re.search(pattern, pathlib.Path(f"/proc/{pid}/{name}").read_text(), re.MULTILINE)
        except OSError:
            continue  # it has just ended
        total += int(found[1]) * 1024 if found else 0
    return total


def busy_seconds():
    """CPU time of the whole machine since its start, without idle time and waits for disks."""
    fields = list(map(int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / TICKS_PER_SECOND


def wait_for_quiet(limit=15.0, cores=0.25):
    """Waits, `limit` seconds at most, until the machine uses less than that many cores."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        before = busy_seconds()
        time.sleep(0.4)
        if (busy_seconds() - before) / 0.4 < cores:
            return


class Window:
    """CPU during one measurement: `cpu` of the measured system in seconds, `foreign` of other programs in cores.

    `pids` is asked anew at each end, since a system may start processes.
    """

    def __init__(self, pids):
        self._pids = pids

    def __enter__(self):
        self._before = self._now()
        return self

    def __exit__(self, *_):
        cpu, ours, busy, at = (after - before for after, before in zip(self._now(), self._before, strict=True))
        self.seconds, self.cpu = at, cpu
        self.foreign = max(0.0, (busy - ours) / at)

    def _now(self):
        # The measured system and the load generators are all descendants of this process.
        return cpu_seconds(self._pids()), cpu_seconds(family(os.getpid())), busy_seconds(), time.monotonic()
