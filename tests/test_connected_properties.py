"""What must hold of failovers whatever happens: Hypothesis writes the nights, the whole controller
lives through them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recovery.act.operation import token_of
from recovery.app import App
from recovery.commands.approve import asked as approval
from recovery.commands.errors import Refused
from recovery.commands.failback import asked as wanted
from recovery.commands.requests import write
from recovery.kube.client import APPLICATIONS, RECOVERIES, Resource
from recovery.model.connection import PROBE_FRESH
from recovery.model.names import HOLD
from recovery.model.recovery import RecoveryPhase
from recovery.record.codec import decode
from recovery.settings import Settings
from recovery.simulate import virtual
from recovery.simulate.environment import EmbeddedEnvironment
from recovery.simulate.manifests import deployment, stateful_set
from tests.connected_stories import connected
from tests.operations import claimed
from tests.play import SLOW_HEARTBEATS, Play
from tests.test_properties import trouble

APPS, STATEFUL = ("w-a", "w-b", "w-c", "w-d"), "w-db"
clusters = st.sampled_from(["primary", "secondary"])
events = st.one_of(
    st.tuples(st.just("up"), clusters, st.booleans()),
    st.tuples(st.just("outage"), st.just("primary"), st.integers(20, 90)),
    st.tuples(st.just("outage"), st.just("primary"), st.integers(20, 90)),
    st.tuples(st.just("accepts"), clusters, st.booleans()),
    st.tuples(st.just("argocd"), clusters, st.booleans()),
    st.tuples(st.just("api"), clusters, st.booleans()),
    st.tuples(st.just("outside"), clusters, st.booleans()),
    st.tuples(st.just("die"), clusters, st.none()),
    st.tuples(
        st.just("faults"), clusters, st.sampled_from(["none", "503", "409", "429", "lost answer"])
    ),
    st.tuples(st.just("failback"), clusters, st.sampled_from([False, False, True])),
    st.tuples(st.just("approve"), clusters, st.none()),
    st.tuples(
        st.just("policies"), clusters, st.sampled_from(["manual", "auto", "approve", "none"])
    ),
    st.tuples(st.just("wait"), clusters, st.integers(1, 300)),
)
nights = st.lists(st.tuples(events, st.integers(0, 60)), min_size=4, max_size=25)


class Watcher:
    """Looks at every write, as an auditor would, and knows how the clusters really are."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.wrong: list[str] = []
        self.relocations: Counter[str] = Counter()
        self._states: list[tuple[float, dict[str, bool]]] = []
        self._where: dict[str, str] = {}
        play.world.cluster.listen(self.heard)

    def well(self) -> dict[str, bool]:
        return {d.name: d.up and d.accepts for d in self.play.world.destinations.all.values()}

    def note(self) -> None:
        """The clusters have changed."""
        self._states.append((self.play.clock.monotonic(), self.well()))

    def was(self, cluster: str, *, well: bool) -> bool:
        """Was it so at any time that a fresh verdict can be of?"""
        now, seen, since = self.play.clock.monotonic(), False, float("inf")
        for at, state in reversed(self._states):
            seen = seen or (
                state[cluster] is well and since > now - PROBE_FRESH.total_seconds() - 30
            )
            since = at
        return seen

    def heard(self, what: Resource, kind: str, item: dict[str, Any]) -> None:
        name = item["metadata"]["name"]
        if what != APPLICATIONS or kind == "DELETED":
            return
        place = item["spec"]["destination"].get("name", "")
        before, self._where[name] = self._where.get(name, place), place
        if before == place:
            return
        token = token_of(item.get("operation"))
        self.relocations[f"{name} {token}"] += 1
        held = next(
            (r for r in self.play.world.recoveries() if token.startswith(r.name + "/")), None
        )
        if not claimed(token, self.play.world.recoveries()):
            self.wrong.append(f"{name}: moved to {place} without a saved claim")
        if name == STATEFUL:
            self.wrong.append(f"{name} holds data and was moved to {place}")
        if not self.was(place, well=True):
            self.wrong.append(f"{name}: moved to {place}, which was not well")
        away = held is not None and held.subject.name == before
        if away and not self.was(before, well=False):
            self.wrong.append(f"{name}: moved away from {before}, which was not down")
        if away and HOLD not in (item["metadata"].get("annotations") or {}):
            self.wrong.append(f"{name}: moved without a hold")


def policy(mode: str) -> str:
    if mode == "none":
        return "recovery_policies: []"
    text = connected("w", failover="failback: auto, failback_after: 60s" if mode == "auto" else "")
    return (
        text.replace("- {type: failover,", "- {type: failover, mode: approve,")
        if mode == "approve"
        else text
    )


