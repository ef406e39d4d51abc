"""The load of the crash loop: clients, listeners and a model server, which note all that they were promised."""

import collections, contextlib, dataclasses, hashlib, http.client, itertools, json, queue, random, socketserver
import threading, time

FINAL = ("COMPLETED", "ERROR", "CANCELLED")
BROKEN = (OSError, http.client.HTTPException)
KINDS = {
    "lost": "lost",
    "stuck": "stuck",
    "finals": "without exactly one final event",
    "changed": "whose final state changed",
    "reused": "ids given twice",
    "events": "events lost, changed or out of order",
    "calls": "called too often",
    "bytes": "with other bytes",
    "answers": "wrong answers",
    "process": "faults of process or store",
}


def digest(data):
    return hashlib.sha256(data if isinstance(data, bytes) else json.dumps(data, sort_keys=True).encode()).hexdigest()


class Findings:
    """Violations by kind, each counted once per key."""

    def __init__(self):
        self.by_kind = {kind: {} for kind in KINDS}

    def add(self, kind, key, words):
        self.by_kind[kind].setdefault(key, words)

    def counts(self, kinds):
        return ", ".join(f"{len(self.by_kind[kind])} {words}" for kind, words in kinds.items())

    def report(self, kinds, line):
        """Prints the line and what was found, ten of a kind; returns the exit code."""
        print(line)
        for kind, words in kinds.items():
            for text in list(self.by_kind[kind].values())[:10]:
                print(f"  {words}: {text}")
        return 1 if self.total() else 0

    def total(self):
        return sum(map(len, self.by_kind.values()))


class Refused(Exception):
    """A stream that was answered with another status than 200, its argument."""


