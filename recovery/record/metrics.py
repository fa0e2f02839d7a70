"""Metrics for Prometheus. No application's name is ever a label: the numbers stay bounded."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from recovery import __version__

_SECONDS = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


class Count(Collector):
    """A counter that something else counts up, from zero at each start; ``name`` ends in
    ``_total``."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: tuple[str, ...] = (),
        *,
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._documentation, self._labels = (
            name.removesuffix("_total"),
            documentation,
            labels,
        )
        self._counts: dict[tuple[str, ...], float] = {}
        registry.register(self)

    def is_at(self, value: float, *labels: str) -> None:
        """How far it has been counted."""
        self._counts[labels] = value

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the metric, as Prometheus's registry asks for it."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, value in self._counts.items():
            family.add_metric(labels, value)
        yield family


class Metrics:
    """All of them, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each one, which nobody asks for
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Info("recovery_build", "Version of the controller", registry=self.registry).info(
            {"version": __version__}
        )
        self._of_recoveries(self.registry)
        self._of_observation(self.registry)
        self._of_notifications(self.registry)
        self._of_the_process(self.registry)

    def _of_recoveries(self, at: CollectorRegistry) -> None:
        self.pending = Gauge(
            "recovery_pending_conditions",
            "Policy conditions that hold, but not yet for their duration",
            ["policy"],
            registry=at,
        )
        self.active = Gauge("recovery_recoveries", "Recoveries by phase", ["phase"], registry=at)
        self.needs_person = Gauge(
            "recovery_manual_intervention_required",
            "Recoveries that are Stalled: a person has to act",
            registry=at,
        )
        self.causes = Gauge(
            "recovery_causes", "Unhealthy applications by diagnosed cause", ["cause"], registry=at
        )
        self.suppressed = Gauge(
            "recovery_suppressed", "Subjects suppressed now, by guard", ["guard"], registry=at
        )
        self.distrusted = Gauge(
            "recovery_circuits_open", "Policies whose circuit breaker is open", registry=at
        )
        self.decisions = Counter(
            "recovery_decisions_total",
            "Changes of a decision",
            ["policy", "decision", "reason"],
            registry=at,
        )
        self.steps = Counter(
            "recovery_steps_total",
            "Steps that ended, by result",
            ["policy", "action", "result", "reason"],
            registry=at,
        )
        self.writes = Counter(
            "recovery_writes_total",
            "Writes to the cluster or to Argo CD, by result",
            ["action", "result"],
            registry=at,
        )
        self.recovered = Histogram(
            "recovery_time_to_recover_seconds",
            "Seconds from the start of a failure to the verified recovery",
            ["policy"],
            buckets=_SECONDS,
            registry=at,
        )

    def _of_observation(self, at: CollectorRegistry) -> None:
        self.api = Count(
            "recovery_api_requests_total",
            "Answers of the API server",
            ("verb", "status"),
            registry=at,
        )
        self.watch_age = Gauge(
            "recovery_watch_age_seconds",
            "Seconds since a watch last showed a sign of life",
            ["stream"],
            registry=at,
        )
        self.watch_restarts = Count(
            "recovery_watch_restarts_total",
            "Restarts of a watch",
            ("stream",),
            registry=at,
        )
        self.unreadable = Gauge(
            "recovery_unreadable_objects",
            "Objects that could not be decoded",
            ["stream"],
            registry=at,
        )
        self.applications = Gauge("recovery_applications", "Applications watched", registry=at)
        self.connections = Gauge(
            "recovery_connections",
            "Repositories and clusters by state",
            ["kind", "state"],
            registry=at,
        )
        self.shards = Gauge(
            "recovery_shards_held", "Shards whose Lease this replica holds", registry=at
        )
        self.away = Gauge(
            "recovery_relocated_applications",
            "Applications that a failover moved and has to move back",
            registry=at,
        )
        self.policy_errors = Count(
            "recovery_config_reload_failures_total", "Policy files refused", registry=at
        )
        self.policies_good = Gauge(
            "recovery_config_last_reload_successful",
            "1 if the newest policy file is in force",
            registry=at,
        )

    def _of_notifications(self, at: CollectorRegistry) -> None:
        self.messages = Counter(
            "recovery_notifications_total",
            "Notifications, by result",
            ["channel", "result"],
            registry=at,
        )
        self.channel_failures = Gauge(
            "recovery_channel_failures",
            "Consecutive failures of a channel",
            ["channel"],
            registry=at,
        )
        self.messages_waiting = Gauge(
            "recovery_notification_queue_length",
            "Notifications queued for a channel",
            ["channel"],
            registry=at,
        )
        self.dead_letters = Gauge(
            "recovery_undelivered_notifications",
            "Undelivered notifications, the newest 100 at most",
            registry=at,
        )

    def _of_the_process(self, at: CollectorRegistry) -> None:
        self.events_dropped = Count(
            "recovery_events_dropped_total",
            "Kubernetes Events dropped because the queue was full",
            registry=at,
        )
        self.queue = Gauge("recovery_workqueue_depth", "Subjects in the work queue", registry=at)
        self.lag = Gauge(
            "recovery_event_loop_lag_seconds",
            "Longest time within the last minute that the event loop was late",
            registry=at,
        )
        self.passes = Counter(
            "recovery_reconciles_total",
            "Reconciliations of a subject, by result",
            ["result"],
            registry=at,
        )

    def render(self) -> bytes:
        """The exposition text that /metrics serves."""
        return generate_latest(self.registry)
