"""A small box on a larger machine: a control group with little memory, one processor, and a disk whose syncs are slow."""

import os
import pathlib

from harness import tools
from harness.system import Gateway

_ROOT = pathlib.Path("/sys/fs/cgroup")


class Group:
    """A control group whose processes have so much memory together, what they read and write of files included."""

    def __init__(self, memory):
        self._is_old = (_ROOT / "memory").is_dir()
        self.folder = (_ROOT / "memory" if self._is_old else _ROOT) / f"inferq-box-{os.getpid()}"
        try:
            self.folder.mkdir()
            (self.folder / ("memory.limit_in_bytes" if self._is_old else "memory.max")).write_text(str(memory))
        except OSError as error:
            raise tools.ToolError(f"{self.folder} cannot be made a group of {memory} bytes: {error}") from error

    @property
    def peak(self):
        """The most bytes that it has had, files among them: at the limit, the kernel lets go of those."""
        return int((self.folder / ("memory.max_usage_in_bytes" if self._is_old else "memory.peak")).read_text())

    @property
    def kills(self):
        """Processes that were killed because there was no memory left."""
        lines = (self.folder / ("memory.oom_control" if self._is_old else "memory.events")).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.rmdir()


class BoxedGateway(Gateway):
    """A gateway that runs in a small box once `group` is set, and on the whole machine before."""

    group, processor, sync_us = None, 0, 0

    def _write_config(self, work, port, model):
        words = super()._write_config(work, port, model)
        if self.group is None:
            return words
        enter = f'echo $$ > {self.group.folder}/cgroup.procs && exec taskset -c {self.processor} "$@"'
        slow = [f"LD_PRELOAD={tools.BUILT / 'slow_sync.so'}", f"SLOW_SYNC_US={self.sync_us}"]
        return ["sh", "-c", enter, "sh", "env", *slow, *words]
