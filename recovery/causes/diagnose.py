"""One application in, one cause out. Pure; the order of RECOGNISERS is the order of trust.

What Argo CD says of a field made for it comes before structure, and structure before text; what
would make all else old news (a deletion, a frozen controller, a cluster that cannot be read) comes
before what rests on it.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from recovery.causes import comparisons, drift, operations, workloads
from recovery.causes.case import DiagnosisInput, found
from recovery.model.application import Health, Sync
from recovery.model.cause import Confidence, Diagnosis

Recogniser = Callable[[DiagnosisInput], Diagnosis | None]

RECOGNISERS: tuple[Recogniser, ...] = (
    comparisons.deletion,
    comparisons.frozen,
    operations.orphaned,
    comparisons.spec,
    comparisons.comparison,
    operations.running,
    operations.failed,
    workloads.crowd,
    workloads.rollouts,
    drift.by_rollouts,
    workloads.workloads,
    workloads.suspended,
    drift.prune_only,
    drift.shared,
    drift.missing,
    drift.never_converging,
)


def diagnose(patient: DiagnosisInput) -> Diagnosis | None:
    """The cause of what is wrong with it; None when nothing is, or when nothing yet says why.

    An error that no recogniser knows is Unclassified. Plain OutOfSync, with nothing that failed,
    has no cause: it waits for a sync.
    """
    app = patient.app
    if patient.signs is not None and patient.signs.recorded is not None:
        return patient.signs.recorded
    if app.deleting:
        return comparisons.deletion(
            patient
        )  # what is missing, or differs, is on its way out with it
    if app.sync is Sync.Synced and app.health is Health.Degraded:
        runs = (workloads.crowd, workloads.rollouts, workloads.workloads)
        if ill := next((f for ask in runs if (f := ask(patient))), None):
            return (
                comparisons.frozen(patient) or ill
            )  # what runs is what Git wants: an old operation's words are no news
    for recognise in RECOGNISERS:
        if (finding := recognise(patient)) is not None:
            return _besides(finding, patient)
    return _unknown(patient) or drift.warnings(patient)


def _besides(finding: Diagnosis, patient: DiagnosisInput) -> Diagnosis:
    """The pods may be ill for a reason of their own."""
    if (
        finding.cause in ("ClusterUnreachable", "ReconcileFrozen")
        or patient.app.health is not Health.Degraded
    ):
        return finding
    other = workloads.workloads(patient)
    if other is None or other.cause in (finding.cause, "Unclassified", *finding.also):
        return finding
    return structs.replace(finding, also=(*finding.also, other.cause))


def _unknown(patient: DiagnosisInput) -> Diagnosis | None:
    errors = [c for c in patient.app.errors if c.type != "SyncError"]
    told = [f"condition {c.type}: {c.message}" for c in errors]
    return found("Unclassified", *told, confidence=Confidence.guess) if told else None
