"""index.html: the bundle for a person, offline, without a script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def page(report: Mapping[str, Any], files: Iterable[str]) -> str:
    """The page, all of it from the report; every word from outside is escaped."""
    # Only who makes a bundle pays for it.
    from jinja2 import Environment, PackageLoader

    made = Environment(
        loader=PackageLoader("recovery.bundle"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["columns"] = _columns
    return made.get_template("index.html").render(report=report, files=sorted(files))


def _columns(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names of all cells, in the order in which they first appear."""
    return tuple(dict.fromkeys(key for row in rows for key in row))
