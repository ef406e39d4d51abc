"""`[limits]`: deadlines, numbers of connections and bodies, open files, and clients that vanish."""

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest

import answers
import wire
from contract import KIB, SUBMIT
from waiting import fair, until

HOST = b"Host: 127.0.0.1\r\n"
LIVE = b"GET /livez HTTP/1.1\r\n" + HOST


def is_answered(gateway):
    try:
        return gateway.get("/readyz").status == 200
    except OSError:
        return False


def drip(sock, data, every, seconds):
    """Sends one byte of `data`, repeated, every `every` seconds; returns what came back and when it was over."""
    began = time.monotonic()
    sock.settimeout(every)
    received, at = b"", 0
    while time.monotonic() - began < seconds:
        try:
            sock.sendall(data[at % len(data) :][:1] if data else b"")
            at += 1
        except OSError:
            pass
        try:
            piece = sock.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            break
        if not piece:
            break
        received += piece
    return received, time.monotonic() - began


class Drips(threading.Thread):
    """One dripping client beside others."""

    def __init__(self, gateway, first, data, every, seconds):
        super().__init__(daemon=True)
        self.sock = wire.dial(gateway.address)
        self.first, self.data, self.every, self.seconds = first, data, every, seconds
        self.start()

    def run(self):
        with self.sock:
            self.sock.sendall(self.first)
            self.received, self.lasted = drip(self.sock, self.data, self.every, self.seconds)


# Deadlines


def test_a_head_has_one_deadline_that_no_byte_extends(make_gateway):
    gateway = make_gateway({"ocr": {}}, limits={"head_timeout": "2s", "idle_timeout": "3s"})
    with wire.dial(gateway.address) as kept:
        kept.sendall(LIVE + b"\r\n")
        assert wire.read_answer(kept).status == 200
        clients = {
            "silent": Drips(gateway, b"", b"", 0.2, 10),
            "byte by byte": Drips(gateway, b"GET /livez HTTP/1.1\r\nX-A: ", b"a", 0.2, 10),
            "field by field": Drips(gateway, LIVE, b"X-A: 1\r\n", 0.05, 10),
            "empty lines": Drips(gateway, b"", b"\r\n", 0.2, 10),
        }
        began = time.monotonic()
        received, _ = drip(kept, b"GET /livez HTTP/1.1\r\nX-A: " + b"a" * 1000, 0.2, 10)
        later = time.monotonic() - began
        assert is_answered(gateway)
    for name, client in clients.items():
        client.join(20)
        assert 1.5 < client.lasted < fair(6, began), (name, client.lasted, client.received)
        assert client.received[:12] in (b"", b"HTTP/1.1 408"), (name, client.received)
    assert clients["byte by byte"].received.startswith(b"HTTP/1.1 408")
    assert 1.5 < later < fair(6, began) and received.startswith(b"HTTP/1.1 408"), (later, received)


def test_a_connection_without_a_request_is_closed_after_the_idle_time(make_gateway):
    gateway = make_gateway({"ocr": {}}, limits={"head_timeout": "1s", "idle_timeout": "1s"})
    with wire.dial(gateway.address) as sock:
        sock.sendall(LIVE + b"\r\n")
        assert wire.read_answer(sock).status == 200
        began = time.monotonic()
        assert sock.recv(1) == b"", "closed without a word"
        assert 0.5 < time.monotonic() - began < fair(5, began)


