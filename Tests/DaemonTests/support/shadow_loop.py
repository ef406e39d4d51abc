#!/usr/bin/env python3
"""Cuts the power of a gateway under load, on an exact model of a disk, and checks that it kept every promise.

    shadow_loop.py --bin .build/debug/inferq --cycles 60
    shadow_loop.py --bin .build/debug/inferq --cycles 40 --fail 0.5 --wal-limit 64MiB

Needs no root. The disk (shadow_disk.c, shadow_disk.py) keeps a byte once its file was synced and a name once its folder
was; in mode torn it keeps random sectors of the rest, too. Each cycle starts the gateway on what a cut has left, loads
it with clients, large bodies, reports, cancels, removals and the retention, and kills it; then the power is cut, and
once more at moments of the past, on copies. With --fail, in that share of the lives a sync fails with EIO: the gateway
must end, starts again on what the kernel still shows, and is cut later. Exit 0: all kept; 1: the violations are listed.
"""
import argparse, contextlib, faulthandler, json, pathlib, random, signal, sys, tempfile, time

import shadow_disk
from crash_load import BROKEN, KINDS, Http, digest
from crash_loop import CrashLoop, Gateway

NOT_LOST = (200, 410)       # there, or removed: by a client or by the retention
ENDED = (73, 74)            # of a process that met a sync that failed: at its start, or later


class Disk:
    """Stands where the crash loop has a file system whose power can be cut."""

    def __init__(self, folder, library, chance, modes):
        self.mount, self.log, self.library = folder, folder.parent / "log", library
        self.chance, self.modes = chance, modes
        self.mount.mkdir()
        self.base = shadow_disk.Shadow(self.mount / "store")        # as it was when the process began
        self.begun = self.end = 0       # places in the log: where the process began, and where the power was cut
        self.problems, self.compared = [], 0
        self.look_back = None

    def environment(self, fail_at, delay):
        return {"LD_PRELOAD": str(self.library), "SHADOW_FOLDER": self.base.folder, "SHADOW_LOG": str(self.log),
                "SHADOW_FAIL_AT": str(fail_at), "SHADOW_DELAY": str(delay)}

    def size(self):
        return self.log.stat().st_size if self.log.exists() else 0

    def begin_process(self):
        self.base.begin_process()
        self.begun = self.size()

    def tear(self):
        return self.chance if self.chance.choice(self.modes) == "torn" else None

    def replay(self, until=None, chance=None):
        shadow = self.base.copy()
        for record in shadow_disk.records(self.log, self.begun):
            if until is not None and record.end > until:
                break
            shadow.apply(record, chance)
        return shadow

    def compare(self):
        """After the kill: nothing that the process did has escaped the records."""
        shadow = self.replay()
        self.compared += 1
        self.problems += shadow.differences()
        return shadow

    def cut(self):
        self.end = self.size()

    def cut_under(self, process, sees=False):
        """The process need not be stopped: what it does from here on is written down, and is left out."""
        self.cut()

    def detach(self):
        self.compare()
        chance = self.tear()
        shadow = self.replay(self.end, chance)
        self.answers, self.image = shadow.answers, shadow.image(chance)
        self.look_back()

    def attach(self):
        shadow_disk.lay(self.image, self.base.folder, self.base.folder)
        self.base = shadow_disk.Shadow(self.base.folder, self.image)
        self.log.unlink(missing_ok=True)

    def go_on(self):
        """No cut: the kernel shows the next process all that the one before has written."""
        self.base = self.compare()


class ShadowGateway(Gateway):
    before = staticmethod(lambda: None)

    def spawn(self):
        self.before()
        super().spawn()


