"""Nights in which a controller that looks less closely makes an outage worse, told one by one; each
was played against this one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from recovery.kube.client import (
    APPLICATION_SETS,
    APPLICATIONS,
    DEPLOYMENTS,
    RECOVERIES,
    SECRETS,
    Resource,
)
from recovery.kube.errors import Conflict, KubeError
from recovery.model.names import HOLD
from recovery.model.recovery import Recovery, RecoveryPhase, StepRecord
from recovery.simulate.environment import ARGOCD, OURS, RUNS_IN, url
from recovery.simulate.manifests import deployment
from tests.play import Play, play

SHIPPED = (Path(__file__).parent.parent / "config" / "policies.yaml").read_text()
MINUTE = 60.0
IMAGE = "registry.example/shop"


def web(tag: str, replicas: int = 1) -> tuple[dict[str, Any], ...]:
    """One Deployment; ``missing`` is an image that is not there, ``crash`` one that crashes."""
    made = deployment("web", tag, 60)
    made["spec"]["replicas"] = replicas
    return (made,)


def runs(p: Play, name: str = "web") -> tuple[str, int]:
    """Image tag and replicas of the live Deployment."""
    item = p.world.cluster.find(DEPLOYMENTS, RUNS_IN, name) or {}
    return item["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2], item[
        "spec"
    ]["replicas"]


def step(p: Play, action: str = "rollback") -> StepRecord:
    """The newest step of this kind in the newest recovery that has one."""
    found = [s for r in p.world.recoveries() for s in r.steps if s.action == action]
    return found[-1]


def owing(p: Play) -> list[Recovery]:
    return [r for r in p.world.recoveries() if r.debt is not None]


async def images(p: Play, tag: str) -> None:
    """What an image updater writes: the source changes, the revision stays."""
    body = {"spec": {"source": {"kustomize": {"images": [f"{IMAGE}:{tag}"]}}}}
    await p.world.cluster.patch(APPLICATIONS, ARGOCD, "web", body)


async def operate(p: Play, sync: dict[str, Any], username: str = "anna") -> None:
    """A person asks for this operation."""
    body = {
        "operation": {"initiatedBy": {"username": username}, "sync": sync},
        "status": {"operationState": None},
    }
    await p.world.cluster.patch(APPLICATIONS, ARGOCD, "web", body)


async def channels(p: Play) -> None:
    await p.world.cluster.create(
        SECRETS,
        OURS,
        {"metadata": {"name": "recovery-channels"}, "data": {"pager": "anNvbjovL3g="}},
    )


def test_what_was_scaled_to_nothing_proves_nothing() -> None:
    """Ten minutes of maintenance without a pod were Synced and Healthy: no place to go back to."""

    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        await p.world.application("web", web("ready-a", 3), self_heal=True)
        async with p.controller(token=True):
            await p.clock.sleep(10 * MINUTE)
            await p.world.commit("web", web("ready-a", 0))
            await p.clock.sleep(10 * MINUTE)
            await p.world.commit("web", web("crash", 3))
            await p.clock.sleep(60 * MINUTE)

        assert runs(p) == ("ready-a", 3)

    play(script)


def test_the_same_revision_with_another_image_is_another_deploy() -> None:
    """Images are set by the Application's own source: v2 was good, a missing one is not, v4 is the
    fix; Git stands still."""

    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        await p.world.application("web", web("ready-v1"))
        async with p.controller():
            await p.clock.sleep(10 * MINUTE)
            await images(p, "ready-v2")
            await p.clock.sleep(10 * MINUTE)
            await images(p, "missing")
            await p.clock.sleep(30 * MINUTE)
            assert runs(p)[0] == "ready-v2", "not the one of before, and not over what ran with v2"
            assert p.world.seen("web").auto_sync is False
            await images(p, "ready-v4")
            await p.clock.sleep(10 * MINUTE)

        assert runs(p)[0] == "ready-v4"
        assert p.world.seen("web").auto_sync is True
        assert owing(p) == []

    play(script)


def test_what_was_made_from_other_sources_is_not_judged_by_todays() -> None:
    """Argo CD's API renders an old revision with the parameters of today: what that shows says
    nothing about shapes or pruning."""

    async def script(p: Play) -> None:
        database = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "db"},
            "spec": deployment("db", "ready")["spec"],
        }
        await p.world.policies(SHIPPED)
        await p.world.application("web", (*web("ready-v1"), database))
        async with p.controller(token=True):
            await p.clock.sleep(10 * MINUTE)
            await images(p, "missing")
            await p.clock.sleep(30 * MINUTE)

        assert step(p).reason == "ShapeUnknown"
        assert "its sources (parameters, images) are others today" in step(p).message

    play(script)


BY_HAND = {
    "a live object was changed": "is not what",
    "one resource was synced": "some of its resources were synced",
}


@pytest.mark.parametrize("what", BY_HAND)
def test_what_somebody_changed_since_is_not_what_the_deploy_brought(what: str) -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        await p.world.application("web", web("ready-z"), auto_sync=False)
        async with p.controller():
            await p.world.sync("web")
            await p.clock.sleep(6 * MINUTE)
            await p.world.commit("web", web("ready-a"))
            await p.clock.sleep(10)
            await p.world.sync("web")
            await p.clock.sleep(15 * MINUTE)
            if what == "a live object was changed":
                await p.world.cluster.patch(
                    DEPLOYMENTS, RUNS_IN, "web", {"spec": web("missing")[0]["spec"]}
                )
            else:
                newer = await p.world.commit("web", web("missing"))
                await p.clock.sleep(10)
                await operate(
                    p,
                    {
                        "revision": newer,
                        "resources": [{"group": "apps", "kind": "Deployment", "name": "web"}],
                    },
                )
            await p.clock.sleep(40 * MINUTE)

        assert step(p).reason == "UnrelatedToDeploy"
        assert BY_HAND[what] in step(p).message
        assert len(p.world.raw("web")["status"]["history"]) == 2

    play(script)


def test_a_second_sync_of_what_has_run_for_days_is_no_deploy() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        await p.world.application("web", web("ready-a"), auto_sync=False)
        async with p.controller():
            await p.world.sync("web")
            await p.clock.sleep(6 * MINUTE)
            await p.world.commit("web", web("ready-b"))
            await p.clock.sleep(10)
            await p.world.sync("web")
            await p.clock.sleep(20 * MINUTE)
        await p.clock.sleep(48 * 60 * MINUTE)  # with nobody there, which costs less to play
        async with p.controller():
            await p.clock.sleep(20 * MINUTE)
            await p.world.sync("web")
            await p.clock.sleep(MINUTE)
            deploy = p.world.seen("web").deploy

        assert deploy is not None
        assert deploy.id == 2
        assert deploy.since is not None
        assert deploy.at is not None
        assert (deploy.at - deploy.since).total_seconds() > 47 * 3600

    play(script)


def test_what_a_person_went_back_from_is_not_brought_again() -> None:
    """B ran well for the controller and badly for its users; anna went back to A, and A does not
    come up."""

    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        await p.world.application("web", web("missing"), auto_sync=False)
        async with p.controller():
            await p.world.sync("web")
            await p.clock.sleep(3 * MINUTE)
            await p.world.commit("web", web("ready-b"))
            await p.clock.sleep(10)
            await p.world.sync("web")
            await p.clock.sleep(20 * MINUTE)
            first = p.world.raw("web")["status"]["history"][0]
            await operate(
                p,
                {
                    "revision": first["revision"],
                    "source": first["source"],
                    "syncStrategy": {"apply": {}},
                },
            )
            await p.clock.sleep(40 * MINUTE)

        assert [h["revision"] for h in p.world.raw("web")["status"]["history"]][-1] == first[
            "revision"
        ]
        assert step(p).reason == "ResourceMissing"

    play(script)


async def rolled_back(
    p: Play, *, before: tuple[dict[str, Any], ...], bad: tuple[dict[str, Any], ...]
) -> str:
    """It was well, a deploy was bad, and it was rolled back; the bad revision."""
    await p.world.application("web", before)
    await p.clock.sleep(10 * MINUTE)
    sha = await p.world.commit("web", bad)
    await p.clock.sleep(20 * MINUTE)
    assert len(owing(p)) == 1
    assert p.world.seen("web").auto_sync is False
    return sha


AT_ONCE = """
defaults: {channels: [pager]}
recovery_policies:
- name: degraded
  condition: {type: application, health: Degraded, duration: 1m}
  actions: [{type: rollback}]
