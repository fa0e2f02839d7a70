"""In which fields an application differs from Git: what the dry run of a sync would change, without
one being run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

MAX_FIELDS = 20
"""Of one resource, at most."""


def drift(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """From Argo CD's managed-resources (its own comparison, already normalised): names of fields,
    never their values."""
    found = []
    for item in items:
        if item.get("hook"):
            continue
        live, wanted = (
            _state(item.get("normalizedLiveState")),
            _state(item.get("predictedLiveState")),
        )
        name = f"{item.get('kind')}/{item.get('namespace') or ''}/{item.get('name')}"
        if _state(item.get("targetState")) is None and live is not None:
            found.append({"resource": name, "differs": "it is not in Git and would be pruned"})
        elif live is None:
            found.append(
                {"resource": name, "differs": "it is not in the cluster and would be created"}
            )
        elif live != wanted and wanted is not None:
            found.append(
                {
                    "resource": name,
                    "differs": ", ".join(list(_paths(live, wanted, ""))[:MAX_FIELDS]),
                }
            )
    return found


def _state(text: Any) -> Any:
    return msgspec.json.decode(text) if isinstance(text, str) and text not in ("", "null") else None


def _paths(live: Any, wanted: Any, at: str) -> Iterator[str]:
    if isinstance(live, dict) and isinstance(wanted, dict):
        for key in sorted(live.keys() | wanted.keys()):
            yield from _paths(live.get(key), wanted.get(key), f"{at}.{key}")
    elif isinstance(live, list) and isinstance(wanted, list) and len(live) == len(wanted):
        for index, (a, b) in enumerate(zip(live, wanted, strict=True)):
            yield from _paths(a, b, f"{at}[{index}]")
    elif live != wanted:
        yield at or "."
