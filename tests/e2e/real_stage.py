"""The stage on the real bed: real API server, real Argo CD, the controller as its own process under
the shipped RBAC."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from recovery.act.workloads import restarted_at
from recovery.clock import SystemClock
from recovery.decide.transcript import changes
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import (
    APPLICATIONS,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    RECOVERIES,
    SECRETS,
    STATEFUL_SETS,
    Resource,
)
from recovery.kube.errors import Conflict
from recovery.model.application import Application
from recovery.model.names import REFRESH
from recovery.model.recovery import NOT_CLAIMED, Recovery
from recovery.observe import wire
from recovery.observe.reflector import Reflector
from recovery.record.codec import decode, stamp
from tests.builders import a_recovery, plant
from tests.embedded_stage import called
from tests.testbed.bed import Bed
from tests.testbed.installation import ACCOUNT, ROOT, Controller, install
from tests.testbed.killer import Killer
from tests.testbed.receiver import Receiver
from tests.testbed.repositories import Repositories

CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
BY_PLURAL = {"deployments": DEPLOYMENTS, "statefulsets": STATEFUL_SETS, "daemonsets": DAEMON_SETS}


class RealStage:
    """One story with a namespace, a controller and a receiver of its own, on the bed that all
    share."""

    def __init__(
        self,
        bed: Bed,
        client: AsyncioClient,
        repositories: Repositories,
        prefix: str,
        namespace: str,
    ) -> None:
        self.prefix = prefix
        self.namespace = namespace
        self._bed = bed
        self._client = client
        self._repositories = repositories
        self._receiver = Receiver()
        self.received, self.paged = self._receiver.received, self._receiver.paged
        self._all: dict[str, Recovery] = {}
        self._lines: dict[str, list[str]] = {}
        self._controller: Controller | None = None
        self.exit_codes: list[int] = []
        self.overlay = "base"
        self.env: dict[str, str] = {}
        """Further variables of the controller."""

    @contextlib.asynccontextmanager
    async def set_up(self) -> AsyncIterator[RealStage]:
        """Installed, watched, and with somewhere to send messages to."""
        if (
            self.overlay == "helm"
        ):  # which installs by itself; the CRD and the namespace come before it
            self._bed.kubectl(
                "apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "manifests/crds")
            )
            self._bed.established("recoveries.recovery.gitops.dev")
            self._bed.kubectl("create", "namespace", self.namespace)
        else:
            await asyncio.to_thread(install, self._bed, self.namespace, self.overlay)
        await self._receiver.start()
        place = f"127.0.0.1:{self._receiver.port}"
        urls = {
            "receiver": f"json://{place}/",
            "pagerduty": f"pagerduty://KEY?endpoint=http://{place}",
        }
        await self._client.create(
            SECRETS, self.namespace, {"metadata": {"name": "recovery-channels"}, "stringData": urls}
        )
        stream = Reflector(self._client, RECOVERIES, self.namespace, decode, self, SystemClock())
        watching = asyncio.create_task(stream.run())
        try:
            yield self
        finally:
            watching.cancel()
            await self._receiver.stop()

    @property
    def bed(self) -> Bed:
        """What it is played on."""
        return self._bed

    @property
    def port(self) -> int:
        """Where the controller serves."""
        return self._controller.port if self._controller else 0

    def kill_controller(self) -> None:
        """kill -9."""
        if self._controller is not None:
            self._controller.kill()

    @property
    def client(self) -> AsyncioClient:
        """The bed's API server, as its admin."""
        return self._client

    @property
    def repositories(self) -> Repositories:
        """The bed's Git."""
        return self._repositories

    async def every(self) -> list[Recovery]:
        """Every recovery of this story."""
        items = wire.listed(await self._client.list(RECOVERIES, self.namespace)).items
        return [recovery for recovery in map(decode, items) if recovery.reason != NOT_CLAIMED]

    async def kubectl(self, *words: str, config: str = "") -> str:
        """kubectl in Argo CD's namespace, by default as admin; what it said, also when it was
        refused."""
        command = [
            str(self._bed.bin / "kubectl"),
            f"--kubeconfig={config or self._bed.kubeconfig}",
            "-n",
            "argocd",
            *words,
        ]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False
        )
        return str(done.stdout + done.stderr)

    async def approve(self, held: Recovery, by: str) -> str:
        """As the README says it is done without our command; what the API server said against
        it."""
        asks = {
            "type": "approve",
            "by": by,
            "time": stamp(datetime.now(UTC)),
            "step": held.awaiting,
        }
        where, value = ("/spec/requests/-", asks) if held.requests else ("/spec/requests", [asks])
        patch = json.dumps([{"op": "add", "path": where, "value": value}])
        said = await self.kubectl(
            "-n", self.namespace, "patch", "rcv", held.name, "--type=json", "-p", patch
        )
        return "" if "patched" in said else said

    def writes_of_all(self) -> list[dict[str, Any]]:
        """What this story's controller wrote to Applications."""
        user = f"system:serviceaccount:{self.namespace}:{ACCOUNT}"
        return [
            e
            for e in self.audit()
            if e["user"]["username"] == user
            and e["objectRef"]["resource"] == "applications"
            and e["verb"] not in ("get", "list", "watch")
        ]

    # The reflector's sink

    def put(self, item: Recovery) -> None:
        if item.reason == NOT_CLAIMED:
            return  # only just made: its status follows
        lines = changes(self._all.get(item.name), item)
        self._lines.setdefault(called(item), []).extend(lines)
        self._all[item.name] = item

    def drop(self, namespace: str, name: str) -> None:
        self._all.pop(name, None)

    def keep_only(self, scope: str, names: set[tuple[str, str]]) -> None:
        pass

    # The verbs

    async def policies(self, text: str) -> None:
        await self._client.patch(
            CONFIG_MAPS, self.namespace, "recovery-policies", {"data": {"policies.yaml": text}}
        )

    async def application(
        self,
        name: str,
        manifests: tuple[dict[str, Any], ...],
        *,
        auto_sync: bool = True,
        self_heal: bool = False,
        retry: int | None = None,
    ) -> None:
        await asyncio.to_thread(self._repositories.commit, name, manifests)
        policy: dict[str, Any] = (
            {"automated": {"prune": False, "selfHeal": self_heal}} if auto_sync else {}
        )
        if retry is not None:
            policy["retry"] = {"limit": retry}
        spec = {
            "project": "default",
            "source": {
                "repoURL": self._repositories.url(name),
                "path": ".",
                "targetRevision": "HEAD",
            },
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": policy,
        }
        body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name},
            "spec": spec,
        }
        await self._client.create(APPLICATIONS, "argocd", body)

    async def commit(self, name: str, manifests: tuple[dict[str, Any], ...]) -> str:
        sha = await asyncio.to_thread(self._repositories.commit, name, manifests)
        await self._client.patch(
            APPLICATIONS, "argocd", name, {"metadata": {"annotations": {REFRESH: "normal"}}}
        )
        return sha

    async def install(self, kind: str) -> None:
        body = a_crd("shop.example", "v1", kind, kind.lower() + "s")
        with contextlib.suppress(Conflict):
            await self._client.create(CRDS, "", body)

    async def seen(self, name: str) -> Application:
        return wire.application(await self._client.get(APPLICATIONS, "argocd", name))

    async def raw(self, name: str) -> dict[str, Any]:
        return dict(json.loads(await self._client.get(APPLICATIONS, "argocd", name)))

    async def restarted(self, plural: str, name: str) -> bool:
        return (
            restarted_at(json.loads(await self._client.get(BY_PLURAL[plural], "shop", name)))
            is not None
        )

    async def recoveries(self, name: str) -> list[Recovery]:
        found = [r for r in await self.every() if r.subject.name == name]
        return sorted(found, key=lambda r: r.opened_at)

    async def old_recovery(self, name: str) -> None:
        old = a_recovery(name, datetime.now(UTC) - timedelta(days=30))
        await plant(self._client, old, self.namespace)

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        # The bed is shared by all stories at once, on two cores: patience is not what is tested.
        until = loop.time() + seconds * 3
        while not await holds():
            if loop.time() > until:
                log = self._controller.process.tail(25) if self._controller else ""
                raise AssertionError(
                    f"{self.prefix}: {what}: not within {seconds * 3}s\n{self._lines}\n{await self._seen()}\n{log}"
                )
            await asyncio.sleep(0.5)

    async def _seen(self) -> str:
        """What Argo CD and the kubelet made of this story's applications: whose fault is it that it
        goes on no further?"""
        told = []
        for item in wire.listed(await self._client.list(APPLICATIONS, "argocd")).items:
            app = wire.application(item)
            if app.name.startswith(f"{self.prefix}-"):
                conditions = [f"{c.type}: {c.message}" for c in app.conditions]
                told.append(
                    f"{app.key}: {app.sync} {app.health} compared {app.reconciled_at} at {app.destination} {app.operation} {conditions}"
                )
        return "\n".join([*told, *await asyncio.to_thread(self._workloads)])

    def _workloads(self) -> list[str]:
        return [
            self._bed.kubectl("-n", "shop", "get", "deployments,pods", "-o", "wide", check=False)
        ]

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def transcript(self, name: str) -> list[str]:
        return self._lines.get(name, [])

    @contextlib.asynccontextmanager
    async def controller(
        self, *, enabled: bool = True, killed_at: str = ""
    ) -> AsyncIterator[Callable[[], bool]]:
        killer: Killer | None = None
        if killed_at:
            ca = str(self._bed.folder / "certs" / "apiserver.crt")
            killer = Killer(
                f"https://127.0.0.1:{self._bed.port}",
                ca,
                killed_at,
                lambda: self._controller.kill() if self._controller else None,
            )
            await killer.start()
        server = killer.url if killer else ""
        env = {"RECOVERY_ENABLED": str(enabled).lower(), **self.env}
        self._controller = await asyncio.to_thread(
            lambda: Controller(self._bed, self.namespace, server=server, **env)
        )
        await asyncio.to_thread(self._controller.start)
        try:
            yield lambda: bool(killer and killer.fired)
        finally:
            self.exit_codes.append(await asyncio.to_thread(self._controller.stop))
            if killer:
                await killer.stop()

    async def ready_details(self) -> dict[str, Any]:
        return await self.asked("/ready")

    async def asked(self, path: str) -> dict[str, Any]:
        """What the controller answers on one of its paths."""
        assert self._controller is not None
        return dict(json.loads((await asyncio.to_thread(self._controller.get, path))[1]))

    async def asked_text(self, path: str) -> str:
        """The same as it comes."""
        assert self._controller is not None
        return (await asyncio.to_thread(self._controller.get, path))[1]

    def log(self) -> str:
        """What the controller has logged."""
        return self._controller.process.tail(100_000) if self._controller else ""

    async def writes(self, name: str) -> int:
        user = f"system:serviceaccount:{self.namespace}:{ACCOUNT}"
        return sum(
            e["user"]["username"] == user and e["verb"] not in ("get", "list", "watch")
            for e in self.audit()
            if e["objectRef"].get("resource") == "applications"
            and e["objectRef"].get("name") == name
        )

    def audit(self) -> list[dict[str, Any]]:
        """What ServiceAccounts asked of the API server so far."""
        lines = self._bed.audit_log.read_text().splitlines()
        return [e for e in map(json.loads, lines) if "objectRef" in e]

    async def events(self, reason: str) -> int:
        items = msgspec.json.decode(await self._client.list(EVENTS, self.namespace))["items"]
        return sum(e["reason"] == reason for e in items)


def a_crd(group: str, version: str, kind: str, plural: str) -> dict[str, Any]:
    """A CRD that takes anything."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "plural": plural,
                "singular": kind.lower(),
                "listKind": kind + "List",
            },
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }
