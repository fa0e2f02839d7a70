"""Does Argo CD reconcile an Application? If not, its status is the text of whoever may write it, and is believed for nothing."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from recovery.model.application import Application, Project
from recovery.model.names import SKIP_RECONCILE

RECONCILE_SKIPPED = "reconcile skipped"
"""The guard; reason ReconcileSkipped."""


def unreconciled(app: Application, project: Project | None, home: str) -> str:
    """Why Argo CD, whose namespace is ``home``, does not reconcile it; empty when it does as far as we know."""
    if app.skipped:
        return (
            f"it is annotated {SKIP_RECONCILE}: Argo CD writes nothing into its status, so nothing in it is believed, "
            "and nothing is done until the annotation is gone"
        )
    if app.namespace == home:
        return ""
    if project is None:
        return f"its AppProject {app.project or 'default'} is not known: whether it may be in namespace {app.namespace} cannot be told"
    if not any(_matches(pattern, app.namespace) for pattern in project.source_namespaces):
        return (
            f"AppProject {project.name} takes no applications of namespace {app.namespace} (spec.sourceNamespaces): "
            "Argo CD does not reconcile it, and nothing in its status is believed"
        )
    return ""


def _matches(pattern: str, namespace: str) -> bool:
    """A glob, or a regular expression between slashes (util/glob/list.go:MatchStringInList)."""
    if len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/"):
        try:
            return re.search(pattern[1:-1], namespace) is not None
        except re.error:
            return False
    return fnmatchcase(namespace, pattern)
