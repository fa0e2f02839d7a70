"""Wiring for a real cluster: build, start, stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

import structlog

from recovery.act.action import ArgoCD, Clients
from recovery.act.action import ClusterClients as ActWays
from recovery.act.executor import Executor
from recovery.act.registry import ACTION_KINDS, ALL_ACTIONS, POLICY_ACTIONS
from recovery.argocd.ownership import Ownership
from recovery.clock import Clock
from recovery.controller import RECOVERY, RETRY_CONFLICT, Controller
from recovery.decide.conditions import plainly_well
from recovery.decide.notifications import (
    adoption_digest,
)
from recovery.decide.reconciled import foreign, unreconciled
from recovery.groups import Groups
from recovery.kube.client import (
    APPLICATION_SETS,
    APPLICATIONS,
    CONFIG_MAPS,
    PROJECTS,
    RECOVERIES,
    Client,
)
from recovery.kube.errors import KubeError
from recovery.kube.lease import Shards
from recovery.kube.remote import Remotes as KubeRemotes
from recovery.model.application import Application, Project
from recovery.model.connection import IN_CLUSTER, IN_CLUSTER_SERVER, Cluster
from recovery.model.names import SubjectKey
from recovery.model.policy import Policies
from recovery.model.recovery import PendingNotification, Recovery
from recovery.model.situation import Freshness
from recovery.monitors.circuits import CircuitMonitor
from recovery.monitors.clock import ClockMonitor
from recovery.monitors.holds import HoldMonitor
from recovery.monitors.pauses import PauseMonitor
from recovery.monitors.targets import TargetMonitor
from recovery.notification_context import NotificationContext
from recovery.notify.dispatcher import Dispatcher, Send
from recovery.notify.heartbeat import Heartbeat
from recovery.notify.http_post import post
from recovery.notify.receiver_queue import DEAD_AFTER
from recovery.notify.receiver_urls import Channels
from recovery.observe import pauses, policy_source, probes, wire
from recovery.observe.commits import Commits, Describes
from recovery.observe.connections import Connections
from recovery.observe.inspection_queue import InspectionQueue
from recovery.observe.inspector import ArgoCDReader, Inspector
from recovery.observe.manifests import ManifestComparer
from recovery.observe.pauses import Pauses
from recovery.observe.policy_source import ConfigMap, PolicySource
from recovery.observe.poller import AskGit, AskWitness, ClusterClients, Connect, Poller, Word
from recovery.observe.reconcile_monitor import ReconcileMonitor
from recovery.observe.reflector import Reflector
from recovery.observe.store import ObjectCache, Store
from recovery.observe.version_poller import VersionPoller
from recovery.policies import Defaults
from recovery.queries import ProcessState, Queries
from recovery.read_model import ReadModel
from recovery.record.audit import Journal
from recovery.record.checkpoint import CHECKPOINT_INTERVAL, Checkpoint
from recovery.record.codec import API_VERSION, decode
from recovery.record.events import Events
from recovery.record.metrics import Metrics
from recovery.record.recovery_store import ClaimLost, Recoveries
from recovery.record.states import FleetRecorder, StateLog
from recovery.record.tracing import Traces
from recovery.record.v1alpha1 import migrate
from recovery.settings import Settings
from recovery.snapshot import Installation, SnapshotBuilder
from recovery.workqueue import WorkQueue

log = structlog.get_logger(__name__)

WORKERS = 8
STOP_GRACE = 3.0
"""Seconds that a write in hand is given when we are told to stop."""
TROUBLED = timedelta(minutes=1)


class AskArgoCD(ArgoCD, Word, ArgoCDReader, Describes, Protocol):
    """Argo CD's API, as actions and the poller need it."""


class Looks(NamedTuple):
    """How other clusters, Git servers and a witness outside are looked at."""

    ways: Remotes
    connect: Connect
    ask_git: AskGit
    witness: AskWitness


class Remotes(ClusterClients, ActWays, Protocol):
    """The ways to other clusters, as actions and the poller need them."""

    async def close(self) -> None:
        """Drop all connections."""


class Connected(Client, Protocol):
    """A client that counts its calls."""

    calls: dict[tuple[str, str], int]


