"""What people are told, in words: what, where, since when, why, what was done, what is next, how to stop it."""

from __future__ import annotations

from datetime import datetime

from recovery.decide.guards import MANY_INHERITED
from recovery.model.application import Application, short
from recovery.model.duration import spell
from recovery.model.policy import Policy, Severity
from recovery.model.recovery import Note, Recovery, StepOutcome, StepRecord
from recovery.model.situation import Situation

EVIDENCE = 15_000
"""Characters of evidence a Recovery keeps: it has to stay a small object."""
EVERYWHERE = "default"
"""Stands for defaults.channels among those that were told."""


def place(app: Application) -> str:
    """``shop/cart (prod-eu)``."""
    return f"{app.key} ({app.destination.cluster})" if app.destination.cluster else str(app.key)


def state(app: Application) -> str:
    """``OutOfSync and Degraded at 9f2c1aa``."""
    return f"{app.sync.value} and {app.health.value} at {short(app.revisions)}"


def done(recovery: Recovery) -> str:
    """What was tried in this attempt, one clause a step."""
    clauses = []
    for step in recovery.in_attempt():
        if step.outcome and step.reason != "Told":
            target = f" {targets(step)}" if step.targets else ""
            why = f" ({step.message})" if step.message and step.outcome is not StepOutcome.Succeeded else ""
            clauses.append(f"{step.action}{target} {step.outcome.value}{why}")
    return "; ".join(clauses) or "nothing yet"


def targets(step: StepRecord) -> str:
    """What a step touched, for people: ``Deployment/cart`` for apps/v1/Deployment/shop/cart."""
    return ", ".join("/".join(t.split("/")[2::2]) if t.count("/") == 4 else t for t in step.targets)


def noted(
    situation: Situation,
    policy: Policy,
    recovery: Recovery,
    *,
    severity: str,
    channels: tuple[str, ...],
    words: str = "",
) -> Note:
    """A ``notify`` step's message, at its place in an attempt that has not cured it."""
    app = situation.subject
    last = recovery.attempt >= recovery.limit
    tail = f"; attempt {recovery.attempt} of {recovery.limit}" + (", the last one" if last else ", another follows")
    body = f"{words}\n" if words else ""
    body += f"{state(app)} since {_clock(recovery)}. Tried: {done(recovery)}{tail}. {_why(app)}{_held(app)}{_stop(recovery)}"
    key = f"{recovery.name}/{recovery.attempt}/{len(recovery.in_attempt())}"
    return Note(key, f"{place(app)}: {policy.name}, not cured yet", body, severity, channels)


def escalated(situation: Situation, recovery: Recovery, *, severity: str, channels: tuple[str, ...]) -> Note:
    """A person is needed."""
    app = situation.subject
    body = f"{state(app)} since {_clock(recovery)}. Attempt {recovery.attempt} of {recovery.limit}. Tried: {done(recovery)}. {_why(app)}"
    body += "\nEvidence:\n" + "\n".join(f"- {line}" for line in recovery.evidence[:12]) if recovery.evidence else ""
    return Note(
        f"{recovery.name}/escalate",
        f"{place(app)} needs a person",
        body + _held(app) + _stop(recovery),
        severity,
        channels,
    )


def acted(situation: Situation, recovery: Recovery, words: str) -> Note:
    """Something destructive was done; told to everyone whatever the policy says."""
    step = recovery.running
    key = f"{recovery.name}/{step.attempt}.{step.index}{step.stage}" if step else recovery.name
    body = f"{words}\nBecause it was {recovery.message or state(situation.subject)}.{_held(situation.subject)}{_stop(recovery)}"
    return Note(key, f"{place(situation.subject)}: {words}", body)


def resolved(situation: Situation, recovery: Recovery, channels: tuple[str, ...]) -> Note:
    """It is over, and how."""
    app = situation.subject
    cure = next((s for s in reversed(recovery.steps) if s.outcome is StepOutcome.Succeeded and s.reason != "Told"), None)
    by = f"after {_did(cure)}" if cure else "by itself"
    took = spell(situation.now - (recovery.ill_since or recovery.opened_at))
    title = f"{place(app)} recovered {by}"
    body = f"{state(app)}; it was ill for {took}. Tried: {done(recovery)}."
    body += _held(app)
    return Note(f"{recovery.name}/resolve/{situation.now:%Y%m%dT%H%M%S}", title, body, Severity.info.value, channels, resolves=True)


