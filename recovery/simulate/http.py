"""The embedded cluster over HTTP, so that the shipped client stack talks to it unchanged."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from aiohttp import web

from recovery.kube.client import Resource
from recovery.kube.errors import KubeError
from recovery.simulate.cluster import Cluster

_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<ns>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?$"
)


class Face:
    """Serves a Cluster on a loopback port."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 takes a free one."""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening, ending what is being watched."""
        if self._runner is not None:
            await self._runner.cleanup()

    def kubeconfig(self) -> dict[str, Any]:
        """What a client needs to come here."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "embedded",
            "clusters": [{"name": "embedded", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "embedded", "user": {}}],
            "contexts": [{"name": "embedded", "context": {"cluster": "embedded", "user": "embedded", "namespace": "argocd"}}],
        }

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        found = _PATH.match(request.path)
        if found is None or not found["plural"]:
            return await self._discovery(request.path)
        what = Resource(found["group"] or "", found["version"], found["plural"])
        namespace, name = found["ns"] or "", found["name"] or ""
        query = {k: v for k, v in request.query.items() if k not in ("fieldManager", "timeoutSeconds", "allowWatchBookmarks")}
        try:
            if query.pop("watch", "") == "true":
                return await self._watch(request, what, namespace, query)
            body = msgspec.json.decode(await request.read()) if request.can_read_body else {}
            answer = await self._call(request.method, what, namespace, name, body, query)
        except KubeError as error:
            return _status(error.status or 500, str(error))
        return web.Response(body=answer, status=201 if request.method == "POST" else 200, content_type="application/json")

    async def _discovery(self, path: str) -> web.Response:
        try:
            return web.Response(body=await self._cluster.raw(path), content_type="application/json")
        except KubeError as error:
            return _status(error.status or 404, str(error))

    async def _call(self, method: str, what: Resource, namespace: str, name: str, body: Any, query: dict[str, str]) -> bytes:
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

    async def _watch(self, request: web.Request, what: Resource, namespace: str, query: dict[str, str]) -> web.StreamResponse:
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
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return web.Response(body=msgspec.json.encode(body), status=code, content_type="application/json")
