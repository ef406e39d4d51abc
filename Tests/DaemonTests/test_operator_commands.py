"""`inferq jobs`, `models`, `status`, `doctor` and `backup`."""

import contextlib
import json
import signal
import sqlite3
import tarfile

import pytest

import answers
from commands import Command, TerminalCommand
from ports import free_port
from test_commands import inferq, plain
from waiting import until

LARGE = bytes(100 << 10)


@pytest.fixture
def local(make_gateway, tmp_path):
    """A gateway that listens on a Unix socket too, which is its `socket`."""
    gateway = make_gateway({"ocr": {}, "sar": {}}, started=False)
    gateway.socket = tmp_path / "s.sock"
    gateway.settings["listen"] = [f"127.0.0.1:{gateway.port}", f"unix:{gateway.socket}"]
    return gateway.start()


def lines(ended, code=0):
    assert ended.returncode == code, (ended.returncode, ended.stdout, ended.stderr)
    plain(ended.stdout, ended.stderr)
    return ended.stdout.decode().splitlines()


def one_sentence(ended, code, says):
    assert ended.returncode == code, (ended.returncode, ended.stderr)
    said = ended.stderr.decode().splitlines()
    assert len(said) == 1 and says in said[0] and not ended.stdout, (said, ended.stdout)


# Jobs


def test_jobs_lists_what_the_gateway_lists(gateway, model):
    model.route.answer_with(answers.ok(), answers.status(400, body=b"\x1b[2Jno"))
    jobs = [gateway.submit(model.name) for _ in range(2)]
    records = [gateway.ended(job) for job in jobs]
    url = ("--url", gateway.url)
    title, *rows = lines(inferq("jobs", "--model", model.name, *url))
    assert title.split() == ["ID", "STATUS", "MODEL", "AGE", "ATTEMPT", "NOTE"]
    assert [row.split()[:3] for row in rows] == [[r["id"], r["status"], model.name] for r in reversed(records)]
    assert "http_error" in rows[0]
    assert all(row == row.rstrip() for row in rows)
    listed = [json.loads(line) for line in lines(inferq("jobs", "list", "--json", "--model", model.name, *url))]
    assert [job["id"] for job in listed] == [record["id"] for record in reversed(records)]
    only = lines(inferq("jobs", "list", "--status", "error", "--model", model.name, *url))
    assert len(only) == 2 and records[1]["id"] in only[1]


def test_jobs_follows_cursors_up_to_the_limit(gateway, model):
    model.route.hold()
    ids = [gateway.submit(model.name)["id"] for _ in range(7)]
    query = ("jobs", "list", "--json", "--model", model.name, "--url", gateway.url)
    for limit in (3, 7, 5000):
        listed = [json.loads(line)["id"] for line in lines(inferq(*query, "--limit", limit))]
        assert listed == ids[::-1][:limit]
    ended = inferq("jobs", "--model", model.name, "--limit", 3, "--url", gateway.url)
    assert b"--limit" in ended.stderr, "says that there are more"


def test_jobs_follows_the_events_of_all_jobs_over_a_restart(make_gateway):
    gateway = make_gateway({"ocr": {}, "sar": {}})
    with Command("jobs", "--follow", url=gateway.url) as all_, \
            Command("jobs", "--follow", "--model", "sar", url=gateway.url) as one:
        for each in (all_, one):
            each.wait_errors(f"listening at {gateway.url}; Ctrl-C ends it\n".encode())
        first = gateway.ended(gateway.submit("ocr"))
        until(lambda: all_.output.count(b"\n") == 3, "three events")
        gateway.kill()
        gateway.start()
        second = gateway.ended(gateway.submit("sar"))
        until(lambda: all_.output.count(b"\n") == 6, "what came while it was away, too")
        until(lambda: one.output.count(b"\n") == 3, "those of one model")
    events = [json.loads(line) for line in all_.output.splitlines()]
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    assert [(event["event_id"], event["status"]) for event in events] == [
        (job["event_id"], status) for job in (first, second) for status in ("PENDING", "RUNNING", "COMPLETED")]
    assert [json.loads(line) for line in one.output.splitlines()] == events[3:]


@pytest.mark.parametrize("option", [("--status", "error"), ("--limit", "3")])
def test_jobs_follow_refuses_what_it_does_not_do(option):
    ended = inferq("jobs", "--follow", *option)
    assert ended.returncode == 64 and b"--follow shows every event from now on" in ended.stderr


