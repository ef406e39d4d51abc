#!/usr/bin/env python3
"""A model server that maps floods: two bands of a satellite scene in, map layers out; Python's standard library alone.

    python3 server.py --listen 127.0.0.1:9002 --data /var/tmp/inferq-flood
    curl --data-binary @request.json -H 'Content-Type: application/json' http://127.0.0.1:9002/predict

It takes the request of a geospatial gateway as it is (`spatial_domain`, `temporal_domain`), tells of its progress,
hands the first layer over before the others are computed, and serves the layers from the folder that it writes them to.
"""

import argparse
import hashlib
import http.client
import json
import re
import select
import signal
import socket
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from flood import Job, Refusal, Request, Scenes
from scene import make_scenes

MAX_BODY = 1024 * 1024
NOTIFY_TIMEOUT = 2.0  # seconds; telling of progress must not hold up the work
IDLE_TIMEOUT = 120.0  # seconds; longer than callers keep a connection in their pools, so that they hang up first
KINDS = {".png": "image/png", ".wld": "text/plain; charset=utf-8", ".geojson": "application/geo+json"}


class CallerGone(Exception):
    """The caller closed the connection: no one waits for the answer."""


class Connection(BaseHTTPRequestHandler):
    """One connection of a caller; it may carry many requests, one after the other."""

    protocol_version = "HTTP/1.1"
    server_version = "flood-example"
    sys_version = ""
    timeout = IDLE_TIMEOUT
    wbufsize = 64 * 1024  # head and body leave together
    server: "Server"

    def do_GET(self) -> None:
        path = urllib.parse.urlsplit(self.path).path
        if path == "/health":
            return self.send(200, {"status": "UP"})
        file = self.server.layer_file(path)
        if file is None or not file.is_file():
            return self.send(404, {"error": f"There is nothing at {path}; send a request to /predict."})
        self.send_bytes(200, KINDS[file.suffix], file.read_bytes())

    do_HEAD = do_GET

    def do_POST(self) -> None:
        began = time.monotonic()
        try:
            body = self.read_body()
            if urllib.parse.urlsplit(self.path).path != "/predict":
                raise Refusal(404, f"There is nothing to post to at {self.path}; send a request to /predict.")
            answer = self.predict(body)
            self.send(200, {**answer, "seconds": round(time.monotonic() - began, 3)})
        except Refusal as refusal:
            self.send(refusal.status, {"error": str(refusal)})
        except (CallerGone, ConnectionError, TimeoutError):
            self.close_connection = True
            self.log_message("%s given up: the caller hung up after %.2f s", self.path, time.monotonic() - began)

    def predict(self, body: bytes) -> dict:
        request = Request.read(body)
        # The gateway's id of the job, the same in every attempt: a repetition writes the same files again.
        name = self.headers.get("X-Inference-Id", "")
        if not re.fullmatch(r"[0-9A-Za-z-]{1,64}", name):
            name = hashlib.sha256(body).hexdigest()[:32]
        job = Job(
            scenes=self.server.scenes,
            request=request,
            folder=self.server.data / "layers" / name,
            address=self.server.address_of_layers,
            tell=lambda text, part: self.notify("Inf:Task:Notify", {"message": text, "progress": part}),
            show=lambda layers: self.notify("Inf:Task:LayerReady", {"predicted_layers": layers}),
            hold=self.stop_if_hung_up,
        )
        return job.run()

    def read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        self.close_connection, close = True, self.close_connection  # a refusal leaves the body unread
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,15}", length):
            raise Refusal(411, "The request needs a Content-Length.")
        if int(length) > MAX_BODY:
            raise Refusal(413, f"The body is larger than {MAX_BODY} bytes.")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise CallerGone
        self.close_connection = close
        return body

    def stop_if_hung_up(self) -> None:
        watch = select.poll()
        watch.register(self.connection, select.POLLRDHUP)
        if watch.poll(0):
            raise CallerGone

    def notify(self, detail_type: str, detail: dict) -> None:
        """Tells the gateway how far the work is, if it asked to know. Losing this loses nothing else."""
        url, token = self.headers.get("X-Notify-Url"), self.headers.get("X-Notify-Token")
        if url is None or token is None:
            return
        notice = {
            "event_id": self.headers.get("X-Event-Id"), "detail_type": detail_type, "source": "flood", "detail": detail,
        }
        try:
            target = urllib.parse.urlsplit(url)
            kind = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}[target.scheme]
            gateway = kind(target.hostname or "", target.port, timeout=NOTIFY_TIMEOUT)
            try:
                headers = {"Content-Type": "application/json", "X-Notify-Token": token}
                gateway.request("POST", target.path or "/", json.dumps(notice), headers)
                gateway.getresponse()
            finally:
                gateway.close()
        except (KeyError, ValueError, OSError, http.client.HTTPException):
            pass

    def send(self, status: int, answer: dict) -> None:
        self.send_bytes(status, "application/json", json.dumps(answer).encode())

    def send_bytes(self, status: int, kind: str, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.wfile.flush()
            if self.close_connection:
                self.linger()
        except OSError:
            self.close_connection = True

    def linger(self) -> None:
        """Takes what the caller still sends, for a moment, or the kernel's reset would overtake the answer."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1.0)
        for _ in range(64):
            if not self.connection.recv(MAX_BODY):
                return

    def log_message(self, format: str, *values) -> None:
        print(time.strftime("%H:%M:%S"), format % values, file=sys.stderr, flush=True)


class Server(ThreadingHTTPServer):
    """Gives each connection its own thread."""

    request_queue_size = 128

    def __init__(self, listen: str, data: Path, public_url: str):
        host, _, port = listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"--listen must be HOST:PORT, not {listen}")
        super().__init__((host, int(port)), Connection)
        self.data = data
        self.url = f"http://{host}:{self.server_address[1]}"
        self.address_of_layers = public_url.rstrip("/") or self.url
        self.scenes = Scenes(data / "scenes")

    def layer_file(self, path: str) -> Path | None:
        """Only names that this server gives; no path leads out of the folder."""
        found = re.fullmatch(r"/layers/([0-9A-Za-z-]{1,64})/([a-z]+(?:-[0-9])?)(\.png|\.wld|\.geojson)", path)
        return self.data / "layers" / found[1] / (found[2] + found[3]) if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description="Maps floods: POST a request to /predict.")
    parser.add_argument("--listen", default="127.0.0.1:9002", help="HOST:PORT (port 0: any free one)")
    parser.add_argument("--data", type=Path, default=Path("/var/tmp/inferq-flood"), help="folder of scenes and layers")
    parser.add_argument("--public-url", default="", help="where people reach this server, for the layers' `uri`")
    options = parser.parse_args()
    try:
        if not (options.data / "scenes" / "complete").exists():
            print("making the scenes", file=sys.stderr, flush=True)
            make_scenes(options.data / "scenes")
            (options.data / "scenes" / "complete").touch()
    except OSError as error:
        sys.exit(f"Cannot write the scenes to {options.data}: {error}; name another folder with --data.")
    try:
        server = Server(options.listen, options.data, options.public_url)
    except (OSError, ValueError) as error:
        sys.exit(f"Cannot listen on {options.listen}: {error}.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    print(f"listening on {server.url}/predict", flush=True)
    try:
        server.serve_forever()
    finally:
        server.socket.close()


if __name__ == "__main__":
    main()
