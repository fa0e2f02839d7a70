"""Nothing failed, and yet it is not what Git wants."""

from __future__ import annotations

from datetime import timedelta

from recovery.causes.case import DiagnosisInput, found
from recovery.model.application import Health, Phase, Sync
from recovery.model.cause import Confidence, Diagnosis

SHIFTS = ("VirtualService", "DestinationRule", "Service", "HTTPRoute", "TrafficSplit")
"""Kinds that Argo Rollouts writes (docs/features/traffic-management)."""
FIGHTS = 5
"""After so many self-heals in a row somebody else writes the same fields."""
COMPARED = timedelta(seconds=5)
"""A sync shows in the comparison after it, not in the one that is on its way already."""


def prune_only(patient: DiagnosisInput) -> Diagnosis | None:
    """All that differs waits to be deleted. While Git cannot be read everything seems to: only a
    known status counts."""
    app = patient.app
    if (
        app.sync is not Sync.OutOfSync
        or not app.unsynced_count
        or app.prunable < app.unsynced_count
    ):
        return None
    return found(
        "PruneOnly",
        f"{app.prunable} of {app.resources} resources are no longer in Git:"
        f" {', '.join(app.unsynced)}",
        about=app.unsynced[0] if app.unsynced else "",
        confidence=Confidence.certain,
    )


def shared(patient: DiagnosisInput) -> Diagnosis | None:
    """Two applications write one resource, or Argo CD heals and heals."""
    app = patient.app
    if app.sync is not Sync.OutOfSync:
        return None
    warned = [c for c in app.conditions if c.type == "SharedResourceWarning"]
    if warned:
        told = [f"condition SharedResourceWarning: {c.message}" for c in warned]
        return found(
            "DriftFight",
            *told,
            variant="Shared",
            about=warned[0].message.split(" ")[0],
            confidence=Confidence.certain,
        )
    if app.operation is not None and app.operation.heals >= FIGHTS:
        healed = (
            f"self-heal has synced it {app.operation.heals} times in a row:"
            f" {', '.join(app.unsynced)}"
        )
        return found(
            "DriftFight", healed, variant="Heals", about=app.unsynced[0] if app.unsynced else ""
        )
    return None


def by_rollouts(patient: DiagnosisInput) -> Diagnosis | None:
    """All that differs is what Argo Rollouts writes while it shifts traffic: weights, selectors,
    replicas."""
    app = patient.app
    shifting = app.health in (Health.Progressing, Health.Suspended)
    drifted = (
        shifting
        and app.sync is Sync.OutOfSync
        and app.revisions == app.deployed
        and 0 < app.unsynced_count == len(app.unsynced)
    )
    if (
        not drifted
        or "Rollout" not in app.kinds
        or not all(each.partition("/")[0] in SHIFTS for each in app.unsynced)
    ):
        return None
    words = (
        f"it has a Rollout, and what differs is {', '.join(app.unsynced)}, at the revision that was"
        " deployed"
    )
    return found("DriftFight", words, variant="Rollouts", about=app.unsynced[0])


def missing(patient: DiagnosisInput) -> Diagnosis | None:
    """A resource that Git wants is not there."""
    app = patient.app
    if app.health is not Health.Missing or app.operating:
        return None
    return found(
        "ResourcesMissing",
        f"health is Missing, {app.sync.value}: {', '.join(app.unsynced) or 'all resources'}",
        confidence=Confidence.certain,
    )


def never_converging(patient: DiagnosisInput) -> Diagnosis | None:
    """Synced to this very revision, compared since, and still different."""
    app, operation = patient.app, patient.app.operation
    if (
        app.sync is not Sync.OutOfSync
        or operation is None
        or operation.phase is not Phase.Succeeded
        or app.operating
    ):
        return None
    compared = (
        operation.finished_at
        and app.reconciled_at
        and app.reconciled_at >= operation.finished_at + COMPARED
    )
    if operation.revisions != app.revisions or not compared or app.hold is not None:
        return None
    told = (
        f"the sync of this revision succeeded at {operation.finished_at:%Y-%m-%d %H:%M:%SZ}, and it"
        f" differs: {', '.join(app.unsynced)}"
    )
    return found(
        "NeverConverging",
        told,
        about=app.unsynced[0] if app.unsynced else "",
        confidence=Confidence.guess,
    )


def warnings(patient: DiagnosisInput) -> Diagnosis | None:
    """A cause where only warnings are left of its conditions."""
    warned = [c for c in patient.app.conditions if c.type.endswith("Warning")]
    return (
        found(
            "WarningOnly",
            *(f"condition {c.type}: {c.message}" for c in warned),
            confidence=Confidence.certain,
        )
        if warned
        else None
    )
