"""failback: bring home what a failover moved, or let it stay for good. Not for policies; asked for
by command, or by time."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from recovery.act import relocate
from recovery.act.action import Action, ActionRequest, Clients, read_app
from recovery.decide.cluster_label import relabelled
from recovery.decide.failover_followups import FAILBACK
from recovery.decide.failover_progress import HINDERED, label_of, summary
from recovery.decide.notifications import acted
from recovery.decide.placement import cluster_of
from recovery.kube.client import APPLICATIONS
from recovery.model.connection import Cluster
from recovery.model.decision import Outcome, Result
from recovery.model.move import Relocation, RelocationPhase
from recovery.model.names import HOLD

FIRST_WAVE = "move 1"
"""The first wave; where a label moved them, it moves back with it."""


async def start(order: ActionRequest, doors: Clients) -> Outcome:
    """Write to those whose turn it is; or forgive what is owed."""
    recovery = order.recovery
    if recovery is None:
        return Outcome(Result.Failed, "NoRecovery", "its recovery is gone")
    if order.step.parameters.stay:
        return await _stay(order, doors)
    if not order.record.stage:
        return Outcome(Result.Sent, "Begun", f"moving back {len(recovery.owed)} applications")
    label = label_of(recovery)
    target = _target(order, recovery.relocations)
    if label and order.record.stage == FIRST_WAVE:
        if target is None:
            return Outcome(
                Result.Failed, "UnknownTarget", "the cluster they are on is not known any more"
            )
        home = cluster_of(order.situation)
        if not (home.labels or {}).get(label):
            _, forbidden = relabelled(label, order.situation.application_sets, target, home)
            if forbidden:
                stay = tuple(
                    structs.replace(m, phase=RelocationPhase.Failed, reason=forbidden[:300])
                    if m.phase.owed
                    else m
                    for m in recovery.relocations
                )
                return Outcome(Result.Failed, "LabelMoveFailed", forbidden, relocations=stay)
        moved = await relocate.relabel(order, doors, label, target, home)
        if moved.result is Result.Failed:
            stay = tuple(
                structs.replace(m, phase=RelocationPhase.Failed, reason=moved.message[:300])
                if m.phase.owed
                else m
                for m in recovery.relocations
            )
            return structs.replace(moved, relocations=stay)
        if moved.result is not Result.Sent:
            return moved
    relocations, hindered = await relocate.send(
        order, doors, recovery.relocations, RelocationPhase.Returning, by_label=bool(label)
    )
    gone = [
        f"{m} to {m.goal}"
        for m in relocations
        if m.phase is RelocationPhase.Returning and m.since == order.record.claimed_at
    ]
    words = f"moved back {', '.join(gone)}" if gone else summary(relocations)
    note = acted(order.situation, recovery, words) if gone else None
    return Outcome(
        Result.Sent,
        HINDERED if hindered else "Returning",
        words,
        notes=(note,) if note else (),
        told=("default",),
        relocations=relocations,
    )


async def _stay(order: ActionRequest, doors: Clients) -> Outcome:
    """Take the annotations off; nothing moves."""
    apps = {dep.app.uid: dep.app for dep in order.situation.dependents}
    recovery = order.recovery
    relocations: list[Relocation] = []
    for move in recovery.relocations if recovery else ():
        app = apps.get(move.uid)
        if move.phase.owed and app is not None:
            fresh = await read_app(app, doors)
            notes: dict[str, Any] = (fresh["metadata"].get("annotations") or {}) if fresh else {}
            if fresh is not None and HOLD in notes:
                body = {
                    "metadata": {
                        "resourceVersion": fresh["metadata"]["resourceVersion"],
                        "annotations": {HOLD: None},
                    }
                }
                await doors.kube.patch(APPLICATIONS, app.namespace, app.name, body)
        relocations.append(
            structs.replace(move, phase=RelocationPhase.Stayed) if move.phase.owed else move
        )
    return Outcome(
        Result.Sent,
        "Stayed",
        f"{len(relocations)} applications stay where they are",
        relocations=tuple(relocations),
    )


def _target(order: ActionRequest, relocations: tuple[Relocation, ...]) -> Cluster | None:
    """The cluster that the applications are on now."""
    place = next((m.target for m in relocations if m.phase.owed), None)
    return next((c for c in order.situation.clusters if place and c.called(str(place))), None)


FAILBACK_ACTION = Action(FAILBACK, start)
