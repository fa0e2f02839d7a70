"""What each action writes to an Application, and when it refuses to; the world is asserted, not the
calls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import yaml
from msgspec import structs

from recovery.act import rollback, workloads
from recovery.act.action import Clients, Workload
from recovery.act.executor import Executor
from recovery.act.registry import ACTION_KINDS, ALL_ACTIONS, INTERNAL, POLICY_ACTIONS
from recovery.act.restart import NO_TOKEN
from recovery.decide.engine import decide
from recovery.kube.client import APPLICATIONS, DEPLOYMENTS, Body, Resource
from recovery.kube.errors import Busy, Forbidden, KubeError, Unavailable
from recovery.kube.remote import Remotes
from recovery.model.application import Application, ApplicationSet, Health, Hold, Sync, left_to
from recovery.model.decision import Decision, Kind, Outcome, Result
from recovery.model.recovery import RecoveryPhase, StepOutcome, StepRecord
from recovery.model.situation import HealthyRevision, Situation
from recovery.observe import wire
from recovery.simulate import virtual
from recovery.simulate.cluster import Cluster
from recovery.simulate.manifests import daemon_set, deployment, stateful_set
from tests.builders import (
    BAD,
    GOOD,
    NOW,
    a_recovery,
    a_situation,
    an_application,
    degraded,
    owned,
    the_policies,
    the_proof,
)

SPEC: dict[str, Any] = {
    "project": "shop",
    "source": {"repoURL": "https://git.example/cart.git", "path": "."},
    "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
    "syncPolicy": {
        "automated": {"selfHeal": True},
        "syncOptions": ["CreateNamespace=true"],
        "retry": {"limit": 2},
    },
}
ROW = {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "cart"}
CHANGED = {**ROW, "status": "Synced", "message": "deployment.apps/cart configured"}
"""What the deploy did to the Deployment, in kubectl's word."""
STATUS: dict[str, Any] = {
    "sync": {"status": "OutOfSync", "revision": BAD},
    "health": {"status": "Healthy"},
    "operationState": {
        "phase": "Failed",
        "startedAt": "2026-03-02T11:00:00Z",
        "finishedAt": "2026-03-02T11:00:01Z",
        "syncResult": {"revision": BAD, "resources": [CHANGED]},
    },
    "history": [
        {
            "id": 3,
            "revision": GOOD,
            "source": {"repoURL": "https://git.example/cart.git", "path": "old"},
        }
    ],
    "resources": [
        {
            "kind": "Deployment",
            "group": "apps",
            "version": "v1",
            "name": "cart",
            "namespace": "shop",
        }
    ],
}


LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
BROKEN = {
    **deployment("cart", "crash"),
    "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "conditions": [LATE]},
}


class Kube(Cluster):
    """A cluster that can be told to fail a write, before or after it was done."""

    fails: KubeError | None = None

    async def patch(self, what: Resource, namespace: str, name: str, body: Body) -> bytes:
        if self.fails and not self.fails.in_doubt:
            raise self.fails
        answer = await super().patch(what, namespace, name, body)
        if self.fails:
            raise self.fails
        return answer


