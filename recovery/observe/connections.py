"""The repositories and clusters that the fleet needs, with what was last found out about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta

from msgspec import structs

from recovery.clock import Clock
from recovery.decide.connections import connection, said_by, watch, with_evidence
from recovery.model.application import Application
from recovery.model.connection import (
    IN_CLUSTER,
    IN_CLUSTER_SERVER,
    Cluster,
    Connection,
    ProbeResult,
    ProbeSource,
    Repository,
    Verdict,
    ident,
)
from recovery.model.names import SubjectKey
from recovery.model.situation import SubjectState
from recovery.observe.store import Name, Store

AGREED = 2
"""Projects whose applications have to say the same of what they share."""
TOLD_FOR = timedelta(minutes=10)
"""What applications say is as old as Argo CD's last comparison of them, which comes every few
minutes."""


class Connections:
    """Filled by the poller, read by the controller. Sights are the store's, so that one checkpoint
    keeps them all."""

    def __init__(
        self,
        clock: Clock,
        store: Store,
        changed: Callable[[SubjectKey], None],
        follows: Callable[[SubjectKey], bool],
    ) -> None:
        self._clock = clock
        self._store = store
        self._changed = changed
        self._follows = follows
        self.repositories: dict[str, Repository] = {}
        """By ident."""
        self.clusters: dict[str, Cluster] = {}
        """By server; by name where only that is known."""
        self.missing: dict[str, tuple[str, ...]] = {}
        """What could not be asked, and what it would take; by clusters and repositories."""
        self.warnings: tuple[str, ...] = ()
        """What is wrong with where policies would move applications to."""
        self.clusters_listed = False
        """Argo CD listed all its clusters when it was last asked."""
        self.repositories_listed = False
        """And all its repositories."""
        self.clusters_looked = False
        """This process has made one whole round over the clusters."""
        self.repositories_looked = False
        """And one over the repositories."""
        self._states: dict[SubjectKey, Connection] = {}
        self.first = False
        """A first install that has not yet looked once: what has failed is inherited."""

    # Filled by the poller

    def know_clusters(self, found: Iterable[Cluster], *, whole: bool) -> None:
        """The clusters there are, by Argo CD's word or by a Secret; ``whole`` when Argo CD itself
        listed them. That an application names one proves nothing: what its owner writes makes no
        cluster."""
        listed = list(found)
        names = Counter(c.name for c in listed)
        new: dict[str, Cluster] = {}
        for cluster in listed:
            if names[cluster.name] > 1:
                twice = (
                    f"{names[cluster.name]} clusters are called {cluster.name!r}: destinations by"
                    " that name are ambiguous"
                )
                cluster = structs.replace(cluster, name=cluster.server, trouble=twice)
            new[cluster.server] = cluster
        new.setdefault(IN_CLUSTER_SERVER, Cluster(server=IN_CLUSTER_SERVER, name=IN_CLUSTER))
        for server, cluster in new.items():
            old = self.clusters.get(server)
            if old is not None:
                cluster = structs.replace(
                    cluster,
                    evidence=old.evidence,
                    good_at=old.good_at,
                    namespace_uid=old.namespace_uid,
                )
            elif (sight := self._store.sights.get(cluster.uid)) is not None:
                cluster = structs.replace(cluster, namespace_uid=sight.namespace_uid)
            new[server] = structs.replace(cluster, applications=len(self.on(cluster)))
        gone = [c for server, c in self.clusters.items() if server not in new]
        self.clusters = new
        self.clusters_listed = whole
        self._forget(gone)
        for cluster in new.values():
            self._tell(cluster)

    def know_repositories(self, found: Iterable[Repository], *, whole: bool) -> None:
        """The repositories Argo CD has been told of. That applications read from others is their
        own word, and makes none."""
        new = {repository.ident: repository for repository in found}
        for plain, repository in new.items():
            old = self.repositories.get(plain)
            if old is not None:
                repository = structs.replace(repository, evidence=old.evidence, good_at=old.good_at)
            new[plain] = structs.replace(repository, applications=len(self.reading(repository)))
        gone = [r for plain, r in self.repositories.items() if plain not in new]
        self.repositories = new
        self.repositories_listed = whole
        self._forget(gone)
        for repository in new.values():
            self._tell(repository)

    def found(self, about: Repository | Cluster, evidence: ProbeResult) -> None:
        """Take in the result of a probe."""
        held = self._held(about)
        if held is None:
            return
        held = with_evidence(held, self._ours(held, evidence))
        self._put(held)
        self._tell(held)

    def identified(self, about: Cluster, uid: str) -> None:
        """Which cluster answers at this address: the UID of its namespace kube-system. Remembered
        while nobody can ask it."""
        held = self.clusters.get(about.server)
        if held is None or not uid or held.namespace_uid == uid:
            return
        self.clusters[about.server] = held = structs.replace(held, namespace_uid=uid)
        self._tell(held)

    def _ours(self, about: Repository | Cluster, evidence: ProbeResult) -> ProbeResult:
        """Only where it was reached before: that we cannot reach a cluster means something only if
        we ever could: else it is our own network that forbids it."""
        if evidence.by is not ProbeSource.connect or evidence.verdict is not Verdict.unreachable:
            return evidence
        sight = self._store.sights.get(about.uid)
        if sight is not None and sight.reached:
            return evidence
        words = f"we have never reached it ourselves (an egress rule, a proxy?): {evidence.message}"
        return structs.replace(evidence, verdict=Verdict.no_evidence, message=words[:300])

    def listen_to_applications(self) -> None:
        """Read what the conditions of applications say of what they depend on; only those that have
        something to say are asked, and no more of them once it is said. What several projects share
        is not ill on the word of one of them."""
        git: dict[str, dict[str, ProbeResult]] = {}
        cluster: dict[str, dict[str, ProbeResult]] = {}
        for name in self._store.uncompared:
            app = self._store.applications[name]
            home = self.cluster_of(app)
            plain = (
                self._repository_of(app, app.repositories[0])
                if len(set(app.repositories)) == 1
                else ""
            )
            if (not plain or _enough(git, plain, app)) and (
                home is None or _enough(cluster, home.server, app)
            ):
                continue
            on_git, on_cluster = said_by(app, self._clock.now())
            project = self._store.counted(app).project
            if on_git and plain:
                git.setdefault(plain, {}).setdefault(
                    project, structs.replace(on_git, lasts=TOLD_FOR)
                )
            if on_cluster and home:
                cluster.setdefault(home.server, {}).setdefault(
                    self._store.counted(app).project, structs.replace(on_cluster, lasts=TOLD_FOR)
                )
        for about in self.all():
            told, against = self._agreed(
                about,
                (
                    git.get(about.ident)
                    if isinstance(about, Repository)
                    else cluster.get(about.server)
                )
                or {},
            )
            before = next((e for e in about.evidence if e.by is ProbeSource.applications), None)
            if told is None and before is None:
                continue
            told = told or self._recovered(about, against)
            quiet = tuple(e for e in about.evidence if e.by is not ProbeSource.applications)
            held = structs.replace(about, evidence=(*quiet, told) if told else quiet)
            self._put(held)
            self._tell(held)

    def _agreed(
        self, about: Repository | Cluster, said: dict[str, ProbeResult]
    ) -> tuple[ProbeResult | None, int]:
        """Agreement of what applications say of it, if their projects agree; and how many projects
        have been compared well since then.

        A project speaks where none of its own was compared since. At least two have to, and half of
        those that use it, or all that do; and more than have been compared well. Who is not
        compared at all, or is being deleted, has no voice.
        """
        if not said:
            return None, 0
        told_at = max(evidence.at for evidence in said.values())
        now = self._clock.now()  # what is said to have been compared in the future was not
        users: set[str] = set()
        compared: set[str] = set()
        for name in self.on(about) if isinstance(about, Cluster) else self.reading(about):
            app = self._store.applications[name]
            if app.deleting or self._store.unreconciled(app):
                continue
            project = self._store.counted(app).project
            users.add(project)
            since = said[project].at if project in said else told_at
            if (
                name not in self._store.uncompared
                and app.reconciled_at is not None
                and since < app.reconciled_at <= now
            ):
                compared.add(project)
        voices = [
            evidence
            for project, evidence in said.items()
            if project not in compared and project in users
        ]
        enough = len(voices) == len(users) or (
            len(voices) >= AGREED and len(voices) * 2 >= len(users)
        )
        return (voices[0] if voices and enough and len(voices) > len(compared) else None), len(
            compared
        )

    def _recovered(self, about: Repository | Cluster, against: int) -> ProbeResult | None:
        """They said that it failed, and say so no more: it is well where some were compared, and
        unknown else."""
        names = self.on(about) if isinstance(about, Cluster) else self.reading(about)
        well = names - self._store.uncompared
        if not well or (names & self._store.uncompared and against < AGREED):
            return None
        return ProbeResult(
            ProbeSource.applications,
            Verdict.reachable,
            self._clock.now(),
            f"{len(well)} applications were compared",
            TOLD_FOR,
        )

    # Read by the controller

    def gone(self, key: SubjectKey) -> bool:
        """Is it certain that it is there no more?"""
        listed = self.clusters_listed if key.kind == "cluster" else self.repositories_listed
        return listed and self.get(key) is None

    def looked_at(self, about: Repository | Cluster) -> bool:
        """Has this process looked at it yet? Before that nothing is said about it, and what the
        checkpoint remembers stands."""
        if isinstance(about, Cluster):
            return self.clusters_looked
        return self.repositories_looked or any(e.by is not ProbeSource.word for e in about.evidence)

    def get(self, key: SubjectKey) -> Repository | Cluster | None:
        """One by what the queue calls it."""
        if key.kind == "repository":
            url, _, project = key.name.partition("#")
            return self.repositories.get(ident(url, project))
        return next((c for c in self.clusters.values() if key.name in (c.name, c.server)), None)

    def look(self, about: Repository | Cluster) -> SubjectState:
        """State of a subject, up to now."""
        self._track(about)
        return self._store.sights.get(about.uid) or SubjectState(about.uid, self._clock.now())

    def homes(self) -> tuple[Cluster, ...]:
        """Where applications that are away come from, by their holds: owed also when nobody
        remembers the recovery."""
        held = (
            self._store.applications[name].hold
            for names in self._store.moved.values()
            for name in names
        )
        origins = {str(hold.origin) for hold in held if hold and hold.origin}
        return (
            tuple(c for c in self.clusters.values() if any(map(c.called, origins)))
            if origins
            else ()
        )

    def on(self, cluster: Cluster) -> set[Name]:
        """The applications whose destination it is."""
        by = self._store.by_cluster
        words = (
            {cluster.server}
            if cluster.trouble and cluster.name == cluster.server
            else {cluster.server, cluster.name}
        )
        return set().union(*(by.get(word, ()) for word in words if word))

    def reading(self, repository: Repository) -> set[Name]:
        """The applications that read from it: those of its project, where it belongs to one."""
        plain = ident(repository.url)
        names = self._store.by_repository.get(plain, set())
        if not names:
            return set()
        apps = self._store.applications
        if repository.project:
            return {name for name in names if apps[name].project == repository.project}
        scoped = {
            p
            for name in names
            if (p := apps[name].project) and ident(plain, p) in self.repositories
        }
        return (
            {name for name in names if apps[name].project not in scoped} if scoped else set(names)
        )

    def cluster_of(self, app: Application) -> Cluster | None:
        """Where it runs, as far as that is known."""
        where = app.destination
        if where.in_cluster:
            return self.clusters.get(IN_CLUSTER_SERVER)
        if where.server in self.clusters:
            return self.clusters[where.server]
        return next(
            (c for c in self.clusters.values() if where.name and c.name == where.name), None
        )

    def repositories_of(self, app: Application) -> tuple[Repository, ...]:
        """The repositories that an application reads from."""
        return tuple(
            r
            for url in app.repositories
            if (r := self.repositories.get(self._repository_of(app, url)))
        )

    def inherited(self) -> int:
        """How many repositories and clusters were down before this controller came, and have not
        been well since."""
        sights = (self._store.sights.get(about.uid) for about in self.all())
        return sum(1 for sight in sights if sight is not None and sight.inherited)

    def tick(self) -> None:
        """Evidence grows old by itself: judge anew whatever may have changed by that alone."""
        for about in self.all():
            self._tell(about)

    def all(self) -> list[Repository | Cluster]:
        """Every repository and cluster that is known."""
        return [*self.repositories.values(), *self.clusters.values()]

    def _repository_of(self, app: Application, url: str) -> str:
        scoped = ident(url, app.project)
        return scoped if scoped in self.repositories else ident(url)

    def _held(self, about: Repository | Cluster) -> Repository | Cluster | None:
        return (
            self.repositories.get(about.ident)
            if isinstance(about, Repository)
            else self.clusters.get(about.server)
        )

    def _put(self, about: Repository | Cluster) -> None:
        if isinstance(about, Repository):
            self.repositories[about.ident] = about
        else:
            self.clusters[about.server] = about

    def _forget(self, gone: Iterable[Repository | Cluster]) -> None:
        for about in gone:
            self._states.pop(about.key, None)
            if self._store.sights.pop(about.uid, None) is not None:
                self._store.dirty.add(about.uid)
            self._changed(about.key)

    def _track(self, about: Repository | Cluster) -> bool:
        if self._store.policies is None or not self.looked_at(about):
            return False
        old = self._store.sights.get(about.uid)
        new = watch(old, about, self._store.policies, self._clock.now(), first_install=self.first)
        reached = any(
            e.by is ProbeSource.connect and e.verdict is Verdict.reachable for e in about.evidence
        )
        uid = about.namespace_uid if isinstance(about, Cluster) else ""
        new = structs.replace(
            new, reached=new.reached or reached, namespace_uid=uid or new.namespace_uid
        )
        if new == old:
            return False
        self._store.sights[about.uid] = new
        self._store.dirty.add(about.uid)
        return True

    def _tell(self, about: Repository | Cluster) -> None:
        """The controller hears of it when its state or its clocks changed, and of everything while
        a recovery is open."""
        moved = self._track(about)
        state, _ = connection(about, self._clock.now())
        if moved or self._states.get(about.key) is not state or self._follows(about.key):
            if self.looked_at(about):
                self._states[about.key] = (
                    # before that the controller says nothing about it: it has to hear of it again
                    state
                )
            self._changed(about.key)


def _enough(said: dict[str, dict[str, ProbeResult]], what: str, app: Application) -> bool:
    """Is another word on it of no more weight? Each project has one."""
    known = said.get(what, {})
    return app.project in known
