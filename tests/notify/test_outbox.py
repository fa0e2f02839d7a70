"""Messages: at least once, each by its own way, never lost to an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from recovery.model.recovery import Note
from recovery.notify.outbox import Outbox
from recovery.notify.undelivered import Undelivered
from recovery.simulate import virtual
from tests.builders import NOW, a_recovery


class Post:
    """Receivers that can be dead, and what they got."""

    def __init__(self, *dead: str) -> None:
        self.dead = set(dead)
        self.got: list[tuple[str, str]] = []
        self.unheard: list[str] = []
        self.delivered: list[str] = []
        self.counted: list[tuple[str, str]] = []
        self.clock = virtual.VirtualClock()
        self.outbox = Outbox(
            self.send,
            self,
            self.clock,
            self.delivered.append,
            lambda note, _: self.unheard.append(note.key),
            lambda c, r: self.counted.append((c, r)),
        )

    async def url(self, channel: str) -> str:
        return "" if channel == "nowhere" else channel

    async def send(self, url: str, note: Note) -> None:
        if url in self.dead:
            raise Undelivered("dead")
        self.got.append((url, note.key))


def play(post: Callable[[], Post], script: Callable[[Post], Awaitable[None]]) -> None:
    async def inside() -> None:
        p = post()
        running = asyncio.create_task(p.outbox.run())
        try:
            await script(p)
        finally:
            running.cancel()

    virtual.run(inside())


def note(key: str, *channels: str) -> Note:
    return Note(key, key, "", channels=channels)


def test_a_trigger_that_its_resolve_overtook_is_dropped_and_does_not_open_the_incident_again() -> None:
    async def script(p: Post) -> None:
        p.outbox.say(note("shop-1/1/2", "pager"))
        await p.clock.sleep(120)
        p.outbox.say(Note("shop-1/resolve/a", "over", "", channels=("pager",), resolves=True))
        p.dead.clear()
        await p.clock.sleep(900)
        assert p.got == [("pager", "shop-1/resolve/a")]

        p.outbox.say(note("shop-1/2/2", "pager"))
        await p.clock.sleep(5)
        assert p.got[-1] == ("pager", "shop-1/2/2"), "a relapse is news"

    play(lambda: Post("pager"), script)


def test_the_same_key_is_the_same_message() -> None:
    async def script(p: Post) -> None:
        recovery = a_recovery("r", NOW, notes=(note("a", "slack"), note("a", "slack")))
        p.outbox.tell(recovery)
        p.outbox.tell(recovery)
        await p.clock.sleep(1)
        assert p.got == [("slack", "a")]
        assert p.delivered == ["r"]
        assert p.outbox.done("r") == {"a"}
        assert p.outbox.done("r") == {"a"}, "asking is not forgetting"
        p.outbox.forget("r", frozenset({"a"}))
        assert p.outbox.done("r") == frozenset()

    play(Post, script)


def test_a_dead_channel_holds_up_neither_other_channels_nor_other_messages() -> None:
    async def script(p: Post) -> None:
        for number in range(20):
            p.outbox.say(note(f"dead-{number}", "dead", "slack"))
        p.outbox.say(note("well", "slack"))
        await p.clock.sleep(2)
        assert len(p.got) == 21

    play(lambda: Post("dead"), script)


def test_an_outage_of_hours_loses_nothing() -> None:
    async def script(p: Post) -> None:
        p.outbox.tell(a_recovery("r", NOW, notes=(note("a", "slack"),)))
        await p.clock.sleep(6 * 3600)
        assert p.delivered == [], "still owed"
        p.dead.clear()
        await p.clock.sleep(600)
        assert p.got == [("slack", "a")]
        assert p.delivered == ["r"]
        assert ("slack", "delivered") in p.counted

    play(lambda: Post("slack"), script)


def test_where_nobody_listens_it_is_a_log_line_and_an_event() -> None:
    async def script(p: Post) -> None:
        p.outbox.say(note("a", "nowhere"))
        p.outbox.say(note("b"))
        p.outbox.default_channels = ("slack",)
        await p.clock.sleep(1)
        p.outbox.say(note("c"))
        await p.clock.sleep(1)
        assert p.unheard == ["a"] or p.unheard == ["a", "b"]
        assert ("slack", "c") in p.got

    play(Post, script)
