"""Reads one page with tesseract, and stops when no one waits for it any more."""

import os
import select
import socket
import subprocess
import tempfile
import threading
import time


class Refusal(Exception):
    """An answer other than 200: the HTTP status, one sentence for the caller, and headers of its own."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None):
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}


class CallerGone(Exception):
    """The caller closed the connection: no one waits for the answer."""


class Tesseract:
    """Runs tesseract, at most `concurrency` at a time, and ends it when no one waits for it any more."""

    def __init__(self, language: str, psm: int, concurrency: int, timeout: float):
        self.command = ["tesseract", "stdin", "stdout", "-l", language, "--psm", str(psm), "tsv"]
        self.slots = threading.Semaphore(concurrency)
        self.timeout = timeout
        self.lock = threading.Lock()
        self.running: set[subprocess.Popen] = set()
        self.stopping = False

    def read(self, image: bytes, caller: socket.socket) -> str:
        """The words on the page as tesseract's table.

        Raises CallerGone when the caller hangs up, Refusal when there is no table.
        """
        while not self.slots.acquire(timeout=0.1):
            if hung_up(caller):
                raise CallerGone
        try:
            with tempfile.TemporaryFile() as page, tempfile.TemporaryFile() as complaints:
                page.write(image)
                page.seek(0)
                table, status = self.run(page, complaints, caller)
                complaints.seek(0)
                said = complaints.read(64 * 1024).decode(errors="replace")
        finally:
            self.slots.release()
        # Broken images end in status 1 and this line, or in 0 and a table without a page.
        if (status == 1 and "Error during processing." in said) or (status == 0 and "\n1\t" not in table):
            raise Refusal(422, f"Tesseract cannot read this image: {first_line(said)}")
        if status != 0:
            raise Refusal(500, f"Tesseract failed with status {status}: {first_line(said)}")
        return table

    def run(self, page, complaints, caller: socket.socket) -> tuple[str, int]:
        process = self.start(page, complaints)
        try:
            table = read_until_end(process.stdout.fileno(), caller, time.monotonic() + self.timeout)
            status = process.wait(timeout=10)
        except (TimeoutError, subprocess.TimeoutExpired):
            raise Refusal(500, f"Tesseract did not finish within {self.timeout:g} seconds.") from None
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            with self.lock:
                self.running.discard(process)
        if self.stopping:
            raise Refusal(503, "The model server is stopping.")
        return table.decode(errors="replace"), status

    def start(self, page, complaints) -> subprocess.Popen:
        # One thread each: several of tesseract's threads on one page mostly wait for each other.
        environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
        with self.lock:
            if self.stopping:
                raise Refusal(503, "The model server is stopping.")
            try:
                process = subprocess.Popen(
                    self.command, stdin=page, stdout=subprocess.PIPE, stderr=complaints, bufsize=0, env=environment
                )
            except OSError as error:
                raise Refusal(500, f"Tesseract cannot be started: {error.strerror}.") from None
            self.running.add(process)
            return process

    def stop(self) -> None:
        """Ends what runs and lets nothing new begin."""
        with self.lock:
            self.stopping = True
            for process in self.running:
                process.kill()


def read_until_end(pipe: int, caller: socket.socket, deadline: float) -> bytes:
    """Everything that comes from the pipe, unless the caller hangs up or the time is over first."""
    watch = select.poll()
    watch.register(pipe, select.POLLIN)
    watch.register(caller, select.POLLRDHUP)  # unlike a peek, this sees the end behind a request sent ahead, too
    chunks = []
    while (remaining := deadline - time.monotonic()) > 0:
        for descriptor, _ in watch.poll(remaining * 1000):
            if descriptor != pipe:
                raise CallerGone
            chunk = os.read(pipe, 64 * 1024)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
    raise TimeoutError


def hung_up(caller: socket.socket) -> bool:
    watch = select.poll()
    watch.register(caller, select.POLLRDHUP)
    return bool(watch.poll(0))


def first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Page ")]
    return lines[0][:200] if lines else "it did not say why."


def prediction(table: str) -> dict:
    """What the page says, from tesseract's table of pages, blocks, paragraphs, lines and words.

    Boxes are in pixels from the upper left corner: left, top, right, bottom.
    """
    page = {"width": 0, "height": 0}
    lines: dict[tuple, dict] = {}
    for row in table.splitlines()[1:]:
        cells = row.split("\t", 11)
        if len(cells) < 12:
            continue
        level, *place = (int(cell) for cell in cells[:5])
        left, top, width, height = (int(cell) for cell in cells[6:10])
        if level == 1 and place[0] == 1:
            page = {"width": width, "height": height}
        elif level == 4:
            lines[tuple(place)] = {"bbox": [left, top, left + width, top + height], "words": []}
        elif level == 5 and cells[11].strip():
            lines[tuple(place)]["words"].append((cells[11].strip(), float(cells[10])))

    layers, text, paragraph = [], "", None
    for place, line in lines.items():
        if not line["words"]:
            continue
        words = " ".join(word for word, _ in line["words"])
        certainty = sum(certainty for _, certainty in line["words"]) / len(line["words"]) / 100
        layers.append({
            "display_name": f"line {len(layers) + 1}",
            "text": words,
            "bbox": line["bbox"],
            "confidence": round(min(max(certainty, 0.0), 1.0), 4),
            "z_index": len(layers),
            "page": place[0],
        })
        text += ("" if paragraph is None else "\n" if paragraph == place[:3] else "\n\n") + words
        paragraph = place[:3]
    return {"text": text, "predicted_layers": layers, "page": page}
