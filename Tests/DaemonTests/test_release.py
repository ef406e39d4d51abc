"""What a release is made of: one version, notes, a list of what is inside, and what a public project has beside its code."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

from test_commands import inferq

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def run(*command, code=0, cwd=ROOT):
    ran = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, cwd=cwd)
    assert ran.returncode == code, ran.stderr
    return ran.stdout if code == 0 else ran.stderr


@pytest.fixture
def copy(tmp_path):
    """What the scripts read, to be changed."""
    for name in ("packaging", "Sources/inferq/Process", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "debian").mkdir()
    for name in ("README.md", "CHANGELOG.md", "debian/changelog"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_there_is_one_version():
    assert run("packaging/version.sh").strip() == inferq("--version").stdout.decode().strip()


@pytest.mark.parametrize(("file", "old", "new"), [
    ("debian/changelog", "inferq (0", "inferq (9"), ("README.md", "inferq_0", "inferq_9"),
    ("docs/recipes.md", "inferq_0", "inferq_9"),
])
def test_two_versions_are_refused(copy, file, old, new):
    path = copy / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert run(copy / "packaging/version.sh", code=1).startswith("version: ")


def test_notes_are_those_of_the_version_or_what_is_unreleased(copy):
    notes = copy / "packaging/release-notes.sh"
    assert run(notes, "0.1.0").startswith("# inferq 0.1.0\n\n### Added\n")
    changes = copy / "CHANGELOG.md"
    changes.write_text("# Changelog\n\n## [Unreleased]\n\n- next\n\n## [0.2.0] - 2027-01-01\n\n- second\n\n## [0.1.0]\n\n- first\n")
    assert run(notes, "0.2.0") == "# inferq 0.2.0\n\n- second\n"
    assert run(notes, "0.1.0") == "# inferq 0.1.0\n\n- first\n"
    assert run(notes, "0.3.0") == "# inferq 0.3.0\n\n- next\n"
    changes.write_text("# Changelog\n")
    assert "neither a section [0.3.0] nor [Unreleased]" in run(notes, "0.3.0", code=1)


def test_the_list_of_what_is_inside_names_every_package(tmp_path):
    (tmp_path / "a.deb").write_bytes(b"a")
    document = json.loads(run("python3", "packaging/sbom.py", "0.1.0", tmp_path / "a.deb"))
    assert document["spdxVersion"] == "SPDX-2.3" and document["dataLicense"] == "CC0-1.0"
    versions = {package["name"]: package.get("versionInfo") for package in document["packages"]}
    manifest = (ROOT / "Package.swift").read_text().partition("    targets: [")[0]
    direct = re.findall(r'url: "https://github.com/[^/]+/([^"]+)", exact: "([^"]+)"', manifest)
    assert len(direct) >= 10
    for name, version in direct:
        assert versions[name] == version
    assert {"libhiredis0.14", "libsqlite3-0", "libsystemd0"} <= set(versions)
    ids = {package["SPDXID"] for package in document["packages"]}
    assert len(ids) == len(document["packages"])
    related = {relation["relatedSpdxElement"] for relation in document["relationships"]}
    assert related == ids
    assert "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" in json.dumps(document)


def test_a_release_is_made_of_a_commit(tmp_path):
    run("git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", tmp_path / "clone")
    (tmp_path / "clone/README.md").write_text("changed")
    said = run(tmp_path / "clone/packaging/release.sh", code=1)
    assert "the checkout has changes" in said or said.startswith("version: "), said


def test_what_the_workflow_runs_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    workflow = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text())
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    made = {target for step in steps for target in re.findall(r"^make ([a-z-]+)$", step)}
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    made |= set(re.findall(r"make ([a-z-]+)$", container["postCreateCommand"]))
    assert {"check", "deb", "test-setup"} == made and made <= targets
    assert {job["container"] for job in workflow["jobs"].values()} == {container["image"]}
    for name in ("bug", "feature"):
        form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text())
        assert form["name"] and form["description"]
        ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
        assert ids and len(ids) == len(set(ids))


def test_the_image_installs_the_package_and_starts_the_gateway():
    text = (ROOT / "packaging/Containerfile").read_text()
    words = [line.split()[0] for line in re.sub(r"\\\n", "", text).splitlines() if line and not line.startswith("#")]
    assert words[0] == "FROM" and set(words) <= {
        "FROM", "ARG", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    arguments = json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.M)[1]) + json.loads(re.search(r"^CMD (.*)$", text, re.M)[1])
    assert arguments[:2] == ["inferq", "serve"]
    known = inferq("serve", "--help").stdout.decode()
    assert all(word in known for word in arguments if word.startswith("--"))
    assert os.access(ROOT / "packaging/release.sh", os.X_OK)
