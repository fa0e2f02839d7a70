"""Which version of Argo CD this is: asked now and then, for it is upgraded under us."""

from __future__ import annotations

from typing import Protocol

import structlog

from recovery.clock import Clock
from recovery.kube.errors import KubeError
from recovery.model.argocd_version import ArgoCDFeatures, dialect_of

log = structlog.get_logger(__name__)

VERSION_INTERVAL = 600.0
FIRST_VERSION_INTERVAL = 15.0
"""Seconds, as long as it has not answered."""


class Version(Protocol):
    """Requests to Argo CD's API for its version."""

    async def version(self) -> str:
        """Argo CD's version, such as ``v3.2.11+abc``."""


class VersionPoller:
    """Keeps ``now``. Without a way to Argo CD's API it stays unknown, and what differs is found out
    by reading back."""

    def __init__(self, argocd: Version | None, clock: Clock) -> None:
        self._argocd = argocd
        self._clock = clock
        self.now = ArgoCDFeatures()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._ask()
            await self._clock.sleep(
                VERSION_INTERVAL
                if self.now.known or self._argocd is None
                else FIRST_VERSION_INTERVAL
            )

    async def _ask(self) -> None:
        if self._argocd is None:
            return
        try:
            found = dialect_of(await self._argocd.version())
        except KubeError:
            return
        if found.known and found != self.now:
            log.info("Argo CD", version=str(found))
            self.now = found
