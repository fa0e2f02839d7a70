"""Read the past slice by slice and judge it by one or two policy files."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum

from msgspec import Struct

from recovery.model.policy import Policies
from recovery.replay.past import Past
from recovery.replay.prometheus import Prometheus, slices
from recovery.replay.recorded import Effect, Recording
from recovery.replay.timeline import Gap, Name, Timeline


class Source(Enum):
    """Where the past was read, and what that lacks."""

    metric = (
        "causes (a remedy that the cause forbids may be counted as an act), revisions, operations,"
        " self-heal, labels, annotations, sync windows"
    )
    log = "sync windows, pauses, manifests, commits"
    audit_log = "what a look at pods and resources would have shown, sync windows, pauses, commits"


class Replayed(Struct, frozen=True):
    """The past as each of the policy files would have had it."""

    since: datetime
    until: datetime
    pasts: tuple[Past, ...]
    applications: int
    gaps: tuple[Gap, ...]
    unread: tuple[Gap, ...]
    warnings: tuple[str, ...]
    source: Source = Source.metric
    effects: tuple[Effect, ...] | None = None
    """The steps that were carried out then; None where the source does not tell."""


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


PIECE = 6 * 3600.0
"""Seconds that are judged in one go."""


def replay_recording(
    recording: Recording,
    policies: Sequence[Policies],
    told: Callable[[int, int], None] = lambda _, __: None,
) -> Replayed:
    """Judge what was recorded by these policy files."""
    since, until = (datetime.fromtimestamp(at, UTC) for at in (recording.start, recording.end))
    pasts = tuple(Past(each, since, causes=True) for each in policies)
    first = {change.name: change.state for change in reversed(recording.changes) if change.state}
    changes, counts = deque(recording.changes), deque(recording.counts)
    parts = max(1, math.ceil((recording.end - recording.start) / PIECE))
    for number in range(parts):
        told(number, parts)
        end = min(recording.start + (number + 1) * PIECE, recording.end)
        last = number == parts - 1
        piece = []
        while changes and (changes[0].at < end or last):
            piece.append(changes.popleft())
        while counts and (counts[0][0] < end or last):
            at, groups = counts.popleft()
            for past in pasts:
                past.lead((c for c in piece if c.at < at), max(at, recording.start))
                past.counted(groups, max(at, recording.start))
            piece = [c for c in piece if c.at >= at]
        for past in pasts:
            past.lead(piece, end)
    told(parts, parts)
    return Replayed(
        since,
        until,
        pasts,
        max((sum(g.count for g in groups) for _, groups in recording.counts), default=len(first)),
        recording.gaps,
        (),
        recording.warnings,
        Source.log if recording.ours else Source.audit_log,
        recording.effects if recording.ours else None,
    )
