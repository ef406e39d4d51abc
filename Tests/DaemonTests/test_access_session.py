"""The session of the page, and the sockets of the host, where the socket decides."""

import contextlib
import http.client
import os
import stat

import pytest

import wire
from accesspaths import JSON_BODY
from accesssockets import cookie, on, sign_in, sockets  # noqa: F401
from contract import SUBMIT, problem
from keyfile import EVERYTHING, make_key
from waiting import until

SETTINGS = {"access": {"failures": "10000/1m"}, "origins": ["https://page.example"]}
CLIENTS = {"alice": {}, "bob": {}, "leaving": {}, "reader": {"scopes": ["read"]}}
SAME = {"Sec-Fetch-Site": "same-origin"}


def status(gateway, field, method="GET", target="/v1/inference", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    body = b'{"model":"m000"}' if method == "POST" else None
    return wire.exchange(gateway.address, method, target, body, {"Cookie": field} | JSON_BODY | headers).status


@pytest.fixture
def signed(gateway):
    """The cookie of a page where alice has signed in."""
    answer = sign_in(gateway, gateway.keys["alice"], SAME)
    assert answer.status in (200, 201, 204), answer.body
    return cookie(answer)


# The cookie


def test_signing_in_sets_a_cookie_that_scripts_and_other_sites_do_not_get(gateway):
    answer = sign_in(gateway, gateway.keys["alice"], SAME)
    assert answer.status in (200, 201, 204)
    [field] = answer.headers.get_all("Set-Cookie")
    pair, *attributes = [part.strip() for part in field.split(";")]
    found = {name.lower(): value for name, _, value in (each.partition("=") for each in attributes)}
    assert "httponly" in found and found["samesite"] == "Strict" and found["path"] == "/"
    assert "secure" not in found and not pair.startswith("__Host-"), "those need TLS"
    assert "domain" not in found
    assert gateway.keys["alice"] not in field + answer.body.decode()
    assert len(pair.partition("=")[2]) >= 20
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("key", ["", "x", make_key(), None, 3, ["a"]], ids=["empty", "x", "wrong", "null", "number", "list"])
def test_a_wrong_key_signs_nobody_in(gateway, key):
    answer = sign_in(gateway, key, SAME)
    assert answer.status in (400, 401) and answer.headers["Set-Cookie"] is None
    if isinstance(key, str) and len(key) > 10:
        assert answer.status == 401 and problem(answer, 401)["code"] == "key_invalid"


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"x", b'{"key":"a","key":"b"}', b'{"key":"a","x":1}'])
def test_a_body_without_a_key_is_refused(gateway, body):
    answer = gateway.client().post("/v1/session", body, JSON_BODY | SAME)
    assert answer.status in (400, 401) and answer.headers["Set-Cookie"] is None


def test_wrong_keys_in_the_body_count_as_failures(make_gateway):
    gateway = make_gateway({"ocr": {}}, clients={"alice": {}}, access={"failures": "5/1m"})
    statuses = [sign_in(gateway, make_key(), SAME).status for _ in range(8)]
    assert statuses[:5] == [401] * 5 and statuses[-1] == 429
    assert sign_in(gateway, gateway.keys["alice"], SAME).status in (200, 201, 204)


def test_two_sign_ins_are_two_sessions(gateway, signed):
    other = cookie(sign_in(gateway, gateway.keys["alice"], SAME))
    wire.exchange(gateway.address, "DELETE", "/v1/session", headers={"Cookie": signed} | SAME)
    assert status(gateway, other) == 200


# Where it counts


@pytest.mark.parametrize("headers, allowed", [
    ({"Sec_Fetch_Site": "same-origin"}, True), ({}, True),
    ({"Sec_Fetch_Site": "cross-site"}, False), ({"Sec_Fetch_Site": "same-site"}, False),
    ({"Sec_Fetch_Site": "nonsense"}, False),
])  # fmt: skip
def test_it_counts_for_reads_of_the_same_origin(gateway, signed, headers, allowed):
    assert status(gateway, signed, **headers) == (200 if allowed else 401)


