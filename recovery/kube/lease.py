"""Leader election: shard Leases, spread over the replicas, each held by one of them at a time.

A replica shows that it lives by a Lease of its own. Each shard belongs to the living replica that
ranks highest for it (rendezvous hashing), which takes its Lease when that is free, and gives it
back when another one ranks higher. One more Lease says how many shards there are; a replica that
was told another number does nothing. Times are measured by what is seen to change on our own clock
that counts suspended time: other machines' clocks are never compared.

A Lease does not fence writes to others' objects. Whoever acts asks ``holds`` before each effect: it
says no from the renew deadline on, seconds before anybody else may take over.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from recovery.clock import Clock
from recovery.kube.client import LEASES, Client
from recovery.kube.errors import Busy, Conflict, KubeError, NotFound, Unavailable

log = structlog.get_logger(__name__)

DURATION = 12.0
"""Seconds after which a Lease that nobody was seen to renew is free, by default; the holder does
nothing any more after two thirds of it without a renewal, and there are six rounds in it."""
RENEW_DEADLINE = DURATION * 2 / 3
"""Seconds after its last renewal was sent from which on its holder does nothing, by default."""
FORGOTTEN = 600.0
"""Seconds after which the Lease of a replica that died is deleted."""
ROUND_TIMEOUT = 4.0
"""Seconds that one round may take."""
LEASE_LABEL = "recovery.gitops.dev/lease"
SHARDS = "recovery.gitops.dev/shards"
PROCESS = "recovery.gitops.dev/process"
"""Annotation: which process it is that calls itself so."""


def ranked(what: str, names: Iterable[str]) -> str:
    """The one of these names that ranks highest for it; the same for everybody who asks. Empty for
    no names."""
    return max(
        names,
        key=lambda name: hashlib.blake2b(f"{what}\n{name}".encode(), digest_size=8).digest(),
        default="",
    )


def shard_of(uid: str, shards: int) -> int:
    """In which shard a subject is: rendezvous of its UID, so that few move when the number
    changes."""
    return int(ranked(uid, map(str, range(shards)))) if shards > 1 else 0


class _Meta(Struct, rename="camel"):
    name: str = ""
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _Spec(Struct, rename="camel"):
    holder_identity: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None
    lease_duration_seconds: int | None = None
    """Of whoever holds it; while replicas differ, the longer one counts."""


class _Lease(Struct):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)

    @property
    def holder(self) -> str:
        return self.spec.holder_identity or ""


class _List(Struct):
    items: list[_Lease] = []


class Shards:
    """This replica's part. ``run`` until cancelled; ``holds`` at any time."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        count: int,
        identity: str,
        clock: Clock,
        duration: float = DURATION,
    ) -> None:
        """``duration`` of a Lease, in seconds; the same for all replicas."""
        self._duration = duration
        self._deadline = duration * 2 / 3
        self._client = client
        self._namespace = namespace
        self._name = name
        self.count = count
        self.identity = identity
        self._clock = clock
        self._renewed: dict[int, float] = {}
        """When the newest renewal that was taken had been sent, of each shard that is ours."""
        self._seen: dict[str, tuple[str, float]] = {}
        """Each Lease's last version, and when it was first seen."""
        self.changed: Callable[[], None] = lambda: None
        """Called when a shard was taken or lost."""
        self.trouble = "no round was made yet"
        """Why nothing is held that might be; empty when all is well."""
        self.members: tuple[str, ...] = ()
        """Replicas seen alive."""
        self.alone = True
        """No other replica was ever seen alive."""
        self._leaving = False
        self._joined = False
        self._shown = False
        self._lapsed = False
        self._good = clock.monotonic()
        """When we were last seen to live."""
        self._process = secrets.token_hex(4)

    def holds(self, uid: str) -> bool:
        """May we act on this subject, now?"""
        return self.holds_shard(shard_of(uid, self.count))

    def holds_shard(self, shard: int) -> bool:
        """Is this shard ours, by a renewal that is young enough?"""
        renewed = self._renewed.get(shard)
        return renewed is not None and self._clock.monotonic() - renewed < self._deadline

    @property
    def lead(self) -> bool:
        """Is what only one replica does ours to do?"""
        return self.holds_shard(0)

    def held(self) -> tuple[int, ...]:
        """The shards whose Lease this replica holds."""
        return tuple(shard for shard in range(self.count) if self.holds_shard(shard))

    async def run(self) -> None:
        """Round after round, until cancelled; a round that fails is a renewal that failed."""
        before: tuple[int, ...] = ()
        told = ""
        while True:
            try:
                async with asyncio.timeout(ROUND_TIMEOUT):
                    self.trouble = await self._round()
            except (KubeError, TimeoutError, msgspec.DecodeError) as error:
                self.trouble = f"leases: {error or 'no answer in time'}"
            now = self.held()
            if self.trouble and self.trouble != told and not now:
                # A replica that never gets a Lease (no right, refused by a policy) does nothing for
                # ever: it says why.
                log.warning(
                    "holds no shard, and acts on nothing",
                    identity=self.identity,
                    of=self.count,
                    why=self.trouble,
                )
            told = self.trouble
            if now != before or self._lapsed:
                self._lapsed = False
                log.info(
                    "shards",
                    identity=self.identity,
                    holds=list(now),
                    of=self.count,
                    replicas=list(self.members),
                    why=self.trouble,
                )
                before = now
                self.changed()
            await self._clock.sleep(self._duration / 6)

    async def leave(self) -> None:
        """Give everything back, so that a successor need not wait."""
        self._leaving = True
        held, self._renewed = tuple(self._renewed), {}
        try:
            leases = await self._leases()
            for shard in held:
                lease = leases.get(self._shard(shard))
                if lease is not None and lease.holder == self.identity:
                    await self._write(lease, self._shard(shard), "")
            await self._client.delete(LEASES, self._namespace, self._member(self.identity))
        except KubeError as error:
            log.warning(
                "leases not given back: a successor waits for them to expire", why=str(error)
            )

    async def _round(self) -> str:
        leases = await self._leases()
        now = self._clock.monotonic()
        self._notice(leases, now)
        if now - self._good > self._deadline:
            self._joined = (
                False  # for so long others may have taken us for dead, and have changed the number
            )
        if twin := self._twin(leases):
            self._renewed.clear()
            await self._show(leases)
            return twin
        await self._show(leases)
        living = [lease for lease in self._alive(leases, now) if lease.holder != self.identity]
        self.alone = self.alone and not living
        if idle := await self._idle(leases, living, now):
            self._joined = False
            self._renewed.clear()
            return idle
        self.members = tuple(
            sorted([self.identity, *(m.holder for m in living if self._number(m) == self.count)])
        )
        turns = [
            self._turn(
                shard, leases.get(self._shard(shard)), ranked(f"shard {shard}", self.members), now
            )
            for shard in range(self.count)
        ]
        ends = await asyncio.gather(*turns, return_exceptions=True)
        if wrong := next((end for end in ends if isinstance(end, BaseException)), None):
            raise wrong
        if self.lead:
            await self._tidy(leases, now)
        return ""

    async def _tidy(self, leases: dict[str, _Lease], now: float) -> None:
        """Leases that replicas left behind that died is taken away."""
        for name in leases:
            if name.startswith(f"{self._name}-member-") and now - self._seen[name][1] > FORGOTTEN:
                with suppress(KubeError):
                    await self._client.delete(LEASES, self._namespace, name)

    async def _leases(self) -> dict[str, _Lease]:
        raw = await self._again(
            lambda: self._client.list(
                LEASES, self._namespace, labelSelector=f"{LEASE_LABEL}={self._name}"
            )
        )
        return {lease.metadata.name: lease for lease in msgspec.json.decode(raw, type=_List).items}

    def _notice(self, leases: dict[str, _Lease], now: float) -> None:
        self._seen = {
            name: (
                (lease.metadata.resource_version, self._seen[name][1])
                if name in self._seen and self._seen[name][0] == lease.metadata.resource_version
                else (lease.metadata.resource_version, now)
            )
            for name, lease in leases.items()
        }

    def _expired(self, lease: _Lease, now: float) -> bool:
        return now - self._seen[lease.metadata.name][1] >= max(
            self._duration, float(lease.spec.lease_duration_seconds or 0)
        )

    def _alive(self, leases: dict[str, _Lease], now: float) -> list[_Lease]:
        members = [
            lease for name, lease in leases.items() if name.startswith(f"{self._name}-member-")
        ]
        return [lease for lease in members if lease.holder and not self._expired(lease, now)]

    async def _show(self, leases: dict[str, _Lease]) -> None:
        """Show that this replica lives, and how many shards we were told of."""
        name = self._member(self.identity)
        with suppress(Conflict):  # only we write it: our own last write, whose answer was lost
            await self._write(
                leases.get(name),
                name,
                self.identity,
                {SHARDS: str(self.count), PROCESS: self._process},
            )
            self._good = self._clock.monotonic()
        self._shown = True

    def _twin(self, leases: dict[str, _Lease]) -> str:
        """Another process that lives under our name; of one that died before we came, only its
        Lease is left."""
        lease = leases.get(self._member(self.identity))
        process = (
            (lease.metadata.annotations or {}).get(PROCESS, self._process)
            if lease
            else self._process
        )
        if process == self._process or not self._shown:
            return ""
        return (
            f"another process calls itself {self.identity}: every replica needs a RECOVERY_IDENTITY"
            " of its own; idle"
        )

    async def _idle(self, leases: dict[str, _Lease], living: list[_Lease], now: float) -> str:
        """Why we may not act for the number of shards; empty when the object that fixes it says
        ours, and knows of us.

        Whoever begins to act writes that object once, as does whoever changes the number, each only
        if it is as it was listed: so none can begin by the old number unseen while another one
        changes it.
        """
        fixed = leases.get(self._name)
        number = self._number(fixed) if fixed is not None else self.count
        if number != self.count:
            other = next((m.holder for m in living if self._number(m) == number), "")
            if other:
                return (
                    f"RECOVERY_SHARDS is {self.count} here and {number} for {other}: idle until"
                    " they agree"
                )
            shards = [
                n
                for n, lease in leases.items()
                if n.startswith(f"{self._name}-shard-") and lease.holder
            ]
            if any(not self._expired(leases[n], now) for n in shards):
                return (
                    f"RECOVERY_SHARDS was {number} and is {self.count} now: idle until what others"
                    " held has expired"
                )
            log.info("number of shards changes", was=number, now=self.count)
        elif self._joined:
            return ""
        for _ in range(2):
            try:
                await self._write(fixed, self._name, "", {SHARDS: str(self.count)})
            except Conflict:
                fixed = (await self._leases()).get(self._name)
                if fixed is None or number != self.count or self._number(fixed) != self.count:
                    break
                continue  # another one has joined in this moment
            self._joined = True
            return ""
        return "another replica joins in this moment: the next round tells"

    async def _turn(self, shard: int, lease: _Lease | None, owner: str, now: float) -> None:
        """Renew, take, give back, or leave alone."""
        mine = lease is not None and lease.holder == self.identity
        if mine and owner != self.identity:
            # Whoever ranks higher is alive. What is under way is fenced by its claim.
            self._renewed.pop(shard, None)
            await self._write(lease, self._shard(shard), "")
            return
        free = lease is None or not lease.holder or mine or self._expired(lease, now)
        if owner != self.identity or not free or self._leaving:
            self._renewed.pop(shard, None)
            return
        sent = self._clock.monotonic()
        name = self._shard(shard)
        try:
            await self._write(lease, name, self.identity)
        except Conflict:
            lease = (await self._leases()).get(name)
            if lease is None or lease.holder != self.identity:
                self._renewed.pop(shard, None)  # somebody was faster
                return
            sent = self._clock.monotonic()
            await self._write(
                lease, name, self.identity
            )  # it was our own write whose answer was lost
        if not self._leaving:
            # In between it was nobody's: what was judged then has to be looked at again.
            self._lapsed = self._lapsed or sent - self._renewed.get(shard, sent) > self._deadline
            self._renewed[shard] = sent

    async def _write(
        self,
        lease: _Lease | None,
        name: str,
        holder: str,
        annotations: dict[str, str] | None = None,
    ) -> None:
        """Create it, or replace it as it was read; Conflict when somebody was faster."""
        before = lease.spec.lease_transitions or 0 if lease else 0
        changed = lease is not None and lease.holder != holder
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": self._namespace,
            "labels": {LEASE_LABEL: self._name},
        }
        metadata["annotations"] = annotations or {}
        stamp = self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: dict[str, Any] = {
            "holderIdentity": holder,
            "renewTime": stamp,
            "leaseDurationSeconds": round(self._duration),
        }
        spec["leaseTransitions"] = before + changed
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }
        if lease is None:
            await self._again(lambda: self._client.create(LEASES, self._namespace, body))
            return
        metadata["resourceVersion"] = lease.metadata.resource_version
        try:
            await self._again(lambda: self._client.update(LEASES, self._namespace, name, body))
        except NotFound as error:
            raise Conflict(str(error)) from error

    async def _again(self, call: Callable[[], Awaitable[bytes]]) -> bytes:
        """A call that a busy API server refused is made twice more in the same round: a renewal is
        worth it."""
        for pause in (0.2, 0.5):
            try:
                return await call()
            except Conflict:
                raise
            except (Unavailable, Busy):
                await self._clock.sleep(pause)
        return await call()

    @staticmethod
    def _number(lease: _Lease) -> int:
        text = (lease.metadata.annotations or {}).get(SHARDS, "")
        return int(text) if text.isdecimal() else 0

    def _shard(self, shard: int) -> str:
        return f"{self._name}-shard-{shard}"

    def _member(self, identity: str) -> str:
        return f"{self._name}-member-{hashlib.sha256(identity.encode()).hexdigest()[:10]}"
