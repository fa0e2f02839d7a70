"""sync: have Argo CD apply what Git wants, where the owner wants that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec import Struct

from recovery.act.operation import plain, withdraw, withdrawing, write
from recovery.act.order import CHANGED, Action, Doors, Order, read, way
from recovery.decide.guards import inherited
from recovery.decide.operations import effect
from recovery.model.action import Judgement, Skip, Traits
from recovery.model.application import Sync, short
from recovery.model.cause import Cure
from recovery.model.decision import Outcome, Result
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.situation import Situation

_NEVER_PRUNED = ("Namespace", "CustomResourceDefinition", "PersistentVolumeClaim", "StatefulSet", "Application")
_PRUNED_AT_MOST = 5
_UNSURE = ("ComparisonError", "InvalidSpecError", "UnknownError")
_PRUNED_SHARE = 0.1


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be written under ``parameters``."""

    prune: bool = False
    """A ceiling: resources go only if the application's own automated.prune is true, and only a few harmless ones."""
    force: bool = False
    """Replace what cannot be patched (kubectl apply --force: it deletes and creates)."""
    manual_apps: bool = False
    """Sync applications without auto-sync, too."""
    sync_options: tuple[str, ...] = ()
    """In addition to the application's own."""


def fits(step: Step, situation: Situation, recovery: Recovery) -> Skip | None:  # noqa: ARG001 (a Fits)
    """Only what differs from Git can be synced; a Synced application would see a no-op."""
    app = situation.subject
    if app.sync is Sync.Synced:
        return Skip("AlreadySynced", "it is Synced: a sync would change nothing")
    if not app.revisions or app.sync is Sync.Unknown:
        return Skip("RevisionUnknown", "Argo CD does not know what Git wants (sync status Unknown)")
    return None


def judge(record: StepRecord, step: Step, situation: Situation) -> Judgement:  # noqa: ARG001 (a Judge)
    """See operations.effect."""
    return effect(record, situation)


async def start(order: Order, doors: Doors) -> Outcome:
    """Write the operation as Argo CD's API would: the application's own syncOptions and retry are copied, the revision that
    was judged is pinned, hooks run."""
    fresh = await read(order, doors)
    if fresh is None:
        return CHANGED
    if withdrawing(order):
        return await withdraw(order, doors, fresh)
    if not order.app.revisions:
        return Outcome(Result.Skipped, "RevisionUnknown", "Argo CD does not know what Git wants")
    parameters: Parameters = order.step.parameters
    policy = fresh["spec"].get("syncPolicy") or {}
    prune, kept = _prune(order, fresh)
    sync = plain(fresh, order.app.revisions, parameters.sync_options)
    sync["prune"] = prune
    if way(order) is Cure.forced_sync:
        sync["syncStrategy"] = {"hook": {"force": True}}
    outcome = await write(order, doors, fresh, sync, policy.get("retry"))
    if outcome.result is not Result.Sent:
        return outcome
    return Outcome(Result.Sent, outcome.reason, kept or outcome.message, targets=(short(order.app.revisions),))


def _prune(order: Order, fresh: dict[str, Any]) -> tuple[bool, str]:
    """May this sync prune, and if not although the policy would let it: what was kept, in words."""
    resources = (fresh.get("status") or {}).get("resources") or []
    going = [r for r in resources if r.get("requiresPruning")]
    if not order.step.parameters.prune or not going:
        return False, ""
    names = ", ".join(f"{r.get('kind')}/{r.get('name')}" for r in going[:5]) + (" ..." if len(going) > 5 else "")
    reasons = (
        (not order.app.auto_prune, "the application's own automated.prune is not set"),
        (inherited(order.situation), "it was unwell before this controller came"),
        (len(going) > _PRUNED_AT_MOST, f"{len(going)} would go, and {_PRUNED_AT_MOST} may"),
        (
            len(going) > _PRUNED_SHARE * len(resources),
            f"{len(going)} of {len(resources)} would go, and {_PRUNED_SHARE:.0%} may",
        ),
        (any(r.get("kind") in _NEVER_PRUNED for r in going), f"none of {', '.join(_NEVER_PRUNED)} is ever pruned"),
        (any(c.type in _UNSURE for c in order.app.conditions), "Argo CD could not compare it"),
    )
    why = next((words for refused, words in reasons if refused), "")
    return (False, f"kept {names}: {why}") if why else (True, "")


SYNC = Action(
    Traits(
        name="sync",
        parameters=Parameters,
        settle=timedelta(minutes=10),
        judge=judge,
        fits=fits,
        syncs=True,
        fetches=True,
        cures=lambda p: (Cure.forced_sync, Cure.sync) if p.force else (Cure.sync,),
    ),
    start,
)
