"""The throwaway Application of a drill: how it is made, what it may be, how it is broken."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from recovery.model.application import Application, Destination
from recovery.model.connection import IN_CLUSTER_SERVER
from recovery.model.names import PREFIX, RESOURCES_FINALIZER

DRILL = PREFIX + "drill"
"""Label: ``allowed`` on a namespace that is kept for drills, ``true`` on a drill's Application."""
ALLOWED = "allowed"
NAME_PREFIX = "recovery-drill-"
IMAGES_AT_MOST = 10
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""A revision of Git; a chart's is a version."""


class Unfit(Exception):
    """A drill cannot be made of this; the message says why, and what would be right."""


class Drill(Struct, frozen=True):
    """Choices of one drill: what is deployed, where, and how it is broken."""

    id: str
    repo: str
    path: str
    namespace: str
    """Labelled for drills; nothing else is in it."""
    argocd_namespace: str = "argocd"
    revision: str = "HEAD"
    project: str = ""
    """An AppProject that permits no more than the namespace; empty: one is made for the drill."""
    labels: dict[str, str] = {}
    """Of the Application: policies and routes select by them."""
    helm_parameter: str = "image.tag"
    """Of a chart: the parameter that chooses the image's tag."""

    @property
    def name(self) -> str:
        """The Application's name."""
        return f"{NAME_PREFIX}{self.id}"

    @property
    def in_project(self) -> str:
        """The AppProject it belongs to."""
        return self.project or self.name

    @property
    def tag(self) -> str:
        """A tag that no image has."""
        return f"{NAME_PREFIX}{self.id}"

    def subject(self) -> Application:
        """The Application as policies and routes see it, before it is there."""
        return Application(
            namespace=self.argocd_namespace,
            name=self.name,
            uid="",
            resource_version="",
            project=self.in_project,
            labels={**self.labels, DRILL: "true"},
            destination=Destination(server=IN_CLUSTER_SERVER, namespace=self.namespace),
            repositories=(self.repo,),
            auto_sync=True,
            self_heal=True,
        )


def manifest(drill: Drill) -> dict[str, Any]:
    """The Application without a sync policy: it is compared first, and nothing is deployed."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": drill.name, "labels": {**drill.labels, DRILL: "true"}},
        "spec": {
            "project": drill.in_project,
            "source": {
                "repoURL": drill.repo,
                "path": drill.path,
                "targetRevision": drill.revision,
            },
            "destination": {"server": IN_CLUSTER_SERVER, "namespace": drill.namespace},
        },
    }


def project_of(drill: Drill) -> dict[str, Any]:
    """An AppProject for this drill: Argo CD lets it deploy nothing, hooks included, but into the
    namespace, and from nowhere but the repository."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": drill.name, "labels": {DRILL: "true"}},
        "spec": {
            "description": "a recovery drill; it is deleted with it",
            "sourceRepos": [drill.repo],
            "destinations": [{"server": IN_CLUSTER_SERVER, "namespace": drill.namespace}],
            "clusterResourceWhitelist": [],
        },
    }


def wider(drill: Drill, project: dict[str, Any]) -> str:
    """The parts in which an AppProject permits more than the namespace; empty for none."""
    spec = project.get("spec") or {}
    places = [each.get("namespace", "") for each in spec.get("destinations") or ()]
    found = [f"destination namespace {each!r}" for each in places if each != drill.namespace]
    if spec.get("clusterResourceWhitelist"):
        found.append("clusterResourceWhitelist")
    return ", ".join(found[:5])


def enabled(application: dict[str, Any]) -> dict[str, Any]:
    """The patch that lets Argo CD deploy what it has compared, at that commit and no later one, and
    take all of it away again when it is deleted."""
    revision = ((application.get("status") or {}).get("sync") or {}).get("revision") or ""
    pinned = {"source": {"targetRevision": revision}} if COMMIT.fullmatch(revision) else {}
    return {
        "metadata": {"finalizers": [RESOURCES_FINALIZER]},
        "spec": {"syncPolicy": {"automated": {"prune": True, "selfHeal": True}}, **pinned},
    }


def outside(drill: Drill, application: dict[str, Any]) -> str:
    """The resources that it would deploy anywhere but in the drill's namespace; empty for none."""
    rows = (application.get("status") or {}).get("resources") or []
    strays = [
        f"{row.get('kind', '')}/{row.get('name', '')}"
        + (f" in {row['namespace']}" if row.get("namespace") else " of the cluster")
        for row in rows
        if row.get("namespace") != drill.namespace
    ]
    return ", ".join(strays[:5]) + (f" and {len(strays) - 5} more" if len(strays) > 5 else "")


def breaking(drill: Drill, application: dict[str, Any]) -> dict[str, Any]:
    """The patch that asks for an image which does not exist, at the same revision. Raises Unfit
    where the source's type has no override of images."""
    status = application.get("status") or {}
    kind = status.get("sourceType") or "unknown"
    if kind == "Kustomize":
        images = _names((status.get("summary") or {}).get("images") or ())
        if not images:
            raise Unfit(f"{drill.path} runs no image, so none can be broken")
        return {
            "spec": {
                "source": {"kustomize": {"images": [f"{each}:{drill.tag}" for each in images]}}
            }
        }
    if kind == "Helm":
        parameter = {"name": drill.helm_parameter, "value": drill.tag, "forceString": True}
        return {"spec": {"source": {"helm": {"parameters": [parameter]}}}}
    raise Unfit(
        f"{drill.path} is of type {kind}; its image can be overridden in an Application of"
        " type Kustomize or Helm only"
    )


def _names(images: Iterable[str]) -> list[str]:
    """Names without tag and digest."""
    found = []
    for image in images:
        name = image.partition("@")[0]
        head, colon, tag = name.rpartition(":")
        found.append(head if colon and "/" not in tag else name)
    return list(dict.fromkeys(found))[:IMAGES_AT_MOST]


def leftover(application: Application, killed: str, namespace: str) -> bool:
    """Is it the Application of the drill that held the Lease, by its name, its label and where it
    deploys?"""
    return (
        application.name == killed
        and killed.startswith(NAME_PREFIX)
        and (application.labels or {}).get(DRILL) == "true"
        and application.destination.in_cluster
        and application.destination.namespace == namespace
    )
