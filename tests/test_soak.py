"""A few of the schedules that `make soak` plays by the thousand; what fails prints the seed that
plays it again."""

from __future__ import annotations

import pytest

from tests import soak

FEW = range(0, 100, 10)


def test_faults_at_every_request() -> None:
    assert sum(soak.replay(seed) for seed in FEW[:2]) > 0, "something was done in them"


@pytest.mark.long
@pytest.mark.parametrize("first", FEW)
def test_faults_at_every_request_in_more_schedules(first: int) -> None:
    assert sum(soak.replay(seed) for seed in range(first, first + 10)) > 0, (
        "something was done in them"
    )
