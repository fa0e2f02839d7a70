"""What is asked before a rollback, and how auto-sync is suspended by every version of Argo CD."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs

from recovery.act import rollback
from recovery.act.action import ActionRequest, Clients
from recovery.act.executor import Executor
from recovery.act.registry import ALL_ACTIONS
from recovery.argocd.tree import HealthWords, Node
from recovery.decide.holds import restored
from recovery.kube.client import APPLICATIONS, DEPLOYMENTS
from recovery.kube.errors import Unavailable
from recovery.kube.remote import Remotes
from recovery.model.application import Application, Hold
from recovery.model.argocd_version import ArgoCDFeatures, dialect_of
from recovery.model.cause import Confidence, Diagnosis
from recovery.model.decision import Decision, Kind, Outcome, Result
from recovery.model.names import HOLD
from recovery.model.recovery import RecoveryPhase, StepRecord
from recovery.model.situation import DeployEffects, HealthyRevision
from recovery.observe import wire
from recovery.simulate import virtual
from recovery.simulate.cluster import Cluster, Object
from tests.act.test_effects import BROKEN, CHANGED, ROW, SPEC, STATUS
from tests.builders import (
    BAD,
    GOOD,
    NOW,
    a_recovery,
    a_situation,
    degraded,
    owned,
    the_policies,
    the_proof,
)

UNKNOWN = (("spec", "syncPolicy", "automated", "enabled"),)


class Rendering:
    """Argo CD's API, as far as it renders; its tree calls the Deployment Degraded."""

    def __init__(self, then: list[Object] | None, now: list[Object]) -> None:
        self._by = {GOOD: then, BAD: now}

    async def unwell(self, app: Application, kinds: tuple[str, ...] = ()) -> list[Node]:
        return [Node("Deployment", "apps", "v1", "shop", "cart", health=HealthWords("Degraded"))]

    async def rendered(self, app: Application, revisions: tuple[str, ...]) -> tuple[Object, ...]:
        found = self._by[revisions[0]]
        if found is None:
            error = Unavailable("Argo CD's API: 500", 500)
            error.told = "unable to resolve revision"
            raise error
        return tuple(found)


def carry(
    kind: str,
    parameters: dict[str, Any] | None = None,
    *,
    status: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    argocd: Any = None,
    dialect: ArgoCDFeatures | None = None,
    unknown: tuple[tuple[str, ...], ...] = (),
    finding: Diagnosis | None = None,
    meddle: dict[str, Any] | None = None,
    brought: DeployEffects | None = None,
) -> tuple[Outcome, Object, Cluster]:
    async def inside() -> tuple[Outcome, Object, Cluster]:
        kube = Cluster(virtual.VirtualClock())
        kube.unknown = unknown
        body = {
            "metadata": {"name": "cart"},
            "spec": {**SPEC, **(spec or {})},
            "status": {**STATUS, "health": {"status": "Degraded"}, **(status or {})},
        }
        app = wire.application(await kube.create(APPLICATIONS, "argocd", body))
        await kube.create(DEPLOYMENTS, "shop", owned(BROKEN))
        kube.writes.clear()
        text = msgspec.json.encode(
            {
                "recovery_policies": [
                    {
                        "name": "p",
                        "condition": {"type": "application", "health": "Degraded"},
                        "actions": [{"type": kind, "parameters": parameters or {}}],
                    }
                ]
            }
        )
        policies = the_policies(text.decode())
        claim = structs.replace(
            StepRecord(1, 0, kind, NOW).claim, resource_version=app.resource_version
        )
        claim = structs.replace(
            claim, operation_started_at=app.operation.started_at if app.operation else None
        )
        record = StepRecord(1, 0, kind, NOW, claim=claim)
        recovery = a_recovery(
            "cart-1",
            NOW,
            phase=RecoveryPhase.Remediating,
            steps=(record,),
            attempt=1,
            policy="p",
            resolved_at=None,
        )
        if kind == "rollback":
            owed = rollback.owes(
                policies.policies[0].actions[0], a_situation(app, policies=policies), recovery
            )
            recovery = recovery.with_last(structs.replace(record, owes=owed))
        situation = a_situation(
            app, policies=policies, recovery=recovery, finding=finding, brought=brought
        )
        situation = structs.replace(
            situation,
            sight=structs.replace(situation.sight, ledger=(HealthyRevision(3, (GOOD,), NOW),)),
        )
        if meddle:
            await kube.patch(APPLICATIONS, "argocd", "cart", meddle)
        doors = Clients(
            kube,
            Remotes(kube, "argocd", ()),
            the_proof(kube),
            argocd,
            "argocd",
            lambda: dialect or ArgoCDFeatures(),
        )
        executor = Executor(ALL_ACTIONS, doors, lambda _: "", virtual.VirtualClock())
        decision = Decision(
            Kind.Remediate, "p", "", "", step=policies.policies[0].actions[0], recovery=recovery
        )
        return (
            await executor.carry_out(situation, decision, recovery),
            kube.find(APPLICATIONS, "argocd", "cart") or {},
            kube,
        )

    return virtual.run(inside())


