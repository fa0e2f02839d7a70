"""PagerDuty by Events v2: one incident a recovery, triggered, raised and resolved under one dedup key."""

from __future__ import annotations

from urllib.parse import parse_qs

import aiohttp
import msgspec

from recovery.model.names import USERNAME
from recovery.model.recovery import Note
from recovery.notify.undelivered import Undelivered

ENDPOINT = "https://events.pagerduty.com"
_JSON = {"Content-Type": "application/json"}
_SEVERITY = {"critical": "critical", "high": "error", "warning": "warning", "info": "info"}
_LONGEST = 1024
"""Characters of a summary that PagerDuty takes."""


async def send(url: str, note: Note) -> None:
    """Deliver to ``pagerduty://ROUTING_KEY[?endpoint=https://...]``; Undelivered says why not, without the key. 15 s at most."""
    # The key is no host name: its case counts, and what cannot be a host name must not raise an error that shows it.
    key, _, query = url.partition("://")[2].partition("?")
    endpoint = (parse_qs(query).get("endpoint") or [ENDPOINT])[0].rstrip("/")
    if not key.strip("/") or not endpoint.startswith(("https://", "http://")):
        raise Undelivered("the channel's URL is not pagerduty://ROUTING_KEY[?endpoint=https://...]")
    body = event(key.strip("/"), note)
    try:
        timeout = aiohttp.ClientTimeout(total=15, connect=5)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                f"{endpoint}/v2/enqueue",
                data=msgspec.json.encode(body),
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise Undelivered(f"PagerDuty could not be reached: {type(error).__name__}") from None
    if status >= 300:
        raise Undelivered(f"PagerDuty answered {status}" + ("; is the routing key right?" if status == 400 else ""))


def event(routing_key: str, note: Note) -> dict[str, object]:
    """The event for a message: a resolve ends the incident, everything else triggers it or adds to it."""
    head = {"routing_key": routing_key, "dedup_key": note.incident, "client": USERNAME}
    if note.resolves:
        return {**head, "event_action": "resolve"}
    payload = {
        "summary": note.title[:_LONGEST],
        "source": USERNAME,
        "severity": _SEVERITY.get(note.severity, "error"),
        "custom_details": {"message": note.body[:8000]},
    }
    return {**head, "event_action": "trigger", "payload": payload}
