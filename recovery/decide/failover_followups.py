"""Steps still owed when a repository or a cluster is healthy again, before its recovery may end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, structs

from recovery.decide import notifications
from recovery.decide.attempt import called, suppress, undertake
from recovery.decide.failover_progress import homeward, label_of
from recovery.decide.fingerprint import fingerprint
from recovery.decide.guard_request import GuardRequest
from recovery.decide.guards import refusal
from recovery.decide.placement import cluster_of
from recovery.decide.requests import requested
from recovery.model.action import ActionKind, Judge, Progress, StepStatus
from recovery.model.application import Application, Sync
from recovery.model.connection import Cluster, Repository
from recovery.model.decision import Decision, Kind
from recovery.model.duration import Duration
from recovery.model.move import RelocationPhase
from recovery.model.policy import ActionSpec, Policy, Step
from recovery.model.recovery import Recovery, RecoveryPhase, StepRecord
from recovery.model.situation import Situation
from recovery.model.text import shell

REFRESHED_AT_ONCE = 5
"""Applications refreshed in one go when their repository is back; the next ones after PAUSE."""
REFRESH_PAUSE = timedelta(seconds=3)
_EXEMPT = frozenset({"ApprovalRequired", "InFlightLimit"})


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """An action that takes no parameters."""


class Failback(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a failback: how a failover ends."""

    stay: bool = False
    """The new place becomes home: nothing moves, what is owed is forgiven."""


def affected(situation: Situation) -> tuple[Application, ...]:
    """Applications that could not be compared for want of their repository, and have not been
    since."""
    unsure = ("ComparisonError", "UnknownError")
    return tuple(
        dep.app
        for dep in situation.dependents
        if dep.app.sync is Sync.Unknown or any(c.type in unsure for c in dep.app.conditions)
    )


def _refreshed(record: StepRecord, step: Step, situation: Situation) -> StepStatus:  # noqa: ARG001 (a Judge)
    """In handfuls, with a pause between them; done when all that were affected have been asked
    for."""
    if not record.sent:
        return StepStatus(Progress.Again)
    asked = set(record.targets)
    left = [app for app in affected(situation) if str(app.key) not in asked]
    if not left:
        return StepStatus(Progress.Succeeded, "Refreshed", f"refreshed {len(asked)} applications")
    waited = situation.now - (record.claimed_at or record.started_at)
    if waited < REFRESH_PAUSE:
        return StepStatus(
            Progress.Running,
            message=f"{len(left)} applications are still to be refreshed",
            soon=REFRESH_PAUSE - waited,
        )
    return StepStatus(Progress.Next, stage=f"after {len(asked)}")


REFRESH_APPLICATIONS = ActionKind(
    name="refresh_applications",
    parameters=Nothing,
    settle=timedelta(minutes=10),
    judge=_refreshed,
    lasting=True,
    exempt=_EXEMPT,
    applies_to=frozenset({"repository"}),
)


def _done_at_once(reason: str) -> Judge:
    """For a step whose answer comes with its effect; unsent, it is safe to do again."""

    def judge(record: StepRecord, step: Step, situation: Situation) -> StepStatus:  # noqa: ARG001 (a Judge)
        return (
            StepStatus(Progress.Succeeded, reason, record.message)
            if record.sent
            else StepStatus(Progress.Again)
        )

    return judge


LIST_LEFTOVERS = ActionKind(
    name="list_leftovers",
    parameters=Nothing,
    settle=timedelta(minutes=2),
    judge=_done_at_once("Listed"),
    lasting=True,
    exempt=_EXEMPT,
    applies_to=frozenset({"cluster"}),
)


def _returned(record: StepRecord, step: Step, situation: Situation) -> StepStatus:
    recovery = situation.recovery
    if recovery is None:
        return StepStatus(Progress.Failed, "NoRecovery", "its recovery is gone")
    if step.parameters.stay:
        return (
            StepStatus(Progress.Succeeded, "Stayed", record.message)
            if record.sent
            else StepStatus(Progress.Again)
        )
    if not record.sent and not record.stage:
        return StepStatus(Progress.Again)
    policy = next((p for p in situation.policies.policies if p.name == recovery.policy), None)
    failover = failover_step(policy) if policy else None
    return homeward(
        record,
        recovery,
        situation,
        label=label_of(recovery),
        stateful=bool(failover and failover.parameters.allow_stateful),
    )


FAILBACK = ActionKind(
    name="failback",
    parameters=Failback,
    settle=timedelta(minutes=30),
    judge=_returned,
    lasting=True,
    destructive=True,
    exempt=_EXEMPT,
    applies_to=frozenset({"cluster"}),
)


CLEANUP = ActionKind(
    name="cleanup",
    parameters=Nothing,
    settle=timedelta(minutes=5),
    judge=_done_at_once("CleanedUp"),
    lasting=True,
    destructive=True,
    exempt=_EXEMPT,
    applies_to=frozenset({"cluster"}),
)


def aftercare(situation: Situation, policy: Policy, recovery: Recovery) -> Decision | None:
    """The next thing that is owed; None when the recovery may end."""
    match situation.about:
        case Repository():
            return _refresh(situation, policy, recovery)
        case Cluster() if recovery.relocations:
            return _homecoming(situation, policy, recovery)
        case _:
            return None


