"""Statistics of what came of recoveries: acted, would have acted, self-healed, undone, how
long it took."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from msgspec import Struct

from recovery.decide.circuit_breaker import REVERTED, WORSE, acted, regretted
from recovery.model.recovery import Recovery, RecoveryPhase, StepOutcome


class Line(Struct, frozen=True):
    """Results of one policy's recoveries, counted."""

    policy: str
    recoveries: int = 0
    acted: int = 0
    """Recoveries in which something was done."""
    actions: int = 0
    would_have: int = 0
    """Recoveries in which nothing was done because it was told only to watch."""
    by_itself: int = 0
    """Healed without anything having been done."""
    cured: int = 0
    """Healed after something was done."""
    needed_person: int = 0
    """Ran out of remedies, or still waits for somebody."""
    undone: int = 0
    worse: int = 0
    open: int = 0
    typical: float | None = None
    """Median seconds from the first sight of the illness to the proven cure; None when nothing was
    cured."""
    slowest: float | None = None


class Entry(Struct, frozen=True):
    """One thing that was done, by us or by a person through us."""

    at: datetime
    by: str
    what: str
    subject: str
    policy: str
    recovery: str
    result: str
    why: str


class Day(Struct, frozen=True):
    """One day's outcomes and times, for charts."""

    day: date
    cured: int = 0
    by_itself: int = 0
    needed_person: int = 0
    other: int = 0
    typical: float | None = None


def watched(recovery: Recovery) -> bool:
    """Would it have acted, had it been allowed to?"""
    return recovery.observe_only and not _acted(recovery)


def report(recoveries: Iterable[Recovery], since: datetime) -> list[Line]:
    """One line a policy, in the order of their names, and ``(all)`` last; of recoveries that were
    opened since."""
    found: dict[str, list[Recovery]] = {}
    for recovery in recoveries:
        if recovery.opened_at >= since:
            found.setdefault(recovery.policy, []).append(recovery)
    everything = [r for each in found.values() for r in each]
    return [*(_line(name, found[name]) for name in sorted(found)), _line("(all)", everything)]


def _line(policy: str, recoveries: list[Recovery]) -> Line:
    times = sorted(filter(None, map(took, recoveries)))
    steps = [s for r in recoveries for s in r.steps if acted(s)]
    resolved = [r for r in recoveries if r.phase is RecoveryPhase.Resolved]
    return Line(
        policy,
        len(recoveries),
        sum(map(_acted, recoveries)),
        len(steps),
        sum(map(watched, recoveries)),
        sum(not _cured(r) for r in resolved),
        sum(map(_cured, resolved)),
        sum(bool(r.stalled_times) or r.needs_person for r in recoveries),
        sum(regretted(s) == REVERTED for s in steps),
        sum(regretted(s) == WORSE for s in steps),
        sum(not r.phase.over for r in recoveries),
        times[len(times) // 2] if times else None,
        times[-1] if times else None,
    )


def took(recovery: Recovery) -> float | None:
    """Seconds from the first sight of the illness to the proven cure; None while there is none."""
    if recovery.phase is not RecoveryPhase.Resolved or recovery.resolved_at is None:
        return None
    return (recovery.resolved_at - (recovery.unhealthy_since or recovery.opened_at)).total_seconds()


def days(recoveries: Iterable[Recovery], now: datetime, count: int = 7) -> list[Day]:
    """The last days, oldest first, today included; of recoveries that ended then, or that still
    wait for a person."""
    found: dict[date, list[Recovery]] = {
        (now - timedelta(days=n)).date(): [] for n in reversed(range(count))
    }
    for recovery in recoveries:
        day = (recovery.resolved_at or recovery.opened_at).date()
        if day in found:
            found[day].append(recovery)
    answer = []
    for day, ended in found.items():
        times = sorted(filter(None, map(took, ended)))
        kinds = [_kind(r) for r in ended]
        typical = times[len(times) // 2] if times else None
        cured, by_itself, person, other = (
            kinds.count(k) for k in ("cured", "by itself", "person", "other")
        )
        answer.append(Day(day, cured, by_itself, person, other, typical))
    return answer


def audit(recoveries: Iterable[Recovery], since: datetime) -> list[Entry]:
    """Everything that was done, oldest first."""
    entries = []
    for r in recoveries:
        for s in r.steps:
            if s.started_at >= since and s.outcome is not StepOutcome.Skipped:
                what = f"{s.action} {', '.join(s.targets[:3])}".strip()
                result = " ".join(
                    filter(
                        None, (s.outcome.value if s.outcome else "running", s.reason, regretted(s))
                    )
                )
                entries.append(
                    Entry(
                        s.started_at,
                        "controller",
                        what,
                        str(r.subject),
                        r.policy,
                        r.name,
                        result,
                        s.message or r.message,
                    )
                )
        entries.extend(
            Entry(
                w.at,
                w.by,
                f"{w.type} {w.step}".strip(),
                str(r.subject),
                r.policy,
                r.name,
                "asked for",
                "",
            )
            for w in r.requests
            if w.at >= since
        )
    return sorted(entries, key=lambda e: e.at)


def _acted(recovery: Recovery) -> bool:
    return any(map(acted, recovery.steps))


def _cured(recovery: Recovery) -> bool:
    return recovery.phase is RecoveryPhase.Resolved and _acted(recovery)


def _kind(recovery: Recovery) -> str:
    if recovery.phase is RecoveryPhase.Resolved:
        return "cured" if _cured(recovery) else "by itself"
    return "person" if recovery.needs_person else "other"
