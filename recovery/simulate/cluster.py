"""A Kubernetes API in memory: lists in pages, watches with bookmarks, 404, 409, 410, merge
patch."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec

from recovery.clock import Clock
from recovery.kube.client import RECOVERIES, RECOVERIES_BEFORE, Body, Resource
from recovery.kube.errors import Conflict, Gone, Invalid, NotFound, Unavailable
from recovery.record.codec import stamp

Object = dict[str, Any]
Heard = Callable[[Resource, str, Object], None]
KIND_OF_PLURAL: dict[str, str] = {
    "applications": "Application",
    "appprojects": "AppProject",
    "applicationsets": "ApplicationSet",
    "recoveries": "Recovery",
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "externalsecrets": "ExternalSecret",
    "events": "Event",
    "leases": "Lease",
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
}
FIELD_SELECTORS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        *(f"involvedObject.{field}" for field in ("kind", "namespace", "name", "uid")),
    }
)
"""What a fieldSelector may name: of all kinds, and of Events."""
WITH_STATUS = frozenset({RECOVERIES})
"""Kinds whose status is written by itself: all other writes leave it as it is."""
BOOKMARK_EVERY = 50.0
MAX_WATCH_EVENTS = 20_000
"""Events a watch can still go back to; older resourceVersions are Gone, as after etcd's
compaction."""


class Cluster:
    """All objects by kind, namespace and name. Itself a Client, so that tests need no HTTP."""

    def __init__(self, clock: Clock, absent: tuple[str, ...] = ()) -> None:
        self._clock = clock
        self._version = 100
        self.uid = str(uuid.uuid4())
        """Of its namespace kube-system."""
        self._objects: dict[Resource, dict[tuple[str, str], Object]] = {}
        self._log: dict[Resource, deque[tuple[int, str, Object]]] = {}
        self._compacted = 0
        self.unknown: tuple[tuple[str, ...], ...] = ()
        """Paths that the CRD of Applications does not know: dropped in silence, as structural
        pruning does."""
        self.served: dict[str, set[str]] = {}
        """Custom kinds by group."""
        self._watchers: dict[Resource, set[asyncio.Queue[tuple[str, Object] | None]]] = {}
        self._listeners: list[Heard] = []
        self._absent = set(absent)
        self.calls: dict[tuple[str, str], int] = {}
        self.writes: list[tuple[str, Resource, str, str, Mapping[str, Any]]] = []
        """Every write that was accepted: verb, resource, namespace, name, body."""

    # What a test or the simulated Argo CD asks

    def listen(self, heard: Heard) -> None:
        """Call this with every change: resource, ADDED, MODIFIED or DELETED, object."""
        self._listeners.append(heard)

    def install(self, plural: str) -> None:
        """Install a kind that was absent."""
        self._absent.discard(plural)

    def installed(self, plural: str) -> bool:
        """Is this kind served by the cluster?"""
        return plural not in self._absent

    def now(self) -> datetime:
        """The time by the cluster's own clock, in UTC."""
        return self._clock.now()

    def find(self, what: Resource, namespace: str, name: str) -> Object | None:
        """The object itself; do not change it."""
        return self._objects.get(what, {}).get((namespace, name))

    def every(self, what: Resource) -> list[Object]:
        """All objects of a kind, in every namespace."""
        return list(self._objects.get(what, {}).values())

    def compact(self) -> None:
        """Forget the past: whoever watches from an older version gets 410, running watches are
        ended with it."""
        self._compacted = self._version
        for queues in self._watchers.values():
            for queue in queues:
                queue.put_nowait(None)

    def backup(self) -> tuple[int, dict[Resource, dict[tuple[str, str], Object]]]:
        """Objects that an etcd snapshot holds."""
        return self._version, {
            what: {key: _copied(item) for key, item in held.items()}
            for what, held in self._objects.items()
        }

    def restore(self, backup: tuple[int, dict[Resource, dict[tuple[str, str], Object]]]) -> None:
        """Restore a snapshot: the cluster is as it was, and counts on from there; every watch is
        broken off, as the API server starts again."""
        self._version = backup[0]
        self._objects = {
            what: {key: _copied(item) for key, item in held.items()}
            for what, held in backup[1].items()
        }
        self._log.clear()
        for queues in self._watchers.values():
            for queue in queues:
                queue.put_nowait(("RESET", {}))

    # The Client Protocol

    async def list(self, what: Resource, namespace: str = "", **query: str) -> bytes:
        self._known(what)
        what = RECOVERIES if what == RECOVERIES_BEFORE else what
        items = [
            o
            for (ns, _), o in sorted(self._objects.get(what, {}).items())
            if not namespace or ns == namespace
        ]
        items = [o for o in items if _selected(o, query)]
        start = int(query.get("continue") or 0)
        limit = int(query.get("limit") or 0) or len(items)
        page = items[start : start + limit]
        more = str(start + limit) if start + limit < len(items) else ""
        meta = {"resourceVersion": str(self._version), **({"continue": more} if more else {})}
        self._count("list")
        return msgspec.json.encode(
            {
                "kind": KIND_OF_PLURAL.get(what.plural, "") + "List",
                "apiVersion": _api(what),
                "metadata": meta,
                "items": page,
            }
        )

    @asynccontextmanager
    async def watch(
        self,
        what: Resource,
        namespace: str,
        resource_version: str,
        *,
        silence: float,  # noqa: ARG002 (a Client; this one is never silent)
        **query: str,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        self._known(what)
        since = int(resource_version or 0)
        if since < self._compacted:
            raise Gone(f"too old resource version: {since} ({self._compacted})", 410)
        queue: asyncio.Queue[tuple[str, Object] | None] = asyncio.Queue()
        for version, kind, item in self._log.get(what, ()):
            if version > since:
                queue.put_nowait((kind, item))
        self._watchers.setdefault(what, set()).add(queue)
        self._count("watch")
        try:
            yield self._lines(what, namespace, queue, query, since)
        finally:
            self._watchers[what].discard(queue)

    async def _lines(
        self,
        what: Resource,
        namespace: str,
        queue: asyncio.Queue[tuple[str, Object] | None],
        query: Mapping[str, str],
        since: int,
    ) -> AsyncIterator[bytes]:
        bookmark = self._clock.monotonic() + BOOKMARK_EVERY
        while True:
            ringing = asyncio.ensure_future(queue.get())
            timer = asyncio.ensure_future(self._clock.sleep(bookmark - self._clock.monotonic()))
            try:
                await asyncio.wait({ringing, timer}, return_when=asyncio.FIRST_COMPLETED)
                rang, more = ringing.done(), not queue.empty()
            finally:
                timer.cancel()
                ringing.cancel()  # before anything is handed out: what it took after that was lost
            if not rang:
                if more:
                    continue  # a bookmark says that nothing of before it is still to come
                bookmark = self._clock.monotonic() + BOOKMARK_EVERY
                if self._version < since:
                    continue  # silent until it has counted so far
                mark = {
                    "kind": KIND_OF_PLURAL.get(what.plural, ""),
                    "metadata": {"resourceVersion": str(self._version)},
                }
                yield msgspec.json.encode({"type": "BOOKMARK", "object": mark})
                continue
            told = ringing.result()
            if told is None:
                yield msgspec.json.encode(
                    {
                        "type": "ERROR",
                        "object": {
                            "kind": "Status",
                            "code": 410,
                            "message": "too old resource version",
                        },
                    }
                )
                return
            kind, item = told
            if kind == "RESET":
                raise Unavailable("connection reset by peer")
            if int(item["metadata"]["resourceVersion"]) <= since:
                continue
            if (not namespace or item["metadata"].get("namespace", "") == namespace) and _selected(
                item, query
            ):
                yield msgspec.json.encode({"type": kind, "object": item})

    async def raw(self, path: str, **query: str) -> bytes:  # noqa: ARG002 (a Client; discovery has no query)
        """Discovery: what a group serves."""
        self._count("get")
        parts = path.strip("/").split("/")
        kinds = self.served.get(parts[1]) if len(parts) > 1 and parts[0] == "apis" else None
        if not kinds:
            raise NotFound("the server could not find the requested resource", 404)
        if len(parts) == 2:
            return msgspec.json.encode({"versions": [{"version": "v1"}]})
        return msgspec.json.encode({"resources": [{"kind": kind} for kind in sorted(kinds)]})

    async def get(self, what: Resource, namespace: str, name: str) -> bytes:
        self._count("get")
        what.path(namespace, name)  # as strict as the door to a real one
        return msgspec.json.encode(self._existing(what, namespace, name))

    async def create(self, what: Resource, namespace: str, body: Body) -> bytes:
        self._known(what)
        item = _copied(body)
        if what in WITH_STATUS:
            item.pop("status", None)
        what = RECOVERIES if what == RECOVERIES_BEFORE else what
        meta = item.setdefault("metadata", {})
        meta["namespace"] = namespace
        if not meta.get("name"):
            meta["name"] = meta.get("generateName", "") + uuid.uuid4().hex[:5]
        if self.find(what, namespace, meta["name"]) is not None:
            self._count("create", 409)
            raise Conflict(f'{what.plural} "{meta["name"]}" already exists', 409)
        meta.setdefault("uid", str(uuid.uuid4()))
        meta["creationTimestamp"] = stamp(self._clock.now())
        item.setdefault("apiVersion", _api(what))
        item.setdefault("kind", KIND_OF_PLURAL.get(what.plural, ""))
        return self._store("create", what, item, "ADDED", body)

    async def update(self, what: Resource, namespace: str, name: str, body: Body) -> bytes:
        part, what = what.subresource, what._replace(subresource="")
        whole = what not in WITH_STATUS
        what = RECOVERIES if what == RECOVERIES_BEFORE else what
        old = self._existing(what, namespace, name)
        item = _copied(body)
        self._fence(what, old, item["metadata"].get("resourceVersion", ""))
        item = item if whole else _only(part, old, item)
        for kept in ("uid", "creationTimestamp"):
            item["metadata"][kept] = old["metadata"][kept]
        item["metadata"].setdefault("namespace", namespace)
        return self._store("update", what, item, "MODIFIED", body)

    async def patch(self, what: Resource, namespace: str, name: str, body: Body) -> bytes:
        what.path(namespace, name)
        part, what = what.subresource, what._replace(subresource="")
        old = self._existing(what, namespace, name)
        self._fence(what, old, (body.get("metadata") or {}).get("resourceVersion", ""))
        uid = (body.get("metadata") or {}).get("uid", "")
        if uid and uid != old["metadata"]["uid"]:
            raise Conflict(
                f"Precondition failed: UID in precondition: {uid}, UID in object meta:"
                f" {old['metadata']['uid']}",
                409,
            )
        item = merged(old, body)
        item = _only(part, old, item) if what in WITH_STATUS else item
        return self._store("patch", what, item, "MODIFIED", body)

    async def delete(
        self, what: Resource, namespace: str, name: str, *, resource_version: str = ""
    ) -> None:
        gone = _copied(self._existing(what, namespace, name))
        self._fence(what, gone, resource_version)
        del self._objects[what][namespace, name]
        self._version += 1
        gone["metadata"]["resourceVersion"] = str(self._version)
        self.writes.append(("delete", what, namespace, name, {}))
        self._count("delete")
        self._tell(what, "DELETED", gone)

    # Inside

    def _store(self, verb: str, what: Resource, item: Object, kind: str, body: Body) -> bytes:
        for path in self.unknown if what.plural == "applications" else ():
            item = _without(item, path)
        meta = item["metadata"]
        old = self.find(what, meta["namespace"], meta["name"])
        if old is not None and {**old, "metadata": {**old["metadata"], "resourceVersion": ""}} == {
            **item,
            "metadata": {**meta, "resourceVersion": ""},
        }:
            self._count(verb)
            return msgspec.json.encode(
                old
            )  # as the real one: a write that changes nothing makes no new version
        self._version += 1
        meta["resourceVersion"] = str(self._version)
        if old is None or old.get("spec") != item.get("spec"):
            meta["generation"] = int((old or {"metadata": {}})["metadata"].get("generation", 0)) + 1
        self._objects.setdefault(what, {})[meta["namespace"], meta["name"]] = item
        self.writes.append((verb, what, meta["namespace"], meta["name"], body))
        self._count(verb)
        self._tell(what, kind, item)
        return msgspec.json.encode(item)

    def _tell(self, what: Resource, kind: str, item: Object) -> None:
        log = self._log.setdefault(what, deque(maxlen=MAX_WATCH_EVENTS))
        if len(log) == MAX_WATCH_EVENTS:
            self._compacted = max(self._compacted, log[0][0])
        log.append((self._version, kind, item))
        for queue in self._watchers.get(what, ()):
            queue.put_nowait((kind, item))
        for heard in self._listeners:
            heard(what, kind, item)

    def _existing(self, what: Resource, namespace: str, name: str) -> Object:
        self._known(what)
        item = self.find(what, namespace, name)
        if item is None:
            raise NotFound(f'{what.plural} "{name}" not found', 404)
        return item

    def _known(self, what: Resource) -> None:
        if what.plural in self._absent:
            raise NotFound("the server could not find the requested resource", 404)

    def _fence(self, what: Resource, old: Object, version: str) -> None:
        if version and version != old["metadata"]["resourceVersion"]:
            self._count("write", 409)
            name = old["metadata"]["name"]
            raise Conflict(
                f'Operation cannot be fulfilled on {what.plural} "{name}": the object has been'
                " modified",
                409,
            )

    def _count(self, verb: str, status: int = 200) -> None:
        self.calls[verb, str(status)] = self.calls.get((verb, str(status)), 0) + 1


def merged(old: Any, patch: Any) -> Any:
    """RFC 7386: null removes, mappings merge, all else replaces. The old value is not changed."""
    if not isinstance(patch, Mapping):
        return _copied(patch)
    result = dict(old) if isinstance(old, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _only(part: str, old: Object, new: Object) -> Object:
    """The object after a write of one part: the status alone, or all but the status."""
    if part:
        meta = {**old["metadata"], "resourceVersion": new["metadata"].get("resourceVersion", "")}
        return {**_copied(old), part: new.get(part, {}), "metadata": _copied(meta)}
    kept = {"status": _copied(old["status"])} if "status" in old else {}
    return {key: value for key, value in new.items() if key != "status"} | kept


def _without(item: Object, path: tuple[str, ...]) -> Object:
    first, rest = path[0], path[1:]
    if not isinstance(item.get(first), dict | None) and rest:
        return item
    if not rest:
        return {k: v for k, v in item.items() if k != first}
    below = item.get(first)
    return {**item, first: _without(below, rest)} if isinstance(below, dict) else item


def _selected(item: Object, query: Mapping[str, str]) -> bool:
    meta = item["metadata"]
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        field, unequal, value = term.partition("!=")
        if not unequal:
            field, _, value = term.replace("==", "=").partition("=")
        if field not in FIELD_SELECTORS:
            raise Invalid(f"field label not supported: {field}", 400)
        if (str(_field(item, field)) == value) is bool(unequal):
            return False
    labels = meta.get("labels") or {}
    for term in filter(None, query.get("labelSelector", "").split(",")):
        key, equals, value = term.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _field(item: Object, path: str) -> object:
    found: Any = item
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return "" if found is None else found


def _api(what: Resource) -> str:
    return f"{what.group}/{what.version}" if what.group else what.version


def _copied(body: Mapping[str, Any]) -> Object:
    """As it would arrive over the wire; several times as fast as a deep copy."""
    found: Object = msgspec.json.decode(msgspec.json.encode(body))
    return found
