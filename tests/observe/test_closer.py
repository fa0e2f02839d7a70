"""Closer looks: what a tree, a pod and a cluster tell, how often it is asked, and what is
missing."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from recovery.argocd.tree import nodes
from recovery.causes.case import DiagnosisInput
from recovery.causes.diagnose import diagnose
from recovery.kube.client import APPLICATIONS, CONFIG_MAPS, DEPLOYMENTS, PODS, REPLICA_SETS
from recovery.kube.errors import Forbidden, Unavailable
from recovery.model.application import Application, Destination, Health
from recovery.model.cause import Confidence, Diagnosis, Observations, UnhealthyResource
from recovery.observe import resource_tree
from recovery.observe.inspection_queue import InspectionQueue, kept
from recovery.observe.inspector import Inspector
from recovery.observe.reconcile_monitor import ReconcileMonitor
from recovery.observe.store import Store
from recovery.observe.version_poller import VersionPoller
from recovery.simulate import pods, virtual
from recovery.simulate.cluster import Cluster
from recovery.simulate.manifests import deployment
from tests.builders import NOW, an_application, controlled, owned, the_policies, the_proof

TREE = msgspec.json.encode(
    {
        "nodes": [
            {"kind": "Deployment", "name": "cart", "health": {"status": "Progressing", "message": "Waiting for rollout to finish"}},
            {"kind": "Pod", "name": "cart-1", "uid": "u", "health": {"status": "Degraded", "message": "Back-off pulling image"}, "info": [{"name": "Status Reason", "value": "ImagePullBackOff"}]},
            {"kind": "ConfigMap", "name": "quiet"},
            {"kind": "Service", "name": "cart", "health": {"status": "Healthy"}},
            {"kind": 7},
        ]
    }
)  # fmt: skip
MISSING = Diagnosis("MissingCRD", (), Confidence.likely, about="shop.example/Widget")


def test_a_tree_tells_the_pods_first_and_one_odd_node_costs_no_other() -> None:
    told = resource_tree.unwell(nodes(TREE))

    assert [(str(u), u.reason) for u in told] == [
        ("Pod/cart-1", "ImagePullBackOff"),
        ("Deployment/cart", ""),
    ]
    assert (
        resource_tree.unwell(nodes(msgspec.json.encode(msgspec.json.decode(TREE)["nodes"]))) == told
    ), "the bare list is a tree, too"


@pytest.mark.parametrize(
    ("tag", "reasons"),
    [
        ("crash", ["Error", "CrashLoopBackOff"]),
        ("oom", ["OOMKilled", "CrashLoopBackOff"]),
        ("missing", ["ImagePullBackOff"]),
        ("noconfig", ["CreateContainerConfigError"]),
        ("unschedulable", ["Unschedulable"]),
        ("ready", []),
    ],
)
def test_a_pod_tells_what_its_containers_wait_for_and_how_they_ended(
    tag: str, reasons: list[str]
) -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "shop"},
        "status": pods.status(f"registry.example/shop:{tag}", "p", "2026-03-02T12:00:00Z"),
    }

    assert [u.reason for u in resource_tree.of_pod(pod)] == reasons


def test_events_tell_warnings_the_newest_first() -> None:
    events = [
        {"type": "Normal", "reason": "Pulled", "message": "fine"},
        {"type": "Warning", "reason": "Old", "message": "a", "lastTimestamp": "2026-03-02T11:00:00Z"},
        {"type": "Warning", "reason": "New", "message": "password=hunter22", "lastTimestamp": "2026-03-02T12:00:00Z", "involvedObject": {"kind": "Pod", "name": "p"}},
    ]  # fmt: skip
    told = resource_tree.of_events(events)

    assert [(u.reason, u.message) for u in told] == [("New", "password=***"), ("Old", "a")]


class API:
    """Argo CD's API with one tree."""

    def __init__(self, tree: bytes | Exception = TREE, kinds: frozenset[str] = frozenset()) -> None:
        self._tree = tree
        self._kinds = kinds

    async def tree(self, app: Application) -> bytes:
        if isinstance(self._tree, Exception):
            raise self._tree
        return self._tree

    async def manifest(self, app: Application, node: Any) -> dict[str, Any]:
        return {
            "metadata": {"name": node.name},
            "status": pods.status(
                "registry.example/shop:missing", node.name, "2026-03-02T12:00:00Z"
            ),
        }

    async def events(self, app: Application, node: Any) -> list[dict[str, Any]]:
        raise Forbidden("events are forbidden", 403)

    async def api_versions(self, server: str) -> frozenset[str]:
        return self._kinds

    async def version(self) -> str:
        return "v2.14.3+x"


