"""The page for people, in a browser."""

import base64
import hashlib
import os
import pathlib
import re

import pytest

import answers
from browser import CHROMIUM
from contract import problem

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")

# Where screenshots go, to be looked at; none are taken without it.
PICTURES = os.environ.get("PAGE_PICTURES")


@pytest.fixture
def page(make_gateway, model_server, browser):
    """A gateway of its own with the model "ocr", and its page in a tab."""
    gateway = make_gateway({"ocr": {"max_attempts": 2}, "segmentation-large": {"concurrency": 2}})
    with browser.tab(gateway.url + "/") as tab:
        tab.gateway = gateway
        tab.route = model_server.route("/ocr")
        tab.wait("document.getElementById('models').children.length === 2")
        tab.wait("document.getElementById('connection').textContent.startsWith('Live')")
        yield tab


def picture(tab, name):
    if PICTURES:
        tab.screenshot(pathlib.Path(PICTURES) / f"{name}.png")


def row(job, what="state"):
    """An expression: the text of one cell in the row of a job."""
    return f"document.querySelector('#jobs a[href=\"#{job['id']}\"]')?.closest('tr').cells_.{what}.textContent"


def has_status(job, status):
    return f"{row(job)} === '{status}'"


def report(gateway, job, token, detail):
    body = {"event_id": job["event_id"], "detail_type": "Inf:Task:Notify", "detail": detail}
    headers = {"Content-Type": "application/json", "X-Notify-Token": token}
    assert gateway.post("/v1/notifications", body, headers).status == 201


# The document


def test_the_page_may_do_nothing_but_run_itself_and_call_its_gateway(gateway):
    answer = gateway.get("/", Accept="text/html,*/*;q=0.8")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    directives = dict(each.strip().partition(" ")[::2] for each in answer.headers["Content-Security-Policy"].split(";"))
    for element, directive in (("script", "script-src"), ("style", "style-src")):
        texts = re.findall(f"<{element}>(.*?)</{element}>".encode(), answer.body, re.DOTALL)
        assert len(texts) == 1
        digest = base64.b64encode(hashlib.sha256(texts[0]).digest()).decode()
        assert directives.pop(directive) == f"'sha256-{digest}'"
    assert directives == {
        "default-src": "'none'", "img-src": "data:", "connect-src": "'self'", "frame-ancestors": "'none'",
        "base-uri": "'none'", "form-action": "'self'",
    }
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    outside = re.findall(rb"https?://[^'\" )]+", answer.body)
    assert set(outside) <= {b"http://www.w3.org/2000/svg"}
    for way in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"eval("):
        assert way not in answer.body


def test_the_page_is_asked_for_again_and_sent_once(gateway):
    tag = gateway.get("/").headers["ETag"]
    assert gateway.get("/", If_None_Match=tag).status == 304
    assert gateway.get("/", Accept="*/*").status == 200
    problem(gateway.get("/", Accept="application/json"), 406)
    assert gateway.request("HEAD", "/").status == 200


# In the browser


@needs_chromium
def test_it_loads_without_a_complaint_and_with_one_stream(page):
    job = page.gateway.ended(page.gateway.submit("ocr"))
    page.wait(has_status(job, "COMPLETED"))
    page.evaluate(f"location.hash = '{job['id']}'")
    page.wait("document.querySelectorAll('#events li').length === 3")
    assert page.troubles() == []
    assert len(page.requests("EventSource")) == 1
    assert all(url.startswith((page.gateway.url, "data:")) for kind in ("Document", "Fetch", "EventSource", "Image")
               for url in page.requests(kind))


@needs_chromium
def test_a_job_is_submitted_by_keyboard_and_shown_while_it_runs(page):
    page.route.hold()
    page.tab_to("it.id === 'input'")
    page.evaluate("document.activeElement.select()")
    page.write('{"page": 1.50, "page": 2}')
    page.tab_to("it.id === 'send'")
    page.press("Enter")
    call = page.route.wait_calls(1)[0]
    assert call.body == b'{"page": 1.50, "page": 2}', "byte for byte"
    job = {"id": call.header("X-Inference-Id"), "event_id": call.header("X-Event-Id")}
    page.wait(has_status(job, "RUNNING"))
    page.wait(f"document.activeElement.id === 'job-title' && location.hash === '#{job['id']}'")
    report(page.gateway, job, call.header("X-Notify-Token"), {"message": "half of it", "progress": 0.5})
    page.wait(f"{row(job, 'note')} === 'half of it'")
    assert page.evaluate("document.querySelector('#jobs progress:not([hidden])').value") == 0.5
    page.wait("document.getElementById('events').textContent.includes('50 %, half of it')")
    picture(page, "running")
    page.route.release()
    page.wait(has_status(job, "COMPLETED"))
    page.wait("document.getElementById('aloud').textContent.endsWith('is COMPLETED.')")
    page.wait("document.getElementById('output').textContent.includes('\"ok\": true')")
    ids = [entry["id"] for entry in page.gateway.get(f"/v1/notifications/{job['event_id']}").json()["results"]]
    assert page.evaluate("[...document.querySelectorAll('#events li')].map(item => Number(item.dataset.id))") == ids


