"""Responses in the background, as the OpenAI API has them: made by jobs, and read from their stored streams."""

import json
import random
import threading
import time

import openai
import pydantic
import pytest
from openai.types.responses import Response, ResponseStreamEvent

import answers
import wire
from stream_crash import Listener
from streamreader import Reader
from streamserver import Feeds, data, said
from waiting import until

PATH = "/v1/responses"
EVENT = pydantic.TypeAdapter(ResponseStreamEvent)
RESPONSE = pydantic.TypeAdapter(Response)


def item(text, name="msg_1", status="completed"):
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {"type": "message", "id": name, "role": "assistant", "status": status, "content": [part] if text else []}


def named(kind, **members):
    return data({"type": kind} | members, kind)


def beginning(name="msg_1"):
    """What llama.cpp sends first: without numbers and places."""
    said = {"id": "resp_server", "object": "response", "status": "in_progress"}
    return [
        named("response.created", response=said),
        named("response.in_progress", response=said),
        named("response.output_item.added", item=item("", name, "in_progress")),
        named("response.content_part.added", item_id=name, part={"type": "output_text", "text": ""}),
    ]


def delta(text, name="msg_1"):
    return named("response.output_text.delta", item_id=name, delta=text)


def ending(text, name="msg_1", kind="response.completed", **more):
    response = {"id": "resp_server", "object": "response", "created_at": 5, "model": "m", "output": [item(text, name)]}
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    response |= {"status": kind.removeprefix("response."), "usage": usage} | more
    return [
        named("response.output_text.done", item_id=name, text=text),
        named("response.output_item.done", item=item(text, name)),
        named(kind, response=response),
    ]


def whole(*texts):
    return beginning() + [delta(text) for text in texts] + ending("".join(texts))


def document(status, content):
    """An answer that comes whole."""
    return answers.ok(json.dumps(content).encode(), status=status)


def look(gateway, method, target, body=b"", headers=None):
    """A request that the description does not know: it is a call, or is below a mount."""
    return wire.exchange(gateway.address, method, target, body, gateway.headers | (headers or {}), 15)


def ask(gateway, target, body, headers=None):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return look(gateway, "POST", target, body, headers or {"Content-Type": "application/json"})


def answered_by(site, feeds):
    site.route.answer_with(feeds)
    return feeds


class Site:
    def __init__(self, gateway, route):
        self.gateway, self.route = gateway, route
        self.sdk = openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=0, timeout=30)

    def create(self, **more):
        answer = ask(self.gateway, PATH, {"model": "m", "input": "hi", "background": True} | more)
        assert answer.status == 200, answer
        return answer.json()

    def get(self, response):
        answer = self.gateway.get(f"{PATH}/{response['id']}")
        assert answer.status == 200, answer
        assert strangers(RESPONSE.validate_python(answer.json())) == [], answer
        return answer.json()

    def ended(self, response, status="completed"):
        found = until(lambda: self._final(response), f"the end of {response['id']}")
        assert found["status"] == status, found
        return found

    def _final(self, response):
        found = self.get(response)
        return found if found["status"] not in ("queued", "in_progress") else None

    def follow(self, response, after=None):
        """A reader of its events."""
        query = "" if after is None else f"&starting_after={after}"
        return Reader(self.gateway.address, "GET", f"{PATH}/{response['id']}?stream=true{query}")

    def stream(self, response, after=None):
        """The bytes of its events, up to the end."""
        with self.follow(response, after) as reader:
            return reader.whole()

    def job(self, response):
        hex = response["id"].removeprefix("resp_")
        return self.gateway.get(f"/v1/inference/{hex[:8]}-{hex[8:12]}-{hex[12:16]}-{hex[16:20]}-{hex[20:]}").json()


def strangers(model):
    """Members that the SDK does not know, wherever they are."""
    if isinstance(model, list):
        return [each for item in model for each in strangers(item)]
    if not isinstance(model, pydantic.BaseModel):
        return []
    own = list(model.model_extra or {})
    return own + [each for name in type(model).model_fields for each in strangers(getattr(model, name))]


