"""restart: replace the pods of the degraded workloads, of no others, one workload after the
other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec import Struct

from recovery.act import workloads
from recovery.act.action import CHANGED, Action, ActionRequest, Clients, Workload, read
from recovery.decide.circuit_breaker import RESTART_UNDONE
from recovery.decide.notifications import acted
from recovery.decide.operations import ill_again
from recovery.decide.ownership import NOT_OWNED
from recovery.kube.errors import Conflict, Unavailable
from recovery.model.action import ActionKind, Progress, Skip, StepStatus
from recovery.model.application import Health, named
from recovery.model.cause import Remedy
from recovery.model.decision import Outcome, Result
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.situation import Situation
from recovery.model.text import plain

NO_TOKEN = "NoToken"  # noqa: S105 (a reason code)
NOTHING_DEGRADED = "NothingDegraded"
WAITS_FOR_WORKLOAD = "Waits"
"""Why the next workload is not restarted yet: the one before it is not back."""
RESTARTABLE_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")
ALLOWED_DISRUPTIONS = ("StatefulSet", "Recreate", "Deployment", "DaemonSet")
SHOWN_WORKLOADS = 3
"""Workloads that are named where something was left alone."""
LOOKS = timedelta(seconds=15)
"""Between two looks at whether a restarted workload is back."""
ARGOCD_SKEW = timedelta(seconds=30)
"""By so much Argo CD's clock, which marks a restart that its API does, may be behind ours."""
_FOUND = "replace"


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields allowed under ``parameters`` of restart; others are refused."""

    resources: tuple[str, ...] = ("Deployment", "StatefulSet")
    """Kinds that may be restarted: Deployment, StatefulSet, DaemonSet, Rollout."""
    allow: tuple[str, ...] = ()
    """What may lose pods that are ready: StatefulSet, and Recreate for Deployments of that
    strategy; Deployment and DaemonSet, where more than half of their pods are."""

    def __post_init__(self) -> None:
        if wrong := [kind for kind in self.resources if kind not in RESTARTABLE_KINDS]:
            raise ValueError(
                f"{', '.join(map(repr, wrong))} cannot be restarted; one of"
                f" {', '.join(RESTARTABLE_KINDS)}"
            )
        for what in self.allow:
            if what not in ALLOWED_DISRUPTIONS:
                raise ValueError(
                    f"{what!r} cannot be allowed; one of {', '.join(ALLOWED_DISRUPTIONS)}"
                )


def fits(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:  # noqa: ARG001 (a Fits)
    """Pods that run well gain nothing from a restart."""
    app = situation.subject
    if app.health is Health.Healthy:
        return Skip("Healthy", "it is Healthy: there is nothing to restart")
    if not app.destination.in_cluster and not situation.has_token:
        return Skip(
            NO_TOKEN,
            f"it runs on {app.destination.cluster}, and no Argo CD token is configured to reach it",
        )
    if situation.finding is None and situation.unowned:
        return Skip(
            NOT_OWNED,
            "not proven to be its own, and left alone:"
            f" {'; '.join(situation.unowned[:SHOWN_WORKLOADS])}",
        )
    return None


def judge(record: StepRecord, step: Step, situation: Situation) -> StepStatus:  # noqa: ARG001 (a Judge)
    """First the workloads are found and claimed; then each is restarted once, the next when the one
    before it is back. A claimed restart counts as sent."""
    if not record.stage:
        return (
            StepStatus(Progress.Next, stage=_FOUND)
            if record.targets
            else StepStatus(Progress.Again)
        )
    app, number = situation.subject, number_of(record)
    if not record.sent and record.reason == "Conflict":
        return StepStatus(Progress.Again)  # the API server said no: known not to be done
    claimed = record.claimed_at or record.started_at
    if record.reason == WAITS_FOR_WORKLOAD:
        if (waited := situation.now - claimed) < LOOKS:
            return StepStatus(Progress.Running, message=record.message, soon=LOOKS - waited)
        return StepStatus(Progress.Next, stage=record.stage)
    if again := ill_again(app, claimed, situation.now, "the restart"):
        return again
    if number + 1 < len(record.targets):
        if (waited := situation.now - claimed) < LOOKS:
            return StepStatus(Progress.Running, message=record.message, soon=LOOKS - waited)
        return StepStatus(Progress.Next, stage=f"{_FOUND} {number + 2}")
    return StepStatus(Progress.Running, message=f"restarted; it is {app.health.value}")


def number_of(record: StepRecord) -> int:
    """Which of its workloads this stage is about, from 0: ``replace``, ``replace 2``, ``replace
    3``."""
    _, _, number = record.stage.partition(" ")
    return int(number) - 1 if number.isdecimal() else 0


async def start(order: ActionRequest, doors: Clients) -> Outcome:
    """In its first stage, find what is degraded; in each later one, restart one of it."""
    return await (_restart if order.record.stage else _find)(order, doors)


async def _find(order: ActionRequest, doors: Clients) -> Outcome:
    fresh = await read(order, doors)
    if fresh is None:
        return CHANGED
    kinds: tuple[str, ...] = order.step.parameters.resources
    if doors.argocd is not None:
        found = tuple(
            Workload(w.group, w.kind, w.namespace, w.name, w.version)
            for w in await doors.argocd.unwell(order.app, kinds)
        )
    else:
        found = tuple(w for w in workloads.of(fresh, kinds) if w.kind in workloads.RESOURCES)
    chosen: list[Workload] = []
    alone: list[_Alone] = []
    for workload in found:
        try:
            state = await _live(order, doors, workload)
        except _Alone as why:
            alone.append(why)
            continue
        if by_hand := _taken_back(order, workload, state):
            return Outcome(Result.Skipped, RESTART_UNDONE, by_hand)
        chosen.append(workload)
    beyond = tuple(kind for kind in kinds if kind not in workloads.RESOURCES)
    if not chosen and doors.argocd is None and (there := workloads.of(fresh, beyond)):
        return Outcome(
            Result.Skipped,
            NO_TOKEN,
            f"{', '.join(map(str, there))} can be restarted through Argo CD's API only, and no"
            " token is configured",
        )
    if not chosen:
        return _nothing(kinds, alone)
    return Outcome(
        Result.Sent,
        "Found",
        targets=tuple(_spell(w) for w in chosen),
        settle=_until(order, timedelta()),
    )


def _taken_back(order: ActionRequest, workload: Workload, state: dict[str, Any]) -> str:
    """Did a person take the last restart of it back (``kubectl rollout undo``), at this very
    revision? Then its mark is gone from the pods' template, and no sync since can have taken it
    away."""
    if workload.kind not in workloads.RESOURCES:
        return ""  # a Rollout is not restarted by a mark on the template
    app, known = order.app, (*order.situation.past, *((order.recovery,) if order.recovery else ()))
    mine = [
        s
        for r in known
        for s in r.steps
        if s.action == "restart" and s.effects and _spell(workload) in s.targets
    ]
    last = max(mine, key=lambda s: s.effects[0], default=None)
    if last is None or last.claim.revision != named(app.deployed):
        return ""
    began = last.effects[0].replace(microsecond=0)
    synced = app.operation is not None and (
        app.operation.started_at is None or app.operation.started_at >= began
    )
    marked = workloads.restarted_at(state)
    if synced or (marked is not None and marked > began - ARGOCD_SKEW):
        return ""
    words = (
        f"the restart of {plain(str(workload), 100)} at {began:%Y-%m-%d %H:%M:%S} UTC was taken"
        " back by hand"
    )
    return f"{words}: not repeated until another revision is deployed"


def _nothing(kinds: tuple[str, ...], alone: list[_Alone]) -> Outcome:
    """Nothing of it is to be restarted: because it is not its own, or for a reason that each
    workload has."""
    told = [why for why in alone if why.reason == NOT_OWNED] or [
        why for why in alone if why.reason != "Healthy"
    ]
    if not told:
        return Outcome(
            Result.Skipped, NOTHING_DEGRADED, f"none of its {', '.join(kinds)} is degraded"
        )
    reason = NOT_OWNED if told[0].reason == NOT_OWNED else NOTHING_DEGRADED
    words = (
        "not proven to be its own, and left alone"
        if reason == NOT_OWNED
        else f"none of its {', '.join(kinds)} is to be restarted"
    )
    return Outcome(
        Result.Skipped,
        reason,
        f"{words}: {'; '.join(str(each) for each in told[:SHOWN_WORKLOADS])}",
    )


def _until(order: ActionRequest, more: timedelta) -> timedelta | None:
    """How long after the step's start its effect is waited for; None where the policy has a
    time-out of its own."""
    if order.step.timeout is not None:
        return None
    return order.situation.now - order.record.started_at + max(order.step.kind.settle, more)


class _Alone(Exception):
    """A workload is left alone, and why: it is not proven to be the application's, or it is
    well."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


