"""The embedded API server's watch tells everything, whenever it happens."""

from __future__ import annotations

import asyncio

import msgspec

from recovery.kube.client import CONFIG_MAPS
from recovery.simulate import virtual
from recovery.simulate.cluster import BOOKMARK_EVERY, Cluster


def test_what_happens_while_a_bookmark_is_read_is_told_afterwards() -> None:
    async def script() -> None:
        clock = virtual.VirtualClock()
        cluster = Cluster(clock)
        async with cluster.watch(CONFIG_MAPS, "shop", "", silence=0) as lines:
            first = msgspec.json.decode(await anext(lines))
            assert (first["type"], clock.monotonic() >= BOOKMARK_EVERY) == ("BOOKMARK", True)
            await cluster.create(CONFIG_MAPS, "shop", {"metadata": {"name": "late"}})
            await asyncio.sleep(1)  # virtual: the reader has other things to do

            told = msgspec.json.decode(await anext(lines))
            assert told["object"]["metadata"]["name"] == "late"

    virtual.run(asyncio.wait_for(script(), 300))
