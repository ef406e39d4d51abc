"""Batches of the OpenAI API: lines of a file as jobs, and the files that come of them."""

import json
import random
import time

import openai
import pydantic
import pytest
from openai.types import Batch

import answers
from test_files import error, upload
from waiting import until

MODELS = {"m": {"dialect": "openai", "max_attempts": 1, "concurrency": 4}}
BATCHES = "/v1/batches"
CHAT = "/v1/chat/completions"
FINAL = {"completed", "failed", "expired", "cancelled"}
BATCH = pydantic.TypeAdapter(Batch)


def line(custom_id, url=CHAT, method="POST", **body):
    return {"custom_id": custom_id, "method": method, "url": url, "body": {"model": "m"} | body}


def lines(*documents):
    return b"".join(json.dumps(each).encode() + b"\n" for each in documents)


def completion(content="ok", **usage):
    answer = {"id": "x", "choices": [{"message": {"role": "assistant", "content": content}}]}
    return answer | ({"usage": usage} if usage else {})


def spoken(exchange):
    """Gives back what was said, with its cost."""
    said = json.loads(exchange.call.body)
    document = completion(said.get("say", "ok"), prompt_tokens=2, completion_tokens=3, total_tokens=5)
    answers.ok(json.dumps(document).encode())(exchange)


class Site:
    def __init__(self, gateway, route):
        self.gateway, self.route = gateway, route
        self.sdk = openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=0, timeout=30)

    def create(self, content, endpoint=CHAT, **more):
        file = upload(self.gateway, content if isinstance(content, bytes) else lines(*content))
        answer = self.gateway.post(BATCHES, {
            "input_file_id": file["id"], "endpoint": endpoint, "completion_window": "24h"} | more)  # fmt: skip
        assert answer.status == 200, answer
        return answer.json()

    def get(self, batch):
        answer = self.gateway.get(f"{BATCHES}/{batch['id']}")
        assert answer.status == 200, answer
        BATCH.validate_python(answer.json())
        assert set(answer.json()) <= set(Batch.model_fields)
        return answer.json()

    def ended(self, batch, status="completed", timeout=20):
        def look():
            found = self.get(batch)
            return found if found["status"] in FINAL else None

        found = until(look, f"the end of {batch['id']}", timeout)
        assert found["status"] == status, found
        return found

    def file(self, id):
        if id is None:
            return []
        answer = self.gateway.get(f"/v1/files/{id}/content")
        assert answer.status == 200 and answer.body.endswith(b"\n"), answer
        return [json.loads(each) for each in answer.body.decode().splitlines()]

    def files(self, batch):
        return self.file(batch["output_file_id"]), self.file(batch["error_file_id"])

    def jobs(self):
        return self.gateway.get("/v1/inference?limit=1000").json()["results"]


@pytest.fixture
def site(make_gateway, model_server):
    def make(settings=None, **keys):
        table = {"url": model_server.url(""), "dialect": "openai", "names": ["m-*"], "max_attempts": 1, "concurrency": 8}
        site = Site(make_gateway({"m": table | keys}, **(settings or {})), model_server.route(CHAT))
        site.route.answer_with(spoken)
        return site

    return make


def test_the_sdk_runs_one(site):
    site = site()
    file = site.sdk.files.create(file=("in.jsonl", lines(*(line(f"r{n}", say=f"é{n}") for n in range(5)))), purpose="batch")
    batch = site.sdk.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"for": "me"})  # fmt: skip
    assert batch.status == "validating" and batch.metadata == {"for": "me"}
    ended = until(lambda: (it := site.sdk.batches.retrieve(batch.id)).status == "completed" and it, "the end", 20)
    assert (ended.request_counts.total, ended.request_counts.completed, ended.request_counts.failed) == (5, 5, 0)
    assert ended.usage.total_tokens == 25 and ended.usage.input_tokens == 10 and ended.usage.output_tokens == 15
    assert ended.error_file_id is None and ended.errors is None
    output = [json.loads(each) for each in site.sdk.files.content(ended.output_file_id).text.splitlines()]
    assert [each["custom_id"] for each in output] == [f"r{n}" for n in range(5)]
    assert all(set(each) == {"id", "custom_id", "response", "error"} and each["error"] is None for each in output)
    assert all(set(each["response"]) == {"status_code", "request_id", "body"} for each in output)
    assert [each["response"]["body"]["choices"][0]["message"]["content"] for each in output] == [f"é{n}" for n in range(5)]
    assert all(each["id"].startswith("batch_req_") for each in output) and len({each["id"] for each in output}) == 5
    assert [each.id for each in site.sdk.batches.list()] == [batch.id]
    made = site.sdk.files.retrieve(ended.output_file_id)
    assert made.purpose == "batch_output" and made.filename == f"{batch.id}_output.jsonl"
    assert {job["priority"] for job in site.jobs()} == {-50}
    times = [ended.created_at, ended.in_progress_at, ended.finalizing_at, ended.completed_at]
    assert times == sorted(times) and ended.expires_at == ended.created_at + 86_400


