"""What shells complete: the scripts as the package installs them, run by the shells themselves."""

import os
import re
import shutil
import subprocess

import pytest

from answers import ok, status
from gateway import BINARY, environment
from test_commands import inferq


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completions")
    for shell in ("bash", "zsh", "fish"):
        ended = inferq("--generate-completion-script", shell)
        assert ended.returncode == 0
        (folder / shell).write_bytes(ended.stdout)
    (folder / "bin").mkdir()
    (folder / "bin" / "inferq").symlink_to(os.path.abspath(BINARY))
    return folder


def bash(scripts, line, **variables):
    """What bash offers for the last word of a line."""
    # As bash does: COMP_WORDBREAKS has the colon and the equals sign.
    words = [word for part in line.split(" ") for word in re.findall(r"[:=]|[^:=]+", part) or [""]]
    script = f"""
        source {scripts}/bash
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)}) COMP_CWORD={len(words) - 1}
        COMP_LINE='{line}' COMP_POINT={len(line)} COMP_TYPE=9
        _inferq inferq '{words[-1]}' '{words[-2]}' 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{scripts}/bin:{os.environ['PATH']}"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, timeout=30,
                           env=environment(PATH=path, **variables))
    return [word.strip() for word in ended.stdout.decode().splitlines() if word.strip()]


def test_bash_completes_commands_and_options(scripts):
    assert {"demo", "submit", "watch", "jobs"} <= set(bash(scripts, "inferq "))
    assert bash(scripts, "inferq jobs list --fol") == ["--follow"]
    assert bash(scripts, "inferq jobs list --status CO") == ["COMPLETED"]


def test_bash_completes_models_and_jobs_from_the_gateway(scripts, gateway, model):
    model.route.answer_with(status(400), ok())
    failed = gateway.ended(gateway.submit(model.name))["id"]
    done = gateway.ended(gateway.submit(model.name))["id"]
    where = {"INFERQ_URL": gateway.url}
    assert bash(scripts, f"inferq submit {model.name[:2]}", **where) == [model.name]
    assert set(bash(scripts, "inferq jobs show ", **where)) == {failed, done}
    assert set(bash(scripts, "inferq watch ", **where)) == {failed, done}
    assert bash(scripts, "inferq jobs retry ", **where) == [failed]
    assert bash(scripts, "inferq jobs cancel ", **where) == []


def test_nothing_is_offered_and_nothing_said_where_no_gateway_answers(scripts):
    assert bash(scripts, "inferq submit ", INFERQ_URL="http://127.0.0.1:1") == []
    assert bash(scripts, "inferq submit ", INFERQ_URL="nonsense") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_their_scripts(scripts, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    check = ["zsh", "-n", scripts / "zsh"] if shell == "zsh" else ["fish", "--no-execute", scripts / "fish"]
    ended = subprocess.run(check, capture_output=True, timeout=30)
    assert ended.returncode == 0 and not ended.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_of_other_shells_ask_the_same(scripts, shell):
    assert "---completion submit -- positional@0" in (scripts / shell).read_text().replace("'", "").replace("\\", "")
