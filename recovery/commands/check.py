"""recovery check: everything that is wrong with policy files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recovery.act.all_actions import KINDS
from recovery.commands.failing import WRONG, Refused, Shape
from recovery.commands.printing import Output
from recovery.model.duration import spell
from recovery.model.policy import Policies
from recovery.policies import InvalidPolicies, parse
from recovery.policies.nodes import LARGEST

Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="Policy files or ConfigMap manifests; - is standard input.")]


def check(files: Files, output: Output = Shape.table) -> None:
    """Tell all that is wrong with policy files, with line, column, path and what would be right."""
    found = 0
    for name in files:
        raw = read(name)
        try:
            policies = parse(raw, KINDS)
        except InvalidPolicies as error:
            found += len(error.problems)
            for problem in error.problems:
                _say(output, name, problem.line, problem.column, problem.path, "error", problem.message)
            continue
        for warning in policies.warnings:
            _say(output, name, 0, 0, "", "warning", warning)
        if output is not Shape.json:
            _praise(name, policies)
    if found:
        raise typer.Exit(WRONG)


def read(name: str) -> bytes:
    """A file or standard input, no more of it than is ever accepted."""
    try:
        if name == "-":
            return sys.stdin.buffer.read(LARGEST + 1)
        with Path(name).open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise Refused(f"{name}: {error.strerror}") from error


def _say(output: Shape, name: str, line: int, column: int, path: str, level: str, message: str) -> None:
    if output is Shape.json:
        import json

        typer.echo(json.dumps({"file": name, "line": line, "column": column, "path": path, "level": level, "message": message}))
        return
    place = f"{name}:{line}:{column}" if line else name
    typer.echo(f"{place}: {level}: {path + ': ' if path else ''}{message}")


def _praise(name: str, policies: Policies) -> None:
    typer.echo(f"{name}: well: {len(policies.policies)} policies")
    for policy in policies.policies:
        steps = ", then ".join(str(step) for step in policy.actions)
        typer.echo(f"  {policy.name}: {policy.sentence}: {steps}; {policy.attempts} attempts, {spell(policy.backoff.duration)} apart")
