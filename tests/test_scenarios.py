"""tests/scenarios/*.txt, replayed; ``pytest --rewrite`` writes their transcripts anew (commit only
what you understand)."""

from __future__ import annotations

from pathlib import Path

import pytest

from recovery.simulate.scenario import BadScenario, replay

ROOT = Path(__file__).parent.parent
SCENARIOS = sorted((ROOT / "tests" / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda p: p.stem)
def test_scenario(path: Path, pytestconfig: pytest.Config) -> None:
    text = path.read_text()
    played = replay(text, ROOT)
    if pytestconfig.getoption("--rewrite"):
        path.write_text(played)

    assert played == text


@pytest.mark.parametrize("line", ["fly to the moon", "run", "run for-ever", "commit"])
def test_a_line_that_is_no_command_is_named(line: str) -> None:
    with pytest.raises(BadScenario, match=line.split(maxsplit=1)[0]):
        replay(line, ROOT)
