"""Transitions of what is left to people: it stays so, unless the failure has become another one or
they say so."""

from __future__ import annotations

from datetime import datetime

from msgspec import structs

from recovery.decide import notifications
from recovery.decide.attempt import NO_REMEDY_AGAIN, begin
from recovery.decide.evaluation import Evaluation
from recovery.decide.fingerprint import fingerprint
from recovery.decide.state import REOPEN_AFTER, SETTLES_WITHIN, last_stall, times_stalled
from recovery.model.decision import Decision, Kind
from recovery.model.recovery import Recovery


def unchanged(e: Evaluation) -> Decision:
    """Stay with people until something is seen to change."""
    return _stays(e, e.open)


def no_remedy_left(e: Evaluation) -> Decision:
    """Stay with people, and ask again whether a remedy has come."""
    return _stays(e, e.open, e.situation.now + NO_REMEDY_AGAIN)


def settling(e: Evaluation) -> Decision:
    """Take Argo CD's picture of the failure as the one to compare with."""
    recovery = structs.replace(e.open, fingerprint=fingerprint(e.situation.about))
    return _stays(e, recovery, last_stall(e) + SETTLES_WITHIN)


def chronic(e: Evaluation) -> Decision:
    """Stay with people: what fails so often is not retried."""
    message = f"stalled {times_stalled(e)} times in 7 days: chronic, not retried automatically"
    return _stays(e, structs.replace(e.open, reason="Chronic", message=message))


def changed_early(e: Evaluation) -> Decision:
    """Wait until an hour has passed since it was left to people."""
    again = last_stall(e) + REOPEN_AFTER
    message = f"the failure has changed; next attempt at {again:%H:%M:%S} UTC, at most once an hour"
    return structs.replace(_stays(e, e.open, again), message=message)


def changed(e: Evaluation) -> Decision:
    """Start again: another failure may have another cure."""
    return begin(e.situation, e.policy, _renewed(e))


def reset_requested(e: Evaluation) -> Decision:
    """Start again because a person said so; the request is struck off."""
    recovery = structs.replace(_renewed(e), escalated=False)
    left = tuple(request for request in recovery.requests if request.type != "reset")
    return begin(e.situation, e.policy, structs.replace(recovery, requests=left))


def _renewed(e: Evaluation) -> Recovery:
    """With as many attempts again as the policy has, and evidence of the failure as it is now."""
    recovery, situation = e.open, e.situation
    return structs.replace(
        recovery,
        max_attempts=recovery.attempt + e.policy.attempts,
        evidence=notifications.evidence(situation.about, situation.finding),
    )


def _stays(e: Evaluation, recovery: Recovery, again: datetime | None = None) -> Decision:
    return Decision(
        Kind.Stall, e.policy.name, recovery.reason, recovery.message, again, recovery=recovery
    )
