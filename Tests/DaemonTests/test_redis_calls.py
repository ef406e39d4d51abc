"""Calls whose model servers are beside workers on other hosts: what passes is what passes without Redis."""

import os

import pytest

import answers
import wire
from redis_fixtures import make_worker, needs_redis, redis, redis_gateway, wait_idle  # fmt: skip

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
