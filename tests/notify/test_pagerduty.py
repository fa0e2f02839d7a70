"""PagerDuty's Events v2: one dedup key an incident, a success never pages, the routing key is shown
to nobody."""

from __future__ import annotations

import json

import pytest

from recovery.model.message import Message
from recovery.notify import pagerduty_channel, receivers
from recovery.notify.delivery_errors import Undelivered
from tests.answering import Answering

PAGE = Message("shop-1/1/2", "shop-1", "shop is down", "all of it", severity="high")
OVER = Message("shop-1/resolve/x", "shop-1", "shop recovered", "", severity="info", resolves=True)


async def test_a_trigger_and_its_resolve_share_one_key() -> None:
    async with Answering() as there:
        there.answers["/v2/enqueue"] = (202, {"status": "success"})
        for note in (PAGE, OVER):
            await receivers.send(f"pagerduty://aBcKEY?endpoint={there.url}", note)

        first, second = (json.loads(body) for _, _, _, body in there.asked)
    assert first == {
        "routing_key": "aBcKEY",
        "dedup_key": "shop-1",
        "client": "gitops-recovery-controller",
        "event_action": "trigger",
        "payload": {
            "summary": "shop is down",
            "source": "gitops-recovery-controller",
            "severity": "error",
            "component": "gitops-recovery-controller",
            "custom_details": {"message": "all of it"},
        },
    }
    assert (second["event_action"], second["dedup_key"], "payload" in second) == (
        "resolve",
        "shop-1",
        False,
    )


@pytest.mark.parametrize(
    ("severity", "theirs"),
    [("critical", "critical"), ("high", "error"), ("warning", "warning"), ("info", "info")],
)
def test_severities_are_theirs(severity: str, theirs: str) -> None:
    event = pagerduty_channel.event("k", Message("a/1", "a", "t", "b", severity=severity))

    assert event["payload"]["severity"] == theirs  # type: ignore[index]


@pytest.mark.parametrize("status", [302, 400, 429, 500])
async def test_what_is_not_taken_is_tried_again_and_shows_no_key(status: int) -> None:
    async with Answering() as there:
        there.answers["/v2/enqueue"] = (status, "https://elsewhere.example")
        with pytest.raises(Undelivered, match=str(status)) as error:
            await receivers.send(f"pagerduty://SECRET?endpoint={there.url}", PAGE)

    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "pagerduty://",
        "pagerduty://KEY?endpoint=ftp://x",
        "pagerduty://[KEY]?endpoint=http://[",
        "pagerduty://KEY?endpoint=http://127.0.0.1:1",
    ],
)
async def test_a_url_that_leads_nowhere_is_said_so(url: str) -> None:
    with pytest.raises(Undelivered) as error:
        await receivers.send(url, PAGE)

    assert "KEY" not in str(error.value).replace("ROUTING_KEY", "")
