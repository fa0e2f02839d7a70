"""Holds every decision of every test against the table of transitions, and keeps the states that
were reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct, structs

from recovery.decide.evaluation import Evaluation
from recovery.decide.state import State
from recovery.decide.transitions import TRANSITIONS
from recovery.decide.transitions.transition import Act, Transition
from recovery.model.decision import Decision


class Watched(Struct):
    """What was seen while the table was watched."""

    reached: set[State] = set()
    wrong: list[str] = []


@contextmanager
def transitions_watched() -> Iterator[Watched]:
    """Within it each transition that is made is noted, and whether its row allows it."""
    watched, rows = Watched(), dict(TRANSITIONS)
    table = TRANSITIONS
    assert isinstance(table, dict)
    for state, row in rows.items():
        table[state] = structs.replace(row, act=_noting(state, row, watched))
    try:
        yield watched
    finally:
        table.update(rows)


def _noting(state: State, row: Transition, watched: Watched) -> Act:
    def act(e: Evaluation) -> Decision | None:
        decision = row.act(e)
        watched.reached.add(state)
        after = decision.recovery if decision else None
        if e.recovery is not None and e.recovery.phase not in row.found_in:
            watched.wrong.append(f"{state.name} was found in {e.recovery.phase.value}")
        if after is not None and after.phase not in row.leads_to:
            watched.wrong.append(f"{state.name} led to {after.phase.value}")
        return decision

    return act
