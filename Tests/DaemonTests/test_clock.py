"""A wall clock that is wrong, or set while the gateway runs: nothing is removed by it, nothing waits for it."""

import datetime
import time

import pytest

import answers
from contract import SUBMIT, problem
from gateway import JSON_TYPE
from redis_fixtures import needs_redis, redis, redis_gateway, use_redis, use_ring  # noqa: F401
from waiting import until
from wallclock import DAY, WallClock

# A gateway rounds times up to a millisecond, and its timers to 50 ms.
SLACK = 3.0


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def now():
    return datetime.datetime.now(datetime.timezone.utc)


@pytest.fixture
def clock(tmp_path):
    return WallClock(tmp_path)


@pytest.fixture
def make(make_gateway, clock):
    """As `make_gateway`, under a clock that the test sets."""

    def make(models=None, **settings):
        gateway = make_gateway(models or {"ocr": {}}, started=False, **settings)
        gateway.environment = clock.environment
        return gateway.start()

    return make


def steps(gateway):
    return [line for line in gateway.log_lines("warning") if "the wall clock was set" in line]


# What cannot be undone


def ahead_while_it_runs(gateway, clock):
    clock.set(10 * DAY)


def set_right_while_it_runs(gateway, clock):
    clock.set(0)


def ahead_at_the_next_start(gateway, clock):
    gateway.stop()
    clock.set(10 * DAY)
    gateway.restart()


def set_right_after_a_crash(gateway, clock):
    gateway.kill()
    clock.set(0)
    gateway.restart()


@pytest.mark.parametrize(
    "offset, change",
    [
        (0, ahead_while_it_runs),
        (-8 * DAY, set_right_while_it_runs),
        (0, ahead_at_the_next_start),
        (-8 * DAY, set_right_after_a_crash),
    ],
)
def test_retention_counts_time_that_has_passed(make, clock, model_server, offset, change):
    clock.set(offset)
    gateway = make(store={"retention": "6s"})

    def submit():
        return gateway.post(SUBMIT, {"model": "ocr"}, JSON_TYPE | {"Idempotency-Key": "k"})

    job = gateway.ended(submit().json())
    end = time.monotonic()
    change(gateway, clock)
    until(lambda: gateway.get(job["urls"]["self"]).status == 410, "410", 20)
    assert time.monotonic() - end > 5
    # The key holds for a day, however many the clock has passed over, and so does what is remembered of the job.
    problem(submit(), 410)
    assert len(model_server.route("/ocr").calls) == 1
    assert steps(gateway), gateway.log()


# Durations


@pytest.mark.parametrize("offset", [-DAY, 30 * DAY])
def test_a_retry_waits_as_long_as_it_should(make, clock, model_server, offset):
    gateway = make()
    route = model_server.route("/ocr")
    route.answer_with(answers.status(429, retry_after=2), answers.ok())
    job = gateway.submit("ocr")
    until(lambda: gateway.record(job)["error"], "the first failure")
    clock.set(offset)
    assert gateway.ended(job)["status"] == "COMPLETED"
    failed, last = route.calls
    assert 1.9 < last.started - failed.ended < 2 + SLACK


@pytest.mark.parametrize("offset", [-DAY, 30 * DAY])
def test_a_delay_is_a_duration(make, clock, model_server, offset):
    gateway = make()
    begin = time.monotonic()
    job = gateway.submit("ocr", delay=2)
    clock.set(offset)
    assert gateway.ended(job)["status"] == "COMPLETED"
    assert 1.9 < model_server.route("/ocr").calls[0].started - begin < 2 + SLACK


def test_a_delay_is_no_longer_after_a_crash(make, clock, model_server):
    gateway = make()
    begin = time.monotonic()
    job = gateway.submit("ocr", delay=2)
    gateway.kill()
    clock.set(-DAY)
    gateway.restart()
    assert gateway.ended(job)["status"] == "COMPLETED"
    assert 1.9 < model_server.route("/ocr").calls[0].started - begin < 2 + SLACK
    assert steps(gateway)


@pytest.mark.parametrize("offset", [-DAY, 30 * DAY])
def test_a_job_expires_after_its_time(make, clock, model_server, offset):
    gateway = make()
    model_server.route("/ocr").hold()
    gateway.submit("ocr")
    begin = time.monotonic()
    job = gateway.submit("ocr", expires_in=2)
    clock.set(offset)
    assert gateway.ended(job)["error"]["code"] == "expired"
    assert 1.9 < time.monotonic() - begin < 2 + SLACK