PAUSED = msgspec.json.encode(
    {
        "nodes": [
            {"kind": "CronJob", "group": "batch", "name": "nightly", "health": {"status": "Suspended"}},
            {"kind": "Rollout", "group": "argoproj.io", "name": "cart", "health": {"status": "Suspended", "message": "InconclusiveAnalysisRun"}},
            {"kind": "AnalysisRun", "group": "argoproj.io", "name": "cart-4", "health": {"status": "Unknown"}},
        ]
    }
)  # fmt: skip


def test_a_rollout_that_is_paused_says_why_and_a_cron_job_is_not_asked() -> None:
    rollout = an_application(health=Health.Suspended, kinds=("Rollout", "CronJob"))

    assert (
        diagnose(DiagnosisInput(rollout, NOW, looked(rollout, API(PAUSED)))).cause
        == "AnalysisInconclusive"
    )  # type: ignore[union-attr]
    assert [str(u) for u in resource_tree.unwell(nodes(PAUSED))] == [
        "Rollout/cart",
        "AnalysisRun/cart-4",
    ]
    assert (
        looked(an_application(health=Health.Suspended, kinds=("CronJob",)), API(PAUSED)).unwell
        == ()
    )


@pytest.mark.parametrize(("kinds", "looks"), [(("Rollout",), True), (("CronJob",), False)])
async def test_only_a_rollout_that_is_paused_is_worth_a_look(
    kinds: tuple[str, ...], looks: bool
) -> None:
    store = Store(virtual.VirtualClock(), lambda _: None, lambda _: False)
    app = an_application(health=Health.Suspended, kinds=kinds)
    store.put(app)

    assert ((app.namespace, app.name) in store.ailing) is looks


async def rollout(kube: Cluster, live: dict[str, Any]) -> None:
    """A Deployment and its ReplicaSet, whose UID is ``rs``."""
    stored = msgspec.json.decode(await kube.create(DEPLOYMENTS, "shop", live))
    meta = controlled(stored["metadata"]["uid"], name="cart-rs", labels={"app": "cart"}, uid="rs")
    await kube.create(REPLICA_SETS, "shop", {"metadata": meta})


def looked(
    app: Application, api: API | None, finding: Diagnosis | None = None, *, world: Any = None
) -> Observations:
    async def inside() -> Observations:
        kube = Cluster(virtual.VirtualClock())
        if world:
            await world(kube)
        return await Inspector(kube, api, virtual.VirtualClock(), dict, the_proof(kube))(
            app, finding
        )

    return virtual.run(inside())


def test_with_a_token_pods_are_read_whole_and_what_is_denied_is_named() -> None:
    signs = looked(an_application(health=Health.Degraded), API())

    assert signs.unwell[0].reason == "ImagePullBackOff"
    assert "code = NotFound" in signs.unwell[0].message, (
        "the full words are in the pod, not in the tree"
    )
    assert signs.missing == ("events of Pod/cart-1: events are forbidden",)


def test_without_a_token_the_cluster_itself_is_asked() -> None:
    async def world(kube: Cluster) -> None:
        resources = [{"kind": "Deployment", "group": "apps", "name": "cart", "namespace": "shop"}]
        await kube.create(
            APPLICATIONS,
            "argocd",
            {"metadata": {"name": "cart"}, "status": {"resources": resources}},
        )
        await rollout(kube, owned(deployment("cart")))
        status = pods.status("registry.example/shop:oom", "cart-1", "2026-03-02T12:00:00Z")
        await kube.create(
            PODS,
            "shop",
            {"metadata": controlled("rs", name="cart-1", labels={"app": "cart"}), "status": status},
        )
        await kube.create(
            PODS,
            "shop",
            {"metadata": controlled("rs", name="other", labels={"app": "other"}), "status": status},
        )
        await kube.create(
            PODS,
            "shop",
            {"metadata": {"name": "stray", "labels": {"app": "cart"}}, "status": status},
        )
        await kube.create(
            PODS,
            "shop",
            {
                "metadata": controlled("another", name="theirs", labels={"app": "cart"}),
                "status": status,
            },
        )

    signs = looked(an_application(health=Health.Degraded), None, world=world)

    assert {u.name for u in signs.unwell} == {"cart-1"}
    assert [u.reason for u in signs.unwell] == ["OOMKilled", "CrashLoopBackOff"]


