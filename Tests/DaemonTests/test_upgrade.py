"""Offers to change the protocol, which no one takes: every request is answered as if there were none."""

import json
import re

import pytest

import wire
from waiting import until

UPGRADES = {
    "h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    "websocket": "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: eA==\r\n",
    "TLS": "connection: upgrade\r\nupgrade: TLS/1.3\r\n",
    "two lines": "Connection: keep-alive\r\nConnection:  UPGRADE \r\nUpgrade: h2c\r\nUpgrade: foo/2\r\n",
    "none": "Connection: keep-alive, x-upgrade\r\nUpgrade: h2c\r\n",
    "no option": "Upgrade: h2c\r\n",
}


def request(target, offer, body=b"", method="POST", chunked=False):
    framing = "Transfer-Encoding: chunked\r\n" if chunked else f"Content-Length: {len(body)}\r\n"
    if chunked:
        body = b"%x;x=y\r\n" % len(body) + body + b"\r\n0\r\nTrailer: x\r\n\r\n"
    elif method == "GET":
        framing = ""
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{offer}{framing}\r\n"
    return head.encode() + body


def read_answers(sock, count):
    """So many answers, each with a Content-Length."""
    found, buffer = [], b""
    while len(found) < count:
        head, end, rest = buffer.partition(b"\r\n\r\n")
        length = int((re.search(rb"(?i)content-length: (\d+)", head) or [0, 0])[1])
        if end and len(rest) >= length:
            found.append((int(head[9:12]), rest[:length]))
            buffer = rest[length:]
            continue
        piece = sock.recv(65536)
        assert piece, (found, buffer)
        buffer += piece
    assert buffer == b""
    return found


@pytest.mark.parametrize("offer", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_requests_after_an_offer_are_answered(gateway, model, offer, chunked):
    body = json.dumps({"model": model.name, "input": "x" * 100}).encode()
    with wire.dial(gateway.address) as sock:
        for _ in range(3):
            sock.sendall(request("/v1/async/inference", offer, body, chunked=chunked))
            (answer,) = read_answers(sock, 1)
            assert answer[0] == 202
            sock.sendall(request("/livez", offer, method="GET"))
            assert read_answers(sock, 1)[0][0] == 200
    until(lambda: len(model.calls) == 3, "three jobs")


@pytest.mark.parametrize("offer", UPGRADES.values(), ids=UPGRADES)
def test_requests_that_come_with_an_offer_are_answered(gateway, model, offer):
    body = json.dumps({"model": model.name, "input": 1}).encode()
    pipelined = b"".join(
        [
            request("/livez", offer, method="GET"),
            request("/v1/async/inference", offer, body),
            request("/v1/async/inference", offer, body, chunked=True),
            request("/livez", "", method="GET"),
            request("/v1/inference", offer, body),
        ]
    )
    for cut in (len(pipelined), 1, 7, 300):
        with wire.dial(gateway.address) as sock:
            for start in range(0, len(pipelined), cut):
                sock.sendall(pipelined[start : start + cut])
            assert [status for status, _ in read_answers(sock, 5)] == [200, 202, 202, 200, 200], cut


def test_a_half_close_after_an_offer_is_answered_in_full(gateway, model):
    offer = UPGRADES["h2c"]
    with wire.dial(gateway.address) as sock:
        sock.sendall(request("/livez", offer, method="GET") * 3)
        sock.shutdown(1)
        assert wire.read_to_close(sock).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("offer", ["Connection: Upgrade \t\r\nUpgrade: h2c\r\n", "Connection: upgrade;x\r\nUpgrade: h2c\r\n",
                                   'Connection: "upgrade"\r\nUpgrade: h2c\r\n', "Connection: upgrade\r\nUpgrade:\r\n"])
def test_an_offer_written_oddly_costs_no_more_than_the_connection(gateway, offer):
    received = gateway.raw(request("/livez", offer + "Connection: close\r\n", method="GET"))
    assert received.startswith(b"HTTP/1.1 200 OK\r\n"), received
    with wire.dial(gateway.address) as sock:
        sock.sendall(request("/livez", offer, method="GET"))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        sock.sendall(request("/livez", offer, method="GET"))
        rest = wire.read_to_close(sock)
        assert b"408" not in rest, rest


def test_nothing_is_read_after_a_last_request(gateway, model):
    body = json.dumps({"model": model.name}).encode()
    last = request("/livez", "Connection: close, upgrade\r\nUpgrade: h2c\r\n", method="GET")
    received = gateway.raw(last + request("/v1/async/inference", "", body))
    assert received.count(b"HTTP/1.1 ") == 1 and received.startswith(b"HTTP/1.1 200 OK")
    assert not model.calls


def test_what_follows_an_offer_is_held_to_the_same_rules(gateway):
    offer = UPGRADES["websocket"]
    received = gateway.raw(request("/livez", offer, method="GET") + b"\x81\x05hello\r\n\r\n")
    statuses = re.findall(rb"HTTP/1\.1 (\d{3})", received)
    assert statuses[0] == b"200" and statuses[1:] in ([], [b"400"]), received