def test_bodies_below_the_rate_are_cut_off_and_faster_ones_are_not(make_gateway, model_server):
    """Ten seconds are free; then every second must have brought 1 KiB on average."""
    gateway = make_gateway({"ocr": {}}, limits={"body_min_rate": "1KiB"})
    model_server.route("/ocr").answer_with(answers.ok())
    job = gateway.submit("ocr", delay="1h")
    json_head = b"POST " + SUBMIT.encode() + b" HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    text_head = b"POST " + SUBMIT.encode() + b"?model=ocr HTTP/1.1\r\n" + HOST + b"Content-Type: text/plain\r\n"
    length = b"Content-Length: 1000000\r\n\r\n"
    stream = b"GET " + job["urls"]["events"].encode() + b" HTTP/1.1\r\n" + HOST + length
    refused = b"POST /v1/nothing HTTP/1.1\r\n" + HOST + length
    slow = {
        "json": Drips(gateway, json_head + length, b"{", 0.3, 30),
        "bytes": Drips(gateway, text_head + length, b"x", 0.3, 30),
        "chunks": Drips(gateway, text_head + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.1, 30),
        "silence": Drips(gateway, text_head + length, b"", 0.3, 30),
        "a stream with a body that never comes": Drips(gateway, stream, b"", 0.3, 30),
        "after an early answer": Drips(gateway, refused, b"x", 0.3, 30),
    }
    size = 30_000
    with wire.dial(gateway.address) as fast:
        fast.sendall(text_head + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(15):
            time.sleep(1)
            fast.sendall(bytes(size // 15))
        assert wire.read_answer(fast, "POST").status == 202
    for name, client in slow.items():
        client.join(40)
        assert 9 < client.lasted < 20, (name, client.lasted, client.received[-200:])
    for name in ("json", "bytes", "chunks", "silence"):
        assert slow[name].received.startswith(b"HTTP/1.1 408"), (name, slow[name].received)
    cut = slow["a stream with a body that never comes"].received
    assert cut.count(b"HTTP/1.1 ") == 1 and cut.startswith(b"HTTP/1.1 200"), "no second head within a stream"
    assert slow["after an early answer"].received.count(b"HTTP/1.1 ") == 1
    assert len(gateway.get("/v1/inference").json()["results"]) == 2, "the first job, and the fast one"


def test_a_client_that_does_not_read_a_large_answer_is_cut_off(make_gateway, model_server):
    """The kernel gives up when its window stays shut (TCP_USER_TIMEOUT); here after 1 + 3 seconds."""
    gateway = make_gateway({"ocr": {}}, limits={"keepalive": "1s"})
    model_server.route("/ocr").answer_with(answers.ok(bytes(16 << 20), "application/octet-stream"))
    job = gateway.submit("ocr")
    gateway.ended(job, timeout=30)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(gateway.address)
    with sock:
        port = sock.getsockname()[1]
        sock.sendall(b"GET " + job["urls"]["output"].encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        until(lambda: sock.recv(1, socket.MSG_PEEK), "the answer begins")
        assert descriptors_to(gateway, port), "the connection is there"
        until(lambda: not descriptors_to(gateway, port), "the gateway has closed it", 45, 0.2)
    assert is_answered(gateway)


def listen_locally(gateway):
    """Has a gateway that is not started yet listen on a Unix socket as well: its path. The kernel takes 208 KiB for the
    reader of one, and megabytes on loopback."""
    path = gateway.folder / "own.sock"
    gateway.settings["listen"] = [f"127.0.0.1:{gateway.port}", f"unix:{path}"]
    return path


@pytest.mark.parametrize("line, head", [
    ("HTTP/1.0", b""), ("HTTP/1.1", b"Connection: close\r\n"), ("HTTP/1.1", b""),
], ids=["HTTP/1.0", "close", "half closed"])
def test_a_client_that_pauses_gets_the_last_answer_whole(make_gateway, model_server, line, head):
    """The connection ends with this answer, most of which waits in the gateway for longer than a second."""
    gateway = make_gateway({"ocr": {}}, started=False)
    path = listen_locally(gateway)
    gateway.start()
    output = b'{"text":"' + b"x" * (900 * KIB) + b'"}'
    model_server.route("/ocr").answer_with(answers.ok(output))
    job = gateway.ended(gateway.submit("ocr"))
    with wire.dial(path) as sock:
        sock.sendall(f"GET {job['urls']['self']} {line}\r\n".encode() + HOST + head + b"\r\n")
        if not head and line == "HTTP/1.1":
            sock.shutdown(socket.SHUT_WR)
        received, began = sock.recv(512), time.monotonic()
        until(lambda: time.monotonic() - began > 2.5, "a pause")
        received += wire.read_to_close(sock)
    assert output in received, f"{len(received)} bytes, and then the end"


# Numbers


def test_503_past_the_connections_with_listeners_among_them(make_gateway, model_server):
    gateway = make_gateway({"ocr": {}}, limits={"connections": 8})
    route = model_server.route("/ocr")
    route.hold()
    job = gateway.submit("ocr")
    listeners = []

    def listen():
        try:
            stream = gateway.listen(job)
        except OSError:
            return False
        if stream.status == 200:
            listeners.append(stream)
        else:
            assert stream.status == 503 and int(stream.headers["Retry-After"]) >= 1
            stream.__exit__()
        return stream.status == 503

    until(listen, "a listener too many")
    assert 6 <= len(listeners) <= 8
    for target in (job["urls"]["self"], "/livez"):
        answer = gateway.get(target)
        problem_without_instance(answer, 503)
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.headers["Connection"] == "close"
    until(lambda: "connections are refused" in gateway.log(), "the log says so")
    listeners.pop().__exit__()
    until(lambda: is_answered(gateway), "a place that was given up is taken")
    route.release()
    for stream in listeners:
        assert wire.parse(stream.to_end())[-1].status == "COMPLETED", "those that were there are not touched"
        stream.__exit__()
    until(lambda: is_answered(gateway), "all is as before")


def problem_without_instance(answer, status):
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code"} <= set(answer.json())


def third_is_refused(gateway, target, content_type, body, end):
    """The 503 of a third body beside two that wait for their last bytes, each of which gets its 202 then.

    The third may come before one of the two, which is refused in its place: then all of it is done again.
    """
    head = f"POST {target} HTTP/1.1\r\n".encode() + HOST + f"Content-Type: {content_type}\r\n".encode()

    def attempt():
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(wire.dial(gateway.address)) for _ in range(2)]
            for sock in waiting:
                sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body + end) + body)
            third = gateway.request("POST", target, body + end, {"Content-Type": content_type})
            assert gateway.post(SUBMIT, {"model": "ocr"}).status == 202, "a small body always fits"
            statuses = []
            for sock in waiting:
                with contextlib.suppress(OSError):      # refused already
                    sock.sendall(end)
                statuses.append(wire.read_answer(sock, "POST").status)
        assert set(statuses) <= {202, 503}
        return third if third.status == 503 and statuses == [202, 202] else None

    return until(attempt, "a body too many", 30)


@pytest.mark.parametrize("target, content_type, body, end, limit", [
    (SUBMIT, "application/json", b'{"model":"ocr","input":"' + b"x" * (900 * KIB), b'"}', 1024 * KIB),
    # Over 64 KiB it would go to a file as it comes.
    (SUBMIT + "?model=ocr", "image/png", b"x" * (57 * KIB), b"x", 64 * KIB),
], ids=["JSON", "other"])
def test_503_when_too_many_bodies_are_in_flight(make_gateway, target, content_type, body, end, limit):
    gateway = make_gateway({"ocr": {}}, max_body=limit, limits={"bodies_in_flight": 2 * limit})
    answer = third_is_refused(gateway, target, content_type, body, end)
    problem_without_instance(answer, 503)
    assert int(answer.headers["Retry-After"]) >= 1

    def whole():
        return gateway.request("POST", target, body + end, {"Content-Type": content_type}).status

    assert whole() == 202, "what they held is free again"
    # Clients that go away in the middle give back what they held, too.
    head = f"POST {target} HTTP/1.1\r\n".encode() + HOST + f"Content-Type: {content_type}\r\n".encode()
    for _ in range(8):
        with wire.dial(gateway.address) as sock:
            sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body + end) + body)
    until(lambda: whole() == 202, "nothing is held by those that went")


