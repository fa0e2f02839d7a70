"""Asks, round by round, how repositories and clusters are: Argo CD's word, its live looks, and our
own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from msgspec import structs

from recovery.clock import Clock
from recovery.decide.error_classification import of_repository, verdict_of
from recovery.kube.errors import Forbidden, KubeError, Late, Unauthorized
from recovery.kube.identity import namespace_uid
from recovery.model.application import Application
from recovery.model.connection import (
    PROBE_FRESH,
    Cluster,
    ProbeResult,
    ProbeSource,
    Repository,
    Verdict,
)
from recovery.model.names import PREFIX
from recovery.model.redact import redact
from recovery.model.text import plain
from recovery.model.timestamps import utc
from recovery.observe.connections import Connections

log = structlog.get_logger(__name__)

PROBED_AT_ONCE = 64
"""Looks at the same moment: most of them only wait, and as many clusters may be away as there
are."""
FIRST_ROUND = 30.0
"""Seconds after which the first round counts as made, with or without an answer from everybody."""
EACH = 0.5
"""Seconds of a round for each repository, at least: Argo CD is asked for at most two ls-remotes a
second in all."""
LIVE_READS = 3
"""Applications of a cluster that are tried for one live read."""


class Word(Protocol):
    """Requests to Argo CD's API that the poller makes."""

    async def repositories(self) -> Sequence[Any]:
        """Repositories that Argo CD lists; raises KubeError."""

    async def clusters(self) -> Sequence[Any]:
        """Clusters that Argo CD lists; raises KubeError."""

    async def test_repository(self, url: str, project: str, kind: str) -> None:
        """Have Argo CD run one ls-remote now; raises KubeError."""

    async def live_read(self, app: Application) -> str:
        """Have Argo CD read one live resource now; raises KubeError."""

    async def alive(self) -> None:
        """Does Argo CD's API answer at all?"""


class ClusterClients(Protocol):
    """The clusters whose Secrets we may read."""

    async def known(self) -> Sequence[Any]:
        """Those Secrets, without what is secret in them."""

    async def to(self, server: str) -> Any:
        """The client of a cluster; None for one that may not be asked directly."""


Connect = Callable[[Any, datetime], Awaitable[ProbeResult]]
AskGit = Callable[[str, datetime], Awaitable[ProbeResult]]
AskWitness = Callable[[str], Awaitable[str]]


