"""The recoveries: a mirror of the Recovery objects, and the only one that writes them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec
import structlog
from msgspec import structs

from recovery.clock import Clock
from recovery.decide.circuit_breaker import Circuit, bearing, circuits
from recovery.decide.holds import effective
from recovery.decide.outcomes import concluded
from recovery.kube.client import RECOVERIES, RECOVERY_STATUS, Client
from recovery.kube.errors import Conflict, KubeError, NotFound, Unavailable
from recovery.kube.lease import shard_of
from recovery.kube.reading import older
from recovery.model.application import Application
from recovery.model.decision import Decision, Kind, Outcome, Result
from recovery.model.names import SubjectKey
from recovery.model.recovery import NOT_CLAIMED, Recovery, RecoveryPhase, StepOutcome
from recovery.model.situation import Fleet, RecentDisruptions
from recovery.model.storm import STORM
from recovery.record.codec import at_version_of, counted, decode, encode, listed, more, spec_of
from recovery.record.kstatus import with_conditions

log = structlog.get_logger(__name__)

HOUR = timedelta(hours=1)
LISTED_WITHIN = 60.0
"""Seconds that a list of several pages may be older than what we wrote."""
RETENTION = timedelta(days=7)
KEPT_AT_MOST = 1000
RECOVERIES_PAGE = 200
REQUESTS_KEPT = 10
"""Requests of people that a record keeps, the newest."""


class ClaimLost(Exception):
    """The intent could not be saved as judged: judge again. Nothing outside was touched."""

    taken = False
    """Its name is taken by something that cannot be read: a person has to look."""


class Recoveries:
    """All Recovery objects of our namespace. Filled by a reflector; written with resourceVersion
    only."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        clock: Clock,
        changed: Callable[[SubjectKey], None],
        lost: Callable[[Recovery], None] = lambda _: None,
        destructive: frozenset[str] = frozenset(),
        shards: int = 1,
        saved: Callable[[SubjectKey], None] = lambda _: None,
    ) -> None:
        """``saved`` hears of each that we wrote, when it is written; ``lost`` of an open one that
        somebody deleted; ``destructive`` are the actions that change what runs; among so many
        ``shards`` the subjects are divided."""
        self._client = client
        self._namespace = namespace
        self._clock = clock
        self._changed = changed
        self._all: dict[str, Recovery] = {}
        self._circuits: dict[str, Circuit] | None = None
        self.generation = 0
        """Another one after every change."""
        self._by_uid: defaultdict[str, set[str]] = defaultdict(set)
        self._in_flight: set[str] = set()
        self._open: defaultdict[SubjectKey, set[str]] = defaultdict(set)
        self._owing: dict[SubjectKey, set[str]] = {}
        self._refreshed: dict[str, datetime] = {}
        self._lost = lost
        self._saved = saved
        self._saved_at: dict[str, float] = {}
        self._unclaimed: dict[str, Recovery] = {}
        """Made by somebody who died before he claimed anything in it."""
        self._writing = Counter[str]()
        self._brought: dict[str, Recovery] = {}
        """By name, what the watch brought of a record while it was written."""
        self._destructive = destructive
        self._destroyed: dict[str, tuple[datetime, ...]] = {}
        self._storms: set[str] = set()
        self._calm_since: datetime | None = None
        self._shards = shards

    # Filled by a reflector

    def put(self, item: Recovery) -> None:
        """As the API server has it; older than what we wrote ourselves is ignored."""
        if self._writing[item.name]:
            # Half of it, perhaps: its status follows its spec.
            before = self._brought.get(item.name)
            if before is None or not older(item.version, before.version):
                self._brought[item.name] = item
            return
        held = self._all.get(item.name)
        if held is not None and not held.version and item.reason == NOT_CLAIMED:
            self._index(_over(held, item))  # kept, and half written: what we know is the rest of it
            return
        if item.unclaimed and held is None:
            self._unclaimed[item.name] = item
            self._changed(_key(item))
            return
        self._unclaimed.pop(item.name, None)
        if held is not None and (item.version == held.version or older(item.version, held.version)):
            return
        self._index(item)
        self._changed(_key(item))

    def drop(self, namespace: str, name: str) -> None:  # noqa: ARG002 (a Sink)
        """Deleted by hand, or by our own retention."""
        self._brought.pop(name, None)
        self._unclaimed.pop(name, None)
        gone = self._forget(name)
        if gone is not None:
            self._lost(gone)
            self._changed(_key(gone))

    def _forget(self, name: str) -> Recovery | None:
        """Take it out of the mirror, without waking anybody: who asked for it looks again in his
        own time."""
        gone = self._all.pop(name, None)
        if gone is not None:
            self._by_uid[gone.subject.uid].discard(name)
            self._in_flight.discard(name)
            self._destroyed.pop(name, None)
            self._saved_at.pop(name, None)
            self._storms.discard(name)
            if bearing(gone):
                self._circuits = None
            self.generation += 1
            self._open[_key(gone)].discard(name)
            self._owes(gone, owing=False)
        return gone

    def _owes(self, recovery: Recovery, *, owing: bool) -> None:
        key = _key(recovery)
        if owing:
            self._owing.setdefault(key, set()).add(recovery.name)
        elif key in self._owing:
            self._owing[key].discard(recovery.name)
            if not self._owing[key]:
                del self._owing[key]

    def effective(self, app: Application) -> Application:
        """The application with the hold that is honoured: what a record says is owed, not what an
        annotation says."""
        if app.noted is None and app.hold is None and not self._owing:
            return app
        return effective(app, self.get, self.owing(app.key))

    def owing(self, key: SubjectKey) -> tuple[Recovery, ...]:
        """Those that still owe something to what is at this place, the newest first."""
        names = self._owing.get(key, ())
        return tuple(
            sorted((self._all[name] for name in names), key=lambda r: r.opened_at, reverse=True)
        )

    @property
    def debtors(self) -> tuple[SubjectKey, ...]:
        """The places that something is still owed to, by any record."""
        return tuple(self._owing)

    def keep(self, gone: Recovery) -> None:
        """Keep a recovery whose object was deleted, and it still owes something: it stays what it
        was, and its next write makes it anew."""
        self._index(structs.replace(gone, version="", requests=(), asked=()))

    async def reread(self) -> None:
        """All of them as they are now, whatever the watch has brought by now. KubeError when they
        cannot be read."""
        token = ""
        while True:
            query = {"limit": str(RECOVERIES_PAGE), **({"continue": token} if token else {})}
            try:
                raw = await self._client.list(RECOVERIES, self._namespace, **query)
                for item in listed(raw):
                    self.put(item)
                token = more(raw)
            except msgspec.DecodeError as error:
                raise Unavailable(f"a list that cannot be read: {error}") from error
            if not token:
                return

    @property
    def unwritten(self) -> list[str]:
        """Ended ones that are kept and still have to be written again: no next step does that."""
        return [name for name, held in self._all.items() if not held.version and held.phase.over]

    async def restore(self, name: str) -> None:
        """Write what was kept, unless that was done already. ClaimLost when somebody was faster;
        KubeError."""
        held = self._all.get(name)
        if held is not None and not held.version:
            await self._save(held, held)

    def keep_only(self, scope: str, names: set[tuple[str, str]]) -> None:
        """After a whole list: what is not named is gone."""
        present = {name for _, name in names}
        now = self._clock.monotonic()
        for name in [n for n in self._unclaimed if n not in present]:
            del self._unclaimed[name]
        for name in [n for n in self._all if n not in present]:
            # A list of several pages is older than what was written while it was read: the watch
            # tells of those.
            if (
                self._all[name].version
                and now - self._saved_at.get(name, float("-inf")) > LISTED_WITHIN
            ):
                self.drop(scope, name)

    # Read by the controller

    def all(self) -> list[Recovery]:
        """Every one we know, newest first."""
        return sorted(self._all.values(), key=lambda r: r.opened_at, reverse=True)

    def get(self, name: str) -> Recovery | None:
        """The recovery of this name, or None."""
        return self._all.get(name)

    def of(self, uid: str) -> tuple[Recovery | None, tuple[Recovery, ...]]:
        """The open one of a subject, and its ended ones, newest last."""
        mine = sorted((self._all[n] for n in self._by_uid.get(uid, ())), key=lambda r: r.opened_at)
        opened = [r for r in mine if not r.phase.over]
        return (opened[0] if opened else None), tuple(r for r in mine if r.phase.over)

    def open_at(self, key: SubjectKey) -> tuple[Recovery, ...]:
        """The open ones at a place, whatever the UID there."""
        return tuple(self._all[name] for name in sorted(self._open.get(key, ())))

    def follows(self, key: SubjectKey) -> bool:
        """Is a recovery of this subject open?"""
        return bool(self._open.get(key))

    def storms(self) -> tuple[Recovery, ...]:
        """The open recoveries of storms, by name."""
        return tuple(self._all[name] for name in sorted(self._storms))

    def destroyed(self, uid: str, project: str) -> RecentDisruptions:
        """Disruptions: what was restarted, rolled back and failed over within the last hour."""
        since = self._clock.now() - HOUR
        found = sorted(
            (at, name) for name, times in self._destroyed.items() for at in times if at > since
        )
        subjects = {name: self._all[name].subject for _, name in found}
        return RecentDisruptions(
            tuple(at for at, _ in found),
            tuple(at for at, name in found if project and subjects[name].project == project),
            tuple(at for at, name in found if subjects[name].uid == uid),
            project,
        )

    def fleet(
        self, cluster: str, project: str, repositories: tuple[str, ...], without: str, uid: str = ""
    ) -> Fleet:
        """The counts that the budget and the pace need, leaving out one recovery (the one that
        asks)."""
        busy = [self._all[name] for name in self._in_flight if name != without]
        mine = shard_of(uid, self._shards)
        refreshed = [self._refreshed[url] for url in repositories if url in self._refreshed]
        return Fleet(
            in_flight=len(busy),
            in_flight_cluster=sum(r.subject.cluster == cluster for r in busy),
            in_flight_project=sum(r.subject.project == project for r in busy),
            in_flight_theirs=sum(
                r.subject.project == project and r.subject.cluster == cluster for r in busy
            ),
            refreshed_at=max(refreshed, default=None),
            calm_since=self._calm_since,
            shards=self._shards,
            in_flight_shard=sum(shard_of(r.subject.uid, self._shards) == mine for r in busy),
        )

    # Written by the controller

    async def claim(self, decision: Decision) -> Recovery | None:
        """Save what the decision keeps, before anything outside is touched; ClaimLost when somebody
        was faster.

        The recovery counts as in flight from this call on, before the first answer: two subjects
        judged at the same moment cannot both take the last place of a budget.
        """
        wanted = decision.recovery
        if wanted is None:
            return None
        held = self._all.get(wanted.name)
        if held is not None and _same(held, wanted) and len(held.asked) <= REQUESTS_KEPT:
            return held
        if (held.version if held else "") != wanted.version:
            raise ClaimLost(f"{wanted.name} changed since it was judged")
        self._index(wanted)
        try:
            return await self._save(wanted, held)
        except ClaimLost:
            raise
        except KubeError as error:
            self._restore(wanted.name, held)
            raise ClaimLost(str(error)) from error

    async def record(
        self,
        decision: Decision,
        claimed: Recovery | None,
        outcome: Outcome,
        repositories: tuple[str, ...],
    ) -> Recovery | None:
        """Write what came of a step into its recovery; where that fails, the unsent claim stands
        and is judged again."""
        if claimed is None or decision.kind is not Kind.Remediate:
            return claimed
        now = self._clock.now()
        if decision.step is not None and decision.step.kind.paced and outcome.result is Result.Sent:
            self._refreshed.update(dict.fromkeys(repositories, now))
        after = concluded(claimed, outcome, now)
        if outcome.result is Result.Conflict:
            # Nothing was written outside; the next claim saves this along, on what is known by now.
            held = self._all.get(after.name)
            if held is not None and held.running == claimed.running:
                after = concluded(held, outcome, now)
            self._index(after)
            return after
        for _ in range(3):
            self._index(after)
            try:
                return await self._save(after, claimed)
            except ClaimLost:
                # A message was struck off meanwhile: the outcome belongs to the same claim all the
                # same.
                held = self._all.get(after.name)
                if held is None or held.running != claimed.running:
                    return None
                after = concluded(held, outcome, now)
            except KubeError as error:
                self._restore(after.name, claimed)
                log.warning(
                    "outcome not recorded, will be judged from the claim",
                    recovery=after.name,
                    why=str(error),
                )
                return None
        return None

    async def amend(self, name: str, change: Callable[[Recovery], Recovery]) -> None:
        """Write down what became of its messages, and what is to be said; ClaimLost when it has to
        be tried again."""
        held = self._all.get(name)
        if held is None or (left := change(held)) == held:
            return
        self._index(left)
        try:
            await self._save(left, held)
        except KubeError as error:
            self._restore(name, held)
            raise ClaimLost(str(error)) from error

    async def retire(self, owing: frozenset[str]) -> list[Recovery]:
        """Delete what ended long ago and owes nothing, neither a message nor (``owing``) a hold;
        those that are gone."""
        now, gone = self._clock.now(), list[Recovery]()
        await self._retire_unclaimed()
        ended = [
            r
            for r in self.all()
            if r.phase.over and not r.notes and r.debt is None and r.name not in owing
        ]
        for index, recovery in enumerate(ended):
            at = recovery.resolved_at or recovery.opened_at
            if index < KEPT_AT_MOST and now - at < RETENTION:
                continue
            try:
                await self._client.delete(RECOVERIES, self._namespace, recovery.name)
            except NotFound:
                self.drop(self._namespace, recovery.name)  # whoever led before has counted it
                continue
            except KubeError as error:
                log.warning("recovery not deleted", recovery=recovery.name, why=str(error))
                continue
            self.drop(self._namespace, recovery.name)
            gone.append(recovery)
        return gone

    async def _retire_unclaimed(self) -> None:
        """Delete what somebody made and never claimed, and nobody took over."""
        for name, made in list(self._unclaimed.items()):
            if self._clock.now() - made.opened_at <= HOUR:
                continue
            if self._unclaimed.get(name) is not made or name in self._all or self._writing[name]:
                continue  # somebody has claimed it meanwhile
            # As it was seen, and no other: whoever claims it now has it.
            with suppress(KubeError):
                await self._client.delete(
                    RECOVERIES, self._namespace, name, resource_version=made.version
                )
                self._unclaimed.pop(name, None)

    async def _save(self, wanted: Recovery, held: Recovery | None) -> Recovery:
        """Write it. ClaimLost after a conflict, and it is as the API server has it, or, where that
        cannot be read, as it was ``held``: what was meant and not written is never believed, for
        no event may come that would say otherwise."""
        wanted = _with_few_requests(wanted, held)
        self._writing[wanted.name] += 1
        try:
            try:
                saved = await self._written(wanted, held)
            except msgspec.DecodeError as error:
                raise Unavailable(f"an answer that cannot be read: {error}") from error
            finally:
                self._writing[wanted.name] -= 1
            self._saved_at[saved.name] = self._clock.monotonic()
            self._unclaimed.pop(saved.name, None)
            self._index(saved)
        except Conflict as error:
            lost = ClaimLost(str(error))
            taken = await self._reload(wanted.name)
            if taken is None:
                self._restore(wanted.name, held)
            lost.taken = bool(taken)
            raise lost from error
        except NotFound as error:
            if wanted.version:
                self.drop(self._namespace, wanted.name)
            elif held is not None:
                self._index(structs.replace(held, version=""))  # kept: it still has to be written
            else:
                self._forget(wanted.name)
            raise ClaimLost(
                f"{wanted.name} was deleted, or the CRD recoveries.recovery.gitops.dev is missing:"
                f" {error}"
            ) from error
        finally:
            self._catch_up(wanted.name)
        self._saved(_key(saved))
        return saved

    async def _written(self, wanted: Recovery, held: Recovery | None) -> Recovery:
        """Create it, or write its spec where what is asked or owed changed; then its status, which
        is the claim. What is owed stands in the spec before anything is taken: a backup keeps it.
        """
        known = (
            held is not None
            and held.version == wanted.version
            and not wanted.spec_outdated
            and spec_of(held) == spec_of(wanted)
        )
        if not wanted.version and (made := self._unclaimed.get(wanted.name)):
            wanted = structs.replace(wanted, version=made.version)
        if not wanted.version:
            raw = await self._client.create(
                RECOVERIES, self._namespace, encode(wanted, self._namespace)
            )
            wanted = at_version_of(raw, wanted)
        elif not known:
            raw = await self._client.update(
                RECOVERIES, self._namespace, wanted.name, encode(wanted, self._namespace)
            )
            wanted = at_version_of(raw, wanted)
        wanted = with_conditions(wanted, self._clock.now())
        raw = await self._client.update(
            RECOVERY_STATUS, self._namespace, wanted.name, encode(wanted, self._namespace)
        )
        return decode(raw)

    async def _reload(self, name: str) -> bool | None:
        """Take in the object as it is; by a list of one, which needs no right that watching does
        not need. Is it unreadable? None where the API server did not say."""
        try:
            raw = await self._client.list(
                RECOVERIES, self._namespace, fieldSelector=f"metadata.name={name}"
            )
            items = listed(raw)
        except (KubeError, msgspec.DecodeError):
            return None
        for item in items:
            held = self._all.get(name)
            if held is not None and not held.version and item.reason == NOT_CLAIMED:
                self._index(_over(held, item))
            elif item.unclaimed:
                self._forget(name)
                self._unclaimed[name] = item
            else:
                self._unclaimed.pop(name, None)
                self._index(item)
        if not items:
            self._unclaimed.pop(name, None)
            self._forget(name)
        return counted(raw) > len(items)

    def _restore(self, name: str, held: Recovery | None) -> None:
        """Take back what was meant: it is not written: it is as it was, unless the watch has
        brought something newer meanwhile."""
        if held is not None:
            now = self._all.get(name)
            if now is None or now.version == held.version or older(now.version, held.version):
                self._index(held)
        else:
            self._forget(name)
        self._catch_up(name)

    def _catch_up(self, name: str) -> None:
        """Take in what the watch brought while we wrote it."""
        if self._writing[name]:
            return  # another write of it is on its way, and takes it in at its end
        del self._writing[name]
        if (item := self._brought.pop(name, None)) is not None:
            self.put(item)

    def _index(self, recovery: Recovery) -> None:
        before = self._all.get(recovery.name)
        self.generation += 1
        if bearing(before) != bearing(recovery):
            self._circuits = None
        self._all[recovery.name] = recovery
        self._by_uid[recovery.subject.uid].add(recovery.name)
        (
            self._open[_key(recovery)].discard
            if recovery.phase.over
            else self._open[_key(recovery)].add
        )(recovery.name)
        if recovery.subject.kind == STORM.title():
            (self._storms.discard if recovery.phase.over else self._storms.add)(recovery.name)
            if recovery.resolved_at and (
                self._calm_since is None or recovery.resolved_at > self._calm_since
            ):
                self._calm_since = recovery.resolved_at
        self._count(recovery)
        self._owes(recovery, owing=recovery.debt is not None)
        working = recovery.phase is RecoveryPhase.Remediating
        (self._in_flight.add if working else self._in_flight.discard)(recovery.name)

    def circuits(self) -> dict[str, Circuit]:
        """Policies whose actions were regretted, or did not help, too often lately; worked out anew
        when a step has ended."""
        if self._circuits is None:
            self._circuits = circuits(self._all.values())
        now = self._clock.now()
        return {
            key: found
            for key, found in self._circuits.items()
            if found.until is None or now < found.until
        }

    def distrusted(self) -> dict[str, str]:
        """Open circuits in words, by policy and project."""
        return {key: found.words for key, found in self.circuits().items()}

    def _count(self, recovery: Recovery) -> None:
        since = self._clock.now() - HOUR
        times = tuple(
            at
            for s in recovery.steps
            if s.action in self._destructive and s.outcome is not StepOutcome.Skipped
            for at in s.effects
            or (s.started_at,)  # before its first effect, the claim takes its place
            if at > since
        )
        if times:
            self._destroyed[recovery.name] = times
        else:
            self._destroyed.pop(recovery.name, None)


