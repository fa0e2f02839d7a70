"""List and watch through every kind of trouble, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from recovery.kube.client import CONFIG_MAPS
from recovery.kube.errors import (
    Busy,
    Forbidden,
    Gone,
    KubeError,
    Late,
    NotFound,
    Unauthorized,
    Unavailable,
)
from recovery.observe.reflector import SILENCE, STALE, HistoryRewound, Reflector, State
from recovery.simulate import virtual
from recovery.simulate.cluster import Cluster

Item = dict[str, Any]


class Seen:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}

    def put(self, item: Item) -> None:
        self.items[item["metadata"]["name"]] = item

    def drop(self, namespace: str, name: str) -> None:
        self.items.pop(name, None)

    def keep_only(self, scope: str, names: set[tuple[str, str]]) -> None:
        self.items = {n: i for n, i in self.items.items() if (scope, n) in names}


class Flaky:
    """A cluster whose answers can be replaced."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.failures: list[KubeError] = []
        self.silent = False
        self.lists = 0

    async def list(self, *args: Any, **query: str) -> bytes:
        self.lists += 1
        if self.failures:
            raise self.failures.pop(0)
        return await self._cluster.list(*args, **query)

    @asynccontextmanager
    async def watch(
        self, *args: Any, silence: float, **query: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        if self.failures:
            raise self.failures.pop(0)
        async with self._cluster.watch(*args, silence=silence, **query) as lines:
            yield self._mute(silence) if self.silent else lines

    async def _mute(self, silence: float) -> AsyncIterator[bytes]:
        await asyncio.sleep(silence)
        raise Late("nothing was heard for 120 s")
        yield b""


def decode(raw: msgspec.Raw) -> Item:
    item: Item = msgspec.json.decode(raw)
    if item.get("data", {}).get("broken"):
        raise ValueError("broken on purpose")
    return item


def play(
    script: Callable[
        [Cluster, Flaky, Seen, Reflector[Item], virtual.VirtualClock], Awaitable[None]
    ],
) -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        for number in range(250):
            await cluster.create(CONFIG_MAPS, "x", {"metadata": {"name": f"m{number:03}"}})
        flaky, seen = Flaky(cluster), Seen()
        reflector: Reflector[Item] = Reflector(flaky, CONFIG_MAPS, "x", decode, seen, clock)  # type: ignore[arg-type]
        running = asyncio.create_task(reflector.run())
        await clock.sleep(1)
        try:
            await script(cluster, flaky, seen, reflector, clock)
        finally:
            running.cancel()

    virtual.run(inside())


def test_pages_are_listed_and_changes_followed() -> None:
    async def script(
        cluster: Cluster,
        flaky: Flaky,
        seen: Seen,
        reflector: Reflector[Item],
        clock: virtual.VirtualClock,
    ) -> None:
        assert len(seen.items) == 250
        assert flaky.lists == 3
        await cluster.patch(CONFIG_MAPS, "x", "m001", {"data": {"a": "b"}})
        await cluster.delete(CONFIG_MAPS, "x", "m002")
        await cluster.create(CONFIG_MAPS, "x", {"metadata": {"name": "new"}})
        await clock.sleep(1)
        assert seen.items["m001"]["data"] == {"a": "b"}
        assert "m002" not in seen.items
        assert "new" in seen.items
        assert (reflector.state, reflector.fresh, flaky.lists) == (State.Watching, True, 3)

    play(script)


def test_bookmarks_keep_a_quiet_stream_fresh() -> None:
    async def script(
        cluster: Cluster,
        flaky: Flaky,
        seen: Seen,
        reflector: Reflector[Item],
        clock: virtual.VirtualClock,
    ) -> None:
        for _ in range(100):
            await clock.sleep(60)
            assert reflector.fresh
        assert flaky.lists == 3

    play(script)


def test_410_lists_again_and_drops_what_went_meanwhile() -> None:
    async def script(
        cluster: Cluster,
        flaky: Flaky,
        seen: Seen,
        reflector: Reflector[Item],
        clock: virtual.VirtualClock,
    ) -> None:
        flaky.failures = [Unavailable("reset")]
        cluster.compact()
        await clock.sleep(0.01)
        await cluster.delete(CONFIG_MAPS, "x", "m007")
        cluster.compact()
        await clock.sleep(10)
        assert "m007" not in seen.items
        assert len(seen.items) == 249
        assert reflector.state is State.Watching

    play(script)


def test_a_continue_token_that_expires_starts_the_list_anew() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster, seen = Cluster(clock), Seen()
        for number in range(150):
            await cluster.create(CONFIG_MAPS, "x", {"metadata": {"name": f"m{number:03}"}})
        flaky = Flaky(cluster)
        asked: list[str] = []

        async def listing(*args: Any, **query: str) -> bytes:
            asked.append(query.get("continue", ""))
            if len(asked) == 2:
                raise Gone("the provided continue parameter is too old", 410)
            return await cluster.list(*args, **query)

        flaky.list = listing  # type: ignore[method-assign]
        running = asyncio.create_task(Reflector(flaky, CONFIG_MAPS, "x", decode, seen, clock).run())  # type: ignore[arg-type]
        await clock.sleep(5)
        running.cancel()
        assert asked == ["", "100", "", "100"]
        assert len(seen.items) == 150

    virtual.run(inside())


def test_a_watch_that_goes_silent_is_noticed_and_not_acted_upon() -> None:
    async def script(
        cluster: Cluster,
        flaky: Flaky,
        seen: Seen,
        reflector: Reflector[Item],
        clock: virtual.VirtualClock,
    ) -> None:
        flaky.silent = True
        cluster.compact()
        await clock.sleep(1)
        stale_after = 0.0
        with capture_logs() as logged:
            await clock.sleep(3 * SILENCE)
        assert [line for line in logged if line["log_level"] == "warning"] == [], (
            "a kind that nobody changes is no news"
        )
        while reflector.fresh and stale_after < 1000:
            await clock.sleep(
                0.1
                # it is broken for half a second at least: looked at once a second, that can be
                # missed
            )
            stale_after += 0.1
        assert stale_after <= STALE
        flaky.silent = False
        await cluster.patch(CONFIG_MAPS, "x", "m001", {"data": {"after": "silence"}})
        await clock.sleep(60)
        assert reflector.fresh
        assert seen.items["m001"]["data"] == {"after": "silence"}

    play(script)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Unavailable("connection refused"), id="no connection"),
        pytest.param(Unavailable("500", 500), id="500"),
        pytest.param(Unauthorized("token expired", 401), id="expired token"),
        pytest.param(Forbidden("may not", 403), id="forbidden"),
        pytest.param(NotFound("no such kind", 404), id="CRD missing"),
    ],
)
def test_trouble_is_survived_and_shown(error: KubeError) -> None:
    async def script(
        cluster: Cluster,
        flaky: Flaky,
        seen: Seen,
        reflector: Reflector[Item],
        clock: virtual.VirtualClock,
    ) -> None:
        flaky.failures = [error] * 5
        cluster.compact()
        await clock.sleep(0.5)
        assert not reflector.fresh
        assert str(error) in reflector.error
        await cluster.create(CONFIG_MAPS, "x", {"metadata": {"name": "meanwhile"}})
        await clock.sleep(60)
        assert reflector.fresh
        assert reflector.error == ""
        assert "meanwhile" in seen.items

    play(script)


