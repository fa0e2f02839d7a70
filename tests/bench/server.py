"""An API server with very many Applications of 26 KB, kept as bytes: ``python -m tests.bench.server
COUNT``.

Prints its port. POST /change?count=N makes N applications Degraded, one after the other at the
asked rate; GET /reactions tells after how many seconds each was written to.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from recovery.clock import SystemClock
from recovery.kube.client import CONFIG_MAPS, PROJECTS
from recovery.record.codec import stamp
from recovery.simulate.cluster import Cluster
from recovery.simulate.http import APIServer

SIZE = 26_000
POLICIES = """
recovery_policies:
- name: bench
  condition: {type: application, health: Degraded, duration: 0s}
  actions: [{type: refresh}]
guards: {storm: {minimum: 1000, count: 1000}, budget: {in_flight: 100000, per_cluster: 100000, per_project: 100000}}
"""


def application(number: int, version: int, health: str) -> bytes:
    """About 26 KB, most of it what a controller does not need."""
    resources = [
        {
            "group": "apps",
            "version": "v1",
            "kind": "Deployment",
            "namespace": f"ns-{number}",
            "name": f"workload-{i}",
            "status": "Synced",
        }
        for i in range(60)
    ]
    history = [
        {
            "id": i,
            "revision": f"{number:020x}{i:020x}",
            "deployedAt": "2026-03-01T10:00:00Z",
            "source": {"repoURL": f"https://git.example/{number}.git"},
        }
        for i in range(10)
    ]
    source = {
        "repoURL": f"https://git.example/{number}.git",
        "path": "deploy",
        "targetRevision": "HEAD",
    }
    body: dict[str, Any] = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": f"app-{number:05}",
            "namespace": "argocd",
            "uid": f"uid-{number:05}",
            "resourceVersion": str(version),
            "labels": {"team": f"team-{number % 40}", "env": "prod"},
            "managedFields": [{"manager": "argocd-application-controller", "fieldsV1": {}}],
        },
        "spec": {
            "project": f"project-{number % 40}",
            "source": source,
            "destination": {"server": f"https://cluster-{number % 20}.example", "namespace": f"ns-{number}"},
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
        },
        "status": {
            "sync": {"status": "Synced", "revision": f"{number:040x}"},
            "health": {"status": health, "lastTransitionTime": stamp(datetime.now(UTC))},
            "operationState": {"phase": "Succeeded", "message": "successfully synced (all tasks run)", "startedAt": "2026-03-01T10:00:00Z",
                               "finishedAt": "2026-03-01T10:00:05Z", "syncResult": {"revision": f"{number:040x}", "resources": resources}},
            "history": history,
            "resources": resources,
            "reconciledAt": stamp(datetime.now(UTC)),
        },
    }  # fmt: skip
    text = json.dumps(body)
    body["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": "x" * max(0, SIZE - len(text))
    }
    return json.dumps(body).encode()


class Bench(APIServer):
    """The embedded API, with Applications from bytes."""

    def __init__(self, cluster: Cluster, count: int) -> None:
        super().__init__(cluster)
        self.items = [application(n, n + 1, "Healthy") for n in range(count)]
        self.version = count + 1
        self.watchers: set[asyncio.Queue[bytes]] = set()
        self.changed: dict[str, float] = {}
        self.reacted: dict[str, float] = {}

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/change":
            return await self._change(
                int(request.query["count"]),
                float(request.query["rate"]),
                request.query.get("health", "Degraded"),
            )
        if request.path == "/reactions":
            return web.json_response(
                {
                    name: at - self.changed[name]
                    for name, at in self.reacted.items()
                    if name in self.changed
                }
            )
        if "applications" not in request.path.split("/"):
            return await super()._answer(request)
        if "watch" in request.query:
            return await self._stream(request)
        if request.method == "PATCH":
            self.reacted.setdefault(request.path.rpartition("/")[2], time.monotonic())
            return web.json_response({"metadata": {}})
        start = int(request.query.get("continue") or 0)
        limit = int(request.query.get("limit") or len(self.items))
        more = str(start + limit) if start + limit < len(self.items) else ""
        meta = json.dumps({"resourceVersion": str(self.version), "continue": more})
        page = b",".join(self.items[start : start + limit])
        return web.Response(
            body=b'{"kind":"ApplicationList","metadata":'
            + meta.encode()
            + b',"items":['
            + page
            + b"]}",
            content_type="application/json",
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.watchers.add(queue)
        try:
            while True:
                await response.write(await queue.get())
        finally:
            self.watchers.discard(queue)

    async def _change(self, count: int, rate: float, health: str) -> web.Response:
        for number in range(count):
            self.version += 1
            line = (
                b'{"type":"MODIFIED","object":' + application(number, self.version, health) + b"}\n"
            )
            self.changed[f"app-{number:05}"] = time.monotonic()
            self.reacted.pop(f"app-{number:05}", None)
            for queue in self.watchers:
                queue.put_nowait(line)
            await asyncio.sleep(1 / rate)
        return web.Response(text="changed")


async def main(count: int) -> None:
    """Serve until killed."""
    cluster = Cluster(SystemClock())
    await cluster.create(PROJECTS, "argocd", {"metadata": {"name": "default"}})
    await cluster.create(
        CONFIG_MAPS,
        "gitops-system",
        {"metadata": {"name": "recovery-policies"}, "data": {"policies.yaml": POLICIES}},
    )
    server = Bench(cluster, count)
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
