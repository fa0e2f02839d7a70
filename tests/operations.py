"""Operations of ours, as they are written to Applications."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from recovery.act.operation import token_of
from recovery.kube.client import APPLICATIONS, Resource
from recovery.model.recovery import Recovery
from recovery.simulate.cluster import Cluster


class Newly:
    """Calls with the step's token whenever an operation of ours was not there a moment ago."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        self._heard = heard
        self._last: dict[str, str] = {}

    def seen(self, item: dict[str, Any]) -> None:
        """An Application as it is now."""
        name, token = item["metadata"]["name"], token_of(item.get("operation"))
        if token and self._last.get(name) != token:
            self._heard(token)
        self._last[name] = token


def claimed(token: str, recoveries: Iterable[Recovery]) -> bool:
    """Is it the running step of a recovery that was saved?"""
    held = next((r for r in recoveries if token.startswith(r.name + "/")), None)
    return held is not None and held.running is not None and held.token(held.running) == token


def counted(cluster: Cluster) -> Counter[str]:
    """How often each was written, from now on."""
    found: Counter[str] = Counter()
    newly = Newly(lambda token: found.update((token,)))

    def heard(what: Resource, kind: str, item: dict[str, Any]) -> None:
        if what == APPLICATIONS and kind == "MODIFIED":
            newly.seen(item)

    cluster.listen(heard)
    return found
