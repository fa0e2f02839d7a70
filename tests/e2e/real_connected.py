"""The real stage for stories of repositories and clusters."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from recovery.clock import SystemClock
from recovery.commands.explain import lines
from recovery.kube.client import (
    APPLICATION_SETS,
    APPLICATIONS,
    EXTERNAL_SECRETS,
    RECOVERIES,
    SECRETS,
)
from recovery.kube.errors import Conflict, KubeError
from recovery.model.names import USERNAME
from recovery.model.recovery import NOT_CLAIMED, Recovery
from recovery.observe import wire
from recovery.observe.reflector import Reflector
from recovery.record.codec import decode, stamp
from tests.e2e.further import Further
from tests.e2e.real_stage import CRDS, RealStage, a_crd
from tests.embedded_connected import an_application_set
from tests.testbed.git_server import USER
from tests.testbed.installation import recovery
from tests.testbed.processes import Process, free_port, listening, wait_for
from tests.testbed.remote_cluster import RemoteCluster

NARROW = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]
"""All but to create namespaces."""


class Deletions:
    """Watches applications, so that one that is gone for a moment is seen to be gone."""

    def __init__(self, prefix: str, deleted: list[str]) -> None:
        self._prefix, self._deleted = prefix, deleted

    def put(self, item: Any) -> None:
        """New or changed."""

    def drop(self, namespace: str, name: str) -> None:
        """Gone."""
        if name.startswith(self._prefix):
            self._deleted.append(name)

    def keep_only(self, scope: str, names: set[tuple[str, str]]) -> None:
        """Nothing is remembered."""


class RealConnectedStage(RealStage):
    """Verbs on further clusters and on Git."""

    further: Further

    @contextlib.asynccontextmanager
    async def set_up(self) -> AsyncIterator[RealStage]:
        """As for every story, with a token, and nothing of it left behind on what is shared."""
        self.deleted: list[str] = []
        self.overlay = "connections"
        self.env = {
            "ARGOCD_SERVER": f"http://127.0.0.1:{self._bed.argocd_port}",
            "ARGOCD_TOKEN": self._bed.argocd_token,
            "RECOVERY_CLUSTER_SECRETS": "cluster-primary,cluster-secondary",
            "RECOVERY_POLL_INTERVAL": "3s",
        }
        self._mine = contextlib.AsyncExitStack()
        self._clusters: dict[str, RemoteCluster] = {}
        self._server: Process | None = None
        watching = asyncio.ensure_future(
            Reflector(
                self._client,
                APPLICATIONS,
                "argocd",
                wire.application,
                Deletions(self.prefix, self.deleted),
                SystemClock(),
            ).run()
        )
        try:
            async with super().set_up(), self._mine:
                try:
                    yield self
                finally:
                    await self._clear()
        finally:
            watching.cancel()
            if self._server is not None:
                self._server.stop(1)

    async def _clear(self) -> None:
        kept = list(self.deleted)
        for what in (APPLICATION_SETS, APPLICATIONS):
            for item in wire.listed(await self._client.list(what, "argocd")).items:
                name = wire.identity(item).metadata.name
                if name.startswith(f"{self.prefix}-"):
                    with contextlib.suppress(KubeError):
                        await self._client.delete(what, "argocd", name)
        await asyncio.sleep(2)
        self.deleted[:] = kept

    # Clusters

    def _workloads(self) -> list[str]:
        words = ("-n", "shop", "get", "deployments,pods", "-o", "wide")
        there = [
            f"{name}:\n{cluster.kubectl(*words, check=False)}"
            for name, cluster in self._clusters.items()
        ]
        return [*super()._workloads(), *there]

    async def clusters(self) -> None:
        self._clusters = await self._mine.enter_async_context(self.further.mine())

    async def kill(self, cluster: str) -> None:
        await asyncio.to_thread(self._clusters[cluster].kill)

    async def revive(self, cluster: str) -> None:
        await asyncio.to_thread(self._clusters[cluster].revive)

    async def revoke(self, cluster: str) -> None:
        await asyncio.to_thread(self._clusters[cluster].revoke)

    async def narrow(self, cluster: str, *, namespaces: bool) -> None:
        await asyncio.to_thread(
            self._clusters[cluster].register, None, None if namespaces else NARROW
        )

    async def deploy(
        self, name: str, manifests: tuple[dict[str, Any], ...], cluster: str, **how: Any
    ) -> None:
        if kind := how.pop("kind", ""):
            await self._install_there(kind, self._clusters[cluster])
        await asyncio.to_thread(self._repositories.commit, name, manifests)
        spec = {
            "project": "default",
            "source": {
                "repoURL": self._repositories.url(name),
                "path": ".",
                "targetRevision": "HEAD",
            },
            "destination": {"name": cluster, "namespace": how.pop("namespace", "shop")},
            "syncPolicy": {
                "automated": {"selfHeal": True},
                "syncOptions": ["CreateNamespace=true"],
            },
        }
        body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name},
            "spec": spec,
        }
        await self._client.create(APPLICATIONS, "argocd", body)

    async def _install_there(self, kind: str, cluster: RemoteCluster) -> None:
        crd = a_crd("shop.example", "v1", kind, kind.lower() + "s")
        await asyncio.to_thread(
            cluster.kubectl, "apply", "--server-side", "-f", "-", text=json.dumps(crd)
        )

    async def has(self, cluster: str, plural: str, name: str) -> bool:
        return await asyncio.to_thread(self._clusters[cluster].has, plural, name)

    async def label(self, cluster: str, key: str, value: str | None) -> None:
        body = {"metadata": {"labels": {key: value}}}
        await self._client.patch(SECRETS, "argocd", self._clusters[cluster].secret, body)

    async def application_set(
        self, name: str, label: str, manifests: tuple[dict[str, Any], ...]
    ) -> None:
        await asyncio.to_thread(self._repositories.commit, name, manifests)
        await self._client.create(
            APPLICATION_SETS,
            "argocd",
            an_application_set(name, label, self._repositories.url(name)),
        )

        async def generated() -> bool:
            items = wire.listed(await self._client.list(APPLICATIONS, "argocd")).items
            return any(wire.identity(item).metadata.name == name for item in items)

        await self.until("generated", generated, 30)

    # Git

    async def from_git(self, name: str, manifests: tuple[dict[str, Any], ...]) -> None:
        await asyncio.to_thread(self._repositories.commit, name, manifests)
        self._password = self._bed.folder / f"{self.prefix}.password"
        self._password.write_text("first-" + secrets.token_hex(4))
        self._git_port = free_port()
        await self.git("starts")
        self._url = f"http://127.0.0.1:{self._git_port}/{name}.git"
        await self._write_repository()
        spec = {
            "project": "default",
            "source": {"repoURL": self._url, "path": ".", "targetRevision": "HEAD"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {"automated": {}, "retry": {"limit": 0}},
        }
        body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name},
            "spec": spec,
        }
        await self._client.create(APPLICATIONS, "argocd", body)

    async def _write_repository(self) -> None:
        """The Secret by which Argo CD knows it; with basic authentication in a header, git needs no
        helper program."""
        data = {
            "type": "git",
            "url": self._url,
            "username": USER,
            "password": self._password.read_text(),
            "forceHttpBasicAuth": "true",
        }
        labels = {"argocd.argoproj.io/secret-type": "repository"}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"{self.prefix}-repository", "labels": labels},
            "stringData": data,
        }
        try:
            await self._client.create(SECRETS, "argocd", body)
        except Conflict:
            await self._client.patch(
                SECRETS, "argocd", f"{self.prefix}-repository", {"stringData": data}
            )

    async def git(self, what: str) -> None:
        match what:
            case "stops":
                assert self._server is not None
                await asyncio.to_thread(self._server.kill)
            case "starts":
                words = [
                    "-m",
                    "tests.testbed.git_server",
                    str(self._repositories.folder),
                    str(self._git_port),
                    str(self._password),
                ]
                name = f"git-{self.prefix}"
                self._server = Process(
                    name, [sys.executable, *words], self._bed.folder / f"{name}.log"
                ).start()
                await asyncio.to_thread(
                    wait_for, "git", lambda: listening(self._git_port), 20, self._server
                )
            case _:
                self._password.write_text("second-" + secrets.token_hex(4))

    async def external_secret(self) -> None:
        crd = a_crd("external-secrets.io", "v1", "ExternalSecret", "externalsecrets")
        with contextlib.suppress(Conflict):
            await self._client.create(CRDS, "", crd)
        template = {
            "metadata": {"labels": {"argocd.argoproj.io/secret-type": "repository"}},
            "data": {"url": self._url},
        }
        name = f"{self.prefix}-repository"
        body = {
            "apiVersion": "external-secrets.io/v1",
            "kind": "ExternalSecret",
            "metadata": {"name": name},
            "spec": {"target": {"name": name, "template": template}},
        }

        async def made() -> bool:
            try:
                await self._client.create(EXTERNAL_SECRETS, "argocd", body)
            except KubeError:
                return False
            return True

        await self.until("the ExternalSecret is there", made, 20)
        self._operator = asyncio.ensure_future(
            Reflector(
                self._client,
                EXTERNAL_SECRETS,
                "argocd",
                msgspec.json.decode,
                Operator(self, name),
                SystemClock(),
            ).run()
        )
        self._mine.callback(self._operator.cancel)

    # People

    async def of(self, kind: str, name: str = "") -> list[Recovery]:
        items = wire.listed(await self._client.list(RECOVERIES, self.namespace)).items
        found = [
            r
            for r in map(decode, items)
            if r.reason != NOT_CLAIMED
            if r.subject.kind.lower() == kind and name in ("", r.subject.name)
        ]
        return sorted(found, key=lambda r: r.opened_at)

    async def command(self, *words: str) -> str:
        if words[0] == "explain":
            # The controller is a process here and no Pod: the same answer without the API server's
            # proxy in between.
            assert self._controller is not None
            status, body = await asyncio.to_thread(
                self._controller.get, f"/api/v1/explain/{words[1]}"
            )
            return "\n".join(lines(json.loads(body))) if status == 200 else body
        done = await asyncio.to_thread(recovery, self._bed, *words, namespace=self.namespace)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def syncs(self, name: str) -> int:
        history = (await self.raw(name))["status"]["history"]
        return sum(
            (entry.get("initiatedBy") or {}).get("username") == USERNAME for entry in history
        )


class Operator:
    """The External Secrets Operator, as far as it matters: asked to, it writes the newest password
    and says when."""

    def __init__(self, stage: RealConnectedStage, name: str) -> None:
        self._stage, self._name = stage, name
        self._asked = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, item: dict[str, Any]) -> None:
        """New or changed."""
        asked = (item["metadata"].get("annotations") or {}).get("force-sync", "")
        if item["metadata"]["name"] == self._name and asked and asked != self._asked:
            self._asked = asked
            task = asyncio.ensure_future(self._fetch())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _fetch(self) -> None:
        await asyncio.sleep(1)
        await self._stage._write_repository()
        conditions = [{"type": "Ready", "status": "True", "message": "secret synced"}]
        body = {"status": {"refreshTime": stamp(datetime.now(UTC)), "conditions": conditions}}
        await self._stage._client.patch(EXTERNAL_SECRETS, "argocd", self._name, body)

    def drop(self, namespace: str, name: str) -> None:
        """Gone."""

    def keep_only(self, scope: str, names: set[tuple[str, str]]) -> None:
        """Nothing is remembered."""
