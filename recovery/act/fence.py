"""The doors as an action is given them: each write asks first whether it is still ours to make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from recovery.act.order import ArgoCD, Doors, Ways
from recovery.kube.client import APPLICATIONS, SECRETS, Client
from recovery.kube.errors import Conflict

WITHIN = 5.0
"""Seconds after its claim was confirmed in which an effect may go out that nothing else fences: a successor never sends it
again, so it must not come late."""
LABELS_WITHIN = 15.0
"""The same for the label on a cluster's Secret: writing it twice changes nothing, and the clusters are looked at before."""

Why = Callable[[float | None], str]
"""Why nothing may be written, for an effect that has to go out within so many seconds of its claim (None: fenced by the
version it was read with); empty when it may."""


def fenced(doors: Doors, why: Why) -> Doors:
    """The same doors, each write of which raises Conflict (nothing was written) when it is no longer ours to make."""
    return Doors(
        cast("Client", _Kube(doors.kube, why)),
        cast("Ways", _Ways(doors.ways, why)),
        cast("ArgoCD", _Door(doors.argocd, why, ("restart", "invalidate"))) if doors.argocd is not None else None,
        doors.home,
    )


def _ask(why: Why, within: float | None) -> None:
    if words := why(within):
        raise Conflict(f"not written: {words}")


class _Door:
    """Some of its methods ask first."""

    def __init__(self, door: Any, why: Why, writes: tuple[str, ...]) -> None:
        self._door, self._why, self._writes = door, why, writes

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._door, name)
        if name not in self._writes:
            return method

        async def ask_first(*args: Any, **more: Any) -> Any:
            _ask(self._why, WITHIN)
            return await method(*args, **more)

        return ask_first


class _Kube(_Door):
    """An Application is fenced by its version; nothing else is."""

    def __init__(self, door: Client, why: Why) -> None:
        super().__init__(door, why, ("create", "update", "patch", "delete"))

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._door, name)
        if name not in self._writes:
            return method

        async def ask_first(what: Any, *args: Any, **more: Any) -> Any:
            _ask(self._why, {APPLICATIONS: None, SECRETS: LABELS_WITHIN}.get(what, WITHIN))
            return await method(what, *args, **more)

        return ask_first


class _Ways(_Door):
    """The ways it finds are fenced as well."""

    def __init__(self, door: Ways, why: Why) -> None:
        super().__init__(door, why, ())

    async def to(self, server: str) -> Any:
        """The way to a cluster."""
        there = await self._door.to(server)
        return _Door(there, self._why, ("delete",)) if there is not None else None
