"""Argo CD's own API, with a token: what the Application object does not say, and what only Argo CD may do."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import quote

import aiohttp
import msgspec
from msgspec import Struct

from recovery.kube.errors import KubeError, Unavailable, error_for
from recovery.model.application import Application
from recovery.model.redact import redact

_TIMEOUT = aiohttp.ClientTimeout(total=20, connect=5)
_JSON = {"Content-Type": "application/json"}
"""Exactly this: argocd-server refuses a charset suffix (server/server.go:enforceContentTypes)."""


class Node(Struct, frozen=True):
    """One entry of the resource tree."""

    kind: str = ""
    group: str = ""
    version: str = "v1"
    namespace: str = ""
    name: str = ""
    health: dict[str, str] | None = None


class _Tree(Struct):
    nodes: list[Node] | None = None


class _Error(Struct):
    message: str = ""


class ArgoCDAPI:
    """One argocd-server. The token file is read again for every request: it may be rotated."""

    def __init__(self, server: str, *, token: str = "", token_file: str = "", ca_file: str = "", insecure: bool = False) -> None:
        self._server = server
        self._token = token
        self._token_file = token_file
        self._tls = _tls(ca_file, insecure)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Drop the connections."""
        if self._session is not None:
            await self._session.close()

    async def degraded(self, app: Application, kinds: tuple[str, ...]) -> tuple[Node, ...]:
        """The workloads of these kinds that the resource tree calls Degraded, or Progressing where it is never more."""
        raw = await self._request(
            "GET",
            f"/api/v1/applications/{quote(app.name)}/resource-tree",
            {"appNamespace": app.namespace, "project": app.project},
        )
        nodes = msgspec.json.decode(raw, type=_Tree).nodes or []
        # StatefulSets and DaemonSets never turn Degraded (gitops-engine pkg/health).
        bad = {"Deployment": ("Degraded",), "Rollout": ("Degraded",)}
        return tuple(n for n in nodes if n.kind in kinds and (n.health or {}).get("status") in bad.get(n.kind, ("Degraded", "Progressing")))

    async def restart(self, app: Application, workload: Node) -> None:
        """Run the resource action ``restart`` (the body is the bare JSON string; seen on 3.2)."""
        where = {
            "appNamespace": app.namespace,
            "project": app.project,
            "namespace": workload.namespace,
            "resourceName": workload.name,
            "version": workload.version,
            "group": workload.group,
            "kind": workload.kind,
        }
        await self._request("POST", f"/api/v1/applications/{quote(app.name)}/resource/actions", where, b'"restart"')

    async def _request(self, method: str, path: str, query: dict[str, str], body: bytes | None = None) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, connector=aiohttp.TCPConnector(ssl=self._tls))
        headers = {"Authorization": f"Bearer {self._secret()}"} | (_JSON if method != "GET" else {})
        try:
            async with self._session.request(method, self._server + path, params=query, data=body, headers=headers) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"Argo CD's API: {method} {path}: {error or type(error).__name__}") from error
        if response.status >= 400:
            raise _error(response.status, answer, f"Argo CD's API: {method} {path}")
        if not answer.lstrip().startswith((b"{", b"[", b'"')):
            raise Unavailable(f"Argo CD's API: {method} {path}: the answer is not JSON; is ARGOCD_SERVER right?")
        return answer

    def _secret(self) -> str:
        if self._token_file:
            try:
                return Path(self._token_file).read_text().strip()
            except OSError as error:
                raise Unavailable(f"ARGOCD_TOKEN_FILE: {error.strerror}") from error
        return self._token


def _error(status: int, answer: bytes, asked: str) -> KubeError:
    try:
        message = msgspec.json.decode(answer, type=_Error).message
    except msgspec.DecodeError:
        message = "no JSON answer"
    return error_for(status, f"{asked}: {status} {redact(message, 300)}")


def _tls(ca_file: str, insecure: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise Unavailable(f"ARGOCD_CA_FILE: {ca_file} is not a usable certificate file: {error.strerror or error}") from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
