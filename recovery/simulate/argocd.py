"""Argo CD's reactions to an Application: compare, auto-sync, operations, refresh. After its source
(argo-cd 3.2).

What is modelled is what a recovery controller can see and trip over: one automatic attempt a
revision, no retry after a failed one, self-heal, a rollback that is undone at once while auto-sync
is on, operations that wait for their turn.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from recovery.clock import Clock
from recovery.kube.client import APPLICATIONS, Resource
from recovery.kube.errors import KubeError, NotFound
from recovery.model.names import REFRESH, RESOURCES_FINALIZER, SKIP_RECONCILE, TRACKING, SubjectKey
from recovery.record.codec import stamp
from recovery.simulate.cluster import Cluster, Object
from recovery.simulate.clusters import Destination, Destinations, tracked
from recovery.simulate.git import Git, built
from recovery.simulate.workloads import WORKLOAD_RESOURCES, health
from recovery.workqueue import WorkQueue

RESYNC = timedelta(seconds=180)
OPERATION_TAKES = timedelta(seconds=1)
INSTANCE = "app.kubernetes.io/instance"
_ORDER = ("Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown")


class ArgoCD:
    """The application controller of an embedded cluster. ``running`` switches it off, as a dead
    shard is."""

    def __init__(
        self, cluster: Cluster, destinations: Destinations, git: Git, clock: Clock
    ) -> None:
        self._cluster = cluster
        self._destinations = destinations
        self._git = git
        self._clock = clock
        self._queue = WorkQueue(clock)
        self._live: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        self._orphaned: dict[tuple[str, str], Object] = {}
        """Applications that were deleted with what they deployed, until that is gone."""
        self.running = True
        self.installed: set[str] = set()
        """Custom kinds whose CRD is there."""
        self.resync = RESYNC
        self.keeps_health = False
        """Health stands with every resource in the Application (before 3.0)."""
        self.overrides: dict[tuple[str, str], dict[str, Any]] = {}
        """By namespace and name: what a comparison finds of sync, health, conditions and resources
        whatever is really there. Taken away, the next one finds what there is."""
        cluster.listen(self._heard)

    def manage(self, destination: Destination) -> None:
        """React to what happens in a further cluster."""
        destination.cluster.listen(self._heard)

    def _there(self, app: Object) -> Cluster:
        """The cluster it is deployed to."""
        found = self._destinations.of(app["spec"]["destination"])
        return found.cluster if found else self._cluster

    def _heard(self, what: Resource, kind: str, item: Object) -> None:
        meta = item["metadata"]
        if what == APPLICATIONS and kind != "DELETED":
            asked = REFRESH in (meta.get("annotations") or {}) or item.get("operation") is not None
            if asked or kind == "ADDED" or self._spec_changed(item):
                self._queue.add(SubjectKey("application", meta["namespace"], meta["name"]))
        elif what == APPLICATIONS and RESOURCES_FINALIZER in (meta.get("finalizers") or ()):
            self._orphaned[meta["namespace"], meta["name"]] = item
            self._queue.add(SubjectKey("application", meta["namespace"], meta["name"]))
        elif what.plural in ("deployments", "statefulsets", "daemonsets"):
            owner = (meta.get("labels") or {}).get(INSTANCE)
            if owner:
                namespace, _, name = owner.partition("_")
                self._queue.add(SubjectKey("application", namespace, name))

    def _spec_changed(self, item: Object) -> bool:
        seen = (
            (item.get("status") or {}).get("seenGeneration"),
            item["metadata"].get("generation"),
        )
        return bool(seen[0] != seen[1])

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            key = await self._queue.get()
            try:
                if self.running:
                    await self._look(key)
            except KubeError:
                self._queue.add(key, self._clock.now() + timedelta(seconds=1))
            finally:
                self._queue.done(key)

    def wake(self) -> None:
        """Look at everything now, as after a restart of the controller or a webhook."""
        for app in self._cluster.every(APPLICATIONS):
            self._queue.add(
                SubjectKey("application", app["metadata"]["namespace"], app["metadata"]["name"])
            )

    async def _look(self, key: SubjectKey) -> None:
        app = self._cluster.find(APPLICATIONS, key.namespace, key.name)
        deleted = self._orphaned.pop((key.namespace, key.name), None)
        if app is None and deleted is not None:
            await self._cascade(deleted)
        annotations = (app or {"metadata": {}})["metadata"].get("annotations") or {}
        if (
            app is None
            or annotations.get(SKIP_RECONCILE) == "true"
            or (app.get("status") or {}).get("frozen")
        ):
            return
        if app.get("operation") is not None:
            await self._operate(key, app)
            app = self._cluster.find(APPLICATIONS, key.namespace, key.name)
        if app is not None:
            await self._compare(key, app)
        self._queue.add(key, self._clock.now() + self.resync)

    async def _cascade(self, app: Object) -> None:
        """Delete what an Application with Argo CD's finalizer deployed (appcontroller.go:
        finalizeApplicationDeletion); here the Application itself is gone at once."""
        name = (app["metadata"]["namespace"], app["metadata"]["name"])
        for _, kind, resource in self._live.pop(name, ()):
            what = WORKLOAD_RESOURCES.get(kind)
            if what is not None:
                with suppress(NotFound):
                    await self._there(app).delete(what, _namespace(app), resource)

    # Operations

    async def _operate(self, key: SubjectKey, app: Object) -> None:
        now = self._clock.now()
        state = (app.get("status") or {}).get("operationState")
        if state is None or state["phase"] in ("Succeeded", "Failed", "Error"):
            state = {
                "operation": app["operation"],
                "phase": "Running",
                "startedAt": stamp(now),
                "message": "waiting to start",
            }
            await self._write(key, {"status": {"operationState": None}})
            await self._write(key, {"status": {"operationState": state}})
            self._queue.add(key, now + OPERATION_TAKES)
            return
        if state["phase"] == "Terminating":
            await self._finish(key, app, "Failed", "Operation terminated", [], "")
            return
        if now < _time(state["startedAt"]) + OPERATION_TAKES:
            self._queue.add(key, _time(state["startedAt"]) + OPERATION_TAKES)
            return
        if "hang" in (app["metadata"].get("annotations") or {}):
            return
        await self._sync(key, app, state)

    async def _sync(self, key: SubjectKey, app: Object, state: dict[str, Any]) -> None:
        sync = state["operation"].get("sync") or {}
        url = app["spec"]["source"]["repoURL"]
        if trouble := self._unreadable(app):
            await self._finish(key, app, "Error", trouble[0], [], "")
            return
        commit = self._git.at(url, sync.get("revision", "")) or self._git.head(url)
        if commit is None:
            await self._finish(
                key,
                app,
                "Error",
                "ComparisonError: Failed to load target state: repository is empty",
                [],
                "",
            )
            return
        source = sync.get("source") or app["spec"]["source"]
        named = {(each["kind"], each["name"]) for each in sync.get("resources") or ()}
        wanted = [
            m
            for m in built(commit, source)
            if not named or (m["kind"], m["metadata"]["name"]) in named
        ]
        results, failed = [], False
        for manifest in wanted:
            group = manifest["apiVersion"].rpartition("/")[0]
            row = {
                "group": group,
                "kind": manifest["kind"],
                "name": manifest["metadata"]["name"],
                "namespace": _namespace(app),
                "status": "Synced",
                "message": (
                    f"{manifest['kind'].lower()}.{group or 'core'}/{manifest['metadata']['name']}"
                    f" {self._change(app, manifest)}"
                ),
            }
            if self._absent(manifest):
                failed = True
                row["status"] = "SyncFailed"
                # A Mute is refused without a word: a failure whose cause nobody can know.
                words = (
                    f"The Kubernetes API could not find {group}/{manifest['kind']} for requested"
                    f" resource {_namespace(app)}/{row['name']}. "
                )
                words += (
                    f'Make sure the "{manifest["kind"]}" CRD is installed on the destination'
                    " cluster."
                )
                row["message"] = "" if manifest["kind"].startswith("Mute") else words
            results.append(row)
        if failed:
            await self._finish(
                key,
                app,
                "Failed",
                "one or more synchronization tasks are not valid",
                results,
                commit.sha,
            )
            return
        for manifest in wanted if not sync.get("dryRun") else ():
            await self._apply(app, manifest)
        await self._finish(
            key, app, "Succeeded", "successfully synced (all tasks run)", results, commit.sha
        )

    async def _finish(
        self,
        key: SubjectKey,
        app: Object,
        phase: str,
        message: str,
        results: list[dict[str, Any]],
        sha: str,
    ) -> None:
        now, status = stamp(self._clock.now()), app["status"]
        state = status["operationState"]
        sync = state["operation"].get("sync") or {}
        source = sync.get("source") or app["spec"]["source"]
        done = {
            "phase": phase,
            "message": message,
            "finishedAt": now,
            "syncResult": {"revision": sha, "source": source, "resources": results},
        }
        patch: dict[str, Any] = {"operation": None, "status": {"operationState": done}}
        if phase == "Succeeded" and not sync.get("resources") and not sync.get("dryRun"):
            history = status.get("history") or []
            entry = {
                "id": history[-1]["id"] + 1 if history else 0,
                "revision": sha,
                "source": source,
                "deployStartedAt": state["startedAt"],
                "deployedAt": now,
                "initiatedBy": state["operation"].get("initiatedBy") or {},
            }
            patch["status"]["history"] = [*history, entry][-10:]
        await self._write(key, patch)

    def _change(self, app: Object, manifest: dict[str, Any]) -> str:
        """kubectl's word for what applying it does."""
        what = WORKLOAD_RESOURCES.get(manifest["kind"])
        name = manifest["metadata"]["name"]
        if what is None:
            live = self._live.get((app["metadata"]["namespace"], app["metadata"]["name"]), ())
            return (
                "unchanged"
                if (manifest["apiVersion"], manifest["kind"], name) in live
                else "created"
            )
        item = self._there(app).find(what, _namespace(app), name)
        return (
            "created" if item is None else "unchanged" if _equal(manifest, item) else "configured"
        )

    async def _apply(self, app: Object, manifest: dict[str, Any]) -> None:
        what = WORKLOAD_RESOURCES.get(manifest["kind"])
        name, namespace = manifest["metadata"]["name"], _namespace(app)
        live = self._live.setdefault((app["metadata"]["namespace"], app["metadata"]["name"]), [])
        entry = (manifest["apiVersion"], manifest["kind"], name)
        if entry not in live:
            live.append(entry)
        if what is None:
            return
        labels = {INSTANCE: f"{app['metadata']['namespace']}_{app['metadata']['name']}"}
        notes = {TRACKING: tracked(app, manifest)}
        body = {
            **manifest,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": labels,
                "annotations": notes,
            },
        }
        there = self._there(app)
        if there.find(what, namespace, name) is None:
            await there.create(what, namespace, body)
        else:
            await there.patch(what, namespace, name, {"spec": manifest["spec"]})

    # Comparison

    def _unreadable(self, app: Object) -> tuple[str, ...]:
        """Why it cannot be compared or synced: its cluster, or its repository."""
        found = self._destinations.of(app["spec"]["destination"])
        if found is not None and not (found.up and found.accepts):
            why = (
                "dial tcp 10.0.0.1:6443: connect: connection refused"
                if not found.up
                else "Unauthorized"
            )
            host = (
                f'failed to get cluster info for "{found.server}": error synchronizing cache'
                " state : "
            )
            host += f"failed to sync cluster {found.server}: {why}"
            return f"Failed to load live state: {host}", f"Failed to load target state: {host}"
        if trouble := self._git.trouble(app["spec"]["source"]["repoURL"]):
            rpc = "failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = "
            return (f"Failed to load target state: {rpc}{trouble}",)
        return ()

    async def _lost(self, key: SubjectKey, app: Object, why: tuple[str, ...]) -> None:
        """A comparison that could not be made. A cluster that dies is not even noticed until it is
        listed anew; then its applications show no resources and are Healthy (seen on 3.2)."""
        found = self._destinations.of(app["spec"]["destination"])
        patch: dict[str, Any] = {
            "metadata": {"annotations": {REFRESH: None}},
            "status": {"reconciledAt": stamp(self._clock.now())},
        }
        dead = found is not None and not (found.up and found.accepts)
        if not dead or (found is not None and found.unread):
            old = (app.get("status") or {}).get("conditions") or []
            fresh = [
                {
                    "type": "ComparisonError",
                    "message": w,
                    "lastTransitionTime": stamp(self._clock.now()),
                }
                for w in why
            ]
            same = [c["message"] for c in old] == list(why)
            patch["status"] |= {"sync": {"status": "Unknown"}, "conditions": old if same else fresh}
        if dead and found is not None and found.unread:
            patch["status"] |= {"resources": [], "health": {"status": "Healthy"}}
        await self._write(key, patch)

    async def _compare(self, key: SubjectKey, app: Object) -> None:
        if why := self._unreadable(app):
            await self._lost(key, app, why)
            return
        now = self._clock.now()
        status = app.get("status") or {}
        commit = self._git.head(app["spec"]["source"]["repoURL"])
        if commit is None:
            sync: dict[str, Any] = {"status": "Unknown"}
            rows: list[dict[str, Any]] = []
        else:
            rows = [self._row(app, manifest) for manifest in built(commit, app["spec"]["source"])]
            synced = all(row["status"] == "Synced" for row in rows)
            sync = {
                "status": "Synced" if synced else "OutOfSync",
                "revision": commit.sha,
                "comparedTo": {"source": app["spec"]["source"]},
            }
        override = self.overrides.get((key.namespace, key.name), {})
        sync |= override.get("sync", {})
        worst = override.get("health", {}).get("status") or _worst(rows)
        old = status.get("health") or {}
        since = old.get("lastTransitionTime") if old.get("status") == worst else stamp(now)
        conditions = self._auto_sync_conditions(app, sync, now)
        patch: dict[str, Any] = {
            "metadata": {"annotations": {REFRESH: None}},
            "status": {
                "sync": sync,
                "health": {"status": worst, "lastTransitionTime": since},
                "resources": [self._kept(row) for row in rows],
                "sourceType": "Kustomize",
                "summary": {"images": self._running(app, rows)},
                "conditions": conditions or None,
                "reconciledAt": stamp(now),
                "seenGeneration": app["metadata"].get("generation"),
            },
        }
        patch["status"] |= {k: v for k, v in override.items() if k in ("conditions", "resources")}
        made_up = "sync" in override  # it would be synced to no end
        if operation := None if made_up else self._auto_sync(app, sync, rows):
            patch["operation"] = operation
            patch["status"]["operationState"] = None
        await self._write(key, patch)

    def _running(self, app: Object, rows: list[dict[str, Any]]) -> list[str]:
        """The images of its pods (controller/cache GetSummary, from the tree's pods): of what is
        scaled to nothing there are none."""
        found = []
        for row in rows:
            what = WORKLOAD_RESOURCES.get(row["kind"])
            item = (
                self._there(app).find(what, row["namespace"], row["name"])
                if what is not None
                else None
            )
            spec = (item or {}).get("spec") or {}
            if spec.get("replicas", 1):
                found += [
                    c["image"]
                    for c in ((spec.get("template") or {}).get("spec") or {}).get("containers")
                    or ()
                ]
        return sorted(set(found))

    def _kept(self, row: dict[str, Any]) -> dict[str, Any]:
        rest = {k: v for k, v in row.items() if k != "health"}
        return {**rest, "health": {"status": row["health"]}} if self.keeps_health else rest

    def _row(self, app: Object, manifest: dict[str, Any]) -> dict[str, Any]:
        name, kind = manifest["metadata"]["name"], manifest["kind"]
        group, _, version = manifest["apiVersion"].rpartition("/")
        row = {
            "group": group,
            "version": version,
            "kind": kind,
            "name": name,
            "namespace": _namespace(app),
        }
        what = WORKLOAD_RESOURCES.get(kind)
        if what is None:
            there = (manifest["apiVersion"], kind, name) in self._live.get(
                (app["metadata"]["namespace"], app["metadata"]["name"]), ()
            )
            return {**row, "status": "Synced" if there else "OutOfSync", "health": "Healthy"}
        item = self._there(app).find(what, _namespace(app), name)
        return {
            **row,
            "status": "Synced" if item is not None and _equal(manifest, item) else "OutOfSync",
            "health": health(kind, item),
        }

    def _auto_sync(
        self, app: Object, sync: dict[str, Any], rows: list[dict[str, Any]]
    ) -> dict[str, Any] | None:
        """controller/appcontroller.go:autoSync and alreadyAttemptedSync."""
        automated = (app["spec"].get("syncPolicy") or {}).get("automated")
        if (
            automated is None
            or automated.get("enabled") is False
            or sync["status"] != "OutOfSync"
            or app.get("operation") is not None
        ):
            return None
        operation: dict[str, Any] = {
            "initiatedBy": {"automated": True},
            "sync": {"revision": sync["revision"], "prune": bool(automated.get("prune"))},
        }
        state = (app.get("status") or {}).get("operationState")
        done = (state or {}).get("syncResult") or {}
        if (
            state is None
            or done.get("revision") != sync["revision"]
            or done.get("source", app["spec"]["source"]) != app["spec"]["source"]
        ):
            return operation
        if state["phase"] != "Succeeded" or not automated.get("selfHeal"):
            return None
        operation["sync"]["resources"] = [
            {k: row[k] for k in ("group", "kind", "name")}
            for row in rows
            if row["status"] == "OutOfSync"
        ]
        return operation

    def _auto_sync_conditions(
        self, app: Object, sync: dict[str, Any], now: datetime
    ) -> list[dict[str, str]]:
        automated = (app["spec"].get("syncPolicy") or {}).get("automated")
        state = (app.get("status") or {}).get("operationState") or {}
        gave_up = (
            automated is not None
            and automated.get("enabled") is not False
            and sync["status"] == "OutOfSync"
            and app.get("operation") is None
        )
        attempted = (state.get("syncResult") or {}).get("revision") == sync.get("revision")
        if not (gave_up and attempted and state.get("phase") in ("Failed", "Error")):
            return []
        message = f"Failed last sync attempt to [{sync['revision']}]: {state.get('message', '')}"
        old = next(
            (
                c
                for c in (app.get("status") or {}).get("conditions") or ()
                if c["type"] == "SyncError" and c["message"] == message
            ),
            None,
        )
        return [old or {"type": "SyncError", "message": message, "lastTransitionTime": stamp(now)}]

    def _absent(self, manifest: dict[str, Any]) -> bool:
        custom = "." in manifest["apiVersion"].partition("/")[0]
        return custom and manifest["kind"] not in self.installed

    async def _write(self, key: SubjectKey, patch: dict[str, Any]) -> None:
        await self._cluster.patch(APPLICATIONS, key.namespace, key.name, patch)


def _equal(manifest: dict[str, Any], item: Object) -> bool:
    """Do image and replicas agree? (What Git does not know, such as restartedAt, is no
    difference.)"""
    wanted, live = manifest["spec"], item["spec"]
    images = [
        [c["image"] for c in spec["template"]["spec"]["containers"]] for spec in (wanted, live)
    ]
    return images[0] == images[1] and wanted.get("replicas", 1) == live.get("replicas", 1)


def _worst(rows: list[dict[str, Any]]) -> str:
    states = [row["health"] for row in rows] or ["Healthy"]
    return str(max(states, key=_ORDER.index))


def _namespace(app: Object) -> str:
    return str(app["spec"]["destination"].get("namespace", ""))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
