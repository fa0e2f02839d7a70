"""Names of fields in the objects that we keep in Kubernetes."""

from __future__ import annotations


def api_name(field: str) -> str:
    """A field as Kubernetes spells it: camelCase, a time as ``...Time``.

    ``unhealthy_since`` is ``unhealthySince``, ``opened_at`` is ``openedTime``, ``at`` is ``time``.
    """
    words = field.split("_")
    if words[-1] == "at":
        words[-1] = "time"
    return words[0] + "".join(word.capitalize() for word in words[1:])