async def _live(order: ActionRequest, doors: Clients, workload: Workload) -> dict[str, Any]:
    """The workload as it is now. Raises _Alone when it is not proven to be the application's, or
    its pods are not to be replaced."""
    called = plain(str(workload), 100)
    state = await _read(order, doors, workload)
    if workload.kind not in workloads.RESOURCES:
        # a Rollout: Argo CD's tree calls it Degraded, and its action restarts it in its own way
        return state
    app, recovery = order.app, order.recovery
    condition = next(
        (
            p.condition
            for p in order.situation.policies.policies
            if recovery and p.name == recovery.policy
        ),
        None,
    )
    began = recovery.unhealthy_since if recovery else None
    why = workloads.spared(
        workload.kind,
        state,
        progressing=condition is not None and Health.Progressing in (condition.health or ()),
        younger=app.deployed_at is not None and began is not None and app.deployed_at > began,
        allow=order.step.parameters.allow,
    )
    if why:
        raise _Alone("Healthy" if why == "it is Healthy" else NOTHING_DEGRADED, f"{called} ({why})")
    return state


async def _read(order: ActionRequest, doors: Clients, workload: Workload) -> dict[str, Any]:
    """Read the whole workload: through Argo CD's API, which knows what belongs to the application,
    else here with the proof that it is its own."""
    called = plain(str(workload), 100)
    if doors.argocd is not None:
        return await doors.argocd.manifest(order.app, workload)
    what = workloads.RESOURCES.get(workload.kind)
    if what is None:
        raise _Alone(NOT_OWNED, f"{called} (it can be restarted through Argo CD's API only)")
    try:
        state, why = await doors.owns.owned(order.app, what, workload.namespace, workload.name)
    except Unavailable as error:
        raise Conflict(
            f"{workload} could not be read, so nothing was done: {error}", 409
        ) from error
    if why:
        raise _Alone(NOT_OWNED, f"{called} (not proven to be its own: {why})")
    if state is None:
        raise _Alone("Gone", f"{called} (it is not there)")
    return state


