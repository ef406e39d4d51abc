"""The reference gateway's own clients: its SDK as PyPI has it, and what its pages ask for."""

import concurrent.futures
import contextlib
import json
import uuid

import pytest

import answers
import wire
from contract import problem
from gateway import DESCRIPTION, JSON_TYPE
from reference_sdk import geostudio_at
from waiting import until

# The SDK's own.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:geostudio")

NOBODY = "01935f2e-0000-7000-8000-000000000000"
FINAL = {"COMPLETED", "FAILED", "STOPPED"}
PENDING, RUNNING = ("Updated", "PENDING"), ("Updated", "RUNNING")
# As the SDK checks it before it sends it.
REQUEST = {
    "spatial_domain": {"bbox": [[36.7, -1.4, 36.9, -1.2]]},
    "temporal_domain": ["2024-04-25_2024-05-05"],
    "description": "floods of April",
    "location": "Nairobi, Kenya",
}
LAYERS = [{"uri": "geofm:water", "display_name": "model prediction", "visible_by_default": "True"}]


def model_id(name):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:inferq:model:{name}"))


def submit(gateway, name, headers=JSON_TYPE, **members):
    answer = gateway.post("/v2/inference", {"model_display_name": name} | REQUEST | members, headers)
    assert answer.status == 201, answer
    return answer.json()


def record(gateway, job):
    answer = gateway.get(f"/v2/inference/{job['id']}")
    assert answer.status == 200, answer
    return answer.json()


def ended(gateway, job):
    def now():
        found = record(gateway, job)
        return found if found["status"] in FINAL else None

    return until(now, f"the end of {job['id']}")


def listen(gateway, name, headers=None):
    return wire.Stream(gateway.address, f"/v2/async/notify/{name}", headers)


def checked(stream):
    """The events of a whole stream, each as it is described."""
    events = wire.parse(stream.to_end())
    for event in events:
        DESCRIPTION.check_event(event, "ReferenceEvent")
    return events


def heard(gateway, job):
    with listen(gateway, job["id"]) as stream:
        assert stream.status == 200
        return checked(stream)


def kinds(events):
    return [event.kind for event in events]


# The SDK


@pytest.fixture(scope="module")
def sdk(gateway):
    """A client made as its users make it: with the gateway's address in the environment, and some key."""
    with pytest.MonkeyPatch.context() as patch:
        yield geostudio_at(gateway.url, patch).Client(api_key="any")


def test_the_sdk_submits_and_waits(sdk, gateway, model):
    model.route.answer_with(answers.ok(json.dumps({"predicted_layers": LAYERS}).encode()))
    job = sdk.submit_inference({"model_display_name": model.name} | REQUEST)
    assert job["status"] in {"PENDING", "RUNNING"} and job["model_display_name"] == model.name
    assert job["spatial_domain"]["bbox"] == REQUEST["spatial_domain"]["bbox"]
    ended(gateway, job)
    done = sdk.poll_inference_until_finished(job["id"])
    assert (done["id"], done["status"]) == (job["id"], "COMPLETED")
    assert done["geoserver_layers"] == {"predicted_layers": LAYERS}
    assert {name: done[name] for name in ("temporal_domain", "location", "description")} == {
        name: REQUEST[name] for name in ("temporal_domain", "location", "description")
    }
    sent = json.loads(model.calls[0].body)
    assert sent["model_display_name"] == model.name and sent["geoserver_push"] is None, "what the SDK sent, nulls and all"


def test_the_sdk_names_a_model_by_the_id_from_its_list(sdk, gateway, model):
    listed = {each["display_name"]: each for each in sdk.list_models()["results"]}
    found = listed[model.name]
    assert sdk.get_model(found["id"]) == found
    job = sdk.submit_inference({"model_id": found["id"]} | REQUEST)
    assert (job["model"], job["model_display_name"], job["model_id"]) == (model.name, model.name, found["id"])
    assert ended(gateway, job)["status"] == "COMPLETED"
    assert json.loads(model.calls[0].body)["model_display_name"] is None


