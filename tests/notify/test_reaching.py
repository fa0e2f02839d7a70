"""A person is reached: what is wrong with an address, a credential or a conversation is put right,
not given up."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from msgspec import structs

from recovery.decide import notifications
from recovery.decide.circuit_breaker import Circuit
from recovery.decide.notifications import circuit_closed, circuit_opened
from recovery.decide.routing import named_channels
from recovery.kube.errors import Unavailable
from recovery.model.duration import Duration
from recovery.model.message import LEFT_OUT, Message, shortened
from recovery.model.notification_config import (
    EscalationStep,
    MessageTemplates,
    MuteTimeInterval,
    NotificationConfig,
    ReceiverOptions,
    Route,
)
from recovery.model.policy import Policies
from recovery.model.recovery import Recovery, RecoveryPhase, StepOutcome, StepRecord
from recovery.notify import receivers, slack_channel
from recovery.notify.compose import compose
from recovery.notify.delivery_errors import Undelivered
from tests.answering import Answering
from tests.builders import NOW, a_recovery, a_situation, degraded
from tests.notify.test_outbox import AT_ONCE, Post, ill, note, play

ILL = Message(
    "shop-1/1/2",
    "shop-1",
    "shop/cart requires manual intervention",
    "first line\n" + "- evidence\n" * 3000 + "What to do: mend it\nRecord: shop-1",
)
NIGHT = ReceiverOptions(
    group_wait=Duration(0),
    quiet_hours=(
        MuteTimeInterval(
            schedule="0 22 * * *",
            duration=Duration.parse("8h"),
            timezone="UTC",
            severities=("info", "warning"),
        ),
    ),
)


@pytest.mark.parametrize("status", [301, 401, 402, 403, 404, 407, 410, 421, 451])
async def test_a_refused_address_or_credential_is_tried_for_the_promised_day(status: int) -> None:
    async with Answering() as there:
        there.answers["/"] = (status, "no")
        with pytest.raises(Undelivered) as error:
            await receivers.send(f"webhook://{there.url.partition('://')[2]}/hook", ILL)

    assert (error.value.for_good, error.value.address) == (False, True)


async def test_a_wrong_routing_key_is_an_address_and_no_message() -> None:
    async with Answering() as there:
        there.answers["/v2/enqueue"] = (
            400,
            {"status": "invalid event", "errors": ["'routing_key' is invalid"]},
        )
        with pytest.raises(Undelivered) as error:
            await receivers.send(f"pagerduty://KEY?endpoint={there.url}", ILL)

    assert (error.value.for_good, error.value.address) == (False, True)


async def test_a_conversation_that_is_gone_is_begun_anew() -> None:
    class Slack(Answering):
        async def _answer(self, request):  # type: ignore[no-untyped-def]
            from aiohttp import web

            body = json.loads(await request.read())
            self.asked.append((request.method, request.path, {}, json.dumps(body).encode()))
            gone = {"ok": False, "error": "thread_not_found"}
            return web.json_response(
                gone if "thread_ts" in body else {"ok": True, "channel": "C2", "ts": "9.9"}
            )

    async with Slack() as there:
        thread = await receivers.send(
            f"slack://xoxb-1/%23ops?endpoint={there.url}",
            structs.replace(ILL, body="b", thread="C1:1.1"),
        )
        last = json.loads(there.asked[-1][3])

    assert thread == "C2:9.9"
    assert (last["channel"], "thread_ts" in last) == ("#ops", False)


async def test_what_is_too_large_is_shortened_in_its_evidence_alone() -> None:
    class Small(Answering):
        async def _answer(self, request):  # type: ignore[no-untyped-def]
            from aiohttp import web

            raw = await request.read()
            self.asked.append((request.method, request.path, {}, raw))
            return web.Response(status=413 if len(raw) > 3_000 else 200)

    async with Small() as there:
        await receivers.send(f"webhook://{there.url.partition('://')[2]}/hook", ILL)
        body = json.loads(there.asked[-1][3])["body"]

    assert body.startswith("first line\n- evidence")
    assert body.endswith(f"{LEFT_OUT}\nWhat to do: mend it\nRecord: shop-1")


def test_a_short_message_stays_as_it_is() -> None:
    message = structs.replace(ILL, body="a\nWhat to do: b")

    assert shortened(message, 600).body == message.body


def test_a_rotated_token_arrives_once_with_the_secret_read_afresh() -> None:
    class Rotated(Post):
        good = "old"

        async def url(self, channel: str) -> str:
            return "new" if self.reread_times else "old"

        async def send(self, url: str, message: Message) -> str:
            if url != self.good:
                raise Undelivered("Slack refused it: token_revoked", address=True)
            return await super().send(url, message)

    async def script(p: Rotated) -> None:
        p.outbox.say(note("a", "slack"))
        await p.clock.sleep(5)
        p.good = "new"
        p.outbox.say(note("b", "slack"))
        await p.clock.sleep(30)
        assert [key for _, key in p.got] == ["a", "b"]
        assert not p.outbox.dead

    play(Rotated, script)  # type: ignore[arg-type]


def test_a_named_channel_that_the_secret_lacks_falls_back_to_the_default() -> None:
    async def script(p: Post) -> None:
        p.outbox.tell(ill("r", note("r/1", "nowhere", severity="critical")))
        await p.clock.sleep(30)
        assert p.got == [("mail", "r/1")]
        assert p.unheard == []
        assert "nowhere: the Secret has no key nowhere; mail told instead" in p.outbox.dead[0]

    play(lambda: Post(channels=("mail",), mail=AT_ONCE), script)


def test_without_a_default_every_channel_of_the_secret_stands_in() -> None:
    def post() -> Post:
        made = Post(mail=AT_ONCE)
        made.every = ("mail", "slack", "heartbeat")
        return made

    async def script(p: Post) -> None:
        p.outbox.say(note("a", "nowhere"))
        await p.clock.sleep(30)
        assert sorted(p.got) == [("mail", "a"), ("slack", "a")]

    play(post, script)


def test_an_end_is_told_where_the_beginning_arrived_and_nowhere_else() -> None:
    async def script(p: Post) -> None:
        now = p.clock.now()
        await p.clock.sleep((now.replace(hour=23, minute=0) - now) / timedelta(seconds=1) % 86_400)
        recovery = ill("r", note("r/1", "chat", "pager", severity="warning"))
        p.outbox.tell(recovery)
        await p.clock.sleep(60)
        assert p.got == [("pager", "r/1")], "chat has its quiet hours"
        over = structs.replace(p.written(recovery), phase=RecoveryPhase.Resolved).with_notes(
            note("r/resolve", resolves=True)
        )
        p.outbox.tell(over)
        await p.clock.sleep(12 * 3600)
        assert p.got == [("pager", "r/1"), ("pager", "r/resolve")]

    play(lambda: Post(chat=NIGHT), script)


def test_what_may_have_arrived_is_told_its_end() -> None:
    class Unsure(Post):
        async def send(self, url: str, message: Message) -> str:
            if not message.resolves:
                raise Undelivered("gave no answer", unsure=True)
            return await super().send(url, message)

    async def script(p: Post) -> None:
        recovery = ill("r", note("r/1", "slack"))
        p.outbox.tell(recovery)
        await p.clock.sleep(1)
        over = structs.replace(p.written(recovery), phase=RecoveryPhase.Resolved).with_notes(
            note("r/resolve", resolves=True)
        )
        p.outbox.tell(over)
        await p.clock.sleep(600)
        assert p.got == [("slack", "r/resolve")]

    play(Unsure, script)


def test_every_place_that_names_a_channel_is_known() -> None:
    routes = (
        Route(channels=("slack",), then=(EscalationStep(Duration.parse("10m"), ("pager",)),)),
    )
    notices = NotificationConfig(routes, {"mail": ReceiverOptions(fallback="sms")})

    found = named_channels(Policies((), channels=("default",), notices=notices))

    assert found == {
        "default": "defaults.channels",
        "slack": "routes[0]",
        "pager": "routes[0].then",
        "mail": "channels.mail",
        "sms": "channels.mail.fallback",
    }


class PagerDuty(Post):
    """Opens and closes incidents; its first answers come late, or not at all though it took the
    message."""

    def __init__(self, late: float = 0.0, unsure: int = 0) -> None:
        super().__init__()
        self.late, self.unsure = late, unsure
        self.open: dict[str, bool] = {}

    async def send(self, url: str, message: Message) -> str:
        self.open[message.incident] = not message.resolves
        await self.clock.sleep(self.late)
        if self.unsure and not message.resolves:
            self.unsure -= 1
            raise Undelivered("gave no answer", unsure=True)
        return await super().send(url, message)

    async def go_on(self, records: dict[str, Recovery], seconds: float) -> None:
        """The controller writes down what became of messages, and tells what is left."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            await self.clock.sleep(0.2)
            for name in set(self.changed) & records.keys():
                records[name] = self.written(records[name])
                self.outbox.tell(records[name])
            self.changed.clear()


