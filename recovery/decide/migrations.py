"""Resources of a sync that change data, so that going back does not undo it."""

from __future__ import annotations

import re

BEFORE = ("PreSync", "Sync")
"""Hooks that run before or during a sync. A later one is a smoke test or a notice, unless its name
says that it changes data."""
_MIGRATES = re.compile(r"migrat|flyway|liquibase|alembic|schema|(?:^|-)db-|seed", re.IGNORECASE)
"""Names of Jobs that change data."""


def migration(kind: str, name: str, hook_type: str, hook_phase: str, *, unchanged: bool) -> str:
    """One row of a sync's result: what ran that going back does not undo, as ``hook Job/migrate``;
    empty for nothing."""
    if hook_phase and (hook_type in BEFORE or (hook_type and _MIGRATES.search(name))):
        return f"hook {kind}/{name}"
    return f"Job/{name}" if not hook_type and not unchanged and looks_like_one(kind, name) else ""


def looks_like_one(kind: str, name: str) -> bool:
    """Is it a plain Job whose name says that it changes data?"""
    return kind == "Job" and _MIGRATES.search(name) is not None
