"""How commands reach the cluster."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec

from recovery.commands.failing import UNREACHABLE, Refused
from recovery.commands.printing import patience
from recovery.kube.asyncio_client import AsyncioClient, connect
from recovery.kube.client import Resource
from recovery.kube.errors import Forbidden, KubeError, NotFound, Unauthorized
from recovery.observe import wire

T = TypeVar("T")
SERVICE = "/api/v1/namespaces/{namespace}/services/http:gitops-recovery-controller:8080/proxy"
"""The controller's API through the API server's service proxy: no port-forward is needed."""


def reach(ask: Callable[[AsyncioClient], Awaitable[T]]) -> T:
    """Connect as kubectl does, ask, close. Refused with exit code 3 when the cluster does not answer as it should."""
    try:
        with patience("asking the cluster"):
            return asyncio.run(_reach(ask))
    except (Unauthorized, Forbidden) as error:
        raise Refused(f"{error}\nTry: kubectl auth whoami", UNREACHABLE) from error
    except NotFound as error:
        raise Refused(f"{error}\nIs the controller installed? Try: kubectl apply -k manifests/base", UNREACHABLE) from error
    except KubeError as error:
        raise Refused(f"{error}\nTry: kubectl cluster-info", UNREACHABLE) from error


async def every(client: AsyncioClient, what: Resource, namespace: str) -> AsyncIterator[msgspec.Raw]:
    """All objects of a kind, page by page."""
    more = ""
    while True:
        page = wire.listed(await client.list(what, namespace, limit="200", **({"continue": more} if more else {})))
        for item in page.items:
            yield item
        more = page.metadata.more
        if not more:
            return


async def _reach(ask: Callable[[AsyncioClient], Awaitable[T]]) -> T:
    client = await connect(os.environ.get("KUBECONFIG", ""))
    try:
        return await ask(client)
    finally:
        await client.close()
