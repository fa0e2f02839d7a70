"""An embedded cluster with everything in it: API, Git, Argo CD, workloads. What scenarios and the
demo play on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec

from recovery.app import Looks
from recovery.clock import Clock
from recovery.kube.client import APPLICATIONS, CONFIG_MAPS, PROJECTS, RECOVERIES
from recovery.model.application import Application
from recovery.model.argocd_version import dialect_of
from recovery.model.connection import ProbeResult, ProbeSource, Verdict
from recovery.model.recovery import Recovery
from recovery.observe import wire
from recovery.observe.probes import connect
from recovery.record.codec import decode
from recovery.simulate.application_sets import ApplicationSets
from recovery.simulate.argocd import ArgoCD
from recovery.simulate.cluster import Cluster
from recovery.simulate.clusters import API, Destination, Destinations
from recovery.simulate.git import Git, Manifests
from recovery.simulate.workloads import Kubelet

ARGOCD, OURS, RUNS_IN = "argocd", "gitops-system", "shop"
POLICIES = "recovery-policies"


class EmbeddedEnvironment:
    """The verbs of a story. Names are of Applications in the namespace argocd."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.cluster = Cluster(clock)
        self.git = Git()
        self.destinations = Destinations(self.cluster, clock)
        self.argocd = ArgoCD(self.cluster, self.destinations, self.git, clock)
        self._sets = ApplicationSets(self.cluster, self.destinations, clock)
        self.api = API(self.cluster, self.destinations, self.git, clock)
        self._kubelet = Kubelet(self.cluster, clock)
        self.outside = False
        """A witness outside answers."""
        self._further: list[asyncio.Task[None]] = []

    def speaks(self, version: str) -> None:
        """Behave as this version of Argo CD does, where they differ."""
        dialect = dialect_of(version)
        self.api.speaks = version
        self.argocd.keeps_health = dialect.keeps_health
        self.cluster.unknown = (
            (("spec", "syncPolicy", "automated", "enabled"),) if dialect.drops_enabled else ()
        )

    @asynccontextmanager
    async def living(self) -> AsyncIterator[EmbeddedEnvironment]:
        """Argo CD and the workloads react while inside."""
        await self.project("default")
        tasks = [
            asyncio.create_task(self.argocd.run()),
            asyncio.create_task(self._kubelet.run()),
            asyncio.create_task(self._sets.run()),
        ]
        try:
            yield self
        finally:
            tasks += self._further
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    @property
    def looks(self) -> Looks:
        """How a controller looks at what is around it, without a network."""

        async def ask_git(url: str, now: datetime) -> ProbeResult:  # noqa: ARG001 (asked over HTTP in the real world only)
            return ProbeResult(ProbeSource.request, Verdict.no_evidence, now)

        async def witness(url: str) -> str:
            return f"{url} answered 204" if self.outside else ""

        return Looks(self.destinations, connect, ask_git, witness)

    async def further_cluster(self, name: str, labels: dict[str, str] | None = None) -> Destination:
        """Another cluster, known to Argo CD by a Secret; its workloads come to life as well."""
        found = await self.destinations.add(name, labels)
        self.argocd.manage(found)
        self._further.append(asyncio.create_task(Kubelet(found.cluster, self.clock).run()))
        return found

    async def policies(self, text: str) -> None:
        """Write the ConfigMap of policies, as a person would."""
        body = {"metadata": {"name": POLICIES}, "data": {"policies.yaml": text}}
        if self.cluster.find(CONFIG_MAPS, OURS, POLICIES) is None:
            await self.cluster.create(CONFIG_MAPS, OURS, body)
        else:
            await self.cluster.patch(CONFIG_MAPS, OURS, POLICIES, body)

    async def project(self, name: str, *namespaces: str) -> None:
        """An AppProject that permits these namespaces of every cluster, by default all; one that is
        there stays as it is."""
        if self.cluster.find(PROJECTS, ARGOCD, name) is None:
            places = [{"server": "*", "namespace": namespace} for namespace in namespaces or ("*",)]
            await self.cluster.create(
                PROJECTS, ARGOCD, {"metadata": {"name": name}, "spec": {"destinations": places}}
            )

    async def application(
        self,
        name: str,
        manifests: Manifests,
        *,
        auto_sync: bool = True,
        self_heal: bool = False,
        prune: bool = False,
        retry: int | None = None,
        project: str = "default",
        cluster: str = "",
        **more: Any,
    ) -> None:
        """Commit the manifests and create an Application for them, on a further cluster if one is
        named; ``more`` goes into its metadata."""
        await self.project(project)
        self.git.commit(url(name), manifests)
        automated: dict[str, Any] = (
            {"automated": {"prune": prune, "selfHeal": self_heal}} if auto_sync else {}
        )
        if retry is not None:
            automated["retry"] = {"limit": retry}
        spec = {
            "project": project,
            "source": {"repoURL": url(name), "path": ".", "targetRevision": "HEAD"},
            "destination": (
                {"name": cluster} if cluster else {"server": "https://kubernetes.default.svc"}
            )
            | {"namespace": RUNS_IN},
            "syncPolicy": automated,
        }
        await self.cluster.create(
            APPLICATIONS, ARGOCD, {"metadata": {"name": name, **more}, "spec": spec}
        )

    async def commit(self, name: str, manifests: Manifests) -> str:
        """A new revision, which Argo CD hears of by webhook; its hash."""
        sha = self.git.commit(url(name), manifests)
        await self.annotate(name, {"argocd.argoproj.io/refresh": "normal"})
        return sha

    async def install(self, kind: str) -> None:
        """Install the CRD of a custom kind."""
        self.argocd.installed.add(kind)
        self.cluster.served.setdefault("shop.example", set()).add(kind)

    async def annotate(self, name: str, annotations: dict[str, str | None]) -> None:
        """Set or remove annotations of an Application."""
        await self.cluster.patch(
            APPLICATIONS, ARGOCD, name, {"metadata": {"annotations": annotations}}
        )

    async def sync(self, name: str) -> None:
        """A person asks for a sync."""
        operation = {"initiatedBy": {"username": "admin"}, "sync": {}}
        await self.cluster.patch(
            APPLICATIONS, ARGOCD, name, {"operation": operation, "status": {"operationState": None}}
        )

    def seen(self, name: str) -> Application:
        """The Application as our own decoder reads it."""
        item = self.cluster.find(APPLICATIONS, ARGOCD, name)
        return wire.application(msgspec.json.encode(item))

    def raw(self, name: str) -> dict[str, Any]:
        """The Application as the API server stores it."""
        item = self.cluster.find(APPLICATIONS, ARGOCD, name)
        return item or {}

    def recoveries(self) -> list[Recovery]:
        """All recoveries in the cluster, oldest first."""
        found = [
            decode(msgspec.json.encode(item))
            for item in self.cluster.every(RECOVERIES)
            if item.get("status")
        ]
        return sorted(found, key=lambda r: r.opened_at)


def url(name: str) -> str:
    """Where an application's manifests are kept."""
    return f"https://git.example/{name}.git"