@pytest.mark.parametrize("how, status", [("fails", "FAILED"), ("cancelled", "STOPPED")])
def test_the_sdk_hears_of_every_end(sdk, gateway, model, how, status):
    if how == "fails":
        model.route.answer_with(answers.status(422, body=b"the bands do not fit"))
    else:
        model.route.hold()
    job = sdk.submit_inference({"model_display_name": model.name} | REQUEST)
    if how == "cancelled":
        gateway.post(f"/v2/inference/{job['id']}/cancel", b"", headers={})
    ended(gateway, job)
    done = sdk.poll_inference_until_finished(job["id"])
    assert done["status"] == status
    if how == "fails":
        assert done["error"].endswith("422: the bands do not fit"), done["error"]
    else:
        assert done["error"] is None


def test_the_sdk_lists_reads_and_deletes(sdk, gateway, model):
    job = sdk.submit_inference({"model_display_name": model.name} | REQUEST)
    done = ended(gateway, job)
    page = sdk.list_inferences()
    assert page["results"][0]["id"] == job["id"] and page["total_records"] >= 1
    table = sdk.list_inferences(output="df")
    assert table["id"][0] == job["id"] and table["location"][0] == REQUEST["location"]
    assert sdk.get_inference(job["id"]) == done
    assert sdk.get_inference_tasks(job["id"]) == {"inference_id": job["id"], "status": "COMPLETED", "tasks": []}
    assert len(sdk.inference_task_status_df(job["id"])) == 0
    sdk.delete_inference(job["id"])
    assert sdk.get_inference(job["id"])["code"] == "gone"


def test_the_sdk_deletes_a_job_that_runs(sdk, gateway, model):
    model.route.hold()
    job = sdk.submit_inference({"model_display_name": model.name} | REQUEST)
    call = model.route.wait_calls(1)[0]
    sdk.delete_inference(job["id"])
    assert sdk.get_inference(job["id"])["code"] == "gone"
    assert call.dropped.wait(10)


# Submit and read


def test_a_submit_is_201_with_the_record_as_it_was_stored(gateway, model):
    answer = gateway.post("/v2/inference", {"model_display_name": model.name} | REQUEST)
    job = answer.json()
    assert (answer.status, answer.headers["Location"]) == (201, f"/v2/inference/{job['id']}")
    assert job["status"] == "PENDING" and job["event_id"] == job["id"]
    assert {name: job[name] for name in REQUEST} == REQUEST
    assert (job["active"], job["created_by"], job["updated_at"]) == (True, "", job["created_at"])
    assert job["geoserver_layers"] == {"predicted_layers": []}
    done = ended(gateway, job)
    assert done["updated_at"] == done["finished_at"]
    assert json.loads(model.calls[0].body) == {"model_display_name": model.name} | REQUEST


def test_a_job_is_the_same_one_on_both_paths(gateway, model):
    job = submit(gateway, model.name, job={"priority": 7, "metadata": {"a": 1}})
    ended(gateway, job)
    native = gateway.get(f"/v1/inference/{job['id']}").json()
    assert native["id"] == job["id"] and native["event_id"] != job["id"]
    assert (native["priority"], native["metadata"]) == (7, {"a": 1})
    theirs = record(gateway, job)
    assert native["client"] == "anonymous" and "client" not in theirs
    same = set(native) - {"event_id", "urls", "client"}
    assert {name: theirs[name] for name in same} == {name: native[name] for name in same}
    assert "job" not in theirs
    for name in ("input", "output"):
        assert gateway.get(theirs["urls"][name]).body == gateway.get(native["urls"][name]).body


def test_the_members_of_an_input_stand_in_the_record_too(gateway, model):
    job = gateway.submit(model.name, {"location": "Nairobi", "id": "mine", "status": "mine"})
    found = record(gateway, job)
    assert (found["location"], found["id"]) == ("Nairobi", job["id"])
    assert found["input"] == {"location": "Nairobi", "id": "mine", "status": "mine"}


def test_the_records_own_members_win(gateway, model):
    mine = dict.fromkeys(["id", "event_id", "status", "error", "created_by", "active", "updated_at", "urls"], "mine")
    job = submit(gateway, model.name, **mine, geoserver_layers={"predicted_layers": ["mine"]})
    done = ended(gateway, job)
    assert all(done[name] != "mine" for name in mine)
    assert done["geoserver_layers"] == {"predicted_layers": []}
    assert json.loads(model.calls[0].body)["geoserver_layers"] == {"predicted_layers": ["mine"]}
    final = heard(gateway, job)[-1].data
    assert all(final[name] != "mine" for name in mine)


