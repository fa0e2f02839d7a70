"""One subject with all that bears on it, put together from what the stages hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import structs

from recovery.clock import Clock
from recovery.model.application import Application
from recovery.model.names import Key
from recovery.model.situation import Freshness, Situation
from recovery.observe.policy_source import PolicySource
from recovery.observe.store import Shelf, Store
from recovery.policies import steps_from
from recovery.record.recoveries import Recoveries


class Scene:
    """Makes the Situation that the judgement sees."""

    def __init__(
        self,
        store: Store,
        projects: Shelf,
        application_sets: Shelf,
        recoveries: Recoveries,
        source: PolicySource,
        clock: Clock,
        freshness: Callable[[], Freshness],
        *,
        home: str,
        enabled: bool,
        has_token: bool,
    ) -> None:
        """``home`` is Argo CD's namespace, where the AppProjects are."""
        self._store = store
        self._projects = projects
        self._application_sets = application_sets
        self._home = home
        self._recoveries = recoveries
        self._source = source
        self._clock = clock
        self._freshness = freshness
        self._enabled = enabled
        self._has_token = has_token

    def situation(self, key: Key) -> Situation | None:
        """Everything about one application, now; None when it is gone or nothing is in force."""
        app = self._store.applications.get((key.namespace, key.name))
        policies = self._source.policies
        if app is None or policies is None:
            return None
        opened, past = self._recoveries.of(app.uid)
        stranger = next((r for r in self._recoveries.open_at(key) if r.subject.uid != app.uid), None)
        opened = opened or stranger  # of an application of this name that is gone: it is closed first
        fleet = self._recoveries.fleet(app.destination.cluster, app.project, app.repositories, opened.name if opened else "")
        adopted = self._source.adopted_at
        return Situation(
            now=self._clock.now(),
            subject=app,
            sight=self._store.look(app),
            policies=policies,
            recovery=opened,
            past=past,
            pinned=steps_from(opened.actions, self._source.actions) if opened else None,
            project=self._projects.project(self._home, app.project),
            application_set=self._application_sets.application_set(app.namespace, app.application_set) if app.application_set else None,
            parent=self._parent(app),
            fleet=structs.replace(fleet, inherited_unwell=self._inherited_unwell(adopted)),
            freshness=self._freshness(),
            enabled=self._enabled,
            adopted_at=adopted,
            has_token=self._has_token,
        )

    def _parent(self, app: Application) -> Application | None:
        namespace, _, name = app.parent.partition("/")
        return self._store.applications.get((namespace, name)) if name else None

    def _inherited_unwell(self, adopted: datetime | None) -> int:
        if adopted is None:
            return len(self._store.inherited)
        sights = (self._store.sights.get(uid) for uid in self._store.inherited)
        return sum(1 for sight in sights if sight is not None and sight.first_seen > adopted)
