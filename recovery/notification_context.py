"""Context that notifications need of recoveries and their subjects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from recovery.decide.reminders import remind
from recovery.decide.routing import About, flapping
from recovery.model.recovery import Recovery
from recovery.model.selector import Selector
from recovery.read_model import ReadModel


class NotificationContext:
    """Reads store, connections and recoveries for messages; changes nothing."""

    def __init__(
        self,
        known: ReadModel,
        holds: Callable[[str], bool],
    ) -> None:
        """``holds``: is a subject (by UID) ours to act on?"""
        self._store = known.store
        self._connections = known.connections
        self._recoveries = known.recoveries
        self._source = known.source
        self._pauses = known.pauses
        self._clock = known.clock
        self._holds = holds

    def about(self, recovery: Recovery) -> About:
        """The subject as last seen; None when it is not there, and for what stands for many."""
        subject = recovery.subject
        return self._store.applications.get(
            (subject.namespace, subject.name)
        ) or self._connections.get(subject.key)

    def silenced(self, recovery: Recovery) -> bool:
        """Has a person silenced its subject?"""
        about, now = self.about(recovery), self._clock.now()
        silences = (p for p in self._pauses() if p.silences and p.runs(now))
        return any(
            p.selector == Selector() or (about is not None and p.selector.selects(about))
            for p in silences
        )

    def flaps(self, recovery: Recovery) -> int:
        """How often it fell ill lately, when that is too often to be told each time; else 0."""
        policies = self._source.policies
        if policies is None:
            return 0
        _, past = self._recoveries.of(recovery.subject.uid)
        return flapping(recovery, past, policies.notices.words.flapping, self._clock.now())

    def sharing(self, mark: str, recovery: str) -> bool:
        """Is another recovery still open that was told as part of the same incident?"""
        return any(
            r.name != recovery and not r.phase.over and mark in r.talk.heard
            for r in self._recoveries.all()
        )

    def tells(self, recovery: str) -> bool:
        """Is its subject ours? Of what is not known any more we say what we began to say."""
        known = self._recoveries.get(recovery)
        return known is None or self._holds(known.subject.uid)

    def reminds(self, recovery: Recovery) -> tuple[Recovery, datetime | None]:
        """The same with what is due to be said, and when to look again; while it is silenced,
        nothing is."""
        policies = self._source.policies
        if policies is None or self.silenced(recovery):
            return recovery, None
        return remind(recovery, self.about(recovery), policies, self._clock.now())
