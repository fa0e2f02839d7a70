"""What is remembered across a restart, and what our own absence does to it."""

from __future__ import annotations

import base64
import zlib
from datetime import timedelta

import msgspec
import pytest

from recovery.kube.client import CONFIG_MAPS
from recovery.model.situation import HealthyRevision, SubjectState
from recovery.record.checkpoint import CHECKPOINT_FORMAT, PER_BUCKET, Checkpoint, NewerCheckpoint
from recovery.simulate import virtual
from recovery.simulate.cluster import Cluster
from tests.builders import GOOD, NOW, a_recovery


def sights(clock: virtual.VirtualClock, count: int = 1) -> dict[str, SubjectState]:
    since = clock.now() - timedelta(minutes=4)
    return {
        f"uid-{n}": SubjectState(
            f"uid-{n}",
            since,
            {"health=Degraded": since},
            soaking=HealthyRevision(1, (GOOD,), since),
            ledger=(HealthyRevision(0, (GOOD,), NOW),),
        )
        for n in range(count)
    }


def test_clocks_do_not_count_the_time_in_which_nobody_watched() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        written = sights(clock)
        await Checkpoint(cluster, "ours", clock).save(written, {"uid-0"}, ticking=True)
        await clock.sleep(3600)
        read = await Checkpoint(cluster, "ours", clock).load()
        lasted = clock.now() - read["uid-0"].clocks["health=Degraded"]
        assert abs(lasted - timedelta(minutes=4)) <= timedelta(seconds=1)
        assert read["uid-0"].soaking is None, "a soak that was not watched starts again"
        assert read["uid-0"].ledger == written["uid-0"].ledger

    virtual.run(inside())


def test_a_sign_of_life_keeps_running_clocks_within_fifteen_seconds_of_truth() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        checkpoint, written = Checkpoint(cluster, "ours", clock), sights(clock)
        await checkpoint.save(written, {"uid-0"}, ticking=True)
        for _ in range(40):
            await clock.sleep(15)
            await checkpoint.save(written, set(), ticking=True)
        read = await Checkpoint(cluster, "ours", clock).load()
        lasted = clock.now() - read["uid-0"].clocks["health=Degraded"]
        assert abs(lasted - timedelta(minutes=14)) <= timedelta(seconds=15)

    virtual.run(inside())


def test_nothing_is_written_when_nothing_changed_and_nothing_ticks() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        checkpoint, written = Checkpoint(cluster, "ours", clock), sights(clock)
        await checkpoint.save(written, {"uid-0"}, ticking=False)
        before = len(cluster.writes)
        await clock.sleep(100)
        await checkpoint.save(written, set(), ticking=False)
        assert len(cluster.writes) == before

    virtual.run(inside())


def test_a_large_fleet_is_spread_and_only_changed_parts_are_written() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        checkpoint, written = Checkpoint(cluster, "ours", clock), sights(clock, 4 * PER_BUCKET)
        await checkpoint.save(written, set(written), ticking=True)
        assert len(cluster.every(CONFIG_MAPS)) == 4
        largest = max(
            len(base64.b64decode(m["binaryData"]["sights"])) for m in cluster.every(CONFIG_MAPS)
        )
        assert largest < 200_000, "far below the megabyte a ConfigMap may have"
        before = len(cluster.writes)
        await checkpoint.save(written, {"uid-7"}, ticking=True)
        assert len(cluster.writes) - before == 1
        assert (await Checkpoint(cluster, "ours", clock).load()).keys() == written.keys()

    virtual.run(inside())


def test_without_one_it_is_a_first_install() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        checkpoint = Checkpoint(Cluster(clock), "ours", clock)
        assert await checkpoint.load() == {}
        assert not checkpoint.found

    virtual.run(inside())


