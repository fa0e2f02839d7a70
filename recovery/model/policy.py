"""A policy as it is in force: everything written resolved against its defaults."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from enum import Enum
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Struct

from recovery.model.action import ActionKind
from recovery.model.application import Health, Phase, Sync
from recovery.model.connection import Connection
from recovery.model.duration import Duration, default, spell
from recovery.model.notification_config import NotificationConfig
from recovery.model.selector import Selector
from recovery.model.storm import StormLimits
from recovery.model.window import Pause, Window


class SubjectType(Enum):
    """Type of subject that a policy is for."""

    application = "application"
    repository = "repository"
    cluster = "cluster"


class Mode(Enum):
    """How far a policy or an action may go; the later narrows the earlier."""

    act = "act"
    approve = "approve"
    observe = "observe"

    def narrowed(self, other: Mode) -> Mode:
        """The narrower of two modes: observe before approve before auto."""
        order = list(Mode)
        return order[max(order.index(self), order.index(other))]


class Severity(Enum):
    """How urgent a notification is, from critical to info."""

    critical = "critical"
    high = "high"
    warning = "warning"
    info = "info"


LOUDEST_FIRST = tuple(severity.value for severity in Severity)
"""Severities as words, in their order."""


class Condition(Struct, frozen=True, dict=True):
    """Requirements that must hold, all of it, and for how long. An empty tuple means that it was
    not given."""

    type: SubjectType
    duration: timedelta
    status: tuple[Sync, ...] = ()
    health: tuple[Health, ...] = ()
    operation: tuple[Phase, ...] = ()
    cause: tuple[str, ...] = ()
    connection_state: tuple[Connection, ...] = ()

    @cached_property  # it is asked of each application at each look
    def symptom(self) -> str:
        """The condition without its duration: what its pending clock is filed under, so that an
        edit of the duration keeps it."""
        parts = [
            *(f"status={v.value}" for v in self.status),
            *(f"health={v.value}" for v in self.health),
        ]
        parts += [
            *(f"operation={v.value}" for v in self.operation),
            *(f"cause={v}" for v in self.cause),
        ]
        parts += [f"connection_state={v.value}" for v in self.connection_state]
        return " ".join(parts)

    def __str__(self) -> str:
        words = [
            " or ".join(v.value for v in values) for values in (self.health, self.status) if values
        ]
        words += (
            ["operation " + " or ".join(v.value for v in self.operation)] if self.operation else []
        )
        words += ["cause " + " or ".join(self.cause)] if self.cause else []
        words += (
            [f"{self.type.value} " + " or ".join(v.value for v in self.connection_state)]
            if self.connection_state
            else []
        )
        return " and ".join(words)


class Backoff(Struct, frozen=True):
    """The pause between attempts: duration * factor^(attempt-1), at most maxDuration."""

    duration: timedelta
    factor: float = 1
    maximum: timedelta = timedelta(hours=1)

    def pause(self, attempt: int) -> timedelta:
        """How long to wait after this attempt (counted from 1)."""
        longest = max(self.maximum, timedelta())
        factor = max(self.factor, 0.0)
        # 64 doublings are beyond any maximum; stop before floats overflow.
        seconds = self.duration.total_seconds() * factor ** min(attempt - 1, 64)
        return min(timedelta(seconds=min(seconds, longest.total_seconds())), longest)


class ActionSpec(Struct, frozen=True, omit_defaults=True):
    """An action as it stands in the file: how a running attempt keeps what it began with."""

    type: str
    parameters: dict[str, Any] = {}
    timeout: str = ""
    mode: str = ""


class Step(Struct, frozen=True):
    """One action of a policy, with what its kind brings along."""

    kind: ActionKind
    parameters: Any  # the Struct that kind.parameters names
    written: ActionSpec
    timeout: timedelta | None = None
    mode: Mode = Mode.act

    @property
    def settle(self) -> timedelta:
        """How long it has to show its effect; a timeout in the policy stands."""
        return self.timeout if self.timeout is not None else self.kind.settle

    def __str__(self) -> str:
        said = ", ".join(f"{k}: {_plain(v)}" for k, v in self.written.parameters.items())
        return f"{self.kind.name} ({said})" if said else self.kind.name


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list | tuple) else str(value)


class Policy(Struct, frozen=True, dict=True):
    """A condition to look for, and actions, in this order."""

    name: str
    condition: Condition
    actions: tuple[Step, ...]
    selector: Selector = Selector()
    mode: Mode = Mode.act
    severity: Severity = Severity.high
    attempts: int = 3
    backoff: Backoff = Backoff(timedelta(minutes=5))
    healthy_delay: timedelta = timedelta(seconds=30)
    reset_after: timedelta = timedelta(minutes=10)
    channels: tuple[str, ...] = ()

    @cached_property
    def hash(self) -> str:
        """Changes when anything that decides changes."""
        told = msgspec.json.encode(
            [
                self.name,
                repr(self.condition),
                [msgspec.to_builtins(a.written) for a in self.actions],
            ]
        )
        rest = repr(
            (
                self.selector,
                self.mode,
                self.attempts,
                self.backoff,
                self.healthy_delay,
                self.reset_after,
            )
        )
        return hashlib.sha256(told + rest.encode()).hexdigest()[:12]

    @property
    def sentence(self) -> str:
        """Condition and duration in words: ``Degraded for 5m``."""
        return f"{self.condition} for {spell(self.condition.duration)}"


class DisruptionBudget(Struct, frozen=True, forbid_unknown_fields=True):
    """How many restarts, rollbacks and failovers may be begun within an hour."""

    fleet: int = 20
    project: int = 10
    application: int = 6


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """How many recoveries may be at work at one moment."""

    in_flight: int = 10
    per_cluster: int = 3
    per_project: int = 3
    destructive_per_hour: DisruptionBudget = DisruptionBudget()
    restarts_per_minute: int = 10
    """Workloads whose pods may be replaced within one minute, over the fleet."""


class Ledger(Struct, frozen=True):
    """When a revision counts as one to go back to."""

    soak: Duration = default(minutes=2)


class Policies(Struct, frozen=True):
    """A whole policy file, as it is in force."""

    policies: tuple[Policy, ...]
    budget: Budget = Budget()
    ledger: Ledger = Ledger()
    channels: tuple[str, ...] = ()
    """defaults.channels: where what nobody routed goes."""
    storm: StormLimits = StormLimits()
    windows: tuple[Window, ...] = ()
    pauses: tuple[Pause, ...] = ()
    warnings: tuple[str, ...] = ()
    hash: str = ""
    """Of the text."""
    notices: NotificationConfig = NotificationConfig()
