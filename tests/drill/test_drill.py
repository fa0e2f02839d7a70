"""Drills on the embedded cluster, led to their end and cut off in the middle."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs

from recovery.act.registry import POLICY_ACTIONS
from recovery.commands.plan import shipped
from recovery.drill.application import (
    ALLOWED,
    DRILL,
    Drill,
    Unfit,
    breaking,
    leftover,
    outside,
    project_of,
    wider,
)
from recovery.drill.lease import LAPSES_AFTER, LEASE
from recovery.drill.running import Conditions, Report, Runner, allowed_namespaces
from recovery.drill.timeline import Entry
from recovery.kube.client import (
    APPLICATIONS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    PROJECTS,
    SECRETS,
)
from recovery.kube.errors import Conflict, Unauthorized, Unavailable
from recovery.observe import wire
from recovery.policies import parse
from recovery.simulate.environment import ARGOCD, OURS, RUNS_IN, EmbeddedEnvironment, url
from recovery.simulate.manifests import deployment
from recovery.simulate.virtual import VirtualClock, run
from tests.builders import a_recovery, plant
from tests.embedded_stage import EmbeddedStage

PLACE = "recovery-drill"
POLICIES = """
recovery_policies:
- name: broken
  condition: {type: application, health: Degraded, duration: 1m}
  actions: [{type: rollback}]
"""
HELPLESS = """
recovery_policies:
- name: broken
  condition: {type: application, health: Degraded, duration: 1m}
  attempts: 1
  actions: [{type: restart}, {type: notify, parameters: {channels: [receiver]}}]