def carry(
    kind: str, parameters: dict[str, Any] | None = None, *, stage: str = "", status: dict[str, Any] | None = None, spec: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None, meddle: dict[str, Any] | None = None, fails: KubeError | None = None, targets: tuple[str, ...] = (),
    live: dict[str, Any] | None = None, operation: dict[str, Any] | None = None, times: int = 1, ledger: tuple[HealthyRevision, ...] = (),
) -> tuple[Outcome, dict[str, Any], Kube]:  # fmt: skip
    """Carry out one step on a real object in memory: the outcome, the object afterwards, the
    cluster."""

    async def inside() -> tuple[Outcome, dict[str, Any], Kube]:
        kube = Kube(virtual.VirtualClock())
        body = {
            "metadata": {"name": "cart", "annotations": annotations or {}},
            "spec": {**SPEC, **(spec or {})},
            "status": {**STATUS, **(status or {})},
        }
        if operation:
            body["operation"] = operation
        app = wire.application(await kube.create(APPLICATIONS, "argocd", body))
        if live:
            await kube.create(DEPLOYMENTS, "shop", owned(live))
        text = f"recovery_policies: [{{name: p, condition: {{type: application, status: OutOfSync}}, actions: [{{type: {kind}, parameters: {msgspec.json.encode(parameters or {}).decode()}}}]}}]"
        policies = the_policies(text)
        step = policies.policies[0].actions[0]
        claim = structs.replace(
            StepRecord(1, 0, kind, NOW, stage=stage, targets=targets).claim,
            resource_version=app.resource_version,
        )
        claim = structs.replace(
            claim, operation_started_at=app.operation.started_at if app.operation else None
        )
        record = StepRecord(1, 0, kind, NOW, claim=claim, stage=stage, targets=targets)
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
        situation = a_situation(app, policies=policies, recovery=recovery)
        if ledger:
            situation = structs.replace(
                situation, sight=structs.replace(situation.sight, ledger=ledger)
            )
        if meddle:
            await kube.patch(APPLICATIONS, "argocd", "cart", meddle)
        kube.fails = fails
        executor = Executor(
            ALL_ACTIONS,
            Clients(kube, Remotes(kube, "argocd", ()), the_proof(kube)),
            lambda _: "",
            virtual.VirtualClock(),
        )
        decision = Decision(Kind.Remediate, "p", "", "", step=step, recovery=recovery)
        for _ in range(times):
            outcome = await executor.carry_out(situation, decision, recovery)
        kube.fails = None
        return outcome, kube.find(APPLICATIONS, "argocd", "cart") or {}, kube

    return virtual.run(inside())


def test_refresh_is_one_annotation() -> None:
    outcome, app, kube = carry("refresh", {"hard": True})

    assert outcome.result is Result.Sent
    assert app["metadata"]["annotations"]["argocd.argoproj.io/refresh"] == "hard"
    assert [w[0] for w in kube.writes] == ["create", "patch"]


def test_sync_pins_the_judged_revision_and_copies_what_argo_cds_api_would() -> None:
    outcome, app, _ = carry("sync")

    assert outcome.result is Result.Sent
    assert app["operation"] == {
        "initiatedBy": {"username": "gitops-recovery-controller"},
        "info": [
            {"name": "recovery.gitops.dev/recovery", "value": f"cart-1/1.0/{int(NOW.timestamp())}"}
        ],
        "sync": {
            "prune": False,
            "syncStrategy": {"hook": {}},
            "revision": BAD,
            "source": SPEC["source"],
            "syncOptions": ["CreateNamespace=true"],
        },
        "retry": {"limit": 2},
    }
    assert "operationState" not in app["status"]


def test_sync_of_two_sources_pins_both_revisions() -> None:
    sources = [{"repoURL": "a"}, {"repoURL": "b"}]
    _, app, _ = carry(
        "sync",
        spec={"source": None, "sources": sources},
        status={"sync": {"status": "OutOfSync", "revisions": ["1", "2"]}},
    )

    assert app["operation"]["sync"]["revisions"] == ["1", "2"]
    assert app["operation"]["sync"]["sources"] == sources


def test_sync_force() -> None:
    _, app, _ = carry("sync", {"force": True})

    assert app["operation"]["sync"]["syncStrategy"] == {"hook": {"force": True}}


@pytest.mark.parametrize(
    ("meddle", "why"),
    [
        pytest.param({"operation": {"sync": {}}}, "an operation is asked for", id="operation"),
        pytest.param(
            {"status": {"operationState": {"phase": "Running", "finishedAt": None}}},
            "one is running",
            id="running",
        ),
        pytest.param(
            {"metadata": {"labels": {"a": "b"}}}, "it changed since it was judged", id="changed"
        ),
    ],
)
def test_sync_never_goes_over_what_somebody_else_does(meddle: dict[str, Any], why: str) -> None:
    outcome, app, _ = carry("sync", meddle=meddle)

    assert outcome.result is Result.Conflict, why
    assert app.get("operation") == meddle.get("operation")


def test_sync_of_an_application_made_anew_under_the_name_is_a_conflict() -> None:
    outcome, app, _ = carry("sync", meddle={"metadata": {"labels": {"x": "y"}}})

    assert outcome.result is Result.Conflict
    assert "operation" not in app


@pytest.mark.parametrize(
    ("fails", "result", "written"),
    [
        pytest.param(Unavailable("no answer"), Result.InDoubt, True, id="no answer, but written"),
        pytest.param(Busy("slow down", 429), Result.Conflict, False, id="429"),
        pytest.param(Forbidden("may not", 403), Result.Failed, False, id="403"),
    ],
)
def test_what_the_door_says(fails: KubeError, result: Result, written: bool) -> None:
    outcome, app, _ = carry("sync", fails=fails)

    assert outcome.result is result
    assert ("operation" in app) is written


