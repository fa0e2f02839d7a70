"""Whom to believe about repositories and clusters: tables of texts, of evidence, of targets and of
permissions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from recovery.act.registry import POLICY_ACTIONS
from recovery.decide.cluster_label import relabelled
from recovery.decide.connections import DOWN, connection, down, healthy, said_by, watch
from recovery.decide.engine import decide
from recovery.decide.error_classification import verdict_of
from recovery.decide.guard_request import GuardRequest
from recovery.decide.guards import refusal
from recovery.decide.notifications import secret_of, whom
from recovery.decide.placement import busy, permitted, target_of, unmovable
from recovery.model.application import (
    ApplicationSet,
    Condition,
    Destination,
    Hold,
    Operation,
    Permitted,
    Phase,
    Project,
    Requested,
)
from recovery.model.connection import (
    Cluster,
    Connection,
    ProbeResult,
    ProbeSource,
    Repository,
    Verdict,
)
from recovery.model.decision import Kind
from recovery.model.move import Place, UserRequest
from recovery.model.policy import Mode
from recovery.model.recovery import RecoveryPhase, StepRecord
from recovery.model.situation import Freshness, Situation
from recovery.policies import parse
from tests.builders import (
    NOW,
    a_cluster,
    a_dead_cluster,
    a_dependent,
    a_live_cluster,
    a_recovery,
    about_a_cluster,
    an_application,
    seen,
    the_policies,
)

LIVE, OURS, LIST = ProbeSource.live_read, ProbeSource.connect, ProbeSource.word
UP, AWAY, REFUSED = Verdict.reachable, Verdict.unreachable, Verdict.credentials_refused
CLUSTER_POLICY = the_policies().policies[3]
FAILOVER = CLUSTER_POLICY.actions[2]

# Texts as Argo CD 3.2.11, go-git and Kubernetes 1.34 wrote them on the real bed, and those of
# argocd.md's section on texts.
TEXTS = [
    (
        'error getting resource: failed to get api resource: failed to discover server resources for group version v1: Get "https://127.0.0.1:58035/api/v1?timeout=32s": dial tcp 127.0.0.1:58035: connect: connection refused',
        AWAY,
    ),
    (
        "error getting resource: failed to get api resource: failed to discover server resources for group version v1: Unauthorized",
        REFUSED,
    ),
    ("the server has asked for the client to provide credentials", REFUSED),
    ('error getting resource: pods "web-6d94b658d8-j9bbs" not found', UP),
    ("dial tcp 10.0.0.1:6443: i/o timeout", AWAY),
    ("dial tcp 10.0.0.1:6443: connect: no route to host", AWAY),
    ("dial tcp: lookup prod.example on 10.96.0.10:53: no such host", Verdict.dns),
    (
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        Verdict.tls,
    ),
    (
        'services is forbidden: User "system:serviceaccount:kube-system:argocd-manager" cannot get resource',
        Verdict.api_partial,
    ),
    ("conversion webhook for shop.example/v1 failed", Verdict.api_partial),
    ('error getting resource: pods "x" is forbidden: User "a" cannot get resource', UP),
    ("net/http: TLS handshake timeout", AWAY),
    ("http2: client connection lost", AWAY),
    (
        'Get "https://git.example/infra/redis.git/info/refs": dial tcp 10.0.0.9:443: connect: connection refused',
        AWAY,
    ),
    (
        'Get "https://git.example/rate-limiter.git/info/refs": dial tcp 10.0.0.9:443: connect: connection refused',
        AWAY,
    ),
    (
        'connection error: desc = "transport: Error while dialing: dial tcp 10.96.1.2:8081: connect: connection refused"',
        Verdict.no_evidence,
    ),
    ("Unauthorized", Verdict.no_evidence),
    ('applications.argoproj.io "x" not found', Verdict.no_evidence),
    ("invalid session: token is expired", Verdict.no_evidence),
    ("permission denied", Verdict.no_evidence),
    ("NOAUTH Authentication required", Verdict.no_evidence),
    ("Pod  web not found as part of application web", Verdict.no_evidence),
    ("something nobody has ever seen", Verdict.no_evidence),
    ("failed to list refs: authentication required: Unauthorized", REFUSED),
    ("failed to list refs: repository not found", REFUSED),
    (
        'failed to list refs: Get "http://git/x/info/refs": dial tcp 127.0.0.1:80: connect: connection refused',
        AWAY,
    ),
    ('unexpected requesting "https://git/x" status code: 503', AWAY),
    ('unexpected requesting "https://git/x" status code: 429', Verdict.rate_limited),
    ("remote repository is empty", UP),
    ("ssh: handshake failed: knownhosts: key is unknown", Verdict.tls),
    ("ssh: unable to authenticate, attempted methods [none publickey]", REFUSED),
]


@pytest.mark.parametrize(("text", "verdict"), TEXTS, ids=[t[0][-48:] for t in TEXTS])
def test_an_error_text_stands_for_a_verdict(text: str, verdict: Verdict) -> None:
    assert verdict_of(text) is verdict


CLUSTERS = [
    pytest.param(
        (seen(LIVE, AWAY), seen(OURS, AWAY)), Connection.Failed, True, id="both say unreachable"
    ),
    pytest.param((seen(LIVE, AWAY),), Connection.Failed, False, id="one alone is no corroboration"),
    pytest.param((seen(OURS, AWAY),), Connection.Failed, False, id="nor are we alone"),
    pytest.param((seen(LIVE, AWAY), seen(OURS, UP)), Connection.Unknown, False, id="they disagree"),
    pytest.param(
        (seen(LIVE, REFUSED), seen(OURS, REFUSED)),
        Connection.Failed,
        False,
        id="refused credentials are no outage",
    ),
    pytest.param(
        (seen(LIVE, AWAY), seen(OURS, REFUSED)),
        Connection.Failed,
        False,
        id="one of them got an answer",
    ),
    pytest.param(
        (seen(LIVE, Verdict.tls), seen(OURS, Verdict.tls)),
        Connection.Failed,
        False,
        id="nor is a certificate",
    ),
    pytest.param(
        (seen(LIVE, Verdict.dns), seen(OURS, Verdict.dns)),
        Connection.Failed,
        False,
        id="nor is a name",
    ),
    pytest.param(
        (seen(LIVE, Verdict.api_partial), seen(OURS, AWAY)),
        Connection.Failed,
        False,
        id="nor half an API",
    ),
    pytest.param(
        (seen(LIVE, AWAY, 61), seen(OURS, AWAY)),
        Connection.Failed,
        False,
        id="a minute old is too old",
    ),
    pytest.param(
        (seen(LIVE, AWAY, 60), seen(OURS, AWAY, 60)),
        Connection.Failed,
        True,
        id="sixty seconds are fresh",
    ),
    pytest.param(
        (seen(LIST, AWAY), seen(OURS, AWAY)),
        Connection.Failed,
        False,
        id="Argo CD's cached word has no vote",
    ),
    pytest.param(
        (seen(LIST, UP), seen(LIVE, AWAY), seen(OURS, AWAY)),
        Connection.Failed,
        True,
        id="nor against",
    ),
    pytest.param(
        (seen(LIVE, Verdict.no_evidence), seen(OURS, AWAY)),
        Connection.Failed,
        False,
        id="no evidence is no vote",
    ),
    pytest.param((seen(LIVE, UP), seen(OURS, UP)), Connection.Successful, False, id="well"),
    pytest.param((seen(LIST, AWAY),), Connection.Unknown, False, id="nobody has looked"),
    pytest.param(
        (seen(ProbeSource.applications, AWAY),),
        Connection.Failed,
        False,
        id="without a token its applications say so",
    ),
]


@pytest.mark.parametrize(("evidence", "state", "is_down"), CLUSTERS)
def test_a_cluster_is_down_on_two_fresh_words_and_none_against(
    evidence: tuple[ProbeResult, ...], state: Connection, is_down: bool
) -> None:
    cluster = a_cluster("primary", *evidence)

    assert connection(cluster, NOW)[0] is state
    assert down(cluster, NOW)[0] is is_down
    assert healthy(cluster, NOW)[0] is (state is Connection.Successful)


def test_a_cluster_without_applications_is_unknown_and_no_proven_target() -> None:
    standby = a_cluster("secondary", seen(LIST, UP), applications=0)

    assert connection(standby, NOW) == (
        Connection.Unknown,
        "no applications run on it, and no probe asks it directly",
    )
    assert not healthy(standby, NOW)[0]


REPOSITORIES = [
    pytest.param(
        (seen(ProbeSource.list_refs, AWAY),),
        Connection.Failed,
        id="Argo CD cannot list its branches",
    ),
    pytest.param((seen(ProbeSource.list_refs, REFUSED),), Connection.Failed, id="or is refused"),
    pytest.param(
        (seen(ProbeSource.list_refs, UP), seen(ProbeSource.applications, AWAY)),
        Connection.Successful,
        id="a newer look beats old conditions",
    ),
    pytest.param(
        (seen(ProbeSource.applications, AWAY),),
        Connection.Failed,
        id="without a token its applications say so",
    ),
    pytest.param(
        (seen(ProbeSource.request, AWAY),), Connection.Unknown, id="our way there is not Argo CD's"
    ),
    pytest.param(
        (seen(ProbeSource.request, UP),), Connection.Successful, id="but an answer is an answer"
    ),
    pytest.param((seen(LIST, AWAY, 3000),), Connection.Unknown, id="an hour old list says nothing"),
    pytest.param((), Connection.Unknown, id="nobody has looked"),
]


@pytest.mark.parametrize(("evidence", "state"), REPOSITORIES)
def test_a_repository_is_what_argo_cds_own_look_says(
    evidence: tuple[ProbeResult, ...], state: Connection
) -> None:
    assert (
        connection(Repository(url="https://git.example/shop.git", evidence=evidence), NOW)[0]
        is state
    )


def test_what_applications_say_is_filed_under_what_they_speak_of() -> None:
    def told(message: str, **changes: Any) -> list[Verdict | None]:
        app = an_application(conditions=(Condition("ComparisonError", message),), **changes)
        return [e.verdict if e else None for e in said_by(app, NOW)]

    git = "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = failed to list refs: dial tcp: connect: connection refused"
    cluster = 'Failed to load live state: failed to get cluster info for "https://x": error synchronizing cache state : failed to sync cluster https://x: Unauthorized'
    render = "Failed to load target state: rpc error: code = Unknown desc = `helm template .` failed exit status 1: Error: boom"
    assert told(git) == [AWAY, None]
    assert told(git, repositories=("https://a", "https://b")) == [None, None], (
        "which of two is not said"
    )
    assert told(cluster) == [None, REFUSED]
    assert told(render) == [None, None]


def test_a_gap_in_the_evidence_stops_the_clocks() -> None:
    cluster, policies = a_dead_cluster(), the_policies()
    first = watch(None, cluster, policies, NOW, first_install=False)
    later = watch(first, cluster, policies, NOW + timedelta(seconds=30), first_install=False)
    old = watch(later, cluster, policies, NOW + timedelta(seconds=90), first_install=False)

    assert first.clocks == {"connection_state=Failed": NOW, DOWN: NOW} == later.clocks
    assert old.clocks == {}


@pytest.mark.parametrize(("first_install", "inherited"), [(True, True), (False, False)])
def test_what_is_down_at_a_first_install_is_inherited_until_it_was_well(
    first_install: bool, inherited: bool
) -> None:
    sight = watch(None, a_dead_cluster(), the_policies(), NOW, first_install=first_install)
    assert sight.inherited is inherited

    assert not watch(
        sight, a_live_cluster("primary"), the_policies(), NOW, first_install=False
    ).inherited


# Where to


def lives(name: str, **changes: Any) -> Cluster:
    return a_live_cluster(name, **changes)


TARGETS = [
    pytest.param(about_a_cluster(), "secondary", "", id="well, by name"),
    pytest.param(about_a_cluster(), "https://secondary.example:6443", "", id="well, by server"),
    pytest.param(about_a_cluster(), "tertiary", "UnknownTarget", id="nobody knows it"),
    pytest.param(about_a_cluster(), "primary", "TargetIsSource", id="the very one that is down"),
    pytest.param(about_a_cluster(), "", "NoTarget", id="nobody says where"),
    pytest.param(
        about_a_cluster(clusters=(a_dead_cluster(), a_dead_cluster("secondary"))),
        "secondary",
        "TargetNotHealthy",
        id="down, too",
    ),
    pytest.param(
        about_a_cluster(clusters=(a_dead_cluster(), a_cluster("secondary"))),
        "secondary",
        "TargetNotHealthy",
        id="not looked at",
    ),
    pytest.param(
        about_a_cluster(
            clusters=(a_dead_cluster(), lives("secondary", trouble="2 clusters are called so"))
        ),
        "secondary",
        "TargetUnhealthy",
        id="ambiguous",
    ),
    pytest.param(
        about_a_cluster(
            a_dead_cluster(labels={"recovery.gitops.dev/failover-to": "west"}),
            clusters=(a_dead_cluster(), lives("west")),
        ),
        "secondary",
        "",
        id="the Secret's label is stronger",
    ),
    pytest.param(
        about_a_cluster(
            clusters=(a_dead_cluster(), lives("secondary", namespace_uid="uid-primary"))
        ),
        "secondary",
        "TargetIsSource",
        id="the very one, by another address",
    ),
    pytest.param(
        about_a_cluster(clusters=(a_dead_cluster(), lives("secondary", namespace_uid=""))),
        "secondary",
        "ClusterUnknown",
        id="which one it is could never be read",
    ),
    pytest.param(
        about_a_cluster(a_dead_cluster(namespace_uid="")),
        "secondary",
        "ClusterUnknown",
        id="nor which one is down",
    ),
    pytest.param(
        about_a_cluster(
            clusters=(
                a_dead_cluster(),
                lives(
                    "secondary", namespace_uid="", marks={"recovery.gitops.dev/cluster-uid": "b"}
                ),
            )
        ),
        "secondary",
        "",
        id="a person has stated it on the Secret",
    ),
    pytest.param(
        about_a_cluster(
            clusters=(
                a_dead_cluster(),
                lives("secondary", marks={"recovery.gitops.dev/cluster-uid": "uid-primary"}),
            )
        ),
        "secondary",
        "TargetIsSource",
        id="a person has stated that it is the same",
    ),
]


@pytest.mark.parametrize(("situation", "wanted", "reason"), TARGETS)
def test_applications_go_only_where_it_is_proven_well(
    situation: Situation, wanted: str, reason: str
) -> None:
    target, why, words = target_of(wanted, situation)

    assert (why, target is None) == (reason, bool(reason)), words


PERMITTED = [
    ((Permitted(server="*", namespace="*"),), True),
    ((Permitted(name="second*", namespace="shop"),), True),
    ((Permitted(name="secondary", namespace="other"),), False),
    ((Permitted(name="primary", namespace="*"),), False),
    ((Permitted(server="*", namespace="*"), Permitted(name="!secondary", namespace="*")), False),
    ((Permitted(server="*", namespace="!shop"),), False),
    ((Permitted(server="*", namespace="!other"),), True),
    (
        (
            Permitted(server="!https://secondary.example:6443", namespace="*"),
            Permitted(server="*", namespace="*"),
        ),
        False,
    ),
    ((), False),
]


@pytest.mark.parametrize(("destinations", "allowed"), PERMITTED, ids=str)
def test_a_project_permits_as_argo_cd_reads_it(
    destinations: tuple[Permitted, ...], allowed: bool
) -> None:
    project = Project("shop", destinations=destinations)

    assert (
        permitted(project, Destination(name="primary", namespace="shop"), a_live_cluster())
        is allowed
    )
    assert not permitted(None, Destination(namespace="shop"), a_live_cluster())


def marked(**marks: str) -> dict[str, str]:
    return {f"recovery.gitops.dev/{key}": value for key, value in marks.items()}


STAY = [
    pytest.param(a_dependent(), "", id="goes"),
    pytest.param(
        a_dependent(kinds=("Deployment", "StatefulSet")),
        "stateful (StatefulSet)",
        id="stateful set",
    ),
    pytest.param(a_dependent(kinds=("PersistentVolumeClaim",)), "stateful", id="a claim"),
    pytest.param(a_dependent(kinds=()), "never seen", id="nobody knows what it is"),
    pytest.param(a_dependent(auto_sync=False), "release gate", id="manual"),
    pytest.param(
        a_dependent(auto_sync=False, marks=marked(sync="allowed")), "", id="manual, allowed"
    ),
    pytest.param(a_dependent(marks=marked(paused="true")), "paused", id="paused"),
    pytest.param(a_dependent(marks=marked(mode="observe")), "mode: observe", id="observed only"),
    pytest.param(a_dependent(deleting=True), "being deleted", id="deleting"),
    pytest.param(a_dependent(control_plane=True), "Argo CD", id="Argo CD itself"),
    pytest.param(
        a_dependent(hold=Hold("x", "uid-cart", bad=("b",))), "held back", id="held by a rollback"
    ),
    pytest.param(
        a_dependent(application_set="all"), "ApplicationSet all would write", id="owned by a set"
    ),
    pytest.param(
        a_dependent(parent="argocd/root"), "parent application argocd/root", id="owned by a parent"
    ),
    pytest.param(
        a_dependent(
            destination=Destination(
                name="primary", server="https://primary.example:6443", namespace="shop"
            )
        ),
        "both name and server",
        id="two destinations in one",
    ),
    pytest.param(
        a_dependent(conditions=(Condition("InvalidSpecError", "boom"),)),
        "InvalidSpecError: boom",
        id="invalid",
    ),
    pytest.param(
        structs.replace(a_dependent(), project=None), "does not permit", id="no project known"
    ),
    pytest.param(
        structs.replace(
            a_dependent(application_set="all"),
            application_set=ApplicationSet("argocd", "all", leaves_destination=frozenset({"*"})),
        ),
        "",
        id="owned by a set that leaves the destination alone",
    ),
]


@pytest.mark.parametrize(("dependent", "words"), STAY)
def test_what_stays_says_why(dependent: Any, words: str) -> None:
    why = unmovable(dependent, about_a_cluster(), a_live_cluster(), stateful=False)

    assert words in why
    assert bool(why) is bool(words)


@pytest.mark.parametrize(
    ("dependent", "words"),
    [
        (a_dependent(), ""),
        (
            a_dependent(operation=Operation(Phase.Running, "x", username="ada")),
            "by ada is in progress",
        ),
        (a_dependent(requested=Requested("", "ada")), "in progress"),
        (
            structs.replace(a_dependent(), failed=("repository x is Failed",)),
            "repository x is Failed",
        ),
    ],
)
def test_what_cannot_go_just_now_waits(dependent: Any, words: str) -> None:
    assert words in busy(dependent)
    assert bool(busy(dependent)) is bool(words)


def test_kinds_are_remembered_when_argo_cd_shows_none_any_more() -> None:
    dependent = a_dependent(kinds=())
    dependent = structs.replace(
        dependent, sight=structs.replace(dependent.sight, kinds=("StatefulSet",))
    )

    assert "stateful" in unmovable(dependent, about_a_cluster(), a_live_cluster(), stateful=False)


LABEL = "shop.example/active"


def a_set(**changes: Any) -> ApplicationSet:
    return structs.replace(
        ApplicationSet("argocd", "all", template_name="shop-web", selectors=({LABEL: "yes"},)),
        **changes,
    )


RELABEL = [
    pytest.param((a_set(),), {LABEL: "yes"}, {}, "", id="goes along"),
    pytest.param((a_set(),), {}, {}, "carries no label", id="there is no label to move"),
    pytest.param((a_set(),), {LABEL: "yes"}, {LABEL: "yes"}, "already", id="both carry it"),
    pytest.param(
        (a_set(template_name="{{name}}-web"),),
        {LABEL: "yes"},
        {},
        "another cluster, other names",
        id="it would delete",
    ),
    pytest.param(
        (a_set(template_name="{{ .metadata.labels.site }}-web"),),
        {LABEL: "yes"},
        {},
        "other names",
        id="by a label, too",
    ),
    pytest.param(
        (a_set(template_name="{{name}}-web", deletes=False),),
        {LABEL: "yes"},
        {},
        "",
        id="it deletes nothing",
    ),
    pytest.param(
        (a_set(),),
        {LABEL: "yes"},
        {LABEL: "no"},
        "=no already, which would be lost",
        id="the other says no",
    ),
    pytest.param(
        (a_set(), a_set(opaque=frozenset({LABEL}))),
        {LABEL: "yes"},
        {},
        "not judged here",
        id="asked for in a matrix, too",
    ),
    pytest.param(
        (a_set(updates=False),), {LABEL: "yes"}, {}, "nothing would move", id="it updates nothing"
    ),
    pytest.param(
        (a_set(selectors=({LABEL: "yes", "env": "prod"},)),),
        {LABEL: "yes", "env": "prod"},
        {"env": "test"},
        "would not generate the same",
        id="the other cluster lacks a label",
    ),
    pytest.param(
        (a_set(selectors=({"env": "prod"},)),),
        {LABEL: "yes", "env": "prod"},
        {},
        "no ApplicationSet selects",
        id="not by it",
    ),
]


@pytest.mark.parametrize(("sets", "source", "target", "words"), RELABEL)
def test_a_label_is_moved_only_if_no_application_is_deleted_by_it(
    sets: tuple[ApplicationSet, ...], source: dict[str, str], target: dict[str, str], words: str
) -> None:
    taken, why = relabelled(
        LABEL, sets, a_dead_cluster(labels=source), a_live_cluster(labels=target)
    )

    assert (words in why, bool(why), bool(taken)) == (True, bool(words), not words), why


# Guards


def asked(situation: Situation, **policy: Any) -> GuardRequest:
    return GuardRequest(
        situation, structs.replace(CLUSTER_POLICY, **policy), FAILOVER, situation.recovery
    )


def planned(**changes: Any) -> Any:
    """A recovery whose failover has made its plan and waits to begin."""
    step = StepRecord(1, 2, "failover", NOW, sent=True)
    return a_recovery(
        "primary-1",
        NOW,
        phase=RecoveryPhase.Suppressed,
        attempt=1,
        steps=(step,),
        resolved_at=None,
        version="7",
        **changes,
    )


GUARDS = [
    pytest.param(
        about_a_cluster(freshness=Freshness(fresh=False, message="300s ago")),
        {},
        "StaleCache",
        id="stale",
    ),
    pytest.param(
        about_a_cluster(a_dead_cluster(marks=marked(paused="works"))),
        {},
        "Paused",
        id="paused on its Secret",
    ),
    pytest.param(
        about_a_cluster(together="cluster secondary fell ill with it"),
        {},
        "CorrelatedIncident",
        id="one incident",
    ),
    pytest.param(
        about_a_cluster(a_cluster("primary", seen(LIVE, AWAY))), {}, "QuorumPending", id="one word"
    ),
    pytest.param(
        about_a_cluster(down_for=100), {}, "QuorumPending", id="two words, not for long enough"
    ),
    pytest.param(
        about_a_cluster(witnessed="", recovery=planned()),
        {},
        "ControllerIsolated",
        id="nobody outside answers",
    ),
    pytest.param(
        about_a_cluster(recovery=planned()),
        {"mode": Mode.approve},
        "ApprovalRequired",
        id="asks first",
    ),
    pytest.param(about_a_cluster(enabled=False), {}, "ObserveOnly", id="switched off"),
    pytest.param(
        about_a_cluster(a_dead_cluster(marks=marked(mode="observe"))),
        {},
        "ObserveOnly",
        id="observed only",
    ),
]


@pytest.mark.parametrize(("situation", "policy", "by"), GUARDS)
def test_a_failover_is_held_back(situation: Situation, policy: dict[str, Any], by: str) -> None:
    no = refusal(asked(situation, **policy))

    assert no is not None
    assert no.by == by, no.message


def test_a_plan_is_made_before_a_person_is_asked() -> None:
    assert refusal(asked(about_a_cluster(witnessed=""), mode=Mode.approve)) is None


APPROVALS = {
    "now": (NOW, "{this}", True),
    "an hour is not over": (NOW - timedelta(minutes=59), "{this}", True),
    "expired": (NOW - timedelta(hours=1), "{this}", False),
    "another step": (NOW, "1.1 {what}", False),
    "another attempt": (NOW, "2.2 {what}", False),
    "another action": (NOW, "1.2 restart {digest}", False),
    "a place alone": (NOW, "1.2", False),
    "from the future": (NOW + timedelta(hours=2), "{this}", False),
}


@pytest.mark.parametrize(("at", "step", "passes"), APPROVALS.values(), ids=APPROVALS)
def test_an_approval_is_for_one_step_and_an_hour(at: Any, step: str, passes: bool) -> None:
    for changes, policy in (({"witnessed": ""}, {}), ({}, {"mode": Mode.approve})):
        no = refusal(asked(about_a_cluster(recovery=planned(), **changes), **policy))
        assert no is not None
        place, _, what = no.awaiting.partition(" ")
        assert place == "1.2"
        words = step.format(this=no.awaiting, what=what, digest=what.partition(" ")[2])

        held = planned(requests=(UserRequest("approve", "ada", at, words),))
        assert (
            refusal(asked(about_a_cluster(recovery=held, **changes), **policy)) is None
        ) is passes


def test_the_shipped_cluster_policy_begins_after_three_minutes() -> None:
    early = decide(about_a_cluster(down_for=179))
    due = decide(about_a_cluster(down_for=180))

    assert [(d.kind, d.reason) for d in early] == [(Kind.Wait, "Pending")]
    assert [(d.kind, d.step.kind.name if d.step else "") for d in due] == [
        (Kind.Remediate, "refresh_cluster_config")
    ]
    assert due[0].recovery is not None
    assert str(due[0].recovery.subject) == "cluster/primary"
    assert due[0].recovery.name.startswith("primary-")


# Words


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (REFUSED, "no outage. Change them in the Secret cluster-primary"),
        (Verdict.tls, "certificate"),
        (Verdict.api_partial, "API"),
        (AWAY, ""),
    ],
)
def test_people_are_told_whom_to_call(verdict: Verdict, words: str) -> None:
    cluster = a_cluster("primary", seen(OURS, verdict))

    told = whom(cluster, about_a_cluster(cluster))

    assert words in told
    assert bool(told) is bool(words)


def test_the_command_that_names_a_repositorys_secret_holds_no_credential() -> None:
    told = secret_of(
        "repository", "https://git.example/shop.git", Repository(url="https://git.example/shop.git")
    )

    assert "aHR0cHM6Ly9naXQuZXhhbXBsZS9zaG9wLmdpdA==" in told
    assert "argocd.argoproj.io/secret-type=repository" in told


def test_places_are_written_the_way_they_were() -> None:
    assert str(Place(name="primary")) == "primary"
    assert Destination(server="https://x", namespace="n").place == Place(server="https://x")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("{strategy: cluster-label}", "needs a label"),
        ("{if_primary_cluster_down: false}", "is not offered"),
        ("{failback: never}", "unknown word 'never'"),
        ("{target: secondary}", "unknown key 'target', did you mean 'target_cluster'?"),
    ],
)
def test_a_failover_that_cannot_be_is_refused_when_the_policy_is_read(
    parameters: str, words: str
) -> None:
    text = f"recovery_policies: [{{name: a, condition: {{type: cluster, connection_state: Failed}}, actions: [{{type: failover, parameters: {parameters}}}]}}]"

    with pytest.raises(Exception, match=words.replace("?", r"\?")):
        parse(text, POLICY_ACTIONS)


def test_what_people_paused_by_command_stays_where_it_is() -> None:
    from recovery.model.selector import Selector
    from recovery.model.situation import Dependent, SubjectState
    from recovery.model.window import Pause

    app = an_application(kinds=("Deployment",))
    paused = structs.replace(
        about_a_cluster(), pauses=(Pause(Selector(projects=(app.project,)), "migration", "ada"),)
    )
    silent = structs.replace(
        about_a_cluster(),
        pauses=(Pause(Selector(projects=(app.project,)), "migration", "ada", silences=True),),
    )
    dependent = Dependent(app, SubjectState(app.uid, NOW))

    assert (
        unmovable(dependent, paused, a_live_cluster(), stateful=False)
        == "it is paused by ada: migration"
    )
    assert "paused" not in unmovable(dependent, silent, a_live_cluster(), stateful=False)
