"""Decisions of the judgement, and outcomes of actions."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from msgspec import Struct

from recovery.model.connection import ProbeResult
from recovery.model.move import Relocation
from recovery.model.policy import Step
from recovery.model.recovery import PendingNotification, Recovery


class Kind(Enum):
    """The six answers that a judgement has."""

    Rest = "Rest"
    """Nothing wrong, or nothing that this policy is for."""
    Wait = "Wait"
    """Pending, settling, verifying or backing off; look again at a known time."""
    Suppress = "Suppress"
    """A guard said no."""
    Remediate = "Remediate"
    """Do this step now."""
    Stall = "Stall"
    """Out of remedies; manual intervention required."""
    Resolve = "Resolve"
    """Cured, or no longer ours."""


class Decision(Struct, frozen=True):
    """One policy's answer for one subject, with the numbers that decided it."""

    kind: Kind
    policy: str
    reason: str
    """CamelCase code."""
    message: str
    again_at: datetime | None = None
    """Look again then, whatever happens."""
    by: str = ""
    """With Suppress: the guard, or the policy that was first."""
    recovery: Recovery | None = None
    """As it has to be kept; None when nothing is kept."""
    step: Step | None = None
    """With Remediate."""

    def __str__(self) -> str:
        if self.kind is Kind.Suppress:
            return f"suppressed by {self.by}: {self.message}"
        return f"{self.kind.value.lower()}: {self.message}"


class Result(Enum):
    """Result of a request: what the server said to an effect."""

    Sent = "Sent"
    """It went out (or was found to be out already)."""
    Done = "Done"
    """It went out and there is nothing to wait for."""
    Failed = "Failed"
    """It was refused for good."""
    Skipped = "Skipped"
    """On a closer look it does not fit."""
    Conflict = "Conflict"
    """The subject changed since we judged it; judge again."""
    InDoubt = "InDoubt"
    """No answer came; it may have gone out."""


class Outcome(Struct, frozen=True):
    """Outcome of carrying out one step."""

    result: Result
    reason: str = ""
    message: str = ""
    targets: tuple[str, ...] = ()
    settle: timedelta | None = None
    """Wait this long for the effect, where that is longer than the kind of action says."""
    notes: tuple[PendingNotification, ...] = ()
    told: tuple[str, ...] = ()
    """Channels that now know of the incident."""
    escalated: bool = False
    relocations: tuple[Relocation, ...] | None = None
    """How the recovery's moves stand now; None for as before."""
    effects: int = 0
    """How many of a step's effects went out with this one, where it has several."""
    evidence: ProbeResult | None = None
    """What it saw of the subject by the way."""
    wrote: bytes = b""
    """The Application as the API server answered our write: what is judged next must not be older
    than that."""
