"""What only a real API server and a real Argo CD can show of the guards and of replicas."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import yaml

from recovery.kube.client import APPLICATIONS, PROJECTS
from recovery.model.application import Sync
from recovery.model.names import USERNAME
from recovery.model.recovery import Recovery, RecoveryPhase
from recovery.observe import wire
from tests.e2e.real_stage import RealStage
from tests.stage import policies
from tests.stories import gave_up, in_phase, is_well
from tests.testbed.installation import ACCOUNT, Controller, recovery

STORM = 60
FLEET = 200


def config_map(name: str, value: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"value": value},
    }


def custom(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "shop.example/v1", "kind": kind, "metadata": {"name": name}}


async def folders(
    stage: RealStage, repository: str, content: dict[str, list[dict[str, Any]]]
) -> None:
    """One commit that makes these folders of one repository so."""
    files = {
        f"{folder}/all.yaml": yaml.safe_dump_all(manifests) for folder, manifests in content.items()
    }
    await asyncio.to_thread(stage.repositories.commit_files, repository, files)


async def from_folders(stage: RealStage, repository: str, names: list[str]) -> None:
    """An application for each folder of a repository."""
    for name in names:
        spec = {
            "project": "default",
            "source": {
                "repoURL": stage.repositories.url(repository),
                "path": name,
                "targetRevision": "HEAD",
            },
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {"automated": {}, "retry": {"limit": 0}},
        }
        await stage.client.create(APPLICATIONS, "argocd", application(name, spec))


def application(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name},
        "spec": spec,
    }


async def fleet(stage: RealStage) -> dict[str, Any]:
    """This story's applications as stored."""
    found = {}
    for item in wire.listed(await stage.client.list(APPLICATIONS, "argocd")).items:
        raw = json.loads(bytes(item))
        if raw["metadata"]["name"].startswith(f"{stage.prefix}-"):
            found[raw["metadata"]["name"]] = raw
    return found


async def taken_away(stage: RealStage) -> None:
    """So many would be work for Argo CD and for every other story's controller."""
    for name in await fleet(stage):
        await stage.client.delete(APPLICATIONS, "argocd", name)


def are(sync: Sync, count: int, stage: RealStage) -> Any:
    async def asked() -> bool:
        states = [
            (a.get("status") or {}).get("sync", {}).get("status")
            for a in (await fleet(stage)).values()
        ]
        return states.count(sync.value) == count

    return asked


async def storm(stage: RealStage) -> list[str]:
    """Sixty applications broken by one commit: one incident that lists them, none synced, over when
    they are well."""
    repository, names = f"{stage.prefix}-shop", [f"{stage.prefix}-{n:02}" for n in range(STORM)]
    await stage.policies(policies(stage.prefix) + "guards: {storm: {cooldown: 10s}}\n")
    await folders(stage, repository, {name: [config_map(name, "1")] for name in names})
    # Before the controller is there: on a slow machine sixty first syncs take longer than the
    # policies' duration, a storm in itself.
    await from_folders(stage, repository, names)
    await stage.until("all synced", are(Sync.Synced, STORM, stage), 180)
    async with stage.controller():
        await folders(
            stage,
            repository,
            {name: [config_map(name, "2"), custom("Flange", name)] for name in names},
        )
        await stage.until("all broken", are(Sync.OutOfSync, STORM, stage), 120)

        async def told() -> bool:
            return any("one incident" in m["title"] for m in stage.received)

        await stage.until("told", told, 60)
        await stage.sleep(45)
        found = await stage.every()
        assert [(r.subject.kind, r.subject.name.partition("/")[0], r.phase) for r in found] == [
            ("Storm", "repository", RecoveryPhase.Suppressed)
        ], found
        (message,) = [m for m in stage.received if "one incident" in m["title"]]
        assert sum(f"argocd/{name}" in message["message"] for name in names) >= 15, message
        assert len(found[0].evidence) == 50, (
            "Argo CD takes its time to break sixty; the record has gone along"
        )
        written = [e for e in stage.writes_of_all() if e["objectRef"]["name"] in names]
        assert written == [], "none is touched"
        explained = await stage.asked(f"/api/v1/explain/argocd/{names[0]}")
        assert "applications of repository" in explained["decisions"][0]["message"], explained
        assert explained["decisions"][0]["by"] == "Storm"
        await folders(stage, repository, {name: [config_map(name, "3")] for name in names})

        async def calm() -> bool:
            return [r.reason for r in await stage.every()] == ["StormEnded"]

        await stage.until("over", calm, 150)
        assert [e for e in stage.writes_of_all() if e["objectRef"]["name"] in names] == []

        async def told_of_the_end() -> bool:
            return sum("is over" in m["title"] for m in stage.received) == 1

        await stage.until("told that it is over", told_of_the_end, 20)
    await taken_away(stage)
    return []


