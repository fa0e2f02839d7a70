"""What speaks against going back that only a closer look shows: a migration, data that would change its shape, a lost revision."""

from __future__ import annotations

from typing import Any

import msgspec

from recovery.act.order import Doors, Order
from recovery.kube.errors import KubeError
from recovery.model.application import short
from recovery.model.redact import redact
from recovery.model.situation import Good
from recovery.model.stamps import utc
from recovery.model.text import plain

HOOKS = "hooks"
SHAPED = ("StatefulSet", "PersistentVolumeClaim", "CustomResourceDefinition")
"""Kinds whose change an old revision may not be able to live with."""
ALLOWED = (HOOKS, *SHAPED)
_BEFORE = ("PreSync", "Sync")


async def against(order: Order, doors: Doors, fresh: dict[str, Any], good: Good, allow: tuple[str, ...]) -> tuple[str, str]:
    """Reason and words of what speaks against it; two empty texts for nothing. Asked before anything is written."""
    status = fresh.get("status") or {}
    if HOOKS not in allow and not _of_this_deploy(order, status):
        why = "what is deployed now was followed by another operation, and whether hooks ran with it can no longer be seen"
        return "HooksUnknown", f"{why}; `allow: [{HOOKS}]` goes back all the same"
    if HOOKS not in allow and (ran := _migrations(status)):
        why = f"{plain(', '.join(ran), 300)} ran with what is deployed now, and going back does not undo it"
        why += f"; `allow: [{HOOKS}]` goes back all the same"
        return "MigrationHook", why
    guarded = tuple(kind for kind in SHAPED if kind not in allow)
    held = sorted({plain(f"{r.get('kind')}/{r.get('name')}", 300) for r in status.get("resources") or () if r.get("kind") in guarded})
    if doors.argocd is None:
        if held:
            why = f"it has {', '.join(held[:5])}, and without an Argo CD token nobody can see whether they would change"
            return "ShapeUnknown", f"{why}; `allow: [{', '.join(guarded)}]` goes back all the same"
        return "", ""
    try:
        then = _shapes(await doors.argocd.rendered(order.app, good.revisions), guarded)
        now = _shapes(await doors.argocd.rendered(order.app, order.app.deployed), guarded) if held or then else {}
    except KubeError as error:
        told = error.told or str(error)
        return "NotResolvable", f"{short(good.revisions)} cannot be rendered any more: {redact(told, 250)}"
    changed = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    if changed:
        return "ShapeChanges", f"{', '.join(changed[:5])} would change with it; `allow: [{', '.join(guarded)}]` goes back all the same"
    return "", ""


def _of_this_deploy(order: Order, status: dict[str, Any]) -> bool:
    """Is the last operation the one that brought what is deployed? A later one (a self-heal) has taken its result away."""
    deploy, state = order.app.deploy, status.get("operationState") or {}
    if not state or deploy is None or order.app.deployed != deploy.revisions or deploy.began is None:
        return True  # it failed after the last deploy, and is what is deployed; or nobody noted when it began
    return utc(state.get("startedAt")) == deploy.began


def _migrations(status: dict[str, Any]) -> list[str]:
    """Hooks that ran before or during the sync that brought what is deployed now."""
    rows = ((status.get("operationState") or {}).get("syncResult") or {}).get("resources") or ()
    ran = [r for r in rows if r.get("hookType") in _BEFORE and r.get("hookPhase") not in (None, "")]
    return [f"hook {r.get('kind')}/{r.get('name')}" for r in ran[:5]]


def _shapes(manifests: tuple[dict[str, Any], ...], kinds: tuple[str, ...]) -> dict[str, bytes]:
    """What decides on the shape of data, by resource; a StatefulSet's pods may change, its volumes may not."""
    found = {}
    for item in manifests:
        kind, spec = str(item.get("kind", "")), item.get("spec") or {}
        if kind not in kinds:
            continue
        shape = {k: v for k, v in spec.items() if k not in ("template", "replicas")} if kind == "StatefulSet" else spec
        name = f"{kind}/{(item.get('metadata') or {}).get('name', '')}"
        found[name] = msgspec.json.encode(shape, order="deterministic")
    return found
