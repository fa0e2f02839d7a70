"""Searching, filtering and paging, all of it in the URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from msgspec import Struct, structs

T = TypeVar("T")
QUERY_FIELDS = ("q", "phase", "policy", "project", "sort")
"""What a query is made of, beside its page."""
PAGE_ROWS = 50
"""Rows of a page."""
LONGEST_SEARCH = 200
"""Characters of a search."""


class Query(Struct, frozen=True):
    """Parameters of a list. Unknown values find nothing; they are no error."""

    q: str = ""
    """Words; all of them have to be in a row."""
    phase: str = ""
    policy: str = ""
    project: str = ""
    sort: str = ""
    """A column's name, with - before it from the last to the first; one that is none changes
    nothing."""
    page: int = 1

    @property
    def words(self) -> tuple[str, ...]:
        """The search's words, in lower case."""
        return tuple(self.q.lower().split())

    def at(self, page: int) -> str:
        """The same as a query string, at another page."""
        given = {name: getattr(self, name) for name in QUERY_FIELDS} | {
            "page": str(page) if page > 1 else ""
        }
        return urlencode({name: value for name, value in given.items() if value})

    def by(self, column: str) -> str:
        """The same as a query string, sorted by a column; from the last to the first when it is
        sorted by it already."""
        return structs.replace(self, sort=f"-{column}" if self.sort == column else column).at(1)

    def direction(self, column: str) -> str:
        """``ascending``, ``descending`` or ``none``, as ``aria-sort`` has it."""
        return {column: "ascending", f"-{column}": "descending"}.get(self.sort, "none")


def query(given: Mapping[str, str]) -> Query:
    """From a URL; what cannot be read counts as not given."""
    said = {name: given.get(name, "")[:LONGEST_SEARCH] for name in QUERY_FIELDS}
    page = given.get("page", "")
    return Query(**said, page=max(1, int(page)) if page.isdecimal() and len(page) < 7 else 1)


class Page(Struct, Generic[T], frozen=True):
    """One page of rows, and how many there are."""

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


def paged(
    found: Sequence[Any], asked: Query, shown: Callable[[Any], T] = lambda row: row
) -> Page[T]:
    """The page that was asked for, or the last one there is; ``shown`` is applied to its rows
    only."""
    pages = max(1, -(-len(found) // PAGE_ROWS))
    number = min(asked.page, pages)
    return Page(
        [shown(row) for row in found[(number - 1) * PAGE_ROWS : number * PAGE_ROWS]],
        len(found),
        number,
        pages,
        asked,
    )


def ordered(found: list[T], asked: Query, columns: Mapping[str, Callable[[T], Any]]) -> None:
    """Sort rows in place by the column that was asked for; what is alike keeps its order."""
    if (key := columns.get(asked.sort.removeprefix("-"))) is not None:
        found.sort(key=key, reverse=asked.sort.startswith("-"))


def folded(found: Sequence[T], alike: Callable[[T], Any]) -> list[list[T]]:
    """Rows that are alike as one group, in the order of the first of each; None is like nothing
    else."""
    groups: dict[Any, list[T]] = {}
    for number, row in enumerate(found):
        key = alike(row)
        groups.setdefault((number,) if key is None else key, []).append(row)
    return list(groups.values())


def has(words: Sequence[str], *texts: str) -> bool:
    """Is each of the words in one of the texts?"""
    return all(any(word in text.lower() for text in texts) for word in words)
