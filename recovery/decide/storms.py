"""Is it a storm, and what becomes of one: many that fell ill together are one incident, and a
person's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct, structs

from recovery.decide.requests import requested
from recovery.model.decision import Decision, Kind
from recovery.model.duration import spell
from recovery.model.recovery import PendingNotification, Recovery, RecoveryPhase, Subject
from recovery.model.situation import Freshness
from recovery.model.storm import (
    SLOW_PREFIX,
    SLOW_SHARE,
    SLOW_WINDOW,
    STORM,
    STORM_MEMBER,
    GroupCount,
    StormLimits,
    Wall,
    called,
    whole_of,
)
from recovery.model.text import shell

SMALL = 10
"""In a smaller fleet shares say little: half of it, and at least three, are a storm."""
SMALL_LEAST = 3
APPROVED = "MembersApproved"
"""Reason of a storm whose members a person has let go."""
COOLING = "Cooldown"
RESUMES = timedelta(minutes=1)
"""After a storm, one more recovery may be at work for each of these, up to the budget."""
NEARLY = 0.8
"""Of those that fell ill, the part that makes a group the common cause."""
SHOWN_MEMBERS = 50
"""Members that a record and a message list."""
GROWN = 1.25
"""A storm that has grown by so much is written down anew."""


def over(crowd: GroupCount, limits: StormLimits) -> bool:
    """Is this crowd a storm, and one of the whole group?"""
    if whole_of((crowd.group, crowd.name))[1]:
        return crowd.wall.stands
    return many(crowd, limits) and not explained(crowd, limits)


def explained(crowd: GroupCount, limits: StormLimits) -> bool:
    """Do the applications of single projects explain it? Then it is theirs alone: they are counted
    in their own project, and nobody else's recovery waits for them.

    Where several projects share a group, it has fallen ill as a whole if that is so without the
    project that gives most, and either without all those that are a storm in themselves, or with so
    large a part of all the projects hit that they have the group in common and no owner.
    """
    wall = crowd.wall
    if wall.shared_by < 2:
        return False
    largest = _largest(wall)
    if not many(_without(crowd, {largest}), limits):
        return True
    if many(_without(crowd, wall.storms), limits):
        return False
    return len(wall.parts) < 2 or len(wall.parts) * 100 < wall.shared_by * limits.group


def part_stands(part: GroupCount, project: str, whole: GroupCount, limits: StormLimits) -> bool:
    """Is this project's part of a group held, where the group fell ill and its owners explain it?

    What is a storm is somebody's: whoever gives most of it is held in this group if not in his own
    project, so that another's application beside them never turns a storm into many single
    recoveries.
    """
    if not many(whole, limits) or not explained(whole, limits) or project in whole.wall.storms:
        return False
    largest = _largest(whole.wall)
    return many(part, limits) or project == largest


def _largest(wall: Wall) -> str:
    """The project that gives most of it; of equals always the same one, in whatever order their
    applications were seen."""
    return max(wall.parts, key=lambda project: (wall.parts[project][0], project), default="")


def _without(crowd: GroupCount, projects: Iterable[str]) -> GroupCount:
    fallen, of, total = crowd.fallen, crowd.of, crowd.total
    for project in projects:
        theirs, well = crowd.wall.parts.get(project, (0, 0))
        fallen, of, total = fallen - theirs, of - well, total - well
    return structs.replace(crowd, fallen=fallen, of=max(of, fallen), total=max(total, fallen))


def many(crowd: GroupCount, limits: StormLimits) -> bool:
    """Did so many fall ill that it is a storm, whosever they are?"""
    if crowd.group == "fleet" and crowd.total < SMALL:
        # Whoever asks for more than a small fleet has wants no storms in one.
        return (
            limits.minimum < SMALL
            and crowd.fallen >= SMALL_LEAST
            and crowd.fallen * 2 >= crowd.total
        )
    if crowd.fallen < limits.minimum:
        return False
    if crowd.group.startswith(SLOW_PREFIX):
        return crowd.share * 100 >= SLOW_SHARE
    if crowd.group == "fleet":
        return crowd.fallen >= limits.count or crowd.share * 100 >= limits.fleet
    return crowd.share * 100 >= limits.group


def common(crowds: Iterable[GroupCount], limits: StormLimits) -> GroupCount | None:
    """The group that all of it has most in common, if it is a storm: the largest share, the smaller
    group at equal ones."""
    seen = tuple(crowds)
    found = [crowd for crowd in seen if over(crowd, limits)]
    fallen = max((crowd.fallen for crowd in seen), default=0)
    # A group that holds nearly all of them is what they have in common; else it is larger than any
    # one of its groups.
    if most := [crowd for crowd in found if crowd.fallen >= fallen * NEARLY]:
        return max(most, key=lambda c: (round(c.share, 2), -c.total))
    return max(found, key=lambda c: (c.fallen, c.share), default=None)


def words(crowd: GroupCount, limits: StormLimits, window: timedelta) -> str:
    """``31 of 60 applications of repository X became unhealthy within 10m (30%, at least 5)``."""
    if crowd.group.startswith(SLOW_PREFIX):
        least = (
            f"{SLOW_SHARE}%, at least {limits.minimum}, is a storm where each ran well with what is"
            " deployed"
        )
        return (
            f"{crowd.fallen} of {crowd.of} applications of {crowd} became unhealthy within"
            f" {spell(SLOW_WINDOW)} ({least})"
        )
    least = (
        f"{limits.fleet if crowd.group == 'fleet' else limits.group}%, at least {limits.minimum}"
    )
    least += f", or {limits.count} in all" if crowd.group == "fleet" else ""
    least = (
        f"half, at least {SMALL_LEAST}" if crowd.group == "fleet" and crowd.total < SMALL else least
    )
    return (
        f"{crowd.fallen} of {crowd.of} applications of {crowd} became unhealthy within"
        f" {spell(window)} ({least} is a storm)"
    )


class StormSituation(Struct, frozen=True):
    """A storm, its record, and the time: what is judged of it."""

    now: datetime
    crowd: GroupCount
    """Those of its group that fell ill since it began and still are."""
    members: tuple[str, ...]
    """Who they are, at most 50."""
    limits: StormLimits
    channels: tuple[str, ...] = ()
    before: GroupCount | None = None
    """When its members were let go: those of it that fell ill before that and still are."""
    recovery: Recovery | None = None
    """The open one."""
    past: int = 0
    """How many there were in this group."""
    freshness: Freshness = Freshness(fresh=True)


def judge(weather: StormSituation) -> tuple[Decision, ...]:
    """One incident for all its members: opened, watched, over after a quiet while. Nothing is cured
    here."""
    recovery, now = weather.recovery, weather.now
    if not weather.freshness.fresh:
        return ()
    if recovery is None:
        return (_opened(weather),) if over(weather.crowd, weather.limits) else ()
    if recovery.reason != APPROVED and (asked := requested(recovery, "approve", now)):
        by = asked.by
        message = f"{by} approved the recovery of its members, one after the other"
        return (_said(weather, recovery, Kind.Wait, RecoveryPhase.Verifying, APPROVED, message),)
    if over(weather.crowd, weather.limits):
        if recovery.reason == APPROVED:
            return (_anew(weather, recovery),)
        if recovery.reason == STORM_MEMBER:
            again = now + timedelta(
                minutes=1 if weather.crowd.fallen >= SHOWN_MEMBERS else 0, seconds=15
            )
            if weather.crowd.fallen >= recovery.initial_resources * GROWN:
                recovery = _counted(structs.replace(recovery, message=_message(weather)), weather)
            return (
                Decision(
                    Kind.Stall, STORM, recovery.reason, recovery.message, again, recovery=recovery
                ),
            )
        message = _message(weather)  # it came back while it was cooling down
        recovery = _counted(structs.replace(recovery, healthy_since=None), weather)
        return (
            _said(weather, recovery, Kind.Stall, RecoveryPhase.Suppressed, STORM_MEMBER, message),
        )
    if (
        recovery.reason == APPROVED
        and weather.before is not None
        and over(weather.before, weather.limits)
    ):
        return (
            Decision(
                Kind.Wait,
                STORM,
                APPROVED,
                recovery.message,
                now + timedelta(minutes=1),
                recovery=recovery,
            ),
        )
    since = recovery.healthy_since or now
    if now - since < weather.limits.cooldown:
        until = since + weather.limits.cooldown
        reason = APPROVED if recovery.reason == APPROVED else COOLING
        message = (
            f"{weather.crowd.fallen} of {weather.crowd.of} still unhealthy, no storm since"
            f" {since:%H:%M:%S} UTC; over at {until:%H:%M:%S}"
        )
        kept = structs.replace(
            recovery,
            phase=RecoveryPhase.Verifying,
            reason=reason,
            message=message,
            healthy_since=since,
        )
        return (
            Decision(
                Kind.Wait,
                STORM,
                reason,
                message,
                min(until, now + timedelta(minutes=1)),
                recovery=kept,
            ),
        )
    return (_over(weather, recovery),)


def approved_at(storm: Recovery, now: datetime) -> datetime | None:
    """When a person let its members go, which is not later than now; who falls ill later was not
    meant."""
    asked = requested(storm, "approve", now)
    return min(asked.at, now) if asked is not None else None


def _anew(weather: StormSituation, recovery: Recovery) -> Decision:
    """Storm anew: its members were let go, and many others have fallen ill since: nobody has let
    those go."""
    requests = tuple(w for w in recovery.requests if w.type != "approve")
    told = structs.replace(
        _note(weather, recovery.name), key=f"{recovery.name}/storm/{weather.now:%Y%m%dT%H%M%S}"
    )
    recovery = structs.replace(
        recovery, requests=requests, unhealthy_since=weather.crowd.since, healthy_since=None
    ).with_notes(told)
    return _said(
        weather,
        _counted(recovery, weather),
        Kind.Stall,
        RecoveryPhase.Suppressed,
        STORM_MEMBER,
        _message(weather),
    )


def _counted(recovery: Recovery, weather: StormSituation) -> Recovery:
    return structs.replace(
        recovery, evidence=weather.members, initial_resources=weather.crowd.fallen
    )


def _message(weather: StormSituation) -> str:
    crowd = weather.crowd
    return (
        f"{crowd.fallen} of {crowd.of} applications of {crowd} became unhealthy together since"
        f" {crowd.since:%H:%M:%S} UTC: one incident with one cause; its members are not"
        " recovered one by one"
    )


def _opened(weather: StormSituation) -> Decision:
    crowd, now = weather.crowd, weather.now
    told = f"{crowd.key.name}/{crowd.since.isoformat()}/{weather.past}"
    (kind, _), project = whole_of((crowd.group, crowd.name))
    name = f"storm-{kind}-{hashlib.sha256(told.encode()).hexdigest()[:10]}"
    message = _message(weather)
    recovery = Recovery(
        name,
        STORM,
        "",
        Subject(
            "Storm", "", crowd.key.name, crowd.uid, crowd.name if kind == "project" else project
        ),
        now,
        RecoveryPhase.Suppressed,
        unhealthy_since=crowd.since,
        reason=STORM_MEMBER,
        message=message,
        suppressed_since=now,
    )
    recovery = _counted(recovery, weather)
    recovery = recovery.with_notes(_note(weather, name)).heard_by(
        *(weather.channels or ("default",))
    )
    return Decision(
        Kind.Stall, STORM, STORM_MEMBER, message, now + timedelta(minutes=1), recovery=recovery
    )


def _note(weather: StormSituation, name: str) -> PendingNotification:
    crowd = weather.crowd
    listed = "\n".join(f"- {member}" for member in weather.members)
    more = (
        f"\n... and {crowd.fallen - len(weather.members)} more"
        if crowd.fallen > len(weather.members)
        else ""
    )
    body = (
        f"{_message(weather)}. Recoveries in progress finish, no new one starts;"
        f" {spell(weather.limits.cooldown)} after it ends they are recovered one after the"
        f" other.\nTo start now: recovery approve {shell(name)}\n{listed}{more}\nRecord:"
        f" {name}"
    )
    return PendingNotification(
        f"{name}/storm",
        f"{crowd.fallen} applications of {crowd} are unhealthy: one incident",
        body,
        "critical",
        weather.channels,
    )


def _said(
    weather: StormSituation,
    recovery: Recovery,
    kind: Kind,
    phase: RecoveryPhase,
    reason: str,
    message: str,
) -> Decision:
    kept = structs.replace(recovery, phase=phase, reason=reason, message=message)
    return Decision(
        kind, STORM, reason, message, weather.now + timedelta(seconds=15), recovery=kept
    )


def _over(weather: StormSituation, recovery: Recovery) -> Decision:
    now = weather.now
    lasted = spell(now - (recovery.unhealthy_since or recovery.opened_at))
    left = (
        f"; {weather.crowd.fallen} still unhealthy are recovered one after the other"
        if weather.crowd.fallen
        else ""
    )
    message = f"the storm is over after {lasted}{left}"
    group, _, name = recovery.subject.name.partition("/")
    note = PendingNotification(
        f"{recovery.name}/resolve",
        f"the storm in {called(group, name)} is over",
        message,
        "info",
        resolves=True,
    )
    done = structs.replace(
        recovery,
        phase=RecoveryPhase.Resolved,
        reason="StormEnded",
        message=message,
        resolved_at=now,
    )
    return Decision(Kind.Resolve, STORM, "StormEnded", message, recovery=done.with_notes(note))
