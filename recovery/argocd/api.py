"""Argo CD's own API, with a token: what the Application object does not say, and what only Argo CD
may do."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from recovery.argocd.tree import Node, nodes
from recovery.kube.errors import KubeError, Late, Unavailable, error_for
from recovery.model.application import Application
from recovery.model.commit import Commit, described
from recovery.model.redact import hold, redact
from recovery.model.timestamps import utc
from recovery.proxies import proxy_for

METADATA = 1 << 18
"""Bytes of a commit's metadata that are read: Git has no limit for a message."""
_TIMEOUT = aiohttp.ClientTimeout(total=20, connect=5)
_SLOW = aiohttp.ClientTimeout(total=25, connect=5)
"""For what Argo CD does elsewhere before it answers; shorter than a verdict is fresh."""
_JSON = {"Content-Type": "application/json"}
"""Exactly this: argocd-server refuses a charset suffix (server/server.go:enforceContentTypes)."""


T = TypeVar("T")


class State(Struct, frozen=True, rename="camel"):
    """Argo CD's own word on a connection: from its cache, up to an hour (repositories) or twelve
    (clusters) old."""

    status: str = ""
    message: str = ""
    attempted_at: str | None = None


class ListedRepository(Struct, frozen=True, rename="camel"):
    """One entry of GET /api/v1/repositories, with its connection state."""

    repo: str = ""
    type: str = "git"
    project: str = ""
    connection_state: State | None = None


class _Manifest(Struct):
    manifest: str = ""


class _Rendered(Struct):
    manifests: list[str] | None = None


class _Metadata(Struct):
    author: str = ""
    date: str | None = None
    message: str = ""


class _Version(Struct, rename="pascal"):
    version: str = ""


class _ServedInfo(Struct, rename="camel"):
    api_versions: list[str] | None = None


class _Served(Struct):
    info: _ServedInfo = msgspec.field(default_factory=_ServedInfo)


class _Info(Struct, rename="camel"):
    connection_state: State | None = None


class ListedCluster(Struct, frozen=True, rename="camel"):
    """One entry of GET /api/v1/clusters; its credentials are left out by Argo CD."""

    server: str = ""
    name: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    info: _Info | None = None


class Managed(Struct, frozen=True):
    """One resource that an application wants, as far as it decides where it may run."""

    group: str
    version: str
    kind: str
    namespace: str
    name: str
    volumes: tuple[str, ...] = ()
    """Claims and host paths that it mounts."""


class _ManagedItem(Struct, rename="camel"):
    group: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    target_state: str = ""
    hook: bool = False


_WITHOUT_DATA = ("configMap", "secret", "emptyDir", "projected", "downwardAPI", "image")
"""Volumes that are the same on every cluster, or empty at every start. All others hold data that is
somewhere."""


class _Listed(Struct):
    items: list[msgspec.Raw] | None = None


class _Error(Struct):
    message: str = ""


