"""Outcome of an operation that we wrote."""

from __future__ import annotations

from datetime import datetime, timedelta

from recovery.causes.envelope import essential
from recovery.model.action import Progress, StepStatus
from recovery.model.application import Application, Health, Operation, Phase, Sync, named
from recovery.model.connection import Cluster, Repository
from recovery.model.recovery import Claim, StepRecord
from recovery.model.situation import Situation

PICKED_UP_WITHIN = timedelta(seconds=60)
"""An Argo CD that works takes up an operation within seconds (seen on 3.2: one)."""
WITHDRAW = "withdraw"
"""The stage in which an operation that was not taken up is taken back."""
STILL = timedelta(seconds=10)
"""How long it has to be Degraded again to be so: Argo CD's picture flickers in the second after an
effect."""
CACHE_LAG = timedelta(seconds=3)
"""Argo CD's picture of a cluster comes by watches: a comparison in the second after a sync may not
have its result yet (seen on 3.2)."""


def claim_on(about: Application | Repository | Cluster) -> Claim:
    """The fence around a write that is decided on this look; what is no Kubernetes object needs
    none."""
    if not isinstance(about, Application):
        return Claim()
    app = about
    operation = app.operation
    began, newest = operation.started_at if operation else None, app.deploy.id if app.deploy else -1
    return Claim(app.resource_version, began, newest, app.health.value, named(app.deployed))


def overtaken(claim: Claim, app: Application) -> str:
    """Others who acted since the claim, in words; empty when nobody did."""
    operation = app.operation
    if app.requested is not None:
        return f"an operation by {app.requested.username or 'Argo CD'} was requested"
    started = operation.started_at if operation else None
    if operation and started and started != claim.operation_started_at:
        return f"an operation by {operation.username or 'Argo CD'} began at {started:%H:%M:%S}"
    if app.deploy and app.deploy.id > claim.history_id:
        return (
            f"deploy {app.deploy.id} is newer than {claim.history_id}, the newest when this was"
            " decided"
        )
    return ""


def ours(record: StepRecord, situation: Situation) -> Operation | None:
    """The operation that this step wrote, if Argo CD has taken it up."""
    operation, recovery = situation.subject.operation, situation.recovery
    if operation and recovery and operation.recovery == recovery.token(record):
        return operation
    return None


def progress(record: StepRecord, situation: Situation) -> StepStatus:
    """How far the operation of this step has come; Succeeded speaks of the operation, not of the
    subject."""
    app, recovery = situation.subject, situation.recovery
    token = recovery.token(record) if recovery else ""
    requested = app.requested is not None and app.requested.recovery == token
    if record.stage == WITHDRAW and not requested and not ours(record, situation):
        return StepStatus(
            Progress.Failed, "NotStarted", "Argo CD did not start the operation; it was withdrawn"
        )
    if operation := ours(record, situation):
        return _judged(operation, requested)
    if requested:
        waited = situation.now - (record.claimed_at or record.started_at)
        if record.stage == WITHDRAW:
            return StepStatus(
                Progress.Running if record.sent else Progress.Again, soon=timedelta(seconds=5)
            )
        if waited < PICKED_UP_WITHIN:
            return StepStatus(Progress.Running, soon=PICKED_UP_WITHIN - waited)
        return StepStatus(
            Progress.Next, "NotStarted", f"not started for {waited.seconds}s", stage=WITHDRAW
        )
    if by := overtaken(record.claim, app):
        return StepStatus(Progress.Superseded, "Superseded", f"{by}; it is not repeated")
    if not record.sent:
        return StepStatus(Progress.Again, "InDoubt", "no trace of it; it is written again")
    return StepStatus(Progress.Running, soon=timedelta(seconds=5))


def _judged(operation: Operation, requested: bool) -> StepStatus:
    if not operation.phase.over:
        return StepStatus(Progress.Running, message=essential(operation.message, 1_000))
    if requested:
        return StepStatus(Progress.Running)  # finished, but Argo CD has not yet cleared .operation
    if operation.phase is Phase.Succeeded:
        return StepStatus(
            Progress.Succeeded, "OperationSucceeded", essential(operation.message, 1_000)
        )
    detail = essential("; ".join(operation.failed) or operation.message, 1_000)
    return StepStatus(Progress.Failed, f"Operation{operation.phase.value}", detail[:500])


def effect(record: StepRecord, situation: Situation) -> StepStatus:
    """The same, and then whether the subject answered to it.

    A sync that went through but left the application OutOfSync after a newer comparison has failed;
    otherwise the answer is waited for until the step's settle time is over. A cure is seen
    elsewhere, before this is asked.
    """
    judged = progress(record, situation)
    if judged.progress is not Progress.Succeeded:
        return judged
    app, operation = situation.subject, ours(record, situation)
    done = operation.finished_at if operation else None
    compared = done is not None and app.reconciled_at is not None and app.reconciled_at > done
    if compared and done and app.sync is Sync.OutOfSync and not app.expected_out_of_sync:
        if (waited := situation.now - done) < CACHE_LAG:
            # The first comparison after it may have been of what the cluster cache knew before it;
            # the right one follows.
            words = "the operation succeeded; waiting for the comparison that follows it"
            return StepStatus(
                Progress.Running, message=words, soon=min(CACHE_LAG - waited, CACHE_LAG)
            )
        return StepStatus(
            Progress.Failed,
            "StillOutOfSync",
            "the operation succeeded and the next comparison is still OutOfSync",
        )
    if again := ill_again(app, done, situation.now, "the operation"):
        return again
    return StepStatus(
        Progress.Running,
        message=f"the operation succeeded; it is {app.sync.value} and {app.health.value}",
    )


def ill_again(
    app: Application, since: datetime | None, now: datetime, what: str
) -> StepStatus | None:
    """Evidence that it became Degraded once more after an effect; believed when it has stood for a
    moment. Right after an effect Argo CD's picture of a Deployment may be one of before: Degraded,
    Progressing, Degraded and Healthy within a second (seen on 3.2)."""
    if not fell_ill_again(app, since):
        return None
    lasted = now - app.health_since if app.health_since else STILL
    if timedelta() <= lasted < STILL:
        return StepStatus(
            Progress.Running,
            message="it is Degraded again; waiting to see whether it stays so",
            soon=STILL - lasted,
        )
    return StepStatus(Progress.Failed, "DegradedAgain", f"it became Degraded again after {what}")


def fell_ill_again(app: Application, since: datetime | None) -> bool:
    """The application left Degraded and came back to it: Argo CD stamps a change of health only
    (controller:persistAppStatus)."""
    return (
        app.health is Health.Degraded
        and since is not None
        and app.health_since is not None
        and app.health_since > since
    )
