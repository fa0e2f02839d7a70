"""Our own maintenance windows, and what people have paused."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from recovery.model.application import Application
from recovery.model.connection import Cluster, Repository
from recovery.model.selector import Selector


class Window(Struct, frozen=True):
    """One of guards.windows: a time in which these actions do not happen."""

    schedule: str
    """Five fields of cron."""
    duration: timedelta
    timezone: str = "UTC"
    selector: Selector = Selector()
    actions: tuple[str, ...] = ()
    """Empty: none at all."""

    def __str__(self) -> str:
        return f"{self.schedule} {self.timezone}"


class Pause(Struct, frozen=True):
    """A person said: not now. Who, why, and until when."""

    selector: Selector = Selector()
    reason: str = ""
    by: str = ""
    until: datetime | None = None
    name: str = ""
    """What it is filed under; empty for one of the policy file."""
    silences: bool = False
    """Nothing is held back; people are not told."""

    def runs(self, now: datetime) -> bool:
        """Is the pause in force at this time?"""
        return self.until is None or now < self.until

    def holds_back(self, about: Application | Repository | Cluster, now: datetime) -> bool:
        """Is nothing to be done to this subject now?"""
        return not self.silences and self.runs(now) and self.selector.selects(about)
