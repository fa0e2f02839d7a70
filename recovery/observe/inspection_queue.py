"""Takes closer looks at what is ill, politely: a few at a time, the less often the longer nothing
changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog
from msgspec import Struct, structs

from recovery.clock import Clock
from recovery.model.application import Application
from recovery.model.cause import Diagnosis, Observations
from recovery.observe.store import Store, shows

log = structlog.get_logger(__name__)

INSPECTION_INTERVAL = 2.0
"""Seconds between two rounds."""
INSPECTED_A_ROUND = 6
"""Looks begun in one round: three a second, whatever has fallen ill."""
INSPECTED_AT_ONCE = 4
FIRST_INSPECTION = timedelta(seconds=4)
"""An ordinary rollout is Progressing for a moment; that is not worth a look."""
SOONEST, LONGEST_INSPECTION_PAUSE = timedelta(seconds=15), timedelta(minutes=5)
AWAITED, AWAITED_AT_MOST = timedelta(seconds=4), timedelta(minutes=1)
"""For a kind that is not served yet one cheap question is asked more often: its application is
cured as soon as it is there."""

Looks = Callable[[Application, Diagnosis | None], Awaitable[Observations]]


class _Plan(Struct, frozen=True):
    due: datetime
    pause: timedelta
    seen: str = ""


class InspectionQueue:
    """Looks at every application that the store calls ailing."""

    def __init__(
        self,
        store: Store,
        look: Looks,
        clock: Clock,
        diagnosis: Callable[[Application], Diagnosis | None],
    ) -> None:
        self._store = store
        self._look = look
        self._clock = clock
        self._diagnosis = diagnosis
        self._plans: dict[str, _Plan] = {}
        self._places = asyncio.Semaphore(INSPECTED_AT_ONCE)
        self._looking: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for app in self._due():
                    group.create_task(self._examine(app))
                if not self._plans:
                    await self._store.any_ailing.wait()
                await self._clock.sleep(INSPECTION_INTERVAL)

    def _due(self) -> list[Application]:
        """Those whose turn it is, the longest overdue first."""
        now, found = self._clock.now(), []
        ailing = {
            app.uid: app
            for name in self._store.ailing
            if (app := self._store.applications.get(name)) is not None
        }
        for uid in [uid for uid in self._plans if uid not in ailing]:
            del self._plans[uid]
            self._store.signs.pop(uid, None)  # it is well: what was seen of its illness is over
        for uid, app in ailing.items():
            plan = self._plans.setdefault(uid, _Plan(now + FIRST_INSPECTION, SOONEST))
            if plan.seen and plan.seen != shows(app):
                plan = self._plans[uid] = _Plan(
                    min(plan.due, now + FIRST_INSPECTION), SOONEST, shows(app)
                )
            if plan.due <= now and uid not in self._looking:
                found.append((plan.due, app))
        found.sort(key=lambda each: each[0])
        chosen = [app for _, app in found[:INSPECTED_A_ROUND]]
        for app in chosen:
            plan = self._plans[app.uid]
            self._plans[app.uid] = _Plan(
                now + plan.pause, min(plan.pause * 2, LONGEST_INSPECTION_PAUSE), shows(app)
            )
        return chosen

    async def _examine(self, app: Application) -> None:
        self._looking.add(app.uid)
        try:
            await self._look_at(app)
        except Exception:
            # One application's look must not end those at all others.
            log.exception("a closer look failed", application=str(app.key))
        finally:
            self._looking.discard(app.uid)

    async def _look_at(self, app: Application) -> None:
        async with self._places:
            before = self._store.signs.get(app.uid)
            signs = kept(before, await self._look(app, self._diagnosis(app)))
            plan = self._plans.get(app.uid)
            news = before is None or structs.replace(before, at=signs.at) != signs
            if plan is not None and not all(signs.served.values()):
                pause = (
                    AWAITED if news else min(plan.pause * 0.75, AWAITED_AT_MOST)
                )  # doubled when it began: half as much again
                self._plans[app.uid] = structs.replace(
                    plan, due=self._clock.now() + pause, pause=pause
                )
            elif plan is not None and news:
                self._plans[app.uid] = structs.replace(
                    plan, due=self._clock.now() + SOONEST, pause=SOONEST
                )
            self._store.examined(app.uid, (app.namespace, app.name), signs)


def kept(before: Observations | None, now: Observations) -> Observations:
    """A look that failed takes nothing back: what was seen before stands until somebody sees
    otherwise, and grows old meanwhile."""
    if before is None or not now.missing:
        return now
    at = now.at if now.unwell or not before.unwell else before.at
    return structs.replace(
        now,
        at=at,
        unwell=now.unwell or before.unwell,
        served={**before.served, **now.served},
        providers=now.providers or before.providers,
    )
