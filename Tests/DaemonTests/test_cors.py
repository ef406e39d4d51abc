"""CORS: what pages of another origin may do, and that all others may do nothing."""

import pytest

import wire
from waiting import until

PAGE = "https://app.example"
FOREIGN = "https://evil.example"


@pytest.fixture
def gateway(make_gateway):
    return make_gateway({"ocr": {}}, origins=[PAGE, "http://localhost:3000"])


def preflight(gateway, target, method="POST", origin=PAGE, **headers):
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    headers = {"Origin": origin, "Access-Control-Request-Method": method} | headers
    return gateway.request("OPTIONS", target, headers=headers)


def names(answer, header):
    return {name.strip().lower() for name in answer.headers[header].split(",")}


def test_a_page_of_an_allowed_origin_may_submit_and_read(gateway):
    for origin in (PAGE, "http://localhost:3000"):
        headers = {"Origin": origin, "Content-Type": "application/json"}
        answer = gateway.post("/v1/async/inference", {"model": "ocr"}, headers)
        assert answer.status == 202
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert answer.headers["Access-Control-Allow-Credentials"] is None
        assert "origin" in names(answer, "Vary")
        read = gateway.get(answer.headers["Location"], Origin=origin)
        assert read.status == 200 and read.headers["Access-Control-Allow-Origin"] == origin


def test_what_a_page_may_read_of_the_head(gateway):
    exposed = names(gateway.get("/v1/models", Origin=PAGE), "Access-Control-Expose-Headers")
    assert exposed >= {"location", "etag", "link", "retry-after", "idempotency-replayed", "preference-applied"}


@pytest.mark.parametrize("target, status", [("/nowhere", 404), ("/v1/async/inference", 405), ("/v1/inference/x", 400)])
def test_errors_can_be_read_too(gateway, target, status):
    answer = gateway.get(target, Origin=PAGE)
    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "origin" in names(answer, "Vary")


def test_a_browser_may_ask_before_it_calls(gateway):
    answer = preflight(gateway, "/v1/async/inference", Access_Control_Request_Headers="content-type,idempotency-key")
    assert answer.status == 204 and answer.body == b""
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "post" in names(answer, "Access-Control-Allow-Methods")
    taken = names(answer, "Access-Control-Allow-Headers")
    assert taken >= {"content-type", "idempotency-key", "last-event-id", "prefer", "if-none-match"}
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert "origin" in names(answer, "Vary")


@pytest.mark.parametrize(
    "method, target",
    [
        ("GET", "/v1/async/notify/01935f2e-0000-7000-8000-000000000000"),
        ("DELETE", "/v1/inference/01935f2e-0000-7000-8000-000000000000"),
        ("POST", "/v1/inference/01935f2e-0000-7000-8000-000000000000/cancel"),
        ("GET", "/v1/events"),
    ],
)
def test_every_path_tells_its_methods(gateway, method, target):
    answer = preflight(gateway, target, method)
    assert answer.status == 204
    assert method.lower() in names(answer, "Access-Control-Allow-Methods")


def test_a_page_of_the_internet_may_call_a_local_address_if_it_is_allowed(gateway):
    asked = {"Access_Control_Request_Private_Network": "true"}
    answer = preflight(gateway, "/v1/async/inference", **asked)
    assert answer.headers["Access-Control-Allow-Private-Network"] == "true"
    answer = preflight(gateway, "/v1/async/inference", origin=FOREIGN, **asked)
    assert answer.status == 403 and answer.headers["Access-Control-Allow-Private-Network"] is None


def test_a_plain_options_is_what_it_was(gateway):
    for headers in ({}, {"Origin": PAGE}):
        answer = gateway.request("OPTIONS", "/v1/models", headers=headers)
        assert answer.status == 204 and names(answer, "Allow") == {"get", "head", "options"}
        assert answer.headers["Access-Control-Allow-Methods"] is None
    assert preflight(gateway, "/nowhere").status == 404
    without_origin = gateway.request("OPTIONS", "/v1/models", headers={"Access-Control-Request-Method": "GET"})
    assert without_origin.status == 204 and without_origin.headers["Access-Control-Allow-Methods"] is None


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://app.example", PAGE + ":444", PAGE.upper(), PAGE + ".evil"])
def test_pages_of_other_origins_may_do_nothing(gateway, origin):
    # What a page may send without asking: a form, or fetch with mode no-cors.
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/json"}):
        answer = gateway.post("/v1/async/inference?model=ocr", b'{"model":"ocr"}', headers | {"Origin": origin})
        assert answer.status == 403
        assert answer.headers["Access-Control-Allow-Origin"] is None
    assert gateway.get("/v1/inference", Origin=origin).status == 403
    assert gateway.get("/v1/events", Origin=origin).status == 403
    refused = preflight(gateway, "/v1/async/inference", origin=origin)
    assert refused.status == 403 and refused.headers["Access-Control-Allow-Origin"] is None
    assert gateway.get("/v1/inference").json()["results"] == []


def test_answers_without_an_origin_say_that_they_vary(gateway):
    answer = gateway.get("/v1/models")
    assert "origin" in names(answer, "Vary")
    assert answer.headers["Access-Control-Allow-Origin"] is None


def test_an_event_source_connects_and_comes_back_without_asking(gateway):
    job = gateway.submit("ocr")
    first, *_ = gateway.events(job)
    for headers in ({}, {"Last-Event-ID": str(first.id)}):
        headers |= {"Origin": PAGE, "Accept": "text/event-stream", "Cache-Control": "no-store"}
        with wire.Stream(gateway.address, job["urls"]["events"], headers) as stream:
            assert stream.status == 200
            assert stream.headers["Access-Control-Allow-Origin"] == PAGE
            assert stream.headers["Content-Type"] == "text/event-stream"
            assert len(wire.parse(stream.to_end())) == (2 if "Last-Event-ID" in headers else 3)
    ids = [event.id for event in gateway.events(job)]
    done = gateway.get(job["urls"]["events"], Origin=PAGE, Last_Event_ID=str(ids[-1]))
    assert done.status == 204 and done.headers["Access-Control-Allow-Origin"] == PAGE


def test_a_body_that_is_too_large_is_an_error_that_can_be_read(make_gateway):
    gateway = make_gateway({"ocr": {}}, origins=[PAGE], max_body="1KiB")
    answer = gateway.post("/v1/async/inference?model=ocr", bytes(5000), {"Origin": PAGE, "Content-Type": "a/b"})
    assert answer.status == 413 and answer.headers["Access-Control-Allow-Origin"] == PAGE


def test_without_origins_nothing_is_said(make_gateway):
    gateway = make_gateway({"ocr": {}})
    own = gateway.get("/v1/models", Origin=gateway.url)
    assert own.status == 200
    for answer in (own, gateway.get("/v1/models")):
        assert answer.headers["Access-Control-Allow-Origin"] is None and answer.headers["Vary"] is None
    assert gateway.get("/v1/models", Origin=PAGE).status == 403


def test_a_reload_changes_the_origins(make_gateway):
    gateway = make_gateway({"ocr": {}})
    gateway.settings["origins"] = [PAGE]
    gateway.reload()
    until(lambda: gateway.get("/v1/models", Origin=PAGE).status == 200, "the new origin to be allowed")
    gateway.settings["origins"] = []
    gateway.reload()
    until(lambda: gateway.get("/v1/models", Origin=PAGE).status == 403, "the origin to be refused again")
