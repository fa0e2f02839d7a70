"""Rows under columns, one line a row at any width, as kubectl prints them."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct

from recovery.model.duration import elapsed
from recovery.model.text import plain

COLUMN_GAP = "  "
LEAST_WORDS = 12
"""Columns that a cut message has at least; with fewer it is left out."""
NO_LIMIT = 100_000
ELLIPSIS = "..."


class Column(Struct, frozen=True):
    """One column. Identifiers are never cut: whoever reads them pastes them."""

    title: str
    rank: int = 0
    """Where the line is too narrow, the columns of the highest rank are left out first; those of
    rank 0 never are."""
    words: bool = False
    """Text for people, cut to what is left of the line."""


def width() -> int:
    """Columns of the terminal; of COLUMNS where it is set, also in a pipe; else no limit in a
    pipe."""
    if not os.environ.get("COLUMNS", "").isdecimal() and not sys.stdout.isatty():
        return NO_LIMIT
    return shutil.get_terminal_size((80, 24)).columns


def lines(columns: Sequence[Column], rows: Sequence[Sequence[object]], limit: int) -> list[str]:
    """The header and a line for each row, none longer than ``limit`` columns where identifiers
    leave it the choice."""
    cells = [[plain("" if value is None else str(value)) for value in row] for row in rows]
    wide = [max([size(c.title), *(size(row[i]) for row in cells)]) for i, c in enumerate(columns)]
    kept = list(range(len(columns)))

    def least() -> int:
        return sum(
            (LEAST_WORDS if columns[i].words else wide[i]) + len(COLUMN_GAP) for i in kept
        ) - len(COLUMN_GAP)

    while least() > limit and (droppable := [i for i in kept if columns[i].rank]):
        kept.remove(max(droppable, key=lambda i: (columns[i].rank, i)))
    room = limit - sum(wide[i] + len(COLUMN_GAP) for i in kept if not columns[i].words)
    shown = []
    for row in [[c.title for c in columns], *cells]:
        parts = []
        for i in kept:
            text = cut(row[i], max(room, LEAST_WORDS)) if columns[i].words else row[i]
            parts.append(text + " " * (wide[i] - size(text)) if i != kept[-1] else text)
        shown.append(COLUMN_GAP.join(parts).rstrip())
    return shown


def cut(text: str, limit: int) -> str:
    """At most ``limit`` columns of it; that something is left out is to be seen."""
    if size(text) <= limit:
        return text
    kept = ""
    for letter in text:
        if size(kept + letter) > limit - len(ELLIPSIS):
            break
        kept += letter
    return kept.rstrip() + ELLIPSIS


def size(text: str) -> int:
    """Columns that a terminal needs for it."""
    if text.isascii():
        return len(text)
    return sum(
        2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1
        for c in text
    )


def age(stamp: str | datetime | None, now: datetime | None = None) -> str:
    """How long ago, as kubectl writes an age: ``14s``, ``14m``, ``3h20m``, ``5d``; empty for no
    time."""
    if not stamp:
        return ""
    at = stamp if isinstance(stamp, datetime) else datetime.fromisoformat(stamp)
    return elapsed((now or datetime.now(UTC)) - at)
