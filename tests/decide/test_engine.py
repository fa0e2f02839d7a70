"""The life of a recovery, look by look: what is decided, and what is kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from recovery.decide.engine import bereft, decide
from recovery.decide.holds import undecided
from recovery.decide.outcomes import concluded
from recovery.model.application import Application, Health, Hold, Operation, Phase, Requested, Sync
from recovery.model.decision import Decision, Kind, Outcome, Result
from recovery.model.move import UserRequest
from recovery.model.recovery import Debt, Recovery, RecoveryPhase, StepOutcome, StepRecord
from recovery.model.situation import OwnChange, Situation, SubjectState
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

SENT = Outcome(Result.Sent)


class Case:
    """One application under the shipped policies; time and state are moved by hand."""

    def __init__(self, app: Application, **changes: Any) -> None:
        self.situation = a_situation(app, **changes)

    @property
    def now(self) -> datetime:
        return self.situation.now

    @property
    def recovery(self) -> Recovery:
        assert self.situation.recovery is not None
        return self.situation.recovery

    def look(
        self,
        after: timedelta = timedelta(),
        app: Application | None = None,
        outcome: Outcome = SENT,
    ) -> Decision:
        """Judge, save, carry out: the newest decision that matters."""
        self.situation = structs.replace(
            self.situation, now=self.now + after, about=app or self.situation.subject
        )
        decisions = decide(self.situation)
        assert sum(d.kind is Kind.Remediate for d in decisions) <= 1
        chosen = next((d for d in decisions if d.recovery is not None), decisions[0])
        kept = chosen.recovery
        if kept is not None:
            kept = structs.replace(kept, version="1")
            if chosen.kind is Kind.Remediate:
                told = chosen.step is not None and chosen.step.kind.speaks
                kept = concluded(
                    kept, Outcome(Result.Done, "Notified") if told else outcome, self.now
                )
            over = kept.phase.over
            self.situation = structs.replace(
                self.situation,
                recovery=None if over else kept,
                past=(*self.situation.past, kept) if over else self.situation.past,
            )
        return chosen


def consumed(app: Application, at: datetime) -> Application:
    """After a refresh that changed nothing."""
    return structs.replace(app, reconciled_at=at, resource_version=app.resource_version + "0")


def operated(app: Application, case: Case, phase: Phase, **changes: Any) -> Application:
    """With our own operation in this phase."""
    step = case.recovery.running
    assert step is not None
    finished = case.now if phase.over else None
    operation = Operation(
        phase,
        "said",
        case.now,
        finished,
        app.revisions,
        username="gitops-recovery-controller",
        recovery=case.recovery.token(step),
    )
    return structs.replace(app, operation=operation, **changes)


def test_nothing_wrong_is_no_decision() -> None:
    assert decide(a_situation(an_application())) == ()


def test_a_condition_is_pending_until_its_duration_has_passed() -> None:
    situation = a_situation(gave_up(), ill_for=timedelta(minutes=4))

    (decision,) = decide(situation)

    assert (decision.kind, decision.reason) == (Kind.Wait, "Pending")
    assert decision.again_at == NOW + timedelta(minutes=6)
    assert decision.message == "OutOfSync since 11:56:00 UTC; acts at 12:06:00 if it lasts 10m"
    assert decision.recovery is None


def test_two_policies_match_and_the_first_in_file_order_acts() -> None:
    app = gave_up(health=Health.Degraded, health_since=NOW - timedelta(hours=1))

    first, second = decide(a_situation(app))

    assert (first.kind, first.policy) == (Kind.Remediate, "application-sync-failure")
    assert (second.kind, second.by) == (Kind.Suppress, "application-sync-failure")


def test_a_policy_that_is_due_first_does_not_wait_for_one_that_stands_before_it() -> None:
    app = gave_up(health=Health.Degraded, health_since=NOW - timedelta(minutes=6))

    first, second = decide(a_situation(app, ill_for=timedelta(minutes=6), finding=A_CRASH))

    assert (first.kind, first.reason) == (Kind.Wait, "Pending")
    assert (second.kind, second.policy) == (Kind.Remediate, "application-health-degraded")


def test_refresh_then_sync_then_the_cure_has_to_last() -> None:
    app = gave_up()
    case = Case(app)

    assert case.look().step.kind.name == "refresh"  # type: ignore[union-attr]
    waiting = case.look(timedelta(seconds=1))
    assert (waiting.kind, waiting.reason) == (Kind.Wait, "Settling")
    synced = case.look(timedelta(seconds=2), consumed(app, NOW + timedelta(seconds=3)))
    assert synced.step is not None
    assert synced.step.kind.name == "sync"
    running = case.look(timedelta(seconds=1), operated(app, case, Phase.Running))
    assert running.reason == "Settling"
    done = operated(app, case, Phase.Succeeded, sync=Sync.Synced)
    assert case.look(timedelta(seconds=5), done).reason == "Verifying"
    assert case.look(timedelta(seconds=29)).reason == "Verifying"
    over = case.look(timedelta(seconds=1))

    assert (over.kind, over.reason) == (Kind.Resolve, "Recovered")
    kept = case.situation.past[-1]
    assert kept.phase is RecoveryPhase.Resolved
    assert [(s.action, s.outcome.value, s.reason) for s in kept.steps if s.outcome] == [
        ("refresh", "Failed", "NoChange"),
        ("sync", "Succeeded", "Recovered"),
        ("notify", "Succeeded", "Notified"),
    ]
    assert [note.resolves for note in kept.notes] == [True]


@pytest.mark.parametrize(
    "still_ill",
    [
        pytest.param({"sync": Sync.Unknown}, id="Unknown"),
        pytest.param({"sync": Sync.Synced, "resources": 0}, id="an emptied resource list"),
    ],
)
def test_what_is_not_a_cure(still_ill: dict[str, Any]) -> None:
    case = Case(gave_up())
    case.look()

    decision = case.look(timedelta(seconds=3), structs.replace(gave_up(), **still_ill))

    assert decision.reason == "Settling"


@pytest.mark.parametrize(
    "health", [Health.Progressing, Health.Unknown, Health.Missing, Health.Suspended]
)
def test_only_healthy_cures_a_health_condition(health: Health) -> None:
    case = Case(degraded(), ill_for=timedelta(minutes=9))
    case.look()

    decision = case.look(timedelta(seconds=3), degraded(health=health))

    assert decision.kind is not Kind.Resolve
    assert case.recovery.phase is RecoveryPhase.Remediating


def test_a_relapse_while_verifying_goes_on_with_the_next_step() -> None:
    case = Case(gave_up())
    case.look()
    assert case.look(timedelta(seconds=3), an_application()).reason == "Verifying"

    decision = case.look(timedelta(seconds=10), gave_up())

    assert decision.step is not None
    assert decision.step.kind.name == "sync"


def test_a_step_without_effect_times_out_and_says_after_how_long() -> None:
    case = Case(gave_up())
    case.look()

    case.look(timedelta(minutes=2))

    refresh = case.recovery.steps[0]
    assert (refresh.outcome, refresh.message) == (
        StepOutcome.TimedOut,
        "no effect within 2m: not consumed yet",
    )


def failing(case: Case) -> Decision:
    """Play one attempt of the sync policy to its bitter end."""
    case.look()
    case.look(timedelta(seconds=2), consumed(gave_up(), case.now + timedelta(seconds=2)))
    failed = operated(gave_up(), case, Phase.Failed)
    case.look(timedelta(seconds=2), failed)  # the sync has failed: notify
    return case.look()


def test_exactly_three_attempts_five_minutes_apart_then_a_person_is_called_once() -> None:
    case = Case(gave_up())

    first = failing(case)
    assert (first.reason, first.again_at) == ("AttemptFailed", case.now + timedelta(minutes=5))
    assert case.look(timedelta(minutes=4)).reason == "AttemptFailed"
    case.situation = structs.replace(case.situation, now=case.now + timedelta(minutes=1))
    failing(case)
    case.situation = structs.replace(case.situation, now=case.now + timedelta(minutes=5))
    last = failing(case)

    assert last.kind is Kind.Stall
    assert case.recovery.attempt == case.recovery.max_attempts == 3
    assert [n.title for n in case.recovery.notes if "requires manual intervention" in n.title] == [
        "argocd/cart (in-cluster) requires manual intervention: cause unknown, after 3 attempts (refresh, sync)"
    ]
    for _ in range(5):
        assert case.look(timedelta(minutes=10)).kind is Kind.Stall
    assert len([n for n in case.recovery.notes if "requires manual intervention" in n.title]) == 1


def stalled() -> Case:
    case = Case(gave_up())
    for _ in range(3):
        failing(case)
        case.situation = structs.replace(case.situation, now=case.now + timedelta(minutes=5))
    return case


def test_a_stalled_recovery_reopens_for_another_failure_at_most_hourly() -> None:
    case = stalled()
    other = structs.replace(
        case.situation.subject,
        operation=structs.replace(
            case.situation.subject.operation, message="admission webhook denied the request"
        ),
    )

    early = case.look(timedelta(minutes=10), other)
    assert case.recovery.max_attempts == 3
    later = case.look(timedelta(hours=1), other)

    assert early.kind is Kind.Stall
    assert later.kind is Kind.Remediate
    assert (case.recovery.attempt, case.recovery.max_attempts) == (4, 6)


def test_a_stalled_recovery_does_not_reopen_for_the_same_failure_in_other_numbers() -> None:
    case = stalled()
    operation = structs.replace(
        case.situation.subject.operation,
        message=case.situation.subject.operation.message + " (retried 7 times).",
    )

    assert (
        case.look(
            timedelta(days=1), structs.replace(case.situation.subject, operation=operation)
        ).kind
        is Kind.Stall
    )


def test_the_third_stall_in_a_week_is_chronic() -> None:
    case = stalled()
    recovery = structs.replace(case.recovery, stalled_times=(NOW, NOW, NOW))
    case.situation = structs.replace(case.situation, recovery=recovery)
    other = structs.replace(
        case.situation.subject,
        operation=structs.replace(case.situation.subject.operation, message="something else"),
    )

    assert case.look(timedelta(hours=2), other).reason == "Chronic"


def test_a_stalled_application_that_heals_by_itself_is_resolved() -> None:
    case = stalled()

    case.look(timedelta(hours=1), an_application())
    case.look(timedelta(seconds=30))

    assert case.situation.past[-1].phase is RecoveryPhase.Resolved


def test_a_relapse_soon_after_is_the_same_incident_with_its_attempts() -> None:
    case = Case(degraded())
    case.look()
    case.look(timedelta(seconds=5), an_application())
    case.look(timedelta(seconds=30))
    name = case.situation.past[-1].name
    relapsed = NOW + timedelta(minutes=5)
    sight = SubjectState("uid-cart", NOW - timedelta(days=1), {"health=Degraded": relapsed})

    case.situation = structs.replace(
        case.situation,
        sight=sight,
        about=degraded(),
        now=relapsed + timedelta(minutes=5),
        past=case.situation.past,
    )
    case.look()

    assert (case.recovery.name, case.recovery.attempt) == (name, 2)


def test_a_relapse_much_later_is_a_new_incident() -> None:
    case = Case(degraded())
    case.look()
    case.look(timedelta(seconds=5), an_application())
    case.look(timedelta(seconds=30))
    name = case.situation.past[-1].name
    relapsed = NOW + timedelta(hours=5)
    sight = SubjectState("uid-cart", NOW - timedelta(days=1), {"health=Degraded": relapsed})

    case.situation = structs.replace(
        case.situation, sight=sight, about=degraded(), now=relapsed + timedelta(minutes=5)
    )
    case.look()

    assert case.recovery.name != name
    assert case.recovery.attempt == 1


def test_a_running_attempt_keeps_the_actions_it_began_with() -> None:
    case = Case(gave_up())
    case.look()
    pinned = the_policies().policies[0].actions
    text = "recovery_policies: [{name: application-sync-failure, condition: {type: application, status: OutOfSync}, actions: [{type: notify}]}]"
    case.situation = structs.replace(case.situation, policies=the_policies(text), pinned=pinned)

    decision = case.look(timedelta(seconds=2), consumed(gave_up(), NOW + timedelta(seconds=2)))

    assert decision.step is not None
    assert decision.step.kind.name == "sync"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("recovery_policies: []", "PolicyRemoved", id="removed"),
        pytest.param(
            "recovery_policies: [{name: application-sync-failure, selector: {names: [other]}, condition: {type: application, status: OutOfSync}, actions: [{type: notify}]}]",
            "NotSelected",
            id="no longer selected",
        ),
    ],
)
def test_removal_and_selectors_bind_at_once(text: str, reason: str) -> None:
    case = Case(gave_up())
    case.look()
    case.situation = structs.replace(case.situation, policies=the_policies(text))

    decision = case.look(timedelta(seconds=2))

    assert (decision.kind, decision.reason) == (Kind.Resolve, reason)
    assert case.situation.past[-1].phase is RecoveryPhase.Superseded


def test_an_application_made_again_closes_the_old_recovery_first() -> None:
    case = Case(gave_up())
    case.look()

    decision = case.look(timedelta(seconds=2), gave_up(uid="another"))

    assert decision.reason == "SubjectReplaced"


def test_a_recovery_whose_application_is_gone_is_closed() -> None:
    case = Case(gave_up())
    case.look()

    decision = bereft(case.recovery, NOW)

    assert decision.recovery is not None
    assert decision.recovery.phase is RecoveryPhase.Superseded
    assert decision.recovery.steps[-1].outcome is StepOutcome.Skipped


def test_the_intent_carries_the_evidence_and_the_fence() -> None:
    (decision,) = decide(a_situation(gave_up(resource_version="4711")))

    assert decision.recovery is not None
    step = decision.recovery.running
    assert step is not None
    assert step.claim.resource_version == "4711"
    assert step.claim.history_id == 3
    assert any(
        "one or more synchronization tasks are not valid" in line
        for line in decision.recovery.evidence
    )


def test_guards_are_asked_before_every_step_and_people_are_told_after_half_an_hour_once() -> None:
    case = Case(gave_up())
    case.look()
    paused = consumed(
        gave_up(marks={"recovery.gitops.dev/paused": "ada: migration"}), NOW + timedelta(seconds=2)
    )

    held = case.look(timedelta(seconds=2), paused)
    assert (held.kind, held.by) == (Kind.Suppress, "Paused")
    assert case.recovery.phase is RecoveryPhase.Suppressed
    assert case.recovery.notes == ()
    case.look(timedelta(minutes=30))
    case.look(timedelta(minutes=30))
    assert [n.title for n in case.recovery.notes] == [
        "argocd/cart (in-cluster) is not being recovered, suppressed by Paused"
    ]
    resumed = case.look(timedelta(minutes=1), structs.replace(paused, marks=None))

    assert resumed.step is not None
    assert resumed.step.kind.name == "sync"


IN_DOUBT = Outcome(Result.InDoubt, "Unavailable", "no answer")


def test_a_sync_in_doubt_that_is_found_is_not_written_again() -> None:
    case = Case(gave_up())
    case.look()
    case.look(
        timedelta(seconds=2), consumed(gave_up(), NOW + timedelta(seconds=2)), outcome=IN_DOUBT
    )

    decision = case.look(timedelta(seconds=5), operated(gave_up(), case, Phase.Running))

    assert decision.reason == "Settling"


def test_a_sync_in_doubt_without_a_trace_is_written_again_under_the_same_token() -> None:
    case = Case(gave_up())
    case.look()
    case.look(
        timedelta(seconds=2), consumed(gave_up(), NOW + timedelta(seconds=2)), outcome=IN_DOUBT
    )
    token = case.recovery.token(case.recovery.steps[-1])

    decision = case.look(timedelta(seconds=5), gave_up(resource_version="99"))

    assert decision.kind is Kind.Remediate
    record = case.recovery.steps[-1]
    assert (case.recovery.token(record), record.claim.resource_version) == (token, "99")


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param({"requested": Requested("", "ada")}, id="asked for by a person"),
        pytest.param(
            {
                "operation": Operation(
                    Phase.Succeeded,
                    started_at=NOW + timedelta(seconds=9),
                    revisions=(GOOD,),
                    username="ada",
                )
            },
            id="a newer operation",
        ),
        pytest.param(
            {"deploy": structs.replace(an_application().deploy, id=4)}, id="a newer deploy"
        ),  # type: ignore[type-var]
    ],
)
def test_a_sync_in_doubt_is_not_repeated_when_somebody_acted_since(
    elsewhere: dict[str, Any],
) -> None:
    case = Case(gave_up())
    case.look()
    case.look(
        timedelta(seconds=2), consumed(gave_up(), NOW + timedelta(seconds=2)), outcome=IN_DOUBT
    )

    case.look(timedelta(seconds=10), gave_up(**elsewhere))

    sync = next(s for s in case.recovery.steps if s.action == "sync")
    assert (sync.outcome, sync.reason) == (StepOutcome.Skipped, "Superseded")


def test_an_operation_that_argo_cd_does_not_take_up_is_withdrawn() -> None:
    case = Case(gave_up())
    case.look()
    case.look(timedelta(seconds=2), consumed(gave_up(), NOW + timedelta(seconds=2)))
    waiting = gave_up(
        requested=Requested(
            case.recovery.token(case.recovery.steps[-1]), "gitops-recovery-controller"
        )
    )

    assert case.look(timedelta(seconds=30), waiting).kind is Kind.Wait
    withdrawn = case.look(timedelta(seconds=31))
    assert (withdrawn.kind, case.recovery.steps[-1].stage) == (Kind.Remediate, "withdraw")
    case.look(timedelta(seconds=1), gave_up())

    sync = next(s for s in case.recovery.steps if s.action == "sync")
    assert (sync.outcome, sync.reason) == (StepOutcome.Failed, "NotStarted")


def test_a_sync_that_went_through_and_left_it_out_of_sync_has_failed() -> None:
    case = Case(gave_up())
    case.look()
    case.look(timedelta(seconds=2), consumed(gave_up(), NOW + timedelta(seconds=2)))
    done = operated(gave_up(), case, Phase.Succeeded)

    assert case.look(timedelta(seconds=2), done).reason == "Settling"
    case.look(
        timedelta(seconds=2), structs.replace(done, reconciled_at=case.now + timedelta(seconds=2))
    )

    sync = next(s for s in case.recovery.steps if s.action == "sync")
    assert (sync.outcome, sync.reason) == (StepOutcome.Failed, "StillOutOfSync")


def test_a_comparison_in_the_moment_after_a_sync_is_not_believed_yet() -> None:
    case = Case(gave_up())
    case.look()
    case.look(timedelta(seconds=2), consumed(gave_up(), NOW + timedelta(seconds=2)))
    done = operated(gave_up(), case, Phase.Succeeded)
    at = done.operation.finished_at if done.operation else None
    assert at is not None
    early = structs.replace(done, reconciled_at=at + timedelta(seconds=1))
    ago = at - case.now

    waits = case.look(ago + timedelta(seconds=1), early)
    assert (waits.reason, waits.again_at) == ("Settling", at + timedelta(seconds=3))
    case.look(timedelta(seconds=2), early)

    sync = next(s for s in case.recovery.steps if s.action == "sync")
    assert (sync.outcome, sync.reason) == (StepOutcome.Failed, "StillOutOfSync")


HELD = Hold(recovery="cart-1", uid="uid-cart", bad=(BAD,), suspended=True)


@pytest.mark.parametrize(
    ("app", "released"),
    [
        pytest.param(
            degraded(hold=HELD, auto_sync=False, sync=Sync.OutOfSync),
            False,
            id="still at the bad revision",
        ),
        pytest.param(
            degraded(hold=HELD, auto_sync=False, sync=Sync.OutOfSync, revisions=("c" * 40,)),
            False,
            id="Git has moved on, and nobody knows whose change it is",
        ),
        pytest.param(
            degraded(
                hold=structs.replace(HELD, release="revision"),
                auto_sync=False,
                sync=Sync.OutOfSync,
                revisions=("c" * 40,),
            ),
            True,
            id="Git has moved on, and any revision is asked for",
        ),
        pytest.param(
            degraded(
                hold=structs.replace(HELD, release="manual"),
                auto_sync=False,
                sync=Sync.Synced,
                revisions=("c" * 40,),
            ),
            False,
            id="a person alone ends it",
        ),
        pytest.param(
            degraded(hold=HELD, auto_sync=False, revisions=("c" * 40,)),
            True,
            id="what runs is what Git wants by now",
        ),
        pytest.param(
            degraded(hold=HELD, auto_sync=False, sync=Sync.Unknown, revisions=("c" * 40,)),
            False,
            id="Argo CD does not know",
        ),
        pytest.param(
            degraded(hold=HELD, auto_sync=True), True, id="a person switched auto-sync on"
        ),
        pytest.param(
            degraded(
                hold=structs.replace(HELD, sticky=True), auto_sync=False, revisions=("c" * 40,)
            ),
            False,
            id="sticky: a person ends it",
        ),
    ],
)
def test_when_a_hold_ends(app: Application, released: bool) -> None:
    decisions = decide(a_situation(structs.replace(app, health=Health.Healthy)))

    assert any(d.kind is Kind.Remediate and d.policy == "(hold)" for d in decisions) is released


@pytest.mark.parametrize(
    ("seen", "moved_on", "released"),
    [
        pytest.param(OwnChange.changed, False, True, id="its manifests are other ones"),
        pytest.param(OwnChange.unchanged, False, False, id="another team's commit"),
        pytest.param(
            OwnChange.unchanged, True, False, id="the manifests say more than what differs"
        ),
        pytest.param(
            OwnChange.unknown,
            True,
            True,
            id="without a token: with the revision, other resources differed",
        ),
        pytest.param(
            OwnChange.unknown,
            False,
            False,
            id="without a token: the same resource differs, a person is asked",
        ),
    ],
)
def test_a_hold_ends_when_its_own_manifests_have_moved_on(
    seen: OwnChange, moved_on: bool, released: bool
) -> None:
    differs = {"unsynced": ("Deployment/cart",), "unsynced_count": 1}
    app = degraded(
        hold=HELD,
        auto_sync=False,
        sync=Sync.OutOfSync,
        revisions=("c" * 40,),
        health=Health.Healthy,
        **differs,
    )
    situation = a_situation(app, own_change=seen)
    situation = structs.replace(
        situation, sight=structs.replace(situation.sight, moved_on=moved_on)
    )

    assert (
        any(d.kind is Kind.Remediate and d.policy == "(hold)" for d in decide(situation))
        is released
    )
    assert undecided(situation) is (seen is OwnChange.unknown and not released)


def owed(**changes: Any) -> Recovery:
    """The record of HELD."""
    step = StepRecord(
        1,
        1,
        "rollback",
        NOW,
        stage="apply",
        sent=True,
        owes=HELD,
        debt=Debt.open,
        outcome=StepOutcome.Succeeded,
        ended_at=NOW - timedelta(minutes=3),
    )
    past = a_recovery("cart-1", NOW, steps=(structs.replace(step, **changes),))
    return structs.replace(past, subject=structs.replace(past.subject, uid="uid-cart"))


@pytest.mark.parametrize(
    ("app", "record", "reason", "words"),
    [
        pytest.param(
            degraded(hold=HELD, auto_sync=False), owed(outcome=StepOutcome.TimedOut), "HoldEnded", "did not help", id="it did not cure"
        ),
        pytest.param(
            degraded(hold=HELD, auto_sync=False, health=Health.Healthy), owed(outcome=StepOutcome.TimedOut), "", "", id="cured late"
        ),
        pytest.param(
            degraded(hold=HELD, auto_sync=False, health=Health.Progressing), owed(outcome=StepOutcome.TimedOut), "", "", id="on its way"
        ),
        pytest.param(degraded(hold=HELD, auto_sync=True), owed(), "HoldOverruled", "switched on again by another writer", id="switched on"),
        pytest.param(
            degraded(hold=HELD, auto_sync=True, sync=Sync.OutOfSync, revisions=("c" * 40,)), owed(), "HoldEnded", "at ccccccc",
            id="switched on for a newer revision: nothing is reverted",
        ),
        pytest.param(
            degraded(hold=HELD, auto_sync=False, sync=Sync.OutOfSync, revisions=("c" * 40,)),
            structs.replace(owed(), requests=(UserRequest("release", "ada", NOW + timedelta(seconds=1)),)),
            "HoldEnded", "ada released ccccccc", id="a person says that it is the fix",
        ),
        pytest.param(degraded(hold=HELD, auto_sync=True), owed(debt=Debt.returning), "HoldEnded", "being released", id="by ourselves"),
        pytest.param(
            degraded(hold=HELD, auto_sync=False),
            structs.replace(owed(), requests=(UserRequest("release", "ada", NOW + timedelta(seconds=1)),)),
            "HoldOverruled", "ada released it", id="a person asked for it",
        ),
        pytest.param(
            an_application(
                hold=structs.replace(HELD, since=NOW - timedelta(hours=2)), auto_sync=False,
                operation=Operation(Phase.Succeeded, started_at=NOW - timedelta(hours=1), revisions=(GOOD,), username="ada"),
            ),
            owed(), "HoldOverruled", "ada synced", id="a person synced something that is well",
        ),
    ],
)  # fmt: skip
def test_how_else_a_hold_ends(app: Application, record: Recovery, reason: str, words: str) -> None:
    found = [d for d in decide(a_situation(app, past=(record,))) if d.policy == "(hold)"]

    assert [d.reason for d in found] == ([reason] if reason else [])
    assert all(words in d.message for d in found)


def test_a_hold_is_not_given_back_while_switched_off() -> None:
    app = degraded(hold=HELD, auto_sync=False, revisions=("c" * 40,), health=Health.Healthy)

    decisions = decide(a_situation(app, enabled=False))

    assert [d.by for d in decisions if d.policy == "(hold)"] == ["ObserveOnly"]


def test_a_situation_is_judged_the_same_way_twice() -> None:
    situation: Situation = a_situation(gave_up())

    assert decide(situation) == decide(situation)
