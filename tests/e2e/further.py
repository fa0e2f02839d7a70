"""The two further clusters of the bed, started when the first story wants them, for one story at a
time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from recovery.kube.asyncio_client import connect
from tests.testbed.bed import Bed
from tests.testbed.kubelet import Kubelet
from tests.testbed.remote_cluster import RemoteCluster


class Further:
    """primary and secondary."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._lock = asyncio.Lock()
        self.all: dict[str, RemoteCluster] = {}
        self._kubelets: list[asyncio.Task[None]] = []
        self._clients: list[Any] = []

    @contextlib.asynccontextmanager
    async def mine(self) -> AsyncIterator[dict[str, RemoteCluster]]:
        """Both, well and with all rights, for one story; afterwards they are made well again."""
        async with self._lock:
            if not self.all:
                await self._start()
            for cluster in self.all.values():
                await asyncio.to_thread(cluster.register)
            try:
                yield self.all
            finally:
                for cluster in self.all.values():
                    await asyncio.to_thread(cluster.revive)

    async def _start(self) -> None:
        for name in ("primary", "secondary"):
            cluster = RemoteCluster(self._bed, name)
            await asyncio.to_thread(cluster.start)
            client = await connect(str(cluster.kubeconfig))
            self._clients.append(client)
            self._kubelets.append(asyncio.ensure_future(Kubelet(client).run()))
            self.all[name] = cluster

    async def close(self) -> None:
        """Drop the connections."""
        for kubelet in self._kubelets:
            kubelet.cancel()
        await asyncio.gather(*self._kubelets, return_exceptions=True)
        for client in self._clients:
            await client.close()
