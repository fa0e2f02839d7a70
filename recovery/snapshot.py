"""One subject with all that bears on it, put together from what the stages hold."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import structlog
from msgspec import structs

from recovery.act.registry import INTERNAL
from recovery.causes.case import DiagnosisInput
from recovery.causes.connections import of_connection
from recovery.causes.diagnose import diagnose
from recovery.decide.conditions import plainly_well
from recovery.decide.connections import connection, healthy, worst
from recovery.decide.ownership import NOT_OWNED
from recovery.decide.pinned import agreed
from recovery.decide.remedies import told_apart
from recovery.dependencies import Dependencies
from recovery.groups import Groups
from recovery.model.action import ActionKind
from recovery.model.application import Application, ApplicationSet
from recovery.model.cause import Diagnosis, Observations
from recovery.model.commit import HOSTS, Deployed
from recovery.model.connection import Cluster, Connection, ProbeResult, Repository, Verdict
from recovery.model.move import Relocation, RelocationPhase
from recovery.model.names import SubjectKey
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, RecoveryPhase
from recovery.model.situation import Dependent, Fleet, RecentDisruptions, Situation
from recovery.model.text import shell
from recovery.observe import wire
from recovery.observe.commits import Commits
from recovery.policies import steps_from
from recovery.read_model import ReadModel

log = structlog.get_logger(__name__)
CORRELATED_WITHIN = timedelta(minutes=10)
"""Clusters, or repositories of one host, that fall ill within this time of each other are one
incident."""
OBSERVATIONS_TTL = timedelta(minutes=20)
"""What a closer look has shown is believed for this long; it is repeated every five minutes at
most."""


class Installation(NamedTuple):
    """Facts of this installation: where its Argo CD is, and whether it may act."""

    argocd_namespace: str
    """Where the AppProjects are."""
    enabled: bool
    """False: it only observes."""
    has_token: bool
    """May Argo CD's API be asked?"""


