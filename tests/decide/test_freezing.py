"""When does an application count as frozen, and what becomes of it?"""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import structs

from recovery.decide.unreconciled import frozen, judge
from recovery.model.application import Application, Condition
from recovery.model.decision import Kind
from recovery.model.names import REFRESH, SKIP_RECONCILE
from recovery.model.recovery import RecoveryPhase
from recovery.model.situation import Freshness
from recovery.model.unreconciled import Reconciling, UnreconciledApplications
from tests.builders import NOW, an_application

EVERY_3M = Reconciling(timedelta(minutes=3), "argocd-cm")
OLD = NOW - timedelta(hours=57)


@pytest.mark.parametrize(
    ("app", "reconciling", "asked", "words"),
    [
        pytest.param(an_application(), EVERY_3M, None, "", id="looked at a minute ago"),
        pytest.param(
            an_application(reconciled_at=NOW - timedelta(minutes=9)),
            EVERY_3M,
            None,
            "",
            id="late, and no more",
        ),
        pytest.param(
            an_application(reconciled_at=OLD),
            EVERY_3M,
            None,
            "last compared 57h ago",
            id="57 hours ago",
        ),
        pytest.param(
            an_application(reconciled_at=OLD),
            Reconciling(timedelta()),
            None,
            "",
            id="only looked at when told to: old is natural",
        ),
        pytest.param(
            an_application(reconciled_at=OLD, marks={SKIP_RECONCILE: "true"}),
            EVERY_3M,
            None,
            "",
            id="a person switched it off",
        ),
        pytest.param(
            an_application(reconciled_at=OLD, deleting=True),
            EVERY_3M,
            None,
            "",
            id="on its way out",
        ),
        pytest.param(
            an_application(reconciled_at=OLD, conditions=(Condition("InvalidSpecError", "x"),)),
            EVERY_3M,
            None,
            "",
            id="an invalid spec stops the clock",
        ),
        pytest.param(
            an_application(reconciled_at=None), EVERY_3M, None, "", id="never seen by Argo CD"
        ),
        pytest.param(
            an_application(marks={REFRESH: "hard"}),
            EVERY_3M,
            NOW - timedelta(minutes=6),
            "a refresh requested 6m ago",
            id="a refresh nobody takes up",
        ),
        pytest.param(
            an_application(marks={REFRESH: "hard"}),
            Reconciling(timedelta()),
            NOW - timedelta(minutes=6),
            "is not consumed",
            id="the same where it is only told",
        ),
        pytest.param(
            an_application(marks={REFRESH: "hard"}),
            Reconciling(timedelta()),
            NOW - timedelta(minutes=4),
            "",
            id="a long rendering, where it is only told",
        ),
        pytest.param(
            an_application(marks={REFRESH: "normal"}),
            EVERY_3M,
            NOW - timedelta(minutes=1),
            "",
            id="a refresh on its way",
        ),
    ],
)
def test_frozen(app: Application, reconciling: Reconciling, asked: object, words: str) -> None:
    said = frozen(app, reconciling, asked, NOW)  # type: ignore[arg-type]

    assert words in said
    assert bool(words) == bool(said)


FROST = UnreconciledApplications(
    NOW, ("prod-eu",), ("argocd/cart",), 313, 320, "it was last compared 57h ago", ("pager",)
)


def test_all_of_a_cluster_are_one_incident_and_one_message() -> None:
    (opened,) = judge(FROST)
    assert opened.recovery is not None
    assert (opened.kind, opened.recovery.phase, opened.recovery.cause) == (
        Kind.Stall,
        RecoveryPhase.Stalled,
        "ReconcileFrozen",
    )
    (note,) = opened.recovery.notes
    assert (note.title, note.channels) == (
        "Argo CD application controller is not reconciling 313 applications on prod-eu",
        ("pager",),
    )

    (still,) = judge(
        structs.replace(FROST, recovery=structs.replace(opened.recovery, notes=()), frozen=314)
    )
    assert still.recovery is not None
    assert still.recovery.notes == ()
    assert still.message.startswith("314 of 320 applications (on prod-eu)")

    (over,) = judge(
        structs.replace(FROST, recovery=opened.recovery, frozen=0, now=NOW + timedelta(minutes=5))
    )
    assert over.recovery is not None
    assert (over.kind, over.recovery.reason) == (Kind.Resolve, "ReconcilingResumed")
    assert over.recovery.notes[-1].resolves


def test_nothing_is_said_of_what_we_do_not_see_ourselves() -> None:
    blind = structs.replace(FROST, freshness=Freshness(fresh=False, message="watch silent"))
    assert judge(blind) == ()

    (opened,) = judge(FROST)
    (waits,) = judge(structs.replace(blind, recovery=opened.recovery, frozen=0))
    assert (waits.kind, waits.recovery) == (Kind.Wait, opened.recovery), (
        "it is neither over nor forgotten"
    )
    assert waits.again_at is not None


def test_a_hundred_clusters_are_one_incident_as_well() -> None:
    (opened,) = judge(structs.replace(FROST, clusters=tuple(f"c{n}" for n in range(100))))

    assert opened.recovery is not None
    assert "on c0, c1, c2 and 97 more clusters" in opened.recovery.notes[0].title


def test_well_is_no_incident() -> None:
    assert judge(structs.replace(FROST, frozen=0)) == ()