async def _restart(order: ActionRequest, doors: Clients) -> Outcome:
    """One workload: when the one before it is back, and if it is still the application's own and
    unwell."""
    record, number = order.record, number_of(order.record)
    targets = [_parse(target) for target in record.targets]
    workload = targets[number] if number < len(targets) else None
    before = targets[number - 1] if number else None
    if before is not None and (waits := await _not_back(order, doors, before)) is not None:
        return waits
    try:
        if workload is None:
            raise _Alone(
                NOT_OWNED,
                f"{plain(record.targets[number] if number < len(targets) else '', 100)} (it names"
                " no workload)",
            )
        state = await _read(order, doors, workload)
        if not _done_before(order, state):
            state = await _live(order, doors, workload)
            await _replace(order, doors, workload, state)
    except _Alone as why:
        return _left_alone(order, why)
    words = f"restarted {workload}" + (
        f" ({number + 1} of {len(targets)})" if len(targets) > 1 else ""
    )
    several = f"restarts {len(targets)} workloads, one after the other"
    told = (
        f"restarted {', '.join(map(str, targets))}" if len(targets) <= SHOWN_WORKLOADS else several
    )
    note = (
        acted(order.situation, order.recovery, told)
        if order.recovery and not record.effects
        else None
    )
    return Outcome(
        Result.Sent,
        "Restarted",
        words,
        settle=_until(order, workloads.deadline(state)),
        notes=(note,) if note else (),
        told=("default",),
        effects=1,
    )


