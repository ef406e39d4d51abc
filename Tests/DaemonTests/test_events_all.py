"""`GET /v1/events`: the events of all jobs as one stream."""

import json
import re
import select
import socket
import threading

import answers
import wire
from waiting import until


def listen(gateway, query="", last=None):
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    return wire.Stream(gateway.address, "/v1/events" + query, headers)


def in_stream(gateway, job):
    """The events of one job as the stream of all jobs must show them."""
    return [
        (event.id, {"event_id": job["event_id"], "model": job["model"]} | event.envelope)
        for event in gateway.events(job)
    ]


def shown(events):
    return [(event.id, event.envelope) for event in events]


def newest(gateway):
    """The id of the newest event of all."""
    with listen(gateway, last=0) as stream:
        job = gateway.submit(sorted(gateway.models)[0])
        final = gateway.events(job)[-1]
        stream.until(lambda received: b"id: %d\n" % final.id in received and received.endswith(b"\n\n"))
        return final.id


def test_the_head_of_the_stream_comes_at_once(gateway, model):
    with listen(gateway) as stream:
        assert stream.status == 200
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert stream.headers["Cache-Control"] == "no-store"
        assert stream.headers["X-Accel-Buffering"] == "no"
        assert stream.headers["Content-Length"] is None


def test_a_listener_gets_what_comes_from_now_on(gateway, model):
    gateway.ended(gateway.submit(model.name))
    with listen(gateway, f"?model={model.name}") as stream:
        job = gateway.submit(model.name)
        events = stream.events(3)
        assert shown(events) == in_stream(gateway, job)
    body = stream.received
    assert re.match(rb"id: \d+\nretry: 2000\ndata: \{", body) and body.count(b"retry:") == 1


def test_events_of_several_jobs_come_in_the_order_of_their_ids(gateway, model):
    with listen(gateway) as stream:
        model.route.hold()
        jobs = [gateway.submit(model.name) for _ in range(5)]
        model.route.release()
        for job in jobs:
            gateway.ended(job)
        events = stream.events(15)
    expected = sorted((pair for job in jobs for pair in in_stream(gateway, job)), key=lambda pair: pair[0])
    assert shown(events) == expected


def test_a_listener_comes_back_after_its_last_id(gateway, model):
    jobs = [gateway.submit(model.name) for _ in range(3)]
    for job in jobs:
        gateway.ended(job)
    expected = sorted((pair for job in jobs for pair in in_stream(gateway, job)), key=lambda pair: pair[0])
    for skipped in (1, 4, 8):
        with listen(gateway, f"?model={model.name}", last=expected[skipped - 1][0]) as stream:
            assert shown(stream.events(9 - skipped)) == expected[skipped:]
    first = expected[0][0]
    with listen(gateway, f"?model={model.name}&last_event_id={first}") as stream:
        assert shown(stream.events(8)) == expected[1:]
    with listen(gateway, f"?model={model.name}&lastEventId={first}") as stream:
        assert shown(stream.events(8)) == expected[1:]
    with listen(gateway, f"?model={model.name}&last_event_id={first}", last=expected[6][0]) as stream:
        assert shown(stream.events(2)) == expected[7:], "the header wins"


def test_an_unusable_id_means_from_now_on(gateway, model):
    gateway.ended(gateway.submit(model.name))
    for last in ["nonsense", "-1", str(newest(gateway) + 1000), "9" * 30, "1.5"]:
        with listen(gateway, f"?model={model.name}", last=last) as stream:
            assert stream.status == 200
            job = gateway.submit(model.name)
            assert shown(stream.events(3)) == in_stream(gateway, job), last


def test_an_id_of_a_deleted_job_is_usable(gateway, model):
    first = gateway.submit(model.name)
    last = gateway.events(first)[-1].id
    second = gateway.submit(model.name)
    gateway.ended(second)
    expected = in_stream(gateway, second)
    assert gateway.request("DELETE", first["urls"]["self"]).status == 204
    with listen(gateway, f"?model={model.name}", last=last) as stream:
        assert shown(stream.events(3)) == expected


def test_a_job_that_was_deleted_is_not_told_of(gateway, model):
    jobs = [gateway.submit(model.name) for _ in range(2)]
    for job in jobs:
        gateway.ended(job)
    expected = in_stream(gateway, jobs[1])
    before = in_stream(gateway, jobs[0])[0][0] - 1
    assert gateway.request("DELETE", jobs[0]["urls"]["self"]).status == 204
    with listen(gateway, f"?model={model.name}", last=before) as stream:
        assert shown(stream.events(3)) == expected


def test_one_model_alone(make_gateway):
    gateway = make_gateway({"a": {}, "b": {}})
    with listen(gateway, "?model=b") as stream, listen(gateway, "?model=unknown") as none:
        for _ in range(3):
            gateway.ended(gateway.submit("a"))
        job = gateway.submit("b")
        assert shown(stream.events(3)) == in_stream(gateway, job)
        assert not select.select([none._socket], [], [], 0.3)[0], "nothing came for a model that is not there"


def test_one_model_among_many_events_of_another(make_gateway):
    gateway = make_gateway({"a": {"concurrency": 8}, "b": {}})
    first = gateway.submit("b")
    gateway.ended(first)
    many = [gateway.submit("a") for _ in range(400)]
    second = gateway.submit("b")
    gateway.ended(second)
    for job in many:
        gateway.ended(job)
    with listen(gateway, "?model=b", last=0) as stream:
        assert shown(stream.events(6)) == in_stream(gateway, first) + in_stream(gateway, second)


