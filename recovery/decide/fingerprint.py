"""Is it still the same failure?"""

from __future__ import annotations

import hashlib
import re

from recovery.model.application import Application, Phase
from recovery.model.connection import Cluster, Repository

# What varies from one occurrence of a failure to the next: times, ports, counters, hashes,
# temporary paths.
_VARYING = (
    (re.compile(r"/(?:tmp|dev/shm|var/folders)/[^\s\"',)]+"), "PATH"),
    (re.compile(r"\b[0-9a-f]{7,64}\b"), "HASH"),
    (re.compile(r" ?\(retried \d+ times\)\.?|Retrying attempt #.*"), ""),
    (re.compile(r"\d+"), "N"),
)


def normalised(message: str) -> str:
    """The message without what varies between two occurrences of the same failure."""
    for pattern, stand_in in _VARYING:
        message = pattern.sub(stand_in, message)
    return " ".join(message.split())


def fingerprint(about: Application | Repository | Cluster) -> str:
    """Twelve hexadecimal digits that stay the same while the failure does.

    Health is left out: it flaps while the cause stands. So are revisions: a new commit alone is not
    a new failure.
    """
    if not isinstance(about, Application):
        return _digest({f"{e.by.value}: {e.verdict.value}" for e in about.evidence})
    app = about
    errors = app.errors
    # Auto-sync's own report of a failed operation comes and goes with it, and says nothing that the
    # operation does not.
    signs = {
        f"{c.type}: {normalised(c.message)}"
        for c in errors
        if not c.message.startswith("Failed last sync attempt")
    }
    if app.operation and app.operation.failed:
        signs |= {normalised(failure) for failure in app.operation.failed}
    elif app.operation and app.operation.phase in (Phase.Failed, Phase.Error):
        signs.add(normalised(app.operation.message))
    return _digest(signs)


def _digest(signs: set[str]) -> str:
    return hashlib.sha256("\n".join(sorted(signs)).encode()).hexdigest()[:12]
