"""Anything Apprise speaks: email, Teams and a hundred more. Email goes out as HTML with a text
beside it."""

from __future__ import annotations

import asyncio
import logging

from recovery.model.message import Message
from recovery.notify.delivery_errors import Undelivered


async def send(url: str, message: Message) -> str:
    """Deliver one message; Undelivered says why not, without the URL. Takes 20 s at most."""
    # 20 MB and half a second: only a controller that has something to say pays for it.
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs URLs
    kinds = {
        "critical": apprise.NotifyType.FAILURE,
        "high": apprise.NotifyType.FAILURE,
        "warning": apprise.NotifyType.WARNING,
    }
    kind = (
        apprise.NotifyType.SUCCESS
        if message.resolves
        else kinds.get(message.severity, apprise.NotifyType.INFO)
    )
    # Apprise sends in a thread that cannot be cancelled; only its own timeouts end it.
    channel = apprise.Apprise()
    if not channel.add(url + ("&" if "?" in url else "?") + "cto=5&rto=10"):
        raise Undelivered("the channel's URL is not one that Apprise knows", address=True)
    mail = url.lower().startswith(("mailto:", "mailtos:"))
    body, form = (
        (html(message), apprise.NotifyFormat.HTML)
        if mail
        else (message.text, apprise.NotifyFormat.TEXT)
    )
    try:
        taken = await asyncio.wait_for(
            channel.async_notify(
                title=message.title, body=body, notify_type=kind, body_format=form
            ),
            20,
        )
    except TimeoutError as error:
        raise Undelivered("no answer within 20s") from error
    if not taken:
        raise Undelivered("the receiver refused the message or could not be reached")
    return ""


def html(message: Message) -> str:
    """For a mail: no style sheet, no picture, nothing fetched; all that others wrote is escaped."""
    from jinja2 import Environment, PackageLoader  # only a controller that mails pays for it

    made = Environment(
        loader=PackageLoader("recovery.notify"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return made.get_template("mail.html").render(message=message)
