"""Files of the OpenAI API: sent, listed, read and deleted, and kept as jobs are."""

import contextlib
import io
import os
import sqlite3
import tarfile
import time

import openai
import pytest
from openai.types import FileObject

import wire
from test_backup import backup, local  # noqa: F401
from waiting import until

FILES = "/v1/files"
BOUNDARY = "xXx"


def part(name, content, filename=None):
    more = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def form(*parts, end=True):
    return b"".join(parts) + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


def send(gateway, body, content_type=f"multipart/form-data; boundary={BOUNDARY}"):
    return gateway.request("POST", FILES, body, {"Content-Type": content_type})


def upload(gateway, content=b'{"a":1}\n', name="in.jsonl", **fields):
    fields = {"purpose": "batch"} | fields
    parts = [part(key, str(value).encode()) for key, value in fields.items()] + [part("file", content, name)]
    answer = send(gateway, form(*parts))
    assert answer.status == 200, answer
    return answer.json()


def content(gateway, file):
    return gateway.get(f"{FILES}/{file['id']}/content")


def error(answer, status, code):
    assert answer.status == status, answer
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.json()["error"]["code"] == code, answer
    return answer.json()["error"]["message"]


@pytest.fixture(scope="module")
def sdk(gateway):
    return openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=0, timeout=30)


def test_the_sdk_sends_lists_reads_and_deletes(sdk, tmp_path):
    body = b'{"custom_id": "a"}\n' * 3
    file = tmp_path / "requests.jsonl"
    file.write_bytes(body)
    with file.open("rb") as opened:
        made = sdk.files.create(file=opened, purpose="batch")
    assert isinstance(made, FileObject) and made.bytes == len(body) and made.filename == "requests.jsonl"
    assert made.status == "processed" and made.purpose == "batch" and made.expires_at is None
    assert sdk.files.retrieve(made.id) == made
    assert made in sdk.files.list(purpose="batch").data
    assert sdk.files.content(made.id).read() == body
    assert sdk.files.delete(made.id).deleted is True
    for call in (sdk.files.retrieve, sdk.files.content, sdk.files.delete):
        with pytest.raises(openai.NotFoundError) as found:
            call(made.id)
        assert found.value.code == "no_such_file"


def test_a_file_may_say_how_long_it_is_kept(sdk):
    made = sdk.files.create(
        file=("a", b"x"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600})  # fmt: skip
    assert made.expires_at == made.created_at + 3600


def test_the_fields_are_those_of_the_sdk(gateway):
    assert set(upload(gateway)) <= set(FileObject.model_fields)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 3_000_000])
def test_bytes_are_kept_as_they_are(gateway, size):
    body = os.urandom(size)
    made = upload(gateway, body)
    assert made["bytes"] == size
    answer = content(gateway, made)
    assert answer.status == 200 and answer.body == body and answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_looks_like_a_boundary_is_none(gateway):
    body = f"\r\n--{BOUNDARY[:-1]}\r\n\r\r\n--\r\n-{BOUNDARY}--\r".encode() * 50
    assert content(gateway, upload(gateway, body)).body == body


def test_the_order_of_the_parts_is_free(gateway):
    made = send(gateway, form(part("file", b"x", "n"), part("other", b"y"), part("purpose", b"batch"))).json()
    assert made["filename"] == "n"


@pytest.mark.parametrize("name, shown", [
    ("../../etc/passwd", "passwd"), ("C:\\x\\y.jsonl", "y.jsonl"), ("", "file"), ("é\u202e.txt", "é.txt"), ("a" * 999, "a" * 255),
])  # fmt: skip
def test_a_name_is_only_a_name(gateway, name, shown):
    assert upload(gateway, name=name.replace("\\", "\\\\"))["filename"] == shown


PLAIN = part("file", b"x", "a")


@pytest.mark.parametrize("body, place", [
    (form(part("purpose", b"batch")), "file"), (form(PLAIN), "purpose"), (form(PLAIN, part("purpose", b"vision")), "purpose"),
    (form(PLAIN, PLAIN, part("purpose", b"batch")), "file"), (form(PLAIN, part("purpose", b"batch"), end=False), "body"), (b"", "body"),
    (form(PLAIN, part("purpose", b"batch"), part("expires_after[anchor]", b"now")), "expires_after"),
    (form(PLAIN, part("purpose", b"batch"), part("expires_after[anchor]", b"created_at")), "expires_after"),
    (form(PLAIN, part("purpose", b"batch"), part("expires_after[anchor]", b"created_at"), part("expires_after[seconds]", b"5")), "expires_after"),
])  # fmt: skip
def test_a_form_that_makes_no_sense_is_refused_and_leaves_nothing(gateway, body, place):
    before = blobs(gateway)
    assert place in error(send(gateway, body), 400, "invalid_request")
    assert blobs(gateway) == before


def test_a_form_of_something_else_is_refused_early(gateway):
    body = form(part("purpose", b"batch"), *(part(f"n{number}", b"x" * 50) for number in range(2_000)), PLAIN)
    assert "apart from the file" in error(send(gateway, body), 400, "invalid_request")


@pytest.mark.parametrize("type", ["application/json", "multipart/form-data", "multipart/form-data; boundary=", "text/plain"])
def test_another_type_is_refused(gateway, type):
    assert "Content-Type" in error(send(gateway, form(PLAIN), type), 400, "invalid_request")


def blobs(gateway):
    folder = gateway.folder / "blobs"
    return {each.name for each in folder.iterdir()} if folder.exists() else set()


