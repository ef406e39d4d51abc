"""What other files say of the ring holds with Redis: the same tests, with gateways that use it."""

import itertools

import pytest

from redis_fixtures import at_low_port, gateway, needs_redis, shared_redis, use_redis
from test_model_server import *
from test_order import *
from test_retries import *
from test_submit_and_wait import *

pytestmark = needs_redis

_sites = itertools.count()


@pytest.fixture
def make_gateway(make_gateway, shared_redis):
    """As that of conftest.py, but with Redis; each gateway is a site of its own."""

    def make(models, started=True, **settings):
        broker = {"kind": "auto", "redis": shared_redis.url, "prefix": f"site{next(_sites)}"}
        each = at_low_port(make_gateway(models, started=False, **({"broker": broker} | settings)))
        return use_redis(each.start()) if started else each

    return make
