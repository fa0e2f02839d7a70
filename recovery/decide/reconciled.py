"""Does Argo CD reconcile an Application? If not, its status is the text of whoever may write it,
and is believed for nothing."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from recovery.decide.placement import permitted
from recovery.model.application import Application, Project
from recovery.model.connection import Cluster
from recovery.model.names import SKIP_RECONCILE

RECONCILE_SKIPPED = "ReconcileSkipped"
"""The guard; reason ReconcileSkipped."""

_ATOM = r"(?:[a-z0-9-]|\.|\\[.dw]|\[[a-z0-9-]{1,40}\])"
_TOKEN = re.compile(rf"(?P<repeated>{_ATOM}[*+])|{_ATOM}|(?P<choice>\((?:{_ATOM}|\|){{1,100}}\))")
LONGEST_EXPRESSION = 200
"""Characters of an expression that is tried."""


def unreconciled(app: Application, project: Project | None, home: str) -> str:
    """Why Argo CD, whose namespace is ``home``, does not reconcile it; empty when it does as far as
    we know."""
    if app.skipped:
        return (
            f"it is annotated {SKIP_RECONCILE}: Argo CD writes nothing into its status, so nothing"
            " in it is believed, and nothing is done until the annotation is gone"
        )
    if app.namespace == home:
        return ""
    if project is None:
        return (
            f"its AppProject {app.project or 'default'} is not known: whether it may be in"
            f" namespace {app.namespace} cannot be told"
        )
    if not any(_matches(pattern, app.namespace) for pattern in project.source_namespaces):
        return (
            f"AppProject {project.name} takes no applications of namespace {app.namespace}"
            " (spec.sourceNamespaces): Argo CD does not reconcile it, and nothing in its status is"
            " believed"
        )
    return ""


def foreign(
    app: Application, project: Project | None, cluster: Cluster | None, *, listed: bool = False
) -> str:
    """Why the AppProject that it names is not its own: then Argo CD neither compares nor syncs it
    (InvalidSpecError; util/argo/argo.go:ValidatePermissions), and it does not count as the
    project's. ``cluster`` is its destination, where that is known; ``listed``: Argo CD has listed
    all its clusters, so that one that is not known is none.
    """
    if project is None:
        return f"there is no AppProject {app.project or 'default'}: Argo CD does not sync it"
    if cluster is None and listed:
        return (
            f"Argo CD knows no cluster {app.destination.cluster or '(none named)'}: it does not"
            " sync it"
        )
    if cluster is None or permitted(project, app.destination, cluster):
        return ""
    return (
        f"AppProject {project.name} does not permit its destination, namespace"
        f" {app.destination.namespace} on {cluster.name}"
    )


def _matches(pattern: str, namespace: str) -> bool:
    """A glob, or a regular expression between slashes (util/glob/list.go:MatchStringInList).

    Go's expressions take time in proportion to the text, Python's may take for ever: only the plain
    ones are understood. What is not understood matches nothing, and the message of what is skipped
    then names ``spec.sourceNamespaces``.
    """
    if len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/"):
        try:
            return _simple(pattern[1:-1]) and re.search(pattern[1:-1], namespace) is not None
        except re.error:
            return False
    return fnmatchcase(namespace, pattern)


def _simple(expression: str) -> bool:
    """Letters and classes with one repetition and one choice at most: its time is bounded by the
    square of what it searches, 63 characters, and the 50 ways of the choice."""
    body = expression.removeprefix("^").removesuffix("$")
    at = repeated = choices = 0
    while at < len(body) <= LONGEST_EXPRESSION:
        token = _TOKEN.match(body, at)
        if token is None:
            return False
        at, repeated, choices = (
            token.end(),
            repeated + bool(token["repeated"]),
            choices + bool(token["choice"]),
        )
    return at == len(body) and repeated <= 1 and choices <= 1
