"""Moving applications to another cluster and home again: how far each has come, who is next, when
it is over."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import structs

from recovery.causes.envelope import essential
from recovery.decide.backoff import AFTER, again_at
from recovery.decide.connections import healthy
from recovery.decide.placement import STATEFUL, barred, cluster_of, place_of
from recovery.model.action import Progress, StepStatus
from recovery.model.application import Application, Health, Operation, Phase, Sync
from recovery.model.connection import Cluster
from recovery.model.duration import spell
from recovery.model.move import MAX_RELOCATIONS, Relocation, RelocationPhase
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.situation import Situation

RELOCATED_AT_ONCE = 3
"""Applications on their way at one moment."""
FAILURES = 2
"""After so many that did not get well, no further one is moved."""
HEALTHY_WITHIN = timedelta(minutes=10)
"""An application that is not Healthy at its new place by then has failed there."""
REVERTED_WITHIN = timedelta(seconds=20)
"""For so long the destination may still show as it was before."""
GENERATED_WITHIN = timedelta(minutes=2)
"""An ApplicationSet writes a new destination within seconds of the label's move (seen on 3.2:
one)."""
LOOK_AGAIN = timedelta(seconds=2)
PLAN_OUTDATED = "PlanOutdated"
"""Reason of a plan that is made anew: nothing was tried with it."""
HINDERED = "APIBusy"
"""Reason of a wave that the API server was too busy for, in part: the rest waits longer than for an
answer."""
ECHO_WITHIN = timedelta(seconds=3)
"""A write of ours comes back by the watch within this time."""


def progressed(
    recovery: Recovery, record: StepRecord, situation: Situation, *, by_label: bool
) -> tuple[Relocation, ...]:
    """Every move as the applications show it now. On a stale picture nothing is said."""
    if not situation.freshness.fresh:
        return recovery.relocations
    apps = {dep.app.uid: dep.app for dep in situation.dependents}
    token = recovery.token(record)
    return tuple(
        _progressed(move, apps.get(move.uid), token, record, situation.now, by_label=by_label)
        for move in recovery.relocations
    )


def _progressed(
    move: Relocation,
    app: Application | None,
    token: str,
    record: StepRecord,
    now: datetime,
    *,
    by_label: bool,
) -> Relocation:
    if (
        move.phase is RelocationPhase.Failed
        and app is not None
        and app.destination.place == move.target
    ):
        if _well(app):
            return structs.replace(
                move, phase=RelocationPhase.Moved, reason="", since=now
            )  # it took its time
        if by_label and not _asked(app, token) and not app.operating:
            return structs.replace(
                move, phase=RelocationPhase.Moving, reason="", since=now
            )  # its ApplicationSet took its time
    if move.phase not in (RelocationPhase.Moving, RelocationPhase.Returning):
        return move
    home = move.phase is RelocationPhase.Returning
    arrived, where = (
        (RelocationPhase.Home, move.goal) if home else (RelocationPhase.Moved, move.target)
    )
    began = move.since or now
    if app is None:
        return structs.replace(
            move,
            phase=RelocationPhase.Home if home else RelocationPhase.Failed,
            reason="the application is gone",
            since=now,
        )
    if app.destination.place not in (move.origin, move.goal, move.target):
        ends = RelocationPhase.Stayed if home else RelocationPhase.Refused
        return structs.replace(
            move,
            phase=ends,
            reason=f"moved on to {app.destination.cluster} by another writer: kept",
            since=now,
        )
    if app.destination.place != where:
        if (
            not by_label
            and not _asked(app, token)
            and now - (record.claimed_at or began) >= ECHO_WITHIN
        ):
            # Its write never went out (a crash, a conflict, a running operation): its turn comes
            # again, with a new proof.
            return structs.replace(
                move, phase=RelocationPhase.Moved if home else RelocationPhase.Planned
            )
        if now - began < (GENERATED_WITHIN if by_label else REVERTED_WITHIN):
            return move
        why = "the ApplicationSet did not move it" if by_label else "somebody wrote it back"
        return structs.replace(
            move,
            phase=RelocationPhase.Failed,
            reason=f"its destination is {app.destination.cluster}, not {where}: {why}",
            since=now,
        )
    operation = app.operation
    mine = operation is not None and (operation.recovery == token or _later(operation, began))
    if operation and mine and operation.phase in (Phase.Failed, Phase.Error):
        detail = essential("; ".join(operation.failed) or operation.message, 1_000)
        return structs.replace(
            move,
            phase=RelocationPhase.Failed,
            reason=f"its sync there {operation.phase.value}: {detail[:300]}",
            since=now,
        )
    done = (
        operation.finished_at
        if operation and mine and operation.phase is Phase.Succeeded and app.requested is None
        else None
    )
    # Whole seconds: a comparison within the second in which the sync ended is of after the move at
    # any rate.
    compared = done is not None and app.reconciled_at is not None and app.reconciled_at >= done
    if compared and _well(app):
        return structs.replace(move, phase=arrived, reason="", since=now)
    if now - began > HEALTHY_WITHIN:
        how = f"{app.sync.value} and {app.health.value}"
        return structs.replace(
            move,
            phase=RelocationPhase.Failed,
            reason=f"not Healthy at {where} within {spell(HEALTHY_WITHIN)}: it is {how}",
            since=now,
        )
    return move


def _later(operation: Operation, began: datetime) -> bool:
    """Argo CD's own sync after ours: seconds after a move its self-heal may run once more, and
    shows in ours' place."""
    return (
        operation.automated
        and operation.started_at is not None
        and operation.started_at >= began.replace(microsecond=0)
    )


