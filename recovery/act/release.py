"""release: give back what a hold took. Not for policies; the judgement asks for it."""

from __future__ import annotations

from recovery.act.action import CHANGED, Action, ActionRequest, Clients, read
from recovery.decide.holds import RELEASE, restored
from recovery.decide.notifications import gave_back
from recovery.kube.client import APPLICATIONS
from recovery.model.application import short
from recovery.model.decision import Outcome, Result
from recovery.model.names import HOLD


async def start(order: ActionRequest, doors: Clients) -> Outcome:
    """One patch restores auto-sync as it was and removes the annotation; where a person switched it
    on, only the latter."""
    fresh = await read(order, doors)
    if fresh is None or order.app.hold is None:
        return CHANGED
    body = restored(fresh, order.app.hold, taken_out=doors.dialect().drops_enabled)
    owners = order.app.hold.suspended and not order.app.auto_sync and "spec" not in body
    if HOLD not in (fresh["metadata"].get("annotations") or {}) and "spec" not in body:
        return Outcome(Result.Done, "Released", "it is released already")
    wrote = await doors.kube.patch(APPLICATIONS, order.app.namespace, order.app.name, body)
    words = f"auto-sync is as it was, at {short(order.app.revisions)}"
    if order.app.auto_sync:
        words = "auto-sync was switched on by somebody; the hold is over"
    elif owners:
        words = (
            "somebody took auto-sync out of its spec meanwhile, and it stays so; the hold is over"
        )
    return Outcome(
        Result.Done, "Released", words, notes=(gave_back(order.app, words),), wrote=wrote
    )


RELEASE_ACTION = Action(RELEASE, start)
