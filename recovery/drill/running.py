"""Lead a drill from the first look to the last deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from recovery.clock import Clock
from recovery.drill import application as parts
from recovery.drill.application import Drill, Unfit
from recovery.drill.lease import DrillLease, LeaseLost
from recovery.drill.promises import Ending, Promise, judge
from recovery.drill.timeline import Entry, Timeline
from recovery.kube.client import (
    APPLICATIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    PROJECTS,
    RECOVERIES,
    STATEFUL_SETS,
    Client,
    Resource,
)
from recovery.kube.errors import Forbidden, Invalid, KubeError, NotFound, Unauthorized
from recovery.kube.reading import decoded
from recovery.model.application import Application, Health, Sync
from recovery.model.duration import spell
from recovery.model.policy import Policies, Policy
from recovery.model.recovery import Recovery, RecoveryPhase
from recovery.model.text import shell
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
DEPLOYED_KINDS = (
    DEPLOYMENTS,
    STATEFUL_SETS,
    DAEMON_SETS,
    PODS,
    Resource("batch", "v1", "jobs"),
    Resource("batch", "v1", "cronjobs"),
    Resource("", "v1", "services"),
    Resource("", "v1", "configmaps"),
    Resource("", "v1", "persistentvolumeclaims"),
)
EVERYWHERE = ("kube-root-ca.crt",)
"""Kubernetes puts it into every namespace."""


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
        self._deleting = False
        self._left = ""
        """Why something of a drill is still there."""

    async def run(self) -> Report:
        """All of it."""
        drill = self._drill
        lease = DrillLease(self._client, drill.namespace, drill.name, self._clock)
        killed = await lease.acquire()
        renewing = asyncio.create_task(lease.renew())
        working = asyncio.create_task(self._within(killed))
        try:
            await asyncio.wait({renewing, working}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done() and not self._deleting:
                self._note(f"stopped: {renewing.exception()}")
        finally:
            if not self._deleting:  # what is being taken away is taken away, whatever comes
                working.cancel()
            await asyncio.wait({working})
            renewing.cancel()
            ends = await asyncio.gather(renewing, working, return_exceptions=True)
            if not self._left:
                try:
                    await asyncio.shield(lease.release())
                except KubeError as error:
                    self._note(f"the Lease is left: {error}; the next drill takes it over")
        if isinstance(ends[1], Report):
            return ends[1]
        if isinstance(ends[0], LeaseLost) and isinstance(ends[1], asyncio.CancelledError):
            raise Unfit(f"{ends[0]}{self._still_there()}") from ends[0]
        if self._left and isinstance(ends[1], Exception):
            raise Unfit(f"{ends[1]}{self._still_there()}") from ends[1]
        raise ends[1]

    def _still_there(self) -> str:
        return f"; and {self._left}" if self._left else ""

    async def _within(self, killed: str) -> Report:
        if killed:
            self._note(f"the drill {killed} was killed; it is cleaned up first")
            await self._clean_up(killed)
        await self._empty()
        try:
            ending = await self._drilled()
        finally:
            if self._made:
                self._note("the Application is being deleted")
                self._deleting = True
                self._left = await self._delete(self._drill.name)
                self._note(self._left or "it is gone, with all that it deployed")
        ending = msgspec.structs.replace(ending, taken_away=self._left)
        policies = selecting(self._conditions.policies, self._drill)
        timeline = self._timeline
        return Report(
            self._drill.name,
            timeline.recovery.name if timeline.recovery else "",
            tuple(timeline.entries),
            tuple(judge(timeline, policies, self._conditions.channels, ending)),
        )

    # Before and after

    async def _clean_up(self, killed: str) -> None:
        drill = self._drill
        try:
            raw = await self._client.get(APPLICATIONS, drill.argocd_namespace, killed)
        except (NotFound, Invalid):
            found = None
        else:
            found = wire.application(raw)
        if found is not None and not parts.leftover(found, killed, drill.namespace):
            raise Unfit(f"{drill.argocd_namespace}/{killed} is no drill of this namespace")
        if found is not None:
            self._note(f"{killed} is left of it, and is deleted")
        if why := await self._delete(killed):
            self._left = why
            raise Unfit(why)

    async def _empty(self) -> None:
        if found := await self._inside():
            raise Unfit(
                f"namespace {self._drill.namespace} is kept for drills, and has"
                f" {', '.join(found[:5])}"
            )

    async def _inside(self) -> list[str]:
        """Objects in the drill's namespace that may have been deployed; Secrets are not read."""
        found = []
        for what in DEPLOYED_KINDS:
            page = wire.listed(await self._client.list(what, self._drill.namespace, limit="20"))
            names = (wire.identity(item).metadata.name for item in page.items)
            found += [f"{what.plural}/{name}" for name in names if name not in EVERYWHERE]
        return found

    async def _delete(self, name: str) -> str:
        """Delete a drill's Application with all that it deployed, and its AppProject; why something
        is left. Faults of the API server are waited out."""
        namespace, end = self._drill.argocd_namespace, self._clock.now() + GONE_WITHIN
        why = ""
        while self._clock.now() < end:
            try:
                with suppress(NotFound, Invalid):
                    await self._client.delete(APPLICATIONS, namespace, name)
                inside = await self._inside()
                if not await self._there(name) and not inside:
                    await self._delete_project(name)
                    return ""
                why = f"there still is {', '.join(inside[:5]) or name}"
            except KubeError as error:
                why = str(error)
            await self._clock.sleep(LOOKS_APART)
        return (
            f"{name} is not gone after {spell(GONE_WITHIN)}: {why}."
            f" Try: kubectl -n {shell(namespace)} delete applications.argoproj.io {shell(name)}"
        )

    async def _delete_project(self, name: str) -> None:
        namespace = self._drill.argocd_namespace
        with suppress(NotFound, Invalid):
            raw = await self._client.get(PROJECTS, namespace, name)
            labels = decoded(raw, dict)["metadata"].get("labels") or {}
            if labels.get(parts.DRILL) == "true":
                await self._client.delete(PROJECTS, namespace, name)

    async def _there(self, name: str) -> bool:
        try:
            await self._client.get(APPLICATIONS, self._drill.argocd_namespace, name)
        except (NotFound, Invalid):
            return False
        return True

    # The drill itself

    async def _drilled(self) -> Ending:
        await self._deploy()
        soak = self._conditions.policies.ledger.soak + LEDGER_MARGIN
        self._note(f"healthy; in {spell(soak)} the controller counts the revision as good")
        await self._watch(soak, lambda *_: False)
        if not await self._watch(DEPLOYED_WITHIN, _quiet):
            raise Unfit(f"it is not at rest before it is broken: {await self._errors()}")
        raw = await self._read()
        images = wire.application(raw).images
        await self._patch(parts.breaking(self._drill, decoded(raw, dict)))
        what = f"broken: an image of the tag {self._drill.tag}, which does not exist"
        self._said(self._timeline.broken(self._clock.now(), what, images))
        if not await self._watch(self._conditions.timeout, self._over):
            self._note(f"not over after {spell(self._conditions.timeout)}")
        await self._watch(TOLD_WITHIN, _told)
        if self._timeline.unhealthy_at is None and self._timeline.recovery is None:
            raise Unfit(
                f"it never became Degraded within {spell(self._conditions.timeout)}: the override"
                " changes nothing (a chart's --helm-parameter?), or progressDeadlineSeconds is"
                " longer"
            )
        last = await self._application()
        recovery = self._timeline.recovery
        return Ending(
            last.images,
            healthy=last.health is Health.Healthy,
            taken_away="",
            observed=recovery is not None and recovery.observe_only,
        )

    async def _deploy(self) -> None:
        drill = self._drill
        await self._bounded_project()
        self._made = True
        await self._client.create(APPLICATIONS, drill.argocd_namespace, parts.manifest(drill))
        self._note(f"Application {drill.name} is created; nothing is deployed yet")
        if not await self._watch(COMPARED_WITHIN, lambda app, _: bool(app.revisions)):
            raise Unfit(f"Argo CD cannot compare it: {await self._errors()}")
        raw = decoded(await self._read(), dict)
        if strays := parts.outside(drill, raw):
            raise Unfit(f"{drill.path} would deploy outside namespace {drill.namespace}: {strays}")
        parts.breaking(drill, raw | {"status": _with_an_image(raw)})  # before anything is deployed
        await self._patch(parts.enabled(raw))
        if not await self._watch(DEPLOYED_WITHIN, _healthy):
            raise Unfit(
                f"it did not become healthy within {spell(DEPLOYED_WITHIN)}: {await self._errors()}"
            )

    async def _bounded_project(self) -> None:
        """Argo CD itself keeps the drill in its namespace."""
        drill = self._drill
        if not drill.project:
            self._made = True
            project = parts.project_of(drill)
            await self._client.create(PROJECTS, drill.argocd_namespace, project)
            return
        raw = await self._client.get(PROJECTS, drill.argocd_namespace, drill.project)
        if more := parts.wider(drill, decoded(raw, dict)):
            raise Unfit(
                f"AppProject {drill.project} permits more than namespace {drill.namespace}:"
                f" {more}; without --project the drill makes one of its own"
            )

    def _over(self, app: Application, recovery: Recovery | None) -> bool:  # noqa: ARG002 (as _watch asks)
        if recovery is None:
            return False
        observed = recovery.observe_only and recovery.phase is RecoveryPhase.Suppressed
        called = recovery.needs_person and self._timeline.unhealthy_at is not None
        asked = bool(recovery.awaiting) and recovery.talk.first_at is not None
        return recovery.phase is RecoveryPhase.Resolved or called or asked or observed

    async def _errors(self) -> str:
        app = await self._application()
        said = [f"{c.type}: {c.message}" for c in app.conditions]
        operation = app.operation.message if app.operation else ""
        return "; ".join([f"{app.sync.value} {app.health.value}", *said[:3], operation])

    async def _watch(
        self, longest: timedelta, holds: Callable[[Application, Recovery | None], bool]
    ) -> bool:
        """Look again and again until something holds; False when it did not in time. Raises Unfit
        when somebody else deletes the Application, Unauthorized and Forbidden."""
        end = self._clock.now() + longest
        while True:
            try:
                app = await self._application()
                recovery = await self._recovery(app)
            except NotFound as error:
                raise Unfit(f"somebody deleted {self._drill.name}") from error
            except (Unauthorized, Forbidden):
                raise
            except (KubeError, *wire.Unreadable):
                pass  # a fault is normal; what matters is seen a moment later
            else:
                for entry in self._timeline.saw(self._clock.now(), app, recovery):
                    self._said(entry)
                if holds(app, recovery):
                    return True
            if self._clock.now() >= end:
                return False
            await self._clock.sleep(LOOKS_APART)

    async def _recovery(self, app: Application) -> Recovery | None:
        """The record of this Application, of the time since it was broken; the newest one."""
        page = wire.listed(await self._client.list(RECOVERIES, self._conditions.namespace))
        mine, broken = [], self._timeline.broken_at
        for item in page.items:
            with suppress(*wire.Unreadable):
                recovery: Recovery = decode(item)
                known = recovery.subject.uid == app.uid and not recovery.unclaimed
                if known and (broken is None or _since(recovery, broken)):
                    mine.append(recovery)
        return max(mine, key=lambda recovery: recovery.opened_at, default=None)

    async def _read(self) -> bytes:
        return await self._client.get(APPLICATIONS, self._drill.argocd_namespace, self._drill.name)

    async def _application(self) -> Application:
        return wire.application(await self._read())

    async def _patch(self, body: dict[str, Any]) -> None:
        await self._client.patch(APPLICATIONS, self._drill.argocd_namespace, self._drill.name, body)

    def _note(self, what: str) -> None:
        self._said(self._timeline.note(self._clock.now(), what))


def _since(recovery: Recovery, broken: datetime) -> bool:
    """Is it about what was broken? One that is over may have been opened again."""
    over = recovery.resolved_at if recovery.phase.over else None
    return recovery.opened_at >= broken or (not recovery.phase.over) or (over or broken) > broken


def _healthy(app: Application, _: Recovery | None) -> bool:
    return app.sync is Sync.Synced and app.health is Health.Healthy and not app.operating


def _quiet(app: Application, recovery: Recovery | None) -> bool:
    return _healthy(app, recovery) and (recovery is None or recovery.phase.over)


def _told(_: Application, recovery: Recovery | None) -> bool:
    return recovery is not None and not recovery.notes


def _with_an_image(raw: dict[str, Any]) -> dict[str, Any]:
    """The status as if it ran an image: what runs is seen only once it is deployed."""
    status = raw.get("status") or {}
    return {**status, "summary": {"images": ["any"]}}
