"""A webhook of your own: ``webhook://HOST/PATH`` (http) or ``webhooks://HOST/PATH`` (https), JSON
as in docs/webhook.schema.json."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import aiohttp
from msgspec import Struct

from recovery.model.message import Message
from recovery.notify.delivery_errors import Undelivered
from recovery.notify.http_post import post

WEBHOOK_VERSION = 1


class Fact(Struct, frozen=True):
    """One line of what is known."""

    name: str
    value: str


class Body(Struct, frozen=True, rename="camel"):
    """The body that is posted. Fields may be added within a version; none is taken away."""

    version: int
    key: str
    """The same key is the same message: drop the second one."""
    incident: str
    """What all messages of one incident share."""
    event: str
    """``trigger`` or ``resolve``."""
    severity: str
    """critical, high, warning or info."""
    title: str
    body: str
    facts: tuple[Fact, ...]
    links: tuple[Fact, ...]
    at: str
    """UTC, RFC 3339."""
    members: tuple[str, ...]
    """Keys of the messages this one stands for, where it is several in one."""


async def send(url: str, message: Message) -> str:
    """Deliver; Undelivered says why not, without the URL. ``user:password@`` goes into an
    Authorization header."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if not host:
        raise Undelivered(
            "the channel's URL is not webhook://HOST/PATH or webhooks://HOST/PATH", for_good=True
        )
    headers = {"X-Recovery-Version": str(WEBHOOK_VERSION)}
    if parts.username:
        headers["Authorization"] = aiohttp.BasicAuth(
            unquote(parts.username), unquote(parts.password or "")
        ).encode()
    query = f"?{parts.query}" if parts.query else ""
    await post(
        "the webhook",
        f"{'https' if parts.scheme == 'webhooks' else 'http'}://{host}{parts.path or '/'}{query}",
        body(message),
        headers,
    )
    return ""


def body(message: Message) -> Body:
    """The message as it is posted."""
    return Body(
        WEBHOOK_VERSION,
        message.key,
        message.incident,
        "resolve" if message.resolves else "trigger",
        message.severity,
        message.title,
        message.body,
        tuple(Fact(*fact) for fact in message.facts),
        tuple(Fact(*link) for link in message.links),
        f"{message.at:%Y-%m-%dT%H:%M:%SZ}" if message.at else "",
        message.members or (message.key,),
    )
