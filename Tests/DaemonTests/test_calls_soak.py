"""Clients of calls that hang up at any moment: nothing of them is left behind."""

import os
import random
import socket
import threading

import pytest

import answers
import wire
from waiting import until

CLIENTS, CALLS = 12, 25


def descriptors(gateway):
    """What each open descriptor of the gateway leads to."""
    targets = []
    for name in os.listdir(f"/proc/{gateway.process.pid}/fd"):
        try:
            targets.append(os.readlink(f"/proc/{gateway.process.pid}/fd/{name}"))
        except FileNotFoundError:
            pass
    return targets


def connections(gateway):
    return sum(target.startswith("socket:") for target in descriptors(gateway))


def open_bodies(gateway):
    return [target for target in descriptors(gateway) if target.startswith(str(gateway.folder / "blobs"))]


@pytest.mark.timeout(120)
def test_clients_that_hang_up_at_random_leave_nothing_behind(make_gateway, model_server):
    gateway = make_gateway(
        {"llama": {"url": model_server.url(""), "dialect": "openai", "concurrency": 4, "linger": "50ms"}}
    )
    route = model_server.route("/v1/chat/completions")
    route.answer_with(answers.after(0.02))
    body = b'{"model":"llama","text":"' + b"x" * 100_000 + b'"}'
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    assert wire.exchange(gateway.address, "POST", "/v1/chat/completions", body).status == 200
    # With the one to the model server, which is kept for 4 s.
    before = connections(gateway)

    def run(seed):
        choice = random.Random(seed)
        for _ in range(CALLS):
            with wire.dial(gateway.address) as sock:
                sock.sendall(head + body[: choice.choice([0, 1, 50_000, len(body), len(body), len(body)])])
                sock.settimeout(choice.choice([0.001, 0.01, 0.05, 0.3]))
                try:
                    sock.recv(100)
                except TimeoutError:
                    pass
                if choice.random() < 0.5:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def active():
        return [
            job["status"]
            for status in ("PENDING", "RUNNING")
            for job in gateway.get(f"/v1/inference?status={status}&limit=1000").json()["results"]
        ]

    until(lambda: not active(), "the end of all jobs", 30)
    [model] = gateway.get("/v1/models").json()["results"]
    assert (model["running"], model["pending"]) == (0, 0)
    # Files of the store are not counted: it opens up to `readers` connections of its own, each when it is first needed.
    until(lambda: connections(gateway) <= before, "that all connections are closed", 15)
    assert not open_bodies(gateway)
    assert route.active == 0
    assert wire.exchange(gateway.address, "POST", "/v1/chat/completions", body).status == 200
    named = {job["id"] for job in gateway.get("/v1/inference?limit=1000").json()["results"]}
    assert len(list((gateway.folder / "blobs").iterdir())) == len(named), "one input for each job"
