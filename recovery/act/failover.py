"""failover: move what may be moved from a cluster that is down to one that is proven healthy, one proven step at a time."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

from msgspec import Struct, structs

from recovery.act import moving
from recovery.act.order import Action, Doors, Order
from recovery.decide.connections import connection, down
from recovery.decide.guards import inherited
from recovery.decide.moving import (
    AT_ONCE,
    FAILURES,
    SOON,
    cluster_of,
    counted,
    next_wave,
    progressed,
    relabelled,
    stage_after,
    stopped,
    summary,
    target_of,
    unmovable,
    unsent,
)
from recovery.decide.telling import acted
from recovery.model.action import Judgement, Progress, Skip, Traits
from recovery.model.connection import Connection
from recovery.model.decision import Outcome, Result
from recovery.model.duration import Duration, default
from recovery.model.move import Move, MovePhase
from recovery.model.policy import Selector, Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.situation import Situation

LABEL = "label"
"""The stage in which a label goes from one Secret to the other."""


class Strategy(Enum):
    """How applications are moved."""

    destination = "destination"
    """Each application's own destination."""
    cluster_label = "cluster-label"
    """A label that ApplicationSets select clusters by."""


class Failback(Enum):
    """How they come home."""

    manual = "manual"
    """By command."""
    auto = "auto"
    """When the old cluster has been well for failback_after."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be written under ``parameters``."""

    if_primary_cluster_down: bool = True
    """Always so: applications are moved only away from a cluster that two witnesses call unreachable."""
    target_cluster: str = ""
    """Name or server; the label recovery.gitops.dev/failover-to on the Secret of the cluster that is down is stronger."""
    apps: Selector = Selector()
    """Which of its applications; default all."""
    strategy: Strategy = Strategy.destination
    label: str = ""
    """With cluster-label: the label's key; its value goes along."""
    allow_stateful: bool = False
    """Also what has volumes: its data is not there, unless something else brings it."""
    failback: Failback = Failback.manual
    failback_after: Duration = default(minutes=30)
    """With failback: auto, how long the old cluster has to be well."""

    def __post_init__(self) -> None:
        if self.strategy is Strategy.cluster_label and not self.label:
            raise ValueError("strategy cluster-label needs a label: the key that ApplicationSets select clusters by")
        if not self.if_primary_cluster_down:
            raise ValueError("if_primary_cluster_down: false is not offered: nothing is moved away from a cluster that may be up")


