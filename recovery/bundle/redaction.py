"""Objects without what is secret in them: by kind, by the name of a field, and by what a text looks
like."""

from __future__ import annotations

import re
from typing import Any

from recovery.model.redact import redact

_TEXT = 4_000
_SECRET_FIELD = re.compile(
    r"pass(?:word|wd|phrase)?s?$|pwd$|tokens?$|^secrets?$|(?:client|app|shared|webhook)secret|credentials?$"
    r"|(?:private|api|access|secret|encryption|signing|master|session)keys?$|^auth$|authorization",
    re.IGNORECASE,
)
_FLAG = re.compile(r"^--?[\w.-]+$")
_DROPPED = ("managedFields", "kubectl.kubernetes.io/last-applied-configuration")
_DEEPEST = 60


def clean(item: Any, deep: int = 0) -> Any:
    """The object as it may be shown. A part that cannot be cleaned is left out, the rest stays."""
    try:
        return _clean(item, deep)
    except (RecursionError, TypeError, ValueError) as error:
        return f"(left out: {type(error).__name__})"


def _clean(item: Any, deep: int) -> Any:
    if deep > _DEEPEST:
        return "(left out: nested too deeply)"
    if isinstance(item, str):
        return redact(item, _TEXT, lines=True)
    if isinstance(item, list):
        return _arguments([clean(each, deep + 1) for each in item])
    if not isinstance(item, dict):
        return item
    if item.get("kind") == "Secret" and ("data" in item or "stringData" in item):
        return {
            **{k: clean(v, deep + 1) for k, v in item.items() if k not in ("data", "stringData")},
            "data": "(never collected)",
        }
    if "name" in item and item.get("value") and _SECRET_FIELD.search(_plain(str(item["name"]))):
        item = {**item, "value": "***"}  # an environment variable, or a Helm parameter
    return {
        k: _masked(v) if _SECRET_FIELD.search(_plain(str(k))) else clean(v, deep + 1)
        for k, v in item.items()
        if k not in _DROPPED
    }


def _masked(value: Any) -> Any:
    """Whatever stands under such a name, but for a reference to where the secret is, and for yes
    and no."""
    if value is None or isinstance(value, bool):
        return value
    return (
        clean(value)
        if isinstance(value, dict)
        and value.keys() <= {"name", "key", "optional", "secretName", "namespace"}
        else "***"
    )


def _arguments(items: list[Any]) -> list[Any]:
    """``--redis-password`` and its value, as two items of a command."""
    pairs = zip(["", *items], items, strict=False)
    return [
        "***"
        if isinstance(a, str)
        and isinstance(b, str)
        and _FLAG.match(a)
        and _SECRET_FIELD.search(_plain(a))
        else b
        for a, b in pairs
    ]


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(".", "")