def held_back(situation: Situation, recovery: Recovery, by: str, message: str, channels: tuple[str, ...]) -> Note:
    """Held back by a guard for half an hour."""
    title = f"{place(situation.subject)} is not being recovered"
    body = f"{state(situation.subject)} since {_clock(recovery)}; suppressed by {by}: {message}{_stop(recovery)}"
    return Note(
        f"{recovery.name}/suppressed/{recovery.suppressed_since or situation.now:%Y%m%dT%H%M%S}",
        title,
        body,
        Severity.warning.value,
        channels,
    )


def still_held(app: Application, now: datetime) -> Note | None:
    """A day's reminder of an open hold, with the command that ends it; None on its first day."""
    hold = app.hold
    days = (now - hold.since).days if hold and hold.since else 0
    if hold is None or days < 1:
        return None
    body = f"{state(app)}.{_held(app)}\nRecord: {hold.recovery}"
    return Note(f"{app.uid}/held/{hold.recovery}/{days}", f"{place(app)} has been held back for {days} days", body, Severity.warning.value)


def gave_back(app: Application, words: str) -> Note:
    """A hold ended."""
    return Note(
        f"{app.uid}/release/{short(app.revisions)}",
        f"{place(app)}: {words}",
        f"{state(app)}. {words}.",
        Severity.info.value,
    )


def evidence(app: Application) -> tuple[str, ...]:
    """What it looked like before the first step, for starting an operation erases the last one's result."""
    lines = [
        f"status: {state(app)}, deployed {short(app.deployed)}" + (f" at {app.deployed_at:%Y-%m-%d %H:%M:%SZ}" if app.deployed_at else "")
    ]
    lines += [f"condition {c.type}: {c.message}" for c in app.conditions[:20]]
    if operation := app.operation:
        by = "auto-sync" if operation.automated else operation.username or "unknown"
        lines.append(f"operation {operation.phase.value} at {short(operation.revisions)} by {by}: {operation.message[:1000]}")
        lines += [f"resource: {failure}" for failure in operation.failures]
    kept: list[str] = []
    for line in lines[:50]:
        if sum(map(len, kept)) + len(line) > EVIDENCE:
            return (*kept, "... and more, left out for size")
        kept.append(line)
    return tuple(kept)


def _did(step: StepRecord) -> str:
    return f"{step.action} {targets(step)}".strip()


def _clock(recovery: Recovery) -> str:
    return f"{recovery.ill_since or recovery.opened_at:%H:%M} UTC"


def _why(app: Application) -> str:
    errors = [f"{c.type}: {c.message[:240]}" for c in app.conditions if c.type.endswith("Error")]
    operation = app.operation
    if not errors and operation and operation.phase.over and operation.message:
        errors = [operation.failures[0] if operation.failures else operation.message[:240]]
    return f"Argo CD says: {errors[0]}." if errors else ""


def _held(app: Application) -> str:
    if app.hold is None:
        return ""
    off = "Auto-sync is OFF" if app.hold.suspended else "It is held back"
    return f"\n{off} until a commit after {app.hold.bad[0][:7]}. Undo: recovery release {app.key}"


def _stop(recovery: Recovery) -> str:
    subject = recovery.subject
    return (
        f"\nStop it: kubectl -n {subject.namespace} annotate application {subject.name} recovery.gitops.dev/paused=true"
        f"\nRecord: {recovery.name}"
    )


def adoption_digest(unwell: list[Application]) -> Note | None:
    """What was unwell before we came, by state and project; None when there was nothing."""
    if not unwell:
        return None
    groups: dict[str, int] = {}
    for app in unwell:
        group = f"{app.sync.value} and {app.health.value} in project {app.project or '(none)'}"
        groups[group] = groups.get(group, 0) + 1
    lines = [f"{count} {group}" for group, count in sorted(groups.items(), key=lambda g: -g[1])[:20]]
    careful = (
        "They are left alone; `recovery adopt` takes them on."
        if len(unwell) > MANY_INHERITED
        else "They are recovered, but not rolled back or pruned."
    )
    body = "Unwell before this controller came:\n" + "\n".join(f"- {line}" for line in lines) + f"\n{careful}"
    return Note(
        f"adoption/{len(unwell)}/{unwell[0].uid}",
        f"{len(unwell)} applications were unwell before",
        body,
        Severity.info.value,
    )