def test_jobs_shows_one(gateway, model):
    job = gateway.ended(gateway.submit(model.name, {"page": "\u001b[31m"}))
    shown = "\n".join(lines(inferq("jobs", "show", job["id"], "--url", gateway.url)))
    for text in (job["id"], job["event_id"], model.name, "COMPLETED", "1 of 3"):
        assert text in shown
    assert json.loads(lines(inferq("jobs", "show", job["id"], "--json", "--url", gateway.url))[0]) == gateway.record(job)


def test_jobs_cancels_retries_and_deletes(gateway, model):
    model.route.hold()
    job = gateway.submit(model.name)
    url = ("--url", gateway.url)
    assert lines(inferq("jobs", "cancel", job["id"], *url)) == [f"{job['id']} cancelled"]
    new = lines(inferq("jobs", "retry", job["id"], *url))[0]
    assert gateway.get(f"/v1/inference/{new}").json()["retry_of"] == job["id"]
    one_sentence(inferq("jobs", "delete", new, *url), 64, new)
    model.route.release()
    gateway.ended({"urls": {"self": f"/v1/inference/{new}"}})
    assert "COMPLETED" in lines(inferq("jobs", "cancel", new, *url))[0]
    assert lines(inferq("jobs", "delete", new, job["id"], *url)) == [f"{new} deleted", f"{job['id']} deleted"]
    one_sentence(inferq("jobs", "show", new, *url), 64, "deleted")


def test_jobs_prints_outputs_byte_for_byte(gateway, model):
    model.route.answer_with(answers.ok(LARGE[:70000] + b"\x1b\xff", "image/png"))
    job = gateway.ended(gateway.submit(model.name))
    ended = inferq("jobs", "output", job["id"], "--url", gateway.url)
    assert (ended.returncode, ended.stdout) == (0, LARGE[:70000] + b"\x1b\xff")


@pytest.mark.parametrize("action", ["show", "cancel", "retry", "output", "delete"])
def test_jobs_of_no_such_id(gateway, action):
    unknown = "01935f2e-0000-7000-8000-000000000000"
    one_sentence(inferq("jobs", action, unknown, "--url", gateway.url), 64, unknown)
    one_sentence(inferq("jobs", action, "../models", "--url", gateway.url), 64, "UUID")


# Models and status


def test_models_lists_pauses_and_resumes(gateway, model):
    url = ("--url", gateway.url)
    title, *rows = lines(inferq("models", *url))
    assert title.split()[:2] == ["MODEL", "STATE"] and model.name in [row.split()[0] for row in rows]
    assert "paused" in lines(inferq("models", "pause", model.name, *url))[0]
    assert gateway.get(f"/v1/models/{model.name}").json()["state"] == "paused"
    listed = {m["name"]: m for m in map(json.loads, lines(inferq("models", "list", "--json", *url)))}
    assert listed[model.name]["state"] == "paused"
    assert "up" in lines(inferq("models", "resume", model.name, *url))[0]
    one_sentence(inferq("models", "pause", "no\u001bbody", *url), 64, "no")


def test_status_on_one_screen(gateway, model):
    gateway.ended(gateway.submit(model.name))
    shown = lines(inferq("status", "--url", gateway.url))
    assert shown[0].startswith("gateway  ready") and any(line.startswith("store") for line in shown)
    assert any(line.split()[:2] == [model.name, "up"] for line in shown)
    status = json.loads(lines(inferq("status", "--json", "--url", gateway.url))[0])
    assert status["store"]["database_bytes"] > 0
    assert {m["name"]: m["ended_per_second"] for m in status["models"]}[model.name] > 0


