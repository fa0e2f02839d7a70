"""Finds applications that Argo CD does not look at any more: they cannot make themselves heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import durationpy
import msgspec
import structlog
from msgspec import Struct

from recovery.clock import Clock
from recovery.decide.unreconciled import frozen, looked_at, stands_still
from recovery.kube.client import CONFIG_MAPS, Client
from recovery.kube.errors import KubeError
from recovery.kube.reading import decoded
from recovery.model.application import Application
from recovery.model.names import REFRESH, SubjectKey
from recovery.model.unreconciled import STANDING, Reconciling
from recovery.observe.store import Name, Store

log = structlog.get_logger(__name__)

MONITOR_INTERVAL = 15.0
"""Seconds between two looks over the fleet; each costs about a microsecond an application."""
SETTINGS_EVERY = timedelta(minutes=5)
SETTINGS_CONFIG_MAP = "argocd-cm"


class _Data(
    Struct, rename={"interval": "timeout.reconciliation", "jitter": "timeout.reconciliation.jitter"}
):
    interval: str | None = None
    jitter: str | None = None


class _Settings(Struct):
    data: _Data = msgspec.field(default_factory=_Data)


class ReconcileMonitor:
    """Keeps ``store.frozen``; ``changed`` hears of every application for which that changed, and of
    them all as one."""

    def __init__(
        self,
        store: Store,
        client: Client,
        namespace: str,
        clock: Clock,
        fresh: Callable[[], bool],
        changed: Callable[[SubjectKey], None],
        known: Callable[[Application], bool] = lambda app: app.destination.in_cluster,
    ) -> None:
        """``known``: has Argo CD a cluster where an application says it runs?"""
        self._known = known
        self._store = store
        self._client = client
        self._namespace = namespace
        self._clock = clock
        self._fresh = fresh
        self._changed = changed
        self._asked: dict[str, datetime] = {}
        self._read_at: datetime | None = None
        self._unread = ""
        """Why its settings could not be read, as it was last logged: a log says it once."""
        self.reconciling = Reconciling()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.once()
            await self._clock.sleep(MONITOR_INTERVAL)

    async def once(self) -> None:
        """One look, if what we see ourselves is fresh; also before anything is judged after a
        start."""
        if self._read_at is None or self._clock.now() - self._read_at >= SETTINGS_EVERY:
            await self._read()
        if self._fresh():
            self.look()

    def look(self) -> None:
        """Look once over the whole fleet."""
        now, found = self._clock.now() - self._store.skew.behind, dict[Name, str]()
        asked: dict[str, datetime] = {}
        seen: dict[str, Counter[str]] = {}
        for name, app in self._store.applications.items():
            if self._store.unreconciled(app):
                continue
            if REFRESH in (app.marks or {}):
                asked[app.uid] = self._asked.get(app.uid, now)
            if words := frozen(app, self.reconciling, asked.get(app.uid), now):
                found[name] = words
            elif looked_at(app, self.reconciling, now):
                seen.setdefault(app.destination.cluster, Counter())[
                    self._store.counted(app).project
                ] += 1
        self._asked = asked
        before, self._store.frozen = self._store.frozen, found
        standing = self._standing(found, seen)
        changed = (before.keys() ^ found.keys()) | (self._store.standing ^ standing)
        self._store.standing = standing
        for name in changed:
            self._changed(SubjectKey("application", *name))
        if changed:
            self._changed(STANDING)

    def _standing(self, found: dict[Name, str], seen: dict[str, Counter[str]]) -> set[Name]:
        """Those that a shard which stands still explains.

        One shard looks at all applications of a cluster. When one was compared is its owner's text
        as well: so single projects neither make a shard stand still nor keep it from being seen to,
        and a cluster that Argo CD does not know has none.
        """
        ill: dict[str, Counter[str]] = {}
        apps = self._store.applications
        fleet = len(apps)
        for name in found:
            ill.setdefault(apps[name].destination.cluster, Counter())[
                self._store.counted(apps[name]).project
            ] += 1
        standing = {
            place for place, projects in ill.items() if stands_still(projects, seen.get(place, {}))
        }

        def there(app: Application) -> bool:
            """Where nobody has listed the clusters, what several projects or most of the fleet call
            one is one."""
            projects = ill[app.destination.cluster]
            return self._known(app) or len(projects) > 1 or sum(projects.values()) * 2 >= fleet

        return {
            name
            for name in found
            if apps[name].destination.cluster in standing and there(apps[name])
        }

    async def _read(self) -> None:
        """How often Argo CD means to look. Zero: only when it is told to."""
        try:
            raw = await self._client.get(CONFIG_MAPS, self._namespace, SETTINGS_CONFIG_MAP)
            data = decoded(raw, _Settings).data
            interval, jitter = _duration(data.interval, 120), _duration(data.jitter, 60)
            said = data.interval is not None
            self.reconciling = Reconciling(
                interval + jitter if interval else timedelta(),
                SETTINGS_CONFIG_MAP if said else Reconciling().source,
            )
            self._read_at, self._unread = self._clock.now(), ""
        except (KubeError, msgspec.DecodeError, ValueError) as error:
            self._read_at = self._clock.now()
            if (why := str(error)[:200]) != self._unread:
                self._unread = why
                log.info("cannot read Argo CD's settings; assuming its default interval", why=why)


def _duration(text: str | None, default: float) -> timedelta:
    if text is None or not text.strip():
        return timedelta(seconds=default)
    return (
        timedelta(seconds=float(text))
        if text.strip().isdigit()
        else durationpy.from_str(text.strip())
    )
