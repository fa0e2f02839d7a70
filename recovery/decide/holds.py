"""When is what we owe an application given back?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from msgspec import Struct, structs

from recovery.decide.guard_request import GuardRequest
from recovery.decide.guards import refusal
from recovery.decide.operations import WITHDRAW
from recovery.decide.requests import requested
from recovery.model.action import ActionKind, Progress, StepStatus
from recovery.model.application import Application, Health, Hold, Phase, Sync, alike, named, short
from recovery.model.decision import Decision, Kind
from recovery.model.names import HOLD, REFRESH
from recovery.model.policy import ActionSpec, Condition, Policy, Step, SubjectType
from recovery.model.recovery import Debt, Recovery, StepOutcome, StepRecord
from recovery.model.situation import OwnChange, Situation
from recovery.model.text import plain

MANUAL, REVISION, OWN_CHANGE = "manual", "revision", "own_change"
"""What ends a rollback's hold: a person alone, any newer revision, or one that changes this
application's own manifests."""
DEGRADED_STANDS = timedelta(minutes=2)
LATE_CURE = timedelta(minutes=30)
"""A rollback that had no effect in time may still have one: what is Degraded gets its auto-sync
back when that has stood for a moment, what is ill otherwise after this."""
GOING_BACK = "apply"
"""The stage of a rollback in which its operation is written."""
TAKEN_BACK = "HoldOverruled"
"""Why a hold ends: a person has undone what it was for."""
LEDGER = "(hold)"
"""Stands in the place of a policy's name: a hold is nobody's policy, it is what we owe."""


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """An action that takes no parameters."""


def _gone(record: StepRecord, step: Step, situation: Situation) -> StepStatus:  # noqa: ARG001 (a Judge; the annotation is the whole truth)
    return StepStatus(Progress.Running if situation.subject.hold else Progress.Succeeded)


RELEASE = ActionKind(
    name="release",
    parameters=Nothing,
    settle=timedelta(minutes=1),
    judge=_gone,
    exempt=frozenset(
        {
            "Paused",
            "NotPermitted",
            "Protected",
            "PreExisting",
            "KnownBadRevision",
            "ManualSync",
            "ApprovalRequired",
            "RateLimited",
            "InFlightLimit",
        }
    ),
)


def effective(
    app: Application, kept: Callable[[str], Recovery | None], owing: Iterable[Recovery]
) -> Application:
    """The application with the hold that is honoured: by the record that its annotation names, else
    by one of ``owing``, the records of this namespace and name that still owe something.

    An annotation can vanish within a second (an ApplicationSet rewrites those of what it owns), and
    an application that was restored has another UID: the debt stands by its record until it ends as
    holds end. What only an annotation says is shown.
    """
    if proven(app.noted, app, kept(app.noted.recovery) if app.noted else None):
        return structs.replace(app, hold=app.noted, unreadable="")
    for recovery in owing:
        step = recovery.debt
        same = recovery.subject.uid == app.uid or recovery.subject.project == app.project
        if step is not None and step.owes is not None and same:
            return structs.replace(app, hold=structs.replace(step.owes, uid=app.uid), unreadable="")
    if app.noted is not None:
        return structs.replace(app, hold=None, unreadable=unproven(app.noted))
    return app if app.hold is None else structs.replace(app, hold=None)


def returning(recovery: Recovery) -> Recovery:
    """With the mark that what it owes is on its way back: what is seen of auto-sync from now on may
    be our own doing."""
    return _with_debt(recovery, Debt.returning)


def settled(recovery: Recovery) -> Recovery:
    """The recovery with all its debts marked as settled."""
    return _with_debt(recovery, Debt.settled)


def _with_debt(recovery: Recovery, debt: Debt) -> Recovery:
    open_ones = (Debt.open, Debt.returning)
    steps = tuple(
        structs.replace(s, debt=debt) if s.debt in open_ones and s.owes is not None else s
        for s in recovery.steps
    )
    return structs.replace(recovery, steps=steps)


def proven(hold: Hold | None, app: Application, kept: Recovery | None) -> bool:
    """Does the record that the annotation names say the same: this application by its UID, and this
    value, still owed? What stands in an annotation may have been written by anybody; nothing is
    switched on, moved or opened on its word alone."""
    if hold is None or kept is None or hold.recovery != kept.name or hold.uid != app.uid:
        return False
    if hold.target is not None:
        return any(
            m.uid == app.uid and m.origin == hold.origin and m.target == hold.target
            for m in kept.relocations
        )
    if kept.subject.uid != app.uid:
        return False
    due = (step for step in kept.steps if step.debt is not Debt.settled)
    return any(_same(hold, step.owes) if step.owes is not None else _older(step) for step in due)


def _older(step: StepRecord) -> bool:
    """A rollback that an older version wrote down, which kept what is owed in the annotation alone.
    This one never leaves it out."""
    return step.action == "rollback" and step.sent


def _same(said: Hold, owed: Hold) -> bool:
    # The annotation repeats the whole of ``automated`` only where it had to be taken out.
    return structs.replace(said, automated=None) == structs.replace(
        owed, automated=None
    ) and said.automated in (None, owed.automated)