def test_429_is_obeyed() -> None:
    async def script(
        cluster: Cluster,
        flaky: Flaky,
        seen: Seen,
        reflector: Reflector[Item],
        clock: virtual.VirtualClock,
    ) -> None:
        flaky.failures = [Busy("slow down", 429, retry_after=40)]
        before = flaky.lists
        cluster.compact()
        await clock.sleep(30)
        assert flaky.lists == before + 1
        await clock.sleep(30)
        assert reflector.fresh

    play(script)


def test_a_page_that_is_refused_is_asked_for_again_and_not_the_whole_list() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster, seen = Cluster(clock), Seen()
        for number in range(950):
            await cluster.create(CONFIG_MAPS, "x", {"metadata": {"name": f"m{number:03}"}})
        asked: list[str] = []

        class Refusing(Flaky):
            async def list(self, *args: Any, **query: str) -> bytes:
                asked.append(query.get("continue", ""))
                if len(asked) % 3 == 0:
                    raise (Busy("slow down", 429) if len(asked) % 2 else Unavailable("503", 503))
                return await cluster.list(*args, **query)

        reflector: Reflector[Item] = Reflector(
            Refusing(cluster), CONFIG_MAPS, "x", decode, seen, clock
        )  # type: ignore[arg-type]
        running = asyncio.create_task(reflector.run())
        await clock.sleep(300)
        running.cancel()
        assert len(seen.items) == 950
        assert asked.count("") == 1
        assert len(asked) <= 16

    virtual.run(inside())


