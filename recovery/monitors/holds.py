"""Holds that a person has to decide on: is it the fix, and whose is an annotation without a
Recovery?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from recovery.clock import Clock
from recovery.decide.holds import undecided
from recovery.decide.notifications import asks_to_release, still_held, unvouched
from recovery.model.application import Application
from recovery.model.names import SubjectKey
from recovery.model.recovery import PendingNotification
from recovery.model.situation import Situation

QUESTION_STANDS = timedelta(minutes=1)
"""A question is asked when it has stood for so long: a comparison or a record may be on its way."""


class HoldMonitor:
    """Reminds of holds once a day, and asks each question once."""

    def __init__(
        self,
        situation: Callable[[SubjectKey], Situation | None],
        say: Callable[[PendingNotification], None],
        clock: Clock,
    ) -> None:
        self._situation = situation
        self._say = say
        self._clock = clock
        self._questions: dict[str, datetime] = {}
        """Open questions, and since when."""

    def check(self, held: Iterable[Application], noted: Iterable[Application]) -> None:
        """``held``: on hold by a Recovery; ``noted``: annotated by somebody."""
        now, held = self._clock.now(), list(held)
        for app in held:
            if note := still_held(app, now):
                self._say(note)
        questions = [
            asks_to_release(app, now)
            for app in held
            if (situation := self._situation(app.key)) is not None and undecided(situation)
        ]
        questions += [unvouched(app) for app in noted if app.hold is None]
        self._questions = {note.key: self._questions.get(note.key, now) for note in questions}
        for note in questions:
            if now - self._questions[note.key] >= QUESTION_STANDS:
                self._say(note)
