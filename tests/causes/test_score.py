"""How well are real texts read? One part of them the recognisers were written from, the other they
have never seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.causes.corpus import HELD_OUT, samples, score, table

KNOWN = Path(__file__).parent / "known.yaml"


@pytest.mark.parametrize(
    ("path", "least"), [(KNOWN, 0.95), (HELD_OUT, 0.9)], ids=["known", "held out"]
)
def test_score(path: Path, least: float) -> None:
    scored = score(samples(path))
    print(f"{path.stem}: {table(scored)}")

    assert [s.sample.id for s in scored if s.wrong_cures] == [], (
        "a cure that its true cause forbids would be let pass"
    )
    assert sum(s.right for s in scored) >= least * len(scored), table(scored)


def test_the_two_parts_share_no_text() -> None:
    assert {s.message for s in samples(KNOWN)} & {s.message for s in samples(HELD_OUT)} == set()
