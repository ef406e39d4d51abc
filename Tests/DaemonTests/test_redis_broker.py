"""Redis as the broker: what goes through it, what a plain client of it sees, and how it is reached."""

import concurrent.futures
import json
import re
import subprocess

import pytest

import answers
import wire
from contract import KIB, SUBMIT, problem
from gateway import BINARY, JSON_TYPE, ROOT, environment, toml
from redis_fixtures import (
    as_published, at_low_port, broker, exact, gateway, kinds, make_worker, needs_redis, redis, redis_gateway,
    shared_redis, status, stays, use_redis, use_ring, wait_idle,
)  # fmt: skip
from redis_server import RedisServer
from waiting import until

pytestmark = needs_redis

BYTES = bytes(range(256))
PENDING, RUNNING, COMPLETED = ("Updated", "PENDING"), ("Updated", "RUNNING"), ("Updated", "COMPLETED")
CANCELLED = ("Updated", "CANCELLED")
SECRET = "canary-password"


def report(gateway, job, call, detail, detail_type="Inf:Task:Notify"):
    """The model server tells of its progress."""
    body = {"event_id": job["event_id"], "detail_type": detail_type, "detail": detail}
    answer = gateway.post("/v1/notifications", body, JSON_TYPE | {"X-Notify-Token": call.header("X-Notify-Token")})
    assert answer.status == 201, answer
    return answer.json()["id"]


