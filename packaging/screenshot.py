#!/usr/bin/env python3
"""Takes docs/page.png: the page of a gateway that has worked for some minutes, in Chromium.

    .build/venv/bin/python packaging/screenshot.py [--minutes 12] [--out docs/page.png]

The gateway is the built program, its model servers are three small ones of this script: one that reads pages and tells of
its progress, one that writes text bit by bit, and one that goes away in the middle.
"""

import argparse
import contextlib
import http.client
import json
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "Tests/DaemonTests/support"))
from browser import Browser  # noqa: E402

TEXT = "The scan shows a delivery note of 12 May. It lists four pallets of cement and one of sand, signed by the foreman. "


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.path.rpartition("/")[2]
        if kind == "completions":
            return self.write(TEXT.split(" "), pause=0.25)
        seconds = random.uniform(1, 4)
        for part in (0.25, 0.5, 0.75):
            time.sleep(seconds / 4)
            self.tell(part)
        failed = b'"bad"' in body
        answer = json.dumps({"error": "the page is empty"} if failed else {"text": TEXT}).encode()
        self.send_response(422 if failed else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def write(self, words, pause):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in words:
            time.sleep(pause)
            piece = (word + " ").encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def tell(self, part):
        url, token = self.headers.get("X-Notify-Url"), self.headers.get("X-Notify-Token")
        place = urllib.parse.urlsplit(url)
        with contextlib.closing(http.client.HTTPConnection(place.netloc, timeout=2)) as gateway:
            notice = {"event_id": self.headers["X-Event-Id"], "detail_type": "Inf:Task:Notify",
                      "detail": {"message": f"page {int(part * 4)} of 4", "progress": part}}
            gateway.request("POST", place.path, json.dumps(notice),
                            {"Content-Type": "application/json", "X-Notify-Token": token})
            gateway.getresponse().read()

    def log_message(self, *_):
        pass


def serve():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def submit(port, model, value):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as gateway:
        body = json.dumps({"model": model, "input": {"page": value}})
        gateway.request("POST", "/v1/async/inference", body, {"Content-Type": "application/json"})
        return json.loads(gateway.getresponse().read())


def work(port, minutes, leaving):
    """Jobs in waves. In the end one stream runs, pages wait, and one model is away."""
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < 60 * minutes:
        wave = random.choice([1, 1, 2, 5])
        for _ in range(wave):
            submit(port, "ocr", "bad" if random.random() < 0.06 else "ok")
        if random.random() < 0.4:
            submit(port, "llama", "ok")
        if leaving and passed > 30 * minutes:
            server = leaving.pop()
            server.shutdown()
            server.server_close()
        if passed < 30 * minutes and random.random() < 0.3:
            submit(port, "segmentation", "ok")
        time.sleep(random.uniform(1, 6))
    for model in ["segmentation"] * 2 + ["ocr"] * 5:
        submit(port, model, "ok")
    return submit(port, "llama", "ok")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--out", default=ROOT / "docs/page.png")
    parser.add_argument("--inferq", default=ROOT / ".build/debug/inferq")
    options = parser.parse_args()
    random.seed(4)
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        pages, texts, leaving = serve(), serve(), serve()
        at = lambda server, path: f"http://127.0.0.1:{server.server_address[1]}{path}"  # noqa: E731
        config = pathlib.Path(folder) / "inferq.toml"
        config.write_text(f"""
            listen = ["127.0.0.1:{port}"]
            log_level = "error"
            [store]
            path = "{folder}/inferq.db"
            [models.ocr]
            url = "{at(pages, '/predict')}"
            concurrency = 2
            [models.llama]
            url = "{at(texts, '')}"
            dialect = "openai"
            [models.segmentation]
            url = "{at(leaving, '/predict')}"
        """)
        gateway = subprocess.Popen([options.inferq, "serve", "--config", config])
        try:
            for left in range(100, -1, -1):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                assert left, "the gateway does not listen"
                time.sleep(0.1)
            stream = work(port, options.minutes, [leaving])
            with Browser(tempfile.mkdtemp(dir=folder)) as browser, browser.tab(f"http://127.0.0.1:{port}/") as tab:
                tab.size(1280, 860)
                tab.wait("document.getElementById('connection').textContent.startsWith('Live')")
                tab.wait("document.querySelectorAll('#hours figure').length === 3")
                tab.evaluate(f"location.hash = '{stream['id']}'")
                tab.wait("document.getElementById('output').textContent.includes('pallets')", 60)
                tab.evaluate("document.activeElement.blur(), loadRunning(), loadHours(), loadModels()")
                tab.wait("document.querySelector('#jobs .RUNNING progress:not([hidden])') || true")
                tab.screenshot(options.out)
        finally:
            gateway.terminate()
            gateway.wait(60)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
