"""Who is told of what, by the whole controller in virtual time."""

from __future__ import annotations

import base64

from msgspec import structs

from recovery.act.registry import POLICY_ACTIONS
from recovery.kube.client import SECRETS
from recovery.model.recovery import StepOutcome, StepRecord
from recovery.policies import parse
from recovery.simulate.environment import OURS
from recovery.simulate.manifests import deployment
from tests.builders import a_recovery, plant
from tests.play import Play, play

MINUTE = 60.0
POLICIES = """
recovery_policies:
- name: web
  severity: high
  condition: {type: application, health: Degraded, duration: 1m}
  actions: [{type: restart, timeout: 1m}]
defaults: {attempts: 1, healthy_delay: 3s}
guards: {storm: {minimum: 1000, count: 1000, fleet: 100%, group: 100%}}
routes:
- {channels: [chat], then: [{after: 10m, channels: [primary]}, {after: 30m, channels: [secondary]}]}
"""


async def channels(p: Play, *names: str) -> None:
    data = {name: base64.b64encode(f"{name}://x".encode()).decode() for name in names}
    await p.world.cluster.create(
        SECRETS, OURS, {"metadata": {"name": "recovery-channels"}, "data": data}
    )


def at(p: Play, url: str) -> list[str]:
    """What one channel was told, by title."""
    return [message.title for where, message in p.sent if where == f"{url}://x"]


def test_an_escalation_in_its_order_through_a_restart_and_the_resolve_to_all_who_were_called() -> (
    None
):
    async def script(p: Play) -> None:
        await channels(p, "chat", "primary", "secondary")
        await p.world.policies(POLICIES)
        async with p.controller():
            await p.world.application("web", (deployment("web", "crash", 5),))
            await p.clock.sleep(8 * MINUTE)
            assert any("requires manual intervention" in title for title in at(p, "chat"))
            assert at(p, "primary") == []
        async with p.controller():
            await p.clock.sleep(8 * MINUTE)
            assert [t for t in at(p, "primary") if "still unhealthy" in t], (
                "ten minutes after the first word, whoever is in charge"
            )
            assert at(p, "secondary") == []
            await p.clock.sleep(20 * MINUTE)
            assert len(at(p, "secondary")) == 1
            await p.clock.sleep(5 * 60 * MINUTE)
            assert sum("still unhealthy" in t for t in at(p, "chat")) == 1, (
                "a reminder after four hours"
            )
            await p.world.commit("web", (deployment("web", "ready", 5),))
            await p.clock.sleep(10 * MINUTE)
            for url in ("chat", "primary", "secondary"):
                assert sum("recovered" in title for title in at(p, url)) == 1, url
        (held,) = p.world.recoveries()
        assert (held.notes, set(held.talk.heard)) == ((), {"chat", "primary", "secondary"})

    play(script)


def test_a_policy_that_is_regretted_only_watches_until_it_is_edited() -> None:
    async def script(p: Play) -> None:
        await channels(p, "chat")
        await p.world.policies(POLICIES)
        policy = parse(POLICIES, POLICY_ACTIONS).policies[0]
        now = p.clock.now()
        step = StepRecord(
            1,
            0,
            "restart",
            now,
            sent=True,
            ended_at=now,
            outcome=StepOutcome.Succeeded,
            reason="Done",
            review="Worsened",
        )
        for number in range(2):
            bad = structs.replace(
                a_recovery(f"bad-{number}", now, steps=(step,)),
                policy="web",
                policy_hash=policy.hash,
                resolved_at=now,
            )
            await plant(p.world.cluster, bad, OURS)
        async with p.controller() as app:
            await p.world.application("web", (deployment("web", "crash-until-restart", 5),))
            await p.clock.sleep(10 * MINUTE)
            held = next(r for r in p.world.recoveries() if r.subject.name == "web")
            assert (held.reason, held.observe_only, held.steps) == ("CircuitOpen", True, ())
            assert (
                "2 of its last 2 actions were reverted by people or made it worse: restart of"
                in held.message
            )
            assert sum("only observes" in title for title in at(p, "chat")) == 1, (
                "and it says so, once"
            )
            assert "web/" in str(app.views.details()["distrusted"])
            await p.world.policies(POLICIES.replace("timeout: 1m", "timeout: 2m"))
            await p.clock.sleep(10 * MINUTE)
            held = next(r for r in p.world.recoveries() if r.subject.name == "web")
            assert [s.action for s in held.steps] == ["restart"]

    play(script)
