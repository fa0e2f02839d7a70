"""Further clusters of the embedded world, the way to them, and Argo CD's API over all of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from recovery.act.workloads import RESOURCES, RESTARTED_AT, health
from recovery.argocd.api import ListedCluster, ListedRepository, Managed, State
from recovery.argocd.tree import HealthWords, Node
from recovery.clock import Clock
from recovery.kube.client import APPLICATIONS, PODS, SECRETS, Body, Resource
from recovery.kube.errors import Forbidden, Invalid, KubeError, NotFound, Unauthorized, Unavailable
from recovery.kube.remote import Known
from recovery.model.application import Application
from recovery.model.commit import Commit, described
from recovery.model.connection import IN_CLUSTER, IN_CLUSTER_SERVER
from recovery.model.names import PREFIX, TRACKING
from recovery.observe.resource_tree import of_pod
from recovery.record.codec import stamp
from recovery.simulate.cluster import KIND_OF_PLURAL, Cluster, Object
from recovery.simulate.git import Git, built

_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<ns>[^/]+))?/(?P<plural>[^/]+)/(?P<name>[^/]+)$"
)
_SERVED = {
    "apps/v1": ("deployments", "statefulsets", "daemonsets"),
    "v1": ("secrets", "configmaps"),
}


class Destination:
    """One further cluster: what is in it, and whether it answers."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.server = f"https://{name}.example:6443"
        self.secret = f"cluster-{name}"
        self.cluster = Cluster(clock)
        self.up = True
        self.accepts = True
        """It takes Argo CD's credentials."""
        self.namespaces = {"shop"}
        self.denied: set[str] = set()
        """Plurals that Argo CD's account may not create there."""
        self.unread = False
        """Argo CD was told to list it anew, and could not."""

    def refuse(self) -> None:
        """As it would answer just now; nothing when it would."""
        if not self.up:
            raise Unavailable(
                f'Get "{self.server}/api": dial tcp 10.0.0.1:6443: connect: connection refused'
            )
        if not self.accepts:
            raise Unauthorized("Unauthorized", 401)

    async def get(self, path: str) -> bytes:
        """GET a path, as Argo CD's account."""
        self.refuse()
        if path == "/readyz":
            return b"ok"
        if path == "/api/v1/namespaces/kube-system":
            return msgspec.json.encode(
                {"metadata": {"name": "kube-system", "uid": self.cluster.uid}}
            )
        if path.startswith("/api/v1/namespaces/") and path.count("/") == 4:
            if path.rpartition("/")[2] not in self.namespaces:
                raise NotFound(f'namespaces "{path.rpartition("/")[2]}" not found', 404)
            return b'{"metadata":{"name":"x"}}'
        group = path.removeprefix("/apis/").removeprefix("/api/")
        if group in _SERVED:
            rows = [
                {"name": plural, "kind": KIND_OF_PLURAL[plural], "namespaced": True}
                for plural in _SERVED[group]
            ]
            return msgspec.json.encode({"kind": "APIResourceList", "resources": rows})
        what, namespace, name = _parsed(path)
        return await self.cluster.get(what, namespace, name)

    async def create(self, path: str, body: Body) -> bytes:
        """A question about our rights; nothing else is ever created there directly."""
        self.refuse()
        if not path.endswith("/selfsubjectaccessreviews"):
            raise Forbidden(f"{path}: only rights are asked for here", 403)
        return msgspec.json.encode(
            {
                "status": {
                    "allowed": body["spec"]["resourceAttributes"]["resource"] not in self.denied
                }
            }
        )

    async def delete(self, path: str, body: Body) -> None:
        """DELETE a path, if it still is the object that was looked at."""
        self.refuse()
        what, namespace, name = _parsed(path)
        wanted = (body.get("preconditions") or {}).get("uid", "")
        found = self.cluster.find(what, namespace, name)
        if found is not None and wanted and found["metadata"]["uid"] != wanted:
            raise Invalid("the UID does not match", 409)
        await self.cluster.delete(what, namespace, name)


