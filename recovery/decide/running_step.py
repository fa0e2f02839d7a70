"""The step under way: how far it has come, and what its record owes to a crash."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import structs

from recovery.decide.backoff import AFTER, again_at
from recovery.decide.evaluation import Evaluation, RunningStep
from recovery.decide.guards import REMEDY_FORBIDDEN
from recovery.decide.operations import WITHDRAW
from recovery.decide.remedies import objection
from recovery.model.action import Progress, Skip
from recovery.model.application import Application
from recovery.model.decision import Result
from recovery.model.recovery import StepRecord


def leaves_a_trace(e: Evaluation, record: StepRecord) -> bool:
    """Is there a trace of the step: its operation, taken up or still asked for, or a claim that
    counts as sent?"""
    app, token = e.situation.about, e.open.token(record)
    written = isinstance(app, Application) and any(
        o is not None and o.recovery == token for o in (app.operation, app.requested)
    )
    counts = (
        e.step is not None
        and e.step.kind.counts_as_sent
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
        return step.kind.fits(step, situation, recovery)
    app = situation.about
    if step.kind.lasting or running.status.stage == WITHDRAW or not isinstance(app, Application):
        return None
    if app.hold is not None and app.hold.recovery == recovery.name:
        app = structs.replace(app, hold=None, auto_sync=app.auto_sync or app.hold.suspended)
    before = structs.replace(recovery, steps=recovery.steps[:-1])
    seen = structs.replace(situation, about=app, recovery=before)
    if skip := step.kind.fits(step, seen, before):
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
