"""Calls whose model servers are beside workers on other hosts: what passes is what passes without Redis."""

import os

import pytest

import answers
import wire
from redis_fixtures import make_worker, needs_redis, redis, redis_gateway, wait_idle  # fmt: skip
from streamserver import said
from test_responses import Site, item, numbered, whole

pytestmark = needs_redis
FIELDS = [("X-Server", "mine"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]


@pytest.fixture
def site(redis_gateway, make_worker, model_server):
    """A gateway that has no model server of its own, and a worker that has one."""
    gateway = redis_gateway({}, far=["far"])
    gateway.models["far"]["dialect"] = "openai"
    gateway.reload()
    make_worker("w1", {"far": {"dialect": "openai", "url": model_server.url("/w1/far")}})
    return gateway


def call(gateway, body=b'{"model":"far"}', target="/v1/chat/completions?a=1", **headers):
    fields = {"Content-Type": "application/json", "X-Own": "1"} | headers
    return wire.exchange(gateway.address, "POST", target, body, fields, 30)


@pytest.mark.parametrize("status, size", [(200, 10), (201, 300_000), (404, 10), (422, 300_000), (500, 10)])
def test_an_answer_passes_whole(redis, site, model_server, status, size):
    body = os.urandom(size)
    route = model_server.route("/w1/far/v1/chat/completions")
    route.answer_with(answers.ok(body, "image/x", status, FIELDS))
    answer = call(site)
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (status, body, "image/x")
    assert answer.headers["X-Server"] == "mine" and answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    made = route.calls[0]
    assert (made.method, made.target, made.header("X-Own")) == ("POST", "/w1/far/v1/chat/completions?a=1", "1")
    assert made.header("X-Request-Id") == answer.headers["X-Inference-Id"]
    wait_idle(redis)


def test_a_large_body_passes(site, model_server):
    body = os.urandom(2_000_000)
    model_server.route("/w1/far/v1/audio/speech").answer_with(answers.echo())
    answer = call(site, body, "/upstream/far/v1/audio/speech")
    assert (answer.status, answer.body) == (200, body)


def test_what_is_handed_through_needs_a_server_here(site):
    answer = wire.exchange(site.address, "GET", "/upstream/far/health")
    assert answer.status == 502 and answer.json()["error"]["code"] == "connect_failed"


def test_a_background_response_is_made_by_a_worker(redis, site, model_server):
    route = model_server.route("/w1/far/v1/responses")
    route.answer_with(said(*whole("far ", "away"), pause=0.02))
    each = Site(site, route)
    answer = call(site, b'{"model":"far","input":"hi","background":true}', "/v1/responses")
    assert (answer.status, answer.json()["status"]) == (200, "queued"), answer
    live = each.stream(answer.json())
    assert each.ended(answer.json())["output"] == [item("far away")]
    assert numbered(live)[-1]["type"] == "response.completed" and each.stream(answer.json()) == live
    wait_idle(redis)


def test_a_worker_whose_server_has_no_responses_is_told_of(site, model_server):
    model_server.route("/w1/far/v1/responses").answer_with(answers.status(404, body=b'{"detail":"Not Found"}'))
    answer = call(site, b'{"model":"far","input":"hi","background":true}', "/v1/responses")
    assert answer.status in (501, 200), answer
    failed = Site(site, None).ended({"id": "resp_" + answer.headers["X-Inference-Id"].replace("-", "")}, "failed")
    assert "404" in failed["error"]["message"]
