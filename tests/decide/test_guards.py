"""Every guard: a refusal with its numbers, and no objection beside it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from recovery.act.registry import ACTION_KINDS
from recovery.decide.guard_request import GuardRequest
from recovery.decide.guards import GUARDS, refusal
from recovery.model.application import (
    Application,
    ApplicationSet,
    Hold,
    Operation,
    Phase,
    Project,
    Requested,
    SyncWindow,
)
from recovery.model.cause import Confidence, Diagnosis
from recovery.model.names import SubjectKey
from recovery.model.policy import Budget, Mode
from recovery.model.recovery import RecoveryPhase
from recovery.model.selector import Selector
from recovery.model.situation import Fleet, Freshness, RecentDisruptions, Situation, SubjectState
from recovery.model.window import Pause, Window
from tests.builders import (
    A_CRASH,
    BAD,
    NOW,
    a_situation,
    an_application,
    degraded,
    gave_up,
    the_policies,
)
from tests.decide.test_connections import GUARDS as CLUSTER_GUARDS

POLICY = the_policies().policies[0]
REFRESH, SYNC, NOTIFY = POLICY.actions
HELD = Hold(recovery="other", uid="uid-cart", bad=(BAD,), suspended=True)
MINE = "cart-0123456789"


def asked(situation: Situation, step: Any = SYNC, **policy: Any) -> GuardRequest:
    return GuardRequest(situation, structs.replace(POLICY, **policy), step, None)


def inherited(count: int, **changes: Any) -> Situation:
    sight = SubjectState(
        "uid-cart", NOW, {"status=OutOfSync": NOW - timedelta(hours=1)}, inherited=True
    )
    return a_situation(gave_up(), sight=sight, fleet=Fleet(inherited_unwell=count), **changes)


def marked(**marks: str) -> dict[str, str]:
    return {f"recovery.gitops.dev/{key.replace('_', '-')}": value for key, value in marks.items()}


def running(**changes: Any) -> Any:
    operation = Operation(
        Phase.Running,
        "waiting",
        started_at=NOW - timedelta(minutes=1),
        revisions=(BAD,),
        username="ada",
    )
    return gave_up(operation=structs.replace(operation, **changes))


def asked_for(**changes: Any) -> Application:
    """A manual application: a person's own sync of the newest revision failed."""
    app = gave_up(auto_sync=False)
    assert app.operation is not None
    return structs.replace(
        app, operation=structs.replace(app.operation, automated=False, username="ada", **changes)
    )


