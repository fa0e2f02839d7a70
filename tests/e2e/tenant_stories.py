"""A hostile owner of Applications, on a real API server and a real Argo CD, under the shipped
manifests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from recovery.kube.client import APPLICATIONS, DEPLOYMENTS
from recovery.kube.errors import Conflict
from recovery.record.codec import stamp
from recovery.simulate.manifests import deployment
from tests.e2e.guard_stories import config_map
from tests.e2e.real_stage import RealStage
from tests.stage import policies
from tests.testbed.installation import ACCOUNT

CRASHES = "CrashLoopBackOff"
DEARER = 10
"""How many times as long as with plain words of the same size the longest probe may take while a
hostile object is read; what backtracks takes hundreds of times as long."""
LETTERS = 1390
"""Characters of one message: 480 of them are close to the largest object that etcd takes."""


async def victim(stage: RealStage) -> str:
    """A namespace with a Deployment of another team that crashes, of no Application at all; its
    name."""
    namespace = f"{stage.prefix}-victims"
    await stage.kubectl("create", "namespace", namespace)
    await stage.client.create(DEPLOYMENTS, namespace, deployment("payments-db", "crash", 5))

    async def degraded() -> bool:
        said = await stage.kubectl("-n", namespace, "get", "pods", "-o", "json")
        return CRASHES in said

    await stage.until("the victim's pods crash", degraded, 60)
    return namespace


def rows(namespace: str) -> list[dict[str, Any]]:
    names = (
        ("Deployment", namespace, "payments-db"),
        ("DaemonSet", "kube-system", "kube-proxy"),
        ("Deployment", "kube-system", "../x/y"),
    )
    return [
        {
            "group": "apps",
            "version": "v1",
            "kind": kind,
            "namespace": where,
            "name": name,
            "status": "Synced",
        }
        for kind, where, name in names
    ]


@contextlib.asynccontextmanager
async def forged(stage: RealStage, name: str, namespace: str, every: float) -> AsyncIterator[None]:
    """Meanwhile its owner says that it is Degraded, that the victim's workloads are its own, and
    that it was compared just now."""
    since = stamp(datetime.now(UTC))

    async def forge() -> None:
        while True:
            now = stamp(datetime.now(UTC))
            status = {
                "health": {"status": "Degraded", "lastTransitionTime": since},
                "reconciledAt": now,
                "resources": rows(namespace),
            }
            with contextlib.suppress(Conflict):
                await stage.client.patch(
                    APPLICATIONS,
                    "argocd",
                    name,
                    {"status": {"sync": {"status": "Synced"}, **status}},
                )
            await asyncio.sleep(every)

    task = asyncio.create_task(forge())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _nothing_of_others(stage: RealStage) -> list[str]:
    namespace = await victim(stage)
    skipped, fast = f"{stage.prefix}-skipped", f"{stage.prefix}-fast"
    await stage.policies(policies(stage.prefix, duration="5s"))
    for name in (skipped, fast):
        await stage.application(name, (config_map(name, "1"),))
    await stage.client.patch(
        APPLICATIONS,
        "argocd",
        skipped,
        {"metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": "true"}}},
    )
    async with (
        stage.controller(),
        forged(stage, skipped, namespace, 2),
        forged(stage, fast, namespace, 0.2),
    ):
        await stage.sleep(60)
        shown = {
            name: json.dumps(await stage.asked(f"/api/v1/explain/argocd/{name}"))
            for name in (skipped, fast)
        }
        for name, said in shown.items():
            assert CRASHES not in said, f"a pod of another team is quoted: {name}"
            assert "payments-db-" not in said
        assert "skip-reconcile" in shown[skipped]
        assert await stage.recoveries(skipped) == []
        assert await stage.writes(skipped) == 0
        for held in await stage.recoveries(fast):
            assert CRASHES not in str(held)
    user = f"system:serviceaccount:{stage.namespace}:{ACCOUNT}"
    outside = [
        (
            e["verb"],
            e["objectRef"].get("resource"),
            e["objectRef"].get("namespace"),
            e["objectRef"].get("name"),
        )
        for e in stage.audit()
        if e["user"]["username"] == user
        and e["objectRef"].get("namespace") in (namespace, "kube-system")
        and (e["verb"] not in ("get", "list", "watch") or e["objectRef"].get("resource") == "pods")
    ]
    assert outside == [], "nothing there is written, and no pods are listed"
    workload = json.loads(await stage.client.get(DEPLOYMENTS, namespace, "payments-db"))
    assert "restartedAt" not in json.dumps(workload["spec"])
    return []


async def forged_status(stage: RealStage) -> list[str]:
    """A status that names other teams' workloads, skipped by Argo CD and between two of its
    comparisons: nothing is touched or quoted."""
    return await _nothing_of_others(stage)


async def forged_status_with_a_token(stage: RealStage) -> list[str]:
    """The same where Argo CD's API is asked."""
    return await _nothing_of_others(stage)


