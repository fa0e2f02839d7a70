"""A person wants to be asked first: what may go, and until when."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import msgspec

from recovery.decide.guard_request import GuardRequest, begun
from recovery.decide.requests import PERSON_SKEW
from recovery.model.application import Application, short
from recovery.model.connection import Cluster
from recovery.model.duration import spell
from recovery.model.move import EXPIRED, UserRequest
from recovery.model.policy import Mode
from recovery.model.recovery import Recovery
from recovery.model.text import shell

APPROVED_FOR = timedelta(hours=1)
"""An approval is good for this long; the world moves on."""


def mode_of(a: GuardRequest) -> Mode:
    """The narrowest of policy, action, project and application; an unreadable annotation narrows to
    observe."""
    mode = a.policy.mode.narrowed(a.step.mode)
    for step in a.policy.actions:
        # A running attempt keeps its actions, but an edit that narrows one of this kind binds at
        # once.
        mode = mode.narrowed(step.mode) if step.kind.name == a.step.kind.name else mode
    project, about = a.situation.project, a.situation.about
    own = about.mark("mode") if isinstance(about, Application | Cluster) else ""
    for said in (own, project.mark("mode") if project else ""):
        if said:
            mode = mode.narrowed(Mode(said) if said in Mode.__members__ else Mode.observe)
    return mode


def awaiting(a: GuardRequest) -> str:
    """The step as an approval has to name it: ``attempt.index action digest``.

    The digest is of all that a person lets go with it: the policy as it stands, the action with its
    parameters, what is deployed, what a sync would deploy, and which plan of a failover. When one
    of them changes, it is another thing that would be done, and people are asked again.
    """
    if a.recovery is None:
        return ""
    running, about = a.recovery.running, a.situation.about
    index = running.index if running else len(a.recovery.in_attempt())
    parts: list[Any] = [a.policy.hash, a.step.written]
    if isinstance(about, Application):
        parts += [about.deployed, about.revisions if a.step.kind.syncs else ()]
    if a.step.kind.relocates and running:
        parts.append(running.started_at)
    digest = hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:10]
    return f"{a.recovery.attempt}.{index} {a.step.kind.name} {digest}"


def approval_required(a: GuardRequest) -> str:
    """The step waits for `recovery approve` (``mode: approve``)."""
    if mode_of(a) is not Mode.approve or plans(a) or begun(a) or approved(a):
        return ""
    return f"mode is approve: would {_what(a)}; {how_to_approve(a)}{_lapsed(a)}"


def _what(a: GuardRequest) -> str:
    """The action, and what of the application it is about."""
    about, kind = a.situation.about, a.step.kind
    if not isinstance(about, Application):
        return str(a.step)
    if kind.syncs:
        return f"{a.step} to {short(about.revisions)}"
    return (
        f"{a.step}, while {short(about.deployed)} is deployed" if kind.destructive else str(a.step)
    )


def _lapsed(a: GuardRequest) -> str:
    """The state of an approval that was given for this place."""
    this = awaiting(a)
    place, requests = this.partition(" ")[0], a.recovery.requests if a.recovery else ()
    last = next(
        (
            w
            for w in reversed(requests)
            if w.type in ("approve", EXPIRED) and w.step.partition(" ")[0] == place
        ),
        None,
    )
    if last is None:
        return ""
    given = f"; the approval of {last.by} at {last.at:%H:%M:%S} UTC"
    return (
        f"{given} has expired"
        if last.step == this
        else f"{given} was for something else: {_changed(last.step, this)}"
    )


def _changed(before: str, now: str) -> str:
    """The difference from what was approved: what is another thing by now than it was when it was
    approved."""
    was, would = ([*text.split(" "), "", ""] for text in (before, now))
    if not was[1]:
        return "it names no action"
    return f"a {was[1]}" if was[1] != would[1] else "policy, plan or revision have changed since"


def approved(a: GuardRequest) -> bool:
    """Has a person let this very step go, within the last hour?"""
    requests, this = a.recovery.requests if a.recovery else (), awaiting(a)
    # A command's clock may be a little ahead of ours; one that is far ahead would never expire.
    return any(
        w.type == "approve"
        and w.step == this
        and -PERSON_SKEW < a.situation.now - w.at < APPROVED_FOR
        for w in requests
    )


def expired(recovery: Recovery, this: str, now: datetime) -> tuple[UserRequest, ...]:
    """Approvals that were not used and are of no use any more, and that people have not been told
    of: too old, or for something else than what waits now (``this``)."""
    used = {f"{step.attempt}.{step.index}" for step in recovery.steps if step.sent or step.stage}
    given = (
        w for w in recovery.requests if w.type == "approve" and w.step.partition(" ")[0] not in used
    )
    return tuple(w for w in given if not -PERSON_SKEW < now - w.at < APPROVED_FOR or w.step != this)


def plans(a: GuardRequest) -> bool:
    """Does it only look for now, so that a person has a plan to approve?"""
    return a.step.kind.relocates and (a.recovery is None or a.recovery.running is None)


def how_to_approve(a: GuardRequest) -> str:
    return (
        f"`recovery approve {shell(a.recovery.name) if a.recovery else ''}` approves it (valid"
        f" {spell(APPROVED_FOR)})"
    )
