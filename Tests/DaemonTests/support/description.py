"""Holds answers against the description of the HTTP interface, docs/openapi.yaml."""

import re

import jsonschema_rs
import yaml

# Described without a word on further members, since clients must bear those; we want to hear of them.
CLOSED = ["Call", "EndedData", "Failure", "Health", "History", "JobList", "Problem", "Record", "ShownModel", "URLs"]


class Description:
    def __init__(self, file):
        self.document = yaml.safe_load(file.read_text())
        self.components = self.document["components"]
        self._validators = {}
        for name in CLOSED:
            self.components["schemas"][name]["unevaluatedProperties"] = False
        self.paths = [
            # What OpenAPI cannot say: `{path}` is all that follows.
            (re.compile(re.sub(r"\{(\w+)\}", lambda found: ".*" if found[1] == "path" else "[^/]+", path)), path, item)
            for path, item in self.document["paths"].items()
        ]

    def check(self, method, target, answer):
        """Fails if this answer is not one of those that are described for the request."""
        found = self._operation(method, target.partition("?")[0])
        what = f"{method} {target} -> {answer.status}"
        type = (answer.headers["Content-Type"] or "").partition(";")[0]
        if found is None:
            assert method == "OPTIONS" or answer.status >= 400, f"{what}: not described"
            if answer.body and answer.status >= 400:
                self._validate(("Problem",), {"$ref": "#/components/schemas/Problem"}, answer, what)
            return
        path, operation = found
        responses = operation["responses"]
        described = responses.get(str(answer.status)) or responses.get(f"{answer.status // 100}XX")
        assert described, f"{what}: the description has no such answer"
        described = self._resolved(described)
        for name, header in described.get("headers", {}).items():
            value = answer.headers[name]
            assert value is not None or not self._resolved(header).get("required"), f"{what}: without {name}"
        if method == "HEAD" or not answer.body:
            return
        content = described.get("content", {})
        media = content.get(type) or content.get("*/*")
        assert media, f"{what}: {type} is not described"
        if type.endswith("json") and "*/*" not in content:
            self._validate((path, method, answer.status), media["schema"], answer, what)

    def check_event(self, event, kind="Event"):
        if kind not in self._validators:
            self._validators[kind] = self._validator({"$ref": f"#/components/schemas/{kind}"})
        errors = list(self._validators[kind].iter_errors(event.envelope))
        assert not errors, f"{event.data_line}: {errors[0].message}"

    def check_schema(self, name, answer):
        """Fails if the body of this answer is not of the schema of this name."""
        self._validate((name,), {"$ref": f"#/components/schemas/{name}"}, answer, name)

    def _operation(self, method, path):
        for pattern, name, item in self.paths:
            operation = item.get(("GET" if method == "HEAD" else method).lower())
            if operation and pattern.fullmatch(path):
                return name, operation
        return None

    def _resolved(self, it):
        while "$ref" in it:
            _, _, kind, name = it["$ref"].split("/")
            it = self.components[kind][name]
        return it

    def _validator(self, schema):
        return jsonschema_rs.Draft202012Validator(
            {**schema, "components": self.components}, validate_formats=True
        )

    def _validate(self, key, schema, answer, what):
        if key not in self._validators:
            self._validators[key] = self._validator(schema)
        errors = list(self._validators[key].iter_errors(answer.json()))
        assert not errors, f"{what}: {errors[0].instance_path}: {errors[0].message}\n{answer.body[:2000]!r}"
