"""Who may what: each operation of the description, without a key, with a wrong one, with each scope alone."""

import json

import pytest

import wire
from accesspaths import JSON_BODY, NOBODY, Asked, admits, operations, security
from gateway import DESCRIPTION
from keyfile import EVERYTHING, SCOPES, make_key

SETTINGS = {"access": {"failures": "10000/1m"}}
MODELS = {
    "llama": {"dialect": "openai"}, "chat": {"dialect": "ollama"}, "grid": {"dialect": "kserve"},
    "plain": {"queued": ["PUT /nobody", "PATCH /nobody", "DELETE /nobody"]},
}  # fmt: skip
NAMES = {scope: scope.replace(":", "-") for scope in SCOPES}
CLIENTS = {name: {"scopes": [scope]} for scope, name in NAMES.items()} | {"all": {"scopes": EVERYTHING}}

# What the contract says in words: the scopes that suffice one by one. Others may.
WANTED = {
    ("POST", "/v1/async/inference"): {"submit"},
    ("POST", "/v1/inference"): {"submit"},
    ("POST", "/v2/inference"): {"submit"},
    ("POST", "/v1/inference/{id}/retry"): {"submit", "operate"},
    ("POST", "/v1/inference/{id}/cancel"): {"cancel", "operate"},
    ("DELETE", "/v1/inference/{id}"): {"cancel", "operate"},
    ("POST", "/v2/inference/{id}/cancel"): {"cancel", "operate"},
    ("DELETE", "/v2/inference/{id}"): {"cancel", "operate"},
    ("POST", "/v1/inference/{id}/ticket"): {"read"},
    ("GET", "/v1/inference"): {"read"},
    ("GET", "/v1/inference/{id}"): {"read"},
    ("GET", "/v1/inference/{id}/input"): {"read"},
    ("GET", "/v1/inference/{id}/output"): {"read"},
    ("GET", "/v1/async/notify/{event_id}"): {"read"},
    ("GET", "/v1/notifications/{event_id}"): {"read"},
    ("GET", "/v1/events"): {"read"},
    ("GET", "/v2/inference"): {"read"},
    ("GET", "/v2/inference/{id}"): {"read"},
    ("GET", "/v2/inference/{id}/tasks"): {"read"},
    ("GET", "/v2/async/notify/{event_id}"): {"read"},
    ("GET", "/v2/notifications/{event_id}"): {"read"},
    ("GET", "/v1/models"): {"read", "submit"},
    ("GET", "/v1/models/{name}"): {"read", "submit"},
    ("GET", "/v1/status"): {"read", "submit"},
    ("GET", "/v1/workers"): {"read", "submit"},
    ("POST", "/v1/models/{name}/pause"): {"operate"},
    ("POST", "/v1/models/{name}/resume"): {"operate"},
    ("GET", "/v1/clients"): {"operate"},
    ("GET", "/metrics"): {"metrics"},
    ("GET", "/v1/me"): set(SCOPES),
    ("GET", "/upstream/{model}/{path}"): {"read", "submit"},
    ("POST", "/upstream/{model}/{path}"): {"submit"},
    ("DELETE", "/upstream/{model}/{path}"): {"submit"},
    ("POST", "/v1/chat/completions"): {"submit"},
    ("POST", "/v1/messages"): {"submit"},
    ("POST", "/api/chat"): {"submit"},
    ("POST", "/api/show"): {"read", "submit"},
    ("GET", "/api/tags"): {"read", "submit"},
    ("POST", "/v2/models/{model}/infer"): {"submit"},
    ("GET", "/v2/health/{path}"): {"read", "submit"},
}
READS = {"read:all", "operate"}  # may be enough where `read` is
FREE = {
    ("GET", "/livez"), ("GET", "/readyz"), ("GET", "/"), ("GET", "/openapi.json"), ("POST", "/v1/notifications"),
    ("PUT", "/v1/inference/{id}/output"), ("POST", "/v1/inference/{id}/output"), ("POST", "/v1/session"),
}  # fmt: skip
MAY_BE_FREE = {("GET", "/health/livez"), ("GET", "/health/readyz"), ("DELETE", "/v1/session")}


@pytest.fixture(scope="module")
def document(gateway):
    answer = gateway.client().get("/openapi.json")
    assert answer.status == 200
    return answer.json()


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def ask(gateway, method, target, headers):
    body = b"{}" if method in ("POST", "PUT", "PATCH") else b""
    return Asked(gateway.address, method, target, headers | (JSON_BODY if body else {}), body)


def outcomes(gateway, document, headers, judge):
    """What is not as it should be: `judge(answer, alternatives)` says so for each operation that needs a key."""
    wrong = []
    for method, path, target, operation in operations(document):
        alternatives = security(operation, document)
        if alternatives is None or (method, path) in FREE:
            continue
        answer = ask(gateway, method, target, headers)
        DESCRIPTION.check(method, target, wire.Answer(answer.status, answer.headers, answer.body))
        if not judge(answer, alternatives):
            wrong.append((method, target, answer.status, answer.body[:200]))
    return wrong


# The description


def test_each_operation_says_what_it_needs_and_names_the_two_ways_to_send_a_key(document):
    schemes = document["components"]["securitySchemes"]
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"].lower()) == ("http", "bearer")
    assert (schemes["header"]["type"], schemes["header"]["in"]) == ("apiKey", "header")
    assert schemes["header"]["name"].lower() == "x-api-key"
    for _, _, _, operation in operations(document):
        security(operation, document)


