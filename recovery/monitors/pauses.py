"""Pauses and silences that expired are taken away and reported."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from recovery.clock import Clock
from recovery.kube.client import CONFIG_MAPS, Client
from recovery.kube.errors import KubeError
from recovery.model.recovery import PendingNotification
from recovery.model.window import Pause
from recovery.observe import pauses
from recovery.observe.pauses import Pauses

log = structlog.get_logger(__name__)

PAUSES_EVERY = 15.0
"""Seconds."""


class PauseMonitor:
    """Removes expired entries of the ConfigMap ``recovery-pauses``."""

    def __init__(
        self,
        entries: Pauses,
        client: Client,
        namespace: str,
        may: Callable[[], bool],
        say: Callable[[PendingNotification], None],
        clock: Clock,
    ) -> None:
        """``may``: is this replica the one that writes, on a fresh cache?"""
        self._entries = entries
        self._client = client
        self._namespace = namespace
        self._may = may
        self._say = say
        self._clock = clock

    async def run(self) -> None:
        """Check every fifteen seconds, for ever."""
        while True:
            await self._clock.sleep(PAUSES_EVERY)
            for pause in self._entries.expired(self._clock.now()):
                if not self._may() or not await self._removed(pause):
                    break
                self._report(pause)

    async def _removed(self, pause: Pause) -> bool:
        # Only as it was seen: it may have been prolonged in this moment.
        without = {
            "metadata": {"resourceVersion": self._entries.version},
            "data": {pause.name: None},
        }
        try:
            await self._client.patch(CONFIG_MAPS, self._namespace, pauses.NAME, without)
        except KubeError as error:
            log.warning("an expired pause was not removed", pause=pause.name, why=str(error))
            return False
        return True

    def _report(self, pause: Pause) -> None:
        what = "silence" if pause.silences else "pause"
        resumed = "notifications" if pause.silences else "recovery"
        body = (
            f"{what} {pause.name} by {pause.by or 'somebody'}"
            f" ({pause.reason or 'no reason given'}) expired; {resumed} resumed"
        )
        key = f"pauses/{pause.name}/{pause.until}"
        self._say(PendingNotification(key, f"{what} {pause.name} expired", body, "info"))
        log.info("pause expired", pause=pause.name, by=pause.by, reason=pause.reason)
