"""One bed for all, all stories on it side by side, each test looking at its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from msgspec import Struct

from recovery.kube.asyncio_client import connect
from tests.connected_stories import CLUSTER_STORIES, CONNECTED_STORIES
from tests.e2e.cause_stories import causes_of_the_platform, causes_of_workloads
from tests.e2e.drill_stories import DRILL_STORIES
from tests.e2e.extra_stories import looked_at_only, through_argo_cd
from tests.e2e.further import Further
from tests.e2e.guard_stories import GUARD_STORIES, storm, three_replicas
from tests.e2e.harm_stories import HARM_STORIES
from tests.e2e.people_stories import PEOPLE_STORIES, in_and_out_by_helm, people_are_told
from tests.e2e.real_connected import RealConnectedStage
from tests.e2e.real_stage import RealStage
from tests.e2e.replay_stories import REPLAY_STORIES
from tests.e2e.rollout_stories import ALL_CAUSE_STORIES, causes_of_rollouts
from tests.e2e.tenant_stories import TENANT_STORIES, forged_status_with_a_token
from tests.stories import STORIES
from tests.testbed.bed import Bed
from tests.testbed.binaries import say
from tests.testbed.installation import BASE
from tests.testbed.kubelet import Kubelet
from tests.testbed.repositories import Repositories

EXTRA = {through_argo_cd: "token", looked_at_only: "observe"}
"""Stories that only the real bed can play, and the overlay they are installed with."""
CROWDED = (storm, three_replicas, causes_of_the_platform)
"""Stories of so many applications that Argo CD is slow meanwhile: one at a time, after the
others."""
AT_ONCE = 4
"""Stories at the same time on two cores."""


class Played(Struct, frozen=True):
    """How a story went."""

    transcripts: dict[str, list[str]]
    stage: Any


class Show:
    """A thread with an event loop in which the bed's kubelet and all stories run."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._lane = asyncio.Semaphore(1)
        self._crowd = asyncio.Semaphore(1)
        self.further = Further(bed)
        self.results: dict[str, Future[Played]] = {}
        self.client: Any = None

    def call(self, work: Awaitable[Any]) -> Any:
        """Run a coroutine there and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()  # type: ignore[arg-type]

    def begin(self, wanted: set[str]) -> None:
        """Start the kubelet and the wanted stories."""
        self.client = self.call(connect(str(self.bed.kubeconfig)))
        self._kubelet = asyncio.run_coroutine_threadsafe(Kubelet(self.client).run(), self._loop)
        (self.bed.folder / "git").mkdir()
        repositories = Repositories(self.bed.folder / "git")
        self.repositories = repositories
        for index, story in enumerate(s for s in STORIES if s.__name__ in wanted):
            self.play(story, index)
        for number, story in enumerate(
            (s for s in CONNECTED_STORIES if s.__name__ in wanted), start=70
        ):
            self.play(story, number)

    def play(
        self,
        story: Callable[[Any], Awaitable[list[str]]],
        number: int,
        overlay: str = "base",
        **env: str,
    ) -> None:
        """Begin a story; its number makes its namespace and its applications' prefix."""
        kind = RealConnectedStage if story in CONNECTED_STORIES else RealStage
        stage = kind(
            self.bed,
            self.client,
            self.repositories,
            f"s{number}",
            BASE if number == 0 else f"{BASE}-{number}",
        )
        stage.overlay, stage.env = overlay, env
        if isinstance(stage, RealConnectedStage):
            stage.further = self.further
        self.results[story.__name__] = asyncio.run_coroutine_threadsafe(
            self._play(story, stage), self._loop
        )

    async def _play(self, story: Callable[[Any], Awaitable[list[str]]], stage: RealStage) -> Played:
        # Stories of clusters wait for each other; they do not take a place from the others
        # meanwhile.
        places = (
            self._lane
            if story in CLUSTER_STORIES
            else self._crowd
            if story in CROWDED
            else self._places
        )
        async with places:
            if story in CROWDED:
                await self._others()
            say(f"story {story.__name__} begins")
            async with stage.set_up():
                names = await story(stage)
                await asyncio.sleep(1)
            say(f"story {story.__name__} is over")
            return Played({name: stage.transcript(name) for name in names}, stage)

    async def _others(self) -> None:
        """Hundreds of applications keep Argo CD busy: until the stories whose seconds count are
        over."""
        await asyncio.sleep(2)  # until all of them have been asked for
        patient = {story.__name__ for story in (*CROWDED, *CLUSTER_STORIES)}
        waiting = [
            asyncio.wrap_future(result)
            for name, result in self.results.items()
            if name not in patient
        ]
        await asyncio.gather(*waiting, return_exceptions=True)

    def end(self) -> None:
        """Stop the loop; what is still playing is cancelled."""

        async def cancel() -> None:
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.further.close()
            if self.client is not None:
                await self.client.close()
            await asyncio.sleep(0.5)  # TLS connections take a moment to close

        self.call(cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture(scope="session")
def show(request: pytest.FixtureRequest) -> Iterator[Show]:
    """The bed, with every story that this run asks for already playing on it."""
    bed = Bed()
    try:
        playing = Show(bed.start())
        try:
            asked = {
                item.callspec.params["story"].__name__
                for item in request.session.items
                if hasattr(item, "callspec") and "story" in item.callspec.params
            }
            playing.begin(asked)
            for number, story in enumerate(
                (
                    s
                    for s in (*GUARD_STORIES, *REPLAY_STORIES, *DRILL_STORIES)
                    if s.__name__ in asked
                ),
                start=60,
            ):
                playing.play(story, number)
            token = {
                "ARGOCD_SERVER": f"http://127.0.0.1:{bed.argocd_port}",
                "ARGOCD_TOKEN": bed.argocd_token,
            }
            for number, story in enumerate(
                (s for s in ALL_CAUSE_STORIES if s.__name__ in asked), start=80
            ):
                with_token = story in (causes_of_workloads, causes_of_rollouts)
                playing.play(
                    story,
                    number,
                    "token" if with_token else "base",
                    **(token if with_token else {}),
                )
            for number, story in enumerate(
                (s for s in TENANT_STORIES if s.__name__ in asked), start=90
            ):
                with_token = story is forged_status_with_a_token
                playing.play(
                    story,
                    number,
                    "token" if with_token else "base",
                    **(token if with_token else {}),
                )
            for number, story in enumerate(
                (s for s in HARM_STORIES if s.__name__ in asked), start=100
            ):
                playing.play(story, number, "token", **token)
            for number, (story, overlay) in enumerate(EXTRA.items(), start=50):
                playing.play(story, number, overlay, **(token if overlay == "token" else {}))
            for number, story in enumerate(
                (s for s in PEOPLE_STORIES if s.__name__ in asked), start=55
            ):
                overlay = "helm" if story is in_and_out_by_helm else "base"
                playing.play(
                    story,
                    number,
                    overlay,
                    **({"RECOVERY_AUTH": "on"} if story is people_are_told else {}),
                )
            yield playing
        finally:
            playing.end()
    finally:
        bed.stop()
