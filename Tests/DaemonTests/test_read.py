"""Reading, listing and cancelling jobs; health; and what HTTP itself demands."""

import hashlib
import re
import socket
import threading
import time

import pytest

import answers
import wire
from gateway import FINAL, JSON_TYPE
from contract import problem
from waiting import fair, until

NOBODY = "01935f2e-0000-7000-8000-000000000000"


def held(gateway, model):
    """A job that is RUNNING until the model's gate opens."""
    model.route.hold()
    job = gateway.submit(model.name)
    model.route.wait_calls(1)
    return job


# GET /v1/inference/{id}


def test_the_etag_is_weak_and_changes_with_the_events_of_the_job_alone(gateway, model):
    job = held(gateway, model)
    own = job["urls"]["self"]
    tag = gateway.get(own).headers["ETag"]
    assert re.fullmatch(r'W/"[^"]+"', tag)
    gateway.cancel(gateway.submit(model.name))
    same = gateway.get(own, If_None_Match=tag)
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", tag)
    assert gateway.get(own, If_None_Match=f'"other", {tag}').status == 304
    model.route.release()
    gateway.ended(job)
    changed = gateway.get(own, If_None_Match=tag)
    assert changed.status == 200 and changed.headers["ETag"] != tag


def test_wait_answers_when_the_job_has_ended(gateway, model):
    job = held(gateway, model)
    found = []
    waiting = threading.Thread(target=lambda: found.append(gateway.get(job["urls"]["self"] + "?wait=30s")))
    waiting.start()
    assert gateway.get(job["urls"]["self"] + "?wait=200ms").json()["status"] == "RUNNING"
    assert not found, "still waiting"
    model.route.release()
    waiting.join(10)
    assert found[0].json()["status"] == "COMPLETED"


def test_wait_on_an_ended_job_answers_at_once(gateway, model):
    job = gateway.submit(model.name)
    gateway.ended(job)
    started = time.monotonic()
    assert gateway.get(job["urls"]["self"] + "?wait=30s").json()["status"] == "COMPLETED"
    assert time.monotonic() - started < fair(5, started)


@pytest.mark.parametrize("query", ["wait=soon", "wait=-1", "wait="])
def test_400_for_a_bad_query_item_of_a_record(gateway, model, query):
    problem(gateway.get(gateway.submit(model.name)["urls"]["self"] + "?" + query), 400)


def test_404_for_an_unknown_job_and_400_for_what_is_no_uuid(gateway):
    for end in ("", "/input", "/output"):
        problem(gateway.get(f"/v1/inference/{NOBODY}{end}"), 404)
        problem(gateway.get(f"/v1/inference/nonsense{end}"), 400)
    problem(gateway.post(f"/v1/inference/{NOBODY}/cancel", b"", {}), 404)
    problem(gateway.post("/v1/inference/nonsense/cancel", b"", {}), 400)


# Input and output


@pytest.mark.parametrize(
    "body, content_type",
    [
        (b'{ "a" : 1e400,\n"a":[] }', "application/json"),
        (b"comma, separated", "text/csv; charset=latin-1"),
        (bytes(range(256)) * 10, "image/png"),
    ],
)
def test_output_is_given_byte_for_byte_with_its_content_type(gateway, model, body, content_type):
    model.route.answer_with(answers.ok(body, content_type))
    job = gateway.submit(model.name)
    record = gateway.ended(job)
    answer = gateway.get(job["urls"]["output"])
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, body, content_type)
    if content_type != "application/json":
        digest = hashlib.sha256(body).hexdigest()
        assert record["output"] == {"content_type": content_type, "bytes": len(body), "sha256": digest}


def test_409_while_there_is_no_output(gateway, model):
    job = held(gateway, model)
    problem(gateway.get(job["urls"]["output"]), 409)
    gateway.cancel(job)
    problem(gateway.get(job["urls"]["output"]), 409)


def test_the_input_of_a_whole_object_is_what_the_model_server_got(gateway, model):
    body = b'{"model":"%s", "x":[ 1 ], "job":{"priority":1}}' % model.name.encode()
    job = gateway.post("/v1/async/inference", body).json()
    answer = gateway.get(job["urls"]["input"])
    assert answer.body == model.route.wait_calls(1)[0].body
    assert answer.headers["Content-Type"] == "application/json"