REFUSALS = [
    pytest.param(
        a_situation(asked_for(partial=True)),
        "ManualSync",
        "no sync of bbbbbbb was requested",
        id="one resource, or a dry run, is no deploy",
    ),
    pytest.param(
        a_situation(gave_up(auto_sync=False)),
        "ManualSync",
        "no sync of bbbbbbb was requested",
        id="auto-sync's own attempt, switched off since",
    ),
    pytest.param(
        a_situation(
            gave_up(),
            finding=Diagnosis(
                "RolloutFailed", ("Pod/cart-1: CrashLoopBackOff",), Confidence.likely
            ),
        ),
        "RemedyForbidden",
        "sync is forbidden for C30 RolloutFailed",
        id="cure forbidden",
    ),
    pytest.param(
        a_situation(gave_up(), frozen="not compared for 57h"),
        "NotReconciling",
        "not compared for 57h",
        id="frozen",
    ),
    pytest.param(
        a_situation(gave_up(), freshness=Freshness(fresh=False, message="last heard of 300s ago")),
        "StaleCache",
        "300s ago",
        id="stale",
    ),
    pytest.param(a_situation(gave_up(deleting=True)), "Deleting", "being deleted", id="deleting"),
    pytest.param(
        a_situation(gave_up(marks=marked(paused="true"))),
        "Paused",
        "argocd/cart",
        id="paused application",
    ),
    pytest.param(
        a_situation(gave_up(), project=Project("shop", marked(paused="migration"))),
        "Paused",
        "migration",
        id="paused project, with why",
    ),
    pytest.param(
        a_situation(gave_up(marks=marked(paused="2026-03-02T13:00:00Z"))),
        "Paused",
        "13:00",
        id="paused until later",
    ),
    pytest.param(
        a_situation(gave_up(), foreign="there is no AppProject made-up"),
        "NotPermitted",
        "made-up",
        id="a project that is not",
    ),
    pytest.param(
        a_situation(gave_up(), unreconciled="annotated skip-reconcile"),
        "ReconcileSkipped",
        "skip-reconcile",
        id="skipped by Argo CD",
    ),
    pytest.param(
        a_situation(gave_up(control_plane=True)), "Protected", "Argo CD", id="holds Argo CD"
    ),
    pytest.param(
        a_situation(
            gave_up(application_set="pr"),
            application_set=ApplicationSet("argocd", "pr", pull_requests=True),
        ),
        "Protected",
        "pull request",
        id="preview",
    ),
    pytest.param(inherited(6), "PreExisting", "6 in all (limit 5)", id="six inherited"),
    pytest.param(
        a_situation(gave_up(hold=HELD)),
        "KnownBadRevision",
        "KnownBadRevision",
        id="known bad revision",
    ),
    pytest.param(
        a_situation(gave_up(unreadable="broken JSON")),
        "KnownBadRevision",
        "broken JSON",
        id="unreadable hold",
    ),
    pytest.param(
        a_situation(gave_up(auto_sync=False, operation=None)),
        "ManualSync",
        "release gate",
        id="manual sync policy",
    ),
    pytest.param(
        a_situation(
            gave_up(
                self_heal=False,
                operation=Operation(
                    Phase.Succeeded, finished_at=NOW - timedelta(minutes=5), revisions=(BAD,)
                ),
            )
        ),
        "ManualSync",
        "selfHeal is off",
        id="drift kept on purpose",
    ),
    pytest.param(
        a_situation(
            gave_up(),
            failed=("repository https://git.example/cart.git is Failed: connection refused",),
        ),
        "Dependency",
        "connection refused",
        id="its repository has failed",
    ),
    pytest.param(
        a_situation(gave_up(), cluster_failed="cluster primary is Failed: connection refused"),
        "Dependency",
        "cluster primary",
        id="its cluster has failed",
    ),
    pytest.param(
        a_situation(running()),
        "OperationInProgress",
        "by ada is Running since 11:59:00",
        id="a person's operation",
    ),
    pytest.param(
        a_situation(running(automated=True)),
        "OperationInProgress",
        "auto-sync",
        id="Argo CD's operation",
    ),
    pytest.param(
        a_situation(running(finished_at=NOW)),
        "OperationInProgress",
        "waits for its retry",
        id="Argo CD's retry pause",
    ),
    pytest.param(
        a_situation(gave_up(requested=Requested("", "ada"))),
        "OperationInProgress",
        "by ada was requested",
        id="requested by a person",
    ),
    pytest.param(
        a_situation(gave_up(), parent=an_application(name="apps", requested=Requested("", "ada"))),
        "OperationInProgress",
        "its parent application argocd/apps is being synced",
        id="its parent is being synced",
    ),
    pytest.param(
        a_situation(
            gave_up(),
            pauses=(
                Pause(
                    Selector(projects=("shop",)),
                    "migration",
                    "ada",
                    NOW + timedelta(hours=1),
                    "project-shop",
                ),
            ),
        ),
        "Paused",
        "paused by ada: migration, until 2026-03-02 13:00 UTC; `recovery resume project-shop` ends it",
        id="paused by command",
    ),
    pytest.param(
        a_situation(gave_up(), pauses=(Pause(),)),
        "Paused",
        "everything is paused by somebody",
        id="paused altogether",
    ),
    pytest.param(
        a_situation(gave_up(), sight=SubjectState("uid-cart", NOW, dismissed=(POLICY.name,))),
        "RecoveryDeleted",
        "deleted by hand",
        id="its recovery was deleted",
    ),
    pytest.param(
        a_situation(gave_up(), waits_for="argocd/db is of sync wave -1, before 0"),
        "DependencyFirst",
        "sync wave -1",
        id="its database comes first",
    ),
    pytest.param(
        a_situation(
            gave_up(), storm=(SubjectKey("storm", "", "project/shop"), "31 of 60 fell ill")
        ),
        "Storm",
        "31 of 60",
        id="one of many",
    ),
    pytest.param(
        a_situation(
            gave_up(),
            project=Project("shop", windows=(SyncWindow("deny", "0 11 * * *", "2h", ("*",)),)),
        ),
        "OutsideWindow",
        "deny '0 11 * * *' for 2h, until 2026-03-02 13:00 UTC",
        id="a closed sync window",
    ),
    pytest.param(
        a_situation(gave_up(), fleet=Fleet(in_flight=2, calm_since=NOW - timedelta(minutes=1))),
        "InFlightLimit",
        "2 recoveries in progress (limit 2): the storm ended 1m ago",
        id="after a storm, gradually",
    ),
    pytest.param(
        a_situation(gave_up(), fleet=Fleet(in_flight=3, in_flight_shard=3, shards=3)),
        "InFlightLimit",
        "3 recoveries in progress in this shard of 3 (limit 3)",
        id="a shard's part of the budget",
    ),
    pytest.param(
        a_situation(
            running(
                phase=Phase.Succeeded, finished_at=NOW - timedelta(seconds=9), recovery="other/1.1"
            )
        ),
        "OperationInProgress",
        "ended 9s ago and Argo CD has not compared it since",
        id="just ended, not compared",
    ),
    pytest.param(
        a_situation(
            gave_up(application_set="all"),
            application_set=ApplicationSet("argocd", "all", rolling=True),
        ),
        "OperationInProgress",
        "RollingSync",
        id="progressive sync",
    ),
    pytest.param(
        a_situation(gave_up(), fleet=Fleet(in_flight=10)),
        "InFlightLimit",
        "10 recoveries in progress (limit 10)",
        id="budget in all",
    ),
    pytest.param(
        a_situation(gave_up(), fleet=Fleet(in_flight_cluster=3)),
        "InFlightLimit",
        "on cluster in-cluster (limit 3)",
        id="budget of a cluster",
    ),
    pytest.param(
        a_situation(gave_up(), fleet=Fleet(in_flight_project=3)),
        "InFlightLimit",
        "in project shop (limit 3)",
        id="budget of a project",
    ),
    pytest.param(
        a_situation(gave_up(), enabled=False),
        "ObserveOnly",
        "would sync (prune: true, force: false)",
        id="disabled",
    ),
    pytest.param(
        a_situation(gave_up(marks=marked(mode="observe"))),
        "ObserveOnly",
        "mode is observe",
        id="narrowed by annotation",
    ),
    pytest.param(
        a_situation(gave_up(marks=marked(mode="nonsense"))),
        "ObserveOnly",
        "mode is observe",
        id="an unreadable mode narrows",
    ),
    pytest.param(
        a_situation(gave_up(marks=marked(mode="approve"))),
        "ApprovalRequired",
        "mode is approve",
        id="approve holds back",
    ),
]


