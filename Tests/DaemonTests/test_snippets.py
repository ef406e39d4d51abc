"""The README and the documents: their commands, snippets and files do what they show."""

import configparser
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

import answers
import promtool
import unpacked
from browser import CHROMIUM
from commands import TerminalCommand
from gateway import BINARY, environment
from streamserver import said
from test_calls_sdk import Llama
from test_commands import inferq
from test_responses import whole

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("examples/*/README.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
HERE = "http://127.0.0.1:8484"


def blocks(page, language):
    return [text for found, text in BLOCK.findall((ROOT / page).read_text()) if found == language]


def block(page, language, part):
    """The one block of a page that holds a part."""
    found = [text for text in blocks(page, language) if part in text]
    assert len(found) == 1, (page, part, len(found))
    return found[0]


def named(values):
    return [pytest.param(*value, id=f"{value[0].relative_to(ROOT)}:{number}") for number, value in enumerate(values)]


# The README


def test_the_readme_is_short_enough_to_be_read():
    assert len((ROOT / "README.md").read_text().split()) <= 700


def test_links_lead_to_what_is_there():
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:\s]*)(#[^)]*)?\)", page.read_text()):
            place = page.parent / target if target else page
            assert place.exists(), (page, target)
            if anchor and place.suffix == ".md":
                titles = re.findall(r"^#+ (.*)$", place.read_text(), re.M)
                names = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
                assert anchor[1:] in names, (page, target, anchor)


def test_the_transcript_is_what_the_demo_prints(tmp_path):
    with TerminalCommand("demo", "--once", TMPDIR=str(tmp_path)) as demo:
        assert demo.end() == 0

    def shape(text):
        """One line of words: without what differs from run to run, and without where lines are broken."""
        text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
        text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
        text = re.sub(r"process \d+|kill -9 \d+|127\.0\.0\.1:\d+", "N", text)
        return " ".join(text.split())

    # A line that was drawn again ends where the next one begins.
    printed = shape("\n".join(line.rpartition("\r\x1b[K")[2].rpartition("\x1b[K")[2] for line in demo.written.split("\n")))
    shown = shape(block("README.md", "", "inferq demo --once").removesuffix("...\n")).removeprefix("$ inferq demo --once ")
    head, tail = shown.split(" $ N ")
    assert printed.startswith(head[:head.index("the tide.")]), (printed, head)
    # Two processes print here: the listener may write words that it had received before or behind the news that the
    # gateway was killed.
    killed, mark, rest = tail.partition(" inferq: attempt 1 ")
    before, found, behind = printed.split(" $ N ", 1)[1].partition(killed)
    assert found, (printed, killed)
    late, _, told = behind.partition(mark)
    words = (before + late).split()
    assert " ".join(words) in rest and len(words) < 10, (printed, words)
    assert told.startswith(rest), (printed, rest)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The URL of a demo that runs."""
    with TerminalCommand("demo", TMPDIR=str(tmp_path_factory.mktemp("demo"))) as command:
        yield command.wait_for(r"export INFERQ_URL=(\S+)\n")[1]


def python(text, **variables):
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, env=environment(**variables))


def test_openais_client_prints_the_stream(demo):
    ran = python(block("README.md", "python", "OpenAI").replace(HERE, demo))
    assert ran.returncode == 0 and ran.stdout.startswith("The box stands in a hut"), (ran.stdout, ran.stderr)
    assert ran.stdout.strip().endswith("written to its end.")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")
def test_a_browser_listens(demo, browser):
    snippet = block("README.md", "js", "EventSource")
    with browser.tab(f"{demo}/livez") as tab:
        tab.evaluate(f"window.said = []; console.log = text => said.push(text); (async () => {{ {snippet} }})()")
        tab.wait("said.at(-1) === 'COMPLETED'", 30)
        assert tab.evaluate("said")[:2] == ["PENDING", "RUNNING"]


# Shell


def test_the_quickstart_leads_to_an_output_read_from_any_byte(demo, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/inferq").symlink_to(os.path.abspath(BINARY))
    script = "set -euo pipefail\n" + "\n".join(blocks("docs/quickstart.md", "sh"))
    ran = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, cwd=tmp_path,
        env=environment(INFERQ_URL=demo, PATH=f"{tmp_path}/bin:{os.environ['PATH']}"),
    )
    assert ran.returncode == 0, ran.stderr
    text = "The box stands in a hut by the sea and answers questions about the tide."
    assert ran.stdout.count(text) >= 5, "in the record, as bytes, and as the commands print it"
    assert ran.stdout.count(text[10:]) == ran.stdout.count(text) + 1, "once from the tenth byte on"
    assert ran.stdout.count('"status":"COMPLETED"') >= 2, "at the end of both streams"


@pytest.fixture(scope="module")
def commands():
    """Options and commands by the words that name a command."""
    found = {}

    def enter(words, command):
        arguments = command.get("arguments", [])
        found[words] = {name["name"] for each in arguments for name in each.get("names") or []}
        for inner in command.get("subcommands", []):
            enter((*words, inner["commandName"]), inner)

    enter((), json.loads(inferq("--experimental-dump-help").stdout)["command"])
    return found


def test_commands_of_documents_have_the_options_that_they_use(commands):
    seen = 0
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "debian/README.Debian"]:
        text = page.read_text()
        lines = [line for language, body in BLOCK.findall(text) if language in ("sh", "") for line in body.split("\n")]
        lines += re.findall(r"`(inferq [^`]*)`", text)
        for line in lines:
            for command in re.findall(r"(?:^|[$&|;] )(?:sudo )?(inferq [a-z][^&|;#<>]*)", line.strip()):
                words = shlex.split(command.replace("'{", "'").replace("...", ""))[1:]
                path = ()
                while words and (*path, words[0]) in commands:
                    path += (words.pop(0),)
                assert path, f"{page}: {command}: there is no such command"
                for word in words:
                    if word.startswith("--"):
                        assert word.split("=")[0][2:] in commands[path] | {"help"}, f"{page}: {command}: {word}"
                seen += 1
    assert seen > 40


# Configurations


@pytest.mark.parametrize(("page", "text"), named([(page, text) for page in PAGES for text in blocks(page, "toml")]))
def test_configurations_are_understood(page, text, tmp_path):
    if "[tls]" in text:
        made = inferq("cert", "init", "--name", "box.lan", "--out", tmp_path / "tls")
        assert made.returncode == 0, made.stderr
        # The listener of the example is for clients with keys.
        text = text.replace("/etc/inferq/tls", str(tmp_path / "tls")) + f'[access]\nmode = "keys"\nkeys = "{tmp_path}/keys"\n'
        (tmp_path / "keys").mkdir()
    (tmp_path / "inferq.toml").write_text(text)
    ended = inferq("check", "--config", tmp_path / "inferq.toml")
    assert ended.returncode == 0, (ended.stderr.decode(), text)


def test_proxies_take_their_configurations(tmp_path):
    nginx, caddy = unpacked.program("nginx", "usr/sbin/nginx"), unpacked.program("caddy", "usr/bin/caddy")
    if not nginx or not caddy:
        pytest.skip("no nginx or Caddy, and no packages of them")
    location = block("docs/recipes.md", "nginx", "proxy_pass")
    assert block("docs/calls.md", "nginx", "proxy_pass") == location, "said twice, and the same"
    file = tmp_path / "nginx.conf"
    places = "".join(f"{name}_temp_path {tmp_path}/{name};\n"
                     for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    server = f"server {{ listen 127.0.0.1:18484;\n{location} }}"
    file.write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{ access_log off;\n{places}{server} }}\n")
    ran = subprocess.run([nginx, "-t", "-c", file, "-e", tmp_path / "log"], capture_output=True, timeout=30)
    assert ran.returncode == 0, ran.stderr
    (tmp_path / "Caddyfile").write_text(block("docs/recipes.md", "caddy", "reverse_proxy"))
    ran = subprocess.run(
        [caddy, "adapt", "--adapter", "caddyfile", "--config", tmp_path / "Caddyfile", "--validate"],
        capture_output=True, timeout=30, env=environment(HOME=str(tmp_path)),
    )
    assert ran.returncode == 0, ran.stderr


def test_the_quadlet_has_keys_that_podman_and_systemd_know():
    """Podman of Debian 12 cannot read one: its sections and keys are those of podman-systemd.unit(5) and systemd.unit(5)."""
    known = {
        "Unit": {"Description"}, "Service": {"Restart"}, "Install": {"WantedBy"},
        "Container": {"Image", "Volume", "Network", "Notify", "StopTimeout", "PodmanArgs"},
    }
    unit = configparser.RawConfigParser(strict=False, delimiters="=")
    unit.optionxform = str
    unit.read_string(block("docs/recipes.md", "ini", "[Container]"))
    assert set(unit.sections()) == set(known)
    for section in unit.sections():
        assert set(unit[section]) <= known[section], section
    containerfile = (ROOT / "packaging/Containerfile").read_text()
    text = block("docs/recipes.md", "ini", "[Container]")
    for place in re.findall(r"^VOLUME (\S+)$", containerfile, re.M):
        assert re.search(rf"^Volume=\w+:{place}$", text, re.M), "the store is a volume that podman makes"


# Model servers and their clients


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    server = Llama(tmp_path_factory.mktemp("llama")).start()
    yield server
    server.stop()


@pytest.fixture
def site(make_gateway, model_server, llama):
    """A gateway with the models of docs/calls.md: a real LLM server, and scripted ones for the other languages."""
    scripted = model_server.url("")
    return make_gateway({
        "llama": {"url": f"http://127.0.0.1:{llama.port}", "dialect": "openai", "health": "/health", "concurrency": 4},
        "gemma": {"url": scripted, "dialect": "ollama", "names": ["gemma3:*"]},
        "resnet": {"url": scripted, "dialect": "kserve"},
        "whisper": {"url": scripted, "dialect": "openai"},
        "ocr": {"url": scripted, "paths": ["/predict"]},
    })  # fmt: skip


def test_the_snippets_of_calls_reach_their_model_servers(site, model_server, tmp_path):
    ran = python(block("docs/calls.md", "python", "from openai import OpenAI").replace(HERE, site.url))
    assert ran.returncode == 0 and ran.stdout.strip(), ran.stderr
    chat = {"model": "gemma3:4b", "created_at": "2026-01-01T00:00:00Z", "done": True,
            "message": {"role": "assistant", "content": "Hello yourself"}}  # fmt: skip
    model_server.route("/api/chat").answer_with(answers.ok(json.dumps(chat).encode()))
    ran = python(block("docs/calls.md", "python", "import ollama").replace(HERE, site.url))
    assert ran.stdout == "Hello yourself\n", ran.stderr
    (tmp_path / "request.json").write_text('{"inputs": []}')
    (tmp_path / "meeting.wav").write_bytes(b"RIFF")
    (tmp_path / "page.png").write_bytes(b"\x89PNG")
    for path in ("/v2/models/resnet/infer", "/v1/audio/transcriptions", "/predict"):
        model_server.route(path).answer_with(answers.ok())
    script = "set -e\n" + "echo\n".join(text.replace(HERE, site.url) for text in blocks("docs/calls.md", "sh"))
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert '"choices"' in ran.stdout
    for path, count in (("/v2/models/resnet/infer", 1), ("/v1/audio/transcriptions", 1), ("/predict", 2)):
        assert len(model_server.route(path).calls) == count, path
    assert b"RIFF" in model_server.route("/v1/audio/transcriptions").calls[0].body


def test_files_and_batches_go_through_the_snippets_of_the_sdk(site, tmp_path):
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
            "body": {"model": "llama", "max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]}}
    (tmp_path / "requests.jsonl").write_text(json.dumps(line) + "\n")
    text = "import os, time\nfrom openai import OpenAI\n"
    text += f"os.chdir({str(tmp_path)!r})\nclient = OpenAI(base_url='{site.url}/v1', api_key='none')\n"
    text += block("docs/openai.md", "python", "files.create") + block("docs/openai.md", "python", "batches.create")
    ran = python(text.replace("time.sleep(10)", "time.sleep(0.2)"))
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.strip().splitlines()[-1])["response"]["status_code"] == 200


def test_a_response_in_the_background_is_followed_by_the_snippet_of_the_sdk(make_gateway, model_server):
    gateway = make_gateway({"llama": {"url": model_server.url(""), "dialect": "openai"}})
    model_server.route("/v1/responses").answer_with(said(*whole("Once upon", " a time")))
    text = "".join(part for part in blocks("docs/openai.md", "python") if "responses." in part)
    ran = python(text.replace(HERE, gateway.url))
    assert ran.returncode == 0, ran.stderr
    first, story = ran.stdout.split("\n", 1)
    assert re.fullmatch(r"resp_[0-9a-f]{32} queued", first) and story == "Once upon a time"


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")
def test_the_reader_of_streams_for_browsers_reads_to_the_end(demo, browser):
    snippet = block("docs/streams.md", "js", "EventSource")
    begin = """
        window.said = "";
        const show = text => { window.said = text; };
        const job = await (await fetch("/v1/async/inference?model=demo", {method: "POST", body: "{}"})).json();
        const eventID = job.event_id;
    """
    with browser.tab(f"{demo}/livez") as tab:
        tab.evaluate(f"(async () => {{ {begin} {snippet} }})()")
        tab.wait("said.endsWith('written to its end. ')", 30)
        assert tab.evaluate("said").startswith("The box stands in a hut")


def test_the_snippet_of_the_reference_client_gets_its_layers(make_gateway, model_server):
    pytest.importorskip("geostudio", reason="no geostudio (make .build/venv/ready)")
    gateway = make_gateway({"floods": {"url": model_server.url("/floods")}})
    layer = {"uri": "http://127.0.0.1/flood.png", "display_name": "flood"}
    model_server.route("/floods").answer_with(answers.ok(json.dumps({"predicted_layers": [layer]}).encode()))
    ran = python(block("docs/reference-clients.md", "python", "geostudio"), BASE_GATEWAY_API_URL=gateway.url)
    assert ran.returncode == 0, ran.stderr
    assert "flood.png" in ran.stdout.splitlines()[-1], ran.stdout


def test_the_reader_of_streams_reads_to_the_end(demo):
    text = block("docs/streams.md", "python", "def read(url, job)")
    text += f"""
import json
request = urllib.request.Request("{demo}/v1/async/inference", b'{{"model": "demo"}}', {{"Content-Type": "application/json"}})
job = json.load(urllib.request.urlopen(request))["id"]
pieces = list(read("{demo}", job))
assert [piece[1] for piece in pieces] == [sum(len(each[2]) for each in pieces[:n]) for n in range(len(pieces))]
print(b"".join(piece[2] for piece in pieces).decode())
"""
    ran = python(text)
    assert ran.returncode == 0 and ran.stdout.startswith("The box stands in a hut"), ran.stderr


# What watches it


def metrics(text):
    return set(re.findall(r"\binferq_[a-z_]+", text))


def test_dashboard_and_rules_ask_for_metrics_that_are_there(site):
    site.ended(site.submit("ocr"))
    page = site.get("/metrics").body.decode()
    told = set(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.M))
    there = {name for name, kind in told if kind != "histogram"}
    there |= {f"{name}_{part}" for name, kind in told if kind == "histogram" for part in ("bucket", "sum", "count")}
    # Not on the page of a gateway without TLS.
    there |= {"inferq_tls_certificate_expiry_seconds"}
    for file in ("grafana.json", "alerts.yml"):
        text = (ROOT / "examples/monitoring" / file).read_text()
        asked = metrics(text)
        assert len(asked) > 6 and asked <= there, (file, asked - there)


def test_prometheus_understands_dashboard_and_rules(tmp_path):
    if promtool.path() is None:
        pytest.skip("no promtool, and no package of it")
    dashboard = json.loads((ROOT / "examples/monitoring/grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(asked) > 15
    rules = [{"record": f"dashboard:panel{number}", "expr": text.replace("$__rate_interval", "5m")}
             for number, text in enumerate(asked)]
    # JSON is YAML.
    (tmp_path / "dashboard.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    for file in (tmp_path / "dashboard.yml", ROOT / "examples/monitoring/alerts.yml"):
        ran = subprocess.run([promtool.path(), "check", "rules", file], capture_output=True, text=True, timeout=30)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_troubleshooting_quotes_sentences_that_the_program_says():
    texts = [path.read_text() for path in (ROOT / "Sources").rglob("*") if path.suffix in (".swift", ".json", ".yaml")]
    code = re.sub(r'"\s*\+ "', "", " ".join(" ".join(texts).replace('\\"', '"').split()))
    rows = re.findall(r"^\| (.+?) \| .+ \| .+ \|$", (ROOT / "docs/troubleshooting.md").read_text(), re.M)
    quoted = [part for row in rows for text in re.findall(r"`([^`]+)`", row) for part in text.split("...") if part.strip()]
    assert len(quoted) > 30
    for part in quoted:
        words = re.sub(r"\b[N2345]\b", "", part).strip()
        assert words in code or words.lower() in code, part


# Keys


def test_the_commands_about_keys_do_what_they_say(tmp_path):
    (tmp_path / "keys.d").mkdir()
    (tmp_path / "inferq.toml").write_text(
        f'[access]\nmode = "keys"\nkeys = "{tmp_path}/keys.d"\n[models.ocr]\nurl = "http://127.0.0.1:1/"\n')
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/inferq").symlink_to(os.path.abspath(BINARY))

    def shell(script):
        ran = subprocess.run(
            ["bash", "-ec", script], capture_output=True, text=True, timeout=60, cwd=tmp_path,
            env=environment(INFERQ_CONFIG=str(tmp_path / "inferq.toml"), PATH=f"{tmp_path}/bin:{os.environ['PATH']}"))
        assert ran.returncode == 0, (script, ran.stderr)
        return ran.stdout

    for page in ("docs/operations.md", "docs/security.md"):
        add, *rest = block(page, "sh", "inferq key add erp").splitlines()
        assert shell(add).startswith("infq_")
        number = re.search(r"\b[0-9a-f]{8}\b", shell("inferq key list --json"))[0]
        # What needs the host of the example is tried elsewhere.
        script = "\n".join(line for line in rest if not line.startswith("curl"))
        # The key that was found is the one that was made last.
        script = re.sub(r"(inferq key rotate erp --overlap 7d)", r"\1 >found.txt", script)
        said = shell(script.replace("9f3c21aa", number))
        assert "whose" not in script or "erp" in said.splitlines()[-1], said
        for file in (tmp_path / "keys.d").iterdir():
            file.unlink()