def test_a_sync_found_after_a_lost_answer_is_adopted_and_not_written_again() -> None:
    outcome, _, kube = carry("sync", times=2)

    assert (outcome.result, outcome.reason) == (Result.Sent, "Adopted")
    assert sum("operation" in w[4] for w in kube.writes) == 1


GOING = [{"kind": "ConfigMap", "name": f"c{n}", "requiresPruning": True} for n in range(6)]
STAYING = [{"kind": "ConfigMap", "name": f"s{n}"} for n in range(60)]
PRUNES = {"syncPolicy": {"automated": {"prune": True}}}


@pytest.mark.parametrize(
    ("resources", "spec", "prune", "kept"),
    [
        pytest.param(
            GOING[:2] + STAYING, PRUNES, True, "", id="two of 62, and the application prunes"
        ),
        pytest.param(
            GOING[:2] + STAYING,
            {},
            False,
            "automated.prune is not set",
            id="the application does not prune",
        ),
        pytest.param(GOING + STAYING, PRUNES, False, "6 would go, and 5 may", id="too many"),
        pytest.param(
            GOING[:2] + STAYING[:5],
            PRUNES,
            False,
            "2 of 7 would go, and 10% may",
            id="too large a share",
        ),
        pytest.param(
            [{"kind": "Namespace", "name": "n", "requiresPruning": True}, *STAYING],
            PRUNES,
            False,
            "none of Namespace",
            id="a Namespace",
        ),
        pytest.param(
            [{"kind": "PersistentVolumeClaim", "name": "p", "requiresPruning": True}, *STAYING],
            PRUNES,
            False,
            "is ever pruned",
            id="a volume claim",
        ),
        pytest.param(STAYING, PRUNES, False, "", id="nothing to prune"),
    ],
)
def test_prune_is_a_ceiling(
    resources: list[dict[str, Any]], spec: dict[str, Any], prune: bool, kept: str
) -> None:
    outcome, app, _ = carry("sync", {"prune": True}, spec=spec, status={"resources": resources})

    assert app["operation"]["sync"]["prune"] is prune
    assert kept in outcome.message


def test_terminate_ends_just_the_operation_it_was_meant_for() -> None:
    running = {"operationState": {"phase": "Running", "startedAt": "2026-03-02T10:00:00Z"}}
    outcome, app, _ = carry("terminate", status=running)
    assert outcome.result is Result.Sent
    assert app["status"]["operationState"]["phase"] == "Terminating"

    newer = {"status": {"operationState": {"startedAt": "2026-03-02T11:30:00Z"}}}
    outcome, app, _ = carry("terminate", status=running, meddle=newer)
    assert outcome.result is Result.Conflict
    assert app["status"]["operationState"]["phase"] == "Running"


def test_restart_first_finds_and_claims_then_restarts() -> None:
    found, _, kube = carry("restart", live=BROKEN, status={"health": {"status": "Degraded"}})

    assert found.targets == ("apps/v1/Deployment/shop/cart",)
    assert found.settle == timedelta(minutes=10)
    assert [w for w in kube.writes if w[1] == DEPLOYMENTS and w[0] != "create"] == []

    done, _, kube = carry(
        "restart",
        stage="replace",
        targets=found.targets,
        live=BROKEN,
        status={"health": {"status": "Degraded"}},
        times=2,
    )
    item = kube.find(DEPLOYMENTS, "shop", "cart")

    assert done.message == "restarted Deployment/cart"
    assert item is not None
    assert item["spec"]["template"]["metadata"]["annotations"] == {
        "kubectl.kubernetes.io/restartedAt": "2026-03-02T12:00:00Z"
    }
    assert sum(w[0] == "patch" and w[1] == DEPLOYMENTS for w in kube.writes) == 1, (
        "a second start after a crash does nothing"
    )


def test_a_long_deadline_is_waited_for() -> None:
    slow = {**BROKEN, "spec": {**BROKEN["spec"], "progressDeadlineSeconds": 1800}}
    degraded_one = {"health": {"status": "Degraded"}}

    found, _, _ = carry("restart", live=slow, status=degraded_one)
    done, _, _ = carry(
        "restart", stage="replace", targets=found.targets, live=slow, status=degraded_one
    )

    assert done.settle == timedelta(seconds=1860)


