"""A message as it leaves: what a note says, and what its recovery adds."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, structs

from recovery.model.names import Key

KEPT = ("What to do", "Stop it", "Record", "Undo", "Deploy it", "See", "Then", "To let", "Auto-sync is OFF", "Bring it home")
"""How lines begin that are never shortened: what a person has to do."""
LEFT_OUT = "... (shortened: too large for this channel)"
FACT = 200
"""Characters of a fact in a shortened message."""


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


def shortened(message: Message, size: int) -> Message:
    """The same with a body of about ``size`` characters: evidence is left out from the end; what it is about, what to do, how to stop it
    and the record are not."""
    lines = message.body.split("\n")
    needed = {0, *(i for i, line in enumerate(lines) if line.startswith(KEPT))}
    room = size - sum(min(len(lines[i]), size) + 1 for i in needed)
    kept, cut = [], False
    for i, line in enumerate(lines):
        if i in needed:
            kept.append(line if i else line[:size])
        elif room > len(line):
            kept.append(line)
            room -= len(line) + 1
        elif not cut:
            kept.append(LEFT_OUT)
            cut = True
    facts = tuple((name, value[:FACT]) for name, value in message.facts)
    return structs.replace(message, body="\n".join(kept), facts=facts)
