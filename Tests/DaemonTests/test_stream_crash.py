"""Streams under kills, power cuts and stops, `../docs/calls.md`: what was shown stays where it was."""

import contextlib
import os
import random
import re
import shutil
import threading
import time

import pytest

from crash_loop import power_cut_possible
from power_cut import PowerDisk
from stream_crash import Watched, wait_shown
from streamreader import offset
from streamserver import CHAT, NONE, data, said, site  # noqa: F401
from test_stream_views import shown, streaming  # noqa: F401
from waiting import fair, until

DONE = data("[DONE]")


# Crashes


def kill_once(each, name, random, crash):
    """A dozen streams, a crash at any time, and what is left of them. How many bytes were seen."""
    watched = Watched(each, 12, name)
    wait_shown(watched, 1)
    watched.go_on(random.uniform(0, 0.5))
    watched.await_seconds()
    crash()
    seen = watched.ended()
    each.gateway.restart()
    watched.check()
    watched.finish(DONE)
    return seen


@pytest.mark.timeout(60)
def test_a_kill_under_a_dozen_streams_loses_and_changes_nothing_that_was_shown(site):
    each = site()
    assert kill_once(each, "once", random.Random(1), each.gateway.kill) > 10_000


@pytest.mark.long
@pytest.mark.timeout(300)
def test_many_kills_lose_and_change_nothing_that_was_shown(site):
    each, seed = site(), random.Random(os.environ.get("INFERQ_SEED", "streams"))
    for number in range(15):
        assert kill_once(each, f"kill{number}", seed, each.gateway.kill)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_clean_end_that_was_seen_before_a_kill_is_kept(site):
    each, seed, ended = site(), random.Random("ends"), 0
    for number in range(10):
        watched = Watched(each, 12, f"end{number}")
        wait_shown(watched, 1)
        ends = threading.Thread(target=watched.end_some, args=(DONE,))
        ends.start()
        time.sleep(seed.uniform(0, 0.3))
        each.gateway.kill()
        ends.join()
        watched.ended()
        each.route.answer_with(said(b"data: 2\n\n", DONE))
        each.gateway.restart()
        ended += watched.check_ends()
        for job in watched.jobs.values():
            assert each.gateway.ended(job)["status"] == "COMPLETED"
    assert ended, "no stream ended before a kill: the test has seen nothing"


@pytest.fixture
def power(site, tmp_path):
    """Sites on a disk of their own, and what cuts its power; skips, with the reason, where that cannot be done."""
    if reason := power_cut_possible():
        pytest.skip(f"power cuts: {reason}")
    with PowerDisk(tmp_path, 256) as disk, contextlib.ExitStack() as stack:
        store = disk.mount / "store"
        store.mkdir(mode=0o700)
        os.sync()

        def make(seed, **keys):
            each = site(settings={"store": {"path": str(store / "inferq.db"), "min_free": "1MiB", "ballast": "1MiB"} | keys})
            each.gateway.errors_expected = True
            stack.callback(each.gateway.close)

            def cut():
                sees = seed.choice((False, True))
                disk.cut_under(each.gateway.process, sees)
                time.sleep(0.05 if sees else 0)
                each.gateway.kill()
                disk.detach()
                disk.attach()

            return each, cut

        yield make


@pytest.mark.long
@pytest.mark.timeout(300)
def test_power_cuts_lose_and_change_nothing_that_was_shown(power):
    seed = random.Random("power")
    each, cut = power(seed)
    for number in range(8):
        assert kill_once(each, f"cut{number}", seed, cut)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_power_cuts_lose_what_was_shown_without_full_sync(power):
    """The proof that the test above can fail."""
    seed = random.Random("power")
    each, cut = power(seed, synchronous="normal")
    with pytest.raises(AssertionError, match="lost, |bytes kept"):
        for number in range(12):
            kill_once(each, f"cut{number}", seed, cut)