def resources(*kinds: str) -> dict[str, Any]:
    return {
        "resources": [ROW, *({"kind": kind, "name": "x", "namespace": "shop"} for kind in kinds)]
    }


def hooked(kind: str, hook: str, name: str = "migrate") -> dict[str, Any]:
    row = {
        "kind": kind,
        "name": name,
        "hookType": hook,
        "hookPhase": "Succeeded",
        "status": "Synced",
    }
    return {
        "operationState": {
            **STATUS["operationState"],
            "syncResult": {"revision": BAD, "resources": [CHANGED, row]},
        }
    }


def stateful(size: str, image: str = "db:1") -> Object:
    claim = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": size}}}}
    spec = {
        "replicas": 1,
        "volumeClaimTemplates": [claim],
        "template": {"spec": {"containers": [{"image": image}]}},
    }
    return {"kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec}


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        pytest.param({"status": hooked("Job", "PreSync")}, "MigrationHook", "hook Job/migrate ran with what is deployed now", id="a PreSync Job"),
        pytest.param({"status": hooked("Pod", "Sync")}, "MigrationHook", "hook Pod/migrate", id="a hook of another kind"),
        pytest.param(
            {"status": {"history": [{"id": 3, "revision": GOOD}, {"id": 4, "revision": BAD, "deployStartedAt": "2026-03-02T10:00:00Z"}]}},
            "DeployUnclear", "another operation followed it", id="a self-heal has taken the result of the deploy away",
        ),
        pytest.param({"status": resources("Deployment", "StatefulSet")}, "ShapeUnknown", "StatefulSet/x", id="a StatefulSet, and nobody who could compare"),
        pytest.param({"status": resources("CustomResourceDefinition")}, "ShapeUnknown", "CustomResourceDefinition/x", id="a CRD"),
        pytest.param({"argocd": Rendering(None, [])}, "NotResolvable", "unable to resolve revision", id="a revision that Git has lost"),
        pytest.param(
            {"status": resources("StatefulSet"), "argocd": Rendering([stateful("1Gi")], [stateful("2Gi")])}, "ShapeChanges", "StatefulSet/db", id="other volumes"
        ),
        pytest.param({"argocd": Rendering([], [{"kind": "PersistentVolumeClaim", "metadata": {"name": "d"}, "spec": {}}]), "status": resources("PersistentVolumeClaim")}, "ShapeChanges", "PersistentVolumeClaim/d", id="a claim that was not there"),
    ],
)  # fmt: skip
def test_going_back_is_refused_before_anything_is_written(
    changes: dict[str, Any], reason: str, words: str
) -> None:
    outcome, app, kube = carry("rollback", **changes)

    assert (outcome.result, outcome.reason) == (Result.Skipped, reason)
    assert words in outcome.message
    assert HOLD not in (app["metadata"].get("annotations") or {})
    assert kube.writes == []


