"""Input of a recogniser, and how it reports a diagnosis."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from recovery.causes.envelope import essential
from recovery.model.application import Application
from recovery.model.cause import Confidence, Diagnosis, Observations

LINES = 6
LENGTH = 300


class DiagnosisInput(Struct, frozen=True):
    """One application, and what else is known of it."""

    app: Application
    now: datetime | None = None
    """None for an exported file: then nothing is judged by the clock."""
    signs: Observations | None = None
    """What was looked up beyond the Application; None for nothing yet."""
    still_since: datetime | None = None
    """Since when its running operation has shown no progress."""
    storm: str = ""
    """Many fell ill with it: in words."""
    frozen: str = ""
    """Argo CD does not look at it any more: why that is believed, in words."""

    def lasted(self, since: datetime | None, least: timedelta) -> bool:
        """Has it been so for this long? Of an exported file nobody knows, and it counts as long."""
        return self.now is None or (since is not None and self.now - since >= least)


def found(
    cause: str,
    *evidence: str,
    variant: str = "",
    about: str = "",
    confidence: Confidence = Confidence.likely,
    also: tuple[str, ...] = (),
) -> Diagnosis:
    """A finding; its evidence cut to what people read."""
    lines = tuple(
        dict.fromkeys(essential(" ".join(line.split()), LENGTH) for line in evidence if line)
    )
    return Diagnosis(cause, lines[:LINES], confidence, variant, about[:200], also)
