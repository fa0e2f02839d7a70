"""The time, where it may be asked for: in the shell, never in the judgement."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
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
    """The real one, or one that runs ``speed`` times as fast (the demo's)."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._origin = datetime.now(UTC)
        self._zero = time.monotonic()

    def now(self) -> datetime:
        if self._speed == 1.0:
            return datetime.now(UTC)
        return self._origin + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (time.monotonic() - self._zero) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)