def live(kind: str = "Deployment", **changes: Any) -> dict[str, Any]:
    """A workload that lacks pods; ``spec`` and ``status`` change single fields."""
    manifest = {"Deployment": deployment, "StatefulSet": stateful_set, "DaemonSet": daemon_set}[
        kind
    ]("cart", "crash")
    kept = {
        "observedGeneration": 1,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 0,
        "conditions": [{**LATE, "reason": "NewReplicaSetAvailable"}],
    }
    if kind == "DaemonSet":
        kept = {
            "observedGeneration": 1,
            "desiredNumberScheduled": 3,
            "updatedNumberScheduled": 3,
            "numberAvailable": 2,
        }
    spec = {**manifest["spec"], "replicas": 3, **changes.pop("spec", {})}
    return {
        **manifest,
        "metadata": {"name": "cart", "generation": 1},
        "spec": spec,
        "status": {**kept, **changes.pop("status", {})},
    }


DEGRADED = {"conditions": [LATE]}
LOST = {"readyReplicas": 2, "availableReplicas": 2}
FEW = {"readyReplicas": 1, "availableReplicas": 1}
MIDDLE = {"updateRevision": "b", "currentRevision": "a"}


@pytest.mark.parametrize(
    ("kind", "changes", "how", "spared"),
    [
        pytest.param("Deployment", {"status": DEGRADED}, {}, "", id="past its deadline"),
        pytest.param(
            "Deployment",
            {"status": DEGRADED, "spec": {"paused": True}},
            {},
            "paused",
            id="a person paused it",
        ),
        pytest.param(
            "Deployment",
            {"status": LOST},
            {},
            "not Degraded",
            id="a peak of load: pods on their way",
        ),
        pytest.param(
            "Deployment",
            {"status": FEW},
            {"progressing": True},
            "",
            id="a policy that names Progressing",
        ),
        pytest.param(
            "Deployment",
            {"status": {**DEGRADED, **LOST}},
            {},
            "2 of its 3 pods are ready",
            id="most of it serves",
        ),
        pytest.param(
            "Deployment",
            {"status": {**DEGRADED, **LOST}},
            {"allow": ("Deployment",)},
            "",
            id="most of it serves, allowed",
        ),
        pytest.param(
            "Deployment",
            {"status": {**DEGRADED, **LOST, "replicas": 4, "updatedReplicas": 1}},
            {},
            "",
            id="old ones serve",
        ),
        pytest.param(
            "DaemonSet",
            {"status": {"numberReady": 2}},
            {"progressing": True},
            "2 of its 3 pods are ready",
            id="most nodes serve",
        ),
        pytest.param(
            "Deployment",
            {"status": {"updatedReplicas": 1}},
            {"progressing": True},
            "middle of a rollout",
            id="a fix on its way",
        ),
        pytest.param(
            "Deployment",
            {"status": {"observedGeneration": 0, **DEGRADED}},
            {},
            "not Degraded",
            id="changed a moment ago",
        ),
        pytest.param(
            "Deployment",
            {"status": {**DEGRADED, **LOST}, "spec": {"strategy": {"type": "Recreate"}}},
            {},
            "Recreate",
            id="all would go at once",
        ),
        pytest.param(
            "Deployment",
            {"status": {**DEGRADED, **LOST}, "spec": {"strategy": {"type": "Recreate"}}},
            {"allow": ("Recreate",)},
            "",
            id="allowed",
        ),
        pytest.param("StatefulSet", {}, {}, "not Degraded", id="a StatefulSet is never Degraded"),
        pytest.param(
            "StatefulSet", {}, {"progressing": True}, "", id="a StatefulSet without a pod"
        ),
        pytest.param(
            "StatefulSet",
            {"status": LOST},
            {"progressing": True},
            "2 of its 3 pods are ready",
            id="a bare quorum",
        ),
        pytest.param(
            "StatefulSet",
            {"status": LOST},
            {"progressing": True, "allow": ("StatefulSet",)},
            "",
            id="a quorum, allowed",
        ),
        pytest.param(
            "StatefulSet",
            {"status": MIDDLE},
            {"progressing": True, "younger": True},
            "middle of a rollout",
            id="a younger rollout",
        ),
        pytest.param(
            "StatefulSet",
            {"status": MIDDLE},
            {"progressing": True},
            "",
            id="the rollout that made it ill",
        ),
        pytest.param("DaemonSet", {}, {}, "not Degraded", id="a DaemonSet is never Degraded"),
        pytest.param("DaemonSet", {}, {"progressing": True}, "", id="a DaemonSet that lacks a pod"),
        pytest.param(
            "DaemonSet",
            {"status": {"numberAvailable": 3}},
            {"progressing": True},
            "Healthy",
            id="well",
        ),
    ],
)
def test_whose_pods_are_not_replaced(
    kind: str, changes: dict[str, Any], how: dict[str, Any], spared: str
) -> None:
    words = workloads.spared(
        kind, live(kind, **changes), **{"progressing": False, "younger": False, "allow": (), **how}
    )

    assert (spared in words) if spared else not words, words


