"""Claims: one owner at a time, nothing lost, budgets held also in the same instant."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs

from recovery.decide.circuit_breaker import circuits
from recovery.decide.reminders import News, said
from recovery.kube.client import RECOVERIES
from recovery.kube.errors import Conflict, Unavailable
from recovery.model.application import Hold
from recovery.model.decision import Decision, Kind, Outcome, Result
from recovery.model.names import SubjectKey
from recovery.model.recovery import Debt, Recovery, RecoveryPhase, StepOutcome, StepRecord
from recovery.record.codec import RECORD_FORMAT, decode, encode
from recovery.record.recovery_store import KEPT_AT_MOST, ClaimLost, Recoveries
from recovery.simulate import virtual
from recovery.simulate.cluster import Cluster
from tests.builders import NOW, a_recovery, plant, the_policies

OPEN = a_recovery(
    "cart",
    NOW,
    phase=RecoveryPhase.Remediating,
    resolved_at=None,
    attempt=1,
    max_attempts=3,
    steps=(StepRecord(1, 0, "refresh", NOW),),
)
Play = Callable[[Cluster, Recoveries, virtual.VirtualClock], Awaitable[None]]


def play(script: Play) -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        await script(cluster, Recoveries(cluster, "ours", clock, lambda key: None), clock)

    virtual.run(inside())


def intent(recovery: Recovery) -> Decision:
    return Decision(
        Kind.Remediate,
        recovery.policy,
        "StepStarted",
        "",
        recovery=recovery,
        step=the_policies().policies[0].actions[0],
    )


def test_an_object_reads_back_as_it_was_written() -> None:
    step = StepRecord(1, 0, "sync", NOW, targets=("abc",), ended_at=NOW, stage="x")
    recovery = structs.replace(
        OPEN,
        steps=(step,),
        evidence=("status: bad",),
        told=("slack",),
        actions=(the_policies().policies[0].actions[0].written,),
    )

    body = encode(recovery, "ours")
    assert decode(msgspec.json.encode(body)) == recovery
    assert body["spec"]["subject"]["name"] == "cart"
    assert body["status"]["format"] == RECORD_FORMAT


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param({"format": RECORD_FORMAT + 1}, "written by a newer one", id="a newer format"),
        pytest.param({"phase": "Levitating"}, "Levitating", id="an unknown phase"),
        pytest.param({"attempt": "many"}, "attempt", id="a wrong type"),
    ],
)
def test_nonsense_is_refused_with_its_reason(damage: dict[str, object], words: str) -> None:
    body = encode(OPEN, "ours")
    body["status"].update(damage)

    with pytest.raises(msgspec.ValidationError, match=words):
        decode(msgspec.json.encode(body))


def test_a_claim_is_saved_before_it_is_given_out_and_an_unchanged_one_is_not_written_again() -> (
    None
):
    async def script(cluster: Cluster, recoveries: Recoveries, clock: virtual.VirtualClock) -> None:
        saved = await recoveries.claim(intent(OPEN))
        assert saved is not None
        assert cluster.find(RECOVERIES, "ours", "cart") is not None
        again = structs.replace(saved, message="other numbers")
        assert await recoveries.claim(intent(again)) == saved
        assert [w[0] for w in cluster.writes] == ["create", "update"], "its spec, then its status"

    play(script)


def test_two_owners_of_one_incident_and_the_second_loses() -> None:
    async def script(cluster: Cluster, recoveries: Recoveries, clock: virtual.VirtualClock) -> None:
        rival = Recoveries(cluster, "ours", clock, lambda key: None)
        await rival.claim(intent(OPEN))

        with pytest.raises(ClaimLost):
            await recoveries.claim(intent(OPEN))
        assert recoveries.get("cart") == rival.get("cart"), "it has taken in the other's"

        held = recoveries.get("cart")
        assert held is not None
        await rival.claim(intent(structs.replace(held, attempt=2)))
        with pytest.raises(ClaimLost):
            await recoveries.claim(intent(structs.replace(held, attempt=3)))

    play(script)


def test_a_claim_that_gets_no_answer_is_not_a_claim() -> None:
    class Mute(Cluster):
        async def create(self, *args: object) -> bytes:  # type: ignore[override]
            raise Unavailable("no answer")

    async def inside() -> None:
        clock = virtual.VirtualClock()
        recoveries = Recoveries(Mute(clock), "ours", clock, lambda key: None)
        with pytest.raises(ClaimLost):
            await recoveries.claim(intent(OPEN))
        assert recoveries.get("cart") is None
        assert recoveries.fleet("in-cluster", "default", (), "").in_flight == 0

    virtual.run(inside())


def test_a_claim_counts_from_the_moment_it_is_made() -> None:
    async def script(cluster: Cluster, recoveries: Recoveries, clock: virtual.VirtualClock) -> None:
        claiming = asyncio.ensure_future(recoveries.claim(intent(OPEN)))
        await asyncio.sleep(0)
        assert recoveries.fleet("in-cluster", "default", (), "").in_flight == 1
        assert recoveries.fleet("in-cluster", "default", (), "cart").in_flight == 0, (
            "not against itself"
        )
        await claiming

    play(script)


def test_a_recovery_deleted_by_hand_is_not_made_again_by_a_write() -> None:
    async def script(cluster: Cluster, recoveries: Recoveries, clock: virtual.VirtualClock) -> None:
        saved = await recoveries.claim(intent(OPEN))
        assert saved is not None
        await cluster.delete(RECOVERIES, "ours", "cart")
        with pytest.raises(ClaimLost):
            await recoveries.claim(intent(structs.replace(saved, attempt=2)))
        assert recoveries.get("cart") is None
        assert cluster.find(RECOVERIES, "ours", "cart") is None

    play(script)


class Refusing(Cluster):
    """It says that the object was changed when it was not, and then does not answer: no watch event
    will ever put right what was believed meanwhile."""

    refuses = False

    async def update(self, *args: object) -> bytes:  # type: ignore[override]
        if self.refuses:
            raise Conflict("the object has been modified", 409)
        return await super().update(*args)  # type: ignore[arg-type]

    async def list(self, *args: object, **query: str) -> bytes:  # type: ignore[override]
        if self.refuses:
            raise Unavailable("connection reset by peer")
        return await super().list(*args, **query)  # type: ignore[arg-type]


@pytest.mark.parametrize("write", ["claim", "amend", "record"])
def test_what_was_not_written_is_not_believed_where_nobody_can_say_what_stands(write: str) -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Refusing(clock)
        recoveries = Recoveries(cluster, "ours", clock, lambda key: None)
        saved = await recoveries.claim(intent(OPEN))
        assert saved is not None
        over = structs.replace(saved, phase=RecoveryPhase.Resolved)
        cluster.refuses = True
        if write == "record":
            assert await recoveries.record(intent(saved), saved, Outcome(Result.Sent), ()) is None
        else:
            with pytest.raises(ClaimLost):
                await (
                    recoveries.claim(intent(over))
                    if write == "claim"
                    else recoveries.amend("cart", lambda _: over)
                )

        assert recoveries.get("cart") == saved
        cluster.refuses = False
        assert await recoveries.claim(intent(over)) is not None, "the next one is written"

    virtual.run(inside())


def test_an_older_echo_does_not_undo_a_newer_write() -> None:
    async def script(cluster: Cluster, recoveries: Recoveries, clock: virtual.VirtualClock) -> None:
        first = await recoveries.claim(intent(OPEN))
        assert first is not None
        second = await recoveries.claim(intent(structs.replace(first, attempt=2)))
        recoveries.put(first)
        assert recoveries.get("cart") == second

    play(script)


def test_an_outcome_that_cannot_be_recorded_leaves_the_unsent_claim() -> None:
    class Failing(Cluster):
        broken = False

        async def update(self, *args: Any) -> bytes:
            if self.broken:
                raise Unavailable("no answer")
            return await super().update(*args)

    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Failing(clock)
        recoveries = Recoveries(cluster, "ours", clock, lambda key: None)
        decision = intent(OPEN)
        claimed = await recoveries.claim(decision)
        cluster.broken = True
        assert await recoveries.record(decision, claimed, Outcome(Result.Sent), ()) is None
        held = recoveries.get("cart")
        assert held is not None
        assert held.running is not None
        assert not held.running.sent

    virtual.run(inside())


def test_delivered_messages_are_struck_off() -> None:
    from recovery.model.recovery import PendingNotification

    async def script(cluster: Cluster, recoveries: Recoveries, clock: virtual.VirtualClock) -> None:
        await recoveries.claim(
            intent(
                OPEN.with_notes(
                    PendingNotification("a", "A", ""), PendingNotification("b", "B", "")
                )
            )
        )
        await recoveries.amend("cart", lambda held: said(held, News(frozenset({"a"})), clock.now()))
        stored = decode(msgspec.json.encode(cluster.find(RECOVERIES, "ours", "cart")))
        assert [n.key for n in stored.notes] == ["b"]

    play(script)


def test_old_ones_are_deleted_but_never_one_that_is_open_or_owes_a_message() -> None:
    from recovery.model.recovery import PendingNotification

    async def script(cluster: Cluster, recoveries: Recoveries, clock: virtual.VirtualClock) -> None:
        old = clock.now() - timedelta(days=30)
        kept = [
            a_recovery("held", old),
            a_recovery("fresh", clock.now()),
            structs.replace(OPEN, name="open", opened_at=old),
            a_recovery("owes", old, notes=(PendingNotification("k", "t", "b"),)),
            a_recovery(
                "indebted",
                old,
                steps=(
                    StepRecord(
                        1,
                        0,
                        "rollback",
                        old,
                        sent=True,
                        debt=Debt.open,
                        owes=Hold("indebted", "u", ("b",)),
                    ),
                ),
            ),
        ]
        for recovery in (a_recovery("old", old), *kept):
            recoveries.put(decode(await plant(cluster, recovery, "ours")))
        assert len(await recoveries.retire(frozenset({"held"}))) == 1
        assert {r["metadata"]["name"] for r in cluster.every(RECOVERIES)} == {
            "held",
            "fresh",
            "open",
            "owes",
            "indebted",
        }

    play(script)


def test_no_more_than_a_thousand_ended_ones_are_kept() -> None:
    async def script(cluster: Cluster, recoveries: Recoveries, clock: virtual.VirtualClock) -> None:
        for number in range(KEPT_AT_MOST + 20):
            recovery = a_recovery(f"r{number}", clock.now() - timedelta(minutes=number))
            recoveries.put(decode(await plant(cluster, recovery, "ours")))
        assert len(await recoveries.retire(frozenset())) == 20
        assert cluster.find(RECOVERIES, "ours", "r0") is not None
        assert cluster.find(RECOVERIES, "ours", f"r{KEPT_AT_MOST + 19}") is None

    play(script)


def test_a_conflict_at_the_door_keeps_the_claim_in_memory_without_a_write() -> None:
    async def script(cluster: Cluster, recoveries: Recoveries, clock: virtual.VirtualClock) -> None:
        decision = intent(OPEN)
        claimed = await recoveries.claim(decision)
        before = len(cluster.writes)
        after = await recoveries.record(decision, claimed, Outcome(Result.Conflict, "Changed"), ())
        assert after is not None
        assert after.running is not None
        assert (after.running.sent, after.running.reason) == (False, "Conflict")
        assert len(cluster.writes) == before

    play(script)


def test_open_ones_are_found_by_their_place() -> None:
    async def script(cluster: Cluster, recoveries: Recoveries, clock: virtual.VirtualClock) -> None:
        await recoveries.claim(intent(OPEN))
        key = SubjectKey("application", "argocd", "cart")
        assert [r.name for r in recoveries.open_at(key)] == ["cart"]
        assert recoveries.follows(key)
        assert not recoveries.follows(SubjectKey("application", "argocd", "other"))

    play(script)


@pytest.mark.parametrize("seed", range(5))
def test_circuits_are_those_that_would_be_worked_out_anew(seed: int) -> None:
    """Whatever changes of a recovery: they are kept for as long as nothing bears on them."""

    async def script(cluster: Cluster, recoveries: Recoveries, clock: virtual.VirtualClock) -> None:
        chance = random.Random(seed)  # noqa: S311 (made-up recoveries)
        opened = set()
        for turn in range(400):
            number = chance.randrange(12)
            steps = tuple(
                StepRecord(
                    n + 1,
                    0,
                    chance.choice(["restart", "rollback", "refresh", "notify"]),
                    clock.now(),
                    sent=chance.random() < 0.9,
                    ended_at=clock.now() if chance.random() < 0.8 else None,
                    outcome=chance.choice([StepOutcome.Failed, StepOutcome.TimedOut, None]),
                    review=chance.choice(["", "", "Reverted"]),
                )
                for n in range(chance.randrange(3))
            )
            phase = chance.choice(list(RecoveryPhase))
            made = a_recovery(f"r{number}", clock.now(), steps=steps, phase=phase)
            subject = structs.replace(made.subject, uid=f"u{number}", name=f"a{number}")
            attempt = chance.randrange(3)
            made = structs.replace(made, subject=subject, attempt=attempt, version=str(turn + 1))
            if chance.random() < 0.1:
                recoveries.drop("ours", made.name)
            else:
                recoveries.put(made)
            assert recoveries.circuits().keys() == circuits(recoveries.all()).keys()
            opened |= recoveries.circuits().keys()
        assert opened, "some did open"

    play(script)
