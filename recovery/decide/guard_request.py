"""The question that a guard is asked about, and how it may answer."""

from __future__ import annotations

from msgspec import Struct

from recovery.model.cause import NotifyWhen
from recovery.model.policy import Policy, Step
from recovery.model.recovery import Recovery
from recovery.model.situation import Situation


class Objection(Struct, frozen=True):
    """A no that says by itself how soon people have to know."""

    message: str
    tells: NotifyWhen = NotifyWhen.at_once


class GuardRequest(Struct, frozen=True):
    """The question put to a guard: this step of this policy, in this situation."""

    situation: Situation
    policy: Policy
    step: Step
    recovery: Recovery | None


def begun(a: GuardRequest) -> bool:
    """Is it in the middle of this step? Then it was let go when it began."""
    running = a.recovery.running if a.recovery else None
    return running is not None and bool(running.stage)


def under_way(a: GuardRequest) -> bool:
    """Is its next write only what a step that went out still needs? What is under way is finished,
    but for a move's waves."""
    running = a.recovery.running if a.recovery else None
    return (
        running is not None and (running.sent or bool(running.stage)) and not a.step.kind.relocates
    )
