"""The whole controller in virtual time: adoption, budgets, faults of the API server, its own start
and stop."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from recovery.app import App
from recovery.kube.client import (
    APPLICATIONS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    RECOVERIES,
    RECOVERY_STATUS,
    SECRETS,
    Resource,
)
from recovery.kube.errors import Conflict, KubeError, Unavailable
from recovery.model.application import Health
from recovery.model.names import SubjectKey
from recovery.model.recovery import RecoveryPhase
from recovery.process import keep_running
from recovery.serve.auth import EVERYBODY
from recovery.settings import Settings
from recovery.simulate import virtual
from recovery.simulate.environment import ARGOCD, OURS, EmbeddedEnvironment
from recovery.simulate.manifests import custom, deployment
from tests.play import Play, play
from tests.stage import policies as short_policies

MINUTE = 60.0


async def broken(world: EmbeddedEnvironment, count: int, prefix: str = "old") -> None:
    """Applications that are Degraded and stay so."""
    for number in range(count):
        await world.application(
            f"{prefix}-{number}",
            (deployment(f"{prefix}-{number}", "crash", 5),),
            project=f"p{number}",
        )
    await virtual.VirtualClock().sleep(30)
    assert all(world.seen(f"{prefix}-{n}").health is Health.Degraded for n in range(count))


def test_a_messy_fleet_is_left_alone_and_told_of_once() -> None:
    async def script(p: Play) -> None:
        await broken(p.world, 40)
        await p.world.policies(short_policies("old"))
        async with p.controller():
            await p.clock.sleep(60 * MINUTE)
            assert p.phases() == []
            assert p.touched("old") == []
        async with p.controller():
            await p.clock.sleep(10 * MINUTE)
            assert p.touched("old") == [], "a restart is no second installation"

    play(script)


def test_after_a_restored_etcd_everything_is_read_anew() -> None:
    """The backup is of before the bad deploy. What was done about it since is of a history that
    never was: nothing is owed, nobody is said to have deleted a record, and the revision, deployed
    anew, is judged anew."""

    async def script(p: Play) -> None:
        made: list[App] = []

        def make() -> App:
            made.append(
                App(Settings(identity="controller-0"), p, p.clock, p.send, None, p.world.looks)
            )  # type: ignore[arg-type]
            return made[-1]

        await p.world.policies(short_policies("web"))
        await p.world.application("web-1", (deployment("web-1", "ready"),))
        stopped = asyncio.Event()
        running = asyncio.create_task(keep_running(make, stopped, p.clock))
        await p.clock.sleep(MINUTE)
        backup = p.world.cluster.backup()
        await p.world.commit("web-1", (deployment("web-1", "crash"),))
        await p.clock.sleep(4 * MINUTE)
        (before,) = p.world.recoveries()
        assert before.debt is not None
        assert p.world.seen("web-1").auto_sync is False

        p.world.cluster.restore(backup)
        await p.clock.sleep(MINUTE)

        assert len(made) == 2
        assert p.world.recoveries() == []
        assert p.world.seen("web-1").auto_sync is True
        sight = made[1].store.sights[p.world.seen("web-1").uid]
        assert sight.dismissed == ()
        await p.clock.sleep(5 * MINUTE)
        (after,) = p.world.recoveries()
        assert after.debt is not None
        assert p.world.seen("web-1").auto_sync is False
        stopped.set()
        await running

    play(script)


def test_a_restart_that_a_person_took_back_is_theirs_until_the_next_deploy() -> None:
    """`kubectl rollout undo` of a restart that helped: it falls ill again, and no second restart;
    told once. Another revision is another matter."""

    async def script(p: Play) -> None:
        def restarts() -> list[Any]:
            return [
                w
                for w in p.world.cluster.writes
                if w[1] == DEPLOYMENTS and "restartedAt" in str(w[4]) and w[0] == "patch"
            ]

        await p.world.cluster.create(
            SECRETS,
            OURS,
            {"metadata": {"name": "recovery-channels"}, "data": {"receiver": "anNvbjovL3g="}},
        )
        await p.world.policies(short_policies("web"))
        await p.world.application("web-1", (deployment("web-1", "crash-until-restart", 5),))
        async with p.controller():
            await p.clock.sleep(75)
            (held,) = p.world.recoveries()
            assert (held.phase, len(restarts())) == (RecoveryPhase.Resolved, 1)
            await p.clock.sleep(180 * MINUTE)
            undo = {
                "spec": {
                    "template": {
                        "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": None}}
                    }
                }
            }
            await p.world.cluster.patch(DEPLOYMENTS, "shop", "web-1", undo)
            mine = len(restarts())
            await p.clock.sleep(20 * MINUTE)

            held = p.world.recoveries()[-1]
            assert len(restarts()) == mine
            assert (held.phase, held.reason) == (RecoveryPhase.Suppressed, "ActionReverted")
            assert "a person undid the restart" in held.message
            assert sum("a person undid the restart" in n.body for n in p.told) == 1
            await p.world.commit("web-1", (deployment("web-1", "crash"),))
            await p.clock.sleep(5 * MINUTE)
            assert p.world.recoveries()[-1].reason != "ActionReverted"

    play(script)


def test_adopt_takes_on_what_was_inherited() -> None:
    async def script(p: Play) -> None:
        await broken(p.world, 8)
        await p.world.policies(short_policies("old", attempts=1))
        async with p.controller():
            await p.clock.sleep(5 * MINUTE)
            assert p.touched("old") == []
            body = {
                "metadata": {
                    "annotations": {"recovery.gitops.dev/adopted-at": p.clock.now().isoformat()}
                }
            }
            await p.world.cluster.patch(CONFIG_MAPS, OURS, "recovery-policies", body)
            await p.clock.sleep(30 * MINUTE)
            assert len(p.phases()) == 8

    play(script)


def test_a_few_inherited_ones_are_recovered_but_never_rolled_back() -> None:
    async def script(p: Play) -> None:
        await broken(p.world, 2)
        await p.world.policies(short_policies("old", attempts=1))
        async with p.controller():
            await p.clock.sleep(20 * MINUTE)
            reasons = {
                s.reason for r in p.world.recoveries() for s in r.steps if s.action == "rollback"
            }
            assert reasons == {"Inherited"}
            assert set(p.phases()) == {"Stalled"}

    play(script)


def test_no_more_recoveries_at_once_than_the_budget_allows() -> None:
    async def script(p: Play) -> None:
        text = (
            short_policies("web", attempts=1)
            + "guards: {storm: {minimum: 1000}, budget: {destructive_per_hour: {fleet: 100}, in_flight: 4, per_cluster: 4, per_project: 1}}\n"
        )
        await p.world.policies(text)
        most = 0

        def count(what: Resource, kind: str, item: dict[str, Any]) -> None:
            nonlocal most
            if what == RECOVERIES:
                most = max(most, p.phases().count("Remediating"))

        async with p.controller():
            p.world.cluster.listen(count)
            for number in range(30):
                await p.world.application(
                    f"web-{number}",
                    (deployment(f"web-{number}", "crash-until-restart", 5),),
                    project=f"p{number}",
                )
            await p.clock.sleep(60 * MINUTE)
        assert most == 4
        assert p.phases() == ["Resolved"] * 30

    play(script)


def test_two_policies_never_work_on_one_application_at_once() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(short_policies("web", attempts=1))
        async with p.controller():
            await p.world.application(
                "web-1", (deployment("web-1", "crash", 5), custom("Widget", "w"))
            )
            for _ in range(200):
                await p.clock.sleep(5)
                assert sum(not r.phase.over for r in p.world.recoveries()) <= 1

    play(script)


FAULTS = [
    pytest.param(Unavailable("503", 503), id="503"),
    pytest.param(Unavailable("no answer"), id="no answer"),
    pytest.param(Conflict("changed", 409), id="409"),
]


@pytest.mark.parametrize("error", FAULTS)
def test_an_api_server_that_refuses_every_third_call_delays_and_doubles_nothing(
    error: KubeError,
) -> None:
    async def script(p: Play) -> None:
        await p.world.policies(short_policies("web"))
        count = 0

        def every_third(verb: str, what: Resource) -> KubeError | None:
            nonlocal count
            count += 1
            return error if count % 3 == 0 and verb in ("create", "update", "patch") else None

        async with p.controller():
            await p.clock.sleep(5)
            p.faults.append(every_third)
            await p.world.application("web-1", (deployment("web-1"), custom("Widget", "w")))
            await p.clock.sleep(10)
            await p.world.install("Widget")
            await p.clock.sleep(10 * MINUTE)
        assert p.phases() == ["Resolved"]
        assert len(p.world.raw("web-1")["status"]["history"]) == 1

    play(script)


def test_nothing_is_done_while_the_fleet_is_not_heard_of() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(short_policies("web"))
        async with p.controller() as app:
            await p.world.application("web-1", (deployment("web-1"), custom("Widget", "w")))
            await p.clock.sleep(5)
            await p.world.install("Widget")
            p.faults.append(lambda verb, what: Unavailable("no answer"))
            p.world.cluster.compact()
            await p.clock.sleep(5 * MINUTE)
            assert p.touched("web") == []
            assert app.views.ready() != ()
            p.faults.clear()
            await p.clock.sleep(5 * MINUTE)
            assert app.views.ready() == ()
        assert p.phases() == ["Resolved"]

    play(script)


def test_without_policies_it_is_not_ready_and_says_why() -> None:
    async def script(p: Play) -> None:
        async with p.controller() as app:
            await p.clock.sleep(30)
            assert (
                app.views.ready()[0]
                == "no policies: the ConfigMap is not there; create it in gitops-system with a key policies.yaml"
            )
            await p.world.policies("recovery_policies: [{}]")
            await p.clock.sleep(1)
            assert "'actions' is missing" in app.views.ready()[0]
            assert [e["reason"] for e in p.world.cluster.every(EVENTS)] == ["PoliciesRefused"]
            await p.world.policies(short_policies("web"))
            await p.clock.sleep(5)
            assert app.views.ready() == ()

    play(script)


def test_a_missing_crd_is_waited_for() -> None:
    async def script(p: Play) -> None:
        p.world.cluster._absent.add("recoveries")
        await p.world.policies(short_policies("web"))
        async with p.controller() as app:
            await p.clock.sleep(30)
            assert any(
                reason.startswith("recoveries in gitops-system: not listed yet")
                for reason in app.views.ready()
            )
            p.world.cluster.install("recoveries")
            await p.clock.sleep(60)
            assert app.views.ready() == ()

    play(script)


def test_an_application_that_cannot_be_read_is_named_and_the_others_are_not_harmed() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(short_policies("web"))
        await p.world.cluster.create(
            APPLICATIONS,
            ARGOCD,
            {
                "metadata": {"name": "absurd"},
                "spec": {"project": 3, "source": {"repoURL": "x"}, "destination": {}},
            },
        )
        async with p.controller() as app:
            await p.world.application("web-1", (deployment("web-1"), custom("Widget", "w")))
            await p.clock.sleep(5)
            await p.world.install("Widget")
            await p.clock.sleep(5 * MINUTE)
            assert (
                b'recovery_unreadable_objects{stream="applications in argocd"} 1.0'
                in app.views.metrics()
            )
        assert p.phases() == ["Resolved"]

    play(script)


def test_a_projects_word_holds_beside_application_sets() -> None:
    async def script(p: Play) -> None:
        from recovery.kube.client import APPLICATION_SETS, PROJECTS

        marks = {"recovery.gitops.dev/paused": "true"}
        await p.world.cluster.create(
            PROJECTS, ARGOCD, {"metadata": {"name": "gate", "annotations": marks}}
        )
        await p.world.cluster.create(
            APPLICATION_SETS, ARGOCD, {"metadata": {"name": "gate"}, "spec": {}}
        )
        await p.world.policies(short_policies("web"))
        async with p.controller() as app:
            await p.world.application(
                "web-1", (deployment("web-1"), custom("Widget", "w")), project="gate"
            )
            await p.clock.sleep(5 * MINUTE)
            assert p.touched("web") == []
            assert (
                app.views.explain(SubjectKey("application", ARGOCD, "web-1"), EVERYBODY.sees)[
                    "decisions"
                ][0]["by"]
                == "Paused"
            )  # type: ignore[index]
            assert app.application_sets.application_set(ARGOCD, "gate") is not None

    play(script)


def test_names_of_253_characters() -> None:
    async def script(p: Play) -> None:
        name = "web-" + "x" * 249
        await p.world.policies(short_policies("web"))
        async with p.controller():
            await p.world.application(name, (deployment("web"), custom("Widget", "w")))
            await p.clock.sleep(5)
            await p.world.install("Widget")
            await p.clock.sleep(5 * MINUTE)
        (recovery,) = p.world.recoveries()
        assert recovery.phase is RecoveryPhase.Resolved
        assert len(recovery.name) == 51

    play(script)


def test_a_deleted_application_closes_its_recovery() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(short_policies("web"))
        async with p.controller():
            await p.world.application("web-1", (deployment("web-1"), custom("Widget", "w")))
            await p.clock.sleep(60)
            await p.world.cluster.delete(APPLICATIONS, ARGOCD, "web-1")
            await p.clock.sleep(60)
        assert p.phases() == ["Superseded"]

    play(script)


def test_a_recovery_deleted_by_hand_is_not_resurrected_by_the_running_one() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(short_policies("web", attempts=1))
        async with p.controller():
            await p.world.application("web-1", (deployment("web-1"), custom("Mute", "w")))
            await p.clock.sleep(5 * MINUTE)
            (stalled,) = p.world.recoveries()
            assert stalled.phase is RecoveryPhase.Stalled
            await p.world.cluster.delete(RECOVERIES, OURS, stalled.name)
            await p.clock.sleep(5 * MINUTE)
            assert p.world.recoveries() == [], (
                "deleted is meant: it is not opened again while the illness lasts"
            )
            await p.world.install("Mute")
            await p.world.sync("web-1")
            await p.clock.sleep(MINUTE)
            await p.world.commit("web-1", (deployment("web-1"), custom("Mute2", "g")))
            await p.clock.sleep(5 * MINUTE)
            assert p.phases() == ["Stalled"], "well in between: the next illness is another one"

    play(script)


def test_what_is_seen_in_metrics_and_answers() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(short_policies("web"))
        async with p.controller() as app:
            await p.world.application("web-1", (deployment("web-1"), custom("Widget", "w")))
            await p.clock.sleep(8)
            pending = app.views.recoveries(EVERYBODY.sees)["pending"]
            assert [(row["subject"], row["reason"]) for row in pending] == [
                ("argocd/web-1", "Pending")
            ]
            assert (
                b'recovery_pending_conditions{policy="application-sync-failure"} 1.0'
                in app.views.metrics()
            )
            await p.world.install("Widget")
            await p.clock.sleep(5 * MINUTE)
            text = app.views.metrics().decode()
            assert 'recovery_recoveries{phase="Resolved"} 1.0' in text
            assert (
                'recovery_steps_total{action="sync",policy="application-sync-failure",reason="Recovered",result="Succeeded"} 1.0'
                in text
            )
            assert (
                'recovery_time_to_recover_seconds_count{policy="application-sync-failure"} 1.0'
                in text
            )
            assert "web-1" not in text, "no application's name is a label"
            assert app.views.explain(SubjectKey("application", "argocd", "web-1"), EVERYBODY.sees)[
                "state"
            ].startswith("Synced and Healthy")  # type: ignore[index]
            assert (
                app.views.explain(SubjectKey("application", "argocd", "nobody"), EVERYBODY.sees)
                is None
            )

    play(script)


def test_the_next_revision_that_is_bad_too_leaves_a_hold_that_only_a_person_ends() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(short_policies("web"))
        async with p.controller():
            await p.world.application("web-1", (deployment("web-1", "ready", 8),))
            await p.clock.sleep(5 * MINUTE)
            for tag in ("missing", "crash"):
                await p.world.commit("web-1", (deployment("web-1", tag, 8),))
                await p.clock.sleep(5 * MINUTE)
                app = p.world.seen("web-1")
                assert app.hold is not None, tag
                assert app.health is Health.Healthy
            assert app.hold.sticky
            await p.world.commit("web-1", (deployment("web-1", "ready-3", 8),))
            await p.clock.sleep(10 * MINUTE)
            assert p.world.seen("web-1").hold == app.hold
            assert not p.world.seen("web-1").auto_sync

    play(script)


def test_an_open_hold_is_told_of_every_day() -> None:
    async def script(p: Play) -> None:
        from recovery.kube.client import SECRETS

        await p.world.cluster.create(
            SECRETS,
            OURS,
            {"metadata": {"name": "recovery-channels"}, "data": {"receiver": "anNvbjovL3g="}},
        )
        await p.world.policies(short_policies("web"))
        async with p.controller():
            await p.world.application("web-1", (deployment("web-1", "ready", 8),))
            await p.clock.sleep(5 * MINUTE)
            await p.world.commit("web-1", (deployment("web-1", "missing", 8),))
            await p.clock.sleep(10 * MINUTE)
        await p.clock.sleep(12 * 60 * MINUTE)
        for _ in range(3):  # it is away while nothing is to be said, and back before each day ends
            await p.clock.sleep(11 * 60 * MINUTE)
            async with p.controller():
                await p.clock.sleep(120 * MINUTE)
            async with p.controller():  # a restart repeats nothing once the first hour is over
                await p.clock.sleep(30 * MINUTE)
            await p.clock.sleep(10.5 * 60 * MINUTE)
        reminders = [n.title for n in p.told if "has been on hold" in n.title]
        assert reminders == [
            f"argocd/web-1 (in-cluster) has been on hold for {days}"
            for days in ("1 day", "2 days", "3 days")
        ]
        assert all(
            "recovery release argocd/web-1" in n.body
            for n in p.told
            if "has been on hold" in n.title
        )

    play(script)


def test_a_person_who_switches_auto_sync_on_is_respected() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(short_policies("web"))
        async with p.controller():
            await p.world.application("web-1", (deployment("web-1", "ready", 8),))
            await p.clock.sleep(5 * MINUTE)
            await p.world.commit("web-1", (deployment("web-1", "missing", 8),))
            await p.clock.sleep(5 * MINUTE)
            assert p.world.seen("web-1").hold is not None
            await p.world.cluster.patch(
                APPLICATIONS,
                ARGOCD,
                "web-1",
                {"spec": {"syncPolicy": {"automated": {"enabled": True}}}},
            )
            await p.clock.sleep(10)
            assert p.world.seen("web-1").hold is None
            assert p.world.seen("web-1").auto_sync

    play(script)


def test_a_stalled_recovery_begins_anew_when_a_person_says_so() -> None:
    async def script(p: Play) -> None:
        from recovery.commands.requests import write
        from recovery.commands.reset import asked

        await p.world.policies(short_policies("web", attempts=1))
        async with p.controller():
            await p.world.application("web-1", (deployment("web-1"), custom("Mute", "w")))
            await p.clock.sleep(10 * MINUTE)
            (stalled,) = p.world.recoveries()
            assert (stalled.phase, stalled.attempt) == (RecoveryPhase.Stalled, 1)
            await p.world.install("Mute")
            await p.clock.sleep(10 * MINUTE)
            assert p.phases() == ["Stalled"], "nobody said that anything changed"
            await write(p.world.cluster, OURS, stalled.name, asked, "ada", p.clock)  # type: ignore[arg-type]
            await p.clock.sleep(5 * MINUTE)
            (again,) = p.world.recoveries()
            assert (again.name, again.phase, again.attempt, again.max_attempts) == (
                stalled.name,
                RecoveryPhase.Resolved,
                2,
                2,
            )

    play(script)


def test_a_recovery_edited_to_nonsense_is_told_of_and_goes_on_when_it_is_mended() -> None:
    async def script(p: Play) -> None:
        secret = {"metadata": {"name": "recovery-channels"}, "data": {"receiver": "anNvbjovL3g="}}
        await p.world.cluster.create(SECRETS, OURS, secret)
        await p.world.policies(short_policies("web", attempts=3))
        async with p.controller() as app:
            await p.world.application("web-1", (deployment("web-1"), custom("Widget", "w")))
            await p.clock.sleep(40)
            (held,) = p.world.recoveries()
            assert not held.phase.over
            await p.world.cluster.patch(
                RECOVERY_STATUS, OURS, held.name, {"status": {"attempt": "many"}}
            )
            await p.clock.sleep(5 * MINUTE)
            (told,) = [n.body for n in p.told if "can no longer be read" in n.title]
            assert "Expected `int`, got `str` - at `$.attempt`" in told
            writes = len(p.touched("web-1"))
            assert (
                b'recovery_unreadable_objects{stream="recoveries in gitops-system"} 1.0'
                in app.views.metrics()
            )
            await p.clock.sleep(10 * MINUTE)
            assert len(p.touched("web-1")) == writes, "nothing is done on what nobody can read"
            await p.world.install("Widget")
            await p.world.cluster.patch(
                RECOVERY_STATUS, OURS, held.name, {"status": {"attempt": held.attempt}}
            )
            await p.clock.sleep(10 * MINUTE)
            assert p.phases() == ["Resolved"]

    play(script)


@pytest.mark.parametrize(
    "what", ["the policy is edited", "another commit is to be synced", "nothing changes"]
)
def test_an_approval_is_for_what_was_asked_and_nothing_else(what: str) -> None:
    """A sync is approved while a pause holds it back; when the pause ends, it may be another thing
    that would be done."""

    async def script(p: Play) -> None:
        from recovery.commands.approve import asked
        from recovery.commands.requests import write

        await p.world.cluster.create(
            SECRETS,
            OURS,
            {"metadata": {"name": "recovery-channels"}, "data": {"receiver": "anNvbjovL3g="}},
        )
        policy = short_policies("web").replace("defaults: {", "defaults: {mode: approve, ")
        policy = policy.replace("  - {type: refresh, parameters: {hard: true}, timeout: 30s}\n", "")
        await p.world.policies(policy)
        async with p.controller():
            await p.world.application("web-1", (deployment("web-1"), custom("Mute", "w")))
            await p.clock.sleep(2 * MINUTE)
            (held,) = p.world.recoveries()
            assert held.awaiting.startswith("1.0 sync "), held.awaiting
            await p.world.annotate("web-1", {"recovery.gitops.dev/paused": "not yet"})
            await write(p.world.cluster, OURS, held.name, asked, "ada", p.clock)  # type: ignore[arg-type]
            if what == "the policy is edited":
                await p.world.policies(policy.replace("prune: true", "prune: false"))
            elif what == "another commit is to be synced":
                await p.world.commit(
                    "web-1", (deployment("web-1"), custom("Mute", "w"), deployment("web-2"))
                )
            await p.clock.sleep(MINUTE)
            await p.world.annotate("web-1", {"recovery.gitops.dev/paused": None})
            await p.clock.sleep(10 * MINUTE)

            synced = [w for w in p.touched("web-1") if "operation" in w]
            told = [n.body for n in p.told if "an approval was not used" in n.title]
            if what == "nothing changes":
                assert (len(synced), told) == (1, [])
                return
            assert synced == []
            assert len(told) == 1
            assert told[0].startswith("ada approved step 1.0 sync at 12:02:0")
            assert "was for something else: policy, plan or revision have changed since" in told[0]
            (held,) = p.world.recoveries()
            await write(p.world.cluster, OURS, held.name, asked, "ada", p.clock)  # type: ignore[arg-type]
            await p.clock.sleep(MINUTE)
            assert len([w for w in p.touched("web-1") if "operation" in w]) == 1, (
                "asked again, and approved again"
            )

    play(script)


def test_an_approval_that_is_not_used_in_time_is_told_of_once() -> None:
    async def script(p: Play) -> None:
        from recovery.commands.approve import asked
        from recovery.commands.requests import write

        await p.world.cluster.create(
            SECRETS,
            OURS,
            {"metadata": {"name": "recovery-channels"}, "data": {"receiver": "anNvbjovL3g="}},
        )
        await p.world.policies(
            short_policies("web").replace("defaults: {", "defaults: {mode: approve, ")
        )
        async with p.controller():
            await p.world.application("web-1", (deployment("web-1"), custom("Mute", "w")))
            await p.clock.sleep(2 * MINUTE)
            (held,) = p.world.recoveries()
            assert held.reason == "ApprovalRequired"
            await p.world.annotate("web-1", {"recovery.gitops.dev/paused": "not yet"})
            await write(p.world.cluster, OURS, held.name, asked, "ada", p.clock)  # type: ignore[arg-type]
            await p.clock.sleep(90 * MINUTE)
            await p.world.annotate("web-1", {"recovery.gitops.dev/paused": None})
            await p.clock.sleep(30 * MINUTE)
            assert not any(
                "operation" in w or "argocd.argoproj.io/refresh" in str(w)
                for w in p.touched("web-1")
            ), "it was good for an hour"
            told = [n.body for n in p.told if "an approval was not used" in n.title]
            assert len(told) == 1
            assert told[0].startswith("ada approved step 1.0 refresh at 12:02:0")
            (held,) = p.world.recoveries()
            assert [(w.type, w.by) for w in held.requests] == [("expired", "ada")]

    play(script)


def test_a_silence_holds_back_messages_and_nothing_else() -> None:
    async def script(p: Play) -> None:
        from datetime import timedelta

        from recovery.model.selector import Selector
        from recovery.model.window import Pause
        from recovery.observe.pauses import NAME, write

        await p.world.cluster.create(
            SECRETS,
            OURS,
            {"metadata": {"name": "recovery-channels"}, "data": {"receiver": "anNvbjovL3g="}},
        )
        await p.world.policies(
            short_policies("web", attempts=1) + "guards: {storm: {minimum: 1000}}\n"
        )
        silent = Pause(
            Selector(names=("web-1",)),
            "known",
            "ada",
            p.clock.now() + timedelta(hours=1),
            silences=True,
        )
        await p.world.cluster.create(
            CONFIG_MAPS, OURS, {"metadata": {"name": NAME}, "data": {"silence": write(silent)}}
        )
        async with p.controller():
            for name in ("web-1", "web-2"):
                await p.world.application(name, (deployment(name, "crash-until-restart", 5),))
            await p.world.application("web-3", (deployment("web-3", "crash", 5),))
            await p.clock.sleep(30 * MINUTE)
            assert p.phases() == ["Resolved", "Resolved", "Stalled"]
            keys = {key for n in p.told for key in n.members or (n.key,)}
            assert {key.partition("/")[0] for key in keys} == {
                r.name for r in p.world.recoveries() if r.subject.name != "web-1"
            }
            await p.clock.sleep(60 * MINUTE)
            assert not any(
                key.startswith("web-1-") for n in p.told for key in n.members or (n.key,)
            ), "over by then: it is not told of afterwards"
            assert any("silence silence expired" in n.title for n in p.told)

    play(script)


def test_a_hole_in_the_checkpoint_is_no_leave_to_touch_what_was_unwell() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(short_policies("web"))
        for number in range(8):
            await p.world.application(f"web-{number}", (deployment(f"web-{number}", "crash", 8),))
        async with p.controller():
            await p.clock.sleep(10 * MINUTE)
            assert p.touched("web") == [], (
                "they were unwell before it came: eight are more than five"
            )
        await p.world.cluster.delete(CONFIG_MAPS, OURS, "recovery-checkpoint-0")
        await p.world.cluster.create(
            CONFIG_MAPS,
            OURS,
            {
                "metadata": {
                    "name": "recovery-checkpoint-1",
                    "labels": {"recovery.gitops.dev/checkpoint": "true"},
                }
            },
        )
        async with p.controller():
            await p.clock.sleep(30 * MINUTE)
            assert p.touched("web") == [], "what nobody remembers any more is inherited"

    play(script)


def test_what_nobody_watched_does_not_count() -> None:
    """The API server is away for twenty minutes; meanwhile the application was well for a while,
    and nobody saw it."""

    async def script(p: Play) -> None:
        await p.world.policies(short_policies("web", duration="10m"))
        await p.world.application("web-1", (deployment("web-1"), custom("Widget", "w")))
        async with p.controller() as app:
            await p.clock.sleep(5 * MINUTE)
            ((_, sight),) = app.store.pending()
            assert p.touched("web") == []
            before = p.clock.now() - min(sight.clocks.values())
            p.faults.append(lambda verb, what: Unavailable("no route to host"))
            p.world.cluster.compact()
            await p.clock.sleep(20 * MINUTE)
            p.faults.clear()
            await p.clock.sleep(2 * MINUTE)
            ((_, sight),) = app.store.pending()
            lasted = p.clock.now() - min(sight.clocks.values())
            assert lasted - before < timedelta(minutes=6), (before, lasted)

    play(script)


class Jumpy(virtual.VirtualClock):
    """A wall clock that somebody sets; the monotonic one goes on."""

    off = timedelta()

    def now(self) -> datetime:
        return super().now() + self.off


@pytest.mark.parametrize("jump", [timedelta(hours=2), timedelta(days=-1)], ids=["forward", "back"])
def test_a_wall_clock_that_is_set_makes_nothing_last_longer_or_shorter(jump: timedelta) -> None:
    async def script(p: Play) -> None:
        p.clock = clock = Jumpy()
        await p.world.policies(short_policies("web", duration="10m"))
        await p.world.application("web-1", (deployment("web-1"), custom("Widget", "w")))
        async with p.controller() as app:
            await p.clock.sleep(5 * MINUTE)
            clock.off = jump
            await p.clock.sleep(10)
            ((_, sight),) = app.store.pending()
            lasted = clock.now() - min(sight.clocks.values())
            assert timedelta(minutes=4.5) < lasted < timedelta(minutes=5.5), lasted

    play(script)