def events(body):
    """The documents of a stream that is as the API has it: nothing is missing, and nothing is there that the SDK does not know."""
    found = []
    for frame in body.decode().removesuffix("\n\n").split("\n\n"):
        lines = [line for line in frame.split("\n") if line != ":"]
        assert len(lines) == 2 and lines[0].startswith("event: ") and lines[1].startswith("data: "), frame
        document = json.loads(lines[1].removeprefix("data: "))
        assert lines[0] == f"event: {document['type']}"
        assert strangers(EVENT.validate_python(document)) == [], document
        found.append(document)
    return found


def numbered(body, first=0):
    found = events(body)
    assert [each["sequence_number"] for each in found] == list(range(first, first + len(found)))
    return found


@pytest.fixture
def site(make_gateway, model_server):
    def make(settings=None, **keys):
        table = {"url": model_server.url(""), "dialect": "openai", "concurrency": 8} | keys
        return Site(make_gateway({"m": table}, **(settings or {})), model_server.route(PATH))

    return make


def test_it_is_queued_at_once_and_read_when_it_has_ended(site):
    site = site()
    site.route.answer_with(said(*whole("Hal", "lo")))
    asked = site.create(store=True, stream=False, metadata={"a": "b"}, instructions="be brief")
    assert asked["status"] == "queued" and asked["id"].startswith("resp_") and asked["output"] == []
    RESPONSE.validate_python(asked)
    ended = site.ended(asked)
    assert ended["id"] == asked["id"] and ended["created_at"] == asked["created_at"] and ended["background"] is True
    assert ended["output"] == [item("Hallo")] and ended["metadata"] == {"a": "b"}
    [call] = site.route.calls
    assert json.loads(call.body) == {
        "stream": True, "model": "m", "input": "hi", "metadata": {"a": "b"}, "instructions": "be brief"}  # fmt: skip
    assert site.job(asked)["status"] == "COMPLETED"


def test_its_events_are_the_apis_and_the_same_for_whoever_reads(site):
    site = site()
    feeds = answered_by(site, Feeds())
    asked = site.create()
    with site.follow(asked) as live:
        [feed] = feeds.wait(1)
        for piece in whole("a", "ö", "c"):
            feed.send(piece)
        feed.finish()
        body = live.whole()
    found = numbered(body)
    assert [each["type"] for each in found[:4]] == [
        "response.created", "response.queued", "response.in_progress", "response.output_item.added"]  # fmt: skip
    assert found[-1]["type"] == "response.completed"
    assert all(each["response"]["id"] == asked["id"] for each in found if "response" in each)
    assert all(each["output_index"] == 0 for each in found if "item_id" in each or "item" in each)
    assert all(each["content_index"] == 0 for each in found if "item_id" in each)
    frames = [frame + b"\n\n" for frame in body.removesuffix(b"\n\n").split(b"\n\n")]
    for after in range(len(frames)):
        assert site.stream(asked, after) == b"".join(frames[after + 1 :])
    assert site.stream(asked, 10**9) == b""
    site.gateway.kill()
    site.gateway.restart()
    assert site.stream(asked) == body
    assert site.get(asked) == found[-1]["response"]


def test_events_can_be_the_answer_itself_and_a_client_that_leaves_costs_nothing(site):
    site = site()
    feeds = answered_by(site, Feeds())
    request = json.dumps({"model": "m", "input": "x", "background": True, "stream": True}).encode()
    reader = Reader(site.gateway.address, "POST", PATH, request, {"Content-Type": "application/json"})
    [feed] = feeds.wait(1)
    feed.send(*beginning())
    reader.until(lambda body: b"content_part" in body)
    asked = {"id": events(reader.body.rpartition(b"\n\n")[0] + b"\n\n")[0]["response"]["id"]}
    reader.close()
    feed.send(delta("on"), *ending("on"))
    feed.finish()
    assert site.ended(asked)["output"] == [item("on")]
    assert len(site.route.calls) == 1


