"""Timestamps from outside, which may be anything."""

from __future__ import annotations

from datetime import UTC, datetime


def aware(text: str | None) -> datetime | None:
    """An ISO time that says its zone; None for everything else (a person wrote it, and may have meant any zone)."""
    try:
        stamp = datetime.fromisoformat(text.strip()) if text else None
    except ValueError:
        return None
    return stamp if stamp and stamp.tzinfo else None


def utc(text: str | None) -> datetime | None:
    """An ISO time in UTC, also where it names no zone (a machine wrote it); None when it is absent or absurd."""
    try:
        stamp = datetime.fromisoformat(text) if text else None
        return (stamp.astimezone(UTC) if stamp.tzinfo else stamp.replace(tzinfo=UTC)) if stamp else None
    except (ValueError, OverflowError):
        return None
