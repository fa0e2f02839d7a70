"""Names that more than one stage has to spell the same way."""

from __future__ import annotations

from typing import NamedTuple

PREFIX = "recovery.gitops.dev/"
HOLD = PREFIX + "hold"
"""Annotation: what we owe an application back (a Hold as JSON)."""
REFRESH_TIMESTAMP = "argocd.argoproj.io/refresh-timestamp"
REFRESH = "argocd.argoproj.io/refresh"
"""Annotation: Argo CD re-reads Git and the cluster, then removes it
(util/argo/argo.go:RefreshApp)."""
RESOURCES_FINALIZER = "resources-finalizer.argocd.argoproj.io"
"""Argo CD deletes what an Application deployed before it is gone
(pkg/apis/application/v1alpha1/application_defaults.go:ResourcesFinalizerName)."""
SKIP_RECONCILE = "argocd.argoproj.io/skip-reconcile"
SYNC_WAVE = "argocd.argoproj.io/sync-wave"
"""Annotation: children of an app-of-apps come in this order, the lowest number first."""
TRACKING = "argocd.argoproj.io/tracking-id"
FAILOVER_TO = PREFIX + "failover-to"
"""Label on a cluster's Secret: where its applications go when it is down; stronger than the
policy's target_cluster."""
USERNAME = "gitops-recovery-controller"
"""initiatedBy.username of our operations, field manager of our writes, source of our Events."""
INFO = "recovery.gitops.dev/recovery"
"""Name of the entry in operation.info that carries the recovery's name."""


class SubjectKey(NamedTuple):
    """A subject: what a policy looks at, what the queue holds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return (
            f"{self.namespace}/{self.name}"
            if self.kind == "application"
            else f"{self.kind}/{self.name}"
        )


STRANGERS = "(no project)"
"""What an Application counts as that names a project which does not take it."""