def _asked(app: Application, token: str) -> bool:
    """Does it show the operation of this step?"""
    return any(o is not None and o.recovery == token for o in (app.operation, app.requested))


def _well(app: Application) -> bool:
    return app.sync is Sync.Synced and app.health is Health.Healthy and bool(app.resources)


def unsent(
    relocations: tuple[Relocation, ...],
    phase: RelocationPhase,
    record: StepRecord,
    situation: Situation,
) -> bool:
    """Is one at its new place by an ApplicationSet's hand, and its sync still to be asked for?"""
    if situation.now - (record.claimed_at or record.started_at) < ECHO_WITHIN:
        return False  # what was just written is on its way back to us
    apps = {dep.app.uid: dep.app for dep in situation.dependents}
    token = situation.recovery.token(record) if situation.recovery else ""
    for move in relocations:
        app, home = apps.get(move.uid), phase is RelocationPhase.Returning
        if (
            app is None
            or move.phase is not phase
            or app.destination.place != (move.goal if home else move.target)
        ):
            continue
        if not _asked(app, token) and not app.operating:
            return True
    return False


def next_wave(
    relocations: tuple[Relocation, ...],
    from_phase: RelocationPhase,
    to_phase: RelocationPhase,
    now: datetime,
    may: frozenset[str],
) -> tuple[Relocation, ...]:
    """With as many more on their way as may be at one moment; ``may`` are the UIDs nothing speaks
    against just now."""
    places = RELOCATED_AT_ONCE - sum(move.phase is to_phase for move in relocations)
    changed = []
    for move in relocations:
        if move.phase is from_phase and places > 0 and move.uid in may:
            places -= 1
            changed.append(structs.replace(move, phase=to_phase, since=now, reason=""))
        else:
            changed.append(move)
    return tuple(changed)


def counted(relocations: tuple[Relocation, ...], *phases: RelocationPhase) -> int:
    """How many relocations are in one of these phases."""
    return sum(move.phase in phases for move in relocations)


def summary(relocations: tuple[Relocation, ...]) -> str:
    """``2 moved, 1 on its way, 1 refused``."""
    words = {
        RelocationPhase.Moved: "moved",
        RelocationPhase.Moving: "moving",
        RelocationPhase.Planned: "planned",
        RelocationPhase.Failed: "failed",
        RelocationPhase.Refused: "stay",
        RelocationPhase.Returning: "moving back",
        RelocationPhase.Home: "moved back",
        RelocationPhase.Stayed: "stay permanently",
    }
    return (
        ", ".join(f"{n} {words[phase]}" for phase in words if (n := counted(relocations, phase)))
        or "none"
    )


def stopped(relocations: tuple[Relocation, ...], why: str) -> tuple[Relocation, ...]:
    """Stop relocations that had not begun: they stay, and why."""
    return tuple(
        structs.replace(m, phase=RelocationPhase.Refused, reason=why)
        if m.phase is RelocationPhase.Planned
        else m
        for m in relocations
    )


def stage_after(stage: str) -> str:
    """The stage that follows: ``move 1``, ``move 2`` ..."""
    number = stage.rpartition(" ")[2]
    return f"move {int(number) + 1 if number.isdecimal() else 1}"


