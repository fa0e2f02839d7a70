"""How a command says that it cannot."""

from __future__ import annotations

WRONG, USAGE, UNREACHABLE = 1, 2, 3


class Refused(Exception):
    """Ends the command with this message on stderr and this exit code."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code
