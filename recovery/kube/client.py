"""What we ask of an API server. Bytes come out: each reader decodes just what it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

Body = Mapping[str, Any]


class Resource(NamedTuple):
    """A kind of object, by where its collection is found."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str = "", name: str = "") -> str:
        """The URL path of the collection, or of one object."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{within}/{self.plural}" + (f"/{name}" if name else "")


APPLICATIONS = Resource("argoproj.io", "v1alpha1", "applications")
PROJECTS = Resource("argoproj.io", "v1alpha1", "appprojects")
APPLICATION_SETS = Resource("argoproj.io", "v1alpha1", "applicationsets")
RECOVERIES = Resource("recovery.gitops.dev", "v1alpha1", "recoveries")
CONFIG_MAPS = Resource("", "v1", "configmaps")
SECRETS = Resource("", "v1", "secrets")
EXTERNAL_SECRETS = Resource("external-secrets.io", "v1", "externalsecrets")
EXTERNAL_SECRETS_BETA = Resource("external-secrets.io", "v1beta1", "externalsecrets")
PODS = Resource("", "v1", "pods")
EVENTS = Resource("", "v1", "events")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
REVIEWS = Resource("authentication.k8s.io", "v1", "selfsubjectreviews")
TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews")
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews")
TOKEN_HEADER = "X-Recovery-Token"  # noqa: S105 (a name)
"""Where a program shows the controller a token: the API server's service proxy takes Authorization away."""
VIEWER_TOKENS = Resource("", "v1", "serviceaccounts/gitops-recovery-viewer/token")
"""Tokens of the ServiceAccount that may see everything on the page."""
DEPLOYMENTS = Resource("apps", "v1", "deployments")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets")
DAEMON_SETS = Resource("apps", "v1", "daemonsets")


class Client(Protocol):
    """The only door to the API server. Every method raises errors.KubeError; nothing waits longer than 30 s."""

    async def list(self, what: Resource, namespace: str = "", **query: str) -> bytes:
        """One page; the query is the API's own (limit, continue, fieldSelector, labelSelector ...)."""

    def watch(
        self, what: Resource, namespace: str, resource_version: str, *, silence: float, **query: str
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """One JSON line an event, bookmarks included. Entering it means that the API server has answered.

        Unavailable when nothing was heard for ``silence`` seconds.
        """

    async def get(self, what: Resource, namespace: str, name: str) -> bytes:
        """One object."""

    async def create(self, what: Resource, namespace: str, body: Body) -> bytes:
        """The object as stored; Conflict when the name is taken."""

    async def update(self, what: Resource, namespace: str, name: str, body: Body) -> bytes:
        """Replace it; Conflict when body.metadata.resourceVersion is not the current one."""

    async def patch(self, what: Resource, namespace: str, name: str, body: Body) -> bytes:
        """Merge patch (RFC 7386); a resourceVersion in it makes it conditional."""

    async def delete(self, what: Resource, namespace: str, name: str) -> None:
        """NotFound when it is gone already."""

    async def raw(self, path: str, **query: str) -> bytes:
        """GET any path, such as what a group serves."""
