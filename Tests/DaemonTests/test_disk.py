"""A disk that runs full: new jobs are refused, accepted ones end, and all is well again once there is room."""

import threading

import pytest

import answers
import small_disk
from contract import KIB, MIB, SUBMIT, problem
from gateway import JSON_TYPE
from waiting import until


@pytest.fixture
def disk(tmp_path):
    if reason := small_disk.impossible():
        pytest.skip(f"a small disk: {reason}")
    with small_disk.SmallDisk(tmp_path / "disk", 64) as each:
        yield each


def store(disk, **settings):
    return {"path": str(disk.path / "inferq.db"), "ballast": "4MiB", "min_free": "8MiB"} | settings


def ballast(disk):
    """The bytes that the reserve really holds."""
    file = disk.path / "inferq.db.ballast"
    return file.stat().st_blocks * 512 if file.exists() else 0


def submit(gateway, **headers):
    return gateway.post(SUBMIT, {"model": "ocr"}, JSON_TYPE | headers)


def has_recovered(gateway):
    return submit(gateway).status == 202 and gateway.get("/readyz").status == 200


def test_below_min_free_submits_get_507_and_accepted_jobs_go_on(disk, make_gateway, model_server):
    gateway = make_gateway({"ocr": {}}, store=store(disk))
    model_server.route("/ocr").hold()
    keyed = submit(gateway, **{"Idempotency-Key": "k"}).json()
    jobs = [keyed] + [gateway.submit("ocr") for _ in range(5)]
    disk.fill(leaving=6 * MIB)
    until(lambda: submit(gateway).status == 507, "507")
    document = problem(submit(gateway), 507)
    assert document["code"] == "disk_full"
    problem(gateway.post("/v1/inference", {"model": "ocr"}), 507)
    problem(gateway.get("/readyz"), 503, "disk")
    assert gateway.get("/livez").status == 200
    again = submit(gateway, **{"Idempotency-Key": "k"})
    assert (again.status, again.json()["id"]) == (202, keyed["id"])
    problem(gateway.post(SUBMIT, {"model": "nobody"}), 422)
    model_server.route("/ocr").release()
    for job in jobs:
        assert gateway.ended(job)["status"] == "COMPLETED"
        assert gateway.events(job)[-1].status == "COMPLETED"
    disk.make_room()
    until(lambda: has_recovered(gateway), "submits again")


def test_a_stop_ends_although_outcomes_wait_for_room(disk, make_gateway, model_server):
    """What could not be stored is put back at the next start; nothing is lost."""
    gateway = make_gateway({"ocr": {"concurrency": 4}}, store=store(disk), drain_timeout="1s")
    gateway.errors_expected = True
    route = model_server.route("/ocr")
    route.hold()
    route.answer_with(answers.ok(b'{"x": "' + b"y" * 2 * MIB + b'"}'))
    jobs = [gateway.submit("ocr") for _ in range(4)]
    route.wait_calls(4)
    disk.fill(leaving=0)
    route.release()
    until(lambda: "waits to be stored" in gateway.log(), "an outcome waits")
    gateway.terminate()
    gateway.wait_stopped()
    disk.make_room()
    gateway.start()
    assert {gateway.ended(job)["status"] for job in jobs} == {"COMPLETED"}


def test_a_disk_that_runs_short_is_said_in_the_log(disk, make_gateway):
    gateway = make_gateway({"ocr": {}}, store=store(disk))
    until(lambda: ballast(disk), "the reserve")
    disk.fill(leaving=6 * MIB)
    until(lambda: gateway.log().count("the disk is nearly full: new jobs are refused") == 1, "it is said", 15)
    disk.make_room()
    until(lambda: gateway.log().count("the disk has room again: new jobs are taken") == 1, "it is said", 15)


def test_a_full_queue_is_said_before_a_full_disk(disk, make_gateway, model_server):
    gateway = make_gateway({"ocr": {"queue_limit": 1}}, store=store(disk))
    model_server.route("/ocr").hold()
    gateway.submit("ocr")
    model_server.route("/ocr").wait_calls(1)
    gateway.submit("ocr")
    disk.fill(leaving=6 * MIB)
    problem(submit(gateway), 429)
    disk.make_room()


