"""Totals since the installation: what came of every incident, also of those whose records are
retired."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from math import ceil, log2
from typing import TypeVar

from msgspec import Struct

from recovery.decide.circuit_breaker import acted, regretted
from recovery.model.recovery import Recovery, RecoveryPhase

K = TypeVar("K")
PER_OCTAVE = 4
"""Classes of durations between a time and its double: a median is right to within a fifth."""


class Tally(Struct, omit_defaults=True):
    """Incidents of one policy in one project."""

    incidents: int = 0
    healed: int = 0
    """Well again before anything was done."""
    acted: int = 0
    """Incidents in which something was done."""
    actions: dict[str, int] = {}
    person: int = 0
    """Incidents that needed a person."""
    undone: int = 0
    """Steps that a person took back, or that made it worse."""
    after: dict[int, int] = {}
    """Of the first step, how long after the beginning: incidents by class of duration."""
    then: dict[int, int] = {}
    """How long the incident lasted from then on."""

    def add(self, other: Tally) -> None:
        """Take in what another one has counted."""
        for field in ("incidents", "healed", "acted", "person", "undone"):
            setattr(self, field, getattr(self, field) + getattr(other, field))
        _add(self.actions, other.actions)
        _add(self.after, other.after)
        _add(self.then, other.then)


class Totals(Struct, omit_defaults=True):
    """Tallies by policy and project."""

    since: datetime | None = None
    tallies: dict[str, dict[str, Tally]] = {}

    def add(self, recoveries: Iterable[Recovery]) -> None:
        """Count recoveries, each of which is given once."""
        for recovery in recoveries:
            began = recovery.unhealthy_since or recovery.opened_at
            self.since = began if self.since is None else min(self.since, began)
            projects = self.tallies.setdefault(recovery.policy, {})
            projects.setdefault(recovery.subject.project, Tally()).add(_tally(recovery))


class TotalsRow(Struct, frozen=True):
    """Deeds of one policy since the installation; durations in seconds, medians."""

    policy: str
    incidents: int
    healed: int
    acted: int
    actions: dict[str, int]
    after: float | None
    then: float | None
    person: int
    undone: int


def rows(
    totals: Totals, living: Iterable[Recovery], sees: Callable[[str], bool]
) -> tuple[datetime | None, list[TotalsRow]]:
    """Since when, and a row for each policy: of retired recoveries and of those whose records are
    there, in the projects that may be seen."""
    seen = [recovery for recovery in living if sees(recovery.subject.project)]
    now = Totals(totals.since)
    now.add(seen)
    found = []
    for policy in sorted({*totals.tallies, *now.tallies}):
        whole = Tally()
        for project, tally in totals.tallies.get(policy, {}).items():
            if sees(project):
                whole.add(tally)
        for tally in now.tallies.get(policy, {}).values():
            whole.add(tally)
        if whole.incidents:
            found.append(_row(policy, whole))
    return now.since, found


def _row(policy: str, tally: Tally) -> TotalsRow:
    actions = dict(sorted(tally.actions.items(), key=lambda each: -each[1]))
    return TotalsRow(
        policy,
        tally.incidents,
        tally.healed,
        tally.acted,
        actions,
        _median(tally.after),
        _median(tally.then),
        tally.person,
        tally.undone,
    )


def _tally(recovery: Recovery) -> Tally:
    steps = [step for step in recovery.steps if acted(step)]
    resolved = recovery.phase is RecoveryPhase.Resolved
    tally = Tally(
        incidents=1,
        healed=int(resolved and not steps),
        acted=int(bool(steps)),
        person=int(bool(recovery.stalled_times) or recovery.needs_person),
        undone=sum(bool(regretted(step)) for step in steps),
    )
    for step in steps:
        _add(tally.actions, {step.action: 1})
    if steps:
        first, began = steps[0].started_at, recovery.unhealthy_since or recovery.opened_at
        tally.after[_class((first - began).total_seconds())] = 1
        if resolved and recovery.resolved_at is not None:
            tally.then[_class((recovery.resolved_at - first).total_seconds())] = 1
    return tally


def _add(into: dict[K, int], more: Mapping[K, int]) -> None:
    for key, number in more.items():
        into[key] = into.get(key, 0) + number


def _class(seconds: float) -> int:
    return ceil(log2(max(seconds, 1.0)) * PER_OCTAVE)


def _median(classes: Mapping[int, int]) -> float | None:
    half = sum(classes.values()) / 2
    passed = 0
    for number in sorted(classes):
        passed += classes[number]
        if passed >= half:
            return float(2 ** ((number - 0.5) / PER_OCTAVE)) if number else 1.0
    return None
