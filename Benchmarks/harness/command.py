"""What the scripts for scale have in common: options, and how they end."""

import argparse
import subprocess
import sys

from harness import report, tools
from harness.processes import Window


def options(description, **values):
    """`--record`, and an option with a default for each of `values`: (default, what it is)."""
    parser = argparse.ArgumentParser(description=description.strip().split("\n")[0])
    for name, (default, what) in values.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{what} ({default})")
    parser.add_argument("--record", action="store_true", help="write the table into docs/performance.md")
    return parser.parse_args()


def measure(section, main, options):
    """Runs `main`, which gives the heads and the rows of a table, and publishes them."""

    def measured():
        # The gateway is a child of this process, and so no other program.
        with Window(list) as window:
            heads, rows = main(options)
        report.publish(section, heads, rows, window.foreign, options.record)

    run(measured)


def run(main, *arguments):
    """Builds the tools, runs, and says in one sentence why it could not."""
    try:
        tools.build()
        main(*arguments)
    except (tools.ToolError, ValueError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"{sys.argv[0]}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
