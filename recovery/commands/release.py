"""recovery release: end the hold on an application, giving back what was taken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

import msgspec
import typer

from recovery.clock import SystemClock
from recovery.commands.client import every, reach
from recovery.commands.completion import applications
from recovery.commands.errors import USAGE, WRONG, Refused
from recovery.commands.naming import subject_name
from recovery.commands.requests import whoami, write
from recovery.commands.run import settings_from_environment
from recovery.decide.holds import RELEASE, by_hand, effective, restored
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import APPLICATIONS, RECOVERIES
from recovery.kube.errors import Forbidden, NotFound
from recovery.kube.reading import decoded
from recovery.model.application import Application, Hold
from recovery.model.names import HOLD
from recovery.model.recovery import Recovery
from recovery.model.text import plain, shell
from recovery.observe import wire
from recovery.record.codec import decode
from recovery.settings import Settings

Target = Annotated[
    str,
    typer.Argument(
        metavar="[NAMESPACE/]NAME",
        autocompletion=applications,
        help="The application; without a namespace, Argo CD's own.",
    ),
]
Dry = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be released, and change nothing.")
]
Everything = Annotated[
    bool, typer.Option("--all", help="Every application that is held; before uninstalling.")
]


def release(application: Target = "", everything: Everything = False, dry_run: Dry = False) -> None:
    """End the hold of a rollback or a failover.

    Auto-sync becomes what it was before; a moved application stays where it is."""
    if bool(application) == everything:
        raise Refused("name one application, or say --all", USAGE)
    settings = settings_from_environment()
    for line in reach(lambda client: _named(client, settings, application, dry_run=dry_run)):
        typer.echo(line)


async def _named(
    client: AsyncioClient, settings: Settings, named: str, *, dry_run: bool
) -> list[str]:
    wanted = await subject_name(client, settings, named) if named else ""
    return await _release(client, settings, wanted, dry_run=dry_run)


async def _release(
    client: AsyncioClient, settings: Settings, wanted: str, *, dry_run: bool
) -> list[str]:
    records = [r async for r in _records(client, settings)]
    if wanted:
        namespace, _, name = wanted.rpartition("/")
        return [
            await _one(
                client,
                settings,
                namespace or settings.argocd_namespace,
                name,
                records,
                dry_run=dry_run,
            )
        ]
    owed = {
        (r.subject.namespace, r.subject.name)
        for r in records
        if r.debt is not None and r.subject.kind == "Application"
    }
    lines = []
    for place in settings.namespaces:
        async for item in every(client, APPLICATIONS, place):
            try:
                app = wire.application(item)
            except wire.Unreadable as error:
                lines.append(
                    f"{wire.identity(item).metadata.name}: cannot be read, left alone: {error}"
                )
                continue
            if app.hold or app.unreadable or (app.namespace, app.name) in owed:
                try:
                    lines.append(
                        await _one(
                            client,
                            settings,
                            app.namespace,
                            app.name,
                            records,
                            dry_run=dry_run,
                            named=False,
                        )
                    )
                except Refused as error:
                    lines.append(str(error))  # the others are owed theirs all the same
    return lines or ["nothing is held"]


async def _records(client: AsyncioClient, settings: Settings) -> AsyncIterator[Recovery]:
    """Every record that can be read: what is owed stands there, whether or not an annotation says
    so."""
    async for item in every(client, RECOVERIES, settings.namespace):
        with suppress(*wire.Unreadable):
            yield decode(item)


async def _one(
    client: AsyncioClient,
    settings: Settings,
    namespace: str,
    name: str,
    records: list[Recovery],
    *,
    dry_run: bool,
    named: bool = True,
) -> str:
    """``named``: a person asked for this very application, and not for whatever is held."""
    try:
        raw = await client.get(APPLICATIONS, namespace, name)
    except NotFound as error:
        raise Refused(f"there is no application {namespace}/{name}", WRONG) from error
    try:
        app = wire.application(raw)
    except wire.Unreadable as error:
        raise Refused(
            f"{namespace}/{name} cannot be read, and is left alone: {error}", WRONG
        ) from error
    fresh: dict[str, Any] = decoded(raw, dict)
    mine = [
        r
        for r in records
        if r.debt is not None and (r.subject.namespace, r.subject.name) == (namespace, name)
    ]
    by_name = {r.name: r for r in records}
    app = effective(app, by_name.get, sorted(mine, key=lambda r: r.opened_at, reverse=True))
    if app.hold is None and HOLD not in (fresh["metadata"].get("annotations") or {}):
        return f"{namespace}/{name}: not held"
    given = by_hand(app.noted, app) if app.noted and app.hold is None else None
    if given and not named:
        again = f"`recovery release {shell(f'{namespace}/{name}')}` switches auto-sync on"
        return f"{namespace}/{name}: left alone, no record says what is owed; {again}"
    if not dry_run:
        await client.patch(
            APPLICATIONS, namespace, name, restored(fresh, app.hold or given, taken_out=named)
        )
        if app.hold is not None:
            await _tell(client, settings, app.hold.recovery)
    return f"{namespace}/{name}: {_words(app, given, dry_run=dry_run)}"


async def _tell(client: AsyncioClient, settings: Settings, record: str) -> None:
    """The record is the truth of a hold: that a person ended it is asked of it. Who may not write
    it has ended it all the same, as long as auto-sync was what it held."""
    with suppress(Refused, Forbidden):
        await write(
            client,
            settings.namespace,
            record,
            lambda _: (RELEASE.name,),
            await whoami(client),
            SystemClock(),
        )


def _words(app: Application, given: Hold | None, *, dry_run: bool) -> str:
    """Summary of what was done, or would be."""
    done = "would be released" if dry_run else "released"
    if given:
        on = (
            f" ({plain(msgspec.json.encode(given.automated).decode(), 200)})"
            if app.automated is None
            else ""
        )
        return f"{done}; auto-sync is on{on}, by its annotation alone: no record says so any more"
    if app.hold is None:
        what = "would be removed" if dry_run else "is removed"
        return (
            f"its annotation {what}; no Recovery says that this is owed, so nothing else is changed"
        )
    if app.hold.target is not None:
        return (
            f"{done}; it stays on {app.hold.target} and is no longer owed to {app.hold.origin}"
            " (`recovery failback` would have moved it)"
        )
    return (
        f"{done}; {'auto-sync is as it was' if app.hold.suspended else 'auto-sync was not touched'}"
    )
