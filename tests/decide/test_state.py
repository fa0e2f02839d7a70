"""Which state a policy and its subject are in: a row for every state."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from recovery.decide.attempt import NO_REMEDY, begin
from recovery.decide.engine import decide
from recovery.decide.evaluation import Evaluation
from recovery.decide.fingerprint import fingerprint
from recovery.decide.guards import REMEDY_FORBIDDEN
from recovery.decide.opening import opened
from recovery.decide.state import State, determine
from recovery.decide.transitions import TRANSITIONS
from recovery.model.application import Application, Destination, Health, Operation, Phase
from recovery.model.cause import Confidence, Diagnosis
from recovery.model.connection import Cluster
from recovery.model.decision import Kind, Result
from recovery.model.move import Place, Relocation, RelocationPhase, UserRequest
from recovery.model.recovery import Claim, Recovery, RecoveryPhase
from recovery.model.situation import Freshness, Situation
from tests.builders import (
    NOW,
    a_dead_cluster,
    a_live_cluster,
    a_recovery,
    a_situation,
    about_a_cluster,
    an_application,
    degraded,
    gave_up,
    the_policies,
)

SYNC, DEGRADED, CLUSTER = (
    "application-sync-failure",
    "application-health-degraded",
    "cluster-connection-failure",
)
MINUTE = timedelta(minutes=1)
AWAY = Relocation(
    "argocd", "cart", "uid-cart", Place(name="primary"), Place(name="b"), RelocationPhase.Moved
)
ELSEWHERE = Destination(server="https://10.0.0.9:6443", namespace="shop")
ANOTHER = Diagnosis("ImageUnavailable", ("cannot pull",), Confidence.certain)


def of(situation: Situation, policy: str, **changes: Any) -> Evaluation:
    """The policy of this name, without a recovery."""
    found = next(p for p in situation.policies.policies if p.name == policy)
    return Evaluation(situation, found, situation.recovery, **changes)


def with_recovery(
    situation: Situation, policy: str, after: timedelta = timedelta(), **changes: Any
) -> Evaluation:
    """The policy with a recovery that is between two steps, changed as said."""
    found = next(p for p in situation.policies.policies if p.name == policy)
    recovery = structs.replace(
        opened(situation, found, NOW - timedelta(hours=1)), attempt=1, **changes
    )
    return of(structs.replace(situation, recovery=recovery, now=NOW + after), policy)


def in_step(
    after: timedelta = timedelta(seconds=1),
    app: Application | None = None,
    *,
    policy: str = SYNC,
    situation: dict[str, Any] | None = None,
    recovery: dict[str, Any] | None = None,
    **record: Any,
) -> Evaluation:
    """The policy's first step has been claimed; then so much time went by, and the application is
    this."""
    start = a_situation(gave_up() if policy == SYNC else degraded())
    found = next(p for p in start.policies.policies if p.name == policy)
    decision = begin(start, found, opened(start, found, NOW - timedelta(hours=1)))
    running = decision.recovery.running if decision.recovery else None
    assert decision.recovery
    assert running
    changed = decision.recovery.with_last(structs.replace(running, **record))
    changed = structs.replace(changed, version="1", **(recovery or {}))
    now = structs.replace(
        start,
        recovery=changed,
        now=NOW + after,
        about=app or start.subject,
        pinned=found.actions,
        **(situation or {}),
    )
    return of(now, policy)


def failed(e: Evaluation) -> Evaluation:
    """Its second step, the sync, ran under our name and failed."""
    recovery = e.open
    record = structs.replace(recovery.steps[-1], action="sync", index=1, sent=True)
    first = structs.replace(recovery.steps[-1], sent=True, ended_at=NOW)
    recovery = structs.replace(recovery, steps=(first, record))
    operation = Operation(
        Phase.Failed,
        "it failed",
        started_at=NOW + timedelta(milliseconds=1),
        finished_at=NOW + timedelta(seconds=1),
        recovery=recovery.token(record),
    )
    about = structs.replace(e.situation.subject, operation=operation)
    situation = structs.replace(e.situation, about=about, recovery=recovery)
    return structs.replace(e, situation=situation, recovery=recovery)


def cluster(phase: RecoveryPhase = RecoveryPhase.Stalled, **changes: Any) -> Evaluation:
    """A dead cluster, with an application away from it on its account."""
    return with_recovery(
        about_a_cluster(), CLUSTER, **{"phase": phase, "relocations": (AWAY,), **changes}
    )


def stalled(after: timedelta, **changes: Any) -> Evaluation:
    """Left to people at noon."""
    situation = a_situation(gave_up())
    fields = {
        "phase": RecoveryPhase.Stalled,
        "reason": "RetriesExceeded",
        "stalled_times": (NOW,),
        **changes,
    }
    return with_recovery(situation, SYNC, after, **fields)


def past(at: datetime) -> Recovery:
    """Resolved then, of the same application."""
    return a_recovery("cart", at, subject=opened(SITUATION, POLICY, NOW).subject, policy=SYNC)


SITUATION = a_situation(gave_up())
POLICY = next(p for p in SITUATION.policies.policies if p.name == SYNC)
ASKED = (UserRequest("stay", "ann", NOW),)

ROWS: list[tuple[State, Evaluation]] = [
    (State.ConditionNotMet, of(a_situation(), SYNC)),
    (State.Pending, of(a_situation(gave_up(), ill_for=MINUTE), SYNC)),
    (State.RecoveredByAnother, of(SITUATION, SYNC, recovered_by=DEGRADED)),
    (State.Due, of(SITUATION, SYNC)),
    (
        State.Relapsed,
        of(a_situation(gave_up(), past=(past(NOW - timedelta(hours=1, minutes=5)),)), SYNC),
    ),
    (State.OrphansFound, of(about_a_cluster(a_live_cluster(), orphans=(AWAY,)), CLUSTER)),
    (
        State.SubjectReplaced,
        with_recovery(
            a_situation(gave_up()),
            SYNC,
            subject=structs.replace(past(NOW).subject, uid="uid-before"),
        ),
    ),
    (
        State.PolicyRemoved,
        structs.replace(with_recovery(a_situation(gave_up()), SYNC), in_force=False),
    ),
    (
        State.NotSelected,
        structs.replace(
            with_recovery(a_situation(gave_up()), SYNC),
            policy=structs.replace(
                POLICY, selector=structs.replace(POLICY.selector, projects=("other",))
            ),
        ),
    ),
    (
        State.NotReconciled,
        with_recovery(a_situation(gave_up(), unreconciled="skip-reconcile is set"), SYNC),
    ),
    (
        State.Preempted,
        structs.replace(
            with_recovery(SITUATION, SYNC, phase=RecoveryPhase.Suppressed), preempted_by=DEGRADED
        ),
    ),
    (State.Recovering, with_recovery(a_situation(), SYNC)),
    (
        State.BackWhileAway,
        with_recovery(
            about_a_cluster(a_live_cluster("primary")),
            CLUSTER,
            phase=RecoveryPhase.Stalled,
            relocations=(AWAY,),
        ),
    ),
    (
        State.Recovered,
        with_recovery(
            a_situation(),
            SYNC,
            phase=RecoveryPhase.Verifying,
            healthy_since=NOW - timedelta(minutes=5),
        ),
    ),
    (
        State.ActionsUnreadable,
        structs.replace(in_step(), situation=structs.replace(in_step().situation, pinned=())),
    ),
    (State.StepInProgress, in_step(sent=True)),
    (State.StepWriteDue, in_step()),
    (State.StepWritePaused, in_step(reason=Result.InDoubt.value)),
    (
        State.StepNoLongerFits,
        in_step(app=degraded(destination=ELSEWHERE), policy=DEGRADED),
    ),
    (State.StepNotExecuted, in_step(timedelta(hours=1))),
    (State.StepTimedOut, in_step(timedelta(hours=1), sent=True)),
    (State.StepSucceeded, in_step(action="notify", index=2, sent=True)),
    (State.StepFailed, failed(in_step())),
    (State.StepSuperseded, in_step(claim=Claim(history_id=2), action="sync", index=1)),
    (State.StayRequested, cluster(requests=ASKED)),
    (
        State.LostOnTheWayHome,
        cluster(relocations=(AWAY, structs.replace(AWAY, name="web", phase=RelocationPhase.Home))),
    ),
    (State.Away, cluster()),
    (
        State.CauseChanged,
        with_recovery(
            a_situation(gave_up(), finding=ANOTHER),
            SYNC,
            phase=RecoveryPhase.Suppressed,
            reason=REMEDY_FORBIDDEN,
            cause="RolloutFailed",
        ),
    ),
    (State.RemedyFound, stalled(MINUTE, reason=NO_REMEDY)),
    (State.ResetRequested, stalled(MINUTE, requests=(UserRequest("reset", "ann", NOW + MINUTE),))),
    (
        State.NoRemedyLeft,
        with_recovery(
            a_situation(gave_up(), finding=ANOTHER),
            SYNC,
            phase=RecoveryPhase.Stalled,
            reason=NO_REMEDY,
            cause=ANOTHER.what,
        ),
    ),
    (State.FailureUnchanged, stalled(MINUTE, fingerprint=fingerprint(gave_up()))),
    (State.FailureSettling, stalled(MINUTE)),
    (State.FailureChanged, stalled(timedelta(hours=2))),
    (State.FailureChangedEarly, stalled(timedelta(minutes=30))),
    (State.Chronic, stalled(timedelta(minutes=30), stalled_times=(NOW, NOW, NOW))),
    (
        State.BackingOff,
        with_recovery(
            SITUATION, SYNC, phase=RecoveryPhase.BackingOff, next_attempt_at=NOW + MINUTE
        ),
    ),
    (
        State.BackoffOver,
        with_recovery(SITUATION, SYNC, phase=RecoveryPhase.BackingOff, next_attempt_at=NOW),
    ),
    (State.StepDue, with_recovery(SITUATION, SYNC)),
]


@pytest.mark.parametrize(("state", "e"), ROWS, ids=[state.name for state, _ in ROWS])
def test_the_state_is_told(state: State, e: Evaluation) -> None:
    assert determine(e) is state
    TRANSITIONS[state].act(e)  # its phases are held against the table in conftest


def test_every_state_has_a_row_and_a_transition() -> None:
    assert {state for state, _ in ROWS} == set(State)
    assert set(TRANSITIONS) == set(State)
    assert len({state.value for state in State}) == len(State), "each says something of its own"


def test_a_pause_that_a_wrong_clock_wrote_is_over() -> None:
    e = with_recovery(
        SITUATION,
        SYNC,
        phase=RecoveryPhase.BackingOff,
        next_attempt_at=NOW + timedelta(days=365),
    )
    assert determine(e) is State.BackoffOver


@pytest.mark.parametrize("phase", [RecoveryPhase.Remediating, RecoveryPhase.Suppressed])
def test_what_is_owed_outlives_its_policy(phase: RecoveryPhase) -> None:
    e = structs.replace(cluster(phase), in_force=False)
    assert determine(e) is not State.PolicyRemoved


def test_what_argo_cd_does_not_reconcile_is_one_answer_for_all_policies() -> None:
    decisions = decide(a_situation(gave_up(), unreconciled="skip-reconcile is set"))
    assert [d.by for d in decisions] == ["ReconcileSkipped"]


NARROWED = """
recovery_policies:
- name: {name}
  selector: {{names: [other]}}
  condition: {{type: cluster, connection_state: Failed, duration: 3m}}
  actions: [{{type: failover, parameters: {{target_cluster: secondary, failback: auto}}}}]
