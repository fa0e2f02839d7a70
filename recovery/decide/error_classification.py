"""Classification of an error text: what it says about a repository or a cluster: the first line of
the table that matches."""

from __future__ import annotations

import re

from recovery.causes.envelope import reason
from recovery.causes.error_patterns import TARGET_STATE
from recovery.model.connection import Verdict
from recovery.model.remembered import remembered

# Texts of go-git, git, Go's net and TLS and the Kubernetes API server, as they pass through Argo CD
# 3.2.
_TABLE: tuple[tuple[Verdict, tuple[str, ...]], ...] = (
    # The cluster answered, if only to say no to one object
    # (server/application/application.go:GetResource).
    (
        Verdict.reachable,
        (
            (
                r"^error getting resource: .*(not found|NotFound|is forbidden: User|could not find"
                r" the requested resource)"
            ),
        ),
    ),
    # What is about ourselves, or about Argo CD, is no evidence on anything else.
    (
        Verdict.no_evidence,
        (
            "invalid session",
            "no session information",
            "token (is expired|has been revoked|signature)",
            r"^permission denied\b",
            ": permission denied$",
            "NOAUTH",
            "WRONGPASS",
            r"\bredis\b",
            "not found as part of application",
            "error getting app resources",
            # Argo CD did not reach one of its own parts: gRPC's words, which the gateway passes on
            # without the code.
            "transport: ",
            "error while dialing",
            "code = Unavailable",
            # A proxy before Argo CD, with nothing else to say.
            "^Unauthorized$",
        ),
    ),
    (
        Verdict.api_partial,
        ("conversion webhook",),
    ),  # whatever is wrong with it is not wrong with the cluster
    (Verdict.unreachable, ("TLS handshake timeout", "client connection lost")),
    (Verdict.rate_limited, (r"\b429\b", "rate.?limit", "too many requests")),
    (
        Verdict.dns,
        (
            "no such host",
            "server misbehaving",
            "Could not resolve host",
            "name resolution",
            "Name or service not known",
        ),
    ),
    (
        Verdict.tls,
        (
            "x509:",
            "tls: ",
            "TLS handshake",
            "certificate (verify|has expired|signed by)",
            "CERTIFICATE_VERIFY_FAILED",
            "knownhosts: key",
            "server gave HTTP response to HTTPS",
        ),
    ),
    (
        Verdict.credentials_refused,
        (
            "asked for the client to provide credentials",
            r"\bUnauthorized\b",
            r"\b401\b",
            "authentication (required|failed)",
            "authorization failed",
            r"Permission denied \(publickey",
            "unable to authenticate",
            "could not read (Username|Password)",
            "invalid (username|credentials)",
            "Access denied",
            "repository not found",
            "status code: 403",
            "bad credentials",
        ),
    ),
    (
        Verdict.api_partial,
        (
            "is forbidden: User",
            "cannot list",
            "failed to load initial state of resource",
            "server is currently unable to handle",
            "could not find the requested resource",
        ),
    ),
    (
        Verdict.unreachable,
        (
            "connection (refused|reset|closed)",
            "connect: ",
            "no route to host",
            "network is unreachable",
            "i/o timeout",
            "deadline exceeded",
            r"Client\.Timeout",
            "timed? ?out",
            "no answer",
            r"\bEOF\b",
            "broken pipe",
            r"status code: 5\d\d",
            r"\b50[234]\b",
            "dial tcp",
            "Cannot connect to host",
        ),
    ),
)
_OF_CAUSE = {
    ("GitAuthFailed", ""): Verdict.credentials_refused,
    ("GitAuthFailed", "HostKey"): Verdict.tls,
    ("GitAuthFailed", "Certificate"): Verdict.tls,
}
"""Only a refusal is taken over: it holds back what an outage would allow."""
_REDIRECTED = re.compile(r"status code: 30\d")
"""A sign-in page, or one that says that it is closed for maintenance: nobody knows."""
_COMPILED = tuple(
    (verdict, re.compile("|".join(patterns), re.IGNORECASE)) for verdict, patterns in _TABLE
)
_THERE = re.compile(
    r"remote repository is empty|reference not found|couldn't find remote ref", re.IGNORECASE
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://[^\s\"']+", re.IGNORECASE)
_GIT = re.compile(
    r"failed to list refs|ls-remote|authentication required|authorization failed|repository not"
    r" found|git fetch|Failed to fetch|ssh: "
    r"|knownhosts|unexpected requesting|index\.yaml|failed to get index|SSH agent",
    re.IGNORECASE,
)
_CLUSTER = re.compile(
    r"failed to get cluster (info|version) for|failed to sync cluster|error synchronizing cache"
    r" state",
    re.IGNORECASE,
)


@remembered(4096)
def verdict_of(message: str) -> Verdict:
    """The verdict an error text stands for; a text nobody knows is no evidence."""
    said = _URL.sub("URL", message)  # a repository may be called rate-limiter, or redis
    for verdict, pattern in _COMPILED:
        if pattern.search(said):
            return verdict
    # It answered, and what it said is about one object: it is there.
    return Verdict.reachable if _THERE.search(message) else Verdict.no_evidence


@remembered(4096)
def of_repository(message: str) -> Verdict:
    """The same of a text that is known to speak of a repository. Git hosts have many words; the
    causes know them, and one failure has one name, whoever it is told of."""
    verdict = verdict_of(message)
    if verdict is not Verdict.no_evidence or not about_git(message) or _REDIRECTED.search(message):
        return verdict
    line = TARGET_STATE.first(reason(_URL.sub("URL", message)))
    return (
        _OF_CAUSE.get((line.cause, line.variant), Verdict.no_evidence)
        if line is not None
        else Verdict.no_evidence
    )


@remembered(4096)
def about_git(message: str) -> bool:
    """Does an application's condition speak of its repository (and not of rendering, or of its
    cluster)?"""
    return _GIT.search(message) is not None and _CLUSTER.search(message) is None


@remembered(4096)
def about_cluster(message: str) -> bool:
    """Does an application's condition speak of its cluster?"""
    return _CLUSTER.search(message) is not None
