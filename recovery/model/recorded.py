"""State of an application as it is recorded: what a judgement of it needs later."""

from __future__ import annotations

from msgspec import Struct


class RecordedState(Struct, frozen=True, gc=False, omit_defaults=True):
    """How an application was from a moment on, without a word that somebody wrote. What a source
    does not tell, such as a metric, has its default."""

    sync: str
    health: str
    auto_sync: bool = False
    project: str = "default"
    server: str = ""
    cluster: str = ""
    """The name in the destination, where it has one."""
    namespace: str = ""
    """Of the destination."""
    repositories: tuple[str, ...] = ()
    self_heal: bool = False
    operation: str = ""
    """Phase of the newest operation."""
    operation_revisions: tuple[str, ...] = ()
    revisions: tuple[str, ...] = ()
    """Wanted by Git, one for each source."""
    deploy: int | None = None
    """The id of the newest entry of the history."""
    deployed: tuple[str, ...] = ()
    """The revisions of it."""
    good: int | None = None
    """The id of the newest deploy that is known to have worked, where it is not well."""
    good_revisions: tuple[str, ...] = ()
    held: bool = False
    """A rollback holds it: to differ from Git is expected."""
    cause: str = ""
    """As diagnosed then, with its variant: ``ImageUnavailable/NotFound``."""
    about: str = ""
    """The resource, hook or kind that the cause hangs on."""
    fingerprint: str = ""
    """Of the error messages: equal as long as the failure is."""
    labels: dict[str, str] = {}
    marks: dict[str, str] = {}
    """Annotations under recovery.gitops.dev/ and the few of Argo CD's that bind a controller."""
    application_set: str = ""
    ignored: str = ""
    """Why nothing of it was believed, such as an AppProject that does not permit it."""

    @property
    def well(self) -> bool:
        """Synced and Healthy, and no operation failed."""
        failed = self.operation in ("Failed", "Error")
        synced = self.sync == "Synced" or (self.held and self.sync == "OutOfSync")
        return synced and self.health == "Healthy" and not failed


class RecordedGroup(Struct, frozen=True, array_like=True):
    """Applications that share all that storms are counted by, and how many there are."""

    count: int
    project: str
    server: str
    cluster: str
    repositories: tuple[str, ...]
    application_set: str

    @property
    def shares(self) -> tuple[str, str, str, tuple[str, ...], str]:
        """Shared by all of them: project, server, cluster, repositories, ApplicationSet."""
        return self.project, self.server, self.cluster, self.repositories, self.application_set
