"""A commit as Argo CD describes it, and where a Git host shows what lies between two of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from urllib.parse import quote

from msgspec import Struct

from recovery.model.connection import Repository
from recovery.model.redact import redact

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HOST = re.compile(r"[a-z0-9.-]+")
LONGEST_READ = 2_000
"""Characters of a commit's message, and of its author, that are looked at."""
PAGES = {
    "github": "https://{host}/{path}/compare/{good}...{bad}",
    "gitlab": "https://{host}/{path}/-/compare/{good}...{bad}",
    "gitea": "https://{host}/{path}/compare/{good}...{bad}",
    "forgejo": "https://{host}/{path}/compare/{good}...{bad}",
    "bitbucket": "https://{host}/{path}/branches/compare/{bad}..{good}",
}
"""How each kind of Git host shows the difference of two commits."""
HOSTS: Mapping[str, str] = MappingProxyType(
    {
        "github.com": "github",
        "gitlab.com": "gitlab",
        "codeberg.org": "forgejo",
        "bitbucket.org": "bitbucket",
    }
)
"""Those that everybody knows. An Application's repoURL is its owner's text: no other host gets into
a message unless policies name it."""


class Commit(Struct, frozen=True):
    """One commit, as ``GET /api/v1/applications/NAME/revisions/REVISION/metadata`` describes it
    (server/application/application.proto:RevisionMetadata). Text of strangers: one plain line, cut,
    free of credentials."""

    revision: str
    author: str = ""
    """The name without its address; at most 60 characters."""
    subject: str = ""
    """The first line of the message; at most 100 characters."""
    at: datetime | None = None

    def __str__(self) -> str:
        subject = f' "{self.subject}"' if self.subject else ""
        author = f" by {self.author}" if self.author else ""
        at = f", {self.at:%Y-%m-%d %H:%M} UTC" if self.at else ""
        return f"{self.revision[:7]}{subject}{author}{at}"


class Deployed(Struct, frozen=True):
    """Commits after the last deploy that was seen to work."""

    bad: Commit
    good: Commit | None = None
    """None where this controller has seen none that worked, or does not know its commit yet."""
    compare: str = ""
    """Where the Git host shows the commits between the two; empty where that is not known."""
    wanted: bool = False
    """It is not deployed: Git wants it, and Argo CD fails with it."""


def is_commit(revision: str) -> bool:
    """A full hash; a chart's version and a branch are none."""
    return _HASH.fullmatch(revision) is not None


def described(revision: str, author: str, message: str, at: datetime | None) -> Commit:
    """The commit in Argo CD's answer to a revision's metadata."""
    subject = message[:LONGEST_READ].strip().partition("\n")[0]
    return Commit(
        revision,
        _plainly(author[:LONGEST_READ].partition("<")[0].strip(), 60),
        _plainly(subject, 100),
        at,
    )


def _plainly(text: str, longest: int) -> str:
    """Without credentials, and an ``@`` calls nobody where it is shown."""
    return redact(text, longest).replace("@", "\uff20")


def compare(repository: str, good: str, bad: str, hosts: Mapping[str, str] = HOSTS) -> str:
    """The page that lists the commits after ``good`` up to ``bad``; empty for a host that ``hosts``
    does not name."""
    scheme, there, rest = repository.partition("://")
    if not there:
        scheme, rest = "ssh", repository.replace(":", "/", 1)  # git@HOST:PATH
    host, path = Repository(url=repository).host, rest.partition("/")[2]
    path = path.strip("/").removesuffix(".git")
    form = PAGES.get(hosts.get(host, ""), "")
    if (
        scheme not in ("https", "http", "ssh")
        or not _HOST.fullmatch(host)
        or not path
        or not (is_commit(good) and is_commit(bad))
    ):
        return ""
    return form.format(host=host, path=quote(path), good=good, bad=bad)
