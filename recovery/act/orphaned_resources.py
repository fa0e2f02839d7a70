"""list_leftovers and cleanup: what stayed behind where an application no longer is. Listed always,
removed only when told."""

from __future__ import annotations

from msgspec import structs

from recovery.act.action import Action, ActionRequest, Clients
from recovery.act.target_checks import TargetChecks, carries, words_of
from recovery.decide.failover_followups import CLEANUP, LIST_LEFTOVERS
from recovery.decide.notifications import acted
from recovery.decide.ownership import instance_of
from recovery.decide.placement import cluster_of, not_another
from recovery.kube.errors import KubeError, NotFound
from recovery.kube.identity import namespace_uid
from recovery.model.application import Application
from recovery.model.connection import Cluster
from recovery.model.decision import Outcome, Result
from recovery.model.move import Relocation, RelocationPhase

NEVER = (
    "namespaces",
    "persistentvolumeclaims",
    "persistentvolumes",
    "customresourcedefinitions",
    "statefulsets",
    "applications",
)
"""Never deleted by us: with them goes what others have, or what nobody can bring back."""
MAX_ORPHANS = 50
"""Leftovers that are kept of one application."""


async def list_leftovers(order: ActionRequest, doors: Clients) -> Outcome:
    """Look, on the cluster where each application is not, for what still carries its tracking
    id."""
    if doors.argocd is None or order.recovery is None:
        return Outcome(
            Result.Skipped, "NoToken", "Argo CD cannot be asked what the applications consist of"
        )
    apps = {dep.app.uid: dep.app for dep in order.situation.dependents}
    relocations, found, troubles = [], 0, []
    for move in order.recovery.relocations:
        app, where = apps.get(move.uid), _left(order, move)
        if app is not None and where is not None:
            try:
                one = await _one_cluster(app, where, order, doors)
                listed = () if one else await _there(app, where, doors)
            except KubeError as error:
                troubles.append(f"{move}: {words_of(error)}")
            else:
                troubles += [f"{move}: {one}"] if one else []
                found += len(listed)
                move = structs.replace(move, leftovers=listed)
        relocations.append(move)
    words = f"{found} resources were left behind" + (
        f"; not looked at: {'; '.join(troubles[:3])}" if troubles else ""
    )
    return Outcome(Result.Sent, "Listed", words, relocations=tuple(relocations))


async def _there(app: Application, where: Cluster, doors: Clients) -> tuple[str, ...]:
    there = await doors.ways.to(where.server)
    if there is None or doors.argocd is None:
        return (
            f"{where.name} cannot be looked into: its Secret is not among RECOVERY_CLUSTER_SECRETS",
        )
    wanted = await doors.argocd.managed(app)
    found = await TargetChecks(where.name, there).there(app, wanted, instance_of(app, doors.home))
    return tuple(f"{where.name}: {path}" for path, _ in found)[:MAX_ORPHANS]


async def _one_cluster(
    app: Application, where: Cluster, order: ActionRequest, doors: Clients
) -> str:
    """Why ``where`` is not proven, by asking both now, to be another cluster than the one it runs
    on; empty when it is. What is called left behind on the one would be live on the other."""
    home = next(
        (
            c
            for c in order.situation.clusters
            if c.called(app.destination.cluster) or c.called(str(app.destination.place))
        ),
        None,
    )
    if home is None:
        return f"{app.destination.cluster} is not a cluster that Argo CD knows"
    asked = []
    for each in (home, where):
        there = await doors.ways.to(each.server)
        asked.append(
            structs.replace(
                each, namespace_uid=await namespace_uid(there) if there is not None else ""
            )
        )
    return not_another(*asked)[1]


def _left(order: ActionRequest, move: Relocation) -> Cluster | None:
    """The cluster where it is not, or is no longer to be."""
    match move.phase:
        case RelocationPhase.Moved | RelocationPhase.Failed | RelocationPhase.Stayed:
            return cluster_of(order.situation)
        case RelocationPhase.Home:
            return next((c for c in order.situation.clusters if c.called(str(move.target))), None)
        case _:
            return None


async def cleanup(order: ActionRequest, doors: Clients) -> Outcome:
    """Delete what was listed, each only if it still carries the application's tracking id and the
    application is elsewhere."""
    if order.recovery is None:
        return Outcome(Result.Failed, "NoRecovery", "its recovery is gone")
    apps = {dep.app.uid: dep.app for dep in order.situation.dependents}
    removed: list[str] = []
    kept: list[str] = []
    relocations: list[Relocation] = []
    for move in order.recovery.relocations:
        app = apps.get(move.uid)
        left = []
        for entry in move.leftovers:
            gone = (
                await _remove(order, doors, app, entry)
                if app is not None
                else "the application is gone"
            )
            (kept if gone else removed).append(f"{entry} ({gone})" if gone else entry)
            if gone:
                left.append(entry)
        relocations.append(structs.replace(move, leftovers=tuple(left)))
    words = f"removed {len(removed)} leftovers" + (
        f", kept {len(kept)}: {'; '.join(kept[:3])}" if kept else ""
    )
    note = acted(order.situation, order.recovery, words)
    return Outcome(
        Result.Sent,
        "CleanedUp",
        words,
        notes=(note,),
        told=("default",),
        relocations=tuple(relocations),
    )


async def _remove(order: ActionRequest, doors: Clients, app: Application, entry: str) -> str:
    """Why it was not removed; empty when it is gone."""
    name, _, path = entry.partition(": ")
    cluster = next((c for c in order.situation.clusters if c.name == name), None)
    there = await doors.ways.to(cluster.server) if cluster else None
    if cluster is None or there is None or not path.startswith("/"):
        return "its cluster cannot be reached"
    if cluster.called(str(app.destination.place)):
        return f"the application runs on {name}"
    if path.split("/")[-2] in NEVER:
        return "left to you: data or other things hang on it"
    ground = TargetChecks(name, there)
    try:
        if one := await _one_cluster(app, cluster, order, doors):
            return one
        item = await ground.item(path)
        if item is None:
            return ""
        if not carries(item, instance_of(app, doors.home)):
            return "it is another application's now"
        await there.delete(
            path,
            {"preconditions": {"uid": item["metadata"]["uid"]}, "propagationPolicy": "Background"},
        )
    except NotFound:
        return ""
    except KubeError as error:
        return words_of(error)
    return ""


LIST_LEFTOVERS_ACTION = Action(LIST_LEFTOVERS, list_leftovers)
CLEANUP_ACTION = Action(CLEANUP, cleanup)
