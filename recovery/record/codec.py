"""A Recovery as a Kubernetes object, and back."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import structs

from recovery.decide.notifications import done
from recovery.model.recovery import Recovery
from recovery.model.text import all_plain

API_VERSION = "recovery.gitops.dev/v1alpha1"
RECORD_FORMAT = 1
"""Of what is in the object; a newer one is refused, not guessed at."""
_SPEC = ("policy", "policyHash", "subject", "cause", "openedAt")


def encode(recovery: Recovery, namespace: str) -> dict[str, Any]:
    """The whole object, fenced by the resourceVersion it was read with (none: it is to be
    created)."""
    fields: dict[str, Any] = msgspec.to_builtins(recovery)
    name, version = fields.pop("name"), fields.pop("version", "")
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "labels": {
            "recovery.gitops.dev/policy": recovery.policy,
            "recovery.gitops.dev/phase": recovery.phase.value,
        },
    }
    if version:
        metadata["resourceVersion"] = version
    spec = {key: fields.pop(key) for key in _SPEC if key in fields}
    return {
        "apiVersion": API_VERSION,
        "kind": "Recovery",
        "metadata": metadata,
        "spec": spec,
        "status": {"format": RECORD_FORMAT, **fields, "needsPerson": recovery.needs_person},
    }


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str = ""


class _Object(msgspec.Struct):
    metadata: _Meta
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


class _List(msgspec.Struct):
    items: list[msgspec.Raw] = []


_object = msgspec.json.Decoder(_Object)
_list = msgspec.json.Decoder(_List)


def decode(raw: bytes | msgspec.Raw) -> Recovery:
    """The recovery in an object; ValidationError names what in it is nonsense."""
    wire = _object.decode(raw)
    status = dict(wire.status)
    version = status.pop("format", 1)
    status.pop("needsPerson", None)  # follows from the phase
    if not isinstance(version, int) or version > RECORD_FORMAT:
        raise msgspec.ValidationError(
            f"status.format is {version}; this controller reads up to {RECORD_FORMAT}: it was"
            " written by a newer one"
        )
    told = (
        {"notes": all_plain(status.pop("notes"))} if "notes" in status else {}
    )  # the only texts of ours with several lines
    recovery = msgspec.convert(
        all_plain({**wire.spec, **status, "name": wire.metadata.name}, lines=False) | told, Recovery
    )
    return structs.replace(recovery, version=wire.metadata.resource_version)


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
    "limit",
    "reason",
    "message",
    "openedAt",
    "resolvedAt",
    "nextAt",
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
