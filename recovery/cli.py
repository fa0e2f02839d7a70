"""The ``recovery`` command: parser and dispatch, and one place where errors become exit codes."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from recovery.commands.errors import USAGE, Refused
from recovery.commands.target import flags
from recovery.model.text import plain

COMMANDS = {
    "run": "run",
    "demo": "demo",
    "check": "check",
    "schema": "schema",
    "test": "test",
    "plan": "plan",
    "replay": "replay",
    "drill": "drill",
    "status": "status",
    "explain": "explain",
    "history": "reports",
    "report": "reports",
    "audit": "reports",
    "notify": "notify",
    "routes": "routes",
    "diagnose": "diagnose",
    "approve": "approve",
    "reset": "reset",
    "pause": "pauses",
    "resume": "pauses",
    "silence": "pauses",
    "failback": "failback",
    "adopt": "adopt",
    "release": "release",
    "wait": "wait",
    "doctor": "doctor",
    "version": "version",
}
"""Each command and the module of recovery/commands it is a function of, in the order of
``--help``."""
OFFLINE = ("run", "demo", "check", "schema", "test", "replay")
"""Those that are not pointed at a cluster by kubectl's flags; ``run`` is configured by its
environment."""
HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


class Commands(TyperGroup):
    """Commands are imported when they are called: what one of them needs costs, and breaks, no
    other. kubectl's flags may stand before the command, too: `kubectl recovery --context prod
    status`."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params += flags()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 (a Group)
        """All of them, in the order of ``--help``."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 (a Group)
        """Name and summary of a command, which ``--help`` and completion ask for; nothing is
        imported."""
        return (
            TyperCommand(cmd_name, help=summary(cmd_name), rich_markup_mode=None)
            if cmd_name in COMMANDS
            else None
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command itself, which is to be run or whose own help is asked for."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, loaded(name) if name in COMMANDS else command, rest


def loaded(name: str) -> Any:
    """Import one command, with its options."""
    function = getattr(import_module(f"recovery.commands.{COMMANDS[name]}"), name)
    if "structlog" in sys.modules:
        from recovery import logs

        logs.configure(
            "warning", "console", sys.stderr
        )  # what a command finds out goes to stdout, and nothing else
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)
    alone.command(name)(function)
    command = get_command(alone)
    if name not in OFFLINE:
        command.params += flags()
    return command


def summary(name: str) -> str:
    """The first line of a command's docstring, read and not run."""
    source = Path(__file__).parent / "commands" / f"{COMMANDS[name]}.py"
    tree = ast.parse(source.read_text())
    found = (
        ast.get_docstring(node) or ""
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    return next(found, "").partition("\n")[0]


app = typer.Typer(
    name="recovery",
    cls=Commands,
    help="Recover Argo CD applications: detect, diagnose, remediate, verify, notify.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP,
)


@app.callback(invoke_without_command=True)
def options(show: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Recovers Argo CD applications."""
    if show:
        from recovery import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Exit codes: 0 well, 1 found something wrong, 2 bad usage or input, 3 cannot reach the
    cluster."""
    try:
        app()
    except Refused as error:
        typer.echo(f"recovery: {plain(str(error), lines=True)}", err=True)
        sys.exit(error.code)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        about = f": {error.filename}" if error.filename else ""
        typer.echo(f"recovery: {plain(f'{error.strerror or error}{about}')}", err=True)
        sys.exit(USAGE)
