"""The client of the reference gateway, `geostudio`."""

import sys

import pytest


def geostudio_at(url, patch):
    """The module as its users have it: with the gateway's address in the environment, which it reads when it is imported."""
    patch.setenv("BASE_GATEWAY_API_URL", url)
    for name in [name for name in sys.modules if name.partition(".")[0] == "geostudio"]:
        del sys.modules[name]
    return pytest.importorskip("geostudio", reason="no geostudio (make .build/venv/ready)")
