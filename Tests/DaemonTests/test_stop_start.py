"""Stops, crashes, restarts and reloads: what clients see of them, and what becomes of the jobs."""

import json
import signal
import subprocess
import threading

import pytest

import answers
import wire
from gateway import BINARY, JSON_TYPE, environment, toml
from ports import free_port
from waiting import until


OCR = {"ocr": {"url": "http://127.0.0.1:9/predict"}}


@pytest.fixture
def gateway(make_gateway):
    """A gateway of the test's own, with one model `ocr`."""
    return make_gateway({"ocr": {}})


@pytest.fixture
def route(model_server):
    return model_server.route("/ocr")


def running_job(gateway, route, **job):
    """A job that is with the model server, which holds its answer."""
    route.hold()
    submitted = gateway.submit("ocr", **job)
    route.wait_calls(1)
    return submitted


def kinds(events):
    return [(event.detail_type.removeprefix("Inf:Task:"), event.status) for event in events]


# SIGTERM


def test_a_stop_of_an_idle_gateway_is_quick_and_exits_0(gateway):
    gateway.stop(timeout=5)


def test_a_running_job_is_drained_and_its_listener_hears_the_end(gateway, route):
    job = running_job(gateway, route)
    with gateway.listen(job) as stream:
        stream.events(2)
        gateway.terminate()
        # The signal may come later than a request that was sent after it.
        until(lambda: '"message":"stopping' in gateway.log(), "the stop")
        late = gateway.submit("ocr")
        route.release()
        assert wire.parse(stream.to_end())[-1].status == "COMPLETED"
    gateway.wait_stopped()
    assert len(route.calls) == 1, "workers take nothing new"
    gateway.restart()
    record = gateway.record(job)
    assert (record["status"], record["attempt"]) == ("COMPLETED", 1)
    assert gateway.ended(late)["status"] == "COMPLETED", "accepted while draining, run by the next one"


def test_past_drain_timeout_a_job_is_interrupted_and_runs_again(make_gateway, route):
    gateway = make_gateway({"ocr": {"max_attempts": 1}}, drain_timeout="500ms")
    job = running_job(gateway, route)
    with gateway.listen(job) as stream:
        stream.events(2)
        gateway.stop(timeout=8)
        seen = wire.parse(stream.to_end())
    assert kinds(seen) == [("Updated", "PENDING"), ("Updated", "RUNNING"), ("Updated", "PENDING")]
    assert route.calls[0].dropped.wait(60), "the model server is told to stop"
    route.release()
    gateway.restart()
    record = gateway.ended(job)
    assert (record["status"], record["attempt"]) == ("COMPLETED", 2), "an interruption does not count"
    assert kinds(gateway.events(job, last=seen[-1].id)) == [("Updated", "RUNNING"), ("Updated", "COMPLETED")]


def test_a_waiting_submit_gets_202_and_the_record_at_a_stop(make_gateway, route):
    gateway = make_gateway({"ocr": {}}, drain_timeout="500ms")
    route.hold()
    found = []
    waiting = threading.Thread(target=lambda: found.append(gateway.post("/v1/inference", {"model": "ocr"})))
    waiting.start()
    route.wait_calls(1)
    gateway.stop(timeout=8)
    waiting.join(5)
    assert found and found[0].status == 202
    job = found[0].json()
    route.release()
    gateway.restart()
    assert gateway.ended(job)["status"] == "COMPLETED"


def test_streams_of_jobs_that_have_not_ended_end_cleanly_at_a_stop(gateway):
    job = gateway.submit("ocr", delay="1h")
    with gateway.listen(job) as first, gateway.listen(job) as second:
        first.events(1), second.events(1)
        gateway.stop(timeout=5)
        assert len(wire.parse(first.to_end())) == len(wire.parse(second.to_end())) == 1


def test_no_client_gets_a_503_for_a_stop(make_gateway, route):
    gateway = make_gateway({"ocr": {}}, drain_timeout="500ms")
    running = running_job(gateway, route)
    accepted, statuses = [], set()

    def submit_until_refused():
        connection = wire.connect(gateway.address)
        while True:
            try:
                connection.request("POST", "/v1/async/inference", b'{"model":"ocr"}', JSON_TYPE)
                response = connection.getresponse()
                body = response.read()
            except ConnectionRefusedError:
                return
            except (OSError, wire.http.client.HTTPException):
                connection.close()
                continue
            statuses.add(response.status)
            if response.status == 202:
                accepted.append(json.loads(body))

    clients = [threading.Thread(target=submit_until_refused) for _ in range(4)]
    for client in clients:
        client.start()
    until(lambda: len(accepted) >= 50, "some submits before the stop")
    before = len(accepted)
    gateway.terminate()
    gateway.wait_stopped()
    for client in clients:
        client.join(10)
        assert not client.is_alive()
    assert statuses == {202}
    assert len(accepted) > before, "submits go on while attempts drain"
    route.release()
    gateway.restart()
    assert gateway.ended(running)["status"] == "COMPLETED"
    for job in accepted[:5] + accepted[-20:]:
        assert gateway.record(job)["id"] == job["id"]


