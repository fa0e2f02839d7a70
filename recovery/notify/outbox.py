"""Messages on their way to people: at least once, with growing pauses, never in a recovery's way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from recovery.clock import Clock
from recovery.decide.telling import EVERYWHERE
from recovery.kube.errors import KubeError
from recovery.model.recovery import Note, Recovery
from recovery.notify.apprise_channel import Undelivered

log = structlog.get_logger(__name__)
TRIES = 10
REMEMBERED = 10_000

Send = Callable[[str, Note], Awaitable[None]]


class Addresses(Protocol):
    """Where channels lead."""

    async def url(self, channel: str) -> str:
        """The channel's URL, empty when there is none."""


class Outbox:
    """One message, its channels in turn; four at a time. What is not delivered stays with its recovery."""

    def __init__(
        self,
        send: Send,
        addresses: Addresses,
        clock: Clock,
        delivered: Callable[[str], None],
        unheard: Callable[[Note, str], None],
    ) -> None:
        self._send = send
        self._addresses = addresses
        self._clock = clock
        self._delivered = delivered
        self._unheard = unheard
        self._queue: asyncio.Queue[tuple[str, Note]] = asyncio.Queue()
        self._known: dict[str, None] = {}
        self._done: dict[str, set[str]] = {}
        self.default_channels: tuple[str, ...] = ()
        self.results: dict[tuple[str, str], int] = {}
        """Deliveries by channel and result, for the metrics."""

    def tell(self, recovery: Recovery | None) -> None:
        """Take on what this recovery has to say and has not said yet."""
        for note in recovery.notes if recovery else ():
            self.say(note, recovery.name if recovery else "")

    def say(self, note: Note, recovery: str = "") -> None:
        """Take on one message; the same key a second time is the same message."""
        if note.key in self._known:
            return
        self._known[note.key] = None
        while len(self._known) > REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._queue.put_nowait((recovery, note))

    def done(self, recovery: str) -> frozenset[str]:
        """Keys of this recovery's messages that are dealt with."""
        return frozenset(self._done.get(recovery, ()))

    def forget(self, recovery: str, keys: frozenset[str]) -> None:
        """These are struck off its record: nothing more to remember."""
        left = self._done.get(recovery, set()) - keys
        if left:
            self._done[recovery] = left
        else:
            self._done.pop(recovery, None)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            recovery, note = await self._queue.get()
            channels = tuple(
                dict.fromkeys(
                    c for name in note.channels or (EVERYWHERE,) for c in (self.default_channels if name == EVERYWHERE else (name,))
                )
            )
            reached = [await self._deliver(channel, note, recovery) for channel in channels]
            if not any(reached):
                self._unheard(note, recovery)
            if recovery:
                self._done.setdefault(recovery, set()).add(note.key)
                self._delivered(recovery)

    async def _deliver(self, channel: str, note: Note, recovery: str) -> bool:
        """Did it reach this channel?"""
        result = "delivered"
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type((Undelivered, KubeError)),
                wait=wait_exponential_jitter(1, 300),
                stop=stop_after_attempt(TRIES),
                sleep=self._clock.sleep,
            ):
                with attempt:
                    url = await self._addresses.url(channel)
                    if url:
                        await self._send(url, note)
                    else:
                        result = "not configured"
        except RetryError as error:
            result = "failed"
            last = error.last_attempt.exception()
            log.error(
                "message not delivered",
                channel=channel,
                title=note.title,
                tries=TRIES,
                why=str(last),
                recovery=recovery,
            )
        self.results[channel, result] = self.results.get((channel, result), 0) + 1
        if result == "delivered":
            log.info("told", channel=channel, title=note.title, recovery=recovery)
        return result == "delivered"
