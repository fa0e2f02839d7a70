"""Does a condition hold, since when, and what do we remember of it?"""

from __future__ import annotations

import hashlib
from datetime import datetime

from msgspec import structs

from recovery.causes.case import DiagnosisInput
from recovery.causes.diagnose import diagnose
from recovery.model.application import Application, Health, Sync
from recovery.model.cause import Observations
from recovery.model.policy import Condition, Policies, Policy, SubjectType
from recovery.model.situation import HealthyRevision, SubjectState, differing

MAX_HEALTHY_REVISIONS = 5
"""Healthy revisions remembered for each application."""
WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Rollout"})
"""Kinds that run pods; the images of those are what an Application is seen to run
(``status.summary.images``)."""
LONGEST_REVISIONS = 1_500
"""Characters that the revisions of one deploy may have to be remembered: a commit for each of 35
sources."""


def in_force(policy: Policy, kind: str = "application") -> bool:
    """Is this a policy that is judged for this type of subject at all?"""
    return policy.condition.type is SubjectType(kind)


def holds(condition: Condition, app: Application, cause: str = "") -> bool:
    """Does all of the condition but its duration hold? ``cause`` is what was recognised in it."""
    if condition.cause and (cause not in condition.cause or app.expected_out_of_sync):
        return False
    if condition.status and (app.sync not in condition.status or app.expected_out_of_sync):
        return False
    if condition.health and app.health not in condition.health:
        return False
    if condition.operation:
        operation = app.operation
        # The request stays on the application while it runs; beside an operation that is over it
        # asks for the next one.
        taken_up = operation is not None and (app.requested is None or not operation.phase.over)
        return operation is not None and taken_up and operation.phase in condition.operation
    return bool(condition.status or condition.health or condition.cause)


def onset(app: Application, sight: SubjectState, policies: Policies) -> datetime | None:
    """When it fell ill last, by a condition that some policy would act on; None for well.

    Drift of an application whose owner syncs by hand is a release that waits, and no illness.
    """
    if sight.inherited:
        return None  # it did not fall ill with the others: nobody knows since when it was
    found = [
        sight.clocks[policy.condition.symptom]
        for policy in policies.policies
        if policy.condition.symptom in sight.clocks
        and in_force(policy)
        and (app.auto_sync or not policy.condition.status)
        and policy.selector.selects(app)
    ]
    return max(found, default=None)


def began(condition: Condition, app: Application, now: datetime) -> datetime:
    """Argo CD's own word on when this began; now where it keeps none (sync status has no
    timestamp)."""
    stamps = [now] if condition.status or condition.cause else []
    if condition.health and app.health_since:
        stamps.append(app.health_since)
    if condition.operation and app.operation and app.operation.finished_at:
        stamps.append(app.operation.finished_at)
    return max(stamps, default=now)


def track(
    old: SubjectState | None,
    app: Application,
    policies: Policies,
    now: datetime,
    fresh_from: datetime,
    first_install: bool,
    signs: Observations | None = None,
    *,
    believed: bool = True,
) -> SubjectState:
    """Bring what we remember up to a new look.

    ``fresh_from`` is when this process first saw the fleet: nothing is held to have lasted longer
    than we know of it, save what the checkpoint says. On a first install, what is already unwell is
    inherited. What Argo CD does not reconcile is not ``believed``: no condition holds on the word
    of whoever writes its status, and no revision of it is called good.
    """
    known = old is not None and old.uid == app.uid
    sight = old if known and old is not None else SubjectState(uid=app.uid, first_seen=now)
    if not believed:
        return structs.replace(sight, clocks={}, soaking=None)
    clocks: dict[str, datetime] = {}
    unwell = False
    cause = (
        _cause(app, sight, signs, now) if any(p.condition.cause for p in policies.policies) else ""
    )
    for policy in policies.policies:
        if not in_force(policy) or not holds(policy.condition, app, cause):
            continue
        symptom = policy.condition.symptom
        unwell = unwell or policy.selector.selects(app)
        since = sight.clocks.get(symptom)
        if since is None:
            # Clocks differ between machines: a stamp from the future counts as now.
            since = min(now, max(began(policy.condition, app, now), sight.first_seen, fresh_from))
        elif not policy.condition.status and not policy.condition.cause:
            # It may have been well while nobody watched: Argo CD's own stamp of a later beginning
            # stands.
            since = max(since, min(now, began(policy.condition, app, since)))
        clocks[symptom] = since
    inherited = (
        (unwell and first_install)
        if not known
        else sight.inherited and not (app.health is Health.Healthy and not unwell)
    )
    if (
        sight.dismissed
        and not unwell
        and app.health is Health.Healthy
        and app.sync is not Sync.Unknown
    ):
        sight = structs.replace(sight, dismissed=())
    soaking, ledger = _ledger(sight, app, policies, now)
    sight = structs.replace(sight, moved=_moved(sight, app, now))
    if app.expected_out_of_sync and not app.operating and app.revisions:
        sight = _held_back(sight, app)
    elif app.hold is None and sight.differed is not None:
        sight = structs.replace(sight, differed=None, wanted=(), moved_on=False)
    # As soon as its cluster cannot be read Argo CD shows no resources at all: what they were must
    # not be forgotten.
    kinds = app.kinds or sight.kinds
    return structs.replace(
        sight, clocks=clocks, inherited=inherited, soaking=soaking, ledger=ledger, kinds=kinds
    )


