"""Other clusters, reached with the credentials that Argo CD's cluster Secrets hold: no more than
was named may be read."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct, field

from recovery.kube.client import SECRETS, Body, Client, whole_path
from recovery.kube.errors import (
    Forbidden,
    Invalid,
    KubeError,
    Late,
    NotFound,
    Unavailable,
    error_for,
)
from recovery.model.names import PREFIX, USERNAME
from recovery.model.redact import hold, redact
from recovery.proxies import proxy_for

_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)
SECRET_TTL = 15.0
"""Seconds a Secret's content is good for: a rotated token is in use within that."""


class Known(Struct, frozen=True):
    """A cluster Secret that we may read, without what is secret in it."""

    secret: str
    server: str
    name: str
    labels: dict[str, str]
    marks: dict[str, str]
    trouble: str = ""
    """Why it cannot be used."""


class _Tls(Struct, rename="camel"):
    insecure: bool | None = False
    server_name: str | None = ""
    cert_data: str | None = ""
    key_data: str | None = ""
    ca_data: str | None = ""


class _Config(Struct, rename="camel"):
    """A cluster Secret's ``config`` (argo-cd util/db/cluster.go:SecretToCluster)."""

    username: str | None = ""
    password: str | None = ""
    bearer_token: str | None = ""
    tls_client_config: _Tls = field(default_factory=_Tls)
    aws_auth_config: Any = None
    exec_provider_config: Any = None
    proxy_url: str | None = ""


class _Meta(Struct):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _Secret(Struct):
    metadata: _Meta = field(default_factory=_Meta)
    data: dict[str, str] | None = None


