"""Connections that Argo CD needs: repositories and clusters, and who says what about them."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from enum import Enum

from msgspec import Struct

from recovery.model.names import SubjectKey

PROBE_FRESH = timedelta(seconds=60)
"""A verdict older than this says nothing about now."""
IN_CLUSTER = "in-cluster"
IN_CLUSTER_SERVER = "https://kubernetes.default.svc"
"""The cluster Argo CD itself runs in (argo-cd common.KubernetesInternalAPIServerAddr)."""


CLUSTER_UID = "cluster-uid"
"""The annotation ``recovery.gitops.dev/cluster-uid`` of a cluster's Secret."""
_SCP = re.compile(r"^([^@/:]+@[^:/]+):(.+)$")
"""``git@host:path``, as ssh takes it."""


class Connection(Enum):
    """``connection_state`` of a repository or a cluster, in Argo CD's words."""

    Failed = "Failed"
    Unknown = "Unknown"
    Successful = "Successful"


class Verdict(Enum):
    """Outcome of one probe: what one look at a repository or a cluster found."""

    reachable = "reachable"
    unreachable = "unreachable"
    credentials_refused = "credentials refused"
    tls = "TLS"
    dns = "DNS"
    rate_limited = "rate limited"
    api_partial = "API partial"
    no_evidence = "no evidence"


class ProbeSource(Enum):
    """The source of a probe. Two different ones that look live make a corroboration; Argo CD's
    cached state never votes."""

    live_read = "Argo CD's live read"
    connect = "our own connect"
    list_refs = "Argo CD's ls-remote"
    request = "our own request"
    applications = "its applications' conditions"
    word = "Argo CD's list"


class ProbeResult(Struct, frozen=True, gc=False):
    """One look: by whom, when (UTC), and what it found; the message is cut at 300 characters and
    free of credentials."""

    by: ProbeSource
    verdict: Verdict
    at: datetime
    message: str = ""
    lasts: timedelta = PROBE_FRESH
    """For how long it says something: a minute for clusters, longer where there are many
    repositories to look at."""

    def __str__(self) -> str:
        words = self.message if len(self.message) <= 160 else self.message[:157] + "..."
        return f"{self.by.value}: {self.verdict.value}" + (f" ({words})" if words else "")


class Repository(Struct, frozen=True, kw_only=True):
    """A place Argo CD reads from. Its URL holds no credentials; one that has some in it cannot be
    asked for by it."""

    url: str
    project: str = ""
    """Of a project-scoped repository: the same URL may stand in several projects, with different
    credentials."""
    type: str = "git"
    registered: bool = False
    """Argo CD's API lists it."""
    evidence: tuple[ProbeResult, ...] = ()
    """The newest of each witness."""
    applications: int = 0
    """How many depend on it."""
    good_at: datetime | None = None
    """When it was last seen reachable."""
    trouble: str = ""
    """What is wrong with how it is configured."""

    @property
    def name(self) -> str:
        """Name shown to people: its URL, with the project that it belongs to."""
        return f"{self.url}#{self.project}" if self.project else self.url

    @property
    def key(self) -> SubjectKey:
        """Key in the queue."""
        return SubjectKey("repository", "", self.name)

    @property
    def host(self) -> str:
        """The server it is on; empty for what is no URL."""
        rest = self.url.partition("://")[2] or self.url.partition(":")[0]
        return rest.partition("/")[0].rpartition("@")[2].partition(":")[0].lower()

    @property
    def ident(self) -> str:
        """Identity: what is the same repository for Argo CD has the same: ``.git`` and capitals
        make no difference."""
        return ident(self.url, self.project)

    @property
    def uid(self) -> str:
        """Repositories have none of their own."""
        return f"repository-{_digest(self.ident)}"


class Cluster(Struct, frozen=True, kw_only=True):
    """A place Argo CD deploys to."""

    server: str
    name: str
    """Unique: two that Argo CD lists under one name are called by their servers."""
    labels: dict[str, str] | None = None
    marks: dict[str, str] | None = None
    """Annotations of its Secret under recovery.gitops.dev/."""
    secret: str = ""
    """Its Secret in Argo CD's namespace, where we may read it."""
    evidence: tuple[ProbeResult, ...] = ()
    """The newest of each witness."""
    applications: int = 0
    """How many run on it."""
    good_at: datetime | None = None
    """When it was last seen reachable."""
    trouble: str = ""
    """What is wrong with how it is configured."""
    namespace_uid: str = ""
    """UID of its namespace kube-system, as last read; empty while nobody could."""

    @property
    def key(self) -> SubjectKey:
        """Key in the queue."""
        return SubjectKey("cluster", "", self.name)

    @property
    def identity(self) -> str:
        """Two Secrets that show the same one name one cluster. A person may state it on the Secret
        (``CLUSTER_UID``): where the account may not read it, and for a cluster that was restored
        from another one's etcd and has its UIDs."""
        return self.mark(CLUSTER_UID) or self.namespace_uid

    @property
    def uid(self) -> str:
        """Clusters have none of their own: what is the same server is the same cluster."""
        return f"cluster-{_digest(self.server)}"

    @property
    def in_cluster(self) -> bool:
        """Is it the cluster that Argo CD itself runs in?"""
        return self.server == IN_CLUSTER_SERVER

    def mark(self, name: str) -> str:
        """The annotation ``recovery.gitops.dev/<name>`` of its Secret, or empty."""
        return (self.marks or {}).get(f"recovery.gitops.dev/{name}", "")

    def called(self, word: str) -> bool:
        """Is this cluster meant: by its name or its server?"""
        return word in (self.name, self.server)


def ident(url: str, project: str = "") -> str:
    """A repository's URL as Argo CD compares them (util/git/git.go:NormalizeGitURL), with the
    project it belongs to."""
    plain = url.strip().lower()
    if (found := _SCP.match(plain)) and "://" not in plain:
        plain = f"ssh://{found[1]}/{found[2]}"
    plain = plain.removesuffix(".git").removeprefix("ssh://")
    return f"{plain}#{project}" if project else plain


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
