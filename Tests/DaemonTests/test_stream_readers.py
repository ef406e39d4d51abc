"""Streams as clients and proxies read them that no one here wrote: readers of events, Ollama's own client, nginx."""

import json
import socket
import subprocess
import threading
import time

import ollama
import pytest

import unpacked
from ports import free_port
from streamreader import Reader
from streamserver import CHAT, OLLAMA, WORDS, line, said, site  # noqa: F401
from test_event_clients import CLIENTS
from waiting import fair, until


@pytest.mark.parametrize("client", CLIENTS)
def test_a_reader_of_events_hears_the_pieces_in_their_place(site, client):
    each = site()
    feed = each.feed()
    job = each.submit(feed)
    heard, failure = [], []

    def read():
        try:
            client(each.gateway.url + job["urls"]["events"] + "?output=true", lambda *event: heard.append(event))
        except BaseException as error:
            failure.append(error)

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    for frame in CHAT.frames:
        feed.send(frame)
        until(lambda: failure or len(heard) and frame_is_heard(heard, feed), "the piece")
    feed.send(CHAT.mark)
    feed.finish()
    reading.join(20)
    assert not reading.is_alive() and not failure
    events = [json.loads(data) for _, data in heard]
    pieces = [event["data"] for event in events if event["detail_type"] == "Inf:Task:Output"]
    assert "".join(piece["text"] for piece in pieces).encode() == feed.body
    assert [id for id, _ in heard] == sorted((id for id, _ in heard), key=int)
    assert events[-1]["status"] == "COMPLETED"


def frame_is_heard(heard, feed):
    ends = [event["data"]["to"] for event in map(json.loads, (data for _, data in heard)) if "to" in event["data"]]
    return ends and max(ends) == len(feed.body)


# Ollama's own client


def test_the_client_of_ollama_reads_a_stream_and_hears_of_errors(site):
    each = site(OLLAMA)
    each.route.answer_with(said(*OLLAMA.frames, OLLAMA.mark, content_type=OLLAMA.content_type, pause=0.02))
    client = ollama.Client(each.gateway.url)
    chat = [{"role": "user", "content": "hi"}]
    parts = list(client.chat("m", chat, stream=True))
    assert parts[-1].done and len(parts) == len(OLLAMA.frames) + 1
    each.route.answer_with(said(OLLAMA.frames[0], line({"error": WORDS}), content_type=OLLAMA.content_type))
    with pytest.raises(ollama.ResponseError, match=WORDS):
        list(client.chat("m", chat, stream=True))


def test_the_client_of_ollama_never_takes_a_cut_stream_for_whole(site):
    each = site(OLLAMA)
    each.route.answer_with(said(*OLLAMA.frames, content_type=OLLAMA.content_type, ending="cut"))
    with pytest.raises(Exception):
        parts = list(ollama.Client(each.gateway.url).chat("m", [{"role": "user", "content": "hi"}], stream=True))
        assert parts[-1].done, "the last line says that it is whole, and there is none"


# nginx


@pytest.fixture
def nginx(site, tmp_path):
    """Sites behind nginx with its defaults, and with gzip, which would gather bytes."""
    program = unpacked.program("nginx", "usr/sbin/nginx")
    if not program:
        pytest.skip("no nginx, and no package of it")
    processes = []

    def make():
        each = site()
        port = free_port()
        settings = tmp_path / "nginx.conf"
        settings.write_text(f"""
            daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}
            http {{
                access_log off; gzip on; gzip_proxied any; gzip_types text/event-stream;
                client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;
                fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
                server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {each.gateway.url}; }} }}
            }}
        """)
        command = [program, "-e", tmp_path / "error.log", "-c", settings]
        processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        until(lambda: is_open(port), "nginx")
        return each, ("127.0.0.1", port)

    yield make
    for process in processes:
        process.terminate()
        process.wait(10)


def is_open(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def through(address):
    fields = {"Content-Type": "application/json"}
    return Reader(address, "POST", CHAT.target, b'{"model":"m","stream":true}', fields)


def test_nginx_passes_each_frame_on_as_it_comes(nginx):
    each, address = nginx()
    feed = each.feed()
    reader = through(address)
    for frame in CHAT.frames:
        feed.send(frame)
        sent = time.monotonic()
        reader.until(frame)
        assert time.monotonic() - sent < fair(0.5, sent)
    feed.send(CHAT.mark)
    feed.finish()
    assert reader.whole() == feed.body


def test_nginx_passes_a_cut_on(nginx):
    each, address = nginx()
    feed = each.feed()
    reader = through(address)
    feed.send(CHAT.frames[0])
    reader.until(CHAT.frames[0])
    feed.cut()
    assert reader.to_end().ending == "cut"
    assert reader.body.startswith(feed.body)
