"""recovery release: end the hold on an application, giving back what was taken."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from recovery.commands.failing import USAGE, WRONG, Refused
from recovery.commands.reaching import every, reach
from recovery.commands.run import settings_from_environment
from recovery.decide.holds import by_hand, proven, restored
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import APPLICATIONS, RECOVERIES
from recovery.kube.errors import Invalid, NotFound
from recovery.kube.reading import decoded
from recovery.model.names import HOLD
from recovery.model.recovery import Recovery
from recovery.model.text import plain, shell
from recovery.observe import wire
from recovery.record.codec import decode
from recovery.settings import Settings

Target = Annotated[str, typer.Argument(metavar="[NAMESPACE/]NAME", help="The application; without a namespace, Argo CD's own.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Say what would be given back, and change nothing.")]
Everything = Annotated[bool, typer.Option("--all", help="Every application that is held; before uninstalling.")]


def release(application: Target = "", everything: Everything = False, dry_run: Dry = False) -> None:
    """End the hold that a rollback or a failover left: auto-sync becomes what it was before, a moved application stays."""
    if bool(application) == everything:
        raise Refused("name one application, or say --all", USAGE)
    settings = settings_from_environment()
    for line in reach(lambda client: _release(client, settings, application, dry_run=dry_run)):
        typer.echo(line)


async def _release(client: AsyncioClient, settings: Settings, wanted: str, *, dry_run: bool) -> list[str]:
    if wanted:
        namespace, _, name = wanted.rpartition("/")
        return [await _one(client, settings, namespace or settings.argocd_namespace, name, dry_run=dry_run)]
    lines = []
    for place in settings.namespaces:
        async for item in every(client, APPLICATIONS, place):
            try:
                app = wire.application(item)
            except wire.Unreadable as error:
                lines.append(f"{wire.identity(item).metadata.name}: cannot be read, left alone: {error}")
                continue
            if app.hold or app.unreadable:
                try:
                    lines.append(await _one(client, settings, app.namespace, app.name, dry_run=dry_run, named=False))
                except Refused as error:
                    lines.append(str(error))  # the others are owed theirs all the same
    return lines or ["nothing is held"]


async def _kept(client: AsyncioClient, settings: Settings, name: str) -> Recovery | None:
    """The record that an annotation names; None where there is none that can be read."""
    try:
        return decode(await client.get(RECOVERIES, settings.namespace, name))
    except (NotFound, Invalid, *wire.Unreadable):
        return None


async def _one(client: AsyncioClient, settings: Settings, namespace: str, name: str, *, dry_run: bool, named: bool = True) -> str:
    """``named``: a person asked for this very application, and not for whatever is held."""
    try:
        raw = await client.get(APPLICATIONS, namespace, name)
    except NotFound as error:
        raise Refused(f"there is no application {namespace}/{name}", WRONG) from error
    try:
        app = wire.application(raw)
    except wire.Unreadable as error:
        raise Refused(f"{namespace}/{name} cannot be read, and is left alone: {error}", WRONG) from error
    fresh: dict[str, Any] = decoded(raw, dict)
    if HOLD not in (fresh["metadata"].get("annotations") or {}):
        return f"{namespace}/{name}: not held"
    owed = app.hold if app.hold and proven(app, await _kept(client, settings, app.hold.recovery)) else None
    given = by_hand(app.hold, app) if app.hold and owed is None else None
    if given and not named:
        again = f"`recovery release {shell(f'{namespace}/{name}')}` switches auto-sync on"
        return f"{namespace}/{name}: left alone, no record says what is owed; {again}"
    owed = owed or given
    if not dry_run:
        await client.patch(APPLICATIONS, namespace, name, restored(fresh, owed))
    if app.hold and owed is None:
        what = "would be removed" if dry_run else "is removed"
        return f"{namespace}/{name}: its annotation {what}; no record says that this is owed, so nothing else is changed"
    if given:
        on = f" ({plain(msgspec.json.encode(given.automated).decode(), 200)})" if app.automated is None else ""
        done = "would be released" if dry_run else "released"
        return f"{namespace}/{name}: {done}; auto-sync is on{on}, by its annotation alone: no record says so any more"
    state = "auto-sync is as it was" if app.hold and app.hold.suspended else "auto-sync was not touched"
    if app.hold and app.hold.target is not None:
        state = f"it stays on {app.hold.target} and is no longer owed to {app.hold.origin} (`recovery failback` would have moved it)"
    return f"{namespace}/{name}: {'would be released' if dry_run else 'released'}; {state}"
