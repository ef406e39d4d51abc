"""A system under test: how it is started, what its paths and words are."""

import dataclasses
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import tools
from harness.machine import ROOT
from harness.model import Client
from harness.processes import family

# A request of a geospatial gateway, about 300 bytes; the model is added by each system's field.
BODY = {
    "location": "Santa Cruz Mountains, CA",
    "temporal_domain": ["2025-08-15_2025-08-31"],
    "spatial_domain": {"bbox": [[-122.512, 37.213, -121.704, 37.904]], "urls": [], "tiles": []},
    "parameters": {"threshold": 0.5, "tile_size": 512, "overlap": 64, "post_processing": {"cloud_masking": True}},
}
# Calls that run at a time: enough that a model of 20 ms keeps two cores at work.
CALLS = 64
START_LIMIT = 90.0


@dataclasses.dataclass(frozen=True)
class Dialect:
    """Where a system's endpoints lie."""

    body: dict
    health: str
    record: str = "/v1/inference/{id}"
    submit: str = "/v1/async/inference"
    events: str = "/v1/async/notify/{event_id}"
    final: str = '"status":"COMPLETED"'


class System:
    """One instance with a store of its own in a folder of its own, started from `command(work, port, model)`."""

    def __init__(self, name, dialect, command, model):
        self.name, self.dialect, self.model = name, dialect, model
        self._command = command
        self.process = None
        self.port = tools.free_port()
        self._base = pathlib.Path(os.environ.get("INFERQ_BENCH_DIR", "/var/tmp"))
        self.work = None

    def start(self):
        """Starts it on the store that is there; the seconds to the first 200."""
        if self.work is None:
            self.work = pathlib.Path(tempfile.mkdtemp(prefix="inferq-bench-", dir=self._base))
        began = time.monotonic()
        command = self._command(self.work, self.port, self.model)
        with (self.work / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() - began > START_LIMIT:
                raise tools.ToolError(f"{self.name} did not start, its log: {self.work / 'log'}")
            time.sleep(0.002)
        return time.monotonic() - began

    def _answers(self):
        try:
            client = Client(self.port, timeout=2)
            try:
                return client.request("GET", self.dialect.health)[0] == 200
            finally:
                client.close()
        except (OSError, http.client.HTTPException):
            return False

    def stop(self):
        if self.process:
            # Calls that the closed gate holds never end, and a drain would wait for them.
            self.model.set(gate=0)
            tools.end(self.process)
            self.process = None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def fresh(self):
        """A new instance with an empty store, one job done, so that all that is made at first use is there."""
        self.close()
        self.model.set(delay_ms=0, gate=0, reset=1)
        self.start()
        client = Client(self.port)
        self.wait_ended(client, self.submit(client)["id"])
        client.close()

    def close(self):
        self.stop()
        if self.work:
            shutil.rmtree(self.work, ignore_errors=True)
            self.work = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def pids(self):
        return family(self.process.pid)

    def submit(self, client):
        """The answer to a submit: `id` and `event_id` among its members."""
        return client.json("POST", self.dialect.submit, self.dialect.body)

    def status(self, client, identifier):
        return client.json("GET", self.dialect.record.format(id=identifier))["status"]

    def wait_ended(self, client, identifier, limit=120.0):
        end = time.monotonic() + limit
        while self.status(client, identifier) not in ("COMPLETED", "ERROR", "CANCELLED"):
            if time.monotonic() > end:
                raise tools.ToolError(f"{self.name}: job {identifier} has not ended after {limit} s")
            time.sleep(0.003)

    def backlog(self, count, width=16):
        """`count` jobs that wait at the closed gate of the model server; what `tools.fill` says."""
        self.model.set(gate=1, reset=1)
        filled = tools.fill(self.port, count, self.dialect.submit, self.dialect.body, width)
        if filled["ok"] != count:
            raise tools.ToolError(f"{self.name} refused {filled['refused']} of {count} submits")
        return filled


def binary():
    """The program to measure: INFERQ_BIN, else the release build."""
    path = pathlib.Path(os.environ.get("INFERQ_BIN", ROOT / ".build/release/inferq")).resolve()
    if not path.exists():
        raise tools.ToolError(f"{path} is not there: `make bench` builds it, or name another one in INFERQ_BIN")
    return path


class Gateway(System):
    """inferq with one model, `m`; settings by their dotted keys."""

    def __init__(self, model, settings):
        super().__init__("inferq", Dialect(body={"model": "m"} | BODY, health="/readyz"), self._write_config, model)
        self.also_listen = []
        self.settings = {
            "log_level": "warning",
            "broker.kind": "ring",
            "models.m.url": model.url,
            "models.m.concurrency": CALLS,
            "models.m.queue_limit": 5_000_000,
            "models.m.timeout": "1h",
        } | settings

    @property
    def database(self):
        return self.work / "inferq.db"

    def reload(self, settings):
        """Changes settings while it runs."""
        self.settings |= settings
        self._write_config(self.work, self.port, self.model)
        self.process.send_signal(signal.SIGHUP)

    def metric(self, name):
        """A metric without labels, as it is now."""
        client = Client(self.port)
        status, data = client.request("GET", "/metrics")
        client.close()
        found = re.search(rf"^{name} (\S+)$", data.decode(), re.MULTILINE)
        if not found:
            raise tools.ToolError(f"/metrics was answered with {status} and without {name}")
        return float(found[1])

    def _write_config(self, work, port, _):
        own = {"listen": [f"127.0.0.1:{port}", *self.also_listen], "store.path": str(self.database)}
        lines = [f"{key} = {json.dumps(value)}" for key, value in (self.settings | own).items()]
        (work / "inferq.toml").write_text("\n".join(lines) + "\n")
        return [binary(), "serve", "--config", work / "inferq.toml"]


def inferq(model, **settings):
    """The gateway. `store__retention="1s"` sets store.retention."""
    return Gateway(model, {key.replace("__", "."): value for key, value in settings.items()})


def probe(model):
    """The limit of the machine: see tools/probe.c."""

    def command(work, port, model):
        return [tools.BUILT / "probe", str(port), work / "probe.db", str(model.port), str(CALLS)]

    return System("probe", Dialect(body={"model": "m"} | BODY, health="/"), command, model)


def reference(model):
    """FastAPI, Celery, Redis and PostgreSQL: see reference/README.md."""

    def command(work, port, model):
        return [sys.executable, ROOT / "Benchmarks/reference/stack.py", work, str(port), model.url]

    body = {"model_id": "m"} | BODY
    return System("reference", Dialect(body=body, health="/healthz", record="/v1/async/inference/{id}"), command, model)


SYSTEMS = {"probe": probe, "inferq": inferq, "reference": reference}
