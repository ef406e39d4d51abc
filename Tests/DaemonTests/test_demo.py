"""`inferq demo`: a gateway of its own, killed in the middle of an answer, and nothing left behind."""

import json
import os
import re
import signal
import subprocess
import urllib.request

import pytest

from commands import TerminalCommand
from gateway import BINARY, environment
from test_commands import inferq
from waiting import until

TEXT = "The box stands in a hut by the sea"


class Demo(TerminalCommand):
    """A demo on a terminal."""

    def __init__(self, folder, *flags):
        super().__init__("demo", *flags, TMPDIR=str(folder))
        self.folder = folder

    @property
    def processes(self):
        """The command lines of what works on its folder, itself apart."""
        found = []
        for entry in os.listdir("/proc"):
            try:
                line = open(f"/proc/{entry}/cmdline").read().split("\0") if entry.isdigit() else []
                surroundings = open(f"/proc/{entry}/environ").read() if line else ""
            except OSError:
                continue
            if f"TMPDIR={self.folder}" in surroundings and int(entry) != self.process.pid:
                found.append(line)
        return found


@pytest.mark.timeout(60)
def test_a_job_outlives_the_gateway_that_is_killed_in_the_middle_of_its_answer(tmp_path):
    with Demo(tmp_path, "--once") as demo:
        assert demo.end() == 0, demo.written
        first, second = re.findall(TEXT, demo.written), demo.written.split("$ inferq watch ")[2]
        assert len(first) == 2, "an answer that was begun, and a whole one"
        killed = re.search(r"\$ kill -9 (\d+)\n", demo.written)[1]
        assert f"process {killed}. " in demo.written, "the gateway that was announced"
        assert re.search(r"killed by signal 9 and runs again, as process \d+\.\n", demo.written)
        assert "attempt 1 was interrupted (the gateway crashed) and will be repeated; attempt 2 starts" in demo.written
        events = [line.split(maxsplit=2)[1:] for line in second.splitlines()[1:] if line]
        assert [event[0] for event in events if event[0] != "RUNNING"] == ["PENDING", "PENDING", "COMPLETED"], second
        assert ["RUNNING", "attempt 2 started"] in events
        assert any("%  writing" in event[1] for event in events), "the model server tells of its progress"
        assert not list(tmp_path.iterdir()) and not demo.processes


@pytest.mark.timeout(60)
def test_the_commands_that_it_prints_work(tmp_path):
    with Demo(tmp_path) as demo:
        url = demo.wait_for(r"export INFERQ_URL=(\S+)\n")[1]
        submit = demo.wait_for(r"inferq submit demo '(.+)' --watch\n")[1]
        process = int(demo.wait_for(r"\n  kill -9 (\d+)\n")[1])
        demo.wait_for("listening at ")
        ended = inferq("submit", "demo", submit, "--watch", INFERQ_URL=url)
        assert ended.returncode == 0 and ended.stdout.decode().startswith(TEXT)
        demo.wait_for(r"demo  RUNNING    attempt 1 started")
        os.kill(process, signal.SIGKILL)
        demo.wait_for(rf"runs again, as process (?!{process})")
        with urllib.request.urlopen(f"{url}/readyz") as answer:
            assert answer.status == 200, "the socket stays, and the answer waits for the gateway"
        with urllib.request.urlopen(f"{url}/v1/inference") as answer:
            assert [job["status"] for job in json.load(answer)["results"]] == ["COMPLETED"] * 2
        demo.process.send_signal(signal.SIGINT)
        assert demo.end() == 0
        assert not list(tmp_path.iterdir()) and not demo.processes


def test_its_gateway_runs_for_as_long_as_nobody_kills_it(tmp_path):
    with Demo(tmp_path) as demo:
        url = demo.wait_for(r"export INFERQ_URL=(\S+)\n")[1]
        process = demo.wait_for(r"\n  kill -9 (\d+)\n")[1]
        # Threads that have nothing to do end after some seconds.
        for _ in range(4):
            assert inferq("submit", "demo", "{}", "--watch", INFERQ_URL=url).returncode == 0
        assert os.path.exists(f"/proc/{process}"), demo.written
        assert demo.written.count("killed by signal") == 1


def test_openais_clients_are_answered_whole_and_as_a_stream(tmp_path):
    with Demo(tmp_path) as demo:
        url = demo.wait_for(r"export INFERQ_URL=(\S+)\n")[1]

        def chat(**members):
            body = json.dumps({"model": "demo", "messages": [], **members}).encode()
            headers = {"Content-Type": "application/json"}
            with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/chat/completions", body, headers)) as answer:
                return answer.read().decode()

        whole = json.loads(chat())["choices"][0]["message"]["content"]
        frames = chat(stream=True).split("\n\n")
        assert frames[-2:] == ["data: [DONE]", ""]
        deltas = [json.loads(frame[6:])["choices"][0]["delta"] for frame in frames[:-2]]
        assert "".join(delta.get("content", "") for delta in deltas) == whole and whole.startswith(TEXT)


@pytest.mark.parametrize(("number", "moment"), [
    (signal.SIGINT, "inferq submit"), (signal.SIGINT, TEXT), (signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, TEXT),
    (signal.SIGHUP, TEXT),
])
def test_a_signal_ends_it_at_any_moment_and_nothing_stays(tmp_path, number, moment):
    with Demo(tmp_path) as demo:
        demo.wait_for(moment)
        demo.process.send_signal(number)
        assert demo.end() == 0, demo.written
        assert not list(tmp_path.iterdir()) and not demo.processes


def test_what_it_has_started_ends_with_it_even_when_it_is_killed(tmp_path):
    with Demo(tmp_path) as demo:
        demo.wait_for(TEXT)
        demo.process.send_signal(signal.SIGKILL)
        until(lambda: not demo.processes, "the end of the gateway and of the listener")


def test_a_pipe_has_each_command_on_a_line_of_its_own(tmp_path):
    # As from a parent that does not want to hear of its children.
    ran = subprocess.run(
        ["sh", "-c", f"trap '' CHLD; exec {BINARY} demo --once"], capture_output=True, text=True, timeout=60,
        env=environment(TMPDIR=str(tmp_path)),
    )
    assert ran.returncode == 0, ran.stderr
    assert [line.split()[1] for line in ran.stdout.splitlines() if line.startswith("$ ")] == [
        "inferq", "inferq", "kill", "inferq"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    ended = inferq("demo", TMPDIR=str(tmp_path / "no"))
    assert ended.returncode == 73
    says = f"inferq: no folder can be created in {tmp_path}/no (No such file or directory); name another in TMPDIR\n"
    assert ended.stderr.decode() == says


def test_where_a_gateway_cannot_start_its_own_words_are_told(tmp_path):
    # Too few open files for the gateway, and enough for the demo.
    ended = subprocess.run(
        ["prlimit", "--nofile=48:48", BINARY, "demo", "--once"], capture_output=True, timeout=60,
        env=environment(TMPDIR=str(tmp_path)),
    )
    said = ended.stderr.decode().splitlines()
    assert ended.returncode == 71 and len(said) == 1, (ended.returncode, said)
    assert said[0].startswith("inferq: the gateway of the demo has ended: "), said
    assert not list(tmp_path.iterdir())
