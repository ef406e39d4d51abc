"""Anyone who has no key gets 401 and nothing else, whatever is asked for and in whatever spelling."""

import pytest

import wire
from accesspaths import JSON_BODY, NOBODY, Asked, operations, security, target
from contract import problem
from gateway import DESCRIPTION
from keyfile import from_now, make_key, seal

SETTINGS = {"access": {"failures": "10000/1m"}, "origins": ["https://page.example"]}
MODELS = {
    "llama": {"dialect": "openai"}, "chat": {"dialect": "ollama"}, "grid": {"dialect": "kserve"}, "plain": {},
}  # fmt: skip
CLIENTS = {"alice": {}, "gone": {"expires": from_now(-60)}}
KEY = seal("7" * 43)  # nobody's; the names of tests must not differ from worker to worker
MOUNTS = [
    "/upstream/llama/v1/models", "/upstream/plain/", "/upstream/nobody/x", "/upstream", "/upstream/", "/v1/chat/completions",
    "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/rerank", "/v1/score", "/v1/moderations",
    "/v1/audio/transcriptions", "/v1/images/generations", "/v1/files", "/v1/batches", "/v1/files/file-1/content",
    "/v1/batches/batch_1", "/v1/batches/batch_1/cancel", "/v1/responses/resp_1", "/v1/responses/resp_1/cancel",
    "/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/api/tags", "/api/show", "/api/ps", "/api/version",
    "/api/pull", "/api/delete", "/api", "/api/", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/grid",
    "/v2/models/grid/ready", "/v2/models/grid/infer", "/v2/models/grid/versions/1/infer", "/v2/repository/index",
]  # fmt: skip
NOWHERE = [
    "/v1", "/v1/", "/v3", "/nothing", "/favicon.ico", "/robots.txt", "/.well-known/security.txt", "/admin", "/debug/pprof/",
    "/invocations", "/v1/inference/", f"/v1/inference/{NOBODY}/", f"/v1/inference/{NOBODY}/nothing", "/v1/store",
    "/v1/store/", "/v1/me/", "/v1/clients/", "/metrics/", "/health", "/status", "/v1/session/x",
    "/livezz", "/livez2", "/readyz.json", "/openapi.yaml", "/openapi.json.bak", "/index.html", "/V1/MODELS", "/METRICS",
    f"/v1/inference?key={KEY}", f"/v1/inference?api_key={KEY}", f"/v1/inference?access_token={KEY}",
    "/v1/inference?ticket=x", f"/v1/inference/{NOBODY}?ticket=x", "/v1/events?ticket=x", "/v1/models?/livez",
]  # fmt: skip
# A path that hides what it is may be malformed.
DISGUISED = [
    "//v1/inference", "/v1//inference", "/v1/inference//", "///metrics", "/%76%31/inference", "/v1%2Finference",
    "/v1/%69nference", "/%2Fv1/inference", "/v1/inference%2F", "/v1/inference%00", "/v1/inference%20", "/./v1/inference",
    "/v1/./inference", "/v1/../v1/inference", "/livez/../v1/inference", "/livez/..%2Fv1%2Finference", "/readyz%2F..%2Fmetrics",
    "/openapi.json/../metrics", "/%2e%2e/metrics", "/livez%2f..%2fmetrics", "/livez;/../metrics", "/livez/..;/metrics",
    "/livez/v1/inference", "//livez/v1/models", "/metrics;livez", "/metrics%3Fx", "/metrics#livez", "/\\metrics",
    "/v1\\inference", "/livez%23/../metrics", "/upstream/llama/../../v1/inference", "/upstream/llama/%2e%2e/%2e%2e/metrics",
    "/upstream//v1/models", "/upstream/llama//v1/models", "/upstream/%6clama/v1/models", "/v1/chat/completions/",
    "/v2/models/grid/infer/", "/api/chat/", "/v1/store/backup/", "//v1/store/backup", "/v1/store//backup",
]  # fmt: skip
TRUSTED_ELSEWHERE = {
    "X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1;proto=https", "X-Real-IP": "127.0.0.1",
    "X-Forwarded-User": "root", "X-Forwarded-Email": "root@localhost", "X-Remote-User": "root", "X-User": "root",
    "X-Original-URL": "/livez", "X-Rewrite-URL": "/livez", "X-HTTP-Method-Override": "OPTIONS",
    "Proxy-Authorization": "Bearer " + make_key(), "X-Notify-Token": "x", "X-Client": "alice", "Via": "1.1 localhost",
}  # fmt: skip


