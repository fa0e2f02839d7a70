"""A diagnosis in words and as data, for people and for scripts: also of a file, without any cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import typer
import yaml

from recovery.argocd.tree import nodes
from recovery.causes.diagnose import diagnose
from recovery.causes.patient import Patient
from recovery.causes.report import told
from recovery.clock import SystemClock
from recovery.commands.failing import USAGE, Refused
from recovery.model.application import Application
from recovery.model.cause import Signs
from recovery.observe import trees, wire


def of_file(path: str, tree: str = "") -> tuple[Application, dict[str, Any]]:
    """The diagnosis of an exported Application (``-`` is standard input), with its resource tree when there is one."""
    app = _application(_bytes(path), path)
    signs = None
    if tree:
        try:
            signs = Signs(SystemClock().now(), trees.unwell(nodes(_json(_bytes(tree), tree))))
        except (msgspec.DecodeError, ValueError) as error:
            raise Refused(
                f"{tree} is no resource tree: {error}\nTry: argocd app get APP --output json, or the API's resource-tree", USAGE
            ) from error
    return app, told(diagnose(Patient(app, signs=signs)), tree_read=bool(tree))


def lines(body: dict[str, Any]) -> list[str]:
    """The same for people."""
    if body["cause"] is None:
        more = "" if body.get("tree_read", True) else " (its resource tree was not at hand: --tree)"
        return [f"  cause: none seen{more}; nothing speaks against the usual cures"]
    what = f"{body['cause']}/{body['variant']}" if body.get("variant") else body["cause"]
    about = f", {body['about']}" if body.get("about") else ""
    once = f" ({', '.join(body['once'])}: once)" if body["once"] else ""
    return [
        f"  cause: {body['code']} {what} ({body['confidence']}{about})",
        f"    {body['title']}" + (f" {body['note']}" if body.get("note") else ""),
        *(f"    seen: {line}" for line in body["evidence"]),
        *([f"    seen besides: {', '.join(body['also'])}"] if body["also"] else []),
        f"    right:     {', '.join(body['allowed']) or 'nothing that a machine should do'}{once}",
        *([f"    useless:   {', '.join(body['useless'])}"] if body["useless"] else []),
        f"    forbidden: {', '.join(body['forbidden']) or 'nothing'}",
        f"    for you:   {body['advice']}",
    ]


def _bytes(path: str) -> bytes:
    if path == "-":
        return typer.get_binary_stream("stdin").read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", USAGE) from error


def _json(raw: bytes, path: str) -> bytes:
    """JSON as it is; YAML, which kubectl and argocd print as well, turned into it."""
    if raw.lstrip()[:1] in (b"{", b"["):
        return raw
    try:
        return msgspec.json.encode(yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506 (a safe loader, the fast one where it is there)
    except (yaml.YAMLError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise Refused(f"{path} is neither JSON nor YAML: {str(error)[:200]}", USAGE) from error


def _application(raw: bytes, path: str) -> Application:
    body = _json(raw, path)
    try:
        kind = msgspec.json.decode(body, type=_Kind)
        if kind.kind not in ("", "Application"):
            raise Refused(f"{path} holds a {kind.kind}, not an Application\nTry: kubectl -n argocd get application APP -o json", USAGE)
        return wire.application(body)
    except wire.Unreadable as error:
        raise Refused(f"{path} is no Application: {str(error)[:200]}\nTry: kubectl -n argocd get application APP -o json", USAGE) from error


class _Kind(msgspec.Struct):
    kind: str = ""
