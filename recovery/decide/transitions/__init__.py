"""Transitions of a recovery, by state: one table, and nothing else changes a recovery's phase.

The state diagram in the documentation is made from it, and the tests hold every decision of every
run against it.
"""

from __future__ import annotations

from collections.abc import Mapping

from recovery.decide.evaluation import Evaluation
from recovery.decide.state import State, determine
from recovery.decide.transitions import (
    between_steps,
    failover,
    healthy,
    overtaken,
    stalled,
    step,
    without_recovery,
)
from recovery.decide.transitions.transition import Transition
from recovery.model.decision import Decision
from recovery.model.recovery import RecoveryPhase as P
from recovery.model.recovery import StepOutcome

OPEN = frozenset({P.Remediating, P.Verifying, P.BackingOff, P.Suppressed, P.Stalled})
OPENS = frozenset({P.Remediating, P.Suppressed, P.BackingOff, P.Stalled})
"""Trying leads to a step, to a guard's no, to the pause after the last step, or to people."""
TRIES = OPENS | {P.Superseded}
"""The same of a recovery whose policy may be gone: it ends where nothing is left to undo."""
STEP = frozenset({P.Remediating, P.Suppressed})
"""A step is under way, or held back before its next write."""
ENDS = frozenset({P.Superseded})
LEFT_TO_PEOPLE = frozenset({P.Stalled})
VERIFYING = frozenset({P.Verifying})
AFTER_STEP = TRIES | VERIFYING
"""What follows a step that has ended: the next one, or, where the subject is healthy, the cure's
lasting."""

TRANSITIONS: Mapping[State, Transition] = {
    State.ConditionNotMet: Transition(without_recovery.not_met),
    State.Pending: Transition(without_recovery.pending),
    State.RecoveredByAnother: Transition(without_recovery.recovered_by_another),
    State.Due: Transition(without_recovery.due, leads_to=OPENS),
    State.OrphansFound: Transition(without_recovery.orphans_found, leads_to=LEFT_TO_PEOPLE),
    State.Relapsed: Transition(without_recovery.relapsed, leads_to=OPENS),
    State.SubjectReplaced: Transition(overtaken.subject_replaced, OPEN, ENDS),
    State.PolicyRemoved: Transition(overtaken.policy_removed, OPEN, ENDS),
    State.NotSelected: Transition(overtaken.not_selected, OPEN, ENDS),
    State.NotReconciled: Transition(overtaken.not_reconciled, OPEN, frozenset({P.Suppressed})),
    State.Preempted: Transition(overtaken.preempted, frozenset({P.Suppressed, P.Stalled}), ENDS),
    State.Recovering: Transition(healthy.recovering, OPEN, VERIFYING),
    State.BackWhileAway: Transition(healthy.recovered, OPEN, STEP | LEFT_TO_PEOPLE),
    State.Recovered: Transition(healthy.recovered, OPEN, STEP | {P.Resolved}),
    State.ActionsUnreadable: Transition(step.actions_unreadable, STEP, ENDS | LEFT_TO_PEOPLE),
    State.StepInProgress: Transition(step.in_progress, STEP, frozenset({P.Remediating})),
    State.StepWriteDue: Transition(step.write_due, STEP, STEP),
    State.StepWritePaused: Transition(step.write_paused, STEP, STEP),
    State.StepNoLongerFits: Transition(step.no_longer, STEP, AFTER_STEP),
    State.StepNotExecuted: Transition(step.not_executed, STEP, AFTER_STEP),
    State.StepTimedOut: Transition(step.timed_out, STEP, AFTER_STEP),
    State.StepSucceeded: Transition(step.done(StepOutcome.Succeeded), STEP, AFTER_STEP),
    State.StepFailed: Transition(step.done(StepOutcome.Failed), STEP, AFTER_STEP),
    State.StepSuperseded: Transition(step.done(StepOutcome.Skipped), STEP, AFTER_STEP),
    State.StayRequested: Transition(failover.stay_requested, OPEN, STEP),
    State.LostOnTheWayHome: Transition(
        failover.lost_on_the_way_home, frozenset({P.Stalled, P.Verifying}), TRIES
    ),
    State.Away: Transition(failover.away, frozenset({P.Stalled, P.Verifying}), LEFT_TO_PEOPLE),
    State.CauseChanged: Transition(
        between_steps.start_over, frozenset({P.Suppressed, P.Stalled}), TRIES
    ),
    State.RemedyFound: Transition(between_steps.start_over, LEFT_TO_PEOPLE, TRIES),
    State.ResetRequested: Transition(stalled.reset_requested, LEFT_TO_PEOPLE, TRIES),
    State.NoRemedyLeft: Transition(stalled.no_remedy_left, LEFT_TO_PEOPLE, LEFT_TO_PEOPLE),
    State.FailureUnchanged: Transition(stalled.unchanged, LEFT_TO_PEOPLE, LEFT_TO_PEOPLE),
    State.FailureSettling: Transition(stalled.settling, LEFT_TO_PEOPLE, LEFT_TO_PEOPLE),
    State.FailureChanged: Transition(stalled.changed, LEFT_TO_PEOPLE, TRIES),
    State.FailureChangedEarly: Transition(stalled.changed_early, LEFT_TO_PEOPLE, LEFT_TO_PEOPLE),
    State.Chronic: Transition(stalled.chronic, LEFT_TO_PEOPLE, LEFT_TO_PEOPLE),
    State.BackingOff: Transition(
        between_steps.backing_off, frozenset({P.BackingOff}), frozenset({P.BackingOff})
    ),
    State.BackoffOver: Transition(between_steps.begin, frozenset({P.BackingOff}), TRIES),
    State.StepDue: Transition(
        between_steps.advance, frozenset({P.Remediating, P.Suppressed, P.Verifying}), TRIES
    ),
}


def answer(e: Evaluation, state: State | None = None) -> Decision | None:
    """Make the transition of the state, which is determined where the caller has not; None where
    there is nothing to say."""
    return TRANSITIONS[state or determine(e)].act(e)
