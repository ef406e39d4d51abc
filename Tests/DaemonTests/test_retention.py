"""Ended jobs go by age and by bytes, with all that is theirs; what has not ended stays."""

import pytest

from contract import KIB, MIB, SUBMIT, problem
from gateway import JSON_TYPE
from waiting import until


def is_gone(gateway, job):
    """Whether all that was the job's answers 410 now."""
    status = gateway.get(job["urls"]["self"]).status
    assert status in (200, 410), status
    if status == 410:
        for name in ("events", "history", "input", "output"):
            problem(gateway.get(job["urls"][name]), 410)
    return status == 410


def blobs(gateway):
    return sorted(path.name for path in (gateway.folder / "blobs").iterdir())


def test_jobs_past_their_age_are_gone_and_others_stay(make_gateway, model_server):
    gateway = make_gateway({"ocr": {}, "busy": {}}, store={"retention": "1s"})
    model_server.route("/busy").hold()
    running = gateway.submit("busy")
    later = gateway.submit("ocr", delay="1h")
    ended = [gateway.ended(gateway.submit("ocr")) for _ in range(3)]
    until(lambda: all(is_gone(gateway, job) for job in ended), "410", 20)
    left = {job["id"] for job in gateway.get("/v1/inference").json()["results"]}
    assert left == {running["id"], later["id"]}
    problem(gateway.post(ended[0]["urls"]["cancel"], b"", headers={}), 410)


def test_a_retention_of_zero_keeps_for_ever_until_a_reload_says_otherwise(make_gateway):
    gateway = make_gateway({"ocr": {}}, store={"retention": "0s"})
    job = gateway.ended(gateway.submit("ocr"))
    gateway.stop()
    gateway.restart()
    assert not is_gone(gateway, job)
    gateway.settings["store"]["retention"] = "1s"
    gateway.reload()
    until(lambda: is_gone(gateway, job), "410", 20)


def test_past_max_bytes_the_oldest_go_with_their_files(make_gateway):
    gateway = make_gateway({"ocr": {}}, store={"max_bytes": "1MiB"})
    body = b"x" * (150 * KIB)
    jobs = [gateway.ended(gateway.submit_bytes("ocr", body)) for _ in range(12)]

    def settled():
        # The newest is asked for first: what goes meanwhile is older than what was found gone.
        gone = [is_gone(gateway, job) for job in reversed(jobs)][::-1]
        assert gone == sorted(gone, reverse=True), "not the oldest first"
        return gone if sum(gone) >= 6 and len(blobs(gateway)) == gone.count(False) else None

    gone = until(settled, "at most 1 MiB of jobs", 20)
    assert 5 <= gone.count(False) <= 6
    assert gateway.get(jobs[-1]["urls"]["input"]).body == body


def test_space_is_given_back(make_gateway):
    gateway = make_gateway({"ocr": {"concurrency": 4}}, store={"retention": "1h"})
    body = b"x" * (60 * KIB)
    jobs = [gateway.submit_bytes("ocr", body) for _ in range(120)]
    for job in jobs:
        gateway.ended(job, timeout=30)
    file = gateway.folder / "inferq.db"
    gateway.stop()
    assert file.stat().st_size > 7 * MIB
    gateway.settings["store"]["retention"] = "1s"
    gateway.restart()
    until(lambda: file.stat().st_size < 3 * MIB, "a smaller file", 30)
    assert is_gone(gateway, jobs[0])


def test_a_key_whose_job_is_past_its_retention_starts_nothing(make_gateway, model_server):
    gateway = make_gateway({"ocr": {}}, store={"retention": "1s"})

    def submit():
        return gateway.post(SUBMIT, {"model": "ocr"}, JSON_TYPE | {"Idempotency-Key": "k"})

    job = gateway.ended(submit().json())
    until(lambda: is_gone(gateway, job), "410", 20)
    problem(submit(), 410)
    assert len(model_server.route("/ocr").calls) == 1


def test_a_key_is_free_again_once_a_client_has_deleted_its_job(make_gateway):
    gateway = make_gateway({"ocr": {}})

    def submit():
        return gateway.post(SUBMIT, {"model": "ocr"}, JSON_TYPE | {"Idempotency-Key": "k"})

    job = gateway.ended(submit().json())
    assert gateway.request("DELETE", job["urls"]["self"]).status == 204
    assert submit().json()["id"] != job["id"]


@pytest.mark.timeout(120)
def test_clients_notice_nothing_of_the_retention(make_gateway):
    """Submits go on while a thousand jobs are removed; each one that was accepted ends."""
    gateway = make_gateway({"ocr": {"concurrency": 8}}, store={"retention": "2s"})
    jobs = [gateway.submit("ocr") for _ in range(1000)]
    until(lambda: is_gone(gateway, jobs[0]), "the first 410", 30)
    for job in [gateway.submit("ocr") for _ in range(20)]:
        assert gateway.ended(job)["status"] == "COMPLETED"
    until(lambda: all(is_gone(gateway, job) for job in jobs[::100]), "410 for all", 60)
