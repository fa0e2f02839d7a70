"""Nights with clusters, told one by one: what a failover must survive, and what it must not do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from recovery.app import App
from recovery.commands.approve import asked as approval
from recovery.commands.failback import asked as wanted
from recovery.commands.requests import write
from recovery.kube.client import APPLICATION_SETS, APPLICATIONS, RECOVERIES, SECRETS, Resource
from recovery.kube.errors import Busy, Forbidden, KubeError, Unavailable
from recovery.model.connection import Connection
from recovery.model.move import RelocationPhase
from recovery.model.names import SubjectKey
from recovery.model.recovery import Recovery, RecoveryPhase, StepOutcome
from recovery.serve.auth import EVERYBODY
from recovery.simulate.environment import ARGOCD, url
from recovery.simulate.manifests import deployment, stateful_set
from tests.connected_stories import connected
from tests.embedded_connected import an_application_set
from tests.play import Play, play

SETTINGS: dict[str, Any] = {
    "cluster_secrets": ("cluster-primary", "cluster-secondary"),
    "interval": timedelta(seconds=5),
}
LABEL = "shop.example/active"


async def begin(p: Play, *names: str, text: str = "", stateful: tuple[str, ...] = ()) -> None:
    """Two further clusters, applications on primary, the short policies."""
    for name in ("primary", "secondary"):
        await p.world.further_cluster(name)
    for name in names:
        await p.world.application(name, (deployment(name, "ready", 20),), cluster="primary")
    for name in stateful:
        await p.world.application(name, (stateful_set(name),), cluster="primary")
    await p.world.policies(text or connected("w"))


@contextlib.asynccontextmanager
async def running(p: Play, **more: Any) -> AsyncIterator[App]:
    async with p.controller(token=True, **{**SETTINGS, **more}) as app:
        await p.clock.sleep(30)
        yield app


def dies(p: Play, name: str = "primary") -> None:
    p.world.destinations.all[name].up = False


def returns(p: Play, name: str = "primary") -> None:
    p.world.destinations.all[name].up, p.world.destinations.all[name].unread = True, False


def newest(p: Play) -> Recovery:
    return [r for r in p.world.recoveries() if str(r.subject) == "cluster/primary"][-1]


def where(p: Play, *names: str) -> list[str]:
    return [p.world.seen(name).destination.cluster for name in names]


async def ask(p: Play, which: Any) -> None:
    await write(p.world.cluster, "gitops-system", newest(p).name, which, "ada", p.clock)


async def go_home(p: Play, *, stay: bool = False, cleanup: bool = False) -> None:
    await ask(p, lambda held: wanted(held, stay=stay, cleanup=cleanup))


def test_a_wave_that_was_claimed_and_not_sent_is_proven_anew() -> None:
    """kill -9 after the claim; when it comes up again the cluster is back: nothing is moved any
    more."""

    async def script(p: Play) -> None:
        await begin(p, "w-a", "w-b")
        app = App(*await parts(p))
        task = asyncio.create_task(app.run())
        await p.clock.sleep(30)
        p.faults = [
            lambda verb, what: (
                Unavailable("gone", 503) if (verb, what) == ("patch", APPLICATIONS) else None
            )
        ]
        dies(p)
        while not any(
            m.phase is RelocationPhase.Moving for r in p.world.recoveries() for m in r.relocations
        ):
            await p.clock.sleep(0.1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        p.faults = []
        returns(p)
        async with running(p):
            await p.clock.sleep(120)

        assert where(p, "w-a", "w-b") == ["primary", "primary"]
        assert {m.reason for m in newest(p).relocations} == {"not begun: the cluster is back"}
        assert newest(p).phase is RecoveryPhase.Resolved

    play(script)


async def parts(p: Play) -> Any:
    from recovery.settings import Settings

    return (
        Settings(identity="controller-0", **SETTINGS),
        p,
        p.clock,
        p.send,
        p.world.api,
        p.world.looks,
    )


def test_a_busy_api_server_refuses_no_application_for_good() -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a")
        count = 0

        def busy(verb: str, what: Resource) -> KubeError | None:
            nonlocal count
            if (verb, what) != ("patch", APPLICATIONS):
                return None
            count += 1
            return Busy("429", 429) if count <= 2 else None

        async with running(p):
            p.faults = [busy]
            dies(p)
            await p.clock.sleep(120)

        assert count > 2
        assert where(p, "w-a") == ["secondary"]

    play(script)


def test_a_label_that_would_take_data_along_stays() -> None:
    async def script(p: Play) -> None:
        await begin(p, text=connected("w", failover=f"strategy: cluster-label, label: {LABEL}"))
        await fleet(p, "w-web", (deployment("w-web", "ready", 20),))
        await fleet(p, "w-db", (stateful_set("w-db"),))
        async with running(p):
            dies(p)
            await p.clock.sleep(120)

        assert where(p, "w-web", "w-db") == ["primary", "primary"]
        assert "the label takes all of them" in next(
            m.reason for m in newest(p).relocations if m.name == "w-web"
        )
        assert p.world.destinations.labels(p.world.destinations.all["secondary"]).get(LABEL) is None

    play(script)


async def fleet(p: Play, name: str, manifests: tuple[dict[str, Any], ...]) -> None:
    p.world.git.commit(url(name), manifests)
    body = {"metadata": {"labels": {LABEL: "yes"}}}
    await p.world.cluster.patch(SECRETS, ARGOCD, "cluster-primary", body)
    await p.world.cluster.create(
        APPLICATION_SETS, ARGOCD, an_application_set(name, LABEL, url(name))
    )


def test_what_a_label_moved_is_owed_also_when_the_cluster_is_back_at_once() -> None:
    async def script(p: Play) -> None:
        await begin(p, text=connected("w", failover=f"strategy: cluster-label, label: {LABEL}"))
        await fleet(p, "w-web", (deployment("w-web", "ready", 20),))
        async with running(p):
            dies(p)
            while (
                p.world.destinations.labels(p.world.destinations.all["secondary"]).get(LABEL)
                is None
            ):
                await p.clock.sleep(0.1)
            returns(p)
            await p.clock.sleep(120)

            assert where(p, "w-web") == ["secondary"]
            assert newest(p).reason == "SplitBrain"
            await go_home(p)
            await p.clock.sleep(120)

        assert where(p, "w-web") == ["primary"]
        assert newest(p).phase is RecoveryPhase.Resolved

    play(script)


@pytest.mark.parametrize("by", ["name", "server"])
def test_a_cluster_that_was_built_anew_under_its_name_is_still_owed_its_applications(
    by: str,
) -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a")
        if by == "server":
            there = {
                "destination": {"name": None, "server": p.world.destinations.all["primary"].server}
            }
            await p.world.cluster.patch(APPLICATIONS, ARGOCD, "w-a", {"spec": there})
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            place = p.world.destinations.all["primary"]
            place.server = "https://primary-2.example:6443"
            returns(p)
            await p.clock.sleep(120)

            assert newest(p).reason == "SplitBrain", newest(p).message
            await go_home(p)
            await p.clock.sleep(120)

        assert where(p, "w-a") == ["primary" if by == "name" else "https://primary-2.example:6443"]
        assert p.world.seen("w-a").health.value == "Healthy"
        assert newest(p).phase is RecoveryPhase.Resolved

    play(script)


def test_a_cluster_that_never_returns_lets_its_applications_stay() -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a")
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            await go_home(p, stay=True)
            await p.clock.sleep(60)

            assert {m.phase for m in newest(p).relocations} == {RelocationPhase.Stayed}
            assert p.world.seen("w-a").hold is None
        assert where(p, "w-a") == ["secondary"]

    play(script)


def test_a_record_that_is_deleted_while_it_owes_something_is_written_again() -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a")
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            await p.world.cluster.delete(RECOVERIES, "gitops-system", newest(p).name)
            returns(p)
            await p.clock.sleep(120)

            assert [m.name for m in newest(p).owed] == ["w-a"]
            assert newest(p).reason == "SplitBrain"
            await go_home(p)
            await p.clock.sleep(120)

        assert where(p, "w-a") == ["primary"]

    play(script)


def test_refused_credentials_of_one_cluster_do_not_hide_the_outage_of_another() -> None:
    async def script(p: Play) -> None:
        await begin(
            p,
            "w-a",
            text=connected("w").replace(
                "clusters: [primary, secondary]", "clusters: [primary, test]"
            ),
        )
        await p.world.further_cluster("test")
        await p.world.application("w-t", (deployment("w-t", "ready", 20),), cluster="test")
        async with running(p):
            p.world.destinations.all["test"].accepts = False
            await p.clock.sleep(60)
            dies(p)
            await p.clock.sleep(120)

        assert where(p, "w-a", "w-t") == ["secondary", "test"]

    play(script)


def test_what_has_data_or_others_things_in_it_is_never_cleaned_up() -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a")
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            returns(p)
            await p.clock.sleep(60)
            await go_home(p, cleanup=True)
            await p.clock.sleep(120)

        from recovery.act.orphaned_resources import NEVER

        assert set(NEVER) >= {
            "namespaces",
            "persistentvolumeclaims",
            "customresourcedefinitions",
            "statefulsets",
        }
        assert newest(p).phase is RecoveryPhase.Resolved
        assert (
            p.world.destinations.all["secondary"].cluster.every(
                Resource("apps", "v1", "deployments")
            )
            == []
        )

    play(script)


def test_a_target_that_goes_bad_stops_it_and_people_are_told() -> None:
    async def script(p: Play) -> None:
        await begin(p, *(f"w-{n}" for n in "abcdef"))
        async with running(p):
            dies(p)
            while not any(
                m.phase is RelocationPhase.Moving
                for r in p.world.recoveries()
                for m in r.relocations
            ):
                await p.clock.sleep(0.1)
            dies(p, "secondary")
            await p.clock.sleep(1800)

        assert [m.phase for m in newest(p).relocations].count(RelocationPhase.Moving) == 0
        assert sum(place == "secondary" for place in where(p, *(f"w-{n}" for n in "abcdef"))) <= 3
        assert newest(p).phase is RecoveryPhase.Stalled
        assert newest(p).reason == "FailoverFailed"

    play(script)


def test_nothing_is_moved_into_a_git_outage() -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a")
        p.world.git.registered[url("w-a")] = ""
        async with running(p):
            p.world.git.up = False
            await p.clock.sleep(60)
            dies(p)
            await p.clock.sleep(180)
            assert where(p, "w-a") == ["primary"]
            assert (
                "Failed" in next(iter(newest(p).message.splitlines()))
                or newest(p).running is not None
            )
            p.world.git.up = True
            await p.clock.sleep(120)

        assert where(p, "w-a") == ["secondary"]

    play(script)


def test_a_way_that_was_never_open_is_no_witness() -> None:
    """An egress rule that keeps us from a cluster must not count as half a proof."""

    async def script(p: Play) -> None:
        await begin(p, "w-a")
        dies(p)
        await p.world.further_cluster("third")
        async with running(p) as app:
            await p.clock.sleep(60)
            returns(p)
            app.store.sights.pop(app.connections.clusters["https://third.example:6443"].uid, None)
            third = app.connections.clusters["https://third.example:6443"]
            verdicts = {e.by.value: e.verdict.value for e in third.evidence}
            assert verdicts["our own connect"] == "reachable"

            dead = app.connections.clusters["https://primary.example:6443"]
            told = [e.message for e in dead.evidence if e.by.value == "our own connect"]
            assert "never reached it ourselves" in told[0]
        assert where(p, "w-a") == ["primary"]

    play(script)


@pytest.mark.parametrize("word", ["approve", "nothing"])
def test_an_approval_lets_the_plan_go_and_only_then(word: str) -> None:
    text = connected("w").replace("- {type: failover,", "- {type: failover, mode: approve,")

    async def script(p: Play) -> None:
        await begin(p, "w-a", text=text)
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            assert where(p, "w-a") == ["primary"]
            assert newest(p).reason == "ApprovalRequired"
            assert [m.phase for m in newest(p).relocations] == [RelocationPhase.Planned]
            if word == "approve":
                await ask(p, approval)
            await p.clock.sleep(60)

        assert where(p, "w-a") == ["secondary" if word == "approve" else "primary"]

    play(script)


def test_without_a_token_no_repository_exists_on_the_word_of_an_application() -> None:
    """What an owner writes into an Application makes no repository; that nothing is known of any is
    said."""

    async def script(p: Play) -> None:
        await begin(p)
        await p.world.application("w-shop", (deployment("w-shop", "ready", 20),))
        p.world.argocd.resync = timedelta(seconds=10)
        async with p.controller(**SETTINGS) as app:
            await p.clock.sleep(30)
            p.world.git.up = False
            p.world.argocd.wake()
            await p.clock.sleep(180)
            assert [r for r in p.world.recoveries() if r.subject.kind == "Repository"] == []
            assert app.connections.repositories == {}
            assert any(
                "no Argo CD token" in words
                for words in app.views.recoveries(EVERYBODY.sees)["missing"]
            )

    play(script)


def test_a_target_that_nobody_knows_is_told_when_the_policy_is_loaded() -> None:
    async def script(p: Play) -> None:
        await begin(
            p,
            "w-a",
            text=connected("w").replace("target_cluster: secondary", "target_cluster: secundary"),
        )
        async with running(p) as app:
            (words,) = app.views.details()["warnings"]

        assert (
            "'secundary' is not a cluster that Argo CD knows; it knows in-cluster, primary, secondary"
            in words
        )
        assert [r for r in p.world.recoveries() if r.subject.kind == "Cluster"] == []

    play(script)


def test_two_clusters_of_one_name_are_called_by_their_servers_and_nothing_goes_there() -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a")
        twin = await p.world.further_cluster("twin")
        twin.name = "secondary"
        async with running(p) as app:
            names = {c.name: c.trouble for c in app.connections.clusters.values()}
            assert "2 clusters are called 'secondary'" in names["https://twin.example:6443"]
            dies(p)
            await p.clock.sleep(120)

        assert where(p, "w-a") == ["primary"]

    play(script)


def test_what_is_seen_of_them_is_in_the_answers_and_in_the_metrics() -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a")
        async with running(p) as app:
            dies(p)
            await p.clock.sleep(120)
            found = app.views.explain(SubjectKey("cluster", "", "primary"), EVERYBODY.sees)
            assert found is not None
            assert found["state"] == Connection.Failed.value
            assert found["recovery"]["relocations"][0]["phase"] == "Moved"
            seen = {c["name"]: c["state"] for c in app.views.recoveries(EVERYBODY.sees)["clusters"]}
            assert seen == {
                "in-cluster": "Successful",
                "primary": "Failed",
                "secondary": "Successful",
            }
            metrics = app.views.metrics().decode()
            assert 'recovery_connections{kind="cluster",state="Failed"} 1.0' in metrics
            assert "recovery_relocated_applications 1.0" in metrics

    play(script)


@pytest.mark.parametrize(
    ("how", "phase"), [("destination", RelocationPhase.Home), ("release", RelocationPhase.Stayed)]
)
def test_what_a_person_does_with_a_moved_application_is_respected(
    how: str, phase: RelocationPhase
) -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a", "w-b")
        async with running(p, poll_interval=timedelta(seconds=10)):
            dies(p)
            await p.clock.sleep(120)
            returns(p)
            await p.clock.sleep(30)
            if how == "destination":
                await p.world.cluster.patch(
                    APPLICATIONS, ARGOCD, "w-a", {"spec": {"destination": {"name": "primary"}}}
                )
            else:
                await p.world.annotate("w-a", {"recovery.gitops.dev/hold": None})
            await p.clock.sleep(60)

            assert {m.name: m.phase for m in newest(p).relocations} == {
                "w-a": phase,
                "w-b": RelocationPhase.Moved,
            }
            assert p.world.seen("w-a").hold is None
            await go_home(p)
            await p.clock.sleep(120)

        assert newest(p).phase is RecoveryPhase.Resolved
        assert where(p, "w-a", "w-b") == [
            "primary" if how == "destination" else "secondary",
            "primary",
        ]

    play(script)


BY_LABEL = connected("w", failover=f"strategy: cluster-label, label: {LABEL}")
APPROVED = "- {type: failover, mode: approve,"


def label_is(p: Play) -> list[str | None]:
    """Its value on the Secrets of primary and secondary."""
    everywhere = p.world.destinations
    return [everywhere.labels(everywhere.all[name]).get(LABEL) for name in ("primary", "secondary")]


def secrets_refuse(p: Play, *which: int, error: KubeError) -> None:
    """These writes of Secrets, counted from one, are answered so and not carried out."""
    count = 0

    def fault(verb: str, what: Resource) -> KubeError | None:
        nonlocal count
        count += (verb, what) == ("patch", SECRETS)
        return error if (verb, what) == ("patch", SECRETS) and count in which else None

    p.faults = [fault]


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("error", [Unavailable("no answer", 503), Busy("429", 429)])
def test_a_label_on_its_way_home_is_moved_until_it_is_there(which: int, error: KubeError) -> None:
    async def script(p: Play) -> None:
        await begin(p, text=BY_LABEL)
        await fleet(p, "w-web", (deployment("w-web", "ready", 20),))
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            returns(p)
            await p.clock.sleep(60)
            secrets_refuse(p, which, error=error)
            await go_home(p)
            await p.clock.sleep(200)

        assert label_is(p) == ["yes", None]
        assert where(p, "w-web") == ["primary"]
        assert newest(p).phase is RecoveryPhase.Resolved

    play(script)


def test_a_label_that_cannot_be_moved_away_stays_and_is_not_on_both() -> None:
    async def script(p: Play) -> None:
        await begin(p, text=BY_LABEL)
        await fleet(p, "w-web", (deployment("w-web", "ready", 20),))
        async with running(p):
            secrets_refuse(
                p, 2, error=Forbidden("no right on it", 403)
            )  # on to the target, and not off the source
            dies(p)
            while not any(
                "LabelMoveFailed" in s.reason for r in p.world.recoveries() for s in r.steps
            ):
                await p.clock.sleep(0.1)
            assert label_is(p) == ["yes", None]
            (move,) = newest(p).relocations
            assert "cannot be taken off the Secret of primary" in move.reason
            assert where(p, "w-web") == ["primary"]

    play(script)


def test_data_that_a_label_would_take_home_keeps_it_where_it_is() -> None:
    async def script(p: Play) -> None:
        await begin(p, text=BY_LABEL)
        await fleet(p, "w-web", (deployment("w-web", "ready", 20),))
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            await p.world.commit("w-web", (deployment("w-web", "ready", 20), stateful_set("w-db")))
            await p.clock.sleep(30)
            returns(p)
            await p.clock.sleep(60)
            await go_home(p)
            await p.clock.sleep(120)

        assert where(p, "w-web") == ["secondary"]
        assert label_is(p) == [None, "yes"]
        assert "it holds data by now (StatefulSet)" in newest(p).relocations[0].reason

    play(script)


def test_what_joined_the_set_after_the_plan_is_planned_before_it_is_moved() -> None:
    async def script(p: Play) -> None:
        await begin(p, text=BY_LABEL.replace("- {type: failover,", APPROVED))
        await fleet(p, "w-web", (deployment("w-web", "ready", 20),))
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            assert newest(p).reason == "ApprovalRequired"
            await fleet(p, "w-db", (stateful_set("w-db"),))
            await p.clock.sleep(120)

        assert where(p, "w-web", "w-db") == ["primary", "primary"]
        assert {m.name: m.phase for m in newest(p).relocations} == {
            "w-web": RelocationPhase.Refused,
            "w-db": RelocationPhase.Refused,
        }

    play(script)


def test_a_plan_that_nobody_approved_is_made_anew_and_costs_no_attempt() -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a", text=connected("w").replace("- {type: failover,", APPROVED))
        async with running(p):
            dies(p)
            await p.clock.sleep(5 * 3600)
            assert newest(p).reason == "ApprovalRequired"
            assert newest(p).attempt == 1
            planned = newest(p).relocations[0].since
            assert planned is not None
            assert p.clock.now() - planned < timedelta(minutes=70)
            await ask(p, approval)
            await p.clock.sleep(60)

        assert where(p, "w-a") == ["secondary"]

    play(script)


def test_what_came_to_the_target_after_the_plan_is_seen_before_anything_is_moved() -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a", text=connected("w").replace("- {type: failover,", APPROVED))
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            await p.world.application(
                "other", (deployment("w-a", "ready", 20),), cluster="secondary"
            )
            await p.clock.sleep(600)
            await ask(p, approval)
            await p.clock.sleep(30)
            assert (
                newest(p).relocations[0].reason
                == "Deployment/w-a is on secondary already, and another application tracks it"
            )

        assert where(p, "w-a") == ["primary"]

    play(script)


def test_what_is_away_and_on_no_record_is_left_alone_and_shown() -> None:
    """Its record was deleted while nobody looked: an annotation alone moves nothing, for anybody
    may have written it."""

    async def script(p: Play) -> None:
        await begin(p, "w-a")
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            returns(p)
            await p.clock.sleep(60)
        await p.world.cluster.delete(RECOVERIES, "gitops-system", newest(p).name)
        before = where(p, "w-a")
        async with running(p) as app:
            await p.clock.sleep(600)
            told = app.views.explain(p.world.seen("w-a").key, lambda _: True)

        assert [r for r in p.world.recoveries() if r.owed] == []
        assert where(p, "w-a") == before
        assert "no Recovery says" in str(told["not_honoured"])  # type: ignore[index]

    play(script)


def test_a_cluster_that_got_another_name_is_still_owed_its_applications() -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a")
        p.world.destinations.all["primary"].name = "prim"
        await p.world.cluster.patch(
            APPLICATIONS,
            ARGOCD,
            "w-a",
            {"spec": {"destination": {"name": None, "server": PRIMARY}}},
        )
        p.world.destinations.all["primary"].name = "primary"
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            assert where(p, "w-a") != [PRIMARY]
            p.world.destinations.all["primary"].name = "prim"
            returns(p)
            await p.clock.sleep(60)
            await go_home(p)
            await p.clock.sleep(120)

        assert where(p, "w-a") == [PRIMARY]

    play(script)


PRIMARY = "https://primary.example:6443"


def test_a_busy_api_server_is_asked_ever_more_seldom() -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a")
        tries = 0

        def busy(verb: str, what: Resource) -> KubeError | None:
            nonlocal tries
            tries += (verb, what) == ("patch", APPLICATIONS)
            return Busy("429", 429) if (verb, what) == ("patch", APPLICATIONS) else None

        async with running(p):
            p.faults = [busy]
            dies(p)
            await p.clock.sleep(900)
            assert 3 < tries < 40
            p.faults = []
            await p.clock.sleep(300)

        assert where(p, "w-a") == ["secondary"]

    play(script)


@pytest.mark.parametrize("how", ["deleted", "moved on"])
def test_what_people_took_elsewhere_is_not_brought_home(how: str) -> None:
    async def script(p: Play) -> None:
        await begin(p, "w-a", "w-b")
        await p.world.further_cluster("third")
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            if how == "deleted":
                await p.world.cluster.delete(APPLICATIONS, ARGOCD, "w-a")
            else:
                await p.world.cluster.patch(
                    APPLICATIONS, ARGOCD, "w-a", {"spec": {"destination": {"name": "third"}}}
                )
            returns(p)
            await p.clock.sleep(60)
            await go_home(p)
            await p.clock.sleep(120)

        assert newest(p).phase is RecoveryPhase.Resolved
        assert {m.name: m.phase for m in newest(p).relocations} == {
            "w-a": RelocationPhase.Stayed,
            "w-b": RelocationPhase.Home,
        }
        assert where(p, "w-b") == ["primary"]

    play(script)


def test_one_that_is_paused_keeps_nobody_busy() -> None:
    """failback: auto is due and may not be done: it waits, and does not ask again and again."""

    async def script(p: Play) -> None:
        await begin(p, "w-a", text=connected("w", failover="failback: auto, failback_after: 1m"))
        async with running(p) as app:
            dies(p)
            await p.clock.sleep(120)
            await p.world.annotate("w-a", {"recovery.gitops.dev/paused": "true"})
            returns(p)
            await p.clock.sleep(300)
            passes = app.metrics.passes.labels("done")._value.get()
            await p.clock.sleep(600)

            assert app.metrics.passes.labels("done")._value.get() - passes < 600
        assert where(p, "w-a") == ["secondary"]

    play(script)


def alias(p: Play) -> None:
    """``secondary`` leads to the same machine as ``primary``: an internal load balancer and a
    public name."""
    p.world.destinations.all["secondary"].cluster = p.world.destinations.all["primary"].cluster


def deployments(p: Play, name: str = "primary") -> list[str]:
    found = p.world.destinations.all[name].cluster.every(Resource("apps", "v1", "deployments"))
    return sorted(item["metadata"]["name"] for item in found)


def test_one_cluster_under_two_addresses_is_no_place_to_go() -> None:
    """One address goes; the other leads to the very same cluster."""

    async def script(p: Play) -> None:
        await begin(p, "w-a")
        alias(p)
        async with running(p):
            dies(p)
            await p.clock.sleep(600)

            step = next(s for s in newest(p).steps if s.action == "failover")
            assert (step.outcome, step.reason) == (StepOutcome.Skipped, "TargetIsSource")
            assert "secondary is primary under another address" in step.message
        assert where(p, "w-a") == ["primary"]

    play(script)


def test_which_cluster_it_was_is_remembered_over_a_restart_of_ours() -> None:
    """It is down when the controller comes up again: nobody can ask it then."""

    async def script(p: Play) -> None:
        await begin(p, "w-a")
        alias(p)
        async with running(p):
            pass
        dies(p)
        async with running(p):
            await p.clock.sleep(600)

        assert next(s for s in newest(p).steps if s.action == "failover").reason == "TargetIsSource"

    play(script)


@pytest.mark.parametrize("how", ["it is the same one by now", "it could not be asked"])
def test_nothing_is_deleted_where_it_may_be_live(how: str) -> None:
    """Moved while they were two; when the leftovers are to go, both addresses lead to one cluster,
    or nobody can tell."""

    async def script(p: Play) -> None:
        await begin(p, "w-a")
        async with running(p):
            dies(p)
            await p.clock.sleep(120)
            returns(p)
            await p.clock.sleep(60)
            assert newest(p).relocations[0].leftovers
            if how == "it is the same one by now":
                p.world.destinations.all["primary"].cluster = p.world.destinations.all[
                    "secondary"
                ].cluster
            else:
                p.world.destinations.all["secondary"].cluster.uid = ""
            await go_home(p, stay=True, cleanup=True)
            await p.clock.sleep(120)

            assert deployments(p) == ["w-a"] == deployments(p, "secondary")
            words = " ".join(
                s.message for s in newest(p).steps if s.action in ("list_leftovers", "cleanup")
            )
            assert ("under another address" in words) is (how == "it is the same one by now"), words
            assert ("it is unknown whether" in words) is (how == "it could not be asked"), words

    play(script)
