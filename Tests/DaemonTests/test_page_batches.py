"""The page for people: batches of the OpenAI API and how far they are."""

import pytest

from test_batches import CHAT, Site, line, lines, spoken
from test_page import needs_chromium, picture
from waiting import until

pytestmark = needs_chromium
TEXT = "document.getElementById('batches').textContent"


@pytest.fixture
def page(make_gateway, model_server, browser):
    gateway = make_gateway({"m": {"url": model_server.url(""), "dialect": "openai", "max_attempts": 1}})
    with browser.tab(gateway.url + "/") as tab:
        tab.site = Site(gateway, model_server.route(CHAT))
        tab.site.route.answer_with(spoken)
        tab.wait("document.getElementById('connection').textContent.startsWith('Live')")
        yield tab


def test_a_batch_grows_and_its_files_are_offered(page):
    assert page.evaluate("document.getElementById('batches-part').hidden") is True
    page.site.route.hold()
    batch = page.site.create([line(f"r{n}") for n in range(3)])
    page.evaluate("loadBatches()")
    page.wait(f"{TEXT}.includes('in progress') && {TEXT}.includes('0 of 3')")
    picture(page, "batches")
    page.site.route.release()
    page.wait(f"{TEXT}.includes('completed') && {TEXT}.includes('3 of 3')")
    href = page.evaluate("document.querySelector('#batches a').getAttribute('href')")
    assert href == f"/v1/files/{page.site.get(batch)['output_file_id']}/content"
    assert page.evaluate("document.querySelector('#batches button').hidden") is True
    assert page.troubles() == []


def test_a_batch_is_cancelled_from_the_page(page):
    page.site.route.hold()
    batch = page.site.create([line(f"r{n}") for n in range(3)])
    page.evaluate("loadBatches()")
    page.wait(f"{TEXT}.includes('in progress')")
    until(lambda: page.site.route.calls, "the first line")
    page.evaluate("document.querySelector('#batches button').click()")
    page.wait(f"{TEXT}.includes('cancelling')")
    page.site.route.release()
    page.wait(f"{TEXT}.includes('cancelled') && {TEXT}.includes('1 of 3')")
    assert page.site.get(batch)["status"] == "cancelled" and page.troubles() == []


def test_what_is_wrong_with_a_batch_is_shown(page):
    page.site.create(lines(line("a"), line("a")))
    page.evaluate("loadBatches()")
    page.wait(f"{TEXT}.includes('failed') && {TEXT}.includes('custom_id was already used by an earlier line')")
