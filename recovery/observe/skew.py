"""How far Argo CD's clock is from ours, by what it has just compared: a stamp is news when it
changes, and then it is seconds old."""

from __future__ import annotations

from datetime import datetime, timedelta

from recovery.clock import Clock

BUCKET = 300.0
"""Seconds over which the youngest stamp counts, and once more as long: single old ones, forged or
late, say nothing."""


class Skew:
    """Fed with every stamp that changes; nothing has arrived yet, nothing is known, and no
    difference is assumed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._least: timedelta | None = None
        self._before: timedelta | None = None

    def arrived(self, stamp: datetime) -> None:
        """A stamp has changed: Argo CD has written it a moment ago."""
        age, now = max(self._clock.now() - stamp, timedelta()), self._clock.monotonic()
        if now - self._since > BUCKET:
            self._since, self._before, self._least = now, self._least, None
        self._least = age if self._least is None else min(self._least, age)

    def jumped(self, jump: timedelta) -> None:
        """Move the skew by as much as our own clock was set."""
        self._least = max((self._least or timedelta()) + jump, timedelta())
        self._before = None

    @property
    def behind(self) -> timedelta:
        """By how much Argo CD's clock is behind ours; zero where it is not, or where nobody
        knows."""
        return min(
            (age for age in (self._least, self._before) if age is not None), default=timedelta()
        )