def test_restart_of_what_runs_well_is_skipped() -> None:
    well = {
        **deployment("cart"),
        "status": {
            "observedGeneration": 1,
            "replicas": 1,
            "updatedReplicas": 1,
            "availableReplicas": 1,
        },
    }

    found, _, _ = carry("restart", live=well, status={"health": {"status": "Degraded"}})

    assert (found.result, found.reason) == (Result.Skipped, "NothingDegraded")


LEDGER = (HealthyRevision(3, (GOOD,), NOW),)


def test_rollback_suspends_with_a_hold_in_the_same_patch() -> None:
    outcome, app, _ = carry(
        "rollback", status={"health": {"status": "Degraded"}}, ledger=LEDGER, live=BROKEN
    )

    hold = msgspec.json.decode(
        app["metadata"]["annotations"]["recovery.gitops.dev/hold"], type=Hold
    )
    assert (outcome.result, outcome.reason) == (Result.Sent, "Suspended")
    assert app["spec"]["syncPolicy"]["automated"] == {"selfHeal": True, "enabled": False}
    assert (hold.bad, hold.suspended, hold.had_enabled, hold.sticky, hold.recovery) == (
        (BAD,),
        True,
        None,
        False,
        "cart-1",
    )


def test_rollback_then_writes_the_history_entry_as_argo_cds_api_would() -> None:
    outcome, app, _ = carry(
        "rollback", stage="apply", status={"health": {"status": "Degraded"}}, ledger=LEDGER
    )

    assert outcome.message == f"rolled back {BAD[:7]} to {GOOD[:7]}"
    assert app["operation"]["sync"] == {
        "prune": False,
        "syncStrategy": {"apply": {}},
        "revision": GOOD,
        "source": {"repoURL": "https://git.example/cart.git", "path": "old"},
        "syncOptions": ["CreateNamespace=true"],
    }


ROLLBACK = the_policies(
    "recovery_policies: [{name: p, condition: {type: application, health: Degraded}, actions: [{type: rollback}]}]"
)
AFTER_RESTART = the_policies(
    "recovery_policies: [{name: p, condition: {type: application, health: Degraded}, actions: [{type: restart}, {type: rollback, parameters: {if_restart_fails: true}}]}]"
)


def skipped(app: Application, **changes: Any) -> str:
    """Why a rollback does not fit, or the kind of decision when it does."""
    situation = a_situation(
        app,
        policies=changes.pop("policies", ROLLBACK),
        **{"ill_for": timedelta(minutes=9), **changes},
    )
    (decision,) = decide(situation)
    assert decision.recovery is not None
    steps = [
        s
        for s in decision.recovery.steps
        if s.action == "rollback" and s.outcome is StepOutcome.Skipped
    ]
    return steps[-1].reason if steps else decision.kind.value