def _refresh(situation: Situation, policy: Policy, recovery: Recovery) -> Decision | None:
    done = any(
        s.action == REFRESH_APPLICATIONS.name
        and s.started_at >= (recovery.healthy_since or s.started_at)
        for s in recovery.steps
    )
    if done or not affected(situation):
        return None
    step = Step(REFRESH_APPLICATIONS, Nothing(), ActionSpec(REFRESH_APPLICATIONS.name))
    if refusal(GuardRequest(situation, policy, step, recovery)):
        return None  # Argo CD looks again by itself within minutes
    return undertake(situation, policy, recovery, step)


def stay(situation: Situation, policy: Policy, recovery: Recovery) -> Decision:
    """Let the applications stay where they were moved to: what is owed is forgiven."""
    return _begin(situation, policy, recovery, FAILBACK, {"stay": True}, wish="stay")


def _homecoming(situation: Situation, policy: Policy, recovery: Recovery) -> Decision | None:
    """Applications run elsewhere and, most likely, here as well: people decide, or the policy
    did."""
    requests = {
        kind
        for kind in ("stay", "failback", "cleanup")
        if requested(recovery, kind, situation.now) is not None
    }
    listed = _newest(recovery, LIST_LEFTOVERS.name, recovery.healthy_since)
    if not recovery.owed:
        settled = _newest(recovery, FAILBACK.name)
        if settled is None:
            return None  # nothing was moved, or all of it is gone
        if listed is None or listed.started_at < settled.started_at:
            return _begin(situation, policy, recovery, LIST_LEFTOVERS)
        return (
            _begin(situation, policy, recovery, CLEANUP, wish="cleanup")
            if "cleanup" in requests
            else None
        )
    if listed is None:
        return _begin(situation, policy, recovery, LIST_LEFTOVERS)
    if "stay" in requests:
        return stay(situation, policy, recovery)
    if "failback" in requests or _in_time(situation, policy, recovery):
        away = tuple(
            structs.replace(m, phase=RelocationPhase.Moved)
            if m.phase is RelocationPhase.Failed
            else m
            for m in recovery.relocations
        )
        return _begin(
            situation,
            policy,
            structs.replace(recovery, relocations=away),
            FAILBACK,
            wish="failback",
        )
    return _split_brain(situation, policy, recovery)


def _begin(
    situation: Situation,
    policy: Policy,
    recovery: Recovery,
    kind: ActionKind,
    written: dict[str, Any] | None = None,
    wish: str = "",
) -> Decision:
    """Begin what is owed. A wish is fulfilled once: it is struck off with the claim."""
    step = Step(kind, kind.parameters(**(written or {})), ActionSpec(kind.name, written or {}))
    if no := refusal(GuardRequest(situation, policy, step, recovery)):
        return suppress(situation, policy, recovery, no)
    left = tuple(w for w in recovery.requests if w.type != wish)
    return undertake(situation, policy, structs.replace(recovery, requests=left), step)


def _newest(recovery: Recovery, action: str, since: datetime | None = None) -> StepRecord | None:
    """The newest step of this kind, since a moment."""
    steps = [
        s for s in recovery.steps if s.action == action and (since is None or s.started_at >= since)
    ]
    return steps[-1] if steps else None


def failover_step(policy: Policy) -> Step | None:
    """The policy's failover, if it has one."""
    return next((step for step in policy.actions if step.kind.name == "failover"), None)


def _in_time(situation: Situation, policy: Policy, recovery: Recovery) -> bool:
    """failback: auto, and the old cluster has been well for long enough."""
    step = failover_step(policy)
    if step is None or step.parameters.failback.value != "auto" or recovery.healthy_since is None:
        return False
    if any(
        s.action == FAILBACK.name and s.started_at >= recovery.healthy_since for s in recovery.steps
    ):
        return False  # tried once in this return; what is left is a person's
    return bool(situation.now - recovery.healthy_since >= step.parameters.failback_after)


def _split_brain(situation: Situation, policy: Policy, recovery: Recovery) -> Decision:
    cluster = cluster_of(situation)
    step = failover_step(policy)
    by_itself: Duration | None = (
        step.parameters.failback_after
        if step and step.parameters.failback.value == "auto"
        else None
    )
    due = recovery.healthy_since + by_itself if by_itself and recovery.healthy_since else None
    due = (
        due if due is not None and due > situation.now else None
    )  # tried once already: what is left is a person's
    left = sum(": /" in entry for m in recovery.relocations for entry in m.leftovers)
    unseen = any(": /" not in entry for m in recovery.relocations for entry in m.leftovers)
    how = (
        f"they are moved back at {due:%H:%M:%S} UTC if it stays healthy"
        if due
        else f"`recovery failback {shell(recovery.name)}` moves them back, --stay keeps them there"
    )
    copies = (
        f"{left} of their resources are live on both (split brain)"
        if left
        else (
            "whether any are live on both is unknown"
            if unseen
            else "none of their resources was found on both"
        )
    )
    message = (
        f"{cluster.name} is back, and {len(recovery.owed)} applications still run elsewhere;"
        f" {copies}; {how}"
    )
    changed = recovery.reason != "SplitBrain"
    recovery = structs.replace(
        recovery,
        phase=RecoveryPhase.Stalled,
        reason="SplitBrain",
        message=message,
        fingerprint=fingerprint(situation.about),
    )
    if changed:
        recovery = called(
            recovery, notifications.split_brain(situation, recovery, message, policy.channels)
        )
    return Decision(Kind.Stall, policy.name, "SplitBrain", message, due, recovery=recovery)
