"""The whole controller in virtual time, over a client that can be made to fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

from recovery.app import App
from recovery.kube.client import APPLICATIONS, Body, Resource
from recovery.kube.errors import KubeError
from recovery.model.message import Message
from recovery.settings import Settings
from recovery.simulate import virtual
from recovery.simulate.environment import EmbeddedEnvironment

SLOW_HEARTBEATS: dict[str, Any] = {
    "lease_duration": timedelta(minutes=10),
    "poll_interval": timedelta(seconds=30),
}
"""Settings for a script of many hours that is not about Leases or probes: most of its time would go
into them."""


class Play:
    """A world, a controller over a client that can fail, and what it told."""

    def __init__(self, world: EmbeddedEnvironment) -> None:
        self.world = world
        self.clock = virtual.VirtualClock()
        self.told: list[Message] = []
        self.sent: list[tuple[str, Message]] = []
        """The same with where it went."""
        self.faults: list[Callable[[str, Resource], KubeError | None]] = []
        self.calls = world.cluster.calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.world.cluster, name)
        if name not in ("list", "get", "create", "update", "patch", "delete"):
            return method

        async def call(what: Resource, *args: Any, **query: Any) -> Any:
            for fault in self.faults:
                if error := fault(name, what):
                    raise error
            return await method(what, *args, **query)

        return call

    async def send(self, url: str, note: Message) -> str:
        self.told.append(note)
        self.sent.append((url, note))
        return ""

    @contextlib.asynccontextmanager
    async def controller(self, **settings: Any) -> AsyncIterator[App]:
        token = settings.pop("token", False)
        # A container that starts again in its Pod. Its Lease lives for long: renewing it each
        # second would be most of the work of a script of hours, and what Leases do is asked in
        # tests/kube/test_lease.py, tests/test_replicas.py and on the real bed.
        settings = {
            "identity": "controller-0",
            **SLOW_HEARTBEATS,
            **settings,
        }
        app = App(
            Settings(**settings),
            self,
            self.clock,
            self.send,
            self.world.api if token else None,
            self.world.looks,
        )  # type: ignore[arg-type]
        task = asyncio.create_task(app.run())
        await self.clock.sleep(1)
        try:
            yield app
        finally:
            app.stop()
            await task

    def touched(self, prefix: str) -> list[Body]:
        """What the controller wrote to applications of this prefix."""
        ours = ("recovery.gitops.dev", '"hard"', "gitops-recovery-controller")
        return [
            w[4]
            for w in self.world.cluster.writes
            if w[1] == APPLICATIONS
            and w[3].startswith(prefix)
            and any(word in str(w[4]) for word in ours)
        ]

    def phases(self) -> list[str]:
        return [r.phase.value for r in self.world.recoveries()]


def play(script: Callable[[Play], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with EmbeddedEnvironment(virtual.VirtualClock()).living() as world:
            await script(Play(world))

    virtual.run(inside())
