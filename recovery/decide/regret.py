"""Has a policy done more harm than good lately? Of its last ten actions, two that were undone or made it worse are too many."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from recovery.model.application import Application, Health
from recovery.model.recovery import Recovery, StepOutcome, StepRecord

LAST, TOO_MANY = 10, 2
WORSE = "worse"
UNDONE = "undone"
BY_PEOPLE = frozenset({"OwnerReverted", "HoldReleased"})
"""Reasons of steps that say so themselves."""
_TALK = frozenset({"notify", "escalate"})
_RANK = {Health.Healthy: 0, Health.Suspended: 0, Health.Progressing: 1, Health.Unknown: 1, Health.Degraded: 2, Health.Missing: 3}


def compared(record: StepRecord, about: object) -> StepRecord:
    """An ended step, marked when the application is worse than when it began."""
    before = record.claim.health
    if not isinstance(about, Application) or not before or not record.sent or record.outcome is StepOutcome.Skipped:
        return record
    was, now = _RANK[Health(before)], _RANK[about.health]
    return structs.replace(record, regret=WORSE) if now > was and now >= _RANK[Health.Degraded] else record


def undone(recovery: Recovery, why: str) -> Recovery:
    """Its newest effect was taken back by a person."""
    mine = next((s for s in reversed(recovery.steps) if acted(s)), None)
    steps = tuple(structs.replace(s, regret=UNDONE, message=f"{s.message}; {why}"[:500]) if s is mine else s for s in recovery.steps)
    return structs.replace(recovery, steps=steps)


def acted(step: StepRecord) -> bool:
    """Did it do something?"""
    return step.sent and step.outcome is not StepOutcome.Skipped and step.action not in _TALK


def regretted(step: StepRecord) -> str:
    """``undone``, ``worse``, or empty for neither."""
    return step.regret or (UNDONE if step.reason in BY_PEOPLE else "")


def trust_key(policy: str, policy_hash: str, project: str) -> str:
    """What a policy's record in one project is kept under."""
    return f"{policy}/{policy_hash}/{project}"


def distrusted(recoveries: Iterable[Recovery]) -> dict[str, str]:
    """Policies that had better only watch, with the numbers that say so: by name, hash and project, as ``name/hash/project``.

    What a project's people took back counts in their project and nowhere else; what belongs to none (clusters) counts together.
    A policy that was edited since begins anew: its hash is another one.
    """
    by_policy: dict[str, list[tuple[StepRecord, Recovery]]] = {}
    for recovery in recoveries:
        for step in recovery.steps:
            if acted(step) and step.ended_at is not None:
                by_policy.setdefault(trust_key(recovery.policy, recovery.policy_hash, recovery.subject.project), []).append(
                    (step, recovery)
                )
    found = {}
    for policy, steps in by_policy.items():
        last = sorted(steps, key=lambda each: each[0].started_at)[-LAST:]
        bad = [f"{s.action} of {r.subject} ({regretted(s)}, {r.name})" for s, r in last if regretted(s)]
        if len(bad) >= TOO_MANY:
            found[policy] = f"{len(bad)} of its last {len(last)} actions were undone by people or made it worse: {', '.join(bad[-3:])}"
    return found
