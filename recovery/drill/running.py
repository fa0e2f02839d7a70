"""Lead a drill from the first look to the last deletion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct

from recovery.clock import Clock
from recovery.drill import application as parts
from recovery.drill.application import Drill, Unfit
from recovery.drill.lease import DrillLease
from recovery.drill.promises import Ending, Promise, judge
from recovery.drill.timeline import Entry, Timeline
from recovery.kube.client import (
    APPLICATIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    RECOVERIES,
    STATEFUL_SETS,
    Client,
    Resource,
)
from recovery.kube.errors import KubeError, NotFound
from recovery.model.application import Application, Health, Sync
from recovery.model.duration import spell
from recovery.model.policy import Policies, Policy
from recovery.model.recovery import Recovery, RecoveryPhase
from recovery.observe import wire
from recovery.record.codec import decode

LOOKS_APART = 2.0
"""Seconds between two looks."""
COMPARED_WITHIN = timedelta(minutes=3)
DEPLOYED_WITHIN = timedelta(minutes=15)
GONE_WITHIN = timedelta(minutes=5)
LEDGER_MARGIN = timedelta(minutes=1)
"""Beyond the soak time: the controller looks at what is well once in a while."""
TOLD_WITHIN = timedelta(minutes=2)
"""From the end of the recovery to the last message of it."""
WATCHED_WORKLOADS: tuple[Resource, ...] = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS)


class Report(Struct, frozen=True):
    """A drill that is over."""

    application: str
    recovery: str
    timeline: tuple[Entry, ...]
    promises: tuple[Promise, ...]

    @property
    def kept(self) -> bool:
        """Was every promise kept?"""
        return all(promise.kept for promise in self.promises)


class Conditions(Struct, frozen=True):
    """Measures of a drill: what it is judged by, and how long it may take."""

    policies: Policies
    channels: tuple[str, ...]
    namespace: str
    """The controller's."""
    timeout: timedelta
    """From breaking it to the end of its recovery."""


def selecting(policies: Policies, drill: Drill) -> list[Policy]:
    """The policies that may look at the drill's Application."""
    subject = drill.subject()
    return [
        policy
        for policy in policies.policies
        if policy.condition.type.value == "application" and policy.selector.selects(subject)
    ]


async def allowed_namespaces(client: Client) -> tuple[str, ...]:
    """The namespaces that are labelled for drills. Raises KubeError."""
    label = f"{parts.DRILL}={parts.ALLOWED}"
    page = wire.listed(await client.list(NAMESPACES, labelSelector=label))
    return tuple(wire.identity(item).metadata.name for item in page.items)


