"""One policy held against one situation: what a state is determined from."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, structs

from recovery.decide.recovered import ailment
from recovery.model.policy import Policy, Step
from recovery.model.recovery import Recovery, StepRecord
from recovery.model.situation import Situation


class Evaluation(Struct, frozen=True):
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

    @property
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

    @property
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
