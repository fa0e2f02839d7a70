"""notify: tell people how it stands."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

from msgspec import Struct

from recovery.act.action import Action, ActionRequest, Clients, policy_of
from recovery.decide.notifications import DEFAULT_CHANNELS, noted
from recovery.model.action import ActionKind, Progress, Skip, StepStatus
from recovery.model.decision import Outcome, Result
from recovery.model.policy import Severity, Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.situation import Situation


class When(Enum):
    """Which ends of an attempt it speaks of."""

    always = "always"
    failure = "failure"
    success = "success"


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields allowed under ``parameters`` of notify; others are refused."""

    channels: tuple[str, ...] = ()
    """Keys of the Secret with the channels; none given: the policy's, or defaults.channels."""
    severity: Severity | None = None
    """Default: the policy's."""
    message: str = ""
    """Put before the facts."""
    when: When = When.always


def fits(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:  # noqa: ARG001 (a Fits)
    """While it is still unwell, a report of success has nothing to say."""
    return (
        Skip("NotRecovered", "it notifies of a recovery only")
        if step.parameters.when is When.success
        else None
    )


def judge(record: StepRecord, step: Step, situation: Situation) -> StepStatus:  # noqa: ARG001 (a Judge)
    """Nothing to wait for; unsaid after a crash, it is said again."""
    return StepStatus(Progress.Succeeded, "Notified") if record.sent else StepStatus(Progress.Again)


async def start(order: ActionRequest, doors: Clients) -> Outcome:  # noqa: ARG001 (a Start: the message leaves with the recovery)
    """Compose the message; the dispatcher sends it."""
    policy, recovery, parameters = policy_of(order), order.recovery, order.step.parameters
    if policy is None or recovery is None:
        return Outcome(Result.Failed, "PolicyRemoved", "its policy is no longer in force")
    channels = parameters.channels or policy.channels
    severity = (parameters.severity or policy.severity).value
    note = noted(
        order.situation,
        policy,
        recovery,
        severity=severity,
        channels=channels,
        words=parameters.message,
    )
    return Outcome(
        Result.Done,
        "Notified",
        f"told {', '.join(channels) or 'the default channels'}",
        notes=(note,),
        told=channels or (DEFAULT_CHANNELS,),
    )


NOTIFY = Action(
    ActionKind(
        name="notify",
        parameters=Parameters,
        settle=timedelta(minutes=1),
        judge=judge,
        fits=fits,
        speaks=True,
        reports=True,
        applies_to=frozenset({"application", "repository", "cluster"}),
    ),
    start,
)