def _parsed(path: str) -> tuple[Resource, str, str]:
    found = _PATH.match(path)
    if found is None:
        raise NotFound(f"the server could not find the requested resource: {path}", 404)
    return (
        Resource(found["group"] or "", found["version"], found["plural"]),
        found["ns"] or "",
        found["name"],
    )


class Destinations:
    """All of them; also the ways to them (``known``, ``to``), by the cluster Secrets in the
    embedded cluster."""

    def __init__(self, home: Cluster, clock: Clock) -> None:
        self._home = home
        self._clock = clock
        self.all: dict[str, Destination] = {}
        """By name."""

    async def add(self, name: str, labels: dict[str, str] | None = None) -> Destination:
        """A cluster, and the Secret that tells Argo CD of it."""
        found = self.all[name] = Destination(name, self._clock)
        meta = {
            "name": found.secret,
            "labels": {"argocd.argoproj.io/secret-type": "cluster", **(labels or {})},
        }
        await self._home.create(SECRETS, "argocd", {"metadata": meta, "data": {}})
        return found

    def of(self, where: dict[str, Any]) -> Destination | None:
        """The one a ``spec.destination`` names; None for the cluster Argo CD runs in."""
        word = where.get("name") or where.get("server") or ""
        return next((d for d in self.all.values() if word in (d.name, d.server)), None)

    def labels(self, destination: Destination) -> dict[str, str]:
        """Labels of the cluster's Secret."""
        item = self._home.find(SECRETS, "argocd", destination.secret) or {"metadata": {}}
        return dict(item["metadata"].get("labels") or {})

    async def known(self) -> Sequence[Known]:
        """Secrets of all clusters that Argo CD knows."""
        return [
            Known(d.secret, d.server, d.name, self.labels(d), self._marks(d))
            for d in self.all.values()
        ]

    async def to(self, server: str) -> Destination | None:
        """The client of a cluster, which fails while it is down."""
        return next((d for d in self.all.values() if d.server == server), None)

    def forget(self) -> None:
        """Do nothing: no connection is kept here."""

    async def close(self) -> None:
        """Do nothing: no connection is open here."""

    def _marks(self, destination: Destination) -> dict[str, str]:
        item = self._home.find(SECRETS, "argocd", destination.secret) or {"metadata": {}}
        return {
            k: v
            for k, v in (item["metadata"].get("annotations") or {}).items()
            if k.startswith(PREFIX)
        }


