"""Stories for the overlays: only a real API server and a real Argo CD can play them."""

from __future__ import annotations

from recovery.model.recovery import RecoveryPhase
from recovery.simulate.manifests import deployment
from tests.e2e.real_stage import RealStage
from tests.stage import policies
from tests.stories import DEADLINE, _gave_up, _phase, _well


async def through_argo_cd(stage: RealStage) -> list[str]:
    """With a token, Argo CD's own resource action restarts; there is no right on workloads at all."""
    name = f"{stage.prefix}-token"
    await stage.policies(policies(stage.prefix))
    async with stage.controller():
        bad, good = deployment(f"{name}-bad", "crash-until-restart", DEADLINE), deployment(f"{name}-good", "ready", DEADLINE)
        await stage.application(name, (bad, good))
        await stage.until("recovered", lambda: _phase(stage, name, RecoveryPhase.Resolved), 120)
        assert await _well(stage, name)
        assert await stage.restarted("deployments", f"{name}-bad")
        assert not await stage.restarted("deployments", f"{name}-good")
    return [name]


async def looked_at_only(stage: RealStage) -> list[str]:
    """The overlay observe: the decisions are there to be seen, and nothing outside our own namespace is even tried."""
    name = f"{stage.prefix}-observe"
    await stage.policies(policies(stage.prefix))
    async with stage.controller(enabled=False):
        await _gave_up(stage, name, "Lever")
        await stage.install("Lever")
        await stage.until("suppressed", lambda: _phase(stage, name, RecoveryPhase.Suppressed), 60)
        await stage.sleep(10)
        assert await stage.writes(name) == 0
        assert (await stage.recoveries(name))[-1].reason == "Disabled"
    return [name]