def _key(recovery: Recovery) -> SubjectKey:
    return recovery.subject.key


def _over(held: Recovery, item: Recovery) -> Recovery:
    """The record as we know it, to be written over the object as it is: that one has no status."""
    return structs.replace(
        held,
        version=item.version,
        generation=item.generation,
        asked=item.asked,
        requests=item.requests,
        spec_outdated=True,
    )


def _with_few_requests(wanted: Recovery, held: Recovery | None) -> Recovery:
    """The same with ten requests at most in its spec: what is done with goes first, then what
    somebody has asked for again since; nobody's newest is pushed out by another's many."""
    asked = wanted.asked
    if len(asked) <= REQUESTS_KEPT:
        return wanted
    pending = held.requests if held is not None else ()
    left = [request for request in asked if request in pending]
    newest = {(request.by, request.type): request for request in left}
    others = [request for request in left if request not in newest.values()]
    room = max(REQUESTS_KEPT - len(newest), 0)
    kept = {*newest.values(), *(others[-room:] if room else ())}
    gone = {request for request in asked if request not in kept}
    return structs.replace(
        wanted,
        asked=tuple(request for request in asked if request in kept),
        requests=tuple(request for request in wanted.requests if request not in gone),
    )


def _same(held: Recovery, wanted: Recovery) -> bool:
    """Nothing worth a write: within one phase and reason, the message's numbers may run on."""
    return held == wanted or (
        (held.phase, held.reason) == (wanted.phase, wanted.reason)
        and structs.replace(held, message=wanted.message) == wanted
    )
