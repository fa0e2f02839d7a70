"""What can be reached from where the bundle is collected: the name of a Git server, and the server itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NamedTuple

from recovery.model.connection import Evidence, Repository
from recovery.model.redact import redact
from recovery.proxies import proxy_for

SECONDS = 5.0
"""For one name."""
SHOWN = 4
"""Addresses of one name that are shown."""


class Tries(NamedTuple):
    """The two ways out; nothing that is sent by them carries a credential."""

    resolve: Callable[[str], Awaitable[list[str]]]
    """The addresses of a name; OSError when it has none, TimeoutError when nobody answers."""
    ask_git: Callable[[str, datetime], Awaitable[Evidence]]
    """What ``git ls-remote`` asks first, of a URL without credentials."""


async def resolve(host: str) -> list[str]:
    """Its addresses by this machine's resolver; OSError when it has none, TimeoutError after 5 seconds."""
    async with asyncio.timeout(SECONDS):
        answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({str(answer[4][0]) for answer in answers})


async def tried(url: str, tries: Tries, now: datetime) -> dict[str, Any]:
    """One repository as seen from here: its host's addresses, and how the server answers."""
    host = Repository(url=url).host
    if not host:
        return {"repository": url, "DNS": "not tried: no host in the URL", "ls-remote": "not tried"}
    named = True
    try:
        addresses = await tries.resolve(host)
        said = ", ".join(addresses[:SHOWN]) + (f" and {len(addresses) - SHOWN} more" if len(addresses) > SHOWN else "")
    except TimeoutError:
        named, said = False, f"no answer within {SECONDS:.0f}s"
    except OSError as error:
        named, said = False, redact(str(error), 200)
    if not named and not proxy_for(url):
        return {"repository": url, "DNS": f"{host}: {said}", "ls-remote": "not tried: its host has no address here"}
    answer = await tries.ask_git(url, now)
    return {"repository": url, "DNS": f"{host}: {said}", "ls-remote": f"{answer.verdict.value}: {answer.message}"}
