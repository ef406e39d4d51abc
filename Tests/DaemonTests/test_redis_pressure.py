"""A Redis that is small, that hangs up on who is idle, that forgets, or does not let its user do all."""

import re
import socket
import subprocess

import pytest

import answers
from gateway import BINARY, environment, toml
from ports import free_port
from redis_fixtures import (
    Sluice, broker, make_worker, needs_redis, redis, redis_gateway, stays, use_redis, use_ring, wait_idle, workers,
)  # fmt: skip
from redis_server import RedisServer
from waiting import until

pytestmark = needs_redis


def outages(gateway):
    return int(re.search(r"inferq_redis_outages_total (\d+)", gateway.get("/metrics").body.decode())[1])


@pytest.fixture
def far(redis_gateway):
    """A gateway whose one model, `far`, is served by workers alone."""
    return redis_gateway({}, far=["far"])


# Full


@pytest.mark.timeout(90)
def test_a_small_redis_is_offered_what_it_takes(tmp_path, redis, redis_gateway, make_worker):
    """150 bodies of 60 kB for 100 slots: 6 MB in a Redis of 4 MB. The gateway's own slots go on beside them."""
    redis.command("CONFIG", "SET", "maxmemory", "4mb")
    gateway = redis_gateway({"own": {}}, far=["far"])
    body = {"x": "y" * 60_000}
    jobs = [gateway.submit("far", body) for _ in range(150)]
    own = [gateway.submit("own", body) for _ in range(10)]
    make_worker("w1", {"far": {"concurrency": 100}})
    assert {gateway.ended(job, timeout=30)["status"] for job in own + jobs} == {"COMPLETED"}
    assert {gateway.record(job)["attempt"] for job in own + jobs} == {1}
    assert outages(gateway) == 0
    said = "redis is full: fewer jobs are offered"
    until(lambda: any(said in line for line in gateway.log_lines("warning")), "a line that says so")
    wait_idle(redis)


def test_a_redis_that_others_have_filled_is_away(redis, redis_gateway):
    """There is nothing of ours that could be taken back."""
    gateway = redis_gateway({"ocr": {}})
    redis.fill()
    use_ring(gateway, timeout=3)
    assert "OOM" in broker(gateway)
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
    redis.make_room()
    use_redis(gateway)


# Gone


