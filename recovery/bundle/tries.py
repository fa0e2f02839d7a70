"""Reachability from where the bundle is collected: the name of a Git server, and the server
itself."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from recovery.model.connection import ProbeResult, Repository
from recovery.model.redact import redact
from recovery.proxies import proxy_for

RESOLVE_TIMEOUT = 5.0
"""For one name."""
SHOWN_ADDRESSES = 4
"""Addresses of one name that are shown."""


class Tries(NamedTuple):
    """The two ways out; nothing that is sent by them carries a credential."""

    resolve: Callable[[str], Awaitable[list[str]]]
    """The addresses of a name; OSError when it has none, TimeoutError when nobody answers."""
    ask_git: Callable[[str, datetime], Awaitable[ProbeResult]]
    """What ``git ls-remote`` asks first, of a URL without credentials."""


async def resolve(host: str) -> list[str]:
    """Addresses of a host by this machine's resolver; OSError when it has none, TimeoutError after
    5 seconds.

    In a thread of its own: a resolver that does not answer is waited for much longer, and the event
    loop's few threads are needed for every other connection. Nobody waits for it when the command
    ends.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[list[str]] = loop.create_future()

    def ask() -> None:
        try:
            found = sorted(
                {
                    str(answer[4][0])
                    for answer in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                }
            )
        except (OSError, ValueError) as error:
            told = partial(_tell, answered, error)
        else:
            told = partial(_tell, answered, found)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the command is over
            loop.call_soon_threadsafe(told)

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    async with asyncio.timeout(RESOLVE_TIMEOUT):
        return await answered


def _tell(answered: asyncio.Future[list[str]], answer: list[str] | Exception) -> None:
    if answered.done():
        return
    if isinstance(answer, Exception):
        answered.set_exception(answer)
    else:
        answered.set_result(answer)


def _own(address: str) -> bool:
    """Loopback, link-local (where clouds serve their metadata) and the like."""
    with contextlib.suppress(ValueError):
        found = ipaddress.ip_address(address.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        return (
            found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast
        )
    return False


async def tried(url: str, tries: Tries, now: datetime) -> dict[str, Any]:
    """One repository as seen from here: its host's addresses, and how the server answers."""
    host = Repository(url=url).host
    # The URL is an Application's text: nothing is asked of this machine itself, nor anything but
    # what ls-remote asks.
    if not host or "?" in url or "#" in url or "\\" in url:
        return {
            "repository": url,
            "DNS": "not tried: no plain URL of a repository",
            "ls-remote": "not tried",
        }
    named = True
    try:
        addresses = await tries.resolve(host)
        if any(_own(address) for address in addresses):
            return {
                "repository": url,
                "DNS": f"{host}: {addresses[0]}",
                "ls-remote": "not tried: that is this machine or its own network link",
            }
        said = ", ".join(addresses[:SHOWN_ADDRESSES]) + (
            f" and {len(addresses) - SHOWN_ADDRESSES} more"
            if len(addresses) > SHOWN_ADDRESSES
            else ""
        )
    except TimeoutError:
        named, said = False, f"no answer within {RESOLVE_TIMEOUT:.0f}s"
    except (
        OSError,
        ValueError,
    ) as error:  # a name with an empty label, or a long one, is a ValueError
        named, said = False, redact(str(error), 200)
    if not named and not proxy_for(url):
        return {
            "repository": url,
            "DNS": f"{host}: {said}",
            "ls-remote": "not tried: its host has no address here",
        }
    answer = await tries.ask_git(url, now)
    return {
        "repository": url,
        "DNS": f"{host}: {said}",
        "ls-remote": f"{answer.verdict.value}: {answer.message}",
    }
