"""Every operation of the description that a gateway serves, and what asking for it comes to."""

import json
import re

from streamreader import Reader

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
NOBODY = "01935f2e-0000-7000-8000-000000000000"
JSON_BODY = {"Content-Type": "application/json"}


class Asked:
    """An answer whose head is here; its body is read if it is an error, since some streams have no end."""

    def __init__(self, address, method, target, headers=None, body=b"", read=False):
        with Reader(address, method, target, body, headers) as reader:
            self.status, self.headers = reader.status, reader.headers
            self.body = reader.to_end().body if read or self.status >= 400 else b""

    @property
    def code(self):
        """The stable code, in whatever form the error has; those of Ollama and KServe have none, but a sentence."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return None
        error = document.get("error")
        if isinstance(error, dict):
            return error.get("code") or error.get("type")
        return document.get("code") or error

    @property
    def sentence(self):
        document = json.loads(self.body)
        error = document.get("error")
        if isinstance(error, dict):
            return error["message"]
        return error if isinstance(error, str) else document["detail"]

    @property
    def lacks_scope(self):
        """Whether it was refused for want of a scope."""
        return self.status == 403 and b"scope" in self.body


def target(path):
    """A target for a path of the description: no one's, but for calls of the models `plain` and `grid`.

    Who may not make a call is told so once there is something to call.
    """

    def value(found):
        name = found[1]
        if name == "model":
            return "grid" if path.startswith("/v2/") else "plain"
        return NOBODY if name.endswith("id") and name != "model_id" else "nobody"

    return re.sub(r"\{(\w+)\}", value, path)


def operations(document):
    """(method, path of the description, target, operation), HEAD included."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if operation := item.get(method.lower()):
                yield method, path, target(path), operation
                if method == "GET":
                    yield "HEAD", path, target(path), operation


def security(operation, document):
    """None: no key is needed. Else the alternatives for each way to send a key: sets of scopes; an empty set is any key."""
    said = operation.get("security", document.get("security"))
    assert said is not None, f"{operation.get('operationId')} says nothing of its security"
    if not said or {} in said:
        return None
    ways = {"bearer": [], "header": []}
    for alternative in said:
        for scheme, scopes in alternative.items():
            if scheme in ways:
                ways[scheme].append(frozenset(scopes))
    assert sorted(map(sorted, ways["bearer"])) == sorted(map(sorted, ways["header"])), operation.get("operationId")
    return ways["bearer"] or None


def admits(alternatives, scope):
    """Whether a key with this scope alone may."""
    return any(each <= {scope} for each in alternatives)
