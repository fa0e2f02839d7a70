"""The fleet as last seen, in memory, with what we remember of each subject."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from msgspec import structs

from recovery.clock import Clock
from recovery.decide.conditions import onset, plainly_well, track
from recovery.decide.reconciled import unreconciled
from recovery.kube.reading import older
from recovery.model.application import Application, ApplicationSet, Health, Project, Sync
from recovery.model.cause import Observations
from recovery.model.connection import ident
from recovery.model.names import STRANGERS, SubjectKey
from recovery.model.policy import Policies
from recovery.model.situation import DeployEffects, HealthyRevision, OwnChange, SubjectState
from recovery.observe.skew import Skew
from recovery.observe.unhealthy_index import UnhealthyIndex, slow_groups_of

Name = tuple[str, str]
BEHIND = 60.0
"""Seconds for which what is older than our own write is ignored."""
_NONE: dict[str, datetime] = {}
"""One empty mapping for all that are well: most of a fleet, and a good part of its memory."""


class Store:
    """Applications by namespace and name, and their sights. Filled by a reflector, read by the
    controller."""

    def __init__(
        self,
        clock: Clock,
        changed: Callable[[SubjectKey], None],
        follows: Callable[[SubjectKey], bool],
        namespaces: Iterable[str] = ("*",),
        unreconciled: Callable[[Application], str] = lambda app: unreconciled(
            app, None, app.namespace
        ),
        foreign: Callable[[Application], str] = lambda _: "",
        effective: Callable[[Application], Application] = lambda app: app,
    ) -> None:
        """``changed`` hears of every change that could matter, and of every one where ``follows``
        says so. ``effective`` gives an application the hold that a record vouches for."""
        self._effective = effective
        self.unreconciled = unreconciled
        """Why Argo CD does not reconcile an application: its status is then believed for
        nothing."""
        self.foreign = foreign
        """Why an application is not the project's that it names."""
        self._strangers: set[Name] = set()
        """Those of which that is so: in what is counted by project, all of them are one."""
        self._projects_known = False
        self._clock = clock
        self._changed = changed
        self._follows = follows
        self._globs = tuple(namespaces)
        self.applications: dict[Name, Application] = {}
        self.generation = 0
        """Another one after every change that is shown to people."""
        self.sights: dict[str, SubjectState] = {}
        """By UID."""
        self.dirty: set[str] = set()
        """UIDs whose sight changed since the checkpoint was written."""
        self.inherited: set[str] = set()
        """UIDs that are inherited and not yet well."""
        self.held: set[Name] = set()
        """Applications with an open hold."""
        self.noted: set[Name] = set()
        """Applications whose annotation speaks of a hold, whether or not a record does."""
        self.soaking: dict[str, Name] = {}
        """UIDs whose revision is on its way into the ledger, and where they are."""
        self.by_repository: dict[str, Collection[Name]] = {}
        """Who reads from a repository, by its ident without a project. Most have one reader, and a
        set for one is four tuples large."""
        self.by_cluster: defaultdict[str, set[Name]] = defaultdict(set)
        """Who runs where, by the word in the destination: a name or a server."""
        self.uncompared: set[Name] = set()
        """Applications with a ComparisonError."""
        self.moved: defaultdict[str, set[Name]] = defaultdict(set)
        """Applications that were moved to another cluster, by the recovery that did it."""
        self.illness = UnhealthyIndex()
        self.slow = UnhealthyIndex(slow_groups_of)
        """Those that fell ill with a deploy that had been seen to work."""
        self.families: defaultdict[str, set[Name]] = defaultdict(set)
        """Children of an app-of-apps, by their parent's ``namespace/name``."""
        self.ailing: set[Name] = set()
        """Applications that are worth a closer look."""
        self.any_ailing = asyncio.Event()
        """Set while there is one: who looks at them sleeps meanwhile."""
        self.signs: dict[str, Observations] = {}
        """What was looked up about those that are ill, by UID."""
        self._brought: dict[str, DeployEffects] = {}
        """What the newest deploy of those that are not well changed, by UID: a self-heal takes its
        result out of the Application."""
        self._own_changes: dict[str, tuple[tuple[str, ...], OwnChange]] = {}
        """Of held applications: what a look at the manifests of which revisions has shown, by
        UID."""
        self._own_writes: dict[str, tuple[str, float]] = {}
        """resourceVersion and moment of our newest write to an application, by UID, until the watch
        has shown what came after it."""
        self.turned: dict[str, datetime] = {}
        """When those that are worth a closer look were last seen to have changed, by UID and by our
        own clock."""
        self.causes: dict[str, str] = {}
        """What those that are ill were last found to be ill of, by UID."""
        self.frozen: dict[Name, str] = {}
        """Applications that Argo CD does not look at any more, and why that is believed."""
        self.standing: set[Name] = set()
        """Those of them that no other project's applications on their cluster speak against."""
        self.policies: Policies | None = None
        self.fresh_from = clock.now()
        self.skew = Skew(clock)
        """By how much Argo CD's clock is behind ours."""
        self.inheriting = False
        """A first install that has not yet seen the whole fleet: what is unwell is inherited."""

    def put(self, item: Application) -> None:
        """Add or update an application; the controller hears of it if anything changed that could
        matter."""
        if not any(fnmatchcase(item.namespace, glob) for glob in self._globs):
            return
        if self._outdated(item):
            return
        name, item = (item.namespace, item.name), self._effective(item)
        old = self.applications.get(name)
        self.applications[name] = item
        self.generation += old is None or (old.sync, old.health, old.hold, old.project) != (
            item.sync,
            item.health,
            item.hold,
            item.project,
        )
        if old is not None:
            self._unfile(name, old)
        self._file(name, item)
        (self.held.add if item.hold else self.held.discard)(name)
        (self.noted.add if item.noted else self.noted.discard)(name)
        if old is not None and old.uid != item.uid:
            self._forget(old.uid)
        if name in self.ailing and (old is None or shows(old) != shows(item)):
            self.turned[item.uid] = self._clock.now()
        elif name not in self.ailing:
            self.turned.pop(item.uid, None)
        if old is not None and item.reconciled_at and item.reconciled_at != old.reconciled_at:
            self.skew.arrived(item.reconciled_at)
        operation = item.operation
        if (
            operation is not None
            and operation.phase.over
            and not operation.partial
            and operation.changed is not None
        ):
            self._brought[item.uid] = DeployEffects(
                operation.revisions, operation.changed, operation.ran
            )
        elif plainly_well(item):
            self._brought.pop(item.uid, None)
        self._track(item)
        # Argo CD touches every application each few minutes; that alone is no news.
        same = (
            old is not None
            and structs.replace(
                old, resource_version=item.resource_version, reconciled_at=item.reconciled_at
            )
            == item
        )
        if not same or self._follows(item.key):
            self._changed(item.key)

    def wrote(self, item: Application) -> None:
        """Take in the API server's answer to our own write. The watch is behind that for a moment:
        what is older is ignored. Where it is ahead, because the answer was long on its way, the
        answer is: what is gone stays gone."""
        held = self.applications.get((item.namespace, item.name))
        if (
            held is None
            or held.uid != item.uid
            or older(item.resource_version, held.resource_version)
        ):
            return
        self._own_writes[item.uid] = (item.resource_version, self._clock.monotonic())
        self.put(item)

    def _outdated(self, item: Application) -> bool:
        """Is it of before our own write? After a minute whatever comes is believed: the API server
        may have been restored."""
        version, at = self._own_writes.get(item.uid, ("", 0.0))
        if not version:
            return False
        if older(item.resource_version, version) and self._clock.monotonic() - at < BEHIND:
            return True
        if item.resource_version != version:
            del self._own_writes[item.uid]
        return False

    def rehold(self, name: Name) -> None:
        """A record that is about it has changed: what it says is owed is what holds."""
        app = self.applications.get(name)
        if app is not None and (held := self._effective(app)) != app:
            self.put(held)

    def drop(self, namespace: str, name: str) -> None:
        """Remove an application."""
        gone = self.applications.pop((namespace, name), None)
        self.generation += 1
        if gone is not None:
            self._unfile((namespace, name), gone)
        self.held.discard((namespace, name))
        self.noted.discard((namespace, name))
        if gone is not None:
            self._forget(gone.uid)
            self._changed(gone.key)

    def counted(self, app: Application) -> Application:
        """As it is counted: by the project that it names, where that exists and takes it; else as
        one of those without."""
        return (
            structs.replace(app, project=STRANGERS)
            if (app.namespace, app.name) in self._strangers
            else app
        )

    def _file(self, name: Name, app: Application) -> None:
        (self._strangers.add if self.foreign(app) else self._strangers.discard)(name)
        for each in (self.illness, self.slow):
            each.joined(self.counted(app))
        if app.parent:
            self.families[app.parent].add(name)
        for url in app.repositories:
            _join(self.by_repository, ident(url), name)
        for word in filter(None, (app.destination.name, app.destination.server)):
            self.by_cluster[word].add(name)
        if app.hold and app.hold.target is not None:
            self.moved[app.hold.recovery].add(name)
        if self.unreconciled(app):
            return  # what it says of itself is nobody's word
        if any(c.type == "ComparisonError" for c in app.conditions):
            self.uncompared.add(name)
        if _ails(app):
            self.ailing.add(name)
            self.any_ailing.set()

    def _unfile(self, name: Name, app: Application) -> None:
        for each in (self.illness, self.slow):
            each.left(self.counted(app))
        if app.parent:
            _discard(self.families, app.parent, name)
        for url in app.repositories:
            _leave(self.by_repository, ident(url), name)
        for word in filter(None, (app.destination.name, app.destination.server)):
            _discard(self.by_cluster, word, name)
        self.uncompared.discard(name)
        self.ailing.discard(name)
        if not self.ailing:
            self.any_ailing.clear()
        if app.hold:
            _discard(self.moved, app.hold.recovery, name)

    def keep_only(self, scope: str, names: set[Name]) -> None:
        """After a whole list of one namespace (or of all): what is not named is gone."""
        for name in [
            n for n in self.applications if (not scope or n[0] == scope) and n not in names
        ]:
            self.drop(*name)

    def use(self, policies: Policies) -> None:
        """New policies: every subject is judged anew (the one full scan there is)."""
        self.policies = policies
        for app in self.applications.values():
            self._track(app)
            self._changed(app.key)

    def reconsider(self, project: str) -> None:
        """An AppProject is new, changed or gone: which applications it takes may be another matter
        now."""
        first, self._projects_known = not self._projects_known, True
        for name, app in list(self.applications.items()):
            if (
                first or app.project == project
            ):  # with the first that is known, those of unknown ones are told apart
                self._unfile(name, app)
                self._file(name, app)
                self._track(app)
                self._changed(app.key)

    def look(self, app: Application) -> SubjectState:
        """State of a subject, up to now."""
        self._track(app)
        return self.sights.get(app.uid) or SubjectState(app.uid, self._clock.now())

    def parent(self, app: Application) -> Application | None:
        """The app-of-apps that its tracking id names, if that one lists it: what a child says of
        itself makes nobody its parent."""
        namespace, _, name = app.parent.partition("/")
        found = self.applications.get((namespace, name)) if name else None
        return (
            found if found is not None and f"{app.namespace}/{app.name}" in found.children else None
        )

    def dismiss(self, uid: str, policy: str) -> None:
        """A person deleted the open recovery of a subject: it is not opened again while the illness
        lasts."""
        sight = self.sights.get(uid)
        if sight is not None and policy not in sight.dismissed:
            self.sights[uid] = structs.replace(sight, dismissed=(*sight.dismissed, policy))
            self.dirty.add(uid)

    def examined(self, uid: str, name: Name, signs: Observations) -> None:
        """Take in a closer look at an application."""
        app, old = self.applications.get(name), self.signs.get(uid)
        if app is None or app.uid != uid or name not in self.ailing:
            return  # it is gone, or well by now
        self.signs[uid] = signs
        if old is None or structs.replace(old, at=signs.at) != signs:
            self._track(app)
            self._changed(app.key)

    def brought(self, app: Application) -> DeployEffects | None:
        """Effects of the running deploy; None where that was not seen."""
        found = self._brought.get(app.uid)
        return (
            found
            if found is not None and app.deployed and found.revisions == app.deployed
            else None
        )

    def compared(self, app: Application, found: OwnChange) -> None:
        """Take in a comparison of the manifests of a held application's newest revision with those
        of the one that was called bad."""
        self._own_changes[app.uid] = (app.revisions, found)
        self._changed(app.key)

    def own_change(self, app: Application) -> OwnChange:
        """Result of that comparison, of the revisions that Git wants now."""
        revisions, found = self._own_changes.get(app.uid, ((), OwnChange.unknown))
        return found if revisions == app.revisions else OwnChange.unknown

    def ledger(self, uid: str) -> tuple[HealthyRevision, ...]:
        """The deploys of an application that were seen to work, newest last."""
        sight = self.sights.get(uid)
        return sight.ledger if sight is not None else ()

    def pending(self) -> Iterable[tuple[Application, SubjectState]]:
        """Subjects on which a clock runs."""
        for app in self.applications.values():
            sight = self.sights.get(app.uid)
            if sight is not None and sight.clocks:
                yield app, sight

    def retime(
        self, change: Callable[[SubjectState], SubjectState], jump: timedelta = timedelta()
    ) -> None:
        """Time has passed that nobody watched, or our clock was set by ``jump``: every running
        clock is put right."""
        self.skew.jumped(jump)
        self.fresh_from = self._clock.now()
        for uid, sight in list(self.sights.items()):
            if (sight.clocks or sight.soaking or sight.moved) and (now := change(sight)) != sight:
                self.sights[uid] = now
                self.dirty.add(uid)
        for app, _ in list(self.pending()):
            self._track(app)
            self._changed(app.key)

    def ripen(self) -> None:
        """Take into the ledger what has been well for long enough, also where no change told of
        it."""
        for uid, name in list(self.soaking.items()):
            app = self.applications.get(name)
            if app is None or app.uid != uid:
                del self.soaking[uid]
            else:
                self._track(app)

    def forget_absent(self) -> None:
        """After the first whole list: what the checkpoint remembers and is no longer there is let
        go."""
        present = {app.uid for app in self.applications.values()}
        for uid in [
            uid
            for uid in self.sights
            if uid not in present and not uid.startswith(("cluster-", "repository-"))
        ]:
            self._forget(uid)

    def _track(self, app: Application) -> None:
        if self.policies is None:
            return
        old = self.sights.get(app.uid)
        new = track(
            old,
            app,
            self.policies,
            self._clock.now(),
            self.fresh_from,
            self.inheriting,
            self.signs.get(app.uid),
            believed=not self.unreconciled(app),
        )
        if new != old:
            if not new.clocks:
                new = structs.replace(new, clocks=_NONE)
            self.sights[app.uid] = new
            self.dirty.add(app.uid)
        since = onset(app, new, self.policies) if new.clocks else None
        self.illness.found(self.counted(app), since)
        deploy = app.deploy
        good = deploy is not None and any(
            (g.history_id, g.revisions) == (deploy.id, deploy.revisions) for g in new.ledger
        )
        self.slow.found(self.counted(app), since if good else None)
        (self.inherited.add if new.inherited else self.inherited.discard)(app.uid)
        if new.soaking is None:
            self.soaking.pop(app.uid, None)
        else:
            self.soaking[app.uid] = (app.namespace, app.name)

    def _forget(self, uid: str) -> None:
        if self.sights.pop(uid, None) is not None:
            self.dirty.add(uid)
        self.inherited.discard(uid)
        self.signs.pop(uid, None)
        self._own_writes.pop(uid, None)
        self.turned.pop(uid, None)
        self._own_changes.pop(uid, None)
        self._brought.pop(uid, None)
        self.causes.pop(uid, None)