def test_a_job_interrupted_twice_keeps_both_attempts(streaming):
    each, first, job = streaming(CHAT.frame("one"))
    bodies = [first.body]
    for number in (2, 3):
        each.gateway.kill()
        feed = each.feed()
        each.gateway.restart()
        feed.send(CHAT.frame(f"attempt {number}"))
        shown(each, job, len(feed.body), attempt=number)
        bodies.append(feed.body)
    feed.send(DONE)
    feed.finish()
    each.gateway.ended(job)
    for number, body in enumerate(bodies[:-1], 1):
        answer = each.raw(job, offset=offset(number, 0)).to_end()
        assert (answer.body, answer.attempt) == (body, number)
    assert each.raw(job, offset=-1).whole() == feed.body == each.output(job)


def test_a_plain_call_that_was_interrupted_starts_over_for_whoever_repeats_it(site):
    """Its client comes back as SDKs do."""
    each = site(linger="20s")
    first = each.feed()
    with each.call() as client:
        first.send(CHAT.frames[0])
        client.until(first.body)
        each.gateway.kill()
        assert client.to_end().ending == "cut"
    second = each.feed()
    each.gateway.restart()
    with each.call({"x-stainless-retry-count": "1"}) as again:
        second.send(CHAT.whole)
        second.finish()
        assert again.whole() == CHAT.whole and again.headers["X-Inferq-Attached"] == "true"
    assert each.gateway.ended(each.job())["attempt"] == 2


def test_readers_go_on_after_a_restart_of_a_stream_that_has_ended(streaming):
    each, feed, job = streaming(CHAT.frame("one"), DONE)
    feed.finish()
    each.gateway.ended(job)
    each.gateway.kill()
    each.gateway.restart()
    for start in range(0, len(feed.body) + 1, 5):
        answer = each.raw(job, offset=offset(1, start), live="true")
        assert answer.whole() == feed.body[start:] and answer.is_closed


# Stops


def test_a_stop_lets_streams_end(streaming):
    each, feed, job = streaming(CHAT.frame("one"))
    reader = each.raw(job, offset=-1, live="true")
    reader.until(feed.body)
    each.gateway.terminate()
    for text in ("two", "three"):
        feed.send(CHAT.frame(text))
        reader.until(feed.body, timeout=3)
    feed.send(DONE)
    feed.finish()
    assert reader.whole() == feed.body
    each.gateway.wait_stopped()
    each.gateway.restart()
    assert each.gateway.record(job)["status"] == "COMPLETED" and each.output(job) == feed.body


def test_a_stop_lets_the_stream_of_a_client_end(site):
    each = site()
    feed = each.feed()
    with each.call() as client:
        feed.send(CHAT.frames[0])
        client.until(feed.body)
        each.gateway.terminate()
        feed.send(*CHAT.frames[1:], CHAT.mark)
        feed.finish()
        assert client.whole() == CHAT.whole
    each.gateway.wait_stopped()


def test_a_stream_that_does_not_end_is_interrupted_by_a_stop_and_cut(site):
    each = site(settings={"drain_timeout": "500ms"})
    first, second = each.feeds(2)
    with each.call({"Idempotency-Key": "k"}) as client:
        first.send(CHAT.frames[0])
        client.until(first.body)
        job = each.job()
        reader = each.raw(job, offset=-1, live="true")
        reader.until(first.body)
        each.gateway.stop()
        assert client.to_end().ending == "cut" and client.body.startswith(first.body)
        assert reader.to_end().ending == "cut" and reader.body == first.body
    each.gateway.restart()
    second.send(CHAT.whole)
    second.finish()
    record = each.gateway.ended(job)
    assert (record["status"], record["attempt"]) == ("COMPLETED", 2) and each.output(job) == CHAT.whole
    kept = each.raw(job, offset=offset(1, 0)).to_end()
    assert (kept.body, kept.attempt) == (first.body, 1)


# Readers that are slow


