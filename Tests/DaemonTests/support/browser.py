"""Chromium without a window, driven through its DevTools protocol."""

import base64
import json
import pathlib
import shutil
import subprocess
import urllib.request

import websocket

from waiting import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# What a key press needs beyond its name.
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), " ": (32, " ")}


class Browser:
    """One process with one tab at a time. A context manager."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        port_file = self.folder / "DevToolsActivePort"
        command = [
            CHROMIUM, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={self.folder}",
            "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
            "--disable-background-networking", "--disable-component-update", "--lang=en",
            # It does not start as root, nor in many containers; the only page that the browser sees is ours.
            "--no-sandbox",
        ]
        with (self.folder / "chromium.log").open("wb") as log:
            self.process = subprocess.Popen([*command, "about:blank"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until(lambda: port_file.exists() and port_file.read_text().strip(), "Chromium is there", 60)
        self.port = int(port_file.read_text().split()[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tab(self, url):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=20) as answer:
            target = json.load(answer)
        return Tab(target["webSocketDebuggerUrl"], url)


class Tab:
    """One page. A context manager."""

    def __init__(self, address, url):
        self.socket = websocket.create_connection(address, timeout=20, suppress_origin=True)
        self.count = 0
        self.heard = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.size(1280, 900)
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call("Page.close")
        self.socket.close()

    def call(self, method, **parameters):
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": parameters}))
        while True:
            heard = json.loads(self.socket.recv())
            if heard.get("id") == self.count:
                assert "error" not in heard, (method, heard["error"])
                return heard["result"]
            self.heard.append(heard)

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, (expression, result["exceptionDetails"])
        return result["result"].get("value")

    def wait(self, expression, timeout=15.0):
        """The first true value of an expression."""
        return until(lambda: self.evaluate(expression), expression, timeout, every=0.05)

    def troubles(self):
        """What the console shows as an error: exceptions, violations of the policy, loads that failed."""
        self.evaluate("0")
        found = []
        for heard in self.heard:
            parameters = heard.get("params", {})
            if heard["method"] == "Runtime.exceptionThrown":
                found.append(parameters["exceptionDetails"].get("exception", {}).get("description", "exception"))
            elif heard["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                found.append(str(parameters["args"]))
            elif heard["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"])
        return found

    def requests(self, kind):
        """The addresses of the requests of one kind: `Document`, `Fetch`, `EventSource`."""
        self.evaluate("0")
        sent = [heard["params"] for heard in self.heard if heard["method"] == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in sent if each["type"] == kind]

    # A person at the keyboard

    def press(self, key, shift=False):
        code, text = KEYS[key]
        common = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code,
                  "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def tab_to(self, condition, limit=80):
        """Presses Tab until the element with the focus, `it`, satisfies the condition."""
        for _ in range(limit):
            if self.evaluate(f"(it => {condition})(document.activeElement)"):
                return
            self.press("Tab")
        raise AssertionError(f"Tab does not reach: {condition}")

    def write(self, text):
        self.call("Input.insertText", text=text)

    # The window

    def size(self, width, height, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def screenshot(self, file):
        data = self.call("Page.captureScreenshot", captureBeyondViewport=False)["data"]
        pathlib.Path(file).write_bytes(base64.b64decode(data))
