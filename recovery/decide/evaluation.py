"""One policy held against one situation: what a state is determined from."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

from msgspec import Struct, structs

from recovery.decide.notifications import DEFAULT_CHANNELS
from recovery.decide.recovered import ailment
from recovery.model.action import Progress, StepStatus
from recovery.model.policy import Policy, Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.situation import Situation

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


def sent_after_all(
    recovery: Recovery, record: StepRecord, step: Step | None
) -> tuple[StepRecord, Recovery]:
    """After a crash nobody noted that it went out. What a hold is for hangs on it; and whoever is
    owed word of it hears at the end."""
    record = structs.replace(record, sent=True)
    recovery = recovery.with_last(record)
    return record, (
        recovery.heard_by(DEFAULT_CHANNELS) if step is None or step.kind.destructive else recovery
    )


class Evaluation(Struct, frozen=True, dict=True):
    """A policy, the situation of its subject, and the recovery that it has open there."""

    situation: Situation
    policy: Policy
    recovery: Recovery | None = None
    """The open one, if it is this policy's."""
    in_force: bool = True
    """Whether the policy file still has the policy."""
    recovered_by: str | None = None
    """Another policy that already recovers the subject; None for none. A record may name an empty
    one."""
    preempted_by: str = ""
    """Another policy that may act while this one is held back; empty for none."""

    @property
    def recorded(self) -> Recovery:
        """The open recovery as it is recorded. ValueError when there is none."""
        if self.recovery is None:
            raise ValueError(f"policy {self.policy.name} has no open recovery")
        return self.recovery

    @cached_property
    def open(self) -> Recovery:
        """The open recovery as this pass sees it: ``healthy_since`` follows the subject. ValueError
        when there is none."""
        recovery = self.recorded
        if self.unhealthy:
            return structs.replace(recovery, healthy_since=None)
        return structs.replace(recovery, healthy_since=recovery.healthy_since or self.situation.now)

    @property
    def condition_since(self) -> datetime:
        """When the policy's condition began to hold, UTC. ValueError where it does not hold."""
        since = self.situation.sight.clocks.get(self.policy.condition.symptom)
        if since is None:
            raise ValueError(f"{self.policy.condition} does not hold")
        return since

    @cached_property
    def unhealthy(self) -> str:
        """Reasons that still speak against a cure, in words; empty when the subject is cured."""
        if self.recovery is None:
            return ""
        situation = self.situation
        return ailment(self.policy.condition, situation.about, self.recovery, situation.now)

    @property
    def actions(self) -> tuple[Step, ...]:
        """The actions of the running attempt: those it began with, else the policy's."""
        pinned = self.situation.pinned
        return pinned if pinned is not None else self.policy.actions

    @property
    def running(self) -> StepRecord | None:
        """The record of the step that has not ended; None when none runs."""
        return self.recovery.running if self.recovery else None

    @property
    def step(self) -> Step | None:
        """The step that the running record is of; None when none runs or it can no longer be
        read."""
        record = self.running
        if record is None or record.index >= len(self.actions):
            return None
        return self.actions[record.index]

    @cached_property
    def under_way(self) -> RunningStep:
        """The running step, with the progress that its action reads from the situation. Asked once:
        for a move of hundreds of applications that is not free. ValueError when none runs that can
        be read."""
        situation, recovery, record, step = self.situation, self.open, self.running, self.step
        if record is None or step is None:
            raise ValueError(f"no step of {recovery.name} runs that can be read")
        status = step.kind.judge(record, step, situation)
        if status.relocations is not None and status.progress is not Progress.Next:
            recovery = structs.replace(recovery, relocations=status.relocations)
        if (
            status.progress is Progress.Next
            and situation.unseen
            and step.kind.destructive
            and not step.kind.lasting
        ):
            # What it is to be judged by again is still to be looked at, as after a restart of this
            # controller.
            status = StepStatus(
                Progress.Running, message=situation.unseen, soon=timedelta(seconds=5)
            )
        if not record.sent and status.progress in (
            Progress.Running,
            Progress.Succeeded,
            Progress.Failed,
        ):
            record, recovery = sent_after_all(recovery, record, step)
        return RunningStep(step, record, status, recovery)
