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
        """As Prometheus asks for it."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, value in self._counts.items():
            family.add_metric(labels, value)
        yield family


class Metrics:
    """All of them, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each one, which nobody asks for
        self.registry = CollectorRegistry()
        at = self.registry
        ProcessCollector(registry=at)
        Info("recovery_build", "Which version this is", registry=at).info({"version": __version__})
        self.pending = Gauge(
            "recovery_pending_conditions",
            "Conditions that hold, but not yet for their duration",
            ["policy"],
            registry=at,
        )
        self.active = Gauge("recovery_recoveries", "Recoveries by phase", ["phase"], registry=at)
        self.needs_person = Gauge(
            "recovery_needs_person",
            "Recoveries for which nothing more is done until a person acts",
            registry=at,
        )
        self.causes = Gauge(
            "recovery_causes", "Applications by what they are ill of", ["cause"], registry=at
        )
        self.suppressed = Gauge(
            "recovery_suppressed", "Subjects held back now, by guard", ["guard"], registry=at
        )
        self.decisions = Counter(
            "recovery_decisions_total",
            "Changes of a decision",
            ["policy", "decision", "reason"],
            registry=at,
        )
        self.steps = Counter(
            "recovery_steps_total",
            "Steps that ended",
            ["policy", "action", "result", "reason"],
            registry=at,
        )
        self.writes = Counter(
            "recovery_writes_total",
            "Effects that went to a door",
            ["action", "result"],
            registry=at,
        )
        self.recovered = Histogram(
            "recovery_time_to_recover_seconds",
            "From the first sight of the illness to the proven cure",
            ["policy"],
            buckets=_SECONDS,
            registry=at,
        )
        self.api = Count(
            "recovery_api_requests_total",
            "Answers of the API server",
            ("verb", "status"),
            registry=at,
        )
        self.watch_age = Gauge(
            "recovery_watch_age_seconds",
            "Since the last sign of life of a stream",
            ["stream"],
            registry=at,
        )
        self.watch_restarts = Count(
            "recovery_watch_restarts_total",
            "Times a stream had to begin anew",
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
            "recovery_applications_away",
            "Applications that a failover moved and owes back",
            registry=at,
        )
        self.policy_errors = Count(
            "recovery_policy_errors_total", "Policy texts refused", registry=at
        )
        self.policies_good = Gauge(
            "recovery_policies_up_to_date", "1: the newest policy text is in force", registry=at
        )
        self.messages = Counter(
            "recovery_messages_total", "Messages to people", ["channel", "result"], registry=at
        )
        self.channel_failures = Gauge(
            "recovery_channel_failures",
            "Tries in a row that a channel did not take",
            ["channel"],
            registry=at,
        )
        self.messages_waiting = Gauge(
            "recovery_messages_waiting",
            "Messages that wait for their channel",
            ["channel"],
            registry=at,
        )
        self.dead_letters = Gauge(
            "recovery_dead_letters",
            "Messages that nobody took, the newest 100 at most",
            registry=at,
        )
        self.distrusted = Gauge(
            "recovery_policies_distrusted",
            "Policies that only watch: their actions were regretted",
            registry=at,
        )
        self.events_dropped = Count(
            "recovery_events_dropped_total",
            "Kubernetes Events that found no place in the queue",
            registry=at,
        )
        self.queue = Gauge("recovery_queue_length", "Subjects to be looked at", registry=at)
        self.lag = Gauge(
            "recovery_event_loop_lag_seconds",
            "Longest time within the last minute that the event loop was late",
            registry=at,
        )
        self.passes = Counter(
            "recovery_reconciles_total", "Passes over a subject", ["result"], registry=at
        )

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
