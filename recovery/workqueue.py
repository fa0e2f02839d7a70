"""Keys to look at, each once at a time: delaying, de-duplicating, the controller's only sleeper."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
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
        self._idle: deque[asyncio.Future[None]] = deque()
        """Workers without a key, but for the one that watches the time."""
        self._watching: asyncio.Future[None] | None = None
        self._until: datetime | None = None
        """When the one that watches wakes up by itself; None for never."""

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
        # What is due now wakes whoever watches, whatever he waits for: the wall clock may have been
        # set forward since he looked at it, and he sleeps by another one.
        sooner = self._until is None or when < self._until or when <= self._clock.now()
        if key not in self._working and sooner:
            self._wake()

    async def get(self) -> SubjectKey:
        """The next key that is due, marked as in work.

        Of all that wait here one watches the time; whoever leaves with a key wakes the next one,
        so that news costs one waking however many wait.
        """
        while True:
            key, when = self._next()
            if key is not None:
                self._working.add(key)
                self._pass_on()
                return key
            await self._wait(when)

    def done(self, key: SubjectKey) -> None:
        """The work on it is over."""
        self._working.discard(key)
        if key in self._due:
            self._wake()

    def _next(self) -> tuple[SubjectKey | None, datetime | None]:
        """A key that is due, or when the first one will be."""
        now = self._clock.now()
        held: list[tuple[datetime, int, SubjectKey]] = []
        found: SubjectKey | None = None
        later: datetime | None = None
        while self._heap:
            when, order, key = self._heap[0]
            if self._due.get(key) != when:
                heapq.heappop(self._heap)  # overtaken by an earlier time, or done
            elif when > now:
                later = when
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
        return found, later

    async def _wait(self, when: datetime | None) -> None:
        """Watch the time until then, or until there is news; where another one watches, until that
        one leaves."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._watching is not None:
            self._idle.append(news)
            await self._woken(news)
            return
        self._watching, self._until = news, when
        timer = asyncio.create_task(self._ring(news, when)) if when is not None else None
        try:
            await self._woken(news)
        finally:
            self._watching = self._until = None
            if timer is not None:
                timer.cancel()

    async def _woken(self, news: asyncio.Future[None]) -> None:
        try:
            await news
        except asyncio.CancelledError:
            # What it was woken for is another one's now, and so is the watch.
            with contextlib.suppress(ValueError):
                self._idle.remove(news)
            self._pass_on()
            raise

    async def _ring(self, news: asyncio.Future[None], when: datetime) -> None:
        await self._clock.sleep((when - self._clock.now()).total_seconds())
        if not news.done():
            news.set_result(None)

    def _wake(self) -> None:
        """Have the one that watches look again; where none does, somebody is about to look."""
        if self._watching is not None and not self._watching.done():
            self._watching.set_result(None)

    def _pass_on(self) -> None:
        while self._idle:
            news = self._idle.popleft()
            if not news.done():
                news.set_result(None)
                return
