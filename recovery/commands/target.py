"""Which cluster a command talks to, and where in it the controller is: kubectl's own flags, the
same for every command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Annotated, Any

import typer
from msgspec import Struct, structs
from typer.main import get_command


class Target(Struct, frozen=True):
    """Target given by the flags; empty for the default."""

    context: str = ""
    kubeconfig: str = ""
    namespace: str = ""


_TARGET: ContextVar[Target] = ContextVar("target", default=Target())  # noqa: B039 (a frozen Struct)


def target() -> Target:
    """The cluster and namespace that the running command asks."""
    return _TARGET.get()


def environment() -> Mapping[str, str]:
    """The environment with what the flags say instead."""
    named = target()
    return {**os.environ, **({"RECOVERY_NAMESPACE": named.namespace} if named.namespace else {})}


def kubeconfig() -> str:
    """The file that is to be read; empty for a Pod's own account or kubectl's default."""
    return target().kubeconfig or os.environ.get("KUBECONFIG", "")


def _keep(option: typer.CallbackParam, value: str) -> str:
    if value:
        _TARGET.set(structs.replace(target(), **{str(option.name): value}))
    return value


def _flags(
    context: Annotated[
        str,
        typer.Option(
            "--context",
            metavar="CONTEXT",
            callback=_keep,
            expose_value=False,
            help="The kubeconfig's context.",
        ),
    ] = "",
    kubeconfig: Annotated[
        str,
        typer.Option(
            "--kubeconfig",
            metavar="FILE",
            callback=_keep,
            expose_value=False,
            help="The kubeconfig; default: $KUBECONFIG, then ~/.kube/config.",
        ),
    ] = "",
    namespace: Annotated[
        str,
        typer.Option(
            "-n",
            "--namespace",
            metavar="NAMESPACE",
            callback=_keep,
            expose_value=False,
            help=(
                "Where the controller is installed; default: $RECOVERY_NAMESPACE, then"
                " gitops-system."
            ),
        ),
    ] = "",
) -> None:
    """Only its options are of use."""


def flags() -> list[Any]:
    """The options, to be added to a command's own."""
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command()(_flags)
    return [each for each in get_command(alone).params if each.name in Target.__struct_fields__]
