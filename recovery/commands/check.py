"""recovery check: everything that is wrong with policy files."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from recovery.act.registry import POLICY_ACTIONS
from recovery.commands.errors import USAGE, WRONG, Refused, Shape
from recovery.commands.output import Output, printed
from recovery.decide.routing import named_channels
from recovery.model.duration import spell
from recovery.model.policy import Policies
from recovery.model.text import plain
from recovery.policies import InvalidPolicies, parse
from recovery.policies.nodes import LARGEST_POLICIES

Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...", help="Policy files or ConfigMap manifests; - is standard input."
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")]
ChannelNames = Annotated[
    str,
    typer.Option(
        "--channels",
        metavar="A,B",
        help="Keys of the Secret recovery-channels; any other channel is an error.",
    ),
]
HEARTBEAT_KEY = "heartbeat"
"""A key of that Secret that is no channel."""


class Found(Struct, frozen=True):
    """One thing worth knowing of one file; line and column are 0 where there is no place."""

    file: str
    line: int
    column: int
    path: str
    level: str
    """error or warning"""
    message: str


def check(
    files: Files, strict: Strict = False, channels: ChannelNames = "", output: Output = Shape.table
) -> None:
    """Check policy files.

    Report every problem with its line, column and path, and what would be right."""
    there = frozenset(filter(None, (name.strip() for name in channels.split(",")))) - {
        HEARTBEAT_KEY
    }
    found: list[Found] = []
    unread = False
    for name in files:
        try:
            policies = parse(read(name), POLICY_ACTIONS)
        except Refused as error:
            if len(files) == 1:
                raise
            unread = True
            found.append(Found(name, 0, 0, "", "error", str(error).removeprefix(f"{name}: ")))
            _say(output, found[-1:])
            continue
        except InvalidPolicies as error:
            wrong = [
                Found(name, p.line, p.column, p.path, "error", p.message) for p in error.problems
            ]
            found += wrong
            _say(output, wrong)
            continue
        said = [
            Found(name, 0, 0, "", "warning", words)
            for words in (*policies.warnings, *_over(policies))
        ]
        said += [
            Found(name, 0, 0, "", "error", words)
            for words in (_unknown(policies, there) if channels else ())
        ]
        found += said
        _say(output, said)
        if not output.for_scripts and not any(each.level == "error" for each in said):
            _praise(name, policies)
    if output.for_scripts:
        printed(found, output)
    if unread:
        raise typer.Exit(USAGE)
    if any(strict or each.level == "error" for each in found):
        raise typer.Exit(WRONG)


def read(name: str) -> bytes:
    """A file or standard input, no more of it than is ever accepted."""
    try:
        if name == "-":
            return sys.stdin.buffer.read(LARGEST_POLICIES + 1)
        with Path(name).open("rb") as file:
            return file.read(LARGEST_POLICIES + 1)
    except OSError as error:
        raise Refused(f"{name}: {error.strerror}") from error


def _unknown(policies: Policies, there: frozenset[str]) -> list[str]:
    """Channels that are named and are none."""
    known = ", ".join(sorted(there)) or "none"
    return [
        f"{where} names channel {name!r}, which the Secret recovery-channels lacks; it has {known}"
        for name, where in named_channels(policies).items()
        if name not in there
    ]


def _over(policies: Policies) -> list[str]:
    now = datetime.now(UTC)
    return [
        f"guards.pauses: {p.reason!r} ended at {p.until:%Y-%m-%d %H:%M} UTC"
        for p in policies.pauses
        if p.until and p.until <= now
    ]


def _say(output: Shape, found: list[Found]) -> None:
    for each in found if not output.for_scripts else ():
        place = f"{each.file}:{each.line}:{each.column}" if each.line else each.file
        typer.echo(
            plain(f"{place}: {each.level}: {each.path + ': ' if each.path else ''}{each.message}")
        )


def _praise(name: str, policies: Policies) -> None:
    count = len(policies.policies)
    typer.echo(f"{plain(name)}: OK: {count} {'policy' if count == 1 else 'policies'}")
    for policy in policies.policies:
        steps = ", then ".join(str(step) for step in policy.actions)
        attempts = f"{policy.attempts} attempt{'s' * (policy.attempts != 1)}"
        typer.echo(
            plain(
                f"  {policy.name}: {policy.sentence}: {steps}; {attempts},"
                f" {spell(policy.backoff.duration)} apart"
            )
        )
