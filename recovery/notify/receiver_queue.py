"""The way to one channel: in order, grouped, with growing pauses while it does not answer. One lane
never waits for another."""

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
from recovery.model.notification_config import ReceiverOptions
from recovery.notify.compose import digest, merged
from recovery.notify.delivery_errors import Undelivered
from recovery.notify.receivers import Kind, kind_of

log = structlog.get_logger(__name__)
DEAD_AFTER = 3
"""Failures in a row after which a channel counts as dead, and its fallback is told."""
LONGEST_RETRY_PAUSE = 300.0
UNREAD_PAUSE = 5.0
"""Seconds until it is asked again where the channel leads, when nobody could say: that is not the
channel's fault."""
ABSENT_FOR = 120.0
"""Seconds that a channel is waited for which the Secret lacks, where there is no other."""
DELIVERY_DEADLINE = 86_400.0
"""Seconds a message is tried for where nothing stands in."""
APART = 5
"""So many incidents at once a channel that keeps them apart is told one by one; more are one."""


class QueuedNotification(Struct, eq=False):
    """One message for one channel, with its tries so far."""

    message: Message
    recovery: str
    number: int
    """Its place in the order of all that was said."""
    since: float
    """Monotonic seconds."""
    mark: str = ""
    """The incident of many that its own was told as: it is raised and resolved as that.
    ``pagerduty@KEY``."""
    explicit: bool = False
    """An end that is told here because the policy says so, whoever heard of the beginning."""
    tried: bool = False
    """It went out at least once, and may have arrived."""


class State(Struct, frozen=True):
    """How a channel's queue stands, for status and metrics."""

    channel: str
    waiting: int
    failures: int
    why: str
    """Why the last try failed; empty when it did not."""


class Desk(Protocol):
    """The sink of a receiver queue: questions it asks, and results it reports."""

    def delivery(self, channel: str) -> ReceiverOptions:
        """How the channel is spoken to."""

    async def url(self, channel: str) -> str:
        """Where it leads, empty for nowhere."""

    async def send(self, url: str, message: Message) -> str:
        """Deliver one message; raises Undelivered."""

    def reread(self) -> None:
        """Where channels lead is asked anew before the next try."""

    def heard(self, letter: QueuedNotification, channel: str) -> bool:
        """Of an end: did the beginning arrive here, or may it have? Also where the policy wants the
        end told here in any case."""

    async def redirect(self, letter: QueuedNotification, channel: str) -> bool:
        """Let the default channels tell what was for one that the Secret lacks; False where there
        are none."""

    def ours(self, letter: QueuedNotification) -> bool:
        """Is it still ours to tell? Another replica may have taken over."""

    def overtaken(self, letter: QueuedNotification) -> bool:
        """Has its incident ended meanwhile?"""

    def thread(self, letter: QueuedNotification, channel: str) -> str:
        """Thread: what the channel answered to its incident's first message."""

    def shared(self, mark: str, recovery: str) -> bool:
        """Is another one still open that was told as part of the same incident?"""

    def stands_in(self, letter: QueuedNotification, channel: str) -> bool:
        """Is there a fallback that has not been asked to tell it?"""

    def pass_on(self, letter: QueuedNotification, channel: str) -> None:
        """Let the fallback tell it, too."""

    def reached(
        self, letter: QueuedNotification, channel: str, mark: str = "", thread: str = ""
    ) -> None:
        """Report that the message arrived; under ``mark``, where that is not the letter's own."""

    def perhaps(self, letter: QueuedNotification, channel: str) -> None:
        """Report that the message may have arrived: an incident may be open there."""

    def ended(self, letter: QueuedNotification, channel: str, result: str, why: str = "") -> None:
        """Report that the message will not arrive here: ``not configured``, ``not for it``,
        ``overtaken``, ``failed``, ``passed on``, ``taken over``."""

    def counted(self, channel: str, result: str) -> None:
        """Count the result of a delivery, for the metrics."""


