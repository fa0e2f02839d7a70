"""Applications that Argo CD does not look at any more: its own incident, and not one of each of
them."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from msgspec import Struct

from recovery.model.names import SubjectKey
from recovery.model.recovery import Recovery
from recovery.model.situation import Freshness

SHARD = "shard"
"""Kind of the key that stands for all applications that Argo CD's application controller has
stopped looking at."""
RECONCILER = "argocd-application-controller"
STANDING = SubjectKey(SHARD, "", RECONCILER)
"""What the queue calls them: one incident, however many shards and clusters it is about."""


class Reconciling(Struct, frozen=True):
    """How often Argo CD says that it looks at every application (argocd-cm)."""

    interval: timedelta = timedelta(seconds=180)
    """``timeout.reconciliation`` and its jitter together; zero where it only looks when it is told
    to (webhooks)."""
    source: str = "Argo CD's defaults"

    @property
    def limit(self) -> timedelta:
        """Not looked at for this long is no delay any more."""
        return self.interval * 3 + timedelta(minutes=1)

    @property
    def patience(self) -> timedelta:
        """A refresh that nobody has taken up for so long is not merely on its way."""
        return max(self.limit / 2, timedelta(minutes=5 if not self.interval else 1))


class UnreconciledApplications(Struct, frozen=True):
    """The frozen applications, their record, and the time."""

    now: datetime
    clusters: tuple[str, ...]
    """Where they run."""
    members: tuple[str, ...]
    """Who they are, at most 50."""
    frozen: int
    total: int
    why: str
    """Of one of them: the numbers."""
    channels: tuple[str, ...] = ()
    recovery: Recovery | None = None
    past: str = ""
    """The name of the newest that ended."""
    freshness: Freshness = Freshness(fresh=True)


UID = "shard-" + hashlib.sha256(RECONCILER.encode()).hexdigest()[:16]
"""The same on every replica."""
