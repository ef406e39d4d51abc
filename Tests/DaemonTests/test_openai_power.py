"""Responses in the background and batches on a disk whose power is cut: what was seen stays, and no line runs twice."""

import contextlib
import os
import random
import threading
import time

import pytest

import test_batches
import test_responses
from power_cut import PowerDisk, power_cut_possible
from stream_crash import Listener
from streamserver import Feeds, said


@pytest.fixture
def power(make_gateway, model_server, tmp_path):
    """A gateway on a disk of its own, and what cuts its power; skips, with the reason, where that cannot be done."""
    if reason := power_cut_possible():
        pytest.skip(f"power cuts: {reason}")
    with PowerDisk(tmp_path, 256) as disk, contextlib.ExitStack() as stack:
        store = disk.mount / "store"
        store.mkdir(mode=0o700)
        os.sync()
        models = {"m": {"url": model_server.url(""), "dialect": "openai", "max_attempts": 1, "concurrency": 8}}
        gateway = make_gateway(models, store={"path": str(store / "inferq.db"), "min_free": "1MiB", "ballast": "1MiB"})
        gateway.errors_expected = True
        stack.callback(gateway.close)

        def cut():
            disk.cut_under(gateway.process)
            gateway.kill()
            disk.detach()
            disk.attach()

        yield gateway, cut


@pytest.mark.long
@pytest.mark.timeout(180)
def test_power_cuts_change_no_event_and_lose_no_line(power, model_server):
    gateway, cut = power
    draw, count = random.Random(16), 3_000
    batches = test_batches.Site(gateway, model_server.route(test_batches.CHAT))
    responses = test_responses.Site(gateway, model_server.route(test_responses.PATH))

    def slowly(exchange):
        time.sleep(0.005)
        test_batches.spoken(exchange)

    batches.route.answer_with(slowly)
    batch = batches.create([test_batches.line(f"r{n}", say=str(n)) for n in range(count)])
    seen = []
    for number in range(8):
        feeds = Feeds()
        responses.route.answer_with(feeds)
        asked = responses.create(input=str(number))
        reader = Listener(responses.follow(asked), "events")
        speaker = threading.Thread(target=test_responses.speak, args=(feeds.wait(1)[0], draw.random()))
        speaker.start()
        time.sleep(draw.uniform(0.05, 0.4))
        cut()
        reader.join(30)
        speaker.join(30)
        responses.route.answer_with(said(*test_responses.whole("once ", "more")))
        gateway.restart()
        # One after the other: each response lives through one cut.
        responses.ended(asked)
        seen.append((asked, reader.body.replace(b":\n", b"")))
    for asked, body in seen:
        # Who has seen nothing may have been cut off before it was told that there is such a response.
        assert responses.ended(asked)["output"][-1]["content"][0]["text"] == "once more"
        whole = responses.stream(asked)
        test_responses.numbered(whole)
        assert whole.startswith(body), f"{asked['id']}: {body[-300:]!r}"
    assert sum(b"output_text.delta" in body for _, body in seen) > 2, "hardly anybody saw a text before the cut"
    ended = batches.ended(batch, timeout=100)
    output, errors = batches.files(ended)
    assert all(each["error"]["code"] == "poisoned" for each in errors)
    names = [int(each["custom_id"].removeprefix("r")) for each in output]
    assert names == sorted(names) and sorted(names + [int(each["custom_id"][1:]) for each in errors]) == list(range(count))
