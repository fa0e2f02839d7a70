"""The way to one channel: in order, grouped, with growing pauses while it does not answer. One lane never waits for another."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from typing import Protocol

import structlog
from msgspec import Struct, structs

from recovery.clock import Clock
from recovery.decide.routing import quiet_until
from recovery.kube.errors import KubeError
from recovery.model.message import Message
from recovery.model.notices import Delivery
from recovery.notify.composing import digest, merged
from recovery.notify.sending import kind_of
from recovery.notify.undelivered import Undelivered

log = structlog.get_logger(__name__)
DEAD_AFTER = 3
"""Failures in a row after which a channel counts as dead, and its fallback is told."""
LONGEST_PAUSE = 300.0
KEPT_FOR = 86_400.0
"""Seconds a message is tried for where nothing stands in."""
APART = 5
"""So many incidents at once a channel that keeps them apart is told one by one; more are one."""


class Letter(Struct):
    """One message for one channel."""

    message: Message
    recovery: str
    number: int
    """Its place in the order of all that was said."""
    since: float
    """Monotonic seconds."""
    mark: str = ""
    """The incident of many that it was told as, and has to be resolved as."""


class State(Struct, frozen=True):
    """How a lane stands."""

    channel: str
    waiting: int
    failures: int
    why: str
    """Why the last try failed; empty when it did not."""


class Desk(Protocol):
    """What a lane asks, and what it tells of its letters."""

    def delivery(self, channel: str) -> Delivery:
        """How the channel is spoken to."""

    async def url(self, channel: str) -> str:
        """Where it leads, empty for nowhere."""

    async def send(self, url: str, message: Message) -> str:
        """Deliver."""

    def overtaken(self, letter: Letter) -> bool:
        """Has its incident ended meanwhile?"""

    def thread(self, letter: Letter, channel: str) -> str:
        """What the channel answered to its incident's first message."""

    def shared(self, mark: str, recovery: str) -> bool:
        """Is another one still open that was told as part of the same incident?"""

    def reached(self, letter: Letter, channel: str, mark: str = "", thread: str = "") -> None:
        """It arrived."""

    def ended(self, letter: Letter, channel: str, result: str, why: str = "") -> None:
        """It will not arrive here: ``not configured``, ``overtaken``, ``failed``; or ``passed on``, to the fallback."""

    def counted(self, channel: str, result: str) -> None:
        """For the metrics."""


