"""Where applications of a cluster that is down may go, and which of them: what can be known without
looking."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from recovery.decide.connections import healthy
from recovery.model.application import Destination, Permitted, Project, left_to
from recovery.model.connection import CLUSTER_UID, Cluster
from recovery.model.move import Place
from recovery.model.names import FAILOVER_TO, PREFIX
from recovery.model.policy import Policies
from recovery.model.selector import Selector
from recovery.model.situation import Dependent, Situation
from recovery.model.timestamps import aware

STATEFUL = ("StatefulSet", "PersistentVolumeClaim", "PersistentVolume")


def cluster_of(situation: Situation) -> Cluster:
    """The cluster it is about; TypeError when it is about something else."""
    if not isinstance(situation.about, Cluster):
        raise TypeError(f"{situation.about.key} is not a cluster")
    return situation.about


def unknown_targets(policies: Policies, clusters: Iterable[Cluster]) -> tuple[str, ...]:
    """Problems with the targets of failover policies: told when they are loaded, not
    during the outage."""
    known = list(clusters)
    names = ", ".join(sorted(c.name for c in known)) or "none"
    wanted = [
        (f"policy {p.name}: target_cluster", s.parameters.target_cluster)
        for p in policies.policies
        for s in p.actions
        if s.kind.relocates
    ]
    wanted += [
        (f"cluster {c.name}: label {FAILOVER_TO}", (c.labels or {}).get(FAILOVER_TO, ""))
        for c in known
    ]
    told = [
        f"{where} {word!r} is not a cluster that Argo CD knows; it knows {names}"
        for where, word in wanted
        if word and not any(c.called(word) for c in known)
    ]
    own = [
        c
        for c in known
        if (c.labels or {}).get(FAILOVER_TO) and c.called(str((c.labels or {}).get(FAILOVER_TO)))
    ]
    return (
        *told,
        *(f"cluster {c.name}: label {FAILOVER_TO} names the cluster itself" for c in own),
    )


def on_it(situation: Situation) -> tuple[Dependent, ...]:
    """The applications whose destination is the cluster in question, by name or by server."""
    source = cluster_of(situation)
    apps = situation.dependents
    return tuple(
        d
        for d in apps
        if source.called(str(d.app.destination.place)) or source.called(d.app.destination.cluster)
    )


def target_of(wanted: str, situation: Situation) -> tuple[Cluster | None, str, str]:
    """Where its applications go: the cluster, or None with a reason code and words. The Secret's
    label is stronger."""
    source = cluster_of(situation)
    word = (source.labels or {}).get(FAILOVER_TO) or wanted
    if not word:
        return (
            None,
            "NoTarget",
            f"neither target_cluster nor the label {FAILOVER_TO} on its Secret names a target",
        )
    named = [c for c in situation.clusters if c.called(word)]
    if not named:
        known = ", ".join(sorted(c.name for c in situation.clusters)) or "none"
        return None, "UnknownTarget", f"Argo CD knows no cluster {word!r}; it knows {known}"
    if named[0].server == source.server:
        return None, "TargetIsSource", f"{word!r} is the cluster that is down"
    if named[0].trouble:
        return None, "TargetUnhealthy", f"{word!r}: {named[0].trouble}"
    well, words = healthy(named[0], situation.now)
    if not well:
        return None, "TargetNotHealthy", f"{named[0].name} is not proven healthy: {words}"
    reason, why = not_another(source, named[0])
    if reason:
        return None, reason, why
    return named[0], "", words


def not_another(source: Cluster, target: Cluster) -> tuple[str, str]:
    """Reason code and words of why ``target`` is not proven to be another cluster than ``source``,
    and not the same one under another address; two empty texts when it is."""
    if source.server == target.server or (source.identity and source.identity == target.identity):
        what = (
            f"UID {source.identity} of namespace kube-system"
            if source.identity
            else "the same server"
        )
        return (
            "TargetIsSource",
            f"{target.name} is {source.name} under another address: both have {what}",
        )
    unknown = " and ".join(c.name for c in (source, target) if not c.identity)
    if not unknown:
        return "", ""
    words = (
        f"it is unknown whether {target.name} is another cluster than {source.name}: namespace"
        f" kube-system of {unknown} could never be read"
    )
    return (
        "ClusterUnknown",
        (
            f"{words} (its account there needs get on it, or annotate its Secret"
            f" {PREFIX}{CLUSTER_UID}: UID)"
        ),
    )


def place_of(cluster: Cluster, like: Place) -> Place:
    """The same cluster written the way the other one was: by name or by server."""
    return (
        Place(name=cluster.name) if like.name and not like.server else Place(server=cluster.server)
    )


def permitted(project: Project | None, destination: Destination, cluster: Cluster) -> bool:
    """May a project's applications go there? As argo-cd's AppProject.isDestinationMatched; no
    project known: no."""
    if project is None:
        return False
    found = False
    for item in project.destinations:
        by_name, by_server = _glob(item.name, cluster.name), _glob(item.server, cluster.server)
        namespace = _glob(item.namespace, destination.namespace)
        if (by_name or by_server) and namespace:
            found = True
        elif _denied(item, by_name=by_name, by_server=by_server, namespace=namespace):
            return False
    return found


def _denied(item: Permitted, *, by_name: bool, by_server: bool, namespace: bool) -> bool:
    if not by_name and _denies(item.name):
        return True
    if not by_server and _denies(item.server) and namespace:
        return True
    return not namespace and _denies(item.namespace) and by_server


def _denies(pattern: str) -> bool:
    return pattern.startswith("!")


def _glob(pattern: str, value: str) -> bool:
    if _denies(pattern):
        return not fnmatchcase(value, pattern[1:])
    return bool(pattern) and fnmatchcase(value, pattern)


def unmovable(
    dep: Dependent, situation: Situation, target: Cluster, *, stateful: bool, by_label: bool = False
) -> str:
    """Why this application stays where it is, as far as can be known without looking; empty when
    nothing speaks against it."""
    app = dep.app
    for why in (barred(dep, situation), _owned(dep) if not by_label else ""):
        if why:
            return why
    if not permitted(dep.project, app.destination, target):
        return (
            f"project {app.project} does not permit {target.name} with namespace"
            f" {app.destination.namespace or '(none)'}"
        )
    kinds = app.kinds or dep.sight.kinds
    if not kinds:
        return "what it consists of was never seen, so it is unknown whether it holds data"
    if not stateful and (held := [kind for kind in kinds if kind in STATEFUL]):
        return (
            f"it is stateful ({', '.join(held)}), and allow_stateful is not set: its data is not on"
            f" {target.name}"
        )
    return ""


def barred(dep: Dependent, situation: Situation, *, moved: bool = False) -> str:
    """Objections of people or Argo CD against touching it; ``moved`` when it was moved already, and
    its hold is ours."""
    app, project = dep.app, dep.project
    for where, value in (
        (f"application {app.key}", app.mark("paused")),
        ("its project", project.mark("paused") if project else ""),
    ):
        until = aware(value)
        if value.strip().lower() not in ("", "false", "no") and not (
            until is not None and situation.now >= until
        ):
            return f"{where} is annotated recovery.gitops.dev/paused: {value[:100]}"
    for pause in (*situation.policies.pauses, *situation.pauses):
        if pause.selector != Selector() and pause.holds_back(app, situation.now):
            return f"it is paused by {pause.by or 'somebody'}: {pause.reason or 'no reason given'}"
    for where, value in (
        (f"application {app.key}", app.mark("mode")),
        ("its project", project.mark("mode") if project else ""),
    ):
        if value and value != "act":
            return f"{where} is annotated recovery.gitops.dev/mode: {value[:40]}"
    if app.deleting:
        return "it is being deleted"
    if app.destination.name and app.destination.server:
        return (
            "its destination has both name and server: Argo CD does not deploy it"
            " (InvalidSpecError)"
        )
    if wrong := next((c for c in app.conditions if c.type == "InvalidSpecError"), None):
        return f"InvalidSpecError: {wrong.message[:160]}"
    if app.control_plane:
        return "it deploys Argo CD or this controller"
    if (app.hold or app.unreadable) and not moved:
        return "it is held back already (annotation recovery.gitops.dev/hold)"
    if not app.auto_sync and app.mark("sync") != "allowed":
        return (
            "auto-sync is off: a manual sync policy is a release gate; the annotation"
            " recovery.gitops.dev/sync: allowed permits it"
        )
    return ""


def _owned(dep: Dependent) -> str:
    app, owner, parent = dep.app, dep.application_set, dep.parent
    if app.application_set and (owner is None or not left_to(owner.leaves_destination, app)):
        return (
            f"ApplicationSet {app.application_set} would write its destination back; strategy"
            " cluster-label moves such fleets"
        )
    if app.parent and (parent is None or (parent.auto_sync and parent.self_heal)):
        return f"its parent application {app.parent} would write its destination back (selfHeal)"
    return ""


def busy(dep: Dependent) -> str:
    """Why it cannot go just now, and may in a while: an operation, or a repository that is away."""
    operation, app = dep.app.operation, dep.app
    if app.requested or (operation and not operation.phase.over):
        by = (operation.username if operation else "") or "Argo CD"
        return (
            f"an operation by {by} is in progress:"
            f" {operation.message[:120] if operation else 'asked for'}"
        )
    return dep.failed[0] if dep.failed else ""