@pytest.mark.parametrize(
    "content", [b"not zlib", zlib.compress(b"not json"), zlib.compress(b'{"format": 1}')]
)
def test_a_broken_part_costs_its_subjects_their_clocks_and_nothing_more(content: bytes) -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        await Checkpoint(cluster, "ours", clock).save(sights(clock), {"uid-0"}, ticking=True)
        await cluster.patch(
            CONFIG_MAPS,
            "ours",
            "recovery-checkpoint-0",
            {"binaryData": {"sights": base64.b64encode(content).decode()}},
        )
        assert await Checkpoint(cluster, "ours", clock).load() == {}

    virtual.run(inside())


def test_one_of_a_newer_controller_is_refused() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        await Checkpoint(cluster, "ours", clock).save(sights(clock), {"uid-0"}, ticking=True)
        newer = zlib.compress(
            msgspec.json.encode({"format": CHECKPOINT_FORMAT + 1, "something": "else"})
        )
        await cluster.patch(
            CONFIG_MAPS,
            "ours",
            "recovery-checkpoint-0",
            {"binaryData": {"sights": base64.b64encode(newer).decode()}},
        )
        with pytest.raises(NewerCheckpoint, match=f"format {CHECKPOINT_FORMAT + 1}"):
            await Checkpoint(cluster, "ours", clock).load()

    virtual.run(inside())


@pytest.mark.parametrize(
    ("lost", "hole"),
    [
        pytest.param((), (), id="whole"),
        pytest.param((0,), ("recovery-checkpoint-0",), id="the first part is gone"),
        pytest.param((2,), ("recovery-checkpoint-2",), id="the last part is gone"),
        pytest.param((0, 1, 2), (), id="all of it: a first install"),
    ],
)
def test_a_hole_is_noticed_and_filled(lost: tuple[int, ...], hole: tuple[str, ...]) -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster, known = Cluster(clock), sights(clock, 2 * PER_BUCKET + 1)
        await Checkpoint(cluster, "ours", clock).save(known, known, ticking=True)
        for number in lost:
            await cluster.delete(CONFIG_MAPS, "ours", f"recovery-checkpoint-{number}")
        checkpoint = Checkpoint(cluster, "ours", clock)
        read = await checkpoint.load()
        assert (checkpoint.hole, checkpoint.found) == (hole, len(lost) < 3)
        assert (len(read) < len(known)) is bool(lost)
        await checkpoint.save(known, set(), ticking=True)
        assert (checkpoint.hole, len(await Checkpoint(cluster, "ours", clock).load())) == (
            (),
            len(known),
        )

    virtual.run(inside())


def test_totals_outlive_the_records_and_the_leader() -> None:
    """Two replicas count what each has retired while it led."""

    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        first, second = (Checkpoint(cluster, "ours", clock) for _ in range(2))
        kept = sights(clock)
        for checkpoint in (first, second):
            await checkpoint.load()
        first.retired([a_recovery("a", NOW)])
        await first.save(kept, set(), ticking=True)
        second.forget_layout()
        second.retired([a_recovery("b", NOW)])
        await second.save(kept, set(), ticking=True)
        third = Checkpoint(cluster, "ours", clock)
        await third.load()
        (tally,) = (t for by in third.totals.tallies.values() for t in by.values())
        assert tally.incidents == 2
        writes = len(cluster.writes)
        await third.save(kept, set(), ticking=False)
        assert len(cluster.writes) == writes, "nothing more to count: nothing is written"

    virtual.run(inside())


def test_an_installation_begins_when_it_is_first_seen() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        began = clock.now()
        await Checkpoint(cluster, "ours", clock).save(sights(clock), {"uid-0"}, ticking=True)
        checkpoint = Checkpoint(cluster, "ours", clock)
        await checkpoint.load()
        await checkpoint.save(sights(clock), {"uid-0"}, ticking=True)
        await clock.sleep(86_400)
        later = Checkpoint(cluster, "ours", clock)
        await later.load()
        assert later.totals.since == began

    virtual.run(inside())
