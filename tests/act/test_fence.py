"""The last look before a write: not without the lease, not too late after the claim, and nothing
twice for the sake of the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from recovery.act.action import Clients
from recovery.act.fence import EFFECT_WITHIN, fenced
from recovery.kube.client import APPLICATIONS, CONFIG_MAPS, DEPLOYMENTS
from recovery.kube.errors import Conflict


class Recorder:
    """A door that remembers."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **more: Any) -> str:
            self.done.append(name)
            return name

        return call


def doors(late: list[float], holds: bool = True) -> tuple[Clients, Recorder, Recorder]:
    kube, argocd = Recorder(), Recorder()

    def why(within: float | None) -> str:
        if not holds:
            return "not ours"
        return f"{late[0]}s late" if within is not None and late[0] > within else ""

    def went() -> None:
        late[0] = 0.0

    return fenced(Clients(kube, Recorder(), Recorder(), argocd), why, went), kube, argocd  # type: ignore[arg-type]


def test_without_the_lease_nothing_is_written_and_everything_may_be_read() -> None:
    async def inside() -> None:
        behind, kube, argocd = doors([0.0], holds=False)
        for what in (APPLICATIONS, DEPLOYMENTS, CONFIG_MAPS):
            with pytest.raises(Conflict, match="not ours"):
                await behind.kube.patch(what, "shop", "cart", {})
        with pytest.raises(Conflict):
            await behind.argocd.restart(None, None)  # type: ignore[union-attr, arg-type]
        await behind.kube.get(APPLICATIONS, "argocd", "cart")
        assert (kube.done, argocd.done) == (["get"], [])

    asyncio.run(inside())


def test_late_is_allowed_only_where_a_version_fences_the_write() -> None:
    async def inside() -> None:
        behind, kube, _ = doors([EFFECT_WITHIN + 1])
        await behind.kube.patch(
            APPLICATIONS, "argocd", "cart", {"metadata": {"resourceVersion": "1"}}
        )
        late, other, _ = doors([EFFECT_WITHIN + 1])
        with pytest.raises(Conflict, match="late"):
            await late.kube.patch(DEPLOYMENTS, "shop", "cart", {})
        assert (kube.done, other.done) == (["patch"], [])

    asyncio.run(inside())


def test_many_writes_of_one_claim_count_each_from_the_one_before() -> None:
    async def inside() -> None:
        late = [0.0]
        behind, _, argocd = doors(late)
        for _ in range(10):
            late[0] += 4.0  # ten workloads, four seconds each
            await behind.argocd.restart(None, None)  # type: ignore[union-attr, arg-type]
        assert argocd.done == ["restart"] * 10

    asyncio.run(inside())
