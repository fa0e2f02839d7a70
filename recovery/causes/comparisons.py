"""What the conditions say: an invalid spec, a repository, a cluster, a manifest, a diff."""

from __future__ import annotations

from recovery.causes.patient import Patient, found
from recovery.causes.texts import ABOUT_CLUSTER, CACHED, DIFFED, LIVE, RENDERED, SIGNED, SPEC, TARGET, VAGUE
from recovery.model.cause import Confidence, Finding


def deletion(patient: Patient) -> Finding | None:
    """It is on its way out and does not get there."""
    errors = [c for c in patient.app.conditions if c.type == "DeletionError"]
    return (
        found("DeletionStuck", *(f"condition DeletionError: {c.message}" for c in errors), confidence=Confidence.certain)
        if errors
        else None
    )


def frozen(patient: Patient) -> Finding | None:
    """Nobody looks at it any more: all that it shows is old."""
    operation = patient.app.operation
    if not patient.frozen:
        return None
    if operation is not None and not operation.phase.over and not operation.retrying:
        began = f"an operation is {operation.phase.value} since {operation.started_at:%Y-%m-%d %H:%M:%SZ}" if operation.started_at else ""
        return found(
            "OperationOrphaned", began, patient.frozen, variant="ControllerGone", confidence=Confidence.likely, also=("ReconcileFrozen",)
        )
    return found("ReconcileFrozen", patient.frozen, confidence=Confidence.likely)


def spec(patient: Patient) -> Finding | None:
    """InvalidSpecError, and UnknownError, which comes from the same place (controller/state.go, F17 both statuses Unknown)."""
    for condition in patient.app.conditions:
        if condition.type not in ("InvalidSpecError", "UnknownError"):
            continue
        said = f"condition {condition.type}: {condition.message}"
        if condition.type == "UnknownError" and ABOUT_CLUSTER.search(condition.message):
            if finding := compared(condition.message, said):
                return finding
            continue
        if RENDERED.search(condition.message) and (finding := compared(condition.message, said)):
            return finding
        line = SPEC.first(condition.message)
        if condition.type == "UnknownError" and line is not None and line is VAGUE:
            continue
        if line is not None:
            sure = Confidence.certain if condition.type == "InvalidSpecError" and line.cause == "SpecNotPermitted" else Confidence.likely
            return found(line.cause, said, variant=line.variant, confidence=sure)
        if condition.type == "InvalidSpecError":
            return found("SpecNotPermitted", said, confidence=Confidence.certain)
    return None


def comparison(patient: Patient) -> Finding | None:
    """ComparisonError: the cluster before the repository, for Argo CD reports a dead cluster as both."""
    said = [c for c in patient.app.conditions if c.type == "ComparisonError"]
    findings = [finding for c in said if (finding := compared(c.message, f"condition ComparisonError: {c.message}")) is not None]
    first = min(findings, key=lambda f: not f.cause.startswith("Cluster"), default=None)
    if first is None:
        return None
    also = tuple(dict.fromkeys(c for f in findings for c in (f.cause, *f.also) if c != first.cause))
    evidence = [line for f in (first, *findings) for line in f.evidence]
    return found(first.cause, *evidence, variant=first.variant, confidence=first.confidence, also=also)


def compared(message: str, evidence: str) -> Finding | None:
    """The cause of one comparison that could not be made."""
    if ABOUT_CLUSTER.search(message):
        line = LIVE.first(message)
    elif SIGNED.pattern.search(message):
        line = SIGNED
    elif DIFFED.pattern.search(message) and "Failed to load target state" not in message:
        line = DIFFED
    else:
        line = TARGET.first(message)
    if line is not None and line.cause == "ManifestErrorCached":
        # What the cache repeats is of this very revision: only a reason outside of it can have gone away.
        inner = TARGET.first(CACHED.sub("", message))
        if inner is not None and inner.cause != "GitUnreachable":
            return found(inner.cause, evidence, variant=inner.variant, also=("ManifestErrorCached",))
    if line is None and DIFFED.pattern.search(message):
        line = DIFFED
    return found(line.cause, evidence, variant=line.variant) if line is not None else None
