"""An event loop whose time jumps: when nothing is left to run, it is at once the next timer's
turn."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")
START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""Noon of a Monday."""


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: files that are ready are served, and the waiting time is added to the
    clock."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and len(self.get_map()) == 1:
            # Nothing is open but the loop's own pipe, by which threads wake a loop that waits.
            self.elapsed += timeout
            return []
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            # Nothing will ever happen again but from another thread.
            return super().select(0.05)
        self.elapsed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time is what its timers say."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._jumping.elapsed


class VirtualClock:
    """The Clock on a VirtualLoop; asyncio.sleep and every timer are virtual there as well."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start

    def now(self) -> datetime:
        # Whole microseconds, so that what was waited for is never a hair's breadth early.
        return self._start + timedelta(microseconds=round(self.monotonic() * 1e6))

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0) + 1e-6)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
