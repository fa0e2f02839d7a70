"""Where the channels' URLs are: the Secret recovery-channels, one key a channel."""

from __future__ import annotations

import base64
import binascii
import re

import msgspec
from msgspec import Struct

from recovery.clock import Clock
from recovery.kube.client import SECRETS, Client
from recovery.kube.errors import Forbidden, NotFound
from recovery.model.redact import hold

KEPT = 30.0
"""Seconds an answer is good for: a changed URL is in use within that."""


class _Secret(Struct):
    data: dict[str, str] | None = None


class Channels:
    """URLs by channel name, read when there is something to send. They are credentials: never logged."""

    def __init__(self, client: Client, namespace: str, secret: str, clock: Clock) -> None:
        self._client = client
        self._namespace = namespace
        self._secret = secret
        self._clock = clock
        self._urls: dict[str, str] = {}
        self._read_at = float("-inf")

    async def url(self, channel: str) -> str:
        """The channel's Apprise URL, empty when there is none. KubeError when the Secret cannot be asked for now."""
        now = self._clock.monotonic()
        if now - self._read_at > KEPT:
            self._urls = await self._read()
            self._read_at = now
        return self._urls.get(channel, "")

    async def _read(self) -> dict[str, str]:
        try:
            raw = await self._client.get(SECRETS, self._namespace, self._secret)
        except (NotFound, Forbidden):
            return {}
        urls = {}
        for name, value in (msgspec.json.decode(raw, type=_Secret).data or {}).items():
            try:
                urls[name] = base64.b64decode(value).decode().strip()
                words = re.split(r"[/:@?&=#]+", urls[name].partition("://")[2])
                hold(urls[name], *(w for w in words if len(w) >= 10 and "." not in w and re.search(r"\d", w)))
            except (binascii.Error, UnicodeDecodeError):
                continue
        return urls
