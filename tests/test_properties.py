"""What must hold whatever happens: Hypothesis writes the nights, the whole controller lives through
them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recovery.app import App
from recovery.kube.client import APPLICATIONS, RECOVERIES, Resource
from recovery.kube.errors import Busy, Conflict, KubeError, Unavailable
from recovery.model.recovery import Recovery, RecoveryPhase
from recovery.record.codec import decode
from recovery.settings import Settings
from recovery.simulate import virtual
from recovery.simulate.environment import EmbeddedEnvironment
from recovery.simulate.manifests import custom, deployment
from tests.operations import Newly, claimed
from tests.play import SLOW_HEARTBEATS, Play
from tests.stage import policies

APPS = ("w-a", "w-b", "w-c")
names = st.sampled_from(APPS)
events = st.one_of(
    st.tuples(
        st.just("commit"),
        names,
        st.sampled_from(["ready", "ready-2", "missing", "crash", "crash-until-restart"]),
    ),
    st.tuples(st.just("needs"), names, st.sampled_from(["Widget", "Gadget"])),
    st.tuples(st.just("install"), names, st.sampled_from(["Widget", "Gadget"])),
    st.tuples(st.just("pause"), names, st.booleans()),
    st.tuples(st.just("sync"), names, st.none()),
    st.tuples(st.just("auto"), names, st.booleans()),
    st.tuples(st.just("die"), names, st.none()),
    st.tuples(st.just("forget"), names, st.none()),
    st.tuples(st.just("argocd"), names, st.booleans()),
    st.tuples(
        st.just("faults"), names, st.sampled_from(["none", "503", "409", "429", "lost answer"])
    ),
    st.tuples(st.just("wait"), names, st.integers(1, 900)),
)
nights = st.lists(st.tuples(events, st.integers(0, 120)), min_size=3, max_size=25)


class Watcher:
    """Looks at every write, as an auditor would."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.operations: Counter[str] = Counter()
        self.unclaimed: list[str] = []
        self.over_limit: list[Recovery] = []
        self.two_at_once: list[str] = []
        play.world.cluster.listen(self.heard)
        self._newly = Newly(self._operation)

    def heard(self, what: Resource, kind: str, item: dict[str, Any]) -> None:
        if what == APPLICATIONS and kind == "MODIFIED":
            self._newly.seen(item)
        if what == RECOVERIES and kind != "DELETED" and item.get("status"):
            import msgspec

            recovery = decode(msgspec.json.encode(item))
            if recovery.attempt > recovery.max_attempts:
                self.over_limit.append(recovery)
            open_ones = Counter(
                r.subject.uid for r in self.play.world.recoveries() if not r.phase.over
            )
            self.two_at_once += [uid for uid, count in open_ones.items() if count > 1]

    def _operation(self, token: str) -> None:
        self.operations[token] += 1
        if not claimed(token, self.play.world.recoveries()):
            self.unclaimed.append(token)


async def live(play: Play, night: list[Any], enabled: bool) -> Watcher:
    """One night, then a quiet quarter of an hour."""
    await play.world.policies(policies("w"))
    for name in APPS:
        await play.world.application(
            name, (deployment(name, "ready", 20),), self_heal=name == "w-b"
        )
    watcher = Watcher(play)
    app, task = await start(play, enabled)
    await play.clock.sleep(60)
    for (verb, name, detail), pause in night:
        match verb:
            case "commit":
                await play.world.commit(name, (deployment(name, detail, 20),))
            case "needs":
                await play.world.commit(name, (deployment(name, "ready", 20), custom(detail, name)))
            case "install":
                await play.world.install(detail)
            case "pause":
                await play.world.annotate(
                    name, {"recovery.gitops.dev/paused": "true" if detail else None}
                )
            case "sync" if play.world.raw(name).get("operation") is None:
                await play.world.sync(name)
            case "auto":
                await play.world.cluster.patch(
                    APPLICATIONS,
                    "argocd",
                    name,
                    {"spec": {"syncPolicy": {"automated": {"enabled": detail}}}},
                )
            case "die":
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                await play.clock.sleep(pause)
                app, task = await start(play, enabled)
            case "forget":
                for recovery in play.world.recoveries()[:1]:
                    await play.world.cluster.delete(RECOVERIES, "gitops-system", recovery.name)
            case "argocd":
                play.world.argocd.running = detail
                play.world.argocd.wake()
            case "faults":
                play.faults = [] if detail == "none" else [trouble(detail)]
            case "wait":
                await play.clock.sleep(detail)
        await play.clock.sleep(pause)
    play.faults = []
    play.world.argocd.running = True
    play.world.argocd.wake()
    await play.clock.sleep(900)
    app.stop()
    await task
    return watcher


