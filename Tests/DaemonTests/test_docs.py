"""Documents name what is there."""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def check(folder):
    done = subprocess.run(
        [sys.executable, ROOT / "packaging/check-docs.py", folder], capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr


def test_documents_name_types_and_metrics_that_are_there():
    assert check(ROOT) == (0, "")


def test_a_name_that_is_gone_and_a_metric_without_a_line_are_found(tmp_path):
    for folder in ("Sources", "docs", "Tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (tmp_path / "CONTRIBUTING.md").write_text(text + "\n`JobQueue.neverThere` and `NeverThere`, `Backlog.checkpoint`\n")
    metrics = tmp_path / "docs/metrics.md"
    metrics.write_text(metrics.read_text().replace("inferq_jobs_active", "inferq_jobs"))
    code, said = check(tmp_path)
    assert code == 1
    assert "neverThere" in said and "`NeverThere`" in said
    assert "no file that declares Backlog names checkpoint" in said, said
    assert "docs/metrics.md does not list inferq_jobs_active" in said, said
