"""Streams that are cut short while many read them, and the proof that what any reader saw is still there, unchanged."""

import contextlib
import random
import threading
import time

import wire
from streamreader import Reader, offset
from streamserver import Feeds
from test_stream_events import piece
from waiting import until

OUTPUT = "Inf:Task:Output"


class Pump(threading.Thread):
    """Sends frames of a stream, cut anywhere, until the gateway hangs up or `stop` is called."""

    def __init__(self, feed, seed):
        super().__init__(daemon=True)
        self.feed, self.id = feed, feed.call().header("X-Inference-Id")
        self._random = random.Random(seed)
        self._rest = b""
        self._over = threading.Event()
        self.start()

    def run(self):
        number = 0
        while not self._over.is_set() and not self.feed.closed_at:
            number += 1
            words = self._random.randbytes(self._random.choice((4, 40, 400, 2000))).hex()
            self._rest += f'data: {{"n":{number},"é":"{words}"}}\n\n'.encode()
            cut = self._random.randint(1, len(self._rest))
            try:
                self.feed.send(self._rest[:cut])
            except OSError:
                return
            self._rest = self._rest[cut:]
            self._over.wait(self._random.choice((0, 0.001, 0.005, 0.03)))

    def stop(self):
        self._over.set()
        self.join()

    def end(self, mark):
        """A whole stream from here on, if the gateway is still there."""
        self.stop()
        with contextlib.suppress(OSError):
            self.feed.send(self._rest + mark)
            self.feed.finish()


class Listener(threading.Thread):
    """Reads until the gateway ends the answer or dies. `logged`: what it saw, as (attempt, first byte, bytes)."""

    def __init__(self, reader, form, attempt=None, start=0):
        super().__init__(daemon=True)
        self._reader, self._form, self._attempt, self._from = reader, form, attempt, start
        self.start()

    def run(self):
        self._reader.to_any_end()

    @property
    def body(self):
        return self._reader.body

    @property
    def logged(self):
        reader = self._reader
        if not reader.has_head or not reader.body:
            return []
        if reader.status == 503 and b"store_unavailable" in reader.body:
            return []  # it came when the disk had gone
        assert reader.status == 200, (reader.status, reader.body)
        if self._form == "bytes":
            return [(self._attempt or reader.attempt, self._from, reader.body)]
        frames = wire.parse(reader.body[: reader.body.rfind(b"\n\n") + 2])
        told = [frame.data for frame in frames if frame.detail_type == OUTPUT]
        return [(data["attempt"], data["from"], piece(data)) for data in told]


class Watched:
    """So many streams of a site at once, each with three readers and more that come in its middle."""

    def __init__(self, each, count, name):
        self.each, self.name, self.count = each, name, count
        self._random = random.Random(name)
        feeds = Feeds(content_type="text/event-stream")
        each.route.answer_with(feeds)
        self.calls = {n: each.call(self.key(n)) for n in range(count)}
        self.pumps = {pump.id: pump for pump in (Pump(feed, f"{name}{n}") for n, feed in enumerate(feeds.wait(count)))}
        self.jobs = {job["id"]: job for job in each.jobs() if job["id"] in self.pumps}
        assert len(self.jobs) == count
        self.listeners = {id: [] for id in self.jobs}
        for client in self.calls.values():
            id = client.headers["X-Inference-Id"]
            self.listeners[id].append(Listener(client, "bytes", attempt=1))
        for id, job in self.jobs.items():
            target = job["urls"]["events"] + "?output=true"
            self.listeners[id].append(Listener(Reader(each.address, "GET", target), "events"))
            self.join(id, 0)

    def key(self, n):
        return {"Idempotency-Key": f"{self.name}-{n}"}

    def join(self, id, start):
        reader = self.each.raw(self.jobs[id], offset=offset(1, start), live="true")
        self.listeners[id].append(Listener(reader, "bytes", start=start))

    def go_on(self, seconds):
        """Lets the streams run, and has further readers come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            id = self._random.choice(list(self.jobs))
            there = (self.each.gateway.record(self.jobs[id]).get("stream") or {}).get("bytes", 0)
            if there and len(self.listeners[id]) < 6:
                self.join(id, self._random.randrange(there))
            time.sleep(0.01)

    def ended(self):
        """Waits for all readers and servers, once the gateway is gone. How many bytes were seen."""
        for listener in sum(self.listeners.values(), []):
            listener.join(30)
            assert not listener.is_alive()
        for pump in self.pumps.values():
            pump.stop()
        return sum(len(data) for id in self.jobs for _, _, data in self.logged(id))

    def logged(self, id):
        return [entry for listener in self.listeners[id] for entry in listener.logged]

    def check(self):
        """Whatever anybody saw is found where it was, as the server sent it."""
        for id, job in self.jobs.items():
            if not (logged := self.logged(id)):
                continue
            sent = self.pumps[id].feed.body
            answer = self.each.raw(job, offset=offset(1, 0)).to_end()
            assert answer.status == 200 and answer.attempt == 1, f"{id}: lost, {answer.status} {answer.body[:300]}"
            kept = answer.body
            assert sent.startswith(kept), f"{id}: what is kept is not what the server sent"
            for attempt, start, data in logged:
                assert attempt == 1, f"{id}: bytes of attempt {attempt} before there was one"
                assert data == kept[start : start + len(data)], f"{id}: {start}+{len(data)} of {len(kept)} bytes kept"

    def end_some(self, mark):
        """Some of the streams come to their end about now."""
        for pump in self._random.sample(list(self.pumps.values()), self.count // 2):
            pump.end(mark)

    def check_ends(self):
        """Anyone who saw a clean end has an answer that is kept. How many jobs had one."""
        ended = 0
        for client in self.calls.values():
            if client.has_head and client.ending == "clean":
                ended += 1
                job = self.jobs[client.headers["X-Inference-Id"]]
                record = self.each.gateway.record(job)
                assert (record["status"], record["attempt"]) == ("COMPLETED", 1), record
                assert self.each.output(job) == client.body == self.pumps[job["id"]].feed.body
        return ended

    def finish(self, mark):
        """Ends all second attempts; each output is theirs alone, and the first attempt is still what it was."""
        feeds = self.seconds.wait(self.count, timeout=20)
        for n, feed in enumerate(feeds):
            feed.send(b'data: {"second":%d}\n\n' % n, mark)
            feed.finish()
        bodies = {feed.call().header("X-Inference-Id"): feed.body for feed in feeds}
        for id, job in self.jobs.items():
            record = self.each.gateway.ended(job)
            assert (record["status"], record["attempt"]) == ("COMPLETED", 2), record
            assert self.each.output(job) == bodies[id]
        for n in range(self.count):
            client = self.each.call(self.key(n))
            assert client.whole() == bodies[client.headers["X-Inference-Id"]]
        self.check()

    def await_seconds(self):
        """From here on, calls are second attempts."""
        self.seconds = Feeds(content_type="text/event-stream")
        self.each.route.answer_with(self.seconds)


def wait_shown(watched, least):
    """Until each stream has so many bytes."""
    for job in watched.jobs.values():
        until(lambda job=job: (watched.each.gateway.record(job).get("stream") or {}).get("bytes", 0) >= least, "bytes")