class SnapshotBuilder:
    """Makes the Situation that the judgement sees."""

    def __init__(
        self,
        known: ReadModel,
        groups: Groups,
        actions: Mapping[str, ActionKind],
        commits: Commits,
        installation: Installation,
        witnessed: Callable[[datetime], str],
    ) -> None:
        """``witnessed`` tells whether something outside answers us."""
        self._store = known.store
        self._projects = known.projects
        self._application_sets = known.application_sets
        self._recoveries = known.recoveries
        self._source = known.source
        self._clock = known.clock
        self._freshness = known.freshness
        self._pauses = known.pauses
        self._connections = known.connections
        self._crowds = groups
        self._turns = Dependencies(known)
        self._actions = actions
        self._commits = commits
        self._home = installation.argocd_namespace
        self._enabled = installation.enabled
        self._has_token = installation.has_token
        self._witnessed = witnessed

    def situation(self, key: SubjectKey) -> Situation | None:
        """Everything about one subject, now; None when it is gone or nothing is in force."""
        if self._source.policies is None:
            return None
        if key.kind == "application":
            app = self._store.applications.get((key.namespace, key.name))
            return self._application(app) if app else None
        about = self._connections.get(key)
        if about is None and key.kind == "cluster":
            # Its Secret may have given it another name.
            uids = {r.subject.uid for r in self._recoveries.open_at(key)}
            about = next((c for c in self._connections.clusters.values() if c.uid in uids), None)
        if (
            about is None
            and key.kind == "cluster"
            and any(r.owed for r in self._recoveries.open_at(key))
        ):
            # Argo CD has forgotten it; what was moved away from it is owed all the same.
            about = Cluster(server=key.name, name=key.name, trouble="Argo CD no longer lists it")
        return self._connected(about) if about and self._connections.looked_at(about) else None

    def gone(self, key: SubjectKey) -> bool:
        """Is it certain that it is not there any more? Repositories and clusters are known only
        after somebody listed them."""
        if key.kind == "application":
            return (key.namespace, key.name) not in self._store.applications
        return self._connections.gone(key)

    def found(self, key: SubjectKey, evidence: ProbeResult) -> None:
        """An action saw something of its subject by the way: the newest evidence there is."""
        about = self._connections.get(key)
        if about is not None:
            self._connections.found(about, evidence)

    def wrote(self, raw: bytes) -> None:
        """An action changed an application: from now on it is judged as it is since then, also
        before the watch tells of it. What is taken off, such as our suspension, would else be held
        against its owner."""
        with contextlib.suppress(msgspec.DecodeError, ValueError):
            self._store.wrote(wire.application(raw))

    def _base(self, about: Application | Repository | Cluster) -> Situation:
        """The fields that the situation of every subject has."""
        policies = self._source.policies
        assert policies is not None  # noqa: S101 (asked for by situation only, which has looked)
        opened, past = self._recoveries.of(about.uid)
        stranger = next(
            (r for r in self._recoveries.open_at(about.key) if r.subject.uid != about.uid), None
        )
        opened = opened or stranger  # of a subject of this name that is gone: it is closed first
        return Situation(
            now=self._clock.now(),
            about=about,
            sight=(
                self._store.look(about)
                if isinstance(about, Application)
                else self._connections.look(about)
            ),
            policies=policies,
            recovery=opened,
            past=past,
            pauses=self._pauses(),
            pinned=self._pinned(opened) if opened else None,
            freshness=self._freshness(),
            enabled=self._enabled,
            distrusted=self._recoveries.distrusted(),
            adopted_at=self._source.adoptions.of(about),
            has_token=self._has_token,
        )

    def _pinned(self, opened: Recovery) -> tuple[Step, ...] | None:
        """The actions its attempt began with; None where what is written there cannot have come
        from its policy."""
        policies = self._source.policies
        policy = (
            next((p for p in policies.policies if p.name == opened.policy), None)
            if policies
            else None
        )
        if not agreed(
            opened,
            policy,
            INTERNAL,
            frozenset(n for n, kind in self._actions.items() if kind.destructive),
        ):
            log.warning(
                "the actions in a record are not its policy's: those of the policy stand",
                recovery=opened.name,
            )
            return None
        return steps_from(opened.actions, self._actions)

    def _application(self, app: Application) -> Situation:
        base = self._base(app)
        name = base.recovery.name if base.recovery else ""
        fleet = self._recoveries.fleet(
            app.destination.cluster, app.project, app.repositories, name, app.uid
        )
        failed, cluster_failed = self._depends(app, base.now)
        ill = bool(base.sight.clocks)
        storm = self._crowds.storm(app, base) if ill else None
        finding = told_apart(self.diagnosis(app, storm[1] if storm else ""), base.recovery)
        if finding is not None:
            self._store.causes[app.uid] = finding.cause
        else:
            self._store.causes.pop(app.uid, None)
        return structs.replace(
            base,
            project=self._projects.project(self._home, app.project),
            application_set=self._application_set(app),
            parent=self._store.parent(app),
            fleet=structs.replace(
                fleet,
                inherited_unwell=self._inherited_unwell(base.adopted_at),
                cluster_shared=self._store.illness.shared_by(("cluster", app.destination.cluster))
                > 1,
            ),
            failed=failed,
            cluster_failed=cluster_failed,
            storm=storm,
            brought=self._store.brought(app),
            unowned=self._unowned(app),
            owing=self._recoveries.owing(app.key),
            own_change=self._store.own_change(app),
            deployed=self._deployed(app),
            unseen=self._unseen(app),
            unreconciled=self._store.unreconciled(app),
            foreign=self._store.foreign(app),
            finding=finding,
            frozen=self._store.frozen.get((app.namespace, app.name), ""),
            waits_for=self._turns.waits_for(app, base.now) if ill else "",
            destroyed=self._recoveries.destroyed(app.uid, app.project)
            if ill
            else RecentDisruptions(),
        )

    def diagnosis(self, app: Application, storm: str = "") -> Diagnosis | None:
        """Why an application is ill; None for well, or for nobody knows."""
        frozen = self._store.frozen.get((app.namespace, app.name), "")
        if (plainly_well(app) and not frozen) or self._store.unreconciled(app):
            return None
        sight = self._store.sights.get(app.uid)
        still = sight.moved[1] if sight and sight.moved else None
        return diagnose(
            DiagnosisInput(app, self._clock.now(), self._signs(app), still, storm, frozen)
        )

    def _signs(self, app: Application) -> Observations | None:
        """Recent observations; what is older is of another day."""
        signs = self._store.signs.get(app.uid)
        return (
            signs
            if signs is not None and self._clock.now() - signs.at <= OBSERVATIONS_TTL
            else None
        )

    def _deployed(self, app: Application) -> Deployed | None:
        if (app.namespace, app.name) not in self._store.ailing and not app.errors:
            return None
        hosts = self._source.policies.notices.words.links.hosts if self._source.policies else HOSTS
        return self._commits.around(app, self._store.ledger(app.uid), hosts)

    def _unowned(self, app: Application) -> tuple[str, ...]:
        signs = self._signs(app)
        return (
            tuple(words for words in signs.missing if NOT_OWNED in words)
            if signs is not None and not signs.unwell
            else ()
        )

    def _unseen(self, app: Application) -> str:
        """Whether nobody has looked closer yet, as after a start, or since it last changed: until
        then its pods may be ill of anything."""
        lookable, signs = self._has_token or app.destination.in_cluster, self._signs(app)
        if not lookable or (app.namespace, app.name) not in self._store.ailing:
            return ""
        if signs is None:
            return "its resources are not inspected yet; that takes seconds"
        turned = self._store.turned.get(app.uid)
        if turned is None or signs.at >= turned:
            return ""
        return (
            f"it has changed at {turned:%H:%M:%S} UTC, and its resources were last inspected at"
            f" {signs.at:%H:%M:%S}; that takes seconds"
        )

    def reason(self, about: Repository | Cluster, now: datetime) -> Diagnosis | None:
        """Why a repository or a cluster has failed; None when it has not."""
        return (
            of_connection(about, worst(about, now))
            if connection(about, now)[0] is Connection.Failed
            else None
        )

    def _connected(self, about: Repository | Cluster) -> Situation:
        base = self._base(about)
        base = structs.replace(base, finding=self.reason(about, base.now))
        base = structs.replace(base, fleet=Fleet(inherited_unwell=self._connections.inherited()))
        dependents = tuple(self._dependent(app) for app in self._applications(about, base.recovery))
        if isinstance(about, Repository):
            return structs.replace(
                base, dependents=dependents, together=self._one_host(about, base)
            )
        base = structs.replace(base, destroyed=self._recoveries.destroyed(about.uid, ""))
        clusters = tuple(self._connections.clusters.values())
        return structs.replace(
            base,
            orphans=self._orphans(about),
            dependents=dependents,
            clusters=clusters,
            application_sets=self._application_sets.all_sets(),
            together=self._together(about, base),
            witnessed=self._witnessed(base.now) or _other(about, clusters, base.now),
        )

    def _together(self, about: Cluster, base: Situation) -> str:
        """Another cluster that fell ill within ten minutes of this one, is still ill, and has a
        recovery."""
        mine = min(base.sight.clocks.values(), default=base.now)
        for other in self._connections.clusters.values():
            opened = self._recoveries.of(other.uid)[0] if other.server != about.server else None
            if (
                opened is None
                or opened.owed
                or not all(worst(c, base.now) is Verdict.unreachable for c in (about, other))
            ):
                continue  # moved away already, or not the same illness: each has its own
            stuck = (
                opened.phase is RecoveryPhase.Stalled
                and bool(opened.stalled_times)
                and base.now - opened.stalled_times[-1] > CORRELATED_WITHIN
            )
            if (
                not stuck
                and abs((opened.unhealthy_since or opened.opened_at) - mine) <= CORRELATED_WITHIN
            ):
                return (
                    f"cluster {other.name} failed with it and is the incident for both:"
                    f" {opened.name}"
                )
        return ""

    def _one_host(self, about: Repository, base: Situation) -> str:
        """Another repository of the same host that failed within ten minutes of this one, and has a
        recovery."""
        mine = min(base.sight.clocks.values(), default=base.now)
        for other in self._connections.repositories.values():
            if other.uid == about.uid or not about.host or other.host != about.host:
                continue
            opened = self._recoveries.of(other.uid)[0]
            if (
                opened is not None
                and not opened.phase.over
                and abs((opened.unhealthy_since or opened.opened_at) - mine) <= CORRELATED_WITHIN
            ):
                same = worst(other, base.now) is worst(about, base.now)
                if same and connection(other, base.now)[0] is Connection.Failed:
                    return (
                        f"repository {other.name} of {about.host} failed with it and is the"
                        f" incident for both: {opened.name}"
                    )
        return ""

    def _applications(
        self, about: Repository | Cluster, recovery: Recovery | None
    ) -> list[Application]:
        names = (
            self._connections.reading(about)
            if isinstance(about, Repository)
            else set(self._connections.on(about))
        )
        names = set(names) | (self._moved_from(about) if isinstance(about, Cluster) else set())
        apps = [self._store.applications[name] for name in sorted(names)]
        there = {app.uid for app in apps}
        for move in recovery.relocations if recovery else ():
            app = self._store.applications.get((move.namespace, move.name))
            if app is not None and app.uid == move.uid and app.uid not in there:
                apps.append(app)
        return apps

    def _moved_from(self, about: Cluster) -> set[tuple[str, str]]:
        """Applications whose hold says that this cluster is their home."""
        held = {name for names in self._store.moved.values() for name in names}
        apps = self._store.applications
        return {
            name
            for name in held
            if (hold := apps[name].hold) and hold.origin and about.called(str(hold.origin))
        }

    def _orphans(self, about: Cluster) -> tuple[Relocation, ...]:
        """Those of them that no open recovery knows any more: theirs has ended, and says itself
        that they are away."""
        found = []
        for name in sorted(self._moved_from(about)):
            app = self._store.applications[name]
            hold = app.hold
            kept = self._recoveries.get(hold.recovery) if hold else None
            known = (
                kept is not None
                and not kept.phase.over
                and any(m.uid == app.uid for m in kept.relocations)
            )
            if hold and hold.origin and hold.target and not known:
                found.append(
                    Relocation(
                        app.namespace,
                        app.name,
                        app.uid,
                        hold.origin,
                        hold.target,
                        RelocationPhase.Moved,
                        since=hold.since,
                    )
                )
        return tuple(found)

    def _dependent(self, app: Application) -> Dependent:
        sight = self._store.sights.get(app.uid) or self._store.look(app)
        project = self._projects.project(self._home, app.project)
        failed = tuple(
            words
            for r in self._connections.repositories_of(app)
            if (words := self._failed(r, self._clock.now()))
        )
        return Dependent(
            app, sight, project, self._application_set(app), self._store.parent(app), failed
        )

    def _depends(self, app: Application, now: datetime) -> tuple[tuple[str, ...], str]:
        """Why its repositories and its cluster count as failed: by what is seen, or because their
        recovery is still open."""
        failed = tuple(
            words for r in self._connections.repositories_of(app) if (words := self._failed(r, now))
        )
        cluster = self._connections.cluster_of(app)
        return failed, self._failed(cluster, now) if cluster else ""

    def _failed(self, about: Repository | Cluster, now: datetime) -> str:
        state, _ = connection(about, now)
        if state is Connection.Failed:
            return (
                f"{about.key.kind} {about.name} is Failed{_plainly(about, now)}; recovery explain"
                f" {shell(about.key)}"
            )
        opened = self._recoveries.of(about.uid)[0]
        idle = opened is not None and opened.phase in (
            RecoveryPhase.Stalled,
            RecoveryPhase.Suppressed,
        )
        if opened is None or idle:
            # it is not seen to have failed, and nothing but a person's decision is waited for
            return ""
        return (
            f"{about.key.kind} {about.name} is being recovered ({opened.name}:"
            f" {opened.phase.value})"
        )

    def _application_set(self, app: Application) -> ApplicationSet | None:
        found = (
            self._application_sets.application_set(app.namespace, app.application_set)
            if app.application_set
            else None
        )
        return found if found and found.uid in ("", app.application_set_uid) else None

    def _inherited_unwell(self, adopted: datetime | None) -> int:
        if adopted is None:
            return len(self._store.inherited)
        sights = (self._store.sights.get(uid) for uid in self._store.inherited)
        return sum(1 for sight in sights if sight is not None and sight.first_seen > adopted)


def _plainly(about: Repository | Cluster, now: datetime) -> str:
    """The problem, without on whose word: that may be an application of another project, and this
    is told to everybody's."""
    verdict = worst(about, now)
    return (
        ""
        if verdict in (Verdict.no_evidence, Verdict.reachable)
        else f": {verdict.value.replace('_', ' ')}"
    )


def _other(failed: Cluster, clusters: tuple[Cluster, ...], now: datetime) -> str:
    """Another remote cluster that answered just now: it is not we who are cut off."""
    for cluster in clusters:
        if not cluster.in_cluster and cluster.server != failed.server:
            well, words = healthy(cluster, now)
            if well:
                return f"cluster {cluster.name} answers: {words}"
    return ""
