"""The peer for fan-out: nginx with nchan, which hands a message to all who listen, and stores nothing."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.request

from harness import processes, tools

MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
# As long as the final event of the job that is measured beside it.
MESSAGE = '{"detail_type":"Inf:Task:Complete","status":"COMPLETED","data":{"text":"%s"}}' % ("x" * 400)
CONFIG = """
load_module {module};
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections {files}; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /pub {{ nchan_publisher; nchan_channel_id one; }}
    location = /sub {{ nchan_subscriber eventsource; nchan_channel_id one; nchan_subscriber_first_message newest; }}
    location = / {{ return 204; }}
  }}
}}
"""


def missing():
    """Why it cannot be measured here; nothing if it can."""
    if shutil.which("nginx") is None or not MODULE.exists():
        return "not installed: apt-get install --no-install-recommends nginx-light libnginx-mod-nchan"
    return None


def streams(count, options):
    """As `measures.streams` does for a job: opening listeners, their memory, and one message to all of them."""
    port, files = tools.free_port(), count + 1_000
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "nginx.conf")
        # As root its worker would run as the user nobody, which may not look into the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(CONFIG.format(module=MODULE, folder=folder, port=port, files=files, user=user))
        server = subprocess.Popen(["nginx", "-p", folder, "-e", "stderr", "-c", config])
        try:
            _wait(port)
            before = processes.memory(processes.family(server.pid))
            with tools.Listeners(port, count, ["/sub"]) as listeners:
                processes.wait_for_quiet(options.quiet)
                memory = processes.memory(processes.family(server.pid)) - before
                began = time.monotonic_ns()
                publish = urllib.request.Request(f"http://127.0.0.1:{port}/pub", MESSAGE.encode(), method="POST")
                urllib.request.urlopen(publish, timeout=30).read()
                ended = listeners.said("ended")
        finally:
            tools.end(server)
    if ended["marked"] != count:
        raise tools.ToolError(f"nchan: {ended['marked']} of {count} listeners had the message")
    return {
        "open_s": listeners.opened["seconds"],
        "memory_each": memory / count,
        "to_all_ms": (ended["last_ns"] - began) / 1e6,
    }


def _wait(port):
    end = time.monotonic() + 10
    while True:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).read()
        except OSError as error:
            if time.monotonic() > end:
                raise tools.ToolError(f"nginx does not answer: {error}") from error
            time.sleep(0.02)
