"""A message as it leaves: what a note says, and what its recovery adds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct, structs

from recovery.model.names import SubjectKey

KEPT_LINES = (
    "What to do",
    "Stop it",
    "Record",
    "Undo",
    "Deploy it",
    "See",
    "Then",
    "To start",
    "Auto-sync is OFF",
    "It is on hold",
    "Move it back",
    "Compare",
)
"""How lines begin that are never shortened: what a person has to do."""
LEFT_OUT = "... (shortened: too large for this channel)"
FACT = 200
"""Characters of a fact in a shortened message."""
LONGEST_KEPT_LINE, LEAST = 600, 200
"""Characters of a line that a person needs, at most, and of what it is about, at least."""


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
    subject: SubjectKey | None = None
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
    """The same with a body of about ``size`` characters: evidence is left out from the end; what it
    is about, what to do, how to stop it and the record are not."""
    first, *lines = message.body.split("\n")
    needed = {
        i: line[:LONGEST_KEPT_LINE] for i, line in enumerate(lines) if line.startswith(KEPT_LINES)
    }
    room = size - sum(len(line) + 1 for line in needed.values()) - len(LEFT_OUT) - 1
    if len(first) > max(room, LEAST):
        first = first[: max(room, LEAST) - 3] + "..."
    room -= len(first) + 1
    kept, cut = [first], False
    for i, line in enumerate(lines):
        if i in needed:
            kept.append(needed[i])
        elif room > len(line):
            kept.append(line)
            room -= len(line) + 1
        elif not cut:
            kept.append(LEFT_OUT)
            cut = True
    facts = tuple((name, value[:FACT]) for name, value in message.facts)
    return structs.replace(message, body="\n".join(kept), facts=facts)


def fitted(message: Message, longest: int, measure: Callable[[str], int] = len) -> Message:
    """The message itself where its body is no larger than ``longest`` by this measure; else
    shortened until it is."""
    size = longest
    while measure(message.body) > longest and size > LEAST:
        message = shortened(message, size)
        size = size * 2 // 3
    return message