@pytest.mark.timeout(60)
def test_a_reader_that_does_not_read_slows_no_other(site):
    each = site()
    feeds = each.feeds()
    stalled = each.call({"X-Conversation-Id": "stalled"}, buffer=4096)
    [flood] = feeds.wait(1)
    clients = [each.call() for _ in range(50)]
    live = feeds.wait(51)[1:]
    for feed in live:
        feed.send(CHAT.frame(feed.call().header("X-Inference-Id")))
    by_id = {client.headers["X-Inference-Id"]: client for client in clients}
    frame = CHAT.frame("x" * 8000)
    writer = threading.Thread(target=lambda: flood.send(*[frame] * 1000, DONE))
    begun = time.monotonic()
    writer.start()
    for _ in range(10):
        sent = time.monotonic()
        for feed in live:
            feed.send(CHAT.frame("more"))
        for feed in live:
            by_id[feed.call().header("X-Inference-Id")].until(feed.body[-40:])
        assert time.monotonic() - sent < fair(1.0, sent)
    writer.join(fair(20, begun))
    assert not writer.is_alive(), "the model server of the stalled client had to wait"
    for feed in live:
        feed.send(DONE)
        feed.finish()
    for feed in live:
        assert by_id[feed.call().header("X-Inference-Id")].whole() == feed.body
    flood.finish()
    job = until(lambda: [job for job in each.jobs() if job["status"] == "COMPLETED" and
                         job["id"] == flood.call().header("X-Inference-Id")], "the end of the flood")  # fmt: skip
    assert each.output(job[0]) == flood.body
    stalled.close()


def test_a_reader_that_does_not_read_is_cut_off_and_may_come_back(site):
    each = site(NONE, {"limits": {"listener_timeout": "500ms"}})
    feed = each.feed()
    job = each.submit(feed)
    piece = data("x" * 65_000)
    feed.send(*[piece] * 200)
    shown(each, job, len(feed.body))
    query = f"{job['urls']['output']}?offset=-1&live=true"
    with each.raw(job, offset=-1, live="true") as reader:
        assert reader.status == 200, query
        time.sleep(2.5)
        reader.to_end()
        assert reader.ending == "cut" and feed.body.startswith(reader.body)
    with each.raw(job, offset=offset(1, len(reader.body)), live="true") as again:
        feed.finish()
        assert reader.body + again.whole() == feed.body


# Commit, then show

MARK = re.compile(r"<<\d{4}>>")
CALL = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(?:\(| resumed>)")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: make test-setup")
@pytest.mark.parametrize("view", ["call", "raw", "events"])
def test_no_byte_goes_to_a_client_before_the_sync_that_covers_it(site, tmp_path, view):
    """Each piece is read from the model server, written to the store, synced, and then written to the client."""
    trace = tmp_path / "strace.out"
    each = site()
    each.gateway.stop()
    each.gateway.launcher = [
        "strace", "-D", "-f", "--seccomp-bpf", "-s", "40000", "-o", str(trace), "-e",
        "trace=fsync,fdatasync,pwrite64,pwritev,pwritev2,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg",
    ]  # fmt: skip
    each.gateway.start()
    feed = each.feed()
    marks = [f"<<{number:04}>>" for number in range(40)]
    if view == "call":
        reader = each.call()
    else:
        job = each.submit(feed)
        url = {"raw": job["urls"]["output"] + "?offset=-1&live=true", "events": job["urls"]["events"] + "?output=true"}[view]
        reader = type(each.raw(job))(each.address, "GET", url)
    with reader:
        for mark in marks:
            feed.send(CHAT.frame(mark))
            reader.until(lambda body, mark=mark: mark.encode() in body)
        feed.send(DONE)
        feed.finish()
        reader.whole()
    each.gateway.stop()
    lines = trace.read_text(errors="replace").splitlines()
    syncs, begun, came, stored, went = [], {}, {}, {}, {}
    for number, line in enumerate(lines):
        found = CALL.match(line)
        if not found:
            continue
        thread, name = found[1], found[2]
        if name in ("fsync", "fdatasync"):
            if "resumed>" not in line:
                begun[thread] = number
            if line.endswith("= 0"):
                syncs.append((begun[thread], number))
        where = came if name.startswith(("read", "recv")) else stored if name.startswith("pwrite") else went
        for mark in MARK.findall(line):
            where.setdefault(mark, number)
    assert set(marks) <= set(came) and set(marks) <= set(went), "the trace has not every piece"
    for mark in marks:
        after = max(came[mark], stored.get(mark, 0))
        assert any(after < start and end < went[mark] for start, end in syncs), (
            f"{mark}: read in line {came[mark]}, stored in {stored.get(mark)}, shown in {went[mark]}, and no sync between"
        )