def fits(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:
    """Down on two words, somewhere to go, something to move; and never a second time over the first one's failures."""
    is_down, words = down(cluster_of(situation), situation.now)
    if not is_down:
        return Skip("NotDown", words)
    if inherited(situation):
        return Skip("Inherited", "it was down before this controller came; nothing is moved until it has once been up, or `recovery adopt`")
    if recovery.owed:
        return Skip("MovedAlready", summary(recovery.moves))
    if not situation.has_token:
        return Skip("NoToken", "what applications consist of is asked of Argo CD, and no Argo CD token is configured")
    target, reason, why = target_of(step.parameters.target_cluster, situation)
    if target is None:
        return Skip(reason, why)
    if step.parameters.strategy is Strategy.cluster_label:
        _, forbidden = relabelled(step.parameters.label, situation, target)
        if forbidden:
            return Skip("LabelStays", forbidden)
    return None


def judge(record: StepRecord, step: Step, situation: Situation) -> Judgement:
    """A plan first, then three at a time; no further one while the proof is not there, none after two failures."""
    recovery = situation.recovery
    if recovery is None:
        return Judgement(Progress.Failed, "NoRecovery", "its recovery is gone")
    if not record.sent:
        return Judgement(Progress.Again)
    moves = progressed(recovery, record, situation)
    if record.stage and unsent(moves, MovePhase.Moving, record, situation):
        return Judgement(Progress.Next, stage=stage_after(record.stage), moves=moves)
    to_go, busy, failed = counted(moves, MovePhase.Planned), counted(moves, MovePhase.Moving), counted(moves, MovePhase.Failed)
    if to_go and failed >= FAILURES:
        moves = stopped(moves, f"not begun: {failed} applications did not get well at their new place")
        to_go = 0
    state, words = connection(cluster_of(situation), situation.now)
    if to_go and state is Connection.Successful:
        moves = stopped(moves, "not begun: the cluster is back")
        to_go = 0
    if to_go and busy < AT_ONCE:
        proven, why = _proven(step, situation)
        if proven:
            return _go(record, step, situation, moves)
        if not busy:
            return Judgement(Progress.Running, message=f"waits for proof: {why}", soon=SOON, moves=moves)
    if busy or to_go:
        return Judgement(Progress.Running, message=summary(moves), soon=SOON, moves=moves)
    if not counted(moves, MovePhase.Moved):
        return Judgement(Progress.Failed, "NothingMoved", f"{summary(moves)}; {_first(moves) or words}", moves=moves)
    if failed:
        return Judgement(Progress.Failed, "PartlyMoved", f"{summary(moves)}; {_first(moves)}", moves=moves)
    return Judgement(Progress.Succeeded, "FailedOver", summary(moves), moves=moves)


def _proven(step: Step, situation: Situation) -> tuple[bool, str]:
    """Still down on two words, and the target still healthy: asked before every wave."""
    is_down, words = down(cluster_of(situation), situation.now)
    if not is_down:
        return False, words
    target, _, why = target_of(step.parameters.target_cluster, situation)
    return target is not None, why


def _go(record: StepRecord, step: Step, situation: Situation, moves: tuple[Move, ...]) -> Judgement:
    """Whom the next write is for. What has changed since the plan was made is looked at again."""
    target, _, _ = target_of(step.parameters.target_cluster, situation)
    by_label = step.parameters.strategy is Strategy.cluster_label
    deps = {dep.app.uid: dep for dep in situation.dependents}
    checked = []
    for move in moves:
        if move.phase is MovePhase.Planned and target is not None:
            dep = deps.get(move.uid)
            stateful = step.parameters.allow_stateful
            why = unmovable(dep, situation, target, stateful=stateful, by_label=by_label) if dep else "the application is gone"
            if dep and dep.app.destination.place == move.target:
                why = ""  # the ApplicationSet has moved it already; its sync is ours to ask for
            move = structs.replace(move, phase=MovePhase.Refused, reason=why) if why else move
        checked.append(move)
    if by_label and not record.stage:
        return Judgement(Progress.Next, stage=LABEL, moves=tuple(checked))
    waved = next_wave(tuple(checked), MovePhase.Planned, MovePhase.Moving, situation.now)
    if not counted(waved, MovePhase.Moving):
        return Judgement(Progress.Running, message=summary(waved), soon=SOON, moves=waved)
    return Judgement(Progress.Next, stage=stage_after(record.stage), moves=waved)


def _first(moves: tuple[Move, ...]) -> str:
    told = next((m for m in moves if m.phase is MovePhase.Failed), None) or next((m for m in moves if m.reason), None)
    return f"{told}: {told.reason}" if told else ""


async def start(order: Order, doors: Doors) -> Outcome:
    """Plan; move a label; or write to those whose turn it is."""
    stage, parameters = order.record.stage, order.step.parameters
    target, reason, why = target_of(parameters.target_cluster, order.situation)
    if not stage:
        if target is None:
            return Outcome(Result.Skipped, reason, why)
        return await _plan(order, doors)
    recovery = order.recovery
    if recovery is None:
        return Outcome(Result.Failed, "NoRecovery", "its recovery is gone")
    if stage == LABEL:
        if target is None:
            return Outcome(Result.Conflict, reason, why)
        return await moving.relabel(order, doors, parameters.label, cluster_of(order.situation), target)
    by_label = parameters.strategy is Strategy.cluster_label
    moves = await moving.send(order, doors, recovery.moves, MovePhase.Moving, by_label=by_label)
    if moves is None:
        return Outcome(Result.Conflict, "Changed", "an application changed since it was judged")
    gone = [f"{m} to {m.target}" for m in moves if m.phase is MovePhase.Moving and m.since == order.record.claimed_at]
    words = f"moved {', '.join(gone)}" if gone else summary(moves)
    note = acted(order.situation, recovery, words) if gone else None
    return Outcome(Result.Sent, "Moving", words, notes=(note,) if note else (), told=("default",), moves=moves)


async def _plan(order: Order, doors: Doors) -> Outcome:
    """Which of its applications go, where to, and why the others do not. Nothing is touched."""
    moves = await moving.plan(order, doors)
    if not moves:
        return Outcome(Result.Skipped, "NothingThere", "no application that is meant runs on it")
    if not counted(moves, MovePhase.Planned):
        first = next(m for m in moves if m.reason)
        words = f"none of {len(moves)} applications can be moved; {first}: {first.reason}"
        return Outcome(Result.Failed, "NothingMovable", words, moves=moves)
    return Outcome(Result.Sent, "Planned", f"plan: {summary(moves)}", moves=moves)


FAILOVER = Action(
    Traits(
        name="failover",
        parameters=Parameters,
        settle=timedelta(minutes=30),
        judge=judge,
        fits=fits,
        destructive=True,
        lasting=True,
        relocates=True,
        applies_to=frozenset({"cluster"}),
    ),
    start,
)
