"""recovery diagnose: everything about an incident in one file that may be handed on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recovery import __version__
from recovery.bundle.archive import Archive
from recovery.bundle.collect import Collector, Scope
from recovery.bundle.tries import Tries, resolve
from recovery.clock import SystemClock
from recovery.commands import diagnosis_view
from recovery.commands.client import reach
from recovery.commands.completion import applications
from recovery.commands.errors import USAGE, WRONG, Refused
from recovery.commands.run import settings_from_environment
from recovery.kube.asyncio_client import AsyncioClient
from recovery.model.text import plain
from recovery.observe.probes import ask_git
from recovery.process import api_of
from recovery.settings import Settings

Name = Annotated[
    str,
    typer.Argument(
        metavar="[APP]",
        autocompletion=applications,
        help="One application, as [NAMESPACE/]NAME.",
    ),
]
Everything = Annotated[
    bool, typer.Option("--all", help="Every unhealthy application, and the platform under them.")
]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="The file to write; it appears when it is whole.")
]
Seconds = Annotated[
    float,
    typer.Option(
        "--timeout",
        min=5,
        max=3600,
        help="Seconds for all of it; what is missing by then is listed.",
    ),
]
Size = Annotated[
    int, typer.Option("--max-mib", min=1, max=2048, help="Mebibytes before compression, at most.")
]


def diagnose(
    app: Name = "",
    everything: Everything = False,
    output: Output = Path("recovery-bundle.tar.gz"),
    timeout: Seconds = 120,
    max_mib: Size = 64,
) -> None:
    """Collect a support bundle.

    Causes, objects, events, controllers, repositories, network, metrics, logs, and what to type
    next. It holds no credentials."""
    if bool(app) == everything:
        raise Refused(
            "name one application, or ask for --all\nTry: recovery diagnose shop/cart -o"
            " cart.tar.gz",
            USAGE,
        )
    if not output.name.endswith((".tar.gz", ".tgz")):
        raise Refused(f"{output} is no name for a bundle: it is a .tar.gz", USAGE)
    settings = settings_from_environment()
    namespace, _, name = app.partition("/") if "/" in app else (settings.argocd_namespace, "", app)
    scope = Scope(
        settings.argocd_namespace,
        settings.namespace,
        (namespace,) if app else settings.namespaces,
        (namespace, name) if app else None,
    )
    report = reach(lambda client: _collect(client, settings, scope, output, timeout, max_mib))
    for told in report["applications"][:20]:
        found = told["diagnosis"]
        what = f"{found['code']} {found['cause']}" if found["cause"] else "no cause seen"
        typer.echo(f"{told['subject']}: {told['state']}: {what}")
    if len(report["applications"]) > 20:
        typer.echo(f"... and {len(report['applications']) - 20} more")
    for each in (lacking := [each for each in report["collected"] if each["state"] != "collected"]):
        typer.echo(plain(f"{each['state']}: {each['section']}: {each['why']}"))
    typer.echo(
        f"{output}: {output.stat().st_size / 1024:.0f} KiB, {len(report['missing'])} things missing"
        " (see index.html in it)"
    )
    if lacking:
        raise typer.Exit(WRONG)


async def _collect(
    client: AsyncioClient,
    settings: Settings,
    scope: Scope,
    output: Path,
    seconds: float,
    max_mib: int,
) -> dict[str, Any]:
    api = api_of(settings)
    clock = SystemClock()
    try:
        with Archive(output, clock.now(), at_most=max_mib * 1024 * 1024) as archive:
            if api is None:
                archive.lacks(
                    "resource trees of other clusters, live drift",
                    "no ARGOCD_TOKEN in the environment",
                )
            look = diagnosis_view.closer_look(client, api, settings, clock)
            report = await Collector(
                client, look, scope, archive, clock.now(), _say, Tries(resolve, ask_git), api
            ).collect(__version__, seconds)
            if scope.only and not report["applications"]:
                why = next((m["why"] for m in report["missing"] if m["what"] == "applications"), "")
                raise Refused(
                    f"{'/'.join(scope.only)} cannot be read: {why}\nTry: recovery status", WRONG
                )
            archive.close()
            return report
    finally:
        if api is not None:
            await api.close()


def _say(what: str) -> None:
    """Progress, on stderr: the file's name is what a script wants to read."""
    typer.echo(f"recovery: {what}", err=True)
