"""Does Argo CD reconcile an Application? If not, its status is the text of whoever may write it, and is believed for nothing."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from recovery.decide.landing import permitted
from recovery.model.application import Application, Project
from recovery.model.connection import Cluster
from recovery.model.names import SKIP_RECONCILE

RECONCILE_SKIPPED = "reconcile skipped"
"""The guard; reason ReconcileSkipped."""

_ATOM = r"(?:[a-z0-9-]|\.|\\\.|\[[a-z0-9-]{1,40}\]|\\d)"
_PLAIN = re.compile(rf"\^?(?:{_ATOM}|\((?:{_ATOM}|\|){{1,100}}\)){{0,60}}(?:{_ATOM}[*+])?{_ATOM}{{0,60}}\$?")
"""Letters, classes and alternatives, and one repetition at most: the time for these is bounded by the length of a namespace squared."""


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


def foreign(app: Application, project: Project | None, cluster: Cluster | None) -> str:
    """Why the AppProject that it names is not its own: then Argo CD neither compares nor syncs it (InvalidSpecError;
    util/argo/argo.go:ValidatePermissions), and it does not count as the project's. ``cluster`` is its destination, where that is known.
    """
    if project is None:
        return f"there is no AppProject {app.project or 'default'}: Argo CD does not sync it"
    if cluster is None or permitted(project, app.destination, cluster):
        return ""
    return f"AppProject {project.name} does not permit its destination, namespace {app.destination.namespace} on {cluster.name}"


def _matches(pattern: str, namespace: str) -> bool:
    """A glob, or a regular expression between slashes (util/glob/list.go:MatchStringInList).

    Go's expressions take time in proportion to the text, Python's may take for ever: only the plain ones are understood. What is
    not understood matches nothing, and the message of what is skipped then names ``spec.sourceNamespaces``.
    """
    if len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/"):
        return _PLAIN.fullmatch(pattern[1:-1]) is not None and re.search(pattern[1:-1], namespace) is not None
    return fnmatchcase(namespace, pattern)
