"""Everything the judgement may look at, in one value."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from msgspec import Struct, structs

from recovery.model.application import Application, ApplicationSet, Project
from recovery.model.cause import Diagnosis
from recovery.model.commit import Deployed
from recovery.model.connection import Cluster, Repository
from recovery.model.move import Relocation
from recovery.model.names import SubjectKey
from recovery.model.policy import Policies, Step
from recovery.model.recovery import Recovery
from recovery.model.window import Pause


class OwnChange(Enum):
    """Did an application's own manifests change with a newer revision?"""

    unknown = "unknown"
    unchanged = "unchanged"
    changed = "changed"


class HealthyRevision(Struct, frozen=True, gc=False):
    """A deploy that was seen Synced and Healthy for the soak time: a place to go back to."""

    history_id: int
    revisions: tuple[str, ...]
    """One, or one for each source."""
    seen: datetime
    images: tuple[str, ...] = ()
    """What ran, at most 3."""
    cluster: str = ""
    """Where it ran; empty in what an older version wrote."""
    checksum: int = 0
    """Of the history's entry: id, revisions and sources; 0 in what an older version wrote."""


def differing(app: Application) -> tuple[int, tuple[str, ...]]:
    """How many of its resources differ from Git, and the first of them."""
    return app.unsynced_count, app.unsynced


class SubjectState(Struct, frozen=True, omit_defaults=True, gc=False):
    """State remembered of a subject between two looks; kept in the checkpoint."""

    uid: str
    first_seen: datetime
    clocks: dict[str, datetime] = {}
    """Since when each symptom holds without a break."""
    moved: tuple[str, datetime] | None = None
    """What its running operation last showed, and since when it has shown nothing else."""
    inherited: bool = False
    """It was unwell when we first came; until it has been healthy once we are careful with it."""
    soaking: HealthyRevision | None = None
    """Synced and Healthy now; becomes good when the soak time has passed."""
    ledger: tuple[HealthyRevision, ...] = ()
    """Newest last, at most 5."""
    kinds: tuple[str, ...] = ()
    """Kinds of its resources when they were last to be seen."""
    reached: bool = False
    """Of a cluster: we have once connected to it ourselves."""
    namespace_uid: str = ""
    """Of a cluster: the UID of its namespace kube-system, as last read. It outlives a restart:
    while a cluster is down, nobody can ask it which one it is."""
    differed: tuple[int, tuple[str, ...]] | None = None
    """Held back from a revision: what differs from Git, and how much, as last seen."""
    wanted: tuple[str, ...] = ()
    """Held back from a revision: what Git wanted then."""
    moved_on: bool = False
    """Held back from a revision: with a newer one, in the same look, other resources differed. What
    differs later on, at one revision, is drift."""
    dismissed: tuple[str, ...] = ()
    """Policies whose open recovery was deleted by hand; forgotten when the subject has been
    well."""


def unwatched(sight: SubjectState, gap: timedelta, now: datetime) -> SubjectState:
    """Time in which nobody watched, until ``now``, does not count; a soak that was not watched
    starts again. What began after it is left as it is."""
    later = (
        {symptom: _later(since, gap, now) for symptom, since in sight.clocks.items()}
        if gap > timedelta()
        else sight.clocks
    )
    moved = (sight.moved[0], _later(sight.moved[1], gap, now)) if sight.moved else None
    return structs.replace(sight, clocks=later, soaking=None, moved=moved)


def _later(since: datetime, gap: timedelta, now: datetime) -> datetime:
    return since + gap if since <= now - gap else since


def shifted(sight: SubjectState, jump: timedelta) -> SubjectState:
    """The wall clock was set, forward or back: what lasted so long has lasted so long."""
    clocks = {symptom: since + jump for symptom, since in sight.clocks.items()}
    moved = (sight.moved[0], sight.moved[1] + jump) if sight.moved else None
    soaking = (
        structs.replace(sight.soaking, seen=sight.soaking.seen + jump) if sight.soaking else None
    )
    return structs.replace(sight, clocks=clocks, soaking=soaking, moved=moved)


class DeployEffects(Struct, frozen=True, gc=False):
    """Effects of a deploy, as its own operation said before another one took its place."""

    revisions: tuple[str, ...]
    changed: frozenset[str]
    """What it changed or brought, as ``group/kind/namespace/name``."""
    ran: tuple[str, ...] = ()
    """What ran with it that going back does not undo; at most 5."""


class Freshness(Struct, frozen=True):
    """May what we see be acted upon?"""

    fresh: bool
    message: str = ""


