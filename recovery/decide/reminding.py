"""What is still owed to people while a recovery lasts: the next ones of an escalation, and a reminder."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct, structs

from recovery.decide.routing import About, route_of
from recovery.model.duration import spell
from recovery.model.policy import Policies, Severity
from recovery.model.recovery import Note, Recovery, RecoveryPhase

_CURED = (RecoveryPhase.Verifying, RecoveryPhase.Resolved, RecoveryPhase.Superseded)
UNDELIVERED = 10


class News(Struct, frozen=True):
    """What became of a recovery's messages since it was last written down."""

    struck: frozenset[str] = frozenset()
    """Keys of messages that need no more."""
    reached: dict[str, tuple[str, ...]] = {}
    """By key: channels that have it."""
    marks: tuple[str, ...] = ()
    """Channels that took it as part of an incident of many: ``pagerduty@KEY``."""
    threads: dict[str, str] = {}
    undelivered: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.struck or self.reached or self.undelivered)


def remind(recovery: Recovery, about: About, policies: Policies, now: datetime) -> tuple[Recovery, datetime | None]:
    """The same with what is due to be said, and when to look again (None: nothing more will be due)."""
    talk, first = recovery.talk, recovery.talk.first_at
    if recovery.phase.over or first is None:
        return recovery, None
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
    heard = tuple(dict.fromkeys(mark.partition("@")[0] for mark in talk.heard))
    every = {c: policies.notices.delivery(c).repeat_interval for c in heard}
    spoken = [c for c in heard if every[c]]
    if spoken and recovery.phase in (RecoveryPhase.Stalled, RecoveryPhase.Suppressed):
        at = (talk.last_at or first) + min(every[c] for c in spoken)
        if at <= now:
            note = _still(recovery, f"repeat/{talk.repeats + 1}", now, severity, tuple(spoken))
            talk = structs.replace(recovery.talk, repeats=talk.repeats + 1, last_at=now)
            recovery = structs.replace(recovery.with_notes(note), talk=talk)
            at = now + min(every[c] for c in spoken)
        dues.append(at)
    return recovery, min(dues, default=None)


def _loudest(recovery: Recovery, policies: Policies) -> str:
    policy = next((p for p in policies.policies if p.name == recovery.policy), None)
    if recovery.escalated or policy is None:
        return Severity.critical.value
    return policy.severity.value


def _still(recovery: Recovery, key: str, now: datetime, severity: str, channels: tuple[str, ...]) -> Note:
    ill = spell(now - (recovery.ill_since or recovery.opened_at))
    title = f"{recovery.subject}: still ill after {ill}"
    body = f"{recovery.phase.value} ({recovery.reason}): {recovery.message}"
    body += f"\nSee: recovery explain {recovery.subject}\nRecord: {recovery.name}"
    return Note(f"{recovery.name}/{key}", title, body, severity, channels)


def said(recovery: Recovery, news: News, now: datetime) -> Recovery:
    """The same with what became of its messages."""
    talk = recovery.talk
    reached = {channel for channels in news.reached.values() for channel in channels}
    heard = tuple(dict.fromkeys((*talk.heard, *news.marks, *(c for c in sorted(reached) if c not in _names(news.marks)))))
    if reached or news.marks:
        talk = structs.replace(talk, heard=heard, first_at=talk.first_at or now, last_at=now)
    if news.threads:
        talk = structs.replace(talk, threads={**news.threads, **talk.threads})
    if news.undelivered:
        talk = structs.replace(talk, undelivered=tuple(dict.fromkeys((*talk.undelivered, *news.undelivered)))[-UNDELIVERED:])
    notes = tuple(
        structs.replace(n, reached=tuple(dict.fromkeys((*n.reached, *news.reached.get(n.key, ())))))
        for n in recovery.notes
        if n.key not in news.struck
    )
    return structs.replace(recovery, talk=talk, notes=notes)


def _names(marks: tuple[str, ...]) -> set[str]:
    return {mark.partition("@")[0] for mark in marks}
