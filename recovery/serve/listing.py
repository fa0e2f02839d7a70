"""Searching, filtering and paging, all of it in the URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar
from urllib.parse import urlencode

from msgspec import Struct

T = TypeVar("T")
ROWS = 50
"""Rows of a page."""
LONGEST = 200
"""Characters of a search."""


class Query(Struct, frozen=True):
    """What is asked for. Unknown values find nothing; they are no error."""

    q: str = ""
    """Words; all of them have to be in a row."""
    phase: str = ""
    policy: str = ""
    project: str = ""
    page: int = 1

    @property
    def words(self) -> tuple[str, ...]:
        """Small letters."""
        return tuple(self.q.lower().split())

    def at(self, page: int) -> str:
        """The same as a query string, at another page."""
        given = {"q": self.q, "phase": self.phase, "policy": self.policy, "project": self.project, "page": str(page) if page > 1 else ""}
        return urlencode({name: value for name, value in given.items() if value})


def query(given: Mapping[str, str]) -> Query:
    """From a URL; what cannot be read counts as not given."""
    said = {name: given.get(name, "")[:LONGEST] for name in ("q", "phase", "policy", "project")}
    page = given.get("page", "")
    return Query(**said, page=max(1, int(page)) if page.isdecimal() and len(page) < 7 else 1)


class Page(Struct, Generic[T], frozen=True):
    """One page of rows."""

    rows: Sequence[T]
    total: int
    number: int
    pages: int
    query: Query

    @property
    def before(self) -> str | None:
        """Query string of the page before; None at the first."""
        return self.query.at(self.number - 1) if self.number > 1 else None

    @property
    def after(self) -> str | None:
        """Query string of the next page; None at the last."""
        return self.query.at(self.number + 1) if self.number < self.pages else None


def paged(found: Sequence[T], asked: Query, shown: Callable[[T], T] = lambda row: row) -> Page[T]:
    """The page that was asked for, or the last one there is; ``shown`` is applied to its rows only."""
    pages = max(1, -(-len(found) // ROWS))
    number = min(asked.page, pages)
    return Page([shown(row) for row in found[(number - 1) * ROWS : number * ROWS]], len(found), number, pages, asked)


def has(words: Sequence[str], *texts: str) -> bool:
    """Is each of the words in one of the texts?"""
    return all(any(word in text.lower() for text in texts) for word in words)
