"""recovery reset: begin anew with a recovery that has given up."""

from __future__ import annotations

from typing import Annotated

import typer

from recovery.commands.completion import subjects
from recovery.commands.errors import WRONG, Refused
from recovery.commands.requests import wish
from recovery.model.recovery import Recovery

Name = Annotated[
    str,
    typer.Argument(
        metavar="RECOVERY",
        autocompletion=subjects,
        help="A recovery, or its application as [NAMESPACE/]NAME.",
    ),
]


def reset(recovery: Name) -> None:
    """Retry a stalled recovery from its first action.

    It has as many attempts again as its policy allows."""
    found = wish(recovery, asked)
    typer.echo(f"{found.name}: reset, requested by {found.requests[-1].by}")


def asked(held: Recovery) -> tuple[str, ...]:
    """The request that is written into it."""
    if not held.needs_person or held.owed:
        owing = "; `recovery failback` ends a failover" if held.owed else ""
        raise Refused(
            f"{held.name} is not Stalled: it is {held.phase.value} ({held.reason}):"
            f" {held.message}{owing}",
            WRONG,
        )
    return ("reset",)
