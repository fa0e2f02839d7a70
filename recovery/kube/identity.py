"""Which cluster is this? Addresses and Secrets say nothing about it: one cluster may have
several."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct, field

from recovery.kube.errors import NotFound
from recovery.kube.reading import decoded
from recovery.model.text import plain

_PATH = "/api/v1/namespaces/kube-system"
"""Every API server makes it at its first start, and nobody can delete it: its UID is the usual name
of a cluster."""


class Reads(Protocol):
    """Reads of a cluster's API server."""

    async def get(self, path: str) -> bytes:
        """GET a path; raises KubeError."""


class _Meta(Struct):
    uid: str = ""


class _Namespace(Struct):
    metadata: _Meta = field(default_factory=_Meta)


async def namespace_uid(there: Reads) -> str:
    """The UID of namespace kube-system; empty where there is none to be seen. Raises KubeError."""
    try:
        return plain(decoded(await there.get(_PATH), _Namespace).metadata.uid, 100)
    except NotFound:
        return ""
