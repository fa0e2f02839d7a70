"""Where stories of repositories and clusters are played: further clusters, a Git server with a
password, a pager."""

from __future__ import annotations

from typing import Any, Protocol

from recovery.model.recovery import Recovery
from tests.stage import Manifests, Stage


class ConnectedStage(Stage, Protocol):
    """The further verbs. The further clusters are called primary and secondary."""

    paged: list[dict[str, Any]]
    """What arrived at PagerDuty."""
    deleted: list[str]
    """Applications that were deleted at any moment of the story, while it watched."""

    async def clusters(self) -> None:
        """Both further clusters are there, well, and known to Argo CD."""

    async def kill(self, cluster: str) -> None: ...

    async def revive(self, cluster: str) -> None: ...

    async def revoke(self, cluster: str) -> None:
        """Argo CD's credentials for it are refused from now on."""

    async def narrow(self, cluster: str, *, namespaces: bool) -> None:
        """Argo CD's account there may create namespaces, or may not."""

    async def deploy(self, name: str, manifests: Manifests, cluster: str, **how: Any) -> None:
        """An application on a further cluster, with auto-sync."""

    async def has(self, cluster: str, plural: str, name: str) -> bool:
        """Is there such a workload in namespace shop?"""

    async def label(self, cluster: str, key: str, value: str | None) -> None:
        """On its Secret."""

    async def application_set(self, name: str, label: str, manifests: Manifests) -> None:
        """One that makes an application of its own name on the cluster whose Secret carries the
        label."""

    async def from_git(self, name: str, manifests: Manifests) -> None:
        """An application in the cluster Argo CD runs in, from the Git server with the password."""

    async def git(self, what: str) -> None:
        """stops, starts, or rotates: the password is another one from now on."""

    async def external_secret(self) -> None:
        """The password is kept elsewhere, and an operator writes it into the repository's Secret
        when asked to."""

    async def of(self, kind: str, name: str = "") -> list[Recovery]:
        """Recoveries of a cluster, or of the Git server's repository, oldest first."""

    async def command(self, *words: str) -> str:
        """A ``recovery`` command by a person; its output."""

    async def syncs(self, name: str) -> int:
        """How often we deployed it."""
