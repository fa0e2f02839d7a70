"""Every story on the embedded cluster, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from recovery.simulate import virtual
from recovery.simulate.world import World
from tests.embedded_stage import EmbeddedStage
from tests.stage import Stage
from tests.stories import STORIES


def play(story: Callable[[Stage], Awaitable[list[str]]], prefix: str) -> dict[str, list[str]]:
    """The transcripts of a story on the embedded cluster, by application."""

    async def inside() -> dict[str, list[str]]:
        async with World(virtual.VirtualClock()).living() as world:
            stage = EmbeddedStage(world, prefix)
            names = await story(stage)
            return {name: stage.transcript(name) for name in names}

    return virtual.run(inside())


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.__name__)
def test_story(story: Callable[[Stage], Awaitable[list[str]]]) -> None:
    transcripts = play(story, "s")

    assert all(transcripts.values())
