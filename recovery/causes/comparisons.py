"""Causes read from conditions: an invalid spec, a repository, a cluster, a manifest, a diff."""

from __future__ import annotations

from datetime import timedelta

from recovery.causes.case import DiagnosisInput, found
from recovery.causes.envelope import reason
from recovery.causes.error_patterns import (
    ABOUT_CLUSTER,
    ARGOCD_ITSELF,
    CACHED,
    DIFFED,
    HEALTH_SCRIPT,
    LIVE,
    PLUGIN,
    REMOTE,
    RENDERED,
    RENDERED_BADLY,
    RENDERS,
    SECRET_TOOLS,
    SIGNED,
    SPEC,
    TARGET_STATE,
    VAGUE,
    Line,
)
from recovery.model.cause import Confidence, Diagnosis

GOING = timedelta(minutes=10)
"""A deletion that is no older is on its way."""


def deletion(patient: DiagnosisInput) -> Diagnosis | None:
    """The application is being deleted and does not get there: Argo CD says so, or it takes
    long."""
    app = patient.app
    errors = [
        f"condition DeletionError: {c.message}" for c in app.conditions if c.type == "DeletionError"
    ]
    if not errors and not (app.deleting and patient.lasted(app.deleting_since, GOING)):
        return None
    since = (
        f"deletionTimestamp {app.deleting_since:%Y-%m-%d %H:%M:%SZ}" if app.deleting_since else ""
    )
    held = f"; finalizers: {', '.join(app.finalizers)}" if app.finalizers else ""
    return found(
        "DeletionStuck", *errors, since + held if since else "", confidence=Confidence.certain
    )


def frozen(patient: DiagnosisInput) -> Diagnosis | None:
    """Argo CD does not reconcile it any more: all that it shows is old."""
    operation = patient.app.operation
    if not patient.frozen:
        return None
    if operation is not None and not operation.phase.over and not operation.retrying:
        began = (
            f"an operation is {operation.phase.value} since"
            f" {operation.started_at:%Y-%m-%d %H:%M:%SZ}"
            if operation.started_at
            else ""
        )
        return found(
            "OperationOrphaned",
            began,
            patient.frozen,
            variant="ControllerGone",
            confidence=Confidence.likely,
            also=("ReconcileFrozen",),
        )
    return found("ReconcileFrozen", patient.frozen, confidence=Confidence.likely)


def spec(patient: DiagnosisInput) -> Diagnosis | None:
    """InvalidSpecError, and UnknownError, which comes from the same place (controller/state.go, F17
    both statuses Unknown)."""
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
            sure = (
                Confidence.certain
                if condition.type == "InvalidSpecError" and line.cause == "SpecNotPermitted"
                else Confidence.likely
            )
            return found(line.cause, said, variant=line.variant, confidence=sure)
        if condition.type == "InvalidSpecError":
            return found("SpecNotPermitted", said, confidence=Confidence.certain)
    return None


def comparison(patient: DiagnosisInput) -> Diagnosis | None:
    """ComparisonError: the cluster before the repository, for Argo CD reports a dead cluster as
    both."""
    said = [c for c in patient.app.conditions if c.type == "ComparisonError"]
    findings = [
        finding
        for c in said
        if (finding := compared(c.message, f"condition ComparisonError: {c.message}")) is not None
    ]
    first = min(findings, key=lambda f: not f.cause.startswith("Cluster"), default=None)
    if first is None:
        return None
    also = tuple(dict.fromkeys(c for f in findings for c in (f.cause, *f.also) if c != first.cause))
    evidence = [line for f in (first, *findings) for line in f.evidence]
    return found(
        first.cause, *evidence, variant=first.variant, confidence=first.confidence, also=also
    )


def compared(message: str, evidence: str) -> Diagnosis | None:
    """The cause of one comparison that could not be made."""
    inner = CACHED.sub("", message)
    line = _spoken(inner)
    if inner != message:
        # What the cache repeats is of this very revision: only a reason outside of it can have gone
        # away.
        if line is None or line.cause == "GitUnreachable":
            return found("ManifestErrorCached", evidence)
        return found(line.cause, evidence, variant=line.variant, also=("ManifestErrorCached",))
    return found(line.cause, evidence, variant=line.variant) if line is not None else None


def _spoken(message: str) -> Line | None:
    """By who speaks: the same words mean another thing from another mouth."""
    if ABOUT_CLUSTER.search(message):
        return LIVE.first(message)
    if HEALTH_SCRIPT.pattern.search(message):
        return HEALTH_SCRIPT
    if line := ARGOCD_ITSELF.first(message):
        return line
    inner = reason(message)
    if PLUGIN.pattern.search(message):
        return SECRET_TOOLS if SECRET_TOOLS.pattern.search(message) else PLUGIN
    if SECRET_TOOLS.pattern.search(inner):
        return SECRET_TOOLS
    if SIGNED.pattern.search(message):
        return SIGNED
    if DIFFED.pattern.search(message) and "Failed to load target state" not in message:
        return DIFFED
    if RENDERS.search(message) and not REMOTE.search(inner):
        line = TARGET_STATE.first(inner)
        return (
            line
            if line is not None and line.cause in ("RevisionNotFound", "ManifestError")
            else RENDERED_BADLY
        )
    return (
        TARGET_STATE.first(inner)
        or TARGET_STATE.first(message)
        or (DIFFED if DIFFED.pattern.search(message) else None)
    )