@pytest.mark.parametrize(
    ("parameters", "changes"),
    [
        pytest.param(
            {},
            {"status": hooked("Job", "PostSync", "smoke")},
            id="a smoke test after the sync is no migration",
        ),
        pytest.param(
            {"allow": ["hooks"]}, {"status": hooked("Job", "PreSync")}, id="hooks are allowed"
        ),
        pytest.param(
            {"allow": ["StatefulSet"]},
            {"status": resources("StatefulSet")},
            id="StatefulSets are allowed",
        ),
        pytest.param(
            {},
            {
                "status": resources("StatefulSet"),
                "argocd": Rendering([stateful("1Gi")], [stateful("1Gi", "db:2")]),
            },
            id="a StatefulSet of which only the pods change",
        ),
        pytest.param({}, {"argocd": Rendering([], [])}, id="nothing that has a shape"),
    ],
)
def test_what_does_no_harm_does_not_stand_in_its_way(
    parameters: dict[str, Any], changes: dict[str, Any]
) -> None:
    outcome, app, _ = carry("rollback", parameters, **changes)

    assert (outcome.result, outcome.reason) == (Result.Sent, "Suspended"), outcome
    assert HOLD in app["metadata"]["annotations"]


AUTOMATED = {"syncPolicy": {"automated": {"selfHeal": True, "prune": False}}}


@pytest.mark.parametrize(
    ("dialect", "unknown", "writes"),
    [
        pytest.param(ArgoCDFeatures((3, 2, 11)), (), 1, id="3.2: switched off"),
        pytest.param(ArgoCDFeatures(), (), 1, id="unknown, and the field is there"),
        pytest.param(ArgoCDFeatures((2, 14, 21)), UNKNOWN, 1, id="2.14: taken out at once"),
        pytest.param(
            ArgoCDFeatures(),
            UNKNOWN,
            2,
            id="unknown, and the field was dropped in silence: read back, then taken out",
        ),
    ],
)
def test_auto_sync_is_off_afterwards_and_comes_back_as_it_was(
    dialect: ArgoCDFeatures, unknown: tuple[tuple[str, ...], ...], writes: int
) -> None:
    outcome, app, kube = carry("rollback", spec=AUTOMATED, dialect=dialect, unknown=unknown)
    hold = msgspec.json.decode(app["metadata"]["annotations"][HOLD], type=Hold)

    assert outcome.reason == "Suspended"
    assert not wire.application(msgspec.json.encode(app)).auto_sync
    assert (hold.suspended, hold.bad) == (True, (BAD,))
    assert len(kube.writes) == writes

    async def given_back() -> Object:
        await kube.patch(APPLICATIONS, "argocd", "cart", restored(app, hold))
        return kube.find(APPLICATIONS, "argocd", "cart") or {}

    back = virtual.run(given_back())
    assert back["spec"]["syncPolicy"]["automated"] == {"selfHeal": True, "prune": False}
    assert HOLD not in back["metadata"]["annotations"]


def test_a_person_who_switched_it_on_meanwhile_is_respected_in_the_old_form_too() -> None:
    _, app, kube = carry(
        "rollback", spec=AUTOMATED, dialect=ArgoCDFeatures((2, 14, 0)), unknown=UNKNOWN
    )
    hold = msgspec.json.decode(app["metadata"]["annotations"][HOLD], type=Hold)
    on = {**app, "spec": {**app["spec"], "syncPolicy": {"automated": {"prune": True}}}}

    assert "spec" not in restored(on, hold)
    assert kube


ABSENT = {
    "taken out by somebody": ({"prune": True, "selfHeal": True}, {}, False, False),
    "taken out by us, before 3.1": ({"prune": True}, {}, True, True),
    "taken out by us, as the annotation says": (
        {"prune": True},
        {HOLD: '{"recovery":"r","automated":{"prune":true}}'},
        False,
        True,
    ),
    "Argo CD itself takes a bare one out": ({"prune": False, "selfHeal": False}, {}, False, True),
}