@pytest.mark.parametrize(
    ("status", "looked_at"),
    [
        pytest.param(
            {"replicas": 2, "readyReplicas": 1, "updatedReplicas": 1},
            True,
            id="the old pod is ready, the new one is not",
        ),
        pytest.param(
            {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1},
            False,
            id="all new, all ready",
        ),
        pytest.param({"replicas": 1}, True, id="none ready"),
        pytest.param({}, True, id="nothing known yet"),
    ],
)
def test_pods_of_a_rollout_are_read_although_the_old_ones_are_ready(
    status: dict[str, int], looked_at: bool
) -> None:
    async def world(kube: Cluster) -> None:
        resources = [{"kind": "Deployment", "group": "apps", "name": "cart", "namespace": "shop"}]
        await kube.create(
            APPLICATIONS,
            "argocd",
            {"metadata": {"name": "cart"}, "status": {"resources": resources}},
        )
        await rollout(kube, {**owned(deployment("cart")), "status": status})
        bad = pods.status("registry.example/shop:missing", "cart-2", "2026-03-02T12:00:00Z")
        await kube.create(
            PODS,
            "shop",
            {"metadata": controlled("rs", name="cart-2", labels={"app": "cart"}), "status": bad},
        )

    signs = looked(an_application(health=Health.Progressing), None, world=world)

    assert bool(signs.unwell) is looked_at


def test_of_another_cluster_nothing_is_known_without_a_token_and_that_is_said() -> None:
    away = an_application(health=Health.Degraded, destination=Destination(name="prod-eu"))

    assert looked(away, None, MISSING).missing == (
        "its resources: it runs on prod-eu, and no Argo CD token is configured",
        "whether prod-eu serves shop.example/Widget: no Argo CD token is configured",
    )


@pytest.mark.parametrize(
    ("kinds", "there"),
    [
        (frozenset({"shop.example/v1/Widget"}), True),
        (frozenset({"shop.example/v1/Gear", "other/v1/Widget"}), False),
    ],
)
def test_is_a_missing_kind_served_by_now(kinds: frozenset[str], there: bool) -> None:
    away = an_application(destination=Destination(server="https://far"))

    assert looked(away, API(kinds=kinds), MISSING).served == {"shop.example/Widget": there}


def test_who_brings_a_missing_kind_is_named() -> None:
    async def world(kube: Cluster) -> None:
        rows = [{"kind": "CustomResourceDefinition", "name": "widgets.shop.example"}]
        await kube.create(
            APPLICATIONS, "argocd", {"metadata": {"name": "crds"}, "status": {"resources": rows}}
        )

    async def inside() -> Observations:
        kube = Cluster(virtual.VirtualClock())
        await world(kube)
        brings = {
            ("argocd", "crds"): an_application(name="crds", kinds=("CustomResourceDefinition",))
        }
        return await Inspector(kube, None, virtual.VirtualClock(), lambda: brings, the_proof(kube))(
            an_application(), MISSING
        )

    signs = virtual.run(inside())
    assert (signs.served, signs.providers) == ({"shop.example/Widget": False}, ("argocd/crds",))


def test_an_argo_cd_that_does_not_answer_is_named() -> None:
    signs = looked(an_application(health=Health.Degraded), API(Unavailable("no answer")))

    assert (signs.unwell, signs.missing) == ((), ("its resources: no answer",))


# How often


def a_store(clock: Any, *apps: Application) -> Store:
    store = Store(clock, lambda _: None, lambda _: False)
    store.use(the_policies())
    for app in apps:
        store.put(app)
    return store


def test_looks_are_few_and_the_fewer_the_longer_nothing_changes() -> None:
    async def inside() -> list[float]:
        clock, times = virtual.VirtualClock(), list[float]()
        began = clock.monotonic()

        async def look(app: Application, finding: Diagnosis | None) -> Observations:
            times.append(clock.monotonic() - began)
            return Observations(clock.now())

        store = a_store(
            clock, an_application(health=Health.Degraded), an_application(name="well", uid="well")
        )
        task = asyncio.create_task(InspectionQueue(store, look, clock, lambda _: None).run())
        await clock.sleep(1800)
        task.cancel()
        return times

    times = virtual.run(inside())
    gaps = [b - a for a, b in pairwise(times)]
    assert times[0] >= 4
    assert gaps[0] <= 20
    assert gaps[-1] >= 290
    assert len(times) < 15


