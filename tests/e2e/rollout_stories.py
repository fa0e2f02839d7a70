"""Argo Rollouts, as Argo CD shows it: its CRD, and the status that its controller would write. What
it decides is left to it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from recovery.simulate.manifests import deployment
from tests.e2e.cause_stories import (
    CAUSE_STORIES,
    Case,
    Watch,
    by_cause,
    commit,
    create,
    files,
    played,
)
from tests.e2e.real_stage import RealStage, a_crd

ABORTED = "RolloutAborted: Rollout aborted update to revision 2: "
PHASES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "bad": (
        "AnalysisFailed",
        {
            "phase": "Degraded",
            "abort": True,
            "message": f'{ABORTED}Metric "errors" assessed Failed due to failed (1) > failureLimit (0)',
        },
        ("escalate",),
    ),
    "blind": (
        "AnalysisError",
        {
            "phase": "Degraded",
            "abort": True,
            "message": f'{ABORTED}Metric "errors" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4): '
            '"Error Message: Post "http://prometheus:9090/api/v1/query": dial tcp: lookup prometheus: no such host"',
        },
        ("escalate",),
    ),
    "stopped": (
        "RolloutAborted",
        {"phase": "Degraded", "abort": True, "message": ABORTED.removesuffix(": ")},
        ("escalate",),
    ),
    "wrong": (
        "RolloutInvalid",
        {
            "phase": "Degraded",
            "message": 'InvalidSpec: The Rollout "x" is invalid: spec.strategy.canary.steps[0].setWeight: Invalid value: 120: SetWeight needs to be between 0 and 100',
            "conditions": [
                {
                    "type": "InvalidSpec",
                    "status": "True",
                    "reason": "InvalidSpec",
                    "message": "setWeight: Invalid value: 120",
                }
            ],
        },
        ("escalate",),
    ),
    "unsure": (
        "AnalysisInconclusive",
        {
            "phase": "Paused",
            "message": "InconclusiveAnalysisRun",
            "controllerPause": True,
            "pauseConditions": [
                {"reason": "InconclusiveAnalysisRun", "startTime": "2026-03-02T12:00:00Z"}
            ],
        },
        (),
    ),
    "going": (
        "RolloutProgressing",
        {"phase": "Progressing", "message": "more replicas need to be updated"},
        (),
    ),
}
"""By the application's name: its cause, what the Rollout's controller says, and the steps that are
right."""


def rollout(name: str, tag: str) -> dict[str, Any]:
    """A Rollout with a canary step, of the pods of a Deployment."""
    spec = deployment(name, tag, 60)["spec"]
    strategy = {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}]}}
    kept = {key: spec[key] for key in ("selector", "template")}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "strategy": strategy, **kept},
    }


async def its_pod(stage: RealStage, name: str) -> dict[str, Any]:
    """A pod of the stable revision, as the Rollout's controller would make it: something runs, so
    that there is a place to go back to."""
    item = json.loads(await stage.kubectl("-n", "shop", "get", "rollout", name, "-o", "json"))
    owner = {
        "apiVersion": item["apiVersion"],
        "kind": "Rollout",
        "name": name,
        "uid": item["metadata"]["uid"],
        "controller": True,
    }
    template = item["spec"]["template"]
    meta = {
        "name": f"{name}-aaa",
        "namespace": "shop",
        "labels": template["metadata"]["labels"],
        "ownerReferences": [owner],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


async def says(stage: RealStage, name: str, status: dict[str, Any]) -> None:
    """What the Rollout's controller would write of the object as it is now."""
    text = await stage.kubectl("-n", "shop", "get", "rollout", name, "-o", "json")
    generation = json.loads(text)["metadata"]["generation"]
    counted = {
        "replicas": 1,
        "updatedReplicas": 1,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "HPAReplicas": 1,
    }
    body = {
        "status": {
            **counted,
            "stableRS": "aaa",
            "currentPodHash": "bbb",
            "observedGeneration": str(generation),
            **status,
        }
    }
    await stage.kubectl(
        "-n",
        "shop",
        "patch",
        "rollout",
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps(body),
    )


async def causes_of_rollouts(stage: RealStage) -> list[str]:
    """A Rollout in each phase: named for what it is, quiet where users are served, and nothing of
    it is touched."""
    p = stage.prefix
    await stage.policies(by_cause(p))
    crd = a_crd("argoproj.io", "v1alpha1", "Rollout", "rollouts")
    crd["spec"]["versions"][0]["subresources"] = {"status": {}}
    await asyncio.to_thread(stage.bed.apply, crd)
    cases = tuple(
        Case(
            f"{p}-{name}",
            cause,
            f"a Rollout that says {status['phase']}: {status['message'][:60]}",
            steps,
        )
        for name, (cause, status, steps) in PHASES.items()
    )
    watch = Watch(stage, cases)
    async with stage.controller():
        for name in PHASES:
            await create(
                stage,
                f"{p}-{name}",
                files(rollout(f"{p}-{name}", "ready")),
                automated={"selfHeal": True},
            )

        async def made() -> bool:
            text = await stage.kubectl("-n", "shop", "get", "rollouts", "-o", "name")
            return all(f"/{p}-{name}" in text for name in PHASES)

        await stage.until("made", made, 90)
        for name in PHASES:
            await says(stage, f"{p}-{name}", {"phase": "Healthy", "currentPodHash": "aaa"})
            await asyncio.to_thread(stage.bed.apply, await its_pod(stage, f"{p}-{name}"))

        async def known_good() -> bool:
            return all(
                [
                    (await stage.asked(f"/api/v1/explain/argocd/{p}-{name}")).get("ledger")
                    for name in PHASES
                ]
            )

        await stage.until("all known to be good", known_good, 90)
        for name in PHASES:
            await commit(stage, f"{p}-{name}", files(rollout(f"{p}-{name}", "ready-2")))

        async def updated() -> bool:
            text = await stage.kubectl("-n", "shop", "get", "rollouts", "-o", "json")
            images = {
                i["metadata"]["name"]: i["spec"]["template"]["spec"]["containers"][0]["image"]
                for i in json.loads(text)["items"]
            }
            return all(images[f"{p}-{name}"].endswith("ready-2") for name in PHASES)

        await stage.until("the next revision is there", updated, 90)
        for name, (_, status, _) in PHASES.items():
            await says(stage, f"{p}-{name}", status)
        before = {name: await generation(stage, f"{p}-{name}") for name in PHASES}
        await played(stage, watch, 120)
        assert {name: await generation(stage, f"{p}-{name}") for name in PHASES} == before, (
            "nobody wrote to a Rollout"
        )
        for name in ("bad", "blind", "stopped"):
            severities = {m.get("severity") for m in stage.received if f"{p}-{name}" in m["title"]}
            assert severities <= {None, "warning", "info"}, (name, severities)
    return []


async def generation(stage: RealStage, name: str) -> tuple[int, str]:
    """It counts up with every change of the spec; and what it is to restart at."""
    item = json.loads(await stage.kubectl("-n", "shop", "get", "rollout", name, "-o", "json"))
    return item["metadata"]["generation"], item["spec"].get("restartAt", "")


ALL_CAUSE_STORIES = (*CAUSE_STORIES, causes_of_rollouts)
