"""A step has been started: what became of it, and what follows."""

from __future__ import annotations

from datetime import timedelta

from msgspec import structs

from recovery.decide.attempt import (
    advance,
    away,
    begin,
    ended,
    remediate,
    supersede,
    suppress,
    uncounted,
)
from recovery.decide.circuit_breaker import compared
from recovery.decide.evaluation import Evaluation, RunningStep
from recovery.decide.failover_progress import PLAN_OUTDATED, given_up
from recovery.decide.guard_request import GuardRequest
from recovery.decide.guards import refusal
from recovery.decide.operations import claim_on
from recovery.decide.running_step import no_longer_fits, retry_at
from recovery.decide.transitions.transition import Act
from recovery.model.action import Progress, Skip
from recovery.model.decision import Decision, Kind, Result
from recovery.model.duration import spell
from recovery.model.recovery import Recovery, RecoveryPhase, StepOutcome, StepRecord


def actions_unreadable(e: Evaluation) -> Decision:
    """The policy has changed and the record no longer says what its steps were: what is away from
    home is still owed, and all else is superseded."""
    situation, recovery = e.situation, e.open
    if not recovery.owed:
        message = "the actions of this attempt can no longer be read"
        return supersede(recovery, "ActionsUnreadable", message, situation.now)
    message = "the start of this attempt can no longer be read"
    relocations = given_up(recovery.relocations, message)
    if e.running is not None:
        recovery = recovery.with_last(
            ended(e.running, StepOutcome.Failed, "ActionsUnreadable", message, situation.now)
        )
    return away(situation, e.policy, structs.replace(recovery, relocations=relocations))


def in_progress(e: Evaluation) -> Decision:
    """Wait for the effect until the step's deadline."""
    running, now = e.under_way, e.situation.now
    soon, message = running.status.soon, running.recovery.message
    again = min(running.deadline, now + soon) if soon else running.deadline
    if running.status.message:
        message += f"; {running.status.message}"
    recovery = structs.replace(running.recovery, phase=RecoveryPhase.Remediating)
    return Decision(Kind.Wait, e.policy.name, "Settling", message, again, recovery=recovery)


def timed_out(e: Evaluation) -> Decision:
    """End it without its effect; what it was moving stays where it is."""
    running = e.under_way
    record, status = running.record, running.status
    message = f"no effect within {spell(running.deadline - record.started_at)}" + (
        f": {status.message}" if status.message else ""
    )
    over = ended(record, StepOutcome.TimedOut, "TimedOut", message, e.situation.now)
    relocations = given_up(running.recovery.relocations, message[:200])
    return _after(e, structs.replace(running.recovery, relocations=relocations), over)


def not_executed(e: Evaluation) -> Decision:
    """End it: for as long as a write is tried, none has left a trace."""
    running, now = e.under_way, e.situation.now
    record = running.record
    message = (
        f"not executed within {spell(now - record.started_at)}:"
        f" {record.message or 'no trace of it in the cluster'}"
    )
    over = ended(record, StepOutcome.TimedOut, "NotExecuted", message, now)
    return _after(e, running.recovery, over)


def no_longer(e: Evaluation) -> Decision:
    """Leave the rest of it out, and say why."""
    running = e.under_way
    skip = no_longer_fits(e, running) or Skip("NoLongerFits", "")
    over = ended(running.record, StepOutcome.Skipped, skip.reason, skip.message, e.situation.now)
    return _after(e, running.recovery, over)


def done(outcome: StepOutcome) -> Act:
    """End it with this outcome, as the action says."""

    def act(e: Evaluation) -> Decision:
        running = e.under_way
        status = running.status
        over = ended(running.record, outcome, status.reason, status.message, e.situation.now)
        return _after(e, running.recovery, over)

    return act


def write_paused(e: Evaluation) -> Decision:
    """Wait until the write may be repeated."""
    running = e.under_way
    record, recovery = running.record, running.recovery
    message = record.message or recovery.message
    return Decision(
        Kind.Wait, e.policy.name, record.reason, message, retry_at(running), recovery=recovery
    )


def write_due(e: Evaluation) -> Decision:
    """Claim the step's next write, or the same one over because nobody knows whether it went
    out."""
    running, situation = e.under_way, e.situation
    recovery, step, status = running.recovery, running.step, running.status
    if no := refusal(GuardRequest(situation, e.policy, step, recovery)):
        return suppress(situation, e.policy, recovery, no)
    if status.relocations is not None:
        # Whose turn it is: saved with the claim, not before.
        recovery = structs.replace(recovery, relocations=status.relocations)
    claimed = _claimed(e, running, recovery)
    return remediate(situation, e.policy, recovery.with_last(claimed), step)


def _claimed(e: Evaluation, running: RunningStep, recovery: Recovery) -> StepRecord:
    record, step, now = running.record, running.step, e.situation.now
    goes_on = running.status.progress is Progress.Next
    stage = running.status.stage if goes_on else record.stage
    claim = claim_on(e.situation.about)
    if not goes_on:
        claim = structs.replace(record.claim, resource_version=claim.resource_version)
    # What is owed is what stood there when the first write was claimed, and no later write changes
    # that. Where nobody knows whether that write went out, its annotation may stand by now: only
    # after a refusal it is reckoned anew.
    known = bool(stage) or (record.owes is not None and record.reason != Result.Conflict.value)
    owes = record.owes if known else step.kind.owes(step, e.situation, recovery)
    return structs.replace(record, claim=claim, stage=stage, sent=False, claimed_at=now, owes=owes)


def _after(e: Evaluation, recovery: Recovery, over: StepRecord) -> Decision:
    """Decide what follows a step that has ended."""
    situation, policy = e.situation, e.policy
    over = compared(over, situation.about)
    if over.reason == PLAN_OUTDATED and not over.stage and not recovery.owed:
        # Nothing was tried: it is no attempt, and the next plan is of what there is by now.
        return begin(situation, policy, uncounted(recovery))
    recovery = recovery.with_last(over)
    if recovery.healthy_since is None:
        return advance(situation, policy, recovery, e.actions)
    # A lasting step came to its end while the subject was well: what is owed next is seen with the
    # next look.
    message = f"{e.actions[over.index].kind.name} finished: {over.message}"
    recovery = structs.replace(
        recovery, phase=RecoveryPhase.Verifying, reason="Verifying", message=message
    )
    soon = situation.now + timedelta(seconds=1)
    return Decision(Kind.Wait, policy.name, "Verifying", message, soon, recovery=recovery)
