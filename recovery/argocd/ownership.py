"""The proof that a live object in the cluster we run in is an Application's, with what it takes to ask for it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from recovery.clock import Clock
from recovery.decide.ownership import LABEL, Tracking, unpermitted, untracked
from recovery.kube.client import CONFIG_MAPS, STATEFUL_SETS, Client, Resource
from recovery.kube.errors import Forbidden, Invalid, NotFound, Unavailable
from recovery.model.application import Application, Project
from recovery.model.dialect import Dialect, dialect_of

KEPT = 60.0
"""Seconds for which Argo CD's settings, once read, are believed."""
SETTINGS = "argocd-cm"
CONTROLLER = "argocd-application-controller"
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
    """Reads live objects, each with the proof; what it was told of Argo CD's settings is kept for a minute."""

    def __init__(
        self,
        kube: Client,
        home: str,
        clock: Clock,
        version: Callable[[], Dialect],
        project: Callable[[str], Awaitable[Project | None]],
    ) -> None:
        """``home``: Argo CD's namespace. ``project``: an AppProject by its name, None for one that is not there."""
        self._kube = kube
        self._home = home
        self._clock = clock
        self._version = version
        self._project = project
        self._known: tuple[float, Tracking, Dialect] | None = None

    async def owned(self, app: Application, what: Resource, namespace: str, name: str) -> tuple[dict[str, Any] | None, str]:
        """The live object, and why it is not proven to be the Application's: one of both, or neither where nothing is there.

        In a namespace that the AppProject does not permit nothing is even asked for. KubeError when it, or Argo CD's
        settings, cannot be read: then nothing is proven.
        """
        try:
            what.path(namespace, name)
        except Invalid as error:
            return None, str(error)
        if why := unpermitted(app, namespace, await self._project(app.project or "default")):
            return None, why
        try:
            live: dict[str, Any] = msgspec.json.decode(await self._kube.get(what, namespace, name), type=dict)
        except NotFound:
            return None, ""
        except msgspec.DecodeError as error:
            raise Unavailable(f"{what.plural} {namespace}/{name} cannot be read: {error}") from error
        tracking, version = await self._settings()
        why = untracked(app, live, tracking, version, self._home)
        return (None, why) if why else (live, "")

    async def _settings(self) -> tuple[Tracking, Dialect]:
        now = self._clock.monotonic()
        if self._known is not None and now - self._known[0] < KEPT:
            return self._known[1], self._known[2]
        try:
            data = msgspec.json.decode(await self._kube.get(CONFIG_MAPS, self._home, SETTINGS), type=_Settings).data
        except NotFound:
            data = _Data()
        except msgspec.DecodeError as error:
            raise Unavailable(f"ConfigMap {SETTINGS} cannot be read: {error}") from error
        tracking = Tracking(data.method.strip(), data.label.strip() or LABEL, data.installation.strip())
        version = self._version()
        if not version.known and not tracking.method:
            version = await self._of_image()
        self._known = (now, tracking, version)
        return tracking, version

    async def _of_image(self) -> Dialect:
        """Argo CD's version from the image its application controller runs, where nobody can ask Argo CD itself; else unknown."""
        try:
            raw = await self._kube.get(STATEFUL_SETS, self._home, CONTROLLER)
            pods = (msgspec.json.decode(raw, type=dict).get("spec") or {}).get("template") or {}
            containers = (pods.get("spec") or {}).get("containers") or ()
        except (NotFound, Forbidden, msgspec.DecodeError):
            return Dialect()
        for container in containers:
            if found := _TAG.search(str(container.get("image", ""))[:500]):
                return dialect_of(found.group(1))
        return Dialect()