@pytest.mark.parametrize(("situation", "by", "words"), REFUSALS)
def test_a_guard_refuses_with_its_numbers(situation: Situation, by: str, words: str) -> None:
    no = refusal(asked(situation))

    assert no is not None
    assert (no.by, words in no.message) == (by, True), no.message


def test_what_runs_is_not_touched_before_somebody_has_looked_why_it_is_ill() -> None:
    blind = a_situation(degraded(), unseen="nobody has looked")
    restart = the_policies().policies[1].actions[0]

    no = refusal(asked(blind, restart))
    assert no is not None
    assert (no.by, no.message) == ("InspectionPending", "nobody has looked")
    assert refusal(asked(structs.replace(blind, unseen=""), restart)) is None, "a crash was seen"


def test_every_guard_is_in_the_table() -> None:
    of_clusters = {str(case.values[2]) for case in CLUSTER_GUARDS}
    shown = (
        {str(case.values[1]) for case in REFUSALS}
        | {
            "RateLimited",
            "DisruptionBudget",
            "RestartRateLimit",
            "ActionReverted",
            "InspectionPending",
            "CircuitOpen",
        }
        | of_clusters
    )

    assert shown == {guard.name for guard in GUARDS}


@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(a_situation(gave_up()), id="an ordinary case"),
        pytest.param(a_situation(gave_up(marks=marked(paused="false"))), id="paused: false"),
        pytest.param(
            a_situation(gave_up(marks=marked(paused="2026-03-02T11:00:00Z"))),
            id="a pause that is over",
        ),
        pytest.param(inherited(5), id="five inherited"),
        pytest.param(inherited(6, adopted_at=NOW), id="adopted"),
        pytest.param(
            a_situation(asked_for()), id="manual, but this very revision was asked for and failed"
        ),
        pytest.param(
            a_situation(gave_up(auto_sync=False, operation=None, marks=marked(sync="allowed"))),
            id="manual, allowed by annotation",
        ),
        pytest.param(
            a_situation(gave_up(operation=Operation(Phase.Succeeded, revisions=(BAD,)))),
            id="drift with selfHeal on",
        ),
        pytest.param(
            a_situation(
                gave_up(), fleet=Fleet(in_flight=9, in_flight_cluster=2, in_flight_project=2)
            ),
            id="one place left",
        ),
    ],
)
def test_no_guard_objects(situation: Situation) -> None:
    assert refusal(asked(situation)) is None


