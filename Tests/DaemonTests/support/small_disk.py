"""A file system of a few MiB, which a test can fill."""

import contextlib
import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


class SmallDisk(contextlib.AbstractContextManager):
    """A tmpfs of its own."""

    def __init__(self, folder, mib):
        self.path = pathlib.Path(folder)
        self.path.mkdir(exist_ok=True)
        self._filler = self.path / "filler"
        self._mount("-t", "tmpfs", "-o", f"size={mib}m", "tmpfs")

    def _mount(self, *options):
        done = subprocess.run(["mount", *options, self.path], capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise OSError(f"mount: {done.stderr.strip() or done.returncode}")

    @property
    def free(self):
        figures = os.statvfs(self.path)
        return figures.f_bavail * figures.f_frsize

    def fill(self, leaving=0):
        """Takes all room but for `leaving` bytes; may be called again to take what was freed."""
        with self._filler.open("ab", buffering=0) as file:
            with contextlib.suppress(OSError):
                while (room := self.free - leaving) > 0:
                    file.write(b"\0" * min(room, 1 << 20))

    def make_room(self):
        self._filler.unlink(missing_ok=True)

    def remount(self, mode):
        self._mount("-o", f"remount,{mode}")

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], capture_output=True, timeout=60)


@functools.cache
def impossible():
    """Nothing if a tmpfs can be mounted here, else the reason why not."""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if os.geteuid():
        return "needs root, to mount a tmpfs"
    if not shutil.which("mount"):
        return "mount is not installed"
    try:
        with tempfile.TemporaryDirectory() as folder, SmallDisk(folder, 1):
            return None
    except OSError as error:
        return str(error)
