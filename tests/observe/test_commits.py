"""The commits around an ill deploy: which ones are named, what they cost, and that nobody waits for
them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec import structs

from recovery.kube.errors import Unavailable
from recovery.model.application import Application, Condition, Deploy, Health
from recovery.model.commit import HOSTS, Commit
from recovery.model.situation import HealthyRevision
from recovery.observe.commits import FAILED_PAUSE, MAX_COMMITS, MAX_WAITING_COMMITS, Commits
from recovery.observe.store import BEHIND, Store
from recovery.simulate import virtual
from tests.builders import BAD, GOOD, NOW, an_application

NEW, GONE, REPO = "d" * 40, "e" * 40, "https://github.com/acme/shop.git"
DEPLOYED = an_application(
    health=Health.Degraded,
    repositories=(REPO,),
    revisions=(NEW,),
    deploy=Deploy(4, (NEW,), NOW),
    operation=None,
)
RUNS = structs.replace(DEPLOYED, revisions=(GOOD,), deploy=Deploy(3, (GOOD,), NOW))
"""What runs was seen to work, and Git wants nothing else."""
FAILS = (Condition("ComparisonError", "helm template failed"),)


class ArgoCD:
    def __init__(self, seconds: float = 0) -> None:
        self.asked: list[str] = []
        self._seconds = seconds

    async def commit(self, app: Application, number: int, revision: str) -> Commit:
        self.asked.append(revision)
        if self._seconds:
            await asyncio.sleep(self._seconds)
        if revision == GONE:
            raise Unavailable("the repository cannot be read")
        return Commit(revision, "Dana Dev", f"source {number}")


def worked(*revisions: str) -> HealthyRevision:
    return HealthyRevision(3, revisions, NOW)


def play(script: Callable[[Commits], Awaitable[None]], argocd: ArgoCD | None) -> None:
    async def inside() -> None:
        commits = Commits(argocd, virtual.VirtualClock())
        task = asyncio.create_task(commits.run())
        try:
            await script(commits)
        finally:
            task.cancel()

    virtual.run(inside())


@pytest.mark.parametrize(
    ("app", "ledger", "says", "good"),
    [
        pytest.param(DEPLOYED, (worked(GOOD),), NEW, GOOD, id="the deploy that is ill, and the one before it that worked"),
        pytest.param(DEPLOYED, (), NEW, "", id="none was seen to work"),
        pytest.param(structs.replace(RUNS, revisions=(NEW,), conditions=FAILS), (worked(GOOD),), NEW, GOOD, id="Argo CD fails with what Git wants"),
        pytest.param(structs.replace(RUNS, revisions=(NEW,)), (worked(GOOD),), "", "", id="what Git wants is not deployed, and is not to blame"),
        pytest.param(RUNS, (worked(BAD), worked(GOOD)), "", "", id="what runs was seen to work: no commit is to blame"),
        pytest.param(structs.replace(RUNS, conditions=FAILS), (worked(BAD), worked(GOOD)), "", "", id="nor where Git wants nothing else"),
        pytest.param(structs.replace(DEPLOYED, charts=(REPO,)), (worked(GOOD),), "", "", id="a chart's version is no commit"),
        pytest.param(structs.replace(DEPLOYED, deploy=Deploy(4, ("1.4.2",), NOW)), (worked(GOOD),), "", "", id="neither is a tag"),
        pytest.param(structs.replace(DEPLOYED, deploy=Deploy(4, (GONE,), NOW)), (worked(GOOD),), "", "", id="Argo CD does not say"),
    ],
)  # fmt: skip
def test_the_commits_around_an_ill_deploy(
    app: Application, ledger: tuple[HealthyRevision, ...], says: str, good: str
) -> None:
    async def script(commits: Commits) -> None:
        assert commits.around(app, ledger, HOSTS) is None, "nobody waits for it"
        await asyncio.sleep(1)
        deployed = commits.around(app, ledger, HOSTS)

        assert (deployed.bad.revision if deployed else "") == says
        assert (deployed.good.revision if deployed and deployed.good else "") == good
        assert bool(deployed and deployed.compare) == bool(good)
        assert bool(deployed and deployed.wanted) == bool(says and app.deployed != (says,))

    play(script, ArgoCD())


def test_of_several_sources_the_one_that_changed_is_named() -> None:
    both = structs.replace(
        DEPLOYED,
        repositories=(REPO, REPO),
        revisions=(GOOD, NEW),
        deploy=Deploy(4, (GOOD, NEW), NOW),
    )

    async def script(commits: Commits) -> None:
        commits.around(both, (worked(GOOD, BAD),), HOSTS)
        await asyncio.sleep(1)
        deployed = commits.around(both, (worked(GOOD, BAD),), HOSTS)

        assert deployed is not None
        assert (deployed.bad.subject, deployed.bad.revision) == ("source 1", NEW)
        assert deployed.good is not None
        assert deployed.good.revision == BAD

    play(script, ArgoCD())


def test_without_a_token_nothing_is_known() -> None:
    async def script(commits: Commits) -> None:
        commits.around(DEPLOYED, (), HOSTS)
        await asyncio.sleep(1)

        assert commits.around(DEPLOYED, (), HOSTS) is None

    play(script, None)


def revision(number: int) -> str:
    return f"{number:040x}"


def test_each_is_asked_for_once_and_a_repository_that_fails_rests() -> None:
    argocd = ArgoCD()
    lost = structs.replace(
        DEPLOYED, repositories=("https://git.example/lost.git",), deploy=Deploy(4, (GONE,), NOW)
    )

    async def script(commits: Commits) -> None:
        for _ in range(100):
            commits.around(DEPLOYED, (), HOSTS)
            commits.around(lost, (), HOSTS)
            await asyncio.sleep(1)
        assert argocd.asked == [NEW, GONE]
        await asyncio.sleep(FAILED_PAUSE.total_seconds())
        commits.around(lost, (), HOSTS)
        await asyncio.sleep(1)
        assert argocd.asked == [NEW, GONE, GONE]

    play(script, argocd)


def test_a_host_that_hangs_costs_others_seconds_and_memory_is_bounded() -> None:
    argocd = ArgoCD(seconds=3600)
    fleet = [
        structs.replace(
            DEPLOYED,
            repositories=(f"https://git{n}.example/x.git",),
            deploy=Deploy(4, (revision(n),), NOW),
        )
        for n in range(500)
    ]

    async def script(commits: Commits) -> None:
        for app in fleet:
            commits.around(app, (), HOSTS)
        await asyncio.sleep(MAX_WAITING_COMMITS * 5 + 10)

        assert len(argocd.asked) == MAX_WAITING_COMMITS, (
            "the newest of them, one after the other, five seconds each"
        )
        assert len(commits._failed) <= MAX_COMMITS

    play(script, argocd)


def at(version: int, **more: object) -> Application:
    return an_application(resource_version=str(version), **more)


async def stored(*steps: Callable[[Store, virtual.VirtualClock], object]) -> Store:
    clock = virtual.VirtualClock()
    store = Store(clock, lambda _: None, lambda _: False)
    for step in steps:
        step(store, clock)
    return store


def held(store: Store) -> list[str]:
    return [app.resource_version for app in store.applications.values()]


async def test_what_is_older_than_our_own_write_is_ignored_for_a_minute() -> None:
    store = await stored(
        lambda s, _: s.put(at(10)), lambda s, _: s.wrote(at(20)), lambda s, _: s.put(at(15))
    )

    assert held(store) == ["20"]


def test_after_a_minute_whatever_comes_is_believed() -> None:
    async def inside() -> list[str]:
        clock = virtual.VirtualClock()
        store = Store(clock, lambda _: None, lambda _: False)
        store.put(at(10))
        store.wrote(at(20))
        await clock.sleep(BEHIND + 1)
        store.put(at(15))
        return held(store)

    assert virtual.run(inside()) == ["15"]


async def test_an_answer_that_was_long_on_its_way_undoes_nothing() -> None:
    newer = await stored(
        lambda s, _: s.put(at(10)),
        lambda s, _: s.put(at(30, auto_sync=False)),
        lambda s, _: s.wrote(at(20)),
    )
    gone = await stored(
        lambda s, _: s.put(at(10)),
        lambda s, _: s.drop("argocd", "cart"),
        lambda s, _: s.wrote(at(20)),
    )
    anew = await stored(
        lambda s, _: s.put(at(10)),
        lambda s, _: s.put(at(30, uid="another")),
        lambda s, _: s.wrote(at(40)),
    )

    assert held(newer) == ["30"]
    assert held(gone) == [], "what is deleted stays deleted"
    assert held(anew) == ["30"], "made anew: it is another one"
