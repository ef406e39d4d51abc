"""Which job is next, how many run at a time, and that models do not disturb each other."""

import time

import answers
import wire
from contract import MIB, SLACK, when
from modelserver import ModelServer
from waiting import fair, until


# Order and number


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


def test_a_retry_keeps_its_place_by_age(gateway, model):
    model.route.hold()
    model.route.answer_with(answers.status(500), answers.after(0.3), answers.ok())
    jobs = [gateway.submit(model.name, {"n": 0})]
    model.route.wait_calls(1)
    jobs.append(gateway.submit(model.name, {"n": 1}, priority=100))
    jobs += [gateway.submit(model.name, {"n": n}) for n in (2, 3, 4)]
    model.route.release()
    for job in jobs:
        assert gateway.ended(job)["status"] == "COMPLETED"
    order = [call.body for call in model.calls]
    assert order[:2] == [b'{"n": 0}', b'{"n": 1}'], "the second one runs past the backoff of the first"
    again = order.index(b'{"n": 0}', 1)
    assert again <= 3, f"at most the job that was on offer already may pass: {order}"


def test_a_job_does_not_start_before_run_at_and_blocks_nobody(gateway, model):
    begun = time.monotonic()
    late = gateway.submit(model.name, {"n": 0}, delay="700ms", priority=100)
    early = gateway.submit(model.name, {"n": 1})
    gateway.ended(early)
    gateway.ended(late)
    assert [call.body for call in model.calls] == [b'{"n": 1}', b'{"n": 0}']
    record = gateway.record(late)
    assert when(record["started_at"]) >= when(late["run_at"])
    assert (when(record["started_at"]) - when(late["run_at"])).total_seconds() < fair(SLACK, begun)


def test_an_expired_job_is_never_called(gateway, model):
    model.route.hold()
    running = gateway.submit(model.name, expires_in="2s")
    model.route.wait_calls(1)
    job = gateway.submit(model.name, expires_in="200ms")
    record = gateway.ended(job)
    assert (record["status"], record["error"]["code"], record["attempt"]) == ("ERROR", "expired", 0)
    until(lambda: time.time() > when(running["expires_at"]).timestamp(), "the expiry of the one that runs")
    model.route.release()
    assert gateway.ended(running)["status"] == "COMPLETED", "its first attempt had begun"
    assert len(model.calls) == 1


def test_a_model_is_called_by_as_many_as_its_concurrency(make_gateway, model_server):
    gateway = make_gateway({"ocr": {"concurrency": 3}, "other": {}})
    route = model_server.route("/ocr")
    route.hold()
    jobs = [gateway.submit("ocr") for _ in range(12)]
    route.wait_calls(3)
    gateway.ended(gateway.submit("other"))
    assert [gateway.record(job)["status"] for job in jobs].count("RUNNING") == 3
    assert route.active == 3
    route.release()
    assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert route.most_active == 3


def timed(gateway, model):
    """Seconds that a synchronous job took."""
    started = time.monotonic()
    assert gateway.post("/v1/inference", {"model": model}).status == 200
    return time.monotonic() - started


def test_a_bad_model_does_not_slow_another_one(make_gateway, model_server):
    refusing = ModelServer(listening=False)
    silent = ModelServer(accepting=False)
    bad = {
        "hangs": answers.hang(),
        "bombs": answers.gzip_bomb(64 * MIB),
        "dribbles": answers.dribble(0.1),
        "resets": answers.reset(),
        "floods": answers.ok(bytes(2 * MIB)),
    }
    models = {name: {"max_answer": "1MiB", "concurrency": 2} for name in bad}
    models |= {name: {"url": server.url()} for name, server in {"refuses": refusing, "silent": silent}.items()}
    try:
        quiet = make_gateway({"good": {}})
        gateway = make_gateway({"good": {}} | models, drain_timeout="1s")
        for _ in range(10):
            timed(quiet, "good")
            timed(gateway, "good")
        for name, answer in bad.items():
            model_server.route("/" + name).answer_with(answer)
        for name in models:
            for _ in range(10):
                gateway.submit(name)
        # In turn, so that other work on the machine slows both.
        alone, beside = zip(*((timed(quiet, "good"), timed(gateway, "good")) for _ in range(60)))
        assert sum(beside) < 4 * sum(alone) + 1, f"alone {sorted(alone)[-3:]}, beside {sorted(beside)[-3:]}"
    finally:
        refusing.close()
        silent.close()


def test_a_stream_beside_a_slow_model_is_not_held_up(gateway, model):
    """The event RUNNING reaches its listener while the model server still works."""
    model.route.hold()
    job = gateway.submit(model.name)
    with gateway.listen(job) as stream:
        assert [event.status for event in stream.events(2)] == ["PENDING", "RUNNING"]
        assert model.route.active == 1 or model.route.wait_calls(1)
        model.route.release()
        assert wire.parse(stream.to_end())[-1].status == "COMPLETED"
