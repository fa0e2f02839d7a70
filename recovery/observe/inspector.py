"""One closer look at an application that is ill: its tree, its pods, their events, and kinds that
are missing.

Through Argo CD's API where a token is configured, else in the cluster this controller runs in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from recovery.argocd.ownership import Ownership
from recovery.argocd.tree import nodes
from recovery.clock import Clock
from recovery.decide.ownership import NOT_OWNED
from recovery.kube.client import (
    APPLICATIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Client,
    Resource,
    group_path,
)
from recovery.kube.errors import KubeError, NotFound
from recovery.kube.reading import decoded
from recovery.model.application import Application, Health
from recovery.model.cause import Diagnosis, Observations, UnhealthyResource
from recovery.model.redact import redact
from recovery.model.text import plain
from recovery.observe import resource_tree

PODS_READ = 3
"""Pods of one application that are read whole."""
WORKLOADS_READ = 5
PROVIDERS_READ = 10
VERSIONS_READ = 5
"""Of one group of kinds."""
LISTED = 50
"""Pods, or ReplicaSets, of one workload that are asked for."""
ILL = (Health.Degraded, Health.Progressing, Health.Missing)
_KINDS = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS, "DaemonSet": DAEMON_SETS}


class ArgoCDReader(Protocol):
    """Requests to Argo CD's API that an inspection makes."""

    async def tree(self, app: Application) -> bytes:
        """The resource tree of an application; raises KubeError."""

    async def manifest(self, app: Application, node: Any) -> dict[str, Any]:
        """One live resource of it, whole."""

    async def events(self, app: Application, node: Any) -> list[dict[str, Any]]:
        """The Events about one resource of it."""

    async def version(self) -> str:
        """Version of this Argo CD; raises KubeError."""

    async def api_versions(self, server: str) -> frozenset[str]:
        """Kinds that a cluster serves, as ``group/version/Kind``."""


