"""kill -9 before and after every single write of every action: no effect twice, no recovery
lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec import Struct

from recovery.act.workloads import RESTARTED_AT
from recovery.app import App
from recovery.commands.failback import asked as wanted
from recovery.commands.requests import write
from recovery.kube.client import APPLICATIONS, EVENTS, LEASES, Body, Resource
from recovery.model.message import Message
from recovery.model.names import REFRESH
from recovery.model.recovery import RecoveryPhase
from recovery.settings import Settings
from recovery.simulate import virtual
from recovery.simulate.environment import OURS, EmbeddedEnvironment
from recovery.simulate.manifests import custom, deployment
from tests.connected_stories import connected
from tests.play import SLOW_HEARTBEATS
from tests.stage import policies as short_policies

HUNG = """
recovery_policies:
- name: hung-operation
  selector: {names: ["w-*"]}
  condition: {type: application, operation: Running, duration: 10s}
  actions:
  - {type: terminate, parameters: {after: 8s}, timeout: 60s}
  - {type: sync, timeout: 60s}
  - {type: notify}
defaults: {attempts: 4, backoff: {duration: 20s}, healthy_delay: 5s, channels: [receiver]}
"""
WRITES = ("create", "update", "patch", "delete")
UNCOUNTED = (LEASES, EVENTS)
"""They carry no effect; Leases are tests/kube's own."""


class Night(Struct, frozen=True):
    """What happens, for how long, and where it has to end."""

    begins: Callable[[EmbeddedEnvironment], Awaitable[None]]
    then: Callable[[EmbeddedEnvironment], Awaitable[None]]
    after: float
    """When that is, in seconds."""
    seconds: float
    well: Callable[[EmbeddedEnvironment], bool]
    effects: frozenset[str]
    """What the undisturbed controller does, at least: the night is about this."""


class Door:
    """The controller's client: notes each effect, and dies before or after its n-th write."""

    def __init__(
        self, world: EmbeddedEnvironment, dies_at: int = 0, *, after: bool = False
    ) -> None:
        self._world, self._dies_at, self._after = world, dies_at, after
        self.calls = world.cluster.calls
        self.count = 0
        self.effects: Counter[str] = Counter()
        self.dead = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._world.cluster, name)
        if name not in WRITES:
            return method

        async def write(what: Resource, *args: Any, **query: Any) -> Any:
            if self.dead.is_set():
                await asyncio.Event().wait()  # the dead write nothing
            if what in UNCOUNTED:
                return await method(what, *args, **query)
            self.count += 1
            if self.count == self._dies_at and not self._after:
                await self._die()
            answer = await method(what, *args, **query)
            for effect in effects(what, args):
                self.effects[effect] += 1
            if self.count == self._dies_at:
                await self._die()
            return answer

        return write

    async def _die(self) -> None:
        self.dead.set()
        await asyncio.Event().wait()


def effects(what: Resource, args: tuple[Any, ...]) -> list[str]:
    """What a write does to the outside, in a word; our own records are none."""
    body: Body = args[-1] if args and isinstance(args[-1], dict) else {}
    name = args[1] if len(args) > 2 else ""
    annotations = (body.get("metadata") or {}).get("annotations") or {}
    found = []
    if what == APPLICATIONS:
        if body.get("operation"):
            found.append("sync" if "destination" not in (body.get("spec") or {}) else "move")
        if ((body.get("status") or {}).get("operationState") or {}).get("phase") == "Terminating":
            found.append("terminate")
        if "syncPolicy" in (body.get("spec") or {}):
            found.append("auto-sync")
        if REFRESH in annotations:
            found.append("refresh")
    elif RESTARTED_AT in str(body):
        found.append("restart")
    return [f"{each} {name}" for each in found]


async def nothing(world: EmbeddedEnvironment) -> None:
    """Nothing more happens."""


async def gives_up(world: EmbeddedEnvironment) -> None:
    await world.application("w-1", (deployment("w-1"), custom("Widget", "w")))


async def the_crd_comes(world: EmbeddedEnvironment) -> None:
    await world.install("Widget")


async def crashes(world: EmbeddedEnvironment) -> None:
    await world.application("w-1", (deployment("w-1", "crash-until-restart", 5),))


async def deployed_well(world: EmbeddedEnvironment) -> None:
    await world.application("w-1", (deployment("w-1", "ready", 8),))


async def deployed_badly(world: EmbeddedEnvironment) -> None:
    await world.commit("w-1", (deployment("w-1", "missing", 8),))


async def hangs(world: EmbeddedEnvironment) -> None:
    await world.policies(HUNG)
    await world.application("w-1", (deployment("w-1"),), annotations={"hang": "true"})


async def hangs_no_more(world: EmbeddedEnvironment) -> None:
    await world.annotate("w-1", {"hang": None})


async def on_primary(world: EmbeddedEnvironment) -> None:
    for name in ("primary", "secondary"):
        await world.further_cluster(name)
    for name in ("w-a", "w-b"):
        await world.application(name, (deployment(name, "ready", 20),), cluster="primary")
    await world.policies(connected("w"))


async def primary_dies(world: EmbeddedEnvironment) -> None:
    world.destinations.all["primary"].up = False


async def primary_dies_and_returns(world: EmbeddedEnvironment) -> None:
    """And when it is back, a person asks for the failback, however often the record is written
    meanwhile."""
    await primary_dies(world)
    while not any(r.reason == "FailedOver" for r in world.recoveries()):  # noqa: ASYNC110 (in virtual time)
        await asyncio.sleep(1)
    place = world.destinations.all["primary"]
    place.up, place.unread = True, False
    while not any(r.reason == "SplitBrain" or r.healthy_since for r in world.recoveries()):  # noqa: ASYNC110 (in virtual time)
        await asyncio.sleep(1)
    await asyncio.sleep(15)
    (held,) = [r for r in world.recoveries() if r.subject.kind == "Cluster"]
    await write(
        world.cluster,
        OURS,
        held.name,
        lambda found: wanted(found, stay=False, cleanup=False),
        "ada",
        world.clock,
    )


