"""A few of the inputs that `make fuzz` makes by the million."""

from __future__ import annotations

from tests import fuzz


def test_what_nobody_meant_is_refused_in_order() -> None:
    told: list[str] = []

    fuzz.run(6000, 1, told.append)

    assert [line.split(":")[0] for line in told] == ["read_policies", "read_application"]