@pytest.mark.parametrize("endpoint", [
    "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/rerank", "/v1/score",
    "/v1/moderations", "/v1/images/generations", "/v1/audio/speech",
])  # fmt: skip
def test_every_path_of_the_dialect_is_an_endpoint(site, model_server, endpoint):
    site = site()
    route = model_server.route(endpoint)
    route.answer_with(spoken)
    ended = site.ended(site.create([line("a", url=endpoint, say="x"), line("b", url=endpoint)], endpoint=endpoint))
    assert [each["custom_id"] for each in site.files(ended)[0]] == ["a", "b"] and len(route.calls) == 2
    assert {json.loads(call.body)["model"] for call in route.calls} == {"m"}


def test_a_rejected_line_is_in_the_error_file(site):
    site = site()
    site.route.answer_with(spoken, answers.status(422, body=b'{"error": {"message": "too long"}}'), spoken)
    ended = site.ended(site.create([line("a"), line("b"), line("c")]))
    # One slot after the other takes them, so which one was rejected is not known beforehand.
    output, errors = site.files(ended)
    assert ended["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    [failed] = errors
    assert failed["error"] is None and failed["response"]["status_code"] == 422
    assert failed["response"]["body"] == {"error": {"message": "too long"}}
    assert sorted([each["custom_id"] for each in output] + [failed["custom_id"]]) == ["a", "b", "c"]


def test_all_failed(site):
    site = site()
    site.route.answer_with(answers.status(500))
    ended = site.ended(site.create([line("a"), line("b")]))
    assert ended["output_file_id"] is None and ended["usage"] is None
    assert [each["response"]["status_code"] for each in site.files(ended)[1]] == [500, 500]


def test_a_line_without_an_answer_has_an_error(site):
    site = site()
    site.route.answer_with(answers.half_body())
    ended = site.ended(site.create([line("a")]))
    [failed] = site.files(ended)[1]
    assert failed["response"] is None and failed["error"]["code"] == "bad_response" and failed["error"]["message"]


@pytest.mark.parametrize("content, problems", [
    (b"", [("empty_file", None)]),
    (b"\n \n", [("empty_file", None)]),
    (b"{", [("invalid_json_line", 1)]),
    (b"[]\n\n5", [("invalid_json_line", 1), ("invalid_json_line", 3)]),
    (lines(line("a"), line("a")), [("duplicate_custom_id", 2)]),
    (lines(line("")), [("invalid_custom_id", 1)]),
    (lines(line("a", method="GET")), [("invalid_method", 1)]),
    (lines(line("a", url="/v1/embeddings")), [("invalid_url", 1)]),
    (lines(line("a", stream=True)), [("invalid_body", 1)]),
    (lines({"custom_id": "a", "method": "POST", "url": CHAT, "body": 5}), [("invalid_body", 1)]),
    (lines(line("a", model="other")), [("model_not_found", 1)]),
    (lines(line("a")) + b"\n" + lines(line("b", model="other")), [("model_not_found", 3)]),
    (b"\xff\xfe", [("invalid_json_line", 1)]),
])  # fmt: skip
def test_all_lines_are_good_or_none_runs(site, content, problems):
    site = site()
    ended = site.ended(site.create(content), "failed")
    assert [(each["code"], each["line"]) for each in ended["errors"]["data"]] == problems
    assert ended["errors"]["object"] == "list" and all(each["message"] for each in ended["errors"]["data"])
    assert ended["output_file_id"] is None and ended["failed_at"] and not site.jobs()


def test_too_many_lines_are_refused(site):
    site = site({"batch": {"max_lines": 3}})
    assert site.ended(site.create([line(str(n)) for n in range(3)]))
    ended = site.ended(site.create([line(str(n)) for n in range(4)]), "failed")
    assert [each["code"] for each in ended["errors"]["data"]] == ["too_many_lines"]


def test_a_file_may_have_a_mark_blank_lines_and_no_last_line_feed(site):
    site = site()
    content = b"\xef\xbb\xbf" + lines(line("a")) + b"\r\n\n" + lines(line("b")).replace(b"\n", b"\r\n") + lines(line("c"))[:-1]
    ended = site.ended(site.create(content))
    assert [each["custom_id"] for each in site.files(ended)[0]] == ["a", "b", "c"]


def test_large_bodies_are_lines_too(site):
    site = site()
    ended = site.ended(site.create([line(str(n), say="x" * 200_000) for n in range(5)]))
    output, _ = site.files(ended)
    assert {len(each["response"]["body"]["choices"][0]["message"]["content"]) for each in output} == {200_000}


@pytest.mark.timeout(60)
def test_many_lines_in_their_order(site):
    site = site(concurrency=16)
    count = 2_000
    ended = site.ended(site.create([line(f"r{n}", say=str(n)) for n in range(count)]), timeout=60)
    output, errors = site.files(ended)
    assert [each["custom_id"] for each in output] == [f"r{n}" for n in range(count)] and not errors
    assert [each["response"]["body"]["choices"][0]["message"]["content"] for each in output] == [str(n) for n in range(count)]
    assert len(site.route.calls) == count


def test_whoever_waits_is_served_before_the_lines(site):
    site = site(concurrency=1)
    site.route.hold()
    site.create([line(f"r{n}") for n in range(50)])
    until(lambda: len(site.route.calls) == 1, "the first line")
    urgent = site.gateway.submit("m", {"say": "now"})
    site.route.release()
    began = site.gateway.wait_status(urgent, "COMPLETED", "ERROR")["started_at"]
    before = [job for job in site.jobs() if job["started_at"] and job["started_at"] < began]
    # The one that ran, and one that had been offered to its slot already.
    assert len(before) <= 2


def test_a_cancel_leaves_what_had_not_begun_out(site):
    site = site(concurrency=2)
    site.route.hold()
    batch = site.create([line(f"r{n}") for n in range(600)])
    until(lambda: len(site.route.calls) == 2, "the first lines")
    answer = site.gateway.post(f"{BATCHES}/{batch['id']}/cancel", b"", {})
    assert answer.status == 200 and answer.json()["status"] == "cancelling" and answer.json()["cancelling_at"]
    assert site.gateway.post(f"{BATCHES}/{batch['id']}/cancel", b"", {}).json()["status"] == "cancelling"
    site.route.release()
    ended = site.ended(batch, "cancelled")
    output, errors = site.files(ended)
    assert [each["custom_id"] for each in output] == ["r0", "r1"] and not errors
    assert ended["request_counts"] == {"total": 600, "completed": 2, "failed": 0} and ended["cancelled_at"]
    assert len(site.route.calls) == 2
    again = site.gateway.post(f"{BATCHES}/{batch['id']}/cancel", b"", {})
    assert again.status == 200 and again.json()["status"] == "cancelled"


def test_what_is_over_cannot_be_cancelled(site):
    site = site()
    ended = site.ended(site.create([line("a")]))
    answer = site.gateway.post(f"{BATCHES}/{ended['id']}/cancel", b"", {})
    error(answer, 409, "wrong_state")
    assert answer.headers["x-should-retry"] == "false"


def test_time_that_is_over_ends_what_has_not_begun(site):
    site = site({"batch": {"window": "1s"}}, concurrency=1)
    site.route.hold()
    batch = site.create([line(f"r{n}") for n in range(5)])
    until(lambda: site.get(batch)["status"] == "finalizing", "the window")
    site.route.release()
    ended = site.ended(batch, "expired")
    output, errors = site.files(ended)
    assert [each["custom_id"] for each in output] == ["r0"] and ended["expired_at"]
    assert [(each["custom_id"], each["error"]["code"]) for each in errors] == [(f"r{n}", "batch_expired") for n in range(1, 5)]
    assert ended["request_counts"] == {"total": 5, "completed": 1, "failed": 4}


def test_the_input_of_an_open_batch_stays(site):
    site = site({"store": {"retention": "1s"}})
    site.route.hold()
    batch = site.create([line("a")])
    until(lambda: site.route.calls, "the line")
    error(site.gateway.request("DELETE", f"/v1/files/{batch['input_file_id']}"), 409, "wrong_state")
    time.sleep(2)
    assert site.gateway.get(f"/v1/files/{batch['input_file_id']}").status == 200
    site.route.release()
    until(lambda: site.gateway.get(f"{BATCHES}/{batch['id']}").status == 404, "all of it goes in the end", 20)
    until(lambda: site.gateway.get("/v1/files").json()["data"] == [], "the files go", 20)


@pytest.mark.parametrize("body, status, code", [
    ({}, 400, "invalid_request"), ({"input_file_id": "file-x"}, 404, "no_such_file"),
    ({"input_file_id": "file-" + "0" * 32, "endpoint": CHAT, "completion_window": "24h"}, 404, "no_such_file"),
    ({"input_file_id": "FILE", "endpoint": "/v1/x", "completion_window": "24h"}, 400, "invalid_request"),
    ({"input_file_id": "FILE", "endpoint": "/v1/files", "completion_window": "24h"}, 400, "invalid_request"),
    ({"input_file_id": "FILE", "endpoint": "/upstream/m/x", "completion_window": "24h"}, 400, "invalid_request"),
    ({"input_file_id": "FILE", "endpoint": "/v1/audio/x HTTP/1.1\r\nHost: a\r\n\r\nGET /", "completion_window": "24h"}, 400, "invalid_request"),
    ({"input_file_id": "FILE", "endpoint": "/v1/audio/x#y", "completion_window": "24h"}, 400, "invalid_request"),
    ({"input_file_id": "FILE", "endpoint": "/v1/audio/x?y", "completion_window": "24h"}, 400, "invalid_request"),
    ({"input_file_id": "FILE", "endpoint": "/v1/audio/../x", "completion_window": "24h"}, 400, "invalid_request"),
    ({"input_file_id": "FILE", "endpoint": CHAT, "completion_window": "1h"}, 400, "invalid_request"),
    ({"input_file_id": "FILE", "endpoint": CHAT, "completion_window": "24h", "metadata": {"a": 1}}, 400, "invalid_request"),
    ({"input_file_id": "FILE", "endpoint": CHAT, "completion_window": "24h", "output_expires_after": {"anchor": "x"}}, 400, "invalid_request"),
])  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused(site, body, status, code):
    site = site()
    if body.get("input_file_id") == "FILE":
        body = body | {"input_file_id": upload(site.gateway, lines(line("a")))["id"]}
    error(site.gateway.post(BATCHES, body), status, code)
    assert site.gateway.get(BATCHES).json()["data"] == []


def test_pages(site):
    site = site()
    made = [site.create([line("a")])["id"] for _ in range(5)]
    first = site.gateway.get(f"{BATCHES}?limit=2").json()
    second = site.gateway.get(f"{BATCHES}?limit=2&after={first['last_id']}").json()
    third = site.gateway.get(f"{BATCHES}?limit=2&after={second['last_id']}").json()
    assert [each["id"] for page in (first, second, third) for each in page["data"]] == made[::-1]
    assert [page["has_more"] for page in (first, second, third)] == [True, True, False]
    for query in ("limit=0", "limit=101", "after=x", "a=b"):
        error(site.gateway.get(f"{BATCHES}?{query}"), 400, "invalid_request")


def test_output_files_may_say_how_long_they_are_kept(site):
    site = site()
    ended = site.ended(site.create([line("a")], output_expires_after={"anchor": "created_at", "seconds": 7200}))
    file = site.gateway.get(f"/v1/files/{ended['output_file_id']}").json()
    assert file["expires_at"] == file["created_at"] + 7200


def test_each_client_has_its_own(make_gateway, model_server):
    gateway = make_gateway(
        {"m": {"url": model_server.url(""), "dialect": "openai"}, "n": {"url": model_server.url(""), "dialect": "openai"}},
        clients={"one": {"models": ["m"]}, "two": {}})  # fmt: skip
    route = model_server.route(CHAT)
    route.answer_with(spoken)
    one, two = Site(gateway.client("one"), route), gateway.client("two")
    ended = one.ended(one.create([line("a")]))
    assert two.get(BATCHES).json()["data"] == [] and len(one.gateway.get(BATCHES).json()["data"]) == 1
    for method, tail in (("GET", ""), ("POST", "/cancel")):
        error(two.request(method, f"{BATCHES}/{ended['id']}{tail}"), 404, "no_such_batch")
    stolen = two.post(BATCHES, {"input_file_id": ended["input_file_id"], "endpoint": CHAT, "completion_window": "24h"})
    error(stolen, 404, "no_such_file")
    error(two.get(f"/v1/files/{ended['output_file_id']}"), 404, "no_such_file")
    assert {job["client"] for job in one.gateway.get("/v1/inference").json()["results"]} == {"one"}
    refused = one.ended(one.create([line("a", model="n")]), "failed")
    assert refused["errors"]["data"][0]["code"] == "model_not_allowed"


@pytest.mark.long
@pytest.mark.timeout(180)
def test_fifty_kills_at_any_moment_give_each_line_once(site):
    site, draw = site(concurrency=8), random.Random(7)
    count = 5_000

    def slowly(exchange):
        # So that there is something left to do after all the kills.
        time.sleep(0.005)
        spoken(exchange)

    site.route.answer_with(slowly)
    batch = site.create([line(f"r{n}", say=str(n)) for n in range(count)])
    until(lambda: site.route.calls, "the first line")
    for _ in range(50):
        time.sleep(draw.uniform(0, 0.2))
        site.gateway.kill()
        site.gateway.restart()
    assert site.get(batch)["status"] in ("in_progress", "finalizing"), "the kills came too late"
    ended = site.ended(batch, timeout=100)
    output, errors = site.files(ended)
    # A line that ran in three crashes is not tried a fourth time (docs/job-lifecycle.md, the poison guard).
    assert all(each["error"]["code"] == "poisoned" for each in errors) and len(errors) < 50
    names = [int(each["custom_id"].removeprefix("r")) for each in output]
    assert names == sorted(names) and sorted(names + [int(each["custom_id"][1:]) for each in errors]) == list(range(count))
    assert ended["request_counts"] == {"total": count, "completed": len(output), "failed": len(errors)}
    assert [each["response"]["body"]["choices"][0]["message"]["content"] for each in output] == [str(n) for n in names]


@pytest.mark.parametrize("seed", range(40))
def test_a_file_that_is_spoilt_anywhere_runs_as_a_whole_or_not_at_all(shared, seed):
    """Nothing of the gateway breaks, and what it says of the input is about a line that there is."""
    site, draw = shared, random.Random(seed)
    content = bytearray(lines(*(line(f"r{n}", say=f"é{n}") for n in range(5))))
    for _ in range(draw.choice((1, 2, 5))):
        place = draw.randrange(len(content))
        match draw.randrange(4):
            case 0:
                content[place] = draw.randrange(256)
            case 1:
                del content[place : place + draw.randrange(1, 30)]
            case 2:
                content[place:place] = draw.choice((b"\n", b"\r", b"{", b"}", b'"', b"\\", b"\0", b"\xff", b"[" * 200))
            case _:
                content[place:place] = content[: draw.randrange(len(content))]
    before = len(site.jobs())
    batch = site.create(bytes(content))
    ended = until(lambda: (it := site.get(batch))["status"] in FINAL and it, "the end", 20)
    if ended["status"] == "failed":
        count = bytes(content).count(b"\n") + 1
        assert all(problem["line"] is None or 1 <= problem["line"] <= count for problem in ended["errors"]["data"])
        assert len(site.jobs()) == before
    else:
        output, errors = site.files(ended)
        assert len(output) + len(errors) == ended["request_counts"]["total"] == len(site.jobs()) - before


@pytest.fixture(scope="module")
def shared(gateway, _shared_server):
    site = Site(gateway, _shared_server.route(CHAT))
    site.route.answer_with(spoken)
    return site


def test_a_stop_in_the_middle_goes_on_after_the_start(site):
    site = site(concurrency=2)
    site.route.hold()
    batch = site.create([line(f"r{n}") for n in range(10)])
    until(lambda: len(site.route.calls) == 2, "the first lines")
    site.gateway.terminate()
    site.route.release()
    site.gateway.wait_stopped()
    site.gateway.restart()
    assert [each["custom_id"] for each in site.files(site.ended(batch))[0]] == [f"r{n}" for n in range(10)]


@pytest.mark.parametrize("limit", [1, 5, 300])
def test_a_small_queue_holds_the_lines_back(site, limit):
    site = site(queue_limit=limit, concurrency=2)
    ended = site.ended(site.create([line(f"r{n}") for n in range(40)]))
    assert ended["request_counts"] == {"total": 40, "completed": 40, "failed": 0}


def test_a_clients_bound_holds_the_lines_back_and_leaves_room(make_gateway, model_server):
    models = {"m": {"url": model_server.url(""), "dialect": "openai"}}
    gateway = make_gateway(models, clients={"one": {"max_pending": 4}})
    route = model_server.route(CHAT)
    route.answer_with(spoken)
    one = Site(gateway.client("one"), route)
    route.hold()
    batch = one.create([line(f"r{n}") for n in range(20)])
    until(lambda: route.calls, "the first line")
    assert one.gateway.submit("m", {"say": "now"})["status"] == "PENDING"
    route.release()
    assert one.ended(batch)["request_counts"]["completed"] == 20


def test_a_batch_whose_client_has_gone_is_cancelled(make_gateway, model_server):
    models = {"m": {"url": model_server.url(""), "dialect": "openai", "concurrency": 1}}
    gateway = make_gateway(models, clients={"one": {}})
    route = model_server.route(CHAT)
    route.answer_with(spoken)
    route.hold()
    one = Site(gateway.client("one"), route)
    batch = one.create([line(f"r{n}") for n in range(2_000)])
    until(lambda: route.calls, "the first line")
    gateway.keys.revoke("one")
    gateway.reload_keys()
    until(lambda: one.gateway.get(BATCHES).status == 401, "the key is gone")
    route.release()
    root = Site(gateway, route)
    assert root.ended(batch, "cancelled", 40)["request_counts"]["completed"] < 2_000


def test_a_line_that_is_submitted_again_leaves_the_batch_alone(site):
    site = site(concurrency=1)
    site.route.answer_with(answers.status(422), spoken)
    batch = site.create([line(f"r{n}") for n in range(300)])
    failed = until(lambda: [job for job in site.jobs() if job["status"] == "ERROR"], "the first line fails")[0]
    again = site.gateway.post(failed["urls"]["self"] + "/retry", b"", {})
    assert again.status == 202, again
    ended = site.ended(batch, timeout=40)
    output, errors = site.files(ended)
    assert ended["request_counts"] == {"total": 300, "completed": 299, "failed": 1} and len(errors) == 1
    assert len(output) == 299 and site.gateway.wait_status(again.json(), "COMPLETED")


def test_a_long_line_is_refused_before_it_is_whole(site):
    site = site({"max_body": "64KiB"})
    ended = site.ended(site.create(lines(line("a")) + b"x" * 5_000_000), "failed")
    assert [(each["code"], each["line"]) for each in ended["errors"]["data"]] == [("line_too_long", 2)]


def test_more_batches_than_may_be_open_are_refused(site):
    site = site({"batch": {"max_open": 2}}, concurrency=1)
    site.route.hold()
    open = [site.create([line("a")]) for _ in range(2)]
    file = upload(site.gateway, lines(line("a")))
    answer = site.gateway.post(BATCHES, {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"})
    error(answer, 429, "too_many_batches")
    assert answer.headers["Retry-After"] == "60"
    site.route.release()
    for each in open:
        site.ended(each)
    site.ended(site.create([line("a")]))


def test_a_batch_and_its_jobs_go_together(site):
    site = site({"store": {"retention": "2s"}}, concurrency=1)
    site.route.answer_with(spoken)
    ended = site.ended(site.create([line(f"r{n}") for n in range(600)]), timeout=40)
    assert len(site.jobs()) == 600
    until(lambda: site.gateway.get(f"{BATCHES}/{ended['id']}").status == 404, "the batch goes", 30)
    assert site.jobs() == [] and site.gateway.get("/v1/files").json()["data"] == []


def test_a_model_that_is_away_fails_no_line(site, model_server):
    site = site(max_attempts=1, expires_in="1s")
    site.route.hold()
    batch = site.create([line(f"r{n}") for n in range(20)])
    until(lambda: site.route.calls, "the first line")
    time.sleep(1.5)
    site.route.release()
    assert site.ended(batch)["request_counts"] == {"total": 20, "completed": 20, "failed": 0}