"""
Play = Callable[[EmbeddedEnvironment, EmbeddedStage], Awaitable[Any]]


def a_drill(number: int = 1, **changes: Any) -> Drill:
    return Drill(f"{number:06x}", url("drill"), ".", PLACE, ARGOCD, **changes)


def conditions(policies: str | bytes, **changes: Any) -> Conditions:
    values: dict[str, Any] = {
        "channels": ("receiver",),
        "namespace": OURS,
        "timeout": timedelta(minutes=30),
    }
    return Conditions(parse(policies, POLICY_ACTIONS), **(values | changes))


def played(play: Play, policies: str | bytes = POLICIES, *, enabled: bool = True) -> Any:
    """A controller at work, an application of somebody else beside it, and a repository."""

    async def inside() -> Any:
        world = EmbeddedEnvironment(VirtualClock())
        stage = EmbeddedStage(world, "drill")
        async with world.living():
            await world.policies(policies if isinstance(policies, str) else policies.decode())
            await world.application("shop", (deployment("shop", "ready", 60),))
            world.git.commit(url("drill"), (deployment("drill", "ready", 60),))
            meta = {"metadata": {"name": PLACE, "labels": {DRILL: ALLOWED}}}
            await world.cluster.create(NAMESPACES, "", meta)
            async with stage.controller(enabled=enabled):
                return await play(world, stage)

    return run(inside())


def runner(
    world: EmbeddedEnvironment,
    drill: Drill,
    wanted: Conditions,
    said: Callable[[Entry], None] = lambda _: None,
) -> Runner:
    return Runner(world.cluster, drill, wanted, world.clock, said)


def left(world: EmbeddedEnvironment) -> list[str]:
    """Everything of a drill that is there, and the Leases of drills."""
    names = [a["metadata"]["name"] for a in world.cluster.every(APPLICATIONS)]
    names += [p["metadata"]["name"] for p in world.cluster.every(PROJECTS)]
    for what in (DEPLOYMENTS, LEASES):
        names += [
            item["metadata"]["name"]
            for item in world.cluster.every(what)
            if item["metadata"]["namespace"] == PLACE
        ]
    return sorted({name for name in names if name not in ("shop", "default")})


def kept(report: Report) -> dict[str, bool]:
    return {promise.promise: promise.kept for promise in report.promises}


def test_a_drill_is_recovered_told_and_taken_away() -> None:
    async def play(world: EmbeddedEnvironment, stage: EmbeddedStage) -> Report:
        report = await runner(world, a_drill(), conditions(POLICIES)).run()
        assert left(world) == []
        titles = " ".join(note["title"] for note in stage.received)
        assert "recovery-drill-000001" in titles
        return report

    report = played(play)
    assert report.kept, report.promises
    assert len(report.promises) == 8
    what = "\n".join(entry.what for entry in report.timeline)
    for part in ("Synced Degraded", "rollback started", "rollback Succeeded", "Resolved"):
        assert part in what, what
    times = [entry.at for entry in report.timeline]
    assert times == sorted(times)


def test_what_no_remedy_helps_calls_a_person() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> Report:
        report = await runner(world, a_drill(), conditions(HELPLESS)).run()
        assert left(world) == []
        return report

    report = played(play, HELPLESS)
    assert report.kept, report.promises
    assert "Stalled" in str(report.promises)
    assert "restart started" not in str(report.timeline), "the cause forbids it"


def test_the_shipped_policies_pass() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> Report:
        wanted = conditions(shipped(), channels=())
        return await runner(world, a_drill(), wanted).run()

    report = played(play, shipped())
    assert [p for p in report.promises if not p.kept and p.promise != "told people"] == []


def test_a_controller_that_is_not_there_keeps_no_promise() -> None:
    async def play(world: EmbeddedEnvironment, stage: EmbeddedStage) -> Report:
        wanted = conditions(POLICIES, timeout=timedelta(minutes=5))
        assert stage._app is not None
        stage._app.stop()
        report = await runner(world, a_drill(), wanted).run()
        assert left(world) == []
        return report

    report = played(play)
    assert kept(report) == {"noticed": False, "left nothing behind": True}


def test_a_controller_that_only_observes_says_what_it_would_do() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> Report:
        return await runner(world, a_drill(), conditions(POLICIES)).run()

    report = played(play, enabled=False)
    assert report.kept, report.promises
    assert "it only observes" in str(report.promises)
    assert "started" not in str(report.timeline)


def test_a_message_that_is_not_delivered_is_a_broken_promise() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> Report:
        wanted = conditions(POLICIES, channels=("receiver", "pager"))
        return await runner(world, a_drill(), wanted).run()

    report = played(play)
    assert [name for name, good in kept(report).items() if not good] == ["told people"]
    assert "not pager" in str(report.promises)


async def until(world: EmbeddedEnvironment, entries: list[Entry], words: str) -> None:
    for _ in range(4_000):
        if any(words in entry.what for entry in entries):
            return
        await world.clock.sleep(1)
    raise AssertionError(entries)


@pytest.mark.parametrize(
    "words", ["nothing is deployed yet", "healthy; in", "broken:", "rollback started"]
)
def test_a_drill_that_is_interrupted_takes_everything_away(words: str) -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> None:
        entries: list[Entry] = []
        task = asyncio.create_task(
            runner(world, a_drill(), conditions(POLICIES), entries.append).run()
        )
        await until(world, entries, words)
        assert left(world) != []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert left(world) == []

    played(play)


class Killed:
    """A client of a process that is killed: from then on nothing of it gets out."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.dead = False
        self.over = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        async def asked(*args: Any, **more: Any) -> Any:
            if self.dead:
                await self.over.wait()
                raise Unavailable("killed")
            return await getattr(self._client, name)(*args, **more)

        return asked


@pytest.mark.parametrize("words", ["nothing is deployed yet", "broken:", "rollback started"])
def test_the_next_drill_removes_what_a_killed_one_left(words: str) -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> Report:
        entries: list[Entry] = []
        client = Killed(world.cluster)
        first = Runner(
            client,  # type: ignore[arg-type]
            a_drill(1),
            conditions(POLICIES),
            world.clock,
            entries.append,
        )
        task = asyncio.create_task(first.run())
        await until(world, entries, words)
        client.dead = True
        await world.clock.sleep(5)
        assert "recovery-drill-000001" in left(world)
        report = await runner(world, a_drill(2), conditions(POLICIES)).run()
        assert left(world) == []
        client.over.set()
        await asyncio.gather(task, return_exceptions=True)
        return report

    report = played(play)
    assert report.kept, report.promises
    what = [entry.what for entry in report.timeline]
    assert what[0] == "the drill recovery-drill-000001 was killed; it is cleaned up first"
    assert what[1] == "recovery-drill-000001 is left of it, and is deleted"


