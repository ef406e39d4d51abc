"""The page for people: the last hour of each model, streams that run, models that are away and what a job waits for."""

import pytest

import answers
from streamserver import Feed
from test_page import has_status, needs_chromium, picture, row

pytestmark = needs_chromium
HOURS = "document.getElementById('hours')"


@pytest.fixture
def page(make_gateway, model_server, browser):
    gateway = make_gateway({"ocr": {"max_attempts": 1}, "idle": {}})
    with browser.tab(gateway.url + "/") as tab:
        tab.gateway, tab.route = gateway, model_server.route("/ocr")
        tab.wait("document.getElementById('connection').textContent.startsWith('Live')")
        yield tab


def test_the_last_hour_is_drawn_for_models_with_jobs(page):
    assert page.evaluate(f"{HOURS}.hidden") is True, "nothing has happened"
    page.route.answer_with(answers.ok(), answers.ok(), answers.status(400))
    for _ in range(3):
        page.gateway.ended(page.gateway.submit("ocr"))
    # Asked again and again: a request of the page's own, under way since before, would be taken for the answer.
    page.wait(f"loadHours(), {HOURS}.textContent.startsWith('ocr 2 completed, 1 failed, at most ')")
    assert page.evaluate(f"{HOURS}.querySelectorAll('figure').length") == 1
    text = page.evaluate(f"{HOURS}.textContent")
    svg = f"{HOURS}.querySelector('svg')"
    assert page.evaluate(f"{svg}.getAttribute('aria-label')") == "ocr: " + text.removeprefix("ocr ")
    # The three ended in one minute, or on both sides of a change of the minute.
    shares = page.evaluate(f"""['completed', 'failed'].map(kind =>
        [...{svg}.querySelectorAll('.' + kind)].reduce((sum, bar) => sum + Number(bar.getAttribute('height')), 0))""")
    assert shares[0] == pytest.approx(2 * shares[1])
    x = page.evaluate(f"Math.max(...[...{svg}.querySelectorAll('rect')].map(bar => Number(bar.getAttribute('x'))))")
    assert x == 59 * 4, "the newest minute stands on the right"
    assert page.evaluate(f"{svg}.querySelectorAll('polyline').length") == 1
    page.gateway.ended(page.gateway.submit("ocr"))
    page.wait(f"loadHours(), {HOURS}.textContent.startsWith('ocr 2 completed, 2 failed')")
    picture(page, "hours")
    assert page.troubles() == []


def test_a_job_says_what_it_waits_for(page):
    page.route.hold()
    running, waiting = [page.gateway.submit("ocr") for _ in range(2)]
    page.wait(has_status(running, "RUNNING"))
    # What is read counts only as far as no newer event has told of the job.
    page.wait(has_status(waiting, "PENDING"))
    page.evaluate("loadJobs()")
    page.wait(f"{row(waiting, 'note')} === 'next'")
    page.evaluate("setPaused('ocr', true)")
    page.wait(f"{row(waiting, 'note')} === 'the model is paused'")
    page.evaluate("setPaused('ocr', false)")
    page.route.release()
    page.wait(has_status(waiting, "COMPLETED"))
    page.evaluate(f"location.hash = '{waiting['id']}'")
    page.wait("document.getElementById('facts').textContent.includes('Waited')")


def test_a_model_that_is_away_says_since_when_and_its_jobs_wait_for_it(make_gateway, browser):
    gateway = make_gateway({"ocr": {"url": "http://127.0.0.1:1/x"}})
    with browser.tab(gateway.url + "/") as tab:
        tab.wait("document.getElementById('connection').textContent.startsWith('Live')")
        job = gateway.submit("ocr")
        tab.wait("document.getElementById('models').textContent.includes('down')")
        tab.wait(r"/since \d\d:\d\d:\d\d: /.test(document.getElementById('models').textContent)")
        tab.wait(f"/its server has been away since/.test({row(job, 'note')})")
        picture(tab, "away")


def test_how_far_a_stream_is_stands_with_its_job(page):
    feed = Feed("text/plain")
    page.route.answer_with(feed)
    job = page.gateway.submit("ocr")
    feed.send(b"x" * 700)
    page.wait(has_status(job, "RUNNING"))
    page.wait(f"loadRunning(), {row(job, 'note')}.endsWith('700 B so far')")
    feed.finish()
    page.wait(has_status(job, "COMPLETED"))
