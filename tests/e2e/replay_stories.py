"""What a real Prometheus has kept of a real Argo CD, replayed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from recovery.act.registry import POLICY_ACTIONS
from recovery.model.application import Health
from recovery.policies import parse
from recovery.replay.prometheus import Prometheus
from recovery.replay.replaying import replay
from recovery.simulate.manifests import deployment
from tests.e2e.real_stage import RealStage
from tests.testbed.prometheus import installed, scraping

SCRAPE, STEP = 2, 4
ILL_FOR = 40
POLICIES = """
recovery_policies:
- name: broken
  condition: {type: application, health: Degraded, duration: 10s}
  actions: [{type: notify, parameters: {channels: [receiver]}}]
- name: patient
  condition: {type: application, health: Degraded, duration: 10m}
  actions: [{type: notify, parameters: {channels: [receiver]}}]
"""


async def the_past_is_replayed(stage: RealStage) -> list[str]:
    """Prometheus scrapes Argo CD while an application breaks and is mended, without this controller
    ever having run; afterwards exactly that is found, with its duration to within two scrapes."""
    name = f"{stage.prefix}-cart"
    await stage.application(name, (deployment(name, "ready", 10),))
    await stage.until("healthy", _is(stage, name, Health.Healthy), 60)
    await asyncio.to_thread(installed)
    with contextlib.ExitStack() as stack:
        folder = stage.bed.folder / f"prometheus-{stage.prefix}"
        target = f"127.0.0.1:{stage.bed.metrics_port}"
        scraped = scraping(folder, "argocd-metrics", target, f"{SCRAPE}s")
        port = await asyncio.to_thread(stack.enter_context, scraped)
        await stage.sleep(5 * SCRAPE)
        await stage.commit(name, (deployment(name, "crash", 10),))
        await stage.until("degraded", _is(stage, name, Health.Degraded), 90)
        began = time.time()
        await stage.sleep(ILL_FOR)
        await stage.commit(name, (deployment(name, "ready", 10),))
        await stage.until("mended", _is(stage, name, Health.Healthy, Health.Progressing), 90)
        ended = time.time()
        await stage.until("healthy again", _is(stage, name, Health.Healthy), 90)
        await stage.sleep(10 * SCRAPE)
        end = time.time() // STEP * STEP
        async with Prometheus(f"http://127.0.0.1:{port}", f'name="{name}"', step=STEP) as source:
            policies = [parse(POLICIES, POLICY_ACTIONS)]
            came = await replay(source, policies, end - 600, end, STEP)
    (incident,) = came.pasts[0].incidents
    assert incident.name == ("argocd", name), incident
    assert incident.ended is not None, incident
    for seen, was in ((incident.began, began), (incident.ended, ended)):
        assert abs(seen.timestamp() - was) <= 2 * STEP, (seen, was)
    assert incident.acted is not None
    assert incident.acted.policy == "broken"
    after = incident.acted.at - incident.began
    assert abs(after - timedelta(seconds=10)) <= timedelta(seconds=STEP), incident
    return []


def _is(stage: RealStage, name: str, *healths: Health) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return (await stage.seen(name)).health in healths

    return so


REPLAY_STORIES = (the_past_is_replayed,)
