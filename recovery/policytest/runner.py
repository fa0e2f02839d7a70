"""Many tests side by side, each in a virtual time of its own."""

from __future__ import annotations

import gc
import os
import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

from msgspec import Struct

from recovery.policytest.expectations import judge
from recovery.policytest.observation import Observation
from recovery.policytest.reading import Suite, read
from recovery.policytest.stage import play

ALONE = 2
"""So few tests are played in this process: another one costs its imports."""


class Failed(Struct, frozen=True):
    """An expectation that was not met, where it is written."""

    line: int
    message: str
    transcript: tuple[str, ...] = ()


class Reached(Struct, frozen=True):
    """Parts of the policy file that a test reached."""

    policies: frozenset[str] = frozenset()
    conditions: frozenset[str] = frozenset()
    actions: frozenset[tuple[str, str]] = frozenset()
    """Policy and action."""
    guards: frozenset[str] = frozenset()
    routes: frozenset[int] = frozenset()


class Verdict(Struct, frozen=True):
    """Result of one test."""

    file: str
    line: int
    name: str
    seconds: float
    failures: tuple[Failed, ...] = ()
    error: str = ""
    """It could not be played to its end."""
    reached: Reached = Reached()
    transcript: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Was everything as it was expected?"""
        return not self.failures and not self.error


def run(tests: Iterable[tuple[Path, int]], jobs: int = 0) -> Iterator[Verdict]:
    """Play these tests (file, place in it), as many at a time as there are processors; verdicts in
    the order given."""
    wanted = list(tests)
    workers = min(jobs or os.cpu_count() or 1, len(wanted))
    if workers <= 1 or len(wanted) <= ALONE:
        yield from (played(path, number) for path, number in wanted)
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_collect_seldom
    ) as pool:
        yield from pool.map(played, *zip(*wanted, strict=True))


def _collect_seldom() -> None:
    """Keep the collector from what was imported: it takes a tenth of the time and finds little."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def played(path: Path, number: int) -> Verdict:
    """Play one test and judge it."""
    suite = _suite(path, path.stat().st_mtime_ns)
    test, began = suite.tests[number], time.monotonic()
    where = (str(path), suite.line(number), test.name)
    try:
        observation = play(suite, number)
    except Exception as error:  # noqa: BLE001 (whatever it is, the other tests go on)
        said = "".join(traceback.format_exception_only(error)).strip()
        return Verdict(*where, time.monotonic() - began, error=said)
    failures = tuple(
        Failed(
            suite.line(number, failure.expect),
            failure.message,
            tuple(observation.transcript(failure.around)),
        )
        for failure in judge(test.expect, observation)
    )
    return Verdict(
        *where,
        time.monotonic() - began,
        failures,
        reached=_reached(observation),
        transcript=tuple(observation.transcript()),
    )


@lru_cache(maxsize=64)
def _suite(path: Path, changed: int) -> Suite:  # noqa: ARG001 (a file that changed is another key)
    return read(path, drafting=True)


def _reached(observation: Observation) -> Reached:
    actions = {(s.policy, s.what) for s in observation.seen if s.of.value == "action"}
    guards = {s.what for s in observation.seen if s.of.value == "refused"}
    return Reached(
        frozenset(observation.opened),
        frozenset(observation.met),
        frozenset(actions),
        frozenset(guards),
        frozenset(observation.routes),
    )
