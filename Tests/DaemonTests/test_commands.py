"""The command line: output, and exit codes by sysexits."""

import contextlib
import json
import re
import subprocess

import pytest

import answers
from gateway import BINARY, environment, toml
from ports import free_port


def inferq(*arguments, input=b"", **variables):
    """Runs a command to its end, with pipes for all three streams."""
    return subprocess.run(
        [BINARY, *map(str, arguments)], input=input, capture_output=True, timeout=30, env=environment(**variables)
    )


def newest(gateway, model):
    """The newest job of a model."""
    summary = gateway.get(f"/v1/inference?model={model.name}&limit=1").json()["results"][0]
    return gateway.record(summary)


def plain(*outputs):
    """What goes to a pipe has no colors and no progress line that overwrites itself."""
    for output in outputs:
        assert b"\x1b" not in output and b"\r" not in output, output


# Without a gateway


def test_version_and_help():
    version = inferq("--version")
    assert version.returncode == 0 and re.match(rb"\d+\.\d+", version.stdout.split()[-1])
    shown = inferq("--help")
    assert shown.returncode == 0
    for command in (b"serve", b"check", b"submit", b"watch"):
        assert command in shown.stdout
        assert inferq(command.decode(), "--help").returncode == 0


@pytest.mark.parametrize("arguments", [["nonsense"], ["submit"], ["watch"], ["submit", "ocr", "{}", "--colour"]])
def test_wrong_usage_exits_64(arguments):
    ended = inferq(*arguments)
    assert ended.returncode == 64
    assert ended.stderr and not ended.stdout


def check(tmp_path, text, *more):
    file = tmp_path / "inferq.toml"
    file.write_text(text)
    return inferq("check", "--config", file, *more)


def test_check_of_a_good_file_exits_0_and_prints_what_it_understood(tmp_path):
    ended = check(tmp_path, '[models.ocr]\nurl = "http://127.0.0.1:9001/predict"\nconcurrency = 3\n')
    assert ended.returncode == 0, ended.stderr
    assert b"ocr" in ended.stdout
    plain(ended.stdout)


def test_check_prints_every_problem_and_exits_78(tmp_path):
    text = toml(
        {
            "heartbeat": "5 parsecs",
            "colour": "red",
            "max_body": 5,
            "limits": {"connections": -1},
            "store": {"synchronous": "perhaps"},
            "models": {
                "ocr": {"url": "http://127.0.0.1:9001/predict", "concurrency": 0},
                "no-url": {"timeout": "1s"},
                "sar": {"url": "ftp://127.0.0.1/", "max_attempts": 26, "flavour": 1},
            },
        }
    )
    ended = check(tmp_path, text)
    assert ended.returncode == 78
    said = (ended.stderr + ended.stdout).decode()
    assert "inferq.toml" in said
    top = ("heartbeat", "colour", "max_body", "limits.connections", "store.synchronous")
    for path in (*top, "models.ocr.concurrency", "no-url", "models.sar.max_attempts", "models.sar.flavour"):
        assert path in said, f"{path} is not named in:\n{said}"


def test_check_says_line_and_column_of_a_syntax_error(tmp_path):
    ended = check(tmp_path, 'heartbeat = "15s"\nlisten = [\n"a"\n= 5\n')
    assert ended.returncode == 78
    assert re.search(rb"\b4\b", ended.stderr + ended.stdout)


def test_check_of_a_file_that_is_not_there_exits_78(tmp_path):
    ended = inferq("check", "--config", tmp_path / "nothing.toml")
    assert ended.returncode == 78 and b"nothing.toml" in ended.stderr


@pytest.mark.parametrize("arguments", [["submit", "ocr", "{}"], ["watch", "01935f2e-0000-7000-8000-000000000000"]])
def test_69_when_no_gateway_is_there(arguments):
    url = f"http://127.0.0.1:{free_port()}"
    for ended in (inferq(*arguments, "--url", url), inferq(*arguments, INFERQ_URL=url)):
        assert ended.returncode == 69
        assert len(ended.stderr.strip().splitlines()) == 1, "one sentence"
        assert not ended.stdout
        plain(ended.stderr)


# Submit


def test_submit_of_json_on_the_command_line(gateway, model):
    ended = inferq("submit", model.name, '{"a": [1, "é"]}', "--url", gateway.url, "--priority", 7, "--timeout", "9s")
    assert ended.returncode == 0, ended.stderr
    job = newest(gateway, model)
    assert job["priority"] == 7
    assert job["id"] in ended.stdout.decode()
    assert json.loads(model.route.wait_calls(1)[0].body) == {"a": [1, "é"]}
    plain(ended.stdout, ended.stderr)


