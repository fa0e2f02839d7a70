"""Outcomes of actions, written into the recovery."""

from __future__ import annotations

from datetime import datetime

from msgspec import structs

from recovery.decide.attempt import ended
from recovery.model.decision import Outcome, Result
from recovery.model.recovery import Recovery, StepOutcome

_ENDS = {
    Result.Done: StepOutcome.Succeeded,
    Result.Failed: StepOutcome.Failed,
    Result.Skipped: StepOutcome.Skipped,
}


def concluded(recovery: Recovery, outcome: Outcome, now: datetime) -> Recovery:
    """The recovery after its running step was started.

    Sent and it waits for the effect; in doubt and nobody knows, which is what an unsent claim says
    by itself.
    """
    record = recovery.running
    if record is None:
        return recovery
    if outcome.result in _ENDS:
        record = ended(record, _ENDS[outcome.result], outcome.reason, outcome.message, now)
        record = structs.replace(
            record, sent=outcome.result is Result.Done, targets=outcome.targets or record.targets
        )
    elif outcome.result is Result.Sent:
        deadline = (
            record.started_at + outcome.settle if outcome.settle is not None else record.deadline
        )
        record = structs.replace(
            record,
            sent=True,
            targets=outcome.targets or record.targets,
            deadline=deadline,
            reason=outcome.reason,
            message=outcome.message,
            effects=(*record.effects, *[now] * outcome.effects)[-200:],
        )
    else:
        record = structs.replace(record, reason=outcome.result.value, message=outcome.message[:300])
    changed = structs.replace(
        recovery.with_last(record), escalated=recovery.escalated or outcome.escalated
    )
    if outcome.relocations is not None:
        changed = structs.replace(changed, relocations=outcome.relocations)
    return changed.heard_by(*outcome.told).with_notes(*outcome.notes)