def test_the_reserve_is_a_sixteenth_of_the_disk_at_most_and_really_there(disk, make_gateway):
    make_gateway({"ocr": {}}, store=store(disk, ballast="1GiB"))
    until(lambda: ballast(disk), "the reserve")
    assert 3 * MIB < ballast(disk) <= 4 * MIB


def test_jobs_end_on_a_full_disk_with_what_was_held_in_reserve(disk, make_gateway, model_server):
    gateway = make_gateway({"ocr": {"concurrency": 8}, "bulk": {}}, store=store(disk, min_free="0B"))
    gateway.errors_expected = True
    until(lambda: ballast(disk), "the reserve")
    route = model_server.route("/ocr")
    route.hold()
    model_server.route("/bulk").hold()
    body = b'{"text": "' + b"x" * (100 * KIB) + b'"}'
    route.answer_with(answers.ok(body))
    jobs = [gateway.submit("ocr") for _ in range(16)]
    route.wait_calls(8)
    stop = threading.Event()

    def load():
        """Submits that use up all that is left, no matter who frees it, and clients that read meanwhile."""
        while not stop.is_set():
            assert gateway.post(SUBMIT, {"model": "bulk", "input": "y" * (30 * KIB)}).status in (202, 507)
            assert gateway.get(jobs[0]["urls"]["self"]).status == 200

    clients = [threading.Thread(target=load) for _ in range(8)]
    for client in clients:
        client.start()
    disk.fill()
    until(lambda: submit(gateway).status == 507, "507 on a full disk")
    disk.fill()
    route.release()
    try:
        for job in jobs:
            assert gateway.ended(job, timeout=60)["status"] == "COMPLETED"
            assert gateway.get(job["urls"]["output"]).body == body
        assert not ballast(disk)
    finally:
        stop.set()
        for client in clients:
            client.join()
    disk.make_room()
    until(lambda: has_recovered(gateway), "submits again")
    until(lambda: ballast(disk), "the reserve anew", 30)
    assert gateway.is_running


def test_outcomes_wait_for_room_when_even_the_reserve_is_gone(disk, make_gateway, model_server):
    gateway = make_gateway({"ocr": {"concurrency": 4}}, store=store(disk, min_free="0B", ballast="0B"))
    gateway.errors_expected = True
    route = model_server.route("/ocr")
    route.hold()
    body = b"z" * (2 * MIB)
    route.answer_with(answers.ok(body, "application/octet-stream"))
    jobs = [gateway.submit("ocr") for _ in range(4)]
    route.wait_calls(4)
    disk.fill()
    route.release()
    until(lambda: gateway.log_lines("error"), "a word in the log")
    assert {gateway.record(job)["status"] for job in jobs} == {"RUNNING"}
    disk.make_room()
    for job in jobs:
        assert gateway.ended(job, timeout=30)["attempt"] == 1
        assert gateway.get(job["urls"]["output"]).body == body


def test_the_retention_works_on_a_full_disk(disk, make_gateway):
    gateway = make_gateway({"ocr": {"concurrency": 4}}, store=store(disk, min_free="0B", retention="1h"))
    gateway.errors_expected = True
    until(lambda: ballast(disk), "the reserve")
    jobs = [gateway.submit_bytes("ocr", b"x" * (60 * KIB)) for _ in range(100)]
    for job in jobs:
        gateway.ended(job, timeout=30)
    disk.fill()
    gateway.settings["store"]["retention"] = "1s"
    gateway.reload()
    until(lambda: all(gateway.get(job["urls"]["self"]).status == 410 for job in jobs), "410", 30)
    until(lambda: submit(gateway).status == 202, "a submit into the room of the old jobs", 30)


def test_a_start_on_a_full_disk_takes_the_reserve(disk, make_gateway, model_server):
    gateway = make_gateway({"ocr": {}}, store=store(disk, min_free="0B"))
    gateway.errors_expected = True
    until(lambda: ballast(disk), "the reserve")
    model_server.route("/ocr").hold()
    job = gateway.submit("ocr")
    model_server.route("/ocr").wait_calls(1)
    gateway.kill()
    disk.fill()
    model_server.route("/ocr").release()
    # For new jobs it is not ready: it is for this one.
    gateway.launch()
    until(gateway.is_alive, "the gateway to answer", 20)
    assert gateway.ended(job)["status"] == "COMPLETED"