def ended(recovery: Recovery) -> Recovery:
    return structs.replace(recovery, phase=RecoveryPhase.Resolved).with_notes(
        note(f"{recovery.name}/end", resolves=True)
    )


@pytest.mark.parametrize("unsure", [0, 1])
def test_an_end_that_is_said_while_the_beginning_is_in_flight_closes_it(unsure: int) -> None:
    async def script(p: PagerDuty) -> None:
        records = {"r": ill("r", note("r/1", "pd"))}
        p.outbox.tell(records["r"])
        await p.clock.sleep(5)
        records["r"] = ended(records["r"])
        p.outbox.tell(records["r"])
        await p.go_on(records, 3600)
        assert p.open == {"r": False}

    play(lambda: PagerDuty(late=8, unsure=unsure), script)  # type: ignore[arg-type]


def test_an_end_after_a_kill_closes_what_the_dead_process_may_have_opened() -> None:
    async def script(p: PagerDuty) -> None:
        record = ended(
            ill("r", note("r/1", "pd", severity="critical"))
        )  # as the API server has it: nothing is struck, nobody heard
        p.open["r"] = True
        p.outbox.tell(record)
        await p.clock.sleep(3600)
        assert p.open == {"r": False}

    play(PagerDuty, script)  # type: ignore[arg-type]