class Fleet(Struct, frozen=True):
    """The counts over all subjects that guards need."""

    inherited_unwell: int = 0
    in_flight: int = 0
    in_flight_cluster: int = 0
    in_flight_project: int = 0
    in_flight_theirs: int = 0
    """Of this project on this cluster."""
    cluster_shared: bool = False
    """Several projects have applications on this cluster."""
    refreshed_at: datetime | None = None
    """When one of our refreshes last went to this subject's repository."""
    calm_since: datetime | None = None
    """When the last storm was over."""
    shards: int = 1
    """Among how many the subjects are divided."""
    in_flight_shard: int = 0


class RecentDisruptions(Struct, frozen=True):
    """When restarts, rollbacks and failovers were begun within the last hour, oldest first."""

    fleet: tuple[datetime, ...] = ()
    project: tuple[datetime, ...] = ()
    subject: tuple[datetime, ...] = ()
    name: str = ""
    """The project's."""


class Dependent(Struct, frozen=True):
    """An application that depends on the cluster or the repository in question, with what narrows
    what may be done to it."""

    app: Application
    sight: SubjectState
    project: Project | None = None
    application_set: ApplicationSet | None = None
    parent: Application | None = None
    failed: tuple[str, ...] = ()
    """Why its repositories count as failed, in words."""


class Situation(Struct, frozen=True):
    """One subject, all that bears on it, and the time."""

    now: datetime
    about: Application | Repository | Cluster
    sight: SubjectState
    policies: Policies
    recovery: Recovery | None = None
    """The open one."""
    past: tuple[Recovery, ...] = ()
    """Ended ones of the same subject (same UID), newest last."""
    owing: tuple[Recovery, ...] = ()
    """Those that still owe something to an application of this namespace and name, whatever its UID
    was."""
    own_change: OwnChange = OwnChange.unknown
    """About a held application: what a look at the manifests of its newest revision has shown."""
    pinned: tuple[Step, ...] | None = None
    """The actions the open recovery's attempt began with."""
    project: Project | None = None
    application_set: ApplicationSet | None = None
    parent: Application | None = None
    fleet: Fleet = Fleet()
    freshness: Freshness = Freshness(fresh=True)
    enabled: bool = True
    """RECOVERY_ENABLED."""
    pauses: tuple[Pause, ...] = ()
    """What people have paused or silenced by command."""
    finding: Diagnosis | None = None
    """About an application: why it is ill; None when nothing says so."""
    deployed: Deployed | None = None
    """About an application: the commits that people will want to look at."""
    unseen: str = ""
    """About an application: that a closer look is still to come, in words."""
    brought: DeployEffects | None = None
    """About an application: what the deploy that runs did, where the watch has shown it; None for
    unknown."""
    unowned: tuple[str, ...] = ()
    """About an application: what it lists and a closer look could not prove to be its own, in
    words."""
    foreign: str = ""
    """Why the AppProject that it names is not its own."""
    unreconciled: str = ""
    """About an application: why Argo CD does not reconcile it by design, in words: its status is
    believed for nothing."""
    frozen: str = ""
    """About an application: why Argo CD is believed not to look at it any more, in words."""
    storm: tuple[SubjectKey, str] | None = None
    """About an application: the storm that it is a member of, and why, in words."""
    waits_for: str = ""
    """About an application: which other one is cured first, in words."""
    destroyed: RecentDisruptions = RecentDisruptions()
    adopted_at: datetime | None = None
    """`recovery adopt`: what was first seen before this is no longer inherited."""
    distrusted: dict[str, str] = {}
    """Policies (``name/hash/project``) whose actions were regretted too often, with the numbers, in
    words."""
    has_token: bool = False
    """Argo CD's API can be asked."""
    failed: tuple[str, ...] = ()
    """About an application: why its repository counts as failed, in words."""
    cluster_failed: str = ""
    """About an application: why its cluster counts as failed, in words."""
    dependents: tuple[Dependent, ...] = ()
    """About a repository or a cluster: the applications that depend on it, and those that were
    moved away from it."""
    clusters: tuple[Cluster, ...] = ()
    """About a cluster: all there are."""
    application_sets: tuple[ApplicationSet, ...] = ()
    """About a cluster: all there are."""
    orphans: tuple[Relocation, ...] = ()
    """About a cluster: applications whose hold says that they were moved away from it, and that no
    other recovery knows."""
    together: str = ""
    """About a cluster: which other one failed with it and is the incident for both, in words."""
    witnessed: str = ""
    """About a cluster: who outside answered just now, in words."""

    @property
    def subject(self) -> Application:
        """The application it is about; TypeError when it is about something else."""
        if not isinstance(self.about, Application):
            raise TypeError(f"{self.about.key} is no application")
        return self.about