- name: differs
  condition: {type: application, status: OutOfSync, duration: 0s}
  actions: [{type: sync}]
"""


def late(p: Play, seconds: float) -> None:
    """The watch of Applications brings each change so much later, as on a busy API server; reads
    are answered at once."""

    @contextlib.asynccontextmanager
    async def watch(
        what: Resource, *args: Any, **query: Any
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async with p.world.cluster.watch(what, *args, **query) as lines:
            yield delayed(lines) if what == APPLICATIONS else lines

    async def delayed(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in lines:
            await p.clock.sleep(seconds)
            yield line

    p.watch = watch  # type: ignore[attr-defined]


@pytest.mark.parametrize("seconds", [0.5, 3, 20])
def test_our_own_suspension_is_never_held_against_its_owner(seconds: float) -> None:
    """The hold is over, its record says so, and the watch has not yet shown auto-sync switched on
    again."""

    async def script(p: Play) -> None:
        await p.world.policies(AT_ONCE)
        await channels(p)
        async with p.controller(token=True):
            await rolled_back(p, before=web("ready-a"), bad=web("missing"))
            await p.clock.sleep(60 * MINUTE)  # what is OutOfSync for so long matches at once
            late(p, seconds)
            p.world.cluster.compact()
            await p.world.commit("web", web("ready-c"))
            await p.clock.sleep(20 * MINUTE)

        assert runs(p)[0] == "ready-c"
        assert p.world.seen("web").auto_sync is True
        assert not owing(p)
        said = [f"{note.title} {note.body}" for note in p.told]
        kept = [str(write[4]) for write in p.world.cluster.writes if write[1] == RECOVERIES]
        assert not [
            words
            for words in (*said, *kept)
            if "release gate" in words or "no Recovery says" in words
        ]
        assert sum("auto-sync is as it was" in words for words in said) == 1
        ours = [
            body
            for body in p.touched("web")
            if "automated" in body.get("spec", {}).get("syncPolicy", {}) and "status" not in body
        ]
        assert len(ours) == 2, "switched off once, and on once"

    play(script)


HUNG = """
defaults: {channels: [pager], healthy_delay: 5s}
recovery_policies:
- name: hung
  condition: {type: application, status: OutOfSync, duration: 5m}
  actions:
  - {type: terminate, parameters: {after: 2m}}
  - {type: sync}
