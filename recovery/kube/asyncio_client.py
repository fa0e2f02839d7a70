"""The Client over kubernetes_asyncio: its connections and credentials, none of its models.

The only file that imports kubernetes_asyncio (63 MB and about a second). Answers are taken raw: a
Fleet of 10,000 Applications would be gigabytes as its objects.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import structlog

from recovery.kube.client import TOKEN_HEADER, Body, Resource
from recovery.kube.errors import KubeError, Late, Unavailable, error_for
from recovery.model.names import USERNAME

log = structlog.get_logger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5, sock_connect=5)
_MERGE = "application/merge-patch+json"
_LINE = 8 * 1024 * 1024
"""The longest watch event we read, in bytes: twice what etcd accepts for an object."""


class _Status(msgspec.Struct):
    message: str = ""


class AsyncioClient:
    """One API server. ``calls`` counts answers by verb and status for the metrics."""

    def __init__(
        self, api: Any, renew: Callable[[], Awaitable[None]] | None = None
    ) -> None:  # kubernetes_asyncio has no types
        self._api = api
        self._renewing = renew
        self._renewed_at = float("-inf")
        self.calls: dict[tuple[str, str], int] = {}

    async def close(self) -> None:
        """Drop the connections."""
        await self._api.close()

    async def list(self, what: Resource, namespace: str = "", **query: str) -> bytes:
        return await self._request("GET", what.path(namespace), "list", query=query)

    async def get(self, what: Resource, namespace: str, name: str) -> bytes:
        return await self._request("GET", what.path(namespace, name), "get")

    async def create(self, what: Resource, namespace: str, body: Body) -> bytes:
        return await self._request("POST", what.path(namespace), "create", body)

    async def update(self, what: Resource, namespace: str, name: str, body: Body) -> bytes:
        return await self._request("PUT", what.path(namespace, name), "update", body)

    async def patch(self, what: Resource, namespace: str, name: str, body: Body) -> bytes:
        return await self._request("PATCH", what.path(namespace, name), "patch", body, kind=_MERGE)

    async def delete(
        self, what: Resource, namespace: str, name: str, *, resource_version: str = ""
    ) -> None:
        only = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"resourceVersion": resource_version},
        }
        body = only if resource_version else None
        await self._request("DELETE", what.path(namespace, name), "delete", body)

    async def raw(self, path: str, *, shown: str = "", **query: str) -> bytes:
        """GET any path, such as a service's proxy. ``shown``: a token for who is behind the proxy,
        which takes Authorization away."""
        return await self._request(
            "GET", path, "get", query=query, headers={TOKEN_HEADER: shown} if shown else None
        )

    @property
    def bearer(self) -> str:
        """Our own token, empty where we come with a certificate."""
        return (
            str(self._api.configuration.api_key.get("BearerToken") or "")
            .removeprefix("Bearer ")
            .strip()
        )

    async def _request(
        self,
        method: str,
        path: str,
        verb: str,
        body: Body | None = None,
        *,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        if method != "GET":
            query = {**(query or {}), "fieldManager": USERNAME} if method != "DELETE" else query
        try:
            response = await self._open(method, path, query, _TIMEOUT, body, kind, headers)
            async with response:
                answer: bytes = await response.read()
        except (
            aiohttp.ClientError,
            TimeoutError,
            OSError,
            ValueError,
            asyncio.IncompleteReadError,
        ) as error:
            self._count(verb, "no answer")
            raise Unavailable(f"{verb} {path}: {_why(error)}") from error
        self._count(verb, str(response.status))
        if response.status >= 400:
            await self._renew(response.status)
            raise _error(response, answer, f"{verb} {path}")
        if not answer.lstrip().startswith(b"{"):
            raise Unavailable(
                f"{verb} {path}: the answer is not JSON; is this an API server?", response.status
            )
        if not answer.rstrip().endswith(b"}"):
            raise Unavailable(f"{verb} {path}: the answer ends in the middle", response.status)
        return answer

    @asynccontextmanager
    async def watch(
        self, what: Resource, namespace: str, resource_version: str, *, silence: float, **query: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        asked = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": "300",
            **query,
        }
        timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_connect=5, sock_read=silence)
        path, stood = what.path(namespace), False
        try:
            response = await self._open("GET", path, asked, timeout)
            async with response:
                self._count("watch", str(response.status))
                if response.status >= 400:
                    await self._renew(response.status)
                    raise _error(response, await response.read(), f"watch {path}")
                said = response.headers.get("Content-Type", "")
                if not said.startswith("application/"):
                    # A load balancer's page: no event, and no sign of life of an API server.
                    raise Unavailable(
                        f"watch {path}: the answer is {said[:60] or 'of no type'}; is this an API"
                        " server?"
                    )
                stood = True
                yield _lines(response)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if stood and isinstance(error, TimeoutError):
                self._count("watch", "silent")
                raise Late(f"watch {path}: nothing was heard for {silence:.0f} s") from error
            self._count("watch", "broken")
            raise Unavailable(f"watch {path}: {_why(error)}") from error

    async def _renew(self, status: int) -> None:
        """After a 401, read the credentials of the kubeconfig again (exec plugins, token files);
        once a minute."""
        now = asyncio.get_running_loop().time()
        if status != 401 or self._renewing is None or now - self._renewed_at < 60:
            return
        self._renewed_at = now
        try:
            async with asyncio.timeout(20):
                await self._renewing()
        except Exception as error:  # noqa: BLE001 (as in connect; the 401 itself is what the caller hears of)
            log.warning(
                "credentials could not be read again", why=str(error) or type(error).__name__
            )

    async def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        patience: aiohttp.ClientTimeout,
        body: Body | None = None,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        opened: aiohttp.ClientResponse = await self._api.call_api(
            path,
            method,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": kind, **(headers or {})},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=patience,
        )
        return opened

    def _count(self, verb: str, status: str) -> None:
        self.calls[verb, status] = self.calls.get((verb, status), 0) + 1


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    # The stream's own readline stops at 4 MiB; events may be larger than that.
    rest = bytearray()
    async for chunk in response.content.iter_any():
        rest += chunk
        while (end := rest.find(b"\n")) >= 0:
            line = bytes(rest[:end])
            del rest[: end + 1]
            if line:
                yield line
        if len(rest) > _LINE:
            raise ValueError(f"a watch event of more than {_LINE} bytes")
    if rest.strip():
        raise ValueError("the stream ends in the middle of an event")


def _error(response: aiohttp.ClientResponse, answer: bytes, asked: str) -> KubeError:
    try:
        message = msgspec.json.decode(answer, type=_Status).message
    except msgspec.DecodeError:
        message = answer[:200].decode(errors="replace")
    after = response.headers.get("Retry-After", "")
    return error_for(
        response.status,
        f"{asked}: {response.status} {message}",
        float(after) if after.isdigit() else 0,
    )


def _why(error: BaseException) -> str:
    return (
        "no answer in time"
        if isinstance(error, TimeoutError)
        else str(error) or type(error).__name__
    )


def _in_a_pod() -> bool:
    return Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()


def _file(kubeconfig: str) -> str:
    """The files that kubectl would read (KUBECONFIG may list several, which are merged)."""
    wanted = kubeconfig or str(Path.home() / ".kube" / "config")
    found = [name for name in wanted.split(os.pathsep) if name and Path(name).is_file()]
    if found:
        return os.pathsep.join(found)
    raise Unavailable(f"no kubeconfig at {wanted}, and this is not a Pod")


async def connect(kubeconfig: str = "", context: str = "") -> AsyncioClient:
    """Connect as a Pod does, or as kubectl does from ``kubeconfig`` or ~/.kube/config; ``context``
    is one of its contexts, by default the current one.

    Raises Unavailable when there is no usable configuration. A Pod's token is read again each
    minute by the library, a kubeconfig's credentials when the API server no longer takes them.
    """
    from kubernetes_asyncio import client, config

    # Its debug lines print whole bodies, Secrets too.
    logging.getLogger("kubernetes_asyncio").setLevel(logging.WARNING)
    configuration = client.Configuration()
    configuration.connection_pool_maxsize = 0  # no limit: every namespace holds two watches

    async def load() -> None:
        await config.load_kube_config(
            config_file=_file(kubeconfig),
            context=context or None,
            client_configuration=configuration,
        )
        for name, secret in configuration.api_key.items():
            configuration.api_key[name] = secret.strip()  # a token file may end in a newline

    renew = None
    try:
        if not kubeconfig and not context and _in_a_pod():
            config.load_incluster_config(client_configuration=configuration)
        else:
            await load()
            renew = load
        api = client.ApiClient(configuration)
    except Unavailable:
        raise
    except Exception as error:
        raise Unavailable(
            f"no usable Kubernetes configuration: {error or type(error).__name__}"
        ) from error
    api.user_agent = USERNAME
    return AsyncioClient(api, renew)
