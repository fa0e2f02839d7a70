"""When is what we owe an application given back?"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec import Struct, structs

from recovery.decide.asking import Asked
from recovery.decide.guards import refusal
from recovery.decide.operations import WITHDRAW
from recovery.model.action import Judgement, Progress, Traits
from recovery.model.application import Application, Hold, Sync, named, short
from recovery.model.decision import Decision, Kind
from recovery.model.names import HOLD, REFRESH
from recovery.model.policy import Condition, Policy, Step, SubjectType, Written
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.situation import Situation
from recovery.model.text import plain

GOING_BACK = "apply"
"""The stage of a rollback in which its operation is written."""
TAKEN_BACK = "HoldTakenBack"
"""Why a hold ends: a person has undone what it was for."""
LEDGER = "(hold)"
"""Stands in the place of a policy's name: a hold is nobody's policy, it is what we owe."""


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


def _gone(record: StepRecord, step: Step, situation: Situation) -> Judgement:  # noqa: ARG001 (a Judge; the annotation is the whole truth)
    return Judgement(Progress.Running if situation.subject.hold else Progress.Succeeded)


RELEASE = Traits(
    name="release",
    parameters=Nothing,
    settle=timedelta(minutes=1),
    judge=_gone,
    exempt=frozenset({"paused", "not permitted", "never ours", "adoption", "hold", "owner intent", "approval", "pace", "budget"}),
)


def proven(app: Application, kept: Recovery | None) -> bool:
    """Does the record that the annotation names say the same: this application by its UID, and this value? What stands in an
    annotation may have been written by anybody; nothing is switched on, moved or opened on its word alone."""
    hold = app.hold
    if hold is None or kept is None or hold.recovery != kept.name or hold.uid != app.uid:
        return False
    if hold.target is not None:
        return any(m.uid == app.uid and m.origin == hold.origin and m.target == hold.target for m in kept.moves)
    if kept.subject.uid != app.uid:
        return False
    return any(_same(hold, step.owes) if step.owes is not None else _older(step) for step in kept.steps)


def _older(step: StepRecord) -> bool:
    """A rollback that an older version wrote down, which kept what is owed in the annotation alone. This one never leaves it out."""
    return step.action == "rollback" and step.sent


def _same(said: Hold, owed: Hold) -> bool:
    # The annotation repeats the whole of ``automated`` only where it had to be taken out.
    return structs.replace(said, automated=None) == structs.replace(owed, automated=None) and said.automated in (None, owed.automated)


def unproven(hold: Hold) -> str:
    """Why an annotation is left alone, for people."""
    return f"no record says that {plain(hold.recovery, 80) or 'anybody'} owes it this: it is shown and left alone"


def by_hand(hold: Hold, app: Application) -> Hold | None:
    """What a person who names this application gets back where no record is left: auto-sync on again, if it is off; as the
    annotation says where that is the only copy (before Argo CD 3.1)."""
    plainly = hold.suspended and hold.target is None and hold.uid == app.uid and hold.had_enabled is not False
    there = app.automated is not None or hold.automated is not None
    return structs.replace(hold, had_enabled=None) if plainly and there and not app.auto_sync else None


def settle_hold(situation: Situation) -> Decision | None:
    """The decision on this application's hold: give it back, keep it, or None when there is none to decide on.

    A hold ends when Git has moved past the bad revision, or when a person switched auto-sync on again. It is not touched
    while a rollback is under way: then its own step watches it.
    """
    app = situation.subject
    if app.hold is None or (situation.recovery is not None and situation.recovery.running is not None):
        return None
    why = _over(app) or _for_nothing(situation)
    if not why:
        return None
    step = Step(RELEASE, Nothing(), Written("release"))
    policy = Policy(LEDGER, Condition(SubjectType.application, timedelta()), (step,))
    if no := refusal(Asked(situation, policy, step, situation.recovery)):
        return Decision(Kind.Suppress, LEDGER, "Suppressed", no.message, situation.now + no.again, by=no.by)
    return Decision(
        Kind.Remediate,
        LEDGER,
        TAKEN_BACK if why.endswith("respected") else "HoldOver",
        why,
        situation.now + timedelta(seconds=30),
        step=step,
    )


def _over(app: Application) -> str:
    hold = app.hold
    assert hold is not None  # noqa: S101 (asked for a held application only)
    if hold.uid != app.uid:
        return "the hold belongs to an application of this name that is gone"
    if hold.target is not None:
        # Moved: the failover's own recovery brings it home; somebody who moved it has taken it over.
        if app.destination.place == hold.target:
            return ""
        if app.destination.place == hold.origin:
            return "somebody brought it home: respected"
        return f"somebody moved it on to {app.destination.cluster}: respected"
    if hold.suspended and app.auto_sync:
        return "auto-sync was switched on again by somebody: respected"
    unsure = app.sync is Sync.Unknown or not app.revisions or any(c.type.endswith("Error") for c in app.conditions)
    if unsure or hold.sticky or named(app.revisions) in hold.bad:
        return ""
    return f"Git has moved past {hold.bad[0][:7]} to {short(app.revisions)}"


def _for_nothing(situation: Situation) -> str:
    """Suspended, and then not rolled back after all: it healed meanwhile, or the step ended before its second write."""
    hold = situation.subject.hold
    records = [r for r in (situation.recovery, *situation.past) if r is not None and hold is not None and r.name == hold.recovery]
    app = situation.subject
    ours = any(o is not None and hold is not None and o.recovery.startswith(hold.recovery + "/") for o in (app.operation, app.requested))
    if not records or ours:
        return ""
    gone_back = any(s.action == "rollback" and _went(s) for r in records for s in r.steps)
    return (
        ""
        if gone_back or app.hold is None or app.hold.target is not None
        else "auto-sync was suspended for a rollback that did not take place"
    )


def _went(step: StepRecord) -> bool:
    """Did its operation go out, and was it not taken back before Argo CD took it up?"""
    return (step.stage == GOING_BACK and step.sent) or (step.stage == WITHDRAW and step.reason != "NotStarted")


def restored(fresh: dict[str, Any], hold: Hold | None) -> dict[str, Any]:
    """The merge patch that ends a hold, fenced by the resourceVersion of the object it was made from.

    Auto-sync becomes what it was, unless somebody has already switched it on.
    """
    version = fresh["metadata"]["resourceVersion"]
    body: dict[str, Any] = {"metadata": {"resourceVersion": version, "annotations": {HOLD: None, REFRESH: "normal"}}}
    automated = (fresh["spec"].get("syncPolicy") or {}).get("automated")
    if hold and hold.suspended and automated is None and hold.automated is not None:
        body["spec"] = {"syncPolicy": {"automated": hold.automated}}
    elif hold and hold.suspended and automated is not None and automated.get("enabled") is False:
        body["spec"] = {"syncPolicy": {"automated": {"enabled": hold.had_enabled}}}
    return body