class App:
    """One controller over one connection. ``run`` until ``stop`` is called."""

    def __init__(
        self,
        settings: Settings,
        client: Connected,
        clock: Clock,
        send: Send,
        argocd: AskArgoCD | None = None,
        looks: Looks | None = None,
    ) -> None:
        """``looks`` is how other clusters and Git servers are looked at; by default over the
        network."""
        self.settings = settings
        self._client = client
        self._clock = clock
        self.queue = WorkQueue(clock)
        self._stopping = asyncio.Event()
        self._start: Callable[[Coroutine[Any, Any, None]], object] = asyncio.ensure_future
        self._busy = 0
        self.metrics = Metrics()
        self.events = Events(client, clock, settings.identity)
        self.traces = Traces(settings.otlp_endpoint, settings.otlp_headers, clock)
        self._build_records()
        self._build_observers(argocd, looks)
        self._build_channels(send)
        self._build_streams()
        self._build_judgement(argocd)

    def _build_records(self) -> None:
        settings, client, clock = self.settings, self._client, self._clock
        destructive = frozenset(name for name, kind in ACTION_KINDS.items() if kind.destructive)
        # Switched off, it keeps its own records and must not keep another one from acting.
        name = settings.lease if settings.enabled else f"{settings.lease}-observe"
        identity = settings.identity or f"{id(self):x}"
        self.shards = Shards(
            client,
            settings.argocd_namespace,
            name,
            settings.shards,
            identity,
            clock,
            settings.lease_duration.total_seconds(),
        )
        self.shards.changed = self._shards_changed
        self._led = False
        self._had: set[int] = set()
        self._behind = False
        """Another replica had what is ours now, and what it wrote last is still to be read."""
        self.recoveries = Recoveries(
            client,
            settings.namespace,
            clock,
            self._recorded,
            self._lost,
            destructive,
            settings.shards,
            self._written,
        )

    def _build_observers(self, argocd: AskArgoCD | None, looks: Looks | None) -> None:
        settings, client, clock = self.settings, self._client, self._clock
        globs = (settings.argocd_namespace, *settings.application_namespaces)
        effective = self.recoveries.effective
        self.store = Store(
            clock,
            self.queue.add,
            self.recoveries.follows,
            globs,
            self._unreconciled,
            self._foreign,
            effective,
        )
        self.projects, self.application_sets = ObjectCache(self.store.reconsider), ObjectCache()
        self.connections = Connections(clock, self.store, self.queue.add, self.recoveries.follows)
        self.looks = looks or Looks(
            KubeRemotes(client, settings.argocd_namespace, settings.cluster_secrets),
            probes.connect,
            probes.ask_git,
            probes.witness,
        )
        self.poller = Poller(
            self.connections,
            lambda: self.store.applications,
            argocd,
            self.looks.ways,
            clock,
            interval=settings.poll_interval.total_seconds(),
            ask_git=settings.ask_git,
            witness=settings.witness,
            looks=(self.looks.connect, self.looks.ask_git, self.looks.witness),
            alive_here=lambda: self.freshness().fresh,
        )
        self.source = PolicySource(
            POLICY_ACTIONS,
            Defaults(settings.attempts, settings.interval),
            self._use,
            self._policies_refused,
        )
        self.pauses = Pauses(self._paused)

    def _build_channels(self, send: Send) -> None:
        settings, client, clock = self.settings, self._client, self._clock
        self.states = StateLog(clock.now)
        self.journal = Journal(
            self.metrics,
            self.events,
            self.traces,
            self.states,
            settings.namespace,
            settings.enabled,
        )
        self.checkpoint = Checkpoint(client, settings.namespace, clock)
        self._channels = Channels(
            client, settings.namespace, settings.channels, settings.channels_dir, clock
        )
        self.outbox = Dispatcher(
            send,
            self._channels,
            clock,
            self._delivered,
            self._unheard,
            self._told,
        )
        self.heartbeat = Heartbeat(self._channels, clock, self._not_well, post)

    def _build_streams(self) -> None:
        settings = self.settings
        self._records = self._stream(RECOVERIES, settings.namespace, decode, self.recoveries)
        self._ours = (
            self._stream(
                CONFIG_MAPS,
                settings.namespace,
                policy_source.decode,
                self.source,
                fieldSelector=f"metadata.name={settings.policies}",
            ),
            self._stream(
                CONFIG_MAPS,
                settings.namespace,
                policy_source.decode,
                self.pauses,
                fieldSelector=f"metadata.name={pauses.NAME}",
            ),
            self._records,
        )
        self._theirs = (
            *(
                self._stream(APPLICATIONS, ns, wire.application, self.store)
                for ns in settings.namespaces
            ),
            self._stream(PROJECTS, settings.argocd_namespace, wire.project, self.projects),
            *(
                self._stream(
                    APPLICATION_SETS, ns, wire.application_set, self.application_sets, optional=True
                )
                for ns in settings.namespaces
            ),
        )

    def _build_judgement(self, argocd: AskArgoCD | None) -> None:
        settings, clock = self.settings, self._clock
        self._known = ReadModel(
            self.store,
            self.projects,
            self.application_sets,
            self.connections,
            self.recoveries,
            self.source,
            pauses=lambda: self.pauses.all,
            freshness=self.freshness,
            clock=clock,
        )
        crowds = Groups(self._known)
        self.commits = Commits(argocd, clock)
        self._scene = scene = SnapshotBuilder(
            self._known,
            crowds,
            ACTION_KINDS,
            self.commits,
            Installation(
                settings.argocd_namespace,
                enabled=settings.enabled,
                has_token=argocd is not None,
            ),
            self.poller.witnessed,
        )
        self._build_monitors(scene)
        doors = self._build_inspectors(argocd, scene)
        self._build_reconcilers(scene, crowds, doors)
        self._build_queries(scene)

    def _build_inspectors(self, argocd: AskArgoCD | None, scene: SnapshotBuilder) -> Clients:
        settings, client, clock = self.settings, self._client, self._clock
        self.dialects = VersionPoller(argocd, clock)
        owns = Ownership(
            client,
            settings.argocd_namespace,
            clock,
            lambda: self.dialects.now,
            self._project,
            self._here,
        )
        look = Inspector(client, argocd, clock, lambda: self.store.applications, owns)
        self.examiner = InspectionQueue(self.store, look, clock, scene.diagnosis)
        self.comparer = ManifestComparer(self.store, argocd, clock) if argocd is not None else None
        self.freezer = ReconcileMonitor(
            self.store,
            client,
            settings.argocd_namespace,
            clock,
            lambda: self.freshness().fresh,
            self.queue.add,
            self._on_a_known_cluster,
        )
        return Clients(
            client,
            self.looks.ways,
            owns,
            argocd,
            settings.argocd_namespace,
            lambda: self.dialects.now,
        )

    def _build_reconcilers(self, scene: SnapshotBuilder, crowds: Groups, doors: Clients) -> None:
        clock, holds = self._clock, self.shards.holds
        executor = Executor(ALL_ACTIONS, doors, self._barred, clock)
        hearing = NotificationContext(self._known, holds)
        self.outbox.fleet = hearing
        self.controller = Controller(
            scene,
            crowds,
            self.recoveries,
            executor,
            self.journal,
            self.outbox,
            self.queue.add,
            clock,
            holds,
            hearing.reminds,
        )

    def _build_queries(self, scene: SnapshotBuilder) -> None:
        client = self._client
        process = ProcessState(
            self.settings.enabled,
            (*self._ours, *self._theirs),
            self.shards,
            lambda: client.calls,
            self.queue.__len__,
            lambda: self.events.dropped,
            lambda: str(self.dialects.now),
            lambda: self.checkpoint.totals,
        )
        self.views = Queries(self._known, scene, process, self.journal, self.metrics, self.outbox)

    def _build_monitors(self, scene: SnapshotBuilder) -> None:
        say, clock = self.outbox.say, self._clock
        self._fleet_recorder = FleetRecorder(
            self.states,
            lambda: map(self.store.counted, self.store.applications.values()),
            lambda: self.shards.lead,
            self.queue.add,
            clock.sleep,
        )
        self._circuit_monitor = CircuitMonitor(self.recoveries.circuits, say, clock)
        self._hold_monitor = HoldMonitor(scene.situation, say, clock)
        self._clock_monitor = ClockMonitor(
            self.store, clock, lambda: all(stream.fresh for stream in self._theirs)
        )
        self._target_monitor = TargetMonitor(self._known, lambda: self.shards.lead, say)
        self._pause_monitor = PauseMonitor(
            self.pauses,
            self._client,
            self.settings.namespace,
            lambda: self.shards.lead and self.freshness().fresh,
            say,
            clock,
        )

    def _stream(
        self,
        what: Any,
        namespace: str,
        decoder: Any,
        sink: Any,
        *,
        optional: bool = False,
        **query: str,
    ) -> Reflector[Any]:
        return Reflector(
            self._client, what, namespace, decoder, sink, self._clock, optional=optional, **query
        )

    def freshness(self) -> Freshness:
        """May what we see be acted upon? Both the fleet and our own records have to be heard
        from."""
        if self._behind:
            return Freshness(
                fresh=False, message="recoveries: read anew, another replica had them until now"
            )
        for stream in (*self._ours, *self._theirs):
            if stale := stream.stale:
                return Freshness(fresh=False, message=stale)
        return Freshness(fresh=True)

    def _not_well(self) -> str:
        """Why no sign of life is sent: it would say that all is watched, and that people would be
        told."""
        freshness = self.freshness()
        if not freshness.fresh:
            return freshness.message
        if not self.shards.held():
            return "this replica holds no Lease"
        dead = [lane.channel for lane in self.outbox.lanes() if lane.failures >= DEAD_AFTER]
        return f"people cannot be reached by {', '.join(dead)}" if dead else ""

    def _unreconciled(self, app: Application) -> str:
        """Why Argo CD does not reconcile it."""
        return unreconciled(app, self._project_of(app), self.settings.argocd_namespace)

    def _foreign(self, app: Application) -> str:
        """Why the AppProject that it names is not its own; nothing is said while no AppProject is
        known."""
        if not self.projects:
            return ""
        return foreign(
            app,
            self._project_of(app),
            self.connections.cluster_of(app),
            listed=self.connections.clusters_listed,
        )

    def _project_of(self, app: Application) -> Project | None:
        return self.projects.project(self.settings.argocd_namespace, app.project or "default")

    def _on_a_known_cluster(self, app: Application) -> bool:
        return app.destination.in_cluster or self.connections.cluster_of(app) is not None

    def _here(self) -> Cluster:
        """The cluster that Argo CD runs in."""
        return self.connections.clusters.get(IN_CLUSTER_SERVER) or Cluster(
            server=IN_CLUSTER_SERVER, name=IN_CLUSTER
        )

    async def _project(self, name: str) -> Project | None:
        return self.projects.project(self.settings.argocd_namespace, name)

    def _barred(self, uid: str) -> str:
        """Why nothing may be written for a subject any more, whatever was decided a moment ago."""
        if not self.shards.holds(uid):
            return "this replica does not hold the lease any more"
        freshness = self.freshness()
        return "" if freshness.fresh else freshness.message

    def stop(self) -> None:
        """Finish the writes in hand, then end ``run``."""
        self._stopping.set()

    async def run(self) -> None:
        """Observe, judge and act until stopped. Faults of the API server are waited out."""
        async with _tasks() as start:
            self._start = start
            for stream in self._ours:
                start(stream.run())
            start(self.events.run())
            start(self._kept_going("traces", self.traces.run))
            ready = asyncio.ensure_future(self._begin(start))
            stop = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait({ready, stop}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                ready.result()
            else:
                ready.cancel()
            await stop
            await self._wind_down()

    async def _begin(self, start: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        await self._persist("recoveries of v1alpha1", self._migrate)
        self.store.sights.update(await self._persist("checkpoint", self.checkpoint.load))
        # A hole in what we remember is no leave: what is unwell and unknown is treated as on the
        # first day.
        self.store.inheriting = self.connections.first = not self.checkpoint.found or bool(
            self.checkpoint.hole
        )
        await self._until(
            lambda: self.source.policies is not None and all(s.listed for s in self._ours)
        )
        self.store.fresh_from = self._clock.now()
        for stream in self._theirs:
            start(stream.run())
        await self._until(lambda: all(s.listed for s in self._theirs))
        self.store.inheriting = False
        self.store.forget_absent()
        log.info(
            "ready",
            applications=len(self.store.applications),
            inherited_unwell=len(self.store.inherited),
            enabled=self.settings.enabled,
        )
        await self.freezer.once()
        for recovery in self.recoveries.all():
            self.queue.add(recovery.subject.key)
        start(self._kept_going("leases", self.shards.run))
        if self.settings.enabled:
            start(self._kept_going("outbox", self.outbox.run))
            start(self._kept_going("heartbeat", self.heartbeat.run))
        start(self._kept_going("poller", self.poller.run))
        start(self._kept_going("dialect", self.dialects.run))
        start(self._kept_going("freezer", self.freezer.run))
        start(self._kept_going("examiner", self.examiner.run))
        start(self._kept_going("commits", self.commits.run))
        if self.comparer is not None:
            start(self._kept_going("manifests", self.comparer.run))
        start(self._until_looked())
        start(self._kept_going("targets", self._target_monitor.run))
        for _ in range(WORKERS):
            start(self._work())
        start(self._kept_going("checkpoint", self._keep_checkpoint))
        start(self._kept_going("housekeeping", self._housekeeping))
        start(self._kept_going("states", self._fleet_recorder.run))
        start(self._kept_going("pauses", self._pause_monitor.run))
        start(self._kept_going("time", self._clock_monitor.run))

    def _shards_changed(self) -> None:
        """Something became ours to act on, or somebody else's."""
        held = set(self.shards.held())
        if held - self._had and not self.shards.alone and not self._behind:
            # The watch may be behind by as much as counts as fresh: what the other one opened a
            # moment ago is not seen yet, and a second recovery would be opened beside it.
            self._behind = True
            self._start(self._read_up())
        if held - self._had:
            self.states.gained(held, self.settings.shards)
            for app in self.store.applications.values():
                if not plainly_well(app):
                    self.queue.add(app.key)
        self._had = held
        for recovery in self.recoveries.all():
            if self.shards.holds(recovery.subject.uid):
                self.outbox.tell(recovery)
        self._wake()
        if self.shards.lead:
            self._circuit_monitor.check()
        if self.shards.lead and not self._led:
            self.store.dirty |= set(
                self.store.sights
            )  # what another one kept until now is kept by us
            self.checkpoint.forget_layout()
            if not self.checkpoint.found or self.checkpoint.hole:
                self._announce_inheritance()
        self._led = self.shards.lead

    async def _migrate(self) -> None:
        """Records as an older release wrote them; one may still run beside us."""
        if written := await migrate(self._client, self.settings.namespace):
            log.info("recoveries of v1alpha1 were written anew", recoveries=written)

    async def _read_up(self) -> None:
        if self._records.unreadable:  # by an older replica, as long as one runs beside us
            await self._persist("recoveries of v1alpha1", self._migrate)
        await self._persist("records", self.recoveries.reread)
        self._behind = False
        self._wake()

    async def _work(self) -> None:
        while not self._stopping.is_set():
            key = await self.queue.get()
            if self._stopping.is_set():
                self.queue.done(key)  # nothing new is begun
                return
            self._busy += 1
            try:
                await self.controller.reconcile(key)
                self.metrics.passes.labels("done").inc()
            except ClaimLost as error:
                log.info(
                    "claim lost, judged again",
                    subject=str(key),
                    why=str(error),
                    unreadable=error.taken,
                )
                self.metrics.passes.labels("claim lost").inc()
                self.queue.add(
                    key, self._clock.now() + (TROUBLED if error.taken else RETRY_CONFLICT)
                )
            except Exception:
                log.exception("pass failed", subject=str(key))
                self.metrics.passes.labels("failed").inc()
                self.queue.add(key, self._clock.now() + TROUBLED)
            finally:
                self._busy -= 1
                self.queue.done(key)
            await asyncio.sleep(
                0
            )  # a pass may end without ever having waited: the others have their turn all the same

    async def _kept_going(self, what: str, run: Callable[[], Awaitable[None]]) -> None:
        """An unforeseen error in one part must not end the others."""
        while True:
            try:
                await run()
            except Exception:
                log.exception("failed, and is started again", what=what)
            await self._clock.sleep(5)

    async def _until_looked(self) -> None:
        """After the first round of looks, what fails is news and no longer inherited."""
        await self._until(
            lambda: self.connections.clusters_looked and self.connections.repositories_looked
        )
        self.connections.first = False

    async def _keep_checkpoint(self) -> None:
        while True:
            await self._clock.sleep(CHECKPOINT_INTERVAL)
            self.store.ripen()
            if self.shards.lead:
                await self._save()

    async def _save(self) -> None:
        dirty, self.store.dirty = self.store.dirty, set()
        ticking = any(sight.clocks for sight in self.store.sights.values()) if not dirty else True
        try:
            await self.checkpoint.save(self.store.sights, dirty, ticking=ticking)
        except KubeError as error:
            self.store.dirty |= dirty
            log.warning("checkpoint not written", why=str(error))

    async def _housekeeping(self) -> None:
        """The resync: what is pending or open is looked at even if nobody says that it changed."""
        while True:
            held = [app for name in self.store.held if (app := self.store.applications.get(name))]
            if self.shards.lead:
                if self._records.unreadable:
                    with contextlib.suppress(KubeError):
                        await self._migrate()
                holding = frozenset(app.hold.recovery for app in held if app.hold)
                self.checkpoint.retired(await self.recoveries.retire(holding))
                apps = self.store.applications
                noted = (app for name in self.store.noted if (app := apps.get(name)) is not None)
                self._hold_monitor.check(held, noted)
            for key in self.recoveries.debtors:
                self.queue.add(
                    key
                )  # everything that is owed is looked at, also what no annotation speaks of
            for name in self.recoveries.unwritten:
                await self._restore(name)
            for recovery in self.recoveries.all():
                if recovery.notes and self.shards.holds(recovery.subject.uid):
                    self.outbox.tell(
                        recovery
                    )  # its end may have been written while nobody could tell of it
            for cluster in self.connections.homes():
                self.queue.add(cluster.key)
            for app, _ in list(self.store.pending()):
                self.queue.add(app.key)
            await self._clock.sleep(self.settings.interval.total_seconds())

    async def _wind_down(self) -> None:
        began = self._clock.monotonic()
        while self._busy and self._clock.monotonic() - began < STOP_GRACE:
            await self._clock.sleep(0.02)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.8):
                if (
                    self.source.policies is not None
                    and all(s.listed for s in self._theirs)
                    and self.shards.lead
                ):
                    await self._save()
                await self.shards.leave()
        log.info("stopped", unfinished=self._busy)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._clock.sleep(0.1)

    async def _persist(self, what: str, read: Callable[[], Awaitable[Any]]) -> Any:
        pause = 0.5
        while True:
            try:
                return await read()
            except KubeError as error:
                log.warning("cannot be read, will try again", what=what, why=str(error))
            await self._clock.sleep(pause)
            pause = min(pause * 2, 30)

    def _use(self, policies: Policies) -> None:
        self.outbox.policies = policies
        self.store.use(policies)
        self.connections.tick()
        self._wake()

    def _recorded(self, key: SubjectKey) -> None:
        """A record is new or newer: what it owes holds from now on."""
        self._written(key)
        self.queue.add(key)

    def _written(self, key: SubjectKey) -> None:
        if key.kind == "application":
            self.store.rehold((key.namespace, key.name))
        if self.shards.lead:
            self._circuit_monitor.check()

    def _lost(self, gone: Recovery) -> None:
        """A recovery was deleted by hand: if it was open that was meant, and it is not opened again
        while the illness lasts. What owes something is written again, ended or not."""
        why = self._records.unreadable.get(f"{self.settings.namespace}/{gone.name}", "")
        # The store still knows the hold that it vouched for: it is asked before it hears of the
        # loss.
        held = (
            app.hold
            for name in self.store.held
            if (app := self.store.applications.get(name)) is not None
        )
        owes = bool(gone.owed) or any(
            hold is not None and hold.recovery == gone.name for hold in held
        )
        if owes and not why:
            self._rewrite(gone)
            return
        if gone.phase.over:
            return
        if not gone.owed:
            self.store.dismiss(gone.subject.uid, gone.policy)
        if not self.shards.holds(gone.subject.uid):
            return
        what = f"can no longer be read ({why})" if why else "was deleted"
        body = (
            f"The record {gone.name} {what}; nothing more is done for it. It stood at"
            f" {gone.phase.value}: {gone.message}"
        )
        log.warning("a recovery is lost", recovery=gone.name, subject=str(gone.subject), why=what)
        title = f"{gone.subject}: its recovery {what.partition(' (')[0]}"
        # It ends the incident: nobody will ever do it otherwise.
        self.outbox.say(
            PendingNotification(
                f"{gone.name}/lost/{gone.version}", title, body, "warning", resolves=True
            ),
            gone,
        )

    def _rewrite(self, gone: Recovery) -> None:
        """A record that says what is owed is the only proof of it: it stays known, and is written
        again by whoever has the subject."""
        if not self.shards.holds(gone.subject.uid):
            return
        self.recoveries.keep(gone)
        log.warning(
            "a record of what is owed was deleted, and is written again",
            recovery=gone.name,
            subject=str(gone.subject),
        )
        self._start(self._restore(gone.name))

    async def _restore(self, name: str) -> None:
        try:
            await self.recoveries.restore(name)
        except (ClaimLost, KubeError) as error:
            log.warning(
                "it could not be written again, and is tried once more",
                recovery=name,
                why=str(error),
            )

    def _paused(self) -> None:
        """People paused or resumed something: all that waits is looked at again."""
        self._wake()
        for recovery in self.recoveries.all():
            if self.shards.holds(recovery.subject.uid):
                self.outbox.tell(recovery)

    def _wake(self) -> None:
        for recovery in self.recoveries.all():
            if not recovery.phase.over:
                self.queue.add(recovery.subject.key)
                self.queue.add(
                    SubjectKey(RECOVERY, "", recovery.name)
                )  # what is due to be said depends on all this, too
        for app, _ in list(self.store.pending()):
            self.queue.add(app.key)
        for about in self.connections.all():
            self.queue.add(about.key)

    def _policies_refused(self, item: ConfigMap, message: str) -> None:
        meta = item.metadata
        about = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
        }
        if self.shards.members and not self.shards.lead:
            return  # another replica says it
        self.events.emit(about, "PoliciesRefused", message, action="load", warning=True)
        self.outbox.say(
            PendingNotification(
                f"policies/{meta.resource_version}", "recovery policies refused", message
            )
        )

    def _announce_inheritance(self) -> None:
        unwell = [
            app for app in self.store.applications.values() if app.uid in self.store.inherited
        ]
        if note := adoption_digest(unwell):
            log.warning("inherited", title=note.title, body=note.body)
            self.outbox.say(note)

    def _delivered(self, recovery: str) -> None:
        self.queue.add(SubjectKey(RECOVERY, "", recovery))

    def _told(self, channel: str, result: str) -> None:
        self.metrics.messages.labels(channel, result).inc()

    def _unheard(self, note: PendingNotification, recovery: str) -> None:
        log.warning(
            "no channel configured",
            title=note.title,
            body=note.body,
            recovery=recovery,
            channels=list(note.channels),
        )
        held = self.recoveries.get(recovery)
        if held is not None:
            about = {
                "apiVersion": API_VERSION,
                "kind": "Recovery",
                "namespace": self.settings.namespace,
                "name": recovery,
            }
            self.events.emit(
                about,
                "Message",
                f"{note.title}: {note.body}",
                action="notify",
                warning=not note.resolves,
            )


@contextlib.asynccontextmanager
async def _tasks() -> Any:  # an async generator of a starter
    """Background tasks that end with the block; one that fails ends the block."""

    class Over(Exception):
        """Ends a group that would otherwise wait for tasks that never end."""

    try:
        async with asyncio.TaskGroup() as group:
            yield group.create_task
            raise Over
    except* Over:
        pass
