"""restart: replace the pods of the degraded workloads, and of no others."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

from recovery.act import workloads
from recovery.act.order import CHANGED, Action, Doors, Order, Workload, read
from recovery.decide.operations import fell_ill_again
from recovery.decide.ownership import NOT_OWNED
from recovery.decide.telling import acted
from recovery.kube.errors import Busy, Conflict, Unavailable
from recovery.model.action import Judgement, Progress, Skip, Traits
from recovery.model.application import Health
from recovery.model.cause import Cure
from recovery.model.decision import Outcome, Result
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.redact import redact
from recovery.model.situation import Situation
from recovery.model.text import plain

NO_TOKEN = "NoToken"  # noqa: S105 (a reason code)
_FOUND = "replace"
KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")
SHOWN = 3
"""Workloads that are named where something was left alone."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be written under ``parameters``."""

    resources: tuple[str, ...] = ("Deployment", "StatefulSet")
    """Kinds that may be restarted: Deployment, StatefulSet, DaemonSet, Rollout."""

    def __post_init__(self) -> None:
        for kind in self.resources:
            if kind not in KINDS:
                raise ValueError(f"{kind!r} cannot be restarted; one of {', '.join(KINDS)}")


def fits(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:  # noqa: ARG001 (a Fits)
    """Pods that run well gain nothing from a restart."""
    app = situation.subject
    if app.health is Health.Healthy:
        return Skip("Healthy", "it is Healthy: there is nothing to restart")
    if not app.destination.in_cluster and not situation.has_token:
        return Skip(NO_TOKEN, f"it runs on {app.destination.cluster}, and no Argo CD token is configured to reach it")
    return None


def judge(record: StepRecord, step: Step, situation: Situation) -> Judgement:  # noqa: ARG001 (a Judge)
    """First the workloads are found and claimed, then restarted once: a claimed restart counts as sent."""
    if record.stage != _FOUND:
        return Judgement(Progress.Next, stage=_FOUND) if record.targets else Judgement(Progress.Again)
    app = situation.subject
    if not record.sent and record.reason == "Conflict":
        return Judgement(Progress.Again)  # the API server said no: known not to be done
    if fell_ill_again(app, record.started_at):
        return Judgement(Progress.Failed, "DegradedAgain", "it became Degraded again after the restart")
    return Judgement(Progress.Running, message=f"restarted; it is {app.health.value}")


async def start(order: Order, doors: Doors) -> Outcome:
    """In its first stage, find what is degraded; in its second, restart just that."""
    return await (_restart if order.record.stage == _FOUND else _find)(order, doors)


async def _find(order: Order, doors: Doors) -> Outcome:
    fresh = await read(order, doors)
    if fresh is None:
        return CHANGED
    kinds: tuple[str, ...] = order.step.parameters.resources
    settle = order.step.traits.settle
    if doors.argocd is not None:
        found = tuple(Workload(w.group, w.kind, w.namespace, w.name, w.version) for w in await doors.argocd.degraded(order.app, kinds))
    else:
        found, foreign, settle = await _unwell_here(order, doors, workloads.of(fresh, kinds), settle)
        if foreign and not found:
            return Outcome(Result.Skipped, NOT_OWNED, f"not proven to be its own, and left alone: {'; '.join(foreign[:SHOWN])}")
    beyond = tuple(kind for kind in kinds if kind not in workloads.RESOURCES)
    if not found and doors.argocd is None and (there := workloads.of(fresh, beyond)):
        return Outcome(
            Result.Skipped,
            NO_TOKEN,
            f"{', '.join(map(str, there))} can be restarted through Argo CD's API only, and no token is configured",
        )
    if not found:
        return Outcome(Result.Skipped, "NothingDegraded", f"none of its {', '.join(kinds)} is degraded")
    return Outcome(
        Result.Sent,
        "Found",
        targets=tuple(_spell(w) for w in found),
        settle=settle if order.step.timeout is None else None,
    )


async def _unwell_here(
    order: Order, doors: Doors, listed: tuple[Workload, ...], settle: timedelta
) -> tuple[tuple[Workload, ...], list[str], timedelta]:
    """Of the workloads that the application lists: those that are its own and unwell, and why others are not its own."""
    found, foreign = [], []
    for workload in listed:
        if workload.kind not in workloads.RESOURCES:
            continue
        state, why = await doors.owns.owned(order.app, workloads.RESOURCES[workload.kind], workload.namespace, workload.name)
        if why:
            foreign.append(f"{plain(str(workload), 100)} ({why})")
        elif state and workloads.unwell(workload.kind, state):
            found.append(workload)
            settle = max(settle, workloads.deadline(state))
    return tuple(found), foreign, settle


class _Alone(Exception):
    """A workload is left alone, and why: it is not proven to be the application's, or it is well."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


async def _restart(order: Order, doors: Doors) -> Outcome:
    """What the claim names is looked at once more: it is restarted if it is the application's own and still unwell."""
    done: list[str] = []
    alone: list[_Alone] = []
    left = ""
    for target in order.record.targets:
        workload = _parse(target)
        try:
            if workload is None:
                raise _Alone(NOT_OWNED, f"{plain(target, 100)} (it names no workload)")
            await (_restart_there if doors.argocd is not None else _restart_here)(order, doors, workload)
        except _Alone as why:
            alone.append(why)
            continue
        except (Conflict, Busy) as error:
            if not done:
                raise  # nothing was written: the whole of it is judged again
            # What was restarted is not restarted again for the sake of the others: they come with the next attempt.
            left = f"; then it was stopped at {workload}: {redact(str(error), 200)}"
            break
        done.append(str(workload))
    words = "; ".join(map(str, alone[:SHOWN]))
    if not done:
        reason = NOT_OWNED if any(each.reason == NOT_OWNED for each in alone) else "NothingDegraded"
        return Outcome(Result.Skipped, reason, f"left alone: {words}")
    words = f"restarted {', '.join(done)}{left}" + (f"; left alone: {words}" if alone else "")
    note = acted(order.situation, order.recovery, words) if order.recovery else None
    return Outcome(Result.Sent, "Restarted", words, notes=(note,) if note else (), told=("default",))


async def _restart_there(order: Order, doors: Doors, workload: Workload) -> None:
    """Through Argo CD's API, which knows what belongs to the application and how it is."""
    assert doors.argocd is not None  # noqa: S101 (asked for by _restart only)
    ill = {(w.group, w.kind, w.namespace, w.name) for w in await doors.argocd.degraded(order.app, KINDS)}
    if (workload.group, workload.kind, workload.namespace, workload.name) not in ill:
        raise _Alone("NothingDegraded", f"{plain(str(workload), 100)} (Argo CD's resource tree does not call it degraded)")
    await doors.argocd.restart(order.app, workload)


async def _restart_here(order: Order, doors: Doors, workload: Workload) -> None:
    """In the cluster we run in; unless it was done before a crash."""
    claimed, called = order.record.started_at.replace(microsecond=0), plain(str(workload), 100)
    what = workloads.RESOURCES.get(workload.kind)
    if what is None:
        raise _Alone(NOT_OWNED, f"{called} (it can be restarted through Argo CD's API only)")
    for _ in range(5):
        try:
            state, why = await doors.owns.owned(order.app, what, workload.namespace, workload.name)
        except Unavailable as error:
            raise Conflict(f"{workload} could not be read, so nothing was done: {error}", 409) from error
        if why:
            raise _Alone(NOT_OWNED, f"{called} (not proven to be its own: {why})")
        if state is None:
            return
        last = workloads.restarted_at(state)
        if last is not None and last >= claimed:
            return  # done before a crash
        if not workloads.unwell(workload.kind, state):
            raise _Alone("NothingDegraded", f"{called} (it is well by now)")
        try:
            await workloads.restart(doors.kube, workload, state["metadata"]["resourceVersion"], order.situation.now)
        except Conflict:
            continue  # its status moves all the time while pods crash
        return
    raise Conflict(f"{workload} changed five times while it was to be restarted", 409)


def _spell(workload: Workload) -> str:
    return f"{workload.group}/{workload.version}/{workload.kind}/{workload.namespace}/{workload.name}"


def _parse(target: str) -> Workload | None:
    parts = target.split("/")
    if len(parts) != 5 or parts[2] not in KINDS:
        return None
    group, version, kind, namespace, name = parts
    return Workload(group, kind, namespace, name, version)


RESTART = Action(
    Traits(
        name="restart",
        parameters=Parameters,
        settle=timedelta(minutes=10),
        judge=judge,
        fits=fits,
        cures=lambda _: (Cure.restart,),
        destructive=True,
        counts_as_sent=True,
        exempt=frozenset({"owner intent"}),
    ),
    start,
)