def stranger(gateway, method, target, headers=None):
    body = b"{}" if method in ("POST", "PUT", "PATCH") else b""
    return Asked(gateway.address, method, target, (headers or {}) | (JSON_BODY if body else {}), body)


def described_free(document):
    return {(method, path) for method, path, _, operation in operations(document) if security(operation, document) is None}


# Paths


@pytest.mark.parametrize("target", MOUNTS + NOWHERE)
def test_every_other_path_is_401(gateway, target):
    for method in ("GET", "HEAD", "POST", "DELETE"):
        assert stranger(gateway, method, target).status == 401, method


@pytest.mark.parametrize("target", DISGUISED)
def test_a_disguised_path_is_401_or_malformed(gateway, target):
    for method in ("GET", "HEAD", "POST"):
        assert stranger(gateway, method, target).status in (400, 401), method


def test_no_method_opens_a_path(gateway):
    document = gateway.client().get("/openapi.json").json()
    free, wrong, unknown = described_free(document), [], {}
    for path in document["paths"]:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "QUERY", "LINK", "NONSENSE"):
            if (method, path) in free:
                continue
            status = stranger(gateway, method, target(path)).status
            if method == "NONSENSE":
                unknown[path] = status
                continue
            # A method of a path that is free by another one tells nothing.
            is_harmless = status == 405 and any(name == path for _, name in free)
            if status != 401 and not is_harmless:
                wrong.append((method, path, status))
    assert wrong == []
    assert len(set(unknown.values())) == 1 and set(unknown.values()) <= {400, 401, 405, 501}, "no path shows by it"


@pytest.mark.parametrize("name", TRUSTED_ELSEWHERE)
def test_a_header_that_others_trust_opens_nothing(gateway, name):
    headers = {name: TRUSTED_ELSEWHERE[name]}
    for method, target in (("GET", "/v1/inference"), ("POST", "/v1/async/inference"), ("GET", "/metrics")):
        assert stranger(gateway, method, target, headers).status == 401


@pytest.mark.parametrize("line", [
    b"GET http://127.0.0.1/v1/inference HTTP/1.1", b"GET http://127.0.0.1/livez/../metrics HTTP/1.1",
    b"GET /v1/inference HTTP/1.0", b"OPTIONS * HTTP/1.1", b"CONNECT 127.0.0.1:80 HTTP/1.1", b"GET * HTTP/1.1",
    b"get /v1/inference HTTP/1.1", b"GET /v1/inference?%00 HTTP/1.1",
])  # fmt: skip
def test_no_form_of_the_request_line_gives_more(gateway, line):
    received = gateway.raw(line + b"\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    status = int(received.split()[1])
    assert status in ((200, 204, 400, 401) if line.startswith(b"OPTIONS") else (400, 401, 405)), received[:300]
    assert b'"results"' not in received and b"inferq_" not in received


@pytest.mark.parametrize("target", ["/v1/chat/completions", "/upstream/llama/v1/realtime", "/v1/events"])
def test_an_offer_to_upgrade_is_401(gateway, target):
    offer = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "eA==", "Sec-WebSocket-Version": "13"}
    assert stranger(gateway, "GET", target, offer).status == 401


def test_with_a_key_the_path_decides_first(gateway):
    alice = gateway.client("alice")
    problem(alice.get("/v1/nothing"), 404)
    problem(alice.request("PATCH", "/v1/inference"), 405)
    assert alice.get(f"/v1/inference/{NOBODY}").json()["code"] == "no_such_job"


# The order of the checks


def test_the_host_and_the_origin_come_before_the_key(gateway):
    assert stranger(gateway, "GET", "/v1/inference", {"Host": "evil.example"}).status == 421
    assert stranger(gateway, "GET", "/v1/inference", {"Origin": "https://evil.example"}).status == 403


@pytest.mark.parametrize("headers", [
    {"Content-Encoding": "gzip"}, {"Accept": "image/png"}, {"Content-Type": "text/x-odd"}, {"Expect": "200-maybe"},
], ids=str)  # fmt: skip
def test_the_key_comes_before_all_that_is_said_of_the_body(gateway, headers):
    if "Expect" in headers:
        assert stranger(gateway, "POST", "/v1/async/inference", headers).status in (401, 417)
    else:
        assert stranger(gateway, "POST", "/v1/async/inference", headers).status == 401


def test_a_page_of_an_allowed_origin_can_read_that_it_needs_a_key(gateway):
    answer = stranger(gateway, "GET", "/v1/inference", {"Origin": "https://page.example"})
    assert answer.status == 401 and answer.headers["Access-Control-Allow-Origin"] == "https://page.example"


