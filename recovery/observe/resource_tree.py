"""Observations: what a resource tree, a pod, a workload or an event tells of why something is not
well. Bytes in, lean values out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from recovery.argocd.tree import Node
from recovery.causes.envelope import received
from recovery.causes.workloads import WAITS_FOR_A_NODE
from recovery.model.cause import UnhealthyResource
from recovery.model.text import plain
from recovery.model.timestamps import utc

MAX_UNHEALTHY = 20
_WORDS = 2_000


def _name(text: object) -> str:
    return plain(str(text or ""), 253)


def ill(tree: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes that are not well: pods first, for they tell why. A Rollout that is paused says why
    it is."""
    bad = [
        n
        for n in tree
        if n.status not in ("", "Healthy", "Suspended")
        or (n.status == "Suspended" and n.kind == "Rollout")
    ]
    return tuple(sorted(bad, key=lambda n: (n.kind != "Pod", n.status != "Degraded")))


def unwell(tree: Iterable[Node]) -> tuple[UnhealthyResource, ...]:
    """Unhealthy nodes of a tree, at most 20, in its own words."""
    return tuple(
        UnhealthyResource(
            n.kind,
            n.name,
            n.namespace,
            n.group,
            n.status,
            received(n.health.message if n.health else "", _WORDS),
            WAITS_FOR_A_NODE if _waits(n) else plain(n.told("Status Reason"), _WORDS),
            utc(n.created_at),
        )
        for n in ill(tree)[:MAX_UNHEALTHY]
    )


def _waits(node: Node) -> bool:
    """Argo CD shows the node that a Pod is on (util/argo resource info,
    controller/cache/info.go:populatePodInfo)."""
    return (
        node.kind == "Pod"
        and not node.group
        and node.told("Status Reason") == "Pending"
        and not node.told("Node")
    )


def of_pod(pod: dict[str, Any]) -> tuple[UnhealthyResource, ...]:
    """Observations that a Pod gives of itself: its containers' states, the last one too, and why it
    has no node."""
    meta, status = pod.get("metadata") or {}, pod.get("status") or {}
    found: list[tuple[str, str]] = []
    unbound = [
        c
        for c in status.get("conditions") or ()
        if c.get("type") == "PodScheduled" and c.get("status") == "False"
    ]
    found += [(str(c.get("reason", "")), str(c.get("message", ""))) for c in unbound]
    for container in (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ):
        if container.get("ready") and not (container.get("state") or {}).get("waiting"):
            continue
        last, now = (
            (container.get("lastState") or {}).get("terminated"),
            container.get("state") or {},
        )
        for ended in filter(None, (last, now.get("terminated"))):
            if ended.get("exitCode") != 0:
                # Not its own last words: they may say anything, and are the application's.
                found.append(
                    (
                        str(ended.get("reason", "")),
                        f"a container ended with exit code {ended.get('exitCode')}",
                    )
                )
        if (waiting := now.get("waiting")) and waiting.get("reason") not in (
            "ContainerCreating",
            "PodInitializing",
        ):
            found.append((str(waiting.get("reason", "")), str(waiting.get("message", ""))))
    if status.get("reason"):
        found.append((str(status["reason"]), str(status.get("message", ""))))
    health = "Degraded" if found else "Progressing"
    return tuple(
        UnhealthyResource(
            "Pod",
            _name(meta.get("name")),
            _name(meta.get("namespace")),
            "",
            health,
            received(message, _WORDS),
            _name(reason),
        )
        for reason, message in found
    )


def of_workload(kind: str, item: dict[str, Any]) -> tuple[UnhealthyResource, ...]:
    """Observations that a Deployment, ReplicaSet, StatefulSet, DaemonSet or Job says in its
    conditions."""
    meta = item.get("metadata") or {}
    found = []
    for condition in (item.get("status") or {}).get("conditions") or ():
        late = condition.get("type") == "Progressing" and condition.get("status") == "False"
        failed = (
            condition.get("type") in ("ReplicaFailure", "Failed")
            and condition.get("status") == "True"
        )
        if late or failed:
            found.append(
                UnhealthyResource(
                    kind,
                    _name(meta.get("name")),
                    _name(meta.get("namespace")),
                    "",
                    "Degraded",
                    received(str(condition.get("message", "")), _WORDS),
                    _name(condition.get("reason")),
                    utc(condition.get("lastTransitionTime")),
                )
            )
    return tuple(found)


def of_events(items: Iterable[dict[str, Any]]) -> tuple[UnhealthyResource, ...]:
    """Warnings among Events, the newest first."""
    warned = [i for i in items if i.get("type") == "Warning"]
    warned.sort(key=lambda i: str(i.get("lastTimestamp") or i.get("eventTime") or ""), reverse=True)
    found = []
    for item in warned[:MAX_UNHEALTHY]:
        about = item.get("involvedObject") or {}
        words = received(str(item.get("message", "")), _WORDS)
        found.append(
            UnhealthyResource(
                _name(about.get("kind")),
                _name(about.get("name")),
                _name(about.get("namespace")),
                "",
                "",
                words,
                _name(item.get("reason")),
                utc(item.get("lastTimestamp")),
            )
        )
    return tuple(found)
