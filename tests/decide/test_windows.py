"""Sync windows as Argo CD judges automated operations; times of the day, of the year and of other
zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recovery.decide.windows import _state, sync_windows
from recovery.model.application import Destination, SyncWindow
from tests.builders import an_application

APP = an_application(name="cart", destination=Destination("", "prod-eu", "shop"))
DAILY = "0 11 * * *"
"""At noon of NOW an hour old."""
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def window(
    kind: str, schedule: str = DAILY, duration: str = "2h", *applications: str, **more: object
) -> SyncWindow:
    return SyncWindow(kind, schedule, duration, applications or ("*",), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("windows", "open_again"),
    [
        pytest.param((), None, id="no windows"),
        pytest.param((window("deny"),), "13:00", id="an active deny"),
        pytest.param((window("deny", "0 13 * * *"),), None, id="a deny that is not active"),
        pytest.param((window("allow"),), None, id="an active allow"),
        pytest.param((window("allow", "0 14 * * *"),), "14:00", id="an allow that is not active"),
        pytest.param((window("allow"), window("deny")), "13:00", id="deny wins"),
        pytest.param(
            (window("allow"), window("allow", "0 14 * * *")), None, id="one of two allows"
        ),
        pytest.param(
            (window("allow", "0 14 * * *"), window("allow", "30 13 * * *")),
            "13:30",
            id="the first to open",
        ),
        pytest.param((window("deny", DAILY, "2h", "other"),), None, id="for another application"),
        pytest.param(
            (SyncWindow("deny", DAILY, "2h"),), None, id="without a list it matches nothing"
        ),
        pytest.param((SyncWindow("deny", DAILY, "2h", (), ("shop",)),), "13:00", id="by namespace"),
        pytest.param(
            (SyncWindow("deny", DAILY, "2h", (), (), ("prod-*",)),), "13:00", id="by cluster"
        ),
        pytest.param(
            (SyncWindow("deny", DAILY, "2h", ("other",), ("shop",)),),
            "13:00",
            id="any of the lists",
        ),
        pytest.param(
            (SyncWindow("deny", DAILY, "2h", ("other",), ("shop",), all_of=True),),
            None,
            id="andOperator: all of them",
        ),
        pytest.param((window("deny", DAILY, "1h"),), None, id="over at this very moment"),
        pytest.param(
            (window("deny", "0 12 * * *", "1h"),), "13:00", id="begun at this very moment"
        ),
        pytest.param(
            (window("deny", "0 7 * * *", "2h", timezone="America/New_York"),),
            "14:00",
            id="in another zone",
        ),
        pytest.param(
            (window("deny", "0 12 * * *", "1h", timezone="Nowhere/Land"),),
            "13:00",
            id="an unknown zone is UTC, as there",
        ),
        pytest.param((window("deny", "nonsense"),), "12:05", id="what cannot be read says no"),
        pytest.param((window("deny", DAILY, "soon"),), "12:05", id="nor a length that is none"),
        pytest.param((window("allow", "0 0 * * 0", "48h"),), None, id="since Sunday"),
    ],
)
def test_an_automated_operation_may_start_now(
    windows: tuple[SyncWindow, ...], open_again: str | None
) -> None:
    closed = sync_windows(APP, windows, NOON)

    assert (f"{closed.until:%H:%M}" if closed else None) == open_again


def test_an_hour_that_a_clock_skips_is_not_skipped_for_ever() -> None:
    windows = (window("deny", "30 2 * * *", "1h", timezone="Europe/Berlin"),)

    assert sync_windows(APP, windows, datetime(2026, 3, 29, 1, 15, tzinfo=UTC)) is not None, (
        "the night of the change"
    )
    assert sync_windows(APP, windows, datetime(2026, 3, 30, 0, 45, tzinfo=UTC)) is not None, (
        "and the one after"
    )
    assert sync_windows(APP, windows, datetime(2026, 3, 30, 12, 0, tzinfo=UTC)) is None


NIGHTS = {
    "the clock goes back": datetime(2026, 10, 24, 20, tzinfo=UTC),
    "the clock goes forward": datetime(2026, 3, 28, 21, tzinfo=UTC),
    "any other": datetime(2026, 6, 10, 20, tzinfo=UTC),
}


@pytest.mark.parametrize("start", NIGHTS.values(), ids=NIGHTS)
def test_eight_hours_are_eight_hours_on_every_night_of_the_year(start: datetime) -> None:
    """``until`` is when it ends, and never in the past: nobody asks again in a hot loop."""
    ends = start + timedelta(hours=8)
    for quarters in range(-8, 48):
        now = start + quarters * timedelta(minutes=15)
        state = _state("0 22 * * *", timedelta(hours=8), "Europe/Berlin", now)
        assert state.active is (start <= now < ends), now
        assert state.changes > now
        if now < ends:
            assert state.changes == (ends if state.active else start)