def test_members_that_are_null_count_as_absent(gateway, model):
    body = {"model": None, "model_display_name": None, "model_id": model_id(model.name), "input": None, "location": None}
    answer = gateway.post("/v2/inference", body)
    assert answer.status == 201, answer
    done = ended(gateway, answer.json())
    assert done["model"] == model.name and "location" not in done
    assert json.loads(model.calls[0].body) == body
    said = problem(gateway.post("/v2/inference", {"model_id": None}), 400)
    assert said["detail"].startswith("model:")
    problem(gateway.post("/v1/async/inference", body), 400, "model")


@pytest.mark.parametrize("name", [NOBODY, "nobody"])
def test_a_model_id_of_nobody_is_422(gateway, name):
    problem(gateway.post("/v2/inference", {"model_id": name}), 422, name)


def test_other_bodies_and_keys_are_taken_as_by_the_other_path(gateway, model):
    target = f"/v2/inference?model={model.name}"
    answer = gateway.post(target, b"\x89PNG", {"Content-Type": "image/png"})
    assert (answer.status, answer.json()["model_display_name"]) == (201, model.name)
    ended(gateway, answer.json())
    assert (model.calls[0].body, model.calls[0].header("Content-Type")) == (b"\x89PNG", "image/png")
    keyed = JSON_TYPE | {"Idempotency-Key": "reference"}
    first = submit(gateway, model.name, keyed)
    again = gateway.post("/v2/inference", {"model_display_name": model.name} | REQUEST, keyed)
    assert (again.status, again.json()["id"]) == (201, first["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    problem(gateway.post("/v2/inference", {"model_display_name": model.name}, keyed), 422)


def test_reading_knows_tags_and_waits(gateway, model):
    model.route.hold()
    job = submit(gateway, model.name)
    model.route.wait_calls(1)
    own = f"/v2/inference/{job['id']}"
    tag = gateway.get(own).headers["ETag"]
    assert gateway.get(own, If_None_Match=tag).status == 304
    assert gateway.get(own + "?wait=100ms").json()["status"] == "RUNNING"
    model.route.release()
    assert gateway.get(own + "?wait=30s").json()["status"] == "COMPLETED"
    problem(gateway.get(f"/v2/inference/{NOBODY}"), 404)
    problem(gateway.get("/v2/inference/nonsense"), 400)


def test_layers_that_are_handed_over_early_are_there(gateway, model):
    model.route.hold()
    job = submit(gateway, model.name)
    call = model.route.wait_calls(1)[0]
    report = {
        "event_id": call.header("X-Event-Id"), "detail_type": "Inf:Task:LayerReady",
        "detail": {"predicted_layers": LAYERS},
    }
    told = gateway.post("/v1/notifications", report, JSON_TYPE | {"X-Notify-Token": call.header("X-Notify-Token")})
    assert told.status == 201
    found = record(gateway, job)
    assert found["geoserver_layers"] == {"predicted_layers": LAYERS} and found["updated_at"] >= found["started_at"]


def test_a_large_request_is_shown_as_far_as_it_fits(gateway, model):
    polygons = [[[n, n] for n in range(20_000)]]
    job = submit(gateway, model.name, spatial_domain={"polygons": polygons})
    for shown in (job, ended(gateway, job), heard(gateway, job)[-1].data):
        assert "spatial_domain" not in shown and shown["omitted"] == ["spatial_domain"]
        assert (shown["location"], shown["temporal_domain"]) == (REQUEST["location"], REQUEST["temporal_domain"])
    assert gateway.get(job["urls"]["input"]).json()["spatial_domain"] == {"polygons": polygons}
    huge = submit(gateway, model.name, spatial_domain={"polygons": "x" * (2 << 20)})
    assert "location" not in huge, "nobody reads megabytes for the sake of a line in a list"


# Cancel and delete


def test_a_cancel_is_202_whatever_the_state(gateway, model):
    model.route.hold()
    job = submit(gateway, model.name)
    call = model.route.wait_calls(1)[0]
    for _ in range(2):
        answer = gateway.post(f"/v2/inference/{job['id']}/cancel", b"", headers={})
        assert (answer.status, answer.json()["status"]) == (202, "STOPPED")
    assert call.dropped.wait(10)
    problem(gateway.post(f"/v2/inference/{NOBODY}/cancel", b"", headers={}), 404)


def delete(gateway, job):
    return gateway.request("DELETE", f"/v2/inference/{job['id']}")


def test_what_is_deleted_is_gone(gateway, model):
    job = submit(gateway, model.name)
    ended(gateway, job)
    answer = delete(gateway, job)
    assert (answer.status, answer.body) == (204, b"")
    for target in (job["urls"]["self"], job["urls"]["events"], job["urls"]["history"], job["urls"]["self"] + "/tasks"):
        problem(gateway.get(target), 410)
    problem(delete(gateway, job), 410)
    problem(delete(gateway, {"id": NOBODY}), 404)


def test_a_job_that_waits_is_deleted_and_never_called(gateway, model):
    job = submit(gateway, model.name, job={"delay": "1h"})
    assert delete(gateway, job).status == 204
    problem(gateway.get(job["urls"]["self"]), 410)
    assert not model.calls


def test_listeners_of_a_job_that_is_deleted_hear_its_end_first(gateway, model):
    model.route.hold()
    job = submit(gateway, model.name)
    call = model.route.wait_calls(1)[0]
    native = gateway.get(f"/v1/inference/{job['id']}").json()
    with listen(gateway, job["id"]) as theirs, gateway.listen(native) as ours:
        theirs.events(2)
        ours.events(2)
        assert delete(gateway, job).status == 204
        assert kinds(checked(theirs)) == [PENDING, RUNNING, ("Updated", "STOPPED")]
        assert kinds(wire.parse(ours.to_end())) == [PENDING, RUNNING, ("Updated", "CANCELLED")]
    assert call.dropped.wait(10)
    problem(gateway.get(f"/v2/inference/{job['id']}"), 410)


@pytest.fixture
def deaf_listener(make_gateway, model_server):
    """A gateway with some settings, a job that runs there, and a listener that has more to read than the kernel holds."""
    with contextlib.ExitStack() as stack:

        def begin(**settings):
            gateway = make_gateway({"ocr": {}}, **settings)
            route = model_server.route("/ocr")
            route.hold()
            job = submit(gateway, "ocr")
            call = route.wait_calls(1)[0]
            listener = stack.enter_context(listen(gateway, job["id"]))
            token = JSON_TYPE | {"X-Notify-Token": call.header("X-Notify-Token")}
            detail = {"x": "x" * 48_000}
            report = {"event_id": call.header("X-Event-Id"), "detail_type": "Inf:Task:Notify", "detail": detail}
            for _ in range(300):
                assert gateway.post("/v1/notifications", report, token).status == 201
            return gateway, job, listener

        yield begin


def test_a_slow_listener_hears_the_end_of_a_job_that_is_deleted(deaf_listener):
    gateway, job, listener = deaf_listener(limits={"listener_timeout": "1m"})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        deletion = pool.submit(delete, gateway, job)
        until(lambda: record(gateway, job)["status"] == "STOPPED", "the cancel")
        events = checked(listener)
        assert deletion.result(30).status == 204
    assert events[-1].kind == ("Updated", "STOPPED") and len(events) == 303
    problem(gateway.get(f"/v2/inference/{job['id']}"), 410)


def test_a_listener_that_does_not_read_holds_no_delete_up(deaf_listener):
    gateway, job, _ = deaf_listener(limits={"listener_timeout": "200ms"})
    assert delete(gateway, job).status == 204
    problem(gateway.get(f"/v2/inference/{job['id']}"), 410)


# Events


def test_both_identifiers_name_the_events(gateway, model):
    job = submit(gateway, model.name)
    ended(gateway, job)
    native = gateway.get(f"/v1/inference/{job['id']}").json()
    bodies = []
    for name in (job["id"], native["event_id"]):
        with listen(gateway, name) as stream:
            bodies.append(stream.to_end())
    assert bodies[0] == bodies[1]
    events = wire.parse(bodies[0])
    assert [event.id for event in events] == [event.id for event in gateway.events(native)], "one sequence"
    assert all(event.data["event_id"] == event.data["id"] == job["id"] for event in events)
    with listen(gateway, job["id"], {"Last-Event-ID": str(events[0].id)}) as stream:
        assert kinds(checked(stream)) == kinds(events[1:])
    assert gateway.get(f"/v2/async/notify/{job['id']}?lastEventId={events[-1].id}").status == 204
    problem(gateway.get(f"/v2/async/notify/{NOBODY}"), 404)


def test_errors_are_sentences_in_every_event(gateway, model):
    model.route.answer_with(answers.status(500, body=b"out of memory"), answers.status(400, body=b"no band 7"))
    events = heard(gateway, submit(gateway, model.name))
    assert kinds(events) == [PENDING, RUNNING, ("Error", "RUNNING"), PENDING, RUNNING, ("Failed", "FAILED")]
    first, last = events[2].data, events[-1].data
    assert first["error"].endswith("500: out of memory") and set(first) == {"error", "attempt", "retry_at"}
    assert events[3].data["error"] == first["error"]
    assert last["error"].endswith("400: no band 7") and last["status"] == "FAILED"


def test_a_page_replaces_its_row_by_the_last_event(gateway, model):
    """Its history page: rows by `id`, a stream for each that has not ended, its last event in the row's place."""
    model.route.answer_with(answers.ok(json.dumps({"predicted_layers": LAYERS}).encode()))
    model.route.hold()
    job = submit(gateway, model.name)
    target = f"/v2/inference?limit=25&skip=0&created_by=undefined&model_id={model_id(model.name)}"
    rows = gateway.get(target).json()["results"]
    assert [row["id"] for row in rows] == [job["id"]]
    with listen(gateway, rows[0]["id"]) as stream:
        stream.events(2)
        model.route.release()
        final = checked(stream)[-1]
    assert final.kind == ("Updated", "COMPLETED")
    row = final.data
    assert (row["id"], row["status"], row["geoserver_layers"]) == (job["id"], "COMPLETED", {"predicted_layers": LAYERS})
    done = gateway.get(target).json()["results"][0]
    without_bodies = set(row) - {"output", "output_note"}
    assert {name: row[name] for name in without_bodies} == done, "as the list has it from now on"


def test_what_is_too_large_is_left_out_the_request_first(gateway, model):
    answer = {"predicted_layers": LAYERS, "x": "y" * 50_000}
    model.route.answer_with(answers.ok(json.dumps(answer).encode()))
    job = submit(gateway, model.name, description="z" * 40_000)
    final = heard(gateway, job)[-1]
    assert len(final.data_line) <= 64 << 10
    assert final.data["omitted"] == ["description"] and final.data["output"] == answer
    assert final.data["location"] == REQUEST["location"]


def test_the_history_is_in_pages(gateway, model):
    job = submit(gateway, model.name)
    ended(gateway, job)
    events = heard(gateway, job)
    target = f"/v2/notifications/{job['id']}"
    entries = gateway.get(target + "?limit=50&skip=0").json()["results"]
    assert [entry["id"] for entry in entries] == [event.id for event in events]
    assert [entry["detail"] for entry in entries] == [event.data for event in events]
    assert [entry["detail"]["status"] for entry in entries] == ["PENDING", "RUNNING", "COMPLETED"]
    assert all(entry["event_id"] == job["id"] for entry in entries)
    assert gateway.get(target + "?limit=1&skip=1").json()["results"] == entries[1:2]
    assert gateway.get(target + "?skip=3").json()["results"] == []
    problem(gateway.get(f"/v2/notifications/{NOBODY}"), 404)


# Lists


def test_pages_of_jobs_are_counted_from_the_newest(make_gateway):
    gateway = make_gateway({"a": {}, "b": {}})
    jobs = [submit(gateway, name)["id"] for name in ("a", "b", "a", "a", "b")][::-1]
    for job in jobs:
        ended(gateway, {"id": job})
    gateway.request("DELETE", f"/v2/inference/{jobs.pop()}")

    def page(query):
        answer = gateway.get("/v2/inference" + query)
        assert answer.status == 200, answer
        return [each["id"] for each in answer.json()["results"]], answer.json()["total_records"]

    assert page("") == (jobs, 4)
    assert page("?limit=2") == (jobs[:2], 4)
    assert page("?limit=2&skip=2") == (jobs[2:], 4)
    assert page("?limit=10&skip=4") == ([], 4)
    assert page("?saved=true&created_by=undefined&location=Nairobi&tune_id=7") == (jobs, 4)
    for name in ("b", model_id("b"), model_id("b").upper()):
        assert page(f"?model_id={name}&limit=1&skip=1") == ([jobs[3]], 2)
    assert page(f"?model_id={NOBODY}") == ([], 0)


def test_an_entry_of_a_list_has_no_bodies(gateway, model):
    model.route.answer_with(answers.ok(json.dumps({"predicted_layers": LAYERS, "x": 1}).encode()))
    job = submit(gateway, model.name)
    done = ended(gateway, job)
    entry = gateway.get(f"/v2/inference?model_id={model.name}").json()["results"][0]
    assert entry == {name: done[name] for name in set(done) - {"input", "output"}}


def test_an_entry_of_a_list_says_what_it_lacks(gateway, model):
    model.route.answer_with(answers.ok(json.dumps({"predicted_layers": LAYERS, "x": "y" * (1 << 20)}).encode()))
    job = submit(gateway, model.name)
    done = ended(gateway, job)
    assert done["geoserver_layers"] == {"predicted_layers": LAYERS} and "omitted" not in done
    entry = gateway.get(f"/v2/inference?model_id={model.name}").json()["results"][0]
    assert entry["omitted"] == ["predicted_layers"]
    assert not {"predicted_layers", "geoserver_layers"} & set(entry)
    assert entry["location"] == REQUEST["location"]


def test_a_list_of_large_records_is_bounded(make_gateway):
    gateway = make_gateway({"a": {}})
    for n in range(150):
        submit(gateway, "a", description="x" * 65_000)
    answer = gateway.get("/v2/inference?limit=1000")
    assert len(answer.body) < 9 << 20
    omitted = [entry.get("omitted") for entry in answer.json()["results"]]
    assert omitted[0] is None and omitted[-1] == ["input"] and len(omitted) == 150


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=a", "skip=-1", "skip=10001", "skip=1&skip=2", "status=PENDING", "cursor=j1"]
)
def test_a_page_that_cannot_be_is_400(gateway, query):
    problem(gateway.get("/v2/inference?" + query), 400, query.partition("=")[0])
    problem(gateway.get("/v2/models?" + query), 400, query.partition("=")[0])


def test_models_have_an_id_that_stays(make_gateway):
    gateway = make_gateway({"b": {}, "a:1": {}})
    answer = gateway.get("/v2/models?limit=1000&skip=0").json()
    assert answer["total_records"] == 2
    assert [(each["display_name"], each["id"]) for each in answer["results"]] == [
        ("a:1", model_id("a:1")), ("b", model_id("b")),
    ]
    assert gateway.get("/v2/models?limit=1&skip=1").json() == {"results": answer["results"][1:], "total_records": 2}
    assert gateway.get("/v2/models?internal_name=b").json()["results"] == answer["results"][1:]
    for name in (model_id("a:1"), "a:1", "a%3A1"):
        assert gateway.get(f"/v2/models/{name}").json() == answer["results"][0]
    problem(gateway.get(f"/v2/models/{NOBODY}"), 404)


def test_the_status_of_a_model_is_in_their_words(make_gateway, model_server):
    gateway = make_gateway({"up": {}, "paused": {}, "away": {}})
    model_server.route("/away").answer_with(answers.status(503, retry_after=1))
    gateway.post("/v1/models/paused/pause", b"", headers={})
    submit(gateway, "away")

    def statuses():
        return {each["display_name"]: each["status"] for each in gateway.get("/v2/models").json()["results"]}

    until(
        lambda: statuses() == {"up": "COMPLETED", "paused": "UNAVAILABLE", "away": "DEPLOY_IN_PROGRESS"},
        "each model's status",
    )


def test_pipelines_have_tasks_and_a_job_has_none(gateway, model):
    job = submit(gateway, model.name)
    ended(gateway, job)
    found = gateway.get(f"/v2/inference/{job['id']}/tasks").json()
    assert found == {"inference_id": job["id"], "status": "COMPLETED", "tasks": []}
    problem(gateway.get(f"/v2/inference/{NOBODY}/tasks"), 404)
