"""Messages: at least once, grouped, each channel by its own way, never lost to an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from recovery.decide.reminders import News, said
from recovery.kube.errors import Unavailable
from recovery.model.duration import Duration
from recovery.model.message import Message
from recovery.model.notification_config import (
    Flapping,
    MessageTemplates,
    MuteTimeInterval,
    NotificationConfig,
    ReceiverOptions,
    Route,
)
from recovery.model.policy import Policies
from recovery.model.recovery import NotificationStatus, PendingNotification, Recovery, RecoveryPhase
from recovery.model.selector import Selector
from recovery.notify.delivery_errors import Undelivered
from recovery.notify.dispatcher import Dispatcher, Nobody
from recovery.simulate import virtual
from tests.builders import NOW, a_recovery, an_application

AT_ONCE = ReceiverOptions(group_wait=Duration(0))


class Post(Nobody):
    """Receivers that can be dead, and what they got."""

    def __init__(
        self,
        *dead: str,
        channels: tuple[str, ...] = (),
        routes: tuple[Route, ...] = (),
        **options: ReceiverOptions,
    ) -> None:
        self.dead = set(dead)
        self.pause: float | None = None
        self.got: list[tuple[str, str]] = []
        self.messages: list[Message] = []
        self.tries = 0
        self.unheard: list[str] = []
        self.changed: list[str] = []
        self.counted: list[tuple[str, str]] = []
        self.flapping = 0
        self.reread_times = 0
        self.silent = False
        self.every: tuple[str, ...] = ()
        self.not_ours: set[str] = set()
        self.sharers: set[str] = set()
        self.clock = virtual.VirtualClock()
        self.outbox = Dispatcher(
            self.send,
            self,
            self.clock,
            self.changed.append,
            lambda note, _: self.unheard.append(note.key),
            lambda c, r: self.counted.append((c, r)),
        )
        notices = NotificationConfig(
            routes,
            {"slack": AT_ONCE, "pager": AT_ONCE, **options},
            MessageTemplates(flapping=Flapping(times=3)),
        )
        self.outbox.policies = Policies((), channels=channels, notices=notices)
        self.outbox.fleet = self

    def flaps(self, recovery: Recovery) -> int:
        return self.flapping

    def about(self, recovery: Recovery) -> object:
        return an_application(project="shop")

    def silenced(self, recovery: Recovery) -> bool:
        return self.silent

    def tells(self, recovery: str) -> bool:
        return recovery not in self.not_ours

    def sharing(self, mark: str, recovery: str) -> bool:
        return bool(self.sharers - {recovery})

    async def url(self, channel: str) -> str:
        return (
            ""
            if channel == "nowhere"
            else f"pagerduty://{channel}"
            if channel.startswith("pd")
            else channel
        )

    async def names(self) -> tuple[str, ...]:
        return self.every

    def reread(self) -> None:
        self.reread_times += 1

    async def send(self, url: str, message: Message) -> str:
        self.tries += 1
        name = url.rpartition("/")[2]
        if name in self.dead:
            raise Undelivered("dead", after=self.pause)
        self.got.append((name, message.key))
        self.messages.append(message)
        return f"{name}:1"

    def written(self, recovery: Recovery) -> Recovery:
        """What the controller does with the news."""
        news = self.outbox.news(recovery.name)
        after = said(recovery, news, self.clock.now())
        self.outbox.forget(recovery.name, news)
        return after


def play(post: Callable[[], Post], script: Callable[[Post], Awaitable[None]]) -> None:
    async def inside() -> None:
        p = post()
        running = asyncio.create_task(p.outbox.run())
        try:
            await script(p)
        finally:
            running.cancel()

    virtual.run(inside())


def note(
    key: str, *channels: str, severity: str = "high", resolves: bool = False
) -> PendingNotification:
    return PendingNotification(key, key, "", severity, channels, resolves=resolves)


def ill(name: str, *notes: PendingNotification, **fields: object) -> Recovery:
    return structs.replace(a_recovery(name, NOW, notes=notes), **fields)


def test_a_trigger_that_its_resolve_overtook_is_dropped_and_does_not_open_the_incident_again() -> (
    None
):
    async def script(p: Post) -> None:
        p.outbox.say(note("shop-1/1/2", "pager"))
        await p.clock.sleep(120)
        p.outbox.say(note("shop-1/resolve/a", "pager", resolves=True))
        p.dead.clear()
        await p.clock.sleep(900)
        assert p.got == [("pager", "shop-1/resolve/a")]

        p.outbox.say(note("shop-1/2/2", "pager"))
        await p.clock.sleep(5)
        assert p.got[-1] == ("pager", "shop-1/2/2"), "a relapse is news"

    play(lambda: Post("pager"), script)


def test_the_same_key_is_the_same_message_until_its_record_is_written() -> None:
    async def script(p: Post) -> None:
        recovery = ill("r", note("a", "slack"), note("a", "slack"))
        p.outbox.tell(recovery)
        p.outbox.tell(recovery)
        await p.clock.sleep(1)
        assert p.got == [("slack", "a")]
        assert p.changed == ["r"]
        assert p.outbox.news("r").struck == {"a"}
        assert p.outbox.news("r").struck == {"a"}, "asking is not forgetting"
        after = p.written(recovery)
        assert (after.notes, after.talk.heard, after.talk.first_at) == (
            (),
            ("slack",),
            p.clock.now(),
        )
        assert p.outbox.news("r") == News()

    play(Post, script)


def test_a_dead_channel_holds_up_neither_other_channels_nor_other_messages() -> None:
    async def script(p: Post) -> None:
        p.outbox.say(note("first", "dead", "slack"))
        await p.clock.sleep(2)
        p.outbox.say(note("second", "dead", "slack"))
        await p.clock.sleep(2)
        assert p.got == [("slack", "first"), ("slack", "second")]

    play(lambda: Post("dead"), script)


def test_an_outage_of_hours_loses_nothing() -> None:
    async def script(p: Post) -> None:
        p.outbox.tell(ill("r", note("a", "slack")))
        await p.clock.sleep(6 * 3600)
        assert p.changed == [], "still owed"
        assert p.tries < 120, "with growing pauses"
        p.dead.clear()
        await p.clock.sleep(600)
        assert p.got == [("slack", "a")]
        assert p.changed == ["r"]
        assert ("slack", "delivered") in p.counted

    play(lambda: Post("slack"), script)


def test_where_nobody_listens_it_is_a_log_line_an_event_and_a_dead_letter() -> None:
    async def script(p: Post) -> None:
        recovery = ill("r", note("a", "nowhere"))
        p.outbox.tell(recovery)
        await p.clock.sleep(200)
        assert p.unheard == ["a"]
        assert "the Secret has no key nowhere" in p.outbox.dead[0]
        after = p.written(recovery)
        assert (after.notes, after.talk.heard) == ((), ())
        assert "nowhere" in after.talk.undelivered[0]

    play(Post, script)


def test_after_a_restart_only_those_are_told_that_were_not_reached() -> None:
    recovery = ill("r", note("a", "slack", "pager"))

    async def before(p: Post) -> None:
        p.outbox.tell(recovery)
        await p.clock.sleep(60)
        after = p.written(recovery)
        assert [n.reached for n in after.notes] == [("slack",)], "kept while the pager is dead"
        kept.append(after)

    async def after(p: Post) -> None:
        p.outbox.tell(kept[0])
        await p.clock.sleep(5)
        assert p.got == [("pager", "a")]
        assert p.written(kept[0]).talk.heard == ("slack", "pager")

    kept: list[Recovery] = []
    play(lambda: Post("pager"), before)
    play(Post, after)


def test_the_first_leaves_at_once_and_a_storm_of_500_is_a_handful() -> None:
    async def script(p: Post) -> None:
        for number in range(500):
            p.outbox.tell(ill(f"r{number}", note(f"r{number}/1", "mail")))
            await p.clock.sleep(0.1)
        await p.clock.sleep(60)
        assert p.got[0] == ("mail", "r0/1"), "nobody waits for the first"
        assert len(p.got) <= 4
        told = {"r0/1"}.union(*(m.members for m in p.messages))
        assert told == {f"r{n}/1" for n in range(500)}, "and all of them are in it"
        assert "incidents: " in p.messages[1].title
        assert "... and " in p.messages[1].body

    play(Post, script)


def test_a_pager_is_told_of_a_crowd_as_one_incident_that_ends_with_its_last_member() -> None:
    async def script(p: Post) -> None:
        members = [ill(f"r{n}", note(f"r{n}/1", "pd")) for n in range(9)]
        for each in members:
            p.outbox.tell(each)
        await p.clock.sleep(60)
        assert [m.incident for m in p.messages] == ["crowd-r0"]
        members = [p.written(each) for each in members]
        assert {each.talk.heard for each in members} == {("pd@crowd-r0",)}

        p.sharers = {each.name for each in members}
        for each in members:
            p.sharers.discard(each.name)
            over = structs.replace(each, phase=RecoveryPhase.Resolved)
            p.outbox.tell(over.with_notes(note(f"{each.name}/resolve", resolves=True)))
            await p.clock.sleep(60)
        assert [(m.incident, m.resolves) for m in p.messages] == [
            ("crowd-r0", False),
            ("crowd-r0", True),
        ]

    play(Post, script)


def test_a_few_incidents_are_kept_apart_where_the_channel_can() -> None:
    async def script(p: Post) -> None:
        for n in range(3):
            p.outbox.tell(ill(f"r{n}", note(f"r{n}/1", "pd")))
        await p.clock.sleep(60)
        assert [m.incident for m in p.messages] == ["r0", "r1", "r2"]

    play(Post, script)


def test_what_one_incident_says_in_one_breath_is_one_message() -> None:
    async def script(p: Post) -> None:
        p.outbox.tell(
            ill(
                "r",
                note("r/1", "slack"),
                note("r/escalate", "slack", severity="critical"),
                note("r/3", "slack"),
            )
        )
        await p.clock.sleep(5)
        assert p.got == [("slack", "r/3")]
        assert (p.messages[0].severity, p.messages[0].members) == (
            "critical",
            ("r/1", "r/escalate", "r/3"),
        )
        assert "- r/escalate" in p.messages[0].body

    play(Post, script)


def test_the_pause_a_receiver_asks_for_is_kept() -> None:
    async def script(p: Post) -> None:
        p.pause = 40
        p.outbox.say(note("a", "slack"))
        await p.clock.sleep(39)
        assert p.tries == 1
        p.dead.clear()
        await p.clock.sleep(2)
        assert p.got == [("slack", "a")]

    play(lambda: Post("slack"), script)


def test_a_dead_channel_falls_back_and_the_resolve_goes_to_who_was_told() -> None:
    async def script(p: Post) -> None:
        recovery = ill("r", note("r/1", "slack"))
        p.outbox.tell(recovery)
        await p.clock.sleep(30)
        assert p.got == [("mail", "r/1")], "after three tries"
        tries = p.tries
        p.outbox.tell(ill("s", note("s/1", "slack")))
        await p.clock.sleep(0.5)
        assert p.tries == tries + 2, "once to see whether it lives, once to the other"
        p.outbox.tell(ill("u", note("u/1", "slack")))
        await p.clock.sleep(0.5)
        assert p.tries == tries + 3, "what is dead is not asked each time"
        p.dead.clear()
        over = structs.replace(p.written(recovery), phase=RecoveryPhase.Resolved).with_notes(
            note("r/resolve", resolves=True)
        )
        await p.clock.sleep(400)
        p.outbox.tell(over)
        await p.clock.sleep(40)
        assert ("mail", "r/resolve") in p.got
        assert ("slack", "r/resolve") not in p.got
        p.outbox.tell(ill("t", note("t/1", "slack")))
        await p.clock.sleep(5)
        assert p.got[-1] == ("slack", "t/1"), "it is tried again when its time has come"
        assert p.outbox.lanes()[0].failures == 0

    play(
        lambda: Post(
            "slack", slack=ReceiverOptions(group_wait=Duration(0), fallback="mail"), mail=AT_ONCE
        ),
        script,
    )


def test_what_is_refused_for_good_is_a_dead_letter_at_once_and_holds_up_nothing() -> None:
    class Refusing(Post):
        async def send(self, url: str, message: Message) -> str:
            if message.key == "bad":
                raise Undelivered("answered 400", for_good=True)
            return await super().send(url, message)

    async def script(p: Post) -> None:
        p.outbox.say(note("bad", "slack"))
        await p.clock.sleep(1)
        p.outbox.say(note("good", "slack"))
        await p.clock.sleep(1)
        assert p.got == [("slack", "good")]
        assert p.unheard == ["bad"]
        assert ("slack", "failed") in p.counted

    play(Refusing, script)


def test_a_resolve_goes_where_its_trigger_went_also_when_that_is_not_written_down_yet() -> None:
    async def script(p: Post) -> None:
        recovery = ill("r", note("r/1"))
        p.outbox.tell(recovery)
        await p.clock.sleep(5)
        assert p.got == [("slack", "r/1")]
        p.outbox.policies = structs.replace(p.outbox.policies, channels=("mail",))
        p.outbox.tell(recovery.with_notes(note("r/resolve", "default", resolves=True)))
        await p.clock.sleep(5)
        assert p.got[1:] == [("slack", "r/resolve")]

    play(lambda: Post(channels=("slack",)), script)


def test_routes_decide_by_severity_policy_and_project() -> None:
    routes = (
        Route(channels=("pager",), severities=("critical",)),
        Route(channels=("mail",), policies=("other-*",)),
        Route(channels=("shop",), selector=Selector(projects=("sh*",))),
    )

    async def script(p: Post) -> None:
        p.outbox.tell(ill("a", note("a/1", severity="critical")))
        p.outbox.tell(ill("b", note("b/1"), policy="other-one"))
        p.outbox.tell(ill("c", note("c/1")))
        p.outbox.tell(ill("d", note("d/1", "slack", severity="critical")))
        await p.clock.sleep(60)
        assert sorted(p.got) == [
            ("mail", "b/1"),
            ("pager", "a/1"),
            ("shop", "c/1"),
            ("slack", "d/1"),
        ]

    play(lambda: Post(channels=("slack",), routes=routes), script)


def test_quiet_hours_keep_back_what_can_wait_and_drop_what_is_over_by_then() -> None:
    async def script(p: Post) -> None:
        began = p.clock.now()
        quiet = MuteTimeInterval(f"{began.minute} {began.hour} * * *", Duration.parse("8h"))
        p.outbox.policies = Policies(
            (), notices=NotificationConfig(channels={"mail": ReceiverOptions(quiet_hours=(quiet,))})
        )
        p.outbox.say(note("a/1", "mail", severity="warning"))
        p.outbox.say(note("b/1", "mail", severity="warning"))
        p.outbox.say(note("c/1", "mail", severity="critical"))
        await p.clock.sleep(3600)
        assert p.got == [("mail", "c/1")]
        p.outbox.say(note("a/resolve", "mail", resolves=True))
        await p.clock.sleep(8 * 3600)
        assert [key for _, key in p.got] == ["c/1", "a/resolve", "b/1"]

    play(Post, script)


def test_what_flaps_is_told_once_as_that_and_what_is_critical_all_the_same() -> None:
    async def script(p: Post) -> None:
        p.flapping = 3
        for n in range(5):
            recovery = ill(
                f"r{n}", note(f"r{n}/1", "slack"), note(f"r{n}/resolve", "slack", resolves=True)
            )
            recovery = structs.replace(
                recovery, subject=structs.replace(recovery.subject, uid="one")
            )
            p.outbox.tell(recovery)
            await p.clock.sleep(60)
            assert p.written(recovery).notes == ()
        assert len(p.got) == 1
        assert "is flapping: it became unhealthy 3 times within 1" in p.messages[0].title
        p.outbox.tell(ill("r9", note("r9/escalate", "slack", severity="critical")))
        await p.clock.sleep(60)
        assert p.got[-1] == ("slack", "r9/escalate")

    play(Post, script)


def test_the_thread_of_an_incident_is_kept_through_a_restart() -> None:
    async def first(p: Post) -> None:
        recovery = ill("r", note("r/1", "slack"))
        p.outbox.tell(recovery)
        await p.clock.sleep(5)
        kept.append(p.written(recovery))
        assert kept[0].talk.threads == {"slack": "slack:1"}

    async def second(p: Post) -> None:
        p.outbox.tell(kept[0].with_notes(note("r/2", "slack")))
        await p.clock.sleep(5)
        assert p.messages[0].thread == "slack:1"

    kept: list[Recovery] = []
    play(Post, first)
    play(Post, second)


def test_what_became_of_messages_is_written_once() -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    recovery = ill("r", note("a"), note("b"), talk=NotificationStatus(heard=("mail",), first_at=at))
    news = News(
        frozenset({"a"}),
        {"a": ("slack",), "b": ("pd",)},
        ("pd@crowd-x", "slack"),
        {"slack": "C:1"},
        ("mail: no",),
    )

    after = said(recovery, news, at + timedelta(minutes=1))

    assert [n.key for n in after.notes] == ["b"]
    assert after.notes[0].reached == ("pd",)
    assert after.talk == NotificationStatus(
        ("mail", "pd@crowd-x", "slack"),
        {"slack": "C:1"},
        at,
        at + timedelta(minutes=1),
        undelivered=("mail: no",),
    )


def incidents(p: Post) -> dict[str, bool]:
    """What stands open at the pager: by key, whether it does."""
    stand: dict[str, bool] = {}
    for message in p.messages:
        stand[message.incident] = not message.resolves
    return stand


@pytest.mark.parametrize("crowd_first", [True, False])
def test_whatever_was_opened_at_a_pager_is_closed_there(crowd_first: bool) -> None:
    async def script(p: Post) -> None:
        members = [ill(f"r{n}") for n in range(9)]

        async def say(what: str, *, apart: bool) -> None:
            for index, each in enumerate(members):
                told = each.with_notes(note(f"{each.name}/{what}", "pd"))
                p.outbox.tell(told)
                if apart:
                    await p.clock.sleep(60)
                members[index] = told
            await p.clock.sleep(60)
            members[:] = [p.written(each) for each in members]

        await say("first", apart=not crowd_first)
        await say("second", apart=crowd_first)
        p.sharers = {each.name for each in members}
        for each in members:
            p.sharers.discard(each.name)
            p.outbox.tell(
                structs.replace(each, phase=RecoveryPhase.Resolved).with_notes(
                    note(f"{each.name}/end", resolves=True)
                )
            )
            await p.clock.sleep(60)
        assert len(incidents(p)) >= 1
        assert [key for key, stands in incidents(p).items() if stands] == []

    play(Post, script)


def test_an_end_reaches_the_channel_that_was_told_however_long_it_is_dead() -> None:
    async def script(p: Post) -> None:
        recovery = ill("r", note("r/1", "pager"))
        p.outbox.tell(recovery)
        await p.clock.sleep(5)
        p.dead.add("pager")
        over = structs.replace(p.written(recovery), phase=RecoveryPhase.Resolved).with_notes(
            note("r/end", resolves=True)
        )
        p.outbox.tell(over)
        await p.clock.sleep(3600)
        assert p.got[1:] == [("mail", "r/end")], "the fallback knows"
        p.dead.clear()
        await p.clock.sleep(600)
        assert p.got[1:] == [("mail", "r/end"), ("pager", "r/end")], "and so does who was called"

    play(
        lambda: Post(pager=ReceiverOptions(group_wait=Duration(0), fallback="mail"), mail=AT_ONCE),
        script,
    )


def test_what_may_have_arrived_is_resolved_there_too() -> None:
    class Unsure(Post):
        async def send(self, url: str, message: Message) -> str:
            if url.endswith("pd") and not message.resolves:
                raise Undelivered("gave no answer", unsure=True)
            return await super().send(url, message)

    async def script(p: Post) -> None:
        recovery = ill("r", note("r/1", "pd"))
        p.outbox.tell(recovery)
        await p.clock.sleep(60)
        over = structs.replace(
            p.written(recovery), phase=RecoveryPhase.Resolved, notes=(note("r/end", resolves=True),)
        )
        p.outbox.tell(over)
        await p.clock.sleep(600)
        assert ("pd", "r/end") in p.got

    play(lambda: Unsure(pd=ReceiverOptions(fallback="mail"), mail=AT_ONCE), script)


def test_who_lost_the_shard_says_nothing_more_and_tells_it_when_it_comes_back() -> None:
    async def script(p: Post) -> None:
        recovery = ill("r", note("r/1", "pager"))
        p.outbox.tell(recovery)
        await p.clock.sleep(30)
        p.not_ours.add("r")
        p.dead.clear()
        await p.clock.sleep(600)
        assert p.got == []
        p.not_ours.clear()
        p.outbox.tell(recovery)
        await p.clock.sleep(60)
        assert p.got == [("pager", "r/1")]

    play(lambda: Post("pager"), script)


def test_an_end_is_said_after_a_trigger_on_its_way_also_when_it_is_silenced_meanwhile() -> None:
    async def script(p: Post) -> None:
        recovery = ill("r", note("r/1", "pager"))
        p.outbox.tell(recovery)
        await p.clock.sleep(30)
        p.silent = True
        p.outbox.tell(
            structs.replace(recovery, phase=RecoveryPhase.Resolved).with_notes(
                note("r/end", "pager", resolves=True)
            )
        )
        p.dead.clear()
        await p.clock.sleep(600)
        assert [key for _, key in p.got] == ["r/end"], "overtaken: what is over is not opened"

    play(lambda: Post("pager"), script)


def test_two_that_stand_in_for_each_other_lose_nothing() -> None:
    async def script(p: Post) -> None:
        p.outbox.tell(ill("r", note("r/1", "slack")))
        await p.clock.sleep(30)
        assert p.outbox.news("r").struck == frozenset(), "still owed"
        p.dead.clear()
        await p.clock.sleep(600)
        assert ("mail", "r/1") in p.got

    both = {
        "slack": ReceiverOptions(group_wait=Duration(0), fallback="mail"),
        "mail": ReceiverOptions(group_wait=Duration(0), fallback="slack"),
    }
    play(lambda: Post("slack", "mail", **both), script)


def test_a_pause_of_nothing_is_no_busy_loop() -> None:
    async def script(p: Post) -> None:
        p.pause = 0.0
        p.outbox.say(note("a", "slack"))
        await p.clock.sleep(60)
        assert p.tries < 10

    play(lambda: Post("slack"), script)


def test_a_message_that_a_channel_cannot_take_holds_up_no_other() -> None:
    class Choking(Post):
        async def send(self, url: str, message: Message) -> str:
            if message.incident == "bad":
                raise Undelivered("answered 500")
            return await super().send(url, message)

    async def script(p: Post) -> None:
        p.outbox.say(note("bad/1", "pd", severity="critical"))
        await p.clock.sleep(30)
        for n in range(3):
            p.outbox.say(note(f"good{n}/1", "pd", severity="critical"))
        await p.clock.sleep(600)
        assert {key for _, key in p.got} == {"good0/1", "good1/1", "good2/1"}

    play(Choking, script)


def test_what_nobody_foresaw_is_that_channels_failure_and_no_others() -> None:
    class Broken(Post):
        async def send(self, url: str, message: Message) -> str:
            if url == "slack":
                raise ZeroDivisionError
            return await super().send(url, message)

    async def script(p: Post) -> None:
        p.outbox.say(note("a", "slack", "pager"))
        await p.clock.sleep(60)
        assert p.got == [("pager", "a")]
        assert p.outbox.lanes()[0].why == "ZeroDivisionError"

    play(Broken, script)


def test_where_it_leads_cannot_be_asked_is_not_the_channels_fault() -> None:
    class Unread(Post):
        async def url(self, channel: str) -> str:
            if self.clock.now() < self.until:
                raise Unavailable("no answer")
            return channel

    async def script(p: Unread) -> None:
        p.until = p.clock.now() + timedelta(seconds=60)
        p.outbox.say(note("a", "slack"))
        await p.clock.sleep(90)
        assert p.got == [("slack", "a")], "and its fallback was not asked"

    play(lambda: Unread(slack=ReceiverOptions(fallback="mail")), script)  # type: ignore[arg-type]


def test_news_of_no_recovery_opens_no_incident_that_nobody_would_close() -> None:
    async def script(p: Post) -> None:
        p.outbox.say(note("policies/1", "pd", "slack"))
        await p.clock.sleep(60)
        assert p.got == [("slack", "policies/1")]

    play(Post, script)


def test_where_nothing_else_is_said_every_channel_of_the_secret_is_told() -> None:
    async def script(p: Post) -> None:
        p.every = ("pager", "slack")
        p.outbox.say(note("a"))
        await p.clock.sleep(60)

        assert sorted(p.got) == [("pager", "a"), ("slack", "a")]
        assert p.unheard == []

    play(Post, script)


def test_without_a_channel_at_all_nobody_hears_of_it() -> None:
    async def script(p: Post) -> None:
        p.outbox.say(note("a"))
        await p.clock.sleep(60)

        assert p.unheard == ["a"]

    play(Post, script)


def test_which_channels_there_are_is_asked_until_it_is_known() -> None:
    class Unread(Post):
        async def names(self) -> tuple[str, ...]:
            if self.clock.now() < self.until:
                raise Unavailable("no answer")
            return ("slack",)

    async def script(p: Unread) -> None:
        p.until = p.clock.now() + timedelta(seconds=60)
        p.outbox.say(note("a"))
        p.outbox.say(note("b"))
        await p.clock.sleep(50)
        assert (p.got, p.unheard) == ([], [])
        await p.clock.sleep(60)
        assert [key for _, key in p.got] == ["a", "b"]

    play(Unread, script)


def test_who_is_named_is_told_and_nobody_else() -> None:
    async def script(p: Post) -> None:
        p.every = ("pager", "slack")
        p.outbox.say(note("a", "slack"))
        await p.clock.sleep(60)

        assert p.got == [("slack", "a")]

    play(Post, script)
