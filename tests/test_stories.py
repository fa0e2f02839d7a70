"""Every story on the embedded cluster, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from recovery.simulate import virtual
from recovery.simulate.environment import EmbeddedEnvironment
from tests.connected_stories import CONNECTED_STORIES
from tests.embedded_connected import EmbeddedConnectedStage
from tests.embedded_stage import EmbeddedStage
from tests.stories import STORIES


def play(story: Callable[[Any], Awaitable[list[str]]], prefix: str) -> dict[str, list[str]]:
    """The transcripts of a story on the embedded cluster, by what it calls its subjects."""
    kind = EmbeddedConnectedStage if story in CONNECTED_STORIES else EmbeddedStage

    async def inside() -> dict[str, list[str]]:
        async with EmbeddedEnvironment(virtual.VirtualClock()).living() as world:
            stage = kind(world, prefix)
            names = await story(stage)
            return {name: stage.transcript(name) for name in names}

    return virtual.run(inside())


@pytest.mark.parametrize("story", [*STORIES, *CONNECTED_STORIES], ids=lambda s: s.__name__)
def test_story(story: Callable[[Any], Awaitable[list[str]]]) -> None:
    transcripts = play(story, "s")

    assert all(transcripts.values())
