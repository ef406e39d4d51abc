#!/usr/bin/env python3
"""A model server that reads scanned pages: Debian's tesseract behind a few lines of Python's standard library.

    apt-get install tesseract-ocr
    python3 server.py --listen 127.0.0.1:9001
    curl --data-binary @page.png -H 'Content-Type: image/png' http://127.0.0.1:9001/predict

It is written to be read: everything that a model server can do for a gateway in front of it is here, namely
stopping the work when the caller hangs up, telling of its progress, and refusing what it cannot read.
"""

import argparse
import base64
import binascii
import http.client
import json
import os
import shutil
import signal
import socket
import socketserver
import stat
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler

from reader import CallerGone, Refusal, Tesseract, prediction

MIB = 1024 * 1024
NOTIFY_TIMEOUT = 1.0  # seconds; telling of progress must not hold up the page
IDLE_TIMEOUT = 120.0  # seconds; longer than callers keep a connection in their pools, so that they hang up first

# Tesseract takes a body that is no image for a list of file names or addresses, and opens them. So nothing
# reaches it that does not begin like an image.
IMAGE_STARTS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # JPEG
    b"II*\0",  # TIFF
    b"MM\0*",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000
    *(b"P%d%c" % (kind, space) for kind in range(1, 7) for space in b"\n "),  # PNM
)


def image_in(body: bytes, content_type: str) -> bytes:
    """The image of a request, which is the body itself or `image_base64` in a JSON object."""
    if content_type == "application/json" or content_type.endswith("+json"):
        try:
            sent = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refusal(400, f"The body is not JSON: {error}.") from None
        encoded = sent.get("image_base64") if isinstance(sent, dict) else None
        if not isinstance(encoded, str):
            raise Refusal(400, "The body must be a JSON object with the image in the string `image_base64`.")
        try:
            body = base64.b64decode("".join(encoded.split()), validate=True)
        except (binascii.Error, ValueError):
            raise Refusal(400, "`image_base64` is not base64.") from None
    elif content_type not in ("", "application/octet-stream") and not content_type.startswith("image/"):
        raise Refusal(415, f"Send an image or a JSON object, not {content_type}.")
    if not body:
        raise Refusal(400, "The request holds no image.")
    if not body.startswith(IMAGE_STARTS) and not (body[:4] == b"RIFF" and body[8:12] == b"WEBP"):
        raise Refusal(422, "This is not an image in a known format (PNG, JPEG, TIFF, WebP, GIF, BMP, PNM).")
    return body


