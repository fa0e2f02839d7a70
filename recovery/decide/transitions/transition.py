"""One row of the table of transitions."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from recovery.decide.evaluation import Evaluation
from recovery.model.decision import Decision
from recovery.model.recovery import RecoveryPhase

Act = Callable[[Evaluation], Decision | None]
NO_RECOVERY = frozenset[RecoveryPhase]()
"""There is no open recovery, or none is kept."""


class Transition(Struct, frozen=True):
    """Transition in one state: what is done, and the phases of the recovery before and after it."""

    act: Act
    found_in: frozenset[RecoveryPhase] = NO_RECOVERY
    leads_to: frozenset[RecoveryPhase] = NO_RECOVERY
