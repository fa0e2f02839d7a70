"""How a command says what it found, and that it cannot."""

from __future__ import annotations

from enum import Enum


class Shape(Enum):
    """How a command prints what it found."""

    table = "table"
    wide = "wide"
    json = "json"
    yaml = "yaml"

    @property
    def for_scripts(self) -> bool:
        """Is it to be read by a program?"""
        return self in (Shape.json, Shape.yaml)


WRONG, USAGE, UNREACHABLE = 1, 2, 3


def when(stamp: str | None) -> str:
    """A time as people read it: whole seconds, UTC; empty for none."""
    return f"{stamp[:19]}Z" if stamp else ""


class Refused(Exception):
    """Ends the command with this message on stderr and this exit code."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code
