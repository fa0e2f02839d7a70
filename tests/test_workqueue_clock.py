from __future__ import annotations

import asyncio
from datetime import timedelta

from recovery.model.names import SubjectKey
from recovery.simulate import virtual
from recovery.workqueue import WorkQueue

A, B = SubjectKey("application", "x", "a"), SubjectKey("application", "x", "b")


class Set(virtual.VirtualClock):
    jump = timedelta()

    def now(self):
        return super().now() + self.jump


def test_news_wakes_a_worker_also_after_the_wall_clock_was_set_forward() -> None:
    async def inside() -> None:
        clock = Set()
        queue = WorkQueue(clock)
        queue.add(A, clock.now() + timedelta(minutes=10))
        waiting = asyncio.create_task(queue.get())
        await clock.sleep(1)
        clock.jump = timedelta(hours=1)  # NTP, or a machine that slept
        began = clock.monotonic()
        queue.add(B)
        await waiting
        assert clock.monotonic() - began < 1, f"{clock.monotonic() - began} s"

    virtual.run(inside())
