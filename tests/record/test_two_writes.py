"""A claim is two writes, of the spec and of the status: what happens between them loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs

from recovery.kube.client import RECOVERIES, RECOVERY_STATUS
from recovery.kube.errors import Unavailable
from recovery.model.application import Hold
from recovery.model.move import UserRequest
from recovery.model.recovery import Debt, RecoveryPhase, StepRecord
from recovery.observe.reflector import Reflector
from recovery.record.codec import decode
from recovery.record.recovery_store import ClaimLost, Recoveries
from recovery.simulate import virtual
from recovery.simulate.cluster import Cluster
from tests.builders import NOW, a_recovery, plant
from tests.record.test_recoveries import OPEN, intent


def test_a_standby_does_not_delete_what_it_saw_being_made() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        active = Recoveries(cluster, "ours", clock, lambda key: None)
        lost: list[str] = []
        other = Recoveries(cluster, "ours", clock, lambda key: None, lambda r: lost.append(r.name))
        stream = asyncio.create_task(
            Reflector(cluster, RECOVERIES, "ours", decode, other, clock).run()
        )
        await clock.sleep(1)
        await active.claim(intent(structs.replace(OPEN, opened_at=clock.now())))
        await clock.sleep(1)
        held = other.get("cart")
        assert held is not None
        assert held.running is not None
        await clock.sleep(3700)
        gone = await other.retire(frozenset())  # it became the leader
        stream.cancel()
        assert (gone, lost) == ([], [])
        assert cluster.find(RECOVERIES, "ours", "cart") is not None

    virtual.run(inside())


def test_one_that_is_taken_over_while_old_ones_are_deleted_is_kept() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        recoveries = Recoveries(cluster, "ours", clock, lambda key: None)
        old = clock.now() - timedelta(hours=2)
        opened = structs.replace(OPEN, opened_at=old)
        body = await plant(
            cluster, a_recovery("very-old", clock.now() - timedelta(days=30)), "ours"
        )
        recoveries.put(decode(body))
        from recovery.record.codec import encode

        raw = await cluster.create(RECOVERIES, "ours", encode(opened, "ours"))
        recoveries.put(decode(raw))
        assert recoveries.get("cart") is None
        plain = cluster.delete

        async def delete(what: Any, ns: str, name: str, **only: Any) -> None:
            if name == "very-old":  # meanwhile a worker opens the incident
                assert await recoveries.claim(
                    intent(structs.replace(opened, opened_at=clock.now()))
                )
            await plain(what, ns, name, **only)

        cluster.delete = delete  # type: ignore[method-assign]
        await recoveries.retire(frozenset())
        assert cluster.find(RECOVERIES, "ours", "cart") is not None, "claimed, and deleted"

    virtual.run(inside())


ASKED = structs.replace(
    OPEN,
    phase=RecoveryPhase.Stalled,
    steps=(),
    requests=(UserRequest("failback", "ada", NOW, ""),),
)


class Losing(Cluster):
    """Between the two writes of a claim something happens."""

    how = ""

    async def update(self, what: Any, ns: str, name: str, body: Any) -> bytes:
        if what == RECOVERY_STATUS and self.how:
            how, self.how = self.how, ""
            if how == "500":
                raise Unavailable("etcdserver: leader changed")
            if how == "another":  # the outbox strikes a message off
                found = decode(msgspec.json.encode(self.find(RECOVERIES, ns, name)))
                from recovery.record.codec import encode

                await super().update(
                    what, ns, name, encode(structs.replace(found, message="x"), ns)
                )
        return await super().update(what, ns, name, body)


@pytest.mark.parametrize("how", ["500", "another", "killed"])
def test_a_request_outlives_a_claim_that_was_not_written(how: str) -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Losing(clock)
        recoveries = Recoveries(cluster, "ours", clock, lambda key: None)
        stream = asyncio.create_task(
            Reflector(cluster, RECOVERIES, "ours", decode, recoveries, clock).run()
        )
        await clock.sleep(1)
        recoveries.put(decode(await plant(cluster, ASKED, "ours")))
        await clock.sleep(1)
        held = recoveries.get("cart")
        assert held is not None
        assert held.requests
        wanted = structs.replace(
            held,
            requests=(),
            phase=RecoveryPhase.Remediating,
            steps=(StepRecord(1, 0, "failback", clock.now()),),
        )
        if how == "killed":
            cluster.how = "500"
            with pytest.raises(ClaimLost):
                await recoveries.claim(intent(wanted))
            recoveries = Recoveries(cluster, "ours", clock, lambda key: None)
            stream2 = asyncio.create_task(
                Reflector(cluster, RECOVERIES, "ours", decode, recoveries, clock).run()
            )
        else:
            cluster.how = how
            with pytest.raises(ClaimLost):
                await recoveries.claim(intent(wanted))
        await clock.sleep(2)
        now = recoveries.get("cart")
        stream.cancel()
        if how == "killed":
            stream2.cancel()
        assert now is not None
        assert now.running is not None or now.requests, "neither begun nor asked for any more"

    virtual.run(inside())


def test_what_was_kept_is_written_again_whole() -> None:
    """A record that owes is deleted by hand; its second write fails once."""

    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Losing(clock)
        recoveries = Recoveries(cluster, "ours", clock, lambda key: None)
        stream = asyncio.create_task(
            Reflector(cluster, RECOVERIES, "ours", decode, recoveries, clock).run()
        )
        await clock.sleep(1)
        owed = StepRecord(
            1,
            0,
            "rollback",
            NOW,
            sent=True,
            debt=Debt.open,
            owes=Hold("cart", "u", ("b",)),
            stage="apply",
        )
        saved = await recoveries.claim(intent(structs.replace(OPEN, steps=(owed,))))
        assert saved is not None
        assert saved.running is not None
        await clock.sleep(1)
        recoveries._lost = recoveries.keep
        await cluster.delete(RECOVERIES, "ours", "cart")
        await clock.sleep(1)
        held = recoveries.get("cart")
        assert held is not None
        assert held.version == ""
        assert held.running is not None
        cluster.how = "500"
        with contextlib.suppress(ClaimLost, Unavailable):
            await recoveries.restore("cart")
        await clock.sleep(1)
        for _ in range(3):
            with contextlib.suppress(ClaimLost, Unavailable):
                await recoveries.restore("cart")
            await clock.sleep(1)
        now = recoveries.get("cart")
        stream.cancel()
        assert now is not None
        assert now.running is not None, (
            "the running step is forgotten",
            now.phase,
            now.reason,
            now.steps,
        )

    virtual.run(inside())


def test_a_newer_event_is_not_overwritten_while_it_is_put_aside() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        recoveries = Recoveries(cluster, "ours", clock, lambda key: None)
        saved = await recoveries.claim(intent(OPEN))
        assert saved is not None
        newer = structs.replace(saved, version=str(int(saved.version) + 5), message="newer")
        recoveries._writing["cart"] += 1  # a write is on its way
        recoveries.put(newer)
        recoveries.put(saved)  # a list that was made before (reread)
        recoveries._writing["cart"] -= 1
        recoveries._catch_up("cart")
        assert recoveries.get("cart") == newer

    virtual.run(inside())