class ArgoCDAPI:
    """One argocd-server. The token file is read again for every request: it may be rotated."""

    def __init__(
        self,
        server: str,
        *,
        token: str = "",
        token_file: str = "",
        ca_file: str = "",
        insecure: bool = False,
    ) -> None:
        self._server = server
        self._token = token
        hold(token)
        self._token_file = token_file
        self._tls = _tls(ca_file, insecure)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Drop the connections."""
        if self._session is not None:
            await self._session.close()

    async def unwell(self, app: Application, kinds: tuple[str, ...] = ()) -> tuple[Node, ...]:
        """Nodes that the resource tree calls Degraded or Progressing, of these kinds (of all, for
        none). A Rollout only where it is Degraded: nobody here can tell more of it."""
        nodes = _nodes(await self.tree(app))
        return tuple(
            n
            for n in nodes
            if (not kinds or n.kind in kinds)
            and (n.status == "Degraded" or (n.status == "Progressing" and n.kind != "Rollout"))
        )

    async def restart(self, app: Application, workload: Node) -> None:
        """Run the resource action ``restart`` (the body is the bare JSON string; seen on 3.2)."""
        where = _where(app) | {
            "namespace": workload.namespace,
            "resourceName": workload.name,
            "version": workload.version,
            "group": workload.group,
            "kind": workload.kind,
        }
        await self._request(
            "POST",
            f"/api/v1/applications/{_segment(app.name)}/resource/actions",
            where,
            b'"restart"',
        )

    async def repositories(self) -> tuple[ListedRepository, ...]:
        """Repositories that Argo CD reads from, from its cache."""
        return _items(await self._request("GET", "/api/v1/repositories", {}), ListedRepository)

    async def clusters(self) -> tuple[ListedCluster, ...]:
        """Clusters that Argo CD deploys to, from its cache."""
        return _items(await self._request("GET", "/api/v1/clusters", {}), ListedCluster)

    async def test_repository(self, url: str, project: str, kind: str) -> None:
        """Have Argo CD list the branches of this one repository, with its own credentials, now (not
        from a cache: reposerver/repository/repository.go:ListRefs); KubeError with Argo CD's words
        in ``told`` when it cannot."""
        what = "helmcharts" if kind == "helm" else "refs"
        await self._request(
            "GET",
            f"/api/v1/repositories/{_segment(url)}/{what}",
            {"appProject": project} if project else {},
            slow=True,
        )

    async def live_read(self, app: Application) -> str:
        """Have Argo CD read one resource of this application from its cluster, now; its name, or
        empty when there is none that may be read. KubeError with Argo CD's words in ``told`` when
        it cannot (seen on 3.2: while Argo CD calls the cluster Successful, this fails at once)."""
        where = _where(app)
        path = f"/api/v1/applications/{_segment(app.name)}"
        try:
            tree = _nodes(await self.tree(app))
        except KubeError as error:
            # The tree comes from Argo CD's cache: whatever is wrong with it says nothing about the
            # cluster.
            raise Unavailable(f"no resource tree: {error}") from error
        node = next(
            (n for n in tree if n.kind not in ("Secret", "ConfigMap") and n.name and n.uid), None
        )
        if node is None:
            return ""
        asked = {
            "namespace": node.namespace,
            "resourceName": node.name,
            "version": node.version,
            "group": node.group,
            "kind": node.kind,
        }
        try:
            await self._request("GET", f"{path}/resource", where | asked, slow=True)
        except KubeError as error:
            if not error.told.startswith("error getting resource: "):
                # it did not come as far as the cluster
                # (server/application/application.go:GetResource)
                error.told = ""
            raise
        return f"{node.kind}/{node.name}"

    async def invalidate(self, server: str) -> None:
        """Have Argo CD list this cluster anew (server/cluster/cluster.go:InvalidateCache; needs
        clusters, update)."""
        await self._request(
            "POST", f"/api/v1/clusters/{_segment(server)}/invalidate-cache", {}, b"{}"
        )

    async def managed(self, app: Application) -> tuple[Managed, ...]:
        """Resources that the application wants in its cluster, from Argo CD's cache; it does not
        need the cluster."""
        where = _where(app)
        raw = await self._request(
            "GET", f"/api/v1/applications/{_segment(app.name)}/managed-resources", where
        )
        return tuple(
            _managed(item)
            for item in _items(raw, _ManagedItem)
            if not item.hook and item.target_state not in ("", "null")
        )

    async def managed_whole(self, app: Application) -> list[dict[str, Any]]:
        """Each managed resource with its live, wanted and predicted state as JSON texts, from Argo
        CD's cache; Secrets are masked."""
        return list(
            _items(
                await self._request(
                    "GET",
                    f"/api/v1/applications/{_segment(app.name)}/managed-resources",
                    _where(app),
                ),
                dict,
            )
        )

    async def kinds(self, app: Application) -> frozenset[str]:
        """Kinds of all that belongs to it, also what its resources made (an operator's
        StatefulSets), from Argo CD's cache."""
        return frozenset(node.kind for node in _nodes(await self.tree(app)))

    async def tree(self, app: Application) -> bytes:
        """The resource tree, from Argo CD's cache."""
        return await self._request(
            "GET", f"/api/v1/applications/{_segment(app.name)}/resource-tree", _where(app)
        )

    async def manifest(self, app: Application, node: Any) -> dict[str, Any]:
        """One live resource of it, whole, read in its cluster now."""
        asked = {
            "namespace": node.namespace,
            "resourceName": node.name,
            "version": node.version,
            "group": node.group,
            "kind": node.kind,
        }
        raw = await self._request(
            "GET",
            f"/api/v1/applications/{_segment(app.name)}/resource",
            _where(app) | asked,
            slow=True,
        )
        return _decoded(_decoded(raw, _Manifest).manifest.encode() or b"{}", dict)

    async def events(self, app: Application, node: Any) -> list[dict[str, Any]]:
        """The Events about one resource of it
        (server/application/application.go:ListResourceEvents)."""
        asked = {
            "resourceNamespace": node.namespace,
            "resourceName": node.name,
            "resourceUID": node.uid,
        }
        raw = await self._request(
            "GET",
            f"/api/v1/applications/{_segment(app.name)}/events",
            _where(app) | asked,
            slow=True,
        )
        return list(_items(raw, dict))

    async def rendered(
        self, app: Application, revisions: tuple[str, ...]
    ) -> tuple[dict[str, Any], ...]:
        """Manifests of these revisions, rendered now
        (server/application/application.go:GetManifests); it needs Git or its cache."""
        asked = _where(app)
        query: list[tuple[str, str]] = [*asked.items()]
        if len(revisions) == 1:
            query.append(("revision", revisions[0]))
        else:
            query += [("revisions", revision) for revision in revisions]
            query += [("sourcePositions", str(number)) for number in range(1, len(revisions) + 1)]
        raw = await self._request(
            "GET", f"/api/v1/applications/{_segment(app.name)}/manifests", query, slow=True
        )
        found = []
        for text in _decoded(raw, _Rendered).manifests or ():
            with suppress(msgspec.DecodeError, ValueError):
                found.append(msgspec.json.decode(text, type=dict[str, Any]))
        return tuple(found)

    async def commit(self, app: Application, number: int, revision: str) -> Commit:
        """Author, date and subject of a commit of its source ``number``, from 0
        (server/application/application.go:RevisionMetadata; from the repo-server's cache or its
        checkout)."""
        where = _where(app) | ({"sourceIndex": str(number)} if len(app.repositories) > 1 else {})
        path = f"/api/v1/applications/{_segment(app.name)}/revisions/{_segment(revision)}/metadata"
        found = _decoded(await self._request("GET", path, where, largest=METADATA), _Metadata)
        return described(revision, found.author, found.message, utc(found.date))

    async def version(self) -> str:
        """Argo CD's version, such as ``v3.2.11+abc``; needs no token."""
        return _decoded(await self._request("GET", "/api/version", {}), _Version).version

    async def api_versions(self, server: str) -> frozenset[str]:
        """Kinds that a cluster serves, as ``group/version/Kind``, from the controller's cache
        (rewritten every 10 s)."""
        by = {} if "://" in server else {"id.type": "name"}
        raw = await self._request("GET", f"/api/v1/clusters/{_segment(server)}", by)
        return frozenset(_decoded(raw, _Served).info.api_versions or ())

    async def alive(self) -> None:
        """Does it answer at all? KubeError when it does not."""
        await self._request("GET", "/api/version", {})

    async def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str] | list[tuple[str, str]],
        body: bytes | None = None,
        *,
        slow: bool = False,
        largest: int = 0,
    ) -> bytes:
        """``largest``: bytes of an answer that is somebody else's text and not worth more; 0 for as
        large as it is."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=_TIMEOUT, connector=aiohttp.TCPConnector(ssl=self._tls)
            )
        headers = {"Authorization": f"Bearer {self._secret()}"} | (_JSON if method != "GET" else {})
        try:
            # Escaped already: a repository's URL is one segment of the path.
            url = URL(f"{self._server}{path}", encoded=True).update_query(query)
            timeout = _SLOW if slow else _TIMEOUT
            async with self._session.request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=timeout,
                proxy=proxy_for(self._server),
            ) as response:
                answer = await _read(response, largest)
        except TimeoutError as error:
            raise Late(f"Argo CD's API: {method} {path}: no answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(
                f"Argo CD's API: {method} {path}: {str(error) or type(error).__name__}"
            ) from error
        if response.status >= 400:
            raise _error(response.status, answer, f"Argo CD's API: {method} {path}")
        if not answer.lstrip().startswith((b"{", b"[", b'"')):
            raise Unavailable(
                f"Argo CD's API: {method} {path}: the answer is not JSON; is ARGOCD_SERVER right?"
            )
        return answer

    def _secret(self) -> str:
        if self._token_file:
            try:
                token = Path(self._token_file).read_text().strip()
                hold(token)
                return token
            except OSError as error:
                raise Unavailable(f"ARGOCD_TOKEN_FILE: {error.strerror}") from error
            except ValueError as error:
                raise Unavailable("ARGOCD_TOKEN_FILE: it is no text") from error
        return self._token


async def _read(response: aiohttp.ClientResponse, largest: int) -> bytes:
    if not largest:
        return await response.read()
    answer = bytearray()
    async for piece in response.content.iter_chunked(1 << 16):
        answer += piece
        if len(answer) > largest:
            raise ValueError(f"the answer is larger than {largest >> 10} KiB")
    return bytes(answer)


def _segment(word: str) -> str:
    """Anything as one segment of a path: a URL, too."""
    return quote(word, safe="")


def _where(app: Application) -> dict[str, str]:
    return {"appNamespace": app.namespace, "project": app.project}


def _error(status: int, answer: bytes, asked: str) -> KubeError:
    try:
        told = redact(msgspec.json.decode(answer, type=_Error).message, 300)
    except msgspec.DecodeError:
        told = ""
    error = error_for(status, f"{asked}: {status} {told or 'no JSON answer'}")
    error.told = told
    return error


def _decoded(raw: bytes, kind: type[T]) -> T:
    """The answer as what it should be; Unavailable when it is something else."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise Unavailable(
            f"Argo CD's API: an answer that cannot be read: {str(error)[:160]}"
        ) from error


