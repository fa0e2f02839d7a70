"""What an action gets, and what it promises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from recovery.kube.client import APPLICATIONS, Client
from recovery.model.action import Traits
from recovery.model.application import Application
from recovery.model.decision import Outcome, Result
from recovery.model.policy import Step
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


class Named(Protocol):
    """Anything that names a workload."""

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
        """What it is called."""

    @property
    def version(self) -> str:
        """API version."""


class ArgoCD(Protocol):
    """What actions need of Argo CD's API."""

    async def degraded(self, app: Application, kinds: tuple[str, ...]) -> Sequence[Named]:
        """The workloads of these kinds that its resource tree calls Degraded."""

    async def restart(self, app: Application, workload: Any) -> None:
        """Run the resource action ``restart``."""


class Doors(Struct, frozen=True):
    """The only ways out. ``argocd`` is None when no token is configured."""

    kube: Client
    argocd: ArgoCD | None = None


class Order(Struct, frozen=True):
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
            raise ValueError("an order for a step that was not claimed")
        return record

    @property
    def token(self) -> str:
        """What marks our operation as this step's."""
        return self.recovery.token(self.record) if self.recovery else ""


Start = Callable[[Order, Doors], Awaitable[Outcome]]
"""Start the effect and return; the next observation is the result. Raises the doors' errors."""


class Action(Struct, frozen=True):
    """One kind of action: what the judgement knows of it, and how it is started."""

    traits: Traits
    start: Start


CHANGED = Outcome(Result.Conflict, "Changed", "the application changed since it was judged")


async def read(order: Order, doors: Doors) -> dict[str, Any] | None:
    """The application as it is now, whole; None when it is another one of the same name."""
    app = order.app
    raw = await doors.kube.get(APPLICATIONS, app.namespace, app.name)
    fresh: dict[str, Any] = msgspec.json.decode(raw, type=dict)
    return fresh if fresh["metadata"].get("uid") == app.uid else None


def unchanged(order: Order, fresh: dict[str, Any]) -> bool:
    """Is it still exactly what was judged and claimed?"""
    return bool(fresh["metadata"].get("resourceVersion") == order.record.claim.resource_version)
