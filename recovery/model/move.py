"""An application that is moved to another cluster, and home again: what a failover owes, one entry
an application."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from msgspec import Struct

from recovery.model.api_name import api_name

MAX_RELOCATIONS = 500
"""Applications that one recovery keeps; the CRD takes twice as many."""
EXPIRED = "expired"
"""Type of an approval that was not used in time."""


class RelocationPhase(Enum):
    """How far the move of one application has come."""

    Planned = "Planned"
    """May go; has not been touched."""
    Refused = "Refused"
    """Stays where it is, and why."""
    Moving = "Moving"
    """Its destination is changed, its sync is asked for."""
    Moved = "Moved"
    """Healthy at its new place; owed back."""
    Failed = "Failed"
    """It did not get Healthy at its new place; owed back all the same."""
    Returning = "Returning"
    """On its way home."""
    Home = "Home"
    """Where it came from, and Healthy there."""
    Stayed = "Stayed"
    """A person decided that its new place is its place."""

    @property
    def owed(self) -> bool:
        """Does it run away from its home cluster, so that a failback is owed?"""
        return self in (
            RelocationPhase.Moving,
            RelocationPhase.Moved,
            RelocationPhase.Failed,
            RelocationPhase.Returning,
        )


class Place(Struct, frozen=True, omit_defaults=True):
    """``spec.destination`` without its namespace: by name or by server, as it was written."""

    server: str = ""
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.server


class Relocation(Struct, frozen=True, rename=api_name, omit_defaults=True):
    """The move of one application, from where to where."""

    namespace: str
    name: str
    uid: str
    origin: Place
    target: Place
    phase: RelocationPhase
    reason: str = ""
    """Of a refusal or a failure, in words."""
    since: datetime | None = None
    home: Place | None = None
    """Where it goes home to, if not to ``origin``: its cluster was built anew under its name, at
    another address."""
    leftovers: tuple[str, ...] = ()
    """What stayed behind, as ``cluster: group/version/plural/namespace/name``; at most 50."""

    @property
    def goal(self) -> Place:
        """The place that it belongs to and is moved back to."""
        return self.home or self.origin

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class UserRequest(Struct, frozen=True, rename=api_name):
    """A request that a person made for by command, written into the Recovery."""

    type: str
    """approve (expired when it was not used in time), reset, failback, stay, cleanup, or release
    (of a hold)."""
    by: str
    at: datetime
    step: str = ""
    """With approve: what it lets go, as it stands in ``Recovery.awaiting``."""
