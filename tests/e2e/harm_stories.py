"""Nights in which a recovery controller could make it worse, on a real Argo CD: each ends as its
owner would want it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from recovery.kube.client import APPLICATION_SETS, APPLICATIONS
from recovery.kube.errors import NotFound
from recovery.model.application import Health
from recovery.model.recovery import RecoveryPhase
from recovery.simulate.manifests import deployment
from tests.e2e.real_stage import RealStage
from tests.stage import policies
from tests.stories import DEADLINE, heard_of, in_phase, is_well

HOLD = "recovery.gitops.dev/hold"
OWN = {"release": "own_change"}
"""The shipped default, which a token makes useful."""


async def rolled_back(stage: RealStage, name: str, *, create: bool = True) -> tuple[str, str]:
    """A good deploy that was seen to work, a bad one, gone back from: the good and the bad
    revision."""
    if create:
        await stage.application(name, (deployment(name, "ready", DEADLINE),), self_heal=True)
    await stage.until("well", lambda: is_well(stage, name), 60)
    await known_good(stage, name)
    (good,) = (await stage.seen(name)).revisions
    bad = await stage.commit(name, (deployment(name, "missing", DEADLINE),))
    await stage.until("rolled back", lambda: in_phase(stage, name, RecoveryPhase.Resolved), 180)
    app = await stage.seen(name)
    assert (app.auto_sync, app.deploy and app.deploy.revisions) == (False, (good,))
    told = next(
        m["message"] for m in stage.received if "rolled back" in m["title"] and name in m["title"]
    )
    assert f'\nDeployed: {bad[:7]} "change" by ' in told, told
    assert f'\nLast good: {good[:7]} "change" by ' in told, told
    return good, bad


async def is_made(stage: RealStage, name: str) -> None:
    """An ApplicationSet has made it."""

    async def there() -> bool:
        with contextlib.suppress(NotFound):
            return bool(await stage.raw(name))
        return False

    await stage.until("made", there, 60)


async def known_good(stage: RealStage, name: str) -> None:
    async def known() -> bool:
        return bool((await stage.asked(f"/api/v1/explain/argocd/{name}")).get("ledger"))

    await stage.until("known to be good", known, 90)


async def fixed(stage: RealStage, name: str, tag: str = "ready-2") -> None:
    """The owner's fix is deployed, and auto-sync is on again."""
    better = await stage.commit(name, (deployment(name, tag, DEADLINE),))

    async def deployed() -> bool:
        app = await stage.seen(name)
        return app.deploy is not None and app.deploy.revisions == (better,) and app.auto_sync

    await stage.until("the fix is deployed, and auto-sync is on", deployed, 120)
    await stage.until("well", lambda: is_well(stage, name), 60)


def a_set(stage: RealStage, names: list[str], **spec: Any) -> dict[str, Any]:
    """An ApplicationSet that makes these, each from its own repository."""
    template = {
        "project": "default",
        "source": {"repoURL": "{{url}}", "path": ".", "targetRevision": "HEAD"},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
        "syncPolicy": {"automated": {"selfHeal": True}},
    }
    elements = [{"name": name, "url": stage.repositories.url(name)} for name in names]
    body = {
        "generators": [{"list": {"elements": elements}}],
        "template": {"metadata": {"name": "{{name}}"}, "spec": template},
        **spec,
    }
    meta = {"name": stage.prefix + "-set", "namespace": "argocd"}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ApplicationSet",
        "metadata": meta,
        "spec": body,
    }


async def owner_takes_the_annotation(stage: RealStage) -> list[str]:
    """An ApplicationSet that leaves syncPolicy alone and rewrites annotations, once with
    preservedFields: the hold stands by its record, and the fix is deployed with auto-sync on."""
    gone, kept = f"{stage.prefix}-gone", f"{stage.prefix}-kept"
    await stage.policies(policies(stage.prefix, **OWN))
    leaves = {"ignoreApplicationDifferences": [{"jsonPointers": ["/spec/syncPolicy"]}]}
    async with stage.controller():
        for name, more in (
            (gone, leaves),
            (kept, {**leaves, "preservedFields": {"annotations": [HOLD]}}),
        ):
            await asyncio.to_thread(
                stage.repositories.commit, name, (deployment(name, "ready", DEADLINE),)
            )
            made = a_set(stage, [name], **more)
            made["metadata"]["name"] = name
            await asyncio.to_thread(stage.bed.apply, made)
        for name in (gone, kept):
            await is_made(stage, name)
            await rolled_back(stage, name, create=False)
        await stage.sleep(20)
        annotations = [
            ((await stage.raw(name))["metadata"].get("annotations") or {}).get(HOLD)
            for name in (gone, kept)
        ]
        assert annotations[0] is None, "its owner takes it away"
        assert annotations[1], "where it preserves the annotation, it stays"
        for name in (gone, kept):
            app = await stage.seen(name)
            assert (app.auto_sync, app.health) == (False, Health.Healthy), name
            assert (await stage.asked(f"/api/v1/explain/argocd/{name}"))["hold"], (
                "it is held by its record"
            )
        for name in (gone, kept):
            await fixed(stage, name)
        for name in (gone, kept):
            await stage.client.delete(APPLICATION_SETS, "argocd", name)
    return []


