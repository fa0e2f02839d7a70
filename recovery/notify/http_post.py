"""One POST of JSON to a receiver, and what its answer means for us."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import aiohttp
import msgspec

from recovery.notify.delivery_errors import Undelivered
from recovery.proxies import proxy_for

LARGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read."""
LONGEST_RETRY_AFTER = 3600.0
TOO_LARGE = 413
_BUSY = frozenset({408, 409, 425, 429})
_OF_THE_MESSAGE = frozenset({400, 405, 406, 411, TOO_LARGE, 414, 415, 422, 431})
"""What is wrong with what was sent; every other refusal is about where it was sent to, or by whom
(RFC 9110 section 15.5)."""


async def post(
    who: str, url: str, body: object, headers: Mapping[str, str] | None = None
) -> tuple[bytes, str]:
    """The answer's body and type when it was taken (2xx); Undelivered with the status, never with
    the URL. 15 s at most."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15, connect=5)) as session,
            session.post(
                url,
                data=msgspec.json.encode(body),
                headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
                allow_redirects=False,
                proxy=proxy_for(url),
            ) as response,
        ):
            status, said = response.status, await response.content.read(LARGEST_ANSWER)
            after, kind = response.headers.get("Retry-After"), response.content_type
    except aiohttp.ClientConnectorError as error:
        raise Undelivered(f"{who} could not be reached: {type(error).__name__}") from None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise Undelivered(f"{who} gave no answer: {type(error).__name__}", unsure=True) from None
    if status >= 300:
        address = status < 500 and status not in _BUSY and status not in _OF_THE_MESSAGE
        raise Undelivered(
            f"{who} answered {status}",
            after=pause(after),
            for_good=status in _OF_THE_MESSAGE,
            address=address,
            large=status == TOO_LARGE,
            said=said,
        )
    return said, kind


def pause(header: str | None) -> float | None:
    """Seconds of a Retry-After header, at most an hour; None for none, or for one that is no
    number."""
    try:
        seconds = float(header) if header else -1.0
        return min(seconds, LONGEST_RETRY_AFTER) if isfinite(seconds) and seconds >= 0 else None
    except ValueError:
        return None


def fields(raw: bytes) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
