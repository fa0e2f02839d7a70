"""What comes first: an application that others stand on is cured before them."""

from __future__ import annotations

from datetime import timedelta

from recovery.kube.client import APPLICATIONS
from recovery.model.names import SubjectKey
from recovery.model.recovery import RecoveryPhase
from recovery.serve.auth import EVERYBODY
from recovery.simulate.environment import ARGOCD
from recovery.simulate.manifests import deployment
from tests.play import Play, play
from tests.stage import policies as short_policies

MINUTE = 60.0
POLICIES = short_policies("web", duration="30s") + "guards: {storm: {minimum: 1000}}\n"


async def family(
    p: Play, waves: dict[str, str], notes: dict[str, dict[str, str]] | None = None
) -> None:
    """Children of one app-of-apps, with their sync waves, and twenty others that are well."""
    for number in range(20):
        await p.world.application(f"well-{number}", (deployment(f"well-{number}"),))
    listed = [
        {
            "group": "argoproj.io",
            "kind": "Application",
            "namespace": "argocd",
            "name": name,
            "status": "Synced",
        }
        for name in waves
    ]
    status = {
        "frozen": True,
        "sync": {"status": "Synced"},
        "health": {"status": "Healthy"},
        "resources": listed,
    }
    spec = {
        "project": "default",
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "argocd"},
    }
    await p.world.cluster.create(
        APPLICATIONS, "argocd", {"metadata": {"name": "apps"}, "spec": spec, "status": status}
    )
    for name, wave in waves.items():
        annotations = {
            "argocd.argoproj.io/tracking-id": f"apps:argoproj.io/Application:argocd/{name}",
            "argocd.argoproj.io/sync-wave": wave,
            **(notes or {}).get(name, {}),
        }
        await p.world.application(name, (deployment(name, "ready", 5),), annotations=annotations)


async def fall_ill(p: Play, *names: str) -> None:
    for name in names:
        await p.world.commit(name, (deployment(name, "crash-until-restart", 5),))


def times(p: Play) -> dict[str, tuple[float, float]]:
    """When each one's recovery did its first step, and when it was over, in seconds after the first
    of all."""
    found = {}
    steps = {
        r.subject.name: (min(s.started_at for s in r.steps if s.sent), r.resolved_at)
        for r in p.world.recoveries()
    }
    first = min(began for began, _ in steps.values())
    for name, (began, over) in steps.items():
        assert over is not None
        found[name] = (
            (began - first) / timedelta(seconds=1),
            (over - first) / timedelta(seconds=1),
        )
    return found


def test_a_database_of_an_earlier_wave_is_cured_before_its_clients() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        async with p.controller() as app:
            await family(p, {"web-db": "-1", "web-cart": "0", "web-shop": "1"})
            await p.clock.sleep(2 * MINUTE)
            await fall_ill(p, "web-shop", "web-cart", "web-db")
            await p.clock.sleep(20)
            held = {
                r["subject"]: (r["by"], r["message"])
                for r in app.views.recoveries(EVERYBODY.sees)["pending"]
                if r["by"]
            }
            held |= {
                str(r.subject): (r.reason, r.message)
                for r in p.world.recoveries()
                if r.phase is RecoveryPhase.Suppressed
            }
            assert "argocd/web-db is of sync wave -1, before 0" in held["argocd/web-cart"][1]
            await p.clock.sleep(10 * MINUTE)
            when = times(p)
            assert when["web-db"][1] <= when["web-cart"][0], when
            assert when["web-cart"][1] <= when["web-shop"][0], when

    play(script)


def test_who_is_looked_at_all_the_time_waits_all_the_same() -> None:
    """What was restarted a moment ago is no longer Degraded, and not well yet."""

    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        async with p.controller() as app:
            await family(p, {"web-db": "-1", "web-cart": "0"})
            await p.clock.sleep(2 * MINUTE)
            await fall_ill(p, "web-cart", "web-db")
            for _ in range(600):
                await p.clock.sleep(0.25)
                app.queue.add(SubjectKey("application", ARGOCD, "web-cart"))
            when = times(p)
            assert when["web-db"][1] <= when["web-cart"][0], when

    play(script)


def test_by_annotation_one_after_the_other() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        stands = {
            "web-a": {"recovery.gitops.dev/after": "web-b"},
            "web-b": {"recovery.gitops.dev/after": "argocd/web-c"},
        }
        async with p.controller():
            await family(p, dict.fromkeys(("web-a", "web-b", "web-c"), "0"), stands)
            await p.clock.sleep(2 * MINUTE)
            await fall_ill(p, "web-a", "web-b", "web-c")
            await p.clock.sleep(10 * MINUTE)
            when = times(p)
            assert when["web-c"][1] <= when["web-b"][0]
            assert when["web-b"][1] <= when["web-a"][0]

    play(script)


def test_a_circle_holds_up_nobody() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        circle = {"web-a": "web-b", "web-b": "web-c", "web-c": "web-a"}
        async with p.controller():
            await family(
                p,
                dict.fromkeys(circle, "0"),
                {name: {"recovery.gitops.dev/after": on} for name, on in circle.items()},
            )
            await p.clock.sleep(2 * MINUTE)
            await fall_ill(p, *circle)
            await p.clock.sleep(10 * MINUTE)
            assert p.phases() == ["Resolved"] * 3

    play(script)


def test_one_that_a_person_has_to_mend_is_not_waited_for() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        async with p.controller():
            await family(p, {"web-db": "-1", "web-cart": "0"})
            await p.clock.sleep(2 * MINUTE)
            await p.world.annotate("web-db", {"recovery.gitops.dev/paused": "by hand"})
            await fall_ill(p, "web-cart", "web-db")
            await p.clock.sleep(10 * MINUTE)
            phases = {r.subject.name: r.phase for r in p.world.recoveries()}
            assert phases == {
                "web-db": RecoveryPhase.Suppressed,
                "web-cart": RecoveryPhase.Resolved,
            }

    play(script)
