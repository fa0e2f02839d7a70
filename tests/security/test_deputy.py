"""An owner who writes what they like into their own Application gains nothing that is another's.
Played in virtual time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from recovery.kube.client import APPLICATIONS, DAEMON_SETS, DEPLOYMENTS, PODS
from recovery.record.codec import stamp
from recovery.simulate.environment import ARGOCD
from recovery.simulate.manifests import daemon_set, deployment
from tests.play import Play, play

SECRET_WORDS = "payments-db"


async def victims(p: Play) -> None:
    """The shipped policies, another team's Deployment that crashes, and a healthy DaemonSet of the
    system; neither belongs to any Application."""
    await p.world.policies(Path("config/policies.yaml").read_text())
    await p.world.cluster.create(DEPLOYMENTS, "victims", deployment("payments-db", "crash", 30))
    await p.world.cluster.create(DAEMON_SETS, "kube-system", daemon_set("kube-proxy"))
    for i in range(6):
        await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),), project="good")


def rows(*places: tuple[str, str, str]) -> list[dict[str, Any]]:
    return [
        {
            "group": "apps",
            "version": "v1",
            "kind": kind,
            "namespace": namespace,
            "name": name,
            "status": "Synced",
        }
        for kind, namespace, name in places
    ]


FORGED = rows(
    ("Deployment", "victims", "payments-db"),
    ("Deployment", "kube-system", "../daemonsets/kube-proxy"),
    ("DaemonSet", "kube-system", "kube-proxy"),
    ("Deployment", "victims/deployments/x?", "payments-db"),
    ("Deployment", "", "payments-db"),
)


async def forge(p: Play, name: str, since: datetime, listed: list[dict[str, Any]]) -> None:
    health = {"status": "Degraded", "lastTransitionTime": stamp(since)}
    body = {"health": health, "reconciledAt": stamp(p.clock.now()), "resources": listed}
    await p.world.cluster.patch(APPLICATIONS, ARGOCD, name, {"status": body})


def outside(p: Play) -> list[Any]:
    """Writes of the controller to what is no Application and not in our own namespace."""
    return [w for w in p.world.cluster.writes if w[0] == "patch" and "restartedAt" in str(w[4])]


@pytest.mark.parametrize(
    "permitted", [("shop",), ("*",)], ids=["its own namespace", "every namespace"]
)
@pytest.mark.parametrize(
    "skip", [True, False], ids=["skipped by Argo CD", "between two comparisons"]
)
def test_a_forged_status_restarts_and_quotes_nothing_of_others(
    skip: bool, permitted: tuple[str, ...]
) -> None:
    async def script(p: Play) -> None:
        await victims(p)
        await p.world.project("evilteam", *permitted)
        notes = {"argocd.argoproj.io/skip-reconcile": "true"} if skip else {}
        await p.world.application(
            "evil", (deployment("evil"),), project="evilteam", annotations=notes
        )
        if not skip:
            p.world.argocd._compare = _nothing  # type: ignore[method-assign]  # the owner is always faster than Argo CD
        async with p.controller() as app:
            await p.clock.sleep(120)
            since = p.clock.now()
            for _ in range(120):
                await forge(p, "evil", since, FORGED)
                await p.clock.sleep(30)
            said = str(app.views.explain(p.world.seen("evil").key, lambda _: True))
        assert outside(p) == []
        assert p.world.cluster.find(PODS, "victims", "payments-db-pod") is not None
        for text in (said, str(p.world.recoveries()), str(p.told)):
            assert "CrashLoopBackOff" not in text, "a pod of another team is quoted"
        if skip:
            assert p.world.recoveries() == []
            assert "skip-reconcile" in said
        else:
            assert "NotOwned" in {
                s.reason for r in p.world.recoveries() for s in r.steps if s.action == "restart"
            }

    play(script)


async def _nothing(*_: Any) -> None:
    """Argo CD does not come to it."""


def test_its_own_workload_is_still_restarted() -> None:
    async def script(p: Play) -> None:
        await victims(p)
        await p.world.application(
            "sick", (deployment("sick", "crash-until-restart", 30),), project="good"
        )
        async with p.controller():
            await p.clock.sleep(3600)
        assert [(w[2], w[3]) for w in outside(p)] == [("shop", "sick")]

    play(script)


def test_a_workload_with_the_same_label_and_a_pod_with_the_same_labels_stay_their_owners() -> None:
    """Helm sets app.kubernetes.io/instance as Argo CD did until 2.14; an application may be called
    like any release."""

    async def script(p: Play) -> None:
        await victims(p)
        theirs = deployment("release", "crash", 30)
        theirs["metadata"] |= {"labels": {"app.kubernetes.io/instance": "release"}}
        await p.world.cluster.create(DEPLOYMENTS, "shop", theirs)
        await p.world.application("release", (), project="good")
        p.world.argocd._compare = _nothing  # type: ignore[method-assign]
        async with p.controller():
            await p.clock.sleep(120)
            since = p.clock.now()
            for _ in range(60):
                await forge(p, "release", since, rows(("Deployment", "shop", "release")))
                await p.clock.sleep(60)
        assert outside(p) == []
        reasons = [s.reason for r in p.world.recoveries() for s in r.steps if s.action == "restart"]
        assert reasons
        assert set(reasons) == {"NotOwned"}

    play(script)