def test_manual_apps_lets_a_manual_application_be_synced() -> None:
    text = "recovery_policies: [{name: a, condition: {type: application, status: OutOfSync}, actions: [{type: sync, parameters: {manual_apps: true}}]}]"
    policy = the_policies(text).policies[0]

    assert (
        refusal(
            GuardRequest(
                a_situation(gave_up(auto_sync=False, operation=None)),
                policy,
                policy.actions[0],
                None,
            )
        )
        is None
    )


@pytest.mark.parametrize(("ago", "refused"), [(0, True), (59, True), (60, False)])
def test_ten_workloads_a_minute_are_restarted_over_the_fleet_at_most(
    ago: int, refused: bool
) -> None:
    restart = structs.replace(SYNC, kind=ACTION_KINDS["restart"])
    done = RecentDisruptions((NOW - timedelta(seconds=ago),) * 10)

    no = refusal(asked(a_situation(gave_up(), destroyed=done, finding=A_CRASH), restart))

    assert (no is not None and no.by == "RestartRateLimit") is refused, no


@pytest.mark.parametrize(("ago", "refused"), [(0, True), (9, True), (10, False)])
def test_a_repository_is_refreshed_every_ten_seconds_at_most(ago: int, refused: bool) -> None:
    situation = a_situation(gave_up(), fleet=Fleet(refreshed_at=NOW - timedelta(seconds=ago)))

    no = refusal(asked(situation, REFRESH))

    assert (no is not None and no.by == "RateLimited") is refused
    assert refusal(asked(situation, SYNC)) is None


@pytest.mark.parametrize(
    ("done", "words"),
    [
        pytest.param(
            RecentDisruptions(subject=(NOW - timedelta(minutes=50),) * 6),
            "6 restarts, rollbacks and failovers of this subject",
            id="this one",
        ),
        pytest.param(
            RecentDisruptions(project=(NOW - timedelta(minutes=50),) * 10, name="shop"),
            "10 restarts, rollbacks and failovers in project shop",
            id="project",
        ),
        pytest.param(
            RecentDisruptions(fleet=(NOW - timedelta(minutes=50),) * 20),
            "20 restarts, rollbacks and failovers in all",
            id="in all",
        ),
        pytest.param(
            RecentDisruptions(*((NOW - timedelta(minutes=50),) * count for count in (19, 9, 5))),
            "",
            id="one is left of each",
        ),
    ],
)
def test_so_much_is_changed_within_an_hour_and_no_more(done: RecentDisruptions, words: str) -> None:
    restart = structs.replace(SYNC, kind=ACTION_KINDS["restart"])
    situation = a_situation(gave_up(), destroyed=done, finding=A_CRASH)

    no = refusal(asked(situation, restart))

    assert refusal(asked(structs.replace(situation, finding=None), REFRESH)) is None
    assert (no.message if no else "").startswith(words)
    assert no is None or no.again == timedelta(minutes=10), (
        "asked again when the oldest is an hour ago"
    )


