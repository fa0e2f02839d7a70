"""No step runs and the subject is still unhealthy: wait, go on, or start again."""

from __future__ import annotations

from msgspec import structs

from recovery.decide import attempt
from recovery.decide.evaluation import Evaluation
from recovery.model.decision import Decision, Kind
from recovery.model.recovery import RecoveryPhase


def backing_off(e: Evaluation) -> Decision:
    """Wait for the next attempt."""
    recovery = e.open
    return Decision(
        Kind.Wait,
        e.policy.name,
        recovery.reason,
        recovery.message,
        recovery.next_attempt_at,
        recovery=recovery,
    )


def begin(e: Evaluation) -> Decision:
    """Start the next attempt."""
    return attempt.begin(e.situation, e.policy, e.open)


def advance(e: Evaluation) -> Decision:
    """Go on to the attempt's next step."""
    return attempt.advance(e.situation, e.policy, e.open, e.actions)


def start_over(e: Evaluation) -> Decision:
    """Go through the actions from the first: what was left out for the one cause may be the cure of
    the other."""
    situation, policy, recovery = e.situation, e.policy, e.open
    if not attempt.tried(situation, recovery):
        return attempt.begin(situation, policy, attempt.uncounted(recovery))
    if recovery.phase is not RecoveryPhase.Stalled:
        return attempt.advance(situation, policy, recovery, e.actions)
    more = max(recovery.max_attempts, recovery.attempt + 1)
    return attempt.begin(situation, policy, structs.replace(recovery, max_attempts=more))
