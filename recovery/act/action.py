"""The request and the clients that an action gets, and the outcome it promises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from recovery.decide import remedies
from recovery.kube.client import APPLICATIONS, Body, Client, Resource
from recovery.kube.reading import decoded
from recovery.model.action import ActionKind
from recovery.model.application import Application
from recovery.model.argocd_version import ArgoCDFeatures
from recovery.model.cause import Remedy
from recovery.model.decision import Outcome, Result
from recovery.model.policy import Policy, Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.situation import Situation


class Workload(Struct, frozen=True, gc=False):
    """One Deployment, StatefulSet, DaemonSet or Rollout of an application."""

    group: str
    kind: str
    namespace: str
    name: str
    version: str = "v1"

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


class WorkloadRef(Protocol):
    """Anything that names a workload by kind, namespace and name."""

    @property
    def group(self) -> str:
        """API group, empty for the core one."""

    @property
    def kind(self) -> str:
        """Deployment, StatefulSet, DaemonSet or Rollout."""

    @property
    def namespace(self) -> str:
        """Where it is."""

    @property
    def name(self) -> str:
        """Metadata name."""

    @property
    def version(self) -> str:
        """API version."""

    @property
    def status(self) -> str:
        """Health status, in Argo CD's word."""


class ArgoCD(Protocol):
    """The part of it that actions need of Argo CD's API."""

    async def unwell(self, app: Application, kinds: tuple[str, ...] = ()) -> Sequence[WorkloadRef]:
        """Nodes of its resource tree that are Degraded or Progressing, of these kinds (of all, for
        none)."""

    async def manifest(self, app: Application, node: Any) -> dict[str, Any]:
        """One live resource of it, whole, read in its cluster now."""

    async def restart(self, app: Application, workload: Any) -> None:
        """Run the resource action ``restart`` of Argo CD on a workload; raises KubeError."""

    async def test_repository(self, url: str, project: str, kind: str) -> None:
        """One ls-remote by Argo CD, now."""

    async def invalidate(self, server: str) -> None:
        """Have Argo CD list this cluster's resources anew; raises KubeError."""

    async def managed(self, app: Application) -> Sequence[ManagedResource]:
        """Resources that the application wants in its cluster, from Argo CD's cache."""

    async def rendered(
        self, app: Application, revisions: tuple[str, ...]
    ) -> tuple[dict[str, Any], ...]:
        """Manifests of these revisions, rendered by Argo CD now."""

    async def kinds(self, app: Application) -> frozenset[str]:
        """Kinds of all that belongs to it, also what its resources made, from Argo CD's cache."""


class ManagedResource(Protocol):
    """One resource that an application wants."""

    @property
    def group(self) -> str:
        """API group, empty for the core one."""

    @property
    def version(self) -> str:
        """API version."""

    @property
    def kind(self) -> str:
        """Kind."""

    @property
    def namespace(self) -> str:
        """Where it is wanted; empty where it has none."""

    @property
    def name(self) -> str:
        """Metadata name."""

    @property
    def volumes(self) -> tuple[str, ...]:
        """Claims and host paths that it mounts."""


class ClusterClient(Protocol):
    """Requests to another cluster's API server; each raises KubeError."""

    async def get(self, path: str) -> bytes:
        """GET a path."""

    async def create(self, path: str, body: Body) -> bytes:
        """POST to a path."""

    async def delete(self, path: str, body: Body) -> None:
        """DELETE a path, with preconditions."""


class ClusterClients(Protocol):
    """The ways to other clusters, by the Secrets that we may read."""

    async def to(self, server: str) -> ClusterClient | None:
        """The way to a cluster by its server's URL; None when there is none."""

    def forget(self) -> None:
        """Read the Secrets again at the next occasion."""


class Owns(Protocol):
    """Reads what is proven to be an application's."""

    async def owned(
        self, app: Application, what: Resource, namespace: str, name: str
    ) -> tuple[dict[str, Any] | None, str]:
        """The live object, and why it is not proven to be the application's: one of both, or
        neither where nothing is there."""


class Clients(Struct, frozen=True):
    """The only ways out. ``argocd`` is None when no token is configured."""

    kube: Client
    ways: ClusterClients
    owns: Owns
    argocd: ArgoCD | None = None
    home: str = "argocd"
    """Argo CD's namespace."""
    dialect: Callable[[], ArgoCDFeatures] = ArgoCDFeatures
    """Which version of Argo CD it is, as far as it has said so."""


class ActionRequest(Struct, frozen=True):
    """One step to carry out: claimed, saved, and not yet done."""

    situation: Situation
    step: Step
    recovery: Recovery | None
    """None for what needs no claim (giving a hold back)."""

    @property
    def app(self) -> Application:
        """The subject as it was judged."""
        return self.situation.subject

    @property
    def record(self) -> StepRecord:
        """The claim."""
        record = self.recovery.running if self.recovery else None
        if record is None:
            raise ValueError("step has no claim")
        return record

    @property
    def token(self) -> str:
        """The mark of our operation as this step's."""
        return self.recovery.token(self.record) if self.recovery else ""


Start = Callable[[ActionRequest, Clients], Awaitable[Outcome]]
"""Start the effect and return; the next observation is the result. Raises the doors' errors."""


class Action(Struct, frozen=True):
    """One kind of action: what the judgement knows of it, and how it is started."""

    kind: ActionKind
    start: Start


CHANGED = Outcome(Result.Conflict, "Changed", "the application changed since it was judged")


async def read(order: ActionRequest, doors: Clients) -> dict[str, Any] | None:
    """The application as it is now, whole; None when it is another one of the same name."""
    return await read_app(order.app, doors)


async def read_app(app: Application, doors: Clients) -> dict[str, Any] | None:
    """Any application as it is now, whole; None when it is another one of the same name."""
    raw = await doors.kube.get(APPLICATIONS, app.namespace, app.name)
    fresh: dict[str, Any] = decoded(raw, dict)
    return fresh if fresh["metadata"].get("uid") == app.uid else None


def policy_of(order: ActionRequest) -> Policy | None:
    """The policy this order came from."""
    name = order.recovery.policy if order.recovery else ""
    return next((p for p in order.situation.policies.policies if p.name == name), None)


def way(order: ActionRequest) -> Remedy | None:
    """Which of the step's ways the cause leaves."""
    return remedies.chosen(order.situation, policy_of(order), order.step, order.recovery)


def unchanged(order: ActionRequest, fresh: dict[str, Any]) -> bool:
    """Is it still exactly what was judged and claimed?"""
    return bool(fresh["metadata"].get("resourceVersion") == order.record.claim.resource_version)
