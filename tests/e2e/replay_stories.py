"""What a real Prometheus has kept of a real Argo CD, replayed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import aiohttp

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
    ever having run; afterwards exactly that is found, to within a step of the samples kept."""
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
        kept = await _kept(f"http://127.0.0.1:{port}", name)
        async with Prometheus(f"http://127.0.0.1:{port}", f'name="{name}"', step=STEP) as source:
            policies = [parse(POLICIES, POLICY_ACTIONS)]
            came = await replay(source, policies, end - 600, end, STEP)
    (incident,) = came.pasts[0].incidents
    assert incident.name == ("argocd", name), incident
    assert incident.ended is not None, incident
    # Compared with the samples, not with this process's clock: how late a scrape is depends on
    # what else the machine does.
    degraded = [at for at, health in kept if health == Health.Degraded.value]
    well = Health.Healthy.value
    healthy = [at for at, health in kept if health == well and at > degraded[-1]]
    assert degraded[0] <= incident.began.timestamp() <= degraded[0] + STEP, (incident, kept)
    # A sample is asked for as far back as a step and a half, and counts until the next step.
    assert degraded[-1] < incident.ended.timestamp() <= healthy[0] + 3 * STEP, (incident, kept)
    assert incident.began.timestamp() < ended, incident
    assert incident.ended.timestamp() > began, incident
    assert incident.acted is not None
    assert incident.acted.policy == "broken"
    after = incident.acted.at - incident.began
    assert abs(after - timedelta(seconds=10)) <= timedelta(seconds=STEP), incident
    return []


async def _kept(url: str, name: str) -> list[tuple[float, str]]:
    """Every sample that Prometheus has of the Application: when (UTC, seconds), and its health."""
    asked = {"query": f'argocd_app_info{{name="{name}"}}[15m]'}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/v1/query", params=asked) as answer,
    ):
        series = (await answer.json())["data"]["result"]
    return sorted(
        (float(at), one["metric"]["health_status"]) for one in series for at, _ in one["values"]
    )


def _is(stage: RealStage, name: str, *healths: Health) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return (await stage.seen(name)).health in healths

    return so


REPLAY_STORIES = (the_past_is_replayed,)
