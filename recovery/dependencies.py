"""Whose turn it is: an application waits for those that it stands on."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from recovery.decide.conditions import in_force
from recovery.model.application import Application
from recovery.model.names import SYNC_WAVE
from recovery.model.policy import Mode
from recovery.model.recovery import RecoveryPhase
from recovery.read_model import ReadModel

DEPENDENCY_DEPTH = 100
"""Applications that one waits for, itself or by others; with more of them it waits for none."""
WAITING_REASONS = ("DependencyFirst", "InFlightLimit", "RateLimited")
"""What is held back for one of these goes on by itself, and is waited for."""
FIRST_WITHIN = timedelta(minutes=5)
"""What stands on an application that is due waits for its recovery to begin, and not for ever."""

_WAVE = re.compile(r"-?[0-9]{1,9}")


class Dependencies:
    """Knows what is cured before what."""

    def __init__(self, known: ReadModel) -> None:
        self._store = known.store
        self._recoveries = known.recoveries
        self._source = known.source

    def waits_for(self, app: Application, now: datetime) -> str:
        """An application it stands on that is being cured: named by annotation, or of an earlier
        sync wave of its parent."""
        for name, why in self._before(app):
            other = self._store.applications.get(name)
            if other is None or other.uid == app.uid or self._stands_on(other, app):
                continue  # each waits for the other: then neither does
            opened = self._recoveries.of(other.uid)[0]
            own = other.project == app.project
            who = str(other.key) if own else "an application of another project"
            working = (RecoveryPhase.Remediating, RecoveryPhase.Verifying, RecoveryPhase.BackingOff)
            in_turn = (
                opened is not None
                and opened.phase is RecoveryPhase.Suppressed
                and opened.reason in WAITING_REASONS
            )
            if opened is not None and (opened.phase in working or in_turn):
                how = f" ({opened.name}: {opened.phase.value})" if own else ""
                return f"{who} {why} and is recovered first{how}"
            due = self._due(other)
            if opened is None and due is not None and now < due + FIRST_WITHIN:
                return (
                    f"{who} {why}, is unhealthy as well and is recovered first"
                    f" (due {due:%H:%M:%S} UTC)"
                )
        return ""

    def _before(self, app: Application) -> list[tuple[tuple[str, str], str]]:
        named = [n.strip() for n in app.mark("after").split(",") if n.strip()]
        found = [
            (
                (app.namespace, n) if "/" not in n else (n.partition("/")[0], n.partition("/")[2]),
                "is named by its annotation after",
            )
            for n in named
        ]
        mine, parent = _wave(app), self._store.parent(app)
        # A wave is believed only within one project, and only of those that their common parent
        # itself lists.
        for name in (
            sorted(self._store.families.get(app.parent, ()))
            if parent and parent.project == app.project
            else ()
        ):
            other = self._store.applications[name]
            if other.project != app.project or self._store.parent(other) is None:
                continue
            if _wave(other) < mine and self._unwell(other):
                found.append((name, f"is of sync wave {_wave(other)}, before {mine}"))
        return found

    def _unwell(self, app: Application) -> bool:
        """Is it ill, or being recovered? What was restarted a moment ago shows no illness, and is
        not well yet."""
        return (
            self._store.illness.onset(app) is not None
            or self._recoveries.of(app.uid)[0] is not None
        )

    def _stands_on(self, app: Application, on: Application) -> bool:
        """Does it wait for the other, itself or by what it waits for?"""
        wanted, seen = [app], {app.uid}
        while wanted and len(seen) < DEPENDENCY_DEPTH:
            for name, _ in self._before(wanted.pop()):
                if name == (on.namespace, on.name):
                    return True
                other = self._store.applications.get(name)
                if other is not None and other.uid not in seen:
                    seen.add(other.uid)
                    wanted.append(other)
        return len(seen) >= DEPENDENCY_DEPTH

    def _due(self, app: Application) -> datetime | None:
        """When a policy would begin with it, if one acts on it at all."""
        policies, sight = self._source.policies, self._store.sights.get(app.uid)
        if policies is None or sight is None:
            return None
        dues = [
            sight.clocks[p.condition.symptom] + p.condition.duration
            for p in policies.policies
            if in_force(p)
            and p.mode is Mode.act
            and p.condition.symptom in sight.clocks
            and p.selector.selects(app)
        ]
        return min(dues, default=None)


def _wave(app: Application) -> int:
    text = (app.marks or {}).get(SYNC_WAVE, "0").strip()
    return int(text) if _WAVE.fullmatch(text) else 0
