"""States of a policy and its subject, and how it is told which one is the case.

Read ``State`` first, then ``determine``: it writes nothing. What is done in a state stands in
``transitions.TRANSITIONS``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from typing import assert_never

from recovery.decide.attempt import NO_REMEDY, remedy_left
from recovery.decide.evaluation import Evaluation
from recovery.decide.fingerprint import fingerprint
from recovery.decide.guards import REMEDY_FORBIDDEN
from recovery.decide.opening import relapse_of
from recovery.decide.requests import requested
from recovery.decide.running_step import no_longer_fits, retry_at
from recovery.model.action import Progress
from recovery.model.application import Application
from recovery.model.move import RelocationPhase
from recovery.model.recovery import RecoveryPhase

SETTLES_WITHIN = timedelta(minutes=5)
"""Argo CD goes on writing about a failure for a while (retries, conditions): until then its picture
is only taken."""
REOPEN_AFTER = timedelta(hours=1)
"""A stalled recovery reopens for a new failure at most this often."""
CHRONIC = 3
"""Stalls within CHRONIC_WITHIN that make a subject chronic: it is left to people."""
CHRONIC_WITHIN = timedelta(days=7)


class State(Enum):
    """The case of one policy and one subject. The value is the line that the documentation has."""

    ConditionNotMet = "the policy's condition does not hold, or it does not select the subject"
    Pending = "the condition holds, and not yet for its duration"
    RecoveredByAnother = "another policy already recovers the subject"
    Due = "the condition has held for its duration"
    OrphansFound = "applications run outside their home cluster, and no recovery knows of them"
    Relapsed = "it is due again within reset_after of the last recovery"

    SubjectReplaced = "the subject was deleted and created anew"
    PolicyRemoved = "the policy is no longer in force"
    NotSelected = "the policy no longer selects the subject"
    NotReconciled = "Argo CD does not reconcile the application, by design"
    Preempted = "nothing was done yet and it is held back, while another policy may act"

    Recovering = "the condition no longer holds, and not yet for healthy_delay"
    BackWhileAway = "the cluster answers again, and applications still run elsewhere"
    Recovered = "the condition has not held for healthy_delay"

    ActionsUnreadable = "the actions of the running attempt can no longer be read"
    StepInProgress = "the step's effect is still to show"
    StepWriteDue = "the step's next write is due, or one that may not have gone out"
    StepWritePaused = "nobody knows whether a write went out, and it is too early to repeat it"
    StepNoLongerFits = "what the step was for is no longer so"
    StepNotExecuted = "the step could not be written in time"
    StepTimedOut = "the step's effect did not show in time"
    StepSucceeded = "the step's effect is there"
    StepFailed = "the step's effect is known to have failed"
    StepSuperseded = "somebody else acted in between"

    StayRequested = "a person lets the applications stay where they were moved to"
    LostOnTheWayHome = "the cluster failed again while applications were moved back to it"
    Away = "applications run elsewhere, and the cluster is still down"

    CauseChanged = "the cause it was held back or left to people for is another one"
    RemedyFound = "no remedy was left, and now there is one"
    ResetRequested = "a person had it start again"
    NoRemedyLeft = "the cause leaves nothing that the policy may do"
    FailureUnchanged = "it is left to people, and the failure is the same"
    FailureSettling = "it was left to people just now; Argo CD still writes about the failure"
    FailureChanged = "it is left to people, and the failure has become another one"
    FailureChangedEarly = "the same, less than an hour after it was left to people"
    Chronic = "it was left to people three times in seven days"

    BackingOff = "the pause before the next attempt is not over"
    BackoffOver = "the pause before the next attempt is over"
    StepDue = "the attempt's next step is due"


ENDS_THE_PASS = frozenset(
    {
        State.OrphansFound,
        State.SubjectReplaced,
        State.PolicyRemoved,
        State.NotSelected,
        State.NotReconciled,
        State.Preempted,
    }
)
"""With these, the other policies are asked with the next look only."""


def determine(e: Evaluation) -> State:
    """Say what is the case. Pure."""
    if e.recovery is None:
        return _without_recovery(e)
    if ended := _ended(e):
        return ended
    if e.running is not None and (e.unhealthy or (e.step is not None and e.step.kind.lasting)):
        return _of_step(e)
    if not e.unhealthy:
        return _healthy(e)
    return _failover(e) or _between_steps(e)


def _without_recovery(e: Evaluation) -> State:
    situation, policy = e.situation, e.policy
    since = situation.sight.clocks.get(policy.condition.symptom)
    if situation.unreconciled:
        return State.NotReconciled
    if not policy.selector.selects(situation.about):
        return State.ConditionNotMet
    adoptable = situation.orphans and not situation.recovery
    if adoptable and situation.freshness.fresh and situation.enabled:
        return State.OrphansFound
    if since is None:
        return State.ConditionNotMet
    if situation.now < since + policy.condition.duration:
        return State.Pending
    if e.recovered_by is not None:
        return State.RecoveredByAnother
    return State.Relapsed if relapse_of(situation, policy, since) else State.Due


def _ended(e: Evaluation) -> State | None:
    """States in which the recovery does not go on; what it owes is brought to an end all the
    same."""
    recovery, about = e.recovery, e.situation.about
    if recovery is None:
        return None
    if not recovery.owed:
        if recovery.subject.uid != about.uid:
            return State.SubjectReplaced
        if not e.in_force:
            return State.PolicyRemoved
        if not e.policy.selector.selects(about):
            return State.NotSelected
    if e.situation.unreconciled:
        return State.NotReconciled
    return State.Preempted if e.preempted_by else None


def _healthy(e: Evaluation) -> State:
    recovery, now = e.open, e.situation.now
    if e.running is not None:
        return State.Recovering
    if recovery.owed:
        return State.BackWhileAway
    lasted = now - (recovery.healthy_since or now) >= e.policy.healthy_delay
    return State.Recovered if lasted else State.Recovering


def _of_step(e: Evaluation) -> State:
    if e.step is None:
        return State.ActionsUnreadable
    running, now = e.under_way, e.situation.now
    progress = running.status.progress
    match progress:
        case Progress.Running | Progress.InDoubt:
            return State.StepInProgress if now < running.deadline else State.StepTimedOut
        case Progress.Again if e.situation.freshness.fresh and now >= running.write_deadline:
            return State.StepNotExecuted
        case Progress.Next | Progress.Again:
            if no_longer_fits(e, running):
                return State.StepNoLongerFits
            retry = retry_at(running)
            return State.StepWritePaused if retry and now < retry else State.StepWriteDue
        case Progress.Succeeded:
            return State.StepSucceeded
        case Progress.Failed:
            return State.StepFailed
        case Progress.Superseded:
            return State.StepSuperseded
        case _ as never:
            assert_never(never)


def _failover(e: Evaluation) -> State | None:
    """States of a cluster that is down while applications are away from it on its account."""
    recovery = e.open
    if not recovery.owed:
        return None
    if requested(recovery, "stay", e.situation.now) is not None:
        return State.StayRequested
    if recovery.phase not in (RecoveryPhase.Stalled, RecoveryPhase.Verifying):
        return None
    home = any(move.phase is RelocationPhase.Home for move in recovery.relocations)
    return State.LostOnTheWayHome if home and e.policy.actions else State.Away


def _between_steps(e: Evaluation) -> State:
    situation, recovery = e.situation, e.open
    match recovery.phase:
        case RecoveryPhase.Suppressed if _another_cause(e):
            return State.CauseChanged
        case RecoveryPhase.Stalled:
            return _stalled(e)
        case RecoveryPhase.BackingOff:
            due = recovery.next_attempt_at
            waits = due is not None and situation.now < due <= _latest(e)
            return State.BackingOff if waits else State.BackoffOver
        case _:
            return State.StepDue


def _stalled(e: Evaluation) -> State:
    situation, recovery = e.situation, e.open
    now = situation.now
    if _another_cause(e):
        return State.CauseChanged
    if recovery.reason == NO_REMEDY and remedy_left(situation, e.policy, recovery):
        return State.RemedyFound
    last = last_stall(e)
    asked = requested(recovery, "reset", now)
    if asked is not None and asked.at > last:
        return State.ResetRequested
    if recovery.reason == NO_REMEDY:
        return State.NoRemedyLeft
    # While an operation runs, Argo CD's words on the last one are gone: nothing can be said about
    # the failure.
    operating = isinstance(situation.about, Application) and situation.about.operating
    if operating or fingerprint(situation.about) == recovery.fingerprint:
        return State.FailureUnchanged
    if now < last + SETTLES_WITHIN:
        return State.FailureSettling
    if times_stalled(e) >= CHRONIC:
        return State.Chronic
    return State.FailureChangedEarly if now < last + REOPEN_AFTER else State.FailureChanged


def last_stall(e: Evaluation) -> datetime:
    """When it was last left to people; when it was opened, if never."""
    recovery = e.open
    return recovery.stalled_times[-1] if recovery.stalled_times else recovery.opened_at


def times_stalled(e: Evaluation) -> int:
    """How often the subject was left to people within CHRONIC_WITHIN."""
    return sum(
        e.situation.now - at <= CHRONIC_WITHIN
        for recovery in (*e.situation.past, e.open)
        for at in recovery.stalled_times
    )


def _another_cause(e: Evaluation) -> bool:
    """Was it held back, or left to people, for a cause that is no longer the cause?"""
    recovery, finding = e.open, e.situation.finding
    held = recovery.reason == REMEDY_FORBIDDEN and bool(recovery.cause)
    # That nobody can say any more why it is ill is no other cause.
    return (
        finding is not None
        and (held or recovery.reason == NO_REMEDY)
        and finding.what != recovery.cause
    )


def _latest(e: Evaluation) -> datetime:
    """No pause that is written down is longer than the policy's: one that ends later was written by
    a clock that was wrong."""
    pause = e.policy.backoff.pause(e.open.attempt)
    return e.situation.now + pause * 1.5 + timedelta(minutes=1)