class Lane:
    """One channel's queue. ``run`` until cancelled."""

    def __init__(self, channel: str, desk: Desk, clock: Clock) -> None:
        self._channel = channel
        self._desk = desk
        self._clock = clock
        self._letters: list[Letter] = []
        self._news = asyncio.Event()
        self._sent_at = float("-inf")
        self._retry_at = float("-inf")
        self._failures = 0
        self._why = ""

    @property
    def dead(self) -> bool:
        """Does it not answer?"""
        return self._failures >= DEAD_AFTER

    @property
    def _passing_on(self) -> bool:
        """It counts as dead, it is not time for another try, and somebody stands in."""
        return self.dead and self._clock.monotonic() < self._retry_at and bool(self._desk.delivery(self._channel).fallback)

    def state(self) -> State:
        """For people."""
        return State(self._channel, len(self._letters), self._failures, self._why)

    def put(self, letter: Letter) -> None:
        """Take on one letter."""
        self._letters.append(letter)
        self._news.set()

    async def run(self) -> None:
        """Send what is due, wait for more."""
        while True:
            due = self._due()
            if due is not None and due <= 0:
                await self._flush()
                continue
            self._news.clear()
            await self._wait(due)

    def _due(self) -> float | None:
        """Seconds until something is to be done; None while nothing waits."""
        if not self._letters:
            return None
        now = self._clock.now()
        quiet = [self._quiet(letter, now) for letter in self._letters]
        if any(end is None for end in quiet):
            if self._passing_on:
                return 0.0
            wait = self._sent_at + self._desk.delivery(self._channel).group_wait.total_seconds()
            return max(wait, self._retry_at) - self._clock.monotonic()
        return min((end - now).total_seconds() for end in quiet if end is not None) + 0.1

    def _quiet(self, letter: Letter, now: datetime) -> datetime | None:
        hours = self._desk.delivery(self._channel).quiet_hours
        return None if letter.message.resolves else quiet_until(hours, letter.message.severity, now)

    async def _wait(self, seconds: float | None) -> None:
        news = asyncio.ensure_future(self._news.wait())
        timer = asyncio.ensure_future(self._clock.sleep(seconds)) if seconds is not None else None
        try:
            await asyncio.wait({news, timer} if timer else {news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (news, timer):
                if each is not None:
                    each.cancel()

    async def _flush(self) -> None:
        """Everything that may leave now, as few messages as make sense."""
        await asyncio.sleep(0)  # what is said in one breath is one message
        if self._passing_on:
            for letter in list(self._letters):
                self._end(letter, "passed on", self._why)
            return
        now = self._clock.now()
        due = [letter for letter in self._letters if self._quiet(letter, now) is None]
        for letter in [each for each in due if not each.message.resolves and self._desk.overtaken(each)]:
            due.remove(letter)
            self._end(letter, "overtaken")
        try:
            url = await self._desk.url(self._channel) if due else ""
        except KubeError as error:
            self._failed(due, Undelivered(str(error)))
            return
        if due and not url:
            for letter in due:
                self._end(letter, "not configured", f"the Secret has no key {self._channel}")
            return
        for batch, message, mark in self._batches(due, url):
            try:
                thread = await self._desk.send(url, message)
            except Undelivered as error:
                self._failed(batch, error)
                if not error.for_good:
                    return
                continue
            self._failures, self._why, self._retry_at = 0, "", float("-inf")
            self._sent_at = self._clock.monotonic()
            for letter in batch:
                self._letters.remove(letter)
                self._desk.reached(letter, self._channel, mark, "" if mark or len({x.message.incident for x in batch}) > 1 else thread)
            log.info("told", channel=self._channel, title=message.title, recovery=batch[0].recovery, messages=len(batch))

    def _batches(self, due: list[Letter], url: str) -> list[tuple[list[Letter], Message, str]]:
        """Which letters go together, as what, and the mark of an incident they share."""
        kind, found = kind_of(url), []
        shared = [letter for letter in due if letter.mark]
        for mark in dict.fromkeys(letter.mark for letter in shared):
            members = [letter for letter in shared if letter.mark == mark]
            if self._desk.shared(mark, members[-1].recovery):
                for letter in members:
                    self._letters.remove(letter)
                    self._desk.reached(letter, self._channel)  # the incident goes on for the others
                continue
            found.append((members, structs.replace(members[-1].message, incident=mark.partition("@")[2]), ""))
        rest: dict[str, list[Letter]] = {}
        for letter in due:
            if not letter.mark:
                rest.setdefault(letter.message.incident, []).append(letter)
        new = [letters for letters in rest.values() if not letters[-1].message.resolves]
        crowd = new if kind.keyed else list(rest.values())
        if len(crowd) > (APART if kind.apart else 1):
            letters = [letter for each in crowd for letter in each]
            incident = f"crowd-{letters[0].message.incident}"
            found.append((letters, digest([x.message for x in letters], incident), f"{self._channel}@{incident}" if kind.keyed else ""))
            rest = {name: each for name, each in rest.items() if each not in crowd}
        for letters in rest.values():
            message = merged([x.message for x in letters])
            found.append((letters, structs.replace(message, thread=self._desk.thread(letters[0], self._channel)), ""))
        return found

    def _failed(self, letters: list[Letter], error: Undelivered) -> None:
        self._failures += 1
        self._why = str(error)
        growing = min(2.0 ** min(self._failures - 1, 20), LONGEST_PAUSE) * random.uniform(0.75, 1)  # noqa: S311 (a pause, no secret)
        self._retry_at = self._clock.monotonic() + (error.after if error.after is not None else growing)
        self._desk.counted(self._channel, "tried again")
        if self._failures in (1, 5) or self._failures % 50 == 0:
            log.warning("message not taken yet", channel=self._channel, messages=len(letters), tries=self._failures, why=str(error))
        fallback = self._desk.delivery(self._channel).fallback
        for letter in letters:
            if fallback and (self.dead or error.for_good):
                self._end(letter, "passed on", str(error))
            elif error.for_good or self._clock.monotonic() - letter.since > KEPT_FOR:
                log.error(
                    "message not delivered", channel=self._channel, title=letter.message.title, why=str(error), recovery=letter.recovery
                )
                self._end(letter, "failed", str(error))
        if error.for_good:
            self._retry_at = float("-inf")  # the next message may be another matter

    def _end(self, letter: Letter, result: str, why: str = "") -> None:
        self._letters.remove(letter)
        self._desk.ended(letter, self._channel, result, why)
