"""The doors as an action is given them: each write asks first whether it is still ours to make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from recovery.act.action import ArgoCD, Clients, ClusterClients
from recovery.kube.client import APPLICATIONS, SECRETS, Client
from recovery.kube.errors import Conflict

EFFECT_WITHIN = 5.0
"""Seconds after its claim was confirmed, or the claim's last write went out, in which an effect may
go out that nothing else fences: a successor never sends it again, so it must not come late."""
LABELS_WITHIN = 15.0
"""The same for the label on a cluster's Secret: writing it twice changes nothing, and the clusters
are looked at before."""

Why = Callable[[float | None], str]
"""Why nothing may be written, for an effect that has to go out within so many seconds of its claim
(None: fenced by the version it was read with); empty when it may."""


def fenced(doors: Clients, why: Why, went: Callable[[], None]) -> Clients:
    """The same doors, each write of which raises Conflict (nothing was written) when it is no
    longer ours to make; ``went`` hears of each that went out: the next one of the same claim counts
    from there."""
    return Clients(
        cast(
            "Client",
            _Door(doors.kube, why, went, ("create", "update", "patch", "delete"), _by_kind),
        ),
        cast("ClusterClients", _Ways(doors.ways, why, went, ())),
        doors.owns,
        cast("ArgoCD", _Door(doors.argocd, why, went, ("restart", "invalidate")))
        if doors.argocd is not None
        else None,
        doors.home,
        doors.dialect,
    )


class _Door:
    """Some of its methods ask first."""

    def __init__(
        self,
        door: Any,
        why: Why,
        went: Callable[[], None],
        writes: tuple[str, ...],
        within: Callable[[tuple[Any, ...]], float | None] = lambda _: EFFECT_WITHIN,
    ) -> None:
        """``within`` says by its arguments how late after its claim a write may be."""
        self._door, self._why, self._went, self._writes, self._within = (
            door,
            why,
            went,
            writes,
            within,
        )

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._door, name)
        if name not in self._writes:
            return method

        async def ask_first(*args: Any, **more: Any) -> Any:
            if words := self._why(self._within(args)):
                raise Conflict(f"not written: {words}")
            answer = await method(*args, **more)
            self._went()
            return answer

        return ask_first


def _by_kind(args: tuple[Any, ...]) -> float | None:
    """An Application is fenced by its version; nothing else is."""
    return {APPLICATIONS: None, SECRETS: LABELS_WITHIN}.get(args[0], EFFECT_WITHIN)


class _Ways(_Door):
    """The ways it finds are fenced as well."""

    async def to(self, server: str) -> Any:
        """The client of a cluster with writes fenced; None where there is none."""
        there = await self._door.to(server)
        return _Door(there, self._why, self._went, ("delete",)) if there is not None else None
