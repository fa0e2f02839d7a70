"""Time that nobody watched does not count, and a wall clock that is set changes no duration."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog

from recovery.clock import Clock
from recovery.model.situation import shifted, unwatched
from recovery.observe.store import Store

log = structlog.get_logger(__name__)

CLOCK_EVERY = 5.0
"""Seconds between two looks at the clocks."""
JUMPS = timedelta(seconds=5)
"""The wall clock was set when it moved by more than this against the monotonic one."""
STOOD_STILL = 20.0
"""Seconds by which a sleep may be late before the process counts as having stood still."""
UNWATCHED = timedelta(seconds=60)
"""A shorter gap in what is seen is none: a watch that ends is opened again within seconds."""


class ClockMonitor:
    """Corrects the clocks of conditions after a partition, a standstill or a set wall clock, as a
    restart would."""

    def __init__(self, store: Store, clock: Clock, watching: Callable[[], bool]) -> None:
        """``watching``: are all watches of Argo CD's objects fresh?"""
        self._store = store
        self._clock = clock
        self._watching = watching

    async def run(self) -> None:
        """Check every five seconds, for ever."""
        wall, monotonic, seen = self._clock.now(), self._clock.monotonic(), self._clock.monotonic()
        while True:
            await self._clock.sleep(CLOCK_EVERY)
            now, at = self._clock.now(), self._clock.monotonic()
            passed = timedelta(seconds=at - monotonic)
            jump = now - wall - passed
            if abs(jump) > JUMPS:
                log.warning("the wall clock was set", by_seconds=round(jump.total_seconds()))
                self._store.retime(partial(shifted, jump=jump), jump)
            if at - monotonic - CLOCK_EVERY > STOOD_STILL:
                seen = min(seen, monotonic)
            if self._watching():
                if (gap := timedelta(seconds=at - seen)) > UNWATCHED:
                    log.warning(
                        "nothing was watched for a while: that time does not count",
                        seconds=round(gap.total_seconds()),
                    )
                    self._store.retime(partial(unwatched, gap=gap, now=now))
                seen = at
            wall, monotonic = now, at
