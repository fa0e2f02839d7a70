"""A few of the nights that `make soak` plays by the thousand; what fails prints the seed that plays it again."""

from __future__ import annotations

import pytest

from tests import soak


@pytest.mark.parametrize("first", range(0, 100, 10))
def test_nights_with_faults_at_every_door(first: int) -> None:
    assert sum(soak.replay(seed) for seed in range(first, first + 10)) > 0, "something was done in them"
