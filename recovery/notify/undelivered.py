"""Why a message did not arrive."""

from __future__ import annotations


class Undelivered(Exception):
    """The receiver did not take it; worth another try."""