class Inspector:
    """Looks; KubeErrors become words on what is missing."""

    def __init__(
        self,
        kube: Client,
        api: ArgoCDReader | None,
        clock: Clock,
        applications: Callable[[], Mapping[tuple[str, str], Application]],
        owns: Ownership,
    ) -> None:
        self._owns = owns
        self._kube = kube
        self._api = api
        self._clock = clock
        self._applications = applications

    async def __call__(self, app: Application, finding: Diagnosis | None) -> Observations:
        """All there is to see now; its time is when the look began, for what was read then may have
        changed since."""
        begun = self._clock.now()
        missing: list[str] = []
        unwell: tuple[UnhealthyResource, ...] = ()
        if app.health in ILL or app.rollout_paused or app.operating:
            unwell = await self._unwell(app, missing)
        served: dict[str, bool] = {}
        providers: tuple[str, ...] = ()
        if finding is not None and finding.cause == "MissingCRD" and "/" in finding.about:
            there = await self._served(app, finding.about, missing)
            if there is not None:
                served[finding.about] = there
            if there is False:
                providers = await self._providers(app, finding.about)
        return Observations(begun, unwell, served, providers, tuple(missing))

    async def _unwell(self, app: Application, missing: list[str]) -> tuple[UnhealthyResource, ...]:
        try:
            if self._api is not None:
                return await self._through_argocd(self._api, app, missing)
            if app.destination.in_cluster:
                return await self._here(app, missing)
            missing.append(
                f"its resources: it runs on {app.destination.cluster}, and no Argo CD token is"
                " configured"
            )
        except (KubeError, msgspec.DecodeError, ValueError) as error:
            missing.append(f"its resources: {redact(str(error), 200)}")
        return ()

    async def _through_argocd(
        self, api: ArgoCDReader, app: Application, missing: list[str]
    ) -> tuple[UnhealthyResource, ...]:
        tree = nodes(await api.tree(app))
        ill = resource_tree.ill(tree)
        told: list[UnhealthyResource] = []
        pods = [node for node in ill if node.kind == "Pod"][:PODS_READ]
        for node in pods:
            try:
                told += resource_tree.of_pod(await api.manifest(app, node))
            except KubeError as error:
                missing.append(f"Pod/{node.name}: {redact(str(error), 200)}")
        # An event tells in full what a pod only says in short; without a pod, why there is none.
        for node in (
            *pods[:1],
            *(
                n
                for n in ill
                if n.kind in ("ReplicaSet", "StatefulSet", "DaemonSet", "PersistentVolumeClaim")
            ),
        )[:2]:
            try:
                told += resource_tree.of_events(await api.events(app, node))
            except KubeError as error:
                missing.append(f"events of {node.kind}/{node.name}: {redact(str(error), 200)}")
        return tuple(dict.fromkeys((*told, *resource_tree.unwell(tree))))[
            : resource_tree.MAX_UNHEALTHY
        ]

    async def _here(self, app: Application, missing: list[str]) -> tuple[UnhealthyResource, ...]:
        item: dict[str, Any] = decoded(
            await self._kube.get(APPLICATIONS, app.namespace, app.name), dict
        )
        listed = (item.get("status") or {}).get("resources") or ()
        rows = [r for r in listed if isinstance(r, dict) and r.get("kind") in _KINDS]
        told: list[UnhealthyResource] = []
        read = 0
        for row in rows[:WORKLOADS_READ]:
            kind, namespace, name = (
                str(row["kind"]),
                str(row.get("namespace", "")),
                str(row.get("name", "")),
            )
            # The list is its owner's text: what another application or nobody deployed is neither
            # read further nor quoted.
            found, why = await self._owns.owned(app, _KINDS[kind], namespace, name)
            if why:
                missing.append(plain(f"{kind}/{name}: {NOT_OWNED}: {why}", 300))
            if found is None:
                continue
            told += resource_tree.of_workload(kind, found)
            if _ready(kind, found) or read >= PODS_READ:
                continue
            for pod in await self._pods(kind, found, namespace):
                if read < PODS_READ and (words := resource_tree.of_pod(pod)):
                    told += words
                    read += 1
        return tuple(sorted(dict.fromkeys(told), key=lambda u: u.kind != "Pod"))[
            : resource_tree.MAX_UNHEALTHY
        ]

    async def _pods(
        self, kind: str, workload: dict[str, Any], namespace: str
    ) -> list[dict[str, Any]]:
        """The pods of a workload: those that name it, or a ReplicaSet of it, as their controller,
        by UID. Labels prove nothing."""
        labels = ((workload.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        if not labels:
            return []
        owners = {str((workload.get("metadata") or {}).get("uid", ""))}
        if kind == "Deployment":
            owners = {
                str((item.get("metadata") or {}).get("uid", ""))
                for item in await self._labelled(REPLICA_SETS, namespace, labels)
                if controlled_by(item, owners)
            }
        return [
            item
            for item in await self._labelled(PODS, namespace, labels)
            if controlled_by(item, owners)
        ]

    async def _labelled(
        self, what: Resource, namespace: str, labels: dict[str, str]
    ) -> list[dict[str, Any]]:
        selector = ",".join(f"{k}={v}" for k, v in labels.items())
        body = decoded(
            await self._kube.list(what, namespace, labelSelector=selector, limit=str(LISTED)), dict
        )
        return [item for item in body.get("items") or () if isinstance(item, dict)]

    async def _served(self, app: Application, kind: str, missing: list[str]) -> bool | None:
        """Does its cluster serve this kind (``group/Kind`` or ``group/version/Kind``)? None when
        nobody knows."""
        group, _, rest = kind.partition("/")
        version, _, name = rest.rpartition("/")
        try:
            if app.destination.in_cluster:
                return name in await self._kinds_here(group, version)
            if self._api is not None:
                known = await self._api.api_versions(app.destination.server or app.destination.name)
                return any(
                    k.startswith(f"{group}/")
                    and k.endswith(f"/{name}")
                    and (not version or f"/{version}/" in k)
                    for k in known
                )
            missing.append(
                f"whether {app.destination.cluster} serves {kind}: no Argo CD token is configured"
            )
        except (KubeError, msgspec.DecodeError, ValueError) as error:
            missing.append(
                f"whether {app.destination.cluster} serves {kind}: {redact(str(error), 200)}"
            )
        return None

    async def _kinds_here(self, group: str, version: str) -> set[str]:
        try:
            versions = [version]
            if not version:
                found = decoded(await self._kube.raw(group_path(group)), dict)
                versions = [
                    str(v.get("version", "")) for v in (found.get("versions") or ())[:VERSIONS_READ]
                ]
            kinds: set[str] = set()
            for each in versions:
                served = decoded(await self._kube.raw(group_path(group, each)), dict)
                kinds |= {str(r.get("kind", "")) for r in served.get("resources") or ()}
        except NotFound:
            return set()
        return kinds

    async def _providers(self, app: Application, kind: str) -> tuple[str, ...]:
        """Applications that bring a CRD of this group, those of the same project first; others are
        not named to its owner."""
        group = kind.partition("/")[0]
        fleet = self._applications()
        holders = sorted(
            (each.project != app.project, name)
            for name, each in fleet.items()
            if "CustomResourceDefinition" in each.kinds
        )
        found = []
        for foreign, (namespace, name) in holders[:PROVIDERS_READ]:
            try:
                item = decoded(await self._kube.get(APPLICATIONS, namespace, name), dict)
            except KubeError:
                continue
            rows = (item.get("status") or {}).get("resources") or ()
            if any(
                isinstance(r, dict)
                and r.get("kind") == "CustomResourceDefinition"
                and str(r.get("name", "")).endswith(f".{group}")
                for r in rows
            ):
                found.append("of another project" if foreign else f"{namespace}/{name}")
        return tuple(dict.fromkeys(found))


def controlled_by(item: dict[str, Any], uids: set[str]) -> bool:
    """Does its controller reference name one of these UIDs?"""
    references = (item.get("metadata") or {}).get("ownerReferences") or ()
    return any(r.get("controller") and r.get("uid") and str(r["uid"]) in uids for r in references)


def _ready(kind: str, found: dict[str, Any]) -> bool:
    spec, status = found.get("spec") or {}, found.get("status") or {}
    if kind == "DaemonSet":
        return int(status.get("numberReady", 0)) >= int(status.get("desiredNumberScheduled", 0))
    wanted, there, ready = (
        int(spec.get("replicas", 1)),
        int(status.get("replicas", 0)),
        int(status.get("readyReplicas", 0)),
    )
    # The old pods of a rollout stay ready for as long as the new ones do not come up.
    updated = int(status.get("updatedReplicas", wanted if kind == "StatefulSet" else 0))
    return updated >= wanted and ready >= wanted >= there
