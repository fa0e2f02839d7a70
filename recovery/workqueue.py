"""Keys to look at, each once at a time: delaying, de-duplicating, the controller's only sleeper."""

from __future__ import annotations

import asyncio
import heapq
from datetime import datetime
from itertools import count

from recovery.clock import Clock
from recovery.model.names import SubjectKey


class WorkQueue:
    """A key that is added while it is in work is handed out again afterwards; the earliest time
    wins."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[SubjectKey, datetime] = {}
        self._heap: list[tuple[datetime, int, SubjectKey]] = []
        self._order = count()
        self._working: set[SubjectKey] = set()
        self._sleepers: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: SubjectKey, at: datetime | None = None) -> None:
        """Look at it then (by default now). From the event loop's thread only."""
        when = at or self._clock.now()
        known = self._due.get(key)
        if known is not None and known <= when:
            return
        self._due[key] = when
        heapq.heappush(self._heap, (when, next(self._order), key))
        if len(self._heap) > 64 + 4 * len(self._due):
            self._heap = [(due, next(self._order), key) for key, due in self._due.items()]
            heapq.heapify(self._heap)
        self._wake()

    async def get(self) -> SubjectKey:
        """The next key that is due, marked as in work."""
        while True:
            key, wait = self._next()
            if key is not None:
                self._working.add(key)
                return key
            await self._sleep(wait)

    def done(self, key: SubjectKey) -> None:
        """The work on it is over."""
        self._working.discard(key)
        if key in self._due:
            self._wake()

    def _next(self) -> tuple[SubjectKey | None, float | None]:
        now = self._clock.now()
        held: list[tuple[datetime, int, SubjectKey]] = []
        found: SubjectKey | None = None
        wait: float | None = None
        while self._heap:
            when, order, key = self._heap[0]
            if self._due.get(key) != when:
                heapq.heappop(self._heap)  # overtaken by an earlier time, or done
            elif when > now:
                wait = (when - now).total_seconds()
                break
            else:
                heapq.heappop(self._heap)
                if key in self._working:
                    held.append((when, order, key))
                    continue
                del self._due[key]
                found = key
                break
        for entry in held:
            heapq.heappush(self._heap, entry)
        return found, wait

    async def _sleep(self, seconds: float | None) -> None:
        """Until it is time or there is news, whichever comes first."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.add(news)
        timer = asyncio.create_task(self._ring(news, seconds)) if seconds is not None else None
        try:
            await news
        finally:
            self._sleepers.discard(news)
            if timer is not None:
                timer.cancel()

    async def _ring(self, news: asyncio.Future[None], seconds: float) -> None:
        await self._clock.sleep(seconds)
        if not news.done():
            news.set_result(None)

    def _wake(self) -> None:
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)
