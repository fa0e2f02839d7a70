"""Forecast of what the judgement would do to one subject, step after step, if no step cured it."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct, structs

from recovery.decide.attempt import ended
from recovery.decide.engine import decide
from recovery.model.decision import Decision, Kind
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, RecoveryPhase, StepOutcome, StepRecord
from recovery.model.situation import Situation

ASSUMED = "Assumed"
"""Reason of a step that is taken to have been done."""
MAX_DECISIONS = 50
"""Decisions in a row; a policy has at most 20 actions."""


class Forecast(Struct, frozen=True):
    """The answers of the first look, and where they lead."""

    now: tuple[Decision, ...]
    """What ``decide`` answers at once, one decision a policy."""
    last: Decision | None = None
    """Of the recovery: what ends its first attempt that does anything, or what it waits for."""
    steps: tuple[tuple[Step, StepRecord], ...] = ()
    """The steps of that attempt in order, done (reason ``Assumed``) or skipped."""

    @property
    def acts(self) -> Step | None:
        """The first step that would be carried out."""
        return next((step for step, record in self.steps if record.reason == ASSUMED), None)


def forecast(situation: Situation) -> Forecast:
    """The first attempt in which anything is done or refused. Only ``decide`` judges: each of its
    steps is taken to have gone out and to have cured nothing, and it is asked again."""
    first = decide(situation)
    answer = next((d for d in first if d.recovery is not None), None)
    steps: dict[int, tuple[Step, StepRecord]] = {}
    for _ in range(MAX_DECISIONS):
        if answer is None or (recovery := answer.recovery) is None:
            break
        actions = _actions(situation, recovery)
        steps |= {
            r.index: (actions[r.index], r) for r in recovery.in_attempt() if r.index < len(actions)
        }
        if (
            answer.kind is Kind.Remediate
            and recovery.running is not None
            and answer.step is not None
        ):
            record = structs.replace(recovery.running, sent=True)
            outcome = StepOutcome.Succeeded if answer.step.kind.speaks else StepOutcome.Failed
            done = ended(record, outcome, ASSUMED, "", situation.now)
            recovery = recovery.with_last(done)
            steps[record.index] = (answer.step, done)
        elif (
            answer.kind is Kind.Wait
            and recovery.phase is RecoveryPhase.BackingOff
            and recovery.next_attempt_at
        ):
            if any(record.reason == ASSUMED for _, record in steps.values()):
                break
            situation = structs.replace(
                situation, now=recovery.next_attempt_at + timedelta(seconds=1)
            )
            steps = {}
        else:
            break
        situation = structs.replace(
            situation, recovery=structs.replace(recovery, version="1"), pinned=actions
        )
        decisions = decide(situation)
        answer = next(
            (d for d in decisions if d.recovery is not None and d.recovery.name == recovery.name),
            None,
        )
    return Forecast(first, answer, tuple(steps[index] for index in sorted(steps)))


def _actions(situation: Situation, recovery: Recovery) -> tuple[Step, ...]:
    """The actions of the policy that opened it."""
    return next((p.actions for p in situation.policies.policies if p.name == recovery.policy), ())
