"""How commands print: for people by default, tables that fit, colours where they can be seen; for
scripts when asked."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from recovery.commands.errors import Refused, Shape
from recovery.model.text import plain

if TYPE_CHECKING:
    from rich.console import Console

Output = Annotated[
    Shape, typer.Option("-o", "--output", help="For people (table, wide) or for scripts.")
]
Watch = Annotated[
    bool, typer.Option("-w", "--watch", help="Refresh every two seconds, until Ctrl-C.")
]
OUTPUT_PATIENCE = 2.0
REDRAW_INTERVAL = 2.0
PIPED = 200
"""Columns where nobody says how many there are."""


def paper() -> Console:
    """Where people read: without colour when NO_COLOR is set or when it is no terminal, and then
    without cutting."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED, highlight=False)


def printed(body: Any, shape: Shape) -> None:
    """Print a value as JSON or YAML, for scripts."""
    plain = msgspec.to_builtins(body)
    if shape is Shape.yaml:
        import yaml

        # As in JSON: what turns the direction of a text is escaped, not printed.
        typer.echo(yaml.safe_dump(plain, sort_keys=False), nl=False)
        return
    typer.echo(json.dumps(plain, indent=2))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Rows under columns; what others wrote is shown as it is."""
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=None, pad_edge=False, header_style="bold", title=title or None, title_justify="left"
    )
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(
            *(Text("" if value is None else plain(str(value), lines=True)) for value in row)
        )
    paper().print(made)


@contextlib.contextmanager
def patience(what: str) -> Iterator[None]:
    """Says that it goes on when it takes longer than two seconds; on stderr, and only where
    somebody watches."""
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()

    def show() -> None:
        if over.wait(OUTPUT_PATIENCE):
            return
        from rich.console import Console

        with Console(stderr=True).status(f"{what} ..."):
            over.wait()

    shown = threading.Thread(target=show, daemon=True)
    shown.start()
    try:
        yield
    finally:
        over.set()
        shown.join(1)


def again_and_again(once: Callable[[], None]) -> None:
    """Every two seconds, on a cleared screen, until Ctrl-C; what goes wrong is shown, and it goes
    on."""
    try:
        while True:
            if sys.stdout.isatty():
                paper().clear()
            try:
                once()
            except Refused as error:
                typer.echo(f"recovery: {error}", err=True)
            sys.stdout.flush()
            time.sleep(REDRAW_INTERVAL)
    except KeyboardInterrupt:
        return
