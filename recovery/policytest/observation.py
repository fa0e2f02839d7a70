"""Observations made while a test ran, of people's messages and of the cluster."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from msgspec import Struct

from recovery.model.duration import spell


class Of(Enum):
    """Kind of thing that was seen."""

    state = "state"
    """Sync and health of an application."""
    pending = "pending"
    action = "action"
    """A step began; ``result`` says how it ended."""
    phase = "phase"
    refused = "refused"
    told = "told"
    write = "write"
    """The controller wrote to something that is no record of its own."""


class Seen(Struct):
    """One thing that was seen. Times are since the test began; before it they are negative."""

    of: Of
    kind: str
    """app, cluster or repository; of a repository, ``name`` is the application's."""
    name: str
    at: timedelta
    what: str
    """The action, the phase, the guard, the channel, or sync and health."""
    policy: str = ""
    message: str = ""
    result: str = ""
    severity: str = ""
    until: timedelta | None = None
    """Since when it is so no more; None while it is."""

    def lasted_at(self, moment: timedelta) -> bool:
        """Was it so then?"""
        return self.at <= moment and (self.until is None or moment < self.until)

    @property
    def quiet(self) -> bool:
        """Is it told by another line of a transcript?"""
        return self.of is Of.write or (self.of is Of.phase and self.what == "Remediating")

    @property
    def line(self) -> str:
        """For a transcript."""
        said = {
            Of.state: f"is {self.what}",
            Of.pending: f"pending: {self.message}",
            Of.action: f"{self.what} {self._end}" + self._reason,
            Of.phase: f"{self.what}" + self._reason,
            Of.refused: f"suppressed by {self.what}" + self._reason,
            Of.told: f"told {self.what} ({self.severity}): {self.message}",
            Of.write: f"wrote {self.what}",
        }
        return f"{stamp(self.at):<9} {self.name:<12} {said[self.of]}"

    @property
    def _end(self) -> str:
        """How a step ended, and when if it took its time."""
        if not self.result:
            return "started"
        later = self.until is not None and self.until != self.at
        return self.result + (f" at {stamp(self.until)}" if later and self.until else "")

    @property
    def _reason(self) -> str:
        return f": {self.message}" if self.message else ""


class Observation(Struct):
    """All that was seen in one test, in order."""

    start: datetime
    seen: list[Seen] = []
    opened: set[str] = set()
    """Policies that opened a recovery."""
    met: set[str] = set()
    """Policies whose condition held of something, if only for a moment."""
    routes: set[int] = set()
    """Routes of the policy file by which somebody was told."""

    def transcript(self, around: tuple[timedelta, timedelta] | None = None) -> list[str]:
        """Lines for people, between two times, or from 0 on; writes are left out."""
        first, last = around or (timedelta(), timedelta.max)
        return [s.line for s in self.seen if first <= s.at <= last and not s.quiet]


def stamp(at: timedelta) -> str:
    """A time of a test: 0s, 6m1s, 1h2m."""
    return f"-{spell(-at)}" if at < timedelta() else spell(at)
