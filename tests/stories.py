"""What the product promises, as stories: each is played on the embedded cluster and on the real
one."""

from __future__ import annotations

from recovery.model.application import Health, Phase, Sync
from recovery.model.recovery import RecoveryPhase
from recovery.simulate.manifests import custom, daemon_set, deployment, stateful_set
from tests.stage import Stage, policies

DEADLINE = 8


async def in_phase(stage: Stage, name: str, *phases: RecoveryPhase) -> bool:
    found = await stage.recoveries(name)
    return bool(found) and found[-1].phase in phases


async def is_well(stage: Stage, name: str) -> bool:
    app = await stage.seen(name)
    return app.sync is Sync.Synced and app.health is Health.Healthy


async def gave_up(stage: Stage, name: str, kind: str, *, auto_sync: bool = True) -> None:
    """An application whose automatic sync failed for want of a CRD, and which Argo CD has given
    up."""
    await stage.application(
        name,
        (deployment(name, deadline=DEADLINE), custom(kind, name)),
        auto_sync=auto_sync,
        retry=0,
    )
    if auto_sync:
        await gave_up_of(stage, name)


async def gave_up_of(stage: Stage, name: str) -> None:
    """Until the sync of what is there has failed for good."""

    async def failed() -> bool:
        operation = (await stage.seen(name)).operation
        return operation is not None and operation.phase is Phase.Failed

    await stage.until(f"{name}: its sync failed", failed, 60)


async def given_up_sync(stage: Stage) -> list[str]:
    """The cause is gone, Argo CD has given up: refresh, sync, Synced; people hear of it."""
    name, kind = f"{stage.prefix}-cart", "Widget"
    await stage.policies(policies(stage.prefix))
    await stage.old_recovery("from-last-month")
    async with stage.controller():
        await gave_up(stage, name, kind)
        await stage.install(kind)
        await stage.until("recovered", lambda: in_phase(stage, name, RecoveryPhase.Resolved), 90)
        await stage.until("told", heard_of(stage, "recovered after sync"), 30)
        assert await is_well(stage, name)
        history = (await stage.raw(name))["status"]["history"]
        assert len(history) == 1, history

        async def retired() -> bool:
            return not await stage.recoveries("from-last-month")

        await stage.until("the old recovery is deleted", retired, 30)
    return [name]


async def manual_sync(stage: Stage) -> list[str]:
    """A manual sync policy is a release gate: nothing is written; with manual_apps it is synced."""
    gated = f"{stage.prefix}-gated"
    await stage.policies(policies(stage.prefix))
    async with stage.controller():
        await stage.application(gated, (deployment(gated, deadline=DEADLINE),), auto_sync=False)
        await stage.until(
            "suppressed", lambda: in_phase(stage, gated, RecoveryPhase.Suppressed), 60
        )
        held = (await stage.recoveries(gated))[-1]
        assert held.reason == "ManualSync"
        assert "release gate" in held.message
        assert "manual_apps" in held.message
        await stage.sleep(10)
        assert await stage.writes(gated) == 0
        assert (await stage.seen(gated)).operation is None
        await stage.policies(policies(stage.prefix, manual_apps=True))
        await stage.until("synced", lambda: in_phase(stage, gated, RecoveryPhase.Resolved), 90)
        assert await is_well(stage, gated)
    return [gated]


async def restart_cures(stage: Stage) -> list[str]:
    """A crash that new pods cure: only the degraded Deployment is restarted."""
    name = f"{stage.prefix}-api"
    await stage.policies(policies(stage.prefix))
    async with stage.controller():
        bad, good = (
            deployment(f"{name}-bad", "crash-until-restart", DEADLINE),
            deployment(f"{name}-good", "ready", DEADLINE),
        )
        await stage.application(name, (bad, good))
        await stage.until("recovered", lambda: in_phase(stage, name, RecoveryPhase.Resolved), 120)
        assert await is_well(stage, name)
        assert await stage.restarted("deployments", f"{name}-bad")
        assert not await stage.restarted("deployments", f"{name}-good")
    return [name]


async def restart_of_every_kind(stage: Stage) -> list[str]:
    """StatefulSets and DaemonSets, which are never Degraded, are restarted where the policy says
    so; one after the other."""
    name = f"{stage.prefix}-all"
    await stage.policies(
        policies(
            stage.prefix,
            kinds="[Deployment, StatefulSet, DaemonSet]",
            health="[Degraded, Progressing]",
        )
    )
    async with stage.controller():
        tag = "crash-until-restart"
        await stage.application(
            name,
            (
                deployment(f"{name}-d", tag, DEADLINE),
                stateful_set(f"{name}-s", tag),
                daemon_set(f"{name}-n", tag),
            ),
        )
        await stage.until("recovered", lambda: in_phase(stage, name, RecoveryPhase.Resolved), 120)
        for plural, suffix in (("deployments", "d"), ("statefulsets", "s"), ("daemonsets", "n")):
            assert await stage.restarted(plural, f"{name}-{suffix}")
    return [name]


