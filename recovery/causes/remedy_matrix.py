"""Which cures a cause leaves, asked for one cure at a time."""

from __future__ import annotations

from recovery.causes.catalogue import BY_NAME
from recovery.model.cause import Cause, Diagnosis, Remedy, Verdict
from recovery.model.policy import LOUDEST_FIRST

RETRY_IN_PROGRESS = "RetryInProgress"
DECIDED_ELSEWHERE = frozenset(
    {
        RETRY_IN_PROGRESS,
        "AnalysisFailed",
        "AnalysisError",
        "AnalysisInconclusive",
        "RolloutAborted",
        "RolloutInvalid",
        "RolloutProgressing",
    }
)
"""Causes by which somebody else decides what becomes of it."""
NEEDS_A_CAUSE = frozenset({Remedy.restart, Remedy.rollback})
"""What runs is replaced only where something says why it is ill: an unknown cause is no
permission."""
STRICT = tuple(Verdict)
"""From what leaves most to what leaves least."""


def cause_of(finding: Diagnosis) -> Cause:
    """The catalogue's entry for a diagnosis."""
    return BY_NAME[finding.cause]


def verdict(finding: Diagnosis | None, cure: Remedy) -> Verdict:
    """Verdict on a remedy, given what was found; without a finding only what leaves alone what runs
    is allowed."""
    if finding is None:
        return Verdict.forbidden if cure in NEEDS_A_CAUSE else Verdict.allowed
    said = cause_of(finding).verdict(cure, finding.variant)
    # While Argo CD tries again, or Argo Rollouts decides, the cause may be what it likes: nobody
    # gets in their way.
    return max(
        (
            said,
            *(BY_NAME[name].verdict(cure) for name in finding.also if name in DECIDED_ELSEWHERE),
        ),
        key=STRICT.index,
    )


def loudness(what: str, severity: str) -> str:
    """The severity of a message about a cause, as ``Cause`` or ``Cause/Variant``: what was wanted,
    or less where users are served."""
    cause = BY_NAME.get(what.partition("/")[0])
    if cause is None or severity not in LOUDEST_FIRST:
        return severity
    return max(severity, cause.loudest, key=LOUDEST_FIRST.index)


def objection(finding: Diagnosis | None, cure: Remedy, tried: int) -> str:
    """Why this cure is not to be tried, in words; empty when nothing speaks against it. ``tried``:
    times in this recovery."""
    said = verdict(finding, cure)
    if finding is None and said is Verdict.forbidden:
        return (
            f"no cause was found, and {cure.value} needs one that calls for it:"
            " a person has to look"
        )
    if finding is None or said is Verdict.allowed or (said is Verdict.once and not tried):
        return ""
    cause = cause_of(finding)
    how = {
        Verdict.once: f"{cure.value} was tried already and did not fix",
        Verdict.useless: f"{cure.value} would not fix",
        Verdict.forbidden: f"{cure.value} is forbidden for",
    }[said]
    note = f" {cause.notes[finding.variant]}" if finding.variant in cause.notes else ""
    about = f" ({finding.about})" if finding.about else ""
    seen = f" Seen: {finding.evidence[0].rstrip('.')}." if finding.evidence else ""
    return (
        f"{how} {cause.code} {finding.what}{about}. {cause.title}{note}{seen}"
        f" {cause.advised(finding.variant)}"
    )
