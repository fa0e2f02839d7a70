"""failover: move what may be moved from a cluster that is down to one that is proven healthy, one
proven step at a time."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

from msgspec import Struct, structs

from recovery.act import relocate
from recovery.act.action import Action, ActionRequest, Clients
from recovery.decide.approvals import APPROVED_FOR
from recovery.decide.backoff import AFTER, again_at
from recovery.decide.cluster_label import relabelled, taken_along
from recovery.decide.connections import connection, down, healthy
from recovery.decide.failover_progress import (
    FAILURES,
    HINDERED,
    LOOK_AGAIN,
    PLAN_OUTDATED,
    RELOCATED_AT_ONCE,
    counted,
    next_wave,
    progressed,
    renewed,
    stage_after,
    stopped,
    summary,
    unsent,
    wave_due,
)
from recovery.decide.guards import inherited
from recovery.decide.notifications import acted
from recovery.decide.placement import busy, cluster_of, not_another, target_of, unmovable
from recovery.model.action import ActionKind, Progress, Skip, StepStatus
from recovery.model.connection import Connection
from recovery.model.decision import Outcome, Result
from recovery.model.duration import Duration, default, spell
from recovery.model.move import MAX_RELOCATIONS, Relocation, RelocationPhase
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.selector import Selector
from recovery.model.situation import Dependent, Situation

LABEL_STAGE, UNLABEL = "label", "unlabel"
"""The stages in which a label goes from one Secret to the other, and back."""


class Strategy(Enum):
    """How applications are moved: by their destination, or by a cluster's label."""

    destination = "destination"
    """Each application's own destination."""
    cluster_label = "cluster-label"
    """A label that ApplicationSets select clusters by."""


class Failback(Enum):
    """How they return once the cluster is healthy: by itself, or on request."""

    manual = "manual"
    """By command."""
    auto = "auto"
    """When the old cluster has been well for failback_after."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields allowed under ``parameters`` of failover; others are refused."""

    if_primary_cluster_down: bool = True
    """Always so: applications are moved only away from a cluster that two witnesses call
    unreachable."""
    target_cluster: str = ""
    """Name or server; the label recovery.gitops.dev/failover-to on the Secret of the cluster that
    is down is stronger."""
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
            raise ValueError(
                "strategy cluster-label needs a label: the key that ApplicationSets select"
                " clusters by"
            )
        if self.label and self.strategy is not Strategy.cluster_label:
            raise ValueError("label goes with strategy: cluster-label")
        if not self.if_primary_cluster_down:
            raise ValueError(
                "if_primary_cluster_down: false is not offered: nothing is moved away from a"
                " cluster that may be up"
            )


