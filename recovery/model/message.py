"""A message as it leaves: what a note says, and what its recovery adds."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from recovery.model.names import Key


class Message(Struct, frozen=True, omit_defaults=True):
    """For one channel. Everything in it is text for people; nothing in it is a credential."""

    key: str
    """The same key is the same message."""
    incident: str
    """What all messages of one recovery share."""
    title: str
    body: str
    severity: str = "high"
    """critical, high, warning or info."""
    resolves: bool = False
    facts: tuple[tuple[str, str], ...] = ()
    """Name and value, in the order in which they are shown."""
    links: tuple[tuple[str, str], ...] = ()
    """Name and address."""
    at: datetime | None = None
    subject: Key | None = None
    thread: str = ""
    """What the channel answered to the incident's first message; empty for the first one."""
    members: tuple[str, ...] = ()
    """Keys of the messages that this one stands for, where it is several in one."""

    @property
    def text(self) -> str:
        """Body, facts and links as plain text."""
        known = "\n".join(f"{name}: {value}" for name, value in self.facts)
        where = "\n".join(f"{name}: {address}" for name, address in self.links)
        return "\n\n".join(part for part in (self.body, known, where) if part)
