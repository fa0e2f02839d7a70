"""What was read of the past, in order: a table."""

from __future__ import annotations

import pytest

from recovery.model.recorded import RecordedState
from recovery.replay.timeline import Gap, Interval, Timeline

BAD, WORSE = RecordedState("Synced", "Degraded"), RecordedState("OutOfSync", "Degraded")
APP = ("argocd", "cart")


def told(*slices: tuple[list[Interval], list[Gap], float]) -> list[tuple[float, str]]:
    timeline = Timeline(60)
    return [
        (change.at, change.state.sync if change.state else "-")
        for intervals, gaps, end in slices
        for change in timeline.feed({APP: intervals} if intervals else {}, gaps, end)
    ]


@pytest.mark.parametrize(
    ("slices", "changes"),
    [
        pytest.param(
            [([Interval(60, 600, BAD)], [], 6000)], [(60, "Synced"), (660, "-")], id="one"
        ),
        pytest.param(
            [([Interval(60, 600, BAD), Interval(660, 900, WORSE)], [], 6000)],
            [(60, "Synced"), (660, "OutOfSync"), (960, "-")],
            id="another state follows",
        ),
        pytest.param(
            [([Interval(60, 600, BAD), Interval(120, 600, BAD)], [], 6000)],
            [(60, "Synced"), (660, "-")],
            id="two replicas of Prometheus",
        ),
        pytest.param(
            [([Interval(60, 600, BAD), Interval(300, 900, WORSE)], [], 6000)],
            [(60, "Synced"), (600, "OutOfSync"), (960, "-")],
            id="the old state is shown for a while beside the new one",
        ),
        pytest.param(
            [([Interval(60, 5940, BAD)], [], 5940), ([Interval(6000, 6600, BAD)], [], 12000)],
            [(60, "Synced"), (6660, "-")],
            id="over the edge of a slice",
        ),
        pytest.param(
            [([Interval(60, 5940, BAD)], [], 5940), ([], [], 12000)],
            [(60, "Synced"), (6000, "-")],
            id="it ends with the slice",
        ),
        pytest.param(
            [([Interval(60, 600, BAD), Interval(1800, 2400, BAD)], [Gap(600, 1800)], 6000)],
            [(60, "Synced"), (2460, "-")],
            id="through a gap",
        ),
        pytest.param(
            [([Interval(60, 600, BAD), Interval(1800, 2400, BAD)], [], 6000)],
            [(60, "Synced"), (660, "-"), (1800, "Synced"), (2460, "-")],
            id="well in between",
        ),
        pytest.param(
            [([Interval(60, 600, BAD), Interval(1800, 2400, WORSE)], [Gap(600, 1800)], 6000)],
            [(60, "Synced"), (660, "-"), (1800, "OutOfSync"), (2460, "-")],
            id="another state after a gap",
        ),
        pytest.param(
            [
                ([Interval(60, 4000, BAD)], [Gap(4000, 6000)], 6000),
                ([Interval(7000, 8000, BAD)], [Gap(5940, 7000)], 12000),
            ],
            [(60, "Synced"), (8060, "-")],
            id="through a gap over the edge of a slice",
        ),
    ],
)
def test_changes(
    slices: list[tuple[list[Interval], list[Gap], float]], changes: list[tuple[float, str]]
) -> None:
    assert told(*slices) == changes