def test_connections_that_are_reset_every_minute_leave_it_fresh() -> None:
    async def script(
        cluster: Cluster,
        flaky: Flaky,
        seen: Seen,
        reflector: Reflector[Item],
        clock: virtual.VirtualClock,
    ) -> None:
        class Resetting(Flaky):
            @asynccontextmanager
            async def watch(
                self, *args: Any, silence: float, **query: str
            ) -> AsyncIterator[AsyncIterator[bytes]]:
                async def minute(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
                    yield await anext(lines)
                    await asyncio.sleep(10)
                    raise Unavailable("reset")

                async with cluster.watch(*args, silence=silence, **query) as lines:
                    yield minute(lines)

        other: Reflector[Item] = Reflector(
            Resetting(cluster), CONFIG_MAPS, "x", decode, seen, clock
        )  # type: ignore[arg-type]
        running = asyncio.create_task(other.run())
        stale = 0
        for _ in range(3600):
            await clock.sleep(1)
            stale += not other.fresh
        running.cancel()
        assert stale < 120

    play(script)


def test_a_kind_that_need_not_be_installed() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock, absent=("configmaps",))
        reflector: Reflector[Item] = Reflector(
            cluster, CONFIG_MAPS, "x", decode, Seen(), clock, optional=True
        )
        running = asyncio.create_task(reflector.run())
        await clock.sleep(5)
        assert (reflector.state, reflector.fresh) == (State.Absent, True)
        cluster.install("configmaps")
        await clock.sleep(120)
        assert reflector.state is State.Watching
        running.cancel()

    virtual.run(inside())


def test_one_bad_object_does_not_cost_the_others() -> None:
    async def script(
        cluster: Cluster,
        flaky: Flaky,
        seen: Seen,
        reflector: Reflector[Item],
        clock: virtual.VirtualClock,
    ) -> None:
        await cluster.patch(CONFIG_MAPS, "x", "m003", {"data": {"broken": "yes"}})
        await clock.sleep(1)
        assert "m003" not in seen.items
        assert reflector.unreadable == {"x/m003": "broken on purpose"}
        await cluster.patch(CONFIG_MAPS, "x", "m003", {"data": {"broken": None}})
        await clock.sleep(1)
        assert "m003" in seen.items
        assert reflector.unreadable == {}

    play(script)


def test_a_truncated_event_breaks_the_stream_and_not_the_process() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster, seen = Cluster(clock), Seen()
        await cluster.create(CONFIG_MAPS, "x", {"metadata": {"name": "m"}})
        flaky = Flaky(cluster)
        broken = [True]

        @asynccontextmanager
        async def watch(
            *args: Any, silence: float, **query: str
        ) -> AsyncIterator[AsyncIterator[bytes]]:
            async def half() -> AsyncIterator[bytes]:
                yield json.dumps({"type": "ADDED", "object": {"metadata": {"name": "n"}}}).encode()[
                    :20
                ]

            if broken.pop() if broken else False:
                yield half()
                return
            async with cluster.watch(*args, silence=silence, **query) as lines:
                yield lines

        flaky.watch = watch  # type: ignore[method-assign]
        reflector: Reflector[Item] = Reflector(flaky, CONFIG_MAPS, "x", decode, seen, clock)  # type: ignore[arg-type]
        running = asyncio.create_task(reflector.run())
        await clock.sleep(5)
        assert reflector.fresh
        assert reflector.restarts == 1
        running.cancel()

    virtual.run(inside())


def test_a_watch_that_stands_and_is_silent_is_opened_again_at_once() -> None:
    async def script(
        cluster: Cluster,
        flaky: Flaky,
        seen: Seen,
        reflector: Reflector[Item],
        clock: virtual.VirtualClock,
    ) -> None:
        flaky.silent = True
        tasks = asyncio.create_task(reflector.run())
        blind = 0
        for _ in range(3600):
            await clock.sleep(1)
            blind += not reflector.fresh
        tasks.cancel()
        assert blind < 60, f"{blind}s of an hour"

    play(script)