class ReceiverQueue:
    """One channel's queue. ``run`` until cancelled."""

    def __init__(self, channel: str, desk: Desk, clock: Clock) -> None:
        self._channel = channel
        self._desk = desk
        self._clock = clock
        self._letters: list[QueuedNotification] = []
        self._news = asyncio.Event()
        self._sent_at = float("-inf")
        self._retry_at = float("-inf")
        self._failures = 0
        self._why = ""

    @property
    def dead(self) -> bool:
        """Has the channel failed for so long that its fallback is used?"""
        return self._failures >= DEAD_AFTER

    def state(self) -> State:
        """State of the queue, for status and page."""
        return State(self._channel, len(self._letters), self._failures, self._why)

    def put(self, letter: QueuedNotification) -> None:
        """Queue one message for this channel."""
        self._letters.append(letter)
        self._news.set()

    def wake(self) -> None:
        """Wake the queue: what decides when things are said has changed."""
        self._news.set()

    async def run(self) -> None:
        """Send what is due, wait for more. What nobody foresaw is a failure of this channel, and of
        no other."""
        while True:
            due = self._due()
            if due is not None and due <= 0:
                try:
                    await self._flush()
                except Exception as error:
                    log.exception("channel failed", channel=self._channel)
                    self._fails(type(error).__name__)
                continue
            self._news.clear()
            await self._wait(due)

    def _due(self) -> float | None:
        """Seconds until something is to be done; None while nothing waits."""
        if not self._letters:
            return None
        now = self._clock.now()
        quiet = [(letter, self._quiet(letter, now)) for letter in self._letters]
        free = [letter for letter, end in quiet if end is None]
        if any(self._given_up(letter) for letter in free):
            return 0.0
        if free:
            wait = self._sent_at + self._desk.delivery(self._channel).group_wait.total_seconds()
            return max(wait, self._retry_at) - self._clock.monotonic()
        return min((end - now).total_seconds() for _, end in quiet if end is not None) + 0.1

    def _quiet(self, letter: QueuedNotification, now: datetime) -> datetime | None:
        hours = self._desk.delivery(self._channel).quiet_hours
        return None if letter.message.resolves else quiet_until(hours, letter.message.severity, now)

    def _given_up(self, letter: QueuedNotification) -> bool:
        """The channel counts as dead, it is not time for another try, and somebody stands in who
        has not been asked yet."""
        waits = self.dead and self._clock.monotonic() < self._retry_at
        return waits and self._desk.stands_in(letter, self._channel)

    async def _wait(self, seconds: float | None) -> None:
        news = asyncio.ensure_future(self._news.wait())
        timer = asyncio.ensure_future(self._clock.sleep(seconds)) if seconds is not None else None
        try:
            await asyncio.wait(
                {news, timer} if timer else {news}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in (news, timer):
                if each is not None:
                    each.cancel()

    async def _flush(self) -> None:
        """Everything that may leave now, as few messages as make sense."""
        await asyncio.sleep(0)  # what is said in one breath is one message
        due = self._to_tell()
        if self._clock.monotonic() < self._retry_at:
            for letter in [each for each in due if self._given_up(each)]:
                self._pass_on(letter, self._why)
            return
        if not due:
            return
        try:
            url = await self._desk.url(self._channel)
        except KubeError as error:
            self._retry_at = self._clock.monotonic() + UNREAD_PAUSE
            self._desk.counted(self._channel, "tried again")
            log.warning(
                "where a channel leads could not be asked", channel=self._channel, why=str(error)
            )
            return
        if not url:
            for letter in due:
                await self._nowhere(letter)
            return
        kind = kind_of(url)
        if kind.keyed:
            # An incident that nobody would ever close is not opened: there is no recovery whose end
            # would.
            for letter in [
                x
                for x in due
                if not x.recovery and not x.message.resolves and x.message.severity != "critical"
            ]:
                due.remove(letter)
                self._end(letter, "not for it", "it is about no incident that could be resolved")
        for batch, message, mark in self._batches(due, kind):
            if not await self._sent(batch, message, mark, url):
                return

    def _to_tell(self) -> list[QueuedNotification]:
        """Messages that may leave now: ours, not overtaken, not in quiet hours."""
        now = self._clock.now()
        for letter in [each for each in self._letters if not self._desk.ours(each)]:
            self._end(letter, "taken over")
        due = [letter for letter in self._letters if self._quiet(letter, now) is None]
        for letter in [
            each for each in due if not each.message.resolves and self._desk.overtaken(each)
        ]:
            due.remove(letter)
            self._end(letter, "overtaken")
        # What fell ill and healed in quiet hours wakes nobody: neither its beginning nor its end is
        # told. Of everything else the beginning arrived or may have arrived, here or by another
        # process.
        waiting = [
            x
            for x in self._letters
            if not x.message.resolves and not x.tried and self._quiet(x, now) is not None
        ]
        held_back = {letter.message.incident for letter in waiting}
        for letter in [
            x
            for x in due
            if x.message.resolves
            and x.message.incident in held_back
            and not self._desk.heard(x, self._channel)
        ]:
            due.remove(letter)
            self._end(letter, "overtaken")
        return due

    async def _sent(
        self, batch: list[QueuedNotification], message: Message, mark: str, url: str
    ) -> bool:
        """Send one message; False: nothing more is tried now."""
        for letter in batch:
            letter.tried = True
        try:
            thread = await self._desk.send(url, message)
        except Undelivered as error:
            if error.unsure:
                for letter in batch:
                    letter.mark = (
                        mark or letter.mark
                    )  # tried again as what may be open there already
                    self._desk.perhaps(letter, self._channel)
            if error.address:
                self._desk.reread()
            self._failed(batch, error)
            if error.address and self.dead:
                await self._tell_others(batch)
            return error.for_good
        self._failures, self._why, self._retry_at = 0, "", float("-inf")
        self._sent_at = self._clock.monotonic()
        single = len({letter.message.incident for letter in batch}) == 1
        for letter in batch:
            self._letters.remove(letter)
            self._desk.reached(letter, self._channel, mark, thread if single else "")
        log.info(
            "told",
            channel=self._channel,
            title=message.title,
            recovery=batch[0].recovery,
            messages=len(batch),
        )
        return True

    def _batches(
        self, due: list[QueuedNotification], kind: Kind
    ) -> list[tuple[list[QueuedNotification], Message, str]]:
        """Which letters go together, as what, and the mark of the incident of many that they
        become."""
        found: list[tuple[list[QueuedNotification], Message, str]] = []
        for mark in dict.fromkeys(letter.mark for letter in due if letter.mark):
            found += self._of_many([letter for letter in due if letter.mark == mark], mark)
        rest: dict[str, list[QueuedNotification]] = {}
        for letter in due:
            if not letter.mark:
                rest.setdefault(letter.message.incident, []).append(letter)
        crowd = (
            [each for each in rest.values() if not each[-1].message.resolves]
            if kind.keyed
            else list(rest.values())
        )
        if len(crowd) > (APART if kind.apart else 1):
            letters = [letter for each in crowd for letter in each]
            incident = f"crowd-{letters[0].message.incident}"
            found.append(
                (
                    letters,
                    digest([x.message for x in letters], incident),
                    f"{self._channel}@{incident}" if kind.keyed else "",
                )
            )
            rest = {name: each for name, each in rest.items() if each not in crowd}
        for letters in rest.values():
            message = merged([x.message for x in letters])
            found.append(
                (
                    letters,
                    structs.replace(message, thread=self._desk.thread(letters[0], self._channel)),
                    "",
                )
            )
        return found

    def _of_many(
        self, letters: list[QueuedNotification], mark: str
    ) -> list[tuple[list[QueuedNotification], Message, str]]:
        """Letters about members of one incident: news raises it; it is resolved with its last
        member."""
        key = mark.partition("@")[2]
        news = [letter for letter in letters if not letter.message.resolves]
        ends = [letter for letter in letters if letter.message.resolves]
        found = (
            [(news, structs.replace(merged([x.message for x in news]), incident=key), "")]
            if news
            else []
        )
        if ends and self._desk.shared(mark, ends[-1].recovery):
            for letter in ends:
                self._letters.remove(letter)
                self._desk.reached(letter, self._channel)  # the incident goes on for the others
        elif ends:
            found.append((ends, structs.replace(ends[-1].message, incident=key), ""))
        return found

    def _fails(self, why: str, after: float = 0.0) -> None:
        """One failure more, and when the next try is."""
        self._failures += 1
        self._why = why
        growing = min(2.0 ** min(self._failures - 1, 20), LONGEST_RETRY_PAUSE)
        spread = random.uniform(0.75, 1)  # noqa: S311 (a pause, no secret)
        self._retry_at = self._clock.monotonic() + max(growing * spread, after)
        self._desk.counted(self._channel, "tried again")

    def _failed(self, letters: list[QueuedNotification], error: Undelivered) -> None:
        self._fails(str(error), error.after or 0.0)
        if self._failures in (1, 5) or self._failures % 50 == 0:
            log.warning(
                "message not taken yet",
                channel=self._channel,
                messages=len(letters),
                tries=self._failures,
                why=str(error),
            )
        for letter in letters:
            if (self.dead or error.for_good) and self._desk.stands_in(letter, self._channel):
                self._pass_on(letter, str(error), for_good=error.for_good)
            elif error.for_good or self._clock.monotonic() - letter.since > DELIVERY_DEADLINE:
                log.error(
                    "message not delivered",
                    channel=self._channel,
                    why=str(error),
                    recovery=letter.recovery,
                )
                self._end(letter, "failed", str(error))
        if error.for_good:
            self._retry_at = float("-inf")  # the next message may be another matter
        elif error.after is None:
            # It may be this one that the channel cannot take: the others are tried before it next
            # time.
            last = {letter.message.incident for letter in letters}
            self._letters.sort(key=lambda letter: letter.message.incident in last)

    def _pass_on(self, letter: QueuedNotification, why: str, *, for_good: bool = False) -> None:
        """The fallback tells it. An end is owed here all the same: who was called here has to hear
        of it."""
        self._desk.pass_on(letter, self._channel)
        if for_good or not letter.message.resolves:
            self._end(letter, "passed on", why)

    async def _tell_others(self, batch: list[QueuedNotification]) -> None:
        """An address or a credential that is not taken is tried on for a day; meanwhile somebody
        has to know."""
        for letter in batch:
            if (
                letter in self._letters
                and not letter.message.resolves
                and not self._desk.stands_in(letter, self._channel)
            ):
                await self._redirected(letter)

    async def _nowhere(self, letter: QueuedNotification) -> None:
        why = f"the Secret has no key {self._channel}"
        waited = self._clock.monotonic() - letter.since
        owed = letter.message.resolves and self._desk.heard(letter, self._channel)
        if owed and waited < DELIVERY_DEADLINE:
            # A key that is gone for a moment must not leave an incident open for ever.
            self._retry_at = self._clock.monotonic() + UNREAD_PAUSE * 6
            return
        if letter.message.resolves:
            self._end(letter, "not configured", why)
            return
        if self._desk.stands_in(letter, self._channel):
            self._pass_on(letter, why, for_good=True)
        elif await self._redirected(letter):
            self._end(letter, "passed on", why)
        elif waited < ABSENT_FOR:
            self._retry_at = (
                self._clock.monotonic() + UNREAD_PAUSE
            )  # the Secret may be on its way, as in a new installation
        else:
            self._end(letter, "not configured", why)

    async def _redirected(self, letter: QueuedNotification) -> bool:
        try:
            return await self._desk.redirect(letter, self._channel)
        except KubeError:
            return False

    def _end(self, letter: QueuedNotification, result: str, why: str = "") -> None:
        self._letters.remove(letter)
        self._desk.ended(letter, self._channel, result, why)
