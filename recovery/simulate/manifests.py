"""Small manifests whose image tags say how their pods behave; the same on the embedded cluster and
on a real one."""

from __future__ import annotations

from typing import Any

REGISTRY = "registry.example/shop"


def deployment(name: str, tag: str = "ready", deadline: int = 60) -> dict[str, Any]:
    """A Deployment of one replica; ``deadline`` is its progressDeadlineSeconds."""
    return _workload("Deployment", name, tag) | {
        "spec": {**_workload("Deployment", name, tag)["spec"], "progressDeadlineSeconds": deadline}
    }


def stateful_set(name: str, tag: str = "ready") -> dict[str, Any]:
    """A StatefulSet of one replica whose pods are replaced even while they are not ready (the
    default policy, OrderedReady, waits for a broken pod to get ready before it replaces it; seen on
    Kubernetes 1.34)."""
    manifest = _workload("StatefulSet", name, tag)
    manifest["spec"]["podManagementPolicy"] = "Parallel"
    manifest["spec"]["serviceName"] = name
    return manifest


def daemon_set(name: str, tag: str = "ready") -> dict[str, Any]:
    """A DaemonSet that behaves as its image says."""
    manifest = _workload("DaemonSet", name, tag)
    del manifest["spec"]["replicas"]
    return manifest


def custom(kind: str, name: str) -> dict[str, Any]:
    """An object of a custom kind, in the group ``shop.example``."""
    return {"apiVersion": "shop.example/v1", "kind": kind, "metadata": {"name": name}, "spec": {}}


def _workload(kind: str, name: str, tag: str) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": f"{REGISTRY}:{tag}"}]},
            },
        },
    }
