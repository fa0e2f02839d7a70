"""A policy that does more harm than good only watches; and the account of what came of it all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from recovery.decide import reporting
from recovery.decide.asking import Asked
from recovery.decide.guards import refusal
from recovery.decide.regret import compared, distrusted, regretted, undone
from recovery.model.application import Health
from recovery.model.move import Wish
from recovery.model.recovery import Claim, Recovery, RecoveryPhase, StepOutcome, StepRecord
from tests.builders import NOW, a_recovery, a_situation, an_application, the_policies


def step(action: str = "restart", minute: int = 0, **fields: Any) -> StepRecord:
    at = NOW + timedelta(minutes=minute)
    record = StepRecord(1, 0, action, at, sent=True, ended_at=at + timedelta(minutes=1), outcome=StepOutcome.Succeeded, reason="Done")
    return structs.replace(record, **fields)


def recovery(name: str, *steps: StepRecord, policy: str = "web", **fields: Any) -> Recovery:
    return structs.replace(a_recovery(name, NOW, steps=steps), **{"policy": policy, "policy_hash": "h1", **fields})


BAD = step(regret="worse")


@pytest.mark.parametrize(
    ("recoveries", "watched"),
    [
        pytest.param([recovery("a", BAD)], False, id="one is an accident"),
        pytest.param([recovery("a", BAD), recovery("b", step("rollback", 5, reason="OwnerReverted"))], True, id="two are too many"),
        pytest.param([recovery("a", BAD), recovery("b", BAD, policy="other")], False, id="of two policies"),
        pytest.param([recovery("a", BAD), recovery("b", BAD, policy_hash="h2")], False, id="edited between them"),
        pytest.param(
            [recovery("a", BAD, BAD), *(recovery(f"g{n}", step(minute=n + 1)) for n in range(10))], False, id="ten good ones since"
        ),
        pytest.param(
            [recovery("a", BAD, BAD), *(recovery(f"g{n}", step(minute=n + 1)) for n in range(8))], True, id="eight good ones since"
        ),
        pytest.param([recovery("a", step("notify", regret="worse"), BAD)], False, id="a message is no action"),
        pytest.param([recovery("a", structs.replace(BAD, outcome=StepOutcome.Skipped), BAD)], False, id="what was skipped did nothing"),
    ],
)
def test_two_of_the_last_ten(recoveries: list[Recovery], watched: bool) -> None:
    found = distrusted(recoveries)

    assert bool(found) is watched
    if watched:
        assert "of its last " in found["web/h1/default"]


@pytest.mark.parametrize(
    ("before", "after", "regret"),
    [
        (Health.Healthy, Health.Degraded, "worse"),
        (Health.Degraded, Health.Missing, "worse"),
        (Health.Degraded, Health.Degraded, ""),
        (Health.Healthy, Health.Progressing, ""),
        (Health.Degraded, Health.Healthy, ""),
    ],
)
def test_worse_is_what_was_better_when_the_step_began(before: Health, after: Health, regret: str) -> None:
    record = step(claim=Claim(health=before.value))

    assert compared(record, an_application(health=after)).regret == regret


def test_what_a_person_took_back_is_marked_at_the_effect_it_was() -> None:
    after = undone(recovery("a", step("rollback"), step("notify", 1)), "auto-sync was switched on again by somebody: respected")

    assert [regretted(s) for s in after.steps] == ["undone", ""]
    assert "respected" in after.steps[0].message


def test_a_distrusted_policy_watches_and_says_why() -> None:
    policies = the_policies()
    policy = policies.policies[1]
    app = an_application(health=Health.Degraded)
    situation = a_situation(app, distrusted={f"{policy.name}/{policy.hash}/{app.project}": "2 of its last 3 actions"})

    no = refusal(Asked(situation, policy, policy.actions[0], None))

    assert no is not None
    assert no.by == "distrusted"
    assert "2 of its last 3 actions; edit the policy to let it act again" in no.message
    assert (
        refusal(Asked(structs.replace(situation, distrusted={f"{policy.name}/old/{app.project}": "x"}), policy, policy.actions[0], None))
        is None
    )
    others = structs.replace(situation, distrusted={f"{policy.name}/{policy.hash}/evilteam": "2 of its last 3 actions"})
    assert refusal(Asked(others, policy, policy.actions[0], None)) is None, "what another project took back is its own business"


def over(name: str, minutes: int, *steps: StepRecord, **fields: Any) -> Recovery:
    at = NOW + timedelta(minutes=minutes)
    return recovery(name, *steps, **{"phase": RecoveryPhase.Resolved, "ill_since": NOW, "resolved_at": at, **fields})


FLEET = [
    over("cured", 10, step()),
    over("by-itself", 4),
    over("watched", 30, watched=True),
    recovery("stalled", BAD, phase=RecoveryPhase.Stalled, stalls=(NOW,)),
    over("other", 60, step("rollback", reason="HoldReleased"), policy="z"),
    recovery("old", step(), opened_at=NOW - timedelta(days=8)),
]


def test_the_report_counts_what_came_of_it() -> None:
    web, z, everything = reporting.report(FLEET, NOW - timedelta(days=7))

    assert (web.policy, z.policy, everything.policy) == ("web", "z", "(all)")
    assert (web.recoveries, web.open, web.acted, web.would_have, web.cured, web.by_itself) == (4, 1, 2, 1, 1, 2)
    assert (web.needed_person, web.undone, web.worse) == (1, 0, 1)
    assert (web.typical, web.slowest) == (600.0, 1800.0)
    assert (z.undone, everything.recoveries, everything.actions) == (1, 5, 3)


def test_the_audit_names_who_and_why_in_order() -> None:
    asked = recovery("a", step(minute=3, message="still ill"), wishes=(Wish("approve", "ada", NOW, "1.0"),))

    entries = reporting.audit([asked], NOW)

    assert [(e.by, e.what, e.result) for e in entries] == [("ada", "approve 1.0", "asked for"), ("controller", "restart", "Succeeded Done")]


def test_the_last_seven_days_are_all_there() -> None:
    days = reporting.days(FLEET, NOW + timedelta(hours=1))

    assert len(days) == 7
    assert days[-1].day == NOW.date()
    assert (days[-1].cured, days[-1].by_itself, days[-1].needed_person) == (3, 2, 1), "what ended that day, whenever it began"
    assert days[-1].typical == 1800.0
