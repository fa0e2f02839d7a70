"""The embedded cluster over HTTP, so that the shipped client stack talks to it unchanged."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from recovery.kube.client import TOKEN_HEADER, Resource
from recovery.kube.errors import KubeError
from recovery.simulate.cluster import Cluster
from recovery.simulate.discovery import discovered, table

_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<ns>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<part>status))?$"
)


_PROXY = re.compile(
    r"^/api/v1/namespaces/[^/]+/services/(?:http:)?gitops-recovery-controller(?::8080|:http)?/proxy(?P<rest>/.*)$"
)
PROXY_TIMEOUT = 20.0
"""Seconds that an answer through the service proxy may take to begin."""


class APIServer:
    """Serves a Cluster on a loopback port, as an API server: objects, discovery, tables, the
    service proxy, and who asks."""

    def __init__(
        self, cluster: Cluster, controller: Callable[[], int] = lambda: 0, user: str = ""
    ) -> None:
        """``controller`` is the port that the controller serves on, 0 for none; whoever asks is
        ``user``."""
        self._cluster = cluster
        self._controller = controller
        self._user = user
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 takes a free one."""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=0.5
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening, ending what is being watched."""
        if self._runner is not None:
            await self._runner.cleanup()

    def kubeconfig(self) -> dict[str, Any]:
        """Kubeconfig that a client needs to come here."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "embedded",
            "clusters": [
                {"name": "embedded", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
            ],
            "users": [{"name": "embedded", "user": {}}],
            "contexts": [
                {
                    "name": "embedded",
                    "context": {"cluster": "embedded", "user": "embedded", "namespace": "argocd"},
                }
            ],
        }

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if proxied := _PROXY.match(request.path):
            return await self._proxy(request, proxied["rest"])
        found = _PATH.match(request.path)
        if found is None or not found["plural"]:
            return await self._discovery(request.path)
        if found["plural"] == "selfsubjectreviews" and self._user:
            who = {
                "kind": "SelfSubjectReview",
                "apiVersion": "authentication.k8s.io/v1",
                "status": {"userInfo": {"username": self._user}},
            }
            return web.json_response(who, status=201)
        if found["plural"] == "subjectaccessreviews" and self._user:
            return web.json_response(
                {"kind": "SubjectAccessReview", "status": {"allowed": True}}, status=201
            )
        what = Resource(
            found["group"] or "", found["version"], found["plural"], found["part"] or ""
        )
        namespace, name = found["ns"] or "", found["name"] or ""
        query = {
            k: v
            for k, v in request.query.items()
            if k not in ("fieldManager", "timeoutSeconds", "allowWatchBookmarks")
        }
        try:
            if query.pop("watch", "") == "true":
                return await self._watch(request, what, namespace, query)
            body = msgspec.json.decode(await request.read()) if request.can_read_body else {}
            answer = await self._call(request.method, what, namespace, name, body, query)
        except KubeError as error:
            return _status(error.status or 500, str(error))
        if request.method == "GET" and "as=Table" in request.headers.get("Accept", ""):
            answer = self._table(what, answer)
        return web.Response(
            body=answer,
            status=201 if request.method == "POST" else 200,
            content_type="application/json",
        )

    def _table(self, what: Resource, answer: bytes) -> bytes:
        body = msgspec.json.decode(answer, type=dict)
        items = body.get("items", [body])
        return msgspec.json.encode(
            table(what, items, body["metadata"].get("resourceVersion", ""), self._cluster.now())
        )

    async def _proxy(self, request: web.Request, rest: str) -> web.Response:
        """To the controller, as the API server does for who may; its token goes along in a header
        of ours."""
        if not self._controller():
            return _status(503, 'no endpoints available for service "gitops-recovery-controller"')
        where = f"http://127.0.0.1:{self._controller()}{rest}"
        kept = {
            name: value
            for name, value in request.headers.items()
            if name in ("Accept", TOKEN_HEADER)
        }
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=PROXY_TIMEOUT)
                ) as session,
                session.request(
                    request.method,
                    where,
                    params=request.query,
                    headers=kept,
                    data=await request.read(),
                ) as found,
            ):
                return web.Response(
                    body=await found.read(), status=found.status, content_type=found.content_type
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            return _status(503, f"error trying to reach service: {error}")

    async def _discovery(self, path: str) -> web.Response:
        if (body := discovered(path)) is not None and not self._cluster.served.get(
            path.strip("/").removeprefix("apis/")
        ):
            return web.json_response(body)
        try:
            return web.Response(body=await self._cluster.raw(path), content_type="application/json")
        except KubeError as error:
            return _status(error.status or 404, str(error))

    async def _call(
        self,
        method: str,
        what: Resource,
        namespace: str,
        name: str,
        body: Any,
        query: dict[str, str],
    ) -> bytes:
        match method:
            case "GET" if name:
                return await self._cluster.get(what, namespace, name)
            case "GET":
                return await self._cluster.list(what, namespace, **query)
            case "POST":
                return await self._cluster.create(what, namespace, body)
            case "PUT":
                return await self._cluster.update(what, namespace, name, body)
            case "PATCH":
                return await self._cluster.patch(what, namespace, name, body)
            case _:
                await self._cluster.delete(what, namespace, name)
                return b'{"kind":"Status","status":"Success"}'

    async def _watch(
        self, request: web.Request, what: Resource, namespace: str, query: dict[str, str]
    ) -> web.StreamResponse:
        since = query.pop("resourceVersion", "0")
        async with self._cluster.watch(what, namespace, since, silence=0, **query) as lines:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            try:
                async for line in lines:
                    await response.write(line + b"\n")
            except (ConnectionResetError, BrokenPipeError):
                pass
            return response


def _status(code: int, message: str) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "code": code,
    }
    return web.Response(
        body=msgspec.json.encode(body), status=code, content_type="application/json"
    )
