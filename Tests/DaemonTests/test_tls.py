"""TLS on listeners: what clients agree on with it, reloads of the certificate, and that HTTP over it is HTTP."""

import contextlib
import itertools
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

import answers
import wire
from certificates import Authority
from gateway import BINARY, JSON_TYPE, environment
from keyfile import USUAL, make_key
from ports import free_port
from service import ServiceManager
from waiting import fair, until

HOST = b"Host: localhost\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
REFUSED = "the new configuration is refused"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def make(make_gateway, authority, tmp_path):
    """Starts gateways with a TLS listener beside the plain one; `each.secure` is its address."""

    def start(models=None, pair=None, tls=None, started=True, **settings):
        each = make_gateway({"ocr": {}} if models is None else models, started=False, **settings)
        each.pair = [tmp_path / f"{each.port}.{name}" for name in ("pem", "key")]
        put(each, pair or authority.sign())
        port = free_port()
        each.settings |= {
            "listen": [f"127.0.0.1:{each.port}", f"tls://127.0.0.1:{port}"],
            "tls": {"certificate": str(each.pair[0]), "key": str(each.pair[1])} | (tls or {}),
        }
        each.tls_port = port
        each.secure = wire.Secure(("127.0.0.1", port), authority.client())
        return each.start() if started else each

    return start


def put(gateway, pair):
    """Puts a pair where the gateway reads it."""
    for source, target in zip((pair.certificate, pair.key), gateway.pair):
        shutil.copy(source, target)


def metric(gateway, name):
    text = wire.exchange(gateway.address, "GET", "/metrics").body.decode()
    return float(next(line for line in text.splitlines() if line.startswith(name + " ")).split()[1])


def said(gateway, text, count=1):
    until(lambda: gateway.log().count(text) >= count, f"{text!r} in the log:\n{gateway.log()[-2000:]}")


# What is agreed on


@pytest.fixture(scope="module")
def shared(request, authority, tmp_path_factory):
    """One gateway for the tests that change nothing of it."""
    from conftest import _close, _run

    pair, port = authority.sign(), free_port()
    each = _run(tmp_path_factory.mktemp("gateway"), {"ocr": {"url": "http://127.0.0.1:9/"}}, {
        "listen": [f"tls://127.0.0.1:{port}"], "limits": {"head_timeout": "1s"}, "log_level": "trace",
        "tls": {"certificate": str(pair.certificate), "key": str(pair.key)},
    })
    each.settings["listen"].insert(0, f"127.0.0.1:{each.port}")
    each.secure = wire.Secure(("127.0.0.1", port), authority.client())
    yield each.start()
    _close(each)