@pytest.mark.parametrize("length", [True, False])
def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(make_gateway, length):
    gateway = make_gateway({"m": {}}, batch={"max_bytes": "64KiB"})
    body = form(part("purpose", b"batch"), part("file", b"x" * 65_537, "a"))
    if length:
        answer = send(gateway, body)
    else:
        head = f"POST {FILES} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in (body[:50_000], body[50_000:]))
        with wire.dial(gateway.address) as sock:
            sock.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
            answer = wire.read_answer(sock, "POST")
    assert "batch.max_bytes" in error(answer, 413, "body_too_large")
    assert not blobs(gateway)
    assert upload(gateway, b"x" * 65_536)["bytes"] == 65_536


def test_pages(make_gateway):
    gateway = make_gateway({"m": {}})
    made = [upload(gateway, name=str(number))["id"] for number in range(5)]
    for order, wanted in (("desc", made[::-1]), ("asc", made)):
        seen, after = [], ""
        while True:
            page = gateway.get(f"{FILES}?limit=2&order={order}{after}").json()
            ids = [each["id"] for each in page["data"]]
            assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1])
            seen += ids
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        assert seen == wanted
    empty = gateway.get(f"{FILES}?purpose=batch_output").json()
    assert empty == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "order=up", "after=x", "purpose=x", "a=b"])
def test_a_list_that_makes_no_sense_is_refused(gateway, query):
    error(gateway.get(f"{FILES}?{query}"), 400, "invalid_request")


@pytest.mark.parametrize("id", ["x", "file-x", "file-" + "0" * 32, "file-" + "A" * 32])
def test_others_are_not_found(gateway, id):
    error(gateway.get(f"{FILES}/{id}"), 404, "no_such_file")
    error(gateway.request("DELETE", f"{FILES}/{id}"), 404, "no_such_file")


def test_files_are_there_after_a_kill_and_nothing_half_is(make_gateway):
    gateway = make_gateway({"m": {}})
    body = os.urandom(200_000)
    made = upload(gateway, body)
    whole = form(part("purpose", b"batch"), part("file", body, "b"))
    head = f"POST {FILES} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(whole)}\r\n"
    sock = wire.dial(gateway.address)
    sock.sendall(head.encode() + f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode() + whole[:150_000])
    until(lambda: len(blobs(gateway)) == 2, "the second file is begun")
    gateway.kill()
    gateway.restart()
    sock.close()
    assert len(blobs(gateway)) == 1 and content(gateway, made).body == body
    assert gateway.get(f"{FILES}/{made['id']}").json() == made
    assert upload(gateway)["id"] > made["id"]


def test_a_client_that_hangs_up_leaves_nothing(make_gateway):
    gateway = make_gateway({"m": {}})
    sock = wire.dial(gateway.address)
    head = f"POST {FILES} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999999\r\n"
    sock.sendall(head.encode() + f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode() + form(PLAIN, end=False))
    until(lambda: blobs(gateway), "a file is begun")
    sock.close()
    until(lambda: not blobs(gateway), "it is gone")


def test_the_retention_takes_files_as_well(make_gateway):
    gateway = make_gateway({"m": {}}, store={"retention": "1s"})
    made = upload(gateway, os.urandom(100_000))
    until(lambda: gateway.get(f"{FILES}/{made['id']}").status == 404 and not blobs(gateway), "the file goes", 20)
    assert gateway.get(FILES).json()["data"] == []


def test_files_and_jobs_share_one_bound_and_the_oldest_go_first(make_gateway, model_server):
    gateway = make_gateway({"m": {}}, store={"max_bytes": "1MiB"})
    first = upload(gateway, os.urandom(500_000), name="first")
    job = gateway.submit_bytes("m", os.urandom(300_000))
    gateway.wait_status(job, "COMPLETED")
    time.sleep(0.05)
    second = upload(gateway, os.urandom(500_000), name="second")
    until(lambda: gateway.get(f"{FILES}/{first['id']}").status == 404, "the oldest goes", 20)
    assert gateway.get(job["urls"]["self"]).status == 200 and gateway.get(f"{FILES}/{second['id']}").status == 200


def test_a_backup_has_the_files(local, tmp_path):  # noqa: F811
    gateway = local()
    body = os.urandom(150_000)
    made = upload(gateway, body)
    with tarfile.open(fileobj=io.BytesIO(backup(gateway))) as tar:
        inside = [each for each in tar.getmembers() if "blobs/" in each.name and each.isfile()]
        assert [tar.extractfile(each).read() for each in inside] == [body]
        restored = tmp_path / "restored"
        tar.extractall(restored, filter="data")
    [store] = restored.rglob("*.db")
    with contextlib.closing(sqlite3.connect(store)) as database:
        assert database.execute("SELECT name, size FROM upload").fetchall() == [(made["filename"], len(body))]


def test_each_client_has_its_own(make_gateway):
    gateway = make_gateway({"m": {}}, clients={"one": {}, "two": {}, "reader": {"scopes": ["read:all"]}})
    one, two, reader = (gateway.client(name) for name in ("one", "two", "reader"))
    made = upload(one)
    assert [each["id"] for each in one.get(FILES).json()["data"]] == [made["id"]]
    assert two.get(FILES).json()["data"] == []
    for tail in ("", "/content"):
        error(two.get(f"{FILES}/{made['id']}{tail}"), 404, "no_such_file")
        assert reader.get(f"{FILES}/{made['id']}{tail}").status == 200
    error(two.request("DELETE", f"{FILES}/{made['id']}"), 404, "no_such_file")
    error(reader.request("DELETE", f"{FILES}/{made['id']}"), 403, "scope_missing")
    error(send(reader, form(PLAIN, part("purpose", b"batch"))), 403, "scope_missing")
    error(gateway.client().get(f"{FILES}/{made['id']}"), 401, "key_missing")
    assert one.request("DELETE", f"{FILES}/{made['id']}").json()["deleted"] is True