"""
CLOSED = """
guards:
  windows: [{schedule: "0 12 * * *", duration: 15m, actions: [sync]}]
"""


@pytest.mark.parametrize(
    "closed", [False, True], ids=["at once", "after a window held the sync back"]
)
def test_what_we_ended_ourselves_is_synced_again_whatever_comes_in_between(closed: bool) -> None:
    """A hook hangs, we end its operation, and for a moment another guard says no: it stays ours."""

    async def script(p: Play) -> None:
        await p.world.policies(HUNG + (CLOSED if closed else ""))
        await channels(p)
        finish = p.world.argocd._finish

        async def named(
            key: Any, app: Any, phase: str, message: str, results: Any, sha: str
        ) -> None:
            await finish(key, app, phase, message, results, sha or p.world.git.head(url("web")).sha)  # type: ignore[union-attr]

        p.world.argocd._finish = named  # type: ignore[method-assign]
        async with p.controller():
            await p.world.application("web", web("ready-a"), annotations={"hang": "true"})
            await p.clock.sleep(20)
            waits = {
                "status": {
                    "operationState": {
                        "message": "waiting for completion of hook batch/Job/migrate"
                    }
                }
            }
            await p.world.cluster.patch(APPLICATIONS, ARGOCD, "web", waits)
            await p.clock.sleep(7 * MINUTE)
            await p.world.annotate("web", {"hang": None})
            await p.clock.sleep(40 * MINUTE)

        assert p.world.seen("web").sync.value == "Synced"
        assert not [note.title for note in p.told if "requires manual intervention" in note.title]

    play(script)


@pytest.mark.parametrize("then", ["deleted", "skipped"])
def test_the_answer_to_our_own_write_undoes_nothing_that_came_after_it(then: str) -> None:
    """The API server's answer to the release is seconds on its way; meanwhile a person deletes the
    application, or takes it out of Argo CD's hands, and the watch has told of that."""

    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        await channels(p)
        async with p.controller(token=True) as app:
            await rolled_back(p, before=web("ready-a"), bad=web("missing"))
            patch = p.world.cluster.patch

            async def slow(what: Resource, namespace: str, name: str, body: Any) -> bytes:
                answer = await patch(what, namespace, name, body)
                if what == APPLICATIONS and "recovery.gitops.dev/hold" in str(
                    body.get("metadata", {}).get("annotations")
                ):
                    if then == "deleted":
                        await p.world.cluster.delete(APPLICATIONS, ARGOCD, "web")
                    else:
                        await patch(
                            APPLICATIONS,
                            ARGOCD,
                            "web",
                            {
                                "metadata": {
                                    "annotations": {"argocd.argoproj.io/skip-reconcile": "true"}
                                }
                            },
                        )
                    await p.clock.sleep(3)
                return answer

            p.patch = slow  # type: ignore[attr-defined]
            await p.world.commit("web", web("ready-c"))
            await p.clock.sleep(60 * MINUTE)
            held = app.store.applications.get((ARGOCD, "web"))

        assert (held is None) is (then == "deleted")
        assert held is None or held.skipped
        assert not [note.title for note in p.told if "is not reconciling" in note.title]
        assert len(p.world.recoveries()) == 1

    play(script)


