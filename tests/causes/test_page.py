"""The page of causes says what the catalogue says, and shows what a real Argo CD made of it."""

from __future__ import annotations

import re

import yaml

from recovery.causes.catalogue import CAUSES
from recovery.model.cause import NotifyWhen
from tools.causes_page import INTRO, PAGE, SEEN, catalogue


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text()

    assert page.startswith(INTRO + catalogue()), "run python -m tools.causes_page"


def test_no_wrong_action_stands_on_it() -> None:
    told = re.search(
        r"Classified right: (\d+) of (\d+). Actions that were wrong: (\d+) of (\d+)",
        PAGE.read_text().partition(SEEN)[2],
    )

    assert told is not None
    right, of, wrong, steps = map(int, told.groups())
    assert right == of >= 25
    assert wrong == 0
    assert steps > 10


OTHERS = {
    "GitUnreachable",
    "GitAuthFailed",
    "ClusterUnreachable",
    "ClusterCredentials",
    "DependencyOutage",
    "ReconcileFrozen",
    "WaitingForHuman",
}
"""Causes that are an incident of what applications share: a repository, a cluster, a storm, Argo CD
itself; and what waits for somebody on purpose."""


def test_the_policies_by_cause_have_a_place_for_each_that_calls_people() -> None:
    loaded = yaml.safe_load((PAGE.parent.parent / "config" / "by-cause.yaml").read_text())
    named = {
        cause
        for policy in loaded["recovery_policies"]
        for cause in policy["condition"].get("cause", ())
    }

    assert {c.name for c in CAUSES if c.tells is not NotifyWhen.never} - named - OTHERS == set()
