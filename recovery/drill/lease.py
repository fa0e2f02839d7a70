"""One drill at a time in a namespace: a Lease that its process renews."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from recovery.clock import Clock
from recovery.drill.application import Unfit
from recovery.kube.client import LEASES, Client
from recovery.kube.errors import Conflict, NotFound

LEASE = "recovery-drill"
RENEWED_EVERY = 10.0
"""Seconds."""
LAPSES_AFTER = 40.0
"""Seconds without a renewal after which whoever held it is gone."""
FORGOTTEN_AFTER = timedelta(minutes=10)
"""By clocks that may differ: a renewal that is so old needs no watching."""


class DrillLease:
    """Held while a drill is under way; one that was killed lets it lapse."""

    def __init__(self, client: Client, namespace: str, holder: str, clock: Clock) -> None:
        self._client = client
        self._namespace = namespace
        self._holder = holder
        self._clock = clock

    async def acquire(self) -> str:
        """Take it; returns the holder that was killed, or empty. Raises Unfit while another drill
        renews it."""
        try:
            await self._client.create(LEASES, self._namespace, self._body({}))
        except Conflict:
            return await self._take_over()
        return ""

    async def renew(self) -> None:
        """Renew it until cancelled."""
        while True:
            await self._clock.sleep(RENEWED_EVERY)
            await self._client.patch(
                LEASES, self._namespace, LEASE, {"spec": {"renewTime": self._now()}}
            )

    async def release(self) -> None:
        """Delete it."""
        try:
            await self._client.delete(LEASES, self._namespace, LEASE)
        except NotFound:
            return

    async def _take_over(self) -> str:
        held = await self._read()
        seen = held["spec"].get("renewTime", "")
        waited = 0.0
        while waited < LAPSES_AFTER and not self._old(seen):
            await self._clock.sleep(RENEWED_EVERY / 2)
            waited += RENEWED_EVERY / 2
            held = await self._read()
            if held["spec"].get("renewTime", "") != seen:
                raise Unfit(
                    f"another drill is under way in namespace {self._namespace}:"
                    f" {held['spec'].get('holderIdentity', '')}"
                )
        version = held["metadata"]["resourceVersion"]
        try:
            body = self._body({"resourceVersion": version})
            await self._client.update(LEASES, self._namespace, LEASE, body)
        except Conflict as error:
            raise Unfit(f"another drill has begun in namespace {self._namespace}") from error
        return str(held["spec"].get("holderIdentity", ""))

    async def _read(self) -> dict[str, Any]:
        raw = await self._client.get(LEASES, self._namespace, LEASE)
        found = msgspec.json.decode(raw, type=dict[str, Any])
        return {"metadata": found["metadata"], "spec": found.get("spec") or {}}

    def _old(self, renewed: str) -> bool:
        try:
            at = datetime.fromisoformat(renewed)
        except ValueError:
            return False
        return self._clock.now() - at > FORGOTTEN_AFTER

    def _body(self, metadata: dict[str, str]) -> dict[str, Any]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE, **metadata},
            "spec": {
                "holderIdentity": self._holder,
                "leaseDurationSeconds": int(LAPSES_AFTER),
                "acquireTime": self._now(),
                "renewTime": self._now(),
            },
        }

    def _now(self) -> str:
        return f"{self._clock.now():%Y-%m-%dT%H:%M:%S.%fZ}"
