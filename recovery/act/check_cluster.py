"""test_cluster_connectivity: everybody looks once more, and what they saw is written down."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

from recovery.act.action import Action, ActionRequest, Clients
from recovery.act.refresh_cluster_config import looked_since
from recovery.decide.connections import down, worst
from recovery.model.action import ActionKind, Progress, StepStatus
from recovery.model.connection import Cluster
from recovery.model.decision import Outcome, Result
from recovery.model.policy import Step
from recovery.model.recovery import StepRecord
from recovery.model.situation import Situation


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing may be written under ``parameters``."""


def judge(record: StepRecord, step: Step, situation: Situation) -> StepStatus:  # noqa: ARG001 (a Judge)
    """Over when everybody has looked; the verdict is the message, a bad one is no failure of the
    test."""
    about = situation.about
    if not record.sent:
        return StepStatus(Progress.Again)
    if not isinstance(about, Cluster) or not looked_since(about, record, situation.now):
        return StepStatus(
            Progress.Running, message="not all probes have answered yet", soon=timedelta(seconds=3)
        )
    is_down, words = down(about, situation.now)
    sentence = f"down: {words}" if is_down else f"{worst(about, situation.now).value}: {words}"
    return StepStatus(Progress.Succeeded, "Down" if is_down else "NotDown", sentence)


async def start(order: ActionRequest, doors: Clients) -> Outcome:  # noqa: ARG001 (a Start: the poller looks anyway, every few seconds)
    """Send nothing: the probes run by themselves, and the step waits for them."""
    return Outcome(Result.Sent, "Probing")


TEST_CLUSTER_CONNECTIVITY = Action(
    ActionKind(
        name="test_cluster_connectivity",
        parameters=Parameters,
        settle=timedelta(minutes=2),
        judge=judge,
        applies_to=frozenset({"cluster"}),
    ),
    start,
)