def shows(app: Application) -> str:
    """Changes when there may be something new to see of its resources."""
    operation = app.operation
    running = f"{operation.phase.value} {operation.started_at}" if operation else ""
    return f"{app.sync.value} {app.health.value} {app.health_since} {running} {app.deployed}"


def _ails(app: Application) -> bool:
    """May a closer look tell more than the Application does?"""
    failed = (
        app.operation is not None and bool(app.operation.failed) and app.sync is not Sync.Synced
    )
    return not app.deleting and (
        failed
        or app.rollout_paused
        or app.health in (Health.Degraded, Health.Progressing, Health.Missing)
    )


def _discard(index: defaultdict[str, set[Name]], key: str, name: Name) -> None:
    index[key].discard(name)
    if not index[key]:
        del index[key]


def _join(index: dict[str, Collection[Name]], key: str, name: Name) -> None:
    there = index.setdefault(key, (name,))
    if isinstance(there, set):
        there.add(name)
    elif name not in there:
        index[key] = {*there, name}


def _leave(index: dict[str, Collection[Name]], key: str, name: Name) -> None:
    there = index.get(key, ())
    if isinstance(there, set):
        there.discard(name)
    if not there or there == (name,):
        index.pop(key, None)


class ObjectCache:
    """AppProjects, or ApplicationSets: small things by namespace and name, one shelf a kind."""

    def __init__(self, changed: Callable[[str], None] = lambda _: None) -> None:
        """``changed`` hears the name of what is new, newer or gone."""
        self._items: dict[Name, Project | ApplicationSet] = {}
        self._changed = changed

    def put(self, item: Project | ApplicationSet) -> None:
        """Add or update an object."""
        before = self._items.get((item.namespace, item.name))
        self._items[item.namespace, item.name] = item
        if before != item:
            self._changed(item.name)

    def drop(self, namespace: str, name: str) -> None:
        """Remove an object."""
        if self._items.pop((namespace, name), None) is not None:
            self._changed(name)

    def keep_only(self, scope: str, names: set[Name]) -> None:
        """After a whole list of one namespace (or of all): what is not named is gone."""
        for name in [n for n in self._items if n not in names and (not scope or n[0] == scope)]:
            self.drop(*name)

    def __len__(self) -> int:
        return len(self._items)

    def all_sets(self) -> tuple[ApplicationSet, ...]:
        """Every ApplicationSet that the store knows."""
        return tuple(item for item in self._items.values() if isinstance(item, ApplicationSet))

    def project(self, namespace: str, name: str) -> Project | None:
        """The AppProject of this name; they all live in Argo CD's namespace."""
        item = self._items.get((namespace, name))
        return item if isinstance(item, Project) else None

    def application_set(self, namespace: str, name: str) -> ApplicationSet | None:
        """The ApplicationSet of this namespace and name, or None."""
        item = self._items.get((namespace, name))
        return item if isinstance(item, ApplicationSet) else None
