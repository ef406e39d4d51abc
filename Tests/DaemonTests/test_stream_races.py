"""Clients that come, hang up, cancel and come back at any time, while their model server ends streams in every way."""

import contextlib
import json
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamserver import CHAT, Feed, data, site  # noqa: F401
from test_stream_events import pieces, read
from waiting import until

DONE = data("[DONE]")
CLIENTS, CALLS = 10, 20


class Server:
    """Answers each call with some frames, whole or torn, and an end, mostly a good one."""

    def __init__(self, seed):
        self.feeds = []
        self._random = random.Random(seed)

    def __call__(self, exchange):
        feed = Feed()
        self.feeds.append(feed)
        threading.Thread(target=self._speak, args=(feed, random.Random(self._random.random())), daemon=True).start()
        feed(exchange)

    def _speak(self, feed, random):
        frame = CHAT.frame("something")
        with contextlib.suppress(OSError):
            for _ in range(random.randint(0, 8)):
                feed.send(frame if random.random() < 0.9 else frame[: random.randint(1, len(frame))])
                time.sleep(random.choice((0, 0.002, 0.03)))
            ending = random.choice(("whole", "whole", "whole", "finish", "cut", "reset", "hang"))
            if ending == "whole":
                feed.send(DONE)
                feed.finish()
            elif ending != "hang":
                getattr(feed, ending)()


class Client(threading.Thread):
    """Makes calls of every kind, one after the other. `wrong`: what it took for whole, and was not."""

    def __init__(self, each, number, seed):
        super().__init__(daemon=True)
        self._each, self._number, self._random = each, number, random.Random(f"{seed}-{number}")
        self.wrong = []
        self.start()

    def run(self):
        for count in range(CALLS):
            how = self._random.choice(("wait", "wait", "key", "hang up", "reader", "cancel"))
            try:
                self._call(how, f"{self._number}-{count}")
            except Exception as error:
                self.wrong.append(f"{how}: {error!r}")

    def _call(self, how, key):
        each, pause = self._each, self._random.uniform(0, 0.05)
        if how in ("reader", "cancel"):
            job = json.loads(each.call({"Prefer": "respond-async"}).to_end().body)
            with each.raw(job, offset=-1, live="true") as reader:
                if how == "cancel":
                    time.sleep(pause)
                    each.gateway.cancel(job)
                self._read(reader)
            return
        for _ in range(2 if how == "key" else 1):
            with each.call({"Idempotency-Key": key} if how == "key" else {}) as client:
                if how == "hang up":
                    time.sleep(pause)
                else:
                    self._read(client)

    def _read(self, reader):
        """To its end, or as long as patience lasts: some streams have none."""
        try:
            reader.to_end(1.0)
        except AssertionError:
            return
        if (reader.status, reader.ending) == (200, "clean") and not reader.body.endswith(DONE) and not reader.is_closed:
            self.wrong.append(reader.body[-200:])


@pytest.mark.long
@pytest.mark.timeout(200)
def test_nobody_takes_a_broken_stream_for_whole_and_nothing_is_left_open(site):
    seed = os.environ.get("INFERQ_SEED", "races")
    each = site(linger="50ms", max_attempts=3, backoff={"base": "10ms", "cap": "30ms"})
    server = Server(seed)
    each.route.answer_with(server)
    clients = [Client(each, number, seed) for number in range(CLIENTS)]
    for client in clients:
        client.join(150)
        assert not client.is_alive() and not client.wrong, client.wrong
    for job in each.jobs():
        if job["status"] in ("PENDING", "RUNNING"):
            each.gateway.cancel(job)
    until(lambda: each.gateway.get("/v1/models/m").json()["running"] == 0, "no running job")
    for job in each.jobs():
        told = pieces(read(each, job)).get(job["attempt"], (0, b""))[1]
        answer = each.raw(job, offset=-1).to_end()
        if job["status"] == "COMPLETED":
            assert answer.body.endswith(DONE), job
        assert told == (answer.body if answer.status == 200 else b""), job
    each.gateway.errors_expected = True  # said here, and once
    assert not each.gateway.error_lines(), each.gateway.error_lines()[0]
    until(lambda: all(feed.is_over for feed in server.feeds), "the connections of all streams are closed")


class Talker:
    """Answers each call with a frame each 2 ms, until the gateway hangs up."""

    def __call__(self, exchange):
        feed = Feed()
        threading.Thread(target=self._speak, args=(feed,), daemon=True).start()
        feed(exchange)

    def _speak(self, feed):
        with contextlib.suppress(OSError):
            for _ in range(100):
                feed.send(CHAT.frame("something"))
                time.sleep(0.002)


def test_a_cancel_while_a_piece_is_stored_is_no_trouble(site):
    """What was committed is the output, and nothing in the log says that an answer was lost."""
    each = site()
    each.route.answer_with(Talker())

    def submit_and_cancel(number):
        for round in range(12):
            job = each.submit()
            time.sleep((number + round) % 6 * 0.003)
            each.gateway.cancel(job)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(submit_and_cancel, range(8)))
    until(lambda: each.gateway.get("/v1/models/m").json()["running"] == 0, "no running job")
    for job in each.jobs():
        told = pieces(read(each, job)).get(1, (0, b""))[1]
        answer = each.raw(job, offset=-1).to_end()
        assert told == (answer.body if answer.status == 200 else b""), job
    each.gateway.errors_expected = True  # said here, and once
    assert not each.gateway.error_lines(), f"{len(each.gateway.error_lines())} of 96: {each.gateway.error_lines()[0]}"