def test_what_has_come_so_far_can_be_read(site):
    site = site()
    feeds = answered_by(site, Feeds())
    asked = site.create()
    [feed] = feeds.wait(1)
    feed.send(*beginning(), delta("so "), delta("far"))

    def texts(answer):
        return [part["text"] for each in answer["output"] for part in each["content"]]

    found = until(lambda: texts(answer := site.get(asked)) == ["so far"] and answer, "the text")
    assert found["status"] == "in_progress" and found["output"][0]["status"] == "in_progress"
    feed.send(*ending("so far"))
    feed.finish()
    site.ended(asked)


def test_a_second_attempt_has_items_of_its_own(site):
    site = site(max_attempts=2)
    feeds = answered_by(site, Feeds())
    asked = site.create()
    with site.follow(asked) as live:
        [first] = feeds.wait(1)
        first.send(*beginning(), delta("half"))
        first.cut()
        second = feeds.wait(2)[1]
        for piece in whole("whole"):
            second.send(piece)
        second.finish()
        body = live.whole()
    found = numbered(body)
    added = [each for each in found if each["type"] == "response.output_item.added"]
    assert [each["output_index"] for each in added] == [0, 1]
    closed = next(each for each in found if each["type"] == "response.output_item.done")
    assert closed["output_index"] == 0 and closed["item"]["status"] == "incomplete"
    assert closed["item"]["content"][0]["text"] == "half"
    assert [each["type"] for each in found].count("response.completed") == 1
    assert site.stream(asked) == body
    assert site.ended(asked)["output"] == [item("whole")]


def test_a_kill_in_the_middle_starts_over_and_no_event_changes(site):
    site = site(max_attempts=1)
    feeds = answered_by(site, Feeds())
    asked = site.create()
    [first] = feeds.wait(1)
    first.send(*beginning(), delta("one"))
    with site.follow(asked) as reader:
        seen = reader.until(lambda body: b'"one"' in body)
    site.gateway.kill()
    site.gateway.restart()
    second = feeds.wait(2)[1]
    second.send(*whole("two"))
    second.finish()
    site.ended(asked)
    body = site.stream(asked)
    assert body.startswith(seen.replace(b":\n", b""))
    assert [e["output_index"] for e in numbered(body) if e["type"] == "response.output_item.added"] == [0, 1]


@pytest.mark.timeout(60)
def test_kills_at_any_moment_change_no_event_that_was_seen(site):
    """Each response lives through one kill: what its readers saw before is the beginning of what is read afterwards."""
    site, draw, shown = site(concurrency=16), random.Random(16), 0
    for round in range(8):
        feeds = answered_by(site, Feeds())
        asked = [site.create(input=f"{round} {number}") for number in range(4)]
        readers = [Listener(site.follow(each), "events") for each in asked]
        speakers = [threading.Thread(target=speak, args=(feed, draw.random())) for feed in feeds.wait(4)]
        for speaker in speakers:
            speaker.start()
        time.sleep(draw.uniform(0.02, 0.25))
        site.gateway.kill()
        for thread in readers + speakers:
            thread.join(30)
        site.route.answer_with(said(*whole("once ", "more")))
        site.gateway.restart()
        for each, reader in zip(asked, readers, strict=True):
            assert site.ended(each)["output"] == [item("once more")]
            body = site.stream(each)
            numbered(body)
            seen = reader.body.replace(b":\n", b"")
            assert body.startswith(seen), f"{each['id']}: {seen[-300:]!r}"
            assert site.stream(each) == body
            shown += b"output_text.delta" in seen
    assert shown > 8, "hardly anybody saw a text before the kill"


def speak(feed, seed):
    """Sends a response until the gateway is gone, cut anywhere."""
    draw = random.Random(seed)
    rest = b"".join(beginning())
    while not feed.closed_at:
        rest += delta("é" * draw.choice((1, 10, 500)))
        cut = draw.randint(1, len(rest))
        try:
            feed.send(rest[:cut])
        except OSError:
            return
        rest = rest[cut:]
        time.sleep(draw.choice((0, 0.001, 0.005)))


def test_a_failure_ends_it(site):
    site = site(max_attempts=1)
    site.route.answer_with(said(*beginning(), delta("ha"), ending="cut"))
    asked = site.create()
    ended = site.ended(asked, "failed")
    assert ended["error"]["code"] == "server_error" and ended["error"]["message"]
    assert ended["output"] == [item("ha", status="incomplete")]
    found = numbered(site.stream(asked))
    assert [each["type"] for each in found[-2:]] == ["response.output_item.done", "response.failed"]


