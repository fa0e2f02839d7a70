"""One audit line for every change of a decision and every effect; Events and metrics beside it."""

from __future__ import annotations

from typing import Protocol

import structlog
from msgspec import Struct

from recovery.model.application import Application
from recovery.model.cause import Diagnosis
from recovery.model.decision import Decision, Kind, Outcome
from recovery.model.names import SubjectKey
from recovery.model.recovery import Recovery, RecoveryPhase, StepOutcome
from recovery.model.situation import HealthyRevision, Situation
from recovery.record.codec import API_VERSION
from recovery.record.events import Events
from recovery.record.metrics import Metrics
from recovery.record.tracing import Traces

log = structlog.get_logger("audit")
AUDIT_VERSION = 1
"""Of the audit line."""


class States(Protocol):
    """Writes what changed in the state of an application."""

    def note(
        self,
        app: Application,
        finding: Diagnosis | None,
        good: HealthyRevision | None,
        ignored: str,
    ) -> None:
        """One pass has seen this application so; ``good`` is its newest deploy that worked."""

    def gone(self, key: SubjectKey) -> None:
        """Write that it is deleted, which is certain."""


class Entry(Struct, frozen=True):
    """The last decision on a subject by one policy."""

    kind: str
    policy: str
    reason: str
    by: str
    message: str
    again_at: str
    recovery: str


class Journal:
    """Remembers the newest decision for each subject that is not at rest, so that only changes are
    written."""

    def __init__(
        self,
        metrics: Metrics,
        events: Events,
        traces: Traces,
        states: States,
        namespace: str,
        enabled: bool,
    ) -> None:
        self._metrics = metrics
        self._events = events
        self._traces = traces
        self._states = states
        self._namespace = namespace
        self._enabled = enabled
        self.latest: dict[SubjectKey, tuple[Entry, ...]] = {}
        self.generation = 0
        """Another one after every change."""

    def note(self, key: SubjectKey, decisions: tuple[Decision, ...], *, ours: bool) -> None:
        """The decisions of one pass; what is another replica's to carry out is remembered and not
        written down."""
        entries = tuple(_entry(d) for d in decisions)
        before = self.latest.get(key, ())
        self.generation += entries != before
        if entries:
            self.latest[key] = entries
        else:
            self.latest.pop(key, None)
        if not ours:
            return
        known = {(e.policy, e.kind, e.reason, e.by) for e in before}
        for decision, entry in zip(decisions, entries, strict=True):
            if (entry.policy, entry.kind, entry.reason, entry.by) in known:
                continue
            hashed = decision.recovery.policy_hash if decision.recovery else ""
            self._metrics.decisions.labels(entry.policy, entry.kind, entry.reason).inc()
            told = {
                "policy": entry.policy,
                "policy_hash": hashed,
                "decision": entry.kind,
                "reason": entry.reason,
                "by": entry.by,
            }
            told |= {
                "message": entry.message,
                "recovery": entry.recovery,
                "again_at": entry.again_at,
            }
            log.info("decision", audit=AUDIT_VERSION, subject=str(key), **told)
        if before and not entries:
            told = {
                "decision": Kind.Rest.value,
                "reason": "Well",
                "message": "no condition holds any more",
            }
            log.info("decision", audit=AUDIT_VERSION, subject=str(key), **told)

    def seen(self, key: SubjectKey, situation: Situation | None) -> None:
        """The state of a subject of ours in one pass; None: it is certain that it is not there."""
        if key.kind != "application":
            return
        try:
            if situation is None:
                self._states.gone(key)
            elif isinstance(situation.about, Application):
                ignored = situation.unreconciled or situation.foreign
                good = situation.sight.ledger[-1] if situation.sight.ledger else None
                self._states.note(situation.about, situation.finding, good, ignored)
        except Exception:
            log.exception("its state is not recorded", subject=str(key))

    def effect(
        self, key: SubjectKey, decision: Decision, outcome: Outcome, recovery: Recovery | None
    ) -> None:
        """One effect that went to a door, and what the door said."""
        action = decision.step.kind.name if decision.step else ""
        self._metrics.writes.labels(action, outcome.result.value).inc()
        stage = recovery.running.stage if recovery and recovery.running else ""
        told = {
            "policy": decision.policy,
            "action": action,
            "step": str(decision.step),
            "stage": stage,
            "why": decision.message,
        }
        told |= {
            "result": outcome.result.value,
            "reason": outcome.reason,
            "message": outcome.message,
        }
        name = recovery.name if recovery else ""
        log.info(
            "effect",
            audit=AUDIT_VERSION,
            subject=str(key),
            recovery=name,
            targets=list(outcome.targets),
            **told,
        )

    def transition(
        self, app: Application | None, before: Recovery | None, after: Recovery | None
    ) -> None:
        """Events and metrics of what changed in a recovery."""
        if after is None:
            return
        old = {(s.attempt, s.index): s.outcome for s in before.steps} if before else {}
        for step in after.steps:
            if step.outcome is not None and old.get((step.attempt, step.index)) is None:
                self._metrics.steps.labels(
                    after.policy, step.action, step.outcome.value, step.reason
                ).inc()
                words = (
                    f"{step.action}: {step.outcome.value} ({step.reason}) {step.message}".strip()
                )
                self._emit(
                    app,
                    after,
                    f"Step{step.outcome.value}",
                    words,
                    warning=step.outcome in (StepOutcome.Failed, StepOutcome.TimedOut),
                )
        moved = before is None or (before.phase, before.reason, before.attempt) != (
            after.phase,
            after.reason,
            after.attempt,
        )
        stepped = (
            before is not None
            and len(before.steps) != len(after.steps)
            and after.running is not None
        )
        if moved or stepped:
            warning = after.phase in (
                RecoveryPhase.Stalled,
                RecoveryPhase.Suppressed,
                RecoveryPhase.BackingOff,
            )
            self._emit(app, after, f"Recovery{after.phase.value}", after.message, warning=warning)
        if after.phase.over and (before is None or not before.phase.over):
            self._traces.ended(after)
        resolved = after.phase is RecoveryPhase.Resolved and (
            before is None or before.phase is not RecoveryPhase.Resolved
        )
        if resolved and after.resolved_at:
            began = after.unhealthy_since or after.opened_at
            self._metrics.recovered.labels(after.policy).observe(
                (after.resolved_at - began).total_seconds()
            )

    def _emit(
        self,
        app: Application | None,
        recovery: Recovery,
        reason: str,
        message: str,
        *,
        warning: bool,
    ) -> None:
        mine = {
            "apiVersion": API_VERSION,
            "kind": "Recovery",
            "namespace": self._namespace,
            "name": recovery.name,
        }
        action = recovery.steps[-1].action if recovery.steps else "recover"
        if app is None:
            self._events.emit(mine, reason, message, action=action, warning=warning)
            return
        theirs = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "namespace": app.namespace,
            "name": app.name,
            "uid": app.uid,
        }
        self._events.emit(mine, reason, message, action=action, related=theirs, warning=warning)
        # Switched off, nothing outside our own namespace is written.
        if self._enabled:
            note = f"[{recovery.name}] {message}"
            self._events.emit(theirs, reason, note, action=action, related=mine, warning=warning)


def _entry(decision: Decision) -> Entry:
    at = f"{decision.again_at:%Y-%m-%dT%H:%M:%SZ}" if decision.again_at else ""
    name = decision.recovery.name if decision.recovery else ""
    return Entry(
        decision.kind.value,
        decision.policy,
        decision.reason,
        decision.by,
        decision.message,
        at,
        name,
    )
