"""Anything Apprise speaks: Slack, email, Teams, webhooks and a hundred more."""

from __future__ import annotations

import asyncio
import logging

from recovery.model.recovery import Note
from recovery.notify.undelivered import Undelivered


async def send(url: str, note: Note) -> None:
    """Deliver one message; Undelivered says why not, without the URL. Takes 20 s at most."""
    # 20 MB and half a second: only a controller that has something to say pays for it.
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs URLs
    kinds = {
        "critical": apprise.NotifyType.FAILURE,
        "high": apprise.NotifyType.FAILURE,
        "warning": apprise.NotifyType.WARNING,
    }
    kind = apprise.NotifyType.SUCCESS if note.resolves else kinds.get(note.severity, apprise.NotifyType.INFO)
    # Apprise sends in a thread that cannot be cancelled; only its own timeouts end it.
    channel = apprise.Apprise()
    if not channel.add(url + ("&" if "?" in url else "?") + "cto=5&rto=10"):
        raise Undelivered("the channel's URL is not one that Apprise knows")
    try:
        taken = await asyncio.wait_for(channel.async_notify(title=note.title, body=note.body, notify_type=kind), 20)
    except TimeoutError as error:
        raise Undelivered("no answer within 20s") from error
    if not taken:
        raise Undelivered("the receiver refused the message or could not be reached")
