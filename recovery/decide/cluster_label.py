"""May a label be moved from one cluster's Secret to another's, without an ApplicationSet deleting
an application by it?"""

from __future__ import annotations

from collections.abc import Iterable

from recovery.decide.placement import cluster_of, on_it
from recovery.model.application import ApplicationSet
from recovery.model.connection import Cluster
from recovery.model.situation import Dependent, Situation


def relabelled(
    label: str, sets: Iterable[ApplicationSet], source: Cluster, target: Cluster
) -> tuple[tuple[ApplicationSet, ...], str]:
    """The ApplicationSets that a label's move would take along, and why it must not be moved
    (empty: it may).

    While both Secrets carry the label, a set generates the same names twice and Argo CD leaves
    those applications alone; it deletes what it generates no more
    (applicationset/controllers/applicationset_controller.go:Reconcile, seen on 3.2). So the names
    must not depend on the cluster, or the set must not delete; and a set that cannot be judged is a
    refusal.
    """
    value = (source.labels or {}).get(label)
    if value is None:
        return (), f"the Secret of {source.name} carries no label {label}"
    if (there := (target.labels or {}).get(label)) is not None:
        return (
            (),
            f"the Secret of {target.name} carries {label}={there} already, which would be lost",
        )
    after = {**(target.labels or {}), label: value}
    without = {k: v for k, v in (source.labels or {}).items() if k != label}
    taken = []
    for each in sets:
        if label in each.opaque:
            return (
                (),
                (
                    f"ApplicationSet {each.name} asks for {label} in a way that is not judged here"
                    " (matchExpressions, matrix or merge)"
                ),
            )
        for wanted in each.selectors:
            before = _carries(source, wanted)
            if not (before or _carries(target, wanted)) or (
                before and all(without.get(k) == v for k, v in wanted.items())
            ):
                continue  # it selects neither, or does not ask for this label
            if why := _would_lose(
                each,
                before=before,
                after=all(after.get(k) == v for k, v in wanted.items()),
                target=target,
            ):
                return (), f"ApplicationSet {each.name} {why}"
            taken.append(each)
    if not taken:
        return (), f"no ApplicationSet selects clusters by {label}"
    return tuple(taken), ""


def taken_along(label: str, situation: Situation, target: Cluster) -> tuple[Dependent, ...]:
    """The cluster's applications that this label's move takes to the target; none without a
    label."""
    source = cluster_of(situation)
    taken = relabelled(label, situation.application_sets, source, target)[0] if label else ()
    sets = {(each.namespace, each.name) for each in taken}
    return tuple(
        dep for dep in on_it(situation) if (dep.app.namespace, dep.app.application_set) in sets
    )


def _would_lose(each: ApplicationSet, *, before: bool, after: bool, target: Cluster) -> str:
    """Why an application of this set would be deleted, or not move; empty when all of them go
    along."""
    if not before or not after:
        return (
            f"would not generate the same applications afterwards: {target.name} and the old"
            " cluster differ in other labels it asks for"
        )
    if each.deletes and not _stable(each.template_name):
        return (
            f"names its applications {each.template_name!r}: another cluster, other names, and it"
            " deletes the old ones"
        )
    return (
        ""
        if each.updates
        else "does not update its applications (applicationsSync), so nothing would move"
    )


def _carries(cluster: Cluster, wanted: dict[str, str]) -> bool:
    labels = cluster.labels or {}
    return bool(wanted) and all(labels.get(k) == v for k, v in wanted.items())


def _stable(template: str) -> bool:
    """Does nothing in this name come from the cluster?"""
    inside = [part.split("}}", 1)[0] for part in template.split("{{")[1:]]
    return not any(
        word in part
        for part in inside
        for word in ("name", "server", "metadata", "values", "project")
    )
