"""One message to one channel, by the kind of its URL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from msgspec import structs

from recovery.model.message import Message, shortened
from recovery.notify import apprise_channel, pagerduty_channel, slack_channel, webhook_channel
from recovery.notify.delivery_errors import Undelivered

Send = Callable[[str, Message], Awaitable[str]]
"""Deliver to a URL; answers what names the incident's thread there, empty where there is none."""


class Kind(NamedTuple):
    """Properties about a kind of channel."""

    send: Send
    apart: bool = False
    """Keeps incidents apart by itself: a few of them are not put into one message."""
    keyed: bool = False
    """An incident is opened and closed there under a key."""


RECEIVER_KINDS: dict[str, Kind] = {
    "pagerduty": Kind(pagerduty_channel.send, apart=True, keyed=True),
    "slack": Kind(slack_channel.send, apart=True),
    "webhook": Kind(webhook_channel.send, apart=True),
    "webhooks": Kind(webhook_channel.send, apart=True),
}
"""What Apprise cannot do as we need it: an incident's key for life, a thread, the pause a receiver
asks for."""
OTHERS = Kind(apprise_channel.send)


def kind_of(url: str) -> Kind:
    """By the URL's scheme; whatever is not ours is Apprise's."""
    return RECEIVER_KINDS.get(url.partition("://")[0].lower(), OTHERS)


SIZES = (6_000, 2_000, 600)
"""Characters of the body that is tried next where a message was too large."""


async def send(url: str, message: Message) -> str:
    """Deliver; Undelivered says why not, without the URL. A conversation that is gone is begun
    anew, and what is too large is shortened."""
    try:
        return await _send(url, message)
    except Undelivered as error:
        if error.thread and message.thread:
            return await send(url, structs.replace(message, thread=""))
        if not error.large:
            raise
        refused = error
    for size in SIZES:
        if len(message.body) <= size and size != SIZES[-1]:
            continue
        try:
            return await _send(url, shortened(message, size))
        except Undelivered as error:
            if not error.large:
                raise
            refused = error
    raise refused


async def _send(url: str, message: Message) -> str:
    try:
        return await kind_of(url).send(url, message)
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, OSError) as error:
        # A URL may be anything, and so may what a library makes of it; its words could hold the
        # credential.
        raise Undelivered(
            f"the channel's URL cannot be used ({type(error).__name__})", address=True
        ) from None