class Poller:
    """Every cluster and every repository is looked at in its own time: a slow one holds up no
    other."""

    def __init__(
        self,
        connections: Connections,
        applications: Callable[[], dict[tuple[str, str], Application]],
        word: Word | None,
        ways: ClusterClients,
        clock: Clock,
        *,
        interval: float,
        ask_git: bool,
        witness: str,
        looks: tuple[Connect, AskGit, AskWitness],
        alive_here: Callable[[], bool],
    ) -> None:
        """``interval`` in seconds; ``alive_here`` says whether our own cluster has been heard of
        lately."""
        self._connections = connections
        self._applications = applications
        self._word = word
        self._ways = ways
        self._clock = clock
        self._interval = interval
        self._ask_git = ask_git
        self._witness = witness
        self._connect, self._git, self._outside = looks
        self._alive_here = alive_here
        self._places = asyncio.Semaphore(PROBED_AT_ONCE)
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._witnessed: tuple[str, datetime] | None = None
        self._said: dict[str, str] = {}

    def witnessed(self, now: datetime) -> str:
        """The witness outside that answered within the last minute, in words; empty for nobody."""
        return (
            self._witnessed[0]
            if self._witnessed and now - self._witnessed[1] <= PROBE_FRESH
            else ""
        )

    async def run(self) -> None:
        """Until cancelled, or until something goes wrong that is no door's word; the caller starts
        it again."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._clusters(group))
                group.create_task(self._repositories(group))
        finally:
            self._looking.clear()

    async def _clusters(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._know_clusters()
            for cluster in list(self._connections.clusters.values()):
                self._begin(group, f"connect {cluster.server}", self._reach(cluster))
                self._begin(group, f"read {cluster.server}", self._live_read(cluster))
            self._begin(group, "witness", self._look_outside())
            if not self._connections.clusters_looked:
                # The first word of all of them, or of those that have one within the time that a
                # look takes.
                await self._first(
                    [task for name, task in self._looking.items() if not name.startswith("test ")]
                )
                self._connections.clusters_looked = True
            self._connections.listen_to_applications()
            self._connections.tick()
            await self._pause(self._interval)

    async def _repositories(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._know_repositories()
            everything = list(self._connections.repositories.values())
            pause = max(self._interval, EACH * len(everything)) / max(len(everything), 1)
            lasts = max(PROBE_FRESH, timedelta(seconds=3 * pause * len(everything)))
            for repository in everything:
                self._begin(group, f"test {repository.ident}", self._test(repository, lasts))
                await self._pause(pause)
            if not self._connections.repositories_looked:
                await self._first(
                    [task for name, task in self._looking.items() if name.startswith("test ")]
                )
                self._connections.repositories_looked = True
                self._connections.tick()
            if not everything:
                await self._pause(self._interval)

    def _begin(self, group: asyncio.TaskGroup, name: str, look: Coroutine[Any, Any, None]) -> None:
        """One look of a kind at a time: while the last one has no answer yet, no further one is
        begun."""
        if name in self._looking:
            look.close()
            return
        task = self._looking[name] = group.create_task(look)
        task.add_done_callback(lambda _: self._looking.pop(name, None))

    async def _first(self, tasks: list[asyncio.Task[None]]) -> None:
        timer = asyncio.ensure_future(self._clock.sleep(FIRST_ROUND))
        looks = asyncio.ensure_future(asyncio.wait(tasks)) if tasks else None
        if looks is not None:
            await asyncio.wait({timer, looks}, return_when=asyncio.FIRST_COMPLETED)
            looks.cancel()
        timer.cancel()

    async def _pause(self, seconds: float) -> None:
        await self._clock.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 (spreads load, guards nothing)

    # What there is

    async def _know_clusters(self) -> None:
        secrets = await self._ways.known()
        by_server = {known.server: known for known in secrets if known.server}
        missing = [known.trouble for known in secrets if known.trouble]
        found: dict[str, Cluster] = {}
        whole = False
        if self._word is None:
            missing.append(
                "no Argo CD token: neither its word nor its live reads of clusters and repositories"
            )
        else:
            try:
                for listed in await self._word.clusters():
                    marks = {
                        k: v for k, v in (listed.annotations or {}).items() if k.startswith(PREFIX)
                    }
                    server = plain(listed.server.rstrip("/"), 300)
                    found[server] = Cluster(
                        server=server,
                        name=plain(listed.name or server, 253),
                        labels=listed.labels,
                        marks=marks,
                    )
                    self._listed(
                        found[server], listed.info.connection_state if listed.info else None
                    )
                whole = True
            except KubeError as error:
                missing.append(_refused(error, "clusters"))
                found = {c.server: c for c in self._connections.clusters.values()}
        for server, known in by_server.items():
            held = found.get(server)
            if held is None:
                found[server] = Cluster(
                    server=server,
                    name=known.name,
                    labels=known.labels,
                    marks=known.marks,
                    secret=known.secret,
                    trouble=known.trouble,
                )
            else:
                found[server] = Cluster(
                    server=server,
                    name=held.name,
                    labels=known.labels,
                    marks=known.marks,
                    secret=known.secret,
                    trouble=known.trouble,
                )
        if not by_server:
            missing.append(
                "no cluster's Secret may be read (RECOVERY_CLUSTER_SECRETS): one witness less, and"
                " no failover"
            )
        if whole and not found and self._applications():
            # Argo CD leaves out what an account may not see, and says nothing of it.
            whole = False
            missing.append(
                "our Argo CD account sees no cluster at all: p, role:recovery, clusters, get, *,"
                " allow"
            )
        self._connections.know_clusters(found.values(), whole=whole)
        self._miss("clusters", tuple(missing))

    def _miss(self, what: str, missing: tuple[str, ...]) -> None:
        self._connections.missing[what] = missing
        if (said := "; ".join(missing)) != self._said.get(what, ""):
            self._said[what] = said
            log.warning(f"what is known of {what} is not complete", missing=list(missing))

    async def _know_repositories(self) -> None:
        found: list[Repository] = (
            list(self._connections.repositories.values()) if self._word else []
        )
        if self._word is not None:
            try:
                listed = await self._word.repositories()
                found = [
                    Repository(
                        url=redact(r.repo, 300),
                        project=r.project,
                        type=r.type or "git",
                        registered=True,
                        trouble=_inside(r.repo),
                    )
                    for r in listed
                ]
                self._connections.know_repositories(found, whole=True)
                for each, repository in zip(listed, found, strict=True):
                    self._listed(repository, each.connection_state)
                self._miss("repositories", ())
                return
            except KubeError as error:
                self._miss("repositories", (_refused(error, "repositories"),))
        self._connections.know_repositories(found, whole=False)

    def _listed(self, about: Repository | Cluster, state: Any) -> None:
        """Argo CD's cached word: shown with its own time, and never a vote on a cluster."""
        at = utc(state.attempted_at) if state else None
        if state is None or at is None or not state.status:
            return
        found = {"Successful": Verdict.reachable, "Failed": verdict_of(state.message)}.get(
            state.status, Verdict.no_evidence
        )
        if state.status == "Failed" and found in (Verdict.no_evidence, Verdict.reachable):
            found = Verdict.unreachable
        words = f"{state.status} at {at:%H:%M:%S}" + (
            f": {redact(state.message, 200)}" if state.message else ""
        )
        self._connections.found(about, ProbeResult(ProbeSource.word, found, at, words))

    # Looks

    async def _reach(self, cluster: Cluster) -> None:
        async with self._places:
            remote = await self._ways.to(cluster.server)
            seen = None
            if cluster.in_cluster:
                if self._alive_here():
                    seen = ProbeResult(
                        ProbeSource.connect, Verdict.reachable, self._clock.now(), "our own watches"
                    )
            elif remote:
                seen = await self._connect(remote, self._clock.now())
            if remote and seen and seen.verdict is Verdict.reachable:
                # What cannot be read stays what it was: an address that leads to another cluster by
                # now answers for that one.
                with suppress(KubeError):
                    self._connections.identified(cluster, await namespace_uid(remote))
            if seen:
                # It is of when the answer came: a slow one is not old as soon as it is there.
                self._connections.found(cluster, structs.replace(seen, at=self._clock.now()))

    async def _live_read(self, cluster: Cluster) -> None:
        async with self._places:
            await self._read_one(cluster)

    async def _read_one(self, cluster: Cluster) -> None:
        apps = self._applications()
        names = sorted(
            name
            for name in self._connections.on(cluster)
            if name in apps and not apps[name].deleting
        )
        if self._word is None or not names:
            return
        start = random.randrange(len(names))  # noqa: S311 (any of them will do)
        for name in (names[start:] + names[:start])[:LIVE_READS]:
            evidence = await self._read(apps[name])
            if evidence is not None:
                self._connections.found(cluster, evidence)
            if evidence is not None and evidence.verdict is not Verdict.no_evidence:
                return

    async def _read(self, app: Application) -> ProbeResult | None:
        """One look through Argo CD; None when this application has nothing that could be read."""
        assert self._word is not None  # noqa: S101 (asked for by _live_read only)
        try:
            read = await self._word.live_read(app)
            return (
                ProbeResult(
                    ProbeSource.live_read,
                    Verdict.reachable,
                    self._clock.now(),
                    f"{read} of {app.key}",
                )
                if read
                else None
            )
        except Late as error:
            return await self._late(error, app)
        except KubeError as error:
            words = error.told or redact(str(error), 200)
            # Only what Argo CD passed on speaks of the cluster; all else speaks of Argo CD or of
            # us.
            found = verdict_of(error.told) if error.told else Verdict.no_evidence
            return ProbeResult(
                ProbeSource.live_read, found, self._clock.now(), f"{app.key}: {words}"[:300]
            )

    async def _late(self, error: KubeError, app: Application) -> ProbeResult:
        """Argo CD did not come back with it: if it answers everything else, it is the cluster that
        does not."""
        assert self._word is not None  # noqa: S101 (as above)
        try:
            await self._word.alive()
        except KubeError:
            return ProbeResult(
                ProbeSource.live_read,
                Verdict.no_evidence,
                self._clock.now(),
                f"Argo CD itself does not answer: {error}"[:300],
            )
        return ProbeResult(
            ProbeSource.live_read,
            Verdict.unreachable,
            self._clock.now(),
            f"{app.key}: no answer within 25s, and Argo CD answers otherwise",
        )

    async def _test(self, repository: Repository, lasts: timedelta) -> None:
        async with self._places:
            if self._word is not None and not repository.trouble and repository.type != "oci":
                seen = await test(self._word, repository, self._clock)
                self._connections.found(repository, structs.replace(seen, lasts=lasts))
            if self._ask_git and repository.applications:
                seen = await self._git(repository.url, self._clock.now())
                self._connections.found(repository, structs.replace(seen, lasts=lasts))

    async def _look_outside(self) -> None:
        if self._witness and (who := await self._outside(self._witness)):
            self._witnessed = (who, self._clock.now())


async def test(word: Word, repository: Repository, clock: Clock) -> ProbeResult:
    """One ls-remote of one repository by Argo CD, with its own credentials."""
    try:
        await word.test_repository(repository.url, repository.project, repository.type)
    except KubeError as error:
        found = of_repository(error.told) if error.told else Verdict.no_evidence
        return ProbeResult(
            ProbeSource.list_refs, found, clock.now(), error.told or redact(str(error), 250)
        )
    return ProbeResult(ProbeSource.list_refs, Verdict.reachable, clock.now())


def _inside(url: str) -> str:
    """A URL with credentials in it is never sent or shown: what is wrong with it."""
    return (
        "its URL holds credentials: put them into the repository's Secret"
        if redact(url, 300) != url
        else ""
    )


def _refused(error: KubeError, what: str) -> str:
    if isinstance(error, Unauthorized):
        return f"Argo CD refuses our token (expired or revoked?): {what} are not listed"
    if isinstance(error, Forbidden):
        return f"our Argo CD account may not list {what} (p, role:recovery, {what}, get, *, allow)"
    return f"Argo CD's API: {redact(str(error), 200)}"
