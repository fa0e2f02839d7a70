"""Compares what a held application wants now with what it wanted at the revision that was called
bad.

A new revision of a repository is news of whoever shares it; a hold ends only when this
application's own manifests moved on.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
import structlog

from recovery.clock import Clock
from recovery.kube.errors import KubeError
from recovery.model.application import Application, Sync, alike
from recovery.model.situation import OwnChange
from recovery.observe.store import Name, Store

log = structlog.get_logger(__name__)

RENDER_INTERVAL = 5.0
"""Seconds between two rounds."""
RENDERED_A_ROUND = 3
"""Applications that are rendered in one round: it makes Argo CD read Git."""
RETRY_RENDER_AFTER = timedelta(minutes=1)
"""After a failed try."""


class Renderer(Protocol):
    """Requests to Argo CD's API for rendered manifests."""

    async def rendered(
        self, app: Application, revisions: tuple[str, ...]
    ) -> tuple[dict[str, Any], ...]:
        """Manifests of these revisions, rendered by Argo CD now."""


class ManifestComparer:
    """Looks at every held application whose revision has moved on; the store keeps what was
    found."""

    def __init__(self, store: Store, argocd: Renderer, clock: Clock) -> None:
        self._store = store
        self._argocd = argocd
        self._clock = clock
        self._failed: dict[str, datetime] = {}
        self._unclear: dict[str, tuple[str, ...]] = {}
        """By UID: revisions that were compared, and it cannot be told."""
        self._looked: dict[Name, int] = {}
        """The turn in which each was looked at last."""
        self._turn = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for app in self._due()[:RENDERED_A_ROUND]:
                self._turn += 1
                self._looked[app.namespace, app.name] = self._turn
                await self._compare(app)
            await self._clock.sleep(RENDER_INTERVAL)

    def _due(self) -> list[Application]:
        # Each has its turn: whose revision changes all the time must not keep the others from
        # theirs.
        order = sorted(self._store.held, key=lambda name: (self._looked.get(name, 0), name))
        self._looked = {name: self._looked[name] for name in order if name in self._looked}
        held = (self._store.applications.get(name) for name in order)
        due = [app for app in held if app is not None and self._undecided(app)]
        for uid in self._failed.keys() - {app.uid for app in due}:
            del self._failed[uid]
        self._unclear = {app.uid: self._unclear[app.uid] for app in due if app.uid in self._unclear}
        now = self._clock.now()
        due = [app for app in due if self._unclear.get(app.uid) != app.revisions]
        return [app for app in due if now >= self._failed.get(app.uid, now)]

    def _undecided(self, app: Application) -> bool:
        hold = app.hold
        moved = (
            hold is not None
            and hold.target is None
            and app.sync is Sync.OutOfSync
            and bool(app.revisions)
        )
        return (
            moved
            and hold is not None
            and not hold.names(app)
            and alike(app.source, hold.source)
            and self._store.own_change(app) is OwnChange.unknown
        )

    async def _compare(self, app: Application) -> None:
        bad = tuple(app.hold.bad[0].split(",")) if app.hold is not None and app.hold.bad else ()
        try:
            then, now = (
                await self._argocd.rendered(app, bad),
                await self._argocd.rendered(app, app.revisions),
            )
        except KubeError as error:
            if app.uid not in self._failed:
                log.warning(
                    "manifests could not be compared, will try again",
                    application=str(app.key),
                    why=error.told or str(error),
                )
            self._failed[app.uid] = self._clock.now() + RETRY_RENDER_AFTER
            return
        found = compared(then, bad, now, app.revisions)
        log.info(
            "manifests compared",
            application=str(app.key),
            bad=bad,
            now=app.revisions,
            own_change=found.value,
        )
        if found is OwnChange.unknown:
            self._unclear[app.uid] = app.revisions
        self._store.compared(app, found)


def compared(
    then: tuple[dict[str, Any], ...],
    bad: tuple[str, ...],
    now: tuple[dict[str, Any], ...],
    revisions: tuple[str, ...],
) -> OwnChange:
    """Did what is wanted change between two revisions? Where only that differs which charts make up
    anew with each rendering (genCA, randAlphaNum), nobody can tell."""
    if digest(then, bad) == digest(now, revisions):
        return OwnChange.unchanged
    firm = digest(_firm(then), bad) != digest(_firm(now), revisions)
    return OwnChange.changed if firm else OwnChange.unknown


def _firm(manifests: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """Without the content of Secrets, certificates of webhooks, and checksums of what is in
    them."""
    found = []
    for item in manifests:
        kept = {
            k: v
            for k, v in item.items()
            if not (item.get("kind") == "Secret" and k in ("data", "stringData"))
        }
        found.append(_without_random(kept))
    return tuple(found)


def _without_random(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            k: _without_random(v)
            for k, v in node.items()
            if k != "caBundle" and "checksum" not in str(k).lower()
        }
    return [_without_random(each) for each in node] if isinstance(node, list) else node


def digest(manifests: tuple[dict[str, Any], ...], revisions: tuple[str, ...]) -> list[str]:
    """Digest of manifests, whatever their order; a revision that stands in them
    (ARGOCD_APP_REVISION) is no difference."""
    found = []
    for item in manifests:
        text = msgspec.json.encode(item, order="deterministic").decode()
        for revision in revisions:
            for word in (revision, revision[:8], revision[:7]) if len(revision) == 40 else ():
                text = text.replace(word, "REVISION")
        found.append(text)
    return sorted(found)
