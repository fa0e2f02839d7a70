"""Deployments, StatefulSets and DaemonSets that come to life: pods behave as their image's tag
says.

``ready`` is ready after two seconds; pods.py says what the others do. A Deployment whose rollout
misses its progressDeadlineSeconds is Degraded; one whose rollout was complete before its pods crash
keeps NewReplicaSetAvailable and is Progressing, and so are the other kinds, for ever (kubernetes
pkg/controller/deployment/progress.go, gitops-engine pkg/health, seen on 3.2).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from recovery.act import workloads
from recovery.act.workloads import RESTARTED_AT
from recovery.clock import Clock
from recovery.kube.client import (
    DAEMON_SETS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
)
from recovery.kube.errors import KubeError, NotFound
from recovery.model.names import SubjectKey
from recovery.record.codec import stamp
from recovery.simulate import pods
from recovery.simulate.cluster import Cluster, Object
from recovery.workqueue import WorkQueue

READY_AFTER = timedelta(seconds=2)
WORKLOAD_RESOURCES = {
    "Deployment": DEPLOYMENTS,
    "StatefulSet": STATEFUL_SETS,
    "DaemonSet": DAEMON_SETS,
}
_BY_PLURAL = {resource.plural: kind for kind, resource in WORKLOAD_RESOURCES.items()}


def runs(template: dict[str, Any]) -> bool:
    """Do pods of this template ever get ready?"""
    restarted = RESTARTED_AT in ((template.get("metadata") or {}).get("annotations") or {})
    return all(
        pods.ready(c["image"].rpartition(":")[2], restarted=restarted)
        for c in template["spec"]["containers"]
    )


def health(kind: str, item: Object | None) -> str:
    """As Argo CD judges one workload."""
    return "Missing" if item is None else workloads.health(kind, item).value


class Kubelet:
    """Keeps the status of every workload."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._queue = WorkQueue(clock)
        self._rollouts: dict[SubjectKey, tuple[str, datetime]] = {}
        self._complete: set[SubjectKey] = set()
        """Whose newest rollout was complete once: what its pods do later is no missed deadline."""
        cluster.listen(self._heard)

    def _heard(self, what: Resource, _: str, item: Object) -> None:
        if what.plural in _BY_PLURAL:
            self._queue.add(
                SubjectKey(what.plural, item["metadata"]["namespace"], item["metadata"]["name"])
            )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            key = await self._queue.get()
            try:
                await self._settle(key)
            except KubeError:
                self._queue.add(key, self._clock.now() + timedelta(seconds=1))
            finally:
                self._queue.done(key)

    async def _settle(self, key: SubjectKey) -> None:
        what = WORKLOAD_RESOURCES[_BY_PLURAL[key.kind]]
        item = self._cluster.find(what, key.namespace, key.name)
        if item is None:
            self._rollouts.pop(key, None)
            self._complete.discard(key)
            with suppress(NotFound):  # as the garbage collector does
                await self._cluster.delete(PODS, key.namespace, f"{key.name}-pod")
            return
        spec, now = item["spec"], self._clock.now()
        template = repr(spec.get("template"))
        known = self._rollouts.get(key)
        if known is None or known[0] != template:
            known = self._rollouts[key] = (template, now)
            self._complete.discard(key)
        began = known[1]
        late = began + timedelta(seconds=int(spec.get("progressDeadlineSeconds", 600)))
        good = runs(spec["template"])
        ready = good and now >= began + READY_AFTER
        replicas = int(spec.get("replicas", 1))
        status: dict[str, Any] = {
            "observedGeneration": item["metadata"]["generation"],
            "replicas": replicas,
            "updatedReplicas": replicas,
        }
        if ready:
            self._complete.add(key)
        complete, there = key in self._complete, int(ready)
        if key.kind == "daemonsets":
            status |= {
                "desiredNumberScheduled": 1,
                "updatedNumberScheduled": 1,
                "numberReady": there,
                "numberAvailable": there,
            }
        else:
            status |= {"readyReplicas": replicas * there, "availableReplicas": replicas * there}
        if key.kind == "deployments":
            failed = not complete and now >= late
            reason = (
                "ProgressDeadlineExceeded"
                if failed
                else "NewReplicaSetAvailable"
                if complete
                else "ReplicaSetUpdated"
            )
            status["conditions"] = [
                {"type": "Progressing", "status": "False" if failed else "True", "reason": reason}
            ]
        await self._cluster.patch(what, key.namespace, key.name, {"status": status})
        await self._keep_pod(key, spec["template"], ready or not good)
        if good and not ready:
            self._queue.add(key, began + READY_AFTER)
        elif not good and now < late:
            self._queue.add(key, late)

    async def _controller(self, key: SubjectKey, meta: dict[str, Any]) -> dict[str, Any]:
        """Owner that controls the pods: the workload itself, or the one ReplicaSet that stands for
        all of a Deployment's."""
        what = WORKLOAD_RESOURCES[_BY_PLURAL[key.kind]]
        workload = self._cluster.find(what, key.namespace, key.name) or {"metadata": {}}
        owner = {
            "kind": _BY_PLURAL[key.kind],
            "name": key.name,
            "uid": workload["metadata"].get("uid", ""),
            "controller": True,
        }
        if key.kind != "deployments":
            return owner
        name = f"{key.name}-replicas"
        if (found := self._cluster.find(REPLICA_SETS, key.namespace, name)) is None:
            body = {
                "metadata": {
                    "name": name,
                    "labels": meta.get("labels") or {},
                    "ownerReferences": [owner],
                }
            }
            await self._cluster.create(REPLICA_SETS, key.namespace, body)
            found = self._cluster.find(REPLICA_SETS, key.namespace, name) or {"metadata": {}}
        return {
            "kind": "ReplicaSet",
            "name": name,
            "uid": found["metadata"].get("uid", ""),
            "controller": True,
        }

    async def _keep_pod(self, key: SubjectKey, template: dict[str, Any], settled: bool) -> None:
        """One pod stands for all of a workload's."""
        meta, container = template.get("metadata") or {}, template["spec"]["containers"][0]
        name = f"{key.name}-pod"
        restarted = RESTARTED_AT in (meta.get("annotations") or {})
        known = self._cluster.find(PODS, key.namespace, name)
        now = known["metadata"]["creationTimestamp"] if known else stamp(self._clock.now())
        status = (
            pods.status(container["image"], name, now, restarted=restarted)
            if settled
            else {"phase": "Pending"}
        )
        owner = await self._controller(key, meta)
        body = {
            "metadata": {
                "name": name,
                "labels": {**(meta.get("labels") or {}), "owner": key.name},
                "ownerReferences": [owner],
            },
            "status": status,
        }
        if known is None:
            await self._cluster.create(PODS, key.namespace, body)
        elif known.get("status") != status:
            await self._cluster.update(PODS, key.namespace, name, body)