class Connection(BaseHTTPRequestHandler):
    """One connection of a caller; it may carry many requests, one after the other."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # of a request line that cannot be read, so that its 400 has a head
    server_version = "ocr-example"
    sys_version = ""
    timeout = IDLE_TIMEOUT
    wbufsize = 64 * 1024  # head and body leave together
    server: "Server"

    def answer_request(self) -> None:
        began = time.monotonic()
        try:
            body = self.read_body()  # for every path, or its bytes would be taken for the next request
            status, answer, headers = 200, self.route(body, began), {}
        except Refusal as refusal:
            status, answer, headers = refusal.status, {"error": str(refusal)}, refusal.headers
        except (CallerGone, ConnectionError, TimeoutError):
            self.close_connection = True
            self.log_message("%s given up: the caller hung up after %.2f s", self.path, time.monotonic() - began)
            return
        self.send(status, answer, headers)
        self.log_message('"%s" %d in %.2f s', self.requestline, status, time.monotonic() - began)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer_request

    def route(self, body: bytes, began: float) -> dict:
        allowed = {"/health": ("GET", "HEAD"), "/predict": ("POST",)}
        path = urllib.parse.urlsplit(self.path).path
        if path not in allowed:
            raise Refusal(404, f"There is nothing at {path}; send an image to /predict.")
        if self.command not in allowed[path]:
            methods = ", ".join(allowed[path])
            raise Refusal(405, f"{path} answers {methods} only.", {"Allow": methods})
        if path == "/health":
            return {"status": "UP"}
        image = image_in(body, self.headers.get_content_type() if "Content-Type" in self.headers else "")
        self.notify(f"reading a page of {(len(image) + 1023) // 1024} KiB", 0.1)
        table = self.server.tesseract.read(image, self.connection)
        try:
            result = prediction(table)
        except (KeyError, ValueError) as error:
            raise Refusal(500, f"Tesseract's table makes no sense: {error}.") from None
        self.notify(f"{len(result['predicted_layers'])} lines recognised", 0.9)
        return {**result, "seconds": round(time.monotonic() - began, 3)}

    def read_body(self) -> bytes:
        """The whole body; a Refusal before it is read closes the connection, since the rest still comes."""
        close, self.close_connection = self.close_connection, True
        lengths = self.headers.get_all("Content-Length", [])
        coding = self.headers.get("Transfer-Encoding")
        if coding is not None:
            if lengths or coding.strip().lower() != "chunked":
                raise Refusal(400, "The only transfer coding is chunked, without a Content-Length beside it.")
            body = self.read_chunks()
        elif len(set(lengths)) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
            raise Refusal(400, "Content-Length must be one number.")
        else:
            size = int(lengths[0][:19]) if lengths else 0
            if size > self.server.max_body:
                raise self.too_large()
            self.invite_body()
            body = self.rfile.read(size)
            if len(body) < size:
                raise CallerGone
        self.close_connection = close
        return body

    def read_chunks(self) -> bytes:
        self.invite_body()
        body = bytearray()
        while size := self.chunk_size():
            if len(body) + size > self.server.max_body:
                raise self.too_large()
            body += self.rfile.read(size)
            if self.rfile.readline(3) not in (b"\r\n", b"\n"):
                raise Refusal(400, "A chunk of the body does not end where it says.")
        for _ in range(100):  # trailers, of no use here
            if self.rfile.readline(8192) in (b"\r\n", b"\n", b""):
                return bytes(body)
        raise Refusal(400, "The body has too many trailers.")

    def chunk_size(self) -> int:
        digits = self.rfile.readline(1024).split(b";")[0].strip()
        if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
            raise Refusal(400, "A chunk of the body does not begin with its size.")
        return int(digits, 16)

    def too_large(self) -> Refusal:
        return Refusal(413, f"The body is larger than {self.server.max_body / MIB:g} MiB.")

    def handle_expect_100(self) -> bool:
        return True  # the go-ahead is sent by `invite_body`, once the size is known to be fine

    def invite_body(self) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()

    def send(self, status: int, answer: dict, headers: dict[str, str]) -> None:
        body = json.dumps(answer, ensure_ascii=False).encode()
        try:
            self.send_response_only(status)
            self.send_header("Date", self.date_time_string())
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
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
            if not self.connection.recv(MIB):
                return

    def send_error(self, code, message=None, explain=None) -> None:
        """What the base class refuses by itself (a malformed head, an unknown method), said in JSON."""
        self.close_connection = True
        self.send(int(code), {"error": f"{message or 'Malformed request'}."}, {})

    def notify(self, text: str, progress: float) -> None:
        """Tells the gateway how far the page is, if it asked to know. Losing this loses nothing else."""
        url, token = self.headers.get("X-Notify-Url"), self.headers.get("X-Notify-Token")
        if url is None or token is None:
            return
        notice = {
            "event_id": self.headers.get("X-Event-Id"),
            "detail_type": "Inf:Task:Notify",
            "source": "ocr",
            "detail": {"message": text, "progress": progress},
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
            pass  # a page read in silence is worth more than none

    def log_message(self, format: str, *values) -> None:
        print(time.strftime("%H:%M:%S"), format % values, file=sys.stderr, flush=True)


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens on an address or a Unix socket and gives each connection its own thread."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, listen: str, tesseract: Tesseract, max_body: int):
        self.tesseract = tesseract
        self.max_body = max_body
        self.unix_path = listen.removeprefix("unix:") if listen.startswith("unix:") else None
        if self.unix_path is not None:
            self.address_family = socket.AF_UNIX
            self.allow_reuse_address = False
            remove_stale_socket(self.unix_path)
            super().__init__(self.unix_path, Connection)
        else:
            host, _, port = listen.rpartition(":")
            if not host or not port.isdigit() or int(port) > 65535:
                raise ValueError(f"--listen must be HOST:PORT or unix:/path, not {listen}")
            host = host.removeprefix("[").removesuffix("]")
            self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            super().__init__((host, int(port)), Connection)

    @property
    def url(self) -> str:
        """What goes into the gateway's configuration."""
        if self.unix_path is not None:
            return f"http+unix://{urllib.parse.quote(self.unix_path, safe='')}/predict"
        host, port = self.server_address[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/predict"

    def handle_error(self, request, client_address) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, (OSError, CallerGone)):  # a broken connection is the caller's affair
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        if self.unix_path is not None:
            remove_stale_socket(self.unix_path)


def remove_stale_socket(path: str) -> None:
    """Removes what a server that is gone has left; a socket on which someone listens, and anything else, stays."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Reads scanned pages with tesseract: POST an image to /predict.")
    parser.add_argument("--listen", default="127.0.0.1:9001", help="HOST:PORT (port 0: any free one) or unix:/path")
    parser.add_argument("--language", default="eng", help="tesseract's language data, such as eng or deu+eng")
    parser.add_argument("--psm", type=int, default=3, help="tesseract's page segmentation mode")
    parser.add_argument("--concurrency", type=int, default=os.cpu_count() or 1, help="pages read at a time")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one page")
    parser.add_argument("--max-body", type=int, default=32, help="MiB")
    options = parser.parse_args()
    if options.concurrency < 1 or options.timeout <= 0 or options.max_body < 1:
        parser.error("--concurrency, --timeout and --max-body must be above zero")
    if shutil.which("tesseract") is None:
        sys.exit("Tesseract is not installed; install it with: apt-get install tesseract-ocr")

    tesseract = Tesseract(options.language, options.psm, options.concurrency, options.timeout)
    try:
        server = Server(options.listen, tesseract, options.max_body * MIB)
    except (OSError, ValueError) as error:
        sys.exit(f"Cannot listen on {options.listen}: {error}.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    print(f"listening on {server.url}", flush=True)
    try:
        server.serve_forever()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        server.server_close()
        tesseract.stop()


if __name__ == "__main__":
    main()
