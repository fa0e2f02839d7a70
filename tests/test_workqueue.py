"""The queue: keyed, delaying, one key in work once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from recovery.model.names import SubjectKey
from recovery.simulate import virtual
from recovery.workqueue import WorkQueue

A, B = SubjectKey("application", "x", "a"), SubjectKey("application", "x", "b")


def test_the_earliest_time_of_a_key_wins() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        queue = WorkQueue(clock)
        queue.add(A, clock.now() + timedelta(minutes=5))
        queue.add(A, clock.now() + timedelta(minutes=1))
        queue.add(A, clock.now() + timedelta(minutes=9))
        assert len(queue) == 1
        began = clock.now()
        assert await queue.get() == A
        assert round((clock.now() - began).total_seconds()) == 60

    virtual.run(inside())


def test_a_key_in_work_is_handed_out_again_only_when_it_is_done() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        queue = WorkQueue(clock)
        queue.add(A)
        assert await queue.get() == A
        queue.add(A)
        queue.add(B)
        assert await queue.get() == B
        again = asyncio.create_task(queue.get())
        await clock.sleep(100)
        assert not again.done()
        queue.done(A)
        assert await again == A

    virtual.run(inside())


def test_news_wakes_a_sleeper() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        queue = WorkQueue(clock)
        queue.add(A, clock.now() + timedelta(hours=1))
        waiting = asyncio.create_task(queue.get())
        await clock.sleep(1)
        queue.add(B)
        assert await waiting == B

    virtual.run(inside())


def test_adding_again_and_again_does_not_grow() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        queue = WorkQueue(clock)
        for seconds in range(50_000, 0, -1):
            queue.add(A, clock.now() + timedelta(seconds=seconds))
        assert len(queue) == 1
        assert len(queue._heap) <= 70

    virtual.run(inside())


def test_of_many_that_wait_each_gets_one_and_none_is_lost() -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        queue = WorkQueue(clock)
        keys = [SubjectKey("application", "argocd", f"w-{n}") for n in range(12)]
        workers = [asyncio.create_task(queue.get()) for _ in range(8)]
        await clock.sleep(1)
        for n, key in enumerate(keys):
            queue.add(key, clock.now() + timedelta(seconds=n // 4))
        await clock.sleep(0.5)
        assert sorted(str(w.result()) for w in workers if w.done()) == sorted(map(str, keys[:4]))
        await clock.sleep(1)
        assert {w.result() for w in workers} == set(keys[:8])
        assert len(queue) == 4

    virtual.run(inside())


@pytest.mark.parametrize("woken", [False, True])
def test_a_worker_that_ends_takes_neither_a_key_nor_the_time_with_it(woken: bool) -> None:
    async def inside() -> None:
        clock = virtual.VirtualClock()
        queue = WorkQueue(clock)
        workers = [asyncio.create_task(queue.get()) for _ in range(3)]
        await clock.sleep(1)
        queue.add(A, clock.now() + timedelta(seconds=5))
        if not woken:
            await clock.sleep(1)
        workers[0].cancel()
        await clock.sleep(1)
        queue.add(B)
        await clock.sleep(10)
        assert {w.result() for w in workers[1:]} == {A, B}

    virtual.run(inside())
