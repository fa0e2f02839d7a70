"""The read model: everything that is known of the fleet, in one value that its readers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from recovery.clock import Clock
from recovery.model.situation import Freshness
from recovery.model.window import Pause
from recovery.observe.connections import Connections
from recovery.observe.policy_source import PolicySource
from recovery.observe.store import ObjectCache, Store
from recovery.record.recovery_store import Recoveries


class ReadModel(NamedTuple):
    """Applications, their surroundings, the policies in force and our own records. Readers change
    nothing in it."""

    store: Store
    """Applications and what was seen of them."""
    projects: ObjectCache
    """AppProjects."""
    application_sets: ObjectCache
    connections: Connections
    """Repositories and clusters."""
    recoveries: Recoveries
    source: PolicySource
    """Policies in force, and why a newer file is not."""
    pauses: Callable[[], tuple[Pause, ...]]
    """Pauses and silences that people wrote."""
    freshness: Callable[[], Freshness]
    """May the cache be acted upon?"""
    clock: Clock
