"""Conditions of a Recovery, as kubectl wait, kstatus, Flux and Argo CD read them."""

from __future__ import annotations

from datetime import datetime

from msgspec import structs

from recovery.model.recovery import Condition, Recovery, RecoveryPhase

READY, RECONCILING, STALLED = "Ready", "Reconciling", "Stalled"


def with_conditions(recovery: Recovery, now: datetime) -> Recovery:
    """The same with its conditions as they are now (UTC).

    Ready is True once it is over. Reconciling is True while something is still done or waited for,
    Stalled while it takes a person; of the three exactly one is True, as kstatus expects.
    """
    stalled = recovery.phase is RecoveryPhase.Stalled
    states = {
        READY: recovery.phase.over,
        RECONCILING: not recovery.phase.over and not stalled,
        STALLED: stalled,
    }
    before = {condition.type: condition for condition in recovery.conditions}
    found = []
    for kind, holds in states.items():
        status = str(holds)
        old = before.get(kind)
        found.append(
            Condition(
                kind,
                status,
                recovery.reason or recovery.phase.value,
                recovery.message if holds else "",
                old.last_transition_at if old is not None and old.status == status else now,
                recovery.generation,
            )
        )
    return structs.replace(recovery, conditions=tuple(found))