def command(*arguments, **variables):
    return subprocess.run(
        [BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=30, env=environment(**variables)
    )


def check(tmp_path, settings):
    """`inferq check` of these settings: its exit code, and all that it said."""
    file = tmp_path / "check.toml"
    file.write_text(toml({"models": {"ocr": {"url": "http://127.0.0.1:9/"}}} | settings))
    ended = command("check", "--config", file)
    return ended.returncode, ended.stdout + ended.stderr


# A job


def test_a_job_goes_through_redis(gateway, model):
    model.route.answer_with(answers.ok(b'{"predicted_layers":[{"uri":"a"}]}'))
    job = gateway.submit(model.name, {"n": 1})
    record = gateway.ended(job)
    assert (record["status"], record["attempt"]) == ("COMPLETED", 1)
    assert record["predicted_layers"] == [{"uri": "a"}]
    assert kinds(gateway.events(job)) == [PENDING, RUNNING, COMPLETED]
    assert [call.body for call in model.calls] == [b'{"n": 1}']


@pytest.mark.parametrize("path", ["/readyz", "/livez", "/health/readyz"])
def test_the_broker_is_named(gateway, path):
    assert gateway.get(path).json()["broker"] == "redis"


def test_the_status_names_the_broker(gateway):
    assert status(gateway)["broker"] == "redis"


def test_metrics_and_the_command_line_name_the_broker(gateway):
    metrics = gateway.get("/metrics").body.decode()
    assert 'inferq_broker_active{kind="redis"} 1' in metrics
    assert "redis" in command("status", "--url", gateway.url).stdout


def test_with_kind_ring_a_configured_redis_is_left_alone(redis, redis_gateway):
    gateway = redis_gateway({"ocr": {}}, started=False, broker={"kind": "ring"}).start()
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
    assert broker(gateway) == "ring"
    assert not redis.keys() and not redis.logged_in()


@pytest.mark.parametrize("size", [0, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 1024 * KIB])
def test_a_body_that_is_not_json_comes_byte_for_byte(gateway, model, size):
    body = (BYTES * (size // 256 + 1))[:size]
    job = gateway.submit_bytes(model.name, body, "image/png")
    assert gateway.ended(job)["status"] == "COMPLETED"
    [call] = model.calls
    assert call.body == body and call.header("Content-Type") == "image/png"


@pytest.mark.parametrize("size", [64 * KIB + 1, 1024 * KIB])
def test_a_large_json_body_comes_byte_for_byte(gateway, model, size):
    body = b'{"model":"%s","input":  {"n": 1.10, "pad":"%s"}}' % (model.name.encode(), b"x" * size)
    job = gateway.post(SUBMIT, body).json()
    assert gateway.ended(job)["status"] == "COMPLETED"
    assert [call.body for call in model.calls] == [b'{"n": 1.10, "pad":"%s"}' % (b"x" * size)]


@pytest.mark.parametrize("size", [0, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 2048 * KIB])
def test_an_answer_is_kept_byte_for_byte(gateway, model, size):
    body = (BYTES * (size // 256 + 1))[:size]
    model.route.answer_with(answers.ok(body, "application/octet-stream"))
    job = gateway.ended(gateway.submit(model.name))
    output = gateway.get(job["urls"]["output"])
    assert (job["status"], output.body) == ("COMPLETED", body)
    assert output.headers["Content-Type"] == "application/octet-stream"


def test_a_failure_is_repeated_through_redis(gateway, model):
    model.route.answer_with(answers.status(500), answers.ok())
    job = gateway.submit(model.name)
    record = gateway.ended(job)
    assert (record["status"], record["attempt"], record["error"]) == ("COMPLETED", 2, None)
    expected = [PENDING, RUNNING, ("Error", "RUNNING"), PENDING, RUNNING, COMPLETED]
    assert kinds(gateway.events(job)) == expected


# Order


def test_jobs_run_by_priority_then_by_age(gateway, model):
    model.route.hold()
    jobs = [gateway.submit(model.name)]
    model.route.wait_calls(1)
    order = [100, 0, 5, -5, 5, 0, 99]
    jobs += [gateway.submit(model.name, {"n": n}, priority=priority) for n, priority in enumerate(order)]
    model.route.release()
    for job in jobs:
        gateway.ended(job)
    assert [call.body for call in model.calls[1:]] == [b'{"n": %d}' % n for n in (0, 6, 2, 4, 1, 5, 3)]


def test_a_job_that_is_not_due_waits_and_blocks_nobody(gateway, model):
    late = gateway.submit(model.name, {"n": 0}, delay="700ms", priority=100)
    gateway.ended(gateway.submit(model.name, {"n": 1}))
    assert gateway.ended(late)["status"] == "COMPLETED"
    assert [call.body for call in model.calls] == [b'{"n": 1}', b'{"n": 0}']


def test_a_model_is_called_by_as_many_as_its_concurrency(redis_gateway, model_server):
    gateway = redis_gateway({"ocr": {"concurrency": 3}, "other": {}})
    route = model_server.route("/ocr")
    route.hold()
    jobs = [gateway.submit("ocr") for _ in range(12)]
    route.wait_calls(3)
    gateway.ended(gateway.submit("other"))
    assert [gateway.record(job)["status"] for job in jobs].count("RUNNING") == 3
    route.release()
    assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert route.most_active == 3


def test_a_paused_model_takes_no_jobs_through_redis(gateway, model):
    assert gateway.post(f"/v1/models/{model.name}/pause", b"").status == 200
    job = gateway.submit(model.name)
    stays(lambda: gateway.record(job)["status"] == "PENDING", "a paused model's job is PENDING", 1.0)
    assert gateway.post(f"/v1/models/{model.name}/resume", b"").status == 200
    assert gateway.ended(job)["status"] == "COMPLETED"


# Cancel


def test_a_pending_job_that_is_cancelled_is_never_called(gateway, model):
    model.route.hold()
    first = gateway.submit(model.name)
    model.route.wait_calls(1)
    pending = [gateway.submit(model.name, {"n": n}) for n in range(4)]
    for job in pending:
        answer = gateway.cancel(job)
        assert (answer.status, answer.json()["status"]) == (200, "CANCELLED")
    model.route.release()
    gateway.ended(first)
    gateway.ended(gateway.submit(model.name, {"last": True}))
    assert [call.body for call in model.calls] == [b"{}", b'{"last": true}']
    assert kinds(gateway.events(pending[0])) == [PENDING, CANCELLED]


def test_a_running_job_that_is_cancelled_is_dropped_at_the_model_server(gateway, model):
    model.route.hold()
    job = gateway.submit(model.name)
    [call] = model.route.wait_calls(1)
    assert gateway.cancel(job).json()["status"] == "CANCELLED"
    assert call.dropped.wait(60)
    model.route.release()
    assert gateway.ended(gateway.submit(model.name))["status"] == "COMPLETED", "its slot is free again"
    assert gateway.record(job)["status"] == "CANCELLED"


def test_between_a_take_and_a_cancel_one_of_them_wins(gateway, model):
    def submit_and_cancel(number):
        job = gateway.submit(model.name, {"n": number})
        gateway.cancel(job)
        return job

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(submit_and_cancel, range(60)))
    gateway.ended(gateway.submit(model.name, "last"))
    called = [call.header("X-Inference-Id") for call in model.calls]
    for job in jobs:
        gateway.ended(job)
        taken = kinds(gateway.events(job)).count(RUNNING)
        assert called.count(job["id"]) <= taken <= 1, "only what was taken is called"


# Idempotency


def test_sixteen_equal_submits_at_once_are_one_call(gateway, model):
    headers = JSON_TYPE | {"Idempotency-Key": "k-" + model.name}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        submits = [pool.submit(gateway.post, SUBMIT, {"model": model.name}, headers) for _ in range(16)]
    ids = {each.result().json()["id"] for each in submits}
    assert len(ids) == 1
    gateway.ended(submits[0].result().json())
    gateway.ended(gateway.submit(model.name))
    assert len(model.calls) == 2, "one call of the sixteen, and that of the job after them"


# Events for every client of Redis


def published(shared_redis, gateway, job):
    """What is published of a job from before its submission to its end: `job` submits it and helps it to its end."""
    with shared_redis.subscribe("inferq:event:*") as subscription:
        submitted = job()
        channel = f"inferq:event:{submitted['event_id']}"
        ends = ("COMPLETED", "ERROR", "CANCELLED")
        seen = subscription.until(lambda at, payload: at == channel and json.loads(payload)["status"] in ends)
    return submitted, [payload for at, payload in seen if at == channel]


def test_a_plain_client_of_redis_sees_the_events_of_the_stream(shared_redis, gateway, model):
    model.route.answer_with(answers.status(500), answers.ok(b'{"n": 1.10, "big": 12345678901234567890, "\xc3\xa9": 0}'))

    def job():
        model.route.hold()
        job = gateway.submit(model.name, metadata={"é": "\u2028"})
        [call] = model.route.wait_calls(1)
        report(gateway, job, call, {"message": "half", "progress": 0.50})
        report(gateway, job, call, {"predicted_layers": [{"uri": "a"}]}, "Inf:Task:LayerReady")
        model.route.release()
        return job

    submitted, payloads = published(shared_redis, gateway, job)
    events = gateway.events(submitted)
    assert len(events) == 8
    assert [exact(payload) for payload in payloads] == [as_published(event) for event in events]


def test_an_event_too_large_for_a_stream_is_published_as_the_stream_has_it(shared_redis, gateway, model):
    model.route.answer_with(answers.ok(b'{"predicted_layers":[{"a":1}],"pad":"%s"}' % (b"x" * 100 * KIB)))
    submitted, payloads = published(shared_redis, gateway, lambda: gateway.submit(model.name))
    last = gateway.events(submitted)[-1]
    assert "output" in last.data["omitted"]
    assert exact(payloads[-1]) == as_published(last)


def test_a_cancel_and_a_failure_are_published_too(shared_redis, gateway, model):
    model.route.answer_with(answers.status(400))
    failed, payloads = published(shared_redis, gateway, lambda: gateway.submit(model.name))
    assert [exact(payload) for payload in payloads] == [as_published(event) for event in gateway.events(failed)]

    def cancelled():
        job = gateway.submit(model.name, delay="1h")
        gateway.cancel(job)
        return job

    job, payloads = published(shared_redis, gateway, cancelled)
    assert [exact(payload) for payload in payloads] == [as_published(event) for event in gateway.events(job)]


def test_what_is_published_of_many_jobs_is_what_their_streams_have(shared_redis, gateway, model):
    with shared_redis.subscribe("inferq:event:*") as subscription:
        jobs = [gateway.submit(model.name, {"n": n}) for n in range(50)]
        expected = {job["event_id"]: [as_published(event) for event in gateway.events(job)] for job in jobs}
        found = {event_id: [] for event_id in expected}

        def complete(channel, payload):
            event_id = channel.removeprefix("inferq:event:")
            if event_id in found:
                found[event_id].append(exact(payload))
            return sum(map(len, found.values())) == sum(map(len, expected.values()))

        subscription.until(complete)
    assert found == expected


def test_what_a_crash_left_unpublished_is_published_after_it(redis, redis_gateway, model_server):
    """The interruption, which the start commits before Redis is looked for, among it."""
    gateway = redis_gateway({"ocr": {}})
    use_redis(gateway)
    route = model_server.route("/ocr")
    route.hold()
    with redis.subscribe("inferq:event:*", timeout=20) as subscription:
        job = gateway.submit("ocr")
        found = subscription.until(lambda _, payload: b'"RUNNING"' in payload)
        gateway.kill()
        gateway.start()
        route.release()
        found += subscription.until(lambda _, payload: b'"COMPLETED"' in payload)
    # What was on its way when the process died may come again, as it was.
    events = []
    for event in (exact(payload) for _, payload in found):
        if event not in events:
            events.append(event)
    assert events == [as_published(event) for event in gateway.events(job)]


# What is left in Redis


def test_nothing_is_left_in_the_streams_when_all_is_idle(redis, redis_gateway, model_server):
    gateway = redis_gateway({"ocr": {"concurrency": 4}})
    route = model_server.route("/ocr")
    route.answer_with(answers.status(500), answers.status(400), answers.ok())
    jobs = [gateway.submit("ocr", {"n": n}) for n in range(60)]
    jobs += [gateway.submit_bytes("ocr", BYTES * 1024) for _ in range(3)]
    for job in jobs[::7]:
        gateway.cancel(job)
    for job in jobs:
        gateway.ended(job)
    wait_idle(redis)
    assert redis.streams(), "jobs went through streams"


def test_the_streams_hold_no_more_than_what_is_on_offer(redis, redis_gateway, model_server):
    gateway = redis_gateway({"ocr": {"concurrency": 2}})
    model_server.route("/ocr").hold()
    jobs = [gateway.submit("ocr", {"n": n}) for n in range(200)]
    model_server.route("/ocr").wait_calls(2)

    def entries():
        return sum(redis.command("XLEN", key) for key in redis.streams())

    # Two run, and offered are at most the free slots and one more; a few may be on their way to be removed.
    until(lambda: entries() <= 8, f"few entries: {entries()}")
    model_server.route("/ocr").release()
    assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}


def test_no_key_stays_for_a_job(redis, redis_gateway):
    gateway = redis_gateway({"ocr": {"concurrency": 4}})

    def lasting():
        with redis.client() as client:
            return [key for key in redis.keys() if client("PTTL", key) == -1]

    gateway.ended(gateway.submit("ocr"))
    wait_idle(redis)
    before = lasting()
    for job in [gateway.submit("ocr") for _ in range(50)]:
        gateway.ended(job)
    wait_idle(redis)
    until(lambda: len(lasting()) <= len(before), f"as many keys as after the first job, {before}: {lasting()}")


def test_every_key_and_channel_begins_with_the_prefix(redis, redis_gateway, make_worker):
    """Redis itself sees to it: the user may touch no others."""
    redis.command("ACL", "SETUSER", "site", "on", ">" + SECRET, "resetchannels", "~site7*", "&site7*", "+@all")
    url = redis.url_with("site", SECRET)
    gateway = redis_gateway({"ocr": {}}, far=["far"], broker={"redis": url, "prefix": "site7"})
    make_worker("w1", {"far": {}}, broker={"redis": url, "prefix": "site7"})
    with redis.subscribe("*") as subscription:
        job, far = gateway.submit("ocr"), gateway.submit("far")
        gateway.cancel(gateway.submit("far", delay="1h"))
        assert {gateway.ended(each)["status"] for each in (job, far)} == {"COMPLETED"}
        channel = f"site7:event:{far['event_id']}"
        subscription.until(lambda at, payload: at == channel and json.loads(payload)["status"] == "COMPLETED")
    assert redis.keys() and all(key.startswith("site7") for key in redis.keys()), redis.keys()
    assert broker(gateway) == "redis"


def test_sites_with_different_prefixes_share_nothing(redis, redis_gateway, make_worker):
    ours = redis_gateway({}, far=["far"], broker={"prefix": "a"})
    theirs = redis_gateway({}, far=["far"], broker={"prefix": "b"})
    worker = make_worker("w1", {"far": {}}, broker={"prefix": "b"})
    waiting, job = ours.submit("far"), theirs.submit("far")
    assert theirs.ended(job)["status"] == "COMPLETED"
    assert ours.record(waiting)["status"] == "PENDING"
    assert ours.get("/v1/workers").json()["results"] == []
    assert ours.get(job["urls"]["self"]).status == 404, "not 421: it does not know the other one"
    assert worker.is_running


# How Redis is reached


def served(redis, make_gateway, url, **settings):
    """A gateway that reaches Redis by this URL, after its first job."""
    gateway = at_low_port(make_gateway({"ocr": {}}, started=False, broker={"redis": url}, **settings))
    use_redis(gateway.start())
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
    return gateway


@pytest.fixture
def make_redis(tmp_path):
    made = []

    def make(**options):
        made.append(RedisServer(tmp_path / f"redis{len(made)}", **options))
        return made[-1].start()

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("user", [None, "default"])
@pytest.mark.parametrize("password", [SECRET, "p@ss/w:rd?#%41"])
def test_a_password_from_the_url(make_redis, make_gateway, user, password):
    redis = make_redis(password=password)
    served(redis, make_gateway, redis.url_with(user, password))


@pytest.mark.parametrize("rules", ["~inferq* &inferq* +@all", "~inferq* &inferq* +@all -@admin -@dangerous"])
def test_a_user_of_an_access_list_from_the_url(make_redis, make_gateway, rules):
    redis = make_redis(user="gate", password=SECRET, rules=rules)
    served(redis, make_gateway, redis.url)
    assert redis.logged_in() == {"gate"}


@pytest.mark.timeout(90)
def test_the_user_of_the_handbook_may_do_all_that_is_asked(redis, redis_gateway, make_worker, model_server):
    """The line for redis.conf that docs/operations.md has, word by word: Redis refuses nothing of a whole life."""
    handbook = (ROOT / "docs/operations.md").read_text()
    [line] = re.findall(r"^user (inferq on .*)$", handbook, re.MULTILINE)
    redis.command("ACL", "SETUSER", *line.replace("PASSWORD", SECRET).split())
    url = redis.url_with("inferq", SECRET)
    gateway = redis_gateway({"ocr": {}}, far=["far"], broker={"redis": url})
    worker = make_worker("w1", {"far": {}}, broker={"redis": url})
    first, second = (model_server.route(f"/{name}/far") for name in ("w1", "w2"))
    first.hold()
    jobs = [gateway.submit("far", max_attempts=3) for _ in range(3)]
    first.wait_calls(1)
    gateway.cancel(jobs[1])
    make_worker("w2", {"far": {}}, broker={"redis": url})
    worker.kill()
    # What the dead one had goes to the other one, 10 s after its last sign of life.
    second.wait_calls(2, 40)
    ended = [gateway.ended(job, timeout=40)["status"] for job in (jobs[0], jobs[2], gateway.submit("ocr"))]
    assert ended == ["COMPLETED"] * 3
    wait_idle(redis)
    ran = subprocess.run(
        [BINARY, "doctor", "--config", gateway.config_file, "--url", gateway.url], capture_output=True, text=True,
        timeout=60, env=environment())
    assert "ok     redis: it answers, and does all that is needed" in ran.stdout, ran.stdout
    assert redis.command("ACL", "LOG") == []


def test_a_url_from_a_credential_of_systemd(make_redis, make_gateway, tmp_path, monkeypatch):
    redis = make_redis(password=SECRET)
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "redis").write_text(redis.url + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    served(redis, make_gateway, "$CREDENTIAL:redis")


def test_a_url_from_the_environment(make_redis, make_gateway, monkeypatch):
    redis = make_redis()
    gateway = at_low_port(make_gateway({"ocr": {}}, started=False))
    gateway.launcher = ["env", f"INFERQ_REDIS={redis.url}"]
    use_redis(gateway.start())
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"


def test_a_unix_socket(make_redis, make_gateway, tmp_path):
    redis = make_redis(unix=str(tmp_path / "r.sock"))
    served(redis, make_gateway, redis.url)


def test_a_numbered_database(make_redis, make_gateway):
    redis = make_redis()
    served(redis, make_gateway, f"redis://{redis.host}:{redis.port}/3")
    with redis.client() as client:
        client("SELECT", 3)
        assert client("DBSIZE") > 0
        client("SELECT", 0)
        assert client("DBSIZE") == 0


def test_a_wrong_password_leaves_the_jobs_to_the_ring_and_stands_nowhere(make_redis, make_gateway):
    redis = make_redis(password=SECRET)
    url = redis.url_with("default", "canary-wrong")
    gateway = at_low_port(make_gateway({"ocr": {}}, started=False, log_level="trace", broker={"redis": url}))
    use_ring(gateway.start())
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
    until(lambda: "redis" in "".join(gateway.log_lines("warning", "error")).lower(), "a line that says so")
    said = gateway.log() + gateway.get("/readyz").body.decode() + gateway.get("/metrics").body.decode()
    assert "canary" not in said


def test_the_password_stands_nowhere(make_redis, make_gateway, tmp_path):
    redis = make_redis(password=SECRET)
    gateway = served(redis, make_gateway, redis.url_with("default", SECRET), log_level="trace")
    redis.kill()
    use_ring(gateway)
    redis.start()
    use_redis(gateway)
    settings = {"broker": {"redis": redis.url}}
    said = gateway.log() + check(tmp_path, settings)[1] + str(status(gateway))
    for arguments in (["doctor", "--config", gateway.config_file], ["status", "--url", gateway.url]):
        ended = command(*arguments)
        said += ended.stdout + ended.stderr
    assert SECRET not in said


# What is said of the configuration


def test_a_url_with_tls_is_refused_with_a_sentence(tmp_path):
    code, said = check(tmp_path, {"broker": {"redis": f"rediss://user:{SECRET}@127.0.0.1:6379"}})
    assert code == 78
    [line] = [line for line in said.splitlines() if "broker.redis" in line]
    assert "TLS" in line and len(line.split()) > 6
    assert SECRET not in said


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:6379", "redis://", "redis://127.0.0.1:port", "127.0.0.1:6379", "unix:",
])  # fmt: skip
def test_what_is_no_url_of_a_redis_is_refused(tmp_path, url):
    code, said = check(tmp_path, {"broker": {"redis": url}})
    assert code == 78 and "broker.redis" in said


@pytest.mark.parametrize("key, value", [
    ("kind", "kafka"), ("probe_interval", "-1s"), ("command_timeout", "soon"), ("connect_timeout", 0), ("prefix", ""),
    ("worker_grace", "x"),
])  # fmt: skip
def test_a_wrong_setting_is_refused(tmp_path, key, value):
    code, said = check(tmp_path, {"broker": {"redis": "redis://127.0.0.1:6379", key: value}})
    assert code == 78 and f"broker.{key}" in said


def test_kind_redis_without_a_redis_is_refused(tmp_path):
    code, said = check(tmp_path, {"broker": {"kind": "redis"}})
    assert code == 78 and "broker.redis" in said


def test_a_model_without_a_url_needs_a_redis(tmp_path):
    far = {"models": {"far": {}}}
    assert check(tmp_path, far | {"broker": {"redis": "redis://127.0.0.1:6379"}})[0] == 0
    code, said = check(tmp_path, far)
    assert code == 78 and "models.far.url" in said


def test_a_warning_where_redis_may_evict(redis, redis_gateway):
    redis.command("CONFIG", "SET", "maxmemory", "100mb")
    redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    gateway = redis_gateway({"ocr": {}})
    lines = until(lambda: [line for line in gateway.log_lines("warning") if "noeviction" in line], "the warning")
    assert len(lines) == 1 and "allkeys-lru" in lines[0]


def test_no_warning_where_redis_does_not_evict(redis_gateway):
    gateway = redis_gateway({"ocr": {}})
    gateway.ended(gateway.submit("ocr"))
    assert not gateway.log_lines("warning", "error")


# kind = "redis"


def test_with_kind_redis_jobs_wait_for_redis(redis, redis_gateway, model_server):
    redis.kill()
    gateway = redis_gateway({"ocr": {}}, started=False, broker={"kind": "redis"}).start()
    until(lambda: broker(gateway).startswith("redis (unreachable since "), "the broker's trouble in readyz")
    job = gateway.submit("ocr")
    stays(lambda: gateway.record(job)["status"] == "PENDING", "a job waits for Redis", 3.0)
    assert not model_server.route("/ocr").calls
    redis.start()
    use_redis(gateway)
    assert gateway.ended(job)["status"] == "COMPLETED"
    assert len(model_server.route("/ocr").calls) == 1


def test_with_kind_redis_a_job_that_waits_can_be_cancelled_and_its_listener_hears_it(redis, redis_gateway):
    gateway = redis_gateway({"ocr": {}}, broker={"kind": "redis"})
    redis.freeze()
    until(lambda: broker(gateway) != "redis", "the broker's trouble in readyz")
    job = gateway.submit("ocr")
    with gateway.listen(job) as stream:
        stream.events(1)
        assert gateway.cancel(job).json()["status"] == "CANCELLED"
        assert wire.parse(stream.to_end())[-1].status == "CANCELLED"
    redis.thaw()


def test_without_a_redis_workers_are_none(make_gateway):
    gateway = make_gateway({"ocr": {}})
    answer = gateway.get("/v1/workers")
    assert (answer.status, answer.json()) == (200, {"results": []})


def test_an_unknown_job_is_404_with_redis_too(gateway):
    problem(gateway.get("/v1/inference/01935f2e-0000-7000-8000-000000000000"), 404)
