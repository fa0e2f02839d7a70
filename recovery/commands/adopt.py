"""recovery adopt: take on what was unhealthy before the controller came."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct

from recovery.commands.client import ask_controller, every, reach
from recovery.commands.completion import applications
from recovery.commands.errors import USAGE, WRONG, Refused
from recovery.commands.naming import subject_name
from recovery.commands.run import settings_from_environment
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import APPLICATIONS, CONFIG_MAPS
from recovery.kube.errors import Conflict, KubeError
from recovery.kube.reading import decoded
from recovery.model.application import Application
from recovery.model.selector import Selector
from recovery.observe import wire
from recovery.observe.adoption import ADOPTED, ADOPTED_AT, MAX_ADOPTIONS, Adoption, adoptions
from recovery.settings import Settings

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[APPLICATION...]",
        autocompletion=applications,
        help="As [NAMESPACE/]NAME; globs may be used.",
    ),
]
Project = Annotated[str, typer.Option("--project", help="All applications of a project (a glob).")]
Dry = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be adopted, and change nothing.")
]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask for confirmation.")]
ADOPTION = "PreExisting"
"""The guard that holds them back."""
SHOWN_ADOPTED = 20


class _Held(Struct):
    """Applications that are held back, as far as it is known."""

    names: list[str]
    known: bool
    more: bool


def adopt(
    names: Names = None, project: Project = "", dry_run: Dry = False, yes: Yes = False
) -> None:
    """Adopt applications that were unhealthy at installation.

    From then on they are recovered like all others."""
    if names and project:
        raise Refused("name applications, or a project", USAGE)
    settings, now = settings_from_environment(), datetime.now(UTC).replace(microsecond=0)

    async def ask(client: AsyncioClient) -> tuple[tuple[Adoption, ...], _Held]:
        chosen = [await subject_name(client, settings, name) for name in names or ()]
        wanted = tuple(
            Adoption(now, namespaces=(n.partition("/")[0],), names=(n.partition("/")[2],))
            for n in chosen
        )
        if project:
            wanted = (Adoption(now, projects=(project,)),)
        return wanted, await _held(client, settings, wanted)

    wanted, held = reach(ask)
    count = (
        f"{'at least ' * held.more}{len(held.names)} application{'s' * (len(held.names) != 1)}"
        if held.known
        else "applications"
    )
    if not held.known:
        typer.echo(
            "recovery: the controller does not answer; which applications are suppressed is"
            " unknown",
            err=True,
        )
    for name in held.names[:SHOWN_ADOPTED]:
        typer.echo(f"  {name}")
    if len(held.names) > SHOWN_ADOPTED:
        typer.echo(f"  ... and {len(held.names) - SHOWN_ADOPTED} more")
    if dry_run:
        typer.echo(f"{count} would be adopted; nothing is changed")
        return
    if wanted and held.known and not held.names:
        raise Refused(
            "none of these is suppressed by PreExisting; nothing is changed\nTry: recovery status"
            " --all",
            WRONG,
        )
    if (
        sys.stdin.isatty()
        and not yes
        and not typer.confirm(
            f"Adopt {count}? They are recovered like all others, rollback and prune included"
        )
    ):
        raise Refused("nothing is changed", WRONG)
    reach(lambda client: _write(client, settings, wanted, now))
    who = (
        f"{count} seen before {now.isoformat()}"
        if wanted
        else f"everything seen before {now.isoformat()}"
    )
    typer.echo(
        f"adopted: {who} is recovered from now on, with rollback and prune as the policies say"
    )


async def _held(client: AsyncioClient, settings: Settings, wanted: tuple[Adoption, ...]) -> _Held:
    try:
        body: dict[str, Any] = decoded(
            await ask_controller(client, settings.namespace, "/api/v1/recoveries"), dict
        )
    except (KubeError, msgspec.DecodeError):
        return _Held([], known=False, more=False)
    held = sorted(
        {str(row["subject"]) for row in body.get("pending") or () if row.get("by") == ADOPTION}
    )
    if wanted:
        chosen = await _chosen(
            client, settings, lambda app: any(each.selector.selects(app) for each in wanted)
        )
        held = [name for name in held if name in chosen]
    return _Held(
        held, known=True, more=len(body.get("pending") or ()) < (body.get("pending_total") or 0)
    )


async def _chosen(
    client: AsyncioClient, settings: Settings, selects: Callable[[Application], bool]
) -> set[str]:
    found = set()
    for place in settings.namespaces:
        async for item in every(client, APPLICATIONS, place):
            try:
                app = wire.application(item)
            except wire.Unreadable:
                continue
            if selects(app):
                found.add(str(app.key))
    return found


async def _write(
    client: AsyncioClient, settings: Settings, wanted: tuple[Adoption, ...], now: datetime
) -> None:
    """Everything is one time; a selection joins the list of those before it."""
    if not wanted:
        body: dict[str, Any] = {
            "metadata": {"annotations": {ADOPTED_AT: now.isoformat(timespec="seconds")}}
        }
        await client.patch(CONFIG_MAPS, settings.namespace, settings.policies, body)
        return
    for _ in range(5):
        held: dict[str, Any] = decoded(
            await client.get(CONFIG_MAPS, settings.namespace, settings.policies), dict
        )
        meta = held.get("metadata") or {}
        before = adoptions(meta.get("annotations") or {}).chosen
        kept = [
            each
            for each in before
            if each.selector not in [w.selector for w in wanted] and each.selector != Selector()
        ]
        text = msgspec.json.encode([*kept, *wanted][-MAX_ADOPTIONS:]).decode()
        body = {
            "metadata": {
                "annotations": {ADOPTED: text},
                "resourceVersion": str(meta.get("resourceVersion", "")),
            }
        }
        try:
            await client.patch(CONFIG_MAPS, settings.namespace, settings.policies, body)
        except Conflict:
            continue
        return
    raise Refused(f"ConfigMap {settings.policies} changes all the time; try again", WRONG)
