"""Waiting for a condition, never for a length of time; and lengths of time that are fair on a machine with other work."""

import collections
import os
import threading
import time


class Machine:
    """How much slower than alone a process runs here, measured all the time, beside what the tests measure.

    1 means that anyone who can run does. It is 5 where ten want the two processors that there are, and where a thread that
    asked for 50 ms of sleep wakes after 250 ms, because others of this process do not let it run.
    """

    EVERY = 0.05

    def __init__(self):
        self._processors = len(os.sched_getaffinity(0))
        self._samples = collections.deque(maxlen=round(1200 / self.EVERY))
        self._sample(0.0)
        threading.Thread(target=self._run, daemon=True).start()

    def _sample(self, late):
        with open("/proc/loadavg") as file:
            running = int(file.read().split()[3].partition("/")[0])
        self._samples.append((time.monotonic(), running / self._processors, 1 + late / self.EVERY))

    def _run(self):
        while True:
            asked = time.monotonic()
            time.sleep(self.EVERY)
            self._sample(max(0.0, time.monotonic() - asked - self.EVERY))

    def slowness(self, since):
        """The mean since then, on the monotonic clock; at least 1."""
        samples = list(self._samples)
        found = [sample for sample in samples if sample[0] >= since] or samples[-1:]
        return max(1.0, *(sum(sample[column] for sample in found) / len(found) for column in (1, 2)))


_machine = Machine()


def fair(seconds, since):
    """What so many seconds for the gateway come to on this machine, as busy as it was since then."""
    return seconds * _machine.slowness(since)


def until(condition, what, timeout=10.0, every=0.01):
    """Returns the first true value of `condition()`; fails, naming `what`, after `timeout` fair seconds."""
    begun = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        passed = time.monotonic() - begun
        assert passed < timeout or passed < fair(timeout, begun), f"not within {passed:.1f} s: {what}"
        time.sleep(every)


def p99(taken):
    """What all but a hundredth of some lengths of time stay below."""
    ordered = sorted(taken)
    return ordered[int(0.99 * len(ordered))] if ordered else 0.0


def as_quick_as(usual, taken, slowness):
    """What is wrong with lengths of time, in words, beside those of the same run without trouble; empty: nothing.

    A quarter of a second is quick for a submit; one that waits for something that is away takes a second and more.
    """
    limit = max(0.25 * slowness, 4 * p99(usual))
    found = p99(taken)
    if found <= limit:
        return ""
    return f"1 % took {found * 1000:.0f} ms and more, and {p99(usual) * 1000:.0f} ms without trouble"
