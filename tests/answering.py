"""A server on loopback that answers what it is told to, and keeps what it was asked."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from aiohttp import web


class Answering:
    """``answers`` by path (the last one that begins it stands): a status and a body, text or JSON;
    else 404."""

    def __init__(self, **answers: tuple[int, Any]) -> None:
        self.answers: dict[str, tuple[int, Any]] = dict(answers)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        """Method, path with its query as it came, headers, body."""
        self._runner: web.AppRunner | None = None
        self._tls: ssl.SSLContext | None = None
        self.url = ""

    def over_tls(self, certificate: Path, key: Path) -> Answering:
        """The same with a certificate, for localhost."""
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate, key)
        return self

    async def __aenter__(self) -> Answering:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        self.url = f"{'https' if self._tls else 'http'}://localhost:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        raw = request.raw_path
        self.asked.append((request.method, raw, dict(request.headers), await request.read()))
        found = [answer for path, answer in self.answers.items() if raw.startswith(path)]
        if not found:
            return web.json_response({"message": "not found"}, status=404)
        status, body = found[-1]
        if status in (301, 302):
            return web.Response(status=status, headers={"Location": body})
        return (
            web.Response(status=status, text=body)
            if isinstance(body, str)
            else web.json_response(body, status=status)
        )
