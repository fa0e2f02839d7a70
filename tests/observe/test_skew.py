"""Argo CD's clock and ours."""

from __future__ import annotations

from datetime import timedelta

from recovery.observe.skew import BUCKET, Skew
from recovery.simulate import virtual


def test_the_youngest_stamp_that_changed_tells_how_far_the_clocks_are_apart() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        skew = Skew(clock)
        assert skew.behind == timedelta(), "nothing is known, and nothing is assumed"
        for age in (90, 40, 7200):
            skew.arrived(clock.now() - timedelta(minutes=age))
        assert skew.behind == timedelta(minutes=40)
        skew.arrived(clock.now() + timedelta(hours=1))
        assert skew.behind == timedelta(), "a stamp of the future makes nothing older"
        skew.jumped(timedelta(hours=2))
        assert skew.behind == timedelta(hours=2)
        skew.arrived(clock.now() - timedelta(seconds=2))
        assert skew.behind == timedelta(seconds=2)
        await clock.sleep(2 * BUCKET)
        skew.arrived(clock.now() - timedelta(minutes=30))
        await clock.sleep(2 * BUCKET)
        skew.arrived(clock.now() - timedelta(minutes=31))
        assert skew.behind == timedelta(minutes=30), (
            "what is longer ago than two buckets says nothing any more"
        )

    virtual.run(inside())
