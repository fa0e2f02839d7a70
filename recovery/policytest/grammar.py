"""All that may be written in a test file. Unknown keys are errors; the JSON Schema is made from
these types."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from recovery.model.application import Health, Sync
from recovery.model.duration import Duration
from recovery.model.policy import Severity
from recovery.model.recovery import RecoveryPhase, StepOutcome
from recovery.policytest.events import EVENT_TYPES, Image

Name = Annotated[str, Meta(pattern=r"^[a-z0-9*]([-a-z0-9.*]{0,250}[a-z0-9*])?$")]


class WorkloadKind(Enum):
    """Kind of workload that an application of a test runs."""

    Deployment = "Deployment"
    StatefulSet = "StatefulSet"
    DaemonSet = "DaemonSet"


class ApplicationText(Struct, frozen=True, forbid_unknown_fields=True):
    """An application, or a fleet of them."""

    name: Name
    count: Annotated[int, Meta(ge=1, le=300)] = 1
    """So many; ``*`` in the name stands for their numbers."""
    project: str = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    cluster: str = ""
    """Its destination by name; empty for the cluster that Argo CD runs in."""
    auto_sync: bool = True
    self_heal: bool = False
    prune: bool = False
    kind: WorkloadKind = WorkloadKind.Deployment
    image: Image = "ready"
    """One that is ready runs since long before the test begins; any other is deployed at 0."""
    manifests: tuple[dict[str, Any], ...] = ()
    """Instead of kind and image: what its repository holds."""


class ClusterText(Struct, frozen=True, forbid_unknown_fields=True):
    """A cluster beside the one that Argo CD runs in."""

    name: str
    labels: dict[str, str] = {}


class RepositoryText(Struct, frozen=True, forbid_unknown_fields=True):
    """A repository that Argo CD has a Secret for: its connection is watched."""

    app: str
    """Whose repository."""


class ToldText(Struct, frozen=True, forbid_unknown_fields=True):
    """A message to people."""

    channel: str = ""
    severity: Severity | None = None
    count: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    message: str = ""
    """A regular expression for title or body."""


class ExpectText(Struct, frozen=True, forbid_unknown_fields=True):
    """One expectation: of whom, when, and what."""

    app: str = ""
    """A glob over the names of applications; at most one of app, cluster and repository."""
    cluster: str = ""
    repository: str = ""
    """The application whose repository it is."""
    at: Duration | None = None
    within: Annotated[tuple[Duration, ...], Meta(min_length=2, max_length=2)] = ()
    before: Duration | None = None
    after: Duration | None = None
    policy: str = ""
    action: str = ""
    result: StepOutcome | None = None
    count: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    phase: RecoveryPhase | None = None
    refused_by: str = ""
    sync: Sync | None = None
    health: Health | None = None
    message: str = ""
    """A regular expression: of the step, the phase or the refusal."""
    told: ToldText | None = None
    never: str | tuple[str, ...] = ()
    """Actions, phases, ``told``, ``write`` (any write outside the controller's own records) or
    ``any``."""


if TYPE_CHECKING:

    class EventText(Struct):
        """See below."""

        at: Duration

else:
    EventText = msgspec.defstruct(
        "EventText",
        [("at", Duration), *[(key, kind | None, None) for key, kind in EVENT_TYPES.items()]],
        frozen=True,
        forbid_unknown_fields=True,
        module=__name__,
    )
    """An event: when, and one of ``events.EVENT_TYPES``."""


class TestText(Struct, frozen=True, forbid_unknown_fields=True):
    """One test: who is there, what happens, and what is expected."""

    __test__ = False

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    applications: tuple[ApplicationText, ...] = ()
    start: str = ""
    """When the test begins; default: a Monday, 00:00 UTC. Windows and quiet hours depend on it."""
    run: Duration | None = None
    """How long it is watched; default: half an hour after all that is written."""
    clusters: tuple[ClusterText, ...] = ()
    repositories: tuple[RepositoryText, ...] = ()
    token: bool = True
    """Whether the controller has an Argo CD token."""
    events: tuple[EventText, ...] = ()
    expect: tuple[ExpectText, ...] = ()


class TestFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of tests."""

    __test__ = False

    policies: str
    """The policy file or a ConfigMap manifest of it, relative to this file."""
    tests: Annotated[tuple[TestText, ...], Meta(min_length=1, max_length=500)]
