"""Transcript: what changed in a recovery between two looks, in lines: transcripts, the demo, and
the tests' expectations."""

from __future__ import annotations

from recovery.model.recovery import Recovery, RecoveryPhase, StepRecord


def changes(before: Recovery | None, after: Recovery) -> tuple[str, ...]:
    """One line a change: steps started, their stages, how they ended, and the phase with its
    reason."""
    old = {(s.attempt, s.index): s for s in before.steps} if before else {}
    lines: list[str] = []
    for step in after.steps:
        known = old.get((step.attempt, step.index))
        lines += _step(known, step)
    if before is None or (before.phase, before.reason) != (after.phase, after.reason):
        quiet = after.phase is RecoveryPhase.Remediating and after.running is not None
        if not quiet:
            lines.append(f"{after.phase.value} {after.reason}")
    return tuple(lines)


def _step(known: StepRecord | None, step: StepRecord) -> list[str]:
    lines = []
    name = f"attempt {step.attempt} {step.action}"
    if known is None and (step.outcome is None or step.sent):
        lines.append(f"{name} started")
    if known is not None and known.stage != step.stage and step.stage:
        lines.append(f"{name} {step.stage}")
    if step.outcome is not None and (known is None or known.outcome is None):
        lines.append(f"{name} {step.outcome.value} {step.reason}")
    return lines
