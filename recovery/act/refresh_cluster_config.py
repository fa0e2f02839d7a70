"""refresh_cluster_config: read the cluster's Secret again, and have Argo CD list the cluster
anew."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from recovery.act.action import Action, ActionRequest, Clients
from recovery.decide.connections import LOOKERS, connection
from recovery.model.action import ActionKind, Progress, Skip, StepStatus
from recovery.model.connection import Cluster
from recovery.model.decision import Outcome, Result
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.situation import Situation


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing may be written under ``parameters``."""


def fits(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:  # noqa: ARG001 (a Fits)
    """Argo CD has to be there to be asked."""
    return (
        None
        if situation.has_token
        else Skip("NoToken", "only Argo CD can list it anew, and no Argo CD token is configured")
    )


def judge(record: StepRecord, step: Step, situation: Situation) -> StepStatus:  # noqa: ARG001 (a Judge)
    """Done when somebody has looked since; that nothing changed is known by then. Asking twice is
    harmless."""
    about = situation.about
    if not record.sent:
        return StepStatus(Progress.Again)
    if isinstance(about, Cluster) and looked_since(about, record, situation.now):
        state, words = connection(about, situation.now)
        return StepStatus(
            Progress.Failed, "NoChange", f"listed anew, and it is still {state.value}: {words}"
        )
    return StepStatus(Progress.Running, message="no probe since", soon=timedelta(seconds=5))


def looked_since(cluster: Cluster, record: StepRecord, now: datetime) -> bool:
    """Has everybody who looks at it looked again since this step was claimed?"""
    began = record.claimed_at or record.started_at
    # A witness that has nothing left to look at (no application there any more) is not waited for.
    looks = [e for e in cluster.evidence if e.by in LOOKERS and now - e.at <= e.lasts]
    return bool(looks) and all(e.at > began for e in looks)


async def start(order: ActionRequest, doors: Clients) -> Outcome:
    """Argo CD's invalidate-cache (server/cluster/cluster.go): without it a dead cluster keeps its
    last state for hours."""
    about = order.situation.about
    if doors.argocd is None or not isinstance(about, Cluster):
        return Outcome(Result.Skipped, "NoToken", "Argo CD cannot be asked")
    doors.ways.forget()
    await doors.argocd.invalidate(about.server)
    return Outcome(Result.Sent, "Invalidated", "Argo CD lists it anew")


REFRESH_CLUSTER_CONFIG = Action(
    ActionKind(
        name="refresh_cluster_config",
        parameters=Parameters,
        settle=timedelta(minutes=2),
        judge=judge,
        fits=fits,
        applies_to=frozenset({"cluster"}),
    ),
    start,
)
