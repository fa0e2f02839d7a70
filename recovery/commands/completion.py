"""Names for the shell to complete: applications, and the records of recoveries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from recovery.commands.errors import Refused
from recovery.kube.errors import KubeError

MAX_COMPLETIONS = 200
"""Names that are offered at most; whoever has more types another letter."""
COMPLETION_TIMEOUT = 3.0
"""Seconds after which nothing is offered: a shell waits for it."""


class _Meta(Struct):
    name: str
    namespace: str = ""


class _Item(Struct):
    metadata: _Meta


def subjects(incomplete: str) -> list[str]:
    """Applications as commands take them, and open or past recoveries; nothing where the cluster
    does not answer in three seconds."""
    return _offered(incomplete, recoveries=True)


def applications(incomplete: str) -> list[str]:
    """Applications as commands take them; nothing where the cluster does not answer in three
    seconds."""
    return _offered(incomplete, recoveries=False)


def _offered(incomplete: str, *, recoveries: bool) -> list[str]:
    try:
        names = asyncio.run(asyncio.wait_for(_names(recoveries=recoveries), COMPLETION_TIMEOUT))
    except (Refused, KubeError, OSError, TimeoutError, msgspec.MsgspecError):
        return []  # a shell shows what is printed here in the middle of a command: nothing is
    return [name for name in names if name.startswith(incomplete)][:MAX_COMPLETIONS]


async def _names(*, recoveries: bool) -> Sequence[str]:
    from recovery.commands.client import every
    from recovery.commands.run import settings_from_environment
    from recovery.commands.target import kubeconfig, target
    from recovery.kube.asyncio_client import connect
    from recovery.kube.client import APPLICATIONS, RECOVERIES

    settings = settings_from_environment()
    client = await connect(kubeconfig(), target().context)
    try:
        found = []
        for namespace in settings.namespaces:
            async for raw in every(client, APPLICATIONS, namespace):
                meta = msgspec.json.decode(raw, type=_Item).metadata
                own = meta.namespace or namespace
                if settings.watches(own):
                    found.append(
                        meta.name if own == settings.argocd_namespace else f"{own}/{meta.name}"
                    )
                    found += [f"{own}/{meta.name}"] if own == settings.argocd_namespace else []
        if recoveries:
            async for raw in every(client, RECOVERIES, settings.namespace):
                found.append(msgspec.json.decode(raw, type=_Item).metadata.name)
        return sorted(dict.fromkeys(found))
    finally:
        await client.close()
