"""A diagnosis in words and as data, for people and for scripts: also of a file, without any
cluster."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import typer
import yaml

from recovery.argocd.api import ArgoCDAPI
from recovery.argocd.ownership import Ownership
from recovery.argocd.tree import nodes
from recovery.causes.case import DiagnosisInput
from recovery.causes.diagnose import diagnose
from recovery.causes.report import told
from recovery.clock import Clock, SystemClock
from recovery.commands.errors import USAGE, Refused
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import PROJECTS
from recovery.kube.errors import KubeError
from recovery.model.application import Application, Project
from recovery.model.argocd_version import ArgoCDFeatures
from recovery.model.cause import Observations
from recovery.model.text import plain
from recovery.observe import resource_tree, wire
from recovery.observe.inspector import Inspector
from recovery.settings import Settings

LARGEST_TREE = 64 * 1024 * 1024
"""Bytes of a file that is read: a whole resource tree of a large application has a few MiB."""
DEEPEST_TREE = 100


def of_file(path: str, tree: str = "") -> tuple[Application, dict[str, Any]]:
    """The diagnosis of an exported Application (``-`` is standard input), with its resource tree
    when there is one."""
    app = _application(_bytes(path), path)
    signs = None
    if tree:
        try:
            signs = Observations(
                SystemClock().now(), resource_tree.unwell(nodes(_json(_bytes(tree), tree)))
            )
        except (msgspec.DecodeError, ValueError) as error:
            raise Refused(
                f"{tree} is no resource tree: {error}\nTry: argocd app get APP --output json, or"
                " the API's resource-tree",
                USAGE,
            ) from error
    return app, told(diagnose(DiagnosisInput(app, signs=signs)), tree_read=bool(tree))


def closer_look(
    client: AsyncioClient, api: ArgoCDAPI | None, settings: Settings, clock: Clock
) -> Inspector:
    """Closer looks with the rights of whoever calls: what is not proven to be an application's is
    not read further here either."""

    async def project(name: str) -> Project | None:
        try:
            return wire.project(await client.get(PROJECTS, settings.argocd_namespace, name))
        except (KubeError, *wire.Unreadable):
            return None

    return Inspector(
        client,
        api,
        clock,
        dict,
        Ownership(client, settings.argocd_namespace, clock, ArgoCDFeatures, project),
    )


def lines(body: dict[str, Any]) -> list[str]:
    """The diagnosis as lines for people."""
    if body["cause"] is None:
        more = "" if body.get("tree_read", True) else " (its resource tree was not at hand: --tree)"
        return [f"  cause: none seen{more}; no usual remedy is ruled out"]
    what = f"{body['cause']}/{body['variant']}" if body.get("variant") else body["cause"]
    about = f", {body['about']}" if body.get("about") else ""
    once = f" ({', '.join(body['once'])}: once)" if body["once"] else ""
    return [
        f"  cause: {body['code']} {what} ({body['confidence']}{about})",
        f"    {body['title']}" + (f" {body['note']}" if body.get("note") else ""),
        *(f"    seen: {line}" for line in body["evidence"]),
        *([f"    seen besides: {', '.join(body['also'])}"] if body["also"] else []),
        f"    recommended: {', '.join(body['allowed']) or 'none automatic'}{once}",
        *([f"    ineffective: {', '.join(body['useless'])}"] if body["useless"] else []),
        f"    forbidden:   {', '.join(body['forbidden']) or 'nothing'}",
        f"    manual:      {body['advice']}",
    ]


def _bytes(path: str) -> bytes:
    try:
        raw = (
            typer.get_binary_stream("stdin").read(LARGEST_TREE + 1)
            if path == "-"
            else _read(Path(path))
        )
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", USAGE) from error
    if len(raw) > LARGEST_TREE:
        raise Refused(
            f"{path} is larger than {LARGEST_TREE // 1024**2} MiB; an Application has 1.5 at most",
            USAGE,
        )
    return raw


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_TREE + 1)


class _Plainly(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the fast one where it is there
    """YAML with the values that JSON has, and no tags: dates and numbers of base 60 stay the text
    that they are."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own name and shape)
    yaml_constructors = {  # noqa: RUF012
        f"tag:yaml.org,2002:{kind}": yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{kind}"]
        for kind in ("null", "bool", "int", "float", "str", "seq", "map")
    }


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]{1,300}", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]{1,300}|[0-9]{1,300}(?:\.[0-9]{0,300})?)(?:[eE][-+]?[0-9]{1,3})?",
        "-+.0123456789",
    ),
):
    _Plainly.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(rf"(?:{_pattern})\Z"),
        [c if c != "\0" else "" for c in _first],
    )


def _json(raw: bytes, path: str) -> bytes:
    """JSON as it is; YAML, which kubectl and argocd print as well, turned into it."""
    if raw.lstrip()[:1] in (b"{", b"["):
        return raw
    try:
        depth = 0
        for event in yaml.parse(raw, Loader=_Plainly):
            if isinstance(event, yaml.AliasEvent):
                raise Refused(
                    f"{path} has a YAML alias, which no export has: a few lines with aliases can"
                    " fill any memory",
                    USAGE,
                )
            if tag := getattr(event, "tag", None):
                raise Refused(
                    f"{path} has the YAML tag {plain(str(tag), 80)}, which no export has", USAGE
                )
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
                event, yaml.CollectionEndEvent
            )
            if depth > DEEPEST_TREE:
                raise Refused(f"{path} is nested more than {DEEPEST_TREE} levels deep", USAGE)
        return msgspec.json.encode(yaml.load(raw, Loader=_Plainly))  # noqa: S506 (a safe loader, and less)
    except (
        yaml.YAMLError,
        ValueError,
        TypeError,
        ArithmeticError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as error:
        raise Refused(f"{path} is neither JSON nor YAML: {str(error)[:200]}", USAGE) from error


def _application(raw: bytes, path: str) -> Application:
    body = _json(raw, path)
    try:
        kind = msgspec.json.decode(body, type=_Kind)
        if kind.kind not in ("", "Application"):
            raise Refused(
                f"{path} holds a {kind.kind}, not an Application\nTry: kubectl -n argocd get"
                " application APP -o json",
                USAGE,
            )
        return wire.application(body)
    except wire.Unreadable as error:
        raise Refused(
            f"{path} is no Application: {str(error)[:200]}\nTry: kubectl -n argocd get application"
            " APP -o json",
            USAGE,
        ) from error


class _Kind(msgspec.Struct):
    kind: str = ""