def unproven(hold: Hold) -> str:
    """Why an annotation is left alone, for people."""
    return (
        f"no Recovery says that {plain(hold.recovery, 80) or 'anybody'} set it: it is shown and"
        " left alone"
    )


def by_hand(hold: Hold, app: Application) -> Hold | None:
    """The hold that a person who names this application gets back where no record is left:
    auto-sync on again, if it is off; as the annotation says where that is the only copy (before
    Argo CD 3.1)."""
    plainly = (
        hold.suspended
        and hold.target is None
        and hold.uid == app.uid
        and hold.had_enabled is not False
    )
    there = app.automated is not None or hold.automated is not None
    return (
        structs.replace(hold, had_enabled=None) if plainly and there and not app.auto_sync else None
    )


def settle_hold(situation: Situation) -> Decision | None:
    """The decision on this application's hold: give it back, keep it, or None when there is none to
    decide on.

    A hold ends when this application's own manifests have moved on, when a person took it back or
    synced something that is well, and when the rollback did not cure. It is not touched while a
    rollback is under way: then its own step watches it.
    """
    app = situation.subject
    if app.hold is None or (
        situation.recovery is not None and situation.recovery.running is not None
    ):
        return None
    why = _over(app, situation) or _for_nothing(situation) or _in_vain(situation)
    if why is None:
        return None
    step = Step(RELEASE, Nothing(), ActionSpec("release"))
    policy = Policy(LEDGER, Condition(SubjectType.application, timedelta()), (step,))
    if no := refusal(GuardRequest(situation, policy, step, situation.recovery)):
        return Decision(
            Kind.Suppress, LEDGER, "Suppressed", no.message, situation.now + no.again, by=no.by
        )
    return Decision(
        Kind.Remediate,
        LEDGER,
        why.reason,
        why.message,
        situation.now + timedelta(seconds=30),
        step=step,
    )


class HoldEnd(Struct, frozen=True):
    """Why a hold ends: HoldOverruled when somebody decided otherwise, HoldEnded when its reason is
    gone."""

    reason: str
    message: str


def _overruled(message: str) -> HoldEnd:
    return HoldEnd(TAKEN_BACK, message)


def _ended(message: str) -> HoldEnd:
    return HoldEnd("HoldEnded", message)


def _over(app: Application, situation: Situation) -> HoldEnd | None:
    hold = app.hold
    assert hold is not None  # noqa: S101 (asked for a held application only)
    record = _record(situation, hold)
    if hold.target is not None:
        # Moved: the failover's own recovery brings it home; somebody who moved it has taken it
        # over.
        if app.destination.place == hold.target:
            return None
        if app.destination.place == hold.origin:
            return _overruled("moved back by another writer: kept")
        return _overruled(f"moved on to {app.destination.cluster} by another writer: kept")
    debt = record.debt if record is not None else None
    if debt is not None and debt.debt is Debt.returning and (app.auto_sync or not hold.names(app)):
        return _ended("it is being released")
    asked = requested(record, RELEASE.name, situation.now) if record is not None else None
    # Who lets a newer revision go undoes nothing: the rollback was right, and its reason is gone.
    newer = bool(app.revisions) and app.sync is not Sync.Unknown and not hold.names(app)
    if asked is not None and debt is not None and asked.at >= debt.started_at:
        if newer:
            return _ended(f"{asked.by} released {short(app.revisions)}")
        return _overruled(f"{asked.by} released it")
    if hold.suspended and app.auto_sync:
        words = "auto-sync was switched on again by another writer"
        return _ended(f"{words}, at {short(app.revisions)}") if newer else _overruled(words)
    if by := _synced_by_hand(app, hold):
        return _overruled(by)
    unsure = app.sync is Sync.Unknown or not app.revisions or bool(app.errors)
    if unsure or hold.sticky or hold.release == MANUAL or hold.names(app):
        return None
    if named(app.revisions) in hold.bad:
        return _ended(
            f"the source of {short(app.revisions)} was changed (parameters, images, path)"
        )
    moved = f"Git has moved past {hold.bad[0][:7]} to {short(app.revisions)}"
    if hold.release == REVISION:
        return _ended(moved)
    if own_change(app, situation) is OwnChange.changed:
        return _ended(f"{moved}, and its own manifests changed")
    return None


def own_change(app: Application, situation: Situation) -> OwnChange:
    """Did this application's own manifests change since the revision that was called bad? Another
    team's commit in the same repository, or another source's, changes nothing of it."""
    if app.sync is Sync.Synced:
        return OwnChange.changed  # what runs is what Git wants by now
    if app.hold is not None and not alike(app.source, app.hold.source):
        return OwnChange.changed  # of its own spec, whatever the revision
    if situation.own_change is not OwnChange.unknown:
        return situation.own_change
    if app.sync is not Sync.OutOfSync or not app.unsynced:
        return OwnChange.unknown
    # Without a look at the manifests: with the newer revision, other resources differed than did
    # before it.
    return OwnChange.changed if situation.sight.moved_on else OwnChange.unknown


