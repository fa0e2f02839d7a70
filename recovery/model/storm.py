"""Many that fall ill together: one incident with one cause, and not as many cures as members."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from msgspec import Struct

from recovery.model.names import SubjectKey

STORM = "storm"
"""Kind of the keys that stand for a storm, and the name of its policy."""
STORM_MEMBER = "Storm"
"""Code of the guard that holds the members back, and reason of the storm's own recovery."""


SLOW_PREFIX = "slow-"
"""Before the kind of a group: those of it that fall ill one after the other, each with a deploy
that had been proven good."""
SLOW_WINDOW = timedelta(hours=1)
SLOW_SHARE = 5
"""Percent of a group that fall ill so within an hour, and it is a storm as well."""


class StormLimits(Struct, frozen=True):
    """When many at once are one incident. Shares are whole percents."""

    window: timedelta = timedelta(minutes=10)
    minimum: int = 5
    fleet: int = 30
    group: int = 30
    count: int = 25
    cooldown: timedelta = timedelta(minutes=10)


class Wall(Struct, frozen=True):
    """Whose those are that fell ill: a project's applications are its own business, and hold nobody
    else's."""

    parts: dict[str, tuple[int, int]] = {}
    """By project, where several have applications in the group: those of it that fell ill, and
    those of it that were well before."""
    shared_by: int = 1
    """Projects that have applications in the group."""
    storms: frozenset[str] = frozenset()
    """Those of the parts that are a storm in their own project."""
    stands: bool = False
    """Of one project's part of a group: it is held, as the group is ill and this project alone
    accounts for it."""


class GroupCount(Struct, frozen=True):
    """How many of a group fell ill within a time."""

    group: str
    """fleet, cluster, project, repository or applicationset; ``cluster@shop`` for project shop's
    part of one."""
    name: str
    fallen: int
    of: int
    """Those that were well before, the fallen included."""
    total: int
    since: datetime
    """When the first of them fell ill."""
    wall: Wall = Wall()

    @property
    def share(self) -> float:
        """Of those that were well before, from 0 to 1."""
        return self.fallen / self.of if self.of else 0.0

    @property
    def key(self) -> SubjectKey:
        """Key of a storm in this group."""
        return SubjectKey(STORM, "", f"{self.group}/{self.name}" if self.name else self.group)

    @property
    def uid(self) -> str:
        """The same for the same group, on every replica."""
        return uid_of(self.key)

    def __str__(self) -> str:
        return called(self.group, self.name)


def uid_of(key: SubjectKey) -> str:
    """A storm's UID, from what the queue calls it."""
    return "storm-" + hashlib.sha256(key.name.encode()).hexdigest()[:16]


def part_of(group: tuple[str, str], project: str) -> tuple[str, str]:
    """One project's part of a group, as a group."""
    return f"{group[0]}@{project}", group[1]


def whole_of(group: tuple[str, str]) -> tuple[tuple[str, str], str]:
    """The group that it is a part of, and whose; the group itself and an empty text where it is
    whole."""
    kind, _, project = group[0].partition("@")
    return (kind, group[1]), project


def called(group: str, name: str) -> str:
    """A group of applications in words, as messages name it."""
    (group, name), project = whole_of((group, name))
    if project:
        return f"project {project}" + (f" in {called(group, name)}" if group != "fleet" else "")
    if group.startswith(SLOW_PREFIX):
        return f"{called(group.removeprefix(SLOW_PREFIX), name)}, one after the other,"
    return {"fleet": "the fleet", "applicationset": f"ApplicationSet {name}"}.get(
        group, f"{group} {name}"
    )
