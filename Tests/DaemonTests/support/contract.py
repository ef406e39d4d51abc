"""Checks that tests of several rules share."""

import datetime
import re

SUBMIT = "/v1/async/inference"
KIB, MIB = 1 << 10, 1 << 20
SLACK = 1.0  # seconds that a busy machine may add to a time that a rule bounds


def when(text):
    """A time of the record: RFC 3339 in UTC with milliseconds."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text), text
    return datetime.datetime.fromisoformat(text)


def problem(answer, status, says=""):
    """Checks a problem document (RFC 9457) and that `says` stands in its detail."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.headers["Content-Type"].partition(";")[0] == "application/problem+json"
    document = answer.json()
    assert {"type", "title", "status", "detail", "code", "instance"} <= set(document)
    assert document["status"] == status
    assert all(isinstance(document[name], str) and document[name] for name in ("type", "title", "detail", "code"))
    assert says in document["detail"], document["detail"]
    assert "id" not in document, "an error answer without a job"
    return document
