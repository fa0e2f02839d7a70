"""escalate: manual intervention required."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from msgspec import Meta, Struct

from recovery.act.action import Action, ActionRequest, Clients, policy_of
from recovery.act.notify import judge
from recovery.decide.circuit_breaker import called_for_it
from recovery.decide.notifications import DEFAULT_CHANNELS, escalated
from recovery.model.action import ActionKind, Skip
from recovery.model.decision import Outcome, Result
from recovery.model.policy import Severity, Step
from recovery.model.recovery import Recovery
from recovery.model.situation import Situation


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields allowed under ``parameters`` of escalate; others are refused."""

    after_attempts: Annotated[int, Meta(ge=1)] = 1
    """From this attempt on."""
    channels: tuple[str, ...] = ()
    severity: Severity = Severity.critical


def fits(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:
    """Once a recovery, and not before its time."""
    after = step.parameters.after_attempts
    if called_for_it(situation.past, situation.now):
        return Skip(
            "EscalatedAlready",
            "escalated within the last day: its remedy has to be repeated",
        )
    if recovery.escalated:
        return Skip("EscalatedAlready", "escalated once for this recovery already")
    return (
        Skip("TooEarly", f"attempt {recovery.attempt}, and it escalates from attempt {after} on")
        if recovery.attempt < after
        else None
    )


async def start(order: ActionRequest, doors: Clients) -> Outcome:  # noqa: ARG001 (a Start: the message leaves with the recovery)
    """Compose the message with the evidence; the dispatcher sends it."""
    policy, recovery, parameters = policy_of(order), order.recovery, order.step.parameters
    if recovery is None:
        return Outcome(Result.Failed, "NoRecovery", "there is no Recovery to escalate")
    channels = parameters.channels or (policy.channels if policy else ())
    note = escalated(
        order.situation, recovery, severity=parameters.severity.value, channels=channels
    )
    told = channels or (DEFAULT_CHANNELS,)
    return Outcome(
        Result.Done,
        "Notified",
        f"called {', '.join(channels) or 'the default channels'}",
        notes=(note,),
        told=told,
        escalated=True,
    )


ESCALATE = Action(
    ActionKind(
        name="escalate",
        parameters=Parameters,
        settle=timedelta(minutes=1),
        judge=judge,
        fits=fits,
        speaks=True,
        applies_to=frozenset({"application", "repository", "cluster"}),
    ),
    start,
)
