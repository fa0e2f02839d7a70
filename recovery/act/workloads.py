"""Which workloads of an application are unwell, read in the cluster this controller runs in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from recovery.act.order import Workload
from recovery.kube.client import DAEMON_SETS, DEPLOYMENTS, STATEFUL_SETS, Client, Resource
from recovery.model.stamps import utc

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
"""The annotation kubectl rollout restart sets on the pod template; Git does not know it, so self-heal leaves it."""

RESOURCES: dict[str, Resource] = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS, "DaemonSet": DAEMON_SETS}
MOST = 200
"""Workloads of one application that are looked at; what its owner lists beyond them costs nobody anything."""


def of(fresh: dict[str, Any], kinds: tuple[str, ...]) -> tuple[Workload, ...]:
    """The workloads of these kinds that an Application says it manages, from its whole object, at most 200. Its owner may have
    written them: each has to be proven before it is touched (argocd/ownership.py)."""
    resources = (fresh.get("status") or {}).get("resources") or []
    return tuple(
        Workload(_word(r, "group"), _word(r, "kind"), _word(r, "namespace"), _word(r, "name"), _word(r, "version") or "v1")
        for r in resources
        if isinstance(r, dict) and r.get("kind") in kinds and not r.get("requiresPruning")
    )[:MOST]


def _word(row: dict[str, Any], field: str) -> str:
    return str(row.get(field) or "")


def unwell(kind: str, found: dict[str, Any]) -> bool:
    """Fewer pods ready than wanted, or a rollout past its deadline."""
    spec, status = found.get("spec") or {}, found.get("status") or {}
    if kind == "DaemonSet":
        return int(status.get("numberReady", 0)) < int(status.get("desiredNumberScheduled", 0))
    late = any(c.get("type") == "Progressing" and c.get("status") == "False" for c in status.get("conditions") or ())
    return late or int(status.get("readyReplicas", 0)) < int(spec.get("replicas", 1))


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
        "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: at.strftime("%Y-%m-%dT%H:%M:%SZ")}}}},
    }
    await kube.patch(RESOURCES[workload.kind], workload.namespace, workload.name, body)
