"""Leases: one owner at a time whatever happens, taken over within 20 s, and never two views of how
many shards there are."""

from __future__ import annotations

import asyncio
import functools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from recovery.kube.client import LEASES
from recovery.kube.errors import Busy, Conflict, Forbidden, KubeError, Unavailable
from recovery.kube.lease import DURATION, RENEW_DEADLINE, Shards, ranked, shard_of
from recovery.simulate import virtual
from recovery.simulate.cluster import Cluster

KINDS = (Unavailable("reset"), Busy("429", 429, 1), Conflict("409"))
UIDS = [f"uid-{n}" for n in range(40)]


@functools.cache
def members(shard: int, shards: int) -> tuple[str, ...]:
    """The subjects that are in a shard: those who hold it may act on them."""
    return tuple(uid for uid in UIDS if shard_of(uid, shards) == shard)


class Line:
    """A replica's way to the API server, which can break: before a write arrives, or on the way
    back."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.fault: Callable[[], KubeError | None] = lambda: None
        self.lost_answers = False
        self.delay = 0.0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cluster, name)

        async def call(*args: Any, **query: Any) -> Any:
            if self.delay:
                await asyncio.sleep(self.delay)
            error = self.fault()
            if error is not None and not self.lost_answers:
                raise error
            answer = await method(*args, **query)
            if error is not None:
                raise error
            return answer

        return call


class Bed:
    def __init__(self) -> None:
        self.clock = virtual.VirtualClock()
        self.cluster = Cluster(self.clock)
        self.replicas: dict[str, tuple[Shards, Line, asyncio.Task[None]]] = {}
        self.told: list[str] = []

    def start(self, name: str, shards: int = 1) -> Shards:
        line = Line(self.cluster)
        replica = Shards(line, "argocd", "recovery", shards, name, self.clock)  # type: ignore[arg-type]
        self.replicas[name] = (replica, line, asyncio.ensure_future(replica.run()))
        return replica

    def kill(self, name: str) -> None:
        """kill -9: nothing is given back."""
        self.replicas.pop(name)[2].cancel()

    def owners(self, uid: str) -> list[str]:
        return [name for name, (replica, _, _) in self.replicas.items() if replica.holds(uid)]

    async def watch(self, seconds: float) -> None:
        """Look every 100 ms whether a subject has two owners."""
        for _ in range(round(seconds * 10)):
            await self.clock.sleep(0.1)
            held = Counter[str]()
            for replica, _, _ in self.replicas.values():
                for shard in replica.held():
                    held.update(members(shard, replica.count))
            assert all(owners <= 1 for owners in held.values()), held.most_common(3)

    async def until_owned(self, within: float) -> float:
        """How long it takes until each subject has one owner."""
        for tenth in range(round(within * 10)):
            if all(len(self.owners(uid)) == 1 for uid in UIDS):
                return tenth / 10
            await self.watch(0.1)
        raise AssertionError([uid for uid in UIDS if not self.owners(uid)])

    async def end(self) -> None:
        for _, _, task in self.replicas.values():
            task.cancel()


def on_a_bed(script: Callable[[Bed], Awaitable[None]]) -> None:
    async def inside() -> None:
        bed = Bed()
        try:
            await script(bed)
        finally:
            await bed.end()

    virtual.run(inside())


def test_the_first_has_it_and_the_second_waits() -> None:
    async def script(bed: Bed) -> None:
        bed.start("a")
        assert await bed.until_owned(5) < 1
        bed.start("b")
        await bed.watch(60)
        assert len({tuple(bed.owners(uid)) for uid in UIDS}) == 1

    on_a_bed(script)


@pytest.mark.parametrize("shards", [1, 4])
def test_a_replica_that_dies_is_replaced_within_twenty_seconds(shards: int) -> None:
    async def script(bed: Bed) -> None:
        for name in "abc":
            bed.start(name, shards)
        await bed.until_owned(20)
        for name in "abc":
            bed.kill(name)
            if bed.replicas:
                assert await bed.until_owned(20) <= 20
            bed.start(name + "2", shards)
        await bed.until_owned(20)
        await bed.watch(30)

    on_a_bed(script)


def test_one_that_leaves_in_order_is_replaced_at_once() -> None:
    async def script(bed: Bed) -> None:
        bed.start("a")
        await bed.until_owned(5)
        bed.start("b")
        await bed.watch(10)
        (owner,) = bed.owners(UIDS[0])
        replica, _, task = bed.replicas.pop(owner)
        task.cancel()
        await replica.leave()
        assert await bed.until_owned(5) <= 3

    on_a_bed(script)


def test_who_cannot_renew_stops_before_another_one_begins() -> None:
    async def script(bed: Bed) -> None:
        bed.start("a", 2)
        await bed.until_owned(5)
        bed.replicas["a"][1].fault = lambda: Unavailable("connection refused")
        bed.start("b", 2)
        await bed.watch(RENEW_DEADLINE - 4)
        assert bed.owners(UIDS[0]) == ["a"], "a short fault changes nothing"
        await bed.watch(DURATION + 6)
        assert {tuple(bed.owners(uid)) for uid in UIDS} == {("b",)}

    on_a_bed(script)


def test_rights_that_are_missing_are_said_and_nobody_acts() -> None:
    async def script(bed: Bed) -> None:
        replica = bed.start("a")
        bed.replicas["a"][1].fault = lambda: Forbidden("leases is forbidden")
        with capture_logs() as logged:
            await bed.watch(30)
        assert [(line["log_level"], line["why"]) for line in logged] == [
            ("warning", "leases: leases is forbidden")
        ], "once"
        assert bed.owners(UIDS[0]) == []
        assert "leases is forbidden" in replica.trouble

    on_a_bed(script)


def test_a_rolling_change_of_the_number_has_never_two_owners() -> None:
    async def script(bed: Bed) -> None:
        for name in ("a", "b", "c"):
            bed.start(name, 2)
        await bed.until_owned(20)
        for old, new in (("a", "d"), ("b", "e"), ("c", "f")):
            replica = bed.start(new, 5)
            await bed.watch(5)
            if old != "a":
                bed.kill(old)
            else:
                leaving, _, task = bed.replicas.pop(old)
                task.cancel()
                await leaving.leave()
            await bed.watch(3)
            if old != "c":
                assert "idle" in replica.trouble
                assert not any(set(bed.owners(uid)) & {"d", "e", "f"} for uid in UIDS)
        await bed.until_owned(40)
        assert {name for uid in UIDS for name in bed.owners(uid)} <= {"d", "e", "f"}
        late = bed.start("g", 2)
        await bed.watch(20)
        assert "RECOVERY_SHARDS is 2 here and 5 for" in late.trouble, (
            "a straggler with the old number does nothing"
        )

    on_a_bed(script)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_fails_nobody_shares(seed: int) -> None:
    """Calls fail, answers are lost, replicas die, come back and are told another number: at most
    one owner each 100 ms."""

    async def script(bed: Bed) -> None:
        chance = random.Random(seed)  # noqa: S311 (a schedule that can be played again)
        for name in "abc":
            bed.start(name, 3)
        for number in range(25):
            name = chance.choice(list(bed.replicas))
            line = bed.replicas[name][1]
            match chance.randrange(6):
                case 0:
                    line.fault = lambda: chance.choice(KINDS) if chance.random() < 0.4 else None
                    line.lost_answers = chance.random() < 0.5
                case 1:
                    line.fault = lambda: Unavailable("away")
                case 2:
                    line.fault, line.delay = (lambda: None), 0.0
                case 3:
                    line.delay = chance.choice((0.5, 3.0, 9.0))
                case 4:
                    bed.kill(name)
                    bed.start(f"{name[0]}{number}", 3)
                case _:
                    bed.kill(name)
                    bed.start(f"{name[0]}{number}", chance.choice((2, 3)))
            await bed.watch(chance.uniform(1, 15))
        for name in list(bed.replicas):
            bed.kill(name)
        bed.start("last", 3)
        await bed.until_owned(60)
        leases = bed.cluster.every(LEASES)
        assert len([item for item in leases if "-shard-" in item["metadata"]["name"]]) >= 3

    on_a_bed(script)


def test_few_subjects_move_when_the_number_grows() -> None:
    uids = [f"uid-{n}" for n in range(2000)]
    moved = sum(shard_of(uid, 4) != shard_of(uid, 5) for uid in uids)

    assert 300 < moved < 500, "a fifth of them"
    assert {shard_of(uid, 5) for uid in uids} == set(range(5))


def test_all_replicas_rank_alike() -> None:
    assert ranked("shard 1", ["a", "b", "c"]) == ranked("shard 1", ["c", "b", "a"])
    assert ranked("shard 1", []) == ""


def test_two_processes_of_one_name_do_not_both_act_for_long() -> None:
    async def script(bed: Bed) -> None:
        first = bed.start("a")
        await bed.until_owned(5)
        bed.replicas["first"] = bed.replicas.pop("a")
        second = bed.start("a")
        await bed.clock.sleep(6)
        for _ in range(100):
            await bed.clock.sleep(0.1)
            assert not (first.holds("uid-1") and second.holds("uid-1"))
        assert "another process calls itself a" in first.trouble + second.trouble

    on_a_bed(script)


def test_one_that_was_cut_off_does_not_go_on_with_a_number_that_is_being_changed() -> None:
    async def script(bed: Bed) -> None:
        bed.start("a", 2)
        await bed.until_owned(5)
        away = bed.replicas["a"][1]
        away.fault = lambda: Unavailable("cut off")
        bed.start("d", 5)
        await bed.watch(DURATION + 1)
        away.fault = lambda: None
        await bed.watch(60)

    on_a_bed(script)


def test_while_replicas_differ_the_holders_longer_lease_counts() -> None:
    """A rolling update that shortens it must not make two act: who is new waits for as long as the
    old one's Lease says."""

    async def inside() -> None:
        cluster = Cluster(virtual.VirtualClock())
        clock = cluster._clock
        old = Shards(cluster, "argocd", "lease", 1, "old", clock, 120.0)
        new = Shards(cluster, "argocd", "lease", 1, "new", clock, 12.0)
        running = [asyncio.ensure_future(old.run())]
        await clock.sleep(5)
        running.append(asyncio.ensure_future(new.run()))
        for _ in range(600):
            await clock.sleep(1)
            assert not (old.lead and new.lead)
        for task in running:
            task.cancel()

    virtual.run(inside())
