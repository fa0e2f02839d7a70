"""A guard's code is one CamelCase word everywhere: its function, reason, metric label and anchor."""

from __future__ import annotations

import re
from pathlib import Path

from recovery.act.registry import ACTION_KINDS
from recovery.commands.plan import WAITING_GUARDS
from recovery.decide.engine import YIELDING
from recovery.decide.guards import GUARDS
from recovery.dependencies import WAITING_REASONS
from recovery.record.reasons import REASONS

PAGE = (Path(__file__).parents[2] / "docs" / "guards.md").read_text()


def test_a_guard_is_called_by_its_code_everywhere() -> None:
    codes = [guard.name for guard in GUARDS]

    assert len(set(codes)) == len(codes)
    for guard in GUARDS:
        words = guard.ask.__name__.split("_")
        assert guard.name == "".join(word.capitalize() for word in words)
        assert f'<span id="{guard.name}">' in PAGE


def test_an_old_reason_is_said_nowhere_any_more() -> None:
    """No code of before v1alpha2 is still written: what reads a record would know two."""
    gone = {old for old in REASONS if re.search("[a-z][A-Z]", old)}
    here = Path(__file__).parents[2] / "recovery"
    for path in here.rglob("*.py"):
        if path.name == "reasons.py":
            continue
        said = set(re.findall(r'"([A-Z][A-Za-z]+)"', path.read_text()))
        assert not said & gone, (path, said & gone)


def test_whoever_names_a_guard_names_one_that_there_is() -> None:
    codes = {guard.name for guard in GUARDS}

    for kind in ACTION_KINDS.values():
        assert kind.exempt <= codes, kind.name
    assert {*WAITING_GUARDS, *YIELDING, *WAITING_REASONS} <= codes
