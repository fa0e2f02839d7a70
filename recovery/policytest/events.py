"""Events of a test: one class an event, whose fields are what may be written. ``app`` is a
name or a glob: then it happens to all of them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Protocol

from msgspec import Meta, Struct, field

from recovery.model.application import Health, Phase, Sync
from recovery.model.duration import Duration
from recovery.model.selector import Selector
from recovery.simulate.pods import TAGS

Image = Annotated[str, Meta(pattern=rf"^({'|'.join(TAGS)}|v[0-9][0-9.]*|ready-[a-z0-9-]+)$")]


class Stage(Protocol):
    """Where an event happens; ``stage.PolicyStage`` is one."""

    async def commit(self, app: str, image: str, manifests: tuple[dict[str, Any], ...]) -> None: ...
    async def set_status(self, app: str, status: dict[str, Any]) -> None: ...
    async def follow(self, app: str) -> None: ...
    async def sync(self, app: str) -> None: ...
    async def auto_sync(self, app: str, *, on: bool) -> None: ...
    async def annotate(self, app: str, annotations: Mapping[str, str | None]) -> None: ...
    async def delete(self, app: str) -> None: ...
    async def pause(self, selector: Selector, lasting: Duration | None, reason: str) -> None: ...
    async def ask(self, app: str, *requests: str) -> None: ...
    async def credentials(self, app: str, *, accepted: bool) -> None: ...
    async def git(self, *, up: bool) -> None: ...
    async def cluster(self, name: str, now: ClusterState) -> None: ...
    async def argocd(self, *, up: bool) -> None: ...
    async def controller(self, now: ProcessState) -> None: ...
    async def witness(self, *, answers: bool) -> None: ...
    async def install(self, kind: str) -> None: ...
    async def policies(self, path: str) -> None: ...


class UpDown(Enum):
    """Whether something runs."""

    stops = "stops"
    starts = "starts"


class ProcessState(Enum):
    """Change of the controller's process: SIGTERM, kill -9, or a start."""

    stops = "stops"
    dies = "dies"
    starts = "starts"


class CredentialState(Enum):
    """Whether a Git server accepts Argo CD's credentials."""

    refuses = "refuses"
    accepts = "accepts"


class ClusterState(Enum):
    """Change of a cluster, or of Argo CD's credentials for it."""

    dies = "dies"
    returns = "returns"
    refuses = "refuses"
    accepts = "accepts"


class Answers(Enum):
    """Whether the witness outside (RECOVERY_WITNESS) answers."""

    answers = "answers"
    silent = "silent"


class Commit(Struct, frozen=True, forbid_unknown_fields=True):
    """A new revision in Git; Argo CD hears of it at once."""

    app: str
    image: Image = ""
    """How its pods behave; one of the images of a test."""
    manifests: tuple[dict[str, Any], ...] = ()
    """Instead of an image: what the repository holds from now on."""

    async def happen(self, stage: Stage) -> None:
        await stage.commit(self.app, self.image, self.manifests)