def trouble(kind: str) -> Any:
    """Every second write fails."""
    count = 0

    def fault(verb: str, what: Resource) -> KubeError | None:
        nonlocal count
        count += 1
        if verb not in ("create", "update", "patch") or count % 2:
            return None
        return {
            "503": Unavailable("503", 503),
            "409": Conflict("409", 409),
            "429": Busy("429", 429),
            "lost answer": Unavailable("reset"),
        }[kind]

    return fault


async def start(play: Play, enabled: bool) -> tuple[App, asyncio.Task[None]]:
    app = App(
        Settings(enabled=enabled, identity="controller-0", **SLOW_HEARTBEATS),
        play,
        play.clock,
        play.send,
    )  # type: ignore[arg-type]
    task = asyncio.create_task(app.run())
    await play.clock.sleep(1)
    return app, task


def through(night: list[Any], enabled: bool = True) -> tuple[Watcher, EmbeddedEnvironment]:
    async def inside() -> tuple[Watcher, EmbeddedEnvironment]:
        async with EmbeddedEnvironment(virtual.VirtualClock()).living() as world:
            return await live(Play(world), night, enabled), world

    return virtual.run(inside())


SOME = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MORE = settings(SOME, max_examples=60)


@given(nights)
@SOME
def test_whatever_happens(night: list[Any]) -> None:
    holds_all_night(night)


@pytest.mark.long
@given(nights)
@MORE
def test_whatever_happens_in_more_nights(night: list[Any]) -> None:
    holds_all_night(night)


def holds_all_night(night: list[Any]) -> None:
    watcher, world = through(night)

    assert watcher.unclaimed == [], "no effect without a claim that was saved before it"
    assert [t for t, n in watcher.operations.items() if n > 1] == [], (
        "no operation is written twice"
    )
    assert watcher.over_limit == [], "no attempt beyond the limit"
    assert watcher.two_at_once == [], "one open recovery a subject"
    ends = {
        RecoveryPhase.Resolved,
        RecoveryPhase.Superseded,
        RecoveryPhase.Stalled,
        RecoveryPhase.Suppressed,
    }
    assert {r.phase for r in world.recoveries()} <= ends, (
        "after a quiet quarter of an hour nothing hangs in between"
    )
    for recovery in world.recoveries():
        assert len([s for s in recovery.steps if s.action == "rollback" and s.sent]) <= 1, (
            "one rollback a recovery"
        )


@given(nights)
@settings(SOME, max_examples=5)
def test_switched_off_nothing_outside_our_own_namespace_is_written(night: list[Any]) -> None:
    writes_nothing_all_night(night)


@pytest.mark.long
@given(nights)
@settings(SOME, max_examples=20)
def test_switched_off_nothing_is_written_in_more_nights(night: list[Any]) -> None:
    writes_nothing_all_night(night)


def writes_nothing_all_night(night: list[Any]) -> None:
    watcher, world = through(night, enabled=False)

    assert watcher.operations == {}
    assert all(world.seen(name).hold is None for name in APPS)
