"""Requests: what a person asks of a recovery is written into it: who, what, when. The controller
does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from recovery.clock import Clock, SystemClock
from recovery.commands.client import reach
from recovery.commands.errors import WRONG, Refused
from recovery.commands.naming import recovery_name
from recovery.commands.run import settings_from_environment
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import RECOVERIES, REVIEWS, Client
from recovery.kube.errors import Conflict, KubeError, NotFound
from recovery.kube.reading import decoded
from recovery.model.move import UserRequest
from recovery.model.recovery import Recovery
from recovery.record.codec import decode
from recovery.settings import Settings

MAX_REQUESTS = 50
"""Wishes that a recovery holds; the controller keeps the newest ten."""
Ask = Callable[[Recovery], tuple[str, ...]]
"""Which wishes may be written into it and for which step, as ``what`` or ``what step``; Refused
when none."""


def wish(named: str, ask: Ask) -> Recovery:
    """Write it as whoever we are, into the recovery or into that of the subject of this name; the
    recovery as it then is."""
    settings = settings_from_environment()
    return reach(lambda client: _as_ourselves(client, settings, named, ask))


async def _as_ourselves(
    client: AsyncioClient, settings: Settings, named: str, ask: Ask
) -> Recovery:
    name = await recovery_name(client, settings, named)
    return await write(client, settings.namespace, name, ask, await whoami(client), SystemClock())


async def write(
    client: Client, namespace: str, name: str, ask: Ask, by: str, clock: Clock
) -> Recovery:
    """Read, ask, write; again when the controller was faster."""
    for _ in range(10):
        try:
            raw = await client.get(RECOVERIES, namespace, name)
            recovery = decode(raw)
        except NotFound as error:
            raise Refused(
                f"there is no recovery {name} in {namespace}\nTry: recovery status", WRONG
            ) from error
        except (msgspec.DecodeError, ValueError) as error:
            raise Refused(f"recovery {name} cannot be read: {error}", WRONG) from error
        now = clock.now()
        requests = tuple(
            UserRequest(what, by, now, step)
            for what, _, step in (w.partition(" ") for w in ask(recovery))
        )
        if len(recovery.requests) + len(requests) > MAX_REQUESTS:
            raise Refused(
                f"recovery {name} has {len(recovery.requests)} requests already, and holds"
                f" {MAX_REQUESTS}; the controller forgets the oldest",
                WRONG,
            )
        # As it is stored, and one thing more: the API server lets nobody else change anything else.
        body: dict[str, Any] = decoded(raw, dict)
        body["spec"]["requests"] = [
            *(body["spec"].get("requests") or ()),
            *map(msgspec.to_builtins, requests),
        ]
        try:
            return decode(await client.update(RECOVERIES, namespace, name, body))
        except Conflict:
            continue
    raise Refused(f"recovery {name} changes all the time; try again", WRONG)


async def whoami(client: AsyncioClient) -> str:
    """Our name as the API server knows it; ``unknown`` where it does not say (before 1.28)."""
    try:
        raw = await client.create(
            REVIEWS, "", {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        )
        status = decoded(raw, dict).get("status") or {}
        return str((status.get("userInfo") or {}).get("username") or "unknown")
    except KubeError:
        return "unknown"
