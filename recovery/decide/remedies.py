"""Does the cause leave this cure? And if the step has more than one way, which of them?"""

from __future__ import annotations

from msgspec import structs

from recovery.causes.remedy_matrix import objection as words
from recovery.decide.circuit_breaker import acted, repeated
from recovery.model.cause import Diagnosis, Remedy
from recovery.model.policy import Policy, Step
from recovery.model.recovery import Recovery, StepOutcome
from recovery.model.situation import Situation

_HARMLESS = {Remedy.refresh, Remedy.hard_refresh, Remedy.terminate, Remedy.repair}
"""What may be done any number of times."""


def objection(
    situation: Situation, policy: Policy | None, step: Step, recovery: Recovery | None
) -> str:
    """Why none of the step's ways is to be tried, in words; empty when one of them may be."""
    ways = step.kind.cures(step.parameters)
    if not ways:
        return ""
    begun = recovery is not None and any(acted(s) for s in recovery.steps)
    if (
        not set(ways) <= _HARMLESS
        and not begun
        and (often := repeated(situation.past, situation.now))
    ):
        return f"{often}: a remedy that has to be repeated is none"
    if chosen(situation, policy, step, recovery) is not None:
        return ""
    return words(situation.finding, ways[-1], _tried(step, policy, recovery))


def chosen(
    situation: Situation, policy: Policy | None, step: Step, recovery: Recovery | None
) -> Remedy | None:
    """The step's first way that the cause leaves, the strongest first: a hard refresh may have to
    be a normal one."""
    tried = _tried(step, policy, recovery)
    return next(
        (
            cure
            for cure in step.kind.cures(step.parameters)
            if not words(situation.finding, cure, tried)
        ),
        None,
    )


def _tried(step: Step, policy: Policy | None, recovery: Recovery | None) -> int:
    """How often this kind of step went out since the recovery began, or was last reset by a
    person."""
    if recovery is None:
        return 0
    before = recovery.max_attempts - policy.attempts if policy else 0
    known = [StepOutcome.Failed, StepOutcome.Succeeded]
    if not step.kind.counts_as_sent:
        known.append(
            StepOutcome.TimedOut
        )  # else: after a crash it counts as sent, and may never have gone out
    return sum(
        s.action == step.kind.name and s.sent and s.outcome in known and s.attempt > before
        for s in recovery.steps
    )


def told_apart(finding: Diagnosis | None, recovery: Recovery | None) -> Diagnosis | None:
    """An operation that we have ended ourselves because its hook hung is one thing, one that a
    person ended another."""
    if (
        finding is None
        or finding.variant != "Terminated"
        or recovery is None
        or not recovery.cause.startswith("HookFailed")
    ):
        return finding
    ours = any(
        s.action == "terminate" and s.sent and s.attempt == recovery.attempt for s in recovery.steps
    )
    return structs.replace(finding, variant="TerminatedByUs") if ours else finding
