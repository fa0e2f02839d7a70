"""The shipped client stack over real sockets, with faults by seed in the API server's HTTP face: it
comes through, nothing is doubled."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from recovery.app import App
from recovery.clock import SystemClock
from recovery.kube.asyncio_client import connect
from recovery.model.message import Message
from recovery.model.recovery import RecoveryPhase
from recovery.settings import Settings
from recovery.simulate.environment import EmbeddedEnvironment
from recovery.simulate.http import APIServer
from recovery.simulate.manifests import custom, deployment
from tests.operations import counted
from tests.stage import policies

SPEED = 12.0
RATE = 0.15
APPS = ("w-a", "w-b", "w-c")


class Faulty(APIServer):
    """Answers as an API server behind a bad proxy does, now and then."""

    def __init__(self, world: EmbeddedEnvironment, seed: int) -> None:
        super().__init__(world.cluster)
        self._chance = random.Random(seed)  # noqa: S311 (faults that can be played again)
        self.rate = 0.0
        self.seen: Counter[str] = Counter()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        watching = request.query.get("watch") == "true"
        if self._chance.random() >= self.rate:
            return await super()._answer(request)
        kinds = ["429", "500", "503", "410", "reset", "html", "late"] + (
            [] if watching else ["lost answer", "half"]
        )
        kind = self._chance.choice(kinds)
        self.seen[kind] += 1
        match kind:
            case "429":
                return web.Response(status=429, headers={"Retry-After": "1"}, text="{}")
            case "500" | "503" | "410":
                return web.json_response(
                    {"message": "scripted", "code": int(kind)}, status=int(kind)
                )
            case "html":
                return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
            case "late":
                await asyncio.sleep(0.3)
                return await super()._answer(request)
            case "half":
                whole = await super()._answer(request)
                assert isinstance(whole, web.Response)
                return web.Response(
                    status=whole.status,
                    body=bytes(whole.body or b"")[: len(bytes(whole.body or b"")) // 2],
                )  # type: ignore[arg-type]
            case "lost answer":
                await super()._answer(request)
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError


@pytest.mark.parametrize("seed", range(3))
def test_faults_on_the_wire(tmp_path: Path, seed: int) -> None:
    async def inside() -> tuple[list[Any], Counter[str], Counter[tuple[str, str]], Counter[str]]:
        clock = SystemClock(SPEED)
        async with EmbeddedEnvironment(clock).living() as world:
            operations = counted(world.cluster)
            face = Faulty(world, seed)
            await face.start()
            config = tmp_path / "kubeconfig"
            config.write_text(json.dumps(face.kubeconfig()))
            client = await connect(str(config))

            async def send(url: str, note: Message) -> str:
                """Heard."""
                return ""

            await world.policies(policies("w") + "guards: {storm: {minimum: 1000}}\n")
            settings = Settings(identity="controller-0", interval=timedelta(seconds=10))
            app = App(settings, client, clock, send, None, world.looks)
            running = asyncio.create_task(app.run())
            try:
                async with asyncio.timeout(45):
                    while app.views.ready() or not app.shards.lead:  # noqa: ASYNC110 (asked for, as by a kubelet)
                        await asyncio.sleep(0.05)
                    face.rate = RATE
                    for name in APPS:
                        await world.application(
                            name, (deployment(name, deadline=20), custom("Widget", name)), retry=0
                        )
                    await clock.sleep(10)
                    await world.install("Widget")
                    while not _cured(world):  # noqa: ASYNC110 (the world is looked at)
                        await asyncio.sleep(0.1)
            finally:
                face.rate = 0.0
                app.stop()
                await running
                await client.close()
                await face.stop()
            return world.recoveries(), face.seen, Counter(client.calls), operations

    recoveries, seen, calls, operations = asyncio.run(inside())

    assert sum(seen.values()) > 5, "there were faults"
    assert {r.phase for r in recoveries} == {RecoveryPhase.Resolved}
    assert operations
    assert max(operations.values()) == 1, "no operation is written twice"
    assert any(status in ("429", "500", "503", "410", "no answer") for _, status in calls), calls


def _cured(world: EmbeddedEnvironment) -> bool:
    found = {r.subject.name: r.phase for r in world.recoveries()}
    return set(found) == set(APPS) and set(found.values()) == {RecoveryPhase.Resolved}