def test_it_counts_for_an_origin_of_the_gateways_own(gateway, signed):
    assert status(gateway, signed, Origin=gateway.url) == 200
    assert status(gateway, signed, "POST", SUBMIT, Origin=gateway.url) == 202
    assert status(gateway, signed, "POST", SUBMIT, Origin=gateway.url, Sec_Fetch_Site="same-origin") == 202


@pytest.mark.parametrize("headers", [
    {}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Origin": "https://page.example"},
    {"Origin": "https://page.example", "Sec_Fetch_Site": "cross-site"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://evil.example"}, {"Referer": "http://127.0.0.1/"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("method, target", [("POST", SUBMIT), ("POST", "/v1/inference"), ("DELETE", "/v1/session")])
def test_it_does_not_count_for_a_change_from_elsewhere(gateway, signed, headers, method, target):
    found = status(gateway, signed, method, target, **headers)
    assert found in (401, 403) or target == "/v1/session" and found == 204
    assert status(gateway, signed, **{"Sec_Fetch_Site": "same-origin"}) == 200, "and the session is as it was"


def test_a_read_from_an_allowed_origin_needs_a_key_of_its_own(gateway, signed):
    assert status(gateway, signed, Origin="https://page.example") == 401


def test_it_acts_as_its_client_with_its_scopes(gateway, signed):
    me = wire.exchange(gateway.address, "GET", "/v1/me", headers={"Cookie": signed} | SAME).json()
    assert me["client"] == "alice"
    reader = cookie(sign_in(gateway, gateway.keys["reader"], SAME))
    assert status(gateway, reader, "POST", SUBMIT, Sec_Fetch_Site="same-origin") == 403
    job = gateway.client("bob").submit("m000")
    assert status(gateway, signed, target=job["urls"]["self"]) == 404


def test_an_event_source_reads_with_it(gateway, signed, model):
    job = gateway.client("alice").submit(model.name)
    with wire.Stream(gateway.address, job["urls"]["events"], {"Cookie": signed} | SAME) as stream:
        assert stream.status == 200
        assert wire.parse(stream.to_end())[-1].status == "COMPLETED"


def test_it_is_found_among_other_cookies(gateway, signed):
    assert status(gateway, f"a=1; {signed}; b=2") == 200
    assert status(gateway, "a=1; b=2") == 401


@pytest.mark.parametrize("change", [
    lambda value: "", lambda value: value[:-1], lambda value: value[::-1], lambda value: value + "x",
    lambda value: "a" * 10_000, lambda value: "\x01", lambda value: value.swapcase(),
], ids=["empty", "shorter", "backwards", "longer", "long", "control", "case"])  # fmt: skip
def test_a_changed_cookie_is_none(gateway, signed, change):
    name, _, value = signed.partition("=")
    assert status(gateway, f"{name}={change(value)}") in (400, 401)


# Its end


def test_signing_out_ends_it(gateway, signed):
    answer = wire.exchange(gateway.address, "DELETE", "/v1/session", headers={"Cookie": signed} | SAME)
    assert answer.status in (200, 204)
    field = answer.headers["Set-Cookie"].lower()
    assert "max-age=0" in field or "expires=thu, 01 jan 1970" in field
    assert status(gateway, signed) == 401, "also for who kept the cookie"


def test_signing_out_ends_what_is_open_under_it_and_no_other_session(gateway, signed, model):
    job = gateway.client("alice").submit(model.name)
    other = cookie(sign_in(gateway, gateway.keys["alice"], SAME))
    with contextlib.ExitStack() as streams:
        mine, others = (
            streams.enter_context(wire.Stream(gateway.address, "/v1/events", {"Cookie": field} | SAME))
            for field in (signed, other)
        )
        assert (mine.status, others.status) == (200, 200)
        wire.exchange(gateway.address, "DELETE", "/v1/session", headers={"Cookie": signed} | SAME)
        with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
            mine.to_end()
        done = gateway.client("alice").submit(model.name)
        others.until(lambda got: done["id"].encode() in got)
    assert gateway.client("alice").ended(job)["status"] == "COMPLETED"


def test_it_ends_with_its_key(gateway):
    field = cookie(sign_in(gateway, gateway.keys["leaving"], SAME))
    assert status(gateway, field) == 200
    gateway.keys.revoke("leaving")
    gateway.reload_keys()
    until(lambda: status(gateway, field) == 401, "the end of the session")


# The sockets


@pytest.fixture
def keyed(sockets):
    return sockets(clients={"alice": {}, "root2": {"scopes": EVERYTHING}})


def test_the_local_socket_is_a_client_of_its_own(keyed):
    me = on(keyed.local, "GET", "/v1/me")
    assert me.status == 200 and me.json()["client"] == "local"
    assert set(me.json()["scopes"]) == {"submit", "read", "cancel", "read:all", "metrics"}
    job = on(keyed.local, "POST", SUBMIT, b'{"model":"ocr"}')
    assert (job.status, job.json()["client"]) == (202, "local")
    assert on(keyed.local, "GET", "/metrics").status == 200
    assert keyed.client("alice").get(job.json()["urls"]["self"]).status == 404


def test_the_local_socket_reads_all_and_operates_nothing(keyed):
    job = keyed.client("alice").submit("ocr")
    assert on(keyed.local, "GET", job["urls"]["self"]).status == 200
    for method, target in (("POST", "/v1/models/ocr/pause"), ("GET", "/v1/clients")):
        answer = on(keyed.local, method, target)
        assert (answer.status, answer.json()["code"]) == (403, "scope_missing")


def test_the_socket_of_the_administrator_may_do_all(keyed):
    assert on(keyed.admin, "POST", "/v1/models/ocr/pause").status == 200
    assert on(keyed.admin, "POST", "/v1/models/ocr/resume").status == 200
    assert on(keyed.admin, "GET", "/v1/clients").status == 200
    job = keyed.client("alice").submit("ocr")
    keyed.client("alice").ended(job)
    assert on(keyed.admin, "DELETE", job["urls"]["self"]).status == 204
    assert stat.S_IMODE(os.stat(keyed.admin).st_mode) == 0o600


@pytest.mark.parametrize("headers", [
    {"Authorization": "Bearer wrong"}, {"X-API-Key": "wrong"}, {"Authorization": "Basic eDp5"},
    {"Authorization": "Bearer a", "X-API-Key": "b"},
], ids=str)  # fmt: skip
def test_a_key_on_a_unix_socket_is_ignored(keyed, headers):
    for path in (keyed.local, keyed.admin):
        assert on(path, "GET", "/v1/inference", headers=headers).status == 200
    real = {"X-API-Key": keyed.keys["root2"]}
    assert on(keyed.local, "GET", "/v1/me", headers=real).json()["client"] == "local"
    assert on(keyed.local, "POST", "/v1/models/ocr/pause", headers=real).status == 403


@pytest.mark.parametrize("target", ["/v1/store/check", "/v1/store/backup"])
def test_the_store_is_the_administrators_alone(keyed, target):
    for name in ("root2", "alice"):
        assert keyed.client(name).get(target).status == 403
    assert on(keyed.local, "GET", target).status == 403
    assert on(keyed.admin, "GET", target).status == 200
    assert wire.exchange(keyed.address, "GET", target).status == 401


@pytest.mark.parametrize("target", ["/v1/store/check", "/v1/store/backup"])
def test_in_mode_open_the_store_is_on_both_sockets(sockets, target):
    gateway = sockets()
    assert gateway.get(target).status == 403
    assert [on(path, "GET", target).status for path in (gateway.local, gateway.admin)] == [200, 200]


def test_in_mode_open_the_sockets_may_do_all(sockets):
    gateway = sockets()
    for path in (gateway.local, gateway.admin):
        assert on(path, "POST", "/v1/models/ocr/pause").status == 200
        assert on(path, "POST", "/v1/models/ocr/resume").status == 200


# Who is not ready


def test_a_gateway_that_is_not_ready_tells_a_stranger_no_reason(make_gateway):
    gateway = make_gateway({"ocr": {}}, clients={"alice": {}}, started=False, store={"min_free": "900TiB"})
    gateway.launch()

    def heard():
        with contextlib.suppress(OSError):
            return wire.exchange(gateway.address, "GET", "/readyz")

    answer = until(heard, "an answer")
    assert answer.status == 503 and answer.headers["Retry-After"]
    assert answer.json() == {"status": "DOWN"}