class Remote:
    """One cluster's API server. Every method raises KubeError; nothing waits longer than 10 s."""

    def __init__(self, server: str, config: _Config) -> None:
        self._server = server.rstrip("/")
        self._config = config
        self._tls = (
            _context(config.tls_client_config) if self._server.startswith("https://") else None
        )
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Drop the connections."""
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str) -> bytes:
        """GET a path of this cluster; raises KubeError."""
        return await self._request("GET", path, None)

    async def create(self, path: str, body: Body) -> bytes:
        """POST to a path of this cluster; raises KubeError."""
        return await self._request("POST", path, body)

    async def delete(self, path: str, body: Body) -> None:
        """DELETE a path, with preconditions."""
        await self._request("DELETE", path, body)

    async def _request(self, method: str, path: str, body: Body | None) -> bytes:
        if self._session is None:
            # No connection is kept: a probe that reuses one says nothing about the way there.
            connector = aiohttp.TCPConnector(
                ssl=self._tls if self._tls is not None else True, force_close=True
            )
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector)
        headers = {"Accept": "application/json", "User-Agent": USERNAME}
        hold(*filter(None, (self._config.bearer_token, self._config.password)))
        if self._config.bearer_token:
            headers["Authorization"] = f"Bearer {self._config.bearer_token}"
        elif self._config.username:
            pair = f"{self._config.username}:{self._config.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        data = msgspec.json.encode(body) if body is not None else None
        if data:
            headers["Content-Type"] = "application/json"
        sni = self._config.tls_client_config.server_name or None
        try:
            async with self._session.request(
                method,
                self._server + whole_path(path),
                data=data,
                headers=headers,
                server_hostname=sni,
                proxy=self._config.proxy_url or proxy_for(self._server),
                allow_redirects=False,
            ) as response:
                answer = await response.read()
        except TimeoutError as error:
            raise Late(
                f"{method} {self._server}{path}: no answer within {_TIMEOUT.total:.0f}s: timeout"
            ) from error
        except (
            aiohttp.ClientProxyConnectionError,
            aiohttp.ClientHttpProxyError,
            aiohttp.InvalidURL,
        ) as error:
            raise self._no_way(method, path, error) from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise Unavailable(
                f"{method} {self._server}{path}: {redact(str(error) or type(error).__name__, 250)}"
            ) from error
        except (ValueError, AssertionError, RuntimeError) as error:
            raise self._no_way(method, path, error) from error
        if response.status >= 400:
            text = answer[:2000].decode(errors="replace")
            with suppress(msgspec.DecodeError):
                text = str(msgspec.json.decode(answer, type=dict).get("message", text))
            raise error_for(
                response.status,
                f"{method} {self._server}{path}: {response.status} {redact(text, 250)}",
            )
        return answer

    def _no_way(self, method: str, path: str, error: Exception) -> Invalid:
        """A proxy, a URL that is none, a connection that was just dropped: it says nothing about
        the cluster."""
        words = redact(str(error) or type(error).__name__, 200)
        return Invalid(f"{method} {self._server}{path}: our own way there: {words}")


class Remotes:
    """The clusters whose Secrets were named to us, read again when they are older than ``KEPT``
    seconds."""

    def __init__(self, client: Client, namespace: str, secrets: tuple[str, ...]) -> None:
        self._client = client
        self._namespace = namespace
        self._secrets = secrets
        self._kept: dict[str, tuple[float, Known, _Config | None]] = {}
        self._remotes: dict[str, tuple[_Config, Remote]] = {}

    async def close(self) -> None:
        """Drop all connections."""
        for _, remote in self._remotes.values():
            await remote.close()

    def forget(self) -> None:
        """Read the Secrets again at the next occasion."""
        self._kept.clear()

    async def known(self) -> tuple[Known, ...]:
        """Every named Secret as it is now; one that cannot be read says why. Raises nothing."""
        return tuple([(await self._read(name))[0] for name in self._secrets])

    async def to(self, server: str) -> Remote | None:
        """The way to a cluster by its server's URL; None when none of our Secrets is for it, or it
        cannot be used."""
        for name in self._secrets:
            known, config = await self._read(name)
            if known.server == server and config is not None:
                return await self._remote(server, config)
        return None

    async def _remote(self, server: str, config: _Config) -> Remote:
        held = self._remotes.get(server)
        if held is not None and held[0] == config:
            return held[1]
        if held is not None:
            await held[1].close()
        remote = Remote(server, config)
        self._remotes[server] = (config, remote)
        return remote

    async def _read(self, name: str) -> tuple[Known, _Config | None]:
        now = asyncio.get_running_loop().time()
        held = self._kept.get(name)
        if held is not None and now - held[0] < SECRET_TTL:
            return held[1], held[2]
        try:
            raw = await self._client.get(SECRETS, self._namespace, name)
        except KubeError as error:
            if held is not None and not isinstance(error, NotFound | Forbidden):
                return held[1], held[2]  # our own API server is away: what was read stays good
            why = {NotFound: "there is no such Secret", Forbidden: "we may not read it"}.get(
                type(error), str(error)[:160]
            )
            return Known(name, "", name, {}, {}, f"Secret {name}: {why}"), None
        known, config = _decoded(name, raw)
        self._kept[name] = (now, known, config)
        return known, config


def _decoded(name: str, raw: bytes) -> tuple[Known, _Config | None]:
    secret = msgspec.json.decode(raw, type=_Secret)
    data = {
        key: _plain(value)
        for key, value in (secret.data or {}).items()
        if key in ("name", "server", "config")
    }
    server = data.get("server", "").strip().rstrip("/")  # as util/db/cluster.go:SecretToCluster
    labels, notes = secret.metadata.labels or {}, secret.metadata.annotations or {}
    known = Known(
        name,
        server,
        data.get("name", "") or server,
        labels,
        {k: v for k, v in notes.items() if k.startswith(PREFIX)},
    )
    trouble, config = "", None
    try:
        config = msgspec.json.decode(data.get("config") or "{}", type=_Config)
        Remote(known.server, config)
    except msgspec.DecodeError as error:
        trouble = f"its config is not the JSON that Argo CD expects: {str(error)[:120]}"
    except Invalid as error:
        trouble = str(error)
    if labels.get("argocd.argoproj.io/secret-type") != "cluster":
        trouble = "it is not a cluster Secret (label argocd.argoproj.io/secret-type)"
    elif not known.server.startswith(("https://", "http://")):
        trouble = "it names no server" if not known.server else "its server is no URL"
    elif config and (config.aws_auth_config or config.exec_provider_config):
        trouble = "it uses awsAuthConfig or execProviderConfig, which only Argo CD can use"
    if not trouble:
        return known, config
    return Known(
        name, known.server, known.name, labels, known.marks, f"Secret {name}: {trouble}"
    ), None


def _plain(value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _context(tls: _Tls) -> ssl.SSLContext:
    """TLS as Argo CD would do it; Invalid when a certificate in it cannot be read."""
    try:
        # Comments in a bundle may be in any language; the certificates in it are ASCII.
        authorities = (
            base64.b64decode(tls.ca_data).decode("ascii", "ignore") if tls.ca_data else None
        )
        context = ssl.create_default_context(cadata=authorities)
        if tls.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert_data and tls.key_data:
            _identify(context, base64.b64decode(tls.cert_data), base64.b64decode(tls.key_data))
    except (ssl.SSLError, ValueError, TypeError, OSError) as error:
        raise Invalid(f"its certificates cannot be read: {str(error)[:120]}") from error
    return context


def _identify(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Python reads a client certificate from a file only: one in memory where there is such a
    thing, gone at once."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 (a file of our own in it, readable to us only)
    with tempfile.NamedTemporaryFile(dir=place) as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)
