"""refresh: have Argo CD look again, at Git and at the cluster."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

from recovery.act.action import Action, ActionRequest, Clients, way
from recovery.kube.client import APPLICATIONS
from recovery.model.action import ActionKind, Progress, StepStatus
from recovery.model.application import Health, Sync
from recovery.model.cause import Remedy
from recovery.model.decision import Outcome, Result
from recovery.model.names import REFRESH, REFRESH_TIMESTAMP, SKIP_RECONCILE
from recovery.model.policy import Step
from recovery.model.recovery import StepRecord
from recovery.model.situation import Situation


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields allowed under ``parameters`` of refresh; others are refused."""

    hard: bool = False
    """Also drop the manifest cache, with the errors that are cached in it."""


def judge(record: StepRecord, step: Step, situation: Situation) -> StepStatus:  # noqa: ARG001 (a Judge)
    """Consumed when the annotation is gone and a newer comparison is there, or the spec was found
    invalid (argo-cd controller/appcontroller.go:persistReconciliationStatus; reconciledAt has whole
    seconds and does not advance on an invalid spec)."""
    app = situation.subject
    if (app.marks or {}).get(REFRESH):
        held = (app.marks or {}).get(SKIP_RECONCILE, "")
        return StepStatus(
            Progress.Running,
            message=f"annotated {SKIP_RECONCILE}: {held}" if held else "not consumed yet",
        )
    asked = record.started_at.replace(microsecond=0)
    invalid = any(c.type in ("InvalidSpecError", "UnknownError") for c in app.conditions)
    if not invalid and (app.reconciled_at is None or app.reconciled_at < asked):
        return StepStatus(
            Progress.Running if record.sent else Progress.Again,
            message="not consumed yet",
            soon=timedelta(seconds=10),
        )
    if app.sync is Sync.Synced and app.health is Health.Progressing:
        return StepStatus(Progress.Running, message="refreshed; it is Progressing")
    return StepStatus(
        Progress.Failed,
        "NoChange",
        f"refreshed, and it is still {app.sync.value} and {app.health.value}",
    )


async def start(order: ActionRequest, doors: Clients) -> Outcome:
    """One annotation; asking twice is harmless. Hard only where the cause leaves that."""
    value = "hard" if way(order) is Remedy.hard_refresh else "normal"
    app = order.app
    annotations = {REFRESH: value}
    if doors.dialect().stamps_refreshes:
        annotations[REFRESH_TIMESTAMP] = order.situation.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    await doors.kube.patch(
        APPLICATIONS,
        app.namespace,
        app.name,
        {"metadata": {"uid": app.uid, "annotations": annotations}},
    )
    return Outcome(Result.Sent)


REFRESH_ACTION = Action(
    ActionKind(
        name="refresh",
        parameters=Parameters,
        settle=timedelta(minutes=2),
        judge=judge,
        paced=True,
        fetches=True,
        cures=lambda p: (Remedy.hard_refresh, Remedy.refresh) if p.hard else (Remedy.refresh,),
    ),
    start,
)
