"""Which commit is ill, and which was the last that worked: for people. No judgement waits for it,
and none hangs on it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

import msgspec

from recovery.clock import Clock
from recovery.kube.errors import KubeError
from recovery.model.application import Application
from recovery.model.commit import Commit, Deployed, compare, is_commit
from recovery.model.situation import HealthyRevision

MAX_COMMITS, MAX_WAITING_COMMITS = 200, 50
"""Commits that are remembered, and that wait to be asked for: the newest of them."""
METADATA_TIMEOUT = 5.0
"""For one answer."""
FAILED_PAUSE = timedelta(minutes=10)
"""Before a repository whose commits could not be had is asked for again."""


class Describes(Protocol):
    """Requests to Argo CD's API for a revision's metadata."""

    async def commit(self, app: Application, number: int, revision: str) -> Commit:
        """The author of a commit of one of its sources (from 0), when, and its subject;
        KubeError."""


class Commits:
    """Commits by repository and revision, each asked for once, one after the other, when somebody
    wants to read of it."""

    def __init__(self, argocd: Describes | None, clock: Clock) -> None:
        self._argocd = argocd
        self._clock = clock
        self._known: dict[tuple[str, str], Commit] = {}
        self._wanted: dict[tuple[str, str], tuple[Application, int]] = {}
        self._failed: dict[str, float] = {}
        self._asked = asyncio.Event()

    def around(
        self, app: Application, ledger: Sequence[HealthyRevision], hosts: Mapping[str, str]
    ) -> Deployed | None:
        """Commits after the last deploy of an unhealthy application that was seen to work, as far
        as it is known by now."""
        worked = [good.revisions for good in ledger if len(good.revisions) == len(app.repositories)]
        bad, wanted = app.deployed, False
        if worked and bad == worked[-1]:
            # What runs was seen to work. Where Argo CD fails with what Git wants by now, that is to
            # blame, and nothing else is.
            bad, wanted = app.revisions, bool(app.errors)
            if not wanted or bad == worked[-1]:
                return None
        if self._argocd is None or len(bad) != len(app.repositories):
            return None
        good = next((revisions for revisions in reversed(worked) if revisions != bad), ())
        # Of several sources: the first that changed.
        number = next((i for i, revision in enumerate(good) if revision != bad[i]), 0)
        last, before = self._commit(app, number, bad), self._commit(app, number, good)
        if last is None:
            return None
        link = (
            compare(app.repositories[number], before.revision, last.revision, hosts)
            if before
            else ""
        )
        return Deployed(last, before, link, wanted)

    def _commit(self, app: Application, number: int, revisions: Sequence[str]) -> Commit | None:
        if (
            number >= len(revisions)
            or not is_commit(revisions[number])
            or app.repositories[number] in app.charts
        ):
            return None
        name = (app.repositories[number], revisions[number])
        if name not in self._known and not self._rests(name[0]):
            self._wanted[name] = (app, number)
            _oldest_out(self._wanted, MAX_WAITING_COMMITS)
            self._asked.set()
        return self._known.get(name)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._asked.wait()
            while self._wanted:
                (url, revision), (app, number) = next(iter(self._wanted.items()))
                del self._wanted[url, revision]
                await self._ask(app, number, url, revision)
            self._asked.clear()

    def _rests(self, url: str) -> bool:
        """Did a commit of this repository fail to be had a short while ago?"""
        return self._clock.monotonic() < self._failed.get(url, float("-inf"))

    async def _ask(self, app: Application, number: int, url: str, revision: str) -> None:
        if self._argocd is None or self._rests(url):
            return
        try:
            async with asyncio.timeout(METADATA_TIMEOUT):
                self._known[url, revision] = await self._argocd.commit(app, number, revision)
            _oldest_out(self._known, MAX_COMMITS)
        except (KubeError, TimeoutError, msgspec.DecodeError, ValueError):
            self._failed[url] = self._clock.monotonic() + FAILED_PAUSE.total_seconds()
            _oldest_out(self._failed, MAX_COMMITS)


def _oldest_out(kept: dict[Any, Any], most: int) -> None:
    while len(kept) > most:
        del kept[next(iter(kept))]
