"""The model server of examples/ocr by itself, as a gateway would call it."""

import base64
import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from waiting import until

OCR = Path(__file__).resolve().parents[2] / "examples" / "ocr"
PAGE = (OCR / "page.png").read_bytes()
PNG_START = b"\x89PNG\r\n\x1a\n"

needs_tesseract = pytest.mark.skipif(
    shutil.which("tesseract") is None, reason="tesseract is not installed (apt-get install tesseract-ocr)"
)


class OCRServer:
    """A running examples/ocr/server.py and the ways to talk to it."""

    def __init__(self, process: subprocess.Popen, url: str):
        self.process = process
        self.url = url

    def connect(self) -> socket.socket:
        parts = urlsplit(self.url)
        if parts.scheme == "http+unix":
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(30)
            connection.connect(unquote(parts.netloc))
            return connection
        return socket.create_connection((parts.hostname, parts.port), timeout=30)

    def session(self) -> http.client.HTTPConnection:
        session = http.client.HTTPConnection("localhost")
        session.sock = self.connect()
        return session

    def request(self, method="POST", path="/predict", body=None, **headers):
        """The status, the headers and the JSON of one answer."""
        session = self.session()
        try:
            return exchange(session, method, path, body, headers)
        finally:
            session.close()

    def children(self) -> list[int]:
        pids = (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())
        return [pid for pid in pids if state_and_parent(pid)[1] == self.process.pid]

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/task"))