# Cancel


def test_cancel_of_a_pending_job_keeps_it_from_the_model_server(gateway, model):
    running = held(gateway, model)
    job = gateway.submit(model.name)
    answer = gateway.cancel(job)
    assert (answer.status, answer.json()["status"]) == (200, "CANCELLED")
    assert answer.json()["finished_at"] and answer.json()["started_at"] is None
    last = gateway.submit(model.name)
    model.route.release()
    gateway.ended(last)
    assert [call.header("X-Inference-Id") for call in model.calls] == [running["id"], last["id"]]


def test_cancel_of_a_running_job_drops_the_call(gateway, model):
    job = held(gateway, model)
    call = model.calls[0]
    answer = gateway.cancel(job)
    assert (answer.status, answer.json()["status"], answer.json()["error"]) == (200, "CANCELLED", None)
    assert call.dropped.wait(60), "the model server sees its client go"
    model.route.release()
    gateway.ended(gateway.submit(model.name))
    assert gateway.record(job)["status"] == "CANCELLED" and len(model.calls) == 2


@pytest.mark.parametrize("answer", [answers.ok(), answers.status(400)], ids=["COMPLETED", "ERROR"])
def test_cancel_of_an_ended_job_changes_nothing(gateway, model, answer):
    model.route.answer_with(answer)
    job = gateway.submit(model.name)
    before = gateway.ended(job)
    for _ in range(2):
        again = gateway.cancel(job)
        assert (again.status, again.json()) == (200, before)
    assert gateway.record(job) == before


def test_cancel_of_a_job_between_two_attempts(gateway, model):
    model.route.answer_with(answers.status(429, retry_after=3600))
    job = gateway.submit(model.name)
    until(lambda: gateway.record(job)["error"], "the first attempt to fail")
    assert gateway.record(job)["status"] == "PENDING"
    assert gateway.cancel(job).json()["status"] == "CANCELLED"
    assert gateway.record(job)["error"] is None and len(model.calls) == 1


# The list


def listed(gateway, query):
    answer = gateway.get("/v1/inference?" + query)
    assert answer.status == 200, answer
    return answer.json()


def ids(jobs):
    return [job["id"] for job in jobs]


def test_the_list_gives_summaries_newest_first(gateway, model):
    jobs = [gateway.submit(model.name, delay="1h") for _ in range(3)]
    found = listed(gateway, f"model={model.name}")
    assert set(found) == {"results", "next"} and found["next"] is None
    assert ids(found["results"]) == ids(reversed(jobs))
    for summary, job in zip(found["results"], reversed(jobs)):
        assert summary == {key: job[key] for key in job if key not in ("input", "output", "predicted_layers")}


def test_the_list_filters_by_status_and_model(gateway, model):
    done = gateway.submit(model.name)
    gateway.ended(done)
    cancelled = gateway.submit(model.name, delay="1h")
    gateway.cancel(cancelled)
    waiting = gateway.submit(model.name, delay="1h")
    mine = f"model={model.name}"
    assert ids(listed(gateway, f"{mine}&status=COMPLETED")["results"]) == [done["id"]]
    both = listed(gateway, f"{mine}&status=PENDING&status=CANCELLED")["results"]
    assert ids(both) == [waiting["id"], cancelled["id"]]
    assert listed(gateway, "model=nobody") == {"results": [], "next": None}


def test_the_list_filters_by_time(gateway, model):
    first = gateway.submit(model.name, delay="1h")
    until(lambda: time.time() * 1000 > int(first["id"].replace("-", "")[:12], 16) + 20, "another moment")
    second = gateway.submit(model.name, delay="1h")
    mine = f"model={model.name}"
    after, before = f"{mine}&created_after=", f"{mine}&created_before="
    assert ids(listed(gateway, after + first["created_at"])["results"])[0] == second["id"]
    assert ids(listed(gateway, before + second["created_at"])["results"])[-1] == first["id"]
    assert listed(gateway, after + "2999-01-01T00:00:00Z")["results"] == []
    assert listed(gateway, before + "1999-01-01T00:00:00Z")["results"] == []