class Http(contextlib.AbstractContextManager):
    """One kept-alive connection to the gateway, opened at need."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        self.close = self.connection.close

    def __exit__(self, *_):
        self.close()

    def open(self, method, path, body=None, headers={}):
        self.connection.request(method, path, body, headers)
        return self.connection.getresponse()

    def __call__(self, method, path, body=None, headers={}):
        response = self.open(method, path, body, headers)
        return response.status, response.read()     # a body that was cut off raises

    def frames(self, event_id, after=None, patience=float("inf")):
        """(id, data) of every whole frame, as it comes, until the stream or the gateway or `patience` seconds end."""
        until = time.monotonic() + patience     # looked at with every line: a heartbeat comes after 2 s
        headers = {"Last-Event-ID": str(after)} if after else {}
        response = self.open("GET", f"/v1/async/notify/{event_id}", headers=headers)
        if response.status != 200:
            response.read()
            raise Refused(response.status)
        number = data = None
        while (line := response.readline()).endswith(b"\n"):
            name, _, value = line[:-1].partition(b": ")
            number, data = (int(value) if name == b"id" else number), (value if name == b"data" else data)
            if line == b"\n" and data is not None:
                yield number, data
                number = data = None
            if time.monotonic() > until:
                self.close()
                return


class ModelServer(socketserver.ThreadingTCPServer):
    """Answers within 3 ms, where the input does not ask for more; `called(headers, body)` gives the answer."""

    daemon_threads = allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, called):
        super().__init__(("127.0.0.1", 0), ModelConnection)
        self.called = called
        threading.Thread(target=self.serve_forever, daemon=True).start()


class ModelConnection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        with contextlib.suppress(OSError, ValueError):      # the gateway is killed in the middle of everything
            while self.line():
                fields = (line.partition(":") for line in iter(self.line, ""))
                headers = {name.lower(): value.strip() for name, _, value in fields}
                body = self.body(headers)
                answer = self.server.called(headers, body)
                head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
                self.wfile.write(head.encode() + answer)

    def body(self, headers):
        if "chunked" not in headers.get("transfer-encoding", ""):
            return self.whole(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self.line(), 16):
            body += self.whole(size + 2)[:-2]
        self.line()
        return body

    def line(self):
        line = self.rfile.readline().decode("latin-1")
        if not line.endswith("\n"):
            raise OSError("cut off")
        return line.strip()

    def whole(self, size):
        data = self.rfile.read(size)
        if len(data) < size:
            raise OSError("cut off")
        return data


@dataclasses.dataclass
class Submit:
    """One request, kept to be compared with what comes of it."""

    nonce: int
    body: bytes
    input: bytes | None     # of a large one the digest alone is kept, once it is acknowledged
    key: str | None
    crashes: int
    event_id: str | None = None


class Load:
    """What clients, listeners and the model server do, and what they note; `gateway` is set by the loop."""

    def __init__(self, options):
        self.options, self.gateway = options, None
        self.findings, self.answers, self.lock = Findings(), collections.Counter(), threading.Lock()
        self.jobs, self.ids_of, self.inputs = {}, {}, {}       # acknowledged, by id; id by nonce; input by nonce
        self.events, self.finals = {}, {}                       # seen by anyone: event id -> (job, bytes); id -> record
        self.calls, self.called_as, self.attempts = collections.Counter(), {}, {}
        self.nonces, self.unsure = itertools.count(), collections.deque()
        # Not a SimpleQueue: in CPython 3.11 its `get(timeout)` waits forever if another thread takes the item at the
        # very end of that time.
        self.streams = queue.Queue()
        self.fresh, self.crashes, self.crash_at, self.over = [], 0, float("inf"), threading.Event()
        self.model = ModelServer(self.called)

    # What is noted: by clients, listeners and the model server, while it happens.

    # Answers that are no fault besides the good ones: an ended job cannot be cancelled, a waiting submit may fail.
    expected = (409, 502)

    def is_dying(self):
        """Whether the process may give no answer or 503: its disk has gone, or it was killed."""
        return time.monotonic() >= self.crash_at

    def is_off(self):
        """Whether the power was cut already. The process lives a little longer than its disk here, and an fsync that
        races with the shutdown of the file system may return success for what the journal has just dropped; a machine
        without power answers nobody, so such answers are not heard."""
        return self.options.mode == "power" and time.monotonic() >= self.crash_at

    def acknowledged(self, submit, record):
        if self.is_off():
            return
        submit.event_id = record.get("event_id", submit.event_id)
        with self.lock:
            if self.jobs.setdefault(record["id"], submit).nonce != submit.nonce:
                self.findings.add("reused", record["id"], f"job id {record['id']} was given to two submits")
            if (known := self.ids_of.setdefault(submit.nonce, record["id"])) != record["id"]:
                self.findings.add("reused", submit.nonce, f"key {submit.key} gave {known}, then {record['id']}")
            self.fresh.append(record["id"])
        if not submit.key:
            submit.body = b""       # memory: a long run has a hundred thousand of them
        if len(submit.input) > 65536:
            submit.input = None
        self.seen(record)

    def seen(self, record):
        """A record, or a final event's data, which lacks the input."""
        if record.get("status") not in FINAL or self.is_off():
            return
        record = {name: value for name, value in record.items() if name not in ("input", "message", "omitted", "queue")}
        known = self.finals.setdefault(record["id"], record)
        if changed := [name for name in known.keys() & record.keys() if known[name] != record[name]]:
            pairs = ", ".join(f"{name} {known[name]!r:.80} -> {record[name]!r:.80}" for name in changed)
            self.findings.add("changed", record["id"], f"job {record['id']}: {pairs}")
        if len(record) > len(known):
            self.finals[record["id"]] = record

    def event(self, event_id, number, data=None):
        """Returns the event's parsed data."""
        if self.is_off():
            return json.loads(data or "{}")
        known_id, known_data = self.events.setdefault(number, (event_id, data and digest(data)))
        if known_id != event_id:
            self.findings.add("reused", number, f"event {number} was given to {known_id} and to {event_id}")
        elif data and known_data and known_data != digest(data):
            self.findings.add("events", number, f"event {number} of {event_id} has other bytes than before")
        elif data and not known_data:
            self.events[number] = (event_id, digest(data))
        event = json.loads(data or "{}")
        if event.get("status") in FINAL:
            self.seen(event["data"])
        return event

    def called(self, headers, body):
        job, attempt = headers["x-inference-id"], int(headers["x-attempt"])
        try:
            asked = json.loads(body)
            intact = self.inputs[asked["n"]] == digest(body)
        except (ValueError, LookupError):
            asked, intact = {}, False
        with self.lock:
            self.calls[job] += 1
            if not self.is_off():      # without power nobody is called, either
                self.attempts.setdefault(job, []).append(attempt)
            self.called_as.setdefault(asked.get("n"), set()).add(job)
        if not intact:
            self.findings.add("bytes", job, f"job {job}: the model server got other bytes than were sent")
        if slow := asked.get("ms"):
            self.tell_progress(headers, attempt)
        time.sleep(slow / 1000 if slow else random.uniform(0, 0.003))
        return json.dumps({"n": asked.get("n"), "predicted_layers": [{"attempt": attempt}]}).encode()

    def tell_progress(self, headers, attempt):
        detail = {"message": "half way", "progress": 0.5, "attempt": attempt}
        event = {"event_id": headers["x-event-id"], "detail_type": "Inf:Task:Notify", "detail": detail}
        token = {"Content-Type": "application/json", "X-Notify-Token": headers["x-notify-token"]}
        with contextlib.suppress(*BROKEN), Http(self.gateway.port) as post:
            status, answer = post("POST", "/v1/notifications", json.dumps(event), token)
            if status == 201:
                self.event(event["event_id"], json.loads(answer)["id"])

    # The load.

    def new_submit(self, chance):
        nonce, draw = next(self.nonces), chance.random()
        content = {"n": nonce}
        if draw < 0.03:
            content["pad"] = chance.randbytes(chance.randrange(35_000, 100_000)).hex()      # more than 64 KiB: a file
        elif draw < 0.05:
            content["ms"] = chance.randrange(50, 250)
        job = {"priority": chance.randrange(-100, 101)} if chance.random() < 0.2 else {"metadata": {"n": nonce}}
        if chance.random() < 0.03:
            job["delay"] = f"{chance.randrange(100, 2000)}ms"
        sent = json.dumps(content).encode()
        if chance.random() < 0.25:      # no `input`: the whole object but for `job`
            sent = b'{"model":"m",' + sent[1:]
            body = sent[:-1] + b',"job":%s}' % json.dumps(job).encode()
        else:
            body = b'{"model":"m","input":%s,"job":%s}' % (sent, json.dumps(job).encode())
        self.inputs[nonce] = digest(sent)
        key = f"key-{nonce}" if "pad" not in content and chance.random() < 0.1 else None
        return Submit(nonce, body, sent, key, self.crashes)

    def submit(self, http, chance, mine):
        submit, again = self.new_submit(chance), chance.random()
        if again < 0.3 and self.unsure:
            with contextlib.suppress(IndexError):
                submit = self.unsure.popleft()
        elif again > 0.95 and (earlier := [each for each in mine if each.key]):
            submit = chance.choice(earlier)
        path, headers = "/v1/async/inference", {"Content-Type": "application/json"}
        if synchronous := chance.random() < 0.1:
            path, headers["Prefer"] = "/v1/inference", "wait=1"
        if submit.key:
            headers["Idempotency-Key"] = submit.key
        try:
            status, answer = http("POST", path, submit.body, headers)
        except BROKEN:
            if submit.key:
                self.unsure.append(submit)
            raise
        record = json.loads(answer)
        if status in (200, 202) or (synchronous and status in (409, 502, 504) and "id" in record):
            self.acknowledged(submit, record)
            mine.append(submit)
            if submit.event_id and chance.random() < 0.3:
                self.streams.put((submit.event_id, None))
        return status

    def client(self, chance):
        mine, pause = collections.deque(maxlen=32), self.options.clients / self.options.rate

        def act(http):
            draw = chance.random()
            if not mine or (draw < 0.78 and len(self.jobs) - len(self.calls) < 2000):
                return self.submit(http, chance, mine)
            path = f"/v1/inference/{self.ids_of[chance.choice(mine).nonce]}"
            status, answer = http("GET", path) if draw < 0.93 else http("POST", path + "/cancel")
            if status == 200:
                self.seen(json.loads(answer))
            return status

        def step(http):
            begun = time.monotonic()
            status = act(http)
            self.answers[status] += 1
            dying = self.options.mode == "power" and self.is_dying()
            if status >= 400 and status not in self.expected and not (status >= 500 and dying):
                self.findings.add("answers", status, f"a client got {status}")
            time.sleep(max(0.0, pause * chance.uniform(0.5, 1.5) - (time.monotonic() - begun)))

        self.until_over(step)

    def listener(self, chance):
        def step(http):
            try:
                event_id, last = self.streams.get(timeout=0.02)
            except queue.Empty:
                return
            ended = False
            try:
                for number, data in http.frames(event_id, after=last):
                    if ended or (last is not None and number <= last):
                        self.findings.add("events", number, f"event {number} of {event_id} came after {last}")
                    last, ended = number, self.event(event_id, number, data)["status"] in FINAL
            except Refused as refused:
                if self.is_off() or refused.args[0] in self.expected or (refused.args[0] >= 500 and self.is_dying()):
                    return
                self.findings.add("lost", event_id, f"the stream of {event_id}, acknowledged, answered {refused}")
                return
            except BROKEN:
                self.streams.put((event_id, last))
                raise
            if not ended:
                if 410 in self.expected and http("GET", f"/v1/notifications/{event_id}")[0] == 410:
                    return                              # removed before this listener had come to the end
                self.streams.put((event_id, last))
                raise ConnectionError(f"the stream of {event_id} ended without a final event")

        self.until_over(step)

    def until_over(self, step):
        with Http(self.gateway.port) as http:
            while not self.over.is_set():
                try:
                    step(http)
                except BROKEN as error:
                    http.close()
                    if not self.is_dying():
                        self.findings.add("process", repr(error), f"broken without a crash: {error!r}")
                    time.sleep(0.005)
                except (ValueError, LookupError, TypeError) as error:
                    if self.is_off():
                        continue
                    self.findings.add("answers", repr(error), f"not the answer that was expected: {error!r}")