def test_an_etcd_that_was_restored_is_noticed_when_the_watch_is_opened_again() -> None:
    """The API server takes a watch from a later version than it has, and says nothing: seen from
    outside all is well."""

    async def inside() -> None:
        clock = virtual.VirtualClock()
        cluster, seen = Cluster(clock), Seen()
        await cluster.create(CONFIG_MAPS, "x", {"metadata": {"name": "m"}, "data": {"is": "old"}})
        backup = cluster.backup()
        reflector: Reflector[Item] = Reflector(
            Flaky(cluster), CONFIG_MAPS, "x", decode, seen, clock
        )  # type: ignore[arg-type]
        running = asyncio.create_task(reflector.run())
        await clock.sleep(1)
        for number in range(20):
            await cluster.patch(CONFIG_MAPS, "x", "m", {"data": {"is": str(number)}})
        await clock.sleep(1)
        assert seen.items["m"]["data"] == {"is": "19"}

        cluster.restore(backup)
        await clock.sleep(5)
        assert not reflector.fresh, "nothing is done while it is not known whose history this is"
        assert not running.done()
        await clock.sleep(30)

        with pytest.raises(
            HistoryRewound, match=r"configmaps in x: resourceVersion \d+, after \d+"
        ):
            await running

    virtual.run(inside())


def test_an_answer_that_is_behind_once_or_twice_is_no_proof_of_it() -> None:
    async def script(
        cluster: Cluster,
        flaky: Flaky,
        seen: Seen,
        reflector: Reflector[Item],
        clock: virtual.VirtualClock,
    ) -> None:
        class Behind(Flaky):
            old = 0

            async def list(self, *args: Any, **query: str) -> bytes:
                answer = await super().list(*args, **query)
                if query.get("limit") == "1" and self.old < 3:
                    self.old += 1
                    return b'{"metadata": {"resourceVersion": "1"}, "items": []}'
                return answer

            @asynccontextmanager
            async def watch(
                self, *args: Any, silence: float, **query: str
            ) -> AsyncIterator[AsyncIterator[bytes]]:
                if self.failures:
                    raise self.failures.pop(0)
                async with super().watch(*args, silence=silence, **query) as lines:
                    yield lines

        items, behind = Seen(), Behind(cluster)
        behind.failures = []
        other: Reflector[Item] = Reflector(behind, CONFIG_MAPS, "x", decode, items, clock)  # type: ignore[arg-type]
        running = asyncio.create_task(other.run())
        await clock.sleep(1)
        behind.failures = [Unavailable("reset")]
        cluster.compact()
        await clock.sleep(60)

        assert not running.done()
        assert other.fresh
        running.cancel()

    play(script)


def test_an_older_event_alone_is_no_proof_of_it() -> None:
    """One API server of several may lag behind: what counts is what it says when it is asked."""

    async def script(
        cluster: Cluster,
        flaky: Flaky,
        seen: Seen,
        reflector: Reflector[Item],
        clock: virtual.VirtualClock,
    ) -> None:
        class Lagging(Flaky):
            @asynccontextmanager
            async def watch(
                self, *args: Any, silence: float, **query: str
            ) -> AsyncIterator[AsyncIterator[bytes]]:
                async def old(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
                    if not self.lists % 2:
                        yield b'{"type": "MODIFIED", "object": {"metadata": {"name": "m001", "namespace": "x", "resourceVersion": "1"}}}'
                    async for line in lines:
                        yield line

                async with cluster.watch(*args, silence=silence, **query) as lines:
                    yield old(lines)

        items = Seen()
        other: Reflector[Item] = Reflector(Lagging(cluster), CONFIG_MAPS, "x", decode, items, clock)  # type: ignore[arg-type]
        running = asyncio.create_task(other.run())
        await clock.sleep(60)
        await cluster.patch(CONFIG_MAPS, "x", "m001", {"data": {"a": "b"}})
        await clock.sleep(60)
        assert not running.done()
        assert items.items["m001"]["data"] == {"a": "b"}
        running.cancel()

    play(script)
