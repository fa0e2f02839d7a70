"""restart: replace the pods of the degraded workloads, and of no others."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

from recovery.act import workloads
from recovery.act.order import CHANGED, Action, Doors, Order, Workload, read
from recovery.decide.operations import fell_ill_again
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

NO_TOKEN = "NoToken"  # noqa: S105 (a reason code)
_FOUND = "replace"


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be written under ``parameters``."""

    resources: tuple[str, ...] = ("Deployment", "StatefulSet")
    """Kinds that may be restarted: Deployment, StatefulSet, DaemonSet, Rollout."""

    def __post_init__(self) -> None:
        known = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")
        for kind in self.resources:
            if kind not in known:
                raise ValueError(f"{kind!r} cannot be restarted; one of {', '.join(known)}")


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
        unwell = []
        for workload in workloads.of(fresh, tuple(kind for kind in kinds if kind in workloads.RESOURCES)):
            state = await workloads.read(doors.kube, workload)
            if state and workloads.unwell(workload.kind, state):
                unwell.append(workload)
                settle = max(settle, workloads.deadline(state))
        found = tuple(unwell)
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


async def _restart(order: Order, doors: Doors) -> Outcome:
    done: list[str] = []
    left = ""
    for workload in map(_parse, order.record.targets):
        try:
            if doors.argocd is not None:
                await doors.argocd.restart(order.app, workload)
            else:
                await _restart_here(order, doors, workload)
        except (Conflict, Busy) as error:
            if not done:
                raise  # nothing was written: the whole of it is judged again
            # What was restarted is not restarted again for the sake of the others: they come with the next attempt.
            left = f"; then it was stopped at {workload}: {redact(str(error), 200)}"
            break
        done.append(str(workload))
    words = f"restarted {', '.join(done)}{left}"
    note = acted(order.situation, order.recovery, words) if order.recovery else None
    return Outcome(Result.Sent, "Restarted", words, notes=(note,) if note else (), told=("default",))


async def _restart_here(order: Order, doors: Doors, workload: Workload) -> None:
    claimed = order.record.started_at.replace(microsecond=0)
    for _ in range(5):
        try:
            state = await workloads.read(doors.kube, workload)
        except Unavailable as error:
            raise Conflict(f"{workload} could not be read, so nothing was done: {error}", 409) from error
        if state is None:
            return
        last = workloads.restarted_at(state)
        if last is not None and last >= claimed:
            return  # done before a crash
        try:
            await workloads.restart(doors.kube, workload, state["metadata"]["resourceVersion"], order.situation.now)
        except Conflict:
            continue  # its status moves all the time while pods crash
        return
    raise Conflict(f"{workload} changed five times while it was to be restarted", 409)


def _spell(workload: Workload) -> str:
    return f"{workload.group}/{workload.version}/{workload.kind}/{workload.namespace}/{workload.name}"


def _parse(target: str) -> Workload:
    group, version, kind, namespace, name = target.split("/", 4)
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
