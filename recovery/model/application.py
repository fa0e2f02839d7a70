"""The fields kept of an Argo CD Application: about 1 KB of its 20 to 50."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from msgspec import Struct

from recovery.model.cause import UnhealthyResource
from recovery.model.connection import IN_CLUSTER, IN_CLUSTER_SERVER
from recovery.model.move import Place
from recovery.model.names import SubjectKey

UNCHANGED, OPAQUE = "unchanged", ("serverside-applied", "replaced")
"""How a row of a sync's result ends when applying it changed nothing, and when it cannot be told
(kubectl's words; seen on 3.2; with Replace=true everything is replaced)."""


def named(revisions: tuple[str, ...]) -> str:
    """One name for what was deployed: the revision, or all of a multi-source application's."""
    return ",".join(revisions)


def short(revisions: tuple[str, ...]) -> str:
    """The same for people: commit hashes cut to seven characters."""
    return ",".join(r[:7] if len(r) == 40 else r for r in revisions) or "an unknown revision"


class Lenient(Enum):
    """An enum of Argo CD's words in which a word we do not know reads as ``Unknown``."""

    @classmethod
    def _missing_(cls, value: object) -> Lenient:  # noqa: ARG003 (the enum protocol)
        return cls["Unknown"]


class Sync(Lenient):
    """``status.sync.status``: is the live state the desired one?"""

    Synced = "Synced"
    OutOfSync = "OutOfSync"
    Unknown = "Unknown"


class Health(Lenient):
    """Health of an application (``status.health.status``)."""

    Healthy = "Healthy"
    Progressing = "Progressing"
    Degraded = "Degraded"
    Suspended = "Suspended"
    Missing = "Missing"
    Unknown = "Unknown"


class Phase(Lenient):
    """Phase of an operation (``status.operationState.phase``)."""

    Running = "Running"
    Terminating = "Terminating"
    Failed = "Failed"
    Error = "Error"
    Succeeded = "Succeeded"
    Unknown = "Unknown"

    @property
    def over(self) -> bool:
        """Argo CD will not touch this operation again (gitops-engine
        pkg/sync/common/types.go:Completed)."""
        return self in (Phase.Succeeded, Phase.Failed, Phase.Error)


class Condition(Struct, frozen=True, gc=False):
    """One of ``status.conditions``; the message has 16 KiB at most, of all of them together, and is
    free of credentials."""

    type: str
    message: str
    since: datetime | None = None


class Operation(Struct, frozen=True, gc=False):
    """The last operation's state, and whose it was."""

    phase: Phase
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    revisions: tuple[str, ...] = ()
    """What it synced to: one, or one for each source."""
    automated: bool = False
    username: str = ""
    recovery: str = ""
    """The recovery that wrote it (``operation.info``), empty when it is not ours."""
    progress: int = 0
    """Changes whenever a resource's result does; means nothing else."""
    failures: tuple[str, ...] = ()
    """What of it could not be applied, as ``Kind/name: message``: at most 5, each of 2,000
    characters at most."""
    ran_failed: tuple[str, ...] = ()
    """What of it was applied and then failed: hooks, Jobs of a wave, resources that became
    Degraded; as ``failures``."""
    partial: bool = False
    """It syncs some resources only, as a self-heal does, or is a dry run: its result is not a
    deploy's."""
    source: int = 0
    """A checksum over the sources it was made from; 0 where nothing says it."""
    changed: frozenset[str] | None = None
    """What it changed or brought, as ``group/kind/namespace/name``; None where that was not looked
    at or cannot be told."""
    ran: tuple[str, ...] = ()
    """What ran with it that going back does not undo, such as ``hook Job/migrate``; at most 5."""
    hooks: tuple[str, ...] = ()
    """Its hooks, at most 5: ``PreSync Job/migrate Failed``."""
    heals: int = 0
    """How many self-heals in a row this was (``autoHealAttemptsCount``)."""

    @property
    def failed(self) -> tuple[str, ...]:
        """All that failed, whether it could not be applied or came to nothing afterwards."""
        return (*self.failures, *self.ran_failed)

    @property
    def retrying(self) -> bool:
        """Running with finishedAt set means that Argo CD waits for its own retry
        (controller/appcontroller.go)."""
        return self.phase is Phase.Running and self.finished_at is not None


class Requested(Struct, frozen=True, gc=False):
    """``.operation``: asked for, not yet taken up or not yet cleared."""

    recovery: str = ""
    username: str = ""
    automated: bool = False


def alike(one: int, other: int) -> bool:
    """Are two checksums over sources equal, as far as both are known?"""
    return not one or not other or one == other


class Deploy(Struct, frozen=True, gc=False):
    """The newest entry of ``status.history``: revisions, source and time."""

    id: int
    revisions: tuple[str, ...]
    at: datetime | None = None
    began: datetime | None = None
    """When its sync started; it may fall ill before that is over."""
    since: datetime | None = None
    """When the same revisions, from the same sources, were first deployed, where several deploys of
    them follow one another."""


class Destination(Struct, frozen=True, gc=False):
    """Where the application runs; name and server are mutually exclusive in the spec."""

    server: str = ""
    name: str = ""
    namespace: str = ""

    @property
    def cluster(self) -> str:
        """The word people know the cluster by."""
        return IN_CLUSTER if self.in_cluster else self.name or self.server

    @property
    def in_cluster(self) -> bool:
        """The cluster Argo CD itself runs in."""
        return self.name == IN_CLUSTER or self.server == IN_CLUSTER_SERVER

    @property
    def place(self) -> Place:
        """The cluster, as it is written in the spec."""
        return Place(self.server, self.name)


class Hold(Struct, frozen=True, rename="camel"):
    """State owed to an application back, as kept in its annotation ``recovery.gitops.dev/hold``."""

    recovery: str
    uid: str
    bad: tuple[str, ...] = ()
    """Of a rollback: revisions named bad; OutOfSync at one of them is expected."""
    suspended: bool = False
    """We switched auto-sync off and owe it back."""
    had_enabled: bool | None = None
    """The previous ``automated.enabled``; None when the field was absent."""
    automated: dict[str, bool] | None = None
    """The whole previous ``automated``, where it had to be taken out (Argo CD before 3.1)."""
    sticky: bool = False
    """Given back once already and the next revision was bad too: only a person ends this one."""
    since: datetime | None = None
    origin: Place | None = None
    """Of a failover: the cluster it came from; the destination is owed back."""
    target: Place | None = None
    """Of a failover: where it was moved to."""
    release: str = ""
    """Of a rollback: what ends it: ``own_change`` (also where an older version wrote none),
    ``revision`` or ``manual``."""
    source: int = 0
    """Of a rollback: the checksum over the sources that were wanted then. At the same revision,
    others are another deploy."""

    def names(self, app: Application) -> bool:
        """Is what is wanted now what was called bad: the revision, with the same sources?"""
        return self.called_bad(app.revisions, app.source)

    def called_bad(self, revisions: tuple[str, ...], source: int) -> bool:
        """Is it this deploy: of these revisions, from sources of this checksum?"""
        return named(revisions) in self.bad and alike(source, self.source)


class Application(Struct, frozen=True, gc=False):
    """One Application as last seen. Times are UTC; absent or absurd fields read as None, empty or
    Unknown."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    project: str = ""
    labels: dict[str, str] | None = None
    marks: dict[str, str] | None = None
    """Annotations under recovery.gitops.dev/ and the few of Argo CD's that bind us, with their full
    keys."""
    deleting: bool = False
    deleting_since: datetime | None = None
    """``metadata.deletionTimestamp``."""
    finalizers: tuple[str, ...] = ()
    """What has to be done before it is gone, where it is being deleted; at most 5."""
    application_set: str = ""
    """The ApplicationSet that an owner reference names, if any; whether it is the one of this UID
    has to be looked up."""
    application_set_uid: str = ""
    skipped: bool = False
    """Annotated argocd.argoproj.io/skip-reconcile: Argo CD writes nothing into its status, so that
    it is the text of anybody and reads as empty here
    (controller/appcontroller.go:processAppRefreshQueueItem)."""
    parent: str = ""
    """The app-of-apps parent by tracking id, as ``namespace/name``."""
    children: frozenset[str] = frozenset()
    """Applications among its resources, as ``namespace/name``, at most 2,000: it says itself whose
    parent it is."""
    destination: Destination = Destination()
    repositories: tuple[str, ...] = ()
    charts: tuple[str, ...] = ()
    """Those of them that are Helm repositories."""
    auto_sync: bool = False
    auto_prune: bool = False
    self_heal: bool = False
    automated: dict[str, bool] | None = None
    """``spec.syncPolicy.automated`` as it is written; None where it is not."""
    sync: Sync = Sync.Unknown
    revisions: tuple[str, ...] = ()
    """``status.sync``: what Git wants now, one revision for each source."""
    health: Health = Health.Unknown
    health_since: datetime | None = None
    health_message: str = ""
    """Which resources make it so (3.6: controller/health.go:formatHealthCauses)."""
    unwell: tuple[UnhealthyResource, ...] = ()
    """Resources that are not well, at most 5, where the Application itself says so (2.14, or health
    persisted)."""
    conditions: tuple[Condition, ...] = ()
    requested: Requested | None = None
    operation: Operation | None = None
    deploy: Deploy | None = None
    history: tuple[int, ...] = ()
    """The ids that are still in ``status.history``, oldest first."""
    deploys: bytes = b""
    """Of each of them, in four bytes: a checksum over its id, its revisions and its sources."""
    sources: bytes = b""
    """Of each of them, in four bytes: a checksum over its sources alone (path, chart, parameters,
    images); 0 where nothing says it."""
    source: int = 0
    """The same of what is wanted now (``status.sync.comparedTo``)."""
    resources: int = 0
    unsynced: tuple[str, ...] = ()
    """``Kind/name`` of resources that differ from Git, at most 5."""
    unsynced_count: int = 0
    prunable: int = 0
    """How many of those are no longer in Git."""
    images: tuple[str, ...] = ()
    """What it runs (``status.summary.images``), at most 3: a hint for people, and memory for each
    of a fleet."""
    kinds: tuple[str, ...] = ()
    """Kinds of its resources, each once; empty as soon as Argo CD cannot read its cluster."""
    control_plane: bool = False
    """It deploys Argo CD or this controller."""
    reconciled_at: datetime | None = None
    hold: Hold | None = None
    """What we owe it: by its record, wherever a record is known; else as its annotation says."""
    noted: Hold | None = None
    """What its annotation says."""
    unreadable: str = ""
    """Why its hold annotation is not honoured (it cannot be read, or no record says the same); it
    is then treated as held by a person."""

    @property
    def key(self) -> SubjectKey:
        """Key by which the queue, the store and people call it."""
        return SubjectKey("application", self.namespace, self.name)

    @property
    def operating(self) -> bool:
        """An operation is asked for or under way; auto-sync and everyone else has to wait."""
        return self.requested is not None or (
            self.operation is not None and not self.operation.phase.over
        )

    @property
    def errors(self) -> tuple[Condition, ...]:
        """Conditions by which Argo CD says that it failed: their types end in ``Error``."""
        return tuple(c for c in self.conditions if c.type.endswith("Error"))

    @property
    def rollout_paused(self) -> bool:
        """Suspended, and a Rollout of it may be why: at a step of its own, or because an analysis
        could not tell, which requires manual intervention."""
        return self.health is Health.Suspended and "Rollout" in self.kinds

    @property
    def deployed(self) -> tuple[str, ...]:
        """Revisions that are (at least partly) in the cluster: the last operation's revisions if it
        came after the last deploy."""
        if self._failed_after_deploy() and self.operation:
            return self.operation.revisions
        return self.deploy.revisions if self.deploy else ()

    @property
    def deployed_at(self) -> datetime | None:
        """When what is in the cluster began to be applied."""
        if self._failed_after_deploy() and self.operation:
            return self.operation.started_at
        return (self.deploy.since or self.deploy.began or self.deploy.at) if self.deploy else None

    @property
    def deployed_source(self) -> int:
        """The checksum over the sources of what is deployed; 0 where nothing says it."""
        return (
            self.operation.source
            if self._failed_after_deploy() and self.operation
            else int.from_bytes(self.sources[-4:], "big")
        )

    def source_of(self, number: int) -> int:
        """The checksum over the sources of a deploy in the history; 0 where nothing says it."""
        places = (place for place, each in enumerate(self.history) if each == number)
        return next(
            (int.from_bytes(self.sources[4 * place : 4 * place + 4], "big") for place in places), 0
        )

    def renderable(self, number: int) -> bool:
        """Does Argo CD's API render a deploy of the history as it was? It takes the revision from
        the question, and path, chart, parameters and images from the spec as it is today
        (server/application/application.go:GetManifests)."""
        return alike(self.source_of(number), self.source)

    def _failed_after_deploy(self) -> bool:
        # A sync that did not succeed is not in the history, yet may have changed the cluster; a dry
        # run changes nothing, and a sync of some resources deploys no revision.
        operation, deploy = self.operation, self.deploy
        if (
            operation is None
            or operation.phase is Phase.Succeeded
            or operation.partial
            or not operation.revisions
        ):
            return False
        if deploy is None or operation.revisions != deploy.revisions:
            return True
        return not alike(operation.source, int.from_bytes(self.sources[-4:], "big"))

    def has_deploy(self, number: int, checksum: int) -> bool:
        """Is this very deploy still in the history? A checksum of 0 was noted by an older version
        and is not asked for."""
        for place, each in enumerate(self.history):
            if each == number:
                return (
                    not checksum
                    or int.from_bytes(self.deploys[4 * place : 4 * place + 4], "big") == checksum
                )
        return False

    @property
    def checksum(self) -> int:
        """Of the newest deploy; 0 where there is none."""
        return int.from_bytes(self.deploys[-4:], "big")

    @property
    def expected_out_of_sync(self) -> bool:
        """Whether it was rolled back on purpose: until its hold ends, OutOfSync is what we want, at
        whatever revision Git is meanwhile."""
        return self.hold is not None and self.hold.target is None and self.sync is Sync.OutOfSync

    def mark(self, name: str) -> str:
        """The annotation ``recovery.gitops.dev/<name>``, or empty."""
        return (self.marks or {}).get(f"recovery.gitops.dev/{name}", "")


class SyncWindow(Struct, frozen=True, gc=False):
    """One of an AppProject's sync windows, as written (argo-cd
    pkg/apis/application/v1alpha1/types.go:SyncWindow)."""

    kind: str = ""
    schedule: str = ""
    duration: str = ""
    applications: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    timezone: str = ""
    all_of: bool = False
    """``andOperator``: each list that is given has to match, not any of them."""


def left_to(names: frozenset[str], app: Application) -> bool:
    """Is a field that an ApplicationSet leaves to these applications left to this one?"""
    return "*" in names or app.name in names


class Project(Struct, frozen=True):
    """An AppProject, as far as it narrows what we may do."""

    name: str
    marks: dict[str, str] | None = None
    namespace: str = ""
    destinations: tuple[Permitted, ...] = ()
    source_namespaces: tuple[str, ...] = ()
    """Globs of namespaces other than Argo CD's own whose Applications may belong to it."""
    windows: tuple[SyncWindow, ...] = ()

    def mark(self, name: str) -> str:
        """The annotation ``recovery.gitops.dev/<name>``, or empty."""
        return (self.marks or {}).get(f"recovery.gitops.dev/{name}", "")


