"""Text of strangers as text and nothing else: no control character reaches a terminal, a log line
or a page."""

from __future__ import annotations

import shlex
import unicodedata
from typing import Any

_BIDIRECTIONAL = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Marks that reorder what is read (Unicode TR 36): a text that shows one thing and says another."""
_INVISIBLE = (0x00AD, 0x180E, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, *range(0xE0000, 0xE0080))
_BREAKS = (0x0009, 0x000A, 0x000B, 0x000C, 0x000D, 0x0085, 0x2028, 0x2029)
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))

_DROPPED: dict[int, str | None] = {
    **dict.fromkeys((*_CONTROLS, *_BIDIRECTIONAL, *_INVISIBLE)),
    # A surrogate that stands alone cannot be encoded: it would end whoever prints it.
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}
_LINE = str.maketrans({**_DROPPED, **dict.fromkeys(_BREAKS, " ")})
_LINES = str.maketrans({**_DROPPED, **dict.fromkeys(_BREAKS, " "), 0x000A: "\n"})


def plain(text: str, longest: int | None = None, *, lines: bool = False) -> str:
    """The text as one line without C0, C1 and bidirectional controls, cut to ``longest``
    characters.

    Tabs and line breaks become spaces; with ``lines`` line feeds stay, for texts of our own that
    have several lines. Costs no more than the length that is kept.
    """
    if longest is not None:
        text = text[: longest + 1] if len(text) > longest else text
    if not text.isprintable():
        text = text.translate(_LINES if lines else _LINE)
    return text if longest is None or len(text) <= longest else text[: max(0, longest - 3)] + "..."


def dangerous(character: str) -> bool:
    """Does this character do something to a terminal, to the direction of reading, or to the end of
    a line?"""
    return unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") or ord(character) in (
        *_BIDIRECTIONAL,
        *_INVISIBLE,
    )


def shell(word: object) -> str:
    """A word for a command that people are offered to copy: one word for the shell, whatever stands
    in it."""
    return shlex.quote(plain(str(word)))


def all_plain(value: Any, *, lines: bool = True) -> Any:
    """A value decoded from JSON, with every text in it made ``plain``: keys, too."""
    match value:
        case str():
            return plain(value, lines=lines)
        case dict():
            return {
                all_plain(key, lines=lines): all_plain(each, lines=lines)
                for key, each in value.items()
            }
        case list() | tuple():
            return [all_plain(each, lines=lines) for each in value]
        case _:
            return value
