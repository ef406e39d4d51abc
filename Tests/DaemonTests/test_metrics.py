"""`GET /metrics`: figures for Prometheus, seen from outside."""

import collections
import math
import os
import re
import socket
import time

import pytest

import answers
import promtool
import wire
from waiting import until

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class Metrics(dict):
    """Samples by name and labels."""

    def __init__(self, text):
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            name, labels, value = SAMPLE.fullmatch(line).groups()
            key = (name, frozenset(LABEL.findall(labels or "")))
            assert key not in self, f"twice: {line}"
            self[key] = float(value)

    def value(self, name, **labels):
        return self.get((name, frozenset(labels.items())), 0.0)

    def values(self, name):
        """Labels and value of every sample of a metric."""
        return [(dict(labels), value) for (found, labels), value in self.items() if found == name]


def read(gateway):
    answer = gateway.get("/metrics")
    assert answer.status == 200, answer
    return Metrics(answer.body.decode())


def test_the_page_is_plain_text_of_version_0_0_4(gateway):
    answer = gateway.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    # As Prometheus asks.
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
    assert gateway.get("/metrics", Accept=accept).status == 200
    assert gateway.get("/metrics", Accept="image/png").status == 406
    assert gateway.get("/metrics?name=x").status == 400
    assert gateway.request("HEAD", "/metrics").body == b""
    assert gateway.post("/metrics", {}).status == 405


def test_promtool_finds_nothing_wrong(gateway, model):
    if promtool.path() is None:
        pytest.skip("promtool is not installed, and Debian's package prometheus cannot be fetched")
    model.route.answer_with(answers.status(500), answers.ok())
    gateway.ended(gateway.submit(model.name))
    gateway.get("/nowhere")
    assert promtool.check(gateway.get("/metrics").body) == ""


def test_the_life_of_jobs_is_counted(gateway, model):
    model.route.answer_with(answers.status(500), answers.ok(), answers.status(400), answers.ok())
    done = gateway.ended(gateway.submit(model.name))
    failed = gateway.ended(gateway.submit(model.name))
    model.route.hold()
    cancelled = gateway.submit(model.name)
    model.route.wait_calls(4)
    gateway.cancel(cancelled)
    model.route.release()
    waiting = gateway.submit(model.name, delay="1h")
    assert (done["status"], failed["status"]) == ("COMPLETED", "ERROR")
    metrics = until(
        lambda: (now := read(gateway)).value("inferq_jobs_finished_total", model=model.name, outcome="cancelled")
        and now,
        "the cancelled job to be counted",
    )
    name = {"model": model.name}
    assert metrics.value("inferq_jobs_submitted_total", **name) == 4
    assert metrics.value("inferq_jobs_finished_total", outcome="completed", **name) == 1
    assert metrics.value("inferq_jobs_finished_total", outcome="error", **name) == 1
    assert metrics.value("inferq_jobs_finished_total", outcome="cancelled", **name) == 1
    assert metrics.value("inferq_jobs_active", state="pending", **name) == 1
    assert metrics.value("inferq_jobs_active", state="running", **name) == 0
    assert metrics.value("inferq_attempts_started_total", **name) == 4
    assert metrics.value("inferq_retries_total", **name) == 1
    assert metrics.value("inferq_failures_total", code="http_error", **name) == 2
    assert metrics.value("inferq_failures_total", code="timeout", **name) == 0
    assert metrics.value("inferq_queue_wait_seconds_count", **name) == 4
    assert metrics.value("inferq_attempt_duration_seconds_count", **name) == 3
    assert metrics.value("inferq_job_duration_seconds_count", **name) == 3
    assert metrics.value("inferq_queue_oldest_pending_seconds", **name) > 0
    assert metrics.value("inferq_model_up", **name) == 1
    gateway.cancel(waiting)


def test_an_expired_job_is_a_failure_without_an_attempt(gateway, model):
    job = gateway.submit(model.name, delay="1h", expires_in="1ms")
    gateway.ended(job)
    metrics = read(gateway)
    assert metrics.value("inferq_failures_total", model=model.name, code="expired") == 1
    assert metrics.value("inferq_attempts_started_total", model=model.name) == 0


def test_histograms_grow_to_their_count_and_tell_the_time(gateway, model):
    model.route.answer_with(answers.after(0.3))
    gateway.ended(gateway.submit(model.name))
    metrics = read(gateway)
    for name in ["queue_wait", "attempt_duration", "job_duration"]:
        samples = metrics.values(f"inferq_{name}_seconds_bucket")
        buckets = sorted((float(labels["le"]), value) for labels, value in samples if labels["model"] == model.name)
        counts = [count for _, count in buckets]
        assert counts == sorted(counts) and counts[-1] == 1
        assert (buckets[0][0], buckets[-2][0], buckets[-1][0]) == (0.001, 3600, math.inf)
    assert 0.3 <= metrics.value("inferq_attempt_duration_seconds_sum", model=model.name) < 5
    assert metrics.value("inferq_attempt_duration_seconds_bucket", model=model.name, le="0.25") == 0


def test_replayed_and_refused_submits_are_counted(make_gateway):
    gateway = make_gateway({"ocr": {"queue_limit": 1}})
    gateway.submit("ocr", delay="1h", key="k")
    gateway.submit("ocr", delay="1h", key="k")
    assert gateway.post("/v1/async/inference", {"model": "ocr"}).status == 429
    metrics = read(gateway)
    assert metrics.value("inferq_jobs_submitted_total", model="ocr") == 1
    assert metrics.value("inferq_submits_replayed_total", model="ocr") == 1
    assert metrics.value("inferq_submits_refused_total", model="ocr") == 1


