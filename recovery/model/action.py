"""Properties that a kind of action tells the judgement about itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from recovery.model.cause import Remedy
from recovery.model.move import Relocation

if TYPE_CHECKING:
    from recovery.model.application import Hold
    from recovery.model.policy import Step
    from recovery.model.recovery import Recovery, StepRecord
    from recovery.model.situation import Situation


class Skip(Struct, frozen=True):
    """This step does not fit here, and why."""

    reason: str
    message: str


class Progress(Enum):
    """Progress of a step that was started."""

    Running = "Running"
    """No verdict yet; look again."""
    Next = "Next"
    """Its next write is due (a step of several writes)."""
    Again = "Again"
    """Nobody knows whether its effect went out; it is safe to ask again."""
    InDoubt = "InDoubt"
    """As Again, and it is not to be asked again just yet."""
    Succeeded = "Succeeded"
    """Its effect is there; whether the subject is cured is another question."""
    Failed = "Failed"
    """Its effect is known to have failed."""
    Superseded = "Superseded"
    """Somebody else acted in between; it is not repeated."""


class StepStatus(Struct, frozen=True):
    """A step's progress, with the numbers that decided it."""

    progress: Progress
    reason: str = ""
    message: str = ""
    stage: str = ""
    """With Next: the stage to go to."""
    soon: timedelta | None = None
    """With Running and InDoubt: look again after this time even if nothing is seen to change."""
    relocations: tuple[Relocation, ...] | None = None
    """How the recovery's moves stand now; None for as before."""


Owes = Callable[["Step", "Situation", "Recovery"], "Hold | None"]
Fits = Callable[["Step", "Situation", "Recovery"], "Skip | None"]
Judge = Callable[["StepRecord", "Step", "Situation"], StepStatus]


def always(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:  # noqa: ARG001 (a Fits that never says no)
    """A step that fits whatever the situation."""
    return None


def no_cure(parameters: Any) -> tuple[Remedy, ...]:  # noqa: ARG001 (of a kind that the action matrix does not know)
    """No remedy: the action notifies, looks, or gives back."""
    return ()


def nothing(step: Step, situation: Situation, recovery: Recovery) -> Hold | None:  # noqa: ARG001 (an Owes)
    """Nothing taken that would have to be given back."""
    return None


class ActionKind(Struct, frozen=True):
    """One kind of action: the judgement knows it by this alone."""

    name: str
    parameters: type[Any]
    """A frozen Struct: what may be written under ``parameters``."""
    settle: timedelta
    """How long its effect may take to show."""
    judge: Judge
    fits: Fits = always
    destructive: bool = False
    """It changes what runs; people are told whatever the policy says."""
    counts_as_sent: bool = False
    """Its claimed write is never repeated: in doubt, it counts as done."""
    one_by_one: bool = False
    """It has as many effects as it has targets, each with a claim of its own: each counts in the
    budgets."""
    syncs: bool = False
    """It applies what Git wants."""
    paced: bool = False
    """It makes Argo CD fetch from a repository, which is asked politely."""
    fetches: bool = False
    """It needs Git: Argo CD reads the repository for it."""
    lasting: bool = False
    """It goes on whether or not the subject is well: it has begun something that has to be brought
    to an end."""
    relocates: bool = False
    """It moves applications to another cluster: the strongest proof is asked for."""
    speaks: bool = False
    """It tells people and touches nothing."""
    reports: bool = False
    """It also tells of a cure."""
    owes: Owes = nothing
    """What its first write takes from an application, and has to be given back: kept with the
    claim."""
    cures: Callable[[Any], tuple[Remedy, ...]] = no_cure
    """How the action matrix names what it does, given its parameters: its ways, the strongest
    first."""
    exempt: frozenset[str] = frozenset()
    """Guards that do not bind it, by name."""
    applies_to: frozenset[str] = frozenset({"application"})
    """Types of subject it makes sense for."""
