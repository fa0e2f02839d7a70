"""recovery version: which one is this, and which one runs in the cluster."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from recovery import __version__
from recovery.commands.errors import UNREACHABLE, Refused, Shape
from recovery.commands.output import Output, printed

Client = Annotated[
    bool, typer.Option("--client", help="This command's own version; no cluster is asked.")
]


def version(client: Client = False, output: Output = Shape.table) -> None:
    """Print the versions of client and controller."""
    found = {"client": __version__}
    trouble = ""
    if not client:
        try:
            found["controller"] = _controller()
        except Refused as error:
            trouble = str(error)
    if output.for_scripts:
        printed(found, output)
    else:
        typer.echo("\n".join(f"{what}: {words}" for what, words in found.items()))
    if trouble:
        raise Refused(f"the controller does not answer: {trouble}", UNREACHABLE)


def _controller() -> str:
    from recovery.commands.client import ask_controller, reach
    from recovery.commands.run import settings_from_environment

    namespace = settings_from_environment().namespace
    raw = reach(lambda client: ask_controller(client, namespace, "/api/v1/recoveries"))
    return str(msgspec.json.decode(raw, type=dict).get("version") or "older than 0.2.0")
