"""A cluster is down, and applications are away from it on its account."""

from __future__ import annotations

from msgspec import structs

from recovery.decide import attempt
from recovery.decide.evaluation import Evaluation
from recovery.decide.failover_followups import stay
from recovery.model.decision import Decision
from recovery.model.move import RelocationPhase


def stay_requested(e: Evaluation) -> Decision:
    """Make the new place their home: that needs no old cluster, and is mostly said when there is
    none any more."""
    return stay(e.situation, e.policy, e.open)


def lost_on_the_way_home(e: Evaluation) -> Decision:
    """Fail over again: those that had arrived are on a dead cluster."""
    recovery = e.open
    away = tuple(m for m in recovery.relocations if m.phase is not RelocationPhase.Home)
    again = structs.replace(
        recovery, relocations=away, max_attempts=recovery.attempt + e.policy.attempts
    )
    return attempt.begin(e.situation, e.policy, again)


def away(e: Evaluation) -> Decision:
    """Leave it to people: the cluster has to be repaired."""
    return attempt.away(e.situation, e.policy, e.open)
