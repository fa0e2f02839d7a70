"""Counts of a past that was judged: what an evaluator wants to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from statistics import median

from msgspec import Struct

from recovery.replay.past import Acted, Incident
from recovery.replay.replaying import Replayed

CLOSE = 120.0
"""Seconds between two times that may be those of one step."""
NIGHT = range(22, 31)
"""Hours of the day, UTC, in which people sleep; from 24 on of the next day."""


class PolicyReport(Struct, frozen=True):
    """Deeds of one policy, had it been in force."""

    policy: str
    incidents: int
    healed: int
    """Well again before its duration was over, or before it would have acted."""
    acted: int
    acted_after: float | None
    """Seconds from the beginning to its first step; the median."""
    lasted_then: float | None
    """Seconds that those incidents lasted from then on, without us; the median."""
    undecided: int
    """It would have acted if the cause calls for it, which the metric does not tell."""
    actions: dict[str, int]
    held: dict[str, int]
    """Guards that would have held it back, and how many incidents."""


class Report(Struct, frozen=True):
    """The past in numbers. Times are UTC, durations in seconds."""

    since: datetime
    until: datetime
    applications: int
    incidents: int
    open: int
    """Not over at the end."""
    lasted: float | None
    """The median."""
    hours_unwell: float
    policies: tuple[PolicyReport, ...]
    projects: dict[str, int]
    worst: dict[str, int]
    """Applications with most incidents."""
    by_hour: dict[int, int]
    storms: int
    in_storms: int
    messages: dict[str, int]
    """First messages by channel."""
    messages_at_night: dict[str, int]
    carried_out: int | None = None
    """First steps that were carried out then, too; None where the source does not tell."""
    gaps: int = 0
    gap_seconds: float = 0.0
    unread_seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    source: str = ""
    lacks: str = ""
    """What is not judged, as the source does not tell it."""


def report(incidents: Iterable[Incident], policies: Iterable[str], came: Replayed) -> Report:
    """Count these incidents."""
    all_of_them, until = list(incidents), came.until
    lasted = [i.lasted.total_seconds() for i in all_of_them if i.lasted is not None]
    told = [(c, i.acted.at) for i in all_of_them if i.acted for c in i.acted.channels]
    storms = {(i.storm, i.began.date()) for i in all_of_them if i.storm}
    return Report(
        since=came.since,
        until=until,
        applications=came.applications,
        incidents=len(all_of_them),
        open=sum(i.ended is None for i in all_of_them),
        lasted=median(lasted) if lasted else None,
        hours_unwell=round(sum(_so_far(i, until).total_seconds() for i in all_of_them) / 3600, 1),
        policies=tuple(_policy(name, all_of_them) for name in policies),
        projects=_most(i.project for i in all_of_them),
        worst=_most(f"{i.name[0]}/{i.name[1]}" for i in all_of_them),
        by_hour=dict(sorted(Counter(i.began.hour for i in all_of_them).items())),
        storms=len(storms),
        in_storms=sum(bool(i.storm) for i in all_of_them),
        messages=_most(c for c, _ in told),
        messages_at_night=_most(c for c, at in told if _night(at)),
        carried_out=_carried_out(all_of_them, came),
        gaps=len(came.gaps),
        gap_seconds=sum(gap.end - gap.start for gap in came.gaps),
        unread_seconds=sum(gap.end - gap.start for gap in came.unread),
        warnings=came.warnings,
        source=came.source.name,
        lacks=came.source.value,
    )


def _carried_out(incidents: list[Incident], came: Replayed) -> int | None:
    if came.effects is None:
        return None
    done: dict[tuple[str, str], list[float]] = {}
    for effect in came.effects:
        done.setdefault((effect.subject, effect.action), []).append(effect.at)
    acted = [("/".join(i.name), i.acted) for i in incidents if i.acted]
    return sum(
        any(abs(at - a.at.timestamp()) <= CLOSE for at in done.get((subject, a.action), ()))
        for subject, a in acted
    )


def _policy(name: str, incidents: list[Incident]) -> PolicyReport:
    mine = [i for i in incidents if name in i.policies]
    acted = [(i, i.acted) for i in mine if i.acted and i.acted.policy == name]
    undecided = [i for i in mine if i.undecided and i.undecided.policy == name]
    held = [i for i in mine if i.held_by and not i.acted and not i.undecided]
    over = [(i, a) for i, a in acted if i.ended is not None]
    return PolicyReport(
        policy=name,
        incidents=len(mine),
        healed=sum(
            i.ended is not None and not i.acted and not i.undecided and not i.held_by for i in mine
        ),
        acted=len(acted),
        acted_after=_median([(a.at - i.began) for i, a in acted]),
        lasted_then=_median([i.ended - a.at for i, a in over if i.ended]),
        undecided=len(undecided),
        actions=_most(a.action for _, a in acted),
        held=_most(guard for i in held for guard in i.held_by),
    )


def _median(durations: list[timedelta]) -> float | None:
    return median(d.total_seconds() for d in durations) if durations else None


def _most(words: Iterable[str], number: int = 10) -> dict[str, int]:
    return dict(Counter(words).most_common(number))


def _so_far(incident: Incident, until: datetime) -> timedelta:
    return (incident.ended or until) - incident.began


def _night(at: datetime) -> bool:
    return at.hour in NIGHT or at.hour + 24 in NIGHT


class Difference(Struct, frozen=True):
    """One incident on which two policy files would have acted differently."""

    subject: str
    began: datetime
    before: str
    after: str
    more_destructive: bool


def differences(old: Iterable[Incident], new: Iterable[Incident]) -> list[Difference]:
    """List what differs, in the order of time: actions that are new, gone, others, or at another
    time."""
    acts = ({(i.name, i.began): i for i in old}, {(i.name, i.began): i for i in new})
    found = []
    for key in sorted({*acts[0], *acts[1]}, key=lambda k: (k[1], k[0])):
        before, after = (_first(each.get(key)) for each in acts)
        if _said(before) != _said(after):
            found.append(
                Difference(
                    f"{key[0][0]}/{key[0][1]}",
                    key[1],
                    _said(before),
                    _said(after),
                    bool(after and after.destructive and not (before and before.destructive)),
                )
            )
    return found


def _first(incident: Incident | None) -> Acted | None:
    return (incident.acted or incident.undecided) if incident else None


def _said(acted: Acted | None) -> str:
    if acted is None:
        return "nothing"
    return f"{acted.action} by {acted.policy} at {acted.at:%Y-%m-%d %H:%M}"
