"""The gateway under test: the built binary, seen from outside."""

import copy
import json
import os
import pathlib
import re
import signal
import subprocess
import urllib.parse

import wire
from description import Description
from keyfile import EVERYTHING, Keyring
from ports import free_port
from waiting import until

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(os.environ.get("INFERQ_BIN", ROOT / ".build/debug/inferq"))
if not BINARY.is_absolute():
    BINARY = ROOT / BINARY

DESCRIPTION = Description(ROOT / "docs/openapi.yaml")
FINAL = {"COMPLETED", "ERROR", "CANCELLED"}
JSON_TYPE = {"Content-Type": "application/json"}


def environment(**extra):
    """Ours without what would change what the binary does, so that a test says it all."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("INFERQ_", "NOTIFY_", "LISTEN_"))}
    return ours | extra


def toml(settings):
    """Nested dictionaries as TOML: scalars first, then one table per dictionary."""

    def value(it):
        if isinstance(it, dict):
            return "{ " + ", ".join(f"{json.dumps(key)} = {value(item)}" for key, item in it.items()) + " }"
        if isinstance(it, list):
            return "[" + ", ".join(map(value, it)) + "]"
        return json.dumps(it)

    lines = [f"{key} = {value(it)}" for key, it in settings.items() if not isinstance(it, dict)]
    for name, table in settings.items():
        if name == "models":
            for model, keys in table.items():
                lines += ["", f"[models.{json.dumps(model)}]"] + [f"{key} = {value(it)}" for key, it in keys.items()]
        elif isinstance(table, dict):
            lines += ["", f"[{name}]"] + [f"{key} = {value(it)}" for key, it in table.items()]
    return "\n".join(lines) + "\n"


class Gateway:
    """One store and one port, and the process that serves them; it can be stopped, killed and started again."""

    def __init__(self, folder, models, **settings):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.models = models
        self.settings = settings
        self.config_file = self.folder / "inferq.toml"
        self.log_file = self.folder / "inferq.log"
        self.launcher = []  # a command that runs the binary, such as prlimit
        self.environment = {}  # of the process, beside ours
        self.headers = {}  # of each request, unless it has one of the same name
        self.keys = None
        self.process = None
        self.errors_expected = False

    # Clients

    def use_keys(self, clients):
        """Mode `keys` with these clients: name -> what its table says beside the hash of its key.

        What is asked of the gateway itself is then asked by one more client, `root`, who may do everything.
        """
        self.keys = Keyring(self.folder / "keys.d", {"root": {"scopes": EVERYTHING, "max_priority": 100}} | clients)
        access = {"mode": "keys", "keys": str(self.keys.folder)}
        self.settings["access"] = access | self.settings.get("access", {})
        self.headers = {"Authorization": f"Bearer {self.keys['root']}"}

    def client(self, name=None, key=None):
        """The same gateway, asked by one of its clients, by anyone who has this key, or by a stranger."""
        key = self.keys[name] if name else key
        each = copy.copy(self)
        each.headers = {"Authorization": f"Bearer {key}"} if key else {}
        return each

    def reload_keys(self):
        """Writes the key files as they are now, and asks for a reload."""
        self.keys.write()
        self.reload()

    # The process

    def write_config(self):
        settings = {"listen": [f"127.0.0.1:{self.port}"], "drain_timeout": "5s"} | self.settings
        settings["store"] = {"path": str(self.folder / "inferq.db")} | self.settings.get("store", {})
        settings["models"] = self.models
        self.config_file.write_text(toml(settings))

    def launch(self):
        """Starts the process and does not wait until it is ready."""
        assert BINARY.exists(), f"{BINARY} is not there: build it, or name it in INFERQ_BIN"
        self.write_config()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.launcher, BINARY, "serve", "--config", self.config_file],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(**self.environment),
                cwd=self.folder,
            )

    def start(self, timeout=20.0):
        self.launch()
        until(self._is_ready, f"readyz of the gateway; its log:\n{self.log()}", timeout)
        return self

    def _is_ready(self):
        return self._answers_ok("/readyz")

    def is_alive(self):
        """Whether it answers, ready for new jobs or not."""
        return self._answers_ok("/livez")

    def _answers_ok(self, target):
        code = self.process.poll()
        assert code is None, f"the gateway ended with {code}:\n{self.log()}"
        try:
            return self.get(target).status == 200
        except OSError:
            return False

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def terminate(self):
        """Asks for the stop, and does not wait for it."""
        self.process.send_signal(signal.SIGTERM)

    def wait_stopped(self, timeout=15.0):
        """Waits for the end that `terminate` asked for: exit 0, and nothing in the log that someone must look at."""
        until(lambda: not self.is_running, f"the end of the gateway; its log:\n{self.log()[-3000:]}", timeout)
        code = self.process.returncode
        assert code == 0, f"SIGTERM must end in 0, not {code}:\n{self.log()}"
        if not self.errors_expected:
            assert not self.error_lines(), "\n".join(self.error_lines())

    def stop(self, timeout=15.0):
        self.terminate()
        self.wait_stopped(timeout)

    def kill(self):
        self.process.kill()
        self.process.wait(60)

    def restart(self):
        """The same store on the same port, by a new process."""
        assert not self.is_running
        return self.start()

    def reload(self):
        """Writes the settings as they are now and sends SIGHUP."""
        self.write_config()
        self.process.send_signal(signal.SIGHUP)

    def close(self):
        """For the end of a test: ends what still runs, as strictly as `stop`."""
        if self.is_running:
            try:
                self.stop()
            finally:
                if self.is_running:
                    self.kill()

    def state(self):
        """What it says of its models and newest jobs: for the report of a test that failed."""
        said = []
        for target in ("/v1/models", "/v1/inference?limit=10"):
            try:
                said.append(wire.exchange(self.address, "GET", target, headers=self.headers, timeout=5).body.decode(errors="replace")[:4000])
            except OSError as error:
                said.append(f"{target}: {error}")
        return "\n".join(said)

    def peak_memory(self):
        """The most memory that the process ever held, in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    # The log

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def log_lines(self, *levels):
        """Lines of one of these levels; the log is one JSON object a line."""
        found = []
        for line in self.log().splitlines():
            try:
                level = json.loads(line).get("level", "")
            except (ValueError, AttributeError):
                level = "critical" if "Fatal error" in line else ""
            if str(level).lower() in levels:
                found.append(line)
        return found

    def error_lines(self):
        return self.log_lines("error", "critical")

    # Requests

    def request(self, method, target, body=None, headers=None, timeout=15.0):
        answer = wire.exchange(self.address, method, target, body, self.headers | (headers or {}), timeout)
        DESCRIPTION.check(method, target, answer)
        return answer

    def get(self, target, **headers):
        return self.request("GET", target, headers={key.replace("_", "-"): value for key, value in headers.items()})

    def post(self, target, body, headers=None, timeout=15.0):
        """`body`: bytes as they are, anything else as JSON."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self.request("POST", target, body, JSON_TYPE if headers is None else headers, timeout)

    def raw(self, data, timeout=10.0):
        """Sends these bytes and returns all that comes until the gateway closes."""
        with wire.dial(self.address, timeout) as sock:
            sock.sendall(data)
            return wire.read_to_close(sock)

    def submit(self, model, input=None, **job):
        """A job by `POST /v1/async/inference`; the record in its 202."""
        body = {"model": model, "input": {} if input is None else input}
        if job:
            body["job"] = job
        answer = self.post("/v1/async/inference", body)
        assert answer.status == 202, answer
        return answer.json()

    def submit_bytes(self, model, body, content_type="application/octet-stream", **items):
        """A job whose body is not JSON; its options are query items."""
        query = urllib.parse.urlencode({"model": model} | items)
        answer = self.request("POST", f"/v1/async/inference?{query}", body, {"Content-Type": content_type})
        assert answer.status == 202, answer
        return answer.json()

    def record(self, job):
        """The record as it is now. `job`: a record."""
        answer = self.get(job["urls"]["self"])
        assert answer.status == 200, answer
        return answer.json()

    def wait_status(self, job, *wanted, timeout=10.0):
        def now():
            record = self.record(job)
            return record if record["status"] in wanted else None

        return until(now, f"{' or '.join(wanted)}: {job['urls']['self']}", timeout)

    def ended(self, job, timeout=10.0):
        """The record, once the job has ended."""
        return self.wait_status(job, *FINAL, timeout=timeout)

    def cancel(self, job):
        return self.post(job["urls"]["cancel"], b"", headers={})

    def listen(self, job, last=None, **headers):
        """A listener of the job's events, after `last` if given."""
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        return wire.Stream(self.address, job["urls"]["events"], self.headers | headers)

    def events(self, job, last=None):
        """All events of a job, read until the gateway ends the stream."""
        with self.listen(job, last) as stream:
            assert stream.status == 200
            events = wire.parse(stream.to_end())
        for event in events:
            DESCRIPTION.check_event(event)
        return events
