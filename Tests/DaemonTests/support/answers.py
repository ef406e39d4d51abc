"""What a model server may answer: each function makes one answer for `Route.answer_with`."""

import gzip
import threading


def head(status, headers):
    lines = [f"HTTP/1.1 {status} Scripted"] + [f"{key}: {value}" for key, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def ok(body=b'{"ok":true}', content_type="application/json", status=200, headers=()):
    """A complete answer with these bytes."""

    def answer(exchange):
        typed = [("Content-Type", content_type)] if content_type else []
        exchange.send(head(status, [*typed, ("Content-Length", len(body)), *headers]) + body)

    return answer


def echo():
    """Gives the body back, with its content type."""

    def answer(exchange):
        ok(exchange.call.body, exchange.call.header("Content-Type"))(exchange)

    return answer


def status(code, retry_after=None, body=b'{"reason":"scripted"}', headers=()):
    extra = [("Retry-After", retry_after)] if retry_after is not None else []
    return ok(body, status=code, headers=[*extra, *headers])


def no_content():
    return lambda exchange: exchange.send(head(204, []))


def redirect(location):
    return status(302, headers=[("Location", location)], body=b"")


def hang():
    """Takes the request and says nothing."""
    return lambda exchange: exchange.hang()


def half_head():
    def answer(exchange):
        exchange.close()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Ty")

    return answer


def half_body():
    def answer(exchange):
        exchange.close()
        exchange.send(head(200, [("Content-Type", "application/json"), ("Content-Length", 1000)]) + b'{"half":')

    return answer


def half_chunked():
    def answer(exchange):
        exchange.close()
        exchange.send(head(200, [("Transfer-Encoding", "chunked")]) + b"ff\r\nhalf a chunk")

    return answer


def garbage():
    def answer(exchange):
        exchange.close()
        exchange.send(b"\x16\x03\x01 this is not HTTP at all\r\n\r\n")

    return answer


CUT = "cut"


def streamed(*steps, content_type="text/event-stream", headers=()):
    """A chunked answer, step by step: bytes are a chunk, `CUT` hangs up, and a `threading.Event` is waited for, at most to
    the end of the test."""

    def answer(exchange):
        typed = [("Content-Type", content_type), ("Transfer-Encoding", "chunked")]
        exchange.send(head(200, [*typed, *headers]))
        for step in steps:
            if step == CUT:
                return exchange.close()
            if isinstance(step, bytes):
                exchange.send(b"%x\r\n%b\r\n" % (len(step), step))
            else:
                while not step.is_set():
                    if exchange.client_has_gone(patience=0.01) or exchange.route.over.is_set():
                        return exchange.close()
        exchange.send(b"0\r\n\r\n")

    return answer


def two_lengths():
    """Two Content-Length headers that disagree."""

    def answer(exchange):
        exchange.close()
        exchange.send(head(200, [("Content-Length", 2), ("Content-Length", 5)]) + b"{}xyz")

    return answer


def closed():
    """Hangs up without a byte."""
    return lambda exchange: exchange.close()


def reset():
    return lambda exchange: exchange.reset()


def endless():
    """A chunked answer that never ends."""

    def answer(exchange):
        exchange.close()
        exchange.send(head(200, [("Content-Type", "application/octet-stream"), ("Transfer-Encoding", "chunked")]))
        while not exchange.route.over.is_set():
            exchange.send(b"10000\r\n" + bytes(65536) + b"\r\n")

    return answer


def dribble(every=0.02):
    """A body of one byte every `every` seconds, without end for all practical purposes."""

    def answer(exchange):
        exchange.close()
        exchange.send(head(200, [("Content-Type", "text/plain"), ("Content-Length", 1_000_000)]))
        while not exchange.route.over.wait(every):
            exchange.send(b".")
            if exchange.client_has_gone():
                return

    return answer


def gzip_bomb(size=256 << 20):
    """256 MiB of zeros in a quarter of a MiB, declared as JSON in gzip."""
    packed = gzip.compress(bytes(size), 9)
    return ok(packed, headers=[("Content-Encoding", "gzip")])


def after(seconds, then=None):
    """Answers after a time, unless the client hangs up or the test ends before."""
    then = then or ok()

    def answer(exchange):
        timer = threading.Event()
        threading.Timer(seconds, timer.set).start()
        if exchange.wait_for(timer):
            then(exchange)
        else:
            exchange.close()

    return answer
