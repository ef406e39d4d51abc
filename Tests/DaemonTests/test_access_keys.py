"""The forms in which a key is sent, and what else stands where a key should: never an error of ours, never a way in."""

import random
import re

import pytest

import wire
from keyfile import DIGITS, base62, make_key, seal
from streamreader import Reader

SETTINGS = {"access": {"failures": "10000/1m"}}
CLIENTS = {"alice": {}, "bob": {}}
TARGET = "/v1/inference"


def status(gateway, headers, target=TARGET):
    return wire.exchange(gateway.address, "GET", target, headers=headers).status


def raw_status(gateway, *fields):
    """The status of a request with these header lines as bytes; None if it is closed without an answer."""
    head = b"GET /v1/inference HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    try:
        received = gateway.raw(head + b"".join(field + b"\r\n" for field in fields) + b"\r\n")
    except BrokenPipeError:
        return None
    return int(received[9:12]) if received else None


def line(key, name=b"Authorization: Bearer "):
    return name + key.encode()


# What is right


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_known_in_any_case(gateway, scheme):
    assert status(gateway, {"Authorization": f"{scheme} {gateway.keys['alice']}"}) == 200


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_the_name_of_the_header_is_known_in_any_case(gateway, name):
    assert status(gateway, {name: f"Bearer {gateway.keys['alice']}"}) == 200


@pytest.mark.parametrize("name", ["X-API-Key", "x-api-key", "X-Api-Key"])
def test_a_header_of_its_own_is_as_good(gateway, name):
    assert status(gateway, {name: gateway.keys["alice"]}) == 200


def test_white_space_around_a_value_is_not_part_of_it(gateway):
    assert raw_status(gateway, b"X-API-Key: \t " + gateway.keys["alice"].encode() + b" \t") == 200
    assert raw_status(gateway, b"Authorization:Bearer " + gateway.keys["alice"].encode() + b"  ") == 200


def test_the_same_key_in_both_headers_is_one_key(gateway):
    key = gateway.keys["alice"]
    assert status(gateway, {"Authorization": f"Bearer {key}", "X-API-Key": key}) == 200


@pytest.mark.parametrize("other", ["bob", None], ids=["another's", "wrong"])
def test_two_keys_are_400(gateway, other):
    second = gateway.keys[other] if other else make_key()
    headers = {"Authorization": f"Bearer {gateway.keys['alice']}", "X-API-Key": second}
    answer = wire.exchange(gateway.address, "GET", TARGET, headers=headers)
    assert answer.status == 400
    for key in (gateway.keys["alice"], second):
        assert key.encode() not in answer.body


def test_two_keys_in_two_fields_of_one_name_never_choose_one(gateway):
    both = [line(gateway.keys["alice"]), line(gateway.keys["bob"])]
    assert raw_status(gateway, *both) in (400, 401)
    both = [line(gateway.keys[name], b"X-API-Key: ") for name in ("alice", "bob")]
    assert raw_status(gateway, *both) in (400, 401)


def test_a_field_that_comes_twice_with_one_value_is_no_trouble(gateway):
    assert raw_status(gateway, *[line(gateway.keys["alice"])] * 2) in (200, 400, 401)


# What is wrong


def without_checksum(key):
    return key[:-6] + ("000000" if key[-6:] != "000000" else "000001")


WRONG = {
    "a key that nobody has": lambda key: "Bearer " + make_key(),
    "another checksum": lambda key: "Bearer " + without_checksum(key),
    "one digit less": lambda key: "Bearer " + key[:-1],
    "one digit more": lambda key: "Bearer " + key + "0",
    "twice": lambda key: f"Bearer {key}{key}",
    "two in a list": lambda key: f"Bearer {key}, {key}",
    "without its prefix": lambda key: "Bearer " + key.removeprefix("infq_"),
    "another prefix": lambda key: "Bearer sk-" + key.removeprefix("infq_"),
    "small letters": lambda key: "Bearer " + key.lower(),
    "capitals": lambda key: "Bearer " + key.upper(),
    "no scheme": lambda key: key,
    "no space": lambda key: "Bearer" + key,
    "Basic": lambda key: "Basic YWxpY2U6c2VjcmV0",
    "Basic with the key": lambda key: "Basic " + key,
    "another scheme": lambda key: "Token " + key,
    "Digest": lambda key: f'Digest username="alice", nonce="{key}"',
    "quotes": lambda key: f'Bearer "{key}"',
    "a parameter": lambda key: f"Bearer key={key}",
    "the scheme alone": lambda key: "Bearer",
    "the scheme and a space": lambda key: "Bearer ",
    "empty": lambda key: "",
    "a star": lambda key: "Bearer *",
    "null": lambda key: "Bearer null",
    "percent": lambda key: "Bearer " + key.replace("_", "%5F"),
    "a word in front": lambda key: "Bearer x " + key,
    "only digits of the form": lambda key: "Bearer " + seal("0" * 43),
    "the largest digits": lambda key: "Bearer " + seal("z" * 43),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_key_is_401(gateway, name):
    assert status(gateway, {"Authorization": WRONG[name](gateway.keys["alice"])}) == 401


@pytest.mark.parametrize("value", ["", " ", "infq_", "Bearer x", "null"])
def test_what_is_no_key_in_the_other_header_is_401(gateway, value):
    assert status(gateway, {"X-API-Key": value}) == 401
    assert status(gateway, {"X-API-Key": "Bearer " + gateway.keys["alice"]}) == 401


@pytest.mark.parametrize("size, allowed", [(1_000, {401}), (30_000, {401}), (300_000, {400, 401, 431, None})])
def test_a_long_value_is_refused(gateway, size, allowed):
    for value in (b"a" * size, b"infq_" + b"A" * size):
        try:
            found = raw_status(gateway, b"Authorization: Bearer " + value)
        except ConnectionResetError:
            found = None
        assert found in allowed


@pytest.mark.parametrize("control", [b"\0", b"\x01", b"\t", b"\x0b", b"\x0c", b"\x1b", b"\x7f", b"\x80", b"\xff", b"\xc3\xa9", b"\r"])
def test_a_control_byte_opens_nothing(gateway, control):
    key = gateway.keys["alice"].encode()
    for value in (key[:20] + control + key[20:], control + b"x", key[:-1] + control, control * 300):
        assert raw_status(gateway, b"Authorization: Bearer " + value) in (400, 401, None)


def test_a_folded_line_opens_nothing(gateway):
    key = gateway.keys["alice"].encode()
    assert raw_status(gateway, b"Authorization: Bearer\r\n " + key) in (400, 401)


@pytest.mark.parametrize("target", ["?key={}", "?api_key={}", "?access_token={}", "?ticket={}", "?authorization=Bearer%20{}"])
def test_a_key_in_the_address_is_no_key(gateway, target):
    assert status(gateway, {}, TARGET + target.format(gateway.keys["alice"])) == 401


@pytest.mark.parametrize("name", ["Cookie", "X-Auth-Token", "Api-Key", "X-Key", "Proxy-Authorization", "X-Notify-Token"])
def test_a_key_in_another_header_is_no_key(gateway, name):
    key = gateway.keys["alice"]
    for value in (key, f"Bearer {key}", f"session={key}", f"inferq={key}; key={key}"):
        assert status(gateway, {name: value}) == 401


def test_credentials_in_the_address_of_a_proxy_request_are_no_key(gateway):
    key = gateway.keys["alice"]
    received = gateway.raw(f"GET http://alice:{key}@127.0.0.1/v1/inference HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
                           .replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))  # fmt: skip
    assert int(received[9:12]) in (400, 401, 421)


