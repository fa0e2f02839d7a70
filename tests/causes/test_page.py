"""The page of causes says what the catalogue says, and shows what a real Argo CD made of it."""

from __future__ import annotations

import re

from tests.causes_page import INTRO, PAGE, SEEN, catalogue


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text()

    assert page.startswith(INTRO + catalogue()), "run python -m tests.causes_page"


def test_no_wrong_action_stands_on_it() -> None:
    told = re.search(r"Classified right: (\d+) of (\d+). Actions that were wrong: (\d+) of (\d+)", PAGE.read_text().partition(SEEN)[2])

    assert told is not None
    right, of, wrong, steps = map(int, told.groups())
    assert right == of >= 25
    assert wrong == 0
    assert steps > 10
