"""The requests made to an API server. Bytes come out: each reader decodes just what it needs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

from recovery.kube.errors import Invalid
from recovery.model.text import plain

Body = Mapping[str, Any]
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_SEGMENT = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9._:]{0,251}[A-Za-z0-9])?")


def segment(name: str) -> str:
    """A name as one segment of a path. Invalid for what Kubernetes would take for no name: a
    stranger may have written it.

    Raises errors.Invalid before anything is asked.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise Invalid(f"{plain(name, 100)!r} is no name of a Kubernetes object (RFC 1123)")
    return name


def whole_path(path: str) -> str:
    """A path that was put together elsewhere, looked at once more: each part is a plain word, none
    leads upwards.

    Raises errors.Invalid.
    """
    parts = path.removeprefix("/").split("/")
    if not path.startswith("/") or not all(
        _SEGMENT.fullmatch(part) and ".." not in part for part in parts
    ):
        raise Invalid(f"{plain(path, 200)!r} is no path of a Kubernetes object")
    return path


def group_path(group: str, version: str = "") -> str:
    """Where a group, or one version of it, is described; the core group has no name.

    Raises errors.Invalid for what is no word of its own: a stranger may have written it, and a
    slash in it would lead elsewhere.
    """
    return "/".join(
        ("/apis" if group else "/api", *(segment(each) for each in (group, version) if each))
    )


class Resource(NamedTuple):
    """A kind of object, by where its collection is found."""

    group: str
    version: str
    plural: str
    subresource: str = ""
    """Part of an object that is written by itself, such as its status."""

    def path(self, namespace: str = "", name: str = "") -> str:
        """The URL path of the collection, or of one object. Raises errors.Invalid for what is no
        name."""
        within = f"/namespaces/{segment(namespace)}" if namespace else ""
        return f"{group_path(self.group, self.version)}{within}/{self.plural}" + (
            f"/{segment(name)}" + (f"/{self.subresource}" if self.subresource else "")
            if name
            else ""
        )


APPLICATIONS = Resource("argoproj.io", "v1alpha1", "applications")
PROJECTS = Resource("argoproj.io", "v1alpha1", "appprojects")
APPLICATION_SETS = Resource("argoproj.io", "v1alpha1", "applicationsets")
RECOVERIES = Resource("recovery.gitops.dev", "v1alpha2", "recoveries")
RECOVERY_STATUS = Resource("recovery.gitops.dev", "v1alpha2", "recoveries", "status")
RECOVERIES_BEFORE = Resource("recovery.gitops.dev", "v1alpha1", "recoveries")
"""As an older version wrote them: read once, and written anew."""
CONFIG_MAPS = Resource("", "v1", "configmaps")
SECRETS = Resource("", "v1", "secrets")
NAMESPACES = Resource("", "v1", "namespaces")
EXTERNAL_SECRETS = Resource("external-secrets.io", "v1", "externalsecrets")
EXTERNAL_SECRETS_BETA = Resource("external-secrets.io", "v1beta1", "externalsecrets")
PODS = Resource("", "v1", "pods")
REPLICA_SETS = Resource("apps", "v1", "replicasets")
EVENTS = Resource("events.k8s.io", "v1", "events")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
REVIEWS = Resource("authentication.k8s.io", "v1", "selfsubjectreviews")
TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews")
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews")
TOKEN_HEADER = "X-Recovery-Token"  # noqa: S105 (a name)
"""Where a program shows the controller a token: the API server's service proxy takes Authorization
away."""
VIEWER_TOKENS = Resource("", "v1", "serviceaccounts/gitops-recovery-viewer/token")
"""Tokens of the ServiceAccount that may see everything on the page."""
DEPLOYMENTS = Resource("apps", "v1", "deployments")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets")
DAEMON_SETS = Resource("apps", "v1", "daemonsets")


class Client(Protocol):
    """The only door to the API server. Every method raises errors.KubeError; nothing waits longer
    than 30 s."""

    async def list(self, what: Resource, namespace: str = "", **query: str) -> bytes:
        """One page; the query is the API's own (limit, continue, fieldSelector, labelSelector
        ...)."""

    def watch(
        self, what: Resource, namespace: str, resource_version: str, *, silence: float, **query: str
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """One JSON line an event, bookmarks included. Entering it means that the API server has
        answered.

        Late when it stood and nothing was heard for ``silence`` seconds.
        """

    async def get(self, what: Resource, namespace: str, name: str) -> bytes:
        """One object as JSON; raises NotFound or another KubeError."""

    async def create(self, what: Resource, namespace: str, body: Body) -> bytes:
        """The object as stored; Conflict when the name is taken."""

    async def update(self, what: Resource, namespace: str, name: str, body: Body) -> bytes:
        """Replace it; Conflict when body.metadata.resourceVersion is not the current one."""

    async def patch(self, what: Resource, namespace: str, name: str, body: Body) -> bytes:
        """Merge patch (RFC 7386); a resourceVersion in it makes it conditional."""

    async def delete(
        self, what: Resource, namespace: str, name: str, *, resource_version: str = ""
    ) -> None:
        """NotFound when it is gone already; Conflict when it is not at this version any more."""

    async def raw(self, path: str, **query: str) -> bytes:
        """GET any path, such as what a group serves."""