@pytest.mark.parametrize(
    ("app", "changes", "reason"),
    [
        pytest.param(degraded(), {}, "Remediate", id="all is as it should be"),
        pytest.param(
            degraded(marks={"recovery.gitops.dev/no-rollback": "true"}),
            {},
            "NoRollback",
            id="annotated",
        ),
        pytest.param(
            degraded(history=(4,)),
            {},
            "NoGoodRevision",
            id="the good one is no longer in the history",
        ),
        pytest.param(
            degraded(deploy=structs.replace(degraded().deploy, at=NOW - timedelta(hours=3))),
            {},
            "UnrelatedToDeploy",
            id="ill long after its deploy",
        ),  # type: ignore[type-var]
        pytest.param(degraded(deploy=None), {}, "NoDeploy", id="no history"),
        pytest.param(
            degraded(sync=Sync.OutOfSync, revisions=("c" * 40,)),
            {},
            "NewerRevision",
            id="a newer revision waits for auto-sync",
        ),
        pytest.param(degraded(hold=Hold("r", "uid-cart", (BAD,))), {}, "Held", id="held already"),
        pytest.param(
            degraded(application_set="all"),
            {"application_set": ApplicationSet("argocd", "all")},
            "OwnerWouldRevert",
            id="ApplicationSet",
        ),
        pytest.param(
            degraded(application_set="all"),
            {
                "application_set": ApplicationSet(
                    "argocd", "all", leaves_sync_policy=frozenset({"cart"})
                )
            },
            "Remediate",
            id="ApplicationSet that leaves it",
        ),
        pytest.param(
            degraded(application_set="all"),
            {},
            "OwnerWouldRevert",
            id="an ApplicationSet we cannot see",
        ),
        pytest.param(
            degraded(parent="argocd/root"),
            {"parent": degraded(name="root")},
            "OwnerWouldRevert",
            id="parent with selfHeal",
        ),
        pytest.param(
            degraded(parent="argocd/root"),
            {"parent": degraded(name="root", self_heal=False)},
            "Remediate",
            id="parent without selfHeal",
        ),
    ],
)
def test_rollback_fits_only_where_it_is_a_cure(
    app: Application, changes: dict[str, Any], reason: str
) -> None:
    assert skipped(app, **changes) == reason


def test_what_was_inherited_is_not_rolled_back() -> None:
    situation = a_situation(degraded())
    sight = structs.replace(
        situation.sight, inherited=True, clocks={"health=Degraded": NOW - timedelta(minutes=9)}
    )

    assert skipped(degraded(), sight=sight) == "Inherited"


@pytest.mark.parametrize(
    ("outcome", "reason", "then"),
    [
        (StepOutcome.Failed, "DegradedAgain", "Remediate"),
        (StepOutcome.TimedOut, "TimedOut", "Remediate"),
        (StepOutcome.Skipped, "NothingDegraded", "NothingDegraded"),
        (StepOutcome.Skipped, NO_TOKEN, "RestartNotTried"),
    ],
)
def test_rollback_after_a_restart_that_did_not_help(
    outcome: StepOutcome, reason: str, then: str
) -> None:
    policies = AFTER_RESTART
    restart = StepRecord(1, 0, "restart", NOW, outcome=outcome, reason=reason, ended_at=NOW)
    recovery = a_recovery(
        "cart-1",
        NOW,
        policy="p",
        phase=RecoveryPhase.Remediating,
        resolved_at=None,
        attempt=1,
        max_attempts=1,
        steps=(restart,),
        unhealthy_since=NOW - timedelta(minutes=9),
        version="1",
    )
    recovery = structs.replace(recovery, subject=structs.replace(recovery.subject, uid="uid-cart"))

    assert skipped(degraded(), policies=policies, recovery=recovery) == then


def test_a_second_rollback_within_a_day_leaves_a_sticky_hold() -> None:
    before = StepRecord(1, 1, "rollback", NOW, outcome=StepOutcome.Succeeded)
    past = a_recovery(
        "cart-0", NOW - timedelta(hours=2), steps=(before,), resolved_at=NOW - timedelta(hours=2)
    )
    from recovery.act.rollback import _gone_back_before

    situation: Situation = a_situation(degraded(health=Health.Degraded), past=(past,))
    assert _gone_back_before(situation)
    assert not _gone_back_before(structs.replace(situation, now=NOW + timedelta(days=2)))


def test_every_action_is_known_by_its_own_name() -> None:
    assert all(action.kind.name == name for name, action in ALL_ACTIONS.items())
    assert set(POLICY_ACTIONS) == set(ALL_ACTIONS) - INTERNAL
    assert set(ACTION_KINDS) == set(ALL_ACTIONS)


TWO = ("apps/v1/Deployment/shop/cart", "apps/v1/Deployment/shop/other")


class Umbrella:
    """Argo CD's API over two Deployments of one application, as the test says they are."""

    def __init__(self, **how: dict[str, Any]) -> None:
        self.how = how
        self.restarted: list[str] = []

    async def unwell(self, app: Any, kinds: tuple[str, ...] = ()) -> list[Workload]:
        return [Workload("apps", "Deployment", "shop", name) for name in self.how]

    async def manifest(self, app: Any, node: Any) -> dict[str, Any]:
        return live(status=self.how[node.name])

    async def restart(self, app: Any, workload: Any) -> None:
        self.restarted.append(str(workload))