def test_a_hundred_that_fall_ill_at_once_are_looked_at_three_a_second_at_most() -> None:
    async def inside() -> tuple[int, int]:
        clock, count = virtual.VirtualClock(), 0

        async def look(app: Application, finding: Diagnosis | None) -> Observations:
            nonlocal count
            count += 1
            return Observations(clock.now())

        store = a_store(
            clock,
            *(
                an_application(name=f"a{n}", uid=f"a{n}", health=Health.Degraded)
                for n in range(100)
            ),
        )
        task = asyncio.create_task(InspectionQueue(store, look, clock, lambda _: None).run())
        await clock.sleep(14)
        early = count
        await clock.sleep(60)
        task.cancel()
        return early, len(store.signs)

    early, seen = virtual.run(inside())
    assert early <= 36
    assert seen == 100, "and each has its turn"


def test_a_look_that_failed_takes_nothing_back() -> None:
    seen = Observations(
        NOW,
        (UnhealthyResource("Pod", "p", reason="ImagePullBackOff"),),
        {"a/B": False},
        ("argocd/crds",),
    )

    after = kept(seen, Observations(NOW, missing=("its resources: no answer",)))

    assert (after.unwell, after.served, after.providers) == (
        seen.unwell,
        seen.served,
        seen.providers,
    )
    assert kept(seen, Observations(NOW)).unwell == (), "what was looked at and is well, is well"


def test_what_is_well_again_is_forgotten() -> None:
    async def inside() -> int:
        clock = virtual.VirtualClock()

        async def look(app: Application, finding: Diagnosis | None) -> Observations:
            return Observations(clock.now())

        store = a_store(clock, an_application(health=Health.Degraded))
        task = asyncio.create_task(InspectionQueue(store, look, clock, lambda _: None).run())
        await clock.sleep(20)
        assert store.signs
        store.put(an_application(resource_version="11"))
        await clock.sleep(5)
        task.cancel()
        return len(store.signs)

    assert virtual.run(inside()) == 0


# Argo CD's settings and version


@pytest.mark.parametrize(
    ("data", "seconds", "source"),
    [
        ({"timeout.reconciliation": "10s", "timeout.reconciliation.jitter": "0s"}, 10, "argocd-cm"),
        ({"timeout.reconciliation": "300s"}, 360, "argocd-cm"),
        ({"timeout.reconciliation": "0s"}, 0, "argocd-cm"),
        ({}, 180, "Argo CD's defaults"),
        (None, 180, "Argo CD's defaults"),
        ({"timeout.reconciliation": "soon"}, 180, "Argo CD's defaults"),
    ],
)
def test_argo_cds_own_interval_is_read(
    data: dict[str, str] | None, seconds: int, source: str
) -> None:
    async def inside() -> ReconcileMonitor:
        clock = virtual.VirtualClock()
        kube = Cluster(clock)
        if data is not None:
            await kube.create(
                CONFIG_MAPS,
                "argocd",
                {
                    "metadata": {"name": "argocd-cm"},
                    "data": {**data, "oidc.config": "clientSecret: never read"},
                },
            )
        freezer = ReconcileMonitor(
            a_store(clock), kube, "argocd", clock, lambda: True, lambda _: None
        )
        task = asyncio.create_task(freezer.run())
        await clock.sleep(20)
        task.cancel()
        return freezer

    found = virtual.run(inside()).reconciling
    assert (found.interval.total_seconds(), found.source) == (seconds, source)


def test_frozen_applications_and_their_incident_are_looked_at_again() -> None:
    async def inside() -> tuple[list[str], int]:
        clock, heard = virtual.VirtualClock(), list[str]()
        store = a_store(clock, an_application(reconciled_at=clock.now()))
        freezer = ReconcileMonitor(
            store, Cluster(clock), "argocd", clock, lambda: True, lambda key: heard.append(str(key))
        )
        task = asyncio.create_task(freezer.run())
        await clock.sleep(900)
        frozen = len(store.frozen)
        store.put(an_application(reconciled_at=clock.now(), resource_version="12"))
        await clock.sleep(16)
        task.cancel()
        assert store.frozen == {}
        return heard, frozen

    heard, frozen = virtual.run(inside())
    assert frozen == 1
    assert heard == ["argocd/cart", "shard/argocd-application-controller"] * 2


def test_the_version_is_asked_for_until_it_is_known() -> None:
    async def inside() -> VersionPoller:
        clock = virtual.VirtualClock()
        dialects = VersionPoller(API(), clock)
        task = asyncio.create_task(dialects.run())
        await clock.sleep(1)
        task.cancel()
        return dialects

    assert str(virtual.run(inside()).now) == "2.14.3"
    assert str(VersionPoller(None, virtual.VirtualClock()).now) == "unknown"
