"""An application that is being deleted: nothing is done to it, and a deletion that does not end is
somebody's to know."""

from __future__ import annotations

from recovery.kube.client import APPLICATIONS, SECRETS
from recovery.simulate.environment import OURS
from recovery.simulate.manifests import deployment
from tests.play import Play, play
from tests.stage import policies

MINUTE = 60


def test_a_deletion_that_hangs_reaches_a_person_once_and_nothing_is_written() -> None:
    async def script(p: Play) -> None:
        await p.world.cluster.create(
            SECRETS,
            OURS,
            {"metadata": {"name": "recovery-channels"}, "data": {"receiver": "anNvbjovL3g="}},
        )
        await p.world.policies(policies("w"))
        async with p.controller():
            await p.world.application("w-1", (deployment("w-1", "ready", 8),))
            await p.clock.sleep(5 * MINUTE)
            await p.world.commit("w-1", (deployment("w-1", "missing", 8),))
            going = {
                "deletionTimestamp": f"{p.clock.now():%Y-%m-%dT%H:%M:%SZ}",
                "finalizers": ["resources-finalizer.argocd.argoproj.io"],
            }
            await p.world.cluster.patch(APPLICATIONS, "argocd", "w-1", {"metadata": going})
            written = len(p.touched("w-1"))
            await p.clock.sleep(9 * MINUTE)
            assert p.told == [], "a deletion takes its time"
            await p.clock.sleep(20 * MINUTE)

            (note,) = p.told
            assert "DeletionStuck" in note.title + note.body
            assert "it is being deleted since" in note.body
            assert "resources-finalizer.argocd.argoproj.io" in note.body
            assert len(p.touched("w-1")) == written

    play(script)
