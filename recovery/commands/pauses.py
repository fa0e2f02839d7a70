"""recovery pause, silence and resume: what people file in the ConfigMap recovery-pauses."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from recovery.commands.client import reach
from recovery.commands.completion import subjects
from recovery.commands.errors import USAGE, WRONG, Refused
from recovery.commands.naming import subject_name
from recovery.commands.requests import whoami
from recovery.commands.run import settings_from_environment
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import APPLICATIONS, CONFIG_MAPS
from recovery.kube.errors import Conflict, KubeError, NotFound
from recovery.model.duration import Duration
from recovery.model.selector import Selector
from recovery.model.text import shell
from recovery.model.window import Pause
from recovery.observe.pauses import NAME, read, write
from recovery.observe.policy_source import ConfigMap

Subject = Annotated[
    str,
    typer.Argument(
        metavar="[SUBJECT]",
        autocompletion=subjects,
        help="NAMESPACE/NAME of an application, cluster/NAME, or repository/URL.",
    ),
]
Project = Annotated[str, typer.Option("--project", help="All applications of a project (a glob).")]
Everything = Annotated[bool, typer.Option("--all", help="All subjects.")]
Lasting = Annotated[
    str,
    typer.Option(
        "--for", metavar="DURATION", help="How long, such as 2h; default: until it is resumed."
    ),
]
Reason = Annotated[str, typer.Option("--reason", help="Reason, shown in notifications.")]


def pause(
    subject: Subject = "",
    project: Project = "",
    everything: Everything = False,
    lasting: Lasting = "",
    reason: Reason = "",
) -> None:
    """Pause recovery of a subject, a project or everything.

    What is under way is finished."""
    _file(subject, project, everything=everything, lasting=lasting, reason=reason, silences=False)


def silence(
    subject: Subject = "",
    project: Project = "",
    everything: Everything = False,
    lasting: Lasting = "",
    reason: Reason = "",
) -> None:
    """Silence notifications; recovery continues.

    For a subject, a project or everything."""
    if not lasting:
        raise Refused("a silence needs an end: --for 2h", USAGE)
    _file(subject, project, everything=everything, lasting=lasting, reason=reason, silences=True)


def resume(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]", help="Name of a pause or a silence; without one, list them."
        ),
    ] = "",
) -> None:
    """End a pause or a silence.

    Without a name, list them."""
    settings = settings_from_environment()
    found = reach(lambda client: _filed(client, settings.namespace))
    if not name:
        for each in found:
            until = f" until {each.until:%Y-%m-%d %H:%M} UTC" if each.until else ""
            typer.echo(
                f"{each.name}{until} by {each.by or 'somebody'}: {each.reason or 'no reason given'}"
            )
        if not found:
            typer.echo("nothing is paused")
        return
    if name not in {each.name for each in found}:
        raise Refused(f"nothing is paused as {name!r}\nTry: recovery resume", WRONG)
    reach(
        lambda client: client.patch(CONFIG_MAPS, settings.namespace, NAME, {"data": {name: None}})
    )
    typer.echo(f"{name}: resumed")


def _pause(
    subject: str, project: str, *, everything: bool, lasting: str, reason: str, silences: bool
) -> Pause:
    if sum(map(bool, (subject, project, everything))) != 1:
        raise Refused("name one of: a subject, --project, --all", USAGE)
    try:
        until = datetime.now(UTC) + Duration.parse(lasting) if lasting else None
    except ValueError as error:
        raise Refused(f"--for: {error}", USAGE) from error
    what = subject or (f"project-{project}" if project else "all")
    plain = ("silence-" if silences else "") + what.replace(
        "/", ".", 1
    )  # no namespace has a dot in its name
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain)[:200].strip("-")
    if name != plain:
        name += (
            "-" + hashlib.sha256(plain.encode()).hexdigest()[:6]
        )  # two subjects never share an entry
    return Pause(selector(subject, project), reason, "", until, name, silences)


def selector(subject: str, project: str, *, exact: bool = False) -> Selector:
    """Whom it is about; nothing given means everything. ``exact``: the subject's name is no glob.
    An address may have brackets."""
    if project:
        return Selector(projects=(project,))
    if not subject:
        return Selector()
    kind, _, rest = subject.partition("/")
    if exact or kind in ("cluster", "repository"):
        rest = re.sub(r"[*?[]" if exact else r"\[", r"[\g<0>]", rest)
    match kind:
        case "cluster":
            return Selector(clusters=(rest,), names=(rest,))
        case "repository":
            return Selector(repositories=(rest,), names=(rest,))
        case _ if rest:
            return Selector(namespaces=(kind,), names=(rest,))
        case _:
            return Selector(names=(kind,))


def _file(
    subject: str, project: str, *, everything: bool, lasting: str, reason: str, silences: bool
) -> None:
    settings = settings_from_environment()

    async def ask(client: AsyncioClient) -> tuple[Pause, str, str]:
        named = await subject_name(client, settings, subject) if subject else ""
        # What a record is about is that and nothing else, whatever characters its name has; what a
        # person typed may be a glob.
        exact = "/" not in subject
        entry = _pause(
            named, project, everything=everything, lasting=lasting, reason=reason, silences=silences
        )
        if named:
            entry = msgspec.structs.replace(entry, selector=selector(named, project, exact=exact))
        unknown = await _unknown(client, named) if named else ""
        return entry, await _write(client, settings.namespace, entry), unknown

    _pause(
        subject, project, everything=everything, lasting=lasting, reason=reason, silences=silences
    )  # before a cluster is asked
    entry, by, unknown = reach(ask)
    until = f" until {entry.until:%Y-%m-%d %H:%M} UTC" if entry.until else ""
    typer.echo(
        f"{entry.name}: {'silenced' if entry.silences else 'paused'} by {by}{until}; `recovery"
        f" resume {shell(entry.name)}` ends it"
    )
    if unknown:
        what = "silenced" if entry.silences else "paused"
        typer.echo(f"recovery: {unknown}; it is {what} all the same, should it come", err=True)


async def _unknown(client: AsyncioClient, subject: str) -> str:
    """A warning that nothing of this name exists, which is more often a typing error than what is
    meant; empty where it is, or nobody knows."""
    namespace, _, name = subject.partition("/")
    if namespace in ("cluster", "repository") or any(
        set("*?[") & set(part) for part in (namespace, name)
    ):
        return ""
    try:
        await client.get(APPLICATIONS, namespace, name)
    except NotFound:
        return f"no Application {name} is known in namespace {namespace}"
    except KubeError:
        return ""
    return ""


async def _write(client: AsyncioClient, namespace: str, entry: Pause) -> str:
    by = await whoami(client)
    data = {entry.name: write(msgspec.structs.replace(entry, by=by))}
    try:
        await client.patch(CONFIG_MAPS, namespace, NAME, {"data": data})
    except NotFound:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": namespace},
            "data": data,
        }
        try:
            await client.create(CONFIG_MAPS, namespace, body)
        except Conflict:
            await client.patch(CONFIG_MAPS, namespace, NAME, {"data": data})
    return by


async def _filed(client: AsyncioClient, namespace: str) -> list[Pause]:
    try:
        item = msgspec.json.decode(await client.get(CONFIG_MAPS, namespace, NAME), type=ConfigMap)
    except NotFound:
        return []
    return [read(name, text) for name, text in sorted((item.data or {}).items())]
