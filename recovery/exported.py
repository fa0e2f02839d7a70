"""A fleet from an export, put together as the controller sees it right after its installation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from msgspec import structs

from recovery.act.registry import ACTION_KINDS, POLICY_ACTIONS
from recovery.decide import storms
from recovery.decide.budgets import full
from recovery.decide.reconciled import foreign, unreconciled
from recovery.groups import Groups
from recovery.kube.client import Client
from recovery.kube.errors import Unavailable
from recovery.model.application import Application, ApplicationSet, Project
from recovery.model.cause import Diagnosis, Observations
from recovery.model.decision import Decision
from recovery.model.names import SubjectKey
from recovery.model.policy import Policies
from recovery.model.recovery import Recovery
from recovery.model.situation import Freshness, HealthyRevision, Situation, SubjectState
from recovery.observe.adoption import Adoptions
from recovery.observe.commits import Commits
from recovery.observe.connections import Connections
from recovery.observe.policy_source import PolicySource
from recovery.observe.store import ObjectCache, Store
from recovery.policies import Defaults
from recovery.read_model import ReadModel
from recovery.record.recovery_store import Recoveries
from recovery.snapshot import Installation, SnapshotBuilder

LONG_AGO = timedelta(days=366)
"""An export does not say since when a sync status is what it is: it counts as having lasted."""


class _Standing:
    """A clock that stands, and is set."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        raise RuntimeError(f"nothing waits for {seconds} s in an export")


class _Nowhere:
    """No API server: whatever is asked of it is refused."""

    def __getattr__(self, name: str) -> Any:
        raise Unavailable(f"an export has no API server to {name}")


class OfflineFleet:
    """Applications without a cluster, put together as the controller sees them: what the judgement
    would be asked about each of them, at a time that the caller sets."""

    def __init__(
        self, policies: Policies, now: datetime, *, home: str, has_token: bool, projects_known: bool
    ) -> None:
        """``home`` is Argo CD's namespace; without ``projects_known`` an application belongs to the
        project that it names."""
        self._clock = clock = _Standing(now)
        self._versions = count(1)
        """Of the records: a later one is newer."""
        nowhere: Client = _Nowhere()
        self._recoveries = Recoveries(nowhere, "", clock, lambda _: None)
        self.projects, self._sets = ObjectCache(), ObjectCache()
        self.store = store = Store(
            clock,
            lambda _: None,
            self._recoveries.follows,
            unreconciled=lambda app: unreconciled(app, self._project(home, app), home),
            foreign=lambda app: (
                foreign(app, self._project(home, app), None, listed=False) if projects_known else ""
            ),
        )
        connections = Connections(clock, store, lambda _: None, self._recoveries.follows)
        connections.know_clusters((), whole=False)
        self._source = PolicySource(POLICY_ACTIONS, Defaults(), store.use, lambda _, __: None)
        self._source.policies = policies
        known = ReadModel(
            store,
            self.projects,
            self._sets,
            connections,
            self._recoveries,
            self._source,
            pauses=tuple,
            freshness=_fresh,
            clock=clock,
        )
        self._groups = Groups(known)
        self._scene = SnapshotBuilder(
            known,
            self._groups,
            ACTION_KINDS,
            Commits(None, clock),
            Installation(home, enabled=True, has_token=has_token),
            witnessed=lambda _: "",
        )
        store.use(policies)

    def _project(self, home: str, app: Application) -> Project | None:
        return self.projects.project(home, app.project or "default")

    def at(self, now: datetime) -> None:
        """Set the clock."""
        self._clock.at = now

    def situation(self, app: Application) -> Situation | None:
        """All that is known of one of them; what has been begun for others counts in it."""
        return self._scene.situation(app.key)

    def inspected(
        self, app: Application, recorded: Diagnosis | None, good: HealthyRevision | None = None
    ) -> None:
        """A closer look was just taken, and this is what was found then; ``good`` is the newest
        deploy that was known to work."""
        store, now = self.store, self._clock.at
        store.signs[app.uid] = Observations(now, recorded=recorded)
        if good is not None:
            sight = store.sights.get(app.uid) or SubjectState(app.uid, now)
            store.sights[app.uid] = structs.replace(sight, ledger=(good,))

    def storm(self, key: SubjectKey) -> tuple[Decision, ...]:
        """Decisions on a storm, by its key."""
        weather = self._groups.weather(key)
        return storms.judge(weather) if weather else ()

    def members(self, key: SubjectKey) -> list[SubjectKey]:
        """The applications that are ill in a storm's group."""
        return self._groups.members(key)

    def begun(self, recovery: Recovery) -> None:
        """A recovery that would be at work from now on: it takes its place in every budget."""
        self._recoveries.put(structs.replace(recovery, version=str(next(self._versions))))

    def full(self, app: Application, recovery: Recovery | None) -> str:
        """In words: why nothing may begin now for an Application that has this recovery, beside
        those that are at work. Empty where it may, and where so many fell ill with it that it may
        be a storm: then all of it has to be judged."""
        policies = self._source.policies
        if policies is None:
            return ""
        where, name = app.destination.cluster, recovery.name if recovery else ""
        counts = self._recoveries.fleet(where, app.project, app.repositories, name, app.uid)
        shared = self.store.illness.shared_by(("cluster", where)) > 1
        counts = structs.replace(counts, cluster_shared=shared)
        words = full(counts, policies.budget, app, self._clock.at)
        return "" if not words or self._groups.crowded(app, policies) else words

    def forget(self, recovery: Recovery) -> None:
        """A recovery that counts no more."""
        self._recoveries.drop("", recovery.name)


class ExportedFleet(OfflineFleet):
    """A fleet from an export: what the judgement would be asked about each Application of an
    export, in the first minute after an installation."""

    def __init__(
        self,
        applications: Iterable[Application],
        projects: Iterable[Project],
        application_sets: Iterable[ApplicationSet],
        policies: Policies,
        now: datetime,
        *,
        home: str,
        adopted: bool,
        has_token: bool,
        seen: Mapping[tuple[str, str], Observations],
    ) -> None:
        """``home`` is Argo CD's namespace; ``adopted`` means that a person has run `recovery
        adopt`; ``seen`` is what a closer look at the ill ones has shown."""
        projects = tuple(projects)
        super().__init__(
            policies,
            now - LONG_AGO,
            home=home,
            has_token=has_token,
            projects_known=bool(projects),
        )
        store = self.store
        for project in projects:
            self.projects.put(project)
        for application_set in application_sets:
            self._sets.put(application_set)
        store.inheriting = True
        listed = list(applications)
        for app in listed:  # a year ago, so that what Argo CD keeps no timestamp of has lasted
            store.put(app)
        store.inheriting = False
        self.at(now)
        for app in listed:
            store.put(app)
        for name in store.ailing:
            app = store.applications[name]
            store.examined(
                app.uid, name, structs.replace(seen.get(name, Observations(now)), at=now)
            )
        if adopted:
            self._source.adoptions = Adoptions(now)


def _fresh() -> Freshness:
    return Freshness(fresh=True)
