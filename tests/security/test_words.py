"""Long texts of a stranger: what they cost, and that no cut through them shows half a secret."""

from __future__ import annotations

import sys

import pytest

from recovery.causes.envelope import received
from recovery.causes.error_patterns import ARGOCD_ITSELF
from recovery.decide.error_classification import verdict_of
from recovery.model.redact import redact
from recovery.model.remembered import LONGEST_REMEMBERED, remembered
from recovery.observe.wire import Bounds
from tests.observe.test_wire import read

SECRET = "https://svc:S3cr3tP4sswordLong@charts.corp/x"
INVISIBLE = "\u200b"


@pytest.mark.parametrize("longest", [300, 2_000, 16_384])
@pytest.mark.parametrize("shown", [20, 26])
@pytest.mark.parametrize("times", [4, 16])
@pytest.mark.parametrize(
    "filler", [INVISIBLE, "x", f"word{INVISIBLE} "], ids=["invisible", "one word", "words"]
)
def test_no_cut_shows_half_a_credential(longest: int, shown: int, times: int, filler: str) -> None:
    padding = (filler * (times * longest))[: times * longest - shown]

    for said in (
        received(padding + SECRET, longest),
        redact(padding + SECRET, longest),
        redact(padding + " " + SECRET, longest),
    ):
        assert "S3cr" not in said


def test_answers_about_long_texts_are_not_kept() -> None:
    asked: list[int] = []

    @remembered(10)
    def count(text: str) -> int:
        asked.append(len(text))
        return len(text)

    for text in (
        "a",
        "a",
        "b" * LONGEST_REMEMBERED,
        "b" * LONGEST_REMEMBERED,
        "c" * (LONGEST_REMEMBERED + 1),
        "c" * (LONGEST_REMEMBERED + 1),
    ):
        assert count(text) == len(text)

    assert asked == [1, LONGEST_REMEMBERED, LONGEST_REMEMBERED + 1, LONGEST_REMEMBERED + 1]
    assert not hasattr(ARGOCD_ITSELF.first, "cache_info")
    assert not hasattr(verdict_of, "cache_info")


@pytest.mark.parametrize(
    ("kind", "health", "most"),
    [("OrphanedResourceWarning", "Healthy", 4_500), ("ComparisonError", "Degraded", 70_000)],
)
def test_what_is_well_and_what_only_warns_keeps_few_words(
    kind: str, health: str, most: int
) -> None:
    status = {
        "sync": {"status": "Synced"},
        "health": {"status": health},
        "conditions": [{"type": kind, "message": "\U0001f600 " * 60_000}] * 3,
    }
    conditions = read(status=status).conditions

    assert sum(sys.getsizeof(c.message) for c in conditions) < most
    assert sum(len(c.message) for c in conditions) <= Bounds.words + 600
