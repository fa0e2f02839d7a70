"""Durations as Go writes them: ``90s``, ``10m``, ``1h30m``."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import durationpy
import msgspec

LONGEST_DURATION = dt.timedelta(days=366)
"""Nothing here is waited for any longer; more would overflow dates."""


class Duration(dt.timedelta):
    """A length of time that is read and written in Go's notation."""

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read ``1h30m``, and ``7d`` or ``2w``, as Prometheus writes them; ValueError says what is
        allowed. Months and negatives are no durations."""
        allowed = "a Go duration such as 90s, 10m or 1h30m"
        if whole := re.fullmatch(
            r"(?:([0-9]{1,5})w)?(?:([0-9]{1,5})d)?([0-9][^dw]*)?", text, re.ASCII
        ):
            weeks, just_days, rest = whole.groups()
        if whole and (weeks or just_days):
            days = int(weeks or 0) * 7 + int(just_days or 0)
            added = cls.parse(rest) if rest else cls()
            if dt.timedelta(days=days) + added > LONGEST_DURATION:
                raise ValueError(f"{text!r} is longer than a year")
            return cls(seconds=days * 86_400 + added.total_seconds())
        if (
            not text
            or any(c.isdigit() and not c.isascii() for c in text)
            or text[0] in "+-"
            or not text[-1].isascii()
            or any(unit in text for unit in ("d", "w", "y", "mm"))
        ):
            raise ValueError(f"{text!r} is not {allowed}")
        try:
            delta = durationpy.from_str(text)
            if delta > LONGEST_DURATION:
                raise ValueError(f"{text!r} is longer than a year")
            return cls(seconds=delta.total_seconds())
        except (durationpy.DurationError, OverflowError, TypeError) as error:
            raise ValueError(f"{text!r} is not {allowed}") from error

    def __str__(self) -> str:
        return spell(self)


def spell(delta: dt.timedelta) -> str:
    """Write a duration for people: ``90s`` becomes ``1m30s``; whole units only, seconds at the
    finest."""
    seconds = max(0, round(delta.total_seconds()))
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    words = (
        f"{hours}h" * bool(hours) + f"{minutes}m" * bool(minutes) + f"{seconds}s" * bool(seconds)
    )
    return words or "0s"


def elapsed(delta: dt.timedelta) -> str:
    """A length of time as kubectl writes an age: ``14s``, ``14m``, ``3h20m``, ``5d``; below zero
    counts as none."""
    seconds = max(0, int(delta.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 2:
        return f"{seconds}s"
    if hours < 2:
        return f"{minutes}m"
    if hours < 10 and minutes % 60:
        return f"{hours}h{minutes % 60}m"
    return f"{hours}h" if days < 2 else f"{days}d"


def default(
    **units: float,
) -> Any:  # a field default may stand for a field of any type, as in msgspec.field itself
    """A Struct field that defaults to this duration (a factory: a default value would not go into
    the JSON Schema)."""
    return msgspec.field(default_factory=lambda: Duration(**units))
