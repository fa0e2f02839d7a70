"""Did an application's own manifests change between two revisions?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from recovery.model.application import Application, Hold, Sync
from recovery.model.situation import OwnChange
from recovery.observe.manifests import ManifestComparer, compared
from recovery.observe.store import Store
from recovery.simulate import virtual
from tests.builders import an_application

BAD, NOW = ("b" * 40,), ("c" * 40,)


def manifests(tag: str = "v1", made: str = "s1", **more: Any) -> tuple[dict[str, Any], ...]:
    notes = {"checksum/secret": made, **more}
    template = {
        "metadata": {"annotations": notes},
        "spec": {"containers": [{"image": f"shop:{tag}"}]},
    }
    return (
        {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": template}},
        {"kind": "Secret", "metadata": {"name": "ca"}, "data": {"tls.crt": made}},
        {
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "w"},
            "webhooks": [{"clientConfig": {"caBundle": made}}],
        },
    )


PAIRS = {
    "the same": (manifests(), manifests(), OwnChange.unchanged),
    "in another order": (manifests(), manifests()[::-1], OwnChange.unchanged),
    "the revision stands in it": (
        manifests(at=BAD[0][:8]),
        manifests(at=NOW[0][:8]),
        OwnChange.unchanged,
    ),
    "another image": (manifests(), manifests("v2"), OwnChange.changed),
    "one resource more": (
        manifests(),
        (*manifests(), {"kind": "ConfigMap", "metadata": {"name": "c"}}),
        OwnChange.changed,
    ),
    "made up anew by the chart": (manifests(), manifests(made="s2"), OwnChange.unknown),
    "made up anew, and another image": (manifests(), manifests("v2", "s2"), OwnChange.changed),
}


@pytest.mark.parametrize(("then", "now", "found"), PAIRS.values(), ids=PAIRS)
def test_what_changed(
    then: tuple[dict[str, Any], ...], now: tuple[dict[str, Any], ...], found: OwnChange
) -> None:
    assert compared(then, BAD, now, NOW) is found


def test_each_held_application_has_its_turn() -> None:
    """Three whose revision changes all the time keep nobody else from being compared."""

    async def inside() -> None:
        clock = virtual.VirtualClock()
        store = Store(clock, lambda _: None, lambda _: False)
        asked: list[str] = []

        class Argo:
            async def rendered(
                self, app: Application, revisions: tuple[str, ...]
            ) -> tuple[dict[str, Any], ...]:
                asked.append(app.name)
                return manifests()

        def held(name: str, revision: str) -> Application:
            hold = Hold("r", f"uid-{name}", BAD, suspended=True)
            app = an_application(
                name=name, uid=f"uid-{name}", sync=Sync.OutOfSync, revisions=(revision,)
            )
            return structs.replace(app, hold=hold, noted=hold)

        for name in ("a-1", "a-2", "a-3", "z"):
            store.put(held(name, "c" * 40))
        comparer = ManifestComparer(store, Argo(), clock)
        running = asyncio.create_task(comparer.run())
        for number in range(20):
            await clock.sleep(2)
            for name in ("a-1", "a-2", "a-3"):
                store.put(held(name, f"{number:040d}"))
        running.cancel()
        assert "z" in asked
        assert asked.count("a-1") > 2

    virtual.run(inside())
