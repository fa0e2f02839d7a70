"""Messages on their way to people: at least once, with growing pauses, never in a recovery's way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Protocol

import structlog
from tenacity import AsyncRetrying, RetryCallState, RetryError, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from recovery.clock import Clock
from recovery.decide.telling import EVERYWHERE
from recovery.kube.errors import KubeError
from recovery.model.recovery import Note, Recovery
from recovery.notify.undelivered import Undelivered

log = structlog.get_logger(__name__)
TRIES = 300
"""Five minutes apart from the tenth on: about a day."""
AT_ONCE = 4
REMEMBERED = 10_000

Send = Callable[[str, Note], Awaitable[None]]


class Addresses(Protocol):
    """Where channels lead."""

    async def url(self, channel: str) -> str:
        """The channel's URL, empty when there is none."""


class Outbox:
    """What is not delivered stays with its recovery, and is sent after a restart, too."""

    def __init__(
        self,
        send: Send,
        addresses: Addresses,
        clock: Clock,
        delivered: Callable[[str], None],
        unheard: Callable[[Note, str], None],
        counted: Callable[[str, str], None],
    ) -> None:
        self._send = send
        self._addresses = addresses
        self._clock = clock
        self._delivered = delivered
        self._unheard = unheard
        self._counted = counted
        self._queue: asyncio.Queue[tuple[str, Note, int]] = asyncio.Queue()
        self._known: dict[str, None] = {}
        self._done: dict[str, set[str]] = {}
        self._order = count()
        self._over: dict[str, int] = {}
        """Incidents that were resolved, and when in the order of things: a trigger of before would open them again."""
        self.default_channels: tuple[str, ...] = ()
        self._places = asyncio.Semaphore(AT_ONCE)
        self.silenced: Callable[[Recovery], bool] = lambda _: False
        """Has a person silenced its subject?"""

    def tell(self, recovery: Recovery | None) -> None:
        """Take on what this recovery has to say and has not said yet. While it is silenced that waits; over by then, it is dropped."""
        for note in recovery.notes if recovery else ():
            if recovery and self.silenced(recovery):
                if recovery.phase.over and note.resolves and self._heard_of(recovery):
                    self.say(note, recovery.name)  # who was called before the silence is told that it is over
                elif recovery.phase.over and note.key not in self._known:
                    self._struck(note, recovery.name)
                continue
            self.say(note, recovery.name if recovery else "")

    def _heard_of(self, recovery: Recovery) -> bool:
        """Has anybody been told of it? What waits to be told has not."""
        waiting = [note for note in recovery.notes if not note.resolves]
        return bool(recovery.told) and (not waiting or any(key.startswith(f"{recovery.name}/") for key in self._known))

    def say(self, note: Note, recovery: str = "") -> None:
        """Take on one message; the same key a second time is the same message."""
        if note.key in self._known:
            return
        self._known[note.key] = None
        while len(self._known) > REMEMBERED:
            self._known.pop(next(iter(self._known)))
        if note.resolves:
            self._over[note.incident] = next(self._order)
            while len(self._over) > REMEMBERED:
                self._over.pop(next(iter(self._over)))
        self._queue.put_nowait((recovery, note, next(self._order)))

    def done(self, recovery: str) -> frozenset[str]:
        """Keys of this recovery's messages that are dealt with."""
        return frozenset(self._done.get(recovery, ()))

    def forget(self, recovery: str, keys: frozenset[str]) -> None:
        """These are struck off its record: nothing more to remember. A record of the same name may say the same once more."""
        for key in keys:
            self._known.pop(key, None)
        left = self._done.get(recovery, set()) - keys
        if left:
            self._done[recovery] = left
        else:
            self._done.pop(recovery, None)

    async def run(self) -> None:
        """Until cancelled. Each message and each of its channels goes its own way; a dead one holds up nothing else."""
        async with asyncio.TaskGroup() as group:
            while True:
                recovery, note, number = await self._queue.get()
                group.create_task(self._handle(recovery, note, number))

    async def _handle(self, recovery: str, note: Note, number: int) -> None:
        named = note.channels or (EVERYWHERE,)
        channels = dict.fromkeys(c for name in named for c in (self.default_channels if name == EVERYWHERE else (name,)))
        heard = False
        for delivery in asyncio.as_completed([self._deliver(channel, note, recovery, number) for channel in channels]):
            if await delivery and not heard:
                # Somebody knows: after a restart they are not told a second time, whatever the other channels do.
                heard = True
                self._struck(note, recovery)
        if not heard:
            self._unheard(note, recovery)
            self._struck(note, recovery)

    def _struck(self, note: Note, recovery: str) -> None:
        if recovery:
            self._done.setdefault(recovery, set()).add(note.key)
            self._delivered(recovery)

    async def _deliver(self, channel: str, note: Note, recovery: str, number: int) -> bool:
        """Did it reach this channel? False: it is not configured, or nobody answered there for a day."""
        result = "delivered"

        async def troubled(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if state.attempt_number in (1, 5) or state.attempt_number % 50 == 0:
                log.warning("message not taken yet", channel=channel, title=note.title, tries=state.attempt_number, why=str(error))
            self._counted(channel, "tried again")

        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type((Undelivered, KubeError)),
                wait=wait_exponential_jitter(1, 300),
                stop=stop_after_attempt(TRIES),
                sleep=self._clock.sleep,
                before_sleep=troubled,
            ):
                with attempt:
                    if not note.resolves and number < self._over.get(note.incident, -1):
                        result = "overtaken"
                        break
                    url = await self._addresses.url(channel)
                    if url:
                        async with self._places:
                            await self._send(url, note)
                    else:
                        result = "not configured"
        except RetryError as error:
            result = "failed"
            why = str(error.last_attempt.exception())
            log.error("message not delivered", channel=channel, title=note.title, tries=TRIES, why=why, recovery=recovery)
        self._counted(channel, result)
        if result == "delivered":
            log.info("told", channel=channel, title=note.title, recovery=recovery)
        return result in ("delivered", "overtaken")
