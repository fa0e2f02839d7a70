"""A note and its recovery to a message: facts, links, and people's own words where they gave
any."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

import structlog
from msgspec import structs

from recovery.model.duration import spell
from recovery.model.message import Message, fitted
from recovery.model.notification_config import Links, MessageTemplates
from recovery.model.policy import LOUDEST_FIRST
from recovery.model.recovery import PendingNotification, Recovery, RecoveryPhase
from recovery.model.redact import redact
from recovery.model.text import shell
from recovery.policies import templates

log = structlog.get_logger(__name__)
_CAUSE = "Unknown"
WHOLE, LONGEST_BODY = 100_000, 12_000
"""Characters of a note that are read, and of a message's body; what is left out between them is
evidence."""


def compose(
    note: PendingNotification, recovery: Recovery | None, words: MessageTemplates, now: datetime
) -> Message:
    """Everything a channel may show. A template that fails leaves our own words."""
    title, body = redact(note.title, 300), redact(note.body, WHOLE, lines=True)
    message = fitted(
        Message(note.key, note.incident, title, body, note.severity, note.resolves, at=now),
        LONGEST_BODY,
    )
    if recovery is not None:
        facts, links = _facts(recovery, now), tuple(links_of(recovery, words.links))
        message = structs.replace(message, facts=facts, links=links, subject=recovery.subject.key)
    if words.title or words.body:
        known = _known(message, recovery)
        title, body = (_said(words.title, known) or title).strip(), _said(words.body, known) or body
        message = structs.replace(
            message, title=redact(title, 300), body=redact(body, LONGEST_BODY, lines=True)
        )
    return message


def digest(messages: Sequence[Message], incident: str) -> Message:
    """Many in one: how many, the loudest and newest of them by name."""
    last = {m.incident: m for m in messages}
    over = [m for m in last.values() if m.resolves]
    ill = [m for m in last.values() if not m.resolves]
    ill.sort(key=lambda m: _loudness(m.severity, len(LOUDEST_FIRST)))
    counts = ", ".join(
        part
        for part in (
            f"{len(ill)} unhealthy" if ill else "",
            f"{len(over)} recovered" if over else "",
        )
        if part
    )
    shown = [f"- {m.title}" for m in (*ill, *over)[:20]]
    more = [f"- ... and {len(last) - 20} more: recovery status"] if len(last) > 20 else []
    loudest = ill[0].severity if ill else "info"
    keys = tuple(m.key for m in messages)
    title = f"{len(last)} incidents: {counts}"
    return Message(
        f"digest/{keys[0]}",
        incident,
        title,
        "\n".join((*shown, *more)),
        loudest,
        not ill,
        at=messages[-1].at,
        members=keys,
    )


def merged(messages: Sequence[Message]) -> Message:
    """Several of one incident, said at once: the newest, with what came before it."""
    newest = messages[-1]
    if len(messages) == 1:
        return newest
    before = "\n".join(f"- {m.title}" for m in messages[:-1])
    least = len(LOUDEST_FIRST) - 1
    loudest = (
        newest.severity
        if newest.resolves
        else min((m.severity for m in messages), key=lambda s: _loudness(s, least))
    )
    body = f"{newest.body}\n\nBefore that:\n{before}"
    return structs.replace(
        newest, body=body, severity=loudest, members=tuple(m.key for m in messages)
    )


def _loudness(severity: str, unknown: int) -> int:
    """Rank of a severity from the loudest on; ``unknown`` for a word that is no severity."""
    return LOUDEST_FIRST.index(severity) if severity in LOUDEST_FIRST else unknown


def next_of(recovery: Recovery) -> str:
    """Next step, by itself or by people."""
    at = f" at {recovery.next_attempt_at:%H:%M:%S} UTC" if recovery.next_attempt_at else ""
    match recovery.phase:
        case RecoveryPhase.Stalled:
            return (
                "nothing is tried any more: manual intervention required; then `recovery reset"
                f" {shell(recovery.name)}`"
            )
        case RecoveryPhase.BackingOff:
            number = f"{recovery.attempt + 1} of {recovery.max_attempts}"
            return f"attempt {number}{at}, if it is still unhealthy"
        case RecoveryPhase.Suppressed:
            return (
                f"suppressed until the reason is gone; next check{at}"
                if at
                else "suppressed until the reason is gone"
            )
        case RecoveryPhase.Verifying:
            return "verifying that it stays healthy"
        case RecoveryPhase.Remediating:
            return (
                f"waits for what {recovery.running.action} does"
                if recovery.running
                else "the next step"
            )
        case _:
            return ""


def _facts(recovery: Recovery, now: datetime) -> tuple[tuple[str, str], ...]:
    subject = recovery.subject
    since = recovery.unhealthy_since or recovery.opened_at
    attempt = (
        f"{recovery.attempt} of {recovery.max_attempts}"
        if recovery.attempt and recovery.max_attempts
        else ""
    )
    return tuple(
        (name, value)
        for name, value in (
            ("Subject", str(subject)),
            ("Cluster", subject.cluster),
            ("Project", subject.project),
            ("Policy", recovery.policy),
            ("Cause", recovery.cause),
            ("Since", f"{since:%Y-%m-%d %H:%M:%S} UTC ({spell(now - since)} ago)"),
            ("Attempt", attempt),
            ("Next", next_of(recovery)),
        )
        if value
    )


def links_of(recovery: Recovery, links: Links) -> list[tuple[str, str]]:
    """Name and address of each place that says more: this page, Argo CD, the runbook, as far as the
    policies give them."""
    subject, found = recovery.subject, []
    if links.page:
        found.append(("Page", f"{links.page.rstrip('/')}/recoveries/{quote(recovery.name)}"))
    if links.argocd and subject.kind == "Application":
        found.append(
            (
                "Argo CD",
                f"{links.argocd.rstrip('/')}/applications/{quote(subject.namespace)}/{quote(subject.name)}",
            )
        )
    if links.runbook:
        known = {
            "cause": recovery.cause or _CAUSE,
            "policy": recovery.policy,
            "project": subject.project,
            "name": subject.name,
        }
        address = links.runbook
        for name, value in known.items():
            address = address.replace("{" + name + "}", quote(value, safe=""))
        found.append(("Runbook", address))
    return found


def _known(message: Message, recovery: Recovery | None) -> dict[str, object]:
    """Variables of a template: every name of SAMPLE."""
    known: dict[str, object] = dict.fromkeys(templates.SAMPLE, "")
    known |= {
        "title": message.title,
        "body": message.body,
        "severity": message.severity,
        "resolves": message.resolves,
    }
    known |= {"facts": dict(message.facts), "links": dict(message.links), "attempt": 0, "limit": 0}
    if recovery is not None:
        subject = recovery.subject
        known |= {
            "subject": str(subject),
            "namespace": subject.namespace,
            "name": subject.name,
            "kind": subject.kind,
        }
        known |= {
            "project": subject.project,
            "cluster": subject.cluster,
            "policy": recovery.policy,
            "cause": recovery.cause,
        }
        known |= {
            "phase": recovery.phase.value,
            "reason": recovery.reason,
            "message": recovery.message,
            "record": recovery.name,
        }
        known |= {"attempt": recovery.attempt, "limit": recovery.max_attempts}
        known["since"] = f"{recovery.unhealthy_since or recovery.opened_at:%Y-%m-%dT%H:%M:%SZ}"
    return known


def _said(template: str, known: dict[str, object]) -> str:
    if not template:
        return ""
    try:
        return templates.render(template, known)
    except templates.BadTemplate as error:
        log.warning("a message template failed; our own words are used", why=str(error))
        return ""