def test_an_error_of_the_server_is_told_in_its_words(site):
    site = site(max_attempts=1)
    site.route.answer_with(document(400, {"error": {"message": "no such thing as hi", "code": 400}}))
    ended = site.ended(site.create(), "failed")
    assert "no such thing as hi" in ended["error"]["message"]


def test_a_response_that_is_cut_short_by_its_server_is_incomplete(site):
    site = site()
    why = {"reason": "max_output_tokens"}
    site.route.answer_with(said(*beginning(), *ending("x", kind="response.incomplete", incomplete_details=why)))
    asked = site.create()
    assert site.ended(asked, "incomplete")["incomplete_details"] == why
    assert numbered(site.stream(asked))[-1]["type"] == "response.incomplete"


def test_an_answer_that_is_no_stream_is_one_all_the_same(site):
    site = site()
    response = {"id": "resp_server", "object": "response", "status": "completed", "model": "m", "output": [item("x")]}
    site.route.answer_with(document(200, response))
    asked = site.create()
    assert site.ended(asked)["output"] == [item("x")]
    assert [each["type"] for each in numbered(site.stream(asked))[2:]] == [
        "response.output_item.added", "response.output_item.done", "response.completed"]  # fmt: skip


@pytest.mark.parametrize("begun", [False, True])
def test_it_is_cancelled(site, begun):
    site = site(concurrency=1)
    feeds = answered_by(site, Feeds())
    blocker = None if begun else site.create()
    feeds.wait(0 if begun else 1)
    asked = site.create()
    if begun:
        feeds.wait(1)[0].send(*beginning(), delta("x"))
        until(lambda: site.get(asked)["output"], "the first text")
    with site.follow(asked) as live:
        first = site.gateway.post(f"{PATH}/{asked['id']}/cancel", b"")
        assert first.status == 200 and first.json()["status"] == "cancelled"
        RESPONSE.validate_python(first.json())
        last = numbered(live.whole())[-1]
    assert last["type"] == "response.incomplete" and last["response"] == first.json() == site.get(asked)
    assert site.gateway.post(f"{PATH}/{asked['id']}/cancel", b"").json() == first.json()
    if begun:
        feeds.made[0].hung_up()
        assert first.json()["output"] == [item("x", status="incomplete")]
    else:
        site.gateway.post(f"{PATH}/{blocker['id']}/cancel", b"")
        assert len(site.route.calls) == 1


def test_a_cancel_of_an_ended_one_changes_nothing(site):
    site = site()
    site.route.answer_with(said(*whole("x")))
    ended = site.ended(site.create())
    answer = site.gateway.post(f"{PATH}/{ended['id']}/cancel", b"")
    assert answer.status == 200 and answer.json() == ended


@pytest.mark.parametrize("running", [False, True])
def test_it_is_deleted(site, running):
    site = site()
    feeds = Feeds()
    site.route.answer_with(feeds if running else said(*whole("x")))
    asked = site.create()
    if running:
        feeds.wait(1)[0].send(*beginning())
    else:
        site.ended(asked)
    answer = site.gateway.request("DELETE", f"{PATH}/{asked['id']}")
    assert answer.status == 200 and answer.json() == {"id": asked["id"], "object": "response", "deleted": True}
    for method, tail in (("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel"), ("DELETE", "")):
        again = site.gateway.request(method, f"{PATH}/{asked['id']}{tail}")
        assert again.status == 404 and again.json()["error"]["code"] == "no_such_response", again
    if running:
        feeds.made[0].hung_up()


def test_whoever_follows_one_that_is_deleted_hears_of_its_end(site):
    site = site()
    feeds = answered_by(site, Feeds())
    asked = site.create()
    feeds.wait(1)[0].send(*beginning(), delta("x"))
    with site.follow(asked) as live:
        live.until(lambda body: b'"x"' in body)
        assert site.gateway.request("DELETE", f"{PATH}/{asked['id']}").status == 200
        last = numbered(live.whole())[-1]
    assert last["type"] == "response.incomplete" and last["response"]["status"] == "cancelled"