class ShadowLoop(CrashLoop):
    expected = (409, 410, 502)

    def __init__(self, options, folder, disk):
        super().__init__(options, folder, disk)
        self.is_failing, self.failures, self.past_cuts, self.looked = False, 0, 0, 0
        self.removed, self.settled, self.alive = set(), [], set()
        self.until = time.monotonic() + options.seconds
        self.gateway = ShadowGateway(options.bin, folder, self.gateway.store, self.model.server_address[1],
                                     options.synchronous, self.table(options.retention))
        self.gateway.before = self.begin_process
        copy = folder / "past"
        (copy / "store").mkdir(parents=True, mode=0o700)
        # Its jobs stay where they are: no one listens at this port.
        self.past = Gateway(options.bin, copy, copy / "store", 9, options.synchronous, self.table("0s"))
        disk.look_back = self.look_back

    def table(self, retention):
        return f'ballast = "0B"\nwal_limit = "{self.options.wal_limit}"\nretention = "{retention}"'

    # Lives

    def begin_process(self):
        self.disk.begin_process()
        fail_at = self.random.randrange(1, 150) if self.is_failing else 0
        self.gateway.environment = self.disk.environment(fail_at, self.random.choice((0, 2_500, 10_000)))

    def is_dying(self):
        return self.is_failing or super().is_dying()

    def start(self):
        try:
            return super().start()
        except RuntimeError:
            if not self.is_failing or self.gateway.process.poll() not in ENDED:
                raise
            self.go_on()
            return super().start()

    def cycle(self):
        self.is_failing = self.random.random() < self.options.fail
        return super().cycle()

    def crash(self):
        if not self.is_failing:
            return super().crash()
        self.crash_at = time.monotonic()
        self.gateway.process.kill()
        if self.gateway.process.wait(30) in ENDED:
            return self.go_on()
        self.is_failing = False
        self.crashes += 1
        self.disk.cut()
        self.disk.detach()
        self.disk.attach()

    def go_on(self):
        self.is_failing = False
        self.failures += 1
        self.crashes += 1
        self.disk.go_on()

    def look_back(self):
        """Cuts at moments of the past; then what is to be checked at the next start."""
        for _ in range(self.options.past):
            disk = self.disk
            chance = disk.tear()
            shadow = disk.replay(self.random.randint(disk.begun, max(disk.begun, disk.end)), chance)
            shadow_disk.lay(shadow.image(chance), disk.base.folder, self.past.store)
            older = self.random.sample(self.settled, min(50, len(self.settled)))
            self.past_cuts += 1
            try:
                self.past.start()
                with Http(self.past.port) as http:
                    for job in {*shadow.answers, *older}:
                        self.check_past(http, job)
            except (RuntimeError, *BROKEN) as error:
                self.findings.add("process", repr(error), f"after a cut in the past: {error}")
            if self.past.process.poll() is None:
                self.past.end()
        # A 202 that was on its way counts as well, no matter who heard it.
        self.fresh += self.disk.answers.keys() - set(self.fresh)
        self.settled = list(self.jobs)

    def check_past(self, http, job):
        self.looked += 1
        status, answer = http("GET", f"/v1/inference/{job}")
        if status not in NOT_LOST:
            self.findings.add("lost", job, f"job {job}, acknowledged, answers {status} after a cut in the past")
        if status == 200 and (submit := self.jobs.get(job)) and not submit.input:
            status, answer = http("GET", f"/v1/inference/{job}/input")
            if status not in NOT_LOST or (status == 200 and digest(answer) != self.inputs[submit.nonce]):
                self.findings.add("bytes", job, f"the input of {job} answers {status} after a cut in the past")

    # Load and checks

    def roles(self):
        return super().roles() + [self.remover]

    def remover(self, chance):
        """Removes ended jobs: what it was told is gone must not come back."""
        def step(http):
            time.sleep(chance.uniform(0, 0.1))
            # With a job of a client's own key goes its key, too, which is free again then.
            ended = [job for job in list(self.finals)[-50:] if job in self.jobs.keys() - self.removed
                     and not self.jobs[job].key]
            if ended:
                job = chance.choice(ended)
                status, _ = http("DELETE", f"/v1/inference/{job}")
                if status == 204 and not self.is_off():
                    self.removed.add(job)

        self.until_over(step)

    def check_exists(self, http, job):
        self.looked += 1
        status, answer = http("GET", f"/v1/inference/{job}")
        if status not in NOT_LOST:
            self.findings.add("lost", job, f"job {job}, acknowledged, answers {status}")
        if status != 200:
            return None
        if job in self.removed:
            self.findings.add("lost", job, f"job {job} was removed and is there again")
        record = json.loads(answer)
        self.seen(record)
        return record

    def check_events(self, http, job, record):
        self.alive.add(record["event_id"])
        super().check_events(http, job, record)

    def check_all(self):
        """Of what the retention has left; it stands still meanwhile."""
        config = self.gateway.config.read_text()
        self.gateway.config.write_text(config.replace(f'"{self.options.retention}"', '"0s"'))
        self.gateway.end(signal.SIGTERM)
        self.is_failing = False
        self.start()
        with Http(self.gateway.port) as http:
            for _ in range(600):
                if not json.loads(http("GET", "/v1/inference?status=PENDING&status=RUNNING&limit=1")[1])["results"]:
                    break
                time.sleep(0.05)
        self.spread(self.check_job, list(self.jobs))
        for number, (event_id, _) in self.events.items():
            if event_id in self.alive and number not in self.confirmed:
                self.findings.add("events", number, f"event {number} of {event_id} was seen and is gone")

    def run(self):
        done = super().run()
        for words in self.disk.problems:
            self.findings.add("process", words, f"the records are not what happened: {words}")
        return done


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="the gateway")
    parser.add_argument("--cycles", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no cycle begins after so many of them")
    parser.add_argument("--past", type=int, default=2, help="cuts at moments of the past, after each cycle")
    parser.add_argument("--modes", default="strict,torn", help="what the disk does with what was not synced")
    parser.add_argument("--fail", type=float, default=0, help="share of the lives in which a sync fails")
    parser.add_argument("--wal-limit", default="1MiB", help="of the store; a checkpoint after each quarter of it")
    parser.add_argument("--retention", default="4s")
    parser.add_argument("--synchronous", choices=["full", "normal"], default="full", help="of the store")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, default=200, help="requests per second of all clients, at most")
    parser.add_argument("--seconds-min", type=float, default=0.05, help="of load before a cut, at least")
    parser.add_argument("--seconds-max", type=float, default=2)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--stop-at-loss", action="store_true", help="end at the first lost job")
    options = parser.parse_args(arguments)
    options.mode = "power"
    options.modes = options.modes.split(",")
    return options


def main(arguments=None):
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    faulthandler.register(signal.SIGUSR1)       # for anyone who wonders what it waits for
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inferq-shadow-")))
        disk = Disk(folder / "disk", shadow_disk.build(folder), random.Random(options.seed), options.modes)
        loop = ShadowLoop(options, folder, disk)
        begun = time.monotonic()
        cycles = loop.run()
    counts = loop.findings.counts(KINDS)
    line = (f"{len(loop.jobs)} acknowledged, {cycles} cycles, {loop.crashes} crashes, {loop.failures} failed syncs, "
          f"{loop.past_cuts} cuts in the past, {loop.looked} looks, {disk.compared} comparisons: {counts}; "
          f"answers {dict(sorted(loop.answers.items()))}, slowest start {loop.slowest:.2f} s, "
          f"{time.monotonic() - begun:.0f} s, seed {options.seed}")
    return loop.findings.report(KINDS, line)


if __name__ == "__main__":
    sys.exit(main())
