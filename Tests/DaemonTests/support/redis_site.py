#!/usr/bin/env python3
"""A site of six hosts under load, to which everything happens: two gateways, three workers, one Redis.

    redis_site.py --bin .build/debug/inferq
    redis_site.py --bin .build/debug/inferq --freeze 16 --cut 8 --network loopback

A worker is killed (-9) and another one frozen for 30 s and then woken; a gateway is killed and started again; Redis is
cut off for 20 s. Every acknowledged job ends COMPLETED, once, with the answer of its last attempt; listeners hear each
event once; the jobs of the two workers are put back within 15 s, and nothing else is ever interrupted: a second call is
legal for what those two had taken, and for nothing else. Hosts are network namespaces where root can make them.
Exit 0: all kept; 1: the violations are listed; 77: no redis-server here.
"""
import argparse, collections, contextlib, dataclasses, datetime, http.client, itertools, json, pathlib, queue, random
import signal, socketserver, subprocess, sys, tempfile, threading, time, urllib.parse

import crash_load
from crash_load import BROKEN, FINAL, KINDS, Findings, Http, ModelConnection, Refused, digest
from ports import free_port
from redis_hosts import Loopbacks, Namespaces, namespaces_impossible
from redis_process import Process
from redis_server import MISSING, Link, RedisServer
from redis_worker import BAD, Worker
from waiting import as_quick_as, fair, until

GATEWAYS, WORKERS = ("a", "b"), ("w1", "w2", "w3")
SLOTS, LOST = 8, 15.0       # of each worker; seconds until the jobs of a dead one are put back
GATEWAY = """
listen = ["{host}:{port}"]
heartbeat = "2s"
log_level = "notice"
log_format = "text"
[access]
open_network = true
[store]
path = "{folder}/inferq.db"
min_free = "1MiB"
ballast = "1MiB"
[broker]
kind = "auto"
redis = "{redis}"
[models.m]
max_attempts = 2
backoff = {{ base = "10ms", cap = "50ms" }}
"""
WORKER = """
log_level = "notice"
log_format = "text"
[broker]
redis = "{redis}"
[worker]
name = "{name}"
[models.m]
url = "http://{model[0]}:{model[1]}/"
concurrency = {slots}
headers = {{ "X-Worker" = "{name}" }}
"""


