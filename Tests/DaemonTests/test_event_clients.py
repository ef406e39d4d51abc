"""Event streams as clients that no one here wrote read them: live, from the first event to the end."""

import asyncio
import json
import pathlib
import shutil
import subprocess
import threading

import pytest

import answers
import wire


def curl(url, heard):
    with subprocess.Popen(["curl", "-sSN", url], stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            if line.startswith(b"id: "):
                event_id = line[4:-1].decode()
            elif line.startswith(b"data: "):
                heard(event_id, line[6:-1].decode())
    assert process.returncode == 0, "a clean end"


def httpx_sse(url, heard):
    import httpx
    from httpx_sse import connect_sse

    with httpx.Client(timeout=20) as client, connect_sse(client, "GET", url) as source:
        for event in source.iter_sse():
            assert event.event == "message"
            heard(event.id, event.data)


def sseclient_py(url, heard):
    import requests
    import sseclient

    with requests.get(url, stream=True, timeout=20, headers={"Accept": "text/event-stream"}) as response:
        for event in sseclient.SSEClient(response).events():
            assert event.event == "message"
            heard(event.id, event.data)


def requests_sse(url, heard):
    from requests_sse import EventSource

    with EventSource(url, timeout=20) as source:
        for event in source:
            heard(event.last_event_id, event.data)
            if is_final(event.data):
                return


def aiohttp_sse_client2(url, heard):
    from aiohttp_sse_client2.client import EventSource

    async def read():
        async with EventSource(url, timeout=20) as source:
            async for event in source:
                heard(event.last_event_id, event.data)
                if is_final(event.data):
                    return

    asyncio.run(read())


def launchdarkly(url, heard):
    from ld_eventsource import SSEClient
    from ld_eventsource.config import ConnectStrategy

    client = SSEClient(ConnectStrategy.http(url))
    try:
        for event in client.events:
            assert event.event == "message"
            heard(event.last_event_id, event.data)
            if is_final(event.data):
                return
    finally:
        client.close()


def node_eventsource(url, heard):
    script = pathlib.Path(__file__).with_name("support") / "eventsource.mjs"
    command = ["node", "--no-warnings", "--experimental-eventsource", script, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = iter(process.stdout)
        for line in lines:
            if line == "closed\n":
                break
            heard(*json.loads(line))
    assert process.returncode == 0, "the 204 to its second connection must end it by itself"


def is_final(data):
    return json.loads(data)["status"] in ("COMPLETED", "ERROR", "CANCELLED")


def node_is_there():
    """Node 20 is the first with an EventSource of its own."""
    if not shutil.which("node"):
        return False
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    return int(version.lstrip("v").partition(".")[0] or 0) >= 20


CLIENTS = [
    pytest.param(curl, marks=pytest.mark.skipif(not shutil.which("curl"), reason="no curl")),
    httpx_sse,
    sseclient_py,
    requests_sse,
    aiohttp_sse_client2,
    launchdarkly,
    pytest.param(node_eventsource, marks=pytest.mark.skipif(not node_is_there(), reason="no node >= 20")),
]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_hears_a_whole_job_while_it_runs(make_gateway, model_server, client):
    gateway = make_gateway({"ocr": {}}, heartbeat="1s")
    route = model_server.route("/ocr")
    output = json.dumps({"text": "two\nlines\r\n\u2028\u0085\f é 😀: data: x"}, ensure_ascii=False).encode()
    route.answer_with(answers.status(500), answers.ok(output))
    route.hold()
    job = gateway.submit("ocr", metadata={"é": "\u2029"})
    heard, failure = [], []
    running = threading.Event()

    def on_event(event_id, data):
        heard.append((int(event_id), data))
        if len(heard) == 2:
            running.set()

    def read():
        try:
            client(gateway.url + job["urls"]["events"], on_event)
        except BaseException as error:
            failure.append(error)
            running.set()

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    assert running.wait(15), f"the first two events come while the model server works; heard: {heard}"
    with gateway.listen(job) as quiet:
        quiet.until(lambda received: b"\n" + wire.HEARTBEAT in received)
    route.release()
    reading.join(20)
    assert not reading.is_alive(), "the stream must end"
    assert not failure, repr(failure[0])
    assert heard == [(event.id, event.data_line.decode()) for event in gateway.events(job)]
    assert len(heard) == 6
