"""People name what they see: an application, a cluster, a repository, or the record of a recovery.
Every command takes either."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

from recovery.commands.client import every
from recovery.commands.errors import WRONG, Refused
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import RECOVERIES
from recovery.kube.errors import NotFound
from recovery.model.recovery import Recovery
from recovery.observe import wire
from recovery.record.codec import decode
from recovery.settings import Settings

SHOWN_NAMES = 5


async def recovery_name(
    client: AsyncioClient, settings: Settings, named: str, *, missing_is_empty: bool = False
) -> str:
    """The recovery of this name, or the open one of this subject, else its newest. Refused when
    there is none or several."""
    if "/" not in named:
        try:
            await client.get(RECOVERIES, settings.namespace, named)
        except NotFound:
            pass
        else:
            return named
    found = [recovery async for recovery in _of(client, settings, _subject(settings, named))]
    found = [r for r in found if not r.phase.over] or sorted(found, key=lambda r: r.opened_at)[-1:]
    if len(found) == 1:
        return found[0].name
    if not found and missing_is_empty:
        return ""
    if not found:
        raise Refused(
            f"there is no recovery {named} in {settings.namespace}\nTry: recovery status", WRONG
        )
    names = ", ".join(r.name for r in found[:SHOWN_NAMES])
    raise Refused(f"{named} has several open recoveries: {names}; name one of them", WRONG)


async def subject_name(client: AsyncioClient, settings: Settings, named: str) -> str:
    """Subject of the recovery of this name, as ``namespace/name``, ``cluster/NAME`` or
    ``repository/URL``; else the subject itself, where a bare name is an application in Argo CD's
    namespace."""
    if "/" in named:
        return named
    with suppress(NotFound, *wire.Unreadable):
        return str(decode(await client.get(RECOVERIES, settings.namespace, named)).subject)
    return _subject(settings, named)


def _subject(settings: Settings, named: str) -> str:
    return named if "/" in named else f"{settings.argocd_namespace}/{named}"


async def _of(client: AsyncioClient, settings: Settings, subject: str) -> AsyncIterator[Recovery]:
    async for item in every(client, RECOVERIES, settings.namespace):
        with suppress(*wire.Unreadable):
            recovery: Recovery = decode(item)
            if str(recovery.subject) == subject:
                yield recovery
