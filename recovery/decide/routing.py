"""Where a message goes: what the policy says, else the first route that matches, else defaults.channels, else all that there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from recovery.decide.telling import EVERYWHERE
from recovery.decide.windows import opened
from recovery.model.application import Application
from recovery.model.connection import Cluster, Repository
from recovery.model.notices import Flapping, Quiet, Route
from recovery.model.policy import Policies
from recovery.model.recovery import Note, Recovery
from recovery.model.selector import Selector

About = Application | Repository | Cluster | None


def channels_of(
    note: Note, recovery: Recovery | None, heard: tuple[str, ...], about: About, policies: Policies, every: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The channels' names, each once. A resolve goes to those that ``heard`` of it, and where the note itself says. ``every``: the
    channels of the Secret, who are told where nothing else is said."""
    if note.resolves and heard:
        return tuple(dict.fromkeys((*heard, *(name for name in note.channels if name != EVERYWHERE))))
    named = note.channels or (EVERYWHERE,)
    usual = _usual(note, recovery, about, policies) or every
    return tuple(dict.fromkeys(c for name in named for c in (usual if name == EVERYWHERE else (name,))))


def undirected(note: Note, recovery: Recovery | None, heard: tuple[str, ...], about: About, policies: Policies) -> bool:
    """Does nothing say where it goes, so that every channel of the Secret is told?"""
    if (note.resolves and heard) or not (EVERYWHERE in note.channels or not note.channels):
        return False
    return not _usual(note, recovery, about, policies)


def _usual(note: Note, recovery: Recovery | None, about: About, policies: Policies) -> tuple[str, ...]:
    route = route_of(note.severity, recovery, about, policies)
    return (route.channels if route else ()) or policies.channels


def route_of(severity: str, recovery: Recovery | None, about: About, policies: Policies) -> Route | None:
    """The first route that matches; None when there is none."""
    policy = recovery.policy if recovery else ""
    for route in policies.notices.routes:
        if route.policies and not any(fnmatchcase(policy, glob) for glob in route.policies):
            continue
        if route.severities and severity not in route.severities:
            continue
        if route.selector != Selector() and (about is None or not route.selector.selects(about)):
            continue
        return route
    return None


def quiet_until(hours: Sequence[Quiet], severity: str, now: datetime) -> datetime | None:
    """Until when a message of this severity waits; None when it may leave."""
    ends = (opened(q.schedule, q.duration, q.timezone, now) for q in hours if severity in q.severities)
    return max((end for end in ends if end is not None), default=None)


def flapping(recovery: Recovery, past: Sequence[Recovery], limits: Flapping, now: datetime) -> int:
    """How often it fell ill lately, this time counted, when that is too often to be told each time; else 0."""
    lately = [r for r in past if r.policy == recovery.policy and r.name != recovery.name and now - r.opened_at <= limits.within]
    times = len(lately) + 1
    return times if times >= limits.times else 0
