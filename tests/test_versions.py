"""The same night with an Argo CD of each form: what differs is handled in one place, and nothing of
it shows."""

from __future__ import annotations

import pytest

from recovery.model.application import Health
from recovery.model.recovery import RecoveryPhase
from recovery.simulate.manifests import deployment
from tests.play import Play, play
from tests.stage import policies as short_policies

MINUTE = 60


@pytest.mark.parametrize(
    "token", [True, False], ids=["asked for its version", "found out by reading back"]
)
@pytest.mark.parametrize("version", ["v2.14.21", "v3.0.4", "v3.2.11", "v3.6.1"])
def test_a_rollback_sticks_and_auto_sync_comes_back_as_it_was(version: str, token: bool) -> None:
    async def script(p: Play) -> None:
        p.world.speaks(version)
        await p.world.policies(short_policies("web"))
        async with p.controller(token=token) as app:
            await p.world.application("web-1", (deployment("web-1", "ready", 8),), self_heal=True)
            await p.clock.sleep(5 * MINUTE)
            before = p.world.raw("web-1")["spec"]["syncPolicy"]["automated"]
            bad = await p.world.commit("web-1", (deployment("web-1", "missing", 8),))
            await p.clock.sleep(5 * MINUTE)
            held = p.world.seen("web-1")
            assert (held.health, held.auto_sync) == (Health.Healthy, False)
            assert held.hold is not None
            assert held.hold.bad == (bad,)
            inside = p.world.raw("web-1")["spec"]["syncPolicy"].get("automated")
            assert (inside is None) is (version < "v3.1"), (
                "taken out where the field is not known, switched off where it is"
            )
            await p.world.commit("web-1", (deployment("web-1", "ready-2", 8),))
            await p.clock.sleep(5 * MINUTE)
            assert p.world.raw("web-1")["spec"]["syncPolicy"]["automated"] == before
            assert p.world.seen("web-1").hold is None
            assert str(app.dialects.now) == (version[1:] if token else "unknown")
        assert p.phases() == [RecoveryPhase.Resolved.value]

    play(script)


@pytest.mark.parametrize(("version", "inline"), [("v2.14.21", True), ("v3.2.11", False)])
def test_what_is_ill_is_found_where_this_version_keeps_it(version: str, inline: bool) -> None:
    async def script(p: Play) -> None:
        p.world.speaks(version)
        await p.world.policies(short_policies("web"))
        async with p.controller(enabled=False) as app:
            await p.world.application("web-1", (deployment("web-1", "oom", 8),))
            await p.clock.sleep(2 * MINUTE)
            seen = p.world.seen("web-1")
            assert [u.health for u in seen.unwell] == (["Degraded"] if inline else [])
            finding = app.controller._scene.situation(seen.key).finding  # type: ignore[union-attr]
            assert finding is not None
            assert finding.cause == "OutOfMemory"
            assert b'recovery_causes{cause="OutOfMemory"} 1.0' in app.views.metrics()

    play(script)