async def _longest_probe(stage: RealStage, name: str, words: str) -> float:
    """Fill the Application with some 670 kB of the words, four times; the seconds that the longest
    probe took meanwhile."""
    took: list[float] = []

    async def probe() -> None:
        while True:
            begun = time.monotonic()
            await stage.asked_text("/healthz")
            took.append(time.monotonic() - begun)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(probe())
    for number in range(4):
        condition = {
            "type": "ComparisonError",
            "message": (words * LETTERS)[:LETTERS] + str(number),
            "lastTransitionTime": stamp(datetime.now(UTC)),
        }
        file = stage.bed.folder / f"{name}.json"
        text = json.dumps({"status": {"conditions": [condition] * 480}})
        await asyncio.to_thread(file.write_text, text)
        said = await stage.kubectl(
            "patch", "application", name, "--type=merge", "--patch-file", str(file)
        )
        assert "patched" in said, said[:300]
        await stage.sleep(4)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return max(took)


async def hostile_object(stage: RealStage) -> list[str]:
    """The largest object that etcd takes, full of what is dear to read, again and again; and a
    crafted hold. Probes are answered, the Lease is held, and nothing is switched on."""
    name, held = f"{stage.prefix}-huge", f"{stage.prefix}-held"
    await stage.policies(policies(stage.prefix))
    for each in (name, held):
        await stage.application(each, (config_map(each, "1"),), auto_sync=False)
    await stage.client.patch(
        APPLICATIONS, "argocd", held, {"spec": {"syncPolicy": {"automated": {"enabled": False}}}}
    )
    await stage.client.patch(
        APPLICATIONS,
        "argocd",
        name,
        {"metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": "true"}}},
    )
    async with stage.controller():
        uid = (await stage.raw(held))["metadata"]["uid"]
        hold = {
            "recovery": "x",
            "uid": uid,
            "bad": ["zzz"],
            "suspended": True,
            "hadEnabled": True,
            "automated": {"prune": True},
        }
        await stage.client.patch(
            APPLICATIONS,
            "argocd",
            held,
            {"metadata": {"annotations": {"recovery.gitops.dev/hold": json.dumps(hold)}}},
        )
        harmless = await _longest_probe(stage, name, "the pod is not up yet. ")
        hostile = await _longest_probe(stage, name, "a.")
        print(f"longest probe: {hostile:.3f} s, with plain words: {harmless:.3f} s")
        assert hostile < DEARER * harmless, f"a probe took {hostile:.3f} s ({harmless:.3f} s)"
        assert (await stage.ready_details())["ready"]
        assert "does not hold" not in stage.log()
        shown = await stage.asked(f"/api/v1/explain/argocd/{held}")
        assert "no Recovery says" in shown["not_honoured"]
        # (Argo CD itself takes out what says no more than that it is off.)
        automated = ((await stage.raw(held))["spec"].get("syncPolicy") or {}).get("automated")
        assert automated in (None, {"enabled": False})
        assert await stage.writes(held) == 0
    return []


TENANT_STORIES = (forged_status, forged_status_with_a_token, hostile_object)
