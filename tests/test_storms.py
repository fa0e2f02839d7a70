"""Many that fall ill together: one incident, nothing done to its members, and slowly on when it is
over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from recovery.commands.approve import asked
from recovery.commands.requests import write
from recovery.decide import storms
from recovery.kube.client import CONFIG_MAPS, DEPLOYMENTS, EVENTS, RECOVERIES
from recovery.model.recovery import RecoveryPhase
from recovery.model.storm import GroupCount, StormLimits
from recovery.serve.auth import EVERYBODY
from recovery.simulate.environment import OURS, EmbeddedEnvironment
from recovery.simulate.manifests import deployment
from tests.builders import NOW
from tests.play import Play, play
from tests.stage import policies as short_policies

MINUTE = 60.0
POLICIES = (
    short_policies("web", duration="60s")
    + "guards: {storm: {cooldown: 5m}, budget: {per_cluster: 100, per_project: 100}}\n"
)


def crowd(group: str, fallen: int, of: int, total: int | None = None) -> GroupCount:
    return GroupCount(group, "" if group == "fleet" else "shop", fallen, of, total or of, NOW)


@pytest.mark.parametrize(
    ("crowds", "name"),
    [
        pytest.param(
            (crowd("fleet", 24, 100), crowd("project", 4, 5)), "", id="less than every limit"
        ),
        pytest.param(
            (crowd("fleet", 25, 10_000),), "fleet", id="25 in all, however large the fleet"
        ),
        pytest.param((crowd("fleet", 6, 20),), "fleet", id="30 percent of the fleet"),
        pytest.param((crowd("fleet", 4, 12),), "", id="a third, and fewer than five"),
        pytest.param(
            (crowd("fleet", 24, 1000), crowd("project", 6, 20)),
            "project",
            id="30 percent of a project",
        ),
        pytest.param(
            (crowd("fleet", 5, 16), crowd("cluster", 5, 8), crowd("repository", 5, 5)),
            "repository",
            id="what most have in common",
        ),
        pytest.param((crowd("fleet", 3, 6, 6),), "fleet", id="half of a small fleet"),
        pytest.param((crowd("fleet", 2, 3, 3),), "", id="two are none"),
        pytest.param((crowd("fleet", 3, 9, 9),), "", id="three of nine are none"),
        pytest.param(
            (crowd("fleet", 5, 10, 40),), "fleet", id="against those that were well before"
        ),
    ],
)
def test_what_is_a_storm(crowds: tuple[GroupCount, ...], name: str) -> None:
    found = storms.common(crowds, StormLimits())

    assert (found.group if found else "") == name


async def fleet(world: EmbeddedEnvironment, ill: int, well: int) -> None:
    for number in range(ill):
        await world.application(
            f"web-{number}", (deployment(f"web-{number}", "ready", 5),), project="shop"
        )
    for number in range(well):
        await world.application(f"well-{number}", (deployment(f"well-{number}"),), project="other")


async def let_go(p: Play) -> None:
    """A person approves the one storm there is."""
    (storm,) = p.world.recoveries()
    await write(p.world.cluster, OURS, storm.name, asked, "ada", p.clock)


async def break_all(p: Play, ill: int) -> None:
    for number in range(ill):
        await p.world.commit(f"web-{number}", (deployment(f"web-{number}", "crash", 5),))


def test_a_storm_is_one_incident_and_nothing_is_done_to_its_members() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        await fleet(p.world, 12, 20)
        async with p.controller() as app:
            await p.clock.sleep(5 * MINUTE)
            await break_all(p, 12)
            await p.clock.sleep(30 * MINUTE)
            (storm,) = p.world.recoveries()
            assert (storm.subject.kind, storm.subject.name, storm.phase) == (
                "Storm",
                "project/shop",
                RecoveryPhase.Suppressed,
            )
            assert p.touched("web") == []
            (told,) = [e["note"] for e in p.world.cluster.every(EVENTS) if e["reason"] == "Message"]
            assert told.startswith("12 applications of project shop are unhealthy: one incident")
            assert all(f"- argocd/web-{n}" in told for n in range(12)), "it lists its members"
            rows = app.views.recoveries(EVERYBODY.sees)["pending"]
            assert {
                (r["by"], "12 of 12 applications of project shop" in r["message"])
                for r in rows
                if r["by"]
            } == {("Storm", True)}
            assert b'recovery_decisions_total{decision="Suppress"' in app.views.metrics()
            explained = app.views.explain(p.world.seen("web-3").key, EVERYBODY.sees)
            assert explained is not None
            assert storm.name in explained["decisions"][0]["message"], "explain names the incident"
            # The common cause is mended: all are well again, nobody was told of each.
            for number in range(12):
                await p.world.commit(f"web-{number}", (deployment(f"web-{number}", "ready-2", 5),))
            await p.clock.sleep(2 * MINUTE)
            assert [r.reason for r in p.world.recoveries()] == ["Cooldown"]
            await p.clock.sleep(5 * MINUTE)
            assert [(r.phase, r.reason) for r in p.world.recoveries()] == [
                (RecoveryPhase.Resolved, "StormEnded")
            ]
            assert p.touched("web") == []

    play(script)


def test_after_a_storm_those_still_ill_are_recovered_one_after_the_other() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        await fleet(p.world, 8, 20)
        most: dict[int, int] = {}

        async with p.controller():
            await p.clock.sleep(5 * MINUTE)
            await break_all(p, 8)
            await p.clock.sleep(10 * MINUTE)
            assert p.touched("web") == []
            for number in range(4):
                await p.world.commit(f"web-{number}", (deployment(f"web-{number}", "ready-2", 5),))
            await p.clock.sleep(2 * MINUTE)
            assert p.touched("web") == [], "four are no storm any more; it cools down first"
            await p.clock.sleep(4 * MINUTE)
            began = p.clock.now()

            def count(what: object, kind: str, item: object) -> None:
                if what == RECOVERIES:
                    minute = int((p.clock.now() - began) / timedelta(minutes=1))
                    most[minute] = max(most.get(minute, 0), p.phases().count("Remediating"))

            p.world.cluster.listen(count)
            await p.clock.sleep(15 * MINUTE)
        assert most, "they are recovered"
        assert all(at_work <= 2 + minute for minute, at_work in most.items()), most
        assert {
            r.subject.name for r in p.world.recoveries() if r.subject.kind == "Application"
        } == {f"web-{n}" for n in range(4, 8)}

    play(script)


def test_a_person_may_let_its_members_go() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        await fleet(p.world, 6, 20)
        async with p.controller():
            await p.clock.sleep(5 * MINUTE)
            await break_all(p, 6)
            await p.clock.sleep(10 * MINUTE)
            await let_go(p)
            await p.clock.sleep(10 * MINUTE)
            assert p.touched("web") != []
            (storm,) = [r for r in p.world.recoveries() if r.subject.kind == "Storm"]
            assert storm.reason in ("MembersApproved", "StormEnded"), (
                "let go, and over when nothing new came"
            )
            assert [w.by for w in storm.requests] == ["ada"]

    play(script)


def test_one_that_falls_ill_by_itself_is_recovered_beside_a_storm() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        await fleet(p.world, 8, 20)
        await p.world.application(
            "web-alone", (deployment("web-alone", "ready", 5),), project="alone"
        )
        async with p.controller():
            await p.clock.sleep(5 * MINUTE)
            await break_all(p, 8)
            await p.clock.sleep(30 * MINUTE)
            await p.world.commit("web-alone", (deployment("web-alone", "crash-until-restart", 5),))
            await p.clock.sleep(10 * MINUTE)
            (alone,) = [r for r in p.world.recoveries() if r.subject.kind == "Application"]
            assert (alone.subject.name, alone.phase) == ("web-alone", RecoveryPhase.Resolved)

    play(script)


def test_a_storm_goes_on_over_a_restart() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        await fleet(p.world, 8, 20)
        async with p.controller():
            await p.clock.sleep(5 * MINUTE)
            await break_all(p, 8)
            await p.clock.sleep(10 * MINUTE)
        async with p.controller():
            await p.clock.sleep(30 * MINUTE)
            assert p.touched("web") == []
            assert [r.subject.kind for r in p.world.recoveries()] == ["Storm"]

    play(script)


def test_everything_paused_by_command_goes_on_when_the_time_is_over() -> None:
    async def script(p: Play) -> None:
        from recovery.model.window import Pause
        from recovery.observe.pauses import NAME, write

        await p.world.policies(short_policies("web"))
        until = p.clock.now() + timedelta(minutes=20)
        data = {"all": write(Pause(reason="migration", by="ada", until=until))}
        await p.world.cluster.create(CONFIG_MAPS, OURS, {"metadata": {"name": NAME}, "data": data})
        async with p.controller() as app:
            app.outbox.default_channels = ("ops",)
            await p.world.application("web-1", (deployment("web-1", "crash-until-restart", 5),))
            await p.clock.sleep(15 * MINUTE)
            assert p.touched("web") == []
            (held,) = p.world.recoveries()
            assert held.reason == "Paused"
            assert (
                "everything is paused by ada: migration, until 2026-03-02 12:20 UTC; `recovery resume all` ends it"
                in held.message
            )
            await p.clock.sleep(10 * MINUTE)
            assert p.phases() == ["Resolved"]
            assert (p.world.cluster.find(CONFIG_MAPS, OURS, NAME) or {}).get("data") == {}

    play(script)


def test_a_pause_that_cannot_be_read_pauses_everything_and_says_so() -> None:
    async def script(p: Play) -> None:
        from recovery.observe.pauses import NAME

        await p.world.policies(short_policies("web"))
        await p.world.cluster.create(
            CONFIG_MAPS, OURS, {"metadata": {"name": NAME}, "data": {"x": '{"until": "christmas"}'}}
        )
        async with p.controller():
            await p.world.application("web-1", (deployment("web-1", "crash-until-restart", 5),))
            await p.clock.sleep(15 * MINUTE)
            (held,) = p.world.recoveries()
            assert "entry x of ConfigMap recovery-pauses cannot be read" in held.message
            await p.world.cluster.patch(CONFIG_MAPS, OURS, NAME, {"data": {"x": None}})
            await p.clock.sleep(10 * MINUTE)
            assert p.phases() == ["Resolved"]

    play(script)


def test_letting_the_members_go_is_no_leave_for_the_next_storm() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        await fleet(p.world, 12, 4)
        async with p.controller():
            await p.clock.sleep(5 * MINUTE)
            await break_all(p, 6)
            await p.clock.sleep(10 * MINUTE)
            await let_go(p)
            await p.clock.sleep(40 * MINUTE)
            assert p.touched("web-0"), "those that were let go are recovered"
            for number in range(6, 12):
                await p.world.commit(f"web-{number}", (deployment(f"web-{number}", "crash", 5),))
            await p.clock.sleep(20 * MINUTE)
            storm = [r for r in p.world.recoveries() if r.subject.kind == "Storm"][-1]
            assert (storm.reason, storm.requests) == ("Storm", ())
            assert not any(p.touched(f"web-{number}") for number in range(6, 10))

    play(script)


def test_what_has_most_of_them_in_common_is_the_incident() -> None:
    ten = tuple(crowd("repository", 5, 5) for _ in range(2))

    found = storms.common((crowd("fleet", 50, 60), crowd("cluster", 50, 60), *ten), StormLimits())

    assert found is not None
    assert (found.group, found.fallen) == ("fleet", 50)


def test_who_falls_ill_long_after_a_storm_is_no_member_of_it() -> None:
    """A quarter of the fleet is left ill by its owners; hours later a lone application has a bad
    image."""

    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        await fleet(p.world, 8, 20)
        await p.world.application("web-late", (deployment("web-late", "ready", 5),), project="shop")
        async with p.controller():
            await p.clock.sleep(5 * MINUTE)
            for number in range(8):
                await p.world.commit(f"web-{number}", (deployment(f"web-{number}", "denied", 5),))
            await p.clock.sleep(180 * MINUTE)
            assert any(r.subject.kind == "Storm" and not r.phase.over for r in p.world.recoveries())
            await p.world.commit("web-late", (deployment("web-late", "missing", 5),))
            await p.clock.sleep(20 * MINUTE)
            (late,) = [r for r in p.world.recoveries() if r.subject.name == "web-late"]
            assert late.phase is RecoveryPhase.Resolved, (late.phase, late.reason, late.message)
            assert any(s.action == "rollback" and s.sent for s in late.steps)

    play(script)


def test_many_that_fall_ill_in_a_row_are_a_storm_though_never_many_at_once() -> None:
    """What they depend on goes slowly: one after the other falls ill, each with a deploy that had
    been seen to work."""

    async def script(p: Play) -> None:
        text = POLICIES.replace(
            "health: Degraded, duration: 10s", "health: [Degraded, Progressing], duration: 60s"
        )
        await p.world.policies(text)
        await fleet(p.world, 0, 80)
        for number in range(20):
            await p.world.application(
                f"web-{number}", (deployment(f"web-{number}", "ready", 5),), project=f"p{number}"
            )
        async with p.controller():
            await p.clock.sleep(20 * MINUTE)
            for number in range(20):
                key = {
                    "spec": {
                        "template": {
                            "spec": {
                                "containers": [
                                    {
                                        "name": "main",
                                        "image": f"registry.example/shop:crash-{number}",
                                    }
                                ]
                            }
                        }
                    }
                }
                await p.world.cluster.patch(DEPLOYMENTS, "shop", f"web-{number}", key)
                await p.clock.sleep(2 * MINUTE)
            await p.clock.sleep(10 * MINUTE)
            assert any(
                r.subject.kind == "Storm" and r.subject.name.startswith("slow-")
                for r in p.world.recoveries()
            )
            touched = {
                r.subject.name
                for r in p.world.recoveries()
                if any(s.sent and s.action in ("restart", "rollback") for s in r.steps)
            }
            assert len(touched) <= 8, touched

    play(script)