def test_maintenance_binds_the_actions_it_names() -> None:
    policies = structs.replace(
        the_policies(), windows=(Window("0 11 * * *", timedelta(hours=2), actions=("sync",)),)
    )
    situation = a_situation(gave_up(), policies=policies)

    no = refusal(asked(situation))

    assert no is not None
    assert (no.by, no.again) == ("OutsideWindow", timedelta(hours=1))
    assert (
        "maintenance window 0 11 * * * UTC (2h): no sync until 2026-03-02 13:00 UTC" in no.message
    )
    assert refusal(asked(situation, REFRESH)) is None
    assert refusal(asked(situation, NOTIFY)) is None


@pytest.mark.parametrize(
    "pause",
    [
        pytest.param(Pause(until=NOW), id="over"),
        pytest.param(Pause(silences=True), id="only a silence"),
        pytest.param(Pause(Selector(projects=("other",))), id="another project's"),
    ],
)
def test_what_is_no_pause_holds_nothing_back(pause: Pause) -> None:
    assert refusal(asked(a_situation(gave_up(), pauses=(pause,)))) is None


ABOUT_THE_SUBJECT = {guard.name for guard in GUARDS if guard.subject}


@pytest.mark.parametrize(
    ("situation", "by"),
    [
        pytest.param(*case.values[:2], id=case.id)
        for case in REFUSALS
        if case.values[1] not in ("ObserveOnly", "ApprovalRequired")
    ],
)
def test_telling_people_is_bound_by_what_is_about_the_subject_and_by_the_off_switch(
    situation: Situation, by: str
) -> None:
    no = refusal(asked(situation, NOTIFY))

    assert (no.by if no else "") == (by if by in ABOUT_THE_SUBJECT else "")


def test_observe_mode_does_not_even_speak() -> None:
    no = refusal(asked(a_situation(gave_up()), NOTIFY, mode=Mode.observe))

    assert no is not None
    assert no.by == "ObserveOnly"


def test_an_own_operation_is_not_somebody_elses() -> None:
    from tests.builders import a_recovery

    mine = a_recovery(MINE, NOW)
    situation = a_situation(running(username="gitops-recovery-controller", recovery=f"{MINE}/1.1"))

    assert refusal(GuardRequest(situation, POLICY, SYNC, mine)) is None


def test_a_budget_of_zero_allows_nothing() -> None:
    policies = structs.replace(the_policies(), budget=Budget(in_flight=0))

    no = refusal(asked(a_situation(an_application(), policies=policies), REFRESH))

    assert no is not None
    assert no.by == "InFlightLimit"


@pytest.mark.parametrize(("sent", "by"), [(True, ""), (False, "Storm")])
def test_what_is_under_way_is_finished_in_a_storm(sent: bool, by: str) -> None:
    from recovery.model.recovery import StepRecord
    from tests.builders import a_recovery

    held = a_recovery(
        "cart",
        NOW,
        phase=RecoveryPhase.Remediating,
        attempt=1,
        steps=(StepRecord(1, 0, "rollback", NOW, sent=sent),),
    )
    situation = a_situation(
        gave_up(), storm=(SubjectKey("storm", "", "fleet"), "many"), recovery=held, pauses=()
    )

    no = refusal(GuardRequest(situation, POLICY, SYNC, held))

    assert (no.by if no else "") == by


def test_a_deletion_that_hangs_reaches_a_person_and_one_on_its_way_does_not() -> None:
    going = gave_up(
        deleting=True,
        deleting_since=NOW - timedelta(hours=2),
        finalizers=("resources-finalizer.argocd.argoproj.io",),
    )
    stuck = Diagnosis("DeletionStuck", ("deletionTimestamp",), Confidence.certain)

    young = refusal(asked(a_situation(going)))
    hangs = refusal(asked(a_situation(going, finding=stuck), NOTIFY))

    assert young is not None
    assert (young.by, young.keeps, young.tells) == ("Deleting", False, False)
    assert hangs is not None
    assert (hangs.by, hangs.keeps, hangs.tells) == ("Deleting", True, True)
    assert hangs.tells_after < timedelta(minutes=1)
    assert "resources-finalizer.argocd.argoproj.io" in hangs.message
    assert "deletion is stuck" in hangs.message
