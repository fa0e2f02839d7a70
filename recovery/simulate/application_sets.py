"""ApplicationSets with cluster and list generators: what Argo CD's own controller makes of them.

After applicationset/controllers/applicationset_controller.go and utils/createOrUpdate.go (argo-cd
3.2): a name that is generated twice is left alone, a name that is generated no more is deleted.
What is there is written as the template says whenever the set, a Secret or the application itself
changes: spec, labels and annotations, but for ``ignoreApplicationDifferences``, ``preservedFields``
and the few annotations of Argo CD's own; ``applicationsSync`` may forbid it.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from datetime import timedelta
from typing import Any

import msgspec

from recovery.clock import Clock
from recovery.kube.client import APPLICATION_SETS, APPLICATIONS, Resource
from recovery.kube.errors import KubeError
from recovery.model.names import REFRESH, SubjectKey
from recovery.simulate.cluster import Cluster, Object
from recovery.simulate.clusters import Destinations
from recovery.workqueue import WorkQueue

KEPT_ANNOTATIONS = (REFRESH, "argocd.argoproj.io/hydrate", "notified.notifications.argoproj.io")
"""Annotations of an owned Application that are never written back."""
UNDO_AFTER = timedelta(milliseconds=500)
"""An edit of an owned Application is reverted within a second (seen on 3.2)."""


class ApplicationSets:
    """The ApplicationSet controller, for list and cluster generators."""

    def __init__(self, cluster: Cluster, destinations: Destinations, clock: Clock) -> None:
        self._cluster = cluster
        self._destinations = destinations
        self._clock = clock
        self._queue = WorkQueue(clock)
        cluster.listen(self._heard)

    def _heard(self, what: Resource, kind: str, item: Object) -> None:
        if what == APPLICATION_SETS and kind != "DELETED":
            self._queue.add(
                SubjectKey("set", item["metadata"]["namespace"], item["metadata"]["name"])
            )
        elif what == APPLICATIONS and (owner := _owner(item)):
            self._queue.add(
                SubjectKey("set", item["metadata"].get("namespace", ""), owner),
                self._clock.now() + UNDO_AFTER,
            )
        elif what.plural == "secrets":
            for each in self._cluster.every(APPLICATION_SETS):
                self._queue.add(
                    SubjectKey("set", each["metadata"]["namespace"], each["metadata"]["name"])
                )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            key = await self._queue.get()
            try:
                item = self._cluster.find(APPLICATION_SETS, key.namespace, key.name)
                if item is not None:
                    await self._apply(item)
            except KubeError:
                self._queue.add(key)
            finally:
                self._queue.done(key)

    async def _apply(self, item: Object) -> None:
        wanted = self._generated(item)
        names = Counter(app["metadata"]["name"] for app in wanted)
        namespace = item["metadata"]["namespace"]
        for app in wanted:
            name = app["metadata"]["name"]
            if names[name] > 1:
                continue
            if self._cluster.find(APPLICATIONS, namespace, name) is None:
                await self._cluster.create(APPLICATIONS, namespace, app)
            elif patch := _written_back(
                item, app, self._cluster.find(APPLICATIONS, namespace, name) or {}
            ):
                await self._cluster.patch(APPLICATIONS, namespace, name, patch)
        if _mode(item) in ("create-only", "create-update"):
            return
        for app in self._cluster.every(APPLICATIONS):
            if _owner(app) == item["metadata"]["name"] and app["metadata"]["name"] not in names:
                await self._cluster.delete(APPLICATIONS, namespace, app["metadata"]["name"])

    def _generated(self, item: Object) -> list[dict[str, Any]]:
        meta = item["metadata"]
        owner = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "ApplicationSet",
            "name": meta["name"],
            "uid": meta["uid"],
            "controller": True,
        }
        found = []
        for each in (
            e
            for g in item["spec"].get("generators") or ()
            if "list" in g
            for e in g["list"]["elements"]
        ):
            text = msgspec.json.encode(item["spec"]["template"]).decode()
            for word, value in each.items():
                text = text.replace("{{" + word + "}}", value)
            found.append(msgspec.json.decode(text))
            found[-1]["metadata"]["ownerReferences"] = [owner]
        asking = [
            g["clusters"]["selector"]["matchLabels"]
            for g in item["spec"].get("generators") or ()
            if "clusters" in g
        ]
        for asked in asking:
            for each in self._destinations.all.values():
                labels = self._destinations.labels(each)
                if all(labels.get(k) == v for k, v in asked.items()):
                    text = msgspec.json.encode(item["spec"]["template"]).decode()
                    app = msgspec.json.decode(
                        text.replace("{{name}}", each.name).replace("{{server}}", each.server)
                    )
                    app["metadata"]["ownerReferences"] = [owner]
                    found.append(app)
        return found


def _owner(app: Object) -> str:
    """The name of the ApplicationSet that owns it; empty for none."""
    owners = app["metadata"].get("ownerReferences") or ()
    return next((str(o["name"]) for o in owners if o.get("kind") == "ApplicationSet"), "")


def _mode(item: Object) -> str:
    return str((item["spec"].get("syncPolicy") or {}).get("applicationsSync") or "")


def _written_back(item: Object, wanted: Object, there: Object) -> dict[str, Any]:
    """The merge patch that makes an owned Application what the template says; empty where it is."""
    if _mode(item) in ("create-only", "create-delete"):
        return {}
    spec, meta, held = deepcopy(wanted["spec"]), wanted["metadata"], there["metadata"]
    for ignored in item["spec"].get("ignoreApplicationDifferences") or ():
        if ignored.get("name") in (None, "", meta["name"]):
            for pointer in ignored.get("jsonPointers") or ():
                _keep(spec, there["spec"], pointer.removeprefix("/spec/").split("/"))
    kept = (
        *KEPT_ANNOTATIONS,
        *((item["spec"].get("preservedFields") or {}).get("annotations") or ()),
    )
    notes = {k: v for k, v in (held.get("annotations") or {}).items() if k in kept} | (
        meta.get("annotations") or {}
    )
    changed = {
        "annotations": _towards(notes, held.get("annotations") or {}),
        "labels": _towards(meta.get("labels") or {}, held.get("labels") or {}),
    }
    patch = {
        "metadata": {k: v for k, v in changed.items() if v},
        "spec": _towards(spec, there["spec"]),
    }
    return {k: v for k, v in patch.items() if v}


def _keep(spec: dict[str, Any], there: dict[str, Any], path: list[str]) -> None:
    """Keep what stands at this path in the live spec stays there."""
    *parents, last = path
    for word in parents:
        there = there.get(word) or {}
        spec = spec.setdefault(word, {})
    spec.pop(last, None)
    if last in there:
        spec[last] = there[last]


def _towards(wanted: dict[str, Any], there: dict[str, Any]) -> dict[str, Any]:
    """The merge patch from ``there`` to ``wanted``."""
    patch: dict[str, Any] = {key: None for key in there if key not in wanted}
    for key, value in wanted.items():
        old = there.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := _towards(value, old):
                patch[key] = inner
        elif value != old:
            patch[key] = value
    return patch
