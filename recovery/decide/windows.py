"""Does a calendar say no, and until when? Argo CD's sync windows as its controller judges automated
operations, and ours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import durationpy
from cronsim import CronSim, CronSimError

from recovery.model.application import Application, SyncWindow
from recovery.model.connection import Cluster, Repository
from recovery.model.duration import spell
from recovery.model.window import Window

UNREADABLE_FOR = timedelta(minutes=5)
"""A window that cannot be read says no; the project may have been mended by then."""


class Closed(NamedTuple):
    """Refusal by a calendar: until when."""

    message: str
    until: datetime
    """When it may be another answer."""


class _State(NamedTuple):
    active: bool
    changes: datetime


def _state(schedule: str, duration: timedelta, zone: str, now: datetime) -> _State:
    """Is it open now, and when does that change? CronSimError or ValueError when it cannot be
    read."""
    # So long ago, and not by so much another wall clock: on the two nights of the year those differ
    # by an hour.
    before = (now.astimezone(UTC) - duration).astimezone(_zone(zone))
    began = next(CronSim(schedule, before)).astimezone(UTC)
    # As argo-cd's SyncWindow.active: the first start after (now - duration) lies before now.
    return _State(True, began + duration) if began <= now else _State(False, began)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")  # as Argo CD does


def wrong_with(schedule: str, zone: str) -> str:
    """Why a window of ours cannot be read, and what would be right; empty when it can."""
    try:
        next(CronSim(schedule, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration):
        return (
            f"{schedule!r} is no cron expression that ever comes true; write five fields, such as"
            " '0 22 * * 5'"
        )
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"{zone!r} is no time zone; write a name such as Europe/Berlin"
    return ""


def opened(schedule: str, duration: timedelta, zone: str, now: datetime) -> datetime | None:
    """When the window that is open now ends; None when none is open."""
    state = _state(schedule, duration, zone, now)
    return state.changes if state.active else None


def sync_windows(app: Application, windows: Iterable[SyncWindow], now: datetime) -> Closed | None:
    """May an automated operation on it start now? As argo-cd's SyncWindows.CanSync; what cannot be
    read says no, as there.

    An operation written into a closed window is not refused: it hangs Running until the window
    opens.
    """
    assigned = [w for w in windows if _assigned(w, app)]
    if not assigned:
        return None
    states: list[tuple[SyncWindow, _State]] = []
    for window in assigned:
        try:
            length = timedelta(seconds=durationpy.from_str(window.duration).total_seconds())
            states.append((window, _state(window.schedule, length, window.timezone, now)))
        except (
            CronSimError,
            StopIteration,
            durationpy.DurationError,
            ValueError,
            OverflowError,
        ) as error:
            return Closed(
                f"a sync window of project {app.project} cannot be read: {_words(window)}: {error}",
                now + UNREADABLE_FOR,
            )
    soonest = min(state.changes for _, state in states)
    if denied := next(((w, s) for w, s in states if w.kind == "deny" and s.active), None):
        return Closed(
            f"sync window of project {app.project}: {_words(denied[0])}, until"
            f" {denied[1].changes:%Y-%m-%d %H:%M} UTC",
            soonest,
        )
    allows = [(w, s) for w, s in states if w.kind == "allow"]
    if not allows or any(s.active for _, s in allows):
        return None
    window, state = min(allows, key=lambda each: each[1].changes)
    return Closed(
        f"sync window of project {app.project}: {_words(window)} opens at"
        f" {state.changes:%Y-%m-%d %H:%M} UTC",
        soonest,
    )


def maintenance(
    about: Application | Repository | Cluster, action: str, windows: Iterable[Window], now: datetime
) -> Closed | None:
    """Is there a maintenance window of ours in which this action does not happen?"""
    found = None
    for window in windows:
        if (window.actions and action not in window.actions) or not window.selector.selects(about):
            continue
        state = _state(window.schedule, window.duration, window.timezone, now)
        if state.active and (found is None or state.changes > found.until):
            until = state.changes
            words = (
                f"maintenance window {window} ({spell(window.duration)}): no {action} until"
                f" {until:%Y-%m-%d %H:%M} UTC"
            )
            found = Closed(words, until)
    return found


def _assigned(window: SyncWindow, app: Application) -> bool:
    """As argo-cd's SyncWindows.Matches: any of the lists, or each that is given; no list at all
    matches nothing."""
    where = app.destination
    given = [
        (globs, values)
        for globs, values in (
            (window.applications, (app.name,)),
            (window.namespaces, (where.namespace,)),
            (window.clusters, tuple(filter(None, (where.name, where.server)))),
        )
        if globs
    ]
    matched = [
        any(fnmatchcase(value, glob) for value in values for glob in globs)
        for globs, values in given
    ]
    return bool(matched) and (all(matched) if window.all_of else any(matched))


def _words(window: SyncWindow) -> str:
    return f"{window.kind} {window.schedule!r} for {window.duration}" + (
        f" {window.timezone}" if window.timezone else ""
    )
