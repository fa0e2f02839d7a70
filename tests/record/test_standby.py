"""Two replicas, the whole controller: what the other opened is deleted after an hour."""

from __future__ import annotations

import asyncio

from recovery.app import App
from recovery.kube.client import RECOVERIES
from recovery.settings import Settings
from recovery.simulate.manifests import deployment
from tests.play import SLOW_HEARTBEATS, Play, play
from tests.stage import policies as short_policies


def test_the_record_of_an_open_incident_outlives_its_first_hour() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(short_policies("w"))
        for n in range(4):
            await p.world.application(
                f"w-{n}", (deployment(f"w-{n}", "ready", 5),), project=f"p{n}"
            )
        await p.clock.sleep(20)
        apps = [
            App(
                Settings(**{**SLOW_HEARTBEATS, "identity": f"controller-{n}", "shards": 2}),
                p,
                p.clock,
                p.send,
                None,
                p.world.looks,
            )  # type: ignore[arg-type]
            for n in range(2)
        ]
        tasks = [asyncio.create_task(app.run()) for app in apps]
        await p.clock.sleep(60)
        for n in range(4):
            await p.world.commit(f"w-{n}", (deployment(f"w-{n}", "crash", 5),))
            await p.clock.sleep(200)
        await p.clock.sleep(600)
        unclaimed = [(app.shards.lead, list(app.recoveries._unclaimed)) for app in apps]
        before = {r.name: r.phase.value for r in p.world.recoveries()}
        lead = next(n for n, app in enumerate(apps) if app.shards.lead)
        apps[lead].stop()  # its node is drained
        await tasks[lead]
        await p.clock.sleep(1.5 * 3600)
        after = {r.name: r.phase.value for r in p.world.recoveries()}
        deleted = [w[3] for w in p.world.cluster.writes if w[0] == "delete" and w[1] == RECOVERIES]
        for app in apps:
            app.stop()
        await asyncio.gather(*tasks)
        print("UNCLAIMED", unclaimed)
        print([a.shards.held() for a in apps], before, after)
        print([m.title for m in p.told if "delet" in m.title][:5])
        assert deleted == [], [(name, before.get(name)) for name in deleted]

    play(script)
