"""What can happen to a Redis: each fault strikes, and is mended."""

import dataclasses
from typing import Callable

from redis_server import RedisServer


@dataclasses.dataclass(frozen=True)
class Fault:
    """`lasts`: until it is mended, Redis is of no use. `loses`: what Redis held is gone."""

    name: str
    strike: Callable[[RedisServer], None]
    mend: Callable[[RedisServer], None]
    lasts: bool = True
    loses: bool = False

    def __str__(self):
        return self.name


FIRST_PASSWORD = "the-first-password"  # of a Redis that suffers `locked`


def _change_password(redis):
    redis.set_password("another-password")


def _give_back_password(redis):
    redis.set_password(FIRST_PASSWORD)


def _flush(redis):
    redis.command("FLUSHALL")


def _nothing(redis):
    pass


LOADING = 4.0  # seconds: past the time in which it must be noticed

FAULTS = {
    fault.name: fault
    for fault in (
        Fault("killed", RedisServer.kill, RedisServer.restart, loses=True),
        Fault("frozen", RedisServer.freeze, RedisServer.thaw),
        Fault("full", RedisServer.fill, RedisServer.make_room),
        Fault("replica", RedisServer.follow_a_dead_master, RedisServer.follow_nobody),
        Fault("unsaved", RedisServer.fail_to_save, RedisServer.stop_saving),
        Fault("locked", _change_password, _give_back_password),
        Fault("loading", lambda redis: redis.restart_loading(LOADING), RedisServer.wait_ready),
        Fault("flushed", _flush, _nothing, lasts=False, loses=True),
        Fault("emptied", RedisServer.restart, _nothing, lasts=False, loses=True),
        Fault("hung up", RedisServer.hang_up, _nothing, lasts=False),
    )
}