def agreed(gateway, **options):
    """The version and the protocol that a client agrees on that is made with `options`."""
    context = gateway.secure.context
    own = ssl.create_default_context()
    own.load_verify_locations(cadata="".join(map(ssl.DER_cert_to_PEM_cert, context.get_ca_certs(binary_form=True))))
    for name, value in options.items():
        value(own) if callable(value) else setattr(own, name, value)
    with wire.dial(wire.Secure(gateway.secure.address, own)) as sock:
        sock.sendall(LAST)
        assert wire.read_to_close(sock).startswith(b"HTTP/1.1 200 OK\r\n")
        return sock.version(), sock.selected_alpn_protocol(), sock.cipher()[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_tls_1_2_and_1_3_are_spoken(shared, version):
    found, _, cipher = agreed(shared, minimum_version=version, maximum_version=version)
    assert found == version.name.replace("_", ".")
    assert "ECDHE" in cipher or cipher.startswith("TLS_")


@pytest.mark.parametrize("version", ["tls1", "tls1_1"])
def test_older_versions_are_refused(shared, version):
    target = f"127.0.0.1:{shared.secure.address[1]}"
    done = subprocess.run(
        ["openssl", "s_client", "-connect", target, f"-{version}", "-cipher", "DEFAULT@SECLEVEL=0"],
        input=b"", capture_output=True, timeout=60,
    )
    assert done.returncode != 0
    assert b"protocol version" in done.stderr + done.stdout, done.stderr


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"])
def test_cipher_suites_without_forward_secrecy_or_with_cbc_are_refused(shared, cipher):
    target = f"127.0.0.1:{shared.secure.address[1]}"
    done = subprocess.run(
        ["openssl", "s_client", "-connect", target, "-tls1_2", "-cipher", cipher + ":@SECLEVEL=0"],
        input=b"", capture_output=True, timeout=60,
    )
    assert done.returncode != 0, done.stdout


@pytest.mark.parametrize("offered, chosen", [
    (["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), (["h2"], None),
])
def test_alpn_is_http_1_1_alone(shared, offered, chosen):
    assert agreed(shared, protocols=lambda context: context.set_alpn_protocols(offered))[1] == chosen


def test_curl_is_served_that_trusts_the_authority_and_no_other(shared, authority):
    command = ["curl", "-sS", f"https://localhost:{shared.secure.address[1]}/livez"]
    done = subprocess.run([*command, "--cacert", authority.pem], capture_output=True, timeout=60)
    assert json.loads(done.stdout)["status"] == "UP", done.stderr
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 60


def test_a_session_is_resumed(shared):
    first = wire.dial(shared.secure)
    first.sendall(LIVEZ)
    first.recv(4096)
    again = shared.secure.context.wrap_socket(
        socket.create_connection(shared.secure.address, 10), server_hostname="localhost", session=first.session)
    with first, again:
        assert again.session_reused
        again.sendall(LAST)
        assert b"200 OK" in wire.read_to_close(again)


# What is no TLS


@pytest.mark.parametrize("sent", [
    LIVEZ, b"\x16\x03\x01\x40\x00" + b"\x01" * 0x4000, b"\0" * 100_000, os.urandom(5000), b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x15\x03\x01\x00\x02\x02\x28",
], ids=["HTTP", "a broken hello", "zeros", "noise", "SSH", "an alert"])
def test_what_is_no_tls_is_closed_and_counted_without_a_line(shared, sent):
    before, lines = metric(shared, "inferq_tls_failed_handshakes_total"), len(shared.log().splitlines())
    with wire.dial(shared.secure.address, 20) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(sent)
        assert b"HTTP/" not in wire.read_to_close(sock)
    until(lambda: metric(shared, "inferq_tls_failed_handshakes_total") > before, "the count")
    for line in shared.log().splitlines()[lines:]:
        assert json.loads(line)["level"] in ("trace", "debug"), line
        assert "/Sources/" not in line


@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"], ids=["nothing", "a byte", "a beginning"])
def test_a_handshake_that_does_not_end_has_the_time_of_a_head(shared, sent):
    begun = time.monotonic()
    with wire.dial(shared.secure.address, 20) as sock:
        sock.sendall(sent)
        assert wire.read_to_close(sock) == b""
    taken = time.monotonic() - begun
    assert 0.9 < taken and (taken < 2.5 or taken < fair(2.5, begun))


def test_a_handshake_that_dribbles_has_the_time_of_a_head_in_all(shared):
    hello = hello_of(shared)
    begun = time.monotonic()
    with wire.dial(shared.secure.address, 20) as sock, contextlib.suppress(ConnectionError):
        for byte in hello:
            sock.sendall(bytes([byte]))
            time.sleep(0.05)
            assert time.monotonic() - begun < fair(3, begun)


def hello_of(gateway):
    """The first bytes of a client."""
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        gateway.secure.context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    return out.read()


def test_a_client_that_agrees_and_asks_nothing_has_408(shared):
    with wire.dial(shared.secure, 20) as sock:
        assert wire.read_to_close(sock).startswith(b"HTTP/1.1 408 ")


# HTTP is the same


def test_a_connection_is_kept_and_requests_may_follow_each_other_at_once(shared):
    with wire.dial(shared.secure) as sock:
        for _ in range(3):
            sock.sendall(LIVEZ)
            assert wire.read_answer(sock).status == 200
        sock.sendall(LIVEZ * 9 + LAST)
        assert wire.read_to_close(sock).count(b"HTTP/1.1 200 OK\r\n") == 10


def test_a_request_may_come_byte_by_byte(shared):
    with wire.dial(shared.secure) as sock:
        for byte in LAST[:40]:
            sock.sendall(bytes([byte]))
        sock.sendall(LAST[40:])
        assert wire.read_to_close(sock).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_large_body_comes_back_byte_for_byte(make, model_server):
    gateway = make()
    body = os.urandom(15 << 20)
    query = "/v1/async/inference?model=ocr"
    answer = wire.exchange(gateway.secure, "POST", query, body, {"Content-Type": "application/octet-stream"})
    assert answer.status == 202, answer
    job = answer.json()
    assert model_server.route("/ocr").wait_calls(1)[0].body == body
    assert wire.exchange(gateway.secure, "GET", job["urls"]["input"]).body == body


def test_events_are_streamed_as_they_come(make, model_server):
    gateway = make()
    model_server.route("/ocr").hold()
    job = wire.exchange(
        gateway.secure, "POST", "/v1/async/inference", json.dumps({"model": "ocr"}), JSON_TYPE).json()
    with wire.Stream(gateway.secure, job["urls"]["events"]) as stream:
        stream.events(2)
        model_server.route("/ocr").release()
        assert wire.parse(stream.to_end())[-1].status == "COMPLETED"


def test_a_page_at_the_https_origin_may_submit(make):
    gateway = make()
    port = gateway.tls_port
    fields = JSON_TYPE | {"Origin": f"https://localhost:{port}", "Host": f"localhost:{port}"}
    answer = wire.exchange(gateway.secure, "POST", "/v1/async/inference", json.dumps({"model": "ocr"}), fields)
    assert answer.status == 202
    fields["Origin"] = f"https://elsewhere:{port}"
    answer = wire.exchange(gateway.secure, "POST", "/v1/async/inference", json.dumps({"model": "ocr"}), fields)
    assert answer.json()["code"] == "forbidden_origin"


class Talk:
    """A client of TLS whose every step the test decides."""

    def __init__(self, secure):
        self.sock = wire.dial(secure.address, 20)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = secure.context.wrap_bio(self._in, self._out, server_hostname=secure.name)
        self._step(self._tls.do_handshake)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _step(self, action, *arguments):
        while True:
            try:
                return action(*arguments)
            except ssl.SSLWantReadError:
                self._put()
                data = self.sock.recv(65536)
                self._in.write(data) if data else self._in.write_eof()

    def _put(self):
        if data := self._out.read():
            self.sock.sendall(data)

    def send(self, data):
        self._tls.write(data)
        self._put()

    def say_close(self):
        """The alert that says that nothing comes after it."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._put()

    def to_end(self):
        """What comes until the end, and how that was: `closed` with the alert, `cut` without."""
        received = b""
        while True:
            try:
                piece = self._step(self._tls.read, 65536)
            except ssl.SSLZeroReturnError:
                return received, "closed"
            except (ssl.SSLError, ConnectionError):
                return received, "cut"
            if not piece:
                return received, "closed"
            received += piece


def test_the_last_answer_is_followed_by_the_alert(shared):
    with Talk(shared.secure) as talk:
        talk.send(LAST)
        received, end = talk.to_end()
        assert (received.count(b"200 OK"), end) == (1, "closed")


@pytest.mark.parametrize("closes", ["alert", "alert and FIN", "FIN"])
def test_who_closes_its_side_after_a_request_still_has_the_answer(make, model_server, closes):
    gateway = make()
    model_server.route("/ocr").hold()
    body = json.dumps({"model": "ocr"}).encode()
    with Talk(gateway.secure) as talk:
        # One that waits for its job would be given up: no one is there to hear of it.
        talk.send(
            b"POST /v1/async/inference HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body
        )
        if "alert" in closes:
            talk.say_close()
        if "FIN" in closes:
            talk.sock.shutdown(socket.SHUT_WR)
        received, _ = talk.to_end()
        assert received.startswith(b"HTTP/1.1 202 "), received


def test_an_idle_connection_that_closes_with_the_alert_is_closed(make):
    gateway = make()
    with Talk(gateway.secure) as talk:
        talk.send(LIVEZ)
        talk.say_close()
        received, _ = talk.to_end()
        assert b"200 OK" in received
    until(lambda: metric(gateway, "inferq_http_connections") == 1, "the end of the connection")


@pytest.mark.parametrize("closes", ["alert", "FIN", "reset"])
def test_a_hang_up_is_seen_by_a_stream(make, model_server, closes):
    gateway = make()
    model_server.route("/ocr").hold()
    job = gateway.submit("ocr")
    with Talk(gateway.secure) as talk:
        talk.send(b"GET " + job["urls"]["events"].encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        until(lambda: metric(gateway, "inferq_sse_streams") == 1, "the stream")
        if closes == "alert":
            talk.say_close()
        elif closes == "FIN":
            talk.sock.shutdown(socket.SHUT_WR)
        else:
            talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            talk.sock.close()
        until(lambda: metric(gateway, "inferq_sse_streams") == 0, "the end of the stream")


def test_a_client_of_http_1_0_is_not_told_that_a_broken_answer_is_whole(make, model_server):
    """Only the end of the connection tells it the end: with the alert, a part would be the whole."""
    gateway = make()
    cut = threading.Event()

    def broken(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n")
        exchange.wait_for(cut)
        exchange.reset()

    route = model_server.route("/predict")
    route.answer_with(broken)
    gateway.models["ocr"] |= {"max_attempts": 1, "paths": ["/predict"]}
    gateway.reload()
    said(gateway, "configuration reloaded")
    with Talk(gateway.secure) as talk:
        talk.send(b"POST /predict HTTP/1.0\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        route.wait_calls(1)
        threading.Timer(0.5, cut.set).start()
        received, end = talk.to_end()
        assert b"data: {}" in received and end == "cut", (received, end)


def test_too_many_connections_are_told_so(make):
    gateway = make(limits={"connections": 2})
    with contextlib.ExitStack() as kept:
        taken = []

        def take():
            """The one that has asked whether the gateway is ready may still be open on its side."""
            sock = wire.dial(gateway.secure)
            sock.sendall(LIVEZ)
            if wire.read_answer(sock).status == 200:
                taken.append(kept.enter_context(sock))
            else:
                sock.close()
            return len(taken) == 2

        until(take, "two connections")
        assert wire.exchange(gateway.secure, "GET", "/livez").status == 503
    until(lambda: wire.exchange(gateway.secure, "GET", "/livez").status == 200, "room")


def test_a_listener_that_does_not_read_is_cut_off(make, model_server):
    gateway = make(limits={"listener_timeout": "1s"})
    gateway.models["ocr"]["max_attempts"] = 1
    body = os.urandom(12 << 20)
    model_server.route("/ocr").answer_with(answers.streamed(body, threading.Event()))
    job = gateway.submit("ocr")
    gateway.wait_status(job, "RUNNING")
    target = job["urls"]["output"] + "?live=true"
    with wire.dial(gateway.secure) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert sock.recv(1)
        until(lambda: metric(gateway, "inferq_http_connections") == 1, "the end of the connection")
    with wire.Stream(gateway.secure, target) as stream:
        assert stream.until(lambda received: len(received) == len(body), 30) == body


# Certificates of clients


def test_clients_are_asked_for_no_certificate_without_client_ca(shared, authority):
    target = f"127.0.0.1:{shared.secure.address[1]}"
    done = subprocess.run(["openssl", "s_client", "-connect", target], input=b"", capture_output=True, timeout=60)
    assert b"No client certificate CA names sent" in done.stdout


def test_a_client_may_show_a_certificate_that_the_client_ca_has_signed(make, authority, stranger):
    signer = stranger
    gateway = make(tls={"client_ca": str(signer.pem)})

    def ask(pair=None, session=None):
        secure = wire.Secure(gateway.secure.address, authority.client(pair))
        sock = secure.context.wrap_socket(
            socket.create_connection(secure.address, 10), server_hostname="localhost", session=session)
        with sock:
            sock.sendall(LAST)
            answer = wire.read_to_close(sock)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            return sock

    assert ask() and ask(signer.sign("/CN=erp", "URI:spiffe://site/erp", usage="clientAuth"))
    for pair in (
        authority.sign("/CN=erp", "", usage="clientAuth"), signer.sign("/CN=erp", "", days=-1, usage="clientAuth"),
        signer.sign("/CN=erp", "", usage="serverAuth"),
    ):
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            ask(pair)
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.tls_port}"], input=b"", capture_output=True, timeout=60)
    assert b"CN = stranger" in done.stdout.partition(b"Acceptable client certificate CA names")[2]


def test_a_client_with_a_certificate_may_resume_its_session(make, authority, stranger):
    gateway = make(tls={"client_ca": str(stranger.pem)})
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        pair = stranger.sign("/CN=erp", "", usage="clientAuth")
        context = authority.client(pair, minimum_version=version, maximum_version=version)
        session = None
        for expected in (False, True):
            with context.wrap_socket(
                socket.create_connection(gateway.secure.address, 10), server_hostname="localhost", session=session
            ) as sock:
                sock.sendall(LIVEZ)
                assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
                assert sock.session_reused == expected
                session = sock.session


def test_a_certificate_stands_for_the_key_of_the_client_that_names_it(make, authority, stranger):
    """By its URI or its common name; a key that is sent beside it counts in its place, and without either it is 401."""
    site = "spiffe://site/erp"
    clients = {"erp": {"certificate": site}, "line-4": {"certificate": "press-4", "scopes": ["read"]}, "alice": {}}
    gateway = make(tls={"client_ca": str(stranger.pem)}, clients=clients)

    def asked(subject, names, method="GET", target="/v1/me", headers=None, body=None):
        pair = stranger.sign(subject, names, usage="clientAuth") if subject else None
        secure = wire.Secure(gateway.secure.address, authority.client(pair))
        return wire.exchange(secure, method, target, body, headers)

    me = asked("/CN=whoever", f"URI:{site}").json()
    assert (me["client"], me["scopes"]) == ("erp", USUAL) and me["key_id"] is None, me
    assert asked("/CN=press-4", "").json()["client"] == "line-4"
    submit = {"method": "POST", "target": "/v1/async/inference", "headers": JSON_TYPE, "body": b'{"model":"ocr"}'}
    made = asked("/CN=whoever", f"URI:{site}", **submit)
    assert made.status == 202 and made.json()["client"] == "erp"
    refused = asked("/CN=press-4", "", **submit)
    assert (refused.status, refused.json()["code"]) == (403, "scope_missing")
    assert asked("/CN=press-4", "", target=f"/v1/inference/{made.json()['id']}").status == 404
    # No one's certificate, and none at all.
    for subject in ("/CN=erp", "/CN=line-4", None):
        answer = asked(subject, "")
        assert (answer.status, answer.json()["code"]) == (401, "key_missing"), subject
    key = {"X-API-Key": gateway.keys["alice"]}
    assert asked("/CN=press-4", "", headers=key).json()["client"] == "alice"
    assert asked("/CN=press-4", "", headers={"X-API-Key": make_key()}).status == 401
    # Over the port without TLS no one shows a certificate.
    assert wire.exchange(gateway.address, "GET", "/v1/me").status == 401


def test_a_certificate_whose_client_is_removed_lets_nobody_in(make, authority, stranger, model_server):
    gateway = make(tls={"client_ca": str(stranger.pem)}, clients={"erp": {"certificate": "erp"}})
    pair = stranger.sign("/CN=erp", "", usage="clientAuth")
    secure = wire.Secure(gateway.secure.address, authority.client(pair))
    model_server.route("/ocr").hold()
    job = wire.exchange(secure, "POST", "/v1/async/inference", b'{"model":"ocr"}', JSON_TYPE).json()
    with wire.dial(secure) as sock:
        sock.sendall(f"GET /v1/async/notify/{job['event_id']} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        heard = b""
        while b'"status":"RUNNING"' not in heard:
            heard += sock.recv(1 << 16)
        gateway.keys.revoke("erp")
        gateway.reload_keys()
        begun = time.monotonic()
        sock.settimeout(10)
        with contextlib.suppress(OSError):
            while sock.recv(1 << 16):
                pass
        passed = time.monotonic() - begun
    assert passed < max(1.5, fair(1.5, begun)), f"the stream of a client that is gone ended after {passed:.1f} s"
    assert wire.exchange(secure, "GET", "/v1/me").status == 401
    model_server.route("/ocr").release()


# The files, at the start and at a reload


@pytest.mark.parametrize("spoil, sentence", [
    (lambda pem, key, other: pem.unlink(), "tls.certificate: there is no such file"),
    (lambda pem, key, other: key.unlink(), "tls.key: there is no such file"),
    (lambda pem, key, other: pem.write_text("nonsense"), "tls.certificate: the file holds no certificate in PEM"),
    (lambda pem, key, other: pem.write_bytes(pem.read_bytes()[:-40]), "tls.certificate: the file holds no certificate"),
    (lambda pem, key, other: key.write_text(""), "tls.key: the file holds no private key in PEM"),
    (lambda pem, key, other: shutil.copy(other.key, key), "tls.key: the key does not match the certificate"),
    (lambda pem, key, other: key.write_text(subprocess.run(
        ["openssl", "pkey", "-in", other.key, "-aes256", "-passout", "pass:x"], capture_output=True, text=True).stdout),
     "tls.key: the key is encrypted"),
    (lambda pem, key, other: (pem.unlink(), pem.mkdir()), "tls.certificate: is a folder, not a file"),
], ids=["no certificate", "no key", "nonsense", "cut off", "empty key", "another's key", "encrypted", "folder"])
def test_a_pair_that_cannot_be_used_ends_the_start_and_is_refused_at_a_reload(make, authority, spoil, sentence):
    gateway = make()
    gateway.errors_expected = True
    serial = serial_of(gateway)
    spoil(*gateway.pair, authority.sign())
    gateway.reload()
    said(gateway, REFUSED)
    assert sentence in gateway.log() and str(gateway.pair[0])[:-3] in gateway.log()
    assert serial_of(gateway) == serial, "the old one stays"
    gateway.stop()
    done = subprocess.run(
        [BINARY, "serve", "--config", gateway.config_file], capture_output=True, text=True, timeout=60, env=environment())
    assert done.returncode == 78 and sentence in done.stderr, done.stderr
    done = subprocess.run(
        [BINARY, "check", "--config", gateway.config_file], capture_output=True, text=True, timeout=60, env=environment())
    assert done.returncode == 78 and sentence in done.stderr, done.stderr


@pytest.mark.parametrize("tls, sentence", [
    ({}, "tls.certificate: missing, and listen has tls://127.0.0.1:"),
    ({"certificate": "/x"}, "tls.key: missing, and tls.certificate is set"),
    ({"key": "/x"}, "tls.certificate: missing, and tls.key is set"),
    ({"certificate": "cert.pem", "key": "/x"}, "tls.certificate: \"cert.pem\" is not the absolute path of a file"),
    ({"min_version": "1.1"}, "tls.min_version: expected one of a few words"),
], ids=["nothing", "no key", "no certificate", "relative", "old version"])
def test_settings_that_do_not_go_together_end_the_start(make, tls, sentence):
    gateway = make(started=False)
    gateway.settings["tls"] = tls
    gateway.write_config()
    done = subprocess.run(
        [BINARY, "serve", "--config", gateway.config_file], capture_output=True, text=True, timeout=60, env=environment())
    assert done.returncode == 78 and sentence in done.stderr, done.stderr


def test_a_certificate_that_has_ended_is_used_with_a_warning(make, authority):
    gateway = make(pair=authority.sign(days=-1))
    until(lambda: any("the TLS certificate expired on" in line for line in gateway.log_lines("warning")), "the warning")
    assert metric(gateway, "inferq_tls_certificate_expiry_seconds") < 0
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        wire.exchange(gateway.secure, "GET", "/livez")
    put(gateway, authority.sign())
    gateway.reload()
    until(lambda: metric(gateway, "inferq_tls_certificate_expiry_seconds") > 0, "the new certificate")
    assert wire.exchange(gateway.secure, "GET", "/livez").status == 200


def serial_of(gateway):
    """Of the certificate that a new connection is shown."""
    with wire.dial(gateway.secure) as sock:
        return int(sock.getpeercert()["serialNumber"], 16)


def test_a_key_of_rsa_and_a_chain_with_one_between_are_shown(make, authority, tmp_path):
    gateway = make(pair=authority.sign(key="rsa:2048"))
    gateway.pair[0].write_text(gateway.pair[0].read_text() + authority.pem.read_text())
    gateway.reload()
    said(gateway, "configuration reloaded")
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.tls_port}", "-showcerts"],
        input=b"", capture_output=True, timeout=60,
    )
    assert done.stdout.count(b"BEGIN CERTIFICATE") == 2


def test_min_version_1_3_is_taken_over_at_a_reload(make, authority):
    gateway = make()
    old = wire.Secure(gateway.secure.address, authority.client(maximum_version=ssl.TLSVersion.TLSv1_2))
    assert wire.exchange(old, "GET", "/livez").status == 200
    gateway.settings["tls"]["min_version"] = "1.3"
    gateway.reload()
    said(gateway, "configuration reloaded")
    with pytest.raises(ssl.SSLError):
        wire.exchange(old, "GET", "/livez")
    assert wire.exchange(gateway.secure, "GET", "/livez").status == 200


def test_a_certificate_is_changed_under_load_without_a_failed_handshake(make, authority):
    gateway = make()
    failures, serials, over = [], [], threading.Event()

    def client():
        secure = wire.Secure(gateway.secure.address, authority.client())
        while not over.is_set():
            try:
                with wire.dial(secure, 30) as sock:
                    at, serial = time.monotonic(), int(sock.getpeercert()["serialNumber"], 16)
                    sock.sendall(LAST)
                    if not wire.read_to_close(sock).startswith(b"HTTP/1.1 200 OK\r\n"):
                        failures.append("no answer")
                    serials.append((at, serial))
            except OSError as error:
                failures.append(repr(error))

    clients = [threading.Thread(target=client) for _ in range(64)]
    for thread in clients:
        thread.start()
    late = []
    try:
        for _ in range(5):
            count = len(serials)
            until(lambda: len(serials) > count + 64, "some connections", 30)
            pair = authority.sign()
            # One file after the other: a reload in between would be refused.
            put(gateway, pair)
            changed = time.monotonic()
            gateway.reload()
            until(lambda: serial_of(gateway) == pair.serial, "the new certificate", 5)
            late.append((time.monotonic() - changed, fair(1, changed)))
            until(lambda: any(serial == pair.serial for _, serial in serials[-64:]), "clients that see it", 30)
    finally:
        over.set()
        for thread in clients:
            thread.join()
    assert not failures, (failures[:3], len(failures), len(serials))
    assert all(taken < limit for taken, limit in late), late


def test_streams_go_on_over_a_change_of_the_certificate(make, authority, model_server):
    gateway = make()
    model_server.route("/ocr").hold()
    job = gateway.submit("ocr")
    with wire.Stream(gateway.secure, job["urls"]["events"]) as stream:
        stream.events(2)
        put(gateway, authority.sign())
        gateway.reload()
        said(gateway, "configuration reloaded")
        model_server.route("/ocr").release()
        assert wire.parse(stream.to_end())[-1].status == "COMPLETED"


def test_a_listener_keeps_its_certificate_when_the_settings_lose_it(make):
    gateway = make()
    serial = serial_of(gateway)
    del gateway.settings["tls"]
    gateway.settings["listen"] = [f"127.0.0.1:{gateway.port}"]
    gateway.reload()
    said(gateway, "take effect only at the next start")
    assert serial_of(gateway) == serial


# Stops


def test_a_stop_ends_streams_well_and_is_not_held_up_by_handshakes(make, model_server):
    gateway = make()
    route = model_server.route("/ocr")
    route.hold()
    jobs = [gateway.submit("ocr") for _ in range(3)]
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(wire.Stream(gateway.secure, job["urls"]["events"])) for job in jobs]
        for stream in streams:
            stream.events(1)
        # Handshakes that never end, and a connection that is kept by a client that does not look at it.
        for beginning in (b"", b"\x16", hello_of(gateway)):
            sock = stack.enter_context(wire.dial(gateway.secure.address))
            sock.sendall(beginning)
        idle = stack.enter_context(wire.dial(gateway.secure))
        idle.sendall(LIVEZ)
        assert wire.read_answer(idle).status == 200
        route.release()
        begun = time.monotonic()
        gateway.terminate()
        for stream in streams:
            stream.to_end()     # an unclean end would be an exception
        gateway.wait_stopped(8)
        taken = time.monotonic() - begun
        assert taken < 4 or taken < fair(4, begun), taken


# Sockets from systemd


@pytest.fixture
def manager(tmp_path):
    each = ServiceManager(tmp_path)
    yield each
    each.close()


def test_a_socket_that_systemd_names_tls_speaks_it(manager, authority):
    pair = authority.sign()
    manager.write_config(f'[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"')
    manager.start("inferq-local.socket:tls")
    manager.wait_for("READY=1")
    secure = wire.Secure(manager.address, authority.client())
    assert wire.exchange(secure, "GET", "/readyz").status == 200
    assert wire.exchange(manager.local_path, "GET", "/readyz").status == 200
    manager.stop()


def test_without_a_certificate_the_others_say_why_and_tls_begins_with_it(manager, authority):
    pair = authority.sign()
    manager.write_config()
    manager.start("inferq-local.socket:tls")
    manager.wait_for("STATUS=degraded: .*tls.certificate: missing, and systemd passes a socket that is named tls")
    secure = wire.Secure(manager.address, authority.client())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        wire.dial(secure)
    assert wire.exchange(manager.local_path, "GET", "/readyz").status == 503
    # Degraded for another reason, it says so over TLS.
    text = f'[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"'
    manager.write_config(text, store=manager.folder / "nowhere" / "x" / "inferq.db")
    (manager.folder / "nowhere").write_text("")
    manager.reload()
    manager.wait_for("STATUS=degraded: .*nowhere")
    answer = wire.exchange(secure, "GET", "/readyz")
    assert answer.status == 503 and answer.json()["code"] == "degraded"
    manager.write_config(text)
    manager.reload()
    until(lambda: wire.exchange(secure, "GET", "/readyz").status == 200, "the gateway itself")
    manager.stop()
