"""Thousands of changes at once: they are dealt with, memory stays, and a health probe has its turn
meanwhile."""

from __future__ import annotations

import asyncio
import json
import resource
import threading
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from recovery.app import App
from recovery.clock import SystemClock
from recovery.kube.client import APPLICATIONS, Resource
from recovery.model.message import Message
from recovery.serve.http import Server
from recovery.settings import Settings
from recovery.simulate.environment import EmbeddedEnvironment
from tests.stage import policies

APPS = 500
PADDING = "x" * 4000
"""An application is some kilobytes of what nobody needs."""


class Flooded:
    """The world's API server, whose watch on applications has everything ready at once."""

    def __init__(self, world: EmbeddedEnvironment, changes: int) -> None:
        self._world, self._changes = world, changes
        self.calls = world.cluster.calls
        self.flood = asyncio.Event()
        self.through = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.cluster, name)

    @asynccontextmanager
    async def watch(
        self, what: Resource, *args: Any, **query: Any
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        if what != APPLICATIONS:
            async with self._world.cluster.watch(what, *args, **query) as lines:
                yield lines
            return
        yield self._lines()

    async def _lines(self) -> AsyncIterator[bytes]:
        await self.flood.wait()
        for number in range(self._changes):
            yield changed(number)
        self.through.set()
        await asyncio.Event().wait()


def changed(number: int) -> bytes:
    """One of the applications, once more ill or well."""
    sick = number // APPS % 2
    item = {
        "metadata": {
            "name": f"w-{number % APPS}",
            "namespace": "argocd",
            "uid": f"uid-{number % APPS}",
            "resourceVersion": str(1000 + number),
        },
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://git.example/x"},
            "destination": {"server": "https://kubernetes.default.svc"},
        },
        "status": {
            "sync": {"status": "OutOfSync" if sick else "Synced", "revision": "a" * 40},
            "health": {"status": "Degraded" if sick else "Healthy"},
            "conditions": [{"type": "SharedResourceWarning", "message": PADDING}],
        },
    }
    return msgspec.json.encode({"type": "MODIFIED", "object": item})


class Prober(threading.Thread):
    """Asks /healthz as a kubelet would, from outside the event loop."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{port}/healthz"
        self.longest = 0.0
        self.answers = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.02):
            began = time.monotonic()
            with urllib.request.urlopen(self._url, timeout=60) as answer:
                answer.read()
            self.longest = max(self.longest, time.monotonic() - began)
            self.answers += 1


@pytest.mark.parametrize("changes", [5_000, pytest.param(50_000, marks=pytest.mark.long)])
def test_a_burst_of_changes_holds_up_no_probe_and_takes_no_memory(changes: int) -> None:
    async def inside() -> tuple[float, Prober, int]:
        clock = SystemClock()
        world = EmbeddedEnvironment(clock)
        await world.policies(policies("w"))
        door = Flooded(world, changes)

        async def send(url: str, note: Message) -> str:
            """Heard."""
            return ""

        server = Server("127.0.0.1", 0)
        await server.start()
        app = App(Settings(identity="controller-0"), door, clock, send, None, world.looks)  # type: ignore[arg-type]
        server.views = app.views
        running = asyncio.create_task(app.run())
        prober = Prober(server.port)
        try:
            async with asyncio.timeout(60):
                while app.views.ready():  # noqa: ASYNC110 (readiness is asked for, as by a kubelet)
                    await asyncio.sleep(0.05)
            prober.start()
            await asyncio.sleep(0.5)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began = time.monotonic()
            door.flood.set()
            await door.through.wait()
            took = time.monotonic() - began
            assert len(app.store.applications) == APPS
            return took, prober, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        finally:
            prober.ended.set()
            if prober.is_alive():
                await asyncio.to_thread(prober.join)
            app.stop()
            await running
            await server.stop()

    took, prober, grown = asyncio.run(inside())

    print(
        json.dumps(
            {
                "burst_s": round(took, 2),
                "longest_probe_s": round(prober.longest, 3),
                "probes": prober.answers,
                "grown_kib": grown,
            }
        )
    )
    assert prober.answers > 5
    assert prober.longest < took / 2, "many probes are answered while the burst lasts"
    assert grown < changes * len(PADDING) // 1024 // 2, (
        "KiB: half of what the changes are is not kept"
    )