async def sync_window(stage: RealStage) -> list[str]:
    """A sync window is closed: nothing is written, and nothing hangs Running; it opens, and the
    application is synced."""
    name, project = f"{stage.prefix}-cart", f"{stage.prefix}-closed"
    # Closed since this minute, and for two to three more: long enough to be held back, short enough
    # to see it open.
    window = {
        "kind": "deny",
        "schedule": f"{datetime.now(UTC).minute} * * * *",
        "duration": "3m",
        "applications": ["*"],
    }
    anywhere = [{"server": "*", "namespace": "*"}]
    spec = {
        "sourceRepos": ["*"],
        "destinations": anywhere,
        "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
    }
    body = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": project},
        "spec": spec,
    }
    await stage.client.create(PROJECTS, "argocd", body)
    await stage.policies(policies(stage.prefix))
    async with stage.controller():
        await gave_up(stage, name, "Sleeve")
        await stage.client.patch(PROJECTS, "argocd", project, {"spec": {"syncWindows": [window]}})
        await stage.client.patch(APPLICATIONS, "argocd", name, {"spec": {"project": project}})
        await stage.install("Sleeve")

        async def held() -> bool:
            found = await stage.recoveries(name)
            return bool(found) and found[-1].reason == "OutsideWindow"

        await stage.until("held back", held, 60)
        (waiting,) = await stage.recoveries(name)
        assert f"sync window of project {project}: deny" in waiting.message, waiting.message
        before = (await stage.raw(name))["status"].get("history") or []
        assert [s.action for s in waiting.steps if s.sent] in ([], ["refresh"]), (
            "no operation is written"
        )
        assert (await stage.raw(name)).get("operation") is None
        await stage.until(
            "recovered when it opens", lambda: in_phase(stage, name, RecoveryPhase.Resolved), 180
        )
        assert await is_well(stage, name)
        history = (await stage.raw(name))["status"]["history"]
        assert len(history) == len(before) + 1
    return []


async def paused_and_approved(stage: RealStage) -> list[str]:
    """By kubectl: paused by an annotation, resumed; approved under one's own name only; the API
    server sees to both."""
    name = f"{stage.prefix}-cart"
    await stage.policies(
        policies(stage.prefix).replace("defaults: {", "defaults: {mode: approve, ")
    )
    async with stage.controller():
        await gave_up(stage, name, "Gasket")
        await stage.kubectl(
            "annotate", "application", name, "recovery.gitops.dev/paused=looking at it myself"
        )
        await stage.install("Gasket")

        def because(reason: str) -> Any:
            async def asked() -> bool:
                found = await stage.recoveries(name)
                return bool(found) and found[-1].reason == reason

            return asked

        await stage.until("Paused", because("Paused"), 60)
        assert "looking at it myself" in (await stage.recoveries(name))[-1].message
        await stage.kubectl("annotate", "application", name, "recovery.gitops.dev/paused-")
        await stage.until("waits for approval", because("ApprovalRequired"), 60)
        await stage.sleep(5)
        assert await stage.writes(name) == 0
        held = (await stage.recoveries(name))[-1]
        refused = await stage.approve(held, by="somebody-else")
        assert "who asks adds under their own name" in refused
        assert await stage.writes(name) == 0
        me = (
            await stage.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
        ).strip()
        assert await stage.approve(held, by=me) == ""
        await stage.until("its first step is done", because("ApprovalRequired"), 60)

        async def well() -> bool:
            held = (await stage.recoveries(name))[-1]
            if held.phase is RecoveryPhase.Suppressed and held.reason == "ApprovalRequired":
                await stage.approve(held, by=me)
            return held.phase is RecoveryPhase.Resolved

        await stage.until("recovered", well, 90)
        assert await is_well(stage, name)
        assert [w.by for w in (await stage.recoveries(name))[-1].requests][-1] == me
        # Everything, by command; and what may not be done with our own rights.
        done = await asyncio.to_thread(
            recovery,
            stage.bed,
            "pause",
            "--all",
            "--for",
            "1h",
            "--reason",
            "night",
            namespace=stage.namespace,
        )
        assert done.returncode == 0, done.stderr
        assert "all: paused by" in done.stdout
        shown = await asyncio.to_thread(recovery, stage.bed, "resume", namespace=stage.namespace)
        assert "all until" in shown.stdout, shown
        assert (
            await asyncio.to_thread(recovery, stage.bed, "resume", "all", namespace=stage.namespace)
        ).returncode == 0
        await _only_what_is_ours(stage, name)
    return []


