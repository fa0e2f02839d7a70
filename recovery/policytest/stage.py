"""A test on the embedded cluster: the controller as it is, in virtual time."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import structlog
from msgspec import structs

from recovery.app import App
from recovery.decide.routing import route_of
from recovery.kube.client import (
    APPLICATIONS,
    CONFIG_MAPS,
    LEASES,
    RECOVERIES,
    RECOVERY_STATUS,
    SECRETS,
    Resource,
)
from recovery.kube.client import (
    EVENTS as KUBE_EVENTS,
)
from recovery.model.application import Application
from recovery.model.duration import Duration
from recovery.model.message import Message
from recovery.model.move import UserRequest
from recovery.model.recovery import Recovery
from recovery.model.selector import Selector
from recovery.model.timestamps import aware
from recovery.model.window import Pause
from recovery.observe import pauses
from recovery.policytest.events import ClusterState, ProcessState
from recovery.policytest.grammar import ApplicationText, TestText, WorkloadKind
from recovery.policytest.observation import Observation, stamp
from recovery.policytest.observer import Observer
from recovery.policytest.reading import Suite, channels_of, length_of, names_of
from recovery.record.codec import encode
from recovery.settings import Settings
from recovery.simulate import pods
from recovery.simulate.clusters import API
from recovery.simulate.environment import ARGOCD, OURS, EmbeddedEnvironment, url
from recovery.simulate.git import Manifests
from recovery.simulate.manifests import daemon_set, deployment, stateful_set
from recovery.simulate.virtual import VirtualClock, run

SETTLED = timedelta(minutes=1)
"""How long everything has run when a test begins, beside the ledger's soak time: what runs then is
a revision that is known to be good."""
STARTED = timedelta(seconds=30)
"""How long applications have before the controller comes: it finds them healthy."""
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
ROLLOUT_DEADLINE = 60
"""Seconds; of the Deployments of a test."""
OWN_RECORDS = frozenset({RECOVERIES, RECOVERY_STATUS, CONFIG_MAPS, KUBE_EVENTS, LEASES})
_WORKLOADS = {
    WorkloadKind.Deployment: lambda name, image: deployment(name, image, ROLLOUT_DEADLINE),
    WorkloadKind.StatefulSet: stateful_set,
    WorkloadKind.DaemonSet: daemon_set,
}
_SCHEMES = ("slack", "pagerduty", "webhook")


def play(suite: Suite, number: int) -> Observation:
    """Play one test of a suite and say what was seen. The process logs nothing meanwhile."""
    configuration = structlog.get_config()
    try:
        return run(PolicyStage(suite, suite.tests[number]).play())
    finally:
        structlog.configure(**configuration)


class NothingToAsk(Exception):
    """An event asks for what nothing waits for; the message says which."""


class _Noted:
    """The controller's client: what it writes outside its own records is noted."""

    def __init__(self, client: Any, observer: Observer) -> None:
        self._client = client
        self._observer = observer

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in ("create", "update", "patch", "delete"):
            return method

        async def write(
            what: Resource, namespace: str, target: Any, *args: Any, **more: Any
        ) -> Any:
            answer = await method(what, namespace, target, *args, **more)
            if what not in OWN_RECORDS:
                named = target if isinstance(target, str) else target["metadata"]["name"]
                self._observer.wrote(named, f"{name} {what.plural}/{named}")
            return answer

        return write


class _NotedAPI:
    """Argo CD's API as the controller has it: what changes something there is noted."""

    def __init__(self, api: API, observer: Observer) -> None:
        self._api = api
        self._observer = observer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    async def restart(self, app: Application, workload: Any) -> None:
        await self._api.restart(app, workload)
        self._observer.wrote(app.name, f"restart of {workload}")

    async def invalidate(self, server: str) -> None:
        await self._api.invalidate(server)
        self._observer.wrote(server, "invalidation of the cluster's cache")


