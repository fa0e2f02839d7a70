"""recovery approve: let a step go that waits for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from recovery.commands.failing import WRONG, Refused
from recovery.commands.wishing import wish
from recovery.decide.approvals import APPROVED_FOR
from recovery.model.duration import spell
from recovery.model.recovery import Recovery, RecoveryPhase

Name = Annotated[str, typer.Argument(metavar="RECOVERY", help="As `recovery status` names it.")]
WAITING = ("Approval", "CutOff", "Storm")


def approve(recovery: Name) -> None:
    """Let the step go that a recovery waits with; good for an hour, for this very step."""
    found = wish(recovery, asked)
    last = found.wishes[-1]
    typer.echo(f"{found.name}: step {last.step} approved by {last.by}, for {spell(APPROVED_FOR)}: {found.message}")


def asked(held: Recovery) -> tuple[str, ...]:
    """The step that waits, as guards name it (Asked.place)."""
    if held.phase is not RecoveryPhase.Suppressed or held.reason not in WAITING:
        raise Refused(f"{held.name} waits for no approval: it is {held.phase.value} ({held.reason}): {held.message}", WRONG)
    running = held.running
    index = running.index if running else len(held.in_attempt())
    return (f"approve {held.attempt}.{index}",)
