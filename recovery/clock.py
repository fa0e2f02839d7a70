"""The time, where it may be asked for: in the shell, never in the judgement."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time (UTC), a clock that never jumps, and waiting."""

    def now(self) -> datetime:
        """The time of day, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""


class SystemClock:
    """The real one; or, for the demo, one that has run ``speed`` times as fast since a moment all
    its users share, from another time of day on."""

    def __init__(
        self, speed: float = 1.0, since: datetime | None = None, shows: datetime | None = None
    ) -> None:
        """``since`` is the real moment, and ``shows`` what it shows then (by default the same)."""
        self._speed = speed
        self._since = since or datetime.now(UTC)
        self._shows = shows or self._since
        self._lag = 0.0

    def now(self) -> datetime:
        real = datetime.now(UTC)
        return real if self._speed == 1.0 else self._shows + (real - self._since) * self._speed

    def monotonic(self) -> float:
        # Where there is one, the clock that goes on while the machine sleeps: a lease expires
        # meanwhile.
        clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return time.clock_gettime(clock) * self._speed + self._lag

    def be_real(self) -> None:
        """From now on it is the real one; the clock that never jumps goes on from where it is."""
        held = self.monotonic()
        self._speed = 1.0
        self._lag += held - self.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)
