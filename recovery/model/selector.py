"""Which subjects are meant: globs and labels."""

from __future__ import annotations

from fnmatch import fnmatchcase

from msgspec import Struct

from recovery.model.application import Application
from recovery.model.connection import Cluster, Repository


class LabelRequirement(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of ``matchExpressions``, as Kubernetes writes it."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: dict[str, str]) -> bool:
        """As metav1.LabelSelectorRequirement: NotIn also holds where the label is absent."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
            case _:
                return value is None


class Labels(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={"match_labels": "matchLabels", "match_expressions": "matchExpressions"},
):
    """A label selector, as Kubernetes reads it."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelRequirement, ...] = ()

    def select(self, labels: dict[str, str]) -> bool:
        """Does an object with these labels match?"""
        if any(labels.get(key) != value for key, value in self.match_labels.items()):
            return False
        return all(requirement.holds(labels) for requirement in self.match_expressions)


class Selector(Struct, frozen=True, forbid_unknown_fields=True):
    """Which subjects a policy is for: all that is given must match; globs, any of a list."""

    projects: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    labels: Labels = Labels()

    def selects(self, about: Application | Repository | Cluster) -> bool:
        """Does the selector select this subject?"""
        match about:
            case Repository():
                given: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
                    (self.repositories, (about.url, about.name)),
                    (self.projects, (about.project,)),
                    (self.names, (about.name,)),
                )
                return _matched(given) and not self.clusters and not self.namespaces
            case Cluster():
                given = ((self.clusters, (about.name, about.server)), (self.names, (about.name,)))
                return (
                    _matched(given)
                    and not (self.repositories or self.namespaces or self.projects)
                    and self.labels.select(about.labels or {})
                )
            case _:
                return self._selects(about)

    def _selects(self, app: Application) -> bool:
        where = app.destination
        asked = (
            (self.projects, (app.project,)),
            (self.namespaces, (app.namespace,)),
            (self.names, (app.name,)),
            (self.repositories, app.repositories),
            (self.clusters, tuple(filter(None, (where.name, where.server)))),
        )
        return _matched(asked) and self.labels.select(app.labels or {})


def _matched(asked: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]) -> bool:
    """Each list of globs that was given matches one of its values."""
    return all(
        not globs or any(fnmatchcase(v, glob) for v in values for glob in globs)
        for globs, values in asked
    )