def test_drift_is_no_change_of_git() -> None:
    """Another team's commit, and two hours later somebody scales another Deployment of the
    application: the bad one stays away."""

    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        worker = deployment("worker", "ready", 60)
        async with p.controller():
            await rolled_back(p, before=(*web("ready-a"), worker), bad=(*web("missing"), worker))
            await p.world.commit("web", (*web("missing"), worker))
            await p.clock.sleep(120 * MINUTE)
            await p.world.cluster.patch(DEPLOYMENTS, RUNS_IN, "worker", {"spec": {"replicas": 3}})
            await p.clock.sleep(30 * MINUTE)
            assert runs(p)[0] == "ready-a"
            assert len(owing(p)) == 1
            # With a revision, in one look, another resource differs: that is a change of its own.
            await p.world.commit("web", (*web("ready-c"), worker, deployment("extra", "ready", 60)))
            await p.clock.sleep(10 * MINUTE)

        assert runs(p)[0] == "ready-c"

    play(script)


@pytest.mark.parametrize("how", ["made anew", "taken out"])
def test_a_debt_is_not_paid_to_an_owner_who_wants_no_auto_sync(how: str) -> None:
    """The annotation is gone, as an ApplicationSet does it; the application is made anew without
    auto-sync, or it is taken out."""

    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        async with p.controller(token=True):
            await p.world.application("web", web("ready-a"), self_heal=True, prune=True)
            await p.clock.sleep(10 * MINUTE)
            await p.world.commit("web", web("missing"))
            await p.clock.sleep(20 * MINUTE)
            assert len(owing(p)) == 1
            if how == "made anew":
                await p.world.cluster.delete(APPLICATIONS, ARGOCD, "web")
                p.world.git._commits.pop(url("web"))
                await p.clock.sleep(10)
                await p.world.application("web", web("missing"), auto_sync=False)
            else:
                body = {
                    "metadata": {"annotations": {HOLD: None}},
                    "spec": {"syncPolicy": {"automated": None}},
                }
                await p.world.cluster.patch(APPLICATIONS, ARGOCD, "web", body)
            await p.clock.sleep(60 * MINUTE)
            await p.world.commit("web", web("ready-c"))
            await p.clock.sleep(30 * MINUTE)

        assert p.world.raw("web")["spec"]["syncPolicy"].get("automated") is None
        assert p.world.seen("web").auto_sync is False

    play(script)


def test_a_hold_follows_an_application_into_another_project() -> None:
    """Its ApplicationSet writes another project and takes our annotation away, in one write; the
    fix comes an hour later."""

    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        await p.world.project("shop")
        async with p.controller(token=True):
            await rolled_back(p, before=web("ready-a"), bad=web("missing"))
            body = {"metadata": {"annotations": {HOLD: None}}, "spec": {"project": "shop"}}
            await p.world.cluster.patch(APPLICATIONS, ARGOCD, "web", body)
            await p.clock.sleep(60 * MINUTE)
            assert len(owing(p)) == 1
            await p.world.commit("web", web("ready-c"))
            await p.clock.sleep(10 * MINUTE)

        assert runs(p)[0] == "ready-c"
        assert p.world.seen("web").auto_sync is True

    play(script)


