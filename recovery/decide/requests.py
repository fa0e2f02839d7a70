"""Requests of people, as far as they count."""

from __future__ import annotations

from datetime import datetime, timedelta

from recovery.model.move import UserRequest
from recovery.model.recovery import Recovery

PERSON_SKEW = timedelta(minutes=5)
"""A person's clock may be this far ahead of ours; a request from further on would count for what
happens after it was made."""


def requested(recovery: Recovery, kind: str, now: datetime) -> UserRequest | None:
    """The newest request of a kind; None where nobody made one, or only one of the future."""
    made = (r for r in recovery.requests if r.type == kind and r.at - now < PERSON_SKEW)
    return max(made, key=lambda request: request.at, default=None)
