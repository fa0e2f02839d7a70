"""The stage in memory: the whole controller against the embedded cluster, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec

from recovery.act.workloads import restarted_at
from recovery.app import App
from recovery.decide.transcript import changes
from recovery.kube.client import APPLICATIONS, EVENTS, RECOVERIES, SECRETS, Body, Resource
from recovery.model.application import Application
from recovery.model.message import Message
from recovery.model.recovery import Recovery
from recovery.record.codec import decode
from recovery.settings import Settings
from recovery.simulate.cluster import Cluster
from recovery.simulate.environment import ARGOCD, OURS, RUNS_IN, EmbeddedEnvironment
from recovery.simulate.virtual import VirtualClock
from recovery.simulate.workloads import WORKLOAD_RESOURCES
from tests.builders import a_recovery, plant

BY_PLURAL = {what.plural: what for what in WORKLOAD_RESOURCES.values()}


def called(recovery: Recovery) -> str:
    """What a story calls the subject: a repository's URL is another one on every bed."""
    return "repository" if recovery.subject.kind == "Repository" else recovery.subject.name


class Door:
    """The controller's client: counts its writes to applications, and dies where the story says."""

    def __init__(
        self, cluster: Cluster, written: dict[str, int], killed_at: str, kill: Callable[[], None]
    ) -> None:
        self._cluster = cluster
        self._written = written
        self._killed_at = killed_at
        self._kill = kill
        self.dead = False
        self.calls = cluster.calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def patch(self, what: Resource, namespace: str, name: str, body: Body) -> bytes:
        if self.dead:
            await asyncio.Event().wait()
        answer = await self._cluster.patch(what, namespace, name, body)
        if what == APPLICATIONS:
            self._written[name] = self._written.get(name, 0) + 1
            if body.get("operation") and self._killed_at == "before":
                self.dead = True
                self._kill()
                await asyncio.Event().wait()
            if body.get("operation") and self._killed_at == "after":
                self._killed_at = "now"
        return answer

    async def update(self, what: Resource, namespace: str, name: str, body: Body) -> bytes:
        # After the answer to the sync, the next thing it does is to record it: there it dies.
        if self._killed_at == "now" or self.dead:
            self.dead = True
            self._kill()
            await asyncio.Event().wait()
        return await self._cluster.update(what, namespace, name, body)


class EmbeddedStage:
    """Verbs on a World; one controller at a time."""

    def __init__(self, world: EmbeddedEnvironment, prefix: str) -> None:
        self.prefix = prefix
        self.received: list[dict[str, str]] = []
        self._world = world
        self._clock = VirtualClock()
        self._written: dict[str, int] = {}
        self._lines: dict[str, list[str]] = {}
        self._last: dict[str, Recovery] = {}
        self._app: App | None = None
        self.settings: dict[str, Any] = {}
        self.argocd: Any = None
        """Argo CD's API, where the story has a token."""
        world.cluster.listen(self._heard)

    def _heard(self, what: Resource, kind: str, item: dict[str, Any]) -> None:
        if what == RECOVERIES and kind != "DELETED" and item.get("status"):
            recovery = decode(msgspec.json.encode(item))
            lines = changes(self._last.get(recovery.name), recovery)
            self._lines.setdefault(called(recovery), []).extend(lines)
            self._last[recovery.name] = recovery

    async def policies(self, text: str) -> None:
        await self._world.policies(text)

    async def application(
        self, name: str, manifests: tuple[dict[str, Any], ...], **how: Any
    ) -> None:
        await self._world.application(name, manifests, **how)

    async def commit(self, name: str, manifests: tuple[dict[str, Any], ...]) -> str:
        return await self._world.commit(name, manifests)

    async def install(self, kind: str) -> None:
        await self._world.install(kind)

    async def seen(self, name: str) -> Application:
        return self._world.seen(name)

    async def raw(self, name: str) -> dict[str, Any]:
        return self._world.raw(name)

    async def restarted(self, plural: str, name: str) -> bool:
        item = self._world.cluster.find(BY_PLURAL[plural], RUNS_IN, name)
        return item is not None and restarted_at(item) is not None

    async def recoveries(self, name: str) -> list[Recovery]:
        return [r for r in self._world.recoveries() if r.subject.name == name]

    async def old_recovery(self, name: str) -> None:
        old = a_recovery(name, self._clock.now() - timedelta(days=30))
        await plant(self._world.cluster, old, OURS)

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]], seconds: float) -> None:
        for _ in range(round(seconds)):
            if await holds():
                return
            await self._clock.sleep(1)
        raise AssertionError(f"{what}: not within {seconds}s; {self._lines}")

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def transcript(self, name: str) -> list[str]:
        return self._lines.get(name, [])

    @contextlib.asynccontextmanager
    async def controller(
        self, *, enabled: bool = True, killed_at: str = ""
    ) -> AsyncIterator[Callable[[], bool]]:
        if self._world.cluster.find(SECRETS, OURS, "recovery-channels") is None:
            await self._world.cluster.create(
                SECRETS,
                OURS,
                {"metadata": {"name": "recovery-channels"}, "data": {"receiver": "anNvbjovL3g="}},
            )
        task: list[asyncio.Task[None]] = []
        door = Door(
            self._world.cluster, self._written, killed_at, lambda: task[0].cancel() and None
        )
        settings = Settings(
            enabled=enabled, interval=timedelta(seconds=5), identity="controller-0", **self.settings
        )
        self._app = App(settings, door, self._clock, self._send, self.argocd, self._world.looks)  # type: ignore[arg-type]
        task.append(asyncio.create_task(self._app.run()))
        await self._clock.sleep(1)
        try:
            yield lambda: door.dead
        finally:
            self._app.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await task[0]

    async def _send(self, url: str, note: Message) -> str:
        self.received.append({"title": note.title, "message": note.body, "url": url})
        return ""

    async def ready_details(self) -> dict[str, Any]:
        assert self._app is not None
        return dict(self._app.views.details())

    async def writes(self, name: str) -> int:
        assert self._world.cluster.find(APPLICATIONS, ARGOCD, name) is not None
        return self._written.get(name, 0)

    async def events(self, reason: str) -> int:
        return sum(
            e["reason"] == reason
            for e in self._world.cluster.every(EVENTS)
            if e["metadata"]["namespace"] == OURS
        )