def fits(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:
    """Down on two words, somewhere to go, something to move; and never a second time over the first
    one's failures."""
    is_down, words = down(cluster_of(situation), situation.now)
    if not is_down:
        return Skip("NotDown", words)
    if inherited(situation):
        return Skip(
            "Inherited",
            "it was down before this controller was installed; nothing is moved until it has"
            " been up once, or `recovery adopt`",
        )
    if counted(recovery.relocations, RelocationPhase.Failed) >= FAILURES:
        return Skip("StoppedAfterFailures", summary(recovery.relocations))
    if not situation.has_token:
        return Skip(
            "NoToken",
            "what applications consist of is asked of Argo CD, and no Argo CD token is configured",
        )
    target, reason, why = target_of(step.parameters.target_cluster, situation)
    if target is None:
        return Skip(reason, why)
    away = {move.uid for move in recovery.owed}
    if recovery.owed and not any(
        dep.app.uid not in away and _here(dep, situation) for dep in situation.dependents
    ):
        return Skip("AlreadyMoved", summary(recovery.relocations))
    if step.parameters.strategy is Strategy.cluster_label:
        _, forbidden = relabelled(
            step.parameters.label, situation.application_sets, cluster_of(situation), target
        )
        if forbidden:
            return Skip("LabelMoveFailed", forbidden)
    return None


def _here(dep: Dependent, situation: Situation) -> bool:
    """Does it run on the cluster in question?"""
    return cluster_of(situation).called(str(dep.app.destination.place))


def judge(record: StepRecord, step: Step, situation: Situation) -> StepStatus:
    """A plan first, then three at a time; no further one while the proof is not there, none after
    two failures."""
    recovery = situation.recovery
    if recovery is None:
        return StepStatus(Progress.Failed, "NoRecovery", "its recovery is gone")
    if not record.stage and not record.sent:
        return StepStatus(Progress.Again)
    by_label = step.parameters.strategy is Strategy.cluster_label
    if by_label and record.stage in (LABEL_STAGE, UNLABEL):
        if not record.sent:
            return _label_again(record, situation, recovery)
        if record.stage == UNLABEL:
            words = "the label is back where it was: the cluster is back"
            stay = tuple(
                (
                    structs.replace(m, phase=RelocationPhase.Refused, reason=words)
                    if m.phase is RelocationPhase.Moving
                    else m
                )
                for m in recovery.relocations
            )
            return StepStatus(Progress.Failed, "ClusterRecovered", words, relocations=stay)
    relocations = progressed(recovery, record, situation, by_label=by_label)
    if by_label and record.stage and unsent(relocations, RelocationPhase.Moving, record, situation):
        return StepStatus(Progress.Next, stage=stage_after(record.stage), relocations=relocations)
    relocations = _stopped(relocations, situation, recovery)
    to_go, moving_now, failed = (
        counted(relocations, p)
        for p in (RelocationPhase.Planned, RelocationPhase.Moving, RelocationPhase.Failed)
    )
    if to_go and moving_now < RELOCATED_AT_ONCE and wave_due(record, situation.now):
        if outdated := _outdated(record, step, situation, relocations):
            return StepStatus(
                Progress.Failed, PLAN_OUTDATED, outdated, relocations=stopped(relocations, outdated)
            )
        proven, why = _proven(situation, relocations)
        if proven:
            return _go(record, step, situation, relocations)
        if not moving_now:
            return StepStatus(
                Progress.Running,
                message=f"waits for proof: {why}",
                soon=LOOK_AGAIN,
                relocations=relocations,
            )
    if moving_now or to_go:
        return StepStatus(
            Progress.Running, message=summary(relocations), soon=LOOK_AGAIN, relocations=relocations
        )
    if not counted(relocations, RelocationPhase.Moved):
        return StepStatus(
            Progress.Failed,
            "NothingMoved",
            f"{summary(relocations)}; {_first(relocations)}",
            relocations=relocations,
        )
    if failed:
        return StepStatus(
            Progress.Failed,
            "PartlyMoved",
            f"{summary(relocations)}; {_first(relocations)}",
            relocations=relocations,
        )
    return StepStatus(
        Progress.Succeeded, "FailedOver", summary(relocations), relocations=relocations
    )


def _stopped(
    relocations: tuple[Relocation, ...], situation: Situation, recovery: Recovery
) -> tuple[Relocation, ...]:
    """Nothing more begins after two failures, when the cluster is back, or when nobody wants it any
    more."""
    failed = counted(relocations, RelocationPhase.Failed)
    about = cluster_of(situation)
    if failed >= FAILURES:
        return stopped(
            relocations,
            f"not begun: {failed} applications did not become healthy at their new place",
        )
    if connection(about, situation.now)[0] is Connection.Successful:
        return stopped(relocations, "not begun: the cluster is back")
    wanted = any(
        p.name == recovery.policy and p.selector.selects(about) for p in situation.policies.policies
    )
    return (
        relocations
        if wanted
        else stopped(
            relocations, f"not begun: policy {recovery.policy} is no longer in force for it"
        )
    )


def _outdated(
    record: StepRecord, step: Step, situation: Situation, relocations: tuple[Relocation, ...]
) -> str:
    """Why the plan no longer stands: it is old, or it is about other applications or another target
    than now."""
    age = situation.now - record.started_at
    if not record.stage and age >= APPROVED_FOR:
        return f"the plan is {spell(age)} old"
    target, _, _ = target_of(step.parameters.target_cluster, situation)
    planned = next(m.target for m in relocations if m.phase is RelocationPhase.Planned)
    if target is None:
        return ""
    if target.called(str(planned)):
        known = {m.uid for m in relocations}
        more = next(
            (
                dep.app
                for dep in taken_along(step.parameters.label, situation, target)
                if dep.app.uid not in known
            ),
            None,
        )
        return f"the label also moves {more.key} by now, which is not in the plan" if more else ""
    return f"the plan is for {planned}, and by now they are to go to {target.name}"


def _proven(situation: Situation, relocations: tuple[Relocation, ...]) -> tuple[bool, str]:
    """Still down on two words, and the cluster they go to still healthy: asked before every
    wave."""
    is_down, words = down(cluster_of(situation), situation.now)
    if not is_down:
        return False, words
    planned = next(
        (
            m.target
            for m in relocations
            if m.phase in (RelocationPhase.Planned, RelocationPhase.Moving)
        ),
        None,
    )
    target = next((c for c in situation.clusters if planned and c.called(str(planned))), None)
    if target is None:
        return False, f"{planned} is not a known cluster"
    _, same = not_another(cluster_of(situation), target)
    return (False, same) if same else healthy(target, situation.now)


def _label_again(record: StepRecord, situation: Situation, recovery: Recovery) -> StepStatus:
    """The label move is in doubt: the label is moved again while the proof stands, and back
    when the cluster is."""
    if situation.now < again_at(record):
        return StepStatus(
            Progress.InDoubt, message=f"the label: {record.message or 'in doubt'}", soon=AFTER
        )
    if (
        record.stage == UNLABEL
        or connection(cluster_of(situation), situation.now)[0] is Connection.Successful
    ):
        return StepStatus(Progress.Next, stage=UNLABEL)
    proven, why = _proven(situation, recovery.relocations)
    if not proven:
        return StepStatus(Progress.InDoubt, message=f"waits for proof: {why}", soon=AFTER)
    return StepStatus(
        Progress.Next,
        stage=LABEL_STAGE,
        relocations=renewed(recovery.relocations, RelocationPhase.Moving, situation.now),
    )


def _go(
    record: StepRecord, step: Step, situation: Situation, relocations: tuple[Relocation, ...]
) -> StepStatus:
    """Whom the next write is for. What has changed since the plan was made is looked at again."""
    target = next(
        c
        for c in situation.clusters
        if c.called(str(next(m.target for m in relocations if m.phase is RelocationPhase.Planned)))
    )
    by_label = step.parameters.strategy is Strategy.cluster_label
    deps = {dep.app.uid: dep for dep in situation.dependents}
    checked, may, waiting = [], set(), ""
    for move in relocations:
        if move.phase is RelocationPhase.Planned:
            dep = deps.get(move.uid)
            why = (
                unmovable(
                    dep,
                    situation,
                    target,
                    stateful=step.parameters.allow_stateful,
                    by_label=by_label,
                )
                if dep
                else "it is gone"
            )
            if dep and dep.app.destination.place != move.origin:
                why = f"it is on {dep.app.destination.cluster} by now: somebody moved it"
            move = structs.replace(move, phase=RelocationPhase.Refused, reason=why) if why else move
            waits = busy(dep) if dep and not why else ""
            waiting = f"{move}: {waits}" if waits else waiting
            if not why and not waits:
                may.add(move.uid)
        checked.append(move)
    if by_label:
        _, forbidden = relabelled(
            step.parameters.label, situation.application_sets, cluster_of(situation), target
        )
        refused = next((m for m in checked if m.phase is RelocationPhase.Refused), None)
        if forbidden or refused:
            why = (
                forbidden
                or f"not begun: the label takes all of them, and {refused} stays: "
                f"{refused.reason if refused else ''}"
            )
            return StepStatus(
                Progress.Failed,
                "LabelMoveFailed",
                why,
                relocations=stopped(tuple(checked), why[:300]),
            )
        # The label moves them all, whatever comes: owed from this claim on.
        gone = tuple(
            structs.replace(m, phase=RelocationPhase.Moving, since=situation.now) for m in checked
        )
        return StepStatus(Progress.Next, stage=LABEL_STAGE, relocations=gone)
    waved = next_wave(
        tuple(checked),
        RelocationPhase.Planned,
        RelocationPhase.Moving,
        situation.now,
        frozenset(may),
    )
    if counted(waved, RelocationPhase.Moving) == counted(relocations, RelocationPhase.Moving):
        return StepStatus(
            Progress.Running, message=waiting or summary(waved), soon=LOOK_AGAIN, relocations=waved
        )
    return StepStatus(Progress.Next, stage=stage_after(record.stage), relocations=waved)


def _first(relocations: tuple[Relocation, ...]) -> str:
    told = next((m for m in relocations if m.phase is RelocationPhase.Failed), None) or next(
        (m for m in relocations if m.reason), None
    )
    return f"{told}: {told.reason}" if told else ""


async def start(order: ActionRequest, doors: Clients) -> Outcome:
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
    if stage in (LABEL_STAGE, UNLABEL):
        planned = str(
            next((m.target for m in recovery.relocations if m.phase is RelocationPhase.Moving), "")
        )
        new = next((c for c in order.situation.clusters if c.called(planned)), None)
        if new is None:
            return Outcome(Result.Failed, "UnknownTarget", f"{planned} is not a known cluster")
        first = stage == LABEL_STAGE and parameters.label not in (new.labels or {})
        looked = await relocate.looked_again(order, doors) if first else recovery.relocations
        if stays := next(
            (
                m
                for m, before in zip(looked, recovery.relocations, strict=True)
                if m.phase is not before.phase
            ),
            None,
        ):
            why = f"not begun: the label takes all of them, and {stays} stays: {stays.reason}"[:300]
            stay = tuple(
                (
                    structs.replace(m, phase=RelocationPhase.Refused, reason=why)
                    if m.phase is RelocationPhase.Moving
                    else m
                )
                for m in looked
            )
            return Outcome(Result.Failed, "LabelMoveFailed", why, relocations=stay)
        ends = (
            (cluster_of(order.situation), new)
            if stage == LABEL_STAGE
            else (new, cluster_of(order.situation))
        )
        outcome = await relocate.relabel(order, doors, parameters.label, *ends)
        if outcome.result is Result.Failed:
            stay = tuple(
                (
                    structs.replace(m, phase=RelocationPhase.Refused, reason=outcome.message[:300])
                    if m.phase is RelocationPhase.Moving
                    else m
                )
                for m in recovery.relocations
            )
            return structs.replace(outcome, relocations=stay)
        return outcome
    by_label = parameters.strategy is Strategy.cluster_label
    looked = recovery.relocations if by_label else await relocate.looked_again(order, doors)
    relocations, hindered = await relocate.send(
        order, doors, looked, RelocationPhase.Moving, by_label=by_label
    )
    gone = [
        f"{m} to {m.target}"
        for m in relocations
        if m.phase is RelocationPhase.Moving and m.since == order.record.claimed_at
    ]
    words = f"moved {', '.join(gone)}" if gone else summary(relocations)
    note = acted(order.situation, recovery, words) if gone else None
    return Outcome(
        Result.Sent,
        HINDERED if hindered else "Moving",
        words,
        notes=(note,) if note else (),
        told=("default",),
        relocations=relocations,
    )


async def _plan(order: ActionRequest, doors: Clients) -> Outcome:
    """Which of its applications go, where to, and why the others do not. Nothing is touched."""
    found, left = await relocate.plan(order, doors)
    kept = order.recovery.owed if order.recovery else ()
    known = {move.uid for move in kept}
    new = tuple(move for move in found if move.uid not in known)
    room = max(MAX_RELOCATIONS - len(kept), 0)
    relocations, left = (*kept, *new[:room]), left + len(new[room:])
    if not relocations:
        return Outcome(Result.Skipped, "NothingToMove", "no selected application runs on it")
    if not counted(relocations, RelocationPhase.Planned):
        first = next(m for m in relocations if m.reason)
        words = f"none of {len(relocations)} applications can be moved; {first}: {first.reason}"
        return Outcome(Result.Failed, "NoneMovable", words, relocations=relocations)
    words = f"plan: {summary(relocations)}"
    if left:
        words += f"; {left} more stay: one recovery moves {MAX_RELOCATIONS} applications at most"
    return Outcome(Result.Sent, "Planned", words, relocations=relocations)


FAILOVER = Action(
    ActionKind(
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
