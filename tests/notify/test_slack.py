"""Slack: one conversation an incident with a bot, a plain message with a webhook; within Slack's
limits, and nobody's mention."""

from __future__ import annotations

import json

import pytest
from msgspec import structs

from recovery.model.message import Message
from recovery.notify import receivers, slack_channel
from recovery.notify.delivery_errors import Undelivered
from tests.answering import Answering

ILL = Message(
    "shop-1/1/2",
    "shop-1",
    "shop/cart (prod-eu): <!channel> & co",
    "OutOfSync <@U1>",
    facts=(("Policy", "web"), ("Next", "attempt 2")),
    links=(("Page", "https://recovery.example/recoveries/shop-1"),),
)
POST, UPDATE = "/api/chat.postMessage", "/api/chat.update"


async def test_a_bot_tells_an_incident_as_one_conversation() -> None:
    async with Answering() as there:
        there.answers[POST] = (200, {"ok": True, "channel": "C042", "ts": "1700.5"})
        there.answers[UPDATE] = (200, {"ok": True})
        url = f"slack://xoxb-1-SECRET/%23ops?endpoint={there.url}"

        thread = await receivers.send(url, ILL)
        over = structs.replace(
            ILL, key="shop-1/resolve", title="recovered", resolves=True, thread=thread
        )
        again = await receivers.send(url, over)

        asked = [(path, json.loads(body)) for _, path, _, body in there.asked]
    assert (thread, again) == ("C042:1700.5", "C042:1700.5")
    assert [path for path, _ in asked] == [POST, POST, UPDATE]
    first, step, head = (body for _, body in asked)
    assert (first["channel"], "thread_ts" in first) == ("#ops", False)
    assert (step["channel"], step["thread_ts"], step["reply_broadcast"]) == ("C042", "1700.5", True)
    assert (head["ts"], head["attachments"][0]["color"]) == ("1700.5", "#2e7d32")


async def test_a_webhook_takes_the_same_blocks() -> None:
    async with Answering() as there:
        there.answers["/services/T0/B0/SECRET"] = (200, "ok")
        assert await receivers.send(f"slack://T0/B0/SECRET?endpoint={there.url}", ILL) == ""
        body = json.loads(there.asked[0][3])
    assert body == slack_channel.shown(ILL)


def test_what_others_wrote_mentions_nobody() -> None:
    text = json.dumps(slack_channel.shown(ILL), ensure_ascii=False)

    assert "<!channel>" not in text.replace("&lt;!channel&gt;", "") or "plain_text" in text
    assert "<@U1>" not in text
    assert "&lt;@U1&gt;" in text


def test_the_largest_message_is_within_the_limits() -> None:
    huge = structs.replace(
        ILL,
        title="&" * 300,
        body="<" * 12_000,
        facts=tuple((f"f{n}", "&" * 3000) for n in range(30)),
    )

    blocks = slack_channel.shown(huge)["attachments"][0]["blocks"]

    assert len(blocks[0]["text"]["text"]) <= 150
    assert len(blocks[1]["text"]["text"]) <= 3000
    assert len(blocks[2]["fields"]) <= 10
    assert all(len(field["text"]) <= 2000 for field in blocks[2]["fields"])


@pytest.mark.parametrize(
    ("answer", "for_good"),
    [
        ((200, {"ok": False, "error": "invalid_blocks"}), True),
        ((200, {"ok": False, "error": "channel_not_found"}), False),
        ((200, {"ok": False, "error": "token_revoked"}), False),
        ((404, "x"), False),
        ((401, "x"), False),
        ((422, "x"), True),
        ((200, {"ok": False, "error": "ratelimited"}), False),
        ((500, "x"), False),
        ((200, "<html>"), False),
    ],
)
async def test_a_refusal_says_why_and_shows_no_token(
    answer: tuple[int, object], for_good: bool
) -> None:
    async with Answering() as there:
        there.answers[POST] = answer
        with pytest.raises(Undelivered) as error:
            await receivers.send(f"slack://xoxb-1-SECRET/ops?endpoint={there.url}", ILL)
    assert error.value.for_good is for_good
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize("url", ["slack://", "slack://xoxb-1", "slack://A/B"])
async def test_a_url_that_is_no_channel_is_said_so(url: str) -> None:
    with pytest.raises(Undelivered, match="neither"):
        await receivers.send(url, ILL)