async def _only_what_is_ours(stage: RealStage, name: str) -> None:
    """With the controller's own credentials: what the ValidatingAdmissionPolicy lets through, and
    what not."""
    config = str(await asyncio.to_thread(stage.bed.kubeconfig_for, ACCOUNT, stage.namespace))
    refused = {
        "of the spec only syncPolicy": {
            "spec": {"source": {"repoURL": "https://evil.example/x.git"}}
        },
        "of the spec only": {"spec": {"destination": {"namespace": "kube-system"}}},
        "of automated only enabled": {"spec": {"syncPolicy": {"automated": {"prune": False}}}},
        "of the syncPolicy only automated": {
            "spec": {"syncPolicy": {"syncOptions": ["Replace=true"]}}
        },
        "of the status only operationState": {"status": {"history": []}},
        "of the annotations only": {
            "metadata": {"annotations": {"notifications.example/subscribe": "me"}}
        },
        "no labels, finalizers and owners": {
            "metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}
        },
        "says that it is its own": {
            "operation": {"initiatedBy": {"username": "admin"}, "sync": {}}
        },
    }
    for words, body in refused.items():
        said = await stage.kubectl(
            "patch", "application", name, "--type=merge", "-p", json.dumps(body), config=config
        )
        assert words in said, (words, said)
        assert "ValidatingAdmissionPolicy" in said, said
    for body in (
        {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}},
        {"spec": {"syncPolicy": {"automated": {"enabled": True}}}},
    ):
        said = await stage.kubectl(
            "patch", "application", name, "--type=merge", "-p", json.dumps(body), config=config
        )
        assert "patched" in said, said


async def three_replicas(stage: RealStage) -> list[str]:
    """Three replicas share 200 applications, are killed and paused at random while all of them
    break and heal: none is acted on twice, all are cured."""
    repository, names = f"{stage.prefix}-fleet", [f"{stage.prefix}-{n:03}" for n in range(FLEET)]
    guards = "guards: {storm: {minimum: 1000, count: 1000}, budget: {in_flight: 45, per_cluster: 1000, per_project: 1000}}\n"
    await stage.policies(policies(stage.prefix) + guards)
    await folders(
        stage,
        repository,
        {name: [config_map(name, "1"), custom("Flywheel", name)] for name in names},
    )
    chance = random.Random(stage.prefix)  # noqa: S311 (which one, and when)
    replicas = {n: await asyncio.to_thread(_replica(stage, n).start) for n in range(3)}
    try:
        await from_folders(stage, repository, names)

        async def all_failed() -> bool:
            phases = [
                ((a.get("status") or {}).get("operationState") or {}).get("phase")
                for a in (await fleet(stage)).values()
            ]
            return phases.count("Failed") == FLEET

        await stage.until("all have failed", all_failed, 240)
        await stage.install("Flywheel")
        for _ in range(9):
            number = chance.randrange(3)
            if chance.random() < 0.5:
                await asyncio.to_thread(replicas[number].kill)
                await stage.sleep(chance.uniform(1, 8))
                replicas[number] = await asyncio.to_thread(_replica(stage, number).start)
            else:
                replicas[number].process.signal(signal.SIGSTOP)
                await stage.sleep(chance.uniform(14, 18))  # longer than the lease
                replicas[number].process.signal(signal.SIGCONT)
            await stage.sleep(chance.uniform(0, 5))

        async def cured() -> bool:
            found = [r.phase for r in await stage.every()]
            return len(found) >= FLEET and all(phase is RecoveryPhase.Resolved for phase in found)

        await stage.until("all cured", cured, 240)
        over = json.loads(
            await stage.kubectl(
                "get", "events", "--field-selector=reason=OperationCompleted", "-o", "json"
            )
        )["items"]
        _each_once(await stage.every(), await fleet(stage), over)
    finally:
        for replica in replicas.values():
            replica.process.signal(signal.SIGCONT)
            stage.exit_codes.append(await asyncio.to_thread(replica.stop))
        await taken_away(stage)
    return []


def _replica(stage: RealStage, number: int) -> Controller:
    more = {"RECOVERY_SHARDS": "3", "RECOVERY_IDENTITY": f"controller-{number}"}
    return Controller(stage.bed, stage.namespace, **{**stage.env, **more})


def _each_once(
    recoveries: list[Recovery], apps: dict[str, Any], over: list[dict[str, Any]]
) -> None:
    """Every application healed by one recovery; beside Argo CD's first, failed sync there were only
    ours that were claimed."""
    ended: Counter[str] = Counter()
    for event in over:
        ended[event["involvedObject"]["name"]] += event.get("count") or 1
    assert sum(ended[name] for name in apps) >= 2 * len(apps), "Argo CD tells of each operation"
    assert Counter(r.subject.name for r in recoveries) == Counter(apps.keys()), "one recovery each"
    for held in recoveries:
        claimed = sum(step.action == "sync" for step in held.steps)
        history = apps[held.subject.name]["status"].get("history") or []
        ours = sum(
            (entry.get("initiatedBy") or {}).get("username") == USERNAME for entry in history
        )
        assert ours == len(history) == 1, (held.subject.name, history)
        assert ended[held.subject.name] <= 1 + claimed, (
            held.subject.name,
            ended[held.subject.name],
            held.steps,
        )


GUARD_STORIES = (storm, sync_window, paused_and_approved, three_replicas)
