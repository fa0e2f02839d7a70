"""Answers about texts that come again with every look, kept for as long as they are short."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

Answer = TypeVar("Answer")
LONGEST_REMEMBERED = 1_000
"""Characters of a text whose answer is kept: a stranger may write a new long one each second."""


def remembered(most: int) -> Callable[[Callable[[str], Answer]], Callable[[str], Answer]]:
    """A function of one text that keeps its last ``most`` answers, of texts of 1,000 characters at
    most."""

    def decorate(function: Callable[[str], Answer]) -> Callable[[str], Answer]:
        kept = lru_cache(maxsize=most)(function)

        @wraps(function)
        def asked(text: str) -> Answer:
            return kept(text) if len(text) <= LONGEST_REMEMBERED else function(text)

        return asked

    return decorate