def test_a_long_history_comes_whole_and_in_order(make_gateway):
    gateway = make_gateway({"a": {"concurrency": 8}})
    with listen(gateway) as live:
        jobs = [gateway.submit("a") for _ in range(200)]
        for job in jobs:
            gateway.ended(job)
        seen = live.events(600)
    with listen(gateway, last=0) as stream:
        events = stream.events(600)
    ids = [event.id for event in events]
    assert ids == sorted(set(ids))
    assert [event.id for event in seen] == ids
    assert {event.envelope["event_id"] for event in events} == {job["event_id"] for job in jobs}


def test_a_model_server_s_progress_is_among_them(gateway, model):
    def tell(exchange):
        call = exchange.call
        report = {"event_id": call.header("X-Event-Id"), "detail_type": "Inf:Task:Notify", "detail": {"progress": 0.5}}
        token = {"X-Notify-Token": call.header("X-Notify-Token"), "Content-Type": "application/json"}
        assert gateway.post("/v1/notifications", report, token).status == 201
        answers.ok()(exchange)

    model.route.answer_with(tell)
    with listen(gateway, f"?model={model.name}") as stream:
        gateway.submit(model.name)
        told = stream.events(4)[2]
        assert told.kind == ("Notify", "RUNNING") and told.data == {"progress": 0.5}


def test_frames_stay_under_64_kib(make_gateway, model_server):
    name = "m" * 128
    gateway = make_gateway({name: {}})

    def sized(exchange):
        answers.ok(json.dumps({"x": "a" * json.loads(exchange.call.body)["size"]}).encode())(exchange)

    model_server.route("/" + name).answer_with(sized)
    sizes = [60_000, *range(63_800, 65_600, 100), 70_000, 400_000]
    with listen(gateway) as stream:
        for size in sizes:
            gateway.ended(gateway.submit(name, {"size": size}))
        finals = [event for event in stream.events(3 * len(sizes)) if event.status == "COMPLETED"]
    assert max(len(event.data_line) for event in finals) <= 64 << 10
    omitted = ["omitted" in event.data for event in finals]
    assert omitted == sorted(omitted) and set(omitted) == {False, True}, "from some size on, the output is left out"


def test_a_large_output_is_left_out_and_its_layers_are_shown(gateway, model):
    output = json.dumps({"predicted_layers": [{"n": 1}], "x": "a" * 200_000}).encode()
    model.route.answer_with(answers.ok(output))
    with listen(gateway, f"?model={model.name}") as stream:
        gateway.submit(model.name)
        final = stream.events(3)[-1]
    assert final.data["omitted"] == ["output"] and final.data["predicted_layers"] == [{"n": 1}]


def test_silence_is_filled_with_comments(make_gateway):
    gateway = make_gateway({"a": {}, "b": {}}, heartbeat="1s")
    with listen(gateway) as stream:
        stream.until(lambda received: received.startswith(b":\n:\n"))
    over = threading.Event()

    def keep_busy():
        while not over.is_set():
            gateway.ended(gateway.submit("a"))

    with listen(gateway, "?model=b") as stream:
        busy = threading.Thread(target=keep_busy)
        busy.start()
        try:
            # Events of another model wake the listener all the time: it is silence all the same.
            assert stream.until(lambda received: len(received) >= 4) == b":\n:\n"
        finally:
            over.set()
            busy.join()


def test_a_stop_ends_the_stream_and_a_restart_goes_on_after_it(make_gateway):
    gateway = make_gateway({"a": {}})
    with listen(gateway) as stream:
        job = gateway.submit("a")
        first = stream.events(3)
        gateway.terminate()
        stream.to_end()
        gateway.wait_stopped()
    gateway.restart()
    later = gateway.submit("a")
    with listen(gateway, last=first[1].id) as stream:
        assert shown(stream.events(4)) == in_stream(gateway, job)[2:] + in_stream(gateway, later)


def test_a_listener_that_does_not_read_is_cut_off_and_holds_nobody_up(make_gateway):
    gateway = make_gateway({"a": {"concurrency": 4}}, limits={"listener_timeout": "1s"})
    with socket.socket() as stalled, listen(gateway) as healthy:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(gateway.address)
        stalled.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: b"inferq_sse_streams 2" in gateway.get("/metrics").body, "both streams")
        submitted = 0

        def is_cut_off():
            nonlocal submitted
            # The metadata fills the buffers of the kernel sooner.
            for _ in range(20):
                gateway.submit("a", metadata={"x": "y" * 4000})
            submitted += 20
            healthy.events(submitted * 3, 30)
            return b'inferq_sse_streams_closed_total{reason="slow"} 1' in gateway.get("/metrics").body

        until(is_cut_off, "the end of the listener that does not read", 50)


def test_what_is_refused(gateway):
    assert gateway.get("/v1/events", Accept="application/json").status == 406
    assert gateway.get("/v1/events?models=a").status == 400
    assert gateway.get("/v1/events?model=a&model=b").status == 400
    assert gateway.post("/v1/events", {}).status == 405
    head = gateway.request("HEAD", "/v1/events")
    assert head.status == 200 and head.headers["Content-Type"] == "text/event-stream" and head.body == b""