class At(Http):
    """One kept-alive connection to any address."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(*address, timeout=15)
        self.close = self.connection.close


class GatewayHost(Process):
    """A gateway on its host. While it `is_away`, by our own doing, its clients bear broken connections."""

    def __init__(self, binary, folder, name, address, redis, launcher):
        folder.mkdir(mode=0o700)
        self.name, self.address, self.is_away = name, address, False
        self.url = "http://%s:%s" % address
        config = folder / "inferq.toml"
        config.write_text(GATEWAY.format(host=address[0], port=address[1], folder=folder, redis=redis))
        super().__init__([binary, "serve", "--config", config], folder / "gateway.log", launcher)

    def start(self):
        self.launch()
        until(self.broker, f"readyz of gateway {self.name}:\n{self.log()[-2000:]}", 20, 0.02)

    def broker(self):
        """The broker that readyz names; nothing if it does not answer 200."""
        with contextlib.suppress(*BROKEN, ValueError), At(self.address) as get:
            status, answer = get("GET", "/readyz")
            return json.loads(answer)["broker"] if status == 200 else None

    def wait_broker(self, word, within):
        until(lambda: (self.broker() or "").split(" ")[0] == word, f"{word} at gateway {self.name}", within, 0.02)

    def workers(self):
        with At(self.address) as get:
            return {each["name"] for each in json.loads(get("GET", "/v1/workers")[1])["results"]}


@dataclasses.dataclass
class Call:
    """One call of the model server."""

    worker: str
    attempt: int
    begun: float
    ended: float | None = None


class Model(crash_load.ModelServer):
    """The model server of all workers, which tell who they are; each call takes as long as its input asks for."""

    def __init__(self, host, findings):
        socketserver.ThreadingTCPServer.__init__(self, (host, free_port()), ModelConnection)
        self.calls, self.inputs, self.findings = collections.defaultdict(list), {}, findings
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def called(self, headers, body):
        job, worker = headers["x-inference-id"], headers["x-worker"]
        call = Call(worker, int(headers["x-attempt"]), time.monotonic())
        self.calls[job].append(call)
        asked = json.loads(body)
        if self.inputs.get(asked["n"]) != digest(body):
            self.findings.add("bytes", job, f"job {job}: the model server got other bytes than were sent")
        time.sleep(asked["ms"] / 2000)
        if asked["ms"] >= 100:
            self.tell_progress(headers)
        time.sleep(asked["ms"] / 2000)
        call.ended = time.monotonic()
        return json.dumps({"n": asked["n"], "attempt": call.attempt, "pad": "x" * asked.get("answer", 0)}).encode()

    def tell_progress(self, headers):
        url = urllib.parse.urlsplit(headers["x-notify-url"])
        event = {"event_id": headers["x-event-id"], "detail_type": "Inf:Task:Notify", "detail": {"progress": 0.5}}
        token = {"Content-Type": "application/json", "X-Notify-Token": headers["x-notify-token"]}
        with contextlib.suppress(*BROKEN), At((url.hostname, url.port)) as post:
            status, answer = post("POST", url.path, json.dumps(event), token)
            if status not in (201, 409):        # 409: the attempt was interrupted
                self.findings.add("answers", status, f"a model server's report was answered {status}: {answer[:200]}")

    def open_at(self, *workers):
        """The jobs that are called now by these workers, with their attempts."""
        calls = ((job, call) for job, calls in list(self.calls.items()) for call in list(calls))
        return {job: call.attempt for job, call in calls if call.worker in workers and call.ended is None}


class Clients:
    """Those of one gateway: what they sent and heard."""

    nonces = itertools.count()

    def __init__(self, site, gateway):
        self.site, self.gateway, self.findings = site, gateway, site.findings
        self.jobs, self.taken, self.heard, self.streams = {}, [], [], queue.Queue()
        self.resting, self.over = threading.Event(), threading.Event()
        self.threads = []

    def begin(self, chance):
        for role in [self.submit] * 2 + [self.listen] * 6 + [self.watch]:
            draw = random.Random(chance.random())
            self.threads.append(threading.Thread(target=self.repeat, args=[role, draw], daemon=True))
            self.threads[-1].start()

    def repeat(self, role, chance):
        with At(self.gateway.address) as http:
            while not self.over.is_set():
                try:
                    role(http, chance)
                except BROKEN as error:
                    http.close()
                    if not self.gateway.is_away:
                        self.findings.add("process", repr(error), f"gateway {self.gateway.name}: broken, {error!r}")
                    time.sleep(0.02)
                except (ValueError, LookupError, TypeError) as error:
                    self.findings.add("answers", repr(error), f"not the answer that was expected: {error!r}")

    def submit(self, http, chance):
        if self.resting.wait(2 / self.site.options.rate * chance.uniform(0.5, 1.5)):
            return time.sleep(0.02)
        nonce, draw = next(self.nonces), chance.random()
        asked = {"n": nonce, "ms": 5 if draw < 0.6 else chance.randrange(50, 400)}
        if draw > 0.9:
            asked["ms"] = chance.randrange(1000, 3000)
        if chance.random() < 0.05:
            asked["pad"] = "x" * chance.randrange(70_000, 200_000)
        if chance.random() < 0.05:
            asked["answer"] = 100_000
        sent = json.dumps(asked).encode()
        self.site.model.inputs[nonce] = digest(sent)
        body = b'{"model":"m","input":%s}' % sent
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"k-{nonce}"}
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                status, answer = http("POST", "/v1/async/inference", body, headers)
            except BROKEN:
                http.close()
                if not self.gateway.is_away:
                    raise
                time.sleep(0.02)
                continue        # with its key, until it is known whether it is there
            if status != 202:
                return self.findings.add("answers", status, f"a submit was answered {status}: {answer[:200]}")
            if not self.gateway.is_away:
                self.taken.append(time.monotonic() - begun)
            record = json.loads(answer)
            self.jobs[record["id"]] = (nonce, record["event_id"])
            return self.streams.put((record["event_id"], []))

    def listen(self, http, chance):
        try:
            event_id, numbers = self.streams.get(timeout=0.02)
        except queue.Empty:
            return
        status = None
        try:
            for number, data in http.frames(event_id, after=numbers[-1] if numbers else None):
                numbers.append(number)
                status = json.loads(data)["status"]
        except Refused as refused:
            return self.findings.add("lost", event_id, f"the stream of {event_id} was answered {refused}")
        except BROKEN:
            self.streams.put((event_id, numbers))
            raise
        if status in FINAL:
            return self.heard.append((event_id, numbers))
        self.streams.put((event_id, numbers))
        raise ConnectionError(f"the stream of {event_id} ended with {status}")

    def watch(self, http, chance):
        status, answer = http("GET", "/readyz")
        if status != 200:
            self.findings.add("answers", "readyz", f"readyz of gateway {self.gateway.name}: {status} {answer[:200]}")
        time.sleep(0.05)

    # The last look.

    def rest(self):
        """No more submits; returns once all jobs have ended, or after a minute."""
        self.resting.set()
        with At(self.gateway.address) as http:
            for _ in range(600):
                page = http("GET", "/v1/inference?status=PENDING&status=RUNNING&limit=1")[1]
                if not json.loads(page)["results"]:
                    break
                time.sleep(0.1)
        begun = time.monotonic()
        while len(self.heard) < len(self.jobs) and time.monotonic() - begun < fair(20, begun):
            time.sleep(0.05)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def check(self):
        heard = collections.defaultdict(list)
        for event_id, numbers in self.heard:
            heard[event_id].append(numbers)
        with At(self.gateway.address) as http:
            self.check_list(http)
            for job, (nonce, event_id) in self.jobs.items():
                status, answer = http("GET", f"/v1/inference/{job}")
                if status != 200:
                    self.findings.add("lost", job, f"job {job}, acknowledged, is answered {status}")
                    continue
                history = self.history(http, event_id)
                if heard[event_id] != [[event["id"] for event in history]]:
                    self.findings.add("events", job, f"the listener of {job} heard {heard[event_id]}, and not "
                                      f"{[event['id'] for event in history]}")
                self.check_job(job, nonce, json.loads(answer), history)

    def history(self, http, event_id):
        events, after = [], 0
        while after is not None:
            page = json.loads(http("GET", f"/v1/notifications/{event_id}?limit=1000&after={after}")[1])
            events += page["results"]
            after = page["next"] if page["results"] else None
        return events

    def check_list(self, http):
        listed, page = [], "/v1/inference?limit=1000"
        while page:
            answer = json.loads(http("GET", page)[1])
            listed += [record["id"] for record in answer["results"]]
            page = answer["next"] and f"/v1/inference?limit=1000&cursor={answer['next']}"
        if sorted(listed) != sorted(self.jobs):
            self.findings.add("lost", self.gateway.name, f"gateway {self.gateway.name} lists {len(listed)} jobs, "
                              f"acknowledged were {len(self.jobs)}, in common {len(set(listed) & self.jobs.keys())}")

    def check_job(self, job, nonce, record, history):
        calls, add = self.site.model.calls[job], self.findings.add
        if record["status"] != "COMPLETED":
            kind = "answers" if record["status"] in FINAL else "stuck"
            return add(kind, job, f"job {job} is {record['status']}: {record['error']}")
        output = record["output"]
        if (output["n"], output["attempt"]) != (nonce, record["attempt"]):
            add("bytes", job, f"job {job} of attempt {record['attempt']} has the answer to {output['n']}, attempt "
                f"{output['attempt']}")
        numbers = [event["id"] for event in history]
        finals = [event["status"] for event in history if event["status"] in FINAL]
        if numbers != sorted(set(numbers)) or finals != ["COMPLETED"] or history[-1]["status"] != "COMPLETED":
            add("finals", job, f"job {job} has the events {[(e['id'], e['status']) for e in history]}")
        attempts = [call.attempt for call in calls]
        if len(attempts) != len(set(attempts)) or max(attempts) != record["attempt"]:
            add("calls", job, f"job {job} of attempt {record['attempt']} was called as {attempts}")
        early = {call.worker for call in calls if call.attempt < record["attempt"]}
        if not early <= self.site.struck.keys():
            add("calls", job, f"job {job} was interrupted at {sorted(early)}, to which nothing had happened")
        for event, running in (("a cut", self.site.at_cut), ("a restart", self.site.at_restart)):
            if running.get(job) not in (None, record["attempt"]):
                add("calls", job, f"job {job}, attempt {running[job]} of which ran at {event}, had attempt "
                    f"{record['attempt']}: {[(call.worker, call.attempt) for call in calls]}, {history}")
        self.check_put_back(job, record, history)

    def check_put_back(self, job, record, history):
        """What ran at a worker that was killed or frozen is PENDING again within 15 s, with a word about it."""
        struck = {call.worker for call in self.site.model.calls[job] if call.attempt < record["attempt"]}
        for event in history[1:]:
            if event["status"] == "PENDING":
                at = datetime.datetime.fromisoformat(event["timestamp"]).timestamp()
                late = min((at - self.site.struck[worker] for worker in struck & self.site.struck.keys()), default=0)
                if late > fair(LOST, self.site.hurt_at):
                    self.findings.add("stuck", job, f"job {job} was put back after {late:.1f} s")
                if "interrupted" not in event["data"].get("message", ""):
                    self.findings.add("events", event["id"], f"no word of an interruption: {event['data']}")


class Site:
    def __init__(self, options, folder):
        self.options, self.random, self.findings = options, random.Random(options.seed), Findings()
        names = ("redis", *GATEWAYS, *WORKERS)
        self.hosts = Namespaces(names) if options.network == "namespaces" else Loopbacks(names)
        self.redis = RedisServer(
            folder / "redis", host=self.hosts.address("redis"), launcher=self.hosts.launcher("redis")
        )
        self.link = None if options.network == "namespaces" else Link(self.redis.address)
        self.redis_url = (self.link or self.redis).url
        self.model = Model(self.hosts.OWN, self.findings)
        self.gateways = {
            name: GatewayHost(
                options.bin, folder / name, name, (self.hosts.address(name), free_port()), self.redis_url,
                self.hosts.launcher(name),
            )
            for name in GATEWAYS
        }
        model = self.model.server_address
        self.workers = {
            name: Worker(
                options.bin, folder / name, name,
                WORKER.format(name=name, redis=self.redis_url, model=model, slots=SLOTS), self.hosts.launcher(name),
            )
            for name in WORKERS
        }
        self.clients = {name: Clients(self, gateway) for name, gateway in self.gateways.items()}
        # When a worker was killed or frozen, in seconds of the epoch; what ran when the others were hurt.
        self.struck, self.at_restart, self.at_cut = {}, {}, {}
        self.usual, self.hurt_at = [], time.monotonic()

    def say(self, words):
        if sys.stdout.isatty():
            print(f"{words}; {self.findings.total()} violations", flush=True)

    def begin(self):
        self.redis.start()
        for gateway in self.gateways.values():
            gateway.start()
        for worker in self.workers.values():
            worker.start()
        for gateway in self.gateways.values():
            gateway.wait_broker("redis", 10)
        for clients in self.clients.values():
            clients.begin(self.random)

    def hurt_workers(self):
        """One is killed, one frozen; their jobs must be put back within 15 s."""
        until(lambda: self.model.open_at("w1") and self.model.open_at("w2"), "calls at both workers", 20)
        now = time.time()
        self.struck |= {"w1": now, "w2": now}
        self.workers["w1"].kill()
        self.workers["w2"].freeze()
        self.say(f"w1 is killed, w2 frozen, with {len(self.model.open_at('w1', 'w2'))} jobs")
        frozen = time.monotonic()
        time.sleep(min(LOST, self.options.freeze))
        self.restart_gateway()
        time.sleep(max(0.0, frozen + self.options.freeze - time.monotonic()))
        self.workers["w2"].thaw()
        for gateway in self.gateways.values():
            until(lambda each=gateway: "w2" in each.workers(), f"w2, woken, at gateway {gateway.name}")
        self.say("w2 is awake again")

    def restart_gateway(self):
        gateway = self.gateways["a"]
        until(lambda: self.model.open_at("w3"), "calls at the worker that is well", 20)
        gateway.is_away = True
        self.at_restart = self.model.open_at("w3")
        gateway.kill()
        gateway.start()
        time.sleep(0.5)     # for clients in the middle of something that broke
        gateway.is_away = False
        gateway.wait_broker("redis", 10)
        self.say("gateway a is killed and started again")

    def cut_redis(self):
        until(lambda: self.model.open_at("w2", "w3"), "calls at the workers", 20)
        self.link.silence() if self.link else self.hosts.pull("redis")
        cut = time.monotonic()
        self.at_cut = self.model.open_at("w2", "w3")
        for gateway in self.gateways.values():
            gateway.wait_broker("ring", 4)
        time.sleep(max(0.0, cut + self.options.cut - time.monotonic()))
        self.link.mend() if self.link else self.hosts.plug("redis")
        for gateway in self.gateways.values():
            gateway.wait_broker("redis", 10)
        self.say(f"Redis was cut off, with {len(self.at_cut)} jobs at work")

    def check_foreign(self):
        """What the other gateway has is 421, with its URL."""
        for own, other in (GATEWAYS, GATEWAYS[::-1]):
            with At(self.gateways[own].address) as http:
                for job in list(self.clients[other].jobs)[:20]:
                    response = http.open("GET", f"/v1/inference/{job}")
                    response.read()
                    seen = (response.status, response.headers["Location"])
                    if seen != (421, f"{self.gateways[other].url}/v1/inference/{job}"):
                        self.findings.add("answers", job, f"gateway {own}, asked for a job of {other}: {seen}")

    def check_end(self):
        try:
            until(lambda: not self.redis.leftovers(), "an idle Redis", 15, 0.1)
        except AssertionError:
            for words in self.redis.leftovers():
                self.findings.add("stuck", words, words)
        for name in ("w2", "w3", *GATEWAYS):
            process = self.workers.get(name) or self.gateways[name]
            process.terminate()
            if code := process.process.wait(60):
                self.findings.add("process", name, f"exit code {code} of {name} at SIGTERM")
            for line in BAD.findall(process.log()):
                self.findings.add("process", line, f"{name}: {line}")

    def check_submits(self):
        taken = list(itertools.chain(*(clients.taken for clients in self.clients.values())))
        if words := as_quick_as(self.usual, taken, fair(1.0, self.hurt_at)):
            self.findings.add("answers", "p99", f"of the submits, {words}")

    def measure_usual(self):
        """What submits take before anything happens."""
        def count():
            return sum(len(clients.taken) for clients in self.clients.values())

        until(lambda: count() >= 30, "thirty submits before anything happens", 30)
        for clients in self.clients.values():
            self.usual += clients.taken
            clients.taken = []
        self.hurt_at = time.monotonic()

    def run(self):
        try:
            self.begin()
            time.sleep(self.options.calm)
            self.measure_usual()
            self.hurt_workers()
            time.sleep(self.options.calm)
            self.cut_redis()
            time.sleep(self.options.calm)
            for clients in self.clients.values():
                clients.rest()
            for clients in self.clients.values():
                clients.end()
                clients.check()
            self.check_submits()
            self.check_foreign()
            self.check_end()
        except (AssertionError, ValueError, subprocess.SubprocessError, *BROKEN) as error:
            self.findings.add("process", "run", repr(error))
        finally:
            for clients in self.clients.values():
                clients.over.set()
            for each in (*self.workers.values(), *self.gateways.values(), self.redis):
                if each.is_running:
                    each.kill()
            self.model.shutdown()


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bin", type=lambda text: pathlib.Path(text).resolve(), required=True, help="inferq")
    parser.add_argument("--freeze", type=float, default=30, help="seconds for which a worker is frozen")
    parser.add_argument("--cut", type=float, default=20, help="seconds for which Redis is cut off")
    parser.add_argument("--calm", type=float, default=3, help="seconds between what happens")
    parser.add_argument("--rate", type=float, default=12, help="submits per second at each gateway, at most")
    parser.add_argument("--network", choices=["auto", "namespaces", "loopback"], default="auto")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    options = parser.parse_args(arguments)
    if options.network == "auto":
        options.network = "loopback" if namespaces_impossible() else "namespaces"
    return options


def main(arguments=None):
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if MISSING:
        print(MISSING)
        return 77
    with tempfile.TemporaryDirectory(prefix="inferq-site-") as folder:
        begun = time.monotonic()
        site = Site(options, pathlib.Path(folder))
        site.run()
    acknowledged = {name: len(clients.jobs) for name, clients in site.clients.items()}
    again = sum(len(calls) > 1 for calls in site.model.calls.values())
    reason = namespaces_impossible() if options.network == "loopback" else None
    line = (f"{acknowledged} acknowledged, on {site.hosts}{f' ({reason})' if reason else ''}, {again} called again, "
            f"{len(site.at_restart)} and {len(site.at_cut)} at work when a gateway and Redis went: "
            f"{site.findings.counts(KINDS)}; {time.monotonic() - begun:.0f} s, seed {options.seed}")
    return site.findings.report(KINDS, line)


if __name__ == "__main__":
    sys.exit(main())
