"""The proof that a live object in the cluster we run in is an Application's, with what it takes to
ask for it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from recovery.clock import Clock
from recovery.decide.ownership import INSTANCE_LABEL, Tracking, unpermitted, untracked
from recovery.kube.client import CONFIG_MAPS, DEPLOYMENTS, STATEFUL_SETS, Client, Resource
from recovery.kube.errors import Forbidden, Invalid, NotFound
from recovery.kube.reading import decoded
from recovery.model.application import Application, Project
from recovery.model.argocd_version import ArgoCDFeatures, dialect_of
from recovery.model.connection import IN_CLUSTER, IN_CLUSTER_SERVER, Cluster

SETTINGS_TTL = 60.0
"""Seconds for which Argo CD's settings, once read, are believed."""
ARGOCD_SETTINGS = "argocd-cm"
ARGOCD_CONTROLLER = "argocd-application-controller"
LABELLED = "app.kubernetes.io/component=application-controller,app.kubernetes.io/part-of=argocd"
_TAG = re.compile(r":v?(\d[\w.-]{0,60})(?:@|$)")


class _Data(
    Struct,
    rename={
        "method": "application.resourceTrackingMethod",
        "label": "application.instanceLabelKey",
        "installation": "installationID",
    },
):
    method: str = ""
    label: str = ""
    installation: str = ""


class _Settings(Struct):
    data: _Data = msgspec.field(default_factory=_Data)


class Ownership:
    """Reads live objects, each with the proof; what it was told of Argo CD's settings is kept for a
    minute."""

    def __init__(
        self,
        kube: Client,
        home: str,
        clock: Clock,
        version: Callable[[], ArgoCDFeatures],
        project: Callable[[str], Awaitable[Project | None]],
        here: Callable[[], Cluster] = lambda: Cluster(server=IN_CLUSTER_SERVER, name=IN_CLUSTER),
    ) -> None:
        """``home``: Argo CD's namespace. ``project``: an AppProject by its name, None for one that
        is not there. ``here``: the cluster that Argo CD runs in, by the name it has there."""
        self._here = here
        self._kube = kube
        self._home = home
        self._clock = clock
        self._version = version
        self._project = project
        self._known: tuple[float, Tracking, ArgoCDFeatures] | None = None

    async def owned(
        self, app: Application, what: Resource, namespace: str, name: str
    ) -> tuple[dict[str, Any] | None, str]:
        """The live object, and why it is not proven to be the Application's: one of both, or
        neither where nothing is there.

        In a namespace that the AppProject does not permit nothing is even asked for. KubeError when
        it, or Argo CD's settings, cannot be read: then nothing is proven.
        """
        try:
            what.path(namespace, name)
        except Invalid as error:
            return None, str(error)
        if why := unpermitted(
            app, namespace, await self._project(app.project or "default"), self._here()
        ):
            return None, why
        try:
            live: dict[str, Any] = decoded(await self._kube.get(what, namespace, name), dict)
        except NotFound:
            return None, ""
        tracking, version = await self._settings()
        why = untracked(app, live, tracking, version, self._home)
        return (None, why) if why else (live, "")

    async def _settings(self) -> tuple[Tracking, ArgoCDFeatures]:
        now = self._clock.monotonic()
        if self._known is not None and now - self._known[0] < SETTINGS_TTL:
            return self._known[1], self._known[2]
        try:
            data = decoded(
                await self._kube.get(CONFIG_MAPS, self._home, ARGOCD_SETTINGS), _Settings
            ).data
        except NotFound:
            data = _Data()
        tracking = Tracking(
            data.method.strip(), data.label.strip() or INSTANCE_LABEL, data.installation.strip()
        )
        version = self._version()
        if not version.known and not tracking.method:
            version = await self._of_controller()
        self._known = (now, tracking, version)
        return tracking, version

    async def _of_controller(self) -> ArgoCDFeatures:
        """Argo CD's version from its application controller, where nobody can ask Argo CD itself;
        else unknown.

        It is found by the labels that upstream's manifests and the Helm chart give it, whatever it
        is called; where nothing may be listed, by upstream's name. Its label
        ``app.kubernetes.io/version`` tells what an image that is pinned by digest does not.
        """
        for item in await self._controllers():
            meta, spec = item.get("metadata") or {}, item.get("spec") or {}
            pods = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
            images = (_TAG.search(str(container.get("image", ""))[:500]) for container in pods)
            said = [
                str((meta.get("labels") or {}).get("app.kubernetes.io/version", ""))[:60],
                *(found.group(1) for found in images if found),
            ]
            if known := next(
                (dialect for text in said if (dialect := dialect_of(text.removeprefix("v"))).known),
                None,
            ):
                return known
        return ArgoCDFeatures()

    async def _controllers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        try:
            for what in (STATEFUL_SETS, DEPLOYMENTS):
                listed = (
                    decoded(
                        await self._kube.list(what, self._home, labelSelector=LABELLED, limit="5"),
                        dict,
                    ).get("items")
                    or ()
                )
                found += [item for item in listed if isinstance(item, dict)]
        except (NotFound, Forbidden, Invalid):
            pass
        if not found:
            with suppress(NotFound, Forbidden, Invalid):
                found.append(
                    decoded(
                        await self._kube.get(STATEFUL_SETS, self._home, ARGOCD_CONTROLLER), dict
                    )
                )
        return found
