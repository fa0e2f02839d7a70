"""Our own silence is heard: a sign of life to a URL outside, which calls people when it stays
away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
import structlog

from recovery.clock import Clock
from recovery.kube.errors import KubeError
from recovery.notify.delivery_errors import Undelivered

log = structlog.get_logger(__name__)
CHANNEL = "heartbeat"
"""The key of the Secret recovery-channels that holds its URL: healthchecks, Dead Man's Snitch, or
an Alertmanager's /api/v2/alerts."""
HEARTBEAT_INTERVAL = 60.0
"""Seconds between two signs of life."""
WATCHDOG = [{"labels": {"alertname": "Watchdog", "job": "gitops-recovery-controller"}}]
"""What an Alertmanager takes for a sign of life: an alert that always fires."""

Post = Callable[[str, str, object], Awaitable[object]]


class Addresses(Protocol):
    """Where channels lead: their URLs, read anew when they change."""

    async def url(self, channel: str) -> str:
        """The channel's URL, empty when there is none."""


class Heartbeat:
    """Beats only while all is well with this controller; ``missing`` says why it does not, empty
    where it may."""

    def __init__(
        self, addresses: Addresses, clock: Clock, missing: Callable[[], str], post: Post
    ) -> None:
        """``post(who, url, body)`` raises Undelivered."""
        self._addresses = addresses
        self._clock = clock
        self._missing = missing
        self._post = post
        self._said = ""

    async def run(self) -> None:
        """Until cancelled; a receiver that is away holds up nothing."""
        while True:
            self._tell(await self._beat())
            await self._clock.sleep(HEARTBEAT_INTERVAL)

    async def _beat(self) -> str:
        """Why there was none; empty when it is out, or when nobody wants one."""
        try:
            url = await self._addresses.url(CHANNEL)
        except (KubeError, msgspec.DecodeError) as error:
            return f"its URL cannot be read: {error}"
        if not url:
            return ""
        if why := self._missing():
            return why
        if not url.startswith(("https://", "http://")):
            return "its URL is neither https:// nor http://"
        body = WATCHDOG if urlsplit(url).path.endswith("/api/v2/alerts") else {"alive": True}
        try:
            await self._post("the heartbeat's receiver", url, body)
        except Undelivered as error:
            return str(error)
        return ""

    def _tell(self, why: str) -> None:
        """Log a change once, not every minute."""
        if why != self._said:
            self._said = why
            (log.warning if why else log.info)(
                "no heartbeat is sent" if why else "the heartbeat goes out again", why=why
            )
