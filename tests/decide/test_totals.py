"""Totals since the installation: each incident once, whether its record is there or not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs

from recovery.decide.totals import Totals, TotalsRow, rows
from recovery.model.recovery import Recovery, RecoveryPhase, StepOutcome, StepRecord
from tests.builders import NOW, a_recovery


def an_incident(
    name: str, *actions: str, project: str = "shop", lasted: int = 600, **changes: Any
) -> Recovery:
    """One that began ten minutes before its first step and ended well."""
    steps = tuple(
        StepRecord(1, n, action, NOW, sent=True, outcome=StepOutcome.Succeeded)
        for n, action in enumerate(actions)
    )
    values: dict[str, Any] = {
        "steps": steps,
        "unhealthy_since": NOW - timedelta(minutes=10),
        "phase": RecoveryPhase.Resolved,
        "resolved_at": NOW + timedelta(seconds=lasted),
    }
    recovery = a_recovery(name, NOW, **(values | changes))
    return structs.replace(recovery, subject=structs.replace(recovery.subject, project=project))


def counted(*recoveries: Recovery) -> Totals:
    totals = Totals()
    totals.add(recoveries)
    return totals


def only(found: list[TotalsRow]) -> TotalsRow:
    (row,) = found
    return row


def test_an_incident_is_counted_whether_it_is_retired_or_not() -> None:
    gone, there = an_incident("a", "restart"), an_incident("b", "restart", "rollback")
    since, found = rows(counted(gone), [there], lambda _: True)
    row = only(found)
    assert (row.incidents, row.acted, row.healed) == (2, 2, 0)
    assert row.actions == {"restart": 2, "rollback": 1}
    assert since == NOW - timedelta(minutes=10)


def test_what_healed_before_anything_was_done_is_no_cure() -> None:
    row = only(rows(counted(an_incident("a")), [], lambda _: True)[1])
    assert (row.incidents, row.healed, row.acted, row.after, row.then) == (1, 1, 0, None, None)


def test_what_needed_a_person_and_what_was_reverted_is_told() -> None:
    stalled = an_incident("a", "restart", phase=RecoveryPhase.Stalled, resolved_at=None)
    step = structs.replace(stalled.steps[0], review="Worsened")
    row = only(rows(counted(structs.replace(stalled, steps=(step,))), [], lambda _: True)[1])
    assert (row.person, row.undone, row.then) == (1, 1, None)


@pytest.mark.parametrize("seconds", [1, 7, 45, 600, 5_000, 90_000])
def test_a_median_is_right_to_within_a_fifth(seconds: int) -> None:
    totals = counted(*(an_incident(f"r{n}", "restart", lasted=seconds) for n in range(3)))
    row = only(rows(totals, [], lambda _: True)[1])
    assert row.then is not None
    assert row.then == pytest.approx(seconds, rel=0.2)
    assert row.after == pytest.approx(600, rel=0.2)


def test_a_viewer_sees_the_numbers_of_own_projects_only() -> None:
    totals = counted(an_incident("a", project="shop"), an_incident("b", project="bank"))
    there = [an_incident("c", project="bank")]
    assert only(rows(totals, there, lambda p: p == "shop")[1]).incidents == 1
    assert only(rows(totals, there, lambda p: p == "bank")[1]).incidents == 2
    assert rows(totals, there, lambda _: False)[1] == []


def test_looking_changes_nothing() -> None:
    totals, there = counted(an_incident("a", "restart")), [an_incident("b", "restart")]
    before = msgspec.json.encode(totals)
    for _ in range(2):
        assert only(rows(totals, there, lambda _: True)[1]).incidents == 2
    assert msgspec.json.encode(totals) == before


def test_totals_are_read_as_they_were_written() -> None:
    totals = counted(an_incident("a", "restart"), an_incident("b"))
    again = msgspec.json.decode(msgspec.json.encode(totals), type=Totals)
    assert rows(again, [], lambda _: True) == rows(totals, [], lambda _: True)
