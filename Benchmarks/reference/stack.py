"""Starts the reference stack on loopback and waits; SIGTERM ends all of it.

    stack.py FOLDER PORT MODEL_URL

REFERENCE_POOL (prefork, gevent or threads), REFERENCE_CONCURRENCY and REFERENCE_WEB (processes) size it.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = pathlib.Path(sys.executable).parent
CORES = str(os.cpu_count())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Stack:
    def __init__(self, folder, port, model):
        self.folder, self.port = pathlib.Path(folder).resolve(), port
        self.log = (self.folder / "stack.log").open("ab")
        self.processes = []
        self.database = None
        self.redis_port, self.database_port = free_port(), free_port()
        self.environment = os.environ | {
            "PYTHONPATH": str(HERE),
            "REFERENCE_MODEL": model,
            "REFERENCE_REDIS": f"redis://127.0.0.1:{self.redis_port}/0",
            "REFERENCE_DATABASE": f"127.0.0.1:{self.database_port}/postgres",
        }

    def start(self):
        # PostgreSQL runs as a user of its own, who must reach its folder.
        self.folder.chmod(0o711)
        self.start_redis()
        self.start_database()
        self.start_worker()
        self.start_web()

    def start_redis(self):
        self.spawn(
            "redis-server", "--bind", "127.0.0.1", "--port", self.redis_port, "--dir", self.folder, "--save", "",
            "--appendonly", "yes", "--appendfsync", "everysec", "--loglevel", "warning",
            "--client-output-buffer-limit", "pubsub", "0", "0", "0",
        )

    def start_database(self):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        if not found:
            sys.exit("PostgreSQL is not installed: apt install postgresql")
        programs, data = found[-1], self.folder / "postgresql"
        # It refuses to run as root.
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        is_new = not data.exists()
        if is_new:
            data.mkdir()
            if as_user:
                shutil.chown(data, "postgres", "postgres")
            self.run(*as_user, programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", cwd=data)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": data,
            "shared_buffers": "256MB",
            "max_connections": 200,
            "max_wal_size": "4GB",
            "wal_compression": "on",
            "log_min_messages": "fatal",
        }
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self.database = self.spawn(*as_user, programs / "postgres", "-D", data, "-p", self.database_port, *words)
        ready = [programs / "pg_isready", "-q", "-U", "postgres", "-h", "127.0.0.1", "-p", str(self.database_port)]
        while subprocess.run(ready).returncode:
            self.check()
            time.sleep(0.05)
        if is_new:
            self.run(sys.executable, "-c", (
                "import shared, sqlalchemy as s; "
                "shared.Base.metadata.create_all(s.create_engine('postgresql+psycopg://postgres@' + shared.DATABASE))"
            ))

    def start_worker(self):
        self.spawn(
            PROGRAMS / "celery", "-A", "worker", "worker", "-P", os.environ.get("REFERENCE_POOL", "prefork"),
            "-c", os.environ.get("REFERENCE_CONCURRENCY", CORES), "-Q", "inference",
            "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR",
        )

    def start_web(self):
        self.spawn(
            PROGRAMS / "uvicorn", "app:app", "--app-dir", HERE, "--host", "127.0.0.1", "--port", self.port,
            "--loop", "uvloop", "--http", "httptools", "--workers", os.environ.get("REFERENCE_WEB", CORES),
            "--no-access-log", "--log-level", "warning", "--backlog", "4096",
        )

    def spawn(self, *command):
        process = subprocess.Popen(
            list(map(str, command)), stdout=self.log, stderr=self.log, cwd=self.folder, env=self.environment
        )
        self.processes.append(process)
        return process

    def run(self, *command, cwd=None):
        """A command that must succeed before the next step."""
        subprocess.run(
            list(map(str, command)), check=True, stdout=self.log, stderr=self.log, cwd=cwd, env=self.environment
        )

    def check(self):
        for each in self.processes:
            if each.poll() is not None:
                sys.exit(f"{each.args[0]} ended with {each.returncode}, see {self.log.name}")

    def stop(self):
        for each in reversed(self.processes):
            # SIGINT: at SIGTERM, PostgreSQL would wait for its clients.
            each.send_signal(signal.SIGINT if each is self.database else signal.SIGTERM)
            try:
                each.wait(20)
            except subprocess.TimeoutExpired:
                each.kill()


def main():
    folder, port, model = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    stack = Stack(folder, int(port), model)
    try:
        stack.start()
        while True:
            stack.check()
            time.sleep(1)
    finally:
        stack.stop()


if __name__ == "__main__":
    main()