def test_the_name_of_a_client_or_the_hash_of_a_key_is_no_key(gateway):
    [known] = gateway.keys.tables["alice"]["hashes"]
    for value in ("alice", known["id"], known["sha256"], "infq_" + known["id"], base62(int(known["sha256"], 16), 43)):
        assert status(gateway, {"Authorization": f"Bearer {value}"}) == 401


# Anything


def noise(random, key):
    """One value of an Authorization header: a good one that was changed, or bytes of some kind."""
    good = bytearray(b"Bearer " + key.encode())
    kind = random.randrange(8)
    if kind == 0:
        good[random.randrange(len(good))] = random.randrange(1, 256)
    elif kind == 1:
        del good[random.randrange(len(good))]
    elif kind == 2:
        good.insert(random.randrange(len(good)), random.randrange(1, 256))
    elif kind == 3:
        at, other = random.sample(range(7, len(good)), 2)
        good[at], good[other] = good[other], good[at]
    elif kind == 4:
        good = bytearray(random.randbytes(random.randrange(200)))
    elif kind == 5:
        good = bytearray(b"Bearer infq_" + "".join(random.choices(DIGITS, k=random.randrange(120))).encode())
    elif kind == 6:
        good = bytearray(random.choice([b"Basic ", b"bearer\t", b"BEARER,", b"Negotiate ", b"=", b"%s%n", b"' OR 1=1 --", b"${jndi:x}"])) + good
    else:
        good = bytearray(b" ".join(random.choices([bytes(good), b"Bearer", key[:30].encode(), b",", b"\xf0\x9f\x94\x91"], k=4)))
    return bytes(good).replace(b"\n", b"").replace(b"\r\r", b"\r")


def is_good(value, key):
    scheme, _, rest = value.strip(b" \t").partition(b" ")
    return scheme.lower() == b"bearer" and rest.strip(b" \t") == key.encode()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", [b"Authorization: ", b"X-API-Key: "])
def test_noise_is_refused_and_never_an_error(gateway, name, seed):
    random_ = random.Random(seed)
    key = gateway.keys["alice"]
    for _ in range(120):
        value = noise(random_, key)
        if is_good(value, key) or value.strip(b" \t") == key.encode():
            continue
        found = raw_status(gateway, name + value)
        assert found is None or 400 <= found < 500, value
    assert status(gateway, {"Authorization": f"Bearer {key}"}) == 200
    assert gateway.error_lines() == []


def test_refusals_on_a_connection_that_stays_open_are_each_answered(gateway):
    """A request without a body need not close; if it does not, the next one on the connection is judged again."""
    with wire.dial(gateway.address) as sock:
        request = "GET /v1/inference HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n\r\n"
        sock.sendall(request.format(gateway.keys["alice"]).encode())
        assert wire.read_answer(sock).status == 200
        sock.sendall(request.format(make_key()).encode())
        assert wire.read_answer(sock).status == 401


def test_a_key_holds_for_its_request_and_not_for_the_connection(gateway):
    with wire.dial(gateway.address) as sock:
        good = f"GET /v1/inference HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {gateway.keys['alice']}\r\n\r\n"
        bare = "GET /v1/inference HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        sock.sendall((good + bare).encode())
        received = wire.read_to_close(sock)
    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", received) == [b"200", b"401"]


def test_two_clients_on_one_connection_are_two(gateway):
    with wire.dial(gateway.address) as sock:
        for name in ("alice", "bob", "alice"):
            sock.sendall(f"GET /v1/me HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {gateway.keys[name]}\r\n\r\n".encode())
            assert wire.read_answer(sock).json()["client"] == name


def test_a_key_of_http_1_0_is_a_key(gateway):
    key = gateway.keys["alice"]
    with Reader(gateway.address, "GET", TARGET, headers={"Authorization": f"Bearer {key}"}, version="1.0") as reader:
        assert reader.status == 200
