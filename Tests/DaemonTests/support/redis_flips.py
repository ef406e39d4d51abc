#!/usr/bin/env python3
"""Hurts the Redis of a gateway again and again under load, and checks that no client and no listener notices.

    redis_flips.py --bin .build/debug/inferq --flips 100
    redis_flips.py --bin .build/debug/inferq --flips 100 --workers 2 --faults killed,flushed

The promise: every answer is as without the fault, submits as quick, every acknowledged job ends once and COMPLETED (or
CANCELLED, if a client asked for it), and a listener gets each event once. No process but Redis ever ends, so a job is
called once. There is one exception, with --workers: a Redis that loses its data (killed, emptied, flushed) may lose
what a worker elsewhere has just written and nobody has read; then, and only then, the job may be called once more for
each such loss in its life. Exit 0: all kept; 1: the violations are listed; 77: no redis-server here.
"""
import argparse, collections, contextlib, faulthandler, json, pathlib, queue, random, signal, subprocess, sys
import tempfile, threading, time

from crash_load import BROKEN, FINAL, KINDS, Refused
from crash_loop import CrashLoop
from redis_faults import FAULTS, FIRST_PASSWORD
from redis_server import MISSING, RedisError, RedisServer
from redis_worker import Worker
from waiting import as_quick_as, fair, until

SUBMIT = "/v1/async/inference"
WORKER = """
log_level = "notice"
log_format = "text"
[broker]
redis = "{redis}"
[worker]
name = "w{number}"
[models.m]
url = "http://127.0.0.1:{port}/"
concurrency = 4
"""


