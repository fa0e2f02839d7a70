"""A person wants to be asked first: what may go, and until when."""

from __future__ import annotations

from datetime import datetime, timedelta

from recovery.decide.asking import Asked, begun
from recovery.model.application import Application
from recovery.model.connection import Cluster
from recovery.model.duration import spell
from recovery.model.move import Wish
from recovery.model.policy import Mode
from recovery.model.recovery import Recovery
from recovery.model.text import shell

SKEW = timedelta(minutes=5)
"""By so much a person's clock may differ from ours."""
EXPIRED = "expired"
"""What an approval is called that was not used in time."""
APPROVED_FOR = timedelta(hours=1)
"""An approval is good for this long; the world moves on."""


def mode_of(a: Asked) -> Mode:
    """The narrowest of policy, action, project and application; an unreadable annotation narrows to observe."""
    mode = a.policy.mode.narrowed(a.step.mode)
    for step in a.policy.actions:
        # A running attempt keeps its actions, but an edit that narrows one of this kind binds at once.
        mode = mode.narrowed(step.mode) if step.traits.name == a.step.traits.name else mode
    project, about = a.situation.project, a.situation.about
    own = about.mark("mode") if isinstance(about, Application | Cluster) else ""
    for said in (own, project.mark("mode") if project else ""):
        if said:
            mode = mode.narrowed(Mode(said) if said in Mode.__members__ else Mode.observe)
    return mode


def approval(a: Asked) -> str:
    """A person wants to be asked first."""
    if mode_of(a) is not Mode.approve or plans(a) or begun(a) or approved(a):
        return ""
    said = ("approve", EXPIRED)
    late = next((w for w in reversed(a.recovery.wishes) if w.what in said and w.step == a.place), None) if a.recovery else None
    stale_one = f"; the approval of {late.by} at {late.at:%H:%M:%S} UTC has expired" if late else ""
    return f"mode is approve: would {a.step}; {how_to_approve(a)}{stale_one}"


def approved(a: Asked) -> bool:
    """Has a person let this very step go, within the last hour?"""
    wishes = a.recovery.wishes if a.recovery else ()
    # A command's clock may be a little ahead of ours; one that is far ahead would never expire.
    return any(w.what == "approve" and w.step == a.place and -SKEW < a.situation.now - w.at < APPROVED_FOR for w in wishes)


def expired(recovery: Recovery, now: datetime) -> tuple[Wish, ...]:
    """Approvals that nobody has used in time, and that people have not been told of."""
    return tuple(w for w in recovery.wishes if w.what == "approve" and now - w.at >= APPROVED_FOR)


def plans(a: Asked) -> bool:
    """Does it only look for now, so that a person has a plan to approve?"""
    return a.step.traits.relocates and (a.recovery is None or a.recovery.running is None)


def how_to_approve(a: Asked) -> str:
    return f"`recovery approve {shell(a.recovery.name) if a.recovery else ''}` lets it go, for {spell(APPROVED_FOR)}"
