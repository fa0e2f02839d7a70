"""Messages on their way to people: at least once, grouped, never in a recovery's way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Protocol

import msgspec
import structlog

from recovery.clock import Clock
from recovery.decide.reminders import News
from recovery.decide.routing import About, channels_of, undirected
from recovery.kube.errors import KubeError
from recovery.model.message import Message
from recovery.model.notification_config import ReceiverOptions
from recovery.model.policy import Policies
from recovery.model.recovery import PendingNotification, Recovery
from recovery.model.text import shell
from recovery.notify.compose import compose
from recovery.notify.heartbeat import CHANNEL
from recovery.notify.receiver_queue import QueuedNotification, ReceiverQueue, State

log = structlog.get_logger(__name__)
MAX_REMEMBERED_KEYS = 10_000
DEAD_LETTERS = 100
ASK_AGAIN = 5.0
"""Seconds until it is asked again which channels there are."""

Send = Callable[[str, Message], Awaitable[str]]


class Addresses(Protocol):
    """Where channels lead: their URLs, read anew when they change."""

    async def url(self, channel: str) -> str:
        """The channel's URL, empty when there is none."""

    async def names(self) -> tuple[str, ...]:
        """All channels there are. Raises when that cannot be asked for now."""

    def reread(self) -> None:
        """Forget the cached addresses: ask again before the next use."""


class Fleet(Protocol):
    """The part of the fleet that the dispatcher has to know of recoveries."""

    def about(self, recovery: Recovery) -> About:
        """The subject, where it is known."""

    def silenced(self, recovery: Recovery) -> bool:
        """Has a person silenced its subject?"""

    def flaps(self, recovery: Recovery) -> int:
        """How often it fell ill lately, when that is too often to be told each time; else 0."""

    def sharing(self, mark: str, recovery: str) -> bool:
        """Is another recovery still open that was told as part of the same incident?"""

    def tells(self, recovery: str) -> bool:
        """Are we the ones who tell of it? Of what is not known, too."""


class Nobody:
    """A fleet in which nothing is known."""

    def about(self, recovery: Recovery) -> About:  # noqa: ARG002 (a Fleet)
        return None

    def silenced(self, recovery: Recovery) -> bool:  # noqa: ARG002 (a Fleet)
        return False

    def flaps(self, recovery: Recovery) -> int:  # noqa: ARG002 (a Fleet)
        return 0

    def sharing(self, mark: str, recovery: str) -> bool:  # noqa: ARG002 (a Fleet)
        return False

    def tells(self, recovery: str) -> bool:  # noqa: ARG002 (a Fleet)
        return True


class _Open:
    """Delivery state: what is still to become of one message."""

    def __init__(self, note: PendingNotification, targets: set[str]) -> None:
        self.note = note
        self.targets = targets
        """Who is still to be told: channels, or their incidents of many (``pagerduty@KEY``)."""
        self.tried = {target.partition("@")[0] for target in (*targets, *note.reached)}
        self.heard = bool(note.reached)
        self.why: list[str] = []


class _Collected:
    """News of one recovery that is not written down yet."""

    def __init__(self) -> None:
        self.struck: set[str] = set()
        self.reached: dict[str, tuple[str, ...]] = {}
        self.heard: dict[str, None] = {}
        self.threads: dict[str, str] = {}
        self.undelivered: list[str] = []