def test_what_is_free_of_a_key_is_what_the_contract_lists(document):
    free = {(method, path) for method, path, _, operation in operations(document)
            if method != "HEAD" and security(operation, document) is None}  # fmt: skip
    assert FREE <= free <= FREE | MAY_BE_FREE


@pytest.mark.parametrize("method, path", WANTED, ids=lambda it: it.replace("/", ".").strip("."))
def test_the_scopes_are_those_of_the_contract(document, method, path):
    alternatives = security(document["paths"][path][method.lower()], document)
    wanted = WANTED[method, path]
    enough = {scope for scope in SCOPES if admits(alternatives, scope)}
    assert wanted <= enough <= wanted | (READS if "read" in wanted else set())


# The matrix


def test_without_a_key_all_else_is_401(gateway, document):
    assert outcomes(gateway, document, {}, lambda answer, _: answer.status == 401) == []


@pytest.mark.parametrize("headers", [
    bearer(make_key()), {"X-API-Key": make_key()}, bearer("infq_short"), bearer("sk-other"),
], ids=["bearer", "header", "short", "foreign"])  # fmt: skip
def test_with_a_wrong_key_all_else_is_401(gateway, document, headers):
    assert outcomes(gateway, document, headers, lambda answer, _: answer.status == 401) == []


@pytest.mark.parametrize("way", ["bearer", "header"])
@pytest.mark.parametrize("scope", SCOPES)
def test_one_scope_opens_what_the_description_says_and_nothing_else(gateway, document, scope, way):
    key = gateway.keys[NAMES[scope]]
    headers = bearer(key) if way == "bearer" else {"X-API-Key": key}

    def judge(answer, alternatives):
        if admits(alternatives, scope):
            return answer.status != 401 and not answer.lacks_scope
        return answer.status == 403 and (answer.lacks_scope or not answer.body)  # none to HEAD

    assert outcomes(gateway, document, headers, judge) == []


def test_every_scope_opens_everything(gateway, document):
    wrong = outcomes(gateway, document, bearer(gateway.keys["all"]),
                     lambda answer, _: answer.status != 401 and not answer.lacks_scope)  # fmt: skip
    assert wrong == []


def test_what_lacks_a_scope_is_told_which(gateway):
    answer = gateway.client("read").post("/v1/async/inference", {"model": "plain"})
    assert (answer.status, answer.json()["code"]) == (403, "scope_missing")
    assert "submit" in answer.json()["detail"]


@pytest.mark.parametrize("target, scope, other", [
    ("/v1/chat/completions", "submit", "read"), ("/api/chat", "submit", "read"),
    ("/v2/models/grid/infer", "submit", "read"), ("/upstream/plain/say", "submit", "read"),
])  # fmt: skip
def test_a_call_needs_submit(gateway, target, scope, other):
    body = json.dumps({"model": "chat" if "api" in target else "llama"}).encode()
    refused = Asked(gateway.address, "POST", target, bearer(gateway.keys[other]) | JSON_BODY, body)
    assert refused.lacks_scope and "submit" in refused.sentence
    answer = Asked(gateway.address, "POST", target, bearer(gateway.keys[scope]) | JSON_BODY, body, read=True)
    assert (answer.status, answer.body) == (200, b'{"ok":true}')


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("target", ["/upstream/llama/health", "/api/tags", "/v2/health/ready"])
def test_what_is_handed_through_needs_read_or_submit(gateway, method, target):
    for scope, name in NAMES.items():
        status = Asked(gateway.address, method, target, bearer(gateway.keys[name])).status
        if scope in ("read", "submit"):
            assert status == 200, scope
        elif scope in ("cancel", "metrics"):
            assert status == 403, scope


# What is free


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/", "/openapi.json"])
def test_what_holds_no_data_is_free(gateway, method, path):
    assert Asked(gateway.address, method, path).status == 200
    assert Asked(gateway.address, method, path, bearer("wrong")).status == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health/livez", "/health/readyz"])
def test_a_stranger_hears_the_word_of_the_state_alone(gateway, path):
    answer = wire.exchange(gateway.address, "GET", path)
    if path.startswith("/health") and answer.status == 401:
        return
    assert answer.json() == {"status": "UP"}


@pytest.mark.parametrize("target", ["/v1/inference", f"/v1/inference/{NOBODY}", "/v1/models", "/metrics", "/v1/events"])
def test_options_is_free(gateway, target):
    answer = wire.exchange(gateway.address, "OPTIONS", target)
    assert answer.status == 204 and answer.body == b""


@pytest.mark.parametrize("method, target, headers", [
    ("POST", "/v1/notifications", {}), ("POST", "/v1/notifications", {"X-Notify-Token": "forged"}),
    ("PUT", f"/v1/inference/{NOBODY}/output", {}), ("POST", f"/v1/inference/{NOBODY}/output", {}),
])  # fmt: skip
def test_what_a_token_guards_is_refused_without_it(gateway, method, target, headers):
    body = json.dumps({"event_id": NOBODY, "detail_type": "Inf:Task:Notify", "detail": {}}).encode()
    assert Asked(gateway.address, method, target, JSON_BODY | headers, body).status in (401, 403)


def test_a_model_server_needs_no_key_to_report(gateway, model):
    model.route.hold()
    gateway.submit(model.name)
    [call] = model.route.wait_calls(1)
    body = {"event_id": call.header("X-Event-Id"), "detail_type": "Inf:Task:Notify", "detail": {"progress": 0.5}}
    headers = JSON_BODY | {"X-Notify-Token": call.header("X-Notify-Token")}
    assert gateway.client().post("/v1/notifications", body, headers).status == 201