@pytest.mark.parametrize("how", ["XTRIM", "XDEL"])
def test_an_offer_that_vanishes_is_made_again_and_nothing_passes_it_for_long(redis, far, make_worker, model_server, how):
    make_worker("w1", {"far": {}})
    route = model_server.route("/w1/far")
    route.hold()
    jobs = [far.submit("far", {"n": 0})]
    route.wait_calls(1)
    jobs.append(far.submit("far", {"n": 1}))
    [stream] = [key for key in redis.streams() if key.endswith(":jobs:far")]
    until(lambda: redis.command("XLEN", stream) == 1, "the offer")
    jobs += [far.submit("far", {"n": n}) for n in (2, 3)]
    [[entry, _]] = redis.command("XRANGE", stream, "-", "+")
    redis.command("XTRIM", stream, "MAXLEN", 0) if how == "XTRIM" else redis.command("XDEL", stream, entry)
    until(lambda: redis.command("XLEN", stream) == 1, "the offer, made again", timeout=6)
    route.release()
    assert {far.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert [call.body for call in route.calls] == [b'{"n": %d}' % n for n in range(4)]
    assert outages(far) == 0


def test_an_offer_that_is_there_twice_does_not_stay(redis, far, make_worker, model_server):
    """As after a Redis that was full: the one that was taken back had just been read."""
    make_worker("w1", {"far": {"concurrency": 2}})
    route, sluice = model_server.route("/w1/far"), Sluice()
    route.answer_with(sluice)
    jobs = [far.submit("far", {"n": 0}), far.submit("far", {"n": 1})]
    route.wait_calls(2)
    jobs.append(far.submit("far", {"n": 2}))
    [stream] = [key for key in redis.streams() if key.endswith(":jobs:far")]
    until(lambda: redis.command("XLEN", stream) == 1, "the offer")
    [[_, fields]] = redis.command("XRANGE", stream, "-", "+")
    redis.command("XADD", stream, "*", *fields)
    sluice.let_through(jobs[0]["id"])
    route.wait_calls(3)
    sluice.let_through(jobs[1]["id"])
    wait_idle(redis, timeout=6)
    sluice.let_through()
    assert {far.ended(job)["attempt"] for job in jobs} == {1}
    assert len(route.calls) == 3


# Idle


@pytest.mark.timeout(60)
def test_a_redis_that_hangs_up_on_who_is_idle_is_no_outage(redis, redis_gateway, make_worker, model_server):
    """`timeout 1` in redis.conf, and calls of 4 s."""
    redis.command("CONFIG", "SET", "timeout", "1")
    gateway = redis_gateway({"ocr": {}}, far=["far"], broker={"probe_interval": "10s"})
    worker = make_worker("w1", {"far": {}}, broker={"probe_interval": "10s"})
    for path in ("/ocr", "/w1/far"):
        model_server.route(path).answer_with(answers.after(4.0))
    jobs = [gateway.submit(model) for model in ("ocr", "far") for _ in range(2)]
    assert {gateway.ended(job, timeout=20)["status"] for job in jobs} == {"COMPLETED"}
    assert outages(gateway) == 0
    assert "redis cannot be used" not in worker.log()


# The reason of an outage


def test_the_newest_reason_of_an_outage_is_told(redis, redis_gateway):
    gateway = redis_gateway({"ocr": {}})
    redis.set_password("another-password")
    until(lambda: "NOAUTH" in broker(gateway), "the reason in readyz", timeout=6)
    said = [line for line in gateway.log_lines("warning") if "redis" in line]
    until(lambda: any("NOAUTH" in line for line in gateway.log_lines("warning")), "the reason in the log", timeout=6)
    stays(lambda: len(gateway.log_lines("warning")) <= 2, f"no line for each look: {said}", 2.0)


# What a user may do


def doctor(tmp_path, url):
    file = tmp_path / "doctor.toml"
    settings = {"broker": {"redis": url}, "store": {"path": str(tmp_path / "doctor.db")}, "models": {}}
    file.write_text(toml(settings | {"models": {"m": {"url": "http://127.0.0.1:9/"}}}))
    shown = subprocess.run(
        [BINARY, "doctor", "--config", file], capture_output=True, text=True, timeout=30, env=environment()
    )
    [line] = [line for line in shown.stdout.splitlines() if " redis:" in line]
    return line


def test_the_doctor_says_ok_of_a_user_who_may_do_all(tmp_path, redis):
    redis.command("ACL", "SETUSER", "site", "on", ">secret", "resetchannels", "~inferq:*", "&inferq:*", "+@all")
    assert doctor(tmp_path, redis.url_with("site", "secret")).startswith("ok")
    assert [key for key in redis.keys() if not key.endswith(":published")] == [], "nothing is left behind"


@pytest.mark.parametrize("rules, names", [
    (["~inferq:*", "+@all"], "PUBLISH"),
    (["~inferq:*", "&inferq:*", "+@all", "-xpending"], "XPENDING"),
    (["~inferq:*", "&inferq:*", "+@all", "-xgroup|create"], "XGROUP"),
    (["~inferq:gateway*", "&inferq:*", "+@all"], "inferq:worker"),
    (["%R~inferq:*", "&inferq:*", "+@all"], "SET"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_the_doctor_tries_every_command_and_channel(tmp_path, redis, rules, names):
    redis.command("ACL", "SETUSER", "site", "on", ">secret", "resetchannels", *rules)
    line = doctor(tmp_path, redis.url_with("site", "secret"))
    assert line.startswith("wrong") and names in line and "NOPERM" in line, line


def test_a_user_without_channels_can_carry_jobs(redis, redis_gateway, make_worker):
    """Events are not published then, and that is said once; it is no reason to do without workers."""
    redis.command("ACL", "SETUSER", "site", "on", ">secret", "resetchannels", "~inferq:*", "+@all")
    url = redis.url_with("site", "secret")
    gateway = redis_gateway({}, far=["far"], broker={"redis": url})
    make_worker("w1", {"far": {}}, broker={"redis": url})
    jobs = [gateway.submit("far") for _ in range(3)]
    assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert outages(gateway) == 0
    until(lambda: "events are not published" in gateway.log(), "a line that says so")
    assert gateway.log().count("events are not published") == 1


# Addresses


def test_a_database_can_be_named_behind_a_unix_socket(tmp_path, redis_gateway, make_worker):
    server = RedisServer(tmp_path / "unix", unix=str(tmp_path / "r.sock")).start()
    try:
        url = server.url + "?db=3"
        gateway = redis_gateway({}, far=["far"], broker={"redis": url})
        make_worker("w1", {"far": {}}, broker={"redis": url})
        assert gateway.ended(gateway.submit("far"))["status"] == "COMPLETED"
        assert set(server.info("keyspace")) == {"db3"}
    finally:
        server.close()


@pytest.mark.parametrize("tail", ["?x=3", "?db=", "?db=x", "?db=3&x=1", "?db=70000", "?"])
def test_what_follows_a_unix_socket_is_a_database_or_refused(tmp_path, tail):
    file = tmp_path / "check.toml"
    file.write_text(toml({"broker": {"redis": f"unix:/run/redis.sock{tail}"}, "models": {"m": {"url": "http://a/"}}}))
    shown = subprocess.run([BINARY, "check", "--config", file], capture_output=True, text=True, env=environment())
    assert shown.returncode == 78 and "?db=3" in shown.stderr, shown


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="there is no ::1 here")
def test_localhost_is_ipv6_too(tmp_path):
    server = RedisServer(tmp_path / "six", host="::1", port=free_port()).start()
    try:
        assert doctor(tmp_path, f"redis://localhost:{server.port}/0").startswith("ok")
    finally:
        server.close()
