"""How commands reach the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec

from recovery.commands.errors import UNREACHABLE, Refused
from recovery.commands.output import patience
from recovery.commands.target import kubeconfig, target
from recovery.kube.asyncio_client import AsyncioClient, connect
from recovery.kube.client import VIEWER_TOKENS, Resource
from recovery.kube.errors import Forbidden, KubeError, NotFound, Unauthorized
from recovery.observe import wire

T = TypeVar("T")
SERVICE = "/api/v1/namespaces/{namespace}/services/http:gitops-recovery-controller:8080/proxy"
"""The controller's API through the API server's service proxy: no port-forward is needed."""


def reach(ask: Callable[[AsyncioClient], Awaitable[T]]) -> T:
    """Connect as kubectl does, ask, close. Refused with exit code 3 when the cluster does not
    answer as it should."""
    try:
        with patience("asking the cluster"):
            return asyncio.run(_reach(ask))
    except (Unauthorized, Forbidden) as error:
        raise Refused(f"{error}\nTry: kubectl auth whoami", UNREACHABLE) from error
    except NotFound as error:
        raise Refused(
            f"{error}\nIs the controller installed? Try: kubectl apply -k manifests/base",
            UNREACHABLE,
        ) from error
    except KubeError as error:
        raise Refused(f"{error}\nTry: kubectl cluster-info", UNREACHABLE) from error


async def ask_controller(client: AsyncioClient, namespace: str, path: str, **query: str) -> bytes:
    """From the controller, through the API server's service proxy. Where it asks who we are: with
    one of the viewer's tokens, if we may make one, else with our own. KubeError when it does not
    answer, or not to us."""
    where = f"{SERVICE.format(namespace=namespace)}{path}"
    try:
        return await client.raw(where, **query)
    except Unauthorized:
        return await client.raw(where, shown=await _token(client, namespace), **query)


async def _token(client: AsyncioClient, namespace: str) -> str:
    """One of the viewer's: good for ten minutes and for looking. Our own only where we may not make
    one."""
    try:
        return await _viewers_token(client, namespace)
    except (Forbidden, NotFound):
        return client.bearer


async def _viewers_token(client: AsyncioClient, namespace: str) -> str:
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600},
    }
    raw = await client.create(VIEWER_TOKENS, namespace, body)
    return str(msgspec.json.decode(raw, type=dict)["status"]["token"])


async def every(
    client: AsyncioClient, what: Resource, namespace: str, **query: str
) -> AsyncIterator[msgspec.Raw]:
    """All objects of a kind, page by page; ``query`` is the API's own, such as labelSelector."""
    more = ""
    while True:
        page = wire.listed(
            await client.list(
                what, namespace, limit="200", **query, **({"continue": more} if more else {})
            )
        )
        for item in page.items:
            yield item
        more = page.metadata.more
        if not more:
            return


async def _reach(ask: Callable[[AsyncioClient], Awaitable[T]]) -> T:
    client = await connect(kubeconfig(), target().context)
    try:
        return await ask(client)
    finally:
        await client.close()
