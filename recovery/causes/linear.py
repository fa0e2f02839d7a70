"""Expressions whose cost grows with the length of what they search, and no faster.

``A.*B`` searched in a text of many A and no B begins anew at each A: quadratic, and the text is a
stranger's. The same question asked once, "is there a B after the first A?", is linear.
"""

from __future__ import annotations

import re


def linear(*patterns: str) -> re.Pattern[str]:
    """Any of these patterns, ignoring case; in each alternative ``.*`` stands between parts that
    follow each other.

    A gap inside a group is refused with ValueError: write its alternatives apart, or join them with
    ``after``.
    """
    return re.compile(
        "|".join(_searched(each) for pattern in patterns for each in alternatives(pattern)),
        re.IGNORECASE,
    )


def after(first: str, *patterns: str) -> str:
    """One of ``patterns`` somewhere in a text that also has ``first``: for tables that share their
    words with others."""
    each = (_anchored(each) for pattern in patterns for each in alternatives(pattern))
    return f"^(?=.*?{first})(?:{'|'.join(each)})"


def last(pattern: str, without: str) -> str:
    """``pattern`` with no ``without`` anywhere after it."""
    return f"^(?>(?:.*(?:{without}))?).*?(?:{pattern})"


def alternatives(pattern: str) -> tuple[str, ...]:
    """The pattern cut at its outermost bars."""
    found, depth, begun, escaped, listed = [], 0, 0, False, False
    for place, character in enumerate(pattern):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif listed:
            listed = character != "]"
        elif character == "[":
            listed = True
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "|" and depth == 0:
            found.append(pattern[begun:place])
            begun = place + 1
    return (*found, pattern[begun:])


def _searched(alternative: str) -> str:
    if alternative.startswith("^") or ".*" not in alternative:
        return f"(?:{alternative})"
    return f"(?:^{_anchored(alternative)})"


def _anchored(alternative: str) -> str:
    """The same from the beginning of the text: each part is looked for once, after the one before
    it."""
    if alternative.startswith("^"):
        return alternative[1:]
    *before, wanted = _parts(alternative)
    return "".join(f"(?>.*?(?:{part}))" for part in before) + f".*?(?:{wanted})"


def _parts(alternative: str) -> list[str]:
    parts = [part for part in alternative.split(".*") if part]
    for part in parts:
        try:
            re.compile(part)
        except re.error as error:
            raise ValueError(f"a gap inside a group: {alternative!r}") from error
    return parts