def _left_alone(order: ActionRequest, why: _Alone) -> Outcome:
    """This one is well by now, or not its own. The others still have their turn; where there is
    none, it was for nothing."""
    record = order.record
    if number_of(record) + 1 < len(record.targets) or record.effects:
        return Outcome(
            Result.Sent, "WorkloadLeft", f"left alone: {why}", settle=_until(order, timedelta())
        )
    return Outcome(
        Result.Skipped,
        NOT_OWNED if why.reason == NOT_OWNED else NOTHING_DEGRADED,
        f"left alone: {why}",
    )


async def _not_back(order: ActionRequest, doors: Clients, before: Workload) -> Outcome | None:
    """Why the next one has to wait for this one, or is not restarted at all; None when it is back
    or was left alone."""
    if not order.record.effects:
        return None
    try:
        state = await _read(order, doors, before)
    except _Alone:
        return None
    how = (
        workloads.health(before.kind, state)
        if before.kind in workloads.RESOURCES
        else Health.Healthy
    )
    if how is Health.Degraded:
        others = (
            f"the {len(order.record.targets) - number_of(order.record)} after it are left alone"
        )
        return Outcome(
            Result.Failed,
            "DidNotHelp",
            f"{plain(str(before), 100)} is Degraded again after its restart; {others}",
        )
    if how is Health.Progressing:
        return Outcome(
            Result.Sent,
            WAITS_FOR_WORKLOAD,
            f"waits for {plain(str(before), 100)}, which is Progressing",
            settle=_kept(order),
        )
    return None


def _kept(order: ActionRequest) -> timedelta | None:
    """The deadline as it stands: waiting does not move it."""
    record = order.record
    return record.deadline - record.started_at if record.deadline is not None else None


def _done_before(order: ActionRequest, state: dict[str, Any]) -> bool:
    """Was it restarted under this very claim already, before a crash?"""
    claimed = (order.record.claimed_at or order.record.started_at).replace(microsecond=0)
    last = workloads.restarted_at(state)
    return last is not None and last >= claimed


async def _replace(
    order: ActionRequest, doors: Clients, workload: Workload, state: dict[str, Any]
) -> None:
    """Through Argo CD's resource action, or in the cluster we run in."""
    if doors.argocd is not None:
        await doors.argocd.restart(order.app, workload)
        return
    for _ in range(5):
        try:
            await workloads.restart(
                doors.kube, workload, state["metadata"]["resourceVersion"], order.situation.now
            )
        except Conflict:
            state = await _live(
                order, doors, workload
            )  # its status moves all the time while pods crash
            continue
        return
    raise Conflict(f"{workload} changed five times while it was to be restarted", 409)


def _spell(workload: Workload) -> str:
    return (
        f"{workload.group}/{workload.version}/{workload.kind}/{workload.namespace}/{workload.name}"
    )


def _parse(target: str) -> Workload | None:
    parts = target.split("/")
    if len(parts) != 5 or parts[2] not in RESTARTABLE_KINDS:
        return None
    group, version, kind, namespace, name = parts
    return Workload(group, kind, namespace, name, version)


RESTART = Action(
    ActionKind(
        name="restart",
        parameters=Parameters,
        settle=timedelta(minutes=10),
        judge=judge,
        fits=fits,
        cures=lambda _: (Remedy.restart,),
        destructive=True,
        counts_as_sent=True,
        one_by_one=True,
        exempt=frozenset({"ManualSync"}),
    ),
    start,
)
