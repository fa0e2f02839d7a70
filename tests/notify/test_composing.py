"""What a message says: facts, links, people's own words, and never a credential."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec import structs

from recovery.decide import notifications
from recovery.decide.reminders import remind
from recovery.model.cause import Confidence, Diagnosis
from recovery.model.duration import Duration
from recovery.model.message import Message
from recovery.model.notification_config import (
    EscalationStep,
    Links,
    MessageTemplates,
    MuteTimeInterval,
    NotificationConfig,
    ReceiverOptions,
    Route,
)
from recovery.model.policy import Policies
from recovery.model.recovery import NotificationStatus, PendingNotification, RecoveryPhase, Subject
from recovery.notify import apprise_channel, webhook_channel
from recovery.notify.compose import compose, digest
from recovery.policies import templates
from tests.answering import Answering
from tests.builders import NOW, a_recovery, a_situation, degraded

NOTE = PendingNotification(
    "cart-1/escalate", "shop/cart requires manual intervention", "it is ill", "critical"
)
CART = structs.replace(
    a_recovery("cart-1", NOW),
    subject=Subject("Application", "shop", "cart", "uid", "shop", "prod"),
    cause="CrashLoop",
    policy="web",
)


def test_every_message_says_what_where_since_when_and_what_is_next() -> None:
    stalled = structs.replace(CART, phase=RecoveryPhase.Stalled, attempt=3, max_attempts=3)
    links = Links(
        "https://recovery.example/",
        "https://argocd.example",
        "https://run.example/{cause}/{policy}",
    )

    message = compose(NOTE, stalled, MessageTemplates(links=links), NOW)

    assert dict(message.facts) == {
        "Subject": "shop/cart",
        "Cluster": "prod",
        "Project": "shop",
        "Policy": "web",
        "Cause": "CrashLoop",
        "Since": f"{stalled.unhealthy_since or stalled.opened_at:%Y-%m-%d %H:%M:%S} UTC (0s ago)",
        "Attempt": "3 of 3",
        "Next": "nothing is tried any more: manual intervention required; then `recovery reset cart-1`",
    }
    assert dict(message.links) == {
        "Page": "https://recovery.example/recoveries/cart-1",
        "Argo CD": "https://argocd.example/applications/shop/cart",
        "Runbook": "https://run.example/CrashLoop/web",
    }
    assert "Runbook: https://run.example/CrashLoop/web" in message.text


def test_own_words_and_their_sandbox() -> None:
    words = MessageTemplates(
        title="[{{ severity|upper }}] {{ subject }}",
        body="{% for n, v in facts.items() %}{{ n }}={{ v }};{% endfor %}",
    )

    message = compose(NOTE, CART, words, NOW)

    assert message.title == "[CRITICAL] shop/cart"
    assert "Policy=web;" in message.body


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ nothing }}", "'nothing' is undefined; known are title, body"),
        ("{{ title", "line 1"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ facts.update({'a': 1}) }}", "may be called"),
        ("{% for n in range(10**9) %}{% endfor %}", "may be called"),
    ],
)
def test_a_template_that_cannot_be_used_is_said_so(template: str, why: str) -> None:
    with pytest.raises(templates.BadTemplate, match=why):
        templates.render(template, templates.SAMPLE)


def test_a_template_that_fails_leaves_our_own_words() -> None:
    assert (
        compose(NOTE, CART, MessageTemplates(title="{{ 1 // attempt }}{{ nothing }}"), NOW).title
        == "shop/cart requires manual intervention"
    )


def test_a_mail_shows_what_others_wrote_as_text() -> None:
    message = Message(
        "k",
        "i",
        "t",
        "<script>x</script>\nnext",
        facts=(("A", "<b>"),),
        links=(("P", 'https://x/"onload='),),
    )

    html = apprise_channel.html(message)

    assert "<script>" not in html
    assert "&lt;script&gt;x&lt;/script&gt;<br>" in html
    assert 'href="https://x/&#34;onload="' in html


async def test_the_webhook_is_as_its_schema_says() -> None:
    from pathlib import Path

    schema = json.loads((Path(__file__).parents[2] / "docs/webhook.schema.json").read_text())
    assert schema == msgspec.json.schema(webhook_channel.Body), (
        "python -m tools.webhook_schema writes it anew"
    )
    async with Answering() as there:
        there.answers["/hook"] = (200, "ok")
        await webhook_channel.send(
            there.url.replace("http", "webhook") + "/hook",
            compose(NOTE, CART, MessageTemplates(), NOW),
        )
        body = msgspec.json.decode(there.asked[0][3], type=webhook_channel.Body)
    assert (body.version, body.event, body.key, body.incident) == (
        1,
        "trigger",
        "cart-1/escalate",
        "cart-1",
    )


def test_a_digest_names_the_loudest_first() -> None:
    many = [
        Message(f"r{n}/1", f"r{n}", f"r{n} is ill", "", "critical" if n == 7 else "warning", at=NOW)
        for n in range(30)
    ]
    over = Message("x/resolve", "x", "x recovered", "", "info", resolves=True, at=NOW)

    message = digest([*many, over], "crowd")

    assert message.title == "31 incidents: 30 unhealthy, 1 recovered"
    assert message.body.splitlines()[0] == "- r7 is ill"
    assert message.body.splitlines()[-1] == "- ... and 11 more: recovery status"
    assert (message.severity, message.resolves, len(message.members)) == ("critical", False, 31)


AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
THEN = (
    EscalationStep(Duration.parse("10m"), ("primary",)),
    EscalationStep(Duration.parse("30m"), ("secondary",)),
)
ORDER = Policies(
    (), notices=NotificationConfig((Route(("slack",), then=THEN),), {"slack": ReceiverOptions()})
)
TOLD = structs.replace(
    CART, phase=RecoveryPhase.Stalled, talk=NotificationStatus(("slack",), first_at=AT, last_at=AT)
)


def test_an_escalation_goes_on_until_it_is_over() -> None:
    asked, after = [], TOLD
    for minutes in (0, 9, 10, 11, 29, 31, 60):
        after, again = remind(after, None, ORDER, AT + timedelta(minutes=minutes))
        asked.append(
            (
                minutes,
                [n.channels for n in after.notes],
                again and (again - AT) // timedelta(minutes=1),
            )
        )
        after = structs.replace(after, notes=())
    assert asked == [
        (0, [], 10),
        (9, [], 10),
        (10, [("primary",)], 30),
        (11, [], 30),
        (29, [], 30),
        (31, [("secondary",)], 271),
        (60, [], 271),
    ]
    assert set(after.told) == {"primary", "secondary"}, "they are owed the resolve"


UNTOLD = structs.replace(
    TOLD,
    talk=NotificationStatus(),
    notes=(PendingNotification("cart-1/1/1", "t", "b", "warning", ("slack",)),),
)
NIGHT = MuteTimeInterval("* * * * *", Duration.parse("1m"), "UTC", ("warning",))


def test_that_nobody_could_be_told_is_a_reason_to_go_on() -> None:
    """The first channel is dead, or refuses for good: the chain counts from when the first message
    was due."""
    for gone in (
        {"notes": UNTOLD.notes},
        {"notes": (), "talk": NotificationStatus(undelivered=("slack: token_revoked",))},
    ):
        after = structs.replace(UNTOLD, **gone)
        called = []
        for minutes in (1, 5, 11, 12, 31):
            after, again = remind(after, None, ORDER, AT + timedelta(minutes=minutes))
            called += [(minutes, n.channels) for n in after.notes if "/then/" in n.key]
            assert again is not None or minutes == 31
            after = structs.replace(after, notes=gone["notes"])
        assert called == [(11, ("primary",)), (31, ("secondary",))]


def test_who_is_not_to_be_woken_is_not_passed_over_for_it() -> None:
    """Quiet hours hold the first message back: nobody further down the chain is called instead."""
    quiet = structs.replace(
        ORDER,
        notices=structs.replace(
            ORDER.notices, channels={"slack": ReceiverOptions(quiet_hours=(NIGHT,))}
        ),
    )

    after, again = remind(UNTOLD, None, quiet, AT + timedelta(hours=1))

    assert after == UNTOLD
    assert again is not None


@pytest.mark.parametrize(
    "phase", [RecoveryPhase.Resolved, RecoveryPhase.Superseded, RecoveryPhase.Verifying]
)
def test_nobody_is_called_for_what_is_cured(phase: RecoveryPhase) -> None:
    after, _ = remind(structs.replace(TOLD, phase=phase), None, ORDER, AT + timedelta(hours=9))

    assert after.notes == ()


def test_what_is_still_ill_is_told_again_every_four_hours_and_never_where_nobody_wants_it() -> None:
    at, notes, after = AT, [], TOLD
    plain = Policies(())
    for _ in range(24 * 6):
        at += timedelta(minutes=10)
        after, _ = remind(after, None, plain, at)
        notes += [n.key for n in after.notes]
        after = structs.replace(after, notes=())
    assert notes == [f"cart-1/repeat/{n}" for n in range(1, 7)]
    never = Policies(
        (),
        notices=NotificationConfig(
            channels={"slack": ReceiverOptions(repeat_interval=Duration(0))}
        ),
    )
    assert remind(TOLD, None, never, AT + timedelta(days=1)) == (TOLD, None)


def test_each_channel_is_reminded_in_its_own_time() -> None:
    often = Policies(
        (),
        notices=NotificationConfig(
            channels={"slack": ReceiverOptions(repeat_interval=Duration.parse("1h"))}
        ),
    )
    after, told = (
        structs.replace(TOLD, talk=structs.replace(TOLD.talk, heard=("slack", "boss"))),
        [],
    )
    for hour in range(1, 9):
        after, _ = remind(after, None, often, AT + timedelta(hours=hour))
        told += [(hour, n.channels) for n in after.notes]
        after = structs.replace(after, notes=())
    assert [hour for hour, channels in told if "slack" in channels] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [hour for hour, channels in told if "boss" in channels] == [4, 8]


def test_a_reminder_is_armed_while_it_is_worked_on() -> None:
    at_work = structs.replace(TOLD, phase=RecoveryPhase.BackingOff)

    after, again = remind(at_work, None, Policies(()), AT + timedelta(hours=9))

    assert (after.notes, again) == ((), AT + timedelta(hours=9, minutes=1))


def test_who_is_called_reads_what_to_do_and_nothing_about_what_does_not_run() -> None:
    situation = a_situation(
        degraded(),
        finding=Diagnosis("ImageUnavailable", ("Pod/cart-1: ImagePullBackOff",), Confidence.likely),
    )
    unhealthy_since = NOW - timedelta(minutes=26)
    gave_up = structs.replace(
        CART,
        phase=RecoveryPhase.Stalled,
        attempt=3,
        max_attempts=3,
        unhealthy_since=unhealthy_since,
    )

    note = notifications.escalated(situation, gave_up, severity="critical", channels=())

    assert (
        note.title
        == "argocd/cart (in-cluster) requires manual intervention: ImageUnavailable, nothing was tried"
    )
    assert "for 26m, since 11:34 UTC" in note.body
    assert "\nWhat to do: " in note.body
    assert "\nThen: recovery reset cart-1" in note.body
    assert "Stop it" not in note.body


def test_what_still_runs_says_how_to_stop_it_and_why_it_runs() -> None:
    running = structs.replace(
        CART,
        phase=RecoveryPhase.Remediating,
        policy="application-health-degraded",
        attempt=1,
        max_attempts=3,
    )

    note = notifications.acted(a_situation(degraded()), running, "rolled back 0162977 to 7e0fe71")

    assert "\nWhy: Degraded for 5m (attempt 1 of 3)." in note.body
    assert (
        "\nStop it: kubectl -n shop annotate application cart recovery.gitops.dev/paused=true"
        in note.body
    )
