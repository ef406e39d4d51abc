"""`inferq worker` as a process: it takes jobs for gateways on other hosts."""

import pathlib
import re

from redis_process import Process
from waiting import until

READY = "worker ready"
BAD = re.compile(r"^\S+Z (?:error|critical) .*|.*Fatal error.*", re.MULTILINE)


class Worker(Process):
    """One worker. `config` is the text of its configuration, which must ask for `log_format = "text"`."""

    def __init__(self, binary, folder, name, config, launcher=()):
        self.folder, self.name = pathlib.Path(folder), name
        self.folder.mkdir(exist_ok=True)
        self.config_file = self.folder / "worker.toml"
        self.config = config
        self.errors_expected = False
        super().__init__([binary, "worker", "--config", self.config_file], self.folder / "worker.log", launcher)
        self._times_ready = 0

    def launch(self):
        self.config_file.write_text(self.config)
        self._times_ready = self.log().count(READY)
        super().launch()

    def start(self, timeout=15.0):
        self.launch()
        return self.wait_ready(timeout)

    def wait_ready(self, timeout=15.0):
        until(self.is_ready, f"the readiness of worker {self.name}; its log:\n{self.log()[-3000:]}", timeout, 0.02)
        return self

    def is_ready(self):
        assert self.is_running, f"worker {self.name} ended with {self.process.poll()}:\n{self.log()[-3000:]}"
        return self.log().count(READY) > self._times_ready

    def wait_stopped(self, timeout=15.0):
        """Waits for the end that `terminate` asked for: exit 0, and nothing in the log that someone must look at."""
        until(lambda: not self.is_running, f"the end of worker {self.name}", timeout)
        code = self.process.returncode
        assert code == 0, f"SIGTERM must end worker {self.name} in 0, not {code}:\n{self.log()[-3000:]}"
        if not self.errors_expected:
            assert not BAD.findall(self.log()), "\n".join(BAD.findall(self.log()))

    def stop(self, timeout=15.0):
        self.terminate()
        self.wait_stopped(timeout)

    def state(self):
        """As `Gateway.state`, for the report of a test that failed."""
        code = None if self.process is None else self.process.poll()
        return f"worker {self.name}: {'runs' if self.is_running else f'ended with {code}'}"

    def close(self):
        """For the end of a test: ends what still runs, as strictly as `stop`."""
        if self.is_running:
            self.thaw()
            try:
                self.stop()
            finally:
                super().close()
