"""Why something is ill, and which cures that leaves."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from msgspec import Struct


class Remedy(Enum):
    """Remedies: what may be done to an application, as the action matrix names it."""

    refresh = "refresh"
    hard_refresh = "hard refresh"
    sync = "sync"
    forced_sync = "forced sync"
    """With ``force``: what cannot be patched is deleted and made again."""
    terminate = "terminate"
    repair = "repair"
    """Clear the state of an operation that nobody works on any more."""
    restart = "restart"
    rollback = "rollback"
    failover = "failover"


class Verdict(Enum):
    """Suitability of a remedy, given the cause."""

    allowed = "allowed"
    once = "once"
    """Worth one try in a recovery; a second one would be a loop."""
    useless = "useless"
    """It cannot help."""
    forbidden = "forbidden"
    """It makes things worse, or destroys what is needed to see why."""


class NotifyWhen(Enum):
    """How soon people have to know that nothing can be done by machine."""

    at_once = "at once"
    late = "late"
    """After half an hour: it may well end by itself."""
    never = "never"
    """Somebody wants it so."""


class Confidence(Enum):
    """How sure a diagnosis is, from certain to guess."""

    certain = "certain"
    """Argo CD or Kubernetes says so in a field made for it."""
    likely = "likely"
    """A known text says so."""
    guess = "guess"
    """Nothing else explains what is seen."""


class Cause(Struct, frozen=True):
    """One class of failure: what it is, what may be done, and what a person should look at."""

    code: str
    name: str
    title: str
    """One sentence for a person who has never heard of it."""
    advice: str
    """What a person should do, and where to look."""
    matrix: dict[Remedy, Verdict]
    """Every cure; variants may differ."""
    variants: dict[str, dict[Remedy, Verdict]] = {}
    """Cures that are judged differently in a variant."""
    notes: dict[str, str] = {}
    """What more there is to say about a variant."""
    tells: NotifyWhen = NotifyWhen.at_once
    advices: dict[str, str] = {}
    """What a person should do in a variant where that is something else."""

    loudest: str = "critical"
    """The severity of a message about it at most: what leaves users served wakes nobody."""

    def advised(self, variant: str = "") -> str:
        """Advice: what a person should do, and where to look."""
        return self.advices.get(variant, self.advice)

    def verdict(self, cure: Remedy, variant: str = "") -> Verdict:
        """Whether this remedy is recommended, ineffective or forbidden."""
        return self.variants.get(variant, {}).get(cure, self.matrix[cure])

    def with_verdict(self, verdict: Verdict, variant: str = "") -> tuple[Remedy, ...]:
        """All remedies with this verdict."""
        return tuple(cure for cure in Remedy if self.verdict(cure, variant) is verdict)


class Diagnosis(Struct, frozen=True):
    """The cause recognised in one application."""

    cause: str
    """A name of the catalogue."""
    evidence: tuple[str, ...]
    """What was read, and where; at most 6, each cut at 300 characters. Free of credentials."""
    confidence: Confidence
    variant: str = ""
    """A finer distinction that decides on cures, such as NotFound of an image."""
    about: str = ""
    """What it hangs on: a resource, a hook, a missing kind, a pod."""
    also: tuple[str, ...] = ()
    """Further causes that were seen at the same time."""

    @property
    def what(self) -> str:
        """Cause and variant: ``ImageUnavailable/NotFound``."""
        return f"{self.cause}/{self.variant}" if self.variant else self.cause


class UnhealthyResource(Struct, frozen=True, gc=False):
    """A resource of an application's tree that is not well, as far as it tells why."""

    kind: str
    name: str
    namespace: str = ""
    group: str = ""
    health: str = ""
    message: str = ""
    reason: str = ""
    """Of a Pod: why a container waits or was ended; of an Event: its reason."""
    since: datetime | None = None

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


class Observations(Struct, frozen=True):
    """Observations made about an application beyond its own object."""

    at: datetime
    unwell: tuple[UnhealthyResource, ...] = ()
    """At most 20, the most telling first."""
    served: dict[str, bool] = {}
    """Kinds that its cluster was asked for, as ``group/Kind`` or ``group/version/Kind``, and
    whether it serves them."""
    providers: tuple[str, ...] = ()
    """Applications that bring a kind that is missing."""
    missing: tuple[str, ...] = ()
    """What could not be looked up, and why."""
    recorded: Diagnosis | None = None
    """The diagnosis of then, where the past is judged: what it was made from is not recorded."""
