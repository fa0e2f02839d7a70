"""A Recovery as a Kubernetes object (v1alpha2), and back.

Its spec says what is asked for and what is owed: the policy and the subject, what people request,
what a rollback or a failover has taken and has to give back. A backup that is restored keeps it.
Its status says what is so; without one nothing was claimed.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct, structs

from recovery.decide.notifications import done
from recovery.model.api_name import api_name
from recovery.model.application import Hold
from recovery.model.move import EXPIRED, Place, Relocation, RelocationPhase, UserRequest
from recovery.model.recovery import (
    NOT_CLAIMED,
    Debt,
    Recovery,
    RecoveryPhase,
    StepOutcome,
    StepRecord,
    Subject,
)
from recovery.model.text import all_plain

API_VERSION = "recovery.gitops.dev/v1alpha2"
RECORD_FORMAT = 2
"""Of what is in the object; a newer one is refused, not guessed at."""


class OwedHold(Struct, frozen=True, rename=api_name, omit_defaults=True):
    """A hold that a step of this recovery owes back."""

    attempt: int
    index: int
    action: str
    started_at: datetime
    hold: Hold
    returning: bool = False


class OwedRelocation(Struct, frozen=True, rename=api_name, omit_defaults=True):
    """An application that is away from home on this recovery's account."""

    namespace: str
    name: str
    uid: str
    origin: Place
    target: Place
    home: Place | None = None


class RecoverySpec(Struct, frozen=True, rename=api_name, omit_defaults=True):
    """The whole spec. People add requests; all else is written by the controller."""

    policy: str
    subject: Subject
    opened_at: datetime
    requests: tuple[UserRequest, ...] = ()
    holds: tuple[OwedHold, ...] = ()
    relocations: tuple[OwedRelocation, ...] = ()


IN_SPEC = ("policy", "subject", "openedTime", "requests")
NOT_IN_STATUS = ("name", "version", "generation", "specOutdated", "asked")
HANDLED = "handledRequests"
NOTIFICATIONS = {"told": "notified", "notes": "pending"}
"""What stands among the notifications in the object, under which name."""


def spec_of(recovery: Recovery) -> RecoverySpec:
    """The spec that a recovery has to have."""
    holds = tuple(
        OwedHold(
            step.attempt,
            step.index,
            step.action,
            step.started_at,
            step.owes,
            step.debt is Debt.returning,
        )
        for step in recovery.steps
        if step.owes is not None and step.debt in (Debt.open, Debt.returning)
    )
    away = tuple(
        OwedRelocation(move.namespace, move.name, move.uid, move.origin, move.target, move.home)
        for move in recovery.relocations
        if move.phase.owed
    )
    return RecoverySpec(
        recovery.policy, recovery.subject, recovery.opened_at, recovery.asked, holds, away
    )


def handled(recovery: Recovery) -> tuple[UserRequest, ...]:
    """Of what people asked for, what needs nothing more: the claim itself says so, for the spec is
    another write. An approval that expired is named as that."""
    return tuple(
        structs.replace(request, type=EXPIRED)
        if _expired(request) in recovery.requests
        else request
        for request in recovery.asked
        if request not in recovery.requests
    )


def _expired(request: UserRequest) -> UserRequest:
    return structs.replace(request, type=EXPIRED)


def _pending(
    asked: tuple[UserRequest, ...], done: tuple[UserRequest, ...]
) -> tuple[UserRequest, ...]:
    return tuple(
        _expired(request) if _expired(request) in done else request
        for request in asked
        if request not in done
    )


def encode(recovery: Recovery, namespace: str) -> dict[str, Any]:
    """The whole object, fenced by the resourceVersion it was read with (none: it is to be
    created)."""
    fields: dict[str, Any] = msgspec.to_builtins(recovery)
    for key in (*IN_SPEC, *NOT_IN_STATUS):
        fields.pop(key, None)
    notifications = fields.pop("talk", {}) | {
        there: fields.pop(here) for here, there in NOTIFICATIONS.items() if here in fields
    }
    metadata: dict[str, Any] = {
        "name": recovery.name,
        "namespace": namespace,
        "labels": {"recovery.gitops.dev/policy": recovery.policy},
    }
    if recovery.version:
        metadata["resourceVersion"] = recovery.version
    return {
        "apiVersion": API_VERSION,
        "kind": "Recovery",
        "metadata": metadata,
        "spec": msgspec.to_builtins(spec_of(recovery)),
        "status": {
            "format": RECORD_FORMAT,
            "observedGeneration": recovery.generation,
            **fields,
            **({"notifications": notifications} if notifications else {}),
            **({HANDLED: msgspec.to_builtins(done)} if (done := handled(recovery)) else {}),
        },
    }


class _Meta(Struct, rename="camel"):
    name: str
    resource_version: str = ""
    generation: int = 0


class ObjectText(Struct):
    """A Recovery as it stands in the API server, not yet understood."""

    metadata: _Meta
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


class ListText(Struct):
    """A page of Recoveries, as the API server lists them."""

    items: list[msgspec.Raw] = []


_object = msgspec.json.Decoder(ObjectText)
_list = msgspec.json.Decoder(ListText)


