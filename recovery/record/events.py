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

log = structlog.get_logger(__name__)
MAX_WAITING_EVENTS = 500
NOTE_BYTES = 1000
"""The API server takes 1,024 (kubernetes pkg/apis/core/validation/events.go)."""


class Events:
    """A bounded queue of Events to create; what does not fit is dropped and counted."""

    def __init__(self, client: Client, clock: Clock, instance: str) -> None:
        """``instance`` is what this replica is called."""
        self._instance = instance[:128]
        self._client = client
        self._clock = clock
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(MAX_WAITING_EVENTS)
        self.dropped = 0

    def emit(
        self,
        about: dict[str, str],
        reason: str,
        message: str,
        *,
        action: str,
        related: dict[str, str] | None = None,
        warning: bool = False,
    ) -> None:
        """An Event about an object given as its apiVersion, kind, namespace, name and uid: what was
        done (``action``), why it is told (``reason``), and what else it concerns."""
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "generateName": f"{about['name'][:40].rstrip('-.')}-recovery-",
                "namespace": about["namespace"],
            },
            "eventTime": self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": f"recovery.gitops.dev/{USERNAME}",
            "reportingInstance": self._instance,
            "action": action,
            "reason": reason,
            "regarding": about,
            **({"related": related} if related else {}),
            "note": redact(message, NOTE_BYTES).encode()[:NOTE_BYTES].decode(errors="ignore"),
            "type": "Warning" if warning else "Normal",
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