async def rollback_sticks(stage: Stage) -> list[str]:
    """A bad image with auto-sync and self-heal on: rolled back, and it stays so until a commit
    after it."""
    name = f"{stage.prefix}-web"
    await stage.policies(policies(stage.prefix))
    async with stage.controller():
        await stage.application(name, (deployment(name, "ready", DEADLINE),), self_heal=True)
        await stage.until("well", lambda: is_well(stage, name), 60)
        await stage.sleep(20)
        good = (await stage.seen(name)).revisions
        bad = await stage.commit(name, (deployment(name, "missing", DEADLINE),))
        await stage.until("recovered", lambda: in_phase(stage, name, RecoveryPhase.Resolved), 180)
        for _ in range(12):
            await stage.sleep(10)
            app = await stage.seen(name)
            assert app.health is Health.Healthy
            assert not app.auto_sync
            assert app.deploy is not None
            assert app.deploy.revisions == good
            assert app.hold is not None
            assert app.hold.bad == (bad,)
        open_ones = [r for r in await stage.recoveries(name) if not r.phase.over]
        assert not open_ones, open_ones
        better = await stage.commit(name, (deployment(name, "ready-2", DEADLINE),))

        async def deployed() -> bool:
            app = await stage.seen(name)
            return (
                app.deploy is not None
                and app.deploy.revisions == (better,)
                and app.auto_sync
                and app.self_heal
                and app.hold is None
            )

        await stage.until("the next good commit is deployed, auto-sync as before", deployed, 90)
        await stage.until("well", lambda: is_well(stage, name), 60)
        policy = (await stage.raw(name))["spec"]["syncPolicy"]["automated"]
        assert policy == {"prune": False, "selfHeal": True} or policy == {"selfHeal": True}, policy
        assert await heard_of(stage, "rolled back")()
    return [name]


async def nothing_cures(stage: Stage) -> list[str]:
    """A CRD that does not come: no sync in vain, one call that names the cause, no write at all;
    when it comes, one sync."""
    name = f"{stage.prefix}-lost"
    await stage.policies(policies(stage.prefix))
    async with stage.controller():
        await gave_up(stage, name, "Gadget")
        await stage.until(
            "left to people", lambda: in_phase(stage, name, RecoveryPhase.Stalled), 120
        )
        await stage.until("told", heard_of(stage, "requires manual intervention: MissingCRD"), 60)
        await stage.sleep(40)
        held = (await stage.recoveries(name))[-1]
        assert (held.phase, held.reason, held.cause) == (
            RecoveryPhase.Stalled,
            "NoRemedyLeft",
            "MissingCRD/Absent",
        ), held
        assert not any(step.sent for step in held.steps), held.steps
        assert await stage.writes(name) == 0
        assert sum("requires manual intervention" in m["title"] for m in stage.received) == 1
        await stage.install("Gadget")
        await stage.until("recovered", lambda: in_phase(stage, name, RecoveryPhase.Resolved), 180)
        assert (
            sum(s.action == "sync" and s.sent for s in (await stage.recoveries(name))[-1].steps)
            == 1
        )
        assert await is_well(stage, name)
    return [name]


async def switched_off(stage: Stage) -> list[str]:
    """RECOVERY_ENABLED=false: the same decisions to be seen, and nothing written."""
    name, kind = f"{stage.prefix}-look", "Sprocket"
    await stage.policies(policies(stage.prefix))
    async with stage.controller(enabled=False):
        await gave_up(stage, name, kind)
        await stage.install(kind)
        await stage.until("suppressed", lambda: in_phase(stage, name, RecoveryPhase.Suppressed), 60)
        held = (await stage.recoveries(name))[-1]
        assert held.reason == "ObserveOnly"
        assert "would refresh (hard: true)" in held.message
        await stage.sleep(15)
        assert await stage.writes(name) == 0
        assert stage.received == []
    return [name]


async def live_policies(stage: Stage) -> list[str]:
    """A shorter duration acts within seconds; a broken text changes nothing and is reported."""
    name, kind = f"{stage.prefix}-edit", "Cog"
    await stage.policies(policies(stage.prefix, duration="1h"))
    async with stage.controller():
        await gave_up(stage, name, kind)
        await stage.install(kind)
        await stage.sleep(20)
        assert await stage.recoveries(name) == []
        await stage.policies(policies(stage.prefix, duration="15s"))
        await stage.until("opened", lambda: in_phase(stage, name, *RecoveryPhase), 10)
        await stage.policies("recovery_policies: [{name: broken, condition: {type: aplication}}]")

        async def reported() -> bool:
            return (
                bool((await stage.ready_details()).get("policies_error"))
                and await stage.events("PoliciesRefused") == 1
            )

        await stage.until("the broken text is reported", reported, 15)
        await stage.until("recovered", lambda: in_phase(stage, name, RecoveryPhase.Resolved), 90)
        assert await heard_of(stage, "policies refused")()
    return [name]


async def killed_before_the_answer(stage: Stage) -> list[str]:
    """kill -9 when the API server has the sync and we have no answer: found again, not written
    twice."""
    return await _killed(stage, "before", "Nut")


async def killed_after_the_answer(stage: Stage) -> list[str]:
    """kill -9 when the sync is confirmed and not yet recorded: found again, not written twice."""
    return await _killed(stage, "after", "Bolt")


async def _killed(stage: Stage, when: str, kind: str) -> list[str]:
    name = f"{stage.prefix}-kill"
    await stage.policies(policies(stage.prefix))
    async with stage.controller(killed_at=when) as dead:
        await gave_up(stage, name, kind)
        await stage.install(kind)

        async def killed() -> bool:
            return dead()

        await stage.until("killed", killed, 90)
    async with stage.controller():
        await stage.until("recovered", lambda: in_phase(stage, name, RecoveryPhase.Resolved), 90)
        recovery = (await stage.recoveries(name))[-1]
        assert sum(s.action == "sync" for s in recovery.steps) == 1
        history = (await stage.raw(name))["status"]["history"]
        assert len(history) == 1, history
        assert await is_well(stage, name)
    return [name]


def heard_of(stage: Stage, words: str):
    async def heard() -> bool:
        return any(words in message["title"] for message in stage.received)

    return heard


STORIES = (
    given_up_sync,
    manual_sync,
    restart_cures,
    restart_of_every_kind,
    rollback_sticks,
    nothing_cures,
    switched_off,
    live_policies,
    killed_before_the_answer,
    killed_after_the_answer,
)
