"""The description of the HTTP interface: valid, and true of the running program."""

import json
import os
import pathlib
import re
import subprocess
import sys

import openapi_spec_validator
import pytest
import yaml

import answers
import wire
from accesspaths import target
from contract import problem
from gateway import DESCRIPTION, ROOT

SOURCE = ROOT / "docs/openapi.yaml"
# Described, and not there yet: what arrives is tested from then on.
CODES_TO_COME = set()
TO_COME = []
# With all paths and methods that a call may have.
MODELS = {
    "llama": {"dialect": "openai"}, "chat": {"dialect": "ollama"}, "grid": {"dialect": "kserve"},
    "plain": {"queued": ["PUT /nobody", "PATCH /nobody", "DELETE /nobody"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def document():
    return yaml.safe_load(SOURCE.read_text())


def test_it_is_valid_openapi(document):
    openapi_spec_validator.validate(document)


def test_the_json_of_the_program_is_the_file(document):
    written = json.loads((ROOT / "Sources/CEmbedded/openapi.json").read_text())
    assert written == document, "run make openapi"


def test_the_program_serves_what_the_file_says(gateway, document):
    answer = gateway.get("/openapi.json")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json() == document, "run make openapi, and build"


def test_a_client_that_has_it_is_told_so(gateway):
    answer = gateway.get("/openapi.json")
    assert answer.headers["Cache-Control"] == "no-cache"
    tag = answer.headers["ETag"]
    again = gateway.get("/openapi.json", If_None_Match=f'"other", W/{tag}')
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert gateway.get("/openapi.json", If_None_Match='"other"').status == 200
    head = gateway.request("HEAD", "/openapi.json")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(answer.body)))
    problem(gateway.get("/openapi.json", Accept="image/png"), 406)


def test_every_problem_code_of_the_source_is_described(document):
    codes = set(document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
    source = (ROOT / "Sources/InferqHTTP/Routes/ProblemCode.swift").read_text()
    used = {raw or name for name, raw in re.findall(r'^    case (\w+)(?: = "(\w+)")?$', source, re.MULTILINE)}
    assert len(used) > 30
    assert used - codes == set(), "add them to docs/openapi.yaml"
    assert codes - used <= CODES_TO_COME


def test_the_methods_of_each_path_are_those_that_are_described(gateway, document):
    for path, item in document["paths"].items():
        described = {method.upper() for method in item if method in ("get", "post", "put", "delete", "patch")}
        answer = gateway.request("OPTIONS", target(path))
        if answer.status == 404 and path in TO_COME:
            continue
        assert answer.status == 204, path
        offered = set(answer.headers["Allow"].split(", ")) - {"OPTIONS"}
        assert offered == described | ({"HEAD"} if "GET" in described else set()), path


def test_the_stream_of_all_jobs_is_as_described(gateway, model):
    with wire.Stream(gateway.address, "/v1/events") as stream:
        gateway.ended(gateway.submit(model.name))
        for event in stream.events(3):
            DESCRIPTION.check_event(event, "EventOfAnyJob")


@pytest.mark.parametrize("asked, form", [
    ("/v1/chat/completions", "OpenAIError"), ("/v1/audio/speech", "OpenAIError"), ("/v1/messages", "AnthropicError"),
    ("/api/chat", "TextError"), ("/v2/models/grid/infer", "TextError"), ("/upstream/llama/x", "OpenAIError"),
    ("/upstream/llama/v1/messages", "AnthropicError"), ("/upstream/chat/api/chat", "TextError"),
    ("/upstream/grid/x", "TextError"), ("/upstream/plain/x", "Problem"), ("/upstream/nobody/x", "Problem"),
])  # fmt: skip
def test_what_is_wrong_with_a_call_is_said_as_described(gateway, asked, form):
    answer = gateway.post(asked, {"model": "gone"}, {"Content-Type": "application/json", "X-Inferq-Colour": "red"})
    assert answer.status == (404 if "nobody" in asked else 400), answer
    DESCRIPTION.check_schema(form, answer)


# Schemathesis makes requests that the description allows, and such that it does not, and looks whether the answers
# are those that it promises.
CONFIGURATION = """
[checks.not_a_server_error]
# The model server's error, for a client that waits.
expected-statuses = ["2xx", "3xx", "4xx", 502, 504]

# No one needs a key in mode open; test_access_matrix.py looks at mode keys.
[checks.ignored_auth]
enabled = false

[checks.positive_data_acceptance]
# What no schema can say: the model may be unknown, a key may have been used, a job may be gone.
expected-statuses = ["2xx", 304, 403, 404, 409, 410, 422, 429, 502, 504]
"""


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_program_does_what_the_description_says(make_gateway, model_server, tmp_path):
    gateway = make_gateway({"ocr": {}, "broken": {"max_attempts": 1}}, sync_wait="300ms", limits={"connections": 256})
    model_server.route("/broken").answer_with(answers.status(422))
    jobs = [gateway.submit(model) for model in ("ocr", "broken") for _ in range(20)]
    absent = [path for path in TO_COME if gateway.request("OPTIONS", path).status == 404]
    # That stream has no end.
    left_out = {*absent, "/v1/events"}
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", configuration,
        "run", gateway.url + "/openapi.json", "--seed", "2311", "--max-examples", "30", "--request-timeout", "10",
        "--generation-database", "none", "--no-color",
    ]
    for path in left_out:
        command += ["--exclude-path", path]
    # What they are answered with, their model servers say.
    command += ["--exclude-tag", "Calls"]
    hooks = pathlib.Path(__file__).with_name("support")
    ran = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "openapi_hooks", "PYTHONPATH": str(hooks), "JOBS": json.dumps(jobs)},
    )
    assert ran.returncode == 0, ran.stdout[-12000:] + ran.stderr[-2000:]