def decode(raw: bytes | msgspec.Raw) -> Recovery:
    """The recovery in an object; ValidationError names what in it is nonsense.

    One without a status has claimed nothing. What its spec says is owed: a hold outlives its
    incident, and applications that were moved are brought home as after any failover.
    """
    wire = _object.decode(raw)
    plain_spec = all_plain(wire.spec, lines=False)
    written = wire.spec.get("requests") or ()
    requests = _readable(written)
    spec = structs.replace(
        msgspec.convert({**plain_spec, "requests": []}, RecoverySpec), requests=requests
    )
    if wire.status:
        asked = {key: plain_spec[key] for key in IN_SPEC if key in plain_spec}
        done = msgspec.convert(wire.status.get(HANDLED, []), tuple[UserRequest, ...])
        pending = _pending(requests, done)
        named = {"name": wire.metadata.name, **asked, "requests": [], "asked": []}
        recovery = structs.replace(_standing(wire.status, named), requests=pending, asked=requests)
    else:
        recovery = _fresh(wire.metadata.name, spec)
    return structs.replace(
        recovery,
        version=wire.metadata.resource_version,
        generation=wire.metadata.generation,
        spec_outdated=spec_of(recovery) != spec or len(requests) != len(written),
    )


def _readable(written: Any) -> tuple[UserRequest, ...]:
    """Requests that can be read. People write them: one that is nonsense, or by somebody whose name
    is not plain text, is none, and takes the rest of the record with it no more."""
    found = []
    for each in written if isinstance(written, list) else ():
        with suppress(msgspec.ValidationError):
            request = msgspec.convert(all_plain(each, lines=False), UserRequest)
            if request.by == each["by"]:
                found.append(request)
    return tuple(found)


def _standing(read: dict[str, Any], asked: dict[str, Any]) -> Recovery:
    status = dict(read)
    version = status.pop("format", 1)
    for unused in ("observedGeneration", HANDLED):
        status.pop(unused, None)
    if version != RECORD_FORMAT:
        newer = isinstance(version, int) and version > RECORD_FORMAT
        raise msgspec.ValidationError(
            f"status.format is {version}; this controller reads {RECORD_FORMAT}: it was written by"
            f" {'a newer' if newer else 'an older'} one"
        )
    notifications = dict(status.pop("notifications", {}))
    pending = all_plain(notifications.pop("pending", []))  # texts of ours with several lines
    told = notifications.pop(NOTIFICATIONS["told"], [])
    fields = all_plain({**status, "talk": notifications, "told": told}, lines=False)
    return msgspec.convert({**fields, "notes": pending, **asked}, Recovery)


def _fresh(name: str, spec: RecoverySpec) -> Recovery:
    steps = tuple(
        StepRecord(
            owed.attempt,
            owed.index,
            owed.action,
            owed.started_at,
            sent=True,
            ended_at=owed.started_at,
            outcome=StepOutcome.Skipped,
            reason=NOT_CLAIMED,
            owes=owed.hold,
            debt=Debt.returning if owed.returning else Debt.open,
        )
        for owed in spec.holds
    )
    away = tuple(
        Relocation(
            owed.namespace,
            owed.name,
            owed.uid,
            owed.origin,
            owed.target,
            RelocationPhase.Moved,
            home=owed.home,
        )
        for owed in spec.relocations
    )
    over = RecoveryPhase.Resolved if steps else RecoveryPhase.Suppressed
    return Recovery(
        name,
        spec.policy,
        "",
        spec.subject,
        spec.opened_at,
        RecoveryPhase.Stalled if away else over,
        reason=NOT_CLAIMED,
        message="nothing is known of what was done: the object has no status",
        resolved_at=spec.opened_at if steps and not away else None,
        requests=spec.requests,
        asked=spec.requests,
        steps=steps,
        relocations=away,
    )


class _Header(Struct):
    metadata: _Meta


def at_version_of(raw: bytes, recovery: Recovery) -> Recovery:
    """The recovery, to be written next over the object that was answered."""
    meta = msgspec.json.decode(raw, type=_Header).metadata
    return structs.replace(
        recovery, version=meta.resource_version, generation=meta.generation, spec_outdated=False
    )


def listed(raw: bytes) -> tuple[Recovery, ...]:
    """The recoveries in a list that can be read."""
    found = []
    for item in _list.decode(raw).items:
        with suppress(msgspec.DecodeError, ValueError):
            found.append(decode(item))
    return tuple(found)


class _More(msgspec.Struct):
    more: str = msgspec.field(name="continue", default="")


class _Part(msgspec.Struct):
    metadata: _More = msgspec.field(default_factory=_More)


def more(raw: bytes) -> str:
    """The token of a list's next page; empty for the last one."""
    return msgspec.json.decode(raw, type=_Part).metadata.more


def counted(raw: bytes) -> int:
    """How many there are in a list, readable or not."""
    return len(_list.decode(raw).items)


_SHOWN = (
    "name",
    "policy",
    "cause",
    "phase",
    "attempt",
    "maxAttempts",
    "reason",
    "message",
    "openedTime",
    "resolvedTime",
    "nextAttemptTime",
)


def row(recovery: Recovery) -> dict[str, Any]:
    """A recovery as lists show it, to people and to scripts."""
    fields = msgspec.to_builtins(recovery)
    talk = recovery.talk
    told = {"heard": talk.heard, "undelivered": talk.undelivered}
    return {
        **{key: fields.get(key) for key in _SHOWN},
        "subject": str(recovery.subject),
        "tried": done(recovery),
        **told,
    }


def stamp(at: datetime) -> str:
    """UTC, as Kubernetes writes it: whole seconds and Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
