"""Open a recovery: its name, its subject, and whether it continues one that has just ended."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

from msgspec import structs

from recovery.model.application import Application
from recovery.model.connection import Cluster
from recovery.model.names import STRANGERS
from recovery.model.policy import Policy
from recovery.model.recovery import Recovery, RecoveryPhase, StepOutcome, Subject
from recovery.model.situation import Situation


def opened(situation: Situation, policy: Policy, since: datetime) -> Recovery:
    """A new recovery, before its first attempt; ``since`` is when the policy's condition began."""
    return Recovery(
        name_of(situation),
        policy.name,
        policy.hash,
        subject_of(situation),
        situation.now,
        RecoveryPhase.Remediating,
        unhealthy_since=since,
        earliest=earliest(situation, policy, since),
        max_attempts=policy.attempts,
    )


def name_of(situation: Situation) -> str:
    """A subject's next recovery has one name, whoever opens it and by whatever clock: the API
    server refuses a second one.

    It follows from the newest that ended, of which all replicas know.
    """
    about = situation.about
    previous = situation.past[-1].name if situation.past else ""
    seed = f"{about.key.kind}/{about.uid}/{previous}"
    stem = (
        re.sub(r"[^a-z0-9.]+", "-", re.sub(r"^[a-z+]+://", "", about.name.lower()))[:40].strip("-.")
        or about.key.kind
    )
    return f"{stem}-{hashlib.sha256(seed.encode()).hexdigest()[:10]}"


def subject_of(situation: Situation) -> Subject:
    """Name the subject as a record keeps it."""
    about = situation.about
    if isinstance(about, Application):
        # A name in spec.project makes nobody a member: what is counted by project must not be
        # somebody else's word.
        project = STRANGERS if situation.foreign else about.project
        return Subject(
            "Application",
            about.namespace,
            about.name,
            about.uid,
            project,
            about.destination.cluster,
        )
    kind = "Cluster" if isinstance(about, Cluster) else "Repository"
    return Subject(
        kind, "", about.name, about.uid, cluster=about.name if isinstance(about, Cluster) else ""
    )


def earliest(situation: Situation, policy: Policy, since: datetime) -> datetime:
    """The earliest beginning that anybody knows of: also from before this controller watched."""
    app = situation.about
    if (
        isinstance(app, Application)
        and app.health_since
        and app.health in (policy.condition.health or ())
    ):
        return min(since, app.health_since)
    return since


def relapse_of(situation: Situation, policy: Policy, since: datetime) -> Recovery | None:
    """The policy's newest resolved recovery, if the subject is unhealthy again within
    ``reset_after`` of its end; None when this is a new incident."""
    for past in reversed(situation.past):
        if past.policy == policy.name and past.phase is RecoveryPhase.Resolved and past.resolved_at:
            # Rolled back, given back, and ill again: that is the next deploy's doing, and a new
            # incident.
            held = isinstance(situation.about, Application) and situation.about.hold is not None
            redeployed = not held and any(
                s.action == "rollback" and s.outcome is StepOutcome.Succeeded for s in past.steps
            )
            return (
                past if since - past.resolved_at <= policy.reset_after and not redeployed else None
            )
    return None


def reopened(situation: Situation, policy: Policy, past: Recovery, since: datetime) -> Recovery:
    """The resolved recovery, open again: its attempts count on, and people are called anew."""
    return structs.replace(
        past,
        phase=RecoveryPhase.Remediating,
        resolved_at=None,
        healthy_since=None,
        unhealthy_since=since,
        earliest=earliest(situation, policy, since),
        # People were told that it is over: if it cannot be mended this time, they are called anew.
        escalated=False,
        notified_causes=(),
        # Whoever heard of it is still owed the end; how long it has been told of is counted anew.
        talk=structs.replace(past.talk, first_at=None, last_at=None, paged=0, repeated={}),
    )
