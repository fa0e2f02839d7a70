"""What the cause makes of a policy: a cure that it forbids is left out, and people hear why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from recovery.causes.remedy_matrix import verdict
from recovery.decide.conditions import holds, track
from recovery.decide.engine import decide
from recovery.decide.recovered import ailment
from recovery.decide.remedies import told_apart
from recovery.model.application import Condition, Health, Operation, Phase, Sync
from recovery.model.cause import (
    Confidence,
    Diagnosis,
    Observations,
    Remedy,
    UnhealthyResource,
    Verdict,
)
from recovery.model.decision import Decision, Kind
from recovery.model.recovery import Recovery, RecoveryPhase, StepOutcome, StepRecord
from recovery.model.situation import SubjectState
from tests.builders import (
    BAD,
    NOW,
    a_recovery,
    a_situation,
    an_application,
    degraded,
    gave_up,
    the_policies,
)

FULL_TEXT = """
recovery_policies:
- name: p
  condition: {type: application, health: Degraded, duration: 1m}
  actions:
  - {type: restart}
  - {type: rollback, parameters: {within: 2h}}
  - {type: escalate, parameters: {channels: [pager]}}
"""
REPOSITORIES = """
- name: repositories
  condition: {type: repository, connection_state: Failed, duration: 5m}
  actions: [{type: test_connection}]
