"""Checks of what a cluster would make of an application before it is moved there: asked with Argo
CD's own credentials for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recovery.act.action import ClusterClient, ManagedResource
from recovery.decide.ownership import INSTANCE_LABEL, itself
from recovery.kube.client import group_path
from recovery.kube.errors import Forbidden, KubeError, NotFound
from recovery.kube.reading import decoded
from recovery.model.application import Application
from recovery.model.names import TRACKING
from recovery.model.redact import redact

LOOKED_AT = 300
"""Resources of one application that are looked for, at most."""


class TargetChecks:
    """One cluster, its answers kept for the length of one plan."""

    def __init__(self, name: str, there: ClusterClient) -> None:
        self.name = name
        self._there = there
        self._served: dict[str, dict[str, tuple[str, bool]]] = {}
        self._may: dict[tuple[str, str, str, str], bool] = {}

    async def refusal(
        self,
        app: Application,
        wanted: Sequence[ManagedResource],
        options: Sequence[str],
        instance: str,
    ) -> str:
        """Why it would not run there; empty when nothing speaks against it. KubeError when the
        cluster does not answer."""
        if why := await self._namespace(app.destination.namespace, wanted, options):
            return why
        brought = {w.name.partition(".")[2] for w in wanted if w.kind == "CustomResourceDefinition"}
        for each in wanted:
            found = (await self._kinds(each.group, each.version)).get(each.kind)
            if found is None and each.group not in brought:
                what = f"{each.group}/{each.version}" if each.group else each.version
                return f"{self.name} does not serve {each.kind} ({what}): its CRD is missing there"
        for each in wanted:
            if why := await self._right(app, each):
                return why
        for each in wanted[:LOOKED_AT]:
            if why := await self._taken(app, each, instance):
                return why
        return ""

    async def there(
        self, app: Application, wanted: Sequence[ManagedResource], instance: str
    ) -> tuple[tuple[str, str], ...]:
        """Path and UID of what of it is live on this cluster and carries its tracking id."""
        found = []
        for each in wanted[:LOOKED_AT]:
            path = await self._path(app, each)
            item = await self.item(path) if path else None
            if path and item is not None and carries(item, instance):
                found.append((path, str(item["metadata"].get("uid", ""))))
        return tuple(found)

    async def _namespace(
        self, namespace: str, wanted: Sequence[ManagedResource], options: Sequence[str]
    ) -> str:
        if not namespace:
            return ""
        try:
            if await self.item(f"/api/v1/namespaces/{namespace}") is not None:
                return ""
        except Forbidden:
            return f"Argo CD's account may not look at namespace {namespace} on {self.name}"
        makes = "CreateNamespace=true" in options or any(
            w.kind == "Namespace" and w.name == namespace for w in wanted
        )
        if not makes:
            return (
                f"namespace {namespace} is not there on {self.name}, and CreateNamespace is not set"
            )
        if not await self._allowed("create", "", "namespaces", ""):
            return (
                f"namespace {namespace} is not there on {self.name}, and Argo CD's account may not"
                " create it"
            )
        return ""

    async def _right(self, app: Application, each: ManagedResource) -> str:
        found = (await self._kinds(each.group, each.version)).get(each.kind)
        if found is None:
            return ""
        plural, namespaced = found
        namespace = (each.namespace or app.destination.namespace) if namespaced else ""
        for verb in ("create", "patch"):
            if not await self._allowed(verb, each.group, plural, namespace):
                return (
                    f"Argo CD's account may not {verb} {plural} in {namespace or 'the cluster'} on"
                    f" {self.name}"
                )
        return ""

    async def _taken(self, app: Application, each: ManagedResource, instance: str) -> str:
        path = await self._path(app, each)
        item = await self.item(path) if path else None
        if item is None or each.kind == "Namespace":
            return ""
        if carries(item, instance):
            return ""  # its own, from an earlier stay
        # Whose it is, is for those who may see that other application.
        whose = (
            "another application tracks it"
            if tracked_by(item)
            else "nobody that Argo CD knows put it there"
        )
        return f"{each.kind}/{each.name} is on {self.name} already, and {whose}"

    async def _path(self, app: Application, each: ManagedResource) -> str:
        found = (await self._kinds(each.group, each.version)).get(each.kind)
        if found is None:
            return ""
        plural, namespaced = found
        root = group_path(each.group, each.version)
        namespace = (each.namespace or app.destination.namespace) if namespaced else ""
        return (
            f"{root}/namespaces/{namespace}/{plural}/{each.name}"
            if namespace
            else f"{root}/{plural}/{each.name}"
        )

    async def _kinds(self, group: str, version: str) -> dict[str, tuple[str, bool]]:
        """Kinds that a group and version serves: plural and whether it is namespaced, by kind."""
        path = group_path(group, version)
        if path not in self._served:
            item = await self.item(path)
            self._served[path] = {
                str(r["kind"]): (str(r["name"]), bool(r.get("namespaced")))
                for r in (item or {}).get("resources") or ()
                if "/" not in str(r.get("name", "/"))
            }
        return self._served[path]

    async def item(self, path: str) -> dict[str, Any] | None:
        """One object; None when it is not there."""
        try:
            found: dict[str, Any] = decoded(await self._there.get(path), dict)
        except NotFound:
            return None
        return found

    async def _allowed(self, verb: str, group: str, plural: str, namespace: str) -> bool:
        asked = (verb, group, plural, namespace)
        if asked not in self._may:
            attributes = {"verb": verb, "group": group, "resource": plural} | (
                {"namespace": namespace} if namespace else {}
            )
            body = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            }
            raw = await self._there.create(
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body
            )
            self._may[asked] = bool((decoded(raw, dict).get("status") or {}).get("allowed"))
        return self._may[asked]


def carries(item: dict[str, Any], instance: str) -> bool:
    """Is this object the application's by a mark that is of this very object? A copied one proves
    nothing; a label alone does only where there is no annotation (clusters tracked by label)."""
    meta = item.get("metadata") or {}
    said, _, about = str((meta.get("annotations") or {}).get(TRACKING, "")).partition(":")
    if not said:
        return str((meta.get("labels") or {}).get(INSTANCE_LABEL, "")) == instance
    return said == instance and about == itself(item)


def tracked_by(item: dict[str, Any]) -> str:
    """The application that an object belongs to, by annotation or by label
    (util/argo/resource_tracking.go); empty for none."""
    meta = item.get("metadata") or {}
    tracking = str((meta.get("annotations") or {}).get(TRACKING, ""))
    return tracking.partition(":")[0] or str((meta.get("labels") or {}).get(INSTANCE_LABEL, ""))


def words_of(error: KubeError) -> str:
    """An error as one line for people."""
    return redact(str(error), 250)