def test_requests_are_counted_by_template_and_status_class(make_gateway):
    gateway = make_gateway({"ocr": {}})
    job = gateway.ended(gateway.submit("ocr"))
    gateway.record(job)
    missing = "/v1/inference/01935f2e-0000-7000-8000-000000000000"
    assert gateway.get(missing).status == 404
    assert gateway.get("/v1/inference/nonsense").status == 400
    assert gateway.get("/strange/one").status == 404
    assert gateway.get("/strange/two").status == 404
    assert gateway.get("/livez", Host="elsewhere.example").status == 421
    metrics = read(gateway)
    count = "inferq_http_request_duration_seconds_count"
    assert metrics.value(count, route="/v1/async/inference", method="POST", code="2xx") == 1
    assert metrics.value(count, route="/v1/inference/{id}", method="GET", code="2xx") >= 2
    assert metrics.value(count, route="/v1/inference/{id}", method="GET", code="4xx") == 2
    assert metrics.value(count, route="none", method="any", code="4xx") == 3
    assert not any("strange" in labels["route"] for labels, _ in metrics.values(count)), "routes are templates"


def test_streams_are_counted_with_the_reason_of_their_end(make_gateway):
    gateway = make_gateway({"ocr": {}})
    ended = gateway.submit("ocr")
    sent = len(gateway.events(ended))
    waiting = gateway.submit("ocr", delay="1h")
    with gateway.listen(waiting) as stream:
        stream.events(1)
        metrics = read(gateway)
        assert metrics.value("inferq_sse_streams") == 1
    metrics = until(lambda: (now := read(gateway)).value("inferq_sse_streams") == 0 and now, "the stream to be gone")
    assert metrics.value("inferq_sse_streams_opened_total") == 2
    assert metrics.value("inferq_sse_streams_closed_total", reason="end") == 1
    assert metrics.value("inferq_sse_streams_closed_total", reason="client") == 1
    assert metrics.value("inferq_sse_events_sent_total") == sent + 1
    assert metrics.value("inferq_events_total", detail_type="Inf:Task:Updated") == sent + 1


def test_connections_are_counted_and_those_past_the_limit(make_gateway):
    gateway = make_gateway({}, limits={"connections": 3})
    with wire.dial(gateway.address) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        metrics = Metrics(wire.read_answer(sock).body.decode())
        assert metrics.value("inferq_http_connections") >= 1
        others = [wire.dial(gateway.address) for _ in range(4)]
        try:
            until(lambda: _asked(sock).value("inferq_http_connections_refused_total") >= 2, "refused connections")
        finally:
            for other in others:
                other.close()


def _asked(sock):
    sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return Metrics(wire.read_answer(sock).body.decode())


def test_store_and_process(gateway, model):
    gateway.ended(gateway.submit(model.name))
    metrics = read(gateway)
    assert metrics.value("inferq_store_bytes") > 4096
    assert metrics.value("inferq_store_wal_bytes") > 0
    assert metrics.value("inferq_disk_free_bytes") > 0
    commits = metrics.value("inferq_store_commit_duration_seconds_count")
    assert commits == metrics.value("inferq_store_commit_operations_count") >= 3
    assert metrics.value("inferq_store_commit_operations_sum") >= commits
    assert 0 < metrics.value("inferq_store_commit_duration_seconds_sum") < 60
    assert metrics.value("process_resident_memory_bytes") > 1 << 20
    assert metrics.value("process_open_fds") == pytest.approx(
        len(os.listdir(f"/proc/{gateway.process.pid}/fd")), abs=3
    )
    assert metrics.value("process_max_fds") >= metrics.value("process_open_fds")
    assert metrics.value("process_cpu_seconds_total") > 0
    assert abs(metrics.value("process_start_time_seconds") - time.time()) < 3600
    assert metrics.value("inferq_broker_active", kind="ring") == 1
    [(build, one)] = metrics.values("inferq_build_info")
    assert one == 1 and build["version"] == gateway.get("/livez").json()["version"]


def test_commits_share_operations_when_many_submit(make_gateway, model_server):
    gateway = make_gateway({"ocr": {}})
    gateway.post("/v1/models/ocr/pause", b"")
    body = b'{"model":"ocr"}'
    request = b"POST /v1/async/inference HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request += b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
    before = read(gateway)
    clients = [wire.dial(gateway.address) for _ in range(64)]
    for client in clients:
        client.sendall(request)
    for client in clients:
        assert wire.read_answer(client).status == 202
        client.close()
    after = read(gateway)
    name = "inferq_store_commit_operations_sum"
    assert after.value(name) - before.value(name) >= 64
    assert after.value("inferq_jobs_submitted_total", model="ocr") == 64


def test_a_model_is_shown_before_its_first_job_and_labels_stay_few(make_gateway):
    gateway = make_gateway({"ocr": {}, "a.b_c:d-e": {}})
    fresh = read(gateway)
    assert {labels["model"] for labels, _ in fresh.values("inferq_jobs_submitted_total")} == {"ocr", "a.b_c:d-e"}
    for number in range(50):
        assert gateway.post("/v1/async/inference", {"model": f"unknown{number}"}).status == 422
        gateway.get(f"/v1/models/unknown{number}")
    later = read(gateway)
    models = collections.Counter(dict(labels).get("model") for _, labels in later)
    assert set(models) == {"ocr", "a.b_c:d-e", None}


def test_a_reader_of_metrics_needs_the_right_host(gateway):
    with socket.create_connection(gateway.address, 10) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: rebound.example\r\n\r\n")
        assert wire.read_answer(sock).status == 421
