"""Whole objects as the API server gives them, decoded at one door."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from recovery.kube.errors import Invalid

T = TypeVar("T")
DEEPEST_JSON = 200
"""Levels of nesting that are kept. An API server takes ten thousand; decoding them would use up the
interpreter's stack, for the whole page that the object is on."""
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[{]++|[\]}]++', re.DOTALL)


def decoded(raw: bytes | msgspec.Raw, kind: type[T]) -> T:
    """One object; Invalid when it is not of this kind, or nested deeper than can be read."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except RecursionError as error:
        raise Invalid("it is nested deeper than can be read") from error
    except msgspec.DecodeError as error:
        raise Invalid(f"it cannot be read: {error}") from error


def shallow(raw: bytes) -> bytes:
    """The same JSON with ``null`` for what is nested deeper than 200 levels; in one pass, in
    proportion to its length."""
    kept: list[bytes] = []
    depth = begun = 0
    for token in _TOKENS.finditer(raw):
        first, many = token.start(), token.end() - token.start()
        if raw[first] in b"[{":
            if depth <= DEEPEST_JSON < depth + many:
                kept += (raw[begun : first + DEEPEST_JSON - depth], b"null")
            depth += many
        elif raw[first] in b"]}":
            if depth - many <= DEEPEST_JSON < depth:
                begun = first + depth - DEEPEST_JSON
            depth -= many
    if depth <= DEEPEST_JSON:
        kept.append(raw[begun:])
    return b"".join(kept)


def older(version: str, than: str) -> bool:
    """Is a resourceVersion of before another one? Kubernetes calls them opaque; every API server
    there is counts them up. False where one of them is no number: nobody knows."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)
