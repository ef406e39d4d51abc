"""What systemd hears and hands over: readiness, status, reloads, watchdog, sockets by name, and the degraded mode."""

import json
import signal
import socket
import sqlite3
import time

import pytest

import wire
from redis_fixtures import needs_redis, redis  # noqa: F401
from service import ServiceManager
from waiting import fair, until


@pytest.fixture
def manager(tmp_path):
    each = ServiceManager(tmp_path)
    yield each
    each.close()


def get(manager, target, method="GET", body=None):
    return wire.exchange(manager.address, method, target, body, {}, 15)


def get_locally(manager, target):
    return wire.exchange(manager.local_path, "GET", target)


def is_ready(manager):
    return get(manager, "/readyz").status == 200


def test_ready_comes_once_it_serves_both_sockets_and_says_the_state_of_the_queue(manager):
    manager.write_config('[models.ocr]\nurl = "http://127.0.0.1:1/"')
    manager.start().wait_for("^READY=1$")
    assert is_ready(manager)
    assert get_locally(manager, "/readyz").status == 200
    assert manager.wait_for("^STATUS=") == "STATUS=0 running, 0 pending; 1 model, broker ring"
    manager.stop()


@needs_redis
def test_the_status_line_says_at_once_that_redis_has_gone_or_come(tmp_path, redis):
    manager = ServiceManager(tmp_path, watchdog="60s")  # it is fed, and the line looked at, every 5 s
    try:
        manager.write_config(f'[broker]\nredis = "{redis.url}"\n[models.ocr]\nurl = "http://127.0.0.1:1/"')
        manager.start().wait_for("^READY=1$")
        for change, line in ((None, "broker redis$"), (redis.kill, "redis unreachable"), (redis.start, "broker redis$")):
            since = time.monotonic() if change else 0.0
            if change:
                change()
            status = manager.wait_for(f"^STATUS=.*{line}", since)
            notices = list(manager.notices)
            beside = {at for at, line in notices if line == "WATCHDOG=1"}
            assert any(line == status and at not in beside for at, line in notices), "it was said by the next turn"
            manager.notices.clear()
    finally:
        manager.close()


def test_model_servers_are_told_of_the_tcp_socket_whatever_came_first(manager):
    with socket.create_server(("127.0.0.1", 0)) as model:
        model.settimeout(20)
        manager.write_config(f'[models.ocr]\nurl = "http://127.0.0.1:{model.getsockname()[1]}/"')
        manager.start().wait_for("^READY=1$")
        body = json.dumps({"model": "ocr", "input": 1}).encode()
        wire.exchange(manager.address, "POST", "/v1/async/inference", body, {"Content-Type": "application/json"}, 15)
        call, _ = model.accept()
        with call:
            call.settimeout(10)
            head = b""
            while b"\r\n\r\n" not in head:
                head += call.recv(4096)
        assert f"127.0.0.1:{manager.address[1]}/".encode() in head


def test_what_is_no_listening_socket_is_named_and_not_used(manager):
    manager.write_config()
    manager.local.close()
    manager.local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.start(names="stored:inferq.socket").wait_for("^READY=1$")
    assert is_ready(manager)
    until(lambda: "stored from systemd is not a listening stream socket" in manager.log(), "a line that says so")


def test_a_stop_is_said_at_once_and_asks_for_time_as_long_as_the_drain_takes(manager):
    with socket.create_server(("127.0.0.1", 0)) as model:
        model.settimeout(20)
        manager.write_config(
            f'drain_timeout = "4s"\n[models.ocr]\nurl = "http://127.0.0.1:{model.getsockname()[1]}/"'
        )
        manager.start().wait_for("^READY=1$")
        body = json.dumps({"model": "ocr", "input": 1}).encode()
        wire.exchange(manager.address, "POST", "/v1/async/inference", body, {"Content-Type": "application/json"}, 15)
        call, _ = model.accept()
        stopped = time.monotonic()
        manager.process.terminate()
        manager.wait_for("^STOPPING=1$", since=stopped, timeout=3)
        assert manager.process.poll() is None, "the attempt still runs"
        assert manager.process.wait(60) == 0, manager.log()
        call.close()
    assert len(manager.said("^EXTEND_TIMEOUT_USEC=30000000$", since=stopped)) >= 3
    assert manager.said("^WATCHDOG=1$", since=stopped + 1), "the drain is watched too"
    assert manager.said("^STATUS=stopping: 1 running$", since=stopped)


def test_a_reload_says_when_it_began_and_ended(manager):
    manager.write_config()
    manager.start().wait_for("^READY=1$")
    for text in ('heartbeat = "20s"', 'heartbeat = "soon"'):
        manager.write_config(text)
        since = time.monotonic()
        manager.reload()
        manager.wait_for("^READY=1$", since=since)
        at = int(manager.wait_for("^MONOTONIC_USEC=", since=since).split("=")[1]) / 1e6
        assert since <= at <= time.monotonic()
        said = [line for at, line in manager.notices if at >= since]
        assert said.index("RELOADING=1") < said.index("READY=1")
    until(lambda: "the new configuration is refused" in manager.log(), "a line that says so")
    manager.stop()


