"""Nights with faults at every door, by seed: python -m tests.soak [SCHEDULES] [FIRST] replays and
tells which one failed.

Each schedule is a fleet, one to three replicas, a policy file and half an hour of trouble in
virtual time: latency, resets before and after a write, 409, 410, 429, 500, 503, truncated JSON,
watches that break or go silent, old lists, clocks that jump, an Argo CD that sleeps, replicas that
die; then quiet. What must hold is looked at with every write.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from recovery.act.workloads import RESTARTED_AT
from recovery.app import App
from recovery.kube.client import APPLICATIONS, DEPLOYMENTS, RECOVERIES, STATEFUL_SETS, Resource
from recovery.kube.errors import Busy, Conflict, Gone, KubeError, Unavailable
from recovery.model.message import Message
from recovery.model.recovery import RecoveryPhase
from recovery.record.codec import decode
from recovery.settings import Settings
from recovery.simulate import virtual
from recovery.simulate.environment import OURS, EmbeddedEnvironment
from recovery.simulate.manifests import custom, deployment
from tests.operations import Newly, claimed
from tests.stage import policies

APPS = tuple(f"w-{n}" for n in range(7))
IN_FLIGHT = 3
LIMITS = f"guards: {{storm: {{minimum: 6, group: 90%, cooldown: 1m}}, budget: {{in_flight: {IN_FLIGHT}, per_cluster: 9, per_project: 2}}}}\n"
WRITES = ("create", "update", "patch", "delete")
ENDS = {
    RecoveryPhase.Resolved,
    RecoveryPhase.Superseded,
    RecoveryPhase.Stalled,
    RecoveryPhase.Suppressed,
}


class Broken(AssertionError):
    """Something that must hold did not; the message names it."""


class JumpingClock(virtual.VirtualClock):
    """A machine's wall clock that is set; its monotonic one goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = timedelta()

    def now(self) -> datetime:
        return super().now() + self.offset


