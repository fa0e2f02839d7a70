"""Is an application frozen, and what becomes of it: one incident of the control plane, and a
person's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import structs

from recovery.model.application import Application
from recovery.model.decision import Decision, Kind
from recovery.model.duration import spell
from recovery.model.names import SKIP_RECONCILE
from recovery.model.recovery import PendingNotification, Recovery, RecoveryPhase, Subject
from recovery.model.unreconciled import (
    RECONCILER,
    SHARD,
    UID,
    Reconciling,
    UnreconciledApplications,
)

FROZEN, THAWED = "ReconcileFrozen", "ReconcilingResumed"
ASK_AGAIN_AFTER = timedelta(seconds=30)


def frozen(
    app: Application, reconciling: Reconciling, asked: datetime | None, now: datetime
) -> str:
    """Why Argo CD is believed not to look at it any more, with the numbers; empty when it does.

    ``asked`` is since when a refresh is requested that nobody has taken up. Where an invalid spec
    keeps reconciledAt from advancing (argo-cd controller/appcontroller.go:refreshAppConditions), or
    a person has switched it off, nothing is said.
    """
    marks = app.marks or {}
    if app.deleting or marks.get(SKIP_RECONCILE, "").lower() == "true":
        return ""
    limit = reconciling.limit
    if asked is not None and now - asked > reconciling.patience:
        return f"a refresh requested {spell(now - asked)} ago is not consumed"
    if (
        any(c.type in ("InvalidSpecError", "UnknownError") for c in app.conditions)
        or not reconciling.interval
        or app.reconciled_at is None
    ):
        return ""
    ago = now - app.reconciled_at
    if ago <= limit:
        return ""
    every = f"every {spell(reconciling.interval)} by {reconciling.source}"
    return (
        f"it was last compared {spell(ago)} ago ({app.reconciled_at:%Y-%m-%d %H:%M:%SZ}), and"
        f" should be {every}"
    )


def looked_at(app: Application, reconciling: Reconciling, now: datetime) -> bool:
    """Was it compared lately, as far as it says so itself? What is being deleted or has an invalid
    spec is not compared either way."""
    if (
        app.deleting
        or app.reconciled_at is None
        or any(c.type in ("InvalidSpecError", "UnknownError") for c in app.conditions)
    ):
        return False
    return timedelta() <= now - app.reconciled_at <= reconciling.limit


def stands_still(ill: Mapping[str, int], well: Mapping[str, int]) -> bool:
    """Of a cluster's applications by project: are those that are not looked at for the shard's
    sake, and not for their owners'?

    Most of the projects say so; at equal numbers, two thirds of the applications. Nobody who is
    alone is outvoted by nobody.
    """
    against = well.keys() - ill.keys()
    if len(against) != len(ill):
        return len(ill) > len(against)
    frozen, other = sum(ill.values()), sum(well.values())
    return frozen >= 2 * other


def judge(frost: UnreconciledApplications) -> tuple[Decision, ...]:
    """Opened, watched, over as soon as the last of them is looked at again. Nothing is cured
    here."""
    recovery, now = frost.recovery, frost.now
    if not frost.freshness.fresh:
        words = frost.freshness.message
        return (
            (
                Decision(
                    Kind.Wait,
                    SHARD,
                    recovery.reason,
                    words,
                    now + ASK_AGAIN_AFTER,
                    recovery=recovery,
                ),
            )
            if recovery is not None
            else ()
        )
    if recovery is None:
        return (_opened(frost),) if frost.frozen else ()
    if not frost.frozen:
        return (_over(frost, recovery),)
    kept = structs.replace(recovery, message=_message(frost), evidence=frost.members)
    return (
        Decision(Kind.Stall, SHARD, FROZEN, kept.message, now + ASK_AGAIN_AFTER, recovery=kept),
    )


def _message(frost: UnreconciledApplications) -> str:
    return (
        f"{frost.frozen} of {frost.total} applications ({_places(frost)}) are not reconciled by"
        f" Argo CD any more: {frost.why}"
    )


def _places(frost: UnreconciledApplications) -> str:
    shown = ", ".join(frost.clusters[:3])
    return f"on {shown}" + (
        f" and {len(frost.clusters) - 3} more clusters" if len(frost.clusters) > 3 else ""
    )


def _opened(frost: UnreconciledApplications) -> Decision:
    now, message = frost.now, _message(frost)
    told = f"{RECONCILER}/{frost.past}"  # one name, whoever opens it and by whatever clock
    name = f"frozen-{hashlib.sha256(told.encode()).hexdigest()[:10]}"
    recovery = Recovery(
        name,
        SHARD,
        "",
        Subject(SHARD.title(), "", RECONCILER, UID),
        now,
        RecoveryPhase.Stalled,
        cause=FROZEN,
        unhealthy_since=now,
        reason=FROZEN,
        message=message,
        evidence=frost.members,
    )
    body = (
        f"{message}. What they show is old; nothing is done to any of them until they are"
        " reconciled again. Look at the application controller: is every shard running, is one"
        " out of memory,"
        " is this cluster owned by a shard? kubectl -n argocd get pods -l"
        " app.kubernetes.io/name=argocd-application-controller\n"
        + "\n".join(f"- {member}" for member in frost.members[:20])
        + f"\nRecord: {name}"
    )
    note = PendingNotification(
        f"{name}/frozen",
        f"Argo CD application controller is not reconciling {frost.frozen} applications"
        f" {_places(frost)}",
        body,
        "critical",
        frost.channels,
    )
    recovery = recovery.with_notes(note).heard_by(*(frost.channels or ("default",)))
    return Decision(Kind.Stall, SHARD, FROZEN, message, now + ASK_AGAIN_AFTER, recovery=recovery)


def _over(frost: UnreconciledApplications, recovery: Recovery) -> Decision:
    lasted = spell(frost.now - recovery.opened_at)
    message = f"Argo CD reconciles all applications again, after {lasted}"
    note = PendingNotification(f"{recovery.name}/resolve", message, message, "info", resolves=True)
    done = structs.replace(
        recovery,
        phase=RecoveryPhase.Resolved,
        reason=THAWED,
        message=message,
        resolved_at=frost.now,
    )
    return Decision(Kind.Resolve, SHARD, THAWED, message, recovery=done.with_notes(note))
