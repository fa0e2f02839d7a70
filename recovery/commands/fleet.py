"""The fleet that a plan is about: from an export, or from the cluster that kubectl talks to."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from recovery.argocd.tree import nodes
from recovery.clock import SystemClock
from recovery.commands import diagnosis_view
from recovery.commands.client import every, reach
from recovery.commands.errors import USAGE, Refused
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import APPLICATION_SETS, APPLICATIONS, PROJECTS
from recovery.kube.errors import Forbidden, NotFound
from recovery.model.application import Application, ApplicationSet, Project
from recovery.model.cause import Observations
from recovery.observe import resource_tree, wire
from recovery.observe.inspector import ILL
from recovery.process import api_of
from recovery.settings import Settings

LONGEST_NAME = 200
"""Characters of a name that a file may have with what is added to it."""


class Objects(Struct):
    """Applications, projects and ApplicationSets of a fleet."""

    applications: list[Application] = []
    projects: list[Project] = []
    application_sets: list[ApplicationSet] = []
    unreadable: dict[str, str] = {}
    """Why an object cannot be read, by its name or place."""
    seen: dict[tuple[str, str], Observations] = {}
    """What a closer look at the ill ones has shown, by namespace and name."""


class _Kind(Struct):
    kind: str = ""


def exported(name: str, folder: str, now: datetime) -> Objects:
    """A list of Applications, with AppProjects and ApplicationSets where they are in it; Refused
    when it is none."""
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise Refused(f"{name}: {error.strerror}") from error
    try:
        items = wire.listed(raw).items
        if not items and b'"items"' not in raw:
            items = [msgspec.Raw(raw)]  # one Application, not a list
    except wire.Unreadable as error:
        raise Refused(
            f"{name}: not a JSON list of Applications: {error}\nTry: kubectl get"
            " applications,appprojects,applicationsets -A -o json",
            USAGE,
        ) from error
    found = sorted_out(items)
    if not found.applications and found.unreadable:
        raise Refused(
            f"{name}: no Application in it: {next(iter(found.unreadable.values()))}", USAGE
        )
    found.seen = from_folder(folder, found.applications, now)
    return found


def sorted_out(items: Iterable[msgspec.Raw]) -> Objects:
    """Objects by their kind; what cannot be read is named."""
    found = Objects()
    for number, item in enumerate(items, start=1):
        try:
            kind = msgspec.json.decode(item, type=_Kind).kind
            if kind == "AppProject":
                found.projects.append(wire.project(item))
            elif kind == "ApplicationSet":
                found.application_sets.append(wire.application_set(item))
            elif kind == "Application" and (app := wire.application(item)).name:
                found.applications.append(
                    app if app.uid else structs.replace(app, uid=str(app.key))
                )
            else:
                raise ValueError(f"a {kind or 'thing without a kind'}, not an Application")
        except wire.Unreadable as error:
            found.unreadable[f"item {number}"] = str(error)
    return found


def from_folder(
    folder: str, applications: Iterable[Application], now: datetime
) -> dict[tuple[str, str], Observations]:
    """Observations that the resource trees in a folder show of the ill ones; Refused where one is
    no resource tree."""
    seen: dict[tuple[str, str], Observations] = {}
    for app in applications if folder else ():
        names = (
            f"{app.namespace}/{app.name}.json",
            f"{app.namespace}_{app.name}.json",
            f"{app.name}.json",
            f"{app.name}.tree.json",
        )
        if app.health not in ILL and not app.rollout_paused:
            continue
        path = (
            next((path for name in names if (path := Path(folder) / name).exists()), None)
            if len(app.name) < LONGEST_NAME
            else None
        )
        if path is None:
            continue
        try:
            seen[app.namespace, app.name] = Observations(
                now, resource_tree.unwell(nodes(path.read_bytes()))
            )
        except (OSError, *wire.Unreadable) as error:
            raise Refused(f"{path} is no resource tree: {error}", USAGE) from error
    return seen


def live(settings: Settings, folder: str, now: datetime) -> Objects:
    """The fleet as the cluster has it, read with the caller's rights. Argo CD's API is asked where
    ARGOCD_SERVER and a token are set; what runs in Argo CD's own cluster is looked at there."""

    async def ask(client: AsyncioClient) -> Objects:
        items = [item async for item in every(client, APPLICATIONS, "")]
        for what in (PROJECTS, APPLICATION_SETS):
            try:
                items += [item async for item in every(client, what, "")]
            except (Forbidden, NotFound):
                # without them no project says no, and no owner is known: the controller knows more
                continue
        found = sorted_out(items)
        found.seen = from_folder(folder, found.applications, now)
        api = api_of(settings)
        try:
            look = diagnosis_view.closer_look(client, api, settings, SystemClock())
            for app in found.applications:
                key = (app.namespace, app.name)
                if (
                    (app.health in ILL or app.rollout_paused)
                    and key not in found.seen
                    and (api is not None or app.destination.in_cluster)
                ):
                    signs = await look(app, None)
                    if not signs.missing:
                        found.seen[key] = signs
        finally:
            if api is not None:
                await api.close()
        return found

    return reach(ask)