@needs_chromium
def test_a_file_is_sent_as_it_is(page, tmp_path):
    file = tmp_path / "page.png"
    file.write_bytes(bytes(range(256)))
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])
    page.evaluate("document.getElementById('send').click()")
    call = page.route.wait_calls(1)[0]
    assert (call.body, call.header("Content-Type")) == (bytes(range(256)), "image/png")


@needs_chromium
def test_what_is_wrong_with_a_submit_is_said_beside_it(page):
    page.evaluate("document.getElementById('input').value = '{'")
    page.evaluate("document.getElementById('send').click()")
    page.wait("document.getElementById('wrong').textContent.startsWith('The input is not JSON')")
    deep = "[" * 200 + "]" * 200
    page.evaluate(f"document.getElementById('input').value = '{deep}'")
    page.evaluate("document.getElementById('send').click()")
    page.wait("document.getElementById('wrong').textContent.includes('128')")
    assert page.gateway.get("/v1/inference").json()["results"] == []


@needs_chromium
def test_a_job_is_cancelled_and_retried_by_keyboard(page):
    page.route.hold()
    job = page.gateway.submit("ocr")
    page.wait(has_status(job, "RUNNING"))
    page.tab_to(f"it.getAttribute('href') === '#{job['id']}'")
    page.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    page.press(" ")
    page.wait(has_status(job, "CANCELLED"))
    assert page.gateway.record(job)["status"] == "CANCELLED"
    page.wait(f"document.activeElement.getAttribute('href') === '#{job['id']}'")
    page.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Retry"
    page.route.release()
    page.press("Enter")
    page.wait("document.querySelectorAll('#jobs tr').length === 2")
    newer = page.gateway.get("/v1/inference").json()["results"][0]
    assert newer["retry_of"] == job["id"]
    page.wait(has_status(newer, "COMPLETED"))
    assert page.evaluate("document.activeElement.textContent") == "Retry", "the focus has stayed"


@needs_chromium
def test_a_model_is_paused_and_resumed(page):
    page.tab_to("it.getAttribute('aria-label') === 'Pause ocr'")
    page.press("Enter")
    page.wait("document.activeElement.getAttribute('aria-label') === 'Resume ocr'")
    assert page.gateway.get("/v1/models/ocr").json()["state"] == "paused"
    page.press("Enter")
    page.wait("document.activeElement.getAttribute('aria-label') === 'Pause ocr'")
    assert page.gateway.get("/v1/models/ocr").json()["state"] == "up"


@needs_chromium
def test_rows_stay_where_they_are_for_who_is_reading(page):
    first = page.gateway.ended(page.gateway.submit("ocr"))
    page.wait(has_status(first, "COMPLETED"))
    page.tab_to(f"it.getAttribute('href') === '#{first['id']}'")
    for _ in range(60):
        newest = page.gateway.submit("ocr")
    page.wait(has_status(newest, "COMPLETED"))
    assert page.evaluate(f"document.activeElement.getAttribute('href') === '#{first['id']}'")
    page.evaluate("document.getElementById('follow').click()")
    assert page.evaluate("document.getElementById('follow').getAttribute('aria-pressed')") == "false"
    unseen = page.gateway.ended(page.gateway.submit("ocr"))
    page.wait("document.getElementById('follow').textContent === 'Show 1 new'")
    assert page.evaluate(row(unseen)) is None
    page.evaluate("document.getElementById('follow').click()")
    page.wait(has_status(unseen, "COMPLETED"))


@needs_chromium
def test_the_page_does_not_grow_with_what_goes_by(page):
    for _ in range(400):
        newest = page.gateway.submit("segmentation-large")
    page.wait(has_status(newest, "COMPLETED"))
    assert page.evaluate("document.querySelectorAll('#jobs tr').length") == 50
    page.wait("jobs.size <= 200 && rows.size <= 200")
    page.wait("document.querySelector('#models tr:last-child').cells_.rate.textContent === '400'")


@needs_chromium
def test_the_jobs_of_one_model_or_one_status_can_be_seen_alone(page):
    done = page.gateway.ended(page.gateway.submit("ocr"))
    page.route.answer_with(answers.status(400))
    failed = page.gateway.ended(page.gateway.submit("ocr"))
    other = page.gateway.ended(page.gateway.submit("segmentation-large"))
    page.wait(has_status(other, "COMPLETED"))

    def choose(name, value):
        page.evaluate(f"(it => {{ it.value = '{value}'; it.onchange(); }})(document.getElementById('{name}'))")

    choose("of-status", "ERROR")
    page.wait("document.querySelectorAll('#jobs tr').length === 1")
    assert page.evaluate(row(failed)) == "ERROR"
    choose("of-status", "")
    choose("of-model", "ocr")
    page.wait("document.querySelectorAll('#jobs tr').length === 2")
    assert page.evaluate(row(done)) == "COMPLETED"


