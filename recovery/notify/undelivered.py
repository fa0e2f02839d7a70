"""Why a message did not arrive."""

from __future__ import annotations


class Undelivered(Exception):
    """The receiver did not take it; worth another try, unless it is ``for_good``."""

    def __init__(self, why: str, *, after: float | None = None, for_good: bool = False, unsure: bool = False) -> None:
        """``after``: seconds that the receiver asked us to wait (Retry-After). ``unsure``: it may have arrived all the same."""
        super().__init__(why)
        self.after = after
        self.for_good = for_good
        self.unsure = unsure
