"""The gateway as systemd runs it: with sockets that somebody else opened, and a socket for what it tells."""

import os
import re
import signal
import socket
import subprocess
import threading
import time

from gateway import BINARY, environment
from waiting import until


class ServiceManager:
    """Holds a TCP and a Unix socket, starts the gateway with them, and hears its notifications."""

    def __init__(self, folder, watchdog="2s", host="127.0.0.1"):
        self.folder = folder
        self.config_file = folder / "inferq.toml"
        self.log_file = folder / "inferq.log"
        self.process = None
        self.watchdog = float(watchdog.rstrip("s"))
        self.notices = []
        self.tcp = socket.create_server((host, 0), backlog=128)
        self.address = ("127.0.0.1", self.tcp.getsockname()[1])
        self.local_path = str(folder / "local.sock")
        self.local = socket.socket(socket.AF_UNIX)
        self.local.bind(self.local_path)
        self.local.listen(128)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(folder / "notify.sock"))
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self):
        while True:
            try:
                data = self._notify.recv(4096)
            except OSError:
                return
            # The lines of one message have one time.
            now = time.monotonic()
            self.notices += [(now, line) for line in data.decode().splitlines()]

    # The order of the sockets is not the one of their names: the gateway must not rely on it.
    def start(self, names="inferq-local.socket:inferq.socket"):
        script = (
            'export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES="$2" WATCHDOG_PID=$$ WATCHDOG_USEC="$3" '
            'NOTIFY_SOCKET="$4"; exec 9<&"$5" 10<&"$6"; exec "$0" serve --config "$1" 3<&9 4<&10 9<&- 10<&-'
        )
        local, tcp = self.local.fileno(), self.tcp.fileno()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", script, str(BINARY), str(self.config_file), names, str(int(self.watchdog * 1e6)),
                 str(self.folder / "notify.sock"), str(local), str(tcp)],
                pass_fds=[local, tcp], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(),
            )
        return self

    def write_config(self, text="", store=None):
        store = store or self.folder / "inferq.db"
        self.config_file.write_text(f'{text}\n[store]\npath = "{store}"\n')

    def said(self, pattern, since=0.0):
        """The notifications that match, in order."""
        return [line for at, line in list(self.notices) if at >= since and re.search(pattern, line)]

    def wait_for(self, pattern, since=0.0, timeout=20.0):
        until(lambda: self.said(pattern, since), f"a notification {pattern}; its log:\n{self.log()}", timeout)
        return self.said(pattern, since)[-1]

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def stop(self):
        self.process.terminate()
        assert self.process.wait(60) == 0, self.log()

    def threads(self):
        """Ids of the process's threads by name."""
        folder = f"/proc/{self.process.pid}/task"
        found = {}
        for number in os.listdir(folder):
            with open(f"{folder}/{number}/comm") as file:
                found.setdefault(file.read().strip(), []).append(int(number))
        return found

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)
        for each in (self.tcp, self.local, self._notify):
            each.close()
