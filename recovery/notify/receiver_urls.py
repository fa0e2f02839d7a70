"""Where the channels' URLs are: the Secret recovery-channels, one key a channel; read by name, or
mounted as a folder."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import re
from pathlib import Path

import msgspec
from msgspec import Struct

from recovery.clock import Clock
from recovery.kube.client import SECRETS, Client
from recovery.kube.errors import Forbidden, KubeError, NotFound
from recovery.model.redact import hold

LONGEST_URL = 4096
"""Bytes of a URL."""
SECRET_GONE_GRACE = 300.0
"""Seconds that the last known URLs are used when the Secret is gone: it may only be made anew."""
URL_TTL = 30.0
"""Seconds an answer is good for: a changed URL is in use within that."""


class _Secret(Struct):
    data: dict[str, str] | None = None


class Channels:
    """URLs by channel name, read when there is something to send. They are credentials: never
    logged."""

    def __init__(
        self, client: Client, namespace: str, secret: str, folder: str, clock: Clock
    ) -> None:
        """``folder``: where the Secret is mounted; then it is not asked for by name."""
        self._client = client
        self._namespace = namespace
        self._secret = secret
        self._folder = folder
        self._clock = clock
        self._urls: dict[str, str] = {}
        self._read_at = self._good_at = float("-inf")

    async def url(self, channel: str) -> str:
        """The channel's Apprise URL, empty when there is none. KubeError when the Secret cannot be
        asked for now."""
        now = self._clock.monotonic()
        if now - self._read_at > URL_TTL:
            try:
                read = await self._read()
            except (KubeError, msgspec.DecodeError):
                if not self._urls:
                    raise
                read = self._urls  # not to be had now: what was good a moment ago is good enough
            if read or now - self._good_at > SECRET_GONE_GRACE:
                self._urls = read
            if read:
                self._good_at = now
            self._read_at = now
        return self._urls.get(channel, "")

    def reread(self) -> None:
        """A receiver did not take what was read: a Secret that was changed meanwhile is read before
        the next use."""
        self._read_at = float("-inf")

    async def names(self) -> tuple[str, ...]:
        """The channels there are. KubeError when the Secret cannot be asked for now."""
        await self.url("")
        return tuple(sorted(self._urls))

    async def _read(self) -> dict[str, str]:
        if self._folder:
            return _kept(await asyncio.to_thread(mounted, Path(self._folder)))
        try:
            raw = await self._client.get(SECRETS, self._namespace, self._secret)
        except (NotFound, Forbidden):
            return {}
        urls = {}
        for name, value in (msgspec.json.decode(raw, type=_Secret).data or {}).items():
            try:
                urls[name] = base64.b64decode(value).decode()
            except (binascii.Error, UnicodeDecodeError):
                continue
        return _kept(urls)


def mounted(folder: Path) -> dict[str, str]:
    """The files of a mounted Secret, one a channel; what cannot be read is left out."""
    urls = {}
    try:
        for file in folder.iterdir():
            if file.is_file() and not file.name.startswith("."):
                with contextlib.suppress(OSError, UnicodeDecodeError), file.open("rb") as opened:
                    urls[file.name] = opened.read(LONGEST_URL).decode()
    except OSError:
        return {}
    return urls


def _kept(urls: dict[str, str]) -> dict[str, str]:
    """From here on no text of ours shows them."""
    found = {name: url.strip() for name, url in urls.items()}
    for url in found.values():
        words = re.split(r"[/:@?&=#]+", url.partition("://")[2])
        hold(url, *(w for w in words if len(w) >= 10 and "." not in w and re.search(r"\d", w)))
    return found
