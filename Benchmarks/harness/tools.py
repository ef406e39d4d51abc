"""The C tools: built when one is wanted, run as children."""

import contextlib
import json
import pathlib
import re
import signal
import socket
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUILT = HERE.parents[1] / ".build/benchmarks"
# A wait of this length for a first line means that the tool is broken.
START_LIMIT = 10


class ToolError(Exception):
    """A load generator failed; says which and how."""


def build():
    """Builds what is not built yet, or older than its source."""
    made = subprocess.run(["make", "-s", "-C", HERE.parent / "tools", f"OUT={BUILT}"], capture_output=True, text=True)
    if made.returncode:
        raise ToolError(f"Benchmarks/tools could not be built, install gcc and libsqlite3-dev: {made.stderr}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end(process, limit=40.0):
    """Ends a child by SIGTERM; kills it when it has not ended after `limit` seconds."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


@contextlib.contextmanager
def text_file(text):
    """The path of a file that holds `text` and goes away."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        yield file.name


def fill(port, count, path, body, width=16):
    """Exactly `count` submits over `width` connections: `ok`, `refused`, `seconds`, `p50_us`, `p99_us`, `last`."""
    with text_file(json.dumps(body)) as name:
        ran = subprocess.run(
            [BUILT / "fill", str(port), str(count), str(width), path, name], capture_output=True, text=True
        )
    if ran.returncode:
        raise ToolError(f"fill of {count} jobs at port {port} failed: {ran.stderr.strip()}")
    return json.loads(ran.stdout)


_SCRIPT = """
wrk.method = "{method}"
{headers}
{request}
function done(summary, latency, requests)
    local bad = summary.errors
    io.write(string.format('RESULT{{"requests": %d, "us": %d, "p50_us": %d, "p99_us": %d, "bad": %d}}\\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        bad.status + bad.connect + bad.read + bad.write + bad.timeout))
end
"""
_POST = "wrk.headers['Content-Type'] = 'application/json'\nwrk.body = [==[{body}]==]"
_PATHS = """local paths, at = {{ {paths} }}, 0
function request() at = at % #paths + 1 return wrk.format(nil, paths[at]) end"""


def wrk(port, connections, seconds, method, path="/", body=None, paths=None, headers=None, refusals=False, core=None):
    """A closed loop over that many connections: `per_second`, `requests`, `p50_us`, `p99_us`.

    With `refusals` answers of 4xx and connections that are closed are what is asked for. `core`: the only one it may use.
    """
    lines = []
    if body is not None:
        lines.append(_POST.format(body=json.dumps(body)))
    if paths:
        lines.append(_PATHS.format(paths=", ".join(json.dumps(each) for each in paths)))
    fields = "\n".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in (headers or {}).items())
    with text_file(_SCRIPT.format(method=method, headers=fields, request="\n".join(lines))) as script:
        pinned = ["taskset", "-c", str(core)] if core is not None else []
        command = [*pinned, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", script]
        ran = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True)
    found = re.search(r"RESULT(\{.*\})", ran.stdout)
    if not found:
        raise ToolError(f"wrk at port {port} gave no figures: {(ran.stdout + ran.stderr)[-300:]}")
    result = json.loads(found[1])
    if result["bad"] and not refusals:
        raise ToolError(f"{result['bad']} of {result['requests']} requests to {path} at port {port} went wrong")
    return result | {"per_second": result["requests"] / result["us"] * 1e6}


class Listeners:
    """Streams that one tool holds open; each `said` is one of its lines."""

    def __init__(self, port, count, paths, mark='"status":"COMPLETED"', seconds=120):
        with contextlib.ExitStack() as files:
            name = files.enter_context(text_file("\n".join(paths) + "\n"))
            self.process = subprocess.Popen(
                [BUILT / "listeners", str(port), str(count), name, mark, str(seconds)],
                stdout=subprocess.PIPE,
                text=True,
            )
            try:
                self.opened = self.said("open")
            except BaseException:
                end(self.process)
                raise

    def said(self, what):
        line = self.process.stdout.readline()
        if not line or (result := json.loads(line))["said"] != what:
            raise ToolError(f"listeners said {line.strip() or 'nothing'} where {what} was awaited")
        return result

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)