def test_a_drill_under_way_is_left_alone() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> None:
        entries: list[Entry] = []
        task = asyncio.create_task(
            runner(world, a_drill(1), conditions(POLICIES), entries.append).run()
        )
        await until(world, entries, "healthy; in")
        with pytest.raises(Unfit, match=r"another drill is under way .*recovery-drill-000001"):
            await runner(world, a_drill(2), conditions(POLICIES)).run()
        assert "recovery-drill-000001" in left(world)
        assert (await task).kept

    played(play)


def test_a_namespace_with_anything_in_it_is_refused() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> None:
        body = deployment("precious", "ready", 60)
        await world.cluster.create(DEPLOYMENTS, PLACE, body)
        with pytest.raises(Unfit, match="kept for drills, and has deployments/precious"):
            await runner(world, a_drill(), conditions(POLICIES)).run()
        assert left(world) == ["precious"]

    played(play)


def test_nothing_is_deployed_outside_the_namespace() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> None:
        drill = a_drill()

        async def astray(*args: Any, **more: Any) -> bytes:
            raw = await get(*args, **more)
            return raw.replace(
                f'"namespace":"{PLACE}","status"'.encode(), b'"namespace":"shop","status"'
            )

        get = world.cluster.get
        client = Killed(world.cluster)
        client.get = astray  # type: ignore[attr-defined]
        leading = Runner(client, drill, conditions(POLICIES), world.clock, lambda _: None)  # type: ignore[arg-type]
        with pytest.raises(
            Unfit, match="would deploy outside namespace recovery-drill: Deployment/drill in shop"
        ):
            await leading.run()
        assert left(world) == []
        assert not any("automated" in str(w) for w in world.cluster.writes if w[3] == drill.name), (
            "it was never let go"
        )

    played(play)


def test_only_the_application_of_the_drill_that_was_killed_is_a_leftover() -> None:
    killed = "recovery-drill-000009"

    def an(name: str = killed, label: str = "true", namespace: str = PLACE) -> bool:
        labels = {DRILL: label} if label else {}
        app = wire.application(_raw(name=name, labels=labels, namespace=namespace))
        return leftover(app, killed, PLACE)

    assert an()
    assert not an(name="recovery-drill-mine")
    assert not an(label="")
    assert not an(label="no")
    assert not an(namespace=RUNS_IN)
    shop = wire.application(_raw(name="shop", labels={DRILL: "true"}, namespace=PLACE))
    assert not leftover(shop, "shop", PLACE), "a Lease may say anything"


def _raw(name: str, labels: dict[str, str], namespace: str) -> bytes:
    return msgspec.json.encode(
        {
            "metadata": {"name": name, "namespace": ARGOCD, "uid": "u", "labels": labels},
            "spec": {
                "project": "default",
                "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            },
        }
    )


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nginx", "nginx"),
        ("nginx:1.27", "nginx"),
        ("registry.example:5000/a/nginx:1.27", "registry.example:5000/a/nginx"),
        ("registry.example:5000/nginx", "registry.example:5000/nginx"),
        ("nginx:1.27@sha256:0123", "nginx"),
    ],
)
def test_an_image_is_overridden_by_its_name(image: str, name: str) -> None:
    status = {"sourceType": "Kustomize", "summary": {"images": [image]}}
    patch = breaking(a_drill(), {"status": status})
    assert patch["spec"]["source"]["kustomize"]["images"] == [f"{name}:recovery-drill-000001"]