def _nodes(raw: bytes) -> tuple[Node, ...]:
    """The nodes of a tree; Unavailable when it is something else."""
    try:
        return nodes(raw)
    except (msgspec.DecodeError, ValueError) as error:
        raise Unavailable(
            f"Argo CD's API: an answer that cannot be read: {str(error)[:160]}"
        ) from error


def _items(raw: bytes, kind: type[T]) -> tuple[T, ...]:
    """The items of a list that can be read: one bad entry must not cost the others."""
    found = []
    for item in _decoded(raw, _Listed).items or ():
        with suppress(msgspec.DecodeError, ValueError):
            found.append(msgspec.json.decode(item, type=kind))
    return tuple(found)


def _managed(item: _ManagedItem) -> Managed:
    try:
        wanted = msgspec.json.decode(item.target_state, type=_Wanted)
    except (msgspec.DecodeError, ValueError):
        wanted = _Wanted()
    version = wanted.api_version.rpartition("/")[2] or "v1"
    return Managed(item.group, version, item.kind, item.namespace, item.name, wanted.mounts())


class _Wanted(Struct, rename="camel"):
    """A manifest, as far as it says what it mounts."""

    api_version: str = ""
    spec: dict[str, Any] | None = None

    def mounts(self) -> tuple[str, ...]:
        """Claims, claim templates and host paths."""
        spec = self.spec or {}
        if "jobTemplate" in spec:
            spec = (spec["jobTemplate"] or {}).get("spec") or {}
        template = spec.get("template")
        pod = (template.get("spec") if isinstance(template, dict) else None) or spec
        found = [
            f"claim template {t.get('metadata', {}).get('name', '')}"
            for t in spec.get("volumeClaimTemplates") or ()
        ]
        for volume in pod.get("volumes") or () if isinstance(pod, dict) else ():
            kinds = [kind for kind in volume if kind != "name" and kind not in _WITHOUT_DATA]
            found += [f"{kind} volume {volume.get('name', '')}" for kind in kinds]
        return tuple(found)


def _tls(ca_file: str, insecure: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise Unavailable(
            f"ARGOCD_CA_FILE: {ca_file} is not a usable certificate file: {error.strerror or error}"
        ) from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
