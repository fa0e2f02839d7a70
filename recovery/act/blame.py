"""Did this deploy make it ill? A rollback needs a resource that is ill and that this very deploy
changed or brought."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from msgspec import Struct

from recovery.act import workloads
from recovery.act.action import ActionRequest, Clients, Workload
from recovery.act.restart import NOTHING_DEGRADED
from recovery.kube.errors import KubeError
from recovery.model.application import OPAQUE, UNCHANGED, Health, Phase, alike, short
from recovery.model.situation import HealthyRevision
from recovery.model.text import plain

APPLICATION = "Application"

SHOWN_RESOURCES = 3


class ResourceKey(Struct, frozen=True):
    """One resource of an application, as every list of Argo CD's names it (gitops-engine
    pkg/utils/kube.ResourceKey)."""

    group: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> ResourceKey:
        """From a row of status.resources or of a sync's result."""
        return cls(*(str(row.get(field) or "") for field in ("group", "kind", "namespace", "name")))

    @classmethod
    def of_manifest(cls, item: dict[str, Any], home: str) -> ResourceKey:
        """From a manifest; ``home`` is the application's own namespace, where the manifest names
        none."""
        meta = item.get("metadata") or {}
        group = str(item.get("apiVersion", "")).rpartition("/")[0]
        return cls(
            group,
            str(item.get("kind", "")),
            str(meta.get("namespace") or home),
            str(meta.get("name", "")),
        )

    def __str__(self) -> str:
        return plain(f"{self.kind}/{self.name}", 120)


async def not_this_deploy(
    order: ActionRequest,
    doors: Clients,
    fresh: dict[str, Any],
    good: HealthyRevision,
    *,
    whole: bool,
) -> tuple[str, str]:
    """Reason and words of why going back is not the answer; two empty texts when what is ill is
    what this deploy changed.

    ``whole``: the last operation is the one that brought what is deployed, so that its result tells
    what it changed.
    """
    ill = await _ill(order, doors, fresh)
    if not ill:
        return (
            NOTHING_DEGRADED,
            ("none of its own resources is unhealthy: a rollback would not help"),
        )
    if any(each.kind == APPLICATION for each in ill):
        return (
            "ParentOfOthers",
            f"{_names(ill)} is unhealthy, and a parent is not rolled back for a child",
        )
    if other := _something_else_runs(order, fresh, ill):
        return "UnrelatedToDeploy", other
    changed, unclear = _by_operation(fresh) if whole else _as_seen(order)
    if (
        doors.argocd is not None
        and (unclear is None or unclear & ill)
        and order.app.renderable(good.history_id)
    ):
        with suppress(KubeError):  # then the operation's own word is all there is
            changed, unclear = changed | await _by_manifests(order, doors, good, ill), frozenset()
    if unclear is None or (unclear & ill) - changed:
        what = (
            "another operation followed it"
            if unclear is None
            else "how they were applied does not say so: server-side, or replaced"
        )
        return (
            "DeployUnclear",
            (
                f"whether this deploy changed {_names(ill)} can no longer be seen ({what}):"
                " a person must decide"
            ),
        )
    if others := ill - changed:
        words = f"{_names(others)} is unhealthy, and this deploy did not change it"
        return "UnrelatedToDeploy", words
    return "", ""


async def _ill(
    order: ActionRequest, doors: Clients, fresh: dict[str, Any]
) -> frozenset[ResourceKey]:
    """Own resources of the application that are as ill as the application: Degraded, or Progressing
    where that is the worst there is."""
    worst = (
        {Health.Degraded}
        if order.app.health is Health.Degraded
        else {Health.Degraded, Health.Progressing}
    )
    rows = {
        ResourceKey.of_row(r): r
        for r in (fresh.get("status") or {}).get("resources") or ()
        if isinstance(r, dict)
    }
    found = {
        key
        for key, row in rows.items()
        if str((row.get("health") or {}).get("status", "")) in {h.value for h in worst}
    }
    if doors.argocd is not None:
        nodes = await doors.argocd.unwell(order.app)
        named = {
            ResourceKey(n.group, n.kind, n.namespace, n.name)
            for n in nodes
            if n.status in {h.value for h in worst}
        }
        return frozenset(found | (named & rows.keys()))
    for workload in workloads.of(fresh, tuple(workloads.RESOURCES)):
        what = workloads.RESOURCES[workload.kind]
        state, _ = await doors.owns.owned(order.app, what, workload.namespace, workload.name)
        if state is not None and workloads.health(workload.kind, state) in worst:
            found.add(_of(workload))
    return frozenset(found)


