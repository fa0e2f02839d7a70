"""Kubernetes Events: what kubectl describe shows. They never delay a recovery and may be lost."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from recovery.clock import Clock
from recovery.kube.client import EVENTS, Client
from recovery.kube.errors import KubeError
from recovery.model.names import USERNAME
from recovery.model.redact import redact
from recovery.record.codec import stamp

log = structlog.get_logger(__name__)
MAX_WAITING_EVENTS = 500


class Events:
    """A bounded queue of Events to create; what does not fit is dropped and counted."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(MAX_WAITING_EVENTS)
        self.dropped = 0

    def emit(
        self, about: dict[str, str], reason: str, message: str, *, warning: bool = False
    ) -> None:
        """An Event about an object given as its apiVersion, kind, namespace, name and uid."""
        now = stamp(self._clock.now())
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "generateName": f"{about['name'][:40].rstrip('-.')}-recovery-",
                "namespace": about["namespace"],
            },
            "involvedObject": about,
            "reason": reason,
            "message": redact(message, 1000),
            "type": "Warning" if warning else "Normal",
            "source": {"component": USERNAME},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._queue.put_nowait((about["namespace"], body))
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            namespace, body = await self._queue.get()
            try:
                await self._client.create(EVENTS, namespace, body)
            except KubeError as error:
                log.warning("event not created", reason=body["reason"], why=str(error))