class Runner:
    """Leads one drill. Raises Unfit where it cannot be made, and KubeError; in any case everything
    that it made is deleted again."""

    def __init__(
        self,
        client: Client,
        drill: Drill,
        conditions: Conditions,
        clock: Clock,
        said: Callable[[Entry], None],
    ) -> None:
        self._client = client
        self._drill = drill
        self._conditions = conditions
        self._clock = clock
        self._said = said
        self._timeline = Timeline()
        self._made = False

    async def run(self) -> Report:
        """All of it."""
        drill = self._drill
        lease = DrillLease(self._client, drill.namespace, drill.name, self._clock)
        killed = await lease.acquire()
        renewing = asyncio.create_task(lease.renew())
        try:
            if killed:
                self._note(f"the drill {killed} was killed; it is cleaned up first")
            return await self._within()
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError, KubeError):
                await renewing
            await asyncio.shield(lease.release())

    async def _within(self) -> Report:
        await self._clean_up_leftovers()
        await self._empty()
        async with self._taken_away() as left:
            ending = await self._drilled()
        ending = msgspec.structs.replace(ending, taken_away=left[0])
        policies = selecting(self._conditions.policies, self._drill)
        timeline = self._timeline
        return Report(
            self._drill.name,
            timeline.recovery.name if timeline.recovery else "",
            tuple(timeline.entries),
            tuple(judge(timeline, policies, self._conditions.channels, ending)),
        )

    # Before and after

    async def _clean_up_leftovers(self) -> None:
        drill = self._drill
        page = wire.listed(
            await self._client.list(
                APPLICATIONS, drill.argocd_namespace, labelSelector=f"{parts.DRILL}=true"
            )
        )
        for item in page.items:
            app = wire.application(item)
            if parts.leftover(app, frozenset({drill.namespace})):
                self._note(f"{app.name} is left of an earlier drill, and is deleted")
                if why := await self._delete(app.name):
                    raise Unfit(why)

    async def _empty(self) -> None:
        if found := await self._workloads():
            raise Unfit(
                f"namespace {self._drill.namespace} is kept for drills, and has {', '.join(found)}"
            )

    async def _workloads(self) -> list[str]:
        found = []
        for what in WATCHED_WORKLOADS:
            page = wire.listed(await self._client.list(what, self._drill.namespace, limit="5"))
            found += [f"{what.plural}/{wire.identity(item).metadata.name}" for item in page.items]
        return found

    @asynccontextmanager
    async def _taken_away(self) -> AsyncIterator[list[str]]:
        """Whatever happens inside, the Application is deleted afterwards; the first item says why
        something is left."""
        left = [""]
        try:
            yield left
        finally:
            if self._made:
                self._note("the Application is deleted")
                left[0] = await asyncio.shield(self._delete(self._drill.name))

    async def _delete(self, name: str) -> str:
        """Delete an Application of a drill with all that it deployed; why something is left."""
        namespace, end = self._drill.argocd_namespace, self._clock.now() + GONE_WITHIN
        mend = f"Try: kubectl -n {namespace} delete applications.argoproj.io {name}"
        try:
            with suppress(NotFound):
                await self._client.delete(APPLICATIONS, namespace, name)
            while self._clock.now() < end:
                if not await self._there(name) and not await self._workloads():
                    return ""
                await self._clock.sleep(LOOKS_APART)
        except KubeError as error:
            return f"{name} is not deleted: {error}. {mend}"
        return f"{name} or what it deployed is still there after {spell(GONE_WITHIN)}. {mend}"

    async def _there(self, name: str) -> bool:
        try:
            await self._client.get(APPLICATIONS, self._drill.argocd_namespace, name)
        except NotFound:
            return False
        return True

    # The drill itself

    async def _drilled(self) -> Ending:
        await self._deploy()
        soak = self._conditions.policies.ledger.soak + LEDGER_MARGIN
        self._note(f"healthy; in {spell(soak)} the controller counts the revision as good")
        await self._watch(soak, lambda *_: False)
        raw = await self._raw()
        self._timeline.images = wire.application(_json(raw)).images
        await self._patch(parts.breaking(self._drill, raw))
        self._note(f"broken: an image of the tag {self._drill.tag}, which does not exist")
        if not await self._watch(self._conditions.timeout, _over):
            self._note(f"not over after {spell(self._conditions.timeout)}")
        await self._watch(TOLD_WITHIN, _told)
        last = wire.application(_json(await self._raw()))
        recovery = self._timeline.recovery
        return Ending(
            last.images,
            healthy=last.health is Health.Healthy,
            taken_away="",
            observed=recovery is not None and recovery.observe_only,
        )

    async def _deploy(self) -> None:
        drill = self._drill
        self._made = True
        await self._client.create(APPLICATIONS, drill.argocd_namespace, parts.manifest(drill))
        self._note(f"Application {drill.name} is created; nothing is deployed yet")
        if not await self._watch(COMPARED_WITHIN, lambda app, _: bool(app.revisions)):
            raise Unfit(f"Argo CD cannot compare it: {await self._errors()}")
        raw = await self._raw()
        if strays := parts.outside(drill, raw):
            raise Unfit(f"{drill.path} would deploy outside namespace {drill.namespace}: {strays}")
        parts.breaking(drill, raw | {"status": _with_an_image(raw)})  # before anything is deployed
        await self._patch(parts.enabled())
        if not await self._watch(DEPLOYED_WITHIN, _healthy):
            raise Unfit(
                f"it did not become healthy within {spell(DEPLOYED_WITHIN)}: {await self._errors()}"
            )

    async def _errors(self) -> str:
        app = wire.application(_json(await self._raw()))
        said = [f"{c.type}: {c.message}" for c in app.conditions]
        operation = app.operation.message if app.operation else ""
        return "; ".join([f"{app.sync.value} {app.health.value}", *said[:3], operation][:5])

    async def _watch(
        self, longest: timedelta, holds: Callable[[Application, Recovery | None], bool]
    ) -> bool:
        """Look again and again until something holds; False when it did not in time."""
        end = self._clock.now() + longest
        while True:
            with suppress(KubeError):  # a fault is normal; what matters is seen a moment later
                raw = await self._client.get(
                    APPLICATIONS, self._drill.argocd_namespace, self._drill.name
                )
                app, recovery = wire.application(raw), await self._recovery()
                for entry in self._timeline.saw(self._clock.now(), app, recovery):
                    self._said(entry)
                if holds(app, recovery):
                    return True
            if self._clock.now() >= end:
                return False
            await self._clock.sleep(LOOKS_APART)

    async def _recovery(self) -> Recovery | None:
        """The record of this Application; the newest one."""
        page = wire.listed(await self._client.list(RECOVERIES, self._conditions.namespace))
        mine = []
        for item in page.items:
            with suppress(*wire.Unreadable):
                recovery: Recovery = decode(item)
                if recovery.subject.name == self._drill.name and not recovery.unclaimed:
                    mine.append(recovery)
        return max(mine, key=lambda recovery: recovery.opened_at, default=None)

    async def _raw(self) -> dict[str, Any]:
        raw = await self._client.get(APPLICATIONS, self._drill.argocd_namespace, self._drill.name)
        return msgspec.json.decode(raw, type=dict[str, Any])

    async def _patch(self, body: dict[str, Any]) -> None:
        await self._client.patch(APPLICATIONS, self._drill.argocd_namespace, self._drill.name, body)

    def _note(self, what: str) -> None:
        self._said(self._timeline.note(self._clock.now(), what))


def _healthy(app: Application, _: Recovery | None) -> bool:
    return app.sync is Sync.Synced and app.health is Health.Healthy and not app.operating


def _over(_: Application, recovery: Recovery | None) -> bool:
    if recovery is None:
        return False
    observed = recovery.observe_only and recovery.phase is RecoveryPhase.Suppressed
    return recovery.phase.over or recovery.needs_person or observed


def _told(_: Application, recovery: Recovery | None) -> bool:
    return recovery is not None and not recovery.notes


def _with_an_image(raw: dict[str, Any]) -> dict[str, Any]:
    """The status as if it ran an image: what runs is seen only once it is deployed."""
    status = raw.get("status") or {}
    return {**status, "summary": {"images": ["any"]}}


def _json(raw: dict[str, Any]) -> bytes:
    return msgspec.json.encode(raw)
