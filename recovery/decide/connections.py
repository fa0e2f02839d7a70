"""Is a repository or a cluster Failed, and on whose word?"""

from __future__ import annotations

from datetime import datetime

from msgspec import structs

from recovery.causes.envelope import essential
from recovery.decide.error_classification import about_cluster, about_git, of_repository, verdict_of
from recovery.model.application import Application
from recovery.model.connection import (
    Cluster,
    Connection,
    ProbeResult,
    ProbeSource,
    Repository,
    Verdict,
)
from recovery.model.policy import Policies, SubjectType
from recovery.model.situation import SubjectState

DOWN = "down"
"""The clock that runs while two different witnesses agree that a cluster is unreachable."""
LOOKERS = (ProbeSource.live_read, ProbeSource.connect)
"""Those that look at a cluster themselves, now. Argo CD's list is a cache of up to twelve hours and
has no vote."""
NEEDED_PROBES = 2


def fresh(about: Repository | Cluster, now: datetime) -> tuple[ProbeResult, ...]:
    """The evidence that still says something."""
    return tuple(
        e for e in about.evidence if now - e.at <= e.lasts and e.verdict is not Verdict.no_evidence
    )


def connection(about: Repository | Cluster, now: datetime) -> tuple[Connection, str]:
    """The state, and the words that decided it.

    A repository is what Argo CD's own live look says of it, else what its applications say. A
    cluster is what those who looked say: Failed when all of them have something against it, Unknown
    when they disagree.
    """
    if isinstance(about, Repository):
        return _repository(about, now)
    return _cluster(about, now)


def _repository(repository: Repository, now: datetime) -> tuple[Connection, str]:
    seen = {e.by: e for e in fresh(repository, now)}
    for witness in (ProbeSource.list_refs, ProbeSource.applications, ProbeSource.word):
        if found := seen.get(witness):
            state = (
                Connection.Successful if found.verdict is Verdict.reachable else Connection.Failed
            )
            return state, str(found)
    if found := seen.get(ProbeSource.request):
        # Our way there is not Argo CD's: alone it can say that the server is there, not that Argo
        # CD cannot reach it.
        state = Connection.Successful if found.verdict is Verdict.reachable else Connection.Unknown
        return state, str(found)
    return Connection.Unknown, repository.trouble or "no probe within the last minute"


def _cluster(cluster: Cluster, now: datetime) -> tuple[Connection, str]:
    seen = fresh(cluster, now)
    votes = tuple(e for e in seen if e.by in LOOKERS)
    good = tuple(e for e in votes if e.verdict is Verdict.reachable)
    bad = tuple(e for e in votes if e.verdict is not Verdict.reachable)
    words = "; ".join(map(str, votes))
    if good and bad:
        return Connection.Unknown, f"they disagree: {words}"
    if votes:
        return (Connection.Successful if good else Connection.Failed), words
    if told := next((e for e in seen if e.by is ProbeSource.applications), None):
        return (
            Connection.Successful if told.verdict is Verdict.reachable else Connection.Failed
        ), str(told)
    if not cluster.applications:
        return Connection.Unknown, "no applications run on it, and no probe asks it directly"
    return Connection.Unknown, cluster.trouble or "no probe within the last minute"


def down(cluster: Cluster, now: datetime) -> tuple[bool, str]:
    """Do two different witnesses agree, freshly, that it is unreachable, and does none say
    otherwise? With the words."""
    votes = tuple(e for e in fresh(cluster, now) if e.by in LOOKERS)
    agree = {e.by for e in votes if e.verdict is Verdict.unreachable}
    words = "; ".join(map(str, votes)) or "no probe within the last minute"
    if other := [e for e in votes if e.verdict is not Verdict.unreachable]:
        return False, f"{other[0].by.value} says {other[0].verdict.value}: {words}"
    if len(agree) < NEEDED_PROBES:
        return (
            False,
            f"{len(agree)} of {NEEDED_PROBES} probes say that it is unreachable: {words}",
        )
    return True, words


def healthy(cluster: Cluster, now: datetime) -> tuple[bool, str]:
    """Has somebody looked within the last minute and found it well, and nobody otherwise? Unknown
    is not well, and what its applications say is no look."""
    state, words = _cluster(cluster, now)
    looked = any(e.by in LOOKERS for e in fresh(cluster, now))
    return state is Connection.Successful and looked, words


def worst(about: Repository | Cluster, now: datetime) -> Verdict:
    """The verdict that says most about what is wrong: a person's first question."""
    order = (
        Verdict.credentials_refused,
        Verdict.tls,
        Verdict.dns,
        Verdict.rate_limited,
        Verdict.api_partial,
        Verdict.unreachable,
        Verdict.reachable,
        Verdict.no_evidence,
    )
    return min(
        (e.verdict for e in fresh(about, now) if e.by is not ProbeSource.word),
        key=order.index,
        default=Verdict.no_evidence,
    )


def with_evidence(about: Repository | Cluster, found: ProbeResult) -> Repository | Cluster:
    """The same with a newer look by one witness."""
    others = tuple(e for e in about.evidence if e.by is not found.by)
    seen = found.verdict is Verdict.reachable and (
        found.by in LOOKERS or isinstance(about, Repository)
    )
    return structs.replace(
        about, evidence=(*others, found), good_at=found.at if seen else about.good_at
    )


def watch(
    old: SubjectState | None,
    about: Repository | Cluster,
    policies: Policies,
    now: datetime,
    *,
    first_install: bool,
) -> SubjectState:
    """Bring what we remember of a repository or a cluster up to a new look; a gap in the evidence
    stops its clocks."""
    known = old is not None and old.uid == about.uid
    sight = old if known and old is not None else SubjectState(uid=about.uid, first_seen=now)
    state, _ = connection(about, now)
    kind = SubjectType(about.key.kind)
    held = [
        p.condition.symptom
        for p in policies.policies
        if p.condition.type is kind and state in p.condition.connection_state
    ]
    if isinstance(about, Cluster) and down(about, now)[0]:
        held.append(DOWN)
    clocks = {symptom: sight.clocks.get(symptom, now) for symptom in held}
    unwell = state is Connection.Failed
    inherited = (
        (unwell and first_install)
        if not known
        else sight.inherited and state is not Connection.Successful
    )
    dismissed = sight.dismissed if state is not Connection.Successful else ()
    return structs.replace(sight, clocks=clocks, inherited=inherited, dismissed=dismissed)


def said_by(app: Application, now: datetime) -> tuple[ProbeResult | None, ProbeResult | None]:
    """Probe results from an application's conditions: what they say of its repository, and of its
    cluster; None for nothing."""
    git = cluster = None
    for condition in app.conditions:
        if condition.type != "ComparisonError":
            continue
        words = f"{app.key}: {essential(condition.message, 250)}"
        at = min(now, app.reconciled_at or now)
        if about_cluster(condition.message):
            cluster = ProbeResult(
                ProbeSource.applications, verdict_of(condition.message), at, words
            )
        elif (
            about_git(condition.message)
            and len(set(app.repositories)) == 1
            and _names(condition.message, app.repositories[0])
        ):
            git = ProbeResult(ProbeSource.applications, of_repository(condition.message), at, words)
    return git, cluster


def _names(message: str, url: str) -> bool:
    """Is it this repository that is spoken of, and not one that a chart or a submodule asks for
    besides?"""
    host = (
        url.partition("://")[2].partition("/")[0].rpartition("@")[2]
        or url.partition(":")[0].rpartition("@")[2]
    )
    return "failed to list refs" in message or (bool(host) and host in message)
