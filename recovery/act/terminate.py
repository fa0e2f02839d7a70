"""terminate: end an operation that hangs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec import Struct

from recovery.act.action import CHANGED, Action, ActionRequest, Clients, read, unchanged, way
from recovery.causes.remedy_matrix import verdict
from recovery.kube.client import APPLICATIONS
from recovery.model.action import ActionKind, Progress, Skip, StepStatus
from recovery.model.application import Phase
from recovery.model.cause import Remedy, Verdict
from recovery.model.decision import Outcome, Result
from recovery.model.duration import Duration, default, spell
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.situation import Situation

# Waiting for a person or a policy is not hanging (gitops-engine pkg/sync/sync_context.go:Sync).
_WAITING = ("blocked by sync window", "waiting for pruning confirmation", "waiting for deletion of")


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields allowed under ``parameters`` of terminate; others are refused."""

    after: Duration = default(minutes=15)
    """How long an operation may go without progress before it counts as hung."""
    repair_orphans: bool = False
    """Clear the state of an operation that nobody works on any more; history and everything else
    stay."""


def fits(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:  # noqa: ARG001 (a Fits)
    """Only a Running operation that is neither in its retry pause nor waiting for a person, and for
    long enough."""
    operation = situation.subject.operation
    if _orphaned(step, situation):
        return None
    if operation is None or operation.phase is not Phase.Running or operation.started_at is None:
        return Skip("NoOperation", "no operation is running")
    if operation.retrying:
        return Skip("RetryPending", f"it waits for its own retry: {operation.message[:160]}")
    if any(words in operation.message for words in _WAITING):
        return Skip("WaitsForApproval", f"it waits on purpose: {operation.message[:160]}")
    moved = situation.sight.moved
    still = situation.now - (moved[1] if moved else situation.now)
    if still < step.parameters.after:
        return Skip(
            "OperationProgressing",
            f"it made progress {spell(still)} ago, and counts as hung after"
            f" {spell(step.parameters.after)} without any",
        )
    return None


def _orphaned(step: Step, situation: Situation) -> bool:
    """Is it one that may be repaired, and are we asked to?"""
    finding = situation.finding
    return (
        step.parameters.repair_orphans
        and finding is not None
        and verdict(finding, Remedy.repair) is Verdict.allowed
    )


def judge(record: StepRecord, step: Step, situation: Situation) -> StepStatus:  # noqa: ARG001 (a Judge)
    """Asynchronous: over when the operation it was meant for is, and ``.operation`` is gone."""
    app, operation = situation.subject, situation.subject.operation
    if operation is None or operation.started_at != record.claim.operation_started_at:
        return StepStatus(
            Progress.Succeeded, "Terminated", "the operation it was meant for is gone"
        )
    if operation.phase.over and app.requested is None:
        return StepStatus(Progress.Succeeded, "Terminated", operation.message[:200])
    if not record.sent and operation.phase is Phase.Running:
        return StepStatus(Progress.Again)
    return StepStatus(
        Progress.Running, message=f"{operation.phase.value}: {operation.message[:160]}"
    )


async def start(order: ActionRequest, doors: Clients) -> Outcome:
    """As Argo CD's API does it: the phase becomes Terminating
    (server/application/application.go:TerminateOperation), and only for the very operation that was
    judged."""
    fresh = await read(order, doors)
    state = ((fresh or {}).get("status") or {}).get("operationState") or {}
    began = order.record.claim.operation_started_at
    if way(order) is Remedy.repair:
        return await _repair(order, doors, fresh)
    same = (
        bool(state.get("startedAt"))
        and began is not None
        and state["startedAt"] == began.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    if fresh is None or not same or state.get("phase") != "Running":
        return CHANGED
    body = {
        "metadata": {"resourceVersion": fresh["metadata"]["resourceVersion"]},
        "status": {"operationState": {"phase": "Terminating"}},
    }
    await doors.kube.patch(APPLICATIONS, order.app.namespace, order.app.name, body)
    return Outcome(Result.Sent)


async def _repair(order: ActionRequest, doors: Clients, fresh: dict[str, Any] | None) -> Outcome:
    """Only operationState, only as it was judged, and only if it is still orphaned: what is written
    a second later is news."""
    if fresh is None or not unchanged(order, fresh) or fresh.get("operation"):
        return CHANGED
    body = {
        "metadata": {"resourceVersion": fresh["metadata"]["resourceVersion"]},
        "status": {"operationState": None},
    }
    await doors.kube.patch(APPLICATIONS, order.app.namespace, order.app.name, body)
    return Outcome(
        Result.Sent, "Repaired", "cleared the state of an operation that nobody worked on"
    )


TERMINATE = Action(
    ActionKind(
        name="terminate",
        parameters=Parameters,
        settle=timedelta(minutes=2),
        judge=judge,
        fits=fits,
        cures=lambda p: (
            (Remedy.terminate, Remedy.repair) if p.repair_orphans else (Remedy.terminate,)
        ),
        exempt=frozenset({"OperationInProgress", "ManualSync"}),
    ),
    start,
)
