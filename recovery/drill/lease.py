"""One drill at a time in a namespace: a Lease that its process renews."""

from __future__ import annotations

from typing import Any

from recovery.clock import Clock
from recovery.drill.application import Unfit
from recovery.kube.client import LEASES, Client
from recovery.kube.errors import Conflict, KubeError, NotFound
from recovery.kube.reading import decoded

LEASE = "recovery-drill"
RENEWED_EVERY = 10.0
"""Seconds."""
LAPSES_AFTER = 40.0
"""Seconds without a renewal after which whoever held it is gone."""


class LeaseLost(Exception):
    """Another drill has it, or it could not be renewed for so long that another may have it."""


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
        """Renew it until cancelled, through faults of the API server. Raises LeaseLost."""
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(RENEWED_EVERY)
            try:
                held = await self._read()
                if held["spec"].get("holderIdentity") != self._holder:
                    raise LeaseLost(f"the Lease is {held['spec'].get('holderIdentity')}'s now")
                body = self._body({"resourceVersion": held["metadata"]["resourceVersion"]})
                await self._client.update(LEASES, self._namespace, LEASE, body)
                renewed = self._clock.monotonic()
            except NotFound as error:
                raise LeaseLost("the Lease was deleted") from error
            except KubeError as error:
                if self._clock.monotonic() - renewed + RENEWED_EVERY >= LAPSES_AFTER:
                    raise LeaseLost(f"the Lease cannot be renewed: {error}") from error

    async def release(self) -> None:
        """Delete it, if it is ours. Raises KubeError."""
        try:
            held = await self._read()
            if held["spec"].get("holderIdentity") == self._holder:
                version = held["metadata"]["resourceVersion"]
                await self._client.delete(LEASES, self._namespace, LEASE, resource_version=version)
        except NotFound:
            return

    async def _take_over(self) -> str:
        held = await self._read()
        seen = held["spec"].get("renewTime", "")
        waited = 0.0
        while waited < LAPSES_AFTER:
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
        found = decoded(await self._client.get(LEASES, self._namespace, LEASE), dict)
        return {"metadata": found["metadata"], "spec": found.get("spec") or {}}

    def _body(self, metadata: dict[str, str]) -> dict[str, Any]:
        now = f"{self._clock.now():%Y-%m-%dT%H:%M:%S.%fZ}"
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE, **metadata},
            "spec": {
                "holderIdentity": self._holder,
                "leaseDurationSeconds": int(LAPSES_AFTER),
                "acquireTime": now,
                "renewTime": now,
            },
        }
