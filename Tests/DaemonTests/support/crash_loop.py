#!/usr/bin/env python3
"""Kills a gateway, or cuts its power, again and again under load, and checks that it kept every promise.

    crash_loop.py --bin .build/debug/inferq --cycles 300
    crash_loop.py --bin .build/debug/inferq --cycles 100 --mode power      (as root, on Linux)

A power cut is a loop-mounted ext4 that is shut down by ioctl without a flush of its journal: what no fsync has brought
to the disk is gone. Block writes that were issued stay, whole and in order: torn sectors and disks that lie about a
flush are not simulated. Exit 0: all kept; 1: the violations are listed; 77: no power cuts possible here.
"""
import argparse, contextlib, ctypes, faulthandler, itertools, json, os, pathlib, random, shutil, signal, sqlite3, subprocess
import sys, tempfile, threading, time

from crash_load import BROKEN, FINAL, KINDS, Http, Load, Refused, digest
from ports import free_port
from power_cut import PowerDisk, power_cut_possible


class Gateway:
    """The process under test; started again and again on the same store and port."""

    def __init__(self, binary, folder, store, model_port, synchronous, more=""):
        """`more`: lines of the table `store`."""
        self.binary, self.store, self.port, self.process = binary, store, free_port(), None
        self.config, self.log = folder / "inferq.toml", folder / "gateway.log"
        self.environment = {}
        self.config.write_text(f"""
listen = ["127.0.0.1:{self.port}"]
heartbeat = "2s"
log_level = "warning"
log_format = "text"
[store]
path = "{store / 'inferq.db'}"
synchronous = "{synchronous}"
min_free = "1MiB"
{more or 'ballast = "1MiB"'}
{'' if "retention" in more else 'retention = "0s"'}
[broker]
kind = "ring"
[models.m]
url = "http://127.0.0.1:{model_port}/"
concurrency = 8
max_attempts = 10
backoff = {{ base = "10ms", cap = "50ms" }}
""")

    def spawn(self):
        command = [str(self.binary), "serve", "--config", str(self.config)]
        if guard := shutil.which("setpriv"):        # nobody left behind, should this program be killed itself
            command = [guard, "--pdeathsig", "KILL"] + command
        clean = {name: value for name, value in os.environ.items() if not name.startswith("INFERQ_")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=clean | self.environment)

    def start(self, within=20):
        """Returns the seconds until it was ready."""
        self.spawn()
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < within and self.process.poll() is None:
            with contextlib.suppress(*BROKEN), Http(self.port) as get:
                if get("GET", "/readyz")[0] == 200:
                    return passed
            time.sleep(0.005)
        raise RuntimeError(f"not ready after {passed:.1f} s, exit code {self.process.poll()}: {self.last_words()}")

    def last_words(self):
        """The end of the log, or what Swift says first of a crash: the reason, and the thread that crashed."""
        log = self.log.read_bytes()
        crash = log.rfind(b"*** ")
        words = log[-1500:] if crash < 0 else log[crash : crash + 6000]
        return words.decode(errors="replace").strip()

    def end(self, number=signal.SIGKILL):
        """Returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


class CrashLoop(Load):
    def __init__(self, options, folder, disk):
        super().__init__(options)
        self.disk, self.random, self.slowest, self.confirmed = disk, random.Random(options.seed), 0.0, set()
        self.until = float("inf")       # no cycle begins after it
        store = (disk.mount if disk else folder) / "store"
        store.mkdir(mode=0o700)
        os.sync()
        port = self.model.server_address[1]
        self.gateway = Gateway(options.bin, folder, store, port, options.synchronous)

    # The cycles.

    def crash(self):
        if (code := self.gateway.process.poll()) is not None:
            self.findings.add("process", self.crashes, f"ended by itself, {code}: {self.gateway.last_words()}")
        self.crash_at = time.monotonic()
        if self.disk:
            sees = self.random.choice((False, True))
            self.disk.cut_under(self.gateway.process, sees)
            time.sleep(self.random.uniform(0, 0.05) if sees else 0)
        elif self.random.random() < 0.1:
            self.gateway.process.terminate()
            time.sleep(self.random.uniform(0, 0.05))
        self.gateway.end()
        if self.disk:
            self.disk.detach()
            self.disk.attach()
        self.crashes += 1

    def start(self):
        self.crash_at = float("inf")
        ready = self.gateway.start()
        self.slowest = max(self.slowest, ready)
        return ready

    def cycle(self):
        """Returns what it did, in words."""
        if self.random.random() < 0.2:      # in the middle of a start, when the last crash is being repaired
            self.gateway.spawn()
            time.sleep(self.random.uniform(0, 0.15))
            self.crash()
        ready = self.start()
        last, self.fresh = self.fresh, []
        older = self.random.sample(list(self.jobs), min(200, len(self.jobs)))
        self.spread(self.check_exists, list({*last, *older}))
        if self.options.stop_at_loss and self.findings.by_kind["lost"]:
            return "lost"
        self.over.clear()
        roles = self.roles()
        draws = [random.Random(self.random.random()) for _ in roles]
        threads = [threading.Thread(target=role, args=[draw], daemon=True) for role, draw in zip(roles, draws)]
        for thread in threads:
            thread.start()
        seconds = self.random.uniform(self.options.seconds_min, self.options.seconds_max)
        time.sleep(seconds)
        self.crash()
        self.over.set()
        for thread in threads:
            thread.join()
        return f"ready after {ready:.2f} s, crash after {seconds:.2f} s, {len(self.fresh)} acknowledged"

    def roles(self):
        return [self.client] * self.options.clients + [self.listener] * 4

    def spread(self, check, items):
        """Runs the check on all items, on as many connections as there are clients."""
        def share(part):
            with Http(self.gateway.port) as http:
                for item in part:
                    try:
                        check(http, item)
                    except (*BROKEN, Refused, ValueError, LookupError, TypeError) as error:
                        http.close()
                        if self.is_dying() and self.has_ended():
                            return      # what was not looked at is at the end
                        self.findings.add("answers", item, f"{check.__name__} of {item}: {error!r}")
                        if self.gateway.process.poll() is not None:
                            return

        parts = [items[first::self.options.clients] for first in range(self.options.clients)]
        threads = [threading.Thread(target=share, args=[part], daemon=True) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def has_ended(self):
        """Whether the process ends just now."""
        try:
            self.gateway.process.wait(5)
        except subprocess.TimeoutExpired:
            return False
        return True

    def check_exists(self, http, job):
        """Returns its record, or nothing."""
        status, answer = http("GET", f"/v1/inference/{job}")
        if status == 200:
            record = json.loads(answer)
            self.seen(record)
            return record
        if job in self.jobs:
            self.findings.add("lost", job, f"job {job}, acknowledged, answers {status}")
        return None

    # The last look.

    def check_all(self):
        with Http(self.gateway.port) as http:
            for _ in range(1200):
                waiting = json.loads(http("GET", "/v1/inference?status=PENDING&status=RUNNING&limit=1")[1])["results"]
                if not waiting:
                    break
                time.sleep(0.05)
            listed, page = [], "/v1/inference?limit=1000"
            while page:
                answer = json.loads(http("GET", page)[1])
                listed += [record["id"] for record in answer["results"]]
                page = answer["next"] and f"/v1/inference?limit=1000&cursor={answer['next']}"
        for job in self.jobs.keys() - set(listed):
            self.findings.add("lost", job, f"job {job}, acknowledged, is not in the list")
        if len(listed) != len(set(listed)):
            self.findings.add("reused", "list", "the list names a job twice")
        self.spread(self.check_job, list({*listed, *self.jobs}))
        for number in self.events.keys() - self.confirmed:
            self.findings.add("events", number, f"event {number} of {self.events[number][0]} was seen and is gone")
        for nonce, jobs in self.called_as.items():
            if len(jobs) > 1:
                self.findings.add("reused", nonce, f"one submit was called as {sorted(jobs)}")

    def check_job(self, http, job):
        if not (record := self.check_exists(http, job)):
            return
        if record["status"] not in FINAL:
            return self.findings.add("stuck", job, f"job {job} is still {record['status']}")
        if record["status"] == "ERROR" and record["error"]["code"] != "poisoned":      # the model server never fails
            self.findings.add("answers", job, f"job {job} ended in {record['error']}")
        history = []
        if len(self.findings.by_kind["finals"]) < 20:       # each of them may have cost us some patience
            history = self.check_events(http, job, record)
        self.check_calls(job, record, history)
        if submit := self.jobs.get(job):
            if submit.input:
                intact = record["input"] == json.loads(submit.input)
            else:
                intact = digest(http("GET", f"/v1/inference/{job}/input")[1]) == self.inputs[submit.nonce]
            if not intact or (record["status"] == "COMPLETED" and record["output"]["n"] != submit.nonce):
                self.findings.add("bytes", job, f"job {job} has another input or output than its own")

    def check_events(self, http, job, record):
        event_id = record["event_id"]
        events = [(number, self.event(event_id, number, data)) for number, data in http.frames(event_id, patience=5)]
        numbers = [number for number, _ in events]
        self.confirmed.update(numbers)
        if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
            self.findings.add("events", job, f"the events of {job} do not grow: {numbers}")
        finals = [event["status"] for _, event in events if event["status"] in FINAL]
        if finals != [record["status"]] or events[-1][1]["status"] not in FINAL:
            self.findings.add("finals", job, f"job {job} is {record['status']}, its final events are {finals}")
        return [event["data"].get("message", event["status"]) for _, event in events]

    def check_calls(self, job, record, history):
        calls, attempts = self.calls[job], self.attempts.get(job, [])
        crashes = self.crashes - (self.jobs[job].crashes if job in self.jobs else 0)
        if calls > 1 + crashes:
            self.findings.add("calls", job, f"job {job} was called {calls} times in {crashes} crashes")
        elif len(attempts) != len(set(attempts)) or max(attempts, default=0) > record["attempt"]:
            words = f"called as {attempts}, its record says {record['attempt']}, its events {history}"
            self.findings.add("calls", job, f"job {job}: {words}")
        elif record["status"] == "COMPLETED" and not calls:
            self.findings.add("calls", job, f"job {job} is COMPLETED and was never called")

    def check_store(self):
        """Stops the gateway, and looks at a copy of what it leaves."""
        if code := self.gateway.end(signal.SIGTERM):
            self.findings.add("process", "stop", f"exit code {code} at SIGTERM: {self.gateway.last_words()}")
        with tempfile.TemporaryDirectory() as folder:
            for file in self.gateway.store.glob("inferq.db*"):
                shutil.copy(file, folder)
            with contextlib.closing(sqlite3.connect(pathlib.Path(folder, "inferq.db"))) as copy:
                for check in ("integrity_check", "foreign_key_check"):
                    rows = copy.execute(f"PRAGMA {check}").fetchall()
                    if rows not in ([("ok",)], []):
                        self.findings.add("process", check, f"{check}: {rows[:5]}")

    def run(self):
        """Returns the number of cycles that were done."""
        done = 0
        try:
            for done in range(1, self.options.cycles + 1):
                if time.monotonic() > self.until:
                    break
                words = self.cycle()
                if sys.stdout.isatty():
                    violations = self.findings.total()
                    print(f"cycle {done}/{self.options.cycles}: {words}, {violations} violations", flush=True)
                if words == "lost":
                    return done
            self.start()
            self.check_all()
            self.check_store()
        except (RuntimeError, *BROKEN, sqlite3.Error, subprocess.SubprocessError) as error:
            self.findings.add("process", "run", str(error))
        finally:
            if self.gateway.process and self.gateway.process.poll() is None:
                self.gateway.end()
            self.model.shutdown()
        return done


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="the gateway")
    parser.add_argument("--cycles", type=int, default=30)
    parser.add_argument("--mode", choices=["kill", "power"], default="kill")
    parser.add_argument("--synchronous", choices=["full", "normal"], default="full", help="of the store")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, default=400, help="requests per second of all clients, at most")
    parser.add_argument("--seconds-min", type=float, default=0.05, help="of load before a crash, at least")
    parser.add_argument("--seconds-max", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--stop-at-loss", action="store_true", help="end at the first lost job")
    parser.add_argument("--image-mib", type=int, help="of the disk in mode power (default 256, more for long runs)")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))        # unmounts on the way out
    faulthandler.register(signal.SIGUSR1)       # for anyone who wonders what it waits for
    with contextlib.ExitStack() as stack:
        folder, disk = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inferq-crash-"))), None
        if options.mode == "power":
            if reason := power_cut_possible():
                print(f"no power cuts here: {reason}")
                return 77
            ctypes.CDLL(None).unshare(0x20000)      # CLONE_NEWNS: the mount ends with this process, come what may
            subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True)
            disk = stack.enter_context(PowerDisk(folder, options.image_mib or max(256, 8 * options.cycles)))
        loop = CrashLoop(options, folder, disk)
        begun = time.monotonic()
        cycles = loop.run()
    counts = loop.findings.counts(KINDS)
    line = (f"{len(loop.jobs)} acknowledged, {cycles} cycles, {loop.crashes} crashes ({options.mode}, synchronous "
          f"{options.synchronous}): {counts}; answers {dict(sorted(loop.answers.items()))}, slowest start "
          f"{loop.slowest:.2f} s, {time.monotonic() - begun:.0f} s, seed {options.seed}")
    return loop.findings.report(KINDS, line)


if __name__ == "__main__":
    sys.exit(main())
