"""The subject is healthy again: the cure has to last, and what is owed is done before the end."""

from __future__ import annotations

from msgspec import structs

from recovery.decide.attempt import ended, resolve
from recovery.decide.evaluation import Evaluation, sent_after_all
from recovery.decide.failover_followups import aftercare
from recovery.decide.operations import WITHDRAW
from recovery.decide.running_step import leaves_a_trace
from recovery.model.decision import Decision, Kind
from recovery.model.duration import spell
from recovery.model.recovery import RecoveryPhase, StepOutcome


def recovering(e: Evaluation) -> Decision:
    """End the step under way and wait until the cure has lasted for ``healthy_delay``."""
    recovery, policy, now = e.open, e.policy, e.situation.now
    since = recovery.healthy_since or now
    if (record := e.running) is not None:
        if not record.sent and leaves_a_trace(e, record):
            record, recovery = sent_after_all(recovery, record, e.step)
        taken_back = record.stage == WITHDRAW and record.reason == "Withdrawn"
        reason = "NotStarted" if taken_back else "Recovered"
        recovery = recovery.with_last(
            ended(record, StepOutcome.Succeeded, reason, f"{policy.condition} no longer", now)
        )
    message = (
        f"no longer {policy.condition} since {since:%H:%M:%S} UTC; must stay so for"
        f" {spell(policy.healthy_delay)}"
    )
    recovery = structs.replace(
        recovery, phase=RecoveryPhase.Verifying, reason="Verifying", message=message
    )
    until = since + policy.healthy_delay
    return Decision(Kind.Wait, policy.name, "Verifying", message, until, recovery=recovery)


def recovered(e: Evaluation) -> Decision:
    """Do what is still owed, one thing after the other; then resolve it."""
    followup = aftercare(e.situation, e.policy, e.open)
    return followup or resolve(e.situation, e.policy, e.open, e.actions)