"""


@pytest.mark.parametrize("about", [a_live_cluster("primary"), a_dead_cluster()], ids=["up", "down"])
def test_a_policy_that_does_not_select_the_cluster_adopts_no_orphans(about: Cluster) -> None:
    policies = the_policies(NARROWED.format(name="narrowed"))
    assert decide(about_a_cluster(about, policies=policies, orphans=(AWAY,))) == ()


def test_a_record_that_names_no_policy_holds_the_others_back() -> None:
    """Whoever edits a record by hand: an empty name is not nobody."""
    assert determine(of(SITUATION, SYNC, recovered_by="")) is State.RecoveredByAnother


@pytest.mark.parametrize(
    "phase", [RecoveryPhase.Suppressed, RecoveryPhase.Remediating, RecoveryPhase.Stalled]
)
def test_a_cure_that_was_seen_to_last_ends_it_in_any_phase(phase: RecoveryPhase) -> None:
    """Held back by a stale cache meanwhile, or after a step that was owed."""
    e = with_recovery(a_situation(), SYNC, phase=phase, healthy_since=NOW - 5 * MINUTE)
    assert determine(e) is State.Recovered
    (decision,) = decide(e.situation)
    assert decision.kind is Kind.Resolve


def test_stale_eyes_adopt_no_orphans() -> None:
    situation = about_a_cluster(
        a_live_cluster(), orphans=(AWAY,), freshness=Freshness(fresh=False, message="behind")
    )
    assert determine(of(situation, CLUSTER)) is not State.OrphansFound
    assert isinstance(situation.about, Cluster)


def test_healthy_is_no_word_of_the_policy_that_has_no_recovery() -> None:
    assert of(a_situation(an_application(health=Health.Degraded)), SYNC).unhealthy == ""