def test_the_list_is_paged_by_a_cursor(gateway, model):
    jobs = [gateway.submit(model.name, delay="1h") for _ in range(7)]
    pages, target = [], f"/v1/inference?model={model.name}&limit=3"
    while target:
        answer = gateway.get(target)
        page = answer.json()
        pages.append(ids(page["results"]))
        link = answer.headers["Link"]
        if page["next"] is None:
            assert link is None
            break
        assert re.fullmatch(r"[A-Za-z0-9._~-]+", page["next"]), "no escaping in a URL"
        target = re.fullmatch(r'<([^>]+)>; rel="next"', link)[1].removeprefix(gateway.url)
        by_hand = gateway.get(f"/v1/inference?model={model.name}&limit=3&cursor={page['next']}")
        assert ids(gateway.get(target).json()["results"]) == ids(by_hand.json()["results"])
        gateway.submit(model.name, delay="1h")
    assert sum(pages, []) == ids(reversed(jobs)), "newer ones do not shift the pages"
    assert [len(page) for page in pages] == [3, 3, 1]


def test_the_next_page_has_one_cursor_however_it_was_written(gateway, model):
    for _ in range(4):
        gateway.submit(model.name, delay="1h")
    cursor = listed(gateway, f"model={model.name}&limit=1")["next"]
    link = gateway.get(f"/v1/inference?mode%6c={model.name}&limit=1&%63urso%72={cursor}").headers["Link"]
    target = re.fullmatch(r'<([^>]+)>; rel="next"', link)[1]
    assert target.count("=") == 3 and f"mode%6c={model.name}&limit=1&cursor=" in target
    assert len(gateway.get(target).json()["results"]) == 1


@pytest.mark.parametrize("name", ["created_after", "created_before"])
def test_a_plus_that_became_a_space_is_told(gateway, name):
    time = "2026-01-31T12:00:00.5+01:00"
    problem(gateway.get(f"/v1/inference?{name}={time}"), 400, "write that + as %2B")
    assert gateway.get(f"/v1/inference?{name}={time.replace('+', '%2B')}").status == 200


def test_a_page_has_25_unless_told_otherwise(gateway, model):
    for _ in range(26):
        gateway.submit(model.name, delay="1h")
    mine = f"model={model.name}"
    assert len(listed(gateway, mine)["results"]) == 25
    assert len(listed(gateway, mine + "&limit=1")["results"]) == 1
    assert len(listed(gateway, mine + "&limit=1000")["results"]) == 26


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=ten",
        "status=DONE",
        "created_after=yesterday",
        "created_before=5",
        "cursor=nonsense",
        "colour=red",
    ],
)
def test_400_for_a_bad_query_item_of_the_list(gateway, query):
    problem(gateway.get("/v1/inference?" + query), 400, query.partition("=")[0])


# HEAD, OPTIONS, unknown paths


def test_head_is_get_without_a_body(gateway, model):
    job = gateway.submit(model.name)
    gateway.ended(job)
    for target in (job["urls"]["self"], job["urls"]["input"], job["urls"]["output"], "/livez"):
        head, get = gateway.request("HEAD", target), gateway.get(target)
        assert (head.status, head.body) == (get.status, b"") == (200, b"")
        for name in ("Content-Type", "Content-Length", "ETag"):
            assert head.headers[name] == get.headers[name], name


@pytest.mark.parametrize(
    "target, methods",
    [
        ("/v1/async/inference", {"POST"}),
        ("/v1/inference", {"GET", "HEAD", "POST"}),
        (f"/v1/inference/{NOBODY}", {"GET", "HEAD"}),
        (f"/v1/inference/{NOBODY}/output", {"GET", "HEAD"}),
        (f"/v1/inference/{NOBODY}/cancel", {"POST"}),
        (f"/v1/async/notify/{NOBODY}", {"GET", "HEAD"}),
        ("/livez", {"GET", "HEAD"}),
    ],
)
def test_options_is_204_with_allow(gateway, target, methods):
    answer = gateway.request("OPTIONS", target)
    assert (answer.status, answer.body) == (204, b"")
    assert methods <= {name.strip() for name in answer.headers["Allow"].split(",")}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("target", ["/nothing", "/v1", f"/v1/inference/{NOBODY}/nothing", "/%00"])