def state_and_parent(pid):
    """One letter and a process id, as the kernel tells them; both None once the process is gone."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None, None
    return state, int(parent)


def exchange(session, method, path, body, headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    session.request(method, path, body, named)
    response = session.getresponse()
    return response.status, response.headers, json.loads(response.read())


@contextmanager
def model_server(*arguments, listen="127.0.0.1:0", path=None):
    environment = {**os.environ, "PATH": path or os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, str(OCR / "server.py"), "--listen", listen, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on http"), line
        yield OCRServer(process, line.split()[-1])
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture(scope="module")
def ocr():
    with model_server() as server:
        yield server


@pytest.fixture
def stub(tmp_path):
    """Gives a PATH on which `tesseract` is the given shell script."""

    def write(script: str) -> str:
        program = tmp_path / "tesseract"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return f"{tmp_path}:/usr/bin:/bin"

    return write


@pytest.fixture
def listening_gateway():
    """Records the notices that it gets, and answers them as a gateway without that path would: 404."""

    class Recorder(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.notices.append((self.path, self.headers["X-Notify-Token"], body))
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.notices = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@needs_tesseract
def test_the_page_of_the_repository_is_read(ocr):
    status, _, answer = ocr.request(body=PAGE, Content_Type="image/png")
    assert status == 200
    for words in ("Field Inspection Report", "Pumping Station 4", "discharge pressure of 3.1 bar", "hairline crack"):
        assert words in answer["text"]
    assert answer["page"] == {"width": 1240, "height": 1000}
    assert answer["seconds"] > 0


@needs_tesseract
def test_each_line_is_a_layer_with_its_box_and_confidence(ocr):
    _, _, answer = ocr.request(body=PAGE, Content_Type="image/png")
    layers = answer["predicted_layers"]
    assert 13 <= len(layers) <= 16
    assert layers[0]["text"] == "Field Inspection Report"
    assert [layer["display_name"] for layer in layers] == [f"line {n + 1}" for n in range(len(layers))]
    assert [layer["z_index"] for layer in layers] == list(range(len(layers)))
    for layer in layers:
        left, top, right, bottom = layer["bbox"]
        assert 0 <= left < right <= 1240 and 0 <= top < bottom <= 1000
        assert 0 <= layer["confidence"] <= 1
    assert sum(layer["confidence"] for layer in layers) / len(layers) > 0.8


@needs_tesseract
@pytest.mark.parametrize("content_type", ["application/json", "application/vnd.example+json; charset=utf-8"])
def test_an_image_may_come_in_json(ocr, content_type):
    body = json.dumps({"model": "ocr", "image_base64": base64.b64encode(PAGE).decode()})
    status, _, answer = ocr.request(body=body, Content_Type=content_type)
    assert status == 200
    assert "hairline crack" in answer["text"]


@needs_tesseract
def test_an_image_may_come_in_chunks_without_a_content_type(ocr):
    status, _, answer = ocr.request(body=(PAGE[at:at + 5000] for at in range(0, len(PAGE), 5000)))
    assert status == 200
    assert "hairline crack" in answer["text"]


@needs_tesseract
def test_a_blank_page_has_no_layers(ocr):
    blank = b"P5\n300 200\n255\n" + b"\xff" * 60000
    status, _, answer = ocr.request(body=blank, Content_Type="image/x-portable-graymap")
    assert (status, answer["text"], answer["predicted_layers"]) == (200, "", [])
    assert answer["page"] == {"width": 300, "height": 200}


@needs_tesseract
def test_a_unix_socket_serves_and_is_removed_at_the_end(tmp_path):
    path = tmp_path / "ocr.sock"
    with model_server(listen=f"unix:{path}") as server:
        assert unquote(urlsplit(server.url).netloc) == str(path)
        status, _, answer = server.request(body=PAGE, Content_Type="image/png")
        assert status == 200
        assert "hairline crack" in answer["text"]
    assert not path.exists()


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        pytest.param(400, "image/png", b"", id="empty"),
        pytest.param(400, "application/json", b"{", id="cut JSON"),
        pytest.param(400, "application/json", b"[" * 100_000, id="deep JSON"),
        pytest.param(400, "application/json", b"\xff\xfe\xfd", id="JSON that is not UTF-8"),
        pytest.param(400, "application/json", b"[]", id="no object"),
        pytest.param(400, "application/json", b'{"image": "x"}', id="no member"),
        pytest.param(400, "application/json", b'{"image_base64": 7}', id="number"),
        pytest.param(400, "application/json", b'{"image_base64": "not base64!"}', id="not base64"),
        pytest.param(415, "text/plain", PAGE, id="text"),
        pytest.param(422, "image/png", b"no image at all", id="no image"),
        pytest.param(422, "image/png", b"/etc/hostname\n", id="file name"),
        pytest.param(422, "application/json", b'{"image_base64": "L2V0Yy9ob3N0bmFtZQo="}', id="file name in base64"),
    ],
)
def test_what_is_no_image_is_refused_before_tesseract_sees_it(stub, status, content_type, body):
    with model_server(path=stub("exit 9")) as server:
        answered, headers, answer = server.request(body=body, Content_Type=content_type)
    assert answered == status
    assert headers["Content-Type"] == "application/json"
    assert answer["error"].endswith(".")


@needs_tesseract
@pytest.mark.parametrize(
    "body",
    [PAGE[:5000], PNG_START, PNG_START + b"x" * 500, b"II*\0" + b"\xa5" * 500],
    ids=["cut short", "first bytes only", "PNG of rubbish", "TIFF of rubbish"],
)
def test_a_broken_image_is_the_callers_fault(ocr, body):
    status, _, answer = ocr.request(body=body, Content_Type="image/png")
    assert status == 422
    assert answer["error"].startswith("Tesseract cannot read this image: ")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("exit 3", id="unknown status"),
        pytest.param("echo 'Failed loading language' >&2; exit 1", id="no language data"),
        pytest.param("kill -9 $$", id="killed"),
        pytest.param(r"printf 'level\n1\tx\t0\t0\t0\t0\t0\t0\t0\t0\t0\t-\n'", id="odd table"),
    ],
)
def test_a_fault_of_tesseract_is_500(stub, script):
    with model_server(path=stub(f"cat >/dev/null; {script}")) as server:
        status, _, answer = server.request(body=PAGE, Content_Type="image/png")
    assert status == 500
    assert answer["error"].startswith("Tesseract")


def test_a_page_that_takes_too_long_is_500_and_is_ended(stub):
    with model_server("--timeout", "0.2", path=stub("exec sleep 60")) as server:
        status, _, answer = server.request(body=PAGE, Content_Type="image/png")
        assert (status, server.children()) == (500, [])
    assert "0.2 seconds" in answer["error"]


def test_a_body_over_the_limit_is_refused_before_it_is_sent(stub):
    with model_server("--max-body", "1", path=stub("exit 9")) as server, server.connect() as connection:
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_chunks_over_the_limit_are_refused(stub):
    with model_server("--max-body", "1", path=stub("exit 9")) as server:
        assert server.request(body=(b"x" * 65536 for _ in range(20)))[0] == 413


def test_unknown_paths_and_methods_are_refused(stub):
    with model_server(path=stub("exit 9")) as server:
        assert server.request("GET", "/nothing")[0] == 404
        status, headers, _ = server.request("GET", "/predict")
        assert (status, headers["Allow"]) == (405, "POST")
        assert server.request("BREW", "/predict")[0] == 501


@pytest.mark.parametrize(
    "head",
    [
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["length no number", "two lengths", "length and chunked", "chunk without size", "no request"],
)
def test_malformed_requests_are_400_and_end_the_connection(stub, head):
    with model_server(path=stub("exit 9")) as server, server.connect() as connection:
        connection.sendall(head)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


@needs_tesseract
def test_a_connection_carries_many_requests(ocr):
    session = ocr.session()
    kept = session.sock
    assert exchange(session, "GET", "/health", None, {})[0] == 200
    assert exchange(session, "POST", "/nothing", b"a body that nobody reads", {})[0] == 404
    assert exchange(session, "POST", "/predict", b"no image", {})[0] == 422
    assert exchange(session, "POST", "/predict", PAGE, {"Content_Type": "image/png"})[0] == 200
    session.request("HEAD", "/health")
    response = session.getresponse()
    assert (response.status, response.read(), int(response.headers["Content-Length"]) > 0) == (200, b"", True)
    assert session.sock is kept
    session.close()


def begin_page(connection):
    connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE)


@pytest.mark.parametrize("ahead", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["alone", "request ahead"])
def test_tesseract_is_gone_once_the_caller_has_hung_up(stub, ahead):
    with model_server(path=stub("exec sleep 60")) as server:
        with server.connect() as connection:
            begin_page(connection)
            until(server.children, "tesseract runs")
            connection.sendall(ahead)
        until(lambda: not server.children(), "tesseract is gone", timeout=5)


def test_a_page_that_waits_for_a_slot_can_be_given_up(stub, tmp_path):
    started = tmp_path / "started"
    with model_server("--concurrency", "1", path=stub(f"echo x >>{started}; exec sleep 60")) as server:
        with server.connect() as first:
            begin_page(first)
            until(started.exists, "tesseract runs")
            with server.connect() as second:
                begin_page(second)
                assert server.request("GET", "/health")[0] == 200
            until(lambda: server.threads() == 2, "the main thread and that of the first page alone are left")
        until(lambda: not server.children(), "tesseract is gone", timeout=5)
    assert started.read_text().count("x") == 1


@needs_tesseract
def test_progress_is_told_to_a_gateway_that_wants_it(ocr, listening_gateway):
    url = f"http://127.0.0.1:{listening_gateway.server_port}/v1/notifications"
    status, _, _ = ocr.request(body=PAGE, X_Notify_Url=url, X_Notify_Token="t0ken", X_Event_Id="0193")
    assert status == 200
    for path, token, notice in listening_gateway.notices:
        assert (path, token) == ("/v1/notifications", "t0ken")
        assert (notice["event_id"], notice["detail_type"]) == ("0193", "Inf:Task:Notify")
    told = [notice["detail"] for _, _, notice in listening_gateway.notices]
    assert [detail["progress"] for detail in told] == [0.1, 0.9]
    assert told[1]["message"].endswith("lines recognised")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "http://[", "http://a b/", "ftp://127.0.0.1/x", "nonsense", ""]
)
def test_a_gateway_that_cannot_be_told_costs_nothing(stub, url):
    blank = r"printf 'level\n1\t1\t0\t0\t0\t0\t0\t0\t9\t9\t-1\t\n'"
    with model_server(path=stub(f"cat >/dev/null; {blank}")) as server:
        assert server.request(body=PAGE, X_Notify_Url=url, X_Notify_Token="t0ken", X_Event_Id="0193")[0] == 200


def test_a_stop_is_clean_and_takes_tesseract_along(stub):
    with model_server(path=stub("exec sleep 60")) as server, server.connect() as connection:
        begin_page(connection)
        child = until(server.children, "tesseract runs")[0]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        until(lambda: state_and_parent(child)[0] in (None, "Z"), "tesseract is gone")


def test_a_machine_without_tesseract_is_told_what_to_install(tmp_path):
    ran = subprocess.run(
        [sys.executable, str(OCR / "server.py"), "--listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=30, env={"PATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ran.returncode == 1
    assert "apt-get install tesseract-ocr" in ran.stderr


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999", "unix:/nonexistent/folder/x.sock"])
def test_an_address_that_cannot_be_used_is_one_sentence(stub, listen):
    ran = subprocess.run(
        [sys.executable, str(OCR / "server.py"), "--listen", listen],
        capture_output=True, text=True, timeout=30, env={"PATH": stub("exit 9"), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("Cannot listen on ") and ran.stderr.count("\n") == 1
