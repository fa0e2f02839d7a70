"""A circuit that opens or closes is notified once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from recovery.clock import Clock
from recovery.decide.circuit_breaker import Circuit
from recovery.decide.notifications import circuit_closed, circuit_opened
from recovery.model.recovery import PendingNotification

NEWS = timedelta(minutes=10)
"""A younger circuit is notified; an older one was, by whoever was here then."""


class CircuitMonitor:
    """Compares the open circuits with those of before."""

    def __init__(
        self,
        circuits: Callable[[], Mapping[str, Circuit]],
        say: Callable[[PendingNotification], None],
        clock: Clock,
    ) -> None:
        self._circuits = circuits
        self._say = say
        self._clock = clock
        self._open: dict[str, Circuit] = {}
        self._notified: set[tuple[str, datetime]] = set()
        """By key, and since when they are open."""

    def check(self) -> None:
        """Notify of what opened or closed since the last call."""
        now, known = self._clock.now(), self._circuits()
        for name in [name for name in self._open if name not in known]:
            self._say(circuit_closed(name, self._open.pop(name), now))
        self._open.update(known)
        for name, circuit in known.items():
            if (name, circuit.since) not in self._notified and now - circuit.since < NEWS:
                self._say(circuit_opened(name, circuit))
            self._notified.add((name, circuit.since))