def test_a_page_of_an_allowed_origin_may_send_a_key(gateway):
    asked = {
        "Origin": "https://page.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-api-key",
    }  # fmt: skip
    answer = wire.exchange(gateway.address, "OPTIONS", "/v1/async/inference", headers=asked)
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert answer.status == 204 and "authorization" in allowed and "x-api-key" in allowed


# The body

TARGETS = ["/v1/async/inference", "/v1/inference", "/v2/inference", "/v1/chat/completions", "/upstream/plain/say"]


@pytest.mark.parametrize("framing", ["Content-Length: 10000000000", "Content-Length: 1000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("key", ["", "Authorization: Bearer wrong\r\n"], ids=["none", "wrong"])
def test_the_refusal_comes_before_the_body_and_closes(gateway, target, framing, key):
    head = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{key}{framing}\r\n"
    received = gateway.raw(head.encode() + b"Expect: 100-continue\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 401 "), received[:200]
    assert received.count(b"HTTP/1.1 ") == 1, "it is not invited to send the body"
    assert b"\r\nconnection: close\r\n" in received.partition(b"\r\n\r\n")[0].lower() + b"\r\n"


def test_a_body_that_is_sent_all_the_same_is_refused_too(gateway):
    answer = wire.exchange(gateway.address, "POST", "/v1/async/inference?model=plain", bytes(1 << 20))
    assert answer.status == 401


def test_what_follows_a_refusal_on_its_connection_is_not_answered(gateway):
    request = b"POST /v1/async/inference HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"
    received = gateway.raw(request + b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 401 ") and received.count(b"HTTP/1.1 ") == 1


# The words


def refusals(gateway, target="/v1/inference"):
    return {
        "key_missing": wire.exchange(gateway.address, "GET", target),
        "key_invalid": gateway_answer(gateway, target, make_key()),
        "key_expired": gateway_answer(gateway, target, gateway.keys["gone"]),
    }


def gateway_answer(gateway, target, key):
    return wire.exchange(gateway.address, "GET", target, headers={"Authorization": f"Bearer {key}"})


def test_a_refusal_is_a_problem_with_a_stable_code_and_one_sentence_for_all(gateway):
    answers = refusals(gateway)
    for code, answer in answers.items():
        assert problem(answer, 401)["code"] == code
        assert answer.headers.get_all("WWW-Authenticate") == ["Bearer"]
        DESCRIPTION.check("GET", "/v1/inference", answer)
    assert len({answer.json()["detail"] for answer in answers.values()}) == 1


def test_a_refusal_of_head_has_no_body(gateway):
    answer = wire.exchange(gateway.address, "HEAD", "/v1/inference")
    assert (answer.status, answer.body, answer.headers["WWW-Authenticate"]) == (401, b"", "Bearer")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer " + make_key()}], ids=["missing", "invalid"])
@pytest.mark.parametrize("target", ["/v1/chat/completions", "/v1/messages", "/api/chat", "/v2/models/grid/infer"])
def test_calls_are_refused_in_the_form_of_their_dialect(gateway, target, headers):
    answer = wire.exchange(gateway.address, "POST", target, b"{}", JSON_BODY | headers)
    assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
    document, code = answer.json(), "key_invalid" if headers else "key_missing"
    sentence = wire.exchange(gateway.address, "GET", "/v1/inference").json()["detail"]
    if target.startswith(("/api", "/v2")):
        assert document == {"error": sentence}
    elif target == "/v1/messages":
        assert document["type"] == "error" and document["error"]["message"] == sentence and document["error"]["type"]
    else:
        assert set(document["error"]) == {"message", "type", "param", "code"}
        assert (document["error"]["code"], document["error"]["message"]) == (code, sentence)


@pytest.mark.parametrize("pair", [
    ("/upstream/plain/x", "/upstream/absnt/x"), ("/v1/models/plain", "/v1/models/absnt"),
    ("/upstream/llama/x", "/upstream/absnt/x"), ("/v2/models/grid/infer", "/v2/models/absn/infer"),
])  # fmt: skip
def test_a_stranger_does_not_learn_which_models_there_are(gateway, pair):
    there, absent = (stranger(gateway, "POST", target) for target in pair)
    assert (there.status, there.sentence) == (absent.status, absent.sentence)
    assert there.headers["Content-Type"] == absent.headers["Content-Type"]


def test_a_refusal_names_no_path_of_the_disk_and_no_client(gateway):
    for answer in refusals(gateway).values():
        assert b"keys.d" not in answer.body and b"alice" not in answer.body and b"gone" not in answer.body