def test_submit_of_a_file_and_of_standard_input(gateway, model, tmp_path):
    file = tmp_path / "input.json"
    file.write_bytes(b'{ "from" : "file" }')
    assert inferq("submit", model.name, file, "--url", gateway.url).returncode == 0
    assert inferq("submit", model.name, "-", "--url", gateway.url, input=b'{"from":"pipe"}').returncode == 0
    assert [json.loads(call.body)["from"] for call in model.route.wait_calls(2)] == ["file", "pipe"]


def test_submit_of_another_type_goes_out_byte_for_byte(gateway, model, tmp_path):
    file = tmp_path / "page.png"
    file.write_bytes(bytes(range(256)) * 1000)
    assert inferq("submit", model.name, file, "--type", "image/png", INFERQ_URL=gateway.url).returncode == 0
    call = model.route.wait_calls(1)[0]
    assert (call.body, call.header("Content-Type")) == (file.read_bytes(), "image/png")


def test_submit_to_an_unknown_model_says_so(gateway):
    ended = inferq("submit", "nobody", "{}", "--url", gateway.url)
    assert ended.returncode not in (0, 1)
    assert b"nobody" in ended.stderr and not ended.stdout


@pytest.mark.parametrize("answer, code", [(answers.ok(), 0), (answers.status(400), 1)], ids=["COMPLETED", "ERROR"])
def test_submit_with_watch_exits_by_the_end_of_the_job(gateway, model, answer, code):
    model.route.answer_with(answer)
    ended = inferq("submit", model.name, "{}", "--watch", "--url", gateway.url)
    assert ended.returncode == code, ended.stderr
    plain(ended.stdout, ended.stderr)


# Watch


def test_watch_exits_by_the_end_of_the_job(gateway, model):
    model.route.answer_with(answers.ok(), answers.status(400))
    completed, failed = gateway.submit(model.name), gateway.submit(model.name)
    cancelled = gateway.submit(model.name, delay="1h")
    gateway.cancel(cancelled)
    for job, code in ((completed, 0), (failed, 1), (cancelled, 1)):
        gateway.ended(job)
        ended = inferq("watch", job["event_id"], "--url", gateway.url)
        assert ended.returncode == code, ended.stderr
        plain(ended.stdout, ended.stderr)


def test_watch_of_an_unknown_job_says_so(gateway):
    ended = inferq("watch", "01935f2e-0000-7000-8000-000000000000", "--url", gateway.url)
    assert ended.returncode not in (0, 1) and ended.stderr


def test_watch_goes_on_over_a_crash_of_the_gateway(make_gateway, model_server):
    gateway = make_gateway({"ocr": {}})
    route = model_server.route("/ocr")
    route.hold()
    job = gateway.submit("ocr")
    watching = subprocess.Popen(
        [BINARY, "watch", job["event_id"], "--url", gateway.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    try:
        assert watching.stdout.readline(), "it tells of each event as it comes, on a pipe too"
        gateway.kill()
        route.release()
        gateway.restart()
        output, errors = watching.communicate(timeout=20)
        assert watching.returncode == 0, errors
        plain(output)
    finally:
        watching.kill()
        watching.wait()


def test_no_proxy_is_asked_for_a_gateway(gateway):
    away = f"http://127.0.0.1:{free_port()}"
    names = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
    ended = inferq("status", "--url", gateway.url, **dict.fromkeys(names, away))
    assert ended.returncode == 0, ended


def test_an_input_that_is_refused_is_not_read_to_its_end(make_gateway):
    gateway = make_gateway({"ocr": {}}, max_body="2MiB")
    command = [BINARY, "submit", "ocr", "-", "--type", "image/png", "--url", gateway.url]
    with subprocess.Popen(
        command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as submit:
        try:
            # More never comes, and this end stays open; the command may have ended before it has all.
            with contextlib.suppress(BrokenPipeError):
                submit.stdin.write(bytes(3 << 20))
            assert submit.wait(timeout=20) == 64
            assert submit.stderr.read().startswith(b"inferq: ")
        finally:
            submit.kill()


def test_client_commands_speak_over_a_unix_socket(make_gateway, tmp_path):
    gateway = make_gateway({"ocr": {}}, started=False)
    path = tmp_path / "inferq.sock"
    gateway.settings["listen"] = [f"127.0.0.1:{gateway.port}", f"unix:{path}"]
    gateway.start()
    ended = inferq("submit", "ocr", "{}", "--watch", "--url", f"unix:{path}")
    assert ended.returncode == 0, ended.stderr
