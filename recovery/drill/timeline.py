"""Everything that was seen of a drill, in the order of time."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, structs

from recovery.model.application import Application, Health, short
from recovery.model.names import USERNAME
from recovery.model.recovery import Recovery, StepRecord


class Entry(Struct, frozen=True):
    """One thing that happened; the time is UTC."""

    at: datetime
    what: str


class Timeline:
    """Turns what is read of an Application and its recovery into entries: each change once."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.recovery: Recovery | None = None
        self.unhealthy_at: datetime | None = None
        """When it was first seen Degraded."""
        self.strange_operations: list[str] = []
        """Operations under the controller's name that no record of this drill claims."""
        self.broken_at: datetime | None = None
        self.images: tuple[str, ...] = ()
        """What ran when it was last healthy before it was broken."""
        self._state = ""
        self._phase = ("", "", 0)
        self._steps: dict[tuple[int, int], str] = {}

    def note(self, at: datetime, what: str) -> Entry:
        """Add an entry of the drill's own doing."""
        self.entries.append(Entry(at, what))
        return self.entries[-1]

    def broken(self, at: datetime, what: str, images: tuple[str, ...]) -> Entry:
        """From here on it is judged: nothing of before counts."""
        self.broken_at, self.images = at, images
        self.recovery, self.unhealthy_at = None, None
        self._phase, self._steps = ("", "", 0), {}
        return self.note(at, what)

    def saw(self, at: datetime, app: Application, recovery: Recovery | None) -> list[Entry]:
        """Take in one look; the entries that are new."""
        before = len(self.entries)
        state = f"{app.sync.value} {app.health.value}"
        if state != self._state:
            self._state = state
            what = f"{state} at {short(app.deployed)}" if app.deployed else state
            self.note(at, what)
        if app.health is Health.Degraded and self.unhealthy_at is None:
            since = app.health_since or at
            self.unhealthy_at = max(since, self.broken_at) if self.broken_at else since
        if recovery is not None:
            self._recovery(at, recovery)
        operation = app.operation
        ours = operation is not None and operation.username == USERNAME
        name = recovery.name if recovery else ""
        if ours and operation is not None and operation.recovery.partition("/")[0] != name:
            self.strange_operations.append(operation.recovery or "an operation without a name")
        return self.entries[before:]

    def _recovery(self, at: datetime, recovery: Recovery) -> None:
        broken = self.broken_at
        if broken is not None:  # one that was opened again has steps of before
            steps = tuple(s for s in recovery.steps if s.started_at >= broken)
            recovery = structs.replace(recovery, steps=steps)
        self.recovery = recovery
        for step in recovery.steps:
            said = _said(step)
            if self._steps.get((step.attempt, step.index)) != said:
                self._steps[step.attempt, step.index] = said
                self.note(at, said)
        phase = (recovery.phase.value, recovery.reason, recovery.attempt)
        if phase != self._phase:
            self._phase = phase
            self.note(at, f"recovery {recovery.phase.value}: {recovery.message}")


def _said(step: StepRecord) -> str:
    if step.outcome is None:
        return f"{step.action} started"
    words = f": {step.message}" if step.message else ""
    return f"{step.action} {step.outcome.value}{words}"
