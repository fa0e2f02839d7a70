"""Queries: what the controller shows of itself: over HTTP, and to ``recovery status``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from recovery import __version__
from recovery.causes.report import told
from recovery.decide import notifications
from recovery.decide.connections import connection
from recovery.decide.guards import GUARDS
from recovery.decide.totals import Totals
from recovery.kube.lease import Shards
from recovery.model.connection import Cluster, Connection, Repository
from recovery.model.names import SubjectKey
from recovery.model.recovery import RecoveryPhase
from recovery.notify.dispatcher import Dispatcher
from recovery.observe.reflector import Reflector
from recovery.page_queries import CanView, PageQueries
from recovery.read_model import ReadModel
from recovery.record.audit import Journal
from recovery.record.codec import row
from recovery.record.metrics import Metrics
from recovery.snapshot import SnapshotBuilder

SHOWN_ROWS = 500
"""Rows of each list that an answer holds."""


class ProcessState(NamedTuple):
    """State of the controller's own process, for status and metrics."""

    enabled: bool
    """False: it only observes."""
    streams: Sequence[Reflector[Any]]
    shards: Shards
    calls: Callable[[], Mapping[tuple[str, str], int]]
    """Requests to the API server, by verb and status."""
    queued: Callable[[], int]
    """Keys in the work queue."""
    dropped: Callable[[], int]
    """Kubernetes Events that were dropped."""
    argocd: Callable[[], str]
    """Version of Argo CD."""
    totals: Callable[[], Totals]
    """What came of the recoveries whose records are retired."""


