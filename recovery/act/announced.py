"""Actions for repositories and clusters: policies may name them; they are reported as not evaluated until they exist."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec import Struct

from recovery.act.order import Action, Doors, Order
from recovery.model.action import Judgement, Progress, Traits
from recovery.model.decision import Outcome, Result
from recovery.model.policy import Step
from recovery.model.recovery import StepRecord
from recovery.model.situation import Situation


class NoParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing may be written under ``parameters``."""


class FailoverParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be written under the ``parameters`` of failover."""

    if_primary_cluster_down: bool = True
    target_cluster: str = ""
    apps: dict[str, Any] = {}
    strategy: str = "destination"
    allow_stateful: bool = False
    failback: str = "manual"


def _judge(record: StepRecord, step: Step, situation: Situation) -> Judgement:  # noqa: ARG001 (a Judge)
    return Judgement(Progress.Failed, "NotBuilt", f"{step.traits.name} is not built yet")


async def _refuse(order: Order, doors: Doors) -> Outcome:  # noqa: ARG001 (a Start)
    return Outcome(Result.Failed, "NotBuilt", f"{order.step.traits.name} is not built yet")


def announced(name: str, subjects: frozenset[str], parameters: type[Any] = NoParameters) -> Action:
    """An action that is known by name and refuses to be carried out."""
    traits = Traits(name, parameters, timedelta(minutes=2), _judge, applies_to=subjects, built=False)
    return Action(traits, _refuse)
