"""A failover target that does not exist is reported when the policy is written, not in the
outage."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from recovery.decide.placement import unknown_targets
from recovery.model.recovery import PendingNotification
from recovery.read_model import ReadModel

log = structlog.get_logger(__name__)

TARGETS_EVERY = 30.0
"""Seconds."""


class TargetMonitor:
    """Compares the targets that policies and labels name with the clusters that Argo CD lists."""

    def __init__(
        self,
        known: ReadModel,
        leads: Callable[[], bool],
        say: Callable[[PendingNotification], None],
    ) -> None:
        self._source = known.source
        self._connections = known.connections
        self._clock = known.clock
        self._leads = leads
        self._say = say

    async def run(self) -> None:
        """Check every thirty seconds, for ever. Warnings stand in the status; each is notified
        once."""
        told: tuple[str, ...] = ()
        while True:
            await self._clock.sleep(TARGETS_EVERY)
            policies = self._source.policies
            if policies is None or not self._connections.clusters_listed:
                continue
            found = unknown_targets(policies, self._connections.clusters.values())
            self._connections.warnings = found
            for words in found if found != told and self._leads() else ():
                log.warning("failover target not found", warning=words)
                key = f"targets/{policies.hash}/{words}"
                self._say(PendingNotification(key, "failover target not found", words, "warning"))
            told = found
