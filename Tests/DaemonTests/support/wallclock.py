"""A wall clock that a test sets while the gateway runs; the gateway's monotonic clocks go on as they are."""

import os
import pathlib
import struct
import subprocess

SOURCE = pathlib.Path(__file__).with_name("wall_clock.c")
DAY = 86_400


class WallClock:
    """The clock of the processes that are started with `environment`, as an offset from the true time in seconds."""

    def __init__(self, folder, offset=0.0):
        self._file = pathlib.Path(folder) / "wall-clock"
        self._file.write_bytes(bytes(8))
        self._library = pathlib.Path(folder) / "wall_clock.so"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", self._library, SOURCE], check=True)
        self.set(offset)

    @property
    def environment(self):
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK": str(self._file)}

    def set(self, offset):
        """Sets the clock so many seconds ahead of the true time; 0 is right."""
        # In place: the process has the file mapped.
        descriptor = os.open(self._file, os.O_WRONLY)
        try:
            os.pwrite(descriptor, struct.pack("=q", int(offset * 1e9)), 0)
        finally:
            os.close(descriptor)
