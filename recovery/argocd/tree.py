"""Argo CD's resource tree, as much of it as anybody here reads."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from msgspec import Struct

from recovery.model.text import plain


class Info(Struct, frozen=True, gc=False):
    """One entry of a node's ``info``."""

    name: str = ""
    value: str = ""


class HealthWords(Struct, frozen=True, gc=False):
    """Health of a node: status and message."""

    status: str = ""
    message: str = ""


class Node(Struct, frozen=True, rename="camel"):
    """One entry of the resource tree, as Argo CD's API gives it."""

    kind: str = ""
    group: str = ""
    version: str = "v1"
    namespace: str = ""
    name: str = ""
    uid: str = ""
    health: HealthWords | None = None
    info: tuple[Info, ...] | None = None
    created_at: str | None = None
    """RFC 3339."""

    @property
    def status(self) -> str:
        """Health status in a word; empty where it has none."""
        return self.health.status if self.health else ""

    def told(self, what: str) -> str:
        """The value of one of its ``info`` entries; empty where there is none."""
        return next((i.value for i in self.info or () if i.name == what), "")


class _Tree(Struct):
    nodes: list[msgspec.Raw] | None = None


def nodes(raw: bytes) -> tuple[Node, ...]:
    """The nodes that can be read: one odd entry must not cost the others. An exported tree may be
    the bare list of nodes.

    Raises DecodeError or ValidationError when it is no tree at all.
    """
    bare = raw.lstrip().startswith(b"[")
    listed = (
        msgspec.json.decode(raw, type=list[msgspec.Raw])
        if bare
        else msgspec.json.decode(raw, type=_Tree).nodes
    )
    found = []
    for each in listed or ():
        with suppress(msgspec.DecodeError, ValueError):
            node = msgspec.json.decode(each, type=Node)
            # What Kubernetes would never take for a name comes from no cluster: it is neither asked
            # for nor shown.
            if all(
                plain(word, 253) == word
                for word in (
                    node.kind,
                    node.group,
                    node.version,
                    node.namespace,
                    node.name,
                    node.uid,
                )
            ):
                found.append(node)
    return tuple(found)