class ConditionText(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of ``status.conditions``."""

    type: str
    message: str = ""


class OperationText(Struct, frozen=True, forbid_unknown_fields=True):
    """``status.operationState``, as far as it matters."""

    phase: Phase
    message: str = ""


class SetStatus(Struct, frozen=True, forbid_unknown_fields=True):
    """The Application's status as people have seen it. Argo CD leaves it alone from then on, until
    ``follow``."""

    app: str
    sync: Sync | None = None
    health: Health | None = None
    conditions: tuple[ConditionText, ...] = ()
    operation: OperationText | None = None
    resources: tuple[dict[str, Any], ...] = ()

    async def happen(self, stage: Stage) -> None:
        status: dict[str, Any] = {}
        if self.sync:
            status["sync"] = {"status": self.sync.value}
        if self.health:
            status["health"] = {"status": self.health.value}
        if self.conditions:
            status["conditions"] = [{"type": c.type, "message": c.message} for c in self.conditions]
        if self.operation:
            status["operationState"] = {
                "phase": self.operation.phase.value,
                "message": self.operation.message,
                "operation": {},
            }
        if self.resources:
            status["resources"] = list(self.resources)
        await stage.set_status(self.app, status)


class OfApplication(Struct, frozen=True, forbid_unknown_fields=True):
    """An event that only says which application."""

    app: str


class Follow(OfApplication, frozen=True, forbid_unknown_fields=True):
    """Argo CD compares it again, after ``set``."""

    async def happen(self, stage: Stage) -> None:
        await stage.follow(self.app)


class PersonSyncs(OfApplication, frozen=True, forbid_unknown_fields=True):
    """A person syncs it."""

    async def happen(self, stage: Stage) -> None:
        await stage.sync(self.app)


class Enable(OfApplication, frozen=True, forbid_unknown_fields=True):
    """A person switches auto-sync on."""

    async def happen(self, stage: Stage) -> None:
        await stage.auto_sync(self.app, on=True)


class Disable(OfApplication, frozen=True, forbid_unknown_fields=True):
    """A person switches auto-sync off."""

    async def happen(self, stage: Stage) -> None:
        await stage.auto_sync(self.app, on=False)


class Delete(OfApplication, frozen=True, forbid_unknown_fields=True):
    """The Application is deleted."""

    async def happen(self, stage: Stage) -> None:
        await stage.delete(self.app)


class Annotate(OfApplication, frozen=True, forbid_unknown_fields=True):
    """Annotations are set; an empty text takes one away."""

    annotations: dict[str, str]

    async def happen(self, stage: Stage) -> None:
        await stage.annotate(self.app, {k: v or None for k, v in self.annotations.items()})


class PausedBy(Struct, frozen=True, forbid_unknown_fields=True):
    """`recovery pause`, of an application, a project or everything."""

    app: str = ""
    project: str = ""
    lasting: Duration | None = field(default=None, name="for")
    reason: str = "a test"

    async def happen(self, stage: Stage) -> None:
        selector = Selector(
            projects=(self.project,) if self.project else (),
            names=(self.app,) if self.app else (),
        )
        await stage.pause(selector, self.lasting, self.reason)


class Approve(Struct, frozen=True, forbid_unknown_fields=True):
    """`recovery approve`: what waits for a person may go."""

    app: str = ""
    cluster: str = ""
    repository: str = ""

    async def happen(self, stage: Stage) -> None:
        await stage.ask(self.app or self.cluster or self.repository, "approve")


class Reset(Approve, frozen=True, forbid_unknown_fields=True):
    """`recovery reset`: a stalled recovery starts again."""

    async def happen(self, stage: Stage) -> None:
        await stage.ask(self.app or self.cluster or self.repository, "reset")


class Failback(Struct, frozen=True, forbid_unknown_fields=True):
    """`recovery failback`, with --stay and --cleanup."""

    cluster: str
    stay: bool = False
    cleanup: bool = False

    async def happen(self, stage: Stage) -> None:
        requests = ("stay" if self.stay else "failback", *(("cleanup",) if self.cleanup else ()))
        await stage.ask(self.cluster, *requests)


class ClusterEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """A further cluster dies or returns; or its credentials are refused or accepted."""

    name: str
    now: ClusterState

    async def happen(self, stage: Stage) -> None:
        await stage.cluster(self.name, self.now)


class Git(Struct, frozen=True, forbid_unknown_fields=True):
    """The Git server."""

    now: UpDown

    async def happen(self, stage: Stage) -> None:
        await stage.git(up=self.now is UpDown.starts)


class RepositoryEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """The Git server refuses or accepts Argo CD's credentials for an application's repository."""

    app: str
    now: CredentialState

    async def happen(self, stage: Stage) -> None:
        await stage.credentials(self.app, accepted=self.now is CredentialState.accepts)


class ArgoCD(Struct, frozen=True, forbid_unknown_fields=True):
    """Argo CD's application controller."""

    now: UpDown

    async def happen(self, stage: Stage) -> None:
        await stage.argocd(up=self.now is UpDown.starts)


class Controller(Struct, frozen=True, forbid_unknown_fields=True):
    """The recovery controller itself."""

    now: ProcessState

    async def happen(self, stage: Stage) -> None:
        await stage.controller(self.now)


class Witness(Struct, frozen=True, forbid_unknown_fields=True):
    """The witness outside."""

    now: Answers

    async def happen(self, stage: Stage) -> None:
        await stage.witness(answers=self.now is Answers.answers)


class Install(Struct, frozen=True, forbid_unknown_fields=True):
    """The CRD of a kind of the group shop.example is installed."""

    kind: str

    async def happen(self, stage: Stage) -> None:
        await stage.install(self.kind)


class NewPolicies(Struct, frozen=True, forbid_unknown_fields=True):
    """The ConfigMap gets another policy file, which lies beside the test file."""

    file: str

    async def happen(self, stage: Stage) -> None:
        await stage.policies(self.file)


class Event(Protocol):
    """Something that happens."""

    async def happen(self, stage: Stage) -> None:
        """Make it happen."""


EVENT_TYPES: Mapping[str, type[Any]] = {
    "commit": Commit,
    "set": SetStatus,
    "follow": Follow,
    "sync": PersonSyncs,
    "enable_auto_sync": Enable,
    "disable_auto_sync": Disable,
    "delete": Delete,
    "annotate": Annotate,
    "pause": PausedBy,
    "approve": Approve,
    "reset": Reset,
    "failback": Failback,
    "cluster": ClusterEvent,
    "repository": RepositoryEvent,
    "git": Git,
    "argocd": ArgoCD,
    "controller": Controller,
    "witness": Witness,
    "install": Install,
    "policies": NewPolicies,
}
"""Each event by the key that a test file writes."""