def test_a_chart_is_broken_by_its_parameter() -> None:
    patch = breaking(a_drill(helm_parameter="web.tag"), {"status": {"sourceType": "Helm"}})
    (parameter,) = patch["spec"]["source"]["helm"]["parameters"]
    assert (parameter["name"], parameter["value"]) == ("web.tag", "recovery-drill-000001")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"sourceType": "Directory"}, "type Directory; its image can be overridden in"),
        ({"sourceType": "Kustomize"}, "runs no image"),
        ({}, "type unknown"),
    ],
)
def test_what_cannot_be_broken_is_refused(status: dict[str, Any], words: str) -> None:
    with pytest.raises(Unfit, match=words):
        breaking(a_drill(), {"status": status})


def test_cluster_scoped_resources_are_outside() -> None:
    rows = [
        {"kind": "ClusterRole", "name": "all"},
        {"kind": "Deployment", "name": "web", "namespace": PLACE},
        *({"kind": "Service", "name": f"s{n}", "namespace": "shop"} for n in range(6)),
    ]
    said = outside(a_drill(), {"status": {"resources": rows}})
    assert said.startswith("ClusterRole/all of the cluster, Service/s0 in shop, ")
    assert said.endswith(" and 2 more")


def test_only_labelled_namespaces_are_allowed() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> tuple[str, ...]:
        for name, labels in (("b", {DRILL: "no"}), ("c", {})):
            await world.cluster.create(
                NAMESPACES, "", {"metadata": {"name": name, "labels": labels}}
            )
        return await allowed_namespaces(world.cluster)

    assert played(play) == (PLACE,)


def test_a_lease_is_watched_before_it_is_taken_whatever_its_clock_says() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> list[float]:
        took = []
        for ago in (timedelta(hours=1), timedelta(seconds=20), timedelta(hours=-1)):
            renewed = f"{world.clock.now() - ago:%Y-%m-%dT%H:%M:%S.%fZ}"
            spec = {"holderIdentity": "recovery-drill-gone", "renewTime": renewed}
            await world.cluster.create(LEASES, PLACE, {"metadata": {"name": LEASE}, "spec": spec})
            began = world.clock.monotonic()
            entries: list[Entry] = []
            task = asyncio.create_task(
                runner(world, a_drill(), conditions(POLICIES), entries.append).run()
            )
            await until(world, entries, "was killed")
            took.append(world.clock.monotonic() - began)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert left(world) == []
        return took

    assert all(LAPSES_AFTER <= watched < LAPSES_AFTER + 10 for watched in played(play))


class Faulty:
    """A client whose requests fail as a test says."""

    def __init__(self, client: Any, fault: Callable[[str, tuple[Any, ...]], Exception | None]):
        self._client = client
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        async def asked(*args: Any, **more: Any) -> Any:
            if error := self._fault(name, args):
                raise error
            return await getattr(self._client, name)(*args, **more)

        return asked


def led(world: EmbeddedEnvironment, client: Any, entries: list[Entry], **changes: Any) -> Runner:
    wanted = conditions(POLICIES, **changes)
    return Runner(client, a_drill(), wanted, world.clock, entries.append)


@pytest.mark.parametrize("what", ["deployments", "leases", "recoveries", "applications"])
@pytest.mark.parametrize("verb", ["get", "list", "update", "delete"])
def test_faults_are_waited_out_and_nothing_is_left(verb: str, what: str) -> None:
    """Every third request of a kind fails, from the moment on at which it is healthy."""

    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> Report:
        entries: list[Entry] = []
        count = 0

        def fault(name: str, args: tuple[Any, ...]) -> Exception | None:
            nonlocal count
            under_way = any("healthy; in" in entry.what for entry in entries)
            # What is read once before it is broken, and is not tried again, ends a drill.
            once = (name, what) == ("get", "applications") and not any(
                "deleted" in entry.what for entry in entries
            )
            if not under_way or once or name != verb or args[0].plural != what:
                return None
            count += 1
            return Unavailable("500") if count % 3 == 1 else None

        report = await led(world, Faulty(world.cluster, fault), entries).run()
        assert [n for n in left(world) if n != LEASE] == []
        return report

    report = played(play)
    assert report.kept, report.promises


