"""sync: have Argo CD apply what Git wants, where the owner wants that."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

from recovery.act.action import CHANGED, Action, ActionRequest, Clients, read, way
from recovery.act.operation import plain, withdraw, withdrawing, write
from recovery.act.pruning import ceiling
from recovery.decide.operations import effect
from recovery.model.action import ActionKind, Skip, StepStatus
from recovery.model.application import Sync, short
from recovery.model.cause import Remedy
from recovery.model.decision import Outcome, Result
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.situation import Situation


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields allowed under ``parameters`` of sync; others are refused."""

    prune: bool = False
    """A ceiling: resources go only if the application's own automated.prune is true, and only a few
    harmless ones."""
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


def judge(record: StepRecord, step: Step, situation: Situation) -> StepStatus:  # noqa: ARG001 (a Judge)
    """Judge the operation as ``decide.operations.effect`` does."""
    return effect(record, situation)


async def start(order: ActionRequest, doors: Clients) -> Outcome:
    """Write the operation as Argo CD's API would: the application's own syncOptions and retry are
    copied, the revision that was judged is pinned, hooks run."""
    fresh = await read(order, doors)
    if fresh is None:
        return CHANGED
    if withdrawing(order):
        return await withdraw(order, doors, fresh)
    if not order.app.revisions:
        return Outcome(Result.Skipped, "RevisionUnknown", "Argo CD does not know what Git wants")
    parameters: Parameters = order.step.parameters
    policy = fresh["spec"].get("syncPolicy") or {}
    resources = [
        r for r in (fresh.get("status") or {}).get("resources") or () if isinstance(r, dict)
    ]
    going = [r for r in resources if r.get("requiresPruning")]
    prune, kept = ceiling(order, going, len(resources), auto_prune=order.app.auto_prune)
    sync = plain(fresh, order.app.revisions, parameters.sync_options)
    sync["prune"] = prune
    if way(order) is Remedy.forced_sync:
        sync["syncStrategy"] = {"hook": {"force": True}}
    outcome = await write(order, doors, fresh, sync, policy.get("retry"))
    if outcome.result is not Result.Sent:
        return outcome
    return Outcome(
        Result.Sent, outcome.reason, kept or outcome.message, targets=(short(order.app.revisions),)
    )


SYNC = Action(
    ActionKind(
        name="sync",
        parameters=Parameters,
        settle=timedelta(minutes=10),
        judge=judge,
        fits=fits,
        syncs=True,
        fetches=True,
        cures=lambda p: (Remedy.forced_sync, Remedy.sync) if p.force else (Remedy.sync,),
    ),
    start,
)
