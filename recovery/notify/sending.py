"""One message to one channel, by the kind of its URL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import structs

from recovery.model.recovery import Note
from recovery.model.redact import redact
from recovery.notify import apprise_channel, pagerduty_channel
from recovery.notify.undelivered import Undelivered

OURS: dict[str, Callable[[str, Note], Awaitable[None]]] = {"pagerduty": pagerduty_channel.send}
"""Channels that Apprise cannot serve as we need them; PagerDuty's own there has no dedup key for an incident's whole life."""


async def send(url: str, note: Note) -> None:
    """Deliver; Undelivered says why not, without the URL."""
    note = structs.replace(note, title=redact(note.title, 300), body=redact(note.body, 12_000))
    try:
        await OURS.get(url.partition("://")[0].lower(), apprise_channel.send)(url, note)
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, OSError) as error:
        # A URL may be anything, and so may what a library makes of it; its words could hold the credential.
        raise Undelivered(f"the channel's URL cannot be used ({type(error).__name__})") from None