class Dispatcher:
    """Dispatcher of notifications: what is not delivered stays with its recovery, and is sent after
    a restart, too."""

    def __init__(
        self,
        send: Send,
        addresses: Addresses,
        clock: Clock,
        changed: Callable[[str], None],
        unheard: Callable[[PendingNotification, str], None],
        counted: Callable[[str, str], None],
    ) -> None:
        """``changed`` is called with a recovery's name when there is news of its messages."""
        self._send = send
        self._addresses = addresses
        self._clock = clock
        self._changed = changed
        self._unheard = unheard
        self.counted = counted
        self._lanes: dict[str, ReceiverQueue] = {}
        self._new: asyncio.Queue[ReceiverQueue] = asyncio.Queue()
        self._known: dict[str, None] = {}
        self._open: dict[str, _Open] = {}
        self._threads: dict[str, dict[str, str]] = {}
        """By recovery and channel: what was answered to its first message."""
        self._talks: dict[str, tuple[str, ...]] = {}
        """By recovery: who heard of it, as its record said when something was last to be told."""
        self._news: dict[str, _Collected] = {}
        self._order = count()
        self._over: dict[str, int] = {}
        """Incidents that were resolved, and when in the order of things: a trigger of before would
        open them again."""
        self._policies = Policies(())
        self.fleet: Fleet = Nobody()
        self._undirected: list[tuple[PendingNotification, Recovery | None, Recovery | None]] = []
        """Messages of which nothing says where they go: every channel of the Secret, as soon as it
        is known which there are."""
        self._asked = asyncio.Event()
        self.dead: deque[str] = deque(maxlen=DEAD_LETTERS)
        """What nobody took, newest last."""

    def tell(self, recovery: Recovery | None) -> None:
        """Take on what this recovery has to say and has not said yet. While it is silenced that
        waits; over by then, it is dropped."""
        if recovery is None or not recovery.notes:
            return
        silenced = self.fleet.silenced(recovery)
        flaps = 0 if silenced else self.fleet.flaps(recovery)
        for note in recovery.notes:
            if silenced:
                if recovery.phase.over and note.resolves and self._heard(note, recovery):
                    self.say(
                        note, recovery
                    )  # who was called before the silence is told that it is over
                elif recovery.phase.over and note.key not in self._known:
                    self._strike(note.key, recovery.name)
            elif (
                flaps
                and note.severity != "critical"
                and not (note.resolves and self._heard(note, recovery))
            ):
                self._flapping(note, recovery, flaps)
            else:
                self.say(note, recovery)

    @property
    def policies(self) -> Policies:
        """Those in force: they say where messages go, how and when."""
        return self._policies

    @policies.setter
    def policies(self, policies: Policies) -> None:
        self._policies = policies
        for lane in self._lanes.values():
            lane.wake()

    def say(
        self,
        note: PendingNotification,
        recovery: Recovery | None = None,
        like: Recovery | None = None,
    ) -> None:
        """Take on one message; the same key a second time is the same message. ``like``: it goes
        where that one's would."""
        if note.key in self._known:
            return
        self._remember(note)
        model = recovery or like
        about = self.fleet.about(model) if model else None
        waits = any(
            each.incident == note.incident for each, _, _ in self._undirected
        )  # an end does not come before its beginning
        if undirected(note, model, about, self._policies) or waits:
            self._undirected.append((note, recovery, like))
            self._asked.set()
        else:
            self._address(note, recovery, like, ())

    async def _direct(self) -> None:
        """Ask which channels there are, where that says who is told."""
        while True:
            await self._asked.wait()
            try:
                every = tuple(name for name in await self._addresses.names() if name != CHANNEL)
            except (KubeError, msgspec.DecodeError) as error:
                log.warning("which channels there are cannot be asked now", why=str(error))
                await self._clock.sleep(ASK_AGAIN)
                continue
            self._asked.clear()
            waiting, self._undirected = self._undirected, []
            for note, recovery, like in waiting:
                self._address(note, recovery, like, every)

    def _address(
        self,
        note: PendingNotification,
        recovery: Recovery | None,
        like: Recovery | None,
        every: tuple[str, ...],
    ) -> None:
        """Put it on its way, to each channel by itself."""
        name = recovery.name if recovery else ""
        heard = self._heard(note, recovery) if note.resolves else ()
        model = recovery or like
        about = self.fleet.about(model) if model else None
        known = tuple(dict.fromkeys(h.partition("@")[0] for h in heard))
        wanted = channels_of(note, model, known, about, self._policies, every)
        targets = self._targets(wanted, note, recovery)
        if recovery is not None:
            self._threads.setdefault(name, {}).update(recovery.talk.threads)
            self._talks[name] = recovery.talk.heard
        opened = self._open[note.key] = _Open(note, set(targets))
        message = compose(note, recovery, self._policies.notices.words, self._clock.now())
        number = next(self._order)
        if note.resolves:
            self._over[note.incident] = number
            while len(self._over) > MAX_REMEMBERED_KEYS:
                self._over.pop(next(iter(self._over)))
        said_to = (
            set(channels_of(note, model, (), about, self._policies, every))
            if note.resolves and note.channels
            else set()
        )
        for target in targets:
            channel, shared, _ = target.partition("@")
            mark = target if shared else ""
            self._lane(channel).put(
                QueuedNotification(
                    message,
                    name,
                    number,
                    self._clock.monotonic(),
                    mark,
                    explicit=channel in said_to,
                )
            )
        if not targets:
            self._conclude(opened, name)

    def _targets(
        self, wanted: tuple[str, ...], note: PendingNotification, recovery: Recovery | None
    ) -> list[str]:
        """Under what each channel knows the incident: an end goes to all of it, news to the
        newest."""
        known = self._known_as(recovery)
        found: list[str] = []
        for channel in wanted:
            names = [name for name in known if name.partition("@")[0] == channel] or [channel]
            found += names if note.resolves else names[-1:]
        return [target for target in dict.fromkeys(found) if target not in note.reached]

    def _known_as(self, recovery: Recovery | None) -> tuple[str, ...]:
        """``pagerduty``, ``pagerduty@KEY``: written down, or not yet."""
        collected = self._news.get(recovery.name) if recovery else None
        return tuple(
            dict.fromkeys(
                (
                    *(recovery.talk.heard if recovery else ()),
                    *(collected.heard if collected else ()),
                )
            )
        )

    def _remember(self, note: PendingNotification) -> None:
        self._known[note.key] = None
        while len(self._known) > MAX_REMEMBERED_KEYS:
            self._known.pop(next(iter(self._known)))

    def _flapping(self, note: PendingNotification, recovery: Recovery, times: int) -> None:
        """Said once in its time; the note itself is struck."""
        limits = self._policies.notices.words.flapping
        slot = (
            int(self._clock.now().timestamp() // limits.within.total_seconds())
            if limits.within
            else 0
        )
        if note.key not in self._known:
            self._remember(note)
            self.counted("", "flapping")
            self._strike(note.key, recovery.name)
        title = (
            f"{recovery.subject} is flapping: it became unhealthy {times} times within"
            f" {limits.within}"
        )
        body = (
            "Its single events are no longer sent; critical ones are.\nSee:"
            f" recovery history {shell(recovery.subject)}"
        )
        self.say(
            PendingNotification(
                f"flapping-{recovery.subject.uid}/{recovery.policy}/{slot}",
                title,
                body,
                "warning",
                note.channels,
            ),
            like=recovery,
        )

    def _heard(self, note: PendingNotification, recovery: Recovery | None) -> tuple[str, ...]:
        """Receivers that know of the incident, or is about to: written down, not written down yet,
        on the way."""
        about_to = [
            t
            for each in self._open.values()
            if each.note.incident == note.incident
            for t in sorted(each.targets)
        ]
        return tuple(dict.fromkeys((*self._known_as(recovery), *about_to)))

    def _lane(self, channel: str) -> ReceiverQueue:
        if channel not in self._lanes:
            self._lanes[channel] = ReceiverQueue(channel, self, self._clock)
            self._new.put_nowait(self._lanes[channel])
        return self._lanes[channel]

    def lanes(self) -> tuple[State, ...]:
        """How each channel stands that was ever spoken to."""
        return tuple(lane.state() for lane in self._lanes.values())

    def news(self, recovery: str) -> News:
        """Results of this recovery's messages that are not recorded yet."""
        c = self._news.get(recovery)
        if c is None:
            return News()
        return News(
            frozenset(c.struck),
            dict(c.reached),
            tuple(c.heard),
            dict(c.threads),
            tuple(c.undelivered),
        )

    def forget(self, recovery: str, news: News) -> None:
        """Forget a recorded result: nothing more to remember. A record of the same name may say the
        same once more."""
        collected = self._news.get(recovery)
        if collected is None:
            return
        if news.heard and recovery in self._talks:
            self._talks[recovery] = tuple(
                dict.fromkeys((*self._talks[recovery], *news.heard))
            )  # its record says so now
        for key in news.struck:
            self._known.pop(key, None)
            collected.struck.discard(key)
        for key, channels in news.reached.items():
            if collected.reached.get(key) == channels:
                collected.reached.pop(key)
        for mark in news.heard:
            collected.heard.pop(mark, None)
        collected.undelivered = collected.undelivered[len(news.undelivered) :]
        if (
            not collected.struck
            and not collected.reached
            and not collected.heard
            and not collected.undelivered
        ):
            self._news.pop(recovery)
            if not any(each.note.incident == recovery for each in self._open.values()):
                self._threads.pop(recovery, None)  # the record has them
                self._talks.pop(recovery, None)

    async def run(self) -> None:
        """Until cancelled. Each channel goes its own way; a dead one holds up nothing else."""
        while not self._new.empty():
            self._new.get_nowait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._direct())
            for lane in self._lanes.values():
                group.create_task(lane.run())
            while True:
                group.create_task((await self._new.get()).run())

    # What a lane asks and tells.

    def delivery(self, channel: str) -> ReceiverOptions:
        return self._policies.notices.delivery(channel)

    async def url(self, channel: str) -> str:
        return await self._addresses.url(channel)

    async def send(self, url: str, message: Message) -> str:
        return await self._send(url, message)

    def reread(self) -> None:
        self._addresses.reread()

    def heard(self, letter: QueuedNotification, channel: str) -> bool:
        return letter.explicit or not letter.recovery or channel in self._arrived(letter.recovery)

    def _arrived(self, recovery: str) -> set[str]:
        """Where something of its incident arrived or may have arrived."""
        collected = self._news.get(recovery)
        marks = (*self._talks.get(recovery, ()), *(collected.heard if collected else ()))
        return {mark.partition("@")[0] for mark in marks}

    async def redirect(self, letter: QueuedNotification, channel: str) -> bool:
        """The channel that was named is not there: the default ones tell it, where there are
        others. Raises as ``url``."""
        opened = self._open.get(letter.message.key)
        if opened is None:
            return False
        usual = self._policies.channels or tuple(
            name for name in await self._addresses.names() if name != CHANNEL
        )
        wanted = [
            name for name in usual if name not in opened.tried and await self._addresses.url(name)
        ]
        for name in wanted:
            opened.targets.add(name)
            opened.tried.add(name)
            self._lane(name).put(
                QueuedNotification(
                    letter.message, letter.recovery, letter.number, letter.since, explicit=True
                )
            )
        if wanted:
            instead = f"the Secret has no key {channel}; {', '.join(wanted)} told instead"
            opened.why.append(f"{channel}: {instead}: {letter.message.title}"[:300])
        return bool(wanted)

    def overtaken(self, letter: QueuedNotification) -> bool:
        return letter.number < self._over.get(letter.message.incident, -1)

    def thread(self, letter: QueuedNotification, channel: str) -> str:
        return self._threads.get(letter.recovery, {}).get(channel, "")

    def shared(self, mark: str, recovery: str) -> bool:
        return self.fleet.sharing(mark, recovery)

    def ours(self, letter: QueuedNotification) -> bool:
        return not letter.recovery or self.fleet.tells(letter.recovery)

    def stands_in(self, letter: QueuedNotification, channel: str) -> bool:
        fallback, opened = self.delivery(channel).fallback, self._open.get(letter.message.key)
        return bool(fallback) and opened is not None and fallback not in opened.tried

    def pass_on(self, letter: QueuedNotification, channel: str) -> None:
        fallback, opened = self.delivery(channel).fallback, self._open.get(letter.message.key)
        if opened is not None:
            opened.targets.add(fallback)
            opened.tried.add(fallback)
            self._lane(fallback).put(
                QueuedNotification(
                    letter.message, letter.recovery, letter.number, letter.since, explicit=True
                )
            )

    def reached(
        self, letter: QueuedNotification, channel: str, mark: str = "", thread: str = ""
    ) -> None:
        self.counted(channel, "delivered")
        target = letter.mark or channel
        if letter.recovery:
            collected = self._news.setdefault(letter.recovery, _Collected())
            key = letter.message.key
            collected.reached[key] = tuple(dict.fromkeys((*collected.reached.get(key, ()), target)))
            collected.heard[mark or target] = None
            if thread:
                collected.threads[channel] = thread  # another one than before where that was gone
                self._threads.setdefault(letter.recovery, {})[channel] = thread
        self._settle(letter, target, heard=True)

    def perhaps(self, letter: QueuedNotification, channel: str) -> None:
        if letter.recovery and not letter.message.resolves:
            self._news.setdefault(letter.recovery, _Collected()).heard[letter.mark or channel] = (
                None
            )
            self._changed(letter.recovery)

    def ended(self, letter: QueuedNotification, channel: str, result: str, why: str = "") -> None:
        self.counted(channel, result)
        opened = self._open.get(letter.message.key)
        if result == "taken over":
            # Whoever has it now tells it; should it come back to us, it is told then.
            self._open.pop(letter.message.key, None)
            self._known.pop(letter.message.key, None)
            self._threads.pop(letter.recovery, None)
            self._talks.pop(letter.recovery, None)
            return
        if result in ("failed", "not configured") and opened is not None:
            opened.why.append(f"{channel}: {why}: {letter.message.title}"[:300])
        self._settle(letter, letter.mark or channel, heard=result == "overtaken")

    def _settle(self, letter: QueuedNotification, target: str, *, heard: bool) -> None:
        opened = self._open.get(letter.message.key)
        if opened is None:
            return
        opened.targets.discard(target)
        opened.heard = opened.heard or heard
        if not opened.targets:
            self._conclude(opened, letter.recovery)
        elif letter.recovery:
            self._changed(letter.recovery)

    def _conclude(self, opened: _Open, recovery: str) -> None:
        """Nothing more can become of it."""
        self._open.pop(opened.note.key, None)
        for words in opened.why:
            self.dead.append(words)
            if recovery:
                self._news.setdefault(recovery, _Collected()).undelivered.append(words)
        if not opened.heard and not opened.note.resolves:
            self._unheard(opened.note, recovery)
        self._strike(opened.note.key, recovery)

    def _strike(self, key: str, recovery: str) -> None:
        if recovery:
            self._news.setdefault(recovery, _Collected()).struck.add(key)
            self._changed(recovery)
