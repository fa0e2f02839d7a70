"""Cases that a close reading found: each was wrong once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from recovery.decide.conditions import track
from recovery.decide.engine import decide
from recovery.decide.fingerprint import fingerprint
from recovery.decide.holds import settle_hold
from recovery.model.application import Health, Hold, Operation, Phase, Project
from recovery.model.decision import Kind
from recovery.model.recovery import RecoveryPhase, StepOutcome, StepRecord
from recovery.model.situation import Fleet, HealthyRevision, SubjectState
from tests.builders import (
    A_CRASH,
    BAD,
    GOOD,
    NOW,
    a_recovery,
    a_situation,
    an_application,
    degraded,
    gave_up,
    the_policies,
)

PAUSED = Project("shop", {"recovery.gitops.dev/paused": "true"})


def opened(name: str, **changes: Any) -> Any:
    base = {
        "phase": RecoveryPhase.Remediating,
        "resolved_at": None,
        "attempt": 1,
        "max_attempts": 3,
        "version": "1",
        "unhealthy_since": NOW - timedelta(hours=1),
    }
    recovery = a_recovery(name, NOW - timedelta(minutes=1), **{**base, **changes})
    return structs.replace(recovery, subject=structs.replace(recovery.subject, uid="uid-cart"))


def test_two_policies_whose_clocks_began_together_open_two_different_incidents() -> None:
    app = gave_up(health=Health.Degraded, health_since=NOW - timedelta(hours=1))
    first = decide(a_situation(app))[0].recovery
    past = structs.replace(first, phase=RecoveryPhase.Resolved, resolved_at=NOW, version="1")

    later = decide(
        a_situation(
            app,
            past=(past,),
            policies=structs.replace(the_policies(), policies=the_policies().policies[1:]),
        )
    )[0].recovery

    assert first is not None
    assert later is not None
    assert first.name != later.name


def test_the_same_incident_is_not_opened_twice_under_one_name_after_it_was_overtaken() -> None:
    first = decide(a_situation(gave_up()))[0].recovery
    past = structs.replace(first, phase=RecoveryPhase.Superseded, resolved_at=NOW, version="1")

    again = decide(a_situation(gave_up(), past=(past,)))[0].recovery

    assert first is not None
    assert again is not None
    assert first.name != again.name


@pytest.mark.parametrize(
    ("changes", "by"),
    [
        pytest.param({"project": PAUSED}, "Paused", id="paused"),
        pytest.param(
            {
                "sight": SubjectState(
                    "uid-cart", NOW, {"health=Degraded": NOW - timedelta(hours=1)}, inherited=True
                ),
                "fleet": Fleet(inherited_unwell=200),
            },
            "PreExisting",
            id="inherited",
        ),
    ],
)
def test_a_subject_that_is_left_alone_is_not_paged_for_because_its_steps_do_not_fit(
    changes: dict[str, Any], by: str
) -> None:
    far = degraded(
        destination=structs.replace(degraded().destination, server="https://far.example")
    )
    attempt = opened("r", policy="application-health-degraded", attempt=2, steps=())

    (decision,) = decide(a_situation(far, recovery=attempt, **changes))

    assert (decision.kind, decision.by) == (Kind.Suppress, by)
    assert decision.recovery is None or decision.recovery.notes == ()


def test_observe_mode_never_calls_a_person() -> None:
    text = "recovery_policies: [{name: p, mode: observe, attempts: 1, condition: {type: application, health: Degraded}, actions: [{type: restart}]}]"
    far = degraded(
        destination=structs.replace(degraded().destination, server="https://far.example")
    )

    (decision,) = decide(a_situation(far, policies=the_policies(text)))

    assert decision.by == "ObserveOnly"
    assert decision.recovery is not None
    assert decision.recovery.notes == ()


def test_an_operation_that_was_written_late_is_given_its_time() -> None:
    step = StepRecord(
        1, 0, "sync", NOW - timedelta(minutes=8), claimed_at=NOW - timedelta(seconds=1), sent=True
    )
    text = "recovery_policies: [{name: p, condition: {type: application, status: OutOfSync}, actions: [{type: sync}]}]"
    recovery = opened("r", policy="p", steps=(step,))
    from recovery.model.application import Requested

    app = gave_up(requested=Requested(recovery.token(step), "gitops-recovery-controller"))

    (decision,) = decide(a_situation(app, policies=the_policies(text), recovery=recovery))

    assert (decision.kind, decision.reason) == (Kind.Wait, "Settling")


def test_a_step_that_can_never_be_carried_out_ends() -> None:
    step = StepRecord(
        1, 0, "restart", NOW - timedelta(minutes=11), claimed_at=NOW, message="no answer"
    )
    recovery = opened("r", policy="application-health-degraded", steps=(step,))

    (decision,) = decide(a_situation(degraded(), recovery=recovery))

    assert decision.recovery is not None
    assert decision.recovery.steps[0].reason == "NotExecuted"


def test_a_revision_that_was_rolled_back_from_is_never_a_place_to_go_back_to() -> None:
    sight = SubjectState(
        "uid-cart", NOW, ledger=(HealthyRevision(1, (GOOD,), NOW), HealthyRevision(2, (BAD,), NOW))
    )
    held = degraded(hold=Hold("r", "uid-cart", (BAD,), suspended=True), auto_sync=False)

    after = track(sight, held, the_policies(), NOW, NOW, first_install=False)

    assert [g.revisions for g in after.ledger] == [(GOOD,)]


def test_a_fix_that_was_deployed_after_it_fell_ill_is_not_rolled_back() -> None:
    fixed = degraded(
        deploy=structs.replace(degraded().deploy, at=NOW - timedelta(minutes=1)),
        health_since=NOW - timedelta(minutes=40),
    )
    policies = the_policies(
        "recovery_policies: [{name: p, condition: {type: application, health: Degraded}, actions: [{type: rollback}]}]"
    )

    (decision,) = decide(a_situation(fixed, policies=policies, ill_for=timedelta(minutes=40)))

    assert decision.recovery is not None
    assert decision.recovery.steps[0].reason == "UnrelatedToDeploy"


def test_a_release_gate_does_not_keep_a_crash_from_being_cured() -> None:
    gate = opened("gate", phase=RecoveryPhase.Suppressed, reason="ManualSync", steps=())
    app = gave_up(
        auto_sync=False,
        operation=None,
        health=Health.Degraded,
        health_since=NOW - timedelta(hours=1),
    )

    (gave_way,) = decide(a_situation(app, recovery=gate, finding=A_CRASH))
    assert gave_way.recovery is not None
    assert (gave_way.reason, gave_way.recovery.phase, gave_way.again_at) == (
        "Preempted",
        RecoveryPhase.Superseded,
        NOW,
    )

    first, second = decide(a_situation(app, past=(gave_way.recovery,), finding=A_CRASH))
    assert (first.kind, first.by, first.recovery) == (Kind.Suppress, "ManualSync", None)
    assert (second.kind, second.policy) == (Kind.Remediate, "application-health-degraded")


def test_a_hold_without_a_rollback_is_given_back() -> None:
    suspended = StepRecord(
        1, 1, "rollback", NOW, sent=True, outcome=StepOutcome.Succeeded, reason="Recovered"
    )
    past = opened("r", phase=RecoveryPhase.Resolved, resolved_at=NOW, steps=(suspended,))
    app = an_application(hold=Hold("r", "uid-cart", (GOOD,), suspended=True), auto_sync=False)

    decision = settle_hold(a_situation(app, past=(past,)))

    assert decision is not None
    assert decision.kind is Kind.Remediate
    assert "did not take place" in decision.message


@pytest.mark.parametrize(
    ("step", "given_back"),
    [
        pytest.param(
            {"stage": "apply", "sent": True, "reason": "Recovered"}, False, id="gone back"
        ),
        pytest.param(
            {"stage": "apply", "sent": False, "reason": "NoGoodRevision"},
            True,
            id="refused at the last moment",
        ),
        pytest.param(
            {"stage": "withdraw", "sent": True, "reason": "NotStarted"},
            True,
            id="taken back in time",
        ),
        pytest.param(
            {"stage": "withdraw", "sent": True, "reason": "Recovered"},
            False,
            id="taken up after all",
        ),
    ],
)
def test_a_hold_stands_while_the_rollback_it_is_for_does(
    step: dict[str, Any], given_back: bool
) -> None:
    record = StepRecord(1, 1, "rollback", NOW, outcome=StepOutcome.Succeeded, **step)
    past = opened("r", phase=RecoveryPhase.Resolved, resolved_at=NOW, steps=(record,))
    app = an_application(hold=Hold("r", "uid-cart", (GOOD,), suspended=True), auto_sync=False)

    assert (settle_hold(a_situation(app, past=(past,))) is not None) is given_back


def test_a_rollback_found_done_after_a_crash_counts_as_gone_out() -> None:
    record = StepRecord(1, 0, "rollback", NOW, stage="apply")
    recovery = opened("r", policy="application-health-degraded", steps=(record,))
    operation = Operation(
        Phase.Succeeded,
        finished_at=NOW,
        started_at=NOW,
        revisions=(GOOD,),
        recovery=recovery.token(record),
    )
    app = an_application(
        operation=operation,
        hold=Hold("r", "uid-cart", (BAD,), suspended=True),
        auto_sync=False,
        revisions=(BAD,),
    )

    decision = next(d for d in decide(a_situation(app, recovery=recovery)) if d.recovery)

    assert decision.recovery is not None
    assert decision.recovery.steps[0].sent


def test_a_new_operation_is_no_new_failure() -> None:
    failed = gave_up()
    running = gave_up(operation=Operation(Phase.Running, "running"))
    stalled = opened(
        "r",
        phase=RecoveryPhase.Stalled,
        attempt=3,
        stalled_times=(NOW - timedelta(hours=2),),
        fingerprint=fingerprint(failed),
    )

    (decision,) = decide(a_situation(running, recovery=stalled))

    assert decision.kind is Kind.Stall
    assert fingerprint(degraded()) == fingerprint(an_application())


def test_an_attempt_in_which_nothing_was_tried_does_not_count() -> None:
    past = opened(
        "r",
        phase=RecoveryPhase.Resolved,
        resolved_at=NOW - timedelta(minutes=7),
        attempt=3,
        steps=(),
    )
    sight = SubjectState(
        "uid-cart", NOW - timedelta(days=1), {"status=OutOfSync": NOW - timedelta(minutes=12)}
    )
    past = structs.replace(past, resolved_at=NOW - timedelta(minutes=13))

    decision = decide(a_situation(gave_up(), sight=sight, past=(past,)))[0]

    assert decision.kind is Kind.Remediate
    assert decision.recovery is not None
    assert decision.recovery.attempt == 3


def test_an_edit_that_narrows_an_action_binds_a_running_attempt() -> None:
    pinned = the_policies().policies[1].actions
    text = "recovery_policies: [{name: application-health-degraded, condition: {type: application, health: Degraded}, actions: [{type: restart, mode: observe}]}]"
    recovery = opened("r", policy="application-health-degraded", steps=())

    (decision,) = decide(
        a_situation(degraded(), policies=the_policies(text), recovery=recovery, pinned=pinned)
    )

    assert decision.by == "ObserveOnly"


@pytest.mark.parametrize(("ago", "fits"), [(5, False), (20, True)])
def test_an_operation_is_hung_when_it_makes_no_progress_not_when_it_is_long(
    ago: int, fits: bool
) -> None:
    policies = the_policies(
        "recovery_policies: [{name: p, condition: {type: application, operation: Running}, actions: [{type: terminate}]}]"
    )
    app = gave_up(
        operation=Operation(
            Phase.Running, "waiting for healthy state", started_at=NOW - timedelta(hours=2)
        )
    )
    sight = SubjectState(
        "uid-cart",
        NOW - timedelta(days=1),
        {"operation=Running": NOW - timedelta(hours=1)},
        moved=("x", NOW - timedelta(minutes=ago)),
    )

    (decision,) = decide(a_situation(app, policies=policies, sight=sight))

    assert (decision.kind is Kind.Remediate) is fits


def test_progress_sets_the_clock_of_a_running_operation_back() -> None:
    app = gave_up(operation=Operation(Phase.Running, "wave 1", started_at=NOW))
    first = track(None, app, the_policies(), NOW, NOW, first_install=False)
    same = track(first, app, the_policies(), NOW + timedelta(minutes=5), NOW, first_install=False)
    moved = track(
        same,
        gave_up(operation=Operation(Phase.Running, "wave 2", started_at=NOW)),
        the_policies(),
        NOW + timedelta(minutes=9),
        NOW,
        first_install=False,
    )

    assert [s.moved[1] - NOW for s in (first, same, moved) if s.moved] == [
        timedelta(),
        timedelta(),
        timedelta(minutes=9),
    ]


def test_a_beginning_that_argo_cd_stamps_later_than_the_checkpoint_stands() -> None:
    old = SubjectState(
        "uid-cart", NOW - timedelta(days=1), {"health=Degraded": NOW - timedelta(minutes=5)}
    )
    app = degraded(health_since=NOW - timedelta(seconds=10))

    assert track(
        old, app, the_policies(), NOW, NOW - timedelta(days=1), first_install=False
    ).clocks == {"health=Degraded": NOW - timedelta(seconds=10)}


def test_nothing_is_given_up_on_a_stale_picture() -> None:
    from recovery.model.situation import Freshness

    step = StepRecord(
        1, 0, "sync", NOW - timedelta(minutes=30), claimed_at=NOW - timedelta(minutes=30)
    )
    recovery = opened(
        "r",
        policy="application-sync-failure",
        steps=(
            StepRecord(1, 0, "refresh", NOW, outcome=StepOutcome.Failed),
            structs.replace(step, index=1),
        ),
    )

    (decision,) = decide(
        a_situation(gave_up(), recovery=recovery, freshness=Freshness(fresh=False, message="old"))
    )

    assert (decision.kind, decision.by) == (Kind.Suppress, "StaleCache")


def test_a_rollback_is_never_forgotten_among_many_steps() -> None:
    recovery = opened(
        "r",
        steps=(
            StepRecord(
                1, 0, "rollback", NOW, outcome=StepOutcome.Succeeded, stage="apply", sent=True
            ),
        ),
    )
    for number in range(80):
        recovery = recovery.with_step(
            StepRecord(number, 1, "refresh", NOW, outcome=StepOutcome.Failed)
        )

    assert len(recovery.steps) == 50
    assert recovery.steps[0].action == "rollback"


def test_a_restart_found_claimed_after_a_crash_is_told_of_and_counts() -> None:
    step = StepRecord(
        1, 0, "restart", NOW, stage="replace", targets=("apps/v1/Deployment/shop/cart",)
    )
    recovery = opened("r", policy="application-health-degraded", steps=(step,))

    (decision,) = decide(a_situation(an_application(), recovery=recovery))

    assert decision.recovery is not None
    assert decision.recovery.steps[0].sent
    assert decision.recovery.told == ("default",)


@pytest.mark.parametrize(("times", "reason"), [(1, ""), (2, "RevertedTwice")])
def test_what_was_undone_twice_is_not_done_a_third_time(times: int, reason: str) -> None:
    from recovery.act import rollback

    ago = NOW - timedelta(days=1)
    undone = StepRecord(
        1,
        1,
        "rollback",
        ago,
        sent=True,
        outcome=StepOutcome.Failed,
        reason="OwnerReverted",
        ended_at=ago,
    )
    past = tuple(
        opened(f"r{n}", phase=RecoveryPhase.Resolved, resolved_at=ago, steps=(undone,))
        for n in range(times)
    )

    no = rollback._undone(opened("now", steps=()), past)

    assert (no.reason if no else "") == reason
    assert (
        no is None
        or "undone 2 times in 7 days (OwnerReverted, 2026-03-01 12:00 UTC): a person must decide"
        in no.message
    )