"""
FULL = the_policies(FULL_TEXT)
QUIET = the_policies(
    FULL_TEXT.replace(
        "  - {type: escalate, parameters: {channels: [pager]}}\n",
        "  - {type: notify, parameters: {channels: [pager]}}\n",
    )
)
"""The same without an escalation: people hear of it all the same."""
BY_CAUSE = the_policies(
    "recovery_policies: [{name: p, condition: {type: application, cause: [ImageUnavailable], duration: 1m}, actions: [{type: rollback}]}]"
)


def finding(cause: str, variant: str = "") -> Diagnosis:
    return Diagnosis(cause, ("as seen",), Confidence.likely, variant, "Pod/x")


def decided(cause: Diagnosis | None, **changes: Any) -> Decision:
    policies = changes.pop("policies", FULL)
    (decision,) = decide(
        a_situation(
            degraded(), policies=policies, finding=cause, ill_for=timedelta(minutes=9), **changes
        )
    )
    return decision


def test_an_unknown_cause_is_no_permission_and_a_person_is_called() -> None:
    first = decided(None)
    assert (first.kind, first.by) == (Kind.Suppress, "RemedyForbidden")
    assert "restart needs one that calls for it" in first.message
    assert first.recovery is not None

    called = decided(
        None,
        recovery=structs.replace(
            first.recovery, suppressed_since=NOW - timedelta(seconds=30), version="1"
        ),
    )

    assert (called.kind, str(called.step)) == (Kind.Remediate, "escalate (channels: [pager])")


def test_what_leaves_alone_what_runs_needs_no_known_cause() -> None:
    first, *_ = decide(a_situation(gave_up()))

    assert (first.kind, str(first.step)) == (Kind.Remediate, "refresh (hard: true)")


def test_where_no_remedy_is_left_the_escalation_does_not_wait_for_its_attempt_and_the_recovery_is_a_persons() -> (
    None
):
    late = the_policies(
        FULL_TEXT.replace("channels: [pager]", "channels: [pager], after_attempts: 3")
    )
    held = decided(finding("ConfigMissing"), policies=late).recovery
    assert held is not None
    stood = structs.replace(held, suppressed_since=NOW - timedelta(seconds=30), version="1")

    called = decided(finding("ConfigMissing"), policies=late, recovery=stood)

    assert (called.kind, called.step and called.step.kind.name) == (Kind.Remediate, "escalate")
    assert called.recovery is not None
    told = structs.replace(
        called.recovery.steps[-1], sent=True, outcome=StepOutcome.Succeeded, reason="Notified"
    )
    over = decided(
        finding("ConfigMissing"),
        policies=late,
        recovery=structs.replace(called.recovery.with_last(told), escalated=True),
    )
    assert (over.kind, over.reason) == (Kind.Stall, "NoRemedyLeft")
    assert over.recovery is not None
    assert (over.recovery.phase, over.recovery.attempt) == (RecoveryPhase.Stalled, 1)
    assert over.recovery.notes == (), "its own step has told"
    still = decided(finding("ConfigMissing"), policies=late, recovery=over.recovery)
    assert (still.kind, still.recovery) == (Kind.Stall, over.recovery)
    other = decided(finding("RolloutFailed"), policies=late, recovery=over.recovery)
    assert (other.kind, str(other.step)) == (Kind.Remediate, "restart"), (
        "another cause has another cure"
    )


def test_a_cure_that_cannot_help_is_left_out_where_another_treats_the_cause() -> None:
    decision = decided(finding("ImageUnavailable", "NotFound"))

    assert (decision.kind, str(decision.step)) == (Kind.Remediate, "rollback (within: 2h)")
    assert decision.recovery is not None
    (skipped, _) = decision.recovery.steps
    assert (skipped.action, skipped.outcome, skipped.reason) == (
        "restart",
        StepOutcome.Skipped,
        "RemedyForbidden",
    )
    assert "C31 ImageUnavailable/NotFound" in skipped.message
    assert decision.recovery.cause == "ImageUnavailable/NotFound"
    assert any("cause: ImageUnavailable/NotFound" in line for line in decision.recovery.evidence), (
        "kept before the first step"
    )


def settled(cause: str, recovery: Recovery, **changes: Any) -> Decision:
    """The decision after it has stood for long enough, and after every message step of the
    attempt."""
    recovery = structs.replace(recovery, suppressed_since=NOW - timedelta(seconds=30), version="1")
    for _ in range(4):
        decision = decided(finding(cause), policies=QUIET, recovery=recovery, **changes)
        assert decision.recovery is not None
        recovery = decision.recovery
        if decision.kind is not Kind.Remediate:
            break
        assert decision.step is not None
        assert decision.step.kind.speaks
        recovery = recovery.with_last(
            structs.replace(
                recovery.steps[-1], sent=True, outcome=StepOutcome.Succeeded, reason="Notified"
            )
        )
    return decision


def test_where_no_step_treats_the_cause_nothing_is_tried_and_people_hear_it_once() -> None:
    first = decided(finding("ConfigMissing"), policies=QUIET)
    assert (first.kind, first.by) == (Kind.Suppress, "RemedyForbidden")
    assert first.recovery is not None
    assert first.recovery.notes == (), "a cause is news when it has stood for a moment"

    over = settled("ConfigMissing", first.recovery)
    assert over.recovery is not None
    assert over.recovery.phase is RecoveryPhase.Stalled
    (note,) = over.recovery.notes
    assert (
        note.title
        == "argocd/cart (in-cluster) requires manual intervention: ConfigMissing, nothing was tried"
    )
    assert note.channels == ("pager",), "whom the policy would have called"
    assert "Find what provides it" in note.body

    third = decided(
        finding("ConfigMissing"), policies=QUIET, recovery=structs.replace(over.recovery, notes=())
    )
    assert third.recovery is not None
    assert third.recovery.notes == ()


def test_another_cause_is_other_news() -> None:
    first = decided(finding("ConfigMissing"), policies=QUIET).recovery
    assert first is not None
    mine = settled("ConfigMissing", first).recovery
    assert mine is not None

    new = decided(
        finding("Unschedulable"), policies=QUIET, recovery=structs.replace(mine, notes=())
    )
    assert new.recovery is not None
    assert (new.kind, new.recovery.notes) == (Kind.Suppress, ()), "it has to stand for a moment"
    told = settled("Unschedulable", new.recovery)
    assert told.recovery is not None
    assert [n.title for n in told.recovery.notes] == [
        "argocd/cart (in-cluster) requires manual intervention: Unschedulable, nothing was tried"
    ]

    back = decided(
        finding("ConfigMissing"), policies=QUIET, recovery=structs.replace(told.recovery, notes=())
    )
    assert back.recovery is not None
    again = settled("ConfigMissing", back.recovery)
    assert again.recovery is not None
    assert again.recovery.notes == (), "two that alternate call once each"


def test_that_nobody_can_say_any_more_why_it_is_ill_lets_nothing_pass() -> None:
    held = decided(finding("ConfigMissing")).recovery
    assert held is not None

    blind = decided(None, recovery=structs.replace(held, version="1"), unseen="nobody has looked")

    assert (blind.kind, blind.by) == (Kind.Suppress, "InspectionPending")


def test_what_a_person_has_ended_is_not_begun_again() -> None:
    ended = finding("AutoSyncGaveUp", "Terminated")
    decisions = decide(a_situation(gave_up(), finding=ended))

    assert not any(d.step and d.step.kind.syncs for d in decisions)
    assert verdict(ended, Remedy.sync) is Verdict.forbidden
    assert told_apart(ended, None) == ended


def test_what_we_ended_because_its_hook_hung_is_tried_once_more() -> None:
    step = StepRecord(1, 0, "terminate", NOW, sent=True, outcome=StepOutcome.Succeeded)
    ours = a_recovery("cart-1", NOW, attempt=1, steps=(step,), cause="HookFailed/Hung")

    apart = told_apart(finding("AutoSyncGaveUp", "Terminated"), ours)

    assert apart is not None
    assert apart.variant == "TerminatedByUs"
    assert (
        told_apart(
            finding("AutoSyncGaveUp", "Terminated"), structs.replace(ours, cause="WaveNotHealthy")
        )
        != apart
    )


def test_what_was_left_out_for_one_cause_may_be_the_cure_of_the_next() -> None:
    first = decided(finding("Unschedulable"))
    assert first.recovery is not None
    passed = StepRecord(1, 0, "restart", NOW, outcome=StepOutcome.Skipped, reason="RemedyForbidden")
    held = structs.replace(first.recovery, version="1", steps=(passed,), cause="Unschedulable")

    again = decided(finding("RolloutFailed"), recovery=held)

    assert (again.kind, str(again.step)) == (Kind.Remediate, "restart")
    assert again.recovery is not None
    assert again.recovery.attempt == 1, "nothing was tried: it is the same attempt"


def test_what_somebody_wants_so_leaves_no_record() -> None:
    decision = decided(finding("Suspended"))

    assert (decision.kind, decision.by, decision.recovery) == (
        Kind.Suppress,
        "RemedyForbidden",
        None,
    )


def test_a_repository_that_failed_is_an_incident_of_its_own() -> None:
    """Where a policy is about it, that tells; where none is, nobody else does."""
    with_one = the_policies(FULL_TEXT + REPOSITORIES)
    decision = decided(
        finding("GitUnreachable"), failed=("repository x is Failed",), policies=with_one
    )
    alone = decided(finding("GitUnreachable"), failed=("repository x is Failed",))

    assert (decision.by, decision.recovery) == ("RemedyForbidden", None)
    assert (alone.by, alone.recovery is None) == ("RemedyForbidden", False)


def test_the_second_try_of_what_is_worth_one_is_none() -> None:
    tried = StepRecord(
        1,
        0,
        "restart",
        NOW - timedelta(minutes=5),
        sent=True,
        outcome=StepOutcome.Failed,
        reason="DegradedAgain",
    )
    held = a_recovery(
        "cart-1",
        NOW,
        phase=RecoveryPhase.BackingOff,
        policy="p",
        resolved_at=None,
        attempt=1,
        max_attempts=3,
        steps=(tried,),
        version="1",
    )
    held = structs.replace(
        held,
        subject=structs.replace(held.subject, uid="uid-cart"),
        unhealthy_since=NOW - timedelta(minutes=9),
    )

    decision = decided(finding("RolloutFailed"), recovery=held)

    assert str(decision.step) == "rollback (within: 2h)"


def test_a_try_that_may_never_have_gone_out_does_not_count() -> None:
    lost = StepRecord(
        1,
        0,
        "restart",
        NOW - timedelta(minutes=5),
        sent=True,
        outcome=StepOutcome.TimedOut,
        reason="TimedOut",
    )
    held = a_recovery(
        "cart-1",
        NOW,
        phase=RecoveryPhase.BackingOff,
        policy="p",
        resolved_at=None,
        attempt=1,
        max_attempts=3,
        steps=(lost,),
        version="1",
    )
    held = structs.replace(
        held,
        subject=structs.replace(held.subject, uid="uid-cart"),
        unhealthy_since=NOW - timedelta(minutes=9),
    )

    assert str(decided(finding("RolloutFailed"), recovery=held).step) == "restart"


@pytest.mark.parametrize(
    "cause",
    [
        pytest.param(
            finding("WaitingForHuman"), id="a closed sync window or a pruning confirmation"
        ),
        pytest.param(finding("MissingCRD", "Absent"), id="a missing CRD"),
        pytest.param(finding("ManifestError"), id="a render error"),
        pytest.param(finding("PruneOnly"), id="prune only"),
        pytest.param(finding("DriftFight", "Shared"), id="a fight"),
    ],
)
def test_the_requirements_own_policies_do_not_sync_in_a_loop(cause: Diagnosis) -> None:
    decisions = decide(a_situation(gave_up(), finding=cause))

    assert all(d.kind is Kind.Suppress for d in decisions), decisions


def test_a_given_up_sync_whose_cause_has_passed_is_still_cured_by_the_requirements_own_policies() -> (
    None
):
    (decision, *_) = decide(a_situation(gave_up(), finding=finding("MissingCRD", "Established")))

    assert (decision.kind, str(decision.step)) == (Kind.Remediate, "refresh (hard: true)")


# Conditions on a cause

PULL = Observations(
    NOW,
    (
        UnhealthyResource(
            "Pod",
            "cart-1",
            health="Degraded",
            reason="ImagePullBackOff",
            message="Back-off pulling image",
        ),
    ),
)


def test_a_condition_on_a_cause_has_its_own_clock_and_needs_no_deadline_to_pass() -> None:
    app = an_application(health=Health.Progressing, health_since=NOW)
    blind = track(None, app, BY_CAUSE, NOW, NOW, first_install=False)
    assert blind.clocks == {}, "nobody has looked closer yet"

    seen = track(
        blind, app, BY_CAUSE, NOW + timedelta(seconds=20), NOW, first_install=False, signs=PULL
    )
    assert seen.clocks == {"cause=ImageUnavailable": NOW + timedelta(seconds=20)}

    later = track(
        seen, app, BY_CAUSE, NOW + timedelta(minutes=2), NOW, first_install=False, signs=PULL
    )
    assert later.clocks == seen.clocks
    gone = track(
        later, an_application(), BY_CAUSE, NOW + timedelta(minutes=3), NOW, first_install=False
    )
    assert gone.clocks == {}


def test_a_revision_known_to_be_bad_matches_no_condition_on_a_cause() -> None:
    condition = BY_CAUSE.policies[0].condition

    assert holds(condition, degraded(), "ImageUnavailable")
    assert not holds(condition, degraded(), "RolloutFailed")


@pytest.mark.parametrize(
    ("app", "well"),
    [
        (an_application(), True),
        (an_application(health=Health.Progressing), False),
        (an_application(sync=Sync.OutOfSync), False),
        (an_application(sync=Sync.OutOfSync, auto_sync=False), True),
        (an_application(conditions=(Condition("ComparisonError", "x"),)), False),
        (an_application(operation=Operation(Phase.Failed, revisions=(BAD,))), True),
        (
            an_application(
                operation=Operation(Phase.Failed, revisions=(BAD,)),
                sync=Sync.OutOfSync,
                auto_sync=False,
            ),
            False,
        ),
    ],
)
def test_cured_of_a_cause_is_well_and_not_ill_in_another_way(app: Any, well: bool) -> None:
    recovery = a_recovery("cart-1", NOW, phase=RecoveryPhase.Remediating, resolved_at=None)

    assert (ailment(BY_CAUSE.policies[0].condition, app, recovery, NOW) == "") is well


def test_what_is_plainly_well_is_not_diagnosed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "recovery.decide.conditions.diagnose",
        lambda _: pytest.fail("most of a fleet is well, most of the time"),
    )

    assert (
        track(
            SubjectState("uid-cart", NOW), an_application(), BY_CAUSE, NOW, NOW, first_install=False
        ).clocks
        == {}
    )
