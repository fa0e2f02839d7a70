"""Is a live object proven to be an Application's? Only then is it touched, or quoted.

What an Application says it consists of is its owner's text. The proof is on the object itself: Argo
CD's tracking (util/argo/resource_tracking.go:GetAppName, controller/state.go:isSelfReferencedObj),
and the AppProject.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from recovery.decide.placement import permitted
from recovery.model.application import Application, Destination, Project
from recovery.model.argocd_version import ArgoCDFeatures
from recovery.model.connection import IN_CLUSTER_SERVER, Cluster
from recovery.model.names import TRACKING
from recovery.model.text import plain

NOT_OWNED = "NotOwned"
"""Reason of a step that would have touched what is not proven to be the Application's."""
INSTALLATION = "argocd.argoproj.io/installation-id"
"""Annotation that tells several Argo CDs of one cluster apart
(common/common.go:AnnotationInstallationID)."""
INSTANCE_LABEL = "app.kubernetes.io/instance"
_METHODS = ("annotation", "label", "annotation+label")


class Tracking(Struct, frozen=True):
    """How one Argo CD marks what it deploys, from ConfigMap argocd-cm."""

    method: str = ""
    """application.resourceTrackingMethod; empty where it is not set, and then the version
    decides."""
    label: str = INSTANCE_LABEL
    """application.instanceLabelKey."""
    installation: str = ""
    """installationID; empty where there is one Argo CD."""

    def by_label(self, version: ArgoCDFeatures) -> bool:
        """Is a label the only mark? The default until 2.14; since 3.0, and where the version is not
        known, the annotation is."""
        if self.method in _METHODS:
            return self.method == "label"
        return version.known and version.version < (3, 0)


def instance_of(app: Application, home: str) -> str:
    """How Argo CD calls an Application in what it tracks: with its namespace where that is not Argo
    CD's own (pkg/apis/application/v1alpha1/types.go:InstanceName)."""
    return app.name if app.namespace == home else f"{app.namespace}_{app.name}"


def untracked(
    app: Application,
    live: Mapping[str, Any],
    tracking: Tracking,
    version: ArgoCDFeatures,
    home: str,
) -> str:
    """Why this live object's own marks do not say that the Application deployed it; empty when they
    do."""
    meta = live.get("metadata") or {}
    notes, labels = meta.get("annotations") or {}, meta.get("labels") or {}
    instance = instance_of(app, home)
    if tracking.by_label(version):
        said = str(labels.get(tracking.label, ""))
        return (
            ""
            if said == instance
            else f"its label {tracking.label} is {_shown(said)}, not {instance!r}"
        )
    mark = str(notes.get(TRACKING, ""))
    if not mark:
        unsure = not tracking.method and not version.known
        more = (
            "; if Argo CD tracks by label, set application.resourceTrackingMethod in argocd-cm"
            if unsure
            else ""
        )
        return f"it has no annotation {TRACKING}{more}"
    installation = str(notes.get(INSTALLATION, ""))
    if installation != tracking.installation:
        return (
            f"its annotation {INSTALLATION} is {_shown(installation)}, and this Argo CD's ID is"
            f" {_shown(tracking.installation)}"
        )
    said, _, about = mark.partition(":")
    if said != instance:
        return f"its annotation {TRACKING} names another application"
    if about != itself(live):
        return f"its annotation {TRACKING} is of another object, from which it was copied"
    return ""


def itself(live: Mapping[str, Any]) -> str:
    """How a tracking annotation names the object that it stands on: a copied one names another."""
    meta, group = live.get("metadata") or {}, str(live.get("apiVersion", "")).rpartition("/")[0]
    return f"{group}/{live.get('kind', '')}:{meta.get('namespace', '')}/{meta.get('name', '')}"


def unpermitted(app: Application, namespace: str, project: Project | None, here: Cluster) -> str:
    """Why the Application's AppProject does not let it deploy to this namespace of ``here``, Argo
    CD's own cluster; empty when it does. A project names that cluster as its Secret does, where it
    has one (util/db/cluster.go:GetCluster)."""
    if project is None:
        return f"AppProject {app.project or 'default'} is not known"
    if not app.destination.in_cluster:
        return (
            f"it deploys to {app.destination.cluster}, and this object is in Argo CD's own cluster"
        )
    if not permitted(project, Destination(IN_CLUSTER_SERVER, "", namespace), here):
        return f"AppProject {project.name} does not permit namespace {namespace or '(none)'}"
    return ""


def _shown(word: str) -> str:
    return repr(plain(word, 80)) if word else "not set"
