"""A commit as Argo CD describes it, and where a Git host shows what lies between two of them."""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import quote

from msgspec import Struct

from recovery.model.text import plain

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SSH = re.compile(r"(?:ssh://)?(?:[\w.-]+@)(?P<host>[\w.-]+)(?::\d+)?[:/](?P<path>.+)")
_HTTP = re.compile(r"https?://(?:[^@/]*@)?(?P<host>[^/]+)/(?P<path>.+)")
COMPARES = {
    "github": "https://{host}/{path}/compare/{good}...{bad}",
    "gitlab": "https://{host}/{path}/-/compare/{good}...{bad}",
    "gitea": "https://{host}/{path}/compare/{good}...{bad}",
    "forgejo": "https://{host}/{path}/compare/{good}...{bad}",
    "codeberg": "https://{host}/{path}/compare/{good}...{bad}",
    "bitbucket.org": "https://{host}/{path}/branches/compare/{bad}..{good}",
}
"""By a part of the host's name: how each shows the difference of two commits. A host with none of these gets no link: a wrong one
costs more than none."""


class Commit(Struct, frozen=True):
    """One commit, as ``GET /api/v1/applications/NAME/revisions/REVISION/metadata`` describes it
    (server/application/application.proto:RevisionMetadata). Text of strangers: plain, one line, cut."""

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
    """What came between the last deploy that was seen to work and the one that is ill."""

    bad: Commit
    good: Commit | None = None
    """None where this controller has seen none that worked."""
    compare: str = ""
    """Where the Git host shows the commits between the two; empty where that is not known."""


def is_commit(revision: str) -> bool:
    """A full hash; a chart's version and a branch are none."""
    return _HASH.fullmatch(revision) is not None


def described(revision: str, author: str, message: str, at: datetime | None) -> Commit:
    """From Argo CD's answer. An ``@`` in a commit's subject calls nobody where the message is shown."""
    subject = message.strip().partition("\n")[0]
    return Commit(revision, plain(author.partition("<")[0].strip(), 60), plain(subject.replace("@", "\uff20"), 100), at)


def compare(repository: str, good: str, bad: str) -> str:
    """The page that lists the commits after ``good`` up to ``bad``; empty for a host whose pages are not known."""
    found = _HTTP.fullmatch(repository) or _SSH.fullmatch(repository)
    if found is None or not (is_commit(good) and is_commit(bad)):
        return ""
    host, path = found["host"].lower(), found["path"].strip("/").removesuffix(".git")
    form = next((form for part, form in COMPARES.items() if part in host), "")
    return form.format(host=host, path=quote(path), good=good, bad=bad)
