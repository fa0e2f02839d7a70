"""A policy that does more harm than good only watches; and the account of what came of it all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from recovery.decide import statistics
from recovery.decide.circuit_breaker import circuits, compared, regretted, undone
from recovery.decide.engine import decide
from recovery.decide.guard_request import GuardRequest
from recovery.decide.guards import refusal
from recovery.model.application import Health
from recovery.model.decision import Kind
from recovery.model.move import UserRequest
from recovery.model.recovery import Claim, Recovery, RecoveryPhase, StepOutcome, StepRecord
from tests.builders import NOW, a_recovery, a_situation, an_application, degraded, the_policies


def step(action: str = "restart", minute: int = 0, **fields: Any) -> StepRecord:
    at = NOW + timedelta(minutes=minute)
    record = StepRecord(
        1,
        0,
        action,
        at,
        sent=True,
        ended_at=at + timedelta(minutes=1),
        outcome=StepOutcome.Succeeded,
        reason="Done",
    )
    return structs.replace(record, **fields)


def recovery(name: str, *steps: StepRecord, policy: str = "web", **fields: Any) -> Recovery:
    return structs.replace(
        a_recovery(name, NOW, steps=steps), **{"policy": policy, "policy_hash": "h1", **fields}
    )


BAD = step(review="Worsened")


@pytest.mark.parametrize(
    ("recoveries", "watched"),
    [
        pytest.param([recovery("a", BAD)], False, id="one is an accident"),
        pytest.param(
            [recovery("a", BAD), recovery("b", step("rollback", 5, reason="OwnerReverted"))],
            True,
            id="two are too many",
        ),
        pytest.param(
            [recovery("a", BAD), recovery("b", BAD, policy="other")], False, id="of two policies"
        ),
        pytest.param(
            [recovery("a", BAD), recovery("b", BAD, policy_hash="h2")],
            False,
            id="edited between them",
        ),
        pytest.param(
            [recovery("a", BAD, BAD), *(recovery(f"g{n}", step(minute=n + 1)) for n in range(10))],
            False,
            id="ten good ones since",
        ),
        pytest.param(
            [recovery("a", BAD, BAD), *(recovery(f"g{n}", step(minute=n + 1)) for n in range(8))],
            True,
            id="eight good ones since",
        ),
        pytest.param(
            [recovery("a", step("notify", review="Worsened"), BAD)],
            False,
            id="a message is no action",
        ),
        pytest.param(
            [recovery("a", structs.replace(BAD, outcome=StepOutcome.Skipped), BAD)],
            False,
            id="what was skipped did nothing",
        ),
    ],
)
def test_two_of_the_last_ten(recoveries: list[Recovery], watched: bool) -> None:
    found = {key: circuit.words for key, circuit in circuits(recoveries).items()}

    assert bool(found) is watched
    if watched:
        assert "of its last " in found["web/h1/default"]


VAIN = step("restart", outcome=StepOutcome.Failed, reason="DegradedAgain")


def in_vain(
    count: int, *, projects: int = 1, apart: int = 1, kind: StepRecord = VAIN
) -> list[Recovery]:
    """So many subjects, one after the other, that something did not help."""
    found = []
    for number in range(count):
        late = structs.replace(kind, ended_at=NOW + timedelta(minutes=number * apart))
        held = recovery(f"v{number}", late)
        found.append(
            structs.replace(
                held,
                subject=structs.replace(
                    held.subject, uid=f"u{number}", project=f"p{number % projects}"
                ),
            )
        )
    return found


@pytest.mark.parametrize(
    ("recoveries", "opened"),
    [
        pytest.param(in_vain(2), set(), id="two may be chance"),
        pytest.param(in_vain(3), {"web/h1/p0"}, id="three of a project"),
        pytest.param(in_vain(3, apart=40), set(), id="three in a long time"),
        pytest.param(
            [*in_vain(1), *in_vain(1), *in_vain(1)], set(), id="one subject, again and again"
        ),
        pytest.param(in_vain(4, projects=4), set(), id="one of each of four projects"),
        pytest.param(
            in_vain(5, projects=3), {"web/h1/*"}, id="five of three projects are nobody's own"
        ),
        pytest.param(
            in_vain(3, kind=structs.replace(VAIN, action="refresh")),
            set(),
            id="a refresh before a sync",
        ),
        pytest.param(
            in_vain(3, kind=structs.replace(VAIN, outcome=StepOutcome.Succeeded)),
            set(),
            id="it helped",
        ),
        pytest.param(
            in_vain(3, kind=structs.replace(VAIN, reason="NotStarted")),
            set(),
            id="it was never tried",
        ),
        pytest.param(
            [structs.replace(r, steps=(*r.steps, step("rollback", 9))) for r in in_vain(3)],
            set(),
            id="the rollback after it helped",
        ),
        pytest.param(
            [structs.replace(r, phase=RecoveryPhase.Remediating, attempt=1) for r in in_vain(3)],
            set(),
            id="the attempt goes on",
        ),
        pytest.param(
            [structs.replace(r, phase=RecoveryPhase.Remediating, attempt=2) for r in in_vain(3)],
            {"web/h1/p0"},
            id="the next one",
        ),
        pytest.param(
            in_vain(3, kind=structs.replace(VAIN, action="rollback", outcome=StepOutcome.TimedOut)),
            {"web/h1/p0"},
            id="rollbacks",
        ),
    ],
)
def test_what_does_not_help_is_stopped(recoveries: list[Recovery], opened: set[str]) -> None:
    found = circuits(recoveries)

    assert set(found) == opened
    assert all(
        c.until is not None and c.until - c.since == timedelta(hours=4) for c in found.values()
    ), "it tries again by itself"


def test_an_open_circuit_holds_its_policy_and_no_other_projects() -> None:
    policy = the_policies().policies[1]
    here = {f"{policy.name}/{policy.hash}/shop": "it does not help"}

    def by(project: str, distrusted: dict[str, str]) -> str:
        no = refusal(
            GuardRequest(
                a_situation(degraded(project=project), distrusted=distrusted),
                policy,
                policy.actions[0],
                None,
            )
        )
        return no.by if no else ""

    assert (by("shop", here), by("other", here)) == ("CircuitOpen", "")
    everywhere = {f"{policy.name}/{policy.hash}/*": "it does not help"}
    assert (by("shop", everywhere), by("other", everywhere)) == ("CircuitOpen", "CircuitOpen")


def test_a_remedy_that_has_to_be_repeated_is_none() -> None:
    days = [recovery(f"d{n}", step()) for n in range(3)]
    app = degraded()

    (third,) = decide(a_situation(app, past=tuple(days[:2])))
    assert (third.kind, third.step and third.step.kind.name) == (Kind.Remediate, "restart")
    (fourth,) = decide(a_situation(app, past=tuple(days)))
    assert (fourth.kind, fourth.by) == (Kind.Suppress, "RemedyForbidden")
    assert "restart was done for it in 3 recoveries within a day" in fourth.message
    assert fourth.recovery is not None
    stood = structs.replace(
        fourth.recovery, suppressed_since=NOW - timedelta(minutes=1), version="1"
    )
    (called,) = decide(a_situation(app, past=tuple(days), recovery=stood))
    assert called.step is not None
    assert called.step.kind.name == "escalate"
    told = recovery("d3", escalated=True, stalled_times=(NOW,))
    (fifth,) = decide(a_situation(app, past=(*days, told), recovery=stood))
    assert (fifth.kind, fifth.reason) == (Kind.Stall, "NoRemedyLeft")
    assert fifth.recovery is not None
    assert fifth.recovery.notes == (), "called once a day"


@pytest.mark.parametrize(
    ("before", "after", "review"),
    [
        (Health.Healthy, Health.Degraded, "Worsened"),
        (Health.Degraded, Health.Missing, "Worsened"),
        (Health.Degraded, Health.Degraded, ""),
        (Health.Healthy, Health.Progressing, ""),
        (Health.Degraded, Health.Healthy, ""),
    ],
)
def test_worse_is_what_was_better_when_the_step_began(
    before: Health, after: Health, review: str
) -> None:
    record = step(claim=Claim(health=before.value))

    assert compared(record, an_application(health=after)).review == review


def test_what_a_person_took_back_is_marked_at_the_effect_it_was() -> None:
    after = undone(
        recovery("a", step("rollback"), step("notify", 1)),
        "auto-sync was switched on again by another writer",
    )

    assert [regretted(s) for s in after.steps] == ["Reverted", ""]
    assert "another writer" in after.steps[0].message


def test_a_distrusted_policy_watches_and_says_why() -> None:
    policies = the_policies()
    policy = policies.policies[1]
    app = an_application(health=Health.Degraded)
    situation = a_situation(
        app, distrusted={f"{policy.name}/{policy.hash}/{app.project}": "2 of its last 3 actions"}
    )

    no = refusal(GuardRequest(situation, policy, policy.actions[0], None))

    assert no is not None
    assert no.by == "CircuitOpen"
    assert "2 of its last 3 actions; edit the policy to close the circuit" in no.message
    assert (
        refusal(
            GuardRequest(
                structs.replace(situation, distrusted={f"{policy.name}/old/{app.project}": "x"}),
                policy,
                policy.actions[0],
                None,
            )
        )
        is None
    )
    others = structs.replace(
        situation, distrusted={f"{policy.name}/{policy.hash}/evilteam": "2 of its last 3 actions"}
    )
    assert refusal(GuardRequest(others, policy, policy.actions[0], None)) is None, (
        "what another project took back is its own business"
    )


def over(name: str, minutes: int, *steps: StepRecord, **fields: Any) -> Recovery:
    at = NOW + timedelta(minutes=minutes)
    return recovery(
        name,
        *steps,
        **{"phase": RecoveryPhase.Resolved, "unhealthy_since": NOW, "resolved_at": at, **fields},
    )


FLEET = [
    over("cured", 10, step()),
    over("by-itself", 4),
    over("watched", 30, observe_only=True),
    recovery("stalled", BAD, phase=RecoveryPhase.Stalled, stalled_times=(NOW,)),
    over("other", 60, step("rollback", reason="HoldReleased"), policy="z"),
    recovery("old", step(), opened_at=NOW - timedelta(days=8)),
]


def test_the_report_counts_what_came_of_it() -> None:
    web, z, everything = statistics.report(FLEET, NOW - timedelta(days=7))

    assert (web.policy, z.policy, everything.policy) == ("web", "z", "(all)")
    assert (web.recoveries, web.open, web.acted, web.would_have, web.cured, web.by_itself) == (
        4,
        1,
        2,
        1,
        1,
        2,
    )
    assert (web.needed_person, web.undone, web.worse) == (1, 0, 1)
    assert (web.typical, web.slowest) == (600.0, 1800.0)
    assert (z.undone, everything.recoveries, everything.actions) == (1, 5, 3)


def test_the_audit_names_who_and_why_in_order() -> None:
    asked = recovery(
        "a",
        step(minute=3, message="still ill"),
        requests=(UserRequest("approve", "ada", NOW, "1.0"),),
    )

    entries = statistics.audit([asked], NOW)

    assert [(e.by, e.what, e.result) for e in entries] == [
        ("ada", "approve 1.0", "asked for"),
        ("controller", "restart", "Succeeded Done"),
    ]


def test_the_last_seven_days_are_all_there() -> None:
    days = statistics.days(FLEET, NOW + timedelta(hours=1))

    assert len(days) == 7
    assert days[-1].day == NOW.date()
    assert (days[-1].cured, days[-1].by_itself, days[-1].needed_person) == (3, 2, 1), (
        "what ended that day, whenever it began"
    )
    assert days[-1].typical == 1800.0
