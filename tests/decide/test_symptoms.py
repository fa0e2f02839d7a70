"""Pending clocks, inheritance and the ledger, as tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from recovery.decide.conditions import holds, track
from recovery.model.application import Application, Health, Hold, Sync
from recovery.model.policy import Condition, SubjectType
from recovery.model.situation import SubjectState
from tests.builders import BAD, GOOD, NOW, an_application, degraded, gave_up, the_policies

POLICIES = the_policies()
OUT, SICK = "status=OutOfSync", "health=Degraded"


def condition(**what: Any) -> Condition:
    return Condition(SubjectType.application, timedelta(minutes=5), **what)


HELD = Hold(recovery="r", uid="uid-cart", bad=(BAD,), suspended=True)


@pytest.mark.parametrize(
    ("what", "app", "expected"),
    [
        pytest.param({"status": (Sync.OutOfSync,)}, gave_up(), True, id="OutOfSync"),
        pytest.param({"status": (Sync.OutOfSync,)}, an_application(), False, id="Synced"),
        pytest.param(
            {"status": (Sync.OutOfSync,)},
            gave_up(hold=HELD),
            False,
            id="OutOfSync at a revision held as bad is expected",
        ),
        pytest.param(
            {"status": (Sync.OutOfSync,)},
            gave_up(hold=HELD, revisions=("c" * 40,)),
            False,
            id="held, whatever Git wants by now",
        ),
        pytest.param(
            {"status": (Sync.OutOfSync, Sync.Unknown)},
            an_application(sync=Sync.Unknown),
            True,
            id="any of a list",
        ),
        pytest.param(
            {"status": (Sync.OutOfSync,), "health": (Health.Degraded,)},
            gave_up(),
            False,
            id="both given means both",
        ),
        pytest.param({"health": (Health.Degraded,)}, degraded(), True, id="Degraded"),
        pytest.param({}, degraded(), False, id="an empty condition holds nowhere"),
    ],
)
def test_a_condition_holds(what: dict[str, Any], app: Application, expected: bool) -> None:
    assert holds(condition(**what), app) is expected


def test_health_counts_from_argo_cds_own_timestamp() -> None:
    sight = track(
        SubjectState("uid-cart", NOW - timedelta(days=1)),
        degraded(),
        POLICIES,
        NOW,
        NOW - timedelta(days=1),
        first_install=False,
    )

    assert sight.clocks == {SICK: degraded().health_since}


def test_sync_status_has_no_timestamp_and_counts_from_the_first_sight() -> None:
    sight = track(
        SubjectState("uid-cart", NOW - timedelta(days=1)),
        gave_up(),
        POLICIES,
        NOW,
        NOW - timedelta(days=1),
        first_install=False,
    )

    assert sight.clocks == {OUT: NOW}


@pytest.mark.parametrize(
    ("stamp", "first_seen", "fresh_from", "since"),
    [
        pytest.param(-60, -10, -60, -10, id="not before the first sight of this UID"),
        pytest.param(-60, -60, -5, -5, id="not before this process looked"),
        pytest.param(+60, -60, -60, 0, id="a stamp from the future counts as now"),
    ],
)
def test_a_clock_never_starts_before_we_know(
    stamp: int, first_seen: int, fresh_from: int, since: int
) -> None:
    def at(minutes: int) -> Any:
        return NOW + timedelta(minutes=minutes)

    sight = track(
        SubjectState("uid-cart", at(first_seen)),
        degraded(health_since=at(stamp)),
        POLICIES,
        NOW,
        at(fresh_from),
        first_install=False,
    )

    assert sight.clocks == {SICK: at(since)}


def test_a_clock_goes_on_while_the_condition_holds_and_starts_anew_after_a_break() -> None:
    first = track(None, gave_up(), POLICIES, NOW, NOW, first_install=False)
    later = track(first, gave_up(), POLICIES, NOW + timedelta(minutes=3), NOW, first_install=False)
    broken = track(
        later, an_application(), POLICIES, NOW + timedelta(minutes=4), NOW, first_install=False
    )
    again = track(broken, gave_up(), POLICIES, NOW + timedelta(minutes=5), NOW, first_install=False)

    assert later.clocks == {OUT: NOW}
    assert broken.clocks == {}
    assert again.clocks == {OUT: NOW + timedelta(minutes=5)}


def test_an_application_made_again_under_its_name_begins_anew() -> None:
    old = SubjectState(
        "another-uid", NOW - timedelta(days=1), {OUT: NOW - timedelta(hours=5)}, inherited=True
    )

    sight = track(old, gave_up(), POLICIES, NOW, NOW, first_install=False)

    assert sight.clocks == {OUT: NOW}
    assert not sight.inherited


def test_what_is_unwell_at_a_first_install_is_inherited_until_it_has_been_well() -> None:
    sick = track(None, degraded(), POLICIES, NOW, NOW, first_install=True)
    healing = track(
        sick, degraded(health=Health.Progressing), POLICIES, NOW, NOW, first_install=False
    )
    well = track(healing, degraded(health=Health.Healthy), POLICIES, NOW, NOW, first_install=False)
    relapsed = track(well, degraded(), POLICIES, NOW, NOW, first_install=False)

    assert [s.inherited for s in (sick, healing, well, relapsed)] == [True, True, False, False]


def test_what_is_well_at_a_first_install_is_not_inherited() -> None:
    assert not track(None, an_application(), POLICIES, NOW, NOW, first_install=True).inherited


def test_a_revision_is_good_only_after_it_was_seen_well_for_the_soak_time() -> None:
    app = an_application()
    seen = track(None, app, POLICIES, NOW, NOW, first_install=False)
    early = track(seen, app, POLICIES, NOW + timedelta(seconds=119), NOW, first_install=False)
    good = track(early, app, POLICIES, NOW + timedelta(seconds=120), NOW, first_install=False)

    assert seen.ledger == early.ledger == ()
    assert [(g.history_id, g.revisions) for g in good.ledger] == [(3, (GOOD,))]


@pytest.mark.parametrize(
    "unwell",
    [
        pytest.param({"health": Health.Progressing}, id="Progressing"),
        pytest.param({"sync": Sync.OutOfSync}, id="OutOfSync"),
        pytest.param(
            {"resources": 0}, id="an empty resource list looks Healthy when the cluster is gone"
        ),
        pytest.param({"deploy": None}, id="never deployed"),
    ],
)
def test_a_break_ends_the_soak(unwell: dict[str, Any]) -> None:
    seen = track(None, an_application(), POLICIES, NOW, NOW, first_install=False)
    broken = track(
        seen,
        an_application(**unwell),
        POLICIES,
        NOW + timedelta(seconds=60),
        NOW,
        first_install=False,
    )
    again = track(
        broken, an_application(), POLICIES, NOW + timedelta(seconds=130), NOW, first_install=False
    )

    assert again.ledger == ()


def test_the_ledger_keeps_the_newest_five() -> None:
    sight = track(None, an_application(), POLICIES, NOW, NOW, first_install=False)
    for number in range(8):
        app = an_application(
            deploy=an_application().deploy.__class__(number, (GOOD,), NOW),
            history=tuple(range(number + 1)),
        )
        at = NOW + timedelta(minutes=10 * number)
        sight = track(sight, app, POLICIES, at, NOW, first_install=False)
        sight = track(sight, app, POLICIES, at + timedelta(minutes=5), NOW, first_install=False)

    assert [g.history_id for g in sight.ledger] == [3, 4, 5, 6, 7]
