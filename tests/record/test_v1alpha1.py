"""Recoveries of v1alpha1 are written anew, whatever is among them and whoever writes beside us."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from recovery.kube.client import RECOVERIES, RECOVERIES_BEFORE, Resource
from recovery.kube.errors import Invalid, KubeError, Unavailable
from recovery.record.v1alpha1 import migrate
from recovery.simulate import virtual
from recovery.simulate.cluster import Cluster
from recovery.simulate.environment import OURS
from recovery.simulate.manifests import deployment
from tests.play import Play, play
from tests.stage import policies as short_policies

SAMPLE = json.loads((Path(__file__).parent / "samples/recovery-1.json").read_text())


def old(name: str, **status: Any) -> dict[str, Any]:
    body = json.loads(json.dumps(SAMPLE))
    body["metadata"] = {"name": name}
    body["status"].update(status)
    return body


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"steps": ["refresh"]}, id="a step that is a word"),
        pytest.param({"talk": ["slack"]}, id="talk is a list"),
        pytest.param({"steps": [{"claim": None}]}, id="a claim that is null"),
    ],
)
def test_one_that_cannot_be_read_is_left_as_it_is(status: dict[str, Any]) -> None:
    async def inside() -> None:
        cluster = Cluster(virtual.VirtualClock())
        await cluster.create(RECOVERIES_BEFORE, "ours", old("a", **status))
        await cluster.create(RECOVERIES_BEFORE, "ours", old("b"))
        assert await migrate(cluster, "ours") == 1

    virtual.run(inside())


def test_one_that_the_api_server_refuses_does_not_keep_the_others_waiting() -> None:
    class Refuses(Cluster):
        async def update(self, what: Resource, ns: str, name: str, body: Any) -> bytes:
            if name == "a":
                raise Invalid("admission webhook denied the request", 422)
            return await super().update(what, ns, name, body)

    async def inside() -> None:
        cluster = Refuses(virtual.VirtualClock())
        for name in ("a", "b"):
            await cluster.create(RECOVERIES_BEFORE, "ours", old(name))
        with contextlib.suppress(KubeError):
            await migrate(cluster, "ours")
        found = cluster.find(RECOVERIES, "ours", "b")
        assert found["status"]["format"] == 2

    virtual.run(inside())


def test_the_controller_starts_where_one_old_record_is_refused() -> None:
    async def script(p: Play) -> None:
        await p.world.cluster.create(RECOVERIES_BEFORE, OURS, old("a"))
        await p.world.policies(short_policies("w"))
        await p.world.application("w-1", (deployment("w-1", "crash-until-restart", 5),))
        plain = p.world.cluster.update

        async def update(what: Resource, ns: str, name: str, body: Any) -> bytes:
            if what == RECOVERIES_BEFORE:
                raise Invalid("admission webhook denied the request", 422)
            return await plain(what, ns, name, body)

        p.world.cluster.update = update  # type: ignore[method-assign]
        async with p.controller() as app:
            await p.clock.sleep(3600)
            assert app.source.policies is not None
            assert len(app.store.applications) == 1, "not begun after an hour"

    play(script)


def test_what_an_old_replica_opens_after_the_new_one_has_started_goes_on() -> None:
    """Rolling update of three replicas: the new one rewrites at its start, the old ones go on
    writing v1alpha1 until they are ended."""

    async def script(p: Play) -> None:
        await p.world.policies(short_policies("w"))
        await p.world.application("w-1", (deployment("w-1", "ready", 5),))
        await p.clock.sleep(20)
        name = ""
        async with p.controller() as app:
            await p.world.commit("w-1", (deployment("w-1", "crash", 5),))
            for _ in range(300):
                await p.clock.sleep(1)
                if app.recoveries.all():
                    break
            (held,) = app.recoveries.all()
            name = held.name
        found = p.world.cluster.find(RECOVERIES, OURS, name)
        await p.world.cluster.delete(RECOVERIES, OURS, name)
        body = old(
            name, phase="Remediating", steps=[], moves=[], notes=[], wishes=[], told=[], talk={}
        )
        body["spec"] |= {
            "subject": found["spec"]["subject"],
            "policy": found["spec"]["policy"],
            "openedAt": found["spec"]["openedTime"],
        }
        before = len(p.touched("w-1"))
        async with p.controller() as app:
            await p.world.cluster.create(RECOVERIES_BEFORE, OURS, body)  # by the old one
            await p.clock.sleep(3600)
            print("unreadable:", app._records.unreadable)
            print("claims lost:", app.metrics.passes.labels("claim lost")._value.get())
            print("touched:", len(p.touched("w-1")) - before)
            assert app.recoveries.get(name) is not None, "nobody goes on with it"

    play(script)


def test_a_list_that_is_cut_off_is_asked_for_again() -> None:
    class Cut(Cluster):
        async def list(self, what: Any, namespace: str = "", **query: str) -> bytes:
            return (await super().list(what, namespace, **query))[:-20]

    async def inside() -> None:
        with pytest.raises(Unavailable):
            await migrate(Cut(virtual.VirtualClock()), "ours")

    virtual.run(inside())


def test_its_reasons_are_translated_so_that_what_judges_by_them_knows_them() -> None:
    step = {"attempt": 1, "index": 0, "action": "notify", "startedAt": "2026-03-02T12:00:00Z"}

    async def inside() -> None:
        cluster = Cluster(virtual.VirtualClock())
        body = old("a", reason="OwnerIntent", steps=[{**step, "reason": "Told"}, step])
        await cluster.create(RECOVERIES_BEFORE, "ours", body)
        assert await migrate(cluster, "ours") == 1
        status = cluster.find(RECOVERIES, "ours", "a")["status"]
        assert status["reason"] == "ManualSync"
        assert [s.get("reason", "") for s in status["steps"]] == ["Notified", ""]

    virtual.run(inside())