class API:
    """Argo CD's API, as actions and the poller ask it (argocd/api.py is the real one)."""

    def __init__(
        self, cluster: Cluster, destinations: Destinations, git: Git, clock: Clock
    ) -> None:
        self._cluster = cluster
        self._destinations = destinations
        self._git = git
        self._clock = clock
        self.up = True
        self.speaks = "v3.2.11"
        """The version it says it is."""
        self.tests: list[str] = []
        """Repositories that were tested, in order."""

    def _answer(self) -> None:
        if not self.up:
            raise Unavailable("Argo CD's API: connection refused")

    async def alive(self) -> None:
        """Does the embedded Argo CD answer?"""
        self._answer()

    async def repositories(self) -> Sequence[ListedRepository]:
        """Those that are registered, with a state from an hour ago."""
        self._answer()
        return [
            ListedRepository(url, connection_state=State("Successful", "", "2026-03-02T11:00:00Z"))
            for url in self._git.registered
        ]

    async def clusters(self) -> Sequence[ListedCluster]:
        """All, called Successful until somebody has them listed anew: as the real one does (seen on
        3.2)."""
        self._answer()
        now = stamp(self._clock.now())
        listed = [
            {
                "server": IN_CLUSTER_SERVER,
                "name": IN_CLUSTER,
                "info": {"connectionState": {"status": "Successful", "attemptedAt": now}},
            }
        ]
        for each in self._destinations.all.values():
            state = {"status": "Failed" if each.unread else "Successful", "attemptedAt": now}
            listed.append(
                {
                    "server": each.server,
                    "name": each.name,
                    "labels": self._destinations.labels(each),
                    "info": {"connectionState": state},
                }
            )
        return [msgspec.convert(item, ListedCluster) for item in listed]

    async def test_repository(self, url: str, project: str, kind: str) -> None:  # noqa: ARG002 (the Protocol of actions)
        """Answer as one ls-remote would."""
        self._answer()
        self.tests.append(url)
        if trouble := self._git.trouble(url):
            error = Unavailable(f"Argo CD's API: 500 {trouble}", 500)
            error.told = trouble
            raise error

    async def live_read(self, app: Application) -> str:
        """Answer as a read of one live resource would."""
        self._answer()
        found = self._destinations.of(
            {"name": app.destination.name, "server": app.destination.server}
        )
        try:
            if found is not None:
                found.refuse()
        except KubeError as error:
            passed = Unavailable(f"Argo CD's API: 500 error getting resource: {error}", 500)
            passed.told = f"error getting resource: {error}"
            raise passed from error
        return "Deployment/x"

    async def invalidate(self, server: str) -> None:
        """Have the embedded Argo CD list the cluster anew."""
        self._answer()
        for each in self._destinations.all.values():
            if each.server == server:
                each.unread = not (each.up and each.accepts)

    async def managed(self, app: Application) -> Sequence[Managed]:
        """Resources that Git wants of it."""
        self._answer()
        item = self._cluster.find(APPLICATIONS, app.namespace, app.name)
        commit = self._git.head(item["spec"]["source"]["repoURL"]) if item else None
        found = []
        for manifest in commit.manifests if commit else ():
            group, _, version = manifest["apiVersion"].rpartition("/")
            namespace = str(item["spec"]["destination"].get("namespace", "")) if item else ""
            found.append(
                Managed(group, version, manifest["kind"], namespace, manifest["metadata"]["name"])
            )
        return found

    async def kinds(self, app: Application) -> frozenset[str]:
        """Kinds of what Git wants for an application."""
        return frozenset(each.kind for each in await self.managed(app))

    def _pods(self, app: Application) -> list[Object]:
        found = self._destinations.of(
            {"name": app.destination.name, "server": app.destination.server}
        )
        cluster, item = (
            (found.cluster if found else self._cluster),
            self._cluster.find(APPLICATIONS, app.namespace, app.name),
        )
        commit = self._git.head(item["spec"]["source"]["repoURL"]) if item else None
        names = {m["metadata"]["name"] for m in (commit.manifests if commit else ())}
        return [
            pod
            for pod in cluster.every(PODS)
            if (pod["metadata"].get("labels") or {}).get("owner") in names
        ]

    async def tree(self, app: Application) -> bytes:
        """Workloads and pods, with the health Argo CD gives them."""
        self._answer()
        nodes = []
        for pod in self._pods(app):
            words = of_pod(pod)
            health = (
                {"status": "Degraded", "message": words[-1].message}
                if words
                else {"status": "Healthy"}
            )
            nodes.append(
                {
                    "kind": "Pod",
                    "namespace": pod["metadata"]["namespace"],
                    "name": pod["metadata"]["name"],
                    "health": health,
                }
            )
        nodes += [
            {
                "group": "apps",
                "version": "v1",
                "kind": node.kind,
                "namespace": node.namespace,
                "name": node.name,
                "health": node.health,
            }
            for node in self._workloads(app)
        ]
        return msgspec.json.encode({"nodes": nodes})

    async def manifest(self, app: Application, node: Any) -> dict[str, Any]:
        """The live manifest of one pod or workload."""
        self._answer()
        if (what := RESOURCES.get(node.kind)) is not None:
            return self._there(app).find(what, node.namespace, node.name) or {}
        return next((pod for pod in self._pods(app) if pod["metadata"]["name"] == node.name), {})

    async def events(self, app: Application, node: Any) -> list[dict[str, Any]]:  # noqa: ARG002 (nothing is told here)
        """No Events: the embedded cluster has none."""
        self._answer()
        return []

    async def commit(self, app: Application, number: int, revision: str) -> Commit:
        """A commit that says which images it wants; NotFound for one that the repository does not
        have."""
        self._answer()
        found = self._git.at(app.repositories[number], revision)
        if found is None:
            raise NotFound(f"Argo CD's API: 404 {revision} not found", 404)
        pods = [
            ((m.get("spec") or {}).get("template") or {}).get("spec") or {} for m in found.manifests
        ]
        images = dict.fromkeys(
            str(c.get("image", "")).rpartition("/")[2]
            for pod in pods
            for c in pod.get("containers") or ()
        )
        return described(revision, "Dana Dev", f"Run {', '.join(images)}", None)

    async def version(self) -> str:
        """Version that it claims to be."""
        self._answer()
        return self.speaks

    async def rendered(
        self, app: Application, revisions: tuple[str, ...]
    ) -> tuple[dict[str, Any], ...]:
        """The manifests of a commit; an error where the repository cannot be read."""
        self._answer()
        item = self._cluster.find(APPLICATIONS, app.namespace, app.name)
        url = item["spec"]["source"]["repoURL"] if item else ""
        commit = self._git.at(url, revisions[0]) if revisions else None
        if (trouble := self._git.trouble(url)) or commit is None:
            error = Unavailable(f"Argo CD's API: 500 {trouble or 'revision not found'}", 500)
            error.told = trouble or "revision not found"
            raise error
        return tuple(built(commit, item["spec"]["source"] if item else {}))

    async def api_versions(self, server: str) -> frozenset[str]:
        """API versions that the embedded cluster serves."""
        self._answer()
        found = self._destinations.of({"server": server, "name": server})
        served = (found.cluster if found else self._cluster).served
        return frozenset(f"{group}/v1/{kind}" for group, kinds in served.items() for kind in kinds)

    async def unwell(self, app: Application, kinds: tuple[str, ...] = ()) -> Sequence[Node]:
        """Workloads that are Degraded or Progressing."""
        self._answer()
        ill = [node for node in self._workloads(app) if node.status in ("Degraded", "Progressing")]
        return [node for node in ill if not kinds or node.kind in kinds]

    async def restart(self, app: Application, workload: Any) -> None:
        """The resource action: the annotation that kubectl sets."""
        self._answer()
        template = {"metadata": {"annotations": {RESTARTED_AT: stamp(self._clock.now())}}}
        await self._there(app).patch(
            RESOURCES[workload.kind],
            workload.namespace,
            workload.name,
            {"spec": {"template": template}},
        )

    def _there(self, app: Application) -> Cluster:
        found = self._destinations.of(
            {"server": app.destination.server, "name": app.destination.name}
        )
        return found.cluster if found else self._cluster

    def _workloads(self, app: Application) -> list[Node]:
        """Workloads of its own that, by its tracking id, run, by its tracking id, runs in its
        cluster."""
        nodes = []
        for kind, what in RESOURCES.items():
            for item in self._there(app).every(what):
                meta = item["metadata"]
                said = str((meta.get("annotations") or {}).get(TRACKING, "")).partition(":")[0]
                if said in (app.name, f"{app.namespace}_{app.name}"):
                    words = HealthWords(health(kind, item).value)
                    nodes.append(
                        Node(
                            kind, "apps", "v1", meta["namespace"], meta["name"], meta["uid"], words
                        )
                    )
        return nodes


def tracked(app: Object, manifest: dict[str, Any]) -> str:
    """The tracking id Argo CD would write (util/argo/resource_tracking.go)."""
    group = manifest["apiVersion"].rpartition("/")[0]
    namespace = app["spec"]["destination"].get("namespace", "")
    name = manifest["metadata"]["name"]
    return f"{app['metadata']['name']}:{group}/{manifest['kind']}:{namespace}/{name}"
