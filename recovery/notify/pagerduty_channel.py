"""PagerDuty by Events v2: one incident a recovery, triggered, raised and resolved under one dedup
key."""

from __future__ import annotations

from urllib.parse import parse_qs

from recovery.model.message import Message
from recovery.model.names import USERNAME
from recovery.notify.delivery_errors import Undelivered
from recovery.notify.http_post import post

ENDPOINT = "https://events.pagerduty.com"
_SEVERITY = {"critical": "critical", "high": "error", "warning": "warning", "info": "info"}
_LONGEST = 1024
"""Characters of a summary that PagerDuty takes; the event as a whole may have 512 KB."""
_KEY = 255
"""Characters of a dedup key."""


async def send(url: str, message: Message) -> str:
    """Deliver to ``pagerduty://ROUTING_KEY[?endpoint=https://...]``; Undelivered says why not,
    without the key."""
    # The key is no host name: its case counts, and what cannot be a host name must not raise an
    # error that shows it.
    key, _, query = url.partition("://")[2].partition("?")
    endpoint = (parse_qs(query).get("endpoint") or [ENDPOINT])[0].rstrip("/")
    if not key.strip("/") or not endpoint.startswith(("https://", "http://")):
        raise Undelivered(
            "the channel's URL is not pagerduty://ROUTING_KEY[?endpoint=https://...]", address=True
        )
    try:
        await post("PagerDuty", f"{endpoint}/v2/enqueue", event(key.strip("/"), message))
    except Undelivered as error:
        if error.for_good and b"routing" in error.said.lower():
            raise Undelivered(f"{error}; is the routing key right?", address=True) from None
        raise
    return ""


def event(routing_key: str, message: Message) -> dict[str, object]:
    """The event for a message: a resolve ends the incident, everything else triggers it or adds to
    it."""
    head = {"routing_key": routing_key, "dedup_key": message.incident[:_KEY]}
    if message.resolves:
        return {**head, "event_action": "resolve"}
    payload: dict[str, object] = {
        "summary": message.title[:_LONGEST],
        "source": str(message.subject or USERNAME)[:_LONGEST],
        "severity": _SEVERITY.get(message.severity, "error"),
        "component": USERNAME,
        "custom_details": {
            **{name.lower(): value[:1000] for name, value in message.facts},
            "message": message.body[:8000],
        },
    }
    if message.at:
        payload["timestamp"] = message.at.isoformat()
    facts = dict(message.facts)
    payload |= {
        field: facts[name][:200]
        for field, name in (("group", "Project"), ("class", "Cause"))
        if facts.get(name)
    }
    links = [{"href": address, "text": name} for name, address in message.links]
    client = {"client": USERNAME, **({"client_url": message.links[0][1]} if message.links else {})}
    return {
        **head,
        **client,
        "event_action": "trigger",
        "payload": payload,
        **({"links": links} if links else {}),
    }