def test_a_release_that_has_not_gone_out_is_dropped_when_git_is_back_at_the_bad_revision() -> None:
    async def script(p: Play) -> None:
        refuses = False

        def refused(verb: str, what: Any) -> KubeError | None:
            return (
                Conflict("the object has been modified", 409)
                if refuses and (verb, what) == ("patch", APPLICATIONS)
                else None
            )

        p.faults = [refused]
        await p.world.policies(
            SHIPPED.replace(
                "if_restart_fails: true", "if_restart_fails: true\n      release: revision"
            )
        )
        async with p.controller():
            bad = await rolled_back(p, before=web("ready-a"), bad=web("missing"))
            refuses = True
            await p.world.commit("web", web("ready-2"))
            await p.clock.sleep(MINUTE)
            commits = p.world.git._commits[url("web")]
            commits.append(next(c for c in commits if c.sha == bad))
            await p.world.annotate("web", {"argocd.argoproj.io/refresh": "normal"})
            await p.clock.sleep(MINUTE)
            refuses = False
            await p.clock.sleep(30 * MINUTE)

        assert runs(p)[0] == "ready-a"
        assert p.world.seen("web").auto_sync is False

    play(script)


FAILED: dict[str, dict[str, Any]] = {
    "a dry run": {"dryRun": True},
    "one resource": {"resources": [{"group": "shop.example", "kind": "Gone", "name": "g"}]},
    "auto-sync's own attempt": {},
}


@pytest.mark.parametrize("what", FAILED)
def test_what_failed_was_nobodys_wish_for_a_deploy(what: str) -> None:
    """A manual application: a sync that was only tried, was of one resource, or was Argo CD's own
    before a person switched it off."""

    async def script(p: Play) -> None:
        automatic = what == "auto-sync's own attempt"
        await p.world.policies(SHIPPED)
        async with p.controller():
            await p.world.application("web", web("ready-a"), auto_sync=automatic)
            if not automatic:
                await p.world.sync("web")
            await p.clock.sleep(6 * MINUTE)
            gone = {
                "apiVersion": "shop.example/v1",
                "kind": "Gone",
                "metadata": {"name": "g"},
                "spec": {},
            }
            newer = await p.world.commit("web", (*web("ready-b"), gone))
            await p.clock.sleep(MINUTE)
            if automatic:
                await p.world.cluster.patch(
                    APPLICATIONS,
                    ARGOCD,
                    "web",
                    {"spec": {"syncPolicy": {"automated": {"enabled": False}}}},
                )
            else:
                await operate(p, {"revision": newer, **FAILED[what]})
            await p.clock.sleep(MINUTE)
            assert p.world.raw("web")["status"]["operationState"]["phase"] == "Failed"
            await p.world.install("Gone")
            await p.clock.sleep(60 * MINUTE)

        assert runs(p)[0] == "ready-a"
        assert p.world.recoveries()[-1].reason == "ManualSync"

    play(script)


def test_a_relapse_after_a_resolve_calls_people_anew() -> None:
    """A second bad deploy, a moment after the first was mended and people were told so."""

    async def script(p: Play) -> None:
        await channels(p)
        await p.world.policies(
            SHIPPED + "\ndefaults: {channels: [pager]}\nchannels: {pager: {group_wait: 0s}}\n"
        )
        async with p.controller():
            await p.world.application("web", web("noconfig"))
            await p.clock.sleep(90 * MINUTE)
            await p.world.commit("web", web("ready"))
            await p.clock.sleep(1.7 * MINUTE)
            told = len(p.told)
            assert any("recovered" in n.title for n in p.told)
            await p.world.commit("web", web("noconfig"))
            await p.clock.sleep(90 * MINUTE)

        assert any("requires manual intervention" in n.title for n in p.told[told:])

    play(script)


def test_a_question_is_asked_once_whatever_its_owner_writes() -> None:
    """Every few minutes another record's name in the annotation of a healthy application."""

    async def script(p: Play) -> None:
        await channels(p)
        await p.world.policies(
            SHIPPED + "\ndefaults: {channels: [pager]}\nchannels: {pager: {group_wait: 0s}}\n"
        )
        async with p.controller():
            await p.world.application("web", web("ready"))
            await p.clock.sleep(5 * MINUTE)
            uid = p.world.seen("web").uid
            for number in range(30):
                hold = f'{{"recovery": "made-up-{number}", "uid": "{uid}", "bad": ["x"], "suspended": true}}'
                await p.world.annotate("web", {HOLD: hold})
                await p.clock.sleep(10 * MINUTE)

        assert sum("has no Recovery" in n.title for n in p.told) == 1

    play(script)


