"""`inferq batch`: a file of requests, run and fetched from the command line."""

import json
import subprocess

import pytest

import answers
from commands import on_terminal
from gateway import BINARY, environment
from test_batches import CHAT, Site, line, lines, spoken


@pytest.fixture
def site(make_gateway, model_server):
    def make(settings=None, **keys):
        table = {"url": model_server.url(""), "dialect": "openai", "max_attempts": 1, "concurrency": 4}
        site = Site(make_gateway({"m": table | keys}, **(settings or {})), model_server.route(CHAT))
        site.route.answer_with(spoken)
        return site

    return make


def run(site, *arguments):
    command = [BINARY, "batch", *map(str, arguments), "--url", site.gateway.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(), cwd=site.gateway.folder)


def read(path):
    return [json.loads(each) for each in path.read_text().splitlines()]


def test_a_file_is_run_and_what_came_of_it_is_written(site, tmp_path):
    site, file = site(), tmp_path / "in.jsonl"
    file.write_bytes(lines(*(line(f"r{n}", say=str(n)) for n in range(20))))
    done = run(site, file, "--watch")
    assert done.returncode == 0, done
    assert [each["custom_id"] for each in read(tmp_path / "in.output.jsonl")] == [f"r{n}" for n in range(20)]
    assert not (tmp_path / "in.errors.jsonl").exists() and done.stdout == ""
    assert "20 of 20 lines were answered" in done.stderr
    again = run(site, file, "--watch")
    assert again.returncode == 64 and "already exists" in again.stderr and len(site.route.calls) == 20
    assert run(site, file, "--watch", "--force").returncode == 0


def test_lines_may_be_bodies_alone(site, tmp_path):
    site, file = site(), tmp_path / "bodies"
    file.write_text('{"say": "a"}\n\n{"model": "m", "say": "b"}\n')
    done = run(site, file, "--model", "m", "--watch")
    assert done.returncode == 0, done
    output = read(tmp_path / "bodies.output.jsonl")
    said = [(each["custom_id"], each["response"]["body"]["choices"][0]["message"]["content"]) for each in output]
    assert said == [("line-1", "a"), ("line-3", "b")]
    assert {json.loads(call.body)["model"] for call in site.route.calls} == {"m"}


def test_without_a_watch_its_id_is_printed_and_it_can_be_watched_later(site, tmp_path):
    site, file = site(), tmp_path / "in.jsonl"
    file.write_bytes(lines(line("a")))
    done = run(site, file)
    assert done.returncode == 0 and done.stdout.startswith("batch_"), done
    id = done.stdout.strip()
    watched = run(site, id)
    assert watched.returncode == 0, watched
    assert [each["custom_id"] for each in read(site.gateway.folder / f"{id}.output.jsonl")] == ["a"]


def test_a_terminal_shows_a_bar(site, tmp_path):
    site, file = site(concurrency=1), tmp_path / "in.jsonl"
    site.route.hold()
    file.write_bytes(lines(*(line(f"r{n}") for n in range(4))))

    class Gate:
        set = staticmethod(site.route.release)

    code, written = on_terminal(
        "batch", str(file), "--watch", url=site.gateway.url, after="[------------------------]  0 %  0 of 4 lines", gate=Gate)
    assert code == 0 and "IN_PROGRESS" in written and "4 of 4 lines were answered" in written, written


def test_lines_that_failed_are_written_and_told(site, tmp_path):
    site, file = site(), tmp_path / "in.jsonl"
    site.route.answer_with(answers.status(422))
    file.write_bytes(lines(line("a"), line("b")))
    done = run(site, file, "--watch")
    assert done.returncode == 1 and "0 of 2 lines were answered, 2 failed" in done.stderr, done
    assert [each["response"]["status_code"] for each in read(tmp_path / "in.errors.jsonl")] == [422, 422]
    assert not (tmp_path / "in.output.jsonl").exists()


def test_what_is_wrong_with_the_input_is_told(site, tmp_path):
    site, file = site(), tmp_path / "in.jsonl"
    file.write_bytes(lines(line("a"), line("a", model="other")))
    done = run(site, file, "--watch")
    assert done.returncode == 1 and "line 2: custom_id was already used by an earlier line" in done.stderr, done


@pytest.mark.parametrize("content, words", [
    (b"", "has no lines"), (b"{}\n[]\n", "names no model"), (b'{"model":"m"}\n[]\n', "line 2"),
    (b'{"custom_id": "a", "body": 5}', "body is not"),
])  # fmt: skip
def test_a_file_that_is_none_is_refused_before_anything_is_sent(site, tmp_path, content, words):
    site, file = site(), tmp_path / "in.jsonl"
    file.write_bytes(content)
    done = run(site, file, "--watch")
    assert done.returncode == 64 and words in done.stderr, done
    assert site.gateway.get("/v1/files").json()["data"] == []


def test_a_file_that_is_not_there_is_named(site):
    done = run(site(), "none.jsonl")
    assert done.returncode == 64 and "none.jsonl" in done.stderr
