"""A listening socket that somebody else opened and keeps, as systemd does: restarts refuse and lose no request."""

import http.client, signal, socket, subprocess, threading

import pytest

from gateway import BINARY
from waiting import until

RESTARTS = 20


def start(listener, config, log):
    """Starts the gateway with the socket as descriptor 3, as sd_listen_fds(3) has it."""
    command = 'export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=inferq.socket; exec "$0" serve --config "$1" 3<&"$2"'
    return subprocess.Popen(
        ["bash", "-c", command, str(BINARY), str(config), str(listener.fileno())],
        pass_fds=[listener.fileno()], stderr=log, stdout=log,
    )


@pytest.mark.parametrize("text, status", [("", 200), ("nonsense = 1", 503)], ids=["normal", "degraded"])
def test_restarts_with_an_inherited_listener_lose_no_request(tmp_path, text, status):
    config = tmp_path / "inferq.toml"
    config.write_text(f'{text}\n[store]\npath = "{tmp_path}/inferq.db"\n')
    failures, answered, over = [], [0], threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, open(tmp_path / "log", "ab") as log:
        port = listener.getsockname()[1]

        def client():
            while not over.is_set():
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                try:
                    connection.request("GET", "/readyz")
                    answer = connection.getresponse()
                    answer.read()
                    answered[0] += 1
                    if answer.status != status:
                        failures.append(answer.status)
                except OSError as error:
                    failures.append(repr(error))
                finally:
                    connection.close()

        clients = [threading.Thread(target=client) for _ in range(4)]
        process = start(listener, config, log)
        for thread in clients:
            thread.start()
        try:
            for _ in range(RESTARTS):
                before = answered[0]
                until(lambda: answered[0] >= before + 50, "fifty answers", 20)
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0
                process = start(listener, config, log)
        finally:
            over.set()
            for thread in clients:
                thread.join()
            process.terminate()
            process.wait(60)
    assert not failures, (failures[:5], len(failures), answered[0])
