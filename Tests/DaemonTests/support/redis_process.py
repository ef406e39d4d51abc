"""A child of ours that can be frozen, killed and started again: Redis, a worker, a gateway of a site."""

import os
import pathlib
import shutil
import signal
import subprocess

GUARD = shutil.which("setpriv")  # nobody left behind, should the program that tests be killed itself


class Process:
    """One command, whose output goes to a log file. `launcher` is a command that runs it, such as nsenter."""

    def __init__(self, command, log_file, launcher=()):
        self.command_line = [str(each) for each in command]
        self.launcher = [str(each) for each in launcher]
        self.log_file = pathlib.Path(log_file)
        self.process = None

    def launch(self):
        """Starts the process and does not wait until it is of use."""
        assert not self.is_running, f"{self.command_line[0]} runs already"
        guard = [GUARD, "--pdeathsig", "KILL"] if GUARD else []
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*guard, *self.launcher, *self.command_line],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
                cwd=self.log_file.parent,
            )

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def terminate(self):
        """Asks for the stop, and does not wait for it."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        """Kill -9, of a frozen process too; returns once it is gone."""
        self.process.kill()
        self.process.wait(60)

    def close(self):
        """For the end of a test: no matter how it is doing."""
        if self.is_running:
            self.kill()

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""


def clean_environment():
    """Ours without what would change what the binary does."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("INFERQ_", "NOTIFY_", "LISTEN_"))}