async def a_person_is_at_work(stage: RealStage) -> list[str]:
    """skip-reconcile on a Degraded application: nothing is written to it."""
    name = f"{stage.prefix}-mine"
    await stage.policies(policies(stage.prefix, duration="20s", **OWN))
    async with stage.controller():
        await stage.application(name, (deployment(name, "ready", DEADLINE),), self_heal=True)
        await stage.until("well", lambda: is_well(stage, name), 60)
        await known_good(stage, name)
        await stage.commit(name, (deployment(name, "crash", DEADLINE),))

        async def degraded() -> bool:
            return (await stage.seen(name)).health is Health.Degraded

        await stage.until("Degraded", degraded, 60)
        mark = {"metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": "true"}}}
        await stage.client.patch(APPLICATIONS, "argocd", name, mark)
        await stage.sleep(2)
        before = await stage.writes(name)
        await stage.sleep(45)
        assert await stage.writes(name) == before
        assert not await stage.restarted("deployments", name)
        assert "skip-reconcile" in json.dumps(await stage.asked(f"/api/v1/explain/argocd/{name}"))
    return []


async def another_teams_commit(stage: RealStage) -> list[str]:
    """A commit that changes nothing of this application, while it is rolled back: the bad revision
    stays away; its own fix comes."""
    name = f"{stage.prefix}-mono"
    await stage.policies(policies(stage.prefix, **OWN))
    async with stage.controller():
        good, _ = await rolled_back(stage, name)
        other = await stage.commit(name, (deployment(name, "missing", DEADLINE),))

        async def seen() -> bool:
            return (await stage.seen(name)).revisions == (other,)

        await stage.until("Argo CD has seen it", seen, 60)
        await stage.sleep(40)
        app = await stage.seen(name)
        assert (app.auto_sync, app.deploy and app.deploy.revisions, app.health) == (
            False,
            (good,),
            Health.Healthy,
        )
        assert len(await stage.recoveries(name)) == 1, "and it is no new illness"
        await fixed(stage, name)
    return []


async def made_again(stage: RealStage) -> list[str]:
    """A held application that is deleted without its resources and made again: still held, under
    its new UID."""
    name = f"{stage.prefix}-again"
    await stage.policies(policies(stage.prefix, **OWN))
    async with stage.controller():
        good, _ = await rolled_back(stage, name)
        backup = await stage.raw(name)
        old = backup["metadata"]["uid"]
        await stage.kubectl(
            "patch",
            "application",
            name,
            "--type=json",
            "-p",
            '[{"op":"remove","path":"/metadata/finalizers"}]',
        )
        await stage.kubectl("delete", "application", name, "--cascade=orphan")
        body = {
            **backup,
            "metadata": {
                "name": name,
                "namespace": "argocd",
                "labels": backup["metadata"].get("labels") or {},
            },
        }
        await stage.client.create(APPLICATIONS, "argocd", body)
        await stage.sleep(30)
        app = await stage.seen(name)
        assert app.uid != old
        assert (app.auto_sync, app.health, app.deploy and app.deploy.revisions) == (
            False,
            Health.Healthy,
            (good,),
        )
        assert (await stage.asked(f"/api/v1/explain/argocd/{name}"))["hold"]
        await fixed(stage, name)
    return []


async def owned_crash_loop(stage: RealStage) -> list[str]:
    """A crash loop of what an ApplicationSet owns, which would undo a rollback: Stalled, and a
    person is called."""
    name = f"{stage.prefix}-loop"
    await stage.policies(policies(stage.prefix, **OWN))
    async with stage.controller():
        await asyncio.to_thread(
            stage.repositories.commit, name, (deployment(name, "ready", DEADLINE),)
        )
        await asyncio.to_thread(stage.bed.apply, a_set(stage, [name]))
        await is_made(stage, name)
        await stage.until("well", lambda: is_well(stage, name), 60)
        await known_good(stage, name)
        await stage.commit(name, (deployment(name, "crash", DEADLINE),))
        await stage.until("stalled", lambda: in_phase(stage, name, RecoveryPhase.Stalled), 180)
        (held,) = await stage.recoveries(name)
        assert [s.action for s in held.steps if s.sent and s.action in ("restart", "rollback")] == [
            "restart"
        ]
        assert {s.reason for s in held.steps if s.action == "rollback"} == {"OwnerWouldRevert"}
        assert held.attempt <= 3
        await stage.until("a person is called", heard_of(stage, "requires manual intervention"), 30)
        assert (await stage.seen(name)).auto_sync
        await stage.client.delete(APPLICATION_SETS, "argocd", stage.prefix + "-set")
    return []


async def a_person_switches_it_on(stage: RealStage) -> list[str]:
    """Rolled back, and a person switches auto-sync on again, which deploys the bad revision: it
    stays so, and people are told."""
    name = f"{stage.prefix}-theirs"
    await stage.policies(policies(stage.prefix, **OWN))
    async with stage.controller():
        _, bad = await rolled_back(stage, name)
        await stage.client.patch(
            APPLICATIONS, "argocd", name, {"spec": {"syncPolicy": {"automated": {"enabled": True}}}}
        )

        async def ill_again() -> bool:
            app = await stage.seen(name)
            return (
                app.health is Health.Degraded
                and app.deploy is not None
                and app.deploy.revisions == (bad,)
            )

        await stage.until("the bad revision runs again", ill_again, 90)
        await stage.until("left alone", lambda: in_phase(stage, name, RecoveryPhase.Suppressed), 60)
        await stage.sleep(40)
        first, second = await stage.recoveries(name)
        assert (second.phase, second.reason, second.steps) == (
            RecoveryPhase.Suppressed,
            "ActionReverted",
            (),
        )
        assert first.phase is RecoveryPhase.Resolved
        app = await stage.seen(name)
        assert app.auto_sync, "it is on, as its owner wants it"
        assert not await stage.restarted("deployments", name)
        await stage.until("told", heard_of(stage, "is not being recovered"), 30)
    return []


HARM_STORIES = (
    owner_takes_the_annotation,
    a_person_is_at_work,
    another_teams_commit,
    made_again,
    owned_crash_loop,
    a_person_switches_it_on,
)