def test_the_pause_that_a_model_server_asks_for_is_by_its_own_clock(make, clock, model_server):
    gateway = make()
    route = model_server.route("/ocr")
    date, later = "Sun, 06 Nov 2033 08:49:37 GMT", "Sun, 06 Nov 2033 08:49:39 GMT"
    route.answer_with(answers.status(429, later, headers=[("Date", date)]), answers.ok())
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
    first, second = route.calls
    assert 1.9 < second.started - first.ended < 2 + SLACK


def test_run_at_is_the_wall_clocks(make, clock, model_server):
    gateway = make()
    job = gateway.submit("ocr", run_at=(now() + datetime.timedelta(days=1)).isoformat())
    assert gateway.record(job)["status"] == "PENDING"
    clock.set(DAY + 1)
    # Anyone who reads the clock notices; else it is looked at every 30 s.
    gateway.submit("ocr")
    assert gateway.ended(job)["status"] == "COMPLETED"


# Times that are shown


def test_a_clock_that_was_wrong_for_one_submit_is_forgotten(make, clock):
    gateway = make({"ocr": {}, "idle": {}})
    assert gateway.post("/v1/models/idle/pause", b"", headers={}).status == 200
    before = gateway.submit("idle")
    clock.set(73 * 365 * DAY)
    wrong = gateway.submit("idle")
    clock.set(0)

    def check():
        jobs = [gateway.submit("idle") for _ in range(3)]
        for job in jobs:
            assert abs(when(job["created_at"]) - now()) < datetime.timedelta(seconds=SLACK)
        ids = [job["id"] for job in [before, wrong, *jobs]]
        assert ids == sorted(ids)
        found = gateway.get("/v1/inference?model=idle&limit=3").json()["results"]
        assert [job["id"] for job in found] == ids[:1:-1]
        return jobs

    jobs = check()
    hour = datetime.timedelta(hours=1)
    for query in ("", "&model=idle", "&status=PENDING"):
        around = f"created_after={(now() - hour):%FT%TZ}&created_before={(now() + hour):%FT%TZ}{query}"
        found = gateway.get(f"/v1/inference?{around}").json()["results"]
        assert [job["id"] for job in found] == [job["id"] for job in [*reversed(jobs), before]]
        # Page by page, too.
        page = gateway.get(f"/v1/inference?{around}&limit=2").json()
        rest = gateway.get(f"/v1/inference?{around}&limit=2&cursor={page['next']}").json()
        assert [job["id"] for job in page["results"] + rest["results"]] == [job["id"] for job in found]
        assert rest["next"] is None
        late = gateway.get(f"/v1/inference?created_after={(now() + hour):%FT%TZ}{query}").json()["results"]
        assert [job["id"] for job in late] == [wrong["id"]]
    oldest = gateway.get("/v1/models/idle").json()["oldest_pending_seconds"]
    assert 0 <= oldest < 60
    gateway.stop()
    gateway.restart()
    check()


def test_what_a_clock_ahead_made_is_not_young_for_ever(make, clock):
    gateway = make({"idle": {}})
    assert gateway.post("/v1/models/idle/pause", b"", headers={}).status == 200
    clock.set(30 * DAY)
    gateway.submit("idle")
    clock.set(0)

    def age():
        return gateway.get("/v1/models/idle").json()["oldest_pending_seconds"]

    first = age()
    until(lambda: age() > first + 0.2, "an age that grows")


def test_what_a_waiting_job_waits_for_is_shown_by_the_clock_as_it_is(make, clock):
    gateway = make({"idle": {}})
    assert gateway.post("/v1/models/idle/pause", b"", headers={}).status == 200
    job = gateway.submit("idle", delay=3600, expires_in=7200)
    clock.set(-DAY)
    for record in gateway.record(job), gateway.get("/v1/inference").json()["results"][0]:
        assert record["created_at"] == job["created_at"]
        for name in "run_at", "expires_at":
            assert abs(when(job[name]) - when(record[name]) - datetime.timedelta(days=1)).total_seconds() < SLACK
    clock.set(0)
    record = gateway.record(job)
    assert [record[name] for name in ("run_at", "expires_at")] == [job[name] for name in ("run_at", "expires_at")]


# Threads that wait


@needs_redis
def test_redis_is_tried_again_in_time(redis, redis_gateway, clock):
    clock.set(DAY)
    gateway = redis_gateway({"ocr": {}}, started=False)
    gateway.environment = clock.environment
    use_redis(gateway.start())
    redis.kill()
    use_ring(gateway)
    redis.restart()
    use_redis(gateway)
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
