"""A kubelet without containers: pods do what their image's tag says, as in
recovery.simulate.workloads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

from recovery.act.workloads import RESTARTED_AT
from recovery.clock import SystemClock
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import Resource
from recovery.kube.errors import Conflict, KubeError, NotFound
from recovery.observe.reflector import Reflector
from recovery.record.codec import stamp
from recovery.simulate import pods

PODS = Resource("", "v1", "pods")
NODES = Resource("", "v1", "nodes")
NODE = "node-1"


class Kubelet:
    """Binds every pod to one node and writes its status."""

    def __init__(self, client: AsyncioClient) -> None:
        self._client = client
        self._clock = SystemClock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        with contextlib.suppress(KubeError):
            await self._client.create(
                NODES,
                "",
                {
                    "metadata": {"name": NODE},
                    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
                },
            )
        # Admission taints every new node as not ready, and no node controller runs here that would
        # take it off.
        await self._client.patch(NODES, "", NODE, {"spec": {"taints": None}})
        await Reflector(self._client, PODS, "", msgspec.json.decode, self, self._clock).run()

    def put(self, pod: dict[str, Any]) -> None:
        """A pod, new or changed."""
        meta, status = pod["metadata"], pod.get("status") or {}
        if meta.get("deletionTimestamp"):
            self._spawn(partial(self._delete, meta))
        elif not pod["spec"].get("nodeName") and not nowhere(pod):
            self._spawn(partial(self._bind, meta))
        elif not status.get("containerStatuses") and not any(
            c["type"] == "PodScheduled" and c["status"] == "False"
            for c in status.get("conditions") or ()
        ):
            self._spawn(partial(self._live, pod))

    def drop(self, namespace: str, name: str) -> None:
        """Gone."""

    def keep_only(self, scope: str, names: set[tuple[str, str]]) -> None:
        """Nothing is remembered."""

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self, work: Callable[[], Awaitable[None]]) -> None:
        # On a busy machine an answer may come late; nobody would ask again, and the pod would wait
        # for ever.
        for pause in (0.5, 2.0, 5.0, 0.0):
            try:
                await work()
            except (NotFound, Conflict):
                return
            except KubeError:
                await asyncio.sleep(pause)
            else:
                return

    async def _delete(self, meta: dict[str, Any]) -> None:
        await self._client._request(
            "DELETE",
            PODS.path(meta["namespace"], meta["name"]),
            "delete",
            {"gracePeriodSeconds": 0},
        )

    async def _bind(self, meta: dict[str, Any]) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
        }
        await self._client._request(
            "POST", PODS.path(meta["namespace"], meta["name"]) + "/binding", "create", body
        )

    async def _live(self, pod: dict[str, Any]) -> None:
        meta, container = pod["metadata"], pod["spec"]["containers"][0]
        restarted = RESTARTED_AT in (meta.get("annotations") or {})
        await asyncio.sleep(1)
        status = pods.status(
            container["image"],
            meta["name"],
            stamp(self._clock.now()),
            restarted=restarted,
            container=container["name"],
        )
        path = PODS.path(meta["namespace"], meta["name"]) + "/status"
        await self._client._request(
            "PATCH", path, "patch", {"status": status}, kind="application/merge-patch+json"
        )


def nowhere(pod: dict[str, Any]) -> bool:
    """No node has room for it."""
    return str(pod["spec"]["containers"][0]["image"]).endswith(":unschedulable")