def _something_else_runs(
    order: ActionRequest, fresh: dict[str, Any], ill: frozenset[ResourceKey]
) -> str:
    """Why what is ill is not what the deploy brought: somebody changed it since, by hand or by a
    sync of some resources only."""
    app, operation = order.app, order.app.operation
    part = operation is not None and operation.partial and operation.phase is Phase.Succeeded
    if operation is not None and part and operation.revisions not in ((), app.deployed):
        return (
            f"some of its resources were synced to {short(operation.revisions)} since"
            f" {short(app.deployed)} was deployed"
        )
    if app.revisions != app.deployed or not alike(app.source, app.deployed_source):
        return ""  # what differs from Git may be what was deployed
    rows = (r for r in (fresh.get("status") or {}).get("resources") or () if isinstance(r, dict))
    differs = frozenset(ResourceKey.of_row(r) for r in rows if r.get("status") == "OutOfSync") & ill
    return (
        f"{_names(differs)} is unhealthy, and is not what {short(app.deployed)} brought: it was"
        " changed"
        " since"
        if differs
        else ""
    )


def _as_seen(order: ActionRequest) -> tuple[frozenset[ResourceKey], frozenset[ResourceKey] | None]:
    """The deploy's own operation as the watch has shown it before another one took its place."""
    seen = order.situation.brought
    if seen is None:
        return frozenset(), None
    return frozenset(ResourceKey(*key.split("/", 3)) for key in seen.changed), frozenset()


def _by_operation(fresh: dict[str, Any]) -> tuple[frozenset[ResourceKey], frozenset[ResourceKey]]:
    """Resources that the last operation changed or created, and those of which it does not say."""
    result = ((fresh.get("status") or {}).get("operationState") or {}).get("syncResult") or {}
    rows = [
        r for r in result.get("resources") or () if isinstance(r, dict) and not r.get("hookType")
    ]
    changed = {
        ResourceKey.of_row(r)
        for r in rows
        if not str(r.get("message", "")).endswith((UNCHANGED, *OPAQUE))
    }
    return frozenset(changed), frozenset(
        ResourceKey.of_row(r) for r in rows if str(r.get("message", "")).endswith(OPAQUE)
    )


async def _by_manifests(
    order: ActionRequest, doors: Clients, good: HealthyRevision, ill: frozenset[ResourceKey]
) -> frozenset[ResourceKey]:
    """Of what is ill: what the revision to go back to wants otherwise, or not at all."""
    assert doors.argocd is not None  # noqa: S101 (asked for with a token only)
    home = order.app.destination.namespace
    then = {
        ResourceKey.of_manifest(m, home): m
        for m in await doors.argocd.rendered(order.app, good.revisions)
    }
    now = {
        ResourceKey.of_manifest(m, home): m
        for m in await doors.argocd.rendered(order.app, order.app.deployed)
    }
    return frozenset(each for each in ill if then.get(each) != now.get(each))


def _of(workload: Workload) -> ResourceKey:
    return ResourceKey(workload.group, workload.kind, workload.namespace, workload.name)


def _names(found: frozenset[ResourceKey]) -> str:
    names = sorted(map(str, found))
    return ", ".join(names[:SHOWN_RESOURCES]) + (
        f" and {len(names) - SHOWN_RESOURCES} more" if len(names) > SHOWN_RESOURCES else ""
    )
