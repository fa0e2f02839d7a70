"""Which workloads of an application are unwell, read in the cluster this controller runs in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from recovery.act.action import Workload
from recovery.kube.client import DAEMON_SETS, DEPLOYMENTS, STATEFUL_SETS, Client, Resource
from recovery.model.application import Health
from recovery.model.timestamps import utc

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
"""The annotation kubectl rollout restart sets on the pod template; Git does not know it, so
self-heal leaves it."""

RESOURCES: dict[str, Resource] = {
    "Deployment": DEPLOYMENTS,
    "StatefulSet": STATEFUL_SETS,
    "DaemonSet": DAEMON_SETS,
}
MAX_WORKLOADS = 200
"""Workloads of one application that are looked at; what its owner lists beyond them costs nobody
anything."""


def of(fresh: dict[str, Any], kinds: tuple[str, ...]) -> tuple[Workload, ...]:
    """The workloads of these kinds that an Application says it manages, from its whole object, at
    most 200. Its owner may have written them: each has to be proven before it is touched
    (argocd/ownership.py)."""
    resources = (fresh.get("status") or {}).get("resources") or []
    return tuple(
        Workload(
            _word(r, "group"),
            _word(r, "kind"),
            _word(r, "namespace"),
            _word(r, "name"),
            _word(r, "version") or "v1",
        )
        for r in resources
        if isinstance(r, dict) and r.get("kind") in kinds and not r.get("requiresPruning")
    )[:MAX_WORKLOADS]


def _word(row: dict[str, Any], field: str) -> str:
    return str(row.get(field) or "")


def health(kind: str, found: dict[str, Any]) -> Health:
    """Argo CD's word for one live workload (gitops-engine pkg/health/health_deployment.go,
    health_statefulset.go, health_daemonset.go). A Deployment is Degraded past its progress deadline
    only; the other kinds never are."""
    spec, status = found.get("spec") or {}, found.get("status") or {}
    if kind == "Deployment" and spec.get("paused"):
        return Health.Suspended
    seen = int(status.get("observedGeneration") or 0)
    if seen < int((found.get("metadata") or {}).get("generation") or 0) or (
        kind == "StatefulSet" and not seen
    ):
        return Health.Progressing
    if kind == "Deployment" and _progress(found) == "ProgressDeadlineExceeded":
        return Health.Degraded
    return (
        Health.Progressing if rolling(kind, found) or _lacks_pods(kind, found) else Health.Healthy
    )


def rolling(kind: str, found: dict[str, Any]) -> bool:
    """Is it in the middle of a rollout: do pods of an older template still stand, or of the newest
    not yet?"""
    spec, status = found.get("spec") or {}, found.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(
        (found.get("metadata") or {}).get("generation") or 0
    ):
        return True
    if kind == "Deployment":
        updated = int(status.get("updatedReplicas") or 0)
        return updated < int(spec.get("replicas", 1)) or int(status.get("replicas") or 0) > updated
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return False
    if kind == "DaemonSet":
        return int(status.get("updatedNumberScheduled") or 0) < int(
            status.get("desiredNumberScheduled") or 0
        )
    partition = (strategy.get("rollingUpdate") or {}).get("partition")
    if partition:
        return int(status.get("updatedReplicas") or 0) < int(spec.get("replicas", 1)) - int(
            partition
        )
    return bool(status.get("updateRevision") != status.get("currentRevision"))


def _serves(kind: str, found: dict[str, Any]) -> str:
    """``49 of its 50`` where more than half of its pods are ready and all of them are of the newest
    template: what is wrong is wrong with a few of them, a node most often. While pods of an older
    template still stand, those are the ready ones."""
    spec, status = found.get("spec") or {}, found.get("status") or {}
    if kind == "DaemonSet":
        ready, wanted = (
            int(status.get("numberReady") or 0),
            int(status.get("desiredNumberScheduled") or 0),
        )
        whole = int(status.get("updatedNumberScheduled") or 0) >= wanted
    else:
        ready, wanted = int(status.get("readyReplicas") or 0), int(spec.get("replicas", 1))
        whole = (
            int(status.get("updatedReplicas") or 0) == int(status.get("replicas") or 0) >= wanted
        )
    return f"{ready} of its {wanted}" if whole and 2 * ready > wanted else ""


def _lacks_pods(kind: str, found: dict[str, Any]) -> bool:
    spec, status = found.get("spec") or {}, found.get("status") or {}
    if kind == "DaemonSet":
        return int(status.get("numberAvailable") or 0) < int(
            status.get("desiredNumberScheduled") or 0
        )
    if kind == "StatefulSet":
        return int(status.get("readyReplicas") or 0) < int(spec.get("replicas", 1))
    return int(status.get("availableReplicas") or 0) < int(status.get("updatedReplicas") or 0)


def _progress(found: dict[str, Any]) -> str:
    """The reason of its condition Progressing."""
    conditions = (found.get("status") or {}).get("conditions") or ()
    return str(
        next((c.get("reason", "") for c in conditions if c.get("type") == "Progressing"), "")
    )


def spared(
    kind: str, found: dict[str, Any], *, progressing: bool, younger: bool, allow: tuple[str, ...]
) -> str:
    """Why its pods are not replaced, in words; empty when they may be.

    ``progressing``: the policy's condition names Progressing, so that what never turns Degraded may
    be restarted. ``younger``: what runs was deployed after the illness began, so that a rollout in
    progress may be the fix. ``allow``: StatefulSet, Recreate.
    """
    spec, status = found.get("spec") or {}, found.get("status") or {}
    state = health(kind, found)
    if state is Health.Suspended:
        return "it is paused"
    if state is Health.Healthy:
        return "it is Healthy"
    if state is not Health.Degraded and not progressing:
        return (
            f"it is {state.value}, not Degraded, and the policy's condition does not name"
            " Progressing"
        )
    if state is not Health.Degraded and rolling(kind, found) and (younger or kind == "Deployment"):
        return "it is in the middle of a rollout"
    ready = int(status.get("readyReplicas") or 0)
    at_once = (spec.get("strategy") or {}).get("type") == "Recreate"
    if (
        kind in ("Deployment", "DaemonSet")
        and not at_once
        and kind not in allow
        and (most := _serves(kind, found))
    ):
        return (
            f"{most} pods are ready, and a restart would replace them as well; `allow: [{kind}]`"
            " lets it"
        )
    if kind == "StatefulSet" and ready and "StatefulSet" not in allow:
        of = spec.get("replicas", 1)
        return (
            f"{ready} of its {of} pods are ready, and a restart would take them as well; `allow:"
            " [StatefulSet]` lets it"
        )
    if at_once and ready and "Recreate" not in allow:
        return (
            f"{ready} of its pods are ready, and its strategy is Recreate: all would go at once;"
            " `allow: [Recreate]` lets it"
        )
    return ""


def deadline(found: dict[str, Any]) -> timedelta:
    """progressDeadlineSeconds plus a minute: sooner, nobody can say that a rollout failed."""
    return timedelta(seconds=int((found.get("spec") or {}).get("progressDeadlineSeconds", 0)) + 60)


def restarted_at(found: dict[str, Any]) -> datetime | None:
    """When it was last restarted by annotation, UTC."""
    template = ((found.get("spec") or {}).get("template") or {}).get("metadata") or {}
    return utc((template.get("annotations") or {}).get(RESTARTED_AT))


async def restart(kube: Client, workload: Workload, version: str, at: datetime) -> None:
    """Replace its pods as ``kubectl rollout restart`` does, unless it changed since it was read."""
    body = {
        "metadata": {"resourceVersion": version},
        "spec": {
            "template": {
                "metadata": {"annotations": {RESTARTED_AT: at.strftime("%Y-%m-%dT%H:%M:%SZ")}}
            }
        },
    }
    await kube.patch(RESOURCES[workload.kind], workload.namespace, workload.name, body)
