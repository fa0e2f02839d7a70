"""Where the demo's messages arrive: three channels that are webhooks of ours."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from aiohttp import web

RECEIVER_NAMES = ("slack", "email", "pagerduty")


class Receiver:
    """Listens on loopback; ``heard`` is called with the channel and the message."""

    def __init__(self, heard: Callable[[str, dict[str, Any]], None]) -> None:
        self._heard = heard
        self._runner: web.AppRunner | None = None

    async def start(self) -> dict[str, str]:
        """Listen on loopback, and return the data of the channels' Secret."""
        app = web.Application()
        app.router.add_post("/{channel}", self._take)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        return {
            name: base64.b64encode(f"webhook://127.0.0.1:{port}/{name}".encode()).decode()
            for name in RECEIVER_NAMES
        }

    async def stop(self) -> None:
        """Stop listening, and drop open connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self._heard(request.match_info["channel"], await request.json())
        return web.Response(text="ok")
