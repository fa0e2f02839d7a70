"""Values for tests, each a good one to begin with."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from recovery.act.registry import POLICY_ACTIONS
from recovery.argocd.ownership import Ownership
from recovery.decide.connections import DOWN
from recovery.kube.client import RECOVERIES, RECOVERY_STATUS, Client
from recovery.model.application import (
    Application,
    Deploy,
    Destination,
    Health,
    Operation,
    Permitted,
    Phase,
    Project,
    Sync,
)
from recovery.model.argocd_version import ArgoCDFeatures
from recovery.model.cause import Confidence, Diagnosis
from recovery.model.connection import Cluster, ProbeResult, ProbeSource, Verdict
from recovery.model.policy import Policies
from recovery.model.recovery import Recovery, RecoveryPhase, Subject
from recovery.model.situation import Dependent, HealthyRevision, Situation, SubjectState
from recovery.policies import parse
from recovery.record.codec import encode
from recovery.simulate.virtual import VirtualClock

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
GOOD, BAD = "a" * 40, "b" * 40


def an_application(**changes: Any) -> Application:
    """Synced and Healthy, auto-sync and self-heal on, deployed ten minutes ago."""
    app = Application(
        namespace="argocd",
        name="cart",
        uid="uid-cart",
        resource_version="10",
        project="shop",
        destination=Destination(server="https://kubernetes.default.svc", namespace="shop"),
        repositories=("https://git.example/cart.git",),
        auto_sync=True,
        self_heal=True,
        sync=Sync.Synced,
        revisions=(GOOD,),
        health=Health.Healthy,
        health_since=NOW - timedelta(minutes=10),
        operation=Operation(
            Phase.Succeeded,
            started_at=NOW - timedelta(minutes=10),
            finished_at=NOW - timedelta(minutes=10),
            revisions=(GOOD,),
            automated=True,
        ),
        deploy=Deploy(3, (GOOD,), NOW - timedelta(minutes=10)),
        history=(1, 2, 3),
        resources=4,
        reconciled_at=NOW - timedelta(minutes=1),
    )
    return structs.replace(app, **changes)


def gave_up(**changes: Any) -> Application:
    """OutOfSync because the sync of the newest revision failed."""
    failed = Operation(
        Phase.Failed,
        "one or more synchronization tasks are not valid",
        started_at=NOW - timedelta(minutes=20),
        finished_at=NOW - timedelta(minutes=20),
        revisions=(BAD,),
        automated=True,
    )
    return an_application(
        **{"sync": Sync.OutOfSync, "revisions": (BAD,), "operation": failed, **changes}
    )


def degraded(**changes: Any) -> Application:
    """Synced to a bad revision and Degraded since, an older good one in the history."""
    at = NOW - timedelta(minutes=10)
    broken = {
        "health": Health.Degraded,
        "health_since": NOW - timedelta(minutes=9),
        "revisions": (BAD,),
        "operation": Operation(
            Phase.Succeeded, started_at=at, finished_at=at, revisions=(BAD,), automated=True
        ),
        "deploy": Deploy(4, (BAD,), at),
        "history": (1, 2, 3, 4),
    }
    return an_application(**{**broken, **changes})


def the_policies(text: str = "") -> Policies:
    """The shipped policies, or those of a text."""
    from pathlib import Path

    raw = (
        text.encode()
        if text
        else (Path(__file__).parent.parent / "config" / "policies.yaml").read_bytes()
    )
    return parse(raw, POLICY_ACTIONS)


A_CRASH = Diagnosis(
    "RolloutFailed",
    ("Pod/cart-7c9: CrashLoopBackOff: back-off 40s restarting",),
    Confidence.likely,
    about="Pod/cart-7c9",
)
"""What a closer look at a crash loop finds: a restart may be tried once, and a rollback is
allowed."""


def a_situation(
    app: Application | None = None, *, ill_for: timedelta = timedelta(hours=1), **changes: Any
) -> Situation:
    """The shipped policies over one application whose symptoms have lasted; what is Degraded was
    looked at."""
    subject = app or an_application()
    if subject.health is Health.Degraded and subject.sync is Sync.Synced:
        changes.setdefault("finding", A_CRASH)
    policies = changes.pop("policies", None) or the_policies()
    now = changes.pop("now", NOW)
    since = now - ill_for
    clocks = {}
    from recovery.decide.conditions import holds, in_force

    for policy in policies.policies:
        if in_force(policy) and holds(policy.condition, subject):
            clocks[policy.condition.symptom] = since
    ledger = (HealthyRevision(3, (GOOD,), NOW - timedelta(hours=2)),)
    sight = changes.pop("sight", None) or SubjectState(
        subject.uid, NOW - timedelta(days=1), clocks, ledger=ledger
    )
    return Situation(now=now, about=subject, sight=sight, policies=policies, **changes)


def a_recovery(name: str, at: datetime, **changes: Any) -> Recovery:
    """A resolved one."""
    subject = Subject("Application", "argocd", name, f"uid-{name}", "default", "in-cluster")
    recovery = Recovery(
        name,
        "application-sync-failure",
        "hash",
        subject,
        at,
        RecoveryPhase.Resolved,
        reason="Recovered",
        resolved_at=at,
    )
    return structs.replace(recovery, **changes)


def seen(by: ProbeSource, verdict: Verdict, ago: float = 5, message: str = "") -> ProbeResult:
    """One look, some seconds ago."""
    return ProbeResult(by, verdict, NOW - timedelta(seconds=ago), message)


def a_cluster(name: str = "primary", *evidence: ProbeResult, **changes: Any) -> Cluster:
    """One whose Secret we may read; without evidence nobody has looked."""
    cluster = Cluster(
        server=f"https://{name}.example:6443",
        name=name,
        secret=f"cluster-{name}",
        evidence=evidence,
        applications=2,
    )
    cluster = structs.replace(cluster, namespace_uid=f"uid-{name}")
    return structs.replace(cluster, **changes)


def a_dead_cluster(name: str = "primary", **changes: Any) -> Cluster:
    """Both who look call it unreachable."""
    looks = (
        seen(ProbeSource.live_read, Verdict.unreachable),
        seen(ProbeSource.connect, Verdict.unreachable),
    )
    return a_cluster(name, *looks, **changes)


def a_live_cluster(name: str = "secondary", **changes: Any) -> Cluster:
    """We have just connected to it."""
    return a_cluster(name, seen(ProbeSource.connect, Verdict.reachable), **changes)


def a_dependent(name: str = "cart", **changes: Any) -> Dependent:
    """An application on primary that may go anywhere and holds no data."""
    place = Destination(name="primary", namespace="shop")
    app = an_application(
        **{
            "name": name,
            "uid": f"uid-{name}",
            "destination": place,
            "kinds": ("Deployment",),
            **changes,
        }
    )
    project = Project("shop", destinations=(Permitted(server="*", namespace="*"),))
    return Dependent(app, SubjectState(app.uid, NOW - timedelta(days=1)), project)


def about_a_cluster(
    cluster: Cluster | None = None, *, down_for: float = 600, **changes: Any
) -> Situation:
    """The shipped policies over a cluster that has been down for ten minutes; secondary is well."""
    about = cluster or a_dead_cluster()
    since = NOW - timedelta(seconds=down_for)
    sight = SubjectState(
        about.uid, NOW - timedelta(days=1), {"connection_state=Failed": since, DOWN: since}
    )
    clusters = changes.pop("clusters", (about, a_live_cluster()))
    fields = {
        "policies": the_policies(),
        "dependents": (a_dependent(),),
        "has_token": True,
        "witnessed": "cluster secondary answers",
        **changes,
    }
    return Situation(
        now=NOW, about=about, sight=fields.pop("sight", sight), clusters=clusters, **fields
    )


ANYWHERE = Project(
    "default", namespace="argocd", destinations=(Permitted(server="*", namespace="*"),)
)


def the_proof(
    kube: Client, project: Project | None = ANYWHERE, version: ArgoCDFeatures | None = None
) -> Ownership:
    """Proofs of ownership in a cluster in memory; every AppProject is this one."""

    async def known(_: str) -> Project | None:
        return project

    return Ownership(kube, "argocd", VirtualClock(), lambda: version or ArgoCDFeatures(), known)


def owned(manifest: dict[str, Any], by: str = "cart", namespace: str = "shop") -> dict[str, Any]:
    """A live object as Argo CD deploys it for the application ``by``: with its tracking
    annotation."""
    group = manifest["apiVersion"].rpartition("/")[0]
    mark = f"{by}:{group}/{manifest['kind']}:{namespace}/{manifest['metadata']['name']}"
    meta = {**manifest["metadata"], "annotations": {"argocd.argoproj.io/tracking-id": mark}}
    return {**manifest, "metadata": meta}


def controlled(controller: str, **meta: Any) -> dict[str, Any]:
    """Metadata of an object whose controller has this UID."""
    return {**meta, "ownerReferences": [{"uid": controller, "controller": True}]}


async def plant(client: Client, recovery: Recovery, namespace: str = "gitops-system") -> bytes:
    """Put a recovery into the cluster, as the controller writes it: its spec, then its status."""
    body = encode(structs.replace(recovery, asked=recovery.asked or recovery.requests), namespace)
    made = json.loads(await client.create(RECOVERIES, namespace, body))
    body["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    return await client.update(RECOVERY_STATUS, namespace, recovery.name, body)