def homeward(
    record: StepRecord, recovery: Recovery, situation: Situation, *, label: str, stateful: bool
) -> StepStatus:
    """How far a failback has come. It goes on only while its cluster is seen well: three at a time,
    home before the next."""
    well, words = healthy(cluster_of(situation), situation.now)
    if (
        label
        and record.stage
        and not record.sent
        and counted(recovery.relocations, RelocationPhase.Returning)
    ):
        # Nobody knows whether the label is back; moving it again changes nothing where it is.
        if well and situation.now >= again_at(record):
            return StepStatus(
                Progress.Next,
                stage=record.stage,
                relocations=renewed(recovery.relocations, RelocationPhase.Returning, situation.now),
            )
        return StepStatus(
            Progress.InDoubt,
            message=f"the label: {record.message or 'in doubt'}; {words}",
            soon=AFTER,
        )
    relocations = progressed(recovery, record, situation, by_label=bool(label))
    if record.stage and unsent(relocations, RelocationPhase.Returning, record, situation):
        return StepStatus(Progress.Next, stage=stage_after(record.stage), relocations=relocations)
    failed, away = (
        counted(relocations, RelocationPhase.Failed),
        counted(relocations, RelocationPhase.Moved),
    )
    busy = counted(relocations, RelocationPhase.Returning)
    if away and failed < FAILURES and busy < RELOCATED_AT_ONCE and wave_due(record, situation.now):
        if well:
            may, held = _may_return(relocations, situation, stateful=stateful)
            waved = held
            if not label:
                waved = next_wave(
                    held, RelocationPhase.Moved, RelocationPhase.Returning, situation.now, may
                )
            elif stays := next((m for m in held if m.phase is RelocationPhase.Failed), None):
                why = f"the label takes all of them home, and {stays} has to stay: {stays.reason}"
                return StepStatus(Progress.Failed, "LabelMoveFailed", why, relocations=held)
            else:
                waved = renewed(
                    tuple(_to(m, RelocationPhase.Moved, RelocationPhase.Returning) for m in held),
                    RelocationPhase.Returning,
                    situation.now,
                )
            if counted(waved, RelocationPhase.Returning) > busy:
                return StepStatus(Progress.Next, stage=stage_after(record.stage), relocations=waved)
            relocations, failed = held, counted(held, RelocationPhase.Failed)
            away = counted(relocations, RelocationPhase.Moved)
        elif not busy:
            return StepStatus(
                Progress.Running,
                message=f"waits: {cluster_of(situation).name} is not seen healthy: {words}",
                soon=LOOK_AGAIN,
                relocations=relocations,
            )
    if busy or (away and failed < FAILURES):
        return StepStatus(
            Progress.Running, message=summary(relocations), soon=LOOK_AGAIN, relocations=relocations
        )
    if failed or away:
        return StepStatus(
            Progress.Failed, "FailbackIncomplete", summary(relocations), relocations=relocations
        )
    return StepStatus(Progress.Succeeded, "Home", summary(relocations), relocations=relocations)


def wave_due(record: StepRecord, now: datetime) -> bool:
    """May more be sent? Not before what was just written can be seen, and later where it was not
    taken."""
    if not record.stage:
        return True
    least = (
        again_at(record, ECHO_WITHIN)
        if record.reason == HINDERED
        else (record.claimed_at or now) + ECHO_WITHIN
    )
    return now >= least


def label_of(recovery: Recovery) -> str:
    """The label by which its applications were moved; empty where each was moved by itself."""
    written = [w for w in recovery.actions if w.type == "failover"]
    return str(written[-1].parameters.get("label", "")) if written else ""


def _to(move: Relocation, before: RelocationPhase, after: RelocationPhase) -> Relocation:
    return structs.replace(move, phase=after) if move.phase is before else move


def renewed(
    relocations: tuple[Relocation, ...], phase: RelocationPhase, now: datetime
) -> tuple[Relocation, ...]:
    """Those in this phase have only now been begun."""
    return tuple(structs.replace(m, since=now) if m.phase is phase else m for m in relocations)


