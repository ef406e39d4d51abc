"""Waiting for a condition, never for a length of time."""

import time


def until(condition, what, timeout=10.0, every=0.01):
    """Returns the first true value of `condition()`; fails, naming `what`, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(every)
