"""One input, one name: whoever is asked why an application is ill says the same."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recovery.causes.case import DiagnosisInput
from recovery.causes.comparisons import compared
from recovery.causes.connections import of_connection
from recovery.causes.diagnose import diagnose
from recovery.decide.error_classification import about_cluster, about_git, verdict_of
from recovery.kube.client import APPLICATIONS
from recovery.model.connection import Repository
from recovery.model.names import SubjectKey
from recovery.observe import wire
from recovery.record.codec import stamp
from recovery.serve.pagination import Query
from recovery.simulate import virtual
from recovery.simulate.environment import ARGOCD, EmbeddedEnvironment
from tests.builders import a_cluster
from tests.causes.corpus import HELD_OUT, Sample, samples
from tests.commands.forked import run
from tests.play import Play

KNOWN = samples(HELD_OUT.parent / "known.yaml")
POLICIES = """
guards:
  storm: {minimum: 1000, count: 1000}
recovery_policies:
- name: unhealthy
  condition: {type: application, health: Degraded, duration: 30s}
  actions: [{type: restart}, {type: escalate, parameters: {after_attempts: 1}}]
- name: differs
  condition: {type: application, status: OutOfSync, duration: 30s}
  actions: [{type: sync}, {type: escalate, parameters: {after_attempts: 1}}]
- name: unknown
  condition: {type: application, status: Unknown, duration: 30s}
  actions: [{type: refresh}, {type: escalate, parameters: {after_attempts: 1}}]
"""


def shown(sample: Sample, now: str) -> dict[str, Any]:
    """An Application whose status shows this text, for a minute already."""
    revision = "b" * 40
    status: dict[str, Any] = {
        "sync": {"status": "OutOfSync", "revision": revision},
        "health": {"status": "Healthy"},
        "reconciledAt": now,
        "resources": [
            {
                "kind": "Deployment",
                "group": "apps",
                "version": "v1",
                "name": "x",
                "namespace": "shop",
                "status": "OutOfSync",
            }
        ],
    }
    if sample.where == "condition":
        status["sync"]["status"] = (
            "Unknown"
            if sample.type in ("ComparisonError", "InvalidSpecError", "UnknownError")
            else "OutOfSync"
        )
        status["conditions"] = [
            {"type": sample.type, "message": sample.message, "lastTransitionTime": now}
        ]
    else:
        result: dict[str, Any] = {
            "revision": revision,
            "source": {"repoURL": "https://git.example/x.git"},
        }
        state = {
            "phase": sample.phase or "Failed",
            "message": sample.message,
            "startedAt": now,
            "finishedAt": now,
            "syncResult": result,
        }
        if sample.where == "resource":
            state["message"] = "one or more objects failed to apply"
            row = {
                "kind": sample.kind or "Thing",
                "version": "v1",
                "name": "x",
                "namespace": "shop",
                "status": "SyncFailed",
            }
            result["resources"] = [row | {"message": sample.message, "syncPhase": "Sync"}]
        status["operationState"] = state | {
            "operation": {"sync": {"revision": revision}, "initiatedBy": {"automated": True}}
        }
    return status


def chosen() -> list[Sample]:
    """One text of each cause that an Application's own status tells."""
    first: dict[str, Sample] = {}
    for sample in KNOWN:
        if sample.where in ("condition", "operation", "resource") and not sample.type.endswith(
            "Warning"
        ):
            first.setdefault(sample.cause, sample)
    return list(first.values())


def test_plan_explain_status_page_and_controller_name_one_cause(tmp_path: Path) -> None:
    """The text of each cause in an Application of its own, on the embedded cluster, judged by a
    whole controller."""
    exported: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    named: dict[str, dict[str, str]] = {}

    async def script() -> None:
        world = EmbeddedEnvironment(virtual.VirtualClock())
        play = Play(world)
        await world.project("default")
        await world.policies(POLICIES)
        async with play.controller() as app:
            for number, sample in enumerate(chosen()):
                name = f"app-{number:02}"
                names[name] = sample.id
                spec = {
                    "project": "default",
                    "source": {
                        "repoURL": f"https://git{number}.example/x.git",
                        "path": ".",
                        "targetRevision": "HEAD",
                    },
                    "destination": {"name": f"cluster-{number}", "namespace": "shop"},
                    "syncPolicy": {"automated": {}},
                }
                body = {
                    "apiVersion": "argoproj.io/v1alpha1",
                    "kind": "Application",
                    "metadata": {"name": name},
                }
                status = shown(sample, stamp(play.clock.now()))
                await world.cluster.create(
                    APPLICATIONS, ARGOCD, body | {"spec": spec, "status": status}
                )
            await play.clock.sleep(150)
            exported.extend(deepcopy(world.cluster.every(APPLICATIONS)))
            rows = {
                row.subject.rpartition("/")[2]: row.cause
                for row in app.views.browsing.applications(lambda _: True, Query()).rows
            }
            records = {r.subject.name: r for r in world.recoveries()}
            for name in names:
                explained = app.views.explain(
                    SubjectKey("application", ARGOCD, name), lambda _: True
                )
                direct = diagnose(
                    DiagnosisInput(
                        wire.application(
                            msgspec.json.encode(world.cluster.find(APPLICATIONS, ARGOCD, name))
                        ),
                        play.clock.now(),
                    )
                )
                named[name] = {
                    "diagnosis": direct.cause if direct else "",
                    "page": rows[name],
                    "explain": (explained or {})["diagnosis"]["cause"] or "",
                }
                if name in records:
                    named[name]["record, and so status"] = records[name].cause.partition("/")[0]

    virtual.run(script())
    (tmp_path / "policies.yaml").write_text(POLICIES)
    told = run(
        "plan",
        "-f",
        "-",
        "-p",
        str(tmp_path / "policies.yaml"),
        "--as-adopted",
        "-o",
        "json",
        text=json.dumps({"items": exported}),
    )
    for row in json.loads(told.stdout)["rows"]:
        named[row["application"].rpartition("/")[2]]["plan"] = row["cause"].partition("/")[0]
    for item in exported:
        told = run("explain", "-f", "-", "-o", "json", text=json.dumps(item))
        named[item["metadata"]["name"]]["explain -f"] = json.loads(told.stdout)["cause"] or ""

    assert len(named) >= 20, "most causes are told by an Application's own status"
    assert {names[name]: said for name, said in named.items() if len(set(said.values())) != 1} == {}
    assert sum("record, and so status" in said for said in named.values()) >= len(named) - 3, (
        "a few wait by themselves"
    )
    assert all({"plan", "explain -f"} <= set(said) for said in named.values())


CONNECTED = [
    s
    for s in KNOWN
    if compared(s.message, s.message) and (about_git(s.message) or about_cluster(s.message))
]


@pytest.mark.parametrize("sample", CONNECTED, ids=lambda s: s.id)
def test_a_repository_is_named_ill_of_what_its_applications_are(sample: Sample) -> None:
    """Nobody who asks Argo CD about a repository or a cluster gets another name for the same words;
    none is no other name."""
    finding = compared(sample.message, sample.message)
    about = (
        Repository(url="https://git.example/x.git") if about_git(sample.message) else a_cluster()
    )
    of_it = of_connection(about, verdict_of(sample.message))

    assert finding is not None
    assert of_it is None or of_it.cause in (finding.cause, *finding.also)