def _held_back(sight: SubjectState, app: Application) -> SubjectState:
    """Resources that differ from Git of an application that is held back, and whether that changed
    together with what Git wants."""
    now = differing(app)
    if app.hold is not None and app.hold.names(app):
        return structs.replace(sight, differed=now, wanted=app.revisions, moved_on=False)
    newer = bool(sight.wanted) and sight.wanted != app.revisions
    moved_on = sight.moved_on or (newer and sight.differed is not None and sight.differed != now)
    return structs.replace(sight, differed=now, wanted=app.revisions, moved_on=moved_on)


def _cause(app: Application, sight: SubjectState, signs: Observations | None, now: datetime) -> str:
    """The name of what is wrong with it, for conditions that ask for one."""
    if plainly_well(app):
        return ""
    finding = diagnose(DiagnosisInput(app, now, signs, sight.moved[1] if sight.moved else None))
    return finding.cause if finding else ""


def plainly_well(app: Application) -> bool:
    """Nothing about it asks for a cause: most of a fleet, most of the time."""
    return (
        app.sync is Sync.Synced
        and app.health is Health.Healthy
        and not app.conditions
        and not app.operating
    )


def _moved(sight: SubjectState, app: Application, now: datetime) -> tuple[str, datetime] | None:
    """A clock that any progress of the running operation sets back."""
    operation = app.operation
    if operation is None or operation.phase.over:
        return None
    shows = (
        f"{operation.started_at} {operation.phase.value} {operation.message} {operation.progress}"
    )
    shows += (
        "" if app.requested else " not asked for"
    )  # what nobody asks for any more is orphaned when it stays so
    shows = hashlib.sha256(shows.encode()).hexdigest()[:16]
    return sight.moved if sight.moved and sight.moved[0] == shows else (shows, now)


def _ledger(
    sight: SubjectState, app: Application, policies: Policies, now: datetime
) -> tuple[HealthyRevision | None, tuple[HealthyRevision, ...]]:
    if app.hold is not None and any(_called_bad(good, app) for good in sight.ledger):
        # Named bad by a rollback: never again a place to go back to, also when the hold is over.
        sight = structs.replace(
            sight, ledger=tuple(good for good in sight.ledger if not _called_bad(good, app))
        )
    well = (
        app.sync is Sync.Synced
        and app.health is Health.Healthy
        and app.resources > 0
        and not app.operating
    )
    # What is scaled to nothing is Healthy as well, and proves nothing: no pod of it ever ran.
    well = well and (bool(app.images) or WORKLOADS.isdisjoint(app.kinds))
    if not well or app.deploy is None or sum(map(len, app.deploy.revisions)) > LONGEST_REVISIONS:
        return None, sight.ledger
    this = (app.deploy.id, app.deploy.revisions)
    if any((good.history_id, good.revisions) == this for good in sight.ledger):
        return None, sight.ledger
    soaking = sight.soaking
    if soaking is None or (soaking.history_id, soaking.revisions) != this:
        return HealthyRevision(
            *this, now, app.images, app.destination.cluster, app.checksum
        ), sight.ledger
    if now - soaking.seen < policies.ledger.soak:
        return soaking, sight.ledger
    return None, (*sight.ledger, soaking)[-MAX_HEALTHY_REVISIONS:]


def _called_bad(good: HealthyRevision, app: Application) -> bool:
    """Is it the deploy that this application is held back from?"""
    hold = app.hold
    return hold is not None and hold.called_bad(good.revisions, app.source_of(good.history_id))