class Queries:
    """Reads the stages; counts nothing itself."""

    def __init__(
        self,
        known: ReadModel,
        scene: SnapshotBuilder,
        process: ProcessState,
        journal: Journal,
        metrics: Metrics,
        outbox: Dispatcher,
    ) -> None:
        self._store = known.store
        self._recoveries = known.recoveries
        self._source = known.source
        self._connections = known.connections
        self._clock = known.clock
        self._pauses = known.pauses
        self._scene = scene
        self._process = process
        self._journal = journal
        self._metrics = metrics
        self._outbox = outbox
        self.browsing = PageQueries(known, journal, process.totals)

    def ready(self) -> tuple[str, ...]:
        reasons = [] if self._source.policies else [f"no policies: {self._source.error}"]
        reasons += [
            s.stale + (f": {s.error}" if s.error else "") for s in self._process.streams if s.stale
        ]
        return tuple(reasons)

    def details(self) -> Mapping[str, Any]:
        policies = self._source.policies
        return {
            "enabled": self._process.enabled,
            "applications": len(self._store.applications),
            "frozen": len(self._store.frozen),
            "argocd": self._process.argocd(),
            "policies": policies.hash if policies else None,
            "policies_error": self._source.error or None,
            "warnings": self._connections.warnings,
            "distrusted": self._recoveries.distrusted(),
            "channels": [msgspec.to_builtins(lane) for lane in self._outbox.lanes()],
            "undelivered": list(self._outbox.dead),
            "replica": {
                "identity": self._process.shards.identity,
                "holds": self._process.shards.held(),
                "shards": self._process.shards.count,
                "replicas": self._process.shards.members,
                "trouble": self._process.shards.trouble or None,
            },
            "pauses": [
                {
                    "name": p.name,
                    "by": p.by,
                    "reason": p.reason,
                    "until": p.until,
                    "silences": p.silences,
                }
                for p in (*(policies.pauses if policies else ()), *self._pauses())
                if p.runs(self._clock.now())
            ],
        }

    def metrics(self) -> bytes:
        m = self._metrics
        m.applications.set(len(self._store.applications))
        m.queue.set(self._process.queued())
        m.events_dropped.is_at(self._process.dropped())
        m.policy_errors.is_at(self._source.errors)
        m.policies_good.set(0 if self._source.error else 1)
        now = self._clock.now()
        m.connections.clear()
        for kind in ("cluster", "repository"):
            for each in Connection:
                m.connections.labels(kind, each.value).set(
                    0
                )  # a series that is not there is no zero
        for (kind, state), number in Counter(
            (a.key.kind, connection(a, now)[0].value) for a in self._connections.all()
        ).items():
            m.connections.labels(kind, state).set(number)
        for gauge in (m.channel_failures, m.messages_waiting):
            gauge.clear()
        for lane in self._outbox.lanes():
            m.channel_failures.labels(lane.channel).set(lane.failures)
            m.messages_waiting.labels(lane.channel).set(lane.waiting)
        m.dead_letters.set(len(self._outbox.dead))
        m.distrusted.set(len(self._recoveries.distrusted()))
        m.shards.set(len(self._process.shards.held()))
        m.needs_person.set(sum(r.needs_person for r in self._recoveries.all()))
        m.away.set(sum(len(r.owed) for r in self._recoveries.all()))
        for (verb, status), count in self._process.calls().items():
            m.api.is_at(count, verb, status)
        for stream in self._process.streams:
            m.watch_age.labels(stream.name).set(stream.age)
            m.watch_restarts.is_at(stream.restarts, stream.name)
            m.unreadable.labels(stream.name).set(len(stream.unreadable))
        latest = [entry for entries in self._journal.latest.values() for entry in entries]
        for gauge, counts in (
            (m.causes, Counter(self._store.causes.values())),
            (m.active, Counter(r.phase.value for r in self._recoveries.all())),
            (m.pending, Counter(e.policy for e in latest if e.reason == "Pending")),
            (m.suppressed, Counter(e.by for e in latest if e.kind == "Suppress")),
        ):
            gauge.clear()
            zeros = (
                [p.value for p in RecoveryPhase]
                if gauge is m.active
                else [g.name for g in GUARDS]
                if gauge is m.suppressed
                else []
            )
            for label in zeros:
                gauge.labels(label).set(0)
            for label, number in counts.items():
                gauge.labels(label).set(number)
        return m.render()

    def recoveries(self, sees: CanView) -> Mapping[str, Any]:
        reasons = self.ready()
        quiet = [
            {
                "subject": str(key),
                "kind": e.kind,
                "policy": e.policy,
                "reason": e.reason,
                "by": e.by,
                "message": e.message,
                "again_at": e.again_at,
            }
            for key, entries in self._journal.latest.items()
            if sees(self.browsing.subject(key)[0])
            for e in entries
            if e.reason == "Pending" or (e.kind == "Suppress" and not e.recovery)
        ]
        clusters = sorted(self._connections.clusters.values(), key=lambda c: c.name)
        repositories = sorted(self._connections.repositories.values(), key=lambda r: r.name)
        recoveries = [r for r in self._recoveries.all() if sees(r.subject.project)]
        return {
            "version": __version__,
            **(self.details() if sees("") else {"enabled": self._process.enabled}),
            "ready": not reasons,
            "reasons": reasons,
            "recoveries": [row(r) for r in recoveries[:SHOWN_ROWS]],
            "pending": quiet[:SHOWN_ROWS],
            "pending_total": len(quiet),
            "clusters": [self._connected(c) for c in clusters[:SHOWN_ROWS]] if sees("") else [],
            "repositories": [self._connected(r) for r in repositories if sees(r.project)][
                :SHOWN_ROWS
            ],
            "missing": [
                words for each in self._connections.missing.values() for words in each if sees("")
            ],
        }

    def _connected(self, about: Cluster | Repository) -> dict[str, Any]:
        """One line of what is known of a repository or a cluster: state, since when, on whose
        word."""
        now = self._clock.now()
        state, words = connection(about, now)
        sight = self._store.sights.get(about.uid)
        return {
            "name": about.name,
            "server": about.server if isinstance(about, Cluster) else "",
            "state": state.value,
            "since": min(sight.clocks.values()) if sight and sight.clocks else None,
            "words": words,
            "good_at": about.good_at,
            "applications": about.applications,
            "evidence": [
                {"by": e.by.value, "verdict": e.verdict.value, "at": e.at, "message": e.message}
                for e in about.evidence
            ],
            "trouble": about.trouble,
        }

    def explain(self, key: SubjectKey, sees: CanView) -> Mapping[str, Any] | None:
        if key.kind == "application":
            return self._explain_application(key, sees)
        about = self._connections.get(key)
        return self._explain_connected(about, sees) if about is not None else None

    def _explain_connected(self, about: Cluster | Repository, sees: CanView) -> Mapping[str, Any]:
        names = (
            self._connections.on(about)
            if isinstance(about, Cluster)
            else self._connections.reading(about)
        )
        apps = [
            app
            for name in sorted(names)[:SHOWN_ROWS]
            if sees((app := self._store.applications[name]).project)
        ]
        return {
            **self._about(about.key, about.uid, sees),
            **self._connected(about),
            "diagnosis": told(self._scene.reason(about, self._clock.now())),
            "depending": [
                {"subject": str(app.key), "state": notifications.state(app), "project": app.project}
                for app in apps
            ],
        }

    def _about(self, key: SubjectKey, uid: str, sees: CanView) -> dict[str, Any]:
        """The fields that the status of every subject has."""
        sight = self._store.sights.get(uid)
        opened, past = self._recoveries.of(uid)
        return {
            "subject": str(key),
            "decisions": [msgspec.to_builtins(e) for e in self._journal.latest.get(key, ())],
            "clocks": msgspec.to_builtins(sight.clocks) if sight else {},
            "inherited": bool(sight and sight.inherited),
            "recovery": msgspec.to_builtins(opened)
            if opened and sees(opened.subject.project)
            else None,
            "past": [
                row(r) for r in past[-5:] if sees(r.subject.project)
            ],  # it may have been another project's
        }

    def _explain_application(self, key: SubjectKey, sees: CanView) -> Mapping[str, Any] | None:
        app = self._store.applications.get((key.namespace, key.name))
        if app is None:
            return None
        sight, finding = self._store.sights.get(app.uid), self._scene.diagnosis(app)
        return {
            **self._about(key, app.uid, sees),
            "state": notifications.state(app),
            "diagnosis": told(finding),
            "signs": msgspec.to_builtins(signs)
            if (signs := self._store.signs.get(app.uid))
            else None,
            "ledger": msgspec.to_builtins(sight.ledger) if sight else [],
            "hold": msgspec.to_builtins(app.hold) if app.hold else None,
            "not_honoured": app.unreadable,
            "evidence": notifications.evidence(app, finding),
        }
