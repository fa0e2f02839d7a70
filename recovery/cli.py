"""The ``recovery`` command: parser and dispatch, and one place where errors become exit codes."""

from __future__ import annotations

import sys

import typer

from recovery import logs
from recovery.commands.account import audit, history, report
from recovery.commands.adopt import adopt
from recovery.commands.approve import approve
from recovery.commands.check import check
from recovery.commands.demo import demo
from recovery.commands.diagnose import diagnose
from recovery.commands.explain import explain
from recovery.commands.failback import failback
from recovery.commands.failing import USAGE, Refused
from recovery.commands.notify import notify
from recovery.commands.pausing import pause, resume, silence
from recovery.commands.plan import plan
from recovery.commands.release import release
from recovery.commands.reset import reset
from recovery.commands.run import run
from recovery.commands.schema import schema
from recovery.commands.status import status
from recovery.model.text import plain

app = typer.Typer(
    name="recovery",
    help="Notices when Argo CD has stopped delivering, applies the one cure that fits, proves it, and tells people.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    run,
    demo,
    check,
    schema,
    plan,
    status,
    explain,
    history,
    report,
    audit,
    notify,
    diagnose,
    approve,
    reset,
    pause,
    resume,
    silence,
    failback,
    adopt,
    release,
):
    app.command()(command)


@app.callback(invoke_without_command=True)
def version(show: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    """Recovers Argo CD applications."""
    if show:
        from recovery import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Exit codes: 0 well, 1 found something wrong, 2 bad usage or input, 3 cannot reach the cluster."""
    logs.configure("warning", "console", sys.stderr)  # what a command finds out goes to stdout, and nothing else
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