class Permitted(Struct, frozen=True, gc=False):
    """One of an AppProject's destinations: globs, an exclamation mark before one denies."""

    server: str = ""
    name: str = ""
    namespace: str = ""


class ApplicationSet(Struct, frozen=True):
    """An ApplicationSet, as far as it decides who owns the fields we write."""

    namespace: str
    name: str
    uid: str = ""
    pull_requests: bool = False
    """It makes preview applications from pull requests."""
    rolling: bool = False
    """It syncs its applications itself, step by step (RollingSync)."""
    leaves_sync_policy: frozenset[str] = frozenset()
    """Whose spec.syncPolicy it does not revert (ignoreApplicationDifferences, create-only or
    create-delete): names of applications, ``*`` for all."""
    leaves_destination: frozenset[str] = frozenset()
    """Whose spec.destination it does not revert (the same ways)."""
    deletes: bool = True
    """It deletes applications that it no longer generates (applicationsSync is neither create-only
    nor create-update)."""
    updates: bool = True
    """It writes changes of its template into its applications (applicationsSync is neither
    create-only nor create-delete)."""
    template_name: str = ""
    """``spec.template.metadata.name``, with its placeholders."""
    selectors: tuple[dict[str, str], ...] = ()
    """``matchLabels`` of its cluster generators, where those stand alone and say no more."""
    opaque: frozenset[str] = frozenset()
    """Label keys that its other cluster generators ask for: with expressions, or inside a matrix or
    a merge."""
