"""List, then watch, for ever: one kind of object in one namespace, mirrored into a store."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from enum import Enum
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from recovery.clock import Clock
from recovery.kube.client import Client, Resource
from recovery.kube.errors import Busy, Gone, KubeError, Late, NotFound, Unavailable
from recovery.kube.reading import older
from recovery.observe import wire

log = structlog.get_logger(__name__)

LIST_PAGE = 100
"""Objects a list page: 10,000 of 26 KB would be 260 MB in one."""
SILENCE = 120.0
"""Seconds without a line after which a watch counts as dead; the API server sends a bookmark each
minute or so."""
SHORTEST_WATCH = 5.0
"""Seconds that a watch without an event has to last to be one: an API server ends it after
minutes."""
CERTAIN = 5
"""Answers in a row, seconds apart, that say that the API server has counted less far: one alone may
come from a cache."""
TURN = 0.05
"""Seconds that one stream reads without a break."""
STALE = 150.0
"""Seconds without a sign of life after which what we hold may not be acted upon."""

T = TypeVar("T")
In = TypeVar("In", contravariant=True)


class HistoryRewound(Exception):
    """The API server has counted less far than it had: its etcd was restored from a backup. What we
    hold is of a history that never was, and what is told of from here on has numbers that were used
    before; nothing of it can be brought up to now."""


class State(Enum):
    """State of a stream: listing, watching or broken."""

    Listing = "Listing"
    Watching = "Watching"
    Broken = "Broken"
    Absent = "Absent"
    """The kind is not installed; that is final knowledge too."""


class Sink(Protocol[In]):
    """The cache that a reflector fills. All of it is synchronous."""

    def put(self, item: In) -> None:
        """Add or update an object."""

    def drop(self, namespace: str, name: str) -> None:
        """Remove an object."""

    def keep_only(self, scope: str, names: set[tuple[str, str]]) -> None:
        """After a whole list: what is not named here is gone. ``scope`` is the namespace listed,
        empty for all."""


class Reflector(Generic[T]):
    """One stream. ``fresh`` says whether what it filled may be acted upon."""

    def __init__(
        self,
        client: Client,
        what: Resource,
        namespace: str,
        decode: Callable[[msgspec.Raw], T],
        sink: Sink[T],
        clock: Clock,
        *,
        optional: bool = False,
        **query: str,
    ) -> None:
        self._client = client
        self._what = what
        self._namespace = namespace
        self._decode = decode
        self._sink = sink
        self._clock = clock
        self._optional = optional
        self._query = query
        self._version = ""
        self._doubted = False
        """An event came that was older than what we hold."""
        self._behind = 0
        """How often in a row the API server had counted less far than we have."""
        self._listed_now = False
        """The version is of a list that was just made."""
        self._heard = clock.monotonic()
        self.state = State.Listing
        self.listed = False
        """One whole list has been taken in."""
        self.error = ""
        self.unreadable: dict[str, str] = {}
        """Objects that could not be decoded, and why; at most 100 are named."""
        self.restarts = 0
        self._failures = 0
        self._events = 0
        """Of the watch that is open, or was last."""
        self._logged = ""
        """What was last logged of a failure that goes on."""

    @property
    def name(self) -> str:
        """Name of the stream, as ``applications in argocd``."""
        return f"{self._what.plural} in {self._namespace or 'all namespaces'}"

    @property
    def age(self) -> float:
        """Seconds since the last sign of life."""
        return self._clock.monotonic() - self._heard

    @property
    def fresh(self) -> bool:
        """Listed once, and heard from lately."""
        return self.state is State.Absent or (
            self.listed and self.age < STALE and self.state is not State.Broken
        )

    @property
    def stale(self) -> str:
        """Why what it filled may not be acted upon; empty when it may."""
        if self.fresh:
            return ""
        return (
            f"{self.name}: last heard of {self.age:.0f}s ago"
            if self.listed
            else f"{self.name}: not listed yet"
        )

    async def run(self) -> None:
        """Until cancelled. Every failure is logged once, waited for with a growing pause, and
        survived, but for HistoryRewound."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                await self._clock.sleep(
                    0.1
                )  # a server that ends every watch at once is not asked in a hot loop
            except Gone as error:
                self._version = ""
                self.restarts += 1
                log.info("listing again", stream=self.name, why=str(error))
                await self._clock.sleep(min(30.0, 0.1 * 2 ** min(self._failures, 9)))
                self._failures += 1
            except (Unavailable, Busy) as error:
                await self._pause(error)
            except KubeError as error:
                self._version = ""
                await self._pause(error)

    async def _list(self) -> None:
        self.state = State.Listing if not self.listed else self.state
        seen: set[tuple[str, str]] = set()
        more, version = "", ""
        while True:
            page = await self._page(more)
            self._alive()
            version = page.metadata.resource_version or version
            for item in page.items:
                seen.add(self._take(item))
            more = page.metadata.more
            if not more:
                break
        self._sink.keep_only(self._namespace, seen)
        self._version, self._listed_now = version, True
        self.listed = True
        log.info("listed", stream=self.name, objects=len(seen), unreadable=len(self.unreadable))

    async def _page(self, more: str) -> wire.Page:
        """One page, asked for again where the API server is busy or away: the pages before it need
        not be."""
        query = {"limit": str(LIST_PAGE), **self._query, **({"continue": more} if more else {})}
        while True:
            try:
                return wire.listed(await self._client.list(self._what, self._namespace, **query))
            except (Busy, Unavailable) as error:
                await self._pause(error)
            except wire.Unreadable as error:
                await self._pause(Unavailable(f"a page that cannot be read: {error}"))

    async def _same_history(self) -> None:
        """Ask, before a watch is opened again, how far the API server has counted. One whose etcd
        was restored takes a watch from a later version and is silent until it has come that far,
        which may be days: nothing on the watch tells of it."""
        if self._listed_now:
            self._listed_now = False
            return
        try:
            page = wire.listed(
                await self._client.list(self._what, self._namespace, limit="1", **self._query)
            )
        except wire.Unreadable as error:
            raise Unavailable(f"a page that cannot be read: {error}") from error
        if not older(now := page.metadata.resource_version, self._version):
            self._behind = 0
            if self._doubted:
                self._doubted = False
                raise Gone(
                    "an event was older than what was told before it: nothing is to be missed", 410
                )
            return
        self._behind += 1
        words = f"resourceVersion {now}, after {self._version}"
        if self._behind >= CERTAIN:
            raise HistoryRewound(f"{self.name}: {words}")
        raise Unavailable(
            f"it has counted less far than before ({words}): asked again"
        )  # one of several may be behind

    async def _watch(self) -> None:
        await self._same_history()
        before, self._events = self._heard, 0
        begun = self._clock.monotonic()
        try:
            async with self._client.watch(
                self._what, self._namespace, self._version, silence=SILENCE, **self._query
            ) as lines:
                # A quiet kind has no lines, and no bookmarks either where its resourceVersion
                # stands still (seen on 1.34): that the API server lets us in again, after every
                # silence, is then the only sign of life there is.
                self._alive()
                self.state, self.error = State.Watching, ""
                await self._read(lines)
            if not self._events and self._clock.monotonic() - begun < SHORTEST_WATCH:
                raise Unavailable("the watch was ended at once, without an event")
        except Unavailable:
            if self._clock.monotonic() - begun >= SHORTEST_WATCH:
                # it stood: silence, too, ends a watch, and is no failure that the next one would
                # wait longer for
                self._failures = 0
            elif not self._events:
                # what let us in and had nothing to say may have been anybody: no sign of life
                self._heard = before
            raise
        self._logged = ""

    async def _read(self, lines: AsyncIterator[bytes]) -> None:
        turned = self._clock.monotonic()
        async for line in lines:
            self._event(line)
            self._alive()
            self._events += 1
            self._failures, self._logged = 0, ""
            if self._heard - turned > TURN:
                # What has arrived already is read without waiting: in a burst, nothing else would
                # have its turn.
                await self._clock.sleep(0)
                turned = self._clock.monotonic()

    def _event(self, line: bytes) -> None:
        try:
            event = wire.event(line)
            told = wire.identity(event.object)
        except wire.Unreadable as error:
            raise Unavailable(f"a broken watch event: {error}") from error
        if event.type == "ERROR":
            raise (Gone if told.code == 410 else Unavailable)(told.message, told.code)
        meta = told.metadata
        if older(meta.resource_version, self._version):
            # Whose history is this? If it is still ours, something may have been missed.
            self._doubted = True
            raise Unavailable(
                f"an event of resourceVersion {meta.resource_version} after {self._version}"
            )
        if event.type == "DELETED":
            self.unreadable.pop(f"{meta.namespace}/{meta.name}", None)
            self._sink.drop(meta.namespace, meta.name)
        elif event.type in ("ADDED", "MODIFIED"):
            self._take(event.object)
        self._version = meta.resource_version or self._version

    def _take(self, raw: msgspec.Raw) -> tuple[str, str]:
        try:
            meta = wire.identity(raw).metadata
        except wire.Unreadable as error:
            log.warning("an object without a name", stream=self.name, why=str(error))
            return ("", "")
        key = (meta.namespace, meta.name)
        try:
            item = self._decode(raw)
        except wire.Unreadable as error:
            self._left_alone(key, str(error))
            log.warning(
                "cannot be read, and is left alone",
                stream=self.name,
                object=f"{meta.namespace}/{meta.name}",
                why=str(error),
            )
            return key
        self.unreadable.pop(f"{meta.namespace}/{meta.name}", None)
        try:
            self._sink.put(item)
        except Exception as error:
            # What nobody foresaw in one object must not end the stream of all others.
            self._left_alone(key, f"{type(error).__name__}: {error}")
            log.exception(
                "cannot be taken in", stream=self.name, object=f"{meta.namespace}/{meta.name}"
            )
        return key

    def _left_alone(self, key: tuple[str, str], why: str) -> None:
        if len(self.unreadable) < 100:
            self.unreadable["/".join(key)] = why
        with suppress(Exception):
            self._sink.drop(*key)

    def _alive(self) -> None:
        self._heard = self._clock.monotonic()

    async def _pause(self, error: KubeError) -> None:
        if isinstance(error, NotFound) and self._optional:
            self.state, self.listed = State.Absent, True
            await self._clock.sleep(60)
            return
        self.state, self.error = State.Broken, str(error)
        self.restarts += 1
        if not isinstance(error, Late):  # a kind that nobody changes is silent: that is no news
            if not self._logged:
                log.warning("stream broken, will try again", stream=self.name, why=self.error)
            self._logged = self.error
        wait = (
            error.retry_after
            if isinstance(error, Busy) and error.retry_after
            else min(30.0, 0.5 * 2 ** min(self._failures, 6))
        )
        self._failures += 1
        await self._clock.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 (spreads load, guards nothing)
