"""Read the past slice by slice and judge it by one or two policy files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from recovery.model.policy import Policies
from recovery.replay.past import Past
from recovery.replay.prometheus import Prometheus, slices
from recovery.replay.timeline import Gap, Name, Timeline


class Replayed(Struct, frozen=True):
    """The past as each of the policy files would have had it."""

    since: datetime
    until: datetime
    pasts: tuple[Past, ...]
    applications: int
    gaps: tuple[Gap, ...]
    unread: tuple[Gap, ...]
    warnings: tuple[str, ...]


async def replay(
    prometheus: Prometheus,
    policies: Sequence[Policies],
    start: float,
    end: float,
    step: float,
    told: Callable[[int, int], None] = lambda _, __: None,
) -> Replayed:
    """Judge the time from start to end (seconds since 1970) by these policy files. Unanswered where
    Prometheus has nothing of it."""
    since = datetime.fromtimestamp(start, UTC)
    pasts = tuple(Past(each, since) for each in policies)
    timeline, parts = Timeline(step), slices(start, end, step)
    names: set[Name] = set()
    gaps: list[Gap] = []
    await prometheus.known(start, end)
    for number, (first, last) in enumerate(parts):
        told(number, len(parts))
        found = await prometheus.slice(first, last)
        names |= found.present.keys()
        unread = [gap for gap in prometheus.unread if gap.end >= first]
        changes = timeline.feed(found.intervals, [*found.gaps, *unread], last)
        for past in pasts:
            past.known(found.present.items(), first)
            past.lead(changes, last)
        gaps += found.gaps
    told(len(parts), len(parts))
    return Replayed(
        since,
        datetime.fromtimestamp(end, UTC),
        pasts,
        len(names),
        tuple(gaps),
        tuple(prometheus.unread),
        tuple(prometheus.warnings),
    )