def undecided(situation: Situation) -> bool:
    """Has Git moved on, and can nobody tell whether this application's own manifests did? Then a
    person decides."""
    app, hold = situation.subject, situation.subject.hold
    if (
        hold is None
        or hold.target is not None
        or hold.release in (MANUAL, REVISION)
        or hold.sticky
        or not app.revisions
    ):
        return False
    moved = app.sync is Sync.OutOfSync and not hold.names(app)
    return moved and own_change(app, situation) is OwnChange.unknown


def _synced_by_hand(app: Application, hold: Hold) -> str:
    """A person has synced something since, and it is well: their deploy stands, and nothing is owed
    for an older one."""
    operation = app.operation
    if (
        operation is None
        or operation.automated
        or operation.recovery
        or operation.phase is not Phase.Succeeded
    ):
        return ""
    later = (
        hold.since is not None
        and operation.started_at is not None
        and operation.started_at > hold.since
    )
    well = (
        app.health is Health.Healthy
        and operation.revisions == app.deployed
        and app.sync is Sync.Synced
    )
    return (
        f"{operation.username or 'somebody'} synced {short(operation.revisions)}, and it is"
        " Healthy: kept"
        if later and well
        else ""
    )


def _records(situation: Situation) -> tuple[Recovery, ...]:
    """All of its own, the newest last; also of an application of the same name that is gone."""
    return (
        *situation.past,
        *situation.owing,
        *((situation.recovery,) if situation.recovery is not None else ()),
    )


def _record(situation: Situation, hold: Hold) -> Recovery | None:
    """The record that a hold names."""
    return next((r for r in _records(situation) if r.name == hold.recovery), None)


def _in_vain(situation: Situation) -> HoldEnd | None:
    """Gone back, and that did not cure it either: what was taken for it is given back."""
    app, hold = situation.subject, situation.subject.hold
    record = _record(situation, hold) if hold is not None else None
    step = record.debt if record is not None else None
    if (
        hold is None
        or hold.target is not None
        or step is None
        or step.outcome not in (StepOutcome.Failed, StepOutcome.TimedOut)
    ):
        return None
    ago = situation.now - (step.ended_at or situation.now)
    if app.health is Health.Healthy or ago < (
        DEGRADED_STANDS if app.health is Health.Degraded else LATE_CURE
    ):
        return None  # it may still come: an old version takes its time as well
    return _ended(f"the rollback did not help ({step.reason}), so auto-sync is restored")


def _for_nothing(situation: Situation) -> HoldEnd | None:
    """Suspended, and then not rolled back after all: it healed meanwhile, or the step ended before
    its second write."""
    hold = situation.subject.hold
    records = [r for r in _records(situation) if hold is not None and r.name == hold.recovery]
    app = situation.subject
    ours = any(
        o is not None and hold is not None and o.recovery.startswith(hold.recovery + "/")
        for o in (app.operation, app.requested)
    )
    if not records or ours:
        return None
    gone_back = any(s.action == "rollback" and _went(s) for r in records for s in r.steps)
    if gone_back or app.hold is None or app.hold.target is not None:
        return None
    return _ended("auto-sync was suspended for a rollback that did not take place")


def _went(step: StepRecord) -> bool:
    """Did its operation go out, and was it not taken back before Argo CD took it up?"""
    return (step.stage == GOING_BACK and step.sent) or (
        step.stage == WITHDRAW and step.reason != "NotStarted"
    )


def restored(
    fresh: dict[str, Any], hold: Hold | None, *, taken_out: bool = False
) -> dict[str, Any]:
    """The merge patch that ends a hold, fenced by the resourceVersion of the object it was made
    from.

    Auto-sync becomes what it was, unless somebody has already switched it on, or taken it out.
    ``taken_out``: where ``automated`` is not there, it was we who took it out (Argo CD before 3.1);
    the annotation says so as well, by what it repeats.
    """
    version = fresh["metadata"]["resourceVersion"]
    body: dict[str, Any] = {
        "metadata": {"resourceVersion": version, "annotations": {HOLD: None, REFRESH: "normal"}}
    }
    automated = (fresh["spec"].get("syncPolicy") or {}).get("automated")
    absent = (
        hold is not None and hold.suspended and automated is None and hold.automated is not None
    )
    ours = taken_out or '"automated":{' in str(
        (fresh["metadata"].get("annotations") or {}).get(HOLD, "")
    )
    if hold is not None and absent and (ours or _bare(hold.automated or {})):
        body["spec"] = {"syncPolicy": {"automated": hold.automated}}
    elif hold and hold.suspended and automated is not None and automated.get("enabled") is False:
        body["spec"] = {"syncPolicy": {"automated": {"enabled": hold.had_enabled}}}
    return body


def _bare(automated: dict[str, bool]) -> bool:
    """Argo CD itself takes ``automated: {enabled: false}`` out of a spec where nothing else stands
    in it (seen on 3.2)."""
    return not any(value for field, value in automated.items() if field != "enabled")
