"""A recovery that does not go on: its subject, its policy or the need for it is gone, or nobody
knows how the subject is."""

from __future__ import annotations

from datetime import timedelta

from msgspec import structs

from recovery.decide.attempt import supersede, suppress
from recovery.decide.evaluation import Evaluation
from recovery.decide.guards import Refusal
from recovery.decide.reconciled import RECONCILE_SKIPPED
from recovery.model.decision import Decision, Kind

UNRECONCILED_AGAIN = timedelta(minutes=5)
"""How soon it is asked again whether Argo CD reconciles it."""


def subject_replaced(e: Evaluation) -> Decision:
    """Close it: the object that it was for is gone."""
    message = f"the {e.situation.about.key.kind} was deleted and recreated"
    return supersede(e.recorded, "SubjectReplaced", message, e.situation.now)


def policy_removed(e: Evaluation) -> Decision:
    """Close it: nobody asks for it any more."""
    message = f"policy {e.policy.name} is no longer in force"
    return supersede(e.recorded, "PolicyRemoved", message, e.situation.now)


def not_selected(e: Evaluation) -> Decision:
    """Close it: the policy does not want this subject any more."""
    message = f"policy {e.policy.name} no longer selects it"
    return supersede(e.recorded, "NotSelected", message, e.situation.now)


def not_reconciled(e: Evaluation) -> Decision:
    """Hold it back: nothing is read from its status, so that nothing is known and nothing is
    done."""
    situation, message = e.situation, e.situation.unreconciled
    if e.recovery is None:
        again = situation.now + UNRECONCILED_AGAIN
        return Decision(
            Kind.Suppress, e.policy.name, RECONCILE_SKIPPED, message, again, by=RECONCILE_SKIPPED
        )
    no = Refusal(
        RECONCILE_SKIPPED,
        message,
        UNRECONCILED_AGAIN,
        keeps=True,
        tells=True,
        tells_after=timedelta(),
    )
    return suppress(situation, e.policy, e.recovery, no)


def preempted(e: Evaluation) -> Decision:
    """Close it: it has done nothing yet, and must not keep a second illness from being cured."""
    now = e.situation.now
    message = f"suppressed before its first step; superseded by policy {e.preempted_by}"
    closed = supersede(e.recorded, "Preempted", message, now)
    return structs.replace(closed, again_at=now)