def test_a_lease_that_cannot_be_renewed_ends_the_drill_before_another_may_begin() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> None:
        entries: list[Entry] = []

        def fault(name: str, args: tuple[Any, ...]) -> Exception | None:
            healthy = any("healthy; in" in entry.what for entry in entries)
            stuck = healthy and name == "update" and args[0] == LEASES
            return Unavailable("500") if stuck else None

        began = world.clock.monotonic()
        with pytest.raises(Unfit, match="the Lease cannot be renewed"):
            await led(world, Faulty(world.cluster, fault), entries).run()
        healthy = next(e.at for e in entries if "healthy; in" in e.what)
        stopped = next(e.at for e in entries if "being deleted" in e.what)
        assert (stopped - healthy).total_seconds() <= LAPSES_AFTER
        assert world.clock.monotonic() - began < 400
        assert left(world) == []

    played(play)


def test_the_lease_of_another_drill_is_not_released() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> None:
        entries: list[Entry] = []
        task = asyncio.create_task(led(world, world.cluster, entries).run())
        await until(world, entries, "healthy; in")
        body = {"spec": {"holderIdentity": "recovery-drill-00000b"}}
        await world.cluster.patch(LEASES, PLACE, LEASE, body)
        with pytest.raises(Unfit, match="the Lease is recovery-drill-00000b's now"):
            await task
        assert left(world) == [LEASE]

    played(play)


def test_what_cannot_be_deleted_is_named_and_keeps_the_lease() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> None:
        entries: list[Entry] = []

        def fault(name: str, args: tuple[Any, ...]) -> Exception | None:
            if name == "delete" and args[0] == APPLICATIONS:
                return Unavailable("503 for ever")
            broken = any("healthy; in" in entry.what for entry in entries)
            patch = broken and name == "patch" and args[0] == APPLICATIONS
            return Conflict("409") if patch else None

        with pytest.raises(Unfit, match=r"409; and recovery-drill-000001 is not gone .*kubectl"):
            await led(world, Faulty(world.cluster, fault), entries).run()
        assert left(world) == ["drill", LEASE, "recovery-drill-000001"]
        second = await runner(world, a_drill(2), conditions(POLICIES)).run()
        assert second.kept, second.promises
        assert left(world) == []

    played(play)


def test_an_expired_token_ends_it_at_once_and_says_what_is_left() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> None:
        entries: list[Entry] = []

        def fault(name: str, args: tuple[Any, ...]) -> Exception | None:
            expired = any("broken" in entry.what for entry in entries)
            return Unauthorized("401", 401) if expired else None

        with pytest.raises(Unfit, match=r"401.* and recovery-drill-000001 is not gone"):
            await led(world, Faulty(world.cluster, fault), entries).run()
        broken = next(e.at for e in entries if "broken" in e.what)
        assert entries[-1].at - broken < timedelta(minutes=6)

    played(play)


def test_what_was_there_before_it_was_broken_counts_for_nothing() -> None:
    """It is slow to start: a recovery of that time is over when it is broken."""

    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> Report:
        entries: list[Entry] = []
        world.git.commit(url("drill"), (deployment("drill", "crash", 20),))
        task = asyncio.create_task(led(world, world.cluster, entries).run())
        await until(world, entries, "recovery ")
        world.git.commit(url("drill"), (deployment("drill", "ready", 20),))
        patch = {"spec": {"source": {"targetRevision": "HEAD"}}}
        await world.cluster.patch(APPLICATIONS, ARGOCD, "recovery-drill-000001", patch)
        return await task

    report = played(play)
    assert report.kept, report.promises
    broken = next(n for n, e in enumerate(report.timeline) if e.what.startswith("broken"))
    after = [entry.what for entry in report.timeline[broken:]]
    assert any("Synced Degraded" in what for what in after), after
    assert "rollback started" in after


def test_what_nobody_was_told_of_is_a_broken_promise() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> Report:
        await world.cluster.patch(SECRETS, OURS, "recovery-channels", {"data": {"receiver": None}})
        return await runner(world, a_drill(), conditions(POLICIES, channels=())).run()

    report = played(play)
    assert [name for name, good in kept(report).items() if not good] == ["told people"]
    assert "told nobody" in str(report.promises)