def one_of_two(argocd: Umbrella, stage: str, effects: int) -> Outcome:
    """Carry out one stage of a restart of both, after so many were restarted."""

    async def inside() -> Outcome:
        kube = Kube(virtual.VirtualClock())
        record = StepRecord(
            1, 0, "restart", NOW, stage=stage, targets=TWO, effects=(NOW,) * effects
        )
        recovery = a_recovery(
            "cart-1",
            NOW,
            phase=RecoveryPhase.Remediating,
            steps=(record,),
            attempt=1,
            policy="p",
            resolved_at=None,
        )
        step = the_policies().policies[1].actions[0]
        doors = Clients(kube, Remotes(kube, "argocd", ()), the_proof(kube), argocd)  # type: ignore[arg-type]
        decision = Decision(Kind.Remediate, "p", "", "", step=step, recovery=recovery)
        situation = a_situation(an_application(health=Health.Degraded), recovery=recovery)
        return await Executor(ALL_ACTIONS, doors, lambda _: "", virtual.VirtualClock()).carry_out(
            situation, decision, recovery
        )

    return virtual.run(inside())


def test_workloads_of_one_application_are_restarted_one_after_the_other() -> None:
    argocd = Umbrella(cart=DEGRADED, other=DEGRADED)
    first = one_of_two(argocd, "replace", 0)
    assert (first.message, first.effects, argocd.restarted) == (
        "restarted Deployment/cart (1 of 2)",
        1,
        ["Deployment/cart"],
    )
    assert [note.body.partition("\n")[0] for note in first.notes] == [
        "restarted Deployment/cart, Deployment/other"
    ], "told once"

    argocd.how["cart"] = LOST
    waits = one_of_two(argocd, "replace 2", 1)
    assert (waits.reason, waits.effects, argocd.restarted) == ("Waits", 0, ["Deployment/cart"]), (
        "the first is not back yet"
    )

    argocd.how["cart"] = {"readyReplicas": 3, "availableReplicas": 3}
    second = one_of_two(argocd, "replace 2", 1)
    assert (second.reason, second.notes, argocd.restarted) == (
        "Restarted",
        (),
        ["Deployment/cart", "Deployment/other"],
    )


def test_where_the_first_restart_does_not_help_the_others_are_left_alone() -> None:
    argocd = Umbrella(cart=DEGRADED, other=DEGRADED)

    over = one_of_two(argocd, "replace 2", 1)

    assert (over.result, over.reason, argocd.restarted) == (Result.Failed, "DidNotHelp", [])
    assert (
        "Deployment/cart is Degraded again after its restart; the 1 after it are left alone"
        in over.message
    )


def test_one_that_is_well_by_now_does_not_end_the_step_of_the_others() -> None:
    argocd = Umbrella(cart={"readyReplicas": 3, "availableReplicas": 3}, other=DEGRADED)

    assert one_of_two(argocd, "replace", 0).reason == "WorkloadLeft"
    assert one_of_two(argocd, "replace 2", 0).reason == "Restarted"
    argocd.how["other"] = argocd.how["cart"]
    assert one_of_two(argocd, "replace 2", 0).result is Result.Skipped
    assert one_of_two(argocd, "replace 2", 1).result is Result.Sent, "one was restarted"


def test_what_people_are_told_to_add_to_an_application_set_is_what_is_looked_for() -> None:
    owned_one = degraded(application_set="all", application_set_uid="u")
    situation = a_situation(owned_one, application_set=ApplicationSet("argocd", "all", uid="u"))
    skip = rollback.fits(
        ROLLBACK.policies[0].actions[0],
        situation,
        a_recovery("cart-1", NOW, unhealthy_since=NOW - timedelta(minutes=9)),
    )
    assert skip is not None
    assert skip.reason == "OwnerWouldRevert"

    lines = yaml.safe_load(skip.message.partition("add to it: `")[2].rpartition("`")[0])
    added = wire.application_set(msgspec.json.encode({"metadata": {"name": "all"}, **lines}))

    assert left_to(added.leaves_sync_policy, owned_one)
    assert not left_to(added.leaves_sync_policy, an_application(name="another"))