# A crash


def test_after_a_crash_the_job_runs_again_and_its_stream_goes_on(gateway, route):
    job = running_job(gateway, route, max_attempts=1)
    with gateway.listen(job) as stream:
        seen = stream.events(2)
        gateway.kill()
    route.release()
    gateway.restart()
    record = gateway.ended(job)
    assert (record["status"], record["attempt"]) == ("COMPLETED", 2), "a crash does not count"
    rest = gateway.events(job, last=seen[-1].id)
    assert kinds(rest) == [("Updated", "PENDING"), ("Updated", "RUNNING"), ("Updated", "COMPLETED")]
    everything = gateway.events(job)
    assert [event.id for event in everything] == [event.id for event in seen + rest]
    assert [event.data_line for event in everything[:2]] == [event.data_line for event in seen]


def test_after_a_crash_every_accepted_job_is_there_and_runs(gateway, route):
    first = running_job(gateway, route)
    jobs = [first] + [gateway.submit("ocr", {"n": n}) for n in range(20)]
    gateway.kill()
    route.release()
    gateway.restart()
    assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}
    assert [gateway.record(job)["attempt"] for job in jobs] == [2] + [1] * 20


def test_an_attempt_keeps_its_failures_over_a_crash(gateway, route):
    route.answer_with(answers.status(500), answers.hang())
    job = gateway.submit("ocr", max_attempts=2)
    route.wait_calls(2)
    gateway.kill()
    route.answer_with(answers.status(500))
    gateway.restart()
    record = gateway.ended(job)
    assert (record["status"], record["attempt"]) == ("ERROR", 3), "two failures and one interruption"


def test_a_job_that_kills_the_gateway_ends_poisoned_and_its_neighbours_complete(make_gateway, route):
    gateway = make_gateway({"ocr": {"concurrency": 3}})
    gateway.errors_expected = True
    kills = []

    def answer(exchange):
        poisonous = exchange.call.body == b'"poison"'
        if len(kills) < 2:
            if not poisonous:
                return exchange.hang()
            until(lambda: route.active == 3, "the neighbours, which run at the first and second crash")
        elif not poisonous:
            return answers.ok()(exchange)
        kills.append(gateway.process.pid)
        gateway.process.send_signal(signal.SIGKILL)
        exchange.hang()

    route.answer_with(answer)
    poison = gateway.submit("ocr", "poison")
    neighbours = [gateway.submit("ocr", {"n": n}) for n in range(2)]
    for crash in (1, 2, 3):
        until(lambda: len(kills) >= crash, f"crash {crash}")
        gateway.process.wait(60)
        gateway.launch() if crash < 3 else gateway.start()
    record = gateway.ended(poison)
    assert (record["status"], record["error"]["code"]) == ("ERROR", "poisoned")
    until(lambda: "crashed three times" in gateway.log() and record["id"] in gateway.log(), "a line that says so")
    assert {gateway.ended(job)["status"] for job in neighbours} == {"COMPLETED"}
    assert len(kills) == 3
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"


# One store, one process


def test_a_second_process_on_the_same_store_exits_73(gateway, tmp_path):
    file = tmp_path / "second.toml"
    settings = {"listen": [f"127.0.0.1:{free_port()}"], "store": {"path": str(gateway.folder / "inferq.db")}}
    file.write_text(toml(settings | {"models": gateway.models}))
    second = subprocess.run(
        [BINARY, "serve", "--config", file], capture_output=True, text=True, timeout=30, env=environment()
    )
    assert second.returncode == 73, second.stderr
    assert "waiting for it to end" in second.stderr, "it says at once what it waits for"
    assert "waiting" not in second.stderr.strip().splitlines()[-1], "and why it gave up"
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED", "the first one is not disturbed"


