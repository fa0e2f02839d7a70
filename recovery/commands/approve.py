"""recovery approve: let a step go that waits for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from recovery.commands.completion import subjects
from recovery.commands.errors import WRONG, Refused
from recovery.commands.requests import wish
from recovery.decide.approvals import APPROVED_FOR
from recovery.model.duration import spell
from recovery.model.recovery import Recovery, RecoveryPhase

Name = Annotated[
    str,
    typer.Argument(
        metavar="RECOVERY",
        autocompletion=subjects,
        help="A recovery, or its application as [NAMESPACE/]NAME.",
    ),
]
STORM_KIND = "Storm"
"""What the record of a storm is about, and why it waits."""


def approve(recovery: Name) -> None:
    """Approve the pending step of a recovery.

    The approval is valid for one hour, and for this very step."""
    found = wish(recovery, asked)
    last = found.requests[-1]
    place, _, what = last.step.partition(" ")
    typer.echo(
        f"{found.name}: step {place} {what.partition(' ')[0]}".rstrip()
        + f" approved by {last.by}, for {spell(APPROVED_FOR)}: {found.message}"
    )


def asked(held: Recovery) -> tuple[str, ...]:
    """The pending step, word for word: another action, another revision or an edited policy is
    another thing."""
    if held.phase is RecoveryPhase.Suppressed and held.awaiting:
        return (f"approve {held.awaiting}",)
    if held.phase is RecoveryPhase.Suppressed and held.subject.kind == held.reason == STORM_KIND:
        return ("approve",)  # its members
    raise Refused(
        f"{held.name} is not waiting for approval: it is {held.phase.value} ({held.reason}):"
        f" {held.message}",
        WRONG,
    )