@pytest.mark.parametrize(
    ("automated", "annotations", "taken_out", "back"), ABSENT.values(), ids=ABSENT
)
def test_auto_sync_that_somebody_took_out_stays_out(
    automated: dict[str, bool], annotations: dict[str, str], taken_out: bool, back: bool
) -> None:
    fresh = {
        "metadata": {"resourceVersion": "1", "annotations": annotations},
        "spec": {"syncPolicy": {}},
    }
    hold = Hold("r", "uid", (BAD,), suspended=True, automated=automated)

    body = restored(fresh, hold, taken_out=taken_out)
    assert ("spec" in body) is back
    assert body["metadata"]["annotations"][HOLD] is None


@pytest.mark.parametrize(
    ("version", "stamped"),
    [("v3.6.1", True), ("v3.5.7", False), ("v2.14.21+abc", False), ("nonsense", False)],
)
def test_a_refresh_carries_its_time_where_argo_cd_knows_what_to_do_with_it(
    version: str, stamped: bool
) -> None:
    _, app, _ = carry("refresh", dialect=dialect_of(version))

    assert ("argocd.argoproj.io/refresh-timestamp" in app["metadata"]["annotations"]) is stamped


def test_a_hard_refresh_that_cannot_help_is_a_normal_one() -> None:
    _, app, _ = carry(
        "refresh", {"hard": True}, finding=Diagnosis("RevisionNotFound", (), Confidence.likely)
    )

    assert app["metadata"]["annotations"]["argocd.argoproj.io/refresh"] == "normal"


@pytest.mark.parametrize(
    ("version", "drops", "health", "stamps", "ends"),
    [
        ("v2.14.21", True, True, False, False),
        ("v3.0.0", True, False, False, False),
        ("v3.1.0", False, False, False, False),
        ("3.4.13", False, False, False, True),
        ("v3.5.1", False, False, False, False),
        ("v3.5.7", False, False, False, True),
        ("v3.6.0", False, False, True, False),
        ("v3.6.1+f00", False, False, True, True),
        ("", False, False, False, False),
    ],
)
def test_what_differs_between_versions(
    version: str, drops: bool, health: bool, stamps: bool, ends: bool
) -> None:
    d = dialect_of(version)

    assert (d.drops_enabled, d.keeps_health, d.stamps_refreshes, d.terminates_in_windows) == (
        drops,
        health,
        stamps,
        ends,
    )


# Orphaned operations

ORPHAN = Diagnosis("OperationOrphaned", ("state without an end",), Confidence.certain, "NoEnd")


def test_an_orphaned_operation_is_repaired_only_if_that_is_asked_for() -> None:
    outcome, app, _ = carry("terminate", {"repair_orphans": True}, finding=ORPHAN)

    assert (outcome.result, outcome.reason) == (Result.Sent, "Repaired")
    assert "operationState" not in app["status"]
    assert app["status"]["history"], "what can be gone back to stays"
    assert app["status"]["sync"], "and so does all else"


def test_it_is_not_repaired_when_it_has_changed_since() -> None:
    outcome, app, _ = carry(
        "terminate", {"repair_orphans": True}, finding=ORPHAN, meddle={"operation": {"sync": {}}}
    )

    assert outcome.result is Result.Conflict
    assert app["status"]["operationState"]


@pytest.mark.parametrize(
    ("allowed", "variant", "fits"),
    [(True, "NoEnd", True), (False, "NoEnd", False), (True, "ControllerGone", False)],
)
def test_who_may_repair(allowed: bool, variant: str, fits: bool) -> None:
    text = f"recovery_policies: [{{name: p, condition: {{type: application, cause: OperationOrphaned}}, actions: [{{type: terminate, parameters: {{repair_orphans: {str(allowed).lower()}}}}}]}}]"
    policies = the_policies(text)
    step = policies.policies[0].actions[0]
    situation = a_situation(
        policies=policies,
        finding=structs.replace(ORPHAN, variant=variant),
        now=NOW + timedelta(hours=1),
    )

    assert (step.kind.fits(step, situation, a_recovery("x", NOW)) is None) is fits