def _may_return(
    relocations: tuple[Relocation, ...], situation: Situation, *, stateful: bool
) -> tuple[frozenset[str], tuple[Relocation, ...]]:
    """Whom nothing keeps where it is; and the moves, those that are to stay there with their
    reason."""
    deps = {dep.app.uid: dep for dep in situation.dependents}
    may, changed = set(), []
    for move in relocations:
        dep = deps.get(move.uid)
        if move.phase is RelocationPhase.Moved and dep is not None:
            kinds = [kind for kind in dep.app.kinds or dep.sight.kinds if kind in STATEFUL]
            why = barred(dep, situation, moved=True) or (
                f"it holds data by now ({', '.join(kinds)})" if kinds and not stateful else ""
            )
            if why:
                move = structs.replace(
                    move, phase=RelocationPhase.Failed, reason=f"not moved back: {why}"
                )
            elif not dep.app.operating:
                may.add(move.uid)
        changed.append(move)
    return frozenset(may), tuple(changed)


def given_up(relocations: tuple[Relocation, ...], why: str) -> tuple[Relocation, ...]:
    """When its time is over: what was to go stays, what is on its way has not arrived."""
    ends = {
        RelocationPhase.Planned: RelocationPhase.Refused,
        RelocationPhase.Moving: RelocationPhase.Failed,
        RelocationPhase.Returning: RelocationPhase.Failed,
    }
    return tuple(
        structs.replace(m, phase=ends[m.phase], reason=why) if m.phase in ends else m
        for m in relocations
    )


def reconciled(recovery: Recovery, situation: Situation) -> Recovery:
    """The recovery with its moves as holds tell of them: the annotation is the truth.

    One that a person released stays where it is; one that the recovery does not know (its object
    was deleted by hand and opened anew) is taken on.
    """
    apps = {dep.app.uid: dep.app for dep in situation.dependents}
    relocations = list(recovery.relocations)
    if situation.freshness.fresh:
        relocations = [
            _settled(move, apps.get(move.uid), recovery, situation) for move in relocations
        ]
    if recovery.owed and recovery.subject.uid != situation.about.uid:
        # The cluster was built anew under its name, at another address: what is owed is owed to its
        # name.
        recovery = structs.replace(
            recovery, subject=structs.replace(recovery.subject, uid=situation.about.uid)
        )
    relocations = [_readdressed(move, cluster_of(situation)) for move in relocations]
    known = {move.uid for move in relocations}
    relocations += [orphan for orphan in situation.orphans if orphan.uid not in known]
    if len(relocations) > MAX_RELOCATIONS:  # what is owed has its place before what only says why
        ours = (RelocationPhase.Planned, RelocationPhase.Returning)
        relocations = [m for m in relocations if m.phase.owed or m.phase in ours]
    return (
        recovery
        if tuple(relocations) == recovery.relocations
        else structs.replace(recovery, relocations=tuple(relocations))
    )


def _readdressed(move: Relocation, cluster: Cluster) -> Relocation:
    """The way home of a relocation leads to the cluster and not to an address that is nobody's any
    more."""
    if not move.phase.owed or cluster.called(str(move.origin)):
        return move
    return structs.replace(move, home=place_of(cluster, move.origin))


def _settled(
    move: Relocation, app: Application | None, recovery: Recovery, situation: Situation
) -> Relocation:
    """One that is away, as people have left it: gone, moved on, released, or brought home."""
    if app is None:
        return (
            structs.replace(move, phase=RelocationPhase.Stayed, reason="the application is gone")
            if move.phase.owed
            else move
        )
    if move.phase not in (RelocationPhase.Moved, RelocationPhase.Failed) or app.hold is not None:
        return move
    if app.destination.place == move.goal:
        return _found_at_home(move, recovery, situation)
    if app.destination.place != move.target:
        return structs.replace(
            move,
            phase=RelocationPhase.Stayed,
            reason=f"moved on to {app.destination.cluster} by another writer: kept",
        )
    # What a label moved has no hold of its own.
    return (
        move
        if app.application_set
        else structs.replace(move, phase=RelocationPhase.Stayed, reason="released by a person")
    )


def _found_at_home(move: Relocation, recovery: Recovery, situation: Situation) -> Relocation:
    """The application is where it came from, and this controller did not bring it there."""
    label = label_of(recovery)
    if label and not (cluster_of(situation).labels or {}).get(label):
        return move  # its ApplicationSet has yet to move it
    if recovery.healthy_since is not None and recovery.running is None:
        reason = (
            move.reason if move.phase is RelocationPhase.Failed else "moved back by another writer"
        )
        return structs.replace(move, phase=RelocationPhase.Home, reason=reason)
    if move.phase is RelocationPhase.Failed:
        return move  # counts among those that could not be moved
    return structs.replace(
        move,
        phase=RelocationPhase.Stayed,
        reason="moved back by another writer, and its cluster is down: kept",
    )