async def start(play: Play) -> tuple[App, asyncio.Task[None]]:
    chosen = Settings(
        identity="controller-0",
        cluster_secrets=("cluster-primary", "cluster-secondary"),
        witness="https://outside.example",
        **SLOW_HEARTBEATS,
    )
    app = App(chosen, play, play.clock, play.send, play.world.api, play.world.looks)  # type: ignore[arg-type]
    task = asyncio.create_task(app.run())
    await play.clock.sleep(1)
    return app, task


async def ask(play: Play, which: Any) -> None:
    """A person's command, on the newest recovery of a cluster."""
    for recovery in reversed(play.world.recoveries()):
        if recovery.subject.kind == "Cluster":
            with contextlib.suppress(Refused):
                await write(
                    play.world.cluster, "gitops-system", recovery.name, which, "ada", play.clock
                )
            return


async def live(play: Play, night: list[Any]) -> Watcher:
    """One night, then a quiet quarter of an hour in which everything is well."""
    world = play.world
    for name in ("primary", "secondary"):
        await world.further_cluster(name)
    await world.policies(policy("manual"))
    for name in APPS:
        await world.application(
            name, (deployment(name, "ready", 20),), cluster="primary", self_heal=name == "w-b"
        )
    await world.application(STATEFUL, (stateful_set(STATEFUL),), cluster="primary")
    watcher = Watcher(play)
    watcher.note()
    app, task = await start(play)
    await play.clock.sleep(60)
    for (verb, cluster, detail), pause in night:
        place = world.destinations.all[cluster]
        match verb:
            case "up":
                place.up = detail
                place.unread = place.unread and not detail
                watcher.note()
            case "outage":
                place.up = False
                watcher.note()
                await play.clock.sleep(detail)
            case "accepts":
                place.accepts = detail
                watcher.note()
            case "argocd":
                world.argocd.running = detail
                world.argocd.wake()
            case "api":
                world.api.up = detail
            case "outside":
                world.outside = detail
            case "die":
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                await play.clock.sleep(pause)
                app, task = await start(play)
            case "faults":
                play.faults = [] if detail == "none" else [trouble(detail)]
            case "failback":
                await ask(play, lambda held, stay=detail: wanted(held, stay=stay, cleanup=False))
            case "approve":
                await ask(play, approval)
            case "policies":
                await world.policies(policy(detail))
            case "wait":
                await play.clock.sleep(detail)
        await play.clock.sleep(pause)
    play.faults = []
    world.argocd.running = world.api.up = True
    for place in world.destinations.all.values():
        place.up, place.accepts, place.unread = True, True, False
    watcher.note()
    world.argocd.wake()
    await play.clock.sleep(900)
    app.stop()
    await task
    return watcher


def through(night: list[Any]) -> tuple[Watcher, EmbeddedEnvironment]:
    async def inside() -> tuple[Watcher, EmbeddedEnvironment]:
        async with EmbeddedEnvironment(virtual.VirtualClock()).living() as world:
            return await live(Play(world), night), world

    return virtual.run(inside())


SOME = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(nights)
@SOME
def test_whatever_happens_to_clusters(night: list[Any]) -> None:
    holds_all_night(night)


@pytest.mark.long
@given(nights)
@settings(SOME, max_examples=30)
def test_whatever_happens_to_clusters_in_more_nights(night: list[Any]) -> None:
    holds_all_night(night)


def holds_all_night(night: list[Any]) -> None:
    watcher, world = through(night)

    assert watcher.wrong == []
    assert [m for m, n in watcher.relocations.items() if n > 1] == [], (
        "none is moved twice in one step"
    )
    ends = {
        RecoveryPhase.Resolved,
        RecoveryPhase.Superseded,
        RecoveryPhase.Stalled,
        RecoveryPhase.Suppressed,
    }
    recoveries = {
        r.name: r
        for r in (decode(msgspec.json.encode(item)) for item in world.cluster.every(RECOVERIES))
    }
    assert {r.phase for r in recoveries.values()} <= ends, (
        "after a quiet quarter of an hour nothing hangs in between"
    )
    assert all(r.attempt <= r.max_attempts for r in recoveries.values())
    for name in (*APPS, STATEFUL):
        hold = world.seen(name).hold
        if hold is not None:
            held = recoveries[hold.recovery]
            assert not held.phase.over, (
                f"{name} is away from home, and {hold.recovery} has forgotten it"
            )
            assert name in {m.name for m in held.owed}
