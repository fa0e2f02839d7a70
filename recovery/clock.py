"""The time, where it may be asked for: in the shell, never in the judgement."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time (UTC), a clock that never jumps, and waiting."""

    def now(self) -> datetime:
        """The time of day, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The real one; or, for the demo, one that has run ``speed`` times as fast since a moment all its users share."""

    def __init__(self, speed: float = 1.0, since: datetime | None = None) -> None:
        self._speed = speed
        self._since = since or datetime.now(UTC)

    def now(self) -> datetime:
        real = datetime.now(UTC)
        return real if self._speed == 1.0 else self._since + (real - self._since) * self._speed

    def monotonic(self) -> float:
        # Where there is one, the clock that goes on while the machine sleeps: a lease expires meanwhile.
        clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return time.clock_gettime(clock) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)
