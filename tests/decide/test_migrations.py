"""What of a sync changes data, row by row."""

from __future__ import annotations

import pytest

from recovery.decide.migrations import migration

ROWS = {
    "a hook before the sync": (
        ("Job", "prepare", "PreSync", "Succeeded"),
        False,
        "hook Job/prepare",
    ),
    "one that did not run": (("Job", "prepare", "PreSync", ""), False, ""),
    "a smoke test after it": (("Job", "smoke", "PostSync", "Succeeded"), False, ""),
    "a migration after it": (
        ("Job", "db-migrate", "PostSync", "Succeeded"),
        False,
        "hook Job/db-migrate",
    ),
    "a workflow after it": (
        ("Workflow", "schema-contract", "PostSync", "Running"),
        False,
        "hook Workflow/schema-contract",
    ),
    "a plain Job": (("Job", "flyway", "", ""), False, "Job/flyway"),
    "a plain Job that was there": (("Job", "flyway", "", ""), True, ""),
    "a Deployment of that name": (("Deployment", "migrator", "", ""), False, ""),
}


@pytest.mark.parametrize(("row", "unchanged", "words"), ROWS.values(), ids=ROWS)
def test_what_ran_that_going_back_does_not_undo(
    row: tuple[str, str, str, str], unchanged: bool, words: str
) -> None:
    assert migration(*row, unchanged=unchanged) == words