class PolicyStage:
    """Applications of a test and what may happen to them; an ``events.Stage``."""

    def __init__(self, suite: Suite, test: TestText) -> None:
        self._suite = suite
        self._test = test
        warm_up = STARTED + suite.policies.ledger.soak + SETTLED
        self._begin = warm_up.total_seconds()
        start = aware(test.start) if test.start else None
        self._clock = VirtualClock((start or MONDAY) - warm_up)
        self._world = EmbeddedEnvironment(self._clock)
        self._observation = Observation(start or MONDAY)
        self._repositories = {
            url(name): name for app in test.applications for name in names_of(app)
        }
        self._observer = Observer(
            self._observation, self._elapsed, lambda at: self._repositories.get(at, at)
        )
        self._policies = suite.policies
        self._connected = bool(test.clusters or test.repositories)
        self._app: App | None = None
        self._running: asyncio.Task[None] | None = None

    async def play(self) -> Observation:
        """From the warm-up to the end."""
        # Looks are spread over time by chance; a test has to come out the same each time.
        random.seed(0)
        structlog.reset_defaults()  # a command that is called in this process logs warnings only
        structlog.configure(processors=[self._observer.log_line], cache_logger_on_first_use=False)
        self._world.cluster.listen(self._observer.heard)
        async with self._world.living():
            try:
                await self._set_up()
                await self._until(timedelta())
                await self._deploy(ready=False)
                for event in sorted(self._test.events, key=lambda e: e.at):
                    await self._until(event.at)
                    await self._happens(event)
                await self._until(length_of(self._test))
            finally:
                await self._stop()
        return self._observation

    def _elapsed(self) -> timedelta:
        seconds = round(self._clock.monotonic() - self._begin, 3)
        return timedelta(seconds=int(seconds) if seconds >= 0 else seconds)

    async def _until(self, moment: timedelta) -> None:
        await self._clock.sleep(self._begin + moment.total_seconds() - self._clock.monotonic())

    async def _set_up(self) -> None:
        for cluster in self._test.clusters:
            await self._world.further_cluster(cluster.name, cluster.labels or None)
        for repository in self._test.repositories:
            self._world.git.registered[url(repository.app)] = ""
        await self._deploy(ready=True)
        await self._clock.sleep(STARTED.total_seconds())
        await self._secret()
        await self._world.policies(self._suite.policy_text)
        await self._world.cluster.create(
            CONFIG_MAPS, OURS, {"metadata": {"name": pauses.NAME}, "data": {}}
        )
        await self.controller(ProcessState.starts)

    async def _deploy(self, *, ready: bool) -> None:
        for app in self._test.applications:
            if ready == pods.ready(app.image, restarted=False):
                for name in names_of(app):
                    await self._application(name, app)

    async def _application(self, name: str, app: ApplicationText) -> None:
        more: dict[str, Any] = {"labels": app.labels} if app.labels else {}
        if app.annotations:
            more["annotations"] = app.annotations
        await self._world.application(
            name,
            app.manifests or (_WORKLOADS[app.kind](name, app.image),),
            auto_sync=app.auto_sync,
            self_heal=app.self_heal,
            prune=app.prune,
            project=app.project,
            cluster=app.cluster,
            **more,
        )
        if not app.auto_sync:
            await self._world.sync(name)

    async def _secret(self) -> None:
        urls = {
            name: f"{name if name in _SCHEMES else 'test'}://{name}"
            for name in channels_of(self._suite.policies)
        }
        data = {name: base64.b64encode(at.encode()).decode() for name, at in urls.items()}
        await self._world.cluster.create(
            SECRETS, OURS, {"metadata": {"name": "recovery-channels"}, "data": data}
        )

    async def _happens(self, event: Any) -> None:
        for key in event.__struct_fields__:
            what = getattr(event, key)
            if key != "at" and what is not None:
                await what.happen(self)

    async def _send(self, address: str, message: Message) -> str:
        channel = address.partition("://")[2]
        self._observer.told(channel, message)
        recovery = self._observer.recoveries.get(message.incident)
        key, about = message.subject, None
        if key is not None and key.kind == "application" and self._world.raw(key.name):
            about = self._world.seen(key.name)
        route = route_of(message.severity, recovery, about, self._policies)
        if route is not None:
            self._observation.routes.add(self._policies.notices.routes.index(route))
        return ""

    # What may happen

    def _matching(self, glob: str) -> list[str]:
        """The applications that an event happens to; one that was deleted is none."""
        every = (name for app in self._test.applications for name in names_of(app))
        return [name for name in every if fnmatchcase(name, glob) and self._world.raw(name)]

    async def commit(self, app: str, image: str, manifests: tuple[dict[str, Any], ...]) -> None:
        for name in self._matching(app):
            await self._world.commit(name, manifests or self._manifests(name, image))

    def _manifests(self, app: str, image: str) -> Manifests:
        kind = next(a.kind for a in self._test.applications if app in names_of(a))
        return (_WORKLOADS[kind](app, image),)

    async def set_status(self, app: str, status: dict[str, Any]) -> None:
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        for condition in status.get("conditions", ()):
            condition["lastTransitionTime"] = now
        operation = status.pop("operationState", None)
        if operation is not None:
            operation |= {"startedAt": now}
            operation |= {} if operation["phase"] == "Running" else {"finishedAt": now}
        for name in self._matching(app):
            if operation is not None:
                body = {"status": {"operationState": operation}}
                await self._world.cluster.patch(APPLICATIONS, ARGOCD, name, body)
            self._world.argocd.overrides.setdefault((ARGOCD, name), {}).update(status)
            await self._refresh(name)

    async def follow(self, app: str) -> None:
        for name in self._matching(app):
            self._world.argocd.overrides.pop((ARGOCD, name), None)
            await self._refresh(name)

    async def _refresh(self, app: str) -> None:
        await self._world.annotate(app, {"argocd.argoproj.io/refresh": "normal"})

    async def sync(self, app: str) -> None:
        for name in self._matching(app):
            await self._world.sync(name)

    async def auto_sync(self, app: str, *, on: bool) -> None:
        automated = {"prune": False, "selfHeal": False} if on else None
        body = {"spec": {"syncPolicy": {"automated": automated}}}
        for name in self._matching(app):
            await self._world.cluster.patch(APPLICATIONS, ARGOCD, name, body)

    async def annotate(self, app: str, annotations: Mapping[str, str | None]) -> None:
        for name in self._matching(app):
            await self._world.annotate(name, dict(annotations))

    async def delete(self, app: str) -> None:
        for name in self._matching(app):
            await self._world.cluster.delete(APPLICATIONS, ARGOCD, name)

    async def pause(self, selector: Selector, lasting: Duration | None, reason: str) -> None:
        until = self._clock.now() + lasting if lasting else None
        text = pauses.write(Pause(selector, reason, "a person", until))
        body = {"data": {f"test-{self._clock.monotonic():.0f}": text}}
        await self._world.cluster.patch(CONFIG_MAPS, OURS, pauses.NAME, body)

    async def ask(self, subject: str, *requests: str) -> None:
        names = (subject, url(subject))
        open_ones = (
            r
            for r in reversed(self._world.recoveries())
            if not r.phase.over and (not subject or r.subject.name in names)
        )
        held = next(open_ones, None)
        if held is None or ("approve" in requests and not held.awaiting):
            at = stamp(self._elapsed())
            raise NothingToAsk(
                f"{requests[0]} at {at}: nothing of {subject or 'anything'} waits for it"
            )
        await self._request(held, requests)

    async def _request(self, held: Recovery, requests: tuple[str, ...]) -> None:
        now = self._clock.now()
        asked = tuple(
            UserRequest(kind, "a person", now, held.awaiting if kind == "approve" else "")
            for kind in requests
        )
        body = encode(structs.replace(held, asked=(*held.asked, *asked)), OURS)
        await self._world.cluster.update(RECOVERIES, OURS, held.name, body)

    async def credentials(self, app: str, *, accepted: bool) -> None:
        for name in self._matching(app):
            self._world.git.registered[url(name)] = "" if accepted else "outdated"

    async def git(self, *, up: bool) -> None:
        self._world.git.up = up

    async def cluster(self, name: str, now: ClusterState) -> None:
        place = self._world.destinations.all[name]
        if now in (ClusterState.dies, ClusterState.returns):
            place.up = now is ClusterState.returns
        else:
            place.accepts = now is ClusterState.accepts
        place.unread = place.unread and not (place.up and place.accepts)

    async def argocd(self, *, up: bool) -> None:
        self._world.argocd.running = up
        if up:
            self._world.argocd.wake()

    async def witness(self, *, answers: bool) -> None:
        self._world.outside = answers

    async def install(self, kind: str) -> None:
        await self._world.install(kind)

    async def policies(self, path: str) -> None:
        await self._world.policies((Path(self._suite.path).parent / path).read_text())

    async def controller(self, now: ProcessState) -> None:
        if now is ProcessState.starts:
            if self._app is None:
                self._start()
        elif now is ProcessState.stops:
            await self._stop()
        elif self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._app = self._running = None

    def _start(self) -> None:
        world = self._world
        settings = Settings(
            identity="controller-0",
            cluster_secrets=tuple(d.secret for d in world.destinations.all.values()),
            witness="https://outside.example",
            # Nobody is there to take over, and renewing is most of what a quiet hour costs.
            lease_duration=timedelta(minutes=10),
            poll_interval=timedelta(seconds=10 if self._connected else 30),
        )
        client: Any = _Noted(world.cluster, self._observer)
        token: Any = _NotedAPI(world.api, self._observer) if self._test.token else None
        self._app = App(settings, client, self._clock, self._send, token, world.looks)
        self._running = asyncio.create_task(self._app.run())

    async def _stop(self) -> None:
        if self._app is not None and self._running is not None:
            self._app.stop()
            await self._running
            self._app = self._running = None