class Door:
    """One replica's way to the API server."""

    def __init__(self, auditor: Auditor, chance: random.Random) -> None:
        self._auditor, self._chance = auditor, chance
        self._cluster = auditor.world.cluster
        self.calls = self._cluster.calls
        self.rate = 0.0
        self.dead = False
        self.app: App | None = None
        self._old: dict[Any, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cluster, name)
        if name not in (*WRITES, "list", "get"):
            return method

        async def call(what: Resource, *args: Any, **query: Any) -> Any:
            if self.dead:
                await asyncio.Event().wait()
            chance = self._chance
            if name in WRITES:
                self._auditor.about_to(self.app, what, args)
            late = await self._trouble(name, what)
            if self.dead:
                await asyncio.Event().wait()
            answer = await method(what, *args, **query)
            if late is not None:
                raise late
            asked = (what, args[:1], tuple(sorted(query.items())))
            if name == "list" and what == APPLICATIONS and "continue" not in query:
                if chance.random() < self.rate / 4 and asked in self._old:
                    return self._old[asked]  # an API server that has fallen behind
                self._old[asked] = answer
            if name in ("list", "get") and chance.random() < self.rate / 6:
                return answer[: len(answer) // 2]
            return answer

        return call

    async def _trouble(self, name: str, what: Resource) -> KubeError | None:
        """Raises before anything happened, or gives what is raised afterwards."""
        chance = self._chance
        if chance.random() >= self.rate:
            return None
        match chance.randrange(7):
            case 0:
                await asyncio.sleep(chance.choice((0.05, 0.5, 4.0, 12.0)))
                return None
            case 1:
                raise Busy("too many requests", 429, 1)
            case 2:
                raise Unavailable("internal error", chance.choice((500, 502, 503)))
            case 3 if name in ("update", "patch", "create"):
                raise Conflict("the object has been modified", 409)
            case 4 if name == "list":
                raise Gone("the continue token is too old", 410)
            case 5 if name in WRITES:
                return Unavailable("connection reset by peer")
            case _:
                raise Unavailable(f"connect: connection refused ({what.plural})")

    @asynccontextmanager
    async def watch(
        self, what: Resource, *args: Any, silence: float, **query: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        if self.dead:
            await asyncio.Event().wait()
        if self._chance.random() < self.rate / 2:
            raise (
                Gone("too old resource version", 410)
                if self._chance.random() < 0.5
                else Unavailable("refused")
            )
        async with self._cluster.watch(what, *args, silence=silence, **query) as lines:
            yield self._lines(lines, silence)

    async def _lines(self, lines: AsyncIterator[bytes], silence: float) -> AsyncIterator[bytes]:
        async for line in lines:
            if self.dead:
                await asyncio.Event().wait()
            if self._chance.random() < self.rate / 3:
                match self._chance.randrange(3):
                    case 0:
                        raise Unavailable("reset in the middle of the stream")
                    case 1:
                        await asyncio.sleep(silence)  # it hears nothing, and nobody tells it so
                        raise Unavailable("no answer in time")
                    case _:
                        yield line[: len(line) // 2]
                        return
            yield line


class Auditor:
    """Looks at every write to the world."""

    def __init__(self, world: EmbeddedEnvironment, enabled: bool) -> None:
        self.world = world
        self._enabled = enabled
        self._operations: Counter[str] = Counter()
        self._newly = Newly(self._operation)
        self.effects = 0
        self.broken: list[str] = []
        """What did not hold: whoever wrote it may swallow what is raised."""
        world.cluster.listen(self._heard)

    def _broken(self, words: str) -> None:
        self.broken.append(words)

    def about_to(self, app: App | None, what: Resource, args: tuple[Any, ...]) -> None:
        """A replica is about to write this."""
        body = args[-1] if args and isinstance(args[-1], dict) else {}
        if what not in (APPLICATIONS, DEPLOYMENTS, STATEFUL_SETS):
            return
        self.effects += 1
        if not self._enabled:
            self._broken(f"written when disabled: {what.plural} {args[1]} {body}")
        if app is not None and not app.freshness().fresh:
            self._broken(f"acted on stale data: {app.freshness().message}: {what.plural} {args[1]}")
        if app is not None and what == APPLICATIONS:
            uid = (self.world.raw(args[1]).get("metadata") or {}).get("uid", "")
            if uid and not app.shards.holds(uid):
                self._broken(f"acted without the lease: {args[1]}")
        if RESTARTED_AT in str(body):
            at_work = [
                r for r in self.world.recoveries() if r.running and r.running.action == "restart"
            ]
            if args[1] not in {r.subject.name for r in at_work}:
                self._broken(f"restarted without a claim: {args[1]}")

    def _heard(self, what: Resource, kind: str, item: dict[str, Any]) -> None:
        if what == APPLICATIONS and kind == "MODIFIED":
            self._newly.seen(item)
        elif what == RECOVERIES and kind != "DELETED" and item.get("status"):
            recovery = decode(msgspec.json.encode(item))
            if recovery.attempt > recovery.max_attempts and recovery.subject.kind != "Storm":
                self._broken(
                    f"attempt {recovery.attempt} of {recovery.max_attempts}: {recovery.name}"
                )
            every = self.world.recoveries()
            working = [r.name for r in every if r.phase is RecoveryPhase.Remediating]
            if len(working) > IN_FLIGHT:
                self._broken(f"{len(working)} in flight, {IN_FLIGHT} may be: {working}")
            twice = [
                uid
                for uid, n in Counter(r.subject.uid for r in every if not r.phase.over).items()
                if n > 1
            ]
            if twice:
                both = [
                    f"{r.name} {r.policy} {r.phase.value} {r.reason} since {r.opened_at}"
                    for r in every
                    if r.subject.uid in twice
                ]
                self._broken(f"two open recoveries of one subject: {both}")

    def _operation(self, token: str) -> None:
        self._operations[token] += 1
        if self._operations[token] > 1:
            self._broken(f"written twice: {token}")
        if not claimed(token, self.world.recoveries()):
            self._broken(f"an operation without a claim: {token}")


class Night:
    """One schedule."""

    def __init__(self, world: EmbeddedEnvironment, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 (a schedule that can be played again)
        self.world = world
        self.enabled = self.chance.random() > 0.1
        self.auditor = Auditor(world, self.enabled)
        self.count = self.chance.choice((1, 1, 2, 3))
        self.shards = self.chance.choice((1, self.count))
        self.replicas: dict[int, tuple[App, Door, JumpingClock, asyncio.Task[None]]] = {}
        self.failed: list[BaseException] = []

    async def start(self, number: int) -> None:
        """A replica under its own name, as a container that starts again in its Pod."""
        clock, door = JumpingClock(), Door(self.auditor, self.chance)

        async def send(url: str, note: Message) -> str:
            """Heard."""
            return ""

        settings = Settings(
            enabled=self.enabled,
            identity=f"controller-{number}",
            shards=self.shards,
            interval=timedelta(seconds=30),
        )
        app = App(settings, door, clock, send, None, self.world.looks)  # type: ignore[arg-type]
        door.app = app
        self.replicas[number] = (app, door, clock, asyncio.create_task(app.run()))

    async def kill(self, number: int) -> None:
        """kill -9."""
        _, door, _, task = self.replicas.pop(number)
        door.dead = True
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def play(self) -> None:
        """Trouble, then quiet, then what must be."""
        await self.world.policies(policies("w", attempts=2) + LIMITS)
        for number, name in enumerate(APPS):
            await self.world.application(
                name,
                (deployment(name, "ready", 10),),
                project=f"p{number % 3}",
                self_heal=number % 2 == 0,
            )
        for number in range(self.count):
            await self.start(number)
        await asyncio.sleep(60)
        for _ in range(self.chance.randrange(5, 25)):
            await self._event()
            await asyncio.sleep(self.chance.choice((1, 5, 20, 60, 120)))
            if self.auditor.broken:
                raise Broken(self.auditor.broken[0])
        for _, door, clock, _ in self.replicas.values():
            door.rate, clock.offset = 0.0, timedelta()
        for number in range(self.count):
            if number not in self.replicas:
                await self.start(number)
        self.world.argocd.running = True
        self.world.argocd.wake()
        await asyncio.sleep(1500)
        if self.auditor.broken:
            raise Broken(self.auditor.broken[0])
        if left := [
            f"{r.name} {r.phase.value} {r.reason}: {r.message}"
            for r in self.world.recoveries()
            if r.phase not in ENDS
        ]:
            raise Broken(f"hangs in between: {left}")
        if self.enabled:
            held = [a.shards.held() for a, _, _, _ in self.replicas.values()]
            if sorted(shard for shards in held for shard in shards) != list(range(self.shards)):
                raise Broken(f"not every shard has its one owner: {held}")
        for app, _, _, task in self.replicas.values():
            app.stop()
            await task

    async def _event(self) -> None:
        chance, world = self.chance, self.world
        name = chance.choice(APPS)
        number = chance.choice(list(self.replicas) or [-1])
        match chance.randrange(13):
            case 0 | 1 | 2:
                tag = chance.choice(("ready", "ready-2", "missing", "crash", "crash-until-restart"))
                await world.commit(name, (deployment(name, tag, 10),))
            case 3:
                await world.commit(
                    name,
                    (
                        deployment(name, "ready", 10),
                        custom(chance.choice(("Widget", "Gadget")), name),
                    ),
                )
            case 4:
                await world.install(chance.choice(("Widget", "Gadget")))
            case 5 if world.raw(name).get("operation") is None:
                await world.sync(name)
            case 6:
                await world.annotate(
                    name, {"recovery.gitops.dev/paused": chance.choice(("true", None))}
                )
            case 7:
                world.argocd.running = not world.argocd.running
                world.argocd.wake()
            case 8 | 9 if number >= 0:
                self.replicas[number][1].rate = chance.choice((0.0, 0.05, 0.2, 0.5, 1.0))
            case 10 if number >= 0:
                self.replicas[number][2].offset = timedelta(
                    seconds=chance.choice((-240, -30, 0, 30, 240))
                )
            case 11 if number >= 0:
                await self.kill(number)
            case 12:
                for held in world.recoveries()[:1]:
                    await world.cluster.delete(RECOVERIES, OURS, held.name)
            case _:
                for missing in range(self.count):
                    if missing not in self.replicas:
                        await self.start(missing)


def replay(seed: int) -> int:
    """One schedule; how many effects it had. Broken when something did not hold."""

    async def inside() -> int:
        random.seed(seed)
        async with EmbeddedEnvironment(virtual.VirtualClock()).living() as world:
            night = Night(world, seed)
            try:
                await night.play()
            finally:
                for number in list(night.replicas):
                    await night.kill(number)
            return night.auditor.effects

    try:
        return virtual.run(inside())
    except Broken as error:
        raise Broken(f"seed {seed}: {error}; again: python -m tests.soak 1 {seed}") from error


def main() -> None:
    """SCHEDULES and FIRST from the command line."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    began, effects = time.monotonic(), 0
    for number, seed in enumerate(range(first, first + count), start=1):
        effects += replay(seed)
        if number % 100 == 0 or number == count:
            print(
                f"{number} of {count} schedules, {effects} effects, {time.monotonic() - began:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