def test_404_for_unknown_paths(gateway, method, target):
    document = problem(gateway.request(method, target), 404)
    assert document["instance"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
@pytest.mark.parametrize("target", ["/v1/inference", "/livez", f"/v1/async/notify/{NOBODY}"])
def test_405_with_allow_for_other_methods(gateway, method, target):
    answer = gateway.request(method, target)
    problem(answer, 405)
    assert "GET" in answer.headers["Allow"]


def test_406_for_a_client_that_takes_no_json(gateway, model):
    problem(gateway.get("/v1/inference", Accept="image/png"), 406)
    problem(gateway.get(gateway.submit(model.name)["urls"]["self"], Accept="text/event-stream"), 406)


@pytest.mark.parametrize("target", ["/livez", "/readyz", "/health/livez", "/health/readyz"])
def test_health_says_up_version_and_broker(gateway, target):
    answer = gateway.get(target)
    document = answer.json()
    assert answer.status == 200
    assert (document["status"], document["broker"]) == ("UP", "ring")
    assert re.match(r"\d+\.\d+", document["version"])


# HTTP


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8484", "localhost.evil.example", "127.0.0.1.evil.example"]
)
def test_421_for_the_host_of_somebody_else(gateway, host):
    problem(gateway.get("/v1/inference", Host=host), 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "localhost.", "localhost.:8484", "127.0.0.1", "192.0.2.1:8484", "[::1]", "[::1]:8484"])
def test_every_address_and_localhost_are_hosts(gateway, host):
    assert gateway.get("/v1/inference", Host=host).status == 200


def test_names_in_hosts_are_hosts(make_gateway):
    gateway = make_gateway({"ocr": {}}, hosts=["gateway.example"])
    assert gateway.get("/livez", Host="gateway.example:8484").status == 200
    assert gateway.get("/livez", Host="evil.example").status == 421


GET = b"GET /livez HTTP/1.1\r\n"
POST = b"POST /v1/async/inference HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/1.1\nHost: localhost\n\n",
        GET + b"Host: localhost\nX: y\r\n\r\n",
        GET + b"\r\n",
        GET + b"Host: localhost\r\nHost: localhost\r\n\r\n",
        GET + b"Host: localhost\r\nno colon\r\n\r\n",
        GET + b"Host: localhost\r\nX : y\r\n\r\n",
        GET + b"Host: localhost\r\nX: a\x00b\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 0x1\r\n\r\nx",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_400_and_close_for_malformed_http(gateway, request_bytes):
    answer = gateway.raw(request_bytes, timeout=3)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1


def test_requests_of_one_connection_are_answered_in_order(gateway, model):
    job = gateway.submit(model.name)
    gateway.ended(job)
    first = f"GET {job['urls']['self']} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    second = "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = gateway.raw((first + second).encode())
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"200", b"404"]


def test_http_1_0_is_answered_and_closed(gateway):
    answer = gateway.raw(b"GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] 200 ", answer) and b'"UP"' in answer


def test_the_gateway_listens_on_a_unix_socket_too(make_gateway, tmp_path):
    path = tmp_path / "inferq.sock"
    gateway = make_gateway({"ocr": {}}, started=False)
    gateway.settings["listen"] = [f"127.0.0.1:{gateway.port}", f"unix:{path}"]
    gateway.start()
    answer = wire.exchange(path, "POST", "/v1/async/inference", b'{"model":"ocr"}', JSON_TYPE)
    assert answer.status == 202
    assert gateway.ended(answer.json())["status"] in FINAL


def test_a_half_close_after_a_head_is_answered(gateway, model):
    job = gateway.ended(gateway.submit(model.name))
    for _ in range(20):
        with wire.dial(gateway.address) as sock:
            sock.sendall(f"HEAD {job['urls']['self']} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            sock.shutdown(socket.SHUT_WR)
            assert wire.read_to_close(sock).startswith(b"HTTP/1.1 200 OK\r\n")
