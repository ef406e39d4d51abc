"""Model servers behind TLS whose certificate a private authority has signed."""

import contextlib
import http.server
import json
import shutil
import signal
import ssl
import subprocess
import threading

import pytest

import wire
from certificates import Authority
from gateway import BINARY, JSON_TYPE, environment
from waiting import until


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self):
        self.answer(b"{}")

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def server(pair):
    """A model server behind TLS; its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as each:
        each.daemon_threads = True
        each.socket = context.wrap_socket(each.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=each.serve_forever, daemon=True).start()
        yield f"https://localhost:{each.server_port}"
        each.shutdown()


def doctor(gateway):
    done = subprocess.run(
        [BINARY, "doctor", "--json", "--config", gateway.config_file], capture_output=True, timeout=60, env=environment())
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_jobs_calls_and_health_reach_a_server_that_its_ca_has_signed(make_gateway, authority, tmp_path):
    with server(authority.sign()) as url:
        gateway = make_gateway({"ocr": {"url": url + "/ocr", "ca": str(authority.pem), "health": "/health"}})
        job = gateway.ended(gateway.submit("ocr", {"page": 1}))
        assert (job["status"], job["output"]) == ("COMPLETED", {"page": 1})
        answer = wire.exchange(gateway.address, "POST", "/upstream/ocr/ocr", b'{"page": 2}', JSON_TYPE)
        assert (answer.status, answer.json()) == (200, {"page": 2})
        assert gateway.get("/v1/models").json()["results"][0]["state"] == "up"
        assert any(each["subject"] == "model ocr" and each["verdict"] == "ok" for each in doctor(gateway))


def test_a_server_that_nobody_trusted_has_signed_is_down_and_the_ca_mends_it(make_gateway, authority):
    with server(authority.sign()) as url:
        gateway = make_gateway({"ocr": {"url": url + "/ocr"}})
        job = gateway.submit("ocr", {"page": 1})

        def model():
            return gateway.get("/v1/models").json()["results"][0]

        until(lambda: model()["state"] == "down", "the model is down")
        assert "its TLS certificate is not signed by a CA that is trusted here" in json.dumps(model()["last_error"])
        found = next(each for each in doctor(gateway) if each["verdict"] == "wrong")
        assert "models.ocr.ca" in found["sentence"], found
        gateway.models["ocr"]["ca"] = str(authority.pem)
        gateway.reload()
        assert gateway.ended(job)["status"] == "COMPLETED"


def test_a_ca_that_changes_is_read_again_without_a_reload(make_gateway, authority, tmp_path):
    other = Authority(tmp_path / "other")
    ca = tmp_path / "ca.pem"
    shutil.copy(other.pem, ca)
    with server(authority.sign()) as url:
        gateway = make_gateway({"ocr": {"url": url + "/ocr", "ca": str(ca)}})
        job = gateway.submit("ocr", {"page": 1})
        until(lambda: gateway.get("/v1/models").json()["results"][0]["state"] == "down", "the model is down")
        shutil.copy(authority.pem, tmp_path / "new.pem")
        (tmp_path / "new.pem").replace(ca)
        assert gateway.ended(job)["status"] == "COMPLETED"


def test_a_name_that_the_certificate_does_not_have_is_refused(make_gateway, authority):
    with server(authority.sign(names="DNS:elsewhere")) as url:
        gateway = make_gateway({"ocr": {"url": url + "/ocr", "ca": str(authority.pem)}})
        gateway.submit("ocr", {"page": 1})
        until(
            lambda: "its TLS certificate is for another name" in
            json.dumps(gateway.get("/v1/models").json()["results"][0]["last_error"]), "the reason")


@pytest.mark.parametrize("make_wrong", [lambda path: None, lambda path: path.write_text("nonsense")], ids=["missing", "nonsense"])
def test_a_ca_that_cannot_be_used_takes_the_model_down_and_nothing_else(make_gateway, authority, tmp_path, make_wrong):
    make_wrong(tmp_path / "ca.pem")
    with server(authority.sign()) as url:
        gateway = make_gateway({"ocr": {"url": url + "/ocr", "ca": str(tmp_path / "ca.pem")}, "other": {}})
        assert "models.ocr.ca: it cannot be read, or holds no certificate" in gateway.log()
        gateway.submit("ocr", {"page": 1})
        until(
            lambda: "the file in its setting ca cannot be read" in json.dumps(gateway.get("/v1/models").json()["results"]),
            "the reason")
        assert gateway.ended(gateway.submit("other"))["status"] == "COMPLETED"


def test_a_broken_ca_is_no_good_configuration(make_gateway, authority, tmp_path):
    with server(authority.sign()) as url:
        gateway = make_gateway({"ocr": {"url": url + "/ocr", "ca": str(authority.pem)}})
        gateway.errors_expected = True
        gateway.models["ocr"]["ca"] = str(tmp_path / "none.pem")
        gateway.write_config()
        done = subprocess.run(
            [BINARY, "check", "--config", gateway.config_file], capture_output=True, text=True, timeout=60, env=environment())
        assert done.returncode == 78 and "models.ocr.ca: it cannot be read" in done.stderr, done.stderr
        assert any(each["verdict"] == "wrong" and "models.ocr.ca" in each["sentence"] for each in doctor(gateway))
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: "the new configuration is refused" in gateway.log(), "the line that says so")
        assert gateway.ended(gateway.submit("ocr", {"page": 1}))["status"] == "COMPLETED"
