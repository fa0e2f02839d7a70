"""Timestamps from outside, which may be anything; within the years that can be reckoned with,
nothing overflows."""

from __future__ import annotations

from datetime import UTC, datetime

EARLIEST, LATEST_TIME = datetime(1971, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def aware(text: str | None) -> datetime | None:
    """An ISO time that says its zone; None for everything else (a person wrote it, and may have
    meant any zone)."""
    try:
        stamp = datetime.fromisoformat(text.strip()) if text else None
        return (
            max(EARLIEST, min(stamp.astimezone(UTC), LATEST_TIME))
            if stamp and stamp.tzinfo
            else None
        )
    except (ValueError, OverflowError):
        return None


def utc(text: str | None) -> datetime | None:
    """An ISO time in UTC, also where it names no zone (a machine wrote it); None when it is absent
    or absurd."""
    try:
        stamp = datetime.fromisoformat(text) if text else None
        found = (
            (stamp.astimezone(UTC) if stamp.tzinfo else stamp.replace(tzinfo=UTC))
            if stamp
            else None
        )
        return found if found and EARLIEST <= found <= LATEST_TIME else None
    except (ValueError, OverflowError):
        return None