def test_an_end_waits_for_its_beginning_where_it_is_not_known_yet_who_is_told() -> None:
    class Unread(PagerDuty):
        async def names(self) -> tuple[str, ...]:
            if self.clock.monotonic() < 300:
                raise Unavailable("no answer")
            return ("pd",)

    async def script(p: PagerDuty) -> None:
        record = ill("r", note("r/1"))
        p.outbox.tell(record)
        await p.clock.sleep(60)
        p.outbox.tell(ended(record))
        await p.clock.sleep(3600)
        assert p.open == {"r": False}

    play(Unread, script)  # type: ignore[arg-type]


@pytest.mark.parametrize("healed", [("r0",), tuple(f"r{n}" for n in range(9)), ()])
@pytest.mark.parametrize("times", [1, 9])
def test_a_crowd_that_may_have_arrived_is_closed_under_its_own_key(
    healed: tuple[str, ...], times: int
) -> None:
    async def script(p: PagerDuty) -> None:
        records = {f"r{n}": ill(f"r{n}", note(f"r{n}/1", "pd")) for n in range(9)}
        p.sharers = set(records)
        for record in records.values():
            p.outbox.tell(record)
        await p.clock.sleep(0.3)
        await p.go_on(records, 0.3)
        for names in (healed, [name for name in records if name not in healed]):
            for name in names:
                records[name] = ended(records[name])
                p.sharers.discard(name)
                p.outbox.tell(records[name])
            await p.go_on(records, 900)
        assert not any(p.open.values()), p.open

    play(lambda: PagerDuty(unsure=times), script)  # type: ignore[arg-type]


def test_a_key_that_is_gone_for_a_moment_ends_nothing() -> None:
    class Moving(PagerDuty):
        gone = False

        async def url(self, channel: str) -> str:
            return "" if self.gone and channel.startswith("pd") else await super().url(channel)

    async def script(p: Moving) -> None:
        record = ill("r", note("r/1", "pd"))
        p.outbox.tell(record)
        await p.clock.sleep(5)
        p.gone = True
        p.outbox.tell(ended(p.written(record)))
        p.outbox.say(note("new/1", "pd", severity="critical"))
        await p.clock.sleep(90)
        p.gone = False
        await p.clock.sleep(600)
        assert p.open == {"r": False, "new": True}
        assert p.unheard == []

    play(Moving, script)  # type: ignore[arg-type]


def test_who_refuses_the_credential_is_stood_in_for_while_it_is_tried_on() -> None:
    class Revoked(Post):
        async def send(self, url: str, message: Message) -> str:
            if url.startswith("pagerduty"):
                raise Undelivered("answered 401", address=True)
            return await super().send(url, message)

    async def script(p: Post) -> None:
        p.outbox.tell(ill("r", note("r/1", "pd", severity="critical")))
        await p.clock.sleep(120)
        assert p.got == [("slack", "r/1")], "once"
        assert p.outbox.lanes()[0].waiting == 1, "and it is still tried there"

    play(lambda: Revoked(channels=("slack",)), script)


async def test_what_stands_before_slack_and_takes_no_large_body_gets_a_shorter_one() -> None:
    async with Answering() as there:
        there.answers["/services/"] = (413, "<html>413 Request Entity Too Large</html>")
        with pytest.raises(Undelivered) as error:
            await receivers.send(f"slack://T/B/X?endpoint={there.url}", ILL)

    assert (error.value.large, error.value.address, len(there.asked) > 1) == (True, False, True)


def test_a_circuit_is_an_incident_of_its_own_and_ends() -> None:
    mine, theirs = (
        circuit_opened(f"web/abc/{project}", Circuit("it does no good", NOW))
        for project in ("mallory", "payments")
    )
    over = circuit_closed("web/abc/payments", Circuit("it does no good", NOW), NOW)

    assert mine.incident != theirs.incident
    assert (over.incident, over.resolves, over.channels) == (theirs.incident, True, ("default",))


def test_a_long_list_of_targets_leaves_what_to_do_and_the_record() -> None:
    targets = tuple(f"apps/v1/Deployment/shop/{'&' * 240}{n}" for n in range(50))
    step = StepRecord(
        1, 0, "restart", NOW, sent=True, outcome=StepOutcome.Failed, targets=targets, ended_at=NOW
    )
    gave_up = structs.replace(
        a_recovery("cart-1", NOW, steps=(step,)),
        phase=RecoveryPhase.Stalled,
        attempt=1,
        max_attempts=1,
    )
    said = notifications.escalated(
        a_situation(degraded()), gave_up, severity="critical", channels=()
    )

    message = compose(said, gave_up, MessageTemplates(), NOW)
    shown = json.dumps(
        slack_channel.shown(
            structs.replace(message, body=message.body + "\n- x" * 9000 + "\nRecord: cart-1")
        )
    )

    assert "and 45 more" in message.body
    assert "\nRecord: cart-1" in message.body
    assert "Record: cart-1" in shown
    assert shown.count('"verbatim": true') == shown.count('"mrkdwn"')