def a_set(**spec: Any) -> dict[str, Any]:
    """An ApplicationSet that makes ``web``."""
    source = {"repoURL": url("web"), "path": ".", "targetRevision": "HEAD"}
    where = {"server": "https://kubernetes.default.svc", "namespace": RUNS_IN}
    made = {
        "project": "default",
        "source": source,
        "destination": where,
        "syncPolicy": {"automated": {"selfHeal": True}},
    }
    body = {
        "generators": [{"list": {"elements": [{"name": "web"}]}}],
        "template": {"metadata": {"name": "{{name}}"}, "spec": made},
    }
    return {"metadata": {"name": "all"}, "spec": {**body, **spec}}


LEAVES = {"ignoreApplicationDifferences": [{"jsonPointers": ["/spec/syncPolicy"]}]}
SETS: dict[str, tuple[dict[str, Any], bool]] = {
    "takes the annotation away": (LEAVES, False),
    "preserves it": ({**LEAVES, "preservedFields": {"annotations": [HOLD]}}, True),
}


@pytest.mark.parametrize("how", SETS)
def test_a_hold_stands_by_its_record_whatever_the_application_set_rewrites(how: str) -> None:
    async def script(p: Play) -> None:
        spec, noted = SETS[how]
        await p.world.policies(SHIPPED)
        p.world.git.commit(url("web"), web("ready-a"))
        await p.world.cluster.create(APPLICATION_SETS, ARGOCD, a_set(**spec))
        async with p.controller(token=True):
            await p.clock.sleep(10 * MINUTE)
            await p.world.commit("web", web("missing"))
            await p.clock.sleep(20 * MINUTE)
            assert (runs(p)[0], p.world.seen("web").auto_sync, len(owing(p))) == (
                "ready-a",
                False,
                1,
            )
            assert (p.world.seen("web").noted is not None) is noted
            await p.world.commit("web", web("ready-c"))
            await p.clock.sleep(10 * MINUTE)

        assert (runs(p)[0], p.world.seen("web").auto_sync, owing(p)) == ("ready-c", True, [])

    play(script)


def test_what_an_application_set_would_undo_is_a_persons() -> None:
    """It writes syncPolicy back within a second: no rollback, and whoever owns it is called within
    its attempts."""

    async def script(p: Play) -> None:
        await channels(p)
        await p.world.policies(
            SHIPPED + "\ndefaults: {channels: [pager]}\nchannels: {pager: {group_wait: 0s}}\n"
        )
        p.world.git.commit(url("web"), web("ready-a"))
        await p.world.cluster.create(APPLICATION_SETS, ARGOCD, a_set())
        async with p.controller(token=True):
            await p.clock.sleep(10 * MINUTE)
            await p.world.commit("web", web("missing"))
            await p.clock.sleep(60 * MINUTE)

        assert step(p).reason == "OwnerWouldRevert"
        assert p.world.recoveries()[-1].phase is RecoveryPhase.Stalled
        assert any("requires manual intervention" in n.title for n in p.told)

    play(script)


def test_the_embedded_application_set_owns_what_a_real_one_owns() -> None:
    """Seen on 3.2: an edit of an owned Application is reverted within a second, a set that ignores a
    field leaves that alone."""

    async def script(p: Play) -> None:
        p.world.git.commit(url("web"), web("ready"))
        await p.world.cluster.create(
            APPLICATION_SETS, ARGOCD, a_set(preservedFields={"annotations": ["kept"]})
        )
        await p.clock.sleep(2)
        notes = {"mine": "x", "kept": "y", "argocd.argoproj.io/refresh": "hard"}
        body = {
            "metadata": {"annotations": notes, "labels": {"l": "v"}},
            "spec": {"syncPolicy": {"automated": {"enabled": False}}},
        }
        await p.world.cluster.patch(APPLICATIONS, ARGOCD, "web", body)
        await p.clock.sleep(2)

        raw = p.world.raw("web")
        assert raw["metadata"]["annotations"] == {"kept": "y"}
        assert raw["metadata"].get("labels", {}) == {}
        assert raw["spec"]["syncPolicy"] == {"automated": {"selfHeal": True}}

    play(script)
