"""All that may be written in a policy file. Unknown keys are errors; the JSON Schema is generated
from these types."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from recovery.model.application import Health, Phase, Sync
from recovery.model.connection import Connection
from recovery.model.duration import Duration, default
from recovery.model.notification_config import MessageTemplates, ReceiverOptions, Route
from recovery.model.policy import Budget, Ledger, Mode, Severity, SubjectType
from recovery.model.selector import Selector

Count = Annotated[int, Meta(ge=1, le=1000)]
Share = Annotated[str, Meta(pattern=r"^(100|\d?\d)%$")]


class ConditionText(Struct, frozen=True, forbid_unknown_fields=True):
    """Requirements that must hold, all of it, and for how long."""

    type: SubjectType
    status: Sync | tuple[Sync, ...] = ()
    health: Health | tuple[Health, ...] = ()
    operation: Phase | tuple[Phase, ...] = ()
    cause: str | tuple[str, ...] = ()
    connection_state: Connection | tuple[Connection, ...] = ()
    duration: Duration = default(minutes=5)


class BackoffText(
    Struct, frozen=True, forbid_unknown_fields=True, rename={"max_duration": "maxDuration"}
):
    """The pause between attempts, in Argo CD's own words."""

    duration: Duration | None = None
    factor: Annotated[float, Meta(ge=1, le=100)] = 1
    max_duration: Duration = default(hours=1)


class ActionText(Struct, frozen=True, forbid_unknown_fields=True):
    """One action; what goes into parameters depends on its type."""

    type: str
    parameters: dict[str, Any] = {}
    timeout: Duration | None = None
    mode: Mode = Mode.act


class DefaultsText(Struct, frozen=True, forbid_unknown_fields=True):
    """Defaults that policies that do not say otherwise are given."""

    mode: Mode | None = None
    severity: Severity | None = None
    attempts: Count | None = None
    backoff: BackoffText | None = None
    healthy_delay: Duration | None = None
    reset_after: Duration | None = None
    channels: tuple[str, ...] | None = None


class PolicyText(DefaultsText, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A policy as it is written in the file."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
    condition: ConditionText
    actions: Annotated[tuple[ActionText, ...], Meta(min_length=1, max_length=20)]
    selector: Selector = Selector()


class StormText(Struct, frozen=True, forbid_unknown_fields=True):
    """When many unhealthy applications are one incident."""

    window: Duration = default(minutes=10)
    minimum: Count = 5
    fleet: Share = "30%"
    group: Share = "30%"
    count: Count = 25
    cooldown: Duration = default(minutes=10)


class WindowText(Struct, frozen=True, forbid_unknown_fields=True):
    """A time in which some actions do not happen."""

    schedule: Annotated[str, Meta(pattern=r"^\S+ \S+ \S+ \S+ \S+$")]
    duration: Duration
    timezone: str = "UTC"
    selector: Selector = Selector()
    actions: tuple[str, ...] = ()


class PauseText(Struct, frozen=True, forbid_unknown_fields=True):
    """A pause that Git knows of; without a selector it is for everything."""

    reason: Annotated[str, Meta(pattern=r"\S")]
    until: str = ""
    selector: Selector = Selector()


class GuardsText(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits that hold for all policies together."""

    storm: StormText = field(default_factory=StormText)
    budget: Budget = Budget()
    windows: tuple[WindowText, ...] = ()
    pauses: tuple[PauseText, ...] = ()


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole policy file as it is written."""

    recovery_policies: Annotated[tuple[PolicyText, ...], Meta(max_length=500)]
    defaults: DefaultsText = field(default_factory=DefaultsText)
    guards: GuardsText = field(default_factory=GuardsText)
    ledger: Ledger = field(default_factory=Ledger)
    channels: dict[str, ReceiverOptions] = {}
    """Options of a channel; its URL is in the Secret."""
    routes: Annotated[tuple[Route, ...], Meta(max_length=200)] = ()
    messages: MessageTemplates = field(default_factory=MessageTemplates)
