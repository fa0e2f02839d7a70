"""When a write is tried once more: soon at first, ever more seldom the longer nobody takes it."""

from __future__ import annotations

from datetime import datetime, timedelta

from recovery.model.recovery import StepRecord

AFTER, LONGEST_BACKOFF = timedelta(seconds=5), timedelta(minutes=5)


def again_at(record: StepRecord, least: timedelta = AFTER) -> datetime:
    """The moment, UTC, from which a write may be tried once more."""
    last = record.claimed_at or record.started_at
    return last + min(max(least, (last - record.started_at) / 4), LONGEST_BACKOFF)
