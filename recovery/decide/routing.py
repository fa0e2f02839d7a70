"""Where a message goes: what the policy says, else the first route that matches, else
defaults.channels, else all that there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from msgspec import Struct

from recovery.decide.notifications import DEFAULT_CHANNELS
from recovery.decide.windows import opened
from recovery.model.application import Application
from recovery.model.connection import Cluster, Repository
from recovery.model.notification_config import LOUDNESS, Flapping, MuteTimeInterval, Route
from recovery.model.policy import Policies
from recovery.model.recovery import PendingNotification, Recovery
from recovery.model.selector import Selector

About = Application | Repository | Cluster | None


def channels_of(
    note: PendingNotification,
    recovery: Recovery | None,
    heard: tuple[str, ...],
    about: About,
    policies: Policies,
    every: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """The channels' names, each once. A resolve goes to those that ``heard`` of it, and where the
    note itself says. ``every``: the channels of the Secret, who are told where nothing else is
    said."""
    named = note.channels if note.resolves else note.channels or (DEFAULT_CHANNELS,)
    if note.resolves and heard:
        named = tuple(
            name for name in named if name != DEFAULT_CHANNELS
        )  # those who heard are everywhere
    usual = _usual(note, recovery, about, policies) or every
    expanded = (c for name in named for c in (usual if name == DEFAULT_CHANNELS else (name,)))
    return tuple(dict.fromkeys((*(heard if note.resolves else ()), *expanded)))


def undirected(
    note: PendingNotification, recovery: Recovery | None, about: About, policies: Policies
) -> bool:
    """Does nothing say where it goes, so that every channel of the Secret is told? An end goes to
    those who heard of the beginning."""
    somewhere = DEFAULT_CHANNELS in note.channels or (not note.channels and not note.resolves)
    return somewhere and not _usual(note, recovery, about, policies)


def named_channels(policies: Policies) -> dict[str, str]:
    """Every channel that is named, and where it is named first."""
    found: dict[str, str] = {}

    def add(names: Iterable[str], where: str) -> None:
        for name in names:
            found.setdefault(name, where)

    add(policies.channels, "defaults.channels")
    for policy in policies.policies:
        if policy.channels != policies.channels:
            add(policy.channels, f"policy {policy.name}")
        for step in policy.actions:
            add(
                getattr(step.parameters, "channels", ()),
                f"policy {policy.name}, {step.kind.name}",
            )
    for number, route in enumerate(policies.notices.routes):
        add(route.channels, f"routes[{number}]")
        for later in route.then:
            add(later.channels, f"routes[{number}].then")
    for name, delivery in policies.notices.channels.items():
        add([name], f"channels.{name}")
        add(filter(None, [delivery.fallback]), f"channels.{name}.fallback")
    return found


def _usual(
    note: PendingNotification, recovery: Recovery | None, about: About, policies: Policies
) -> tuple[str, ...]:
    route = route_of(note.severity, recovery, about, policies)
    return (route.channels if route else ()) or policies.channels


def route_of(
    severity: str, recovery: Recovery | None, about: About, policies: Policies
) -> Route | None:
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


class Notified(Struct, frozen=True):
    """One channel that is told of an incident while it lasts."""

    channel: str
    after: timedelta
    """Since people were first told of it."""
    severity: str
    quiet_until: datetime | None = None
    """It waits for the end of the channel's quiet hours; None where it leaves at once."""
    fallback: str = ""
    """Who is told where the channel does not answer."""


def notified(
    note: PendingNotification, recovery: Recovery, about: About, policies: Policies, now: datetime
) -> tuple[Notified, ...]:
    """Channels that are told of an incident now, and later if it lasts, by time."""

    def one(channel: str, after: timedelta, severity: str) -> Notified:
        options = policies.notices.delivery(channel)
        quiet = quiet_until(options.quiet_hours, severity, now + after)
        return Notified(channel, after, severity, quiet, options.fallback)

    route = route_of(note.severity, recovery, about, policies)
    told = [
        one(channel, timedelta(), note.severity)
        for channel in channels_of(note, recovery, (), about, policies)
    ]
    # Whoever is called later is called because nobody has mended it: reminders.remind.
    told += [
        one(channel, later.after, LOUDNESS[-1])
        for later in (route.then if route else ())
        for channel in later.channels
    ]
    return tuple(told)


def quiet_until(hours: Sequence[MuteTimeInterval], severity: str, now: datetime) -> datetime | None:
    """Until when a message of this severity waits; None when it may leave."""
    ends = (
        opened(q.schedule, q.duration, q.timezone, now) for q in hours if severity in q.severities
    )
    return max((end for end in ends if end is not None), default=None)


def flapping(recovery: Recovery, past: Sequence[Recovery], limits: Flapping, now: datetime) -> int:
    """How often it fell ill lately, this time counted, when that is too often to be told each time;
    else 0."""
    lately = [
        r
        for r in past
        if r.policy == recovery.policy
        and r.name != recovery.name
        and now - r.opened_at <= limits.within
    ]
    times = len(lately) + 1
    return times if times >= limits.times else 0