@pytest.mark.parametrize("command", [["jobs"], ["models"], ["status"], ["backup", "b.tar"]])
def test_69_when_no_gateway_is_there(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one_sentence(inferq(*command, "--url", f"http://127.0.0.1:{free_port()}"), 69, "no gateway answers")
    assert not list(tmp_path.iterdir())


# Backup


def test_backup_through_the_gateway(local, tmp_path):
    local.ended(local.submit_bytes("ocr", LARGE))
    file = tmp_path / "b.tar"
    assert str(file) in lines(inferq("backup", file, "--config", local.config_file))[0]
    with tarfile.open(file) as tar:
        assert tar.getnames()[:2] == ["inferq.db", "blobs"] and len(tar.getnames()) == 3
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    one_sentence(inferq("backup", file, "--config", local.config_file), 64, "--force")
    assert file.read_bytes() == before
    local.submit("ocr")
    lines(inferq("backup", file, "--force", "--url", f"unix:{local.socket}"))
    assert file.read_bytes() != before
    assert not list(tmp_path.glob("*.part"))
    piped = inferq("backup", "-", "--url", f"unix:{local.socket}")
    assert piped.returncode == 0 and piped.stdout[257:262] == b"ustar"
    one_sentence(inferq("backup", tmp_path / "c.tar", "--url", local.url), 64, "Unix socket")
    # What the command line names comes before the environment.
    lines(inferq("backup", tmp_path / "d.tar", "--config", local.config_file, INFERQ_URL=local.url))


def test_backup_without_a_gateway_opens_the_store_itself(local, tmp_path):
    job = local.ended(local.submit_bytes("ocr", LARGE))
    local.kill()  # the log holds what the database does not
    file = tmp_path / "b.tar"
    lines(inferq("backup", file, "--config", local.config_file))
    assert not list(local.folder.glob("*.copy"))
    with tarfile.open(file) as tar:
        tar.extractall(tmp_path / "out")
    with contextlib.closing(sqlite3.connect(tmp_path / "out/inferq.db")) as db:
        assert [row[0].hex() for row in db.execute("SELECT id FROM job")] == [job["id"].replace("-", "")]
    assert len(list((tmp_path / "out/blobs").iterdir())) == 1
    local.restart()
    assert local.record(job) == job


def test_backup_does_not_open_a_store_that_a_gateway_holds(make_gateway, tmp_path):
    gateway = make_gateway({"ocr": {}})
    one_sentence(inferq("backup", tmp_path / "b.tar", "--config", gateway.config_file), 73, "holds the store")


# Doctor


def doctor(gateway, code, *more):
    ended = inferq("doctor", "--json", "--config", gateway.config_file, *more)
    return [json.loads(line) for line in lines(ended, code)]


def wrong(findings):
    return {finding["subject"]: finding["sentence"] for finding in findings if finding["verdict"] == "wrong"}


def test_doctor_finds_nothing_wrong(local):
    local.ended(local.submit_bytes("ocr", LARGE))
    local.folder.chmod(0o700)
    findings = doctor(local, 0)
    assert {finding["verdict"] for finding in findings} == {"ok"}, findings
    assert {f["subject"] for f in findings} == {
        "configuration", "permissions", "disk", "gateway", "store", "model ocr", "model sar"
    }  # fmt: skip
    for line in lines(inferq("doctor", "--config", local.config_file)):
        assert line.startswith("ok     ")
    local.stop()
    assert not wrong(doctor(local, 0))
    local.restart()


def test_doctor_says_what_is_wrong(local, model_server):
    local.ended(local.submit_bytes("ocr", LARGE))
    model_server.route("/health").answer_with(answers.status(500))
    local.models["ocr"]["health"] = "/health"
    local.models["sar"]["url"] = f"http://127.0.0.1:{free_port()}/"
    local.settings["broker"] = {"redis": f"redis://user:secret@127.0.0.1:{free_port()}"}
    local.settings["store"] = {"min_free": "900TiB"}
    local.write_config()
    (local.folder / "inferq.db").chmod(0o644)
    for blob in (local.folder / "blobs").iterdir():
        blob.unlink()
    found = wrong(doctor(local, 1))
    assert found.keys() == {"permissions", "disk", "store", "redis", "model ocr", "model sar"}, found
    assert "secret" not in str(found) and "500" in found["model ocr"]
    local.stop()
    assert "blobs" in wrong(doctor(local, 1))["store"]


@pytest.mark.parametrize(
    "scripted, verdict, words",
    [
        ([answers.status(405)], "ok", "answers 405 to a GET"),
        ([answers.ok()], "ok", "answers 200"),
        ([answers.status(404), answers.status(204, body=b"")], "ok", "answers 404 to a GET"),
        ([answers.status(404), answers.status(404)], "wrong", "answers 404 to a GET at "),
        ([answers.status(307, headers=[("Location", "/v2/ocr")])], "wrong", 'with a redirect to "/v2/ocr", '),
        ([answers.status(308, headers=[("Location", "https://u:p@h.example/x?token=1")])], "wrong",
         "with a redirect to https://u:***@h.example/x?***, "),
        ([answers.status(401)], "note", "models.ocr.headers"),
        ([answers.status(503)], "note", "answers 503"),
        ([answers.status(501)], "ok", "answers 501"),
        ([answers.garbage()], "wrong", "(it does not speak HTTP); correct models.ocr.url"),
        ([answers.half_head()], "note", "(it was closed)"),
    ],
)  # fmt: skip
def test_doctor_says_what_a_path_answers(local, model_server, scripted, verdict, words):
    model_server.route("/ocr").answer_with(*scripted)
    [finding] = [each for each in doctor(local, 1 if verdict == "wrong" else 0) if each["subject"] == "model ocr"]
    assert finding["verdict"] == verdict and words in finding["sentence"], finding
    assert {call.method for call in model_server.route("/ocr").calls} <= {"GET", "OPTIONS"}


def test_doctor_says_where_a_health_path_leads(local, model_server):
    model_server.route("/health").answer_with(answers.redirect("/healthz"))
    local.models["ocr"]["health"] = "/health"
    local.write_config()
    assert 'answers 302, with a redirect to "/healthz"; correct models.ocr.health' in wrong(doctor(local, 1))["model ocr"]


def test_doctor_of_a_wrong_configuration(tmp_path):
    file = tmp_path / "inferq.toml"
    file.write_text('colour = "red"\nheartbeat = 5.5.5\n')
    assert lines(inferq("doctor", "--config", file), 1)[0].startswith("wrong  configuration: ")


def test_status_is_shown_anew_while_the_gateway_comes_and_goes(make_gateway):
    gateway = make_gateway({"ocr": {}})
    with TerminalCommand("status", "--watch", "--url", gateway.url) as status:
        status.wait_for(r"\x1b\[H\d\d:\d\d:\d\d  every 2 s; Ctrl-C ends it\x1b\[K\ngateway  ready at ")
        gateway.kill()
        status.wait_for(r"\ngateway  .*refused.*\x1b\[K\n\x1b\[J")
        gateway.start()
        status.wait_for(r"(?s)refused.*\ngateway  ready at ")
        # Not SIGINT: who runs in the background of a shell ignores it.
        status.process.send_signal(signal.SIGTERM)
        assert status.end() == -signal.SIGTERM


def test_status_as_json_goes_on_over_a_restart(make_gateway):
    gateway = make_gateway({"ocr": {}})
    with Command("status", "--watch", "--json", url=gateway.url) as status:
        until(lambda: status.output.count(b"\n"), "a look")
        gateway.kill()
        until(lambda: b"inferq: " in status.errors, "it is away")
        seen = status.output.count(b"\n")
        gateway.start()
        until(lambda: status.output.count(b"\n") > seen, "it is back")


def test_the_last_hour_begins_with_what_was_pending_at_the_start(make_gateway):
    gateway = make_gateway({"ocr": {"url": "http://127.0.0.1:1/"}})
    for _ in range(3):
        gateway.submit("ocr")
    until(lambda: gateway.get("/v1/status").json()["models"][0]["last_hour"]["pending"][-1] >= 2, "pending jobs")
    gateway.kill()
    gateway.start()
    hour = gateway.get("/v1/status").json()["models"][0]["last_hour"]
    assert {name: len(figures) for name, figures in hour.items()} == {"pending": 60, "completed": 60, "failed": 60}
    assert hour["pending"][-1] >= 2


def test_follow_says_whose_progress_it_is(gateway, model):
    model.route.hold()
    with TerminalCommand("jobs", "--follow", "--url", gateway.url) as follow:
        follow.wait_for("listening at ")
        job = gateway.submit(model.name)
        call = model.route.wait_calls(1)[0]
        headers = {"Content-Type": "application/json", "X-Notify-Token": call.header("X-Notify-Token")}
        detail = {"message": "half", "progress": 0.5}
        body = {"event_id": job["event_id"], "detail_type": "Inf:Task:Notify", "detail": detail}
        assert gateway.post("/v1/notifications", body, headers).status == 201
        follow.wait_for(rf"{job['event_id']}  {model.name}  RUNNING    50 %  half\n")
        model.route.release()


def test_status_follows_as_json_in_a_pipe_and_wants_a_terminal_else(gateway):
    with Command("status", "--watch", "--json", url=gateway.url) as status:
        until(lambda: status.output.count(b"\n") == 2, "two looks")
    assert [json.loads(line)["broker"] for line in status.output.splitlines()] == ["ring"] * 2
    one_sentence(inferq("status", "--watch", "--url", gateway.url), 64, "add --json")
    nobody = f"http://127.0.0.1:{free_port()}"
    one_sentence(inferq("status", "--watch", "--json", "--url", nobody), 69, "no gateway answers")
