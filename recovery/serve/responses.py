"""Responses: what every answer has: headers, and JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

RESPONSE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def program(request: web.Request) -> bool:
    """Does somebody ask who cannot read a page?"""
    return (
        request.path.startswith("/api/")
        or request.path == "/events"
        or "text/html" not in request.headers.get("Accept", "")
    )


def json(body: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        headers={**RESPONSE_HEADERS, "Content-Type": "application/json"},
    )
