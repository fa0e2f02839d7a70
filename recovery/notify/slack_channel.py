"""Slack: with a bot token one message an incident, kept up to date, its steps in the thread; else
an incoming webhook."""

from __future__ import annotations

import contextlib
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from recovery.model.message import Message, fitted
from recovery.notify.delivery_errors import Undelivered
from recovery.notify.http_post import fields, post

API, SLACK_HOOKS = "https://slack.com", "https://hooks.slack.com"
_TEXT, _HEADER, _FIELD, _FIELDS = 2900, 150, 1900, 10
"""Characters that a section (3000), a header (150) and a field (2000) may have, and the fields of a
section."""
_OF_THE_MESSAGE = frozenset(
    {
        *(
            "msg_too_long",
            "msg_blocks_too_long",
            "too_many_attachments",
            "no_text",
            "invalid_blocks",
            "invalid_blocks_format",
        ),
        *(
            "invalid_attachments",
            "invalid_payload",
            "invalid_arguments",
            "invalid_json",
            "markdown_text_conflict",
        ),
    }
)
"""What is wrong with what was sent (docs.slack.dev: chat.postMessage, incoming webhooks); all else
is about a token, a channel or Slack."""
_LARGE = frozenset({"msg_too_long", "msg_blocks_too_long", "too_many_attachments"})
_THREAD = frozenset(
    {
        "thread_not_found",
        "message_not_found",
        "cannot_reply_to_message",
        "invalid_thread_ts",
        "channel_not_found",
        "is_archived",
    }
)
"""A conversation that was kept is not there any more, or its channel is not."""
_BUSY = frozenset(
    {
        "ratelimited",
        "rate_limited",
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "no_answer",
    }
)
_COLOUR = {"critical": "#b3261e", "high": "#b3261e", "warning": "#b26a00", "info": "#2e6bb0"}
_WELL = "#2e7d32"


class Address(NamedTuple):
    """Parts of a ``slack://`` URL: token or webhook, and channel."""

    token: str
    """A bot's; empty for a webhook."""
    hook: str
    channel: str
    endpoint: str


def address(url: str) -> Address:
    """Apprise's forms: ``slack://xoxb-TOKEN/#channel`` and ``slack://A/B/C[/#channel]``,
    ``?endpoint=`` for a proxy; Undelivered else."""
    rest, _, query = url.partition("://")[2].partition("?")
    parts = [unquote(part) for part in re.sub(r"^[^/@]*@", "", rest).split("/") if part]
    endpoint = (parse_qs(query).get("endpoint") or [""])[0].rstrip("/")
    if parts and parts[0].startswith("xox") and len(parts) > 1:
        return Address(parts[0], "", parts[1], endpoint or API)
    if len(parts) >= 3:
        return Address(
            "", "/".join(parts[:3]), parts[3] if len(parts) > 3 else "", endpoint or SLACK_HOOKS
        )
    raise Undelivered(
        "the channel's URL is neither slack://xoxb-TOKEN/#channel nor slack://A/B/C", address=True
    )


async def send(url: str, message: Message) -> str:
    """Deliver; answers ``CHANNEL:TIMESTAMP`` of the incident's first message, where there is a bot.
    Undelivered says why not."""
    to = address(url)
    if not to.token:
        try:
            await post("Slack", f"{to.endpoint}/services/{to.hook}", shown(message))
        except Undelivered as error:
            if (
                error.for_good
                and not error.large
                and re.fullmatch(rb"[a-z_]{3,60}", error.said.strip())
            ):
                raise _refused(error.said.decode(errors="replace")) from None
            raise
        return ""
    channel, _, first = message.thread.partition(":")
    if not first:
        answer = await _call(to, "chat.postMessage", {"channel": to.channel, **shown(message)})
        return f"{answer.get('channel') or to.channel}:{answer.get('ts') or ''}"
    # The step goes into the thread; a resolve is shown to the channel as well. The head shows how
    # it stands.
    step = {
        "channel": channel,
        "thread_ts": first,
        **({"reply_broadcast": True} if message.resolves else {}),
        **shown(message),
    }
    await _call(to, "chat.postMessage", step)
    with contextlib.suppress(
        Undelivered
    ):  # the thread has it; the head is brought up to date by the next one
        await _call(to, "chat.update", {"channel": channel, "ts": first, **shown(message)})
    return message.thread


async def _call(to: Address, method: str, body: dict[str, Any]) -> dict[str, Any]:
    said, _ = await post(
        "Slack", f"{to.endpoint}/api/{method}", body, {"Authorization": f"Bearer {to.token}"}
    )
    answer = fields(said)
    if not answer.get("ok"):
        raise _refused(str(answer.get("error") or "no_answer"))
    return answer


def _refused(said: str) -> Undelivered:
    """By Slack's own word for it."""
    error = re.sub(r"[^a-z_]", "", said)[:60]
    ours = error in _OF_THE_MESSAGE
    return Undelivered(
        f"Slack refused it: {error}",
        for_good=ours,
        address=not ours and error not in _BUSY,
        thread=error in _THREAD,
        large=error in _LARGE,
    )


def shown(message: Message) -> dict[str, Any]:
    """Blocks within Slack's limits, and the text for notifications. What others wrote stays text:
    no link, no mention."""
    message = fitted(message, _TEXT, lambda text: len(_plain(text)))
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(message.title, _HEADER)}}
    ]
    if message.body:
        blocks.append({"type": "section", "text": _text(_plain(message.body), _TEXT)})
    if message.facts:
        said = [
            _text(f"*{name}*\n{_plain(value)}", _FIELD) for name, value in message.facts[:_FIELDS]
        ]
        blocks.append({"type": "section", "fields": said})
    if message.links:
        words = " | ".join(f"<{where}|{_plain(name)}>" for name, where in message.links)
        blocks.append({"type": "context", "elements": [_text(words, _TEXT)]})
    colour = _WELL if message.resolves else _COLOUR.get(message.severity, _COLOUR["info"])
    return {
        "text": _cut(_plain(message.title), _TEXT),
        "attachments": [{"color": colour, "blocks": blocks}],
    }


def _text(text: str, longest: int) -> dict[str, Any]:
    """``verbatim``: Slack makes no links and mentions of its own out of it (docs.slack.dev: text
    object)."""
    return {"type": "mrkdwn", "verbatim": True, "text": _cut(text, longest)}


def _plain(text: str) -> str:
    # Slack's three characters; nothing that others wrote becomes a mention or a link.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return re.sub(r"&[a-z]{0,3}$", "", text[: longest - 1]) + "…"