class FlipLoop(CrashLoop):
    """The crash loop's load and last look, around a Redis that fails in the place of the gateway."""

    def __init__(self, options, folder):
        options.mode, options.synchronous, options.bin = "redis", "full", options.bin.resolve()
        super().__init__(options, folder, None)
        self.redis = RedisServer(folder / "redis", password=FIRST_PASSWORD).start()
        config = self.gateway.config.read_text()
        self.gateway.config.write_text(config.replace('"ring"', f'"auto"\nredis = "{self.redis.url}"'))
        port = self.model.server_address[1]
        self.workers = [
            Worker(options.bin, folder / f"w{n}", f"w{n}", WORKER.format(redis=self.redis.url, number=n, port=port))
            for n in range(options.workers)
        ]
        self.usual, self.taken, self.struck = [], [], 0.0
        self.asked_to_cancel, self.brokers = set(), collections.Counter()
        self.broker, self.heard, self.resting = None, [], threading.Event()

    # The flips.

    def flip(self):
        """One fault, from its beginning to its end; returns what it did, in words."""
        fault = FAULTS[self.random.choice(self.options.faults)]
        seconds = self.random.uniform(self.options.seconds_min, self.options.seconds_max)
        if fault.loses and self.workers:
            self.crashes += 1       # one more call is legal: see above
        fault.strike(self.redis)
        if fault.lasts:
            time.sleep(seconds)
        fault.mend(self.redis)
        mended = time.monotonic()
        if self.random.random() < 0.3:      # the next one comes before this one is over
            time.sleep(self.random.uniform(0, 1.5))
            return f"{fault}, {seconds if fault.lasts else 0:.2f} s"
        self.wait_redis(fault)
        back = time.monotonic() - mended
        time.sleep(self.random.uniform(0, 1.5))
        return f"{fault}, {seconds if fault.lasts else 0:.2f} s, in use again after {back:.2f} s"

    def wait_redis(self, what, within=15):
        """What is seen from now on counts: the last answer of readyz may be older than the fault's end.

        Patient: after an outage it takes 5 s at most, but a Redis that fails again and again may be watched longer.
        """
        begun, self.broker = time.monotonic(), None
        while self.broker != "redis":
            if time.monotonic() - begun > fair(within, begun):
                return self.findings.add("process", f"{what} {begun}", f"Redis, mended after {what}, is not in use "
                                         f"again within {within} s: {self.broker}")
            time.sleep(0.02)

    def watch(self, _):
        """Asks for readyz all the time."""
        def step(http):
            status, answer = http("GET", "/readyz")
            self.broker = json.loads(answer).get("broker")
            self.brokers[str(self.broker).partition(" ")[0]] += 1
            if status != 200:
                self.findings.add("answers", "readyz", f"readyz answered {status}: {answer[:200]!r}")
            time.sleep(0.02)

        self.until_over(step)

    def listener(self, chance):
        """Follows streams from their first event; since nothing crashes, none of them breaks off."""
        def step(http):
            try:
                event_id, _ = self.streams.get(timeout=0.02)
            except queue.Empty:
                return
            numbers, status = [], None
            try:
                for number, data in http.frames(event_id):
                    numbers.append(number)
                    status = self.event(event_id, number, data)["status"]
            except Refused as refused:
                return self.findings.add("lost", event_id, f"the stream of {event_id} answered {refused}")
            if status not in FINAL:
                self.findings.add("events", event_id, f"the stream of {event_id} ended with {status}")
            self.heard.append((event_id, numbers))

        self.until_over(step)

    def client(self, chance):
        """As the crash loop's, but it notes what it cancels and how long its submits take."""
        mine, pause = collections.deque(maxlen=32), self.options.clients / self.options.rate

        def act(http):
            draw = chance.random()
            if not mine or (draw < 0.8 and len(self.jobs) - len(self.calls) < 2000):
                return self.submit(http, chance, mine)
            job = self.ids_of[chance.choice(mine).nonce]
            if draw > 0.95:
                self.asked_to_cancel.add(job)
                status, answer = http("POST", f"/v1/inference/{job}/cancel")
            else:
                status, answer = http("GET", f"/v1/inference/{job}")
            if status == 200:
                self.seen(json.loads(answer))
            return status

        def step(http):
            def timed(method, path, *rest):
                begun = time.monotonic()
                answered = http(method, path, *rest)
                if path == SUBMIT:
                    self.taken.append(time.monotonic() - begun)
                return answered

            if self.resting.wait(0):
                return time.sleep(0.02)
            begun = time.monotonic()
            status = act(timed)
            self.answers[status] += 1
            if status >= 400 and status != 409:     # that one: the job of a POST that waits was cancelled
                self.findings.add("answers", status, f"a client got {status}")
            time.sleep(max(0.0, pause * chance.uniform(0.5, 1.5) - (time.monotonic() - begun)))

        self.until_over(step)

    # The last look.

    def check_job(self, http, job):
        super().check_job(http, job)
        status = self.finals.get(job, {}).get("status")
        if status in FINAL and status != "COMPLETED" and not (status == "CANCELLED" and job in self.asked_to_cancel):
            self.findings.add("answers", job, f"job {job} ended in {status}, and nobody asked for it")

    def check_heard(self):
        """Every listener heard all events of its job, each of them once. After `check_all`, which reads them all."""
        expected = collections.defaultdict(list)
        for number, (event_id, _) in sorted(self.events.items()):
            expected[event_id].append(number)
        for event_id, numbers in self.heard:
            if numbers != expected[event_id]:
                self.findings.add("events", event_id, f"a listener of {event_id} heard {numbers}, and not "
                                  f"{expected[event_id]}")

    def check_submits(self):
        if words := as_quick_as(self.usual, self.taken, fair(1.0, self.struck)):
            self.findings.add("answers", "p99", f"of the submits, {words}")

    def check_idle(self):
        begun = time.monotonic()
        while left := self.redis.leftovers():
            if time.monotonic() - begun > fair(15, begun):
                return [self.findings.add("stuck", words, words) for words in left]
            time.sleep(0.1)

    def end(self, threads):
        """Ends the load, once the listeners have read what there is."""
        begun = time.monotonic()
        while not self.streams.empty() and time.monotonic() - begun < fair(30, begun):
            time.sleep(0.05)
        self.over.set()
        for thread in threads:
            thread.join(60)
        if self.streams.qsize() or any(thread.is_alive() for thread in threads):
            self.findings.add("stuck", "streams", "streams of ended jobs do not end")
            faulthandler.dump_traceback()

    def run(self):
        """Returns the number of flips that were done."""
        done, threads = 0, []
        try:
            self.start()
            for worker in self.workers:
                worker.start()
            roles = [self.client] * self.options.clients + [self.listener] * self.options.listeners + [self.watch]
            draws = [random.Random(self.random.random()) for _ in roles]
            threads = [threading.Thread(target=role, args=[draw], daemon=True) for role, draw in zip(roles, draws)]
            for thread in threads:
                thread.start()
            self.wait_redis("the start")
            until(lambda: len(self.taken) >= 100, "a hundred submits before the first fault", 30)
            self.usual, self.taken, self.struck = self.taken, [], time.monotonic()
            for done in range(1, self.options.flips + 1):
                words = self.flip()
                if sys.stdout.isatty():
                    print(f"flip {done}/{self.options.flips}: {words}, {self.findings.total()} violations", flush=True)
            self.wait_redis("all")
            self.resting.set()
            self.check_all()
            self.end(threads)
            self.check_heard()
            self.check_submits()
            self.check_idle()
            for worker in self.workers:
                worker.stop()
            self.check_store()
        except (RuntimeError, AssertionError, RedisError, subprocess.SubprocessError, *BROKEN) as error:
            self.findings.add("process", "run", str(error))
        finally:
            self.over.set()
            for each in (*self.workers, self.redis):
                with contextlib.suppress(AssertionError):
                    each.close()
            if self.gateway.process and self.gateway.process.poll() is None:
                self.gateway.end()
            self.model.shutdown()
        return done


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="the gateway")
    parser.add_argument("--flips", type=int, default=10)
    parser.add_argument("--faults", type=lambda text: text.split(","), default=list(FAULTS), help=", ".join(FAULTS))
    parser.add_argument("--workers", type=int, default=0, help="elsewhere, beside the gateway's own slots")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--listeners", type=int, default=12)
    parser.add_argument("--rate", type=float, default=200, help="requests per second of all clients, at most")
    parser.add_argument("--seconds-min", type=float, default=0.2, help="of a fault, at least")
    parser.add_argument("--seconds-max", type=float, default=3.5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    options = parser.parse_args(arguments)
    if unknown := set(options.faults) - FAULTS.keys():
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    return options


def main(arguments=None):
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if MISSING:
        print(MISSING)
        return 77
    with tempfile.TemporaryDirectory(prefix="inferq-flips-") as folder:
        loop = FlipLoop(options, pathlib.Path(folder))
        begun = time.monotonic()
        flips = loop.run()
    counts = loop.findings.counts(KINDS)
    line = (f"{len(loop.jobs)} acknowledged, {flips} flips, {options.workers} workers, {len(loop.heard)} listeners: "
          f"{counts}; answers {dict(sorted(loop.answers.items()))}, readyz {dict(loop.brokers)}, "
          f"{time.monotonic() - begun:.0f} s, seed {options.seed}")
    return loop.findings.report(KINDS, line)


if __name__ == "__main__":
    sys.exit(main())
