"""Look, don't touch: health, readiness, metrics and a read-only API on one port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from aiohttp import web

from recovery.model.names import Key

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Views(Protocol):
    """What there is to see."""

    def ready(self) -> tuple[str, ...]:
        """Why it is not ready, one sentence a reason; empty when it is."""

    def details(self) -> Mapping[str, Any]:
        """What else ``/ready`` tells: the policies in force, and what is wrong with a newer text."""

    def metrics(self) -> bytes:
        """The exposition text."""

    def recoveries(self) -> Mapping[str, Any]:
        """Recoveries, pending conditions and suppressions."""

    def explain(self, key: Key) -> Mapping[str, Any] | None:
        """Everything decided about one subject; None when it is not known."""


class Starting:
    """Before anything is there to be seen."""

    def ready(self) -> tuple[str, ...]:
        return ("starting",)

    def details(self) -> Mapping[str, Any]:
        return {}

    def metrics(self) -> bytes:
        return b""

    def recoveries(self) -> Mapping[str, Any]:
        return {"recoveries": [], "pending": [], "ready": False}

    def explain(self, key: Key) -> Mapping[str, Any] | None:  # noqa: ARG002 (nothing is known yet)
        return None


class Server:
    """Serves from the first moment on; ``views`` is exchanged when there is something to see."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None
        self.views: Views = Starting()

    @property
    def port(self) -> int:
        """The port in use (another than asked for only when 0 was)."""
        addresses = self._runner.addresses if self._runner else []
        return int(addresses[0][1]) if addresses else self._port

    async def start(self) -> None:
        """Listen; OSError when the address is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/", self._front)
        app.router.add_get("/api/v1/recoveries", self._recoveries)
        # The last one may be a URL: a repository is called by it.
        app.router.add_get("/api/v1/explain/{place}/{name:.+}", self._explain)
        app.router.add_get("/api/v1/explain", self._explain)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        # That this answers at all says that the event loop turns. An API server outage must not restart us.
        return web.Response(text="ok\n", headers=_HEADERS)

    async def _ready(self, _: web.Request) -> web.Response:
        reasons = self.views.ready()
        return _json({"ready": not reasons, "reasons": reasons, **self.views.details()}, 503 if reasons else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self.views.metrics(), headers={**_HEADERS, "Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _front(self, _: web.Request) -> web.Response:
        return _json(
            {
                "paths": [
                    "/healthz",
                    "/ready",
                    "/metrics",
                    "/api/v1/recoveries",
                    "/api/v1/explain/NAMESPACE/NAME",
                    "/api/v1/explain/cluster/NAME",
                    "/api/v1/explain/repository/URL",
                ]
            }
        )

    async def _recoveries(self, _: web.Request) -> web.Response:
        return _json(self.views.recoveries())

    async def _explain(self, request: web.Request) -> web.Response:
        # As a query, too: proxies fold the two slashes of a URL in a path.
        place, _, name = request.query.get("subject", "").partition("/")
        place, name = request.match_info.get("place", place), request.match_info.get("name", name)
        # A namespace may be called cluster or repository, too: what is known by that name first is meant.
        keys = [Key(place, "", name)] if place in ("cluster", "repository") else []
        found = next((f for key in (*keys, Key("application", place, name)) if (f := self.views.explain(key)) is not None), None)
        return _json(
            found if found is not None else {"message": f"{place}/{name} is not known here"},
            200 if found is not None else 404,
        )


def _json(body: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, headers={**_HEADERS, "Content-Type": "application/json"})