def test_an_answer_that_is_not_read_does_not_hold_up_the_stop(make_gateway, model_server):
    gateway = make_gateway({"ocr": {}}, started=False)
    path = listen_locally(gateway)
    gateway.start()
    model_server.route("/ocr").answer_with(answers.ok(bytes(900 * KIB), "application/octet-stream"))
    job = gateway.ended(gateway.submit("ocr"))
    with wire.dial(path) as sock:
        sock.sendall(f"GET {job['urls']['output']} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        assert sock.recv(512)
        began = time.monotonic()
        gateway.terminate()
        gateway.wait_stopped()
        assert time.monotonic() - began < fair(12, began)


def test_a_body_that_does_not_come_does_not_hold_up_the_stop(make_gateway):
    gateway = make_gateway({"ocr": {}})
    head = b"POST " + SUBMIT.encode() + b" HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    with wire.dial(gateway.address, 30) as sock:
        sock.sendall(head + b"Content-Length: 1000000\r\n\r\n" + b" " * 900_000)
        until(lambda: descriptors_to(gateway, sock.getsockname()[1]), "the connection is accepted")
        began = time.monotonic()
        gateway.terminate()
        assert wire.read_to_close(sock).startswith(b"HTTP/1.1 408")
        gateway.wait_stopped()
        assert time.monotonic() - began < fair(12, began)


# Open files


@pytest.fixture
def few_files(make_gateway):
    """Makes a gateway that may have 256 open files."""
    if shutil.which("prlimit") is None:
        pytest.skip("prlimit (util-linux) is not installed")

    def make(**settings):
        gateway = make_gateway({"ocr": {}}, started=False, **settings)
        gateway.launcher = ["prlimit", "--nofile=256:256"]
        return gateway.start()

    return make


def dial_all(gateway, count):
    """Connections, as many as come about: the gateway may close some of them at once."""
    socks = []
    for _ in range(count):
        try:
            socks.append(wire.dial(gateway.address))
        except OSError:
            pass
    return socks


def flood(gateway, model_server, first):
    """400 connections that send `first` and then nothing; what goes on meanwhile, and when they have timed out."""
    route = model_server.route("/ocr")
    calls = len(route.calls)
    route.hold()
    job = gateway.submit("ocr")
    route.wait_calls(calls + 1)
    queued = gateway.submit("ocr")
    with gateway.listen(job) as listener:
        socks = dial_all(gateway, 400)
        try:
            for sock in socks:
                try:
                    sock.sendall(first)
                except OSError:
                    pass
            until(lambda: len(descriptors(gateway)) < 250, "some room is left", 10)
            route.release()
            assert wire.parse(listener.to_end(20))[-1].status == "COMPLETED", "what was there is served to its end"
            until(lambda: len(route.calls) == calls + 2, "there is room for calls of the model server")
            # The clients are still there: the gateway has closed them.
            until(lambda: is_answered(gateway), "others are answered once the idle ones have timed out", 30, 0.1)
        finally:
            for sock in socks:
                sock.close()
    assert gateway.ended(queued)["status"] == "COMPLETED"


def test_400_silent_connections_at_256_open_files(few_files, model_server):
    gateway = few_files(limits={"head_timeout": "3s"})
    until(lambda: "the limit of open files lowers limits.connections" in gateway.log(), "a line that says so")
    for _ in range(2):
        flood(gateway, model_server, b"")
    assert gateway.is_running


def test_400_kept_connections_at_256_open_files(few_files, model_server):
    gateway = few_files(limits={"head_timeout": "3s", "idle_timeout": "3s"})
    flood(gateway, model_server, LIVE + b"\r\n")
    # Those that go away by themselves leave their places at once.
    socks = dial_all(gateway, 400)
    for sock in socks:
        sock.close()
    until(lambda: is_answered(gateway), "others are answered when they have gone", 10)


def test_a_flood_leaves_open_files_to_the_gateway_itself(few_files):
    """Without one, libdispatch cannot look at its threads, and ends the process with a trap."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    gateway = few_files()
    over, socks, counts = threading.Event(), [], []

    def connect():
        for _ in range(400):
            with contextlib.suppress(OSError):
                socks.append(sock := socket.socket())
                sock.setblocking(False)
                sock.connect(gateway.address)

    def look():
        while not over.wait(0.002):
            counts.append(len(descriptors(gateway)))

    watch, clients = threading.Thread(target=look), [threading.Thread(target=connect) for _ in range(6)]
    for thread in (watch, *clients):
        thread.start()
    try:
        for thread in clients:
            thread.join()
        until(lambda: "connections are refused" in gateway.log(), "as many as may be")
    finally:
        over.set()
        watch.join()
        for sock in socks:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert max(counts) < 252, max(counts)
    until(lambda: is_answered(gateway), "others are answered when they have gone", 10)


def test_400_listeners_at_256_open_files(few_files, model_server):
    gateway = few_files()
    route = model_server.route("/ocr")
    route.hold()
    job = gateway.submit("ocr")
    route.wait_calls(1)
    request = b"GET " + job["urls"]["events"].encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n"
    socks = dial_all(gateway, 400)
    answered = {b"200": [], b"503": [], b"": []}
    for sock in socks:
        try:
            sock.sendall(request)
            answered[sock.recv(65536)[9:12]].append(sock)
        except OSError:
            answered[b""].append(sock)
    assert len(answered[b"200"]) >= 128, "at least half of the files serve clients"
    assert answered[b"503"], "some were told"
    route.release()
    for sock in answered[b"200"]:
        received = b""
        while b'"status":"COMPLETED"' not in received:
            piece = sock.recv(65536)
            assert piece, received[-300:]
            received += piece
    for sock in socks:
        sock.close()
    until(lambda: is_answered(gateway), "others are answered when they have gone", 10)


def descriptors(gateway):
    return os.listdir(f"/proc/{gateway.process.pid}/fd")


def descriptors_to(gateway, port):
    """Connections that the gateway has with this port of ours, as the kernel tells them."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    mine, theirs = f":{gateway.port:04X}", f":{port:04X}"
    inodes = {row[9] for row in rows if row[1].endswith(mine) and row[2].endswith(theirs)}
    held = set()
    for name in descriptors(gateway):
        try:
            held.add(os.readlink(f"/proc/{gateway.process.pid}/fd/{name}"))
        except FileNotFoundError:
            pass
    return {inode for inode in inodes if f"socket:[{inode}]" in held}


# A peer that vanishes


@pytest.fixture
def far_host(tmp_path):
    """A network namespace behind a link that can be cut: its name, our address on the link, and the link's far end."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("a network namespace needs root and iproute2")
    name = f"inferq{os.getpid()}"
    link, subnet = f"iq{os.getpid() % 100000}", os.getpid() % 250

    def ip(*arguments, check=True):
        ran = subprocess.run(["ip", *arguments], capture_output=True, text=True)
        assert not check or ran.returncode == 0, (arguments, ran.stderr)
        return ran.returncode == 0

    if not ip("netns", "add", name, check=False):
        pytest.skip("network namespaces cannot be made here")
    try:
        if not ip("link", "add", link, "type", "veth", "peer", "name", "far", "netns", name, check=False):
            pytest.skip("links cannot be made here")
        ip("address", "add", f"10.213.{subnet}.1/30", "dev", link)
        ip("link", "set", link, "up")
        ip("-n", name, "address", "add", f"10.213.{subnet}.2/30", "dev", "far")
        ip("-n", name, "link", "set", "far", "up")
        yield name, f"10.213.{subnet}.1", lambda: ip("-n", name, "link", "set", "far", "down")
    finally:
        ip("link", "delete", link, check=False)
        ip("netns", "delete", name, check=False)


LISTENER = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
sock.sendall(f"GET {sys.argv[3]} HTTP/1.1\\r\\nHost: {sys.argv[1]}\\r\\n\\r\\n".encode())
received = b""
while b"RUNNING" not in received:
    received += sock.recv(65536)
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("heartbeat", ["300ms", "10m"], ids=["while data waits for it", "in silence"])
def test_a_listener_that_vanishes_without_a_word_is_found(make_gateway, model_server, far_host, heartbeat):
    """With `keepalive` at 2 s after 2 + 3 x 1 s, here; with the default of 15 s within 45 s of the last byte."""
    name, address, cut = far_host
    gateway = make_gateway({"ocr": {}}, started=False, heartbeat=heartbeat, limits={"keepalive": "2s"})
    gateway.settings["listen"] = [f"127.0.0.1:{gateway.port}", f"{address}:{gateway.port}"]
    gateway.settings["access"] = {"open_network": True}
    gateway.start()
    route = model_server.route("/ocr")
    route.hold()
    job = gateway.submit("ocr")
    route.wait_calls(1)
    command = ["ip", "netns", "exec", name, sys.executable, "-c", LISTENER, address, str(gateway.port)]
    with subprocess.Popen(
        [*command, job["urls"]["events"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as listener:
        try:
            port = int(listener.stdout.readline())
            assert descriptors_to(gateway, port)
            cut()
            began = time.monotonic()
            until(lambda: not descriptors_to(gateway, port), "the gateway has given the listener up", 30, 0.1)
            assert time.monotonic() - began > 1, "it was not the cut itself"
            assert is_answered(gateway)
            route.release()
            assert gateway.ended(job)["status"] == "COMPLETED"
        finally:
            listener.kill()
