"""The step under way: how far it has come, and what its record owes to a crash."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct, structs

from recovery.decide.backoff import AFTER, again_at
from recovery.decide.evaluation import Evaluation
from recovery.decide.guards import REMEDY_FORBIDDEN
from recovery.decide.notifications import DEFAULT_CHANNELS
from recovery.decide.operations import WITHDRAW
from recovery.decide.remedies import objection
from recovery.model.action import Progress, Skip, StepStatus
from recovery.model.application import Application
from recovery.model.decision import Result
from recovery.model.policy import Step
from recovery.model.recovery import Recovery, StepRecord

WRITE_PATIENCE = timedelta(minutes=2)
"""A step that cannot even be written is tried for this long at least, however short its settle
time."""


class RunningStep(Struct, frozen=True):
    """A step that was started, with its progress as the situation shows it."""

    step: Step
    record: StepRecord
    status: StepStatus
    recovery: Recovery
    """With the record as it is now known: sent, where a trace of it was found."""

    @property
    def deadline(self) -> datetime:
        """When its effect has to show."""
        record = self.record
        return record.deadline or (record.claimed_at or record.started_at) + self.step.settle

    @property
    def write_deadline(self) -> datetime:
        """When it has to be written, if nobody knows that it was."""
        record = self.record
        return record.deadline or record.started_at + max(self.step.settle, WRITE_PATIENCE)


def running_step(e: Evaluation) -> RunningStep:
    """Ask the action how far its step has come. ValueError when none runs that can be read."""
    situation, recovery, record, step = e.situation, e.open, e.running, e.step
    if record is None or step is None:
        raise ValueError(f"no step of {recovery.name} runs that can be read")
    status = step.traits.judge(record, step, situation)
    if status.relocations is not None and status.progress is not Progress.Next:
        recovery = structs.replace(recovery, relocations=status.relocations)
    if (
        status.progress is Progress.Next
        and situation.unseen
        and step.traits.destructive
        and not step.traits.lasting
    ):
        # What it is to be judged by again is still to be looked at, as after a restart of this
        # controller.
        status = StepStatus(Progress.Running, message=situation.unseen, soon=timedelta(seconds=5))
    if not record.sent and status.progress in (
        Progress.Running,
        Progress.Succeeded,
        Progress.Failed,
    ):
        record, recovery = sent_after_all(recovery, record, step)
    return RunningStep(step, record, status, recovery)


def sent_after_all(
    recovery: Recovery, record: StepRecord, step: Step | None
) -> tuple[StepRecord, Recovery]:
    """After a crash nobody noted that it went out. What a hold is for hangs on it; and whoever is
    owed word of it hears at the end."""
    record = structs.replace(record, sent=True)
    recovery = recovery.with_last(record)
    return record, (
        recovery.heard_by(DEFAULT_CHANNELS) if step is None or step.traits.destructive else recovery
    )


def leaves_a_trace(e: Evaluation, record: StepRecord) -> bool:
    """Is there a trace of the step: its operation, taken up or still asked for, or a claim that
    counts as sent?"""
    app, token = e.situation.about, e.open.token(record)
    written = isinstance(app, Application) and any(
        o is not None and o.recovery == token for o in (app.operation, app.requested)
    )
    counts = (
        e.step is not None
        and e.step.traits.counts_as_sent
        and bool(record.stage)
        and record.reason != "Conflict"
    )
    return written or counts


def no_longer_fits(e: Evaluation, running: RunningStep) -> Skip | None:
    """Why the step's next write is not made although its first one was: what was true then is so no
    more. Its own hold and its own claim are left out; what it takes back or has begun to move is
    finished."""
    situation, recovery, step = e.situation, running.recovery, running.step
    if running.status.progress is Progress.Again:
        if not situation.freshness.fresh or running.record.stage:
            return None
        return step.traits.fits(step, situation, recovery)
    app = situation.about
    if step.traits.lasting or running.status.stage == WITHDRAW or not isinstance(app, Application):
        return None
    if app.hold is not None and app.hold.recovery == recovery.name:
        app = structs.replace(app, hold=None, auto_sync=app.auto_sync or app.hold.suspended)
    before = structs.replace(recovery, steps=recovery.steps[:-1])
    seen = structs.replace(situation, about=app, recovery=before)
    if skip := step.traits.fits(step, seen, before):
        return skip
    forbidden = objection(seen, e.policy, step, before)
    return Skip(REMEDY_FORBIDDEN, forbidden) if forbidden else None


def retry_at(running: RunningStep) -> datetime | None:
    """When a write is made again of which nobody knows whether it went out; None for at once."""
    hindered = {Result.InDoubt.value: AFTER, Result.Conflict.value: timedelta()}
    pause = hindered.get(running.record.reason)
    if running.status.progress is not Progress.Again or pause is None:
        return None
    return again_at(running.record, pause)
