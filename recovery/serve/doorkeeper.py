"""Connections of strangers: how many, from whom, and for how long without asking anything.

aiohttp reads requests; it sets no bound on connections that send nothing, half a header, or read no
answer. Each of these would keep one open file of ours for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web

MAX_CONNECTIONS, MOST_EACH = 768, 250
"""Connections in all, and of one address: all pages behind one ingress come from one. The kubelet's
probes are new ones, and whoever has most makes room for them."""
IDLE = 15.0
"""Seconds without a whole request, at the start or after an answer, after which a connection is
closed."""
REQUEST_TIMEOUT = 60.0
"""Seconds for one request and its answer; event streams are told apart by ``lasting``."""
SWEEP = 2.0
"""Seconds between two looks for those that are late."""

Factory = Callable[[], asyncio.Protocol]


class _Watched(asyncio.Protocol):
    """One connection: everything is handed on to who reads requests from it."""

    def __init__(self, inner: asyncio.Protocol, keeper: Doorkeeper) -> None:
        self._inner = inner
        self._keeper = keeper
        self.transport: asyncio.Transport | None = None
        self.peer = ""
        self.since = time.monotonic()
        """When it was opened, its request began, or its last one was answered."""
        self.asking = False
        self.lasting = False
        """An event stream: it is meant to last."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) and name else "local"
        self._inner.connection_made(transport)
        self._keeper.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._keeper.closed(self)
        self._inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    @property
    def late(self) -> bool:
        """Has the connection had its time without a request?"""
        waited = time.monotonic() - self.since
        return waited > REQUEST_TIMEOUT and not self.lasting if self.asking else waited > IDLE

    def abort(self) -> None:
        """Close it now, without a word."""
        if self.transport is not None:
            self.transport.abort()


class Doorkeeper:
    """Counts and closes. ``factory`` is handed to the event loop in the server's place."""

    def __init__(self) -> None:
        self._by_peer: defaultdict[str, dict[_Watched, None]] = defaultdict(dict)
        self._by_transport: dict[asyncio.BaseTransport, _Watched] = {}

    def __len__(self) -> int:
        return len(self._by_transport)

    def guard(self, server: Factory) -> Factory:
        """Factory that makes a protocol for each connection, with this one before it."""
        return lambda: _Watched(server(), self)

    def opened(self, one: _Watched) -> None:
        """Register a connection; if that is one too many, whoever waits longest goes, of this
        address or of the one that has most."""
        assert one.transport is not None  # noqa: S101 (set just before)
        mine = self._by_peer[one.peer]
        mine[one] = None
        self._by_transport[one.transport] = one
        if len(mine) > MOST_EACH:
            self._make_room(mine, one)
        elif len(self) > MAX_CONNECTIONS:
            largest = max(self._by_peer.values(), key=len)
            self._make_room(largest, one if largest is mine else None)

    def closed(self, one: _Watched) -> None:
        """Forget a connection that has ended."""
        mine = self._by_peer.get(one.peer, {})
        mine.pop(one, None)
        if not mine:
            self._by_peer.pop(one.peer, None)
        if one.transport is not None:
            self._by_transport.pop(one.transport, None)

    def _make_room(self, among: dict[_Watched, None], new: _Watched | None) -> None:
        """The oldest that asks nothing, else the newcomer of the same address: what is being
        answered is not cut off for it. For somebody else's newcomer (``new`` is None) one of those
        that have most goes in any case, event streams last: they come again.
        """
        idle = next((each for each in among if not each.asking and each is not new), None)
        gone = (
            idle
            or new
            or next((each for each in among if not each.lasting), None)
            or next(iter(among))
        )
        self.closed(gone)
        gone.abort()

    @web.middleware
    async def counted(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """While a request is answered its connection is at work."""
        one = self._by_transport.get(request.transport) if request.transport is not None else None
        if one is None:
            return await handler(request)
        if (
            not request.body_exists
        ):  # else it is still to be sent, and whoever lets us wait for it asks nothing yet
            one.asking, one.since = True, time.monotonic()
        try:
            return await handler(request)
        finally:
            # The answer is written after this; the longest one there is has the same time as a
            # request.
            one.asking, one.lasting, one.since = False, False, time.monotonic()

    def lasts(self, request: web.Request) -> None:
        """This request is answered by an event stream."""
        one = self._by_transport.get(request.transport) if request.transport is not None else None
        if one is not None:
            one.lasting = True

    async def run(self) -> None:
        """Close what is late, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP)
            for one in [one for one in self._by_transport.values() if one.late]:
                one.abort()
