"""ApplicationSets with cluster generators: what Argo CD's own controller makes of them when a Secret's labels change.

After applicationset/controllers/applicationset_controller.go (argo-cd 3.2): a name that is generated twice is left alone, a
name that is generated no more is deleted, a template's change is written into what is there.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from recovery.clock import Clock
from recovery.kube.client import APPLICATION_SETS, APPLICATIONS, Resource
from recovery.kube.errors import KubeError
from recovery.model.names import Key
from recovery.simulate.cluster import Cluster, Object
from recovery.simulate.destinations import Destinations
from recovery.workqueue import WorkQueue


class ApplicationSets:
    """The controller of them."""

    def __init__(self, cluster: Cluster, destinations: Destinations, clock: Clock) -> None:
        self._cluster = cluster
        self._destinations = destinations
        self._queue = WorkQueue(clock)
        cluster.listen(self._heard)

    def _heard(self, what: Resource, kind: str, item: Object) -> None:
        if what == APPLICATION_SETS and kind != "DELETED":
            self._queue.add(Key("set", item["metadata"]["namespace"], item["metadata"]["name"]))
        elif what.plural == "secrets":
            for each in self._cluster.every(APPLICATION_SETS):
                self._queue.add(Key("set", each["metadata"]["namespace"], each["metadata"]["name"]))

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
            else:
                spec = {"spec": {**app["spec"], "destination": {"name": None, "server": None, **app["spec"]["destination"]}}}
                await self._cluster.patch(APPLICATIONS, namespace, name, spec)
        for app in self._cluster.every(APPLICATIONS):
            owners = app["metadata"].get("ownerReferences") or ()
            if any(o["name"] == item["metadata"]["name"] for o in owners) and app["metadata"]["name"] not in names:
                await self._cluster.delete(APPLICATIONS, namespace, app["metadata"]["name"])

    def _generated(self, item: Object) -> list[dict[str, Any]]:
        owner = {"kind": "ApplicationSet", "name": item["metadata"]["name"], "controller": True}
        found = []
        asking = [g["clusters"]["selector"]["matchLabels"] for g in item["spec"].get("generators") or () if "clusters" in g]
        for asked in asking:
            for each in self._destinations.all.values():
                labels = self._destinations.labels(each)
                if all(labels.get(k) == v for k, v in asked.items()):
                    text = msgspec.json.encode(item["spec"]["template"]).decode()
                    app = msgspec.json.decode(text.replace("{{name}}", each.name).replace("{{server}}", each.server))
                    app["metadata"]["ownerReferences"] = [owner]
                    found.append(app)
        return found