def test_a_new_process_waits_for_the_one_that_still_drains(make_gateway, route, tmp_path):
    gateway = make_gateway({"ocr": {}})
    job = running_job(gateway, route)
    old = gateway.process
    gateway.terminate()
    file = tmp_path / "next.toml"
    port = free_port()
    settings = {"listen": [f"127.0.0.1:{port}"], "store": {"path": str(gateway.folder / "inferq.db")}}
    file.write_text(toml(settings | {"models": gateway.models}))
    successor = subprocess.Popen([BINARY, "serve", "--config", file], env=environment(), stderr=subprocess.DEVNULL)
    try:
        route.release()
        assert old.wait(60) == 0

        def is_ready():
            try:
                return wire.exchange(("127.0.0.1", port), "GET", "/readyz").status == 200
            except OSError:
                return False

        until(is_ready, "the successor to take over")
        answer = wire.exchange(("127.0.0.1", port), "GET", job["urls"]["self"])
        assert answer.json()["status"] == "COMPLETED"
    finally:
        successor.terminate()
        assert successor.wait(60) == 0


def test_a_broken_configuration_exits_78(tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text('[models.ocr]\nurl = "http://127.0.0.1:1/"\ncolour = "red"\n')
    ended = subprocess.run(
        [BINARY, "serve", "--config", file], capture_output=True, text=True, timeout=20, env=environment()
    )
    assert ended.returncode == 78
    assert "colour" in ended.stderr


@pytest.mark.parametrize("store", ["/dev/null/inferq.db", "/proc/inferq.db"])
def test_a_store_that_cannot_be_created_exits_73(tmp_path, store):
    file = tmp_path / "inferq.toml"
    file.write_text(toml({"listen": [f"127.0.0.1:{free_port()}"], "store": {"path": store}, "models": OCR}))
    ended = subprocess.run(
        [BINARY, "serve", "--config", file], capture_output=True, text=True, timeout=20, env=environment()
    )
    assert ended.returncode == 73, ended.stderr
    assert ended.stderr.strip()


# SIGHUP


def test_a_reload_adds_a_model_and_changes_a_limit(gateway, route, model_server):
    running = running_job(gateway, route)
    assert gateway.post("/v1/async/inference", {"model": "new"}).status == 422
    gateway.models["new"] = {"url": model_server.url("/new")}
    gateway.models["ocr"]["queue_limit"] = 1
    gateway.reload()
    until(lambda: gateway.post("/v1/async/inference", {"model": "new"}).status == 202, "the new model")
    assert gateway.post("/v1/async/inference", {"model": "ocr"}).status == 202
    assert gateway.post("/v1/async/inference", {"model": "ocr"}).status == 429
    assert not route.calls[0].dropped.is_set(), "running attempts are not touched"
    route.release()
    assert gateway.ended(running)["attempt"] == 1


def test_a_reload_raises_the_concurrency(gateway, route):
    running_job(gateway, route)
    for _ in range(3):
        gateway.submit("ocr")
    gateway.models["ocr"]["concurrency"] = 3
    gateway.reload()
    route.wait_calls(3)
    route.release()


def test_the_jobs_of_a_removed_model_wait_and_can_be_cancelled(gateway, route, model_server):
    running = running_job(gateway, route)
    waiting, cancelled = gateway.submit("ocr"), gateway.submit("ocr")
    removed = gateway.models.pop("ocr")
    gateway.models["other"] = {"url": model_server.url("/other")}
    gateway.reload()
    until(lambda: gateway.post("/v1/async/inference", {"model": "ocr"}).status == 422, "the model to be gone")
    assert gateway.cancel(cancelled).json()["status"] == "CANCELLED"
    route.release()
    assert gateway.ended(running)["status"] == "COMPLETED"
    gateway.ended(gateway.submit("other"))
    assert gateway.record(waiting)["status"] == "PENDING"
    assert gateway.record(waiting)["attempt"] == 0, "it was not even begun"
    gateway.models["ocr"] = removed
    gateway.reload()
    assert gateway.ended(waiting)["status"] == "COMPLETED"


def test_a_broken_file_is_refused_at_a_reload_and_said_in_the_log(gateway, route):
    gateway.errors_expected = True
    before = len(gateway.log_lines("warning", "error"))
    gateway.config_file.write_text(gateway.config_file.read_text() + '\n[models.new]\ncolour = "red"\n')
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: len(gateway.log_lines("warning", "error")) > before, "a line in the log that says so")
    until(lambda: "colour" in gateway.log(), "the key in the log")
    assert gateway.post("/v1/async/inference", {"model": "new"}).status == 422
    assert gateway.ended(gateway.submit("ocr"))["status"] == "COMPLETED"
