"""A policy that has no open recovery of the subject: it waits, stands behind another, or opens
one."""

from __future__ import annotations

from datetime import timedelta

from msgspec import structs

from recovery.decide.attempt import advance, begin, tried, uncounted
from recovery.decide.evaluation import Evaluation
from recovery.decide.opening import opened, relapse_of, reopened
from recovery.model.decision import Decision, Kind
from recovery.model.duration import spell
from recovery.model.recovery import RecoveryPhase


def not_met(e: Evaluation) -> None:
    """Nothing to say: the policy is not for this."""


def pending(e: Evaluation) -> Decision:
    """Wait until the condition has held for its duration."""
    condition, since = e.policy.condition, e.condition_since
    due = since + condition.duration
    message = (
        f"{condition} since {since:%H:%M:%S} UTC; acts at {due:%H:%M:%S} if it lasts"
        f" {spell(condition.duration)}"
    )
    return Decision(Kind.Wait, e.policy.name, "Pending", message, due)


def recovered_by_another(e: Evaluation) -> Decision:
    """Stand behind the policy that is first in the file."""
    message = f"policy {e.recovered_by} is already recovering it"
    return Decision(Kind.Suppress, e.policy.name, "AnotherPolicy", message, by=e.recovered_by or "")


def due(e: Evaluation) -> Decision:
    """Open a recovery and start its first attempt."""
    return begin(e.situation, e.policy, opened(e.situation, e.policy, e.condition_since))


def relapsed(e: Evaluation) -> Decision:
    """Open the last recovery again and start its next attempt."""
    situation, policy = e.situation, e.policy
    past = relapse_of(situation, policy, e.condition_since)
    if past is None:
        return due(e)
    again = reopened(situation, policy, past, e.condition_since)
    if not tried(situation, again):
        again = uncounted(again)
    if again.attempt >= again.max_attempts:
        again = structs.replace(again, attempt=again.max_attempts)
        return advance(situation, policy, again, ())  # nothing left to try: it stalls
    return begin(situation, policy, again)


def orphans_found(e: Evaluation) -> Decision:
    """Open a recovery that knows of them, and leave it to people: it answers for their way
    home."""
    situation = e.situation
    since = min((m.since for m in situation.orphans if m.since), default=situation.now)
    recovery = opened(situation, e.policy, since)
    message = (
        f"{len(situation.orphans)} applications run outside their home cluster, and the Recovery"
        " that moved them is gone"
    )
    recovery = structs.replace(
        recovery,
        phase=RecoveryPhase.Stalled,
        reason="OrphansAdopted",
        message=message,
        relocations=situation.orphans,
        attempt=recovery.max_attempts,
    )
    soon = situation.now + timedelta(seconds=1)
    return Decision(Kind.Stall, e.policy.name, "OrphansAdopted", message, soon, recovery=recovery)