HEALED = {"operation": {"sync": {"resources": [{"kind": "Deployment", "name": "cart"}]}}}


@pytest.mark.parametrize(
    ("brought", "reason"),
    [
        pytest.param(None, "DeployUnclear", id="nobody saw what the deploy did"),
        pytest.param(
            DeployEffects((BAD,), frozenset({"apps/Deployment/shop/cart"})),
            "Suspended",
            id="the watch saw that it changed it",
        ),
        pytest.param(
            DeployEffects((BAD,), frozenset({"/ConfigMap/shop/x"})),
            "UnrelatedToDeploy",
            id="the watch saw that it changed something else",
        ),
        pytest.param(
            DeployEffects((BAD,), frozenset({"apps/Deployment/shop/cart"}), ("hook Job/migrate",)),
            "MigrationHook",
            id="and that a migration ran",
        ),
    ],
)
def test_a_self_heal_in_the_same_second_takes_no_deploys_result_away(
    brought: DeployEffects | None, reason: str
) -> None:
    state = {
        **STATUS["operationState"],
        **HEALED,
        "syncResult": {"revision": BAD, "resources": [{**CHANGED, "message": "x unchanged"}]},
    }

    started = STATUS["operationState"]["startedAt"]
    history = [
        {"id": 3, "revision": GOOD},
        {"id": 4, "revision": BAD, "deployStartedAt": started, "deployedAt": started},
    ]
    outcome, _, _ = carry(
        "rollback", status={"operationState": state, "history": history}, brought=brought
    )

    assert outcome.reason == reason, outcome


def a_config_map(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


@pytest.mark.parametrize(
    ("added", "prune", "token", "goes", "words"),
    [
        pytest.param(1, True, True, True, "", id="one that the bad revision added"),
        pytest.param(
            1, False, True, False, "automated.prune is not set", id="its owner does not prune"
        ),
        pytest.param(6, True, True, False, "6 would go, and 5 may", id="more than the ceiling"),
        pytest.param(0, True, True, False, "", id="nothing was added"),
        pytest.param(
            1, True, False, False, "without an Argo CD token", id="nobody can tell what was added"
        ),
    ],
)
def test_a_rollback_prunes_under_the_ceiling_of_a_sync(
    added: int, prune: bool, token: bool, goes: bool, words: str
) -> None:
    kept = [a_config_map(f"kept-{n}") for n in range(20)]
    rows = [{"kind": "ConfigMap", "namespace": "shop", "name": m["metadata"]["name"]} for m in kept]
    rows += [{"kind": "ConfigMap", "namespace": "shop", "name": f"added-{n}"} for n in range(added)]
    fresh = {
        "spec": {"syncPolicy": {"automated": {"prune": prune, "enabled": False}}},
        "status": {"resources": rows},
    }
    step = (
        the_policies(
            "recovery_policies: [{name: p, condition: {type: application, health: Degraded}, actions: [{type: rollback, parameters: {prune: true}}]}]"
        )
        .policies[0]
        .actions[0]
    )
    order = ActionRequest(a_situation(degraded()), step, None)
    argocd: Any = Rendering(kept, []) if token else None

    async def inside() -> tuple[bool, str]:
        kube = Cluster(virtual.VirtualClock())
        return await rollback._prune(
            order,
            Clients(kube, Remotes(kube, "argocd", ()), the_proof(kube), argocd),
            fresh,
            HealthyRevision(3, (GOOD,), NOW),
        )

    may, said = virtual.run(inside())

    assert (may, words in said) == (goes, True), said