@needs_chromium
def test_it_says_that_the_gateway_is_away_and_recovers(page):
    before = page.gateway.ended(page.gateway.submit("ocr"))
    page.wait(has_status(before, "COMPLETED"))
    page.gateway.kill()
    page.wait("!document.getElementById('away').hidden")
    assert "away since" in page.evaluate("document.getElementById('away').textContent")
    page.wait("document.getElementById('aloud').textContent === 'The gateway is away.'")
    picture(page, "away")
    page.gateway.start()
    meanwhile = page.gateway.ended(page.gateway.submit("ocr"))
    page.wait("document.getElementById('away').hidden && "
              "document.getElementById('aloud').textContent === 'The gateway is back.'", 30)
    page.wait(has_status(meanwhile, "COMPLETED"))
    after = page.gateway.ended(page.gateway.submit("ocr"))
    page.wait(has_status(after, "COMPLETED"))


@needs_chromium
def test_foreign_text_is_text(page):
    bad = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    page.route.answer_with(answers.status(400, body=bad.encode()))
    job = page.gateway.ended(page.gateway.submit("ocr", metadata={bad: bad}))
    page.evaluate(f"location.hash = '{job['id']}'")
    page.wait("document.getElementById('facts').textContent.includes('onerror')")
    assert page.evaluate("document.querySelector('#facts img, #events img, #facts script')") is None
    assert page.evaluate("document.title") == "inferq"
    assert page.troubles() == []


def filled(page):
    """A gateway with jobs in every state, one of them open."""
    page.route.answer_with(answers.ok(), answers.status(400, body=b"x" * 300), answers.ok())
    gateway = page.gateway
    gateway.ended(gateway.submit("ocr"))
    failed = gateway.ended(gateway.submit("ocr", metadata={"sheet": "A" * 200}))
    for _ in range(4):
        gateway.ended(gateway.submit("segmentation-large"))
    page.route.hold()
    running = gateway.submit("ocr")
    call = page.route.wait_calls(3)[2]
    report(gateway, running, call.header("X-Notify-Token"), {"message": "9 of 20 lines recognised", "progress": 0.45})
    gateway.cancel(gateway.submit("ocr"))
    waiting = [gateway.submit("ocr"), gateway.submit("ocr", delay="1h")]
    page.evaluate(f"location.hash = '{failed['id']}'")
    page.wait(f"document.querySelectorAll('#events li').length === 3 && {has_status(waiting[1], 'PENDING')}")
    page.wait(f"{row(running, 'note')} === '9 of 20 lines recognised'")


@needs_chromium
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_has_to_be_scrolled_sideways(page, width):
    page.size(width, 800, mobile=width < 700)
    filled(page)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), "no horizontal scroll"
    picture(page, f"width-{width}")
    if width == 360:
        page.evaluate("scrollTo(0, 0)")
        picture(page, "phone-top")


CONTRAST = """(() => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const light = color => {
        canvas.fillStyle = "#000"; canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = element => {
        for (let at = element; at; at = at.parentElement) {
            const color = getComputedStyle(at).backgroundColor;
            if (!/, 0\\)$/.test(color)) return color;
        }
        return "white";
    };
    const poor = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        if (!own || !element.checkVisibility() || element.closest("noscript, script, [aria-current]")) continue;
        const [a, b] = [light(getComputedStyle(element).color), light(ground(element))].sort((a, b) => b - a);
        if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(element.outerHTML.slice(0, 100));
    }
    return poor;
})()"""


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast_in_both_schemes(page, scheme):
    page.scheme(scheme)
    filled(page)
    body = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", body)[:3])) < 150) == (scheme == "dark")
    assert page.evaluate(CONTRAST) == []
    picture(page, f"scheme-{scheme}")


@needs_chromium
def test_everything_has_a_name_for_who_cannot_see_it(page):
    filled(page)
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    landmarks, nameless = [], []
    for node in nodes:
        role = node.get("role", {}).get("value")
        name = node.get("name", {}).get("value", "")
        if node.get("ignored"):
            continue
        if role in ("region", "main", "banner"):
            landmarks.append((role, name))
        if role in ("button", "link", "textbox", "combobox", "spinbutton", "table", "progressbar", "region") and not name:
            nameless.append(node)
    assert nameless == []
    assert ("main", "") in landmarks
    assert {"Models", "Latest jobs", "Submit a job"} <= {name for role, name in landmarks if role == "region"}
    roles = [node["role"]["value"] for node in nodes if not node.get("ignored")]
    assert roles.count("table") == 2 and roles.count("columnheader") == 15
    live = page.evaluate("[...document.querySelectorAll('[aria-live], [role=status], [role=alert]')].map(it => it.id)")
    assert sorted(live) == ["aloud", "not-signed-in", "wrong"], "what changes all the time is not read out"