def home_again(world: EmbeddedEnvironment) -> bool:
    (held,) = [r for r in world.recoveries() if r.subject.kind == "Cluster"]
    there = [world.seen(n).destination.cluster for n in ("w-a", "w-b")]
    return there == ["primary"] * 2 and held.phase is RecoveryPhase.Resolved


def well(world: EmbeddedEnvironment) -> bool:
    app = world.seen("w-1")
    return app.health.value == "Healthy" and [r.phase for r in world.recoveries()] == [
        RecoveryPhase.Resolved
    ]


def moved(world: EmbeddedEnvironment) -> bool:
    (held,) = [r for r in world.recoveries() if r.subject.kind == "Cluster"]
    there = [world.seen(n).destination.cluster for n in ("w-a", "w-b")]
    return there == ["secondary"] * 2 and (held.phase, held.reason) == (
        RecoveryPhase.Stalled,
        "FailedOver",
    )


NIGHTS = {
    "refresh and sync": Night(
        gives_up, the_crd_comes, 12, 240, well, frozenset({"refresh w-1", "sync w-1"})
    ),
    "restart": Night(crashes, nothing, 10, 240, well, frozenset({"restart w-1"})),
    "rollback": Night(
        deployed_well, deployed_badly, 100, 420, well, frozenset({"auto-sync w-1", "sync w-1"})
    ),
    "terminate": Night(hangs, hangs_no_more, 50, 300, well, frozenset({"terminate w-1"})),
    "failback": Night(
        on_primary,
        primary_dies_and_returns,
        100,
        900,
        home_again,
        frozenset({"move w-a", "move w-b"}),
    ),
    "failover": Night(
        on_primary, primary_dies, 100, 420, moved, frozenset({"move w-a", "move w-b"})
    ),
}


async def one(
    night: Night, world: EmbeddedEnvironment, dies_at: int, *, after: bool
) -> tuple[int, Counter[str], Counter[str], bool]:
    """The night with one death in it: writes, effects, messages, and whether all ended well."""
    told: Counter[str] = Counter()
    clock = virtual.VirtualClock()

    async def send(url: str, note: Message) -> str:
        told[note.key] += 1
        return ""

    settings = Settings(
        identity="controller-0",
        cluster_secrets=("cluster-primary", "cluster-secondary"),
        witness="https://outside.example",
        **SLOW_HEARTBEATS,
    )
    further = night.begins is on_primary
    await (night.begins(world) if further else world.policies(short_policies("w")))
    token = world.api if world.destinations.all else None
    done: Counter[str] = Counter()
    writes = 0
    after_death = [dies_at, 0] if dies_at else [0]
    began = clock.monotonic()
    following: asyncio.Task[None] | None = None
    coming = [not further, True]  # what is still to come: the beginning, and what follows
    for dies in after_death:
        door = Door(world, dies, after=after)
        app = App(settings, door, clock, send, token, world.looks)  # type: ignore[arg-type]
        running = asyncio.create_task(app.run())
        while clock.monotonic() - began < night.seconds and not door.dead.is_set():
            await clock.sleep(1)
            if coming[0] and clock.monotonic() - began > 2:
                coming[0] = False
                await night.begins(world)
            if coming[1] and clock.monotonic() - began > night.after:
                coming[1] = False
                following = asyncio.create_task(night.then(world))
        died = door.dead.is_set()
        if died:
            running.cancel()
        else:
            app.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        done += door.effects
        writes += door.count
        if not died:
            break
        await clock.sleep(4)
    assert following is not None
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
    return writes, done, told, night.well(world)


def play(
    night: Night, dies_at: int = 0, *, after: bool = False
) -> tuple[int, Counter[str], Counter[str], bool]:
    random.seed(
        0
    )  # looks are spread over time by chance: the n-th write has to be the same one each time

    async def inside() -> tuple[int, Counter[str], Counter[str], bool]:
        async with EmbeddedEnvironment(virtual.VirtualClock()).living() as world:
            return await one(night, world, dies_at, after=after)

    return virtual.run(inside())


EVERY = {"failover": 6, "failback": 8}
"""Of the longest nights the fast suite kills at each sixth or eighth write, the long one at all."""


@pytest.mark.parametrize(
    ("name", "every"),
    [(name, EVERY.get(name, 1)) for name in NIGHTS]
    + [pytest.param(name, 1, marks=pytest.mark.long) for name in EVERY],
)
def test_killed_at_every_write_nothing_happens_twice_and_nothing_is_lost(
    name: str, every: int
) -> None:
    night = NIGHTS[name]
    writes, undisturbed, _, ended_well = play(night)
    assert ended_well
    assert night.effects <= set(undisturbed)
    assert writes > 5

    for dies_at in range(1, writes + 1, every):
        for after in (False, True):
            _, done, told, ended_well = play(night, dies_at, after=after)
            where = f"killed {'after' if after else 'before'} write {dies_at} of {writes}"
            assert ended_well, where
            for effect, times in done.items():
                # A refresh carries no mark and may be asked for again; nothing else may.
                least = undisturbed[effect] + effect.startswith("refresh")
                assert times <= least, (where, effect, times, undisturbed)
            assert all(times <= 2 for times in told.values()), (where, told)
