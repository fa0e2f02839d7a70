"""Reminders: what is still owed to people while a recovery lasts: the next ones of an escalation,
and a reminder."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct, structs

from recovery.causes.remedy_matrix import loudness
from recovery.decide.routing import About, channels_of, quiet_until, route_of
from recovery.model.duration import spell
from recovery.model.policy import Policies, Severity
from recovery.model.recovery import PendingNotification, Recovery, RecoveryPhase
from recovery.model.text import shell

_CURED = (RecoveryPhase.Verifying, RecoveryPhase.Resolved, RecoveryPhase.Superseded)
UNDELIVERED = 10
REPEAT = "repeat/"
"""How the keys of reminders begin, after the recovery's name."""


class News(Struct, frozen=True):
    """Results of a recovery's messages since it was last written down."""

    struck: frozenset[str] = frozenset()
    """Keys of messages that need no more."""
    reached: dict[str, tuple[str, ...]] = {}
    """By key: who has it, a channel or one of its incidents of many (``pagerduty@KEY``)."""
    heard: tuple[str, ...] = ()
    """Under what they know of it: the same words."""
    threads: dict[str, str] = {}
    undelivered: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.struck or self.reached or self.heard or self.undelivered)


def remind(
    recovery: Recovery, about: About, policies: Policies, now: datetime
) -> tuple[Recovery, datetime | None]:
    """The same with what is due to be said, and when to look again (None: nothing more will be
    due)."""
    talk, first = recovery.talk, recovery.talk.first_at
    if recovery.phase.over:
        return recovery, None
    if first is None:
        waiting = [
            note
            for note in recovery.notes
            if not note.resolves and not _quiet(note, recovery, about, policies, now)
        ]
        if talk.due_at is None and (waiting or talk.undelivered):
            talk = structs.replace(talk, due_at=now)
            recovery = structs.replace(recovery, talk=talk)
        if talk.due_at is None:
            return recovery, now + timedelta(minutes=1) if recovery.notes else None
        first = talk.due_at
    severity = _loudest(recovery, policies)
    route = route_of(severity, recovery, about, policies)
    dues: list[datetime] = []
    if recovery.phase in _CURED:
        return recovery, now + timedelta(minutes=1)  # a cure that does not last is ill again
    for number, later in enumerate(route.then if route else ()):
        if number < talk.paged:
            continue
        at = first + later.after
        if at > now:
            dues.append(at)
            break
        note = _still(recovery, f"then/{number}", now, Severity.critical.value, later.channels)
        talk = structs.replace(talk, paged=number + 1, last_at=now)
        recovery = structs.replace(recovery.with_notes(note).heard_by(*later.channels), talk=talk)
    recovery, due = _repeat(recovery, policies, severity, first, now)
    if due is not None:
        dues.append(due)
    return recovery, min(dues, default=None)


def _quiet(
    note: PendingNotification, recovery: Recovery, about: About, policies: Policies, now: datetime
) -> bool:
    """Does it wait because nobody is to be woken by it?"""
    wanted = channels_of(note, recovery, (), about, policies)
    hours = (policies.notices.delivery(channel).quiet_hours for channel in wanted)
    return bool(wanted) and all(quiet_until(each, note.severity, now) is not None for each in hours)


def _repeat(
    recovery: Recovery, policies: Policies, severity: str, first: datetime, now: datetime
) -> tuple[Recovery, datetime | None]:
    """A reminder to each channel whose own interval has passed, and when the next one is due."""
    talk = recovery.talk
    heard = tuple(dict.fromkeys(mark.partition("@")[0] for mark in talk.heard))
    every = {c: policies.notices.delivery(c).repeat_interval for c in heard}
    due = {
        c: max(talk.repeated.get(c, first), talk.last_at or first) + every[c]
        for c in heard
        if every[c]
    }
    if not due:
        return recovery, None
    if recovery.phase not in (RecoveryPhase.Stalled, RecoveryPhase.Suppressed):
        return recovery, max(
            min(due.values()), now + timedelta(minutes=1)
        )  # at work on it: that is no time for reminders
    late = tuple(c for c, at in due.items() if at <= now)
    if late:
        note = _still(recovery, f"{REPEAT}{talk.repeats + 1}", now, severity, late)
        talk = structs.replace(
            talk, repeats=talk.repeats + 1, repeated={**talk.repeated, **dict.fromkeys(late, now)}
        )
        recovery = structs.replace(recovery.with_notes(note), talk=talk)
        due |= {c: now + every[c] for c in late}
    return recovery, min(due.values())


def _loudest(recovery: Recovery, policies: Policies) -> str:
    policy = next((p for p in policies.policies if p.name == recovery.policy), None)
    wanted = Severity.critical if recovery.escalated or policy is None else policy.severity
    return loudness(recovery.cause, wanted.value)


def _still(
    recovery: Recovery, key: str, now: datetime, severity: str, channels: tuple[str, ...]
) -> PendingNotification:
    ill = spell(now - (recovery.unhealthy_since or recovery.opened_at))
    title = f"{recovery.subject}: still unhealthy after {ill}"
    body = f"{recovery.phase.value} ({recovery.reason}): {recovery.message}"
    body += f"\nSee: recovery explain {shell(recovery.subject)}\nRecord: {recovery.name}"
    return PendingNotification(f"{recovery.name}/{key}", title, body, severity, channels)


def said(recovery: Recovery, news: News, now: datetime) -> Recovery:
    """The same with what became of its messages."""
    talk = recovery.talk
    if news.heard:
        talk = structs.replace(
            talk,
            heard=tuple(dict.fromkeys((*talk.heard, *news.heard))),
            first_at=talk.first_at or now,
        )
    if any(not key.startswith(f"{recovery.name}/{REPEAT}") for key in news.reached):
        talk = structs.replace(talk, last_at=now)
    if news.threads:
        talk = structs.replace(talk, threads={**talk.threads, **news.threads})
    if news.undelivered:
        talk = structs.replace(
            talk,
            undelivered=tuple(dict.fromkeys((*talk.undelivered, *news.undelivered)))[-UNDELIVERED:],
        )
    notes = tuple(
        structs.replace(n, reached=tuple(dict.fromkeys((*n.reached, *news.reached.get(n.key, ())))))
        for n in recovery.notes
        if n.key not in news.struck
    )
    return structs.replace(recovery, talk=talk, notes=notes)
