"""People, owners, other teams and clocks act at random between any two of our writes:
tests/invariants.py holds all the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recovery.app import App
from recovery.kube.client import APPLICATIONS, DEPLOYMENTS, Resource
from recovery.settings import Settings
from recovery.simulate import virtual
from recovery.simulate.environment import RUNS_IN, EmbeddedEnvironment
from recovery.simulate.manifests import REGISTRY, deployment
from tests.invariants import BOUND, Auditor
from tests.play import SLOW_HEARTBEATS, Play
from tests.stage import policies

APPS = ("w-a", "w-b")
WRITES = ("create", "update", "patch", "delete")
ATTEMPTS = 3
names = st.sampled_from(APPS)
tags = st.sampled_from(["ready", "ready-2", "missing", "crash", "crash-until-restart"])
acts = st.one_of(
    st.tuples(st.just("the owner commits"), names, tags),
    st.tuples(st.just("another team commits"), names, st.none()),
    st.tuples(st.just("a person switches auto-sync"), names, st.booleans()),
    st.tuples(st.just("a person syncs"), names, st.none()),
    st.tuples(st.just("a person syncs one resource"), names, st.none()),
    st.tuples(st.just("a person tries a sync"), names, st.none()),
    st.tuples(st.just("a person changes what runs"), names, tags),
    st.tuples(st.just("an image updater writes"), names, tags),
    st.tuples(st.just("an ApplicationSet takes our annotations away"), names, st.none()),
    st.tuples(st.just("it is restored under another UID"), names, st.none()),
    st.tuples(st.just("we die"), names, st.none()),
    st.tuples(st.just("the wall clock is set"), names, st.integers(-3_600, 7_200)),
    st.tuples(st.just("time passes"), names, st.integers(1, 600)),
)
nights = st.lists(st.tuples(acts, st.integers(0, 90)), min_size=4, max_size=14)


class Clock(virtual.VirtualClock):
    """A wall clock that somebody sets; the monotonic one goes on."""

    off = timedelta()

    def now(self) -> datetime:
        return super().now() + self.off


class Audited(Play):
    """A client whose writes are heard of first."""

    def __init__(self, world: EmbeddedEnvironment) -> None:
        super().__init__(world)
        self.auditor = Auditor(world)

    def __getattr__(self, name: str) -> Any:
        call = super().__getattr__(name)
        if name not in WRITES:
            return call

        async def heard(what: Resource, *args: Any, **query: Any) -> Any:
            self.auditor.hears(name, what, args)
            return await call(what, *args, **query)

        return heard


async def start(play: Audited) -> tuple[App, asyncio.Task[None]]:
    settled = Settings(identity="controller-0", **SLOW_HEARTBEATS)
    app = App(settled, play, play.clock, play.send, play.world.api, play.world.looks)  # type: ignore[arg-type]
    play.auditor.app = app
    task = asyncio.create_task(app.run())
    await play.clock.sleep(1)
    return app, task


async def act(
    play: Audited, clock: Clock, verb: str, name: str, detail: Any, last: dict[str, str]
) -> None:
    world = play.world
    match verb:
        case "the owner commits":
            last[name] = detail
            await world.commit(name, (deployment(name, detail, 20),))
        case "another team commits":
            await world.commit(name, (deployment(name, last[name], 20),))
        case "a person switches auto-sync":
            await world.cluster.patch(
                APPLICATIONS,
                "argocd",
                name,
                {"spec": {"syncPolicy": {"automated": {"enabled": detail}}}},
            )
        case "a person syncs" if world.raw(name).get("operation") is None:
            await world.sync(name)
        case "a person syncs one resource" if world.raw(name).get("operation") is None:
            await operate(
                world, name, {"resources": [{"group": "apps", "kind": "Deployment", "name": name}]}
            )
        case "a person tries a sync" if world.raw(name).get("operation") is None:
            await operate(world, name, {"dryRun": True})
        case "a person changes what runs" if (
            world.cluster.find(DEPLOYMENTS, RUNS_IN, name) is not None
        ):
            await world.cluster.patch(
                DEPLOYMENTS, RUNS_IN, name, {"spec": deployment(name, detail, 20)["spec"]}
            )
        case "an image updater writes":
            image = {"images": [f"{REGISTRY}:{detail}"]} if detail else None
            await world.cluster.patch(
                APPLICATIONS, "argocd", name, {"spec": {"source": {"kustomize": image}}}
            )
        case "an ApplicationSet takes our annotations away":
            ours = [
                key
                for key in world.raw(name)["metadata"].get("annotations") or {}
                if key.startswith("recovery.gitops.dev/")
            ]
            await world.annotate(name, dict.fromkeys(ours))
        case "it is restored under another UID":
            backup = json.loads(json.dumps(world.raw(name)))
            await world.cluster.delete(APPLICATIONS, "argocd", name)
            kept = {"name": name, "annotations": backup["metadata"].get("annotations") or {}}
            await world.cluster.create(
                APPLICATIONS,
                "argocd",
                {"metadata": kept, "spec": backup["spec"], "status": backup["status"]},
            )
        case "the wall clock is set":
            clock.off = timedelta(seconds=detail)
        case "time passes":
            await play.clock.sleep(detail)


async def operate(world: EmbeddedEnvironment, name: str, sync: dict[str, Any]) -> None:
    body = {
        "operation": {"initiatedBy": {"username": "ada"}, "sync": sync},
        "status": {"operationState": None},
    }
    await world.cluster.patch(APPLICATIONS, "argocd", name, body)


async def live(play: Audited, night: list[Any]) -> list[str]:
    """One night; then every reason goes: the owners' own fixes are there, people want auto-sync,
    and time passes."""
    play.clock = clock = Clock()
    await play.world.policies(policies("w", attempts=ATTEMPTS, release="own_change"))
    last = dict.fromkeys(APPS, "ready")
    for name in APPS:
        play.world.git.registered[f"https://git.example/{name}.git"] = ""
        await play.world.application(
            name, (deployment(name, "ready", 20),), self_heal=name == "w-b"
        )
    app, task = await start(play)
    await play.clock.sleep(60)
    for (verb, name, detail), pause in night:
        if verb == "we die":
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await play.clock.sleep(pause)
            app, task = await start(play)
        else:
            await act(play, clock, verb, name, detail, last)
        await play.clock.sleep(pause)
    for name in APPS:
        await act(play, clock, "an image updater writes", name, None, last)
        await act(play, clock, "the owner commits", name, "ready-fixed", last)
    await play.clock.sleep(600)
    for name in APPS:
        debts = [
            r.debt for r in play.world.recoveries() if r.debt is not None and r.subject.name == name
        ]
        if not debts or any(
            debt.owes is not None and debt.owes.sticky for debt in debts
        ):  # what a person alone ends
            await act(play, clock, "a person switches auto-sync", name, True, last)
    await play.clock.sleep(BOUND.total_seconds())
    found = play.auditor.at_the_end(APPS, ATTEMPTS)
    app.stop()
    await task
    return found


SOME = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)  # the same nights each time


@given(nights)
@SOME
def test_what_is_true_at_every_moment(night: list[Any]) -> None:
    is_true_at_every_moment_of(night)


@pytest.mark.long
@given(nights)
@settings(SOME, max_examples=40)
def test_what_is_true_at_every_moment_of_more_nights(night: list[Any]) -> None:
    is_true_at_every_moment_of(night)


def is_true_at_every_moment_of(night: list[Any]) -> None:
    async def inside() -> list[str]:
        async with EmbeddedEnvironment(virtual.VirtualClock()).living() as world:
            return await live(Audited(world), night)

    assert virtual.run(inside()) == []
