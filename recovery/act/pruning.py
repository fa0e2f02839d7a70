"""Resources that may be removed along with a sync or a rollback: a few harmless resources of an
application whose owner wants it so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recovery.act.action import ActionRequest
from recovery.decide.guards import inherited
from recovery.model.text import plain

NEVER_PRUNED = (
    "Namespace",
    "CustomResourceDefinition",
    "PersistentVolumeClaim",
    "StatefulSet",
    "Application",
)
PRUNED_AT_MOST, SHARE = 5, 0.1
_UNSURE = ("ComparisonError", "InvalidSpecError", "UnknownError")


def ceiling(
    order: ActionRequest, going: Sequence[dict[str, Any]], of: int, *, auto_prune: bool
) -> tuple[bool, str]:
    """May these of its ``of`` resources go, and if not although the policy would let them: what is
    kept, in words. ``auto_prune``: the application's own automated.prune."""
    if not order.step.parameters.prune or not going:
        return False, ""
    names = plain(", ".join(f"{r.get('kind')}/{r.get('name')}" for r in going[:5]), 300) + (
        " ..." if len(going) > 5 else ""
    )
    reasons = (
        (not auto_prune, "the application's own automated.prune is not set"),
        (inherited(order.situation), "it was unhealthy before this controller was installed"),
        (len(going) > PRUNED_AT_MOST, f"{len(going)} would go, and {PRUNED_AT_MOST} may"),
        (len(going) > SHARE * of, f"{len(going)} of {of} would go, and {SHARE:.0%} may"),
        (
            any(r.get("kind") in NEVER_PRUNED for r in going),
            f"none of {', '.join(NEVER_PRUNED)} is ever pruned",
        ),
        (any(c.type in _UNSURE for c in order.app.conditions), "Argo CD could not compare it"),
    )
    why = next((words for refused, words in reasons if refused), "")
    return (False, f"kept {names}: {why}") if why else (True, "")
