"""States of applications in the past, in the order in which they changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from recovery.model.recorded import RecordedState

Name = tuple[str, str]
"""Namespace and name."""


class Interval(NamedTuple):
    """From when until when an application was so; seconds since 1970, UTC, and the end is the last
    moment at which it was seen so."""

    start: float
    end: float
    state: RecordedState


class Change(NamedTuple):
    """From a moment on it is so; None: Synced and Healthy, or not known any more."""

    at: float
    name: Name
    state: RecordedState | None
    gone: bool = False
    """It was deleted."""


class Gap(NamedTuple):
    """A time of which nothing was stored."""

    start: float
    end: float


class Timeline:
    """Puts what is read, slice after slice, in order. The same state from two replicas of
    Prometheus is one; where two differ, the later one stands. A state lasts through a gap at whose
    two ends it is the same."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._states: dict[Name, RecordedState] = {}
        self._until: dict[Name, float] = {}
        """When it was last seen so."""
        self._unseen: dict[Name, float] = {}
        """Until when nothing was stored, where a gap reached the end of a slice."""

    def feed(
        self, intervals: Mapping[Name, Iterable[Interval]], gaps: Iterable[Gap], end: float
    ) -> list[Change]:
        """All changes of a slice of the past that ends then, by time."""
        holes = sorted(gaps)
        found: list[Change] = []
        for name in {**intervals, **self._states}:
            self._one(name, sorted(intervals.get(name, ())), holes, end, found)
        found.sort(key=lambda change: (change.at, change.name))
        return found

    def _one(
        self,
        name: Name,
        intervals: list[Interval],
        gaps: list[Gap],
        end: float,
        found: list[Change],
    ) -> None:
        state = self._states.get(name)
        until = self._until.get(name, float("-inf"))
        unseen = self._unseen.pop(name, until)
        for start, last, seen in intervals:
            apart = state is not None and start > until + self._step * 1.5
            if apart and not (seen == state and self._bridged(max(until, unseen), start, gaps)):
                found.append(Change(until + self._step, name, None))
                state = None
            if seen != state:
                if last <= until:
                    continue  # an older state that another replica still shows
                found.append(Change(max(start, until) if state is not None else start, name, seen))
                state = seen
            until = max(until, last)
        # What reaches the end of the slice, or a gap that does, may go on in the next one.
        gap = self._bridged(max(until, unseen), end, gaps)
        if state is not None and not gap and until + self._step * 1.5 < end:
            found.append(Change(until + self._step, name, None))
            state = None
        if state is None:
            self._states.pop(name, None)
            self._until.pop(name, None)
        else:
            self._states[name], self._until[name] = state, until
            if gap:
                self._unseen[name] = end

    def _bridged(self, last: float, following: float, gaps: Iterable[Gap]) -> bool:
        """Is there nothing stored of the time between these two?"""
        near = 2 * self._step
        return any(gap.start <= last + near and gap.end >= following - near for gap in gaps)