def test_others_are_not_found(site):
    site = site()
    site.route.answer_with(document(200, {}))
    job = site.gateway.submit_bytes("m", b"x")
    plain = "resp_" + job["id"].replace("-", "")
    for name in (plain, "resp_" + "0" * 32, "resp_x", "x", "resp_" + "A" * 32, plain + "0"):
        answer = site.gateway.get(f"{PATH}/{name}")
        assert answer.status == 404, answer
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("query", ["stream=maybe", "starting_after=1", "stream=true&starting_after=x", "fields=a",
                                   "stream=true&starting_after=-1"])  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused(site, query):
    site = site()
    site.route.answer_with(said(*whole("x")))
    answer = site.gateway.get(f"{PATH}/{site.create()['id']}?{query}")
    assert answer.status == 400 and answer.json()["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_responses_is_named(site, status):
    site = site()
    site.route.answer_with(document(status, {"detail": "Not Found"}))
    answer = ask(site.gateway, PATH, {"model": "m", "input": "x", "background": True})
    assert answer.status == 501 and answer.json()["error"]["code"] == "no_responses", answer
    assert '"m"' in answer.json()["error"]["message"] and answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("body", [
    b'{"model": "m", "background": true,', b'{"model": "m", "background": true} x',
    b'{"model": "m", "background": true, "previous_response_id": 5}',
    b'{"model": "m", "background": true, "store": 1, "store": 1}',
    b'{"model": "m", "background": true, "previous_response_id": "a b"}',
])  # fmt: skip
def test_a_body_that_makes_no_sense_is_refused_and_leaves_nothing(site, body):
    site = site()
    answer = ask(site.gateway, PATH, body)
    assert answer.status == 400 and answer.json()["error"]["code"] in ("invalid_request", "malformed_json"), answer
    assert site.gateway.get("/v1/inference").json()["results"] == [] and not site.route.calls


def test_a_body_in_a_file_is_taken_too_and_a_huge_one_is_not(site):
    site = site({"max_body": "1MiB"})
    site.route.answer_with(said(*whole("x")))
    text = "a" * 300_000
    asked = site.create(input=text)
    site.ended(asked)
    assert json.loads(site.route.calls[0].body) == {"stream": True, "model": "m", "input": text}
    answer = ask(site.gateway, PATH, {"model": "m", "input": "a" * (1 << 20), "background": True})
    assert answer.status == 413 and "max_body" in answer.json()["error"]["message"], answer
    assert len(list((site.gateway.folder / "blobs").iterdir())) == 1


@pytest.mark.parametrize("value", [b"false", b"null", b'"true"', b"[true]", b'{"background":true}'])
def test_only_true_asks_for_it(site, value):
    site = site()
    site.route.answer_with(document(200, {"id": "resp_own"}))
    body = b'{"model":"m", "background": ' + value + b', "store":true}'
    answer = ask(site.gateway, PATH, body)
    assert answer.json() == {"id": "resp_own"} and site.route.calls[0].body == body


def test_a_repeat_gets_the_same_response(site):
    site = site()
    site.route.answer_with(said(*whole("x")))
    body = {"model": "m", "input": "hi", "background": True}
    headers = {"Content-Type": "application/json"}
    first = ask(site.gateway, PATH, body, headers | {"Idempotency-Key": "k"})
    again = ask(site.gateway, PATH, body, headers | {"Idempotency-Key": "k"})
    assert again.json()["id"] == first.json()["id"] and again.headers["Idempotency-Replayed"] == "true"
    lost = ask(site.gateway, PATH, body, headers | {"x-stainless-retry-count": "1"})
    assert lost.status == 200
    plain = ask(site.gateway, PATH, body, headers)
    repeated = ask(site.gateway, PATH, body, headers | {"x-stainless-retry-count": "1"})
    assert repeated.json()["id"] == plain.json()["id"] != first.json()["id"]
    assert repeated.headers["X-Inferq-Attached"] == "true"


def test_one_goes_on_from_another_where_the_server_keeps_them(site, model_server):
    site = site()
    site.route.answer_with(said(*whole("x")))
    before = site.ended(site.create())
    kept = model_server.route(f"{PATH}/resp_server")
    kept.answer_with(document(200, {"id": "resp_server"}))
    asked = site.create(previous_response_id=before["id"])
    ended = site.ended(asked)
    assert asked["previous_response_id"] == ended["previous_response_id"] == before["id"]
    assert json.loads(site.route.calls[-1].body)["previous_response_id"] == "resp_server"
    assert site.create(previous_response_id="resp_server")["previous_response_id"] == "resp_server"
    kept.answer_with(document(404, {}))
    answer = ask(site.gateway, PATH, {"model": "m", "background": True, "previous_response_id": before["id"]})
    assert answer.status == 400 and "has not kept it" in answer.json()["error"]["message"], answer
    kept.answer_with(document(503, {}))
    assert site.create(previous_response_id=before["id"])["status"] == "queued", "it loads: that is no answer"
    gone = ask(site.gateway, PATH, {"model": "m", "background": True, "previous_response_id": "resp_" + "0" * 32})
    assert gone.status == 404


def test_below_a_models_mount_as_well(site):
    site = site()
    site.route.answer_with(said(*whole("x")))
    mount = "/upstream/m" + PATH
    asked = ask(site.gateway, mount, {"model": "any", "input": "x", "background": True}).json()
    site.ended(asked)
    for target in (mount, PATH):
        assert look(site.gateway, "GET", f"{target}/{asked['id']}").json()["id"] == asked["id"]
    assert look(site.gateway, "POST", f"{mount}/{asked['id']}/cancel").json()["status"] == "completed"
    assert look(site.gateway, "DELETE", f"{mount}/{asked['id']}").json()["deleted"] is True
    assert len(site.route.calls) == 1


def test_each_client_has_its_own(make_gateway, model_server):
    models = {"m": {"url": model_server.url(""), "dialect": "openai"}}
    gateway = make_gateway(models, clients={"one": {}, "two": {}})
    route = model_server.route(PATH)
    route.answer_with(said(*whole("x")))
    one = Site(gateway.client("one"), route)
    asked = one.create()
    one.ended(asked)
    two = gateway.client("two")
    for method, tail in (("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel"), ("DELETE", "")):
        answer = two.request(method, f"{PATH}/{asked['id']}{tail}")
        assert answer.status == 404 and answer.json()["error"]["code"] == "no_such_response", answer
    stranger = gateway.client()
    answer = stranger.get(f"{PATH}/{asked['id']}")
    assert answer.status == 401 and answer.json()["error"]["code"] == "key_missing", answer


# The SDK


def test_the_sdk_follows_one_from_any_place(site):
    site = site()
    site.route.answer_with(said(*whole("Hal", "lo")))
    asked = site.sdk.responses.create(model="m", input="hi", background=True)
    assert asked.status == "queued"
    with site.sdk.responses.stream(response_id=asked.id) as stream:
        seen = [event.type for event in stream]
        assert stream.get_final_response().output_text == "Hallo"
    assert seen[0] == "response.created" and seen[-1] == "response.completed"
    count = len(list(site.sdk.responses.retrieve(asked.id, stream=True)))
    for after in range(count):
        rest = list(site.sdk.responses.retrieve(asked.id, stream=True, starting_after=after))
        assert [event.sequence_number for event in rest] == list(range(after + 1, count))
    with site.sdk.responses.stream(response_id=asked.id, starting_after=4) as stream:
        assert stream.get_final_response().output_text == "Hallo"
    assert site.sdk.responses.retrieve(asked.id).output_text == "Hallo"
    assert site.sdk.responses.cancel(asked.id).status == "completed"
    site.sdk.responses.delete(asked.id)
    with pytest.raises(openai.NotFoundError):
        site.sdk.responses.retrieve(asked.id)


def test_the_sdk_streams_one_that_it_makes(site):
    site = site()
    site.route.answer_with(said(*whole("Hal", "lo"), pause=0.02))
    with site.sdk.responses.stream(model="m", input="hi", background=True) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text == "Hallo"
