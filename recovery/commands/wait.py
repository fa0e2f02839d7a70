"""recovery wait: until a recovery, or that of a subject, has come so far."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from recovery.commands.client import reach
from recovery.commands.completion import subjects
from recovery.commands.errors import USAGE, WRONG, Refused
from recovery.commands.naming import recovery_name
from recovery.commands.run import settings_from_environment
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import RECOVERIES
from recovery.kube.errors import NotFound
from recovery.model.duration import Duration
from recovery.model.recovery import Recovery, RecoveryPhase
from recovery.record.codec import decode

Name = Annotated[
    str,
    typer.Argument(
        metavar="SUBJECT",
        autocompletion=subjects,
        help="A recovery, [NAMESPACE/]NAME of an application, or cluster/NAME.",
    ),
]
For = Annotated[
    str,
    typer.Option(
        "--for",
        metavar="PHASE",
        help="Phase to wait for, such as Resolved or Stalled; default: any end.",
    ),
]
Timeout = Annotated[
    str, typer.Option("--timeout", metavar="DURATION", help="How long at most, such as 10m.")
]
WAIT_INTERVAL = 2.0
"""Seconds between two looks."""


def wait(subject: Name, phase: For = "", timeout: Timeout = "10m") -> None:
    """Wait until a recovery ends or reaches a phase.

    Exit with 1 when it does not in time, or ended otherwise."""
    phases = {each.value.lower(): each for each in RecoveryPhase}
    if phase and phase.lower() not in phases:
        raise Refused(
            f"--for: {phase!r} is not one of {', '.join(each.value for each in RecoveryPhase)}",
            USAGE,
        )
    try:
        longest = Duration.parse(timeout).total_seconds()
    except ValueError as error:
        raise Refused(f"--timeout: {error}", USAGE) from error
    wanted = phases.get(phase.lower())
    end, seen = time.monotonic() + longest, ""
    while True:
        found = _look(subject)
        if found is not None:
            subject = found.name  # the one that was meant, whatever opens after it
            seen = f"{found.phase.value}: {found.message}"
            if found.phase is wanted or (wanted is None and found.phase.over):
                typer.echo(f"{found.name} {seen}")
                return
            if found.phase.over:
                raise Refused(f"{found.name} is over and never was {phase}: {seen}", WRONG)
        if time.monotonic() > end:
            raise Refused(f"not within {timeout}: {seen or f'no recovery of {subject}'}", WRONG)
        time.sleep(WAIT_INTERVAL)


def _look(named: str) -> Recovery | None:
    settings = settings_from_environment()

    async def ask(client: AsyncioClient) -> Recovery | None:
        name = await recovery_name(client, settings, named, missing_is_empty=True)
        try:
            return decode(await client.get(RECOVERIES, settings.namespace, name)) if name else None
        except NotFound:
            return None

    return reach(ask)
