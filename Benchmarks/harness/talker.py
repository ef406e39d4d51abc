"""A model server that tells of its progress: it holds one call, and reports events with the token of that call."""

import http.server
import threading
import time

from harness import tools
from harness.model import Client


class Talker:
    """`url` for the gateway's setting; after the first call, `report` sends events of that job."""

    def __init__(self):
        self._has_call, self._is_over = threading.Event(), threading.Event()
        self._headers = None
        talker = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                talker._headers = self.headers
                talker._has_call.set()
                talker._is_over.wait()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                """The calls are not news."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/infer"

    def report(self, gateway_port, event_id, rate, seconds, padding=0):
        """Sends `rate` events a second, each with the time at which it was sent and `padding` bytes; their number."""
        if not self._has_call.wait(10):
            raise tools.ToolError("the gateway did not call the model server within 10 s")
        client = Client(gateway_port)
        token = {"X-Notify-Token": self._headers["X-Notify-Token"]}
        began, count = time.monotonic(), rate * seconds
        for number in range(count):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            detail = {"sent_ns": time.monotonic_ns(), "message": f"{number}", "padding": "x" * padding}
            body = {"event_id": event_id, "detail_type": "Inf:Task:Notify", "detail": detail}
            client.json("POST", "/v1/notifications", body, token)
        client.close()
        return count

    def set(self, **_):
        """A talker has no gate: what `System.fresh` asks of a model server means nothing to it."""

    def answer(self):
        """Ends the call, and with it the job."""
        self._is_over.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answer()
        self._server.shutdown()
        self._server.server_close()
