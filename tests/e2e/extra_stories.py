"""Stories for the overlays: only a real API server and a real Argo CD can play them."""

from __future__ import annotations

from recovery.model.recovery import RecoveryPhase
from tests.e2e.real_stage import RealStage
from tests.stage import policies
from tests.stories import gave_up, in_phase, restart_cures


async def through_argo_cd(stage: RealStage) -> list[str]:
    """With a token, Argo CD's own resource action restarts; there is no right on workloads at
    all."""
    return await restart_cures(stage)


async def looked_at_only(stage: RealStage) -> list[str]:
    """The overlay observe: the decisions are there to be seen, and nothing outside our own
    namespace is even tried."""
    name = f"{stage.prefix}-observe"
    await stage.policies(policies(stage.prefix))
    async with stage.controller(enabled=False):
        await gave_up(stage, name, "Lever")
        await stage.install("Lever")
        await stage.until("suppressed", lambda: in_phase(stage, name, RecoveryPhase.Suppressed), 60)
        await stage.sleep(10)
        assert await stage.writes(name) == 0
        assert (await stage.recoveries(name))[-1].reason == "ObserveOnly"
    return [name]
