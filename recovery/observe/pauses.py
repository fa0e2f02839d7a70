"""Pauses: what people have paused or silenced by command: a ConfigMap of ours, watched. One entry a
key, as JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
import structlog
from msgspec import Struct

from recovery.model.selector import Selector
from recovery.model.text import plain
from recovery.model.timestamps import aware
from recovery.model.window import Pause
from recovery.observe.policy_source import ConfigMap

log = structlog.get_logger(__name__)
NAME = "recovery-pauses"


class Entry(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A pause as it is kept."""

    selector: Selector = Selector()
    reason: str = ""
    by: str = ""
    until: str = ""
    silences: bool = False


_entry = msgspec.json.Decoder(Entry)


class Pauses:
    """Those that are filed, in the order of their names."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self.all: tuple[Pause, ...] = ()
        self.version = ""
        """resourceVersion of what was seen last."""

    def put(self, item: ConfigMap) -> None:
        """The ConfigMap as it is now."""
        self.version = item.metadata.resource_version
        self._use(tuple(read(name, text) for name, text in sorted((item.data or {}).items())))

    def drop(self, namespace: str, name: str) -> None:  # noqa: ARG002 (a Sink)
        """Drop a deleted entry: nothing is paused by it."""
        self._use(())

    def keep_only(self, scope: str, names: set[tuple[str, str]]) -> None:  # noqa: ARG002 (a Sink)
        """After a whole list: is it there at all?"""
        if not names:
            self._use(())

    def expired(self, now: datetime) -> tuple[Pause, ...]:
        """The entries whose end has passed."""
        return tuple(pause for pause in self.all if not pause.runs(now))

    def _use(self, pauses: tuple[Pause, ...]) -> None:
        if pauses != self.all:
            self.all = pauses
            log.info("pauses", pauses=[f"{p.name}: {p.reason}" for p in pauses])
            self._changed()


def read(name: str, text: str) -> Pause:
    """One entry. What cannot be read pauses everything: somebody meant to hold something back, and
    nobody knows what."""
    try:
        entry = _entry.decode(text)
        until = aware(entry.until) if entry.until else None
        if entry.until and until is None:
            raise ValueError(f"until is {entry.until!r}, which is no time")
    except (msgspec.DecodeError, ValueError) as error:
        return Pause(
            reason=f"entry {name} of ConfigMap {NAME} cannot be read ({plain(str(error), 150)})",
            name=name,
        )
    return Pause(
        entry.selector,
        plain(entry.reason, 500),
        plain(entry.by, 253),
        until,
        plain(name, 253),
        entry.silences,
    )


def write(pause: Pause) -> str:
    """The text of an entry, as the ConfigMap keeps it."""
    until = pause.until.isoformat(timespec="seconds") if pause.until else ""
    return msgspec.json.encode(
        Entry(pause.selector, pause.reason, pause.by, until, pause.silences)
    ).decode()
