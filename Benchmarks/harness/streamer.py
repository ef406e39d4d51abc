"""A model server whose answers come piece by piece, and the clients that read them: see tools/streams.c."""

import contextlib
import json
import subprocess

from harness import tools
from harness.system import Gateway

# As llama.cpp's chunks have.
FRAME = 230
MOUNT = "/upstream/m"
PATH = "/v1/chat/completions"


class Streamer:
    """`port` and `url` of the model server."""

    def __init__(self):
        self.process = subprocess.Popen(
            [tools.BUILT / "streams"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def set(self, **_):
        """It has no gate: what `System.fresh` asks of a model server means nothing to it."""

    def run(self, gateway=None, clients=1, count=None, frames=1, rate=0, is_in_step=False, mount=MOUNT):
        """`count` streams, one after another on each of `clients` connections; what the tool found.

        `frames` for each, the first at once and then `rate` a second, or as fast as they are taken. `is_in_step`: those
        of all streams at the same moments. Without a gateway, the clients call the model server directly.
        """
        count = count or clients
        port, path = (gateway.port, mount + PATH) if gateway else (self.port, PATH)
        words = [port, path, clients, count, frames, rate, FRAME, int(is_in_step)]
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline() or "{}")
        if not said or said["failed"] or said["frames"] != count * frames:
            raise tools.ToolError(f"{count} streams of {frames} frames did not all come whole: {said}")
        return said

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The end of its input is the end of the tool.
        self.process.stdin.close()
        tools.end(self.process)


@contextlib.contextmanager
def streaming(**settings):
    """A model server, and a gateway in front of it that has had a few streams already."""
    with Streamer() as streamer:
        names = {
            "models.m.dialect": "openai",
            # Beside the answers of a bench with large ones.
            "models.m.max_answer": "256MiB",
        }
        with Gateway(streamer, names | {key.replace("__", "."): value for key, value in settings.items()}) as gateway:
            gateway.fresh()
            streamer.run(gateway, clients=4, count=16, frames=4, rate=100)
            yield streamer, gateway
