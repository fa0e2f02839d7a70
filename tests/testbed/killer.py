"""A proxy before the API server that kills the controller at the very moment it writes a sync."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import aiohttp
from aiohttp import web


class Killer:
    """Forwards everything. At the PATCH that carries an operation it calls ``kill``: ``before`` the
    answer goes back, or ``after`` it, at the next write."""

    def __init__(self, upstream: str, ca: str, when: str, kill: Callable[[], None]) -> None:
        self._upstream = upstream
        self._when = when
        self._kill = kill
        self._tls = ssl.create_default_context(cafile=ca)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._armed = False
        self.fired = False
        self.url = ""

    async def start(self) -> None:
        """Listen on loopback."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0), auto_decompress=False
        )
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._forward)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        body = await request.read()
        writing = request.method in ("PUT", "POST", "PATCH")
        if self._armed and writing:
            self._fire()
            raise web.HTTPServiceUnavailable
        syncs = (
            request.method == "PATCH"
            and "/applications/" in request.path
            and b'"operation"' in body
        )
        headers = {
            k: v
            for k, v in request.headers.items()
            if k.lower() not in ("host", "content-length", "transfer-encoding", "accept-encoding")
        }
        headers["Accept-Encoding"] = (
            "identity"  # what is long would come compressed, and is passed on as it comes
        )
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.request(
            request.method,
            self._upstream + request.path_qs,
            data=body or None,
            headers=headers,
            timeout=timeout,
        ) as answer:
            if syncs and self._when == "before":
                await answer.read()
                self._fire()
                raise web.HTTPServiceUnavailable
            if syncs:
                self._armed = True
            response = web.StreamResponse(
                status=answer.status,
                headers={"Content-Type": answer.headers.get("Content-Type", "application/json")},
            )
            await response.prepare(request)
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            except ConnectionError:
                return response
            return response

    def _fire(self) -> None:
        self.fired = True
        self._kill()
