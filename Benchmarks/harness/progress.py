"""Says what goes on: one line that is overwritten on a terminal, plain lines in a pipe."""

import os
import sys
import time


class Progress:
    """Steps of a long run, on standard error. With `total`, the share that is done is shown."""

    def __init__(self, total=0):
        self._total, self._count = total, 0
        self._began = time.monotonic()
        self._is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def step(self, text):
        """The next step has begun."""
        self._count += 1
        place = f"{self._count}/{self._total} " if self._total else ""
        self._show(f"[{place}{time.monotonic() - self._began:.0f} s] {text}")

    def note(self, text):
        """More about the step that goes on; in a pipe a line of its own."""
        self._show(f"    {text}")

    def end(self):
        if self._is_terminal:
            sys.stderr.write("\r\033[K")

    def _show(self, text):
        if self._is_terminal:
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            sys.stderr.write(f"\r\033[K{text[:width - 1]}")
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()
