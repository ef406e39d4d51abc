"""What client commands say when something else than a gateway is at the address: one sentence each, no library's text."""

import re
import socket
import ssl
import subprocess
import threading

import pytest

from test_commands import inferq

JOB = "01a20a23-0000-7000-8000-000000000000"
# Of a library's text: types, paths, sources, numbers of its own.
INTERNAL = re.compile(r"[A-Z]\w+(?:Error|Exception)|error:|\w\(\.|/(?:home|root|work|usr)/|\.(?:swift|cc|c)\b|0x|nil|Optional")


@pytest.fixture
def serve():
    """Starts a server that does `talk(connection)` with each caller and then closes; returns its port."""
    servers = []

    def start(talk):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def accept():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(connection,), daemon=True).start()

        def one(connection):
            with connection:
                try:
                    talk(connection)
                except OSError:
                    pass        # The client has gone, or the handshake failed: that is what is tested.

        threading.Thread(target=accept, daemon=True).start()
        return server.getsockname()[1]

    yield start
    for server in servers:
        server.close()


def answer(data):
    def talk(connection):
        connection.recv(1 << 16)
        connection.sendall(data)

    return talk


def endless(connection):
    answer(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")(connection)
    while True:
        connection.sendall(bytes(1 << 20))


PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>It works</html>"
REDIRECT = b"HTTP/1.1 307 Go\r\nLocation: https://gate.example/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
COMMANDS = (["status"], ["submit", "ocr", "{}"], ["jobs"], ["models"], ["watch", JOB], ["jobs", "show", JOB])


def sentence(ended, code):
    """The one line on standard error."""
    assert ended.returncode == code, ended
    [line] = ended.stderr.decode().splitlines()
    assert line.startswith("inferq: ") and not INTERNAL.search(line), line
    assert not ended.stdout, ended.stdout
    return line


@pytest.mark.parametrize(
    "talk, code, words",
    [
        (answer(PAGE), 69, "not an inferq gateway"),
        (answer(b"SSH-2.0-OpenSSH_9.2\r\n"), 69, "(it does not speak HTTP); write https:// if it speaks TLS"),
        (answer(b"\x15\x03\x01\x00\x02\x02\x46"), 69, "(it does not speak HTTP)"),
        (answer(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), 69, "(it does not speak HTTP)"),
        (answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), 69, "at http://127.0.0.1:"),
        (answer(b""), 69, "); try again"),
        (answer(REDIRECT), 64, 'answered 307 Temporary Redirect to "https://gate.example/"'),
        (endless, 69, "more than 64 MiB"),
    ],
    ids=["page", "ssh", "tls", "number", "half", "closed", "redirect", "endless"],
)  # fmt: skip
def test_what_is_no_gateway_is_named_as_that(serve, talk, code, words):
    port = serve(talk)
    for command in COMMANDS:
        if talk is endless and command[0] == "watch":
            continue
        line = sentence(inferq(*command, "--url", f"http://127.0.0.1:{port}"), code)
        assert words in line, (command, line)


def test_a_plain_port_called_with_https_is_named_as_that(serve):
    port = serve(answer(PAGE))
    for command in COMMANDS:
        line = sentence(inferq(*command, "--url", f"https://127.0.0.1:{port}"), 69)
        assert "is not a gateway (it does not speak TLS); write http://" in line


def test_a_certificate_that_is_not_trusted_is_named_as_that(serve, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    port = serve(lambda connection: context.wrap_socket(connection, server_side=True).recv(1))
    line = sentence(inferq("status", "--url", f"https://localhost:{port}"), 69)
    assert "(its certificate is not trusted here)" in line


def test_nothing_is_called_ready_that_is_no_gateway(serve):
    port = serve(answer(PAGE))
    assert b"ready" not in inferq("status", "--url", f"http://127.0.0.1:{port}").stdout


@pytest.mark.parametrize("data, is_told", [(b"", True), (b"{}", False), (b"x", False)])
def test_an_empty_input_is_submitted_with_a_warning(gateway, model, data, is_told):
    ended = inferq("submit", model.name, "--url", gateway.url, input=data)
    assert ended.returncode == 0
    assert (ended.stderr == b"inferq: warning: the input is empty, and is submitted as such\n") == is_told, ended
