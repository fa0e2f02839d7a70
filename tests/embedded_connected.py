"""The stage in memory for stories of repositories and clusters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from recovery.commands.explain import lines
from recovery.commands.failback import asked
from recovery.commands.requests import write
from recovery.kube.client import APPLICATION_SETS, APPLICATIONS, EXTERNAL_SECRETS, SECRETS, Resource
from recovery.model.message import Message
from recovery.model.names import USERNAME, SubjectKey
from recovery.model.recovery import Recovery
from recovery.notify.pagerduty_channel import event
from recovery.record.codec import stamp
from recovery.serve.auth import EVERYBODY
from recovery.simulate.environment import ARGOCD, OURS, RUNS_IN, EmbeddedEnvironment, url
from recovery.simulate.workloads import WORKLOAD_RESOURCES
from tests.embedded_stage import EmbeddedStage

PAGERDUTY = "cGFnZXJkdXR5Oi8vS0VZ"
"""pagerduty://KEY, as a Secret holds it."""


class EmbeddedConnectedStage(EmbeddedStage):
    """Verbs on further clusters and on Git."""

    def __init__(self, world: EmbeddedEnvironment, prefix: str) -> None:
        super().__init__(world, prefix)
        self.paged: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.settings = {"cluster_secrets": ("cluster-primary", "cluster-secondary")}
        self.argocd = world.api
        world.argocd.resync = world.argocd.resync / 18
        world.git.password = "first"
        self._asked = ""
        world.cluster.listen(self._watch)

    def _watch(self, what: Resource, kind: str, item: dict[str, Any]) -> None:
        if what == APPLICATIONS and kind == "DELETED":
            self.deleted.append(item["metadata"]["name"])
        stamp_wanted = (item["metadata"].get("annotations") or {}).get("force-sync", "")
        if what == EXTERNAL_SECRETS and stamp_wanted and stamp_wanted != self._asked:
            self._asked = stamp_wanted
            self._operating = asyncio.ensure_future(self._operate(item))

    async def _operate(self, item: dict[str, Any]) -> None:
        """The External Secrets Operator: fetch, write, say so."""
        await self._clock.sleep(1)
        self._world.git.registered = dict.fromkeys(
            self._world.git.registered, self._world.git.password
        )
        ready = {"type": "Ready", "status": "True", "message": "secret synced"}
        body = {"status": {"refreshTime": stamp(self._clock.now()), "conditions": [ready]}}
        await self._world.cluster.patch(EXTERNAL_SECRETS, ARGOCD, item["metadata"]["name"], body)

    @contextlib.asynccontextmanager
    async def controller(
        self, *, enabled: bool = True, killed_at: str = ""
    ) -> AsyncIterator[Callable[[], bool]]:
        if self._world.cluster.find(SECRETS, OURS, "recovery-channels") is None:
            data = {"receiver": "anNvbjovL3g=", "pagerduty": PAGERDUTY}
            await self._world.cluster.create(
                SECRETS, OURS, {"metadata": {"name": "recovery-channels"}, "data": data}
            )
        async with super().controller(enabled=enabled, killed_at=killed_at) as dead:
            yield dead

    async def _send(self, url: str, note: Message) -> str:
        if url.startswith("pagerduty://"):
            self.paged.append(event("KEY", note))
        else:
            await super()._send(url, note)
        return ""

    # Clusters

    async def clusters(self) -> None:
        for name in ("primary", "secondary"):
            await self._world.further_cluster(name)

    async def kill(self, cluster: str) -> None:
        self._world.destinations.all[cluster].up = False

    async def revive(self, cluster: str) -> None:
        found = self._world.destinations.all[cluster]
        found.up, found.unread = True, False

    async def revoke(self, cluster: str) -> None:
        self._world.destinations.all[cluster].accepts = False

    async def narrow(self, cluster: str, *, namespaces: bool) -> None:
        denied = self._world.destinations.all[cluster].denied
        (denied.discard if namespaces else denied.add)("namespaces")

    async def deploy(
        self, name: str, manifests: tuple[dict[str, Any], ...], cluster: str, **how: Any
    ) -> None:
        if kind := how.pop("kind", ""):
            await self._world.install(kind)
        namespace = how.pop("namespace", RUNS_IN)
        self._world.destinations.all[cluster].namespaces.add(namespace)
        await self._world.application(name, manifests, cluster=cluster, self_heal=True)
        if namespace != RUNS_IN:
            options = ["CreateNamespace=true"]
            body = {
                "spec": {
                    "destination": {"namespace": namespace},
                    "syncPolicy": {"syncOptions": options},
                }
            }
            await self._world.cluster.patch(APPLICATIONS, ARGOCD, name, body)

    async def has(self, cluster: str, plural: str, name: str) -> bool:
        there = self._world.destinations.all[cluster].cluster
        return (
            there.find({w.plural: w for w in WORKLOAD_RESOURCES.values()}[plural], RUNS_IN, name)
            is not None
        )

    async def label(self, cluster: str, key: str, value: str | None) -> None:
        body = {"metadata": {"labels": {key: value}}}
        await self._world.cluster.patch(SECRETS, ARGOCD, f"cluster-{cluster}", body)

    async def application_set(
        self, name: str, label: str, manifests: tuple[dict[str, Any], ...]
    ) -> None:
        self._world.git.commit(url(name), manifests)
        await self._world.cluster.create(
            APPLICATION_SETS, ARGOCD, an_application_set(name, label, url(name))
        )
        await self._clock.sleep(1)

    # Git

    async def from_git(self, name: str, manifests: tuple[dict[str, Any], ...]) -> None:
        self._world.git.registered[url(name)] = self._world.git.password
        await self._world.application(name, manifests, retry=0)

    async def git(self, what: str) -> None:
        match what:
            case "stops":
                self._world.git.up = False
            case "starts":
                self._world.git.up = True
            case _:
                self._world.git.password = "second"

    async def external_secret(self) -> None:
        (found,) = self._world.git.registered
        template = {
            "metadata": {"labels": {"argocd.argoproj.io/secret-type": "repository"}},
            "data": {"url": found},
        }
        spec = {"target": {"name": "shop-repository", "template": template}}
        await self._world.cluster.create(
            EXTERNAL_SECRETS, ARGOCD, {"metadata": {"name": "shop-repository"}, "spec": spec}
        )

    # People

    async def of(self, kind: str, name: str = "") -> list[Recovery]:
        return [
            r
            for r in self._world.recoveries()
            if r.subject.kind.lower() == kind and name in ("", r.subject.name)
        ]

    async def command(self, *words: str) -> str:
        assert self._app is not None
        if words[0] == "explain":
            kind, _, name = words[1].partition("/")
            body = msgspec.json.decode(
                msgspec.json.encode(
                    self._app.views.explain(SubjectKey(kind, "", name), EVERYBODY.sees)
                )
            )
            return "\n".join(lines(body))
        requests = {"stay": "--stay" in words, "cleanup": "--cleanup" in words}
        found = await write(
            self._world.cluster,
            OURS,
            words[1],
            lambda held: asked(held, **requests),
            "ada",
            self._clock,
        )
        return f"{len(found.owed)} applications move back to {found.subject.name}"

    async def syncs(self, name: str) -> int:
        history = (await self.raw(name))["status"]["history"]
        return sum(
            (entry.get("initiatedBy") or {}).get("username") == USERNAME for entry in history
        )


def an_application_set(name: str, label: str, repository: str) -> dict[str, Any]:
    """One that generates an application of a fixed name on whatever cluster carries the label."""
    spec = {
        "project": "default",
        "source": {"repoURL": repository, "path": ".", "targetRevision": "HEAD"},
        "destination": {"name": "{{name}}", "namespace": RUNS_IN},
        "syncPolicy": {"automated": {}},
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ApplicationSet",
        "metadata": {"name": name},
        "spec": {
            "generators": [{"clusters": {"selector": {"matchLabels": {label: "yes"}}}}],
            "template": {"metadata": {"name": name}, "spec": spec},
        },
    }
