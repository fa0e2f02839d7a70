"""recovery failback: bring home what a failover moved; or let it stay."""

from __future__ import annotations

from typing import Annotated

import typer

from recovery.commands.completion import subjects
from recovery.commands.errors import WRONG, Refused
from recovery.commands.requests import wish
from recovery.model.recovery import Recovery
from recovery.model.text import shell

Name = Annotated[
    str,
    typer.Argument(
        metavar="RECOVERY",
        autocompletion=subjects,
        help="The recovery of the cluster, or cluster/NAME.",
    ),
]
Stay = Annotated[
    bool,
    typer.Option("--stay", help="Keep them where they are, and end the hold."),
]
Clean = Annotated[
    bool, typer.Option("--cleanup", help="Also delete the resources that were left behind.")
]


def failback(recovery: Name, stay: Stay = False, cleanup: Clean = False) -> None:
    """Move applications back after a failover.

    Three at a time, as soon as their cluster is healthy."""
    found = wish(recovery, lambda held: asked(held, stay=stay, cleanup=cleanup))
    what = "stay where they are" if stay else f"move back to {found.subject.name}"
    typer.echo(f"{len(found.owed)} applications {what}:")
    for move in found.owed:
        typer.echo(f"  {move}  {move.target} -> {move.target if stay else move.goal}")
    if not stay and found.reason != "SplitBrain":
        typer.echo(
            f"{found.subject.name} is not seen healthy yet ({found.reason}): they are moved as"
            " soon as it is; --stay does not wait"
        )
    typer.echo(f"Watch it: recovery explain {shell(found.subject)}")


def asked(held: Recovery, *, stay: bool, cleanup: bool) -> tuple[str, ...]:
    """The wishes, or why they make no sense."""
    if held.phase.over:
        raise Refused(
            f"{held.name} is over ({held.phase.value}); none of its applications is away",
            WRONG,
        )
    if not held.owed:
        raise Refused(
            f"{held.name} has moved no application\nTry: recovery explain {shell(held.subject)}",
            WRONG,
        )
    return ("stay" if stay else "failback", *(("cleanup",) if cleanup else ()))
