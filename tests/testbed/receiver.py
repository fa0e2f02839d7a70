"""Where messages arrive: a webhook for Apprise's json:// channel, and PagerDuty's Events v2."""

from __future__ import annotations

from typing import Any

from aiohttp import web


class Receiver:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.received: list[dict[str, str]] = []
        self.paged: list[dict[str, Any]] = []
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on loopback."""
        app = web.Application()
        app.router.add_post("/", self._take)
        app.router.add_post("/v2/enqueue", self._page)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.received.append(await request.json())
        return web.Response(text="ok")

    async def _page(self, request: web.Request) -> web.Response:
        event = await request.json()
        if (
            event.get("routing_key") != "KEY"
            or not event.get("dedup_key")
            or event.get("event_action") not in ("trigger", "resolve")
        ):
            return web.Response(status=400, text="not an event")
        self.paged.append(event)
        return web.json_response({"status": "success", "dedup_key": event["dedup_key"]}, status=202)