def test_the_watchdog_is_fed_while_all_is_well(manager):
    manager.write_config()
    manager.start().wait_for("^READY=1$")
    begin = time.monotonic()
    until(lambda: len(manager.said("^WATCHDOG=1$", since=begin)) >= 6, "six turns", 20)
    moments = [at for at, line in list(manager.notices) if line == "WATCHDOG=1" and at >= begin]
    assert max(b - a for a, b in zip(moments, moments[1:])) < fair(manager.watchdog, begin)


def test_a_busy_store_feeds_the_watchdog_with_its_error(manager):
    manager.write_config()
    manager.start().wait_for("^READY=1$")
    # Another program holds the database for longer than the writer waits: it answers with an error, and lives.
    with sqlite3.connect(manager.folder / "inferq.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        begin = time.monotonic()
        until(lambda: manager.said("^WATCHDOG=1$", since=begin + 4), "a turn after the writer's wait", 30)
        other.execute("ROLLBACK")


# The degraded mode


BROKEN = 'heartbeat = "soon"\nnonsense = 1'


def test_a_broken_configuration_is_served_as_503_until_it_is_mended(manager):
    manager.write_config(BROKEN)
    manager.start().wait_for("^READY=1$")
    status = manager.wait_for("^STATUS=degraded: ")
    assert "heartbeat" in status and "1 more" in status
    assert get(manager, "/livez").status == 200
    for target in ("/readyz", "/v1/inference", "/v1/async/inference"):
        answer = get(manager, target)
        assert answer.status == 503 and answer.headers["Retry-After"] == "10"
        problem = answer.json()
        assert problem["code"] == "degraded" and "heartbeat" in problem["detail"]
    # Clients of model servers are told in their own words.
    assert get(manager, "/v1/chat/completions").json()["error"]["code"] == "degraded"
    assert "heartbeat" in get(manager, "/api/chat").json()["error"]
    assert get_locally(manager, "/readyz").status == 503
    since = time.monotonic()
    manager.write_config()
    manager.reload()
    manager.wait_for("^READY=1$", since=since)
    until(lambda: is_ready(manager), "the gateway itself")
    assert get_locally(manager, "/readyz").status == 200
    assert manager.wait_for("^STATUS=", since=since).startswith("STATUS=no model is configured")
    manager.stop()


def test_it_tries_again_by_itself_and_says_a_new_reason(manager):
    manager.write_config(BROKEN)
    manager.start().wait_for("^STATUS=degraded: .*heartbeat")
    manager.write_config('drain_timeout = "soon"')
    manager.wait_for("^STATUS=degraded: .*drain_timeout", timeout=25)
    manager.write_config()
    until(lambda: is_ready(manager), "the gateway itself", 25)
    manager.stop()


@pytest.mark.parametrize("trouble", ["damaged", "foreign", "newer", "no folder"])
def test_trouble_with_the_store_is_served_as_503_until_it_is_mended(manager, trouble):
    store = manager.folder / "state" / "inferq.db"
    store.parent.mkdir()
    if trouble == "damaged":
        store.write_bytes(b"x" * 4096)
    elif trouble == "no folder":
        store.parent.rmdir()
        store.parent.write_text("a file")
    else:
        with sqlite3.connect(store) as other:
            other.execute("CREATE TABLE t (x)")
            if trouble == "newer":
                other.execute("PRAGMA application_id = 0x696E6671")
                other.execute("PRAGMA user_version = 99")
        other.close()
    manager.write_config(store=store)
    manager.start().wait_for("^STATUS=degraded: ")
    detail = get(manager, "/readyz").json()["detail"]
    assert str(store) in detail
    if trouble == "newer":
        assert "newer" in detail and "install that version again" in detail
    if trouble == "no folder":
        store.parent.unlink()
    else:
        store.unlink()
    manager.reload()
    until(lambda: is_ready(manager), "the gateway itself", 25)
    manager.stop()


def test_the_way_out_of_the_degraded_mode_refuses_and_loses_no_request(manager):
    manager.write_config(BROKEN)
    manager.start().wait_for("^READY=1$")
    statuses, begin = [], time.monotonic()
    mended = False
    while statuses.count(200) < 200 and time.monotonic() - begin < fair(30, begin):
        status = get(manager, "/v1/inference", "POST", b"x" * 100_000).status
        statuses.append(503 if status == 503 else 200)
        if len(statuses) == 50 and not mended:
            mended = True
            manager.write_config()
            manager.reload()
    assert statuses.count(200) >= 200
    assert statuses == sorted(statuses, reverse=True), "degraded first, then not again"


def test_a_stop_while_degraded_ends_in_0(manager):
    manager.write_config(BROKEN)
    manager.start().wait_for("^READY=1$")
    manager.stop()


def test_the_watchdog_is_fed_while_degraded(manager):
    manager.write_config(BROKEN)
    manager.start().wait_for("^READY=1$")
    begin = time.monotonic()
    until(lambda: len(manager.said("^WATCHDOG=1$", since=begin)) >= 4, "four turns", 20)


def test_a_frozen_process_does_not_feed_the_watchdog(manager):
    manager.write_config()
    manager.start().wait_for("^WATCHDOG=1$")
    manager.process.send_signal(signal.SIGSTOP)
    begin = time.monotonic() + 0.2
    time.sleep(3 * manager.watchdog)
    try:
        assert not manager.said("^WATCHDOG=1$", since=begin)
    finally:
        manager.process.send_signal(signal.SIGCONT)
