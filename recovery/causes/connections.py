"""Why a repository or a cluster is not to be had: the verdict of those who looked, as a cause."""

from __future__ import annotations

from recovery.causes.case import found
from recovery.model.cause import Confidence, Diagnosis
from recovery.model.connection import Cluster, ProbeResult, Repository, Verdict

_REPOSITORY = {
    Verdict.unreachable: "GitUnreachable",
    Verdict.rate_limited: "GitUnreachable",
    Verdict.dns: "GitUnreachable",
    Verdict.credentials_refused: "GitAuthFailed",
    Verdict.tls: "GitAuthFailed",
}
_CLUSTER = {
    Verdict.unreachable: "ClusterUnreachable",
    Verdict.dns: "ClusterUnreachable",
    Verdict.rate_limited: "ClusterAPIPartial",
    Verdict.api_partial: "ClusterAPIPartial",
    Verdict.credentials_refused: "ClusterCredentials",
    Verdict.tls: "ClusterCredentials",
}


def of_connection(about: Repository | Cluster, verdict: Verdict | None) -> Diagnosis | None:
    """The cause, with everybody's word as its evidence; None when it answers, or nobody knows."""
    cause = (
        (_REPOSITORY if isinstance(about, Repository) else _CLUSTER).get(verdict)
        if verdict is not None
        else None
    )
    if cause is None:
        return None
    looks: list[ProbeResult] = sorted(about.evidence, key=lambda e: e.at, reverse=True)
    sure = Confidence.certain if sum(e.verdict is verdict for e in looks) > 1 else Confidence.likely
    return found(
        cause, *(f"{e.at:%H:%M:%SZ} {e}" for e in looks), about=about.name, confidence=sure
    )
