"""Two and three whole controllers side by side: nothing is done twice, all is done, and one that
dies is replaced."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from recovery.app import App
from recovery.kube.client import LEASES, RECOVERIES, Resource
from recovery.model.recovery import RecoveryPhase
from recovery.serve.auth import EVERYBODY
from recovery.settings import Settings
from recovery.simulate.manifests import deployment
from tests.operations import counted
from tests.play import Play, play
from tests.stage import policies as short_policies

POLICIES = (
    short_policies("web")
    + "guards: {storm: {minimum: 1000}, budget: {in_flight: 30, per_cluster: 100, per_project: 100}}\n"
)
NAMES = tuple(f"web-{n}" for n in range(12))


class Replica:
    def __init__(self, p: Play, number: int, shards: int, client: Any = None) -> None:
        settings = Settings(identity=f"controller-{number}", shards=shards)
        self.app = App(settings, client or p, p.clock, p.send, None, p.world.looks)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.app.run())

    async def dies(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def stops(self) -> None:
        self.app.stop()
        await self.task


@contextlib.asynccontextmanager
async def replicas(p: Play, count: int, shards: int) -> AsyncIterator[list[Replica]]:
    running = [Replica(p, number, shards) for number in range(count)]
    await p.clock.sleep(15)
    try:
        yield running
    finally:
        for replica in running:
            if not replica.task.done():
                await replica.stops()


async def break_and_wait(p: Play, seconds: float) -> None:
    for name in NAMES:
        await p.world.application(
            name, (deployment(name, "crash-until-restart", 5),), project=f"p-{name}"
        )
    await p.clock.sleep(seconds)


def test_three_share_the_work_and_do_nothing_twice() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        done = counted(p.world.cluster)
        async with replicas(p, 3, 6) as running:
            held = [r.app.shards.held() for r in running]
            assert sorted(shard for shards in held for shard in shards) == list(range(6))
            assert sum(bool(shards) for shards in held) > 1, "the work is shared"
            await break_and_wait(p, 300)
            assert [r.phase for r in p.world.recoveries()] == [RecoveryPhase.Resolved] * 12
            assert all(times == 1 for times in done.values())
            restarts = Counter(
                w[3]
                for w in p.world.cluster.writes
                if "restartedAt" in str(w[4]) and w[0] == "patch"
            )
            assert restarts == Counter(NAMES), "each was restarted once"
            shown = [r.app.views.recoveries(EVERYBODY.sees) for r in running]
            assert len({len(body["recoveries"]) for body in shown}) == 1, (
                "every replica shows all of it"
            )
            assert {body["replica"]["identity"] for body in shown} == {
                "controller-0",
                "controller-1",
                "controller-2",
            }

    play(script)


def test_one_that_dies_in_the_middle_is_replaced_and_what_it_did_is_found_again() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        done = counted(p.world.cluster)
        async with replicas(p, 2, 1) as running:
            (leader,) = [r for r in running if r.app.shards.lead]
            await break_and_wait(p, 18)
            assert any(not r.phase.over for r in p.world.recoveries()), "it is in the middle"
            await leader.dies()
            await p.clock.sleep(20)
            (other,) = [r for r in running if r is not leader]
            assert other.app.shards.lead, "within 20 s"
            await p.clock.sleep(300)
            assert [r.phase for r in p.world.recoveries()] == [RecoveryPhase.Resolved] * 12
            assert all(times == 1 for times in done.values())
            restarts = Counter(
                w[3]
                for w in p.world.cluster.writes
                if "restartedAt" in str(w[4]) and w[0] == "patch"
            )
            assert restarts == Counter(NAMES)

    play(script)


def test_one_that_only_looks_does_not_keep_the_other_from_acting() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        looking = App(
            Settings(identity="looker", enabled=False, namespace="other"),
            p,
            p.clock,
            p.send,
            None,
            p.world.looks,
        )  # type: ignore[arg-type]
        task = asyncio.create_task(looking.run())
        async with replicas(p, 1, 1) as running:
            assert running[0].app.shards.lead
            names = {
                item["metadata"]["name"].rpartition("-shard-")[0]
                for item in p.world.cluster.every(LEASES)
            } - {""}
            assert "gitops-recovery-controller" in names
        looking.stop()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    play(script)


class Behind:
    """A way to the API server whose watch of records is a minute behind."""

    def __init__(self, p: Play) -> None:
        self._play = p

    def __getattr__(self, name: str) -> Any:
        return getattr(self._play, name)

    @contextlib.asynccontextmanager
    async def watch(
        self, what: Resource, *args: Any, **query: Any
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._play.watch(what, *args, **query) as lines:
            yield self._late(lines) if what == RECOVERIES else lines

    async def _late(self, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in lines:
            await self._play.clock.sleep(60)
            yield line


def test_one_that_takes_over_reads_what_the_other_one_wrote_last() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        for name in NAMES:
            await p.world.application(name, (deployment(name, "ready", 5),), project=f"p-{name}")
        first = Replica(p, 1, 1)
        await p.clock.sleep(15)
        second = Replica(p, 0, 1, Behind(p))
        await p.clock.sleep(15)
        if second.app.shards.lead:
            pytest.fail("the names are chosen so that the first one leads")
        await p.clock.sleep(60)
        for name in NAMES:
            await p.world.commit(name, (deployment(name, "crash", 5),))
        while not p.world.recoveries():
            await p.clock.sleep(1)
        await first.dies()
        while not second.app.shards.lead:
            await p.clock.sleep(0.1)
        await p.clock.sleep(1)
        known = {(r.name, r.version) for r in second.app.recoveries.all()}
        assert {(r.name, r.version) for r in p.world.recoveries()} <= known
        await p.clock.sleep(120)
        assert second.app.freshness().fresh
        assert (
            max(
                Counter(r.subject.uid for r in p.world.recoveries() if not r.phase.over).values(),
                default=0,
            )
            <= 1
        )
        await second.stops()

    play(script)
