"""What the process takes from its surroundings: a log that no one reads, signals at any moment, sockets of others, and
few open files."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from gateway import BINARY, environment
from ports import free_port
from service import ServiceManager
from test_commands import inferq
from waiting import until

F_SETPIPE_SZ = 1031     # fcntl(2), Linux


def launch(gateway, stderr, **more):
    """The gateway with a standard error of the test's own."""
    gateway.write_config()
    gateway.process = subprocess.Popen(
        [BINARY, "serve", "--config", gateway.config_file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=stderr, env=environment(), cwd=gateway.folder, **more,
    )  # fmt: skip


# The log


@pytest.fixture
def pipe():
    """A pipe that is full after 4 KiB: its two ends."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], F_SETPIPE_SZ, 4096)
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def read_lines(descriptor):
    """All lines until the other end is closed."""
    data = b""
    while piece := os.read(descriptor, 1 << 16):
        data += piece
    return [json.loads(line) for line in data.splitlines()]


def test_a_log_that_nobody_reads_holds_up_nothing(make_gateway, pipe):
    gateway = make_gateway({"ocr": {}}, started=False, log_level="debug")
    launch(gateway, pipe[1])
    os.close(pipe[1])
    until(gateway._is_ready, "readyz", 20)
    for job in [gateway.submit("ocr") for _ in range(50)]:
        assert gateway.ended(job)["status"] == "COMPLETED"
    assert gateway.get("/livez").status == 200
    gateway.stop()
    lines = read_lines(pipe[0])
    assert lines[0]["message"] == "store opened", "what the pipe took is whole, and begins with the first line"


def test_a_sentence_that_nobody_reads_does_not_keep_a_start_that_failed(make_gateway, pipe):
    gateway = make_gateway({"ocr": {}}, started=False, nonsense=1)
    os.write(pipe[1], bytes(4096))
    launch(gateway, pipe[1])
    assert gateway.process.wait(60) == 78


def test_a_flag_that_others_share_is_not_changed(make_gateway, pipe):
    gateway = make_gateway({"ocr": {}}, started=False)
    launch(gateway, pipe[1])
    until(gateway._is_ready, "readyz", 20)
    assert not fcntl.fcntl(pipe[1], fcntl.F_GETFL) & os.O_NONBLOCK
    gateway.stop()


def test_lines_that_found_no_room_are_counted_and_told_once(make_gateway, pipe):
    # A reload tells of each model that came or went: a long line.
    names = [[f"{kind}{n:03}-" + "x" * 50 for n in range(300)] for kind in "ab"]
    models = [{name: {"url": "http://127.0.0.1:9/"} for name in each} for each in names]
    gateway = make_gateway(models[0], started=False)
    launch(gateway, pipe[1])
    os.close(pipe[1])
    until(gateway._is_ready, "readyz", 20)

    def dropped():
        [line] = [line for line in gateway.get("/metrics").body.decode().splitlines()
                  if line.startswith("inferq_log_lines_dropped_total ")]  # fmt: skip
        return int(line.split()[1])

    turn = 0
    assert dropped() == 0
    while dropped() < 2:
        turn += 1
        assert turn < 100, "over 3 MB of lines, and none was dropped"
        gateway.models = models[turn % 2]
        gateway.reload()
        newest = names[turn % 2][-1]
        until(lambda: newest in gateway.get("/v1/models").body.decode(), "the reload", 20)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(read_lines(pipe[0])))
    reader.start()
    gateway.models = models[(turn + 1) % 2]
    until(lambda: gateway.reload() or dropped() == dropped(), "an answer")
    gateway.stop()
    reader.join(15)
    told = [line for line in lines if line["message"].startswith("log lines are missing here")]
    assert len(told) == 1 and told[0]["dropped"] >= 2 and told[0]["level"] == "warning", told
    reloads = [line for line in lines[: lines.index(told[0])] if line["message"] == "configuration reloaded"]
    assert [line["added"][0][0] for line in reloads] == (["b", "a"] * turn)[: len(reloads)], "in order, none missing before"
    assert lines[-1]["message"] == "stopped"


# Signals


@pytest.fixture
def waiting(make_gateway):
    """A gateway that waits for the store that another one holds; that other one."""
    first = make_gateway({"ocr": {}})
    second = make_gateway({"ocr": {}}, started=False, store={"path": str(first.folder / "inferq.db")})
    second.launch()
    until(lambda: "waiting for it to end" in second.log(), "the second one at the store")
    return second, first


def test_a_reload_during_the_start_is_made_after_it(waiting):
    second, first = waiting
    second.models["asr"] = {"url": "http://127.0.0.1:9/"}
    second.reload()
    first.stop()
    until(second._is_ready, "the second one", 20)
    until(lambda: "configuration reloaded" in second.log(), "the reload")
    second.submit("asr", delay="1h")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_the_start_ends_it_at_once_in_0(waiting, number):
    second, _ = waiting
    second.process.send_signal(number)
    assert second.process.wait(60) == 0


def test_a_worker_says_what_a_reload_does_to_it(tmp_path):
    config, log = tmp_path / "worker.toml", tmp_path / "log"
    text = f'[broker]\nredis = "redis://127.0.0.1:{free_port()}"\n[models.ocr]\nurl = "http://127.0.0.1:9/"\n'
    config.write_text(text)
    with log.open("wb") as file:
        worker = subprocess.Popen([BINARY, "worker", "--config", config], stderr=file, env=environment())
    try:
        said = lambda words: until(lambda: words in log.read_text(), words)
        said("redis cannot be used")
        for change, words in (
            ("", "configuration reloaded"),
            ('log_level = "debug"\n', '"log_level":"debug"'),
            ('drain_timeout = "1s"\n', "the configuration has changed: restart the worker"),
            ("nonsense = 1\n", "the new configuration is refused"),
        ):
            config.write_text(change + text)
            worker.send_signal(signal.SIGHUP)
            said(words)
        worker.terminate()
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait(60)


# Unix sockets


@pytest.fixture
def local(make_gateway, tmp_path):
    """Makes gateways that listen on one and the same Unix socket, which is their `socket`."""

    def make(started=True):
        gateway = make_gateway({"ocr": {}}, started=False)
        gateway.socket = tmp_path / "s.sock"
        gateway.settings["listen"] = [f"127.0.0.1:{gateway.port}", f"unix:{gateway.socket}"]
        return gateway.start() if started else gateway

    return make


def reached(path):
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
            return True
        except OSError:
            return False


def refused(gateway):
    gateway.launch()
    assert gateway.process.wait(60) == 69, gateway.log()
    assert f"cannot listen on unix:{gateway.socket} (" in gateway.log()


def test_the_socket_of_a_running_gateway_is_not_taken_over(local):
    first, second = local(), local(started=False)
    refused(second)
    assert "Address already in use" in second.log() and "remove" not in second.log()
    assert reached(first.socket)
    first.stop()
    assert not first.socket.exists()
    second.start()
    assert reached(second.socket)


def test_a_socket_whose_callers_queue_up_and_one_of_another_kind_are_alive_too(local):
    gateway = local(started=False)
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as caller:
        other.bind(str(gateway.socket))
        other.listen(0)
        caller.connect(str(gateway.socket))
        refused(gateway)
    gateway.socket.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(gateway.socket))
        refused(gateway)


def test_a_socket_at_which_nobody_listens_is_replaced_and_any_other_file_is_not(local):
    gateway = local(started=False)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(gateway.socket))
        dead.listen()
    gateway.start()
    gateway.kill()
    gateway.restart()
    gateway.stop()
    gateway.socket.write_text("mine")
    refused(gateway)
    assert gateway.socket.read_text() == "mine"


def test_a_socket_that_has_taken_the_place_of_ours_stays(local):
    gateway = local()
    gateway.socket.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(gateway.socket))
        other.listen()
        gateway.stop()
        assert reached(gateway.socket)


def test_of_several_that_start_at_once_one_has_the_socket(local):
    gateways = [local(started=False) for _ in range(3)]
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(gateways[0].socket))
        dead.listen()
    for each in gateways:
        each.launch()
    ready = until(lambda: [each for each in gateways if each.is_running and each._is_ready()], "one of them", 20)
    losers = [each for each in gateways if each is not ready[0]]
    assert [each.process.wait(60) for each in losers] == [69, 69]
    assert reached(ready[0].socket)


# What systemd hands in


def test_no_address_is_needed_beside_sockets_of_systemd(tmp_path):
    manager = ServiceManager(tmp_path)
    try:
        manager.write_config("listen = []")
        manager.start().wait_for("^READY=1$")
        assert manager.said("^STATUS=") and not manager.said("degraded")
        manager.reload()
        until(lambda: "configuration reloaded" in manager.log(), "the reload")
        manager.stop()
        ended = inferq("serve", "--config", manager.config_file)
        assert ended.returncode == 78
        assert b"listen: the list is empty, and systemd passes no sockets; name at least one address" in ended.stderr
        ended = inferq("check", "--config", manager.config_file)
        assert ended.returncode == 0 and b"warning: listen is empty" in ended.stderr
    finally:
        manager.close()


# Open files


@pytest.mark.parametrize("limit", [6, 8, 12, 16, 24, 40])
def test_too_few_open_files_are_a_sentence(tmp_path, limit):
    config = tmp_path / "inferq.toml"
    config.write_text(f'listen = ["127.0.0.1:0"]\n[store]\npath = "{tmp_path}/inferq.db"\n')
    url = f"http://127.0.0.1:{free_port()}"
    for arguments, codes in (
        (["serve", "--config", config], {71}),
        (["worker", "--config", config], {71}),
        (["status", "--url", url], {69, 71}),
        (["submit", "ocr", "{}", "--url", url], {69, 71}),
        (["backup", "-", "--config", config], {71, 73}),
        (["check", "--config", config], {0, 71}),
    ):
        ended = subprocess.run(
            ["prlimit", f"--nofile={limit}:{limit}", BINARY, *arguments], capture_output=True, timeout=30,
            env=environment(),
        )  # fmt: skip
        assert ended.returncode in codes, (arguments, ended)
        if ended.returncode == 71:
            [line] = ended.stderr.decode().splitlines()
            assert line.startswith(f"inferq: the limit on open files is too low ({limit}); raise it")
