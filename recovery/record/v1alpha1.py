"""Recoveries as the version before wrote them (v1alpha1, format 1): read once, and written anew.

Both versions of the CRD are one object in etcd; fields that a version does not know are taken away
where it is asked for. So an old one is read, and written whole in one request, by v1alpha1, which
keeps whatever it is given.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog
from msgspec import structs

from recovery.kube.client import RECOVERIES_BEFORE, Client
from recovery.kube.errors import Busy, Conflict, KubeError, NotFound, Unavailable
from recovery.model.recovery import Recovery
from recovery.model.text import all_plain
from recovery.record.codec import ListText, ObjectText, encode, more
from recovery.record.reasons import REASONS

log = structlog.get_logger(__name__)

OLD_FORMAT = 1
PAGE = 200
_STATUS = {
    "limit": "maxAttempts",
    "nextAt": "nextAttemptTime",
    "illSince": "unhealthySince",
    "wellSince": "healthySince",
    "watched": "observeOnly",
    "causesTold": "notifiedCauses",
    "resolvedAt": "resolvedTime",
    "stalls": "stalledTimes",
    "resourcesSeen": "initialResources",
    "moves": "relocations",
    "earliest": "earliestTime",
    "suppressionTold": "suppressionNotified",
}
_STEP = {
    "startedAt": "startedTime",
    "claimedAt": "claimedTime",
    "endedAt": "endedTime",
    "regret": "review",
    "deadline": "deadlineTime",
    "effects": "effectTimes",
    "owes": "hold",
}
_REVIEWS = {"undone": "Reverted", "worse": "Worsened"}
_CLAIM = {"operationStartedAt": "operationStartedTime"}
_TALK = {"firstAt": "firstTime", "lastAt": "lastTime", "dueAt": "dueTime"}
_WISH = {"what": "type", "at": "time"}


def is_old(status: dict[str, Any]) -> bool:
    """Was this status written by the version before?"""
    return bool(status) and status.get("format", OLD_FORMAT) == OLD_FORMAT


def upgraded(raw: bytes | msgspec.Raw) -> Recovery:
    """The recovery in an object of format 1; ValidationError names what in it is nonsense."""
    wire = msgspec.json.decode(raw, type=ObjectText)
    spec, status = dict(wire.spec), _renamed(wire.status, _STATUS)
    for unused in ("format", "needsPerson"):
        status.pop(unused, None)
    spec["openedTime"] = spec.pop("openedAt", None)
    status["reason"] = _called_now(status.get("reason"))
    status["steps"] = [_step(step) for step in status.get("steps") or ()]
    status["requests"] = [_renamed(wish, _WISH) for wish in status.pop("wishes", None) or ()]
    status["talk"] = _renamed(status.get("talk") or {}, _TALK)
    notes = all_plain(status.pop("notes", []))  # texts of ours with several lines
    fields = all_plain({**spec, **status, "name": wire.metadata.name}, lines=False)
    fields |= {"notes": notes, "version": wire.metadata.resource_version}
    recovery = msgspec.convert(fields, Recovery)
    return structs.replace(recovery, asked=recovery.requests)


async def migrate(client: Client, namespace: str) -> int:
    """Write each old one anew, in one conditional request; how many. What somebody else writes
    meanwhile, what cannot be read and what is refused is left as it is. KubeError when they cannot
    be listed, or the API server does not answer."""
    token, done = "", 0
    while True:
        query = {"limit": str(PAGE), **({"continue": token} if token else {})}
        try:
            raw = await client.list(RECOVERIES_BEFORE, namespace, **query)
        except NotFound:
            return done  # this version is not served any more: there are none of it
        try:
            items, token = msgspec.json.decode(raw, type=ListText).items, more(raw)
        except msgspec.DecodeError as error:
            raise Unavailable(f"a list that cannot be read: {error}") from error
        for item in items:
            done += await _migrated(client, namespace, item)
        if not token:
            return done


async def _migrated(client: Client, namespace: str, item: msgspec.Raw) -> bool:
    try:
        wire = msgspec.json.decode(item, type=ObjectText)
        if not is_old(wire.status):
            return False
        body = encode(upgraded(item), namespace)
    except (msgspec.DecodeError, ValueError, TypeError, AttributeError, KeyError) as error:
        log.warning("a recovery of the version before cannot be read", why=str(error))
        return False
    body["apiVersion"] = f"{RECOVERIES_BEFORE.group}/{RECOVERIES_BEFORE.version}"
    try:
        await client.update(RECOVERIES_BEFORE, namespace, wire.metadata.name, body)
    except (Unavailable, Busy):
        raise
    except KubeError as error:
        if not isinstance(error, Conflict | NotFound):
            log.warning(
                "a recovery of the version before is not taken by the API server",
                recovery=wire.metadata.name,
                why=str(error),
            )
        return False
    return True


def _step(step: dict[str, Any]) -> dict[str, Any]:
    new = _renamed(step, _STEP)
    if "claim" in new:
        new["claim"] = _renamed(new["claim"], _CLAIM)
    if "review" in new:
        new["review"] = _REVIEWS.get(new["review"], new["review"])
    new["reason"] = _called_now(new.get("reason"))
    return new


def _called_now(reason: Any) -> Any:
    return REASONS.get(reason, reason) if isinstance(reason, str) else ""


def _renamed(fields: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in fields.items()}