def test_an_override_that_changes_nothing_is_no_fault_of_the_controller() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> None:
        entries: list[Entry] = []

        def fault(name: str, args: tuple[Any, ...]) -> Exception | None:
            if name == "patch" and "kustomize" in str(args):
                args[3].clear()
            return None

        short = {"timeout": timedelta(minutes=5)}
        with pytest.raises(Unfit, match="never became Degraded within 5m: the override changes"):
            await led(world, Faulty(world.cluster, fault), entries, **short).run()
        assert left(world) == []

    played(play)


def test_a_policy_that_asks_for_an_approval_has_called_a_person() -> None:
    policies = POLICIES.replace("{type: rollback}", "{type: rollback, mode: approve}")

    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> Report:
        return await runner(world, a_drill(), conditions(policies)).run()

    report = played(play, policies)
    assert report.kept, report.promises
    assert "a person is asked to approve" in str(report.promises)


def test_what_is_deployed_is_what_was_compared() -> None:
    """Whoever owns the repository pushes as soon as it was looked at."""

    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> str:
        entries: list[Entry] = []
        task = asyncio.create_task(led(world, world.cluster, entries).run())
        await until(world, entries, "healthy; in")
        app = world.cluster.find(APPLICATIONS, ARGOCD, "recovery-drill-000001")
        assert app is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert app["spec"]["source"]["targetRevision"] == app["status"]["sync"]["revision"]
        return str(app["spec"]["project"])

    assert played(play) == "recovery-drill-000001"


def test_the_project_of_a_drill_permits_its_namespace_and_nothing_else() -> None:
    drill = a_drill()
    spec = project_of(drill)["spec"]
    assert spec["destinations"] == [
        {"server": "https://kubernetes.default.svc", "namespace": PLACE}
    ]
    assert spec["clusterResourceWhitelist"] == []
    assert spec["sourceRepos"] == [drill.repo]
    assert wider(drill, {"spec": spec}) == ""


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"destinations": [{"namespace": "*"}]}, "destination namespace '*'"),
        ({"destinations": [{"namespace": PLACE}, {"namespace": "shop"}]}, "namespace 'shop'"),
        (
            {"destinations": [], "clusterResourceWhitelist": [{"group": "*", "kind": "*"}]},
            "clusterResourceWhitelist",
        ),
    ],
)
def test_a_wider_project_is_refused(spec: dict[str, Any], words: str) -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> None:
        await world.cluster.create(PROJECTS, ARGOCD, {"metadata": {"name": "wide"}, "spec": spec})
        with pytest.raises(Unfit, match=f"permits more than namespace .*{re.escape(words)}"):
            await runner(world, a_drill(project="wide"), conditions(POLICIES)).run()
        assert left(world) == ["wide"]

    played(play)


def test_what_remains_of_other_kinds_is_told() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> Report:
        entries: list[Entry] = []
        task = asyncio.create_task(led(world, world.cluster, entries).run())
        await until(world, entries, "broken")
        await world.cluster.create(CONFIG_MAPS, PLACE, {"metadata": {"name": "kept"}})
        return await task

    report = played(play)
    assert [name for name, good in kept(report).items() if not good] == ["left nothing behind"]
    assert "configmaps/kept" in str(report.promises)


def test_a_record_of_a_namesake_is_not_the_drills() -> None:
    async def play(world: EmbeddedEnvironment, _: EmbeddedStage) -> Report:
        entries: list[Entry] = []
        task = asyncio.create_task(led(world, world.cluster, entries).run())
        await until(world, entries, "broken")
        other = a_recovery("evil", world.clock.now() + timedelta(minutes=1))
        about = structs.replace(other.subject, namespace="evil", name="recovery-drill-000001")
        await plant(world.cluster, structs.replace(other, subject=about), OURS)
        return await task

    report = played(play)
    assert report.kept, report.promises
    assert report.recovery != "evil"
