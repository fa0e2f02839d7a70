"""Hostile approvers: what may be written into spec.requests by whoever may ask."""

from __future__ import annotations

import json

import pytest

from recovery.kube.client import RECOVERIES
from recovery.simulate.environment import OURS
from recovery.simulate.manifests import deployment
from tests.play import Play, play
from tests.security.test_records import BY_REVISION


async def ask(p: Play, name: str, *requests: dict[str, str]) -> None:
    """As an approver: one more thing in spec.requests, all else as it is (the CEL rules hold)."""
    body = json.loads(json.dumps(p.world.cluster.find(RECOVERIES, OURS, name)))
    body["spec"].setdefault("requests", []).extend(requests)
    await p.world.cluster.update(RECOVERIES, OURS, name, body)


BAD_TIMES = ["2026-01-01T00:00:00+99:99", "2026-01-01T00:00:00x5Z", "0000-01-01T00:00:00Z"]
"""kube-openapi strfmt.IsDateTime takes them; msgspec does not."""


@pytest.mark.parametrize("time", [BAD_TIMES[0], "2026-01-01T00:00:00Z"])
def test_a_time_that_only_the_api_server_can_read_forgets_no_debt(time: str) -> None:
    async def script(p: Play) -> None:
        await p.world.policies(BY_REVISION)
        for i in range(6):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),))
        await p.world.application("shop", (deployment("shop"),))
        async with p.controller() as app:
            await p.clock.sleep(1200)
            await p.world.commit("shop", (deployment("shop", "missing", 30),))
            await p.clock.sleep(2400)
            (record,) = p.world.recoveries()
            assert p.world.raw("shop")["spec"]["syncPolicy"]["automated"]["enabled"] is False
            await ask(p, record.name, {"type": "reset", "by": "mallory", "time": time})
            await p.clock.sleep(900)
            print(
                "known:", [r.name for r in app.recoveries.all()], "debtors:", app.recoveries.debtors
            )
            await p.world.commit("shop", (deployment("shop", "ready-2", 30),))
            await p.clock.sleep(3600)
        shop = p.world.raw("shop")
        assert "enabled" not in shop["spec"]["syncPolicy"]["automated"], "auto-sync is given back"

    play(script)


def test_a_time_that_only_the_api_server_can_read_stops_no_recovery() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(BY_REVISION)
        for i in range(6):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),))
        async with p.controller() as app:
            await p.clock.sleep(600)
            await p.world.application("sick", (deployment("sick", "crash", 30),))
            while not p.world.recoveries():
                await p.clock.sleep(5)
            (record,) = p.world.recoveries()
            await ask(p, record.name, {"type": "reset", "by": "mallory", "time": BAD_TIMES[0]})
            before = len(p.world.cluster.writes)
            await p.clock.sleep(4 * 3600)
            wrote = [
                w[:4] for w in p.world.cluster.writes[before:] if w[3] in ("sick", record.name)
            ]
            print("after:", wrote, [r.name for r in app.recoveries.all()])
            assert app.recoveries.get(record.name) is not None

    play(script)


# --- storms ---------------------------------------------------------------------------------
from tests.test_storms import MINUTE, POLICIES, break_all, fleet  # noqa: E402


async def rewrite(p: Play, name: str, change) -> None:  # type: ignore[no-untyped-def]
    body = json.loads(json.dumps(p.world.cluster.find(RECOVERIES, OURS, name)))
    body["spec"]["requests"] = change(body["spec"].get("requests") or [])
    await p.world.cluster.update(RECOVERIES, OURS, name, body)


def test_who_let_a_storm_go_is_who_did() -> None:
    """CEL holds: alice's own request stays word for word, mallory's is under his name; he puts it
    before hers."""

    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        await fleet(p.world, 12, 20)
        async with p.controller():
            await p.clock.sleep(5 * MINUTE)
            await break_all(p, 12)
            await p.clock.sleep(10 * MINUTE)
            (storm,) = p.world.recoveries()
            now = p.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            alice = {"type": "reset", "by": "alice", "time": now}
            await rewrite(p, storm.name, lambda have: [*have, alice])
            await p.clock.sleep(30)
            mallory = {"type": "approve", "by": "mallory", "time": now}
            await rewrite(p, storm.name, lambda have: [mallory, *have])
            await p.clock.sleep(5)
            storm = next(r for r in p.world.recoveries() if r.subject.kind == "Storm")
            assert storm.reason == "MembersApproved"
            assert storm.message.startswith("mallory"), storm.message

    play(script)


@pytest.mark.parametrize("year", ["now", "2999-01-01T00:00:00Z"])
def test_letting_a_storm_go_is_no_leave_for_who_falls_ill_later(year: str) -> None:
    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        await fleet(p.world, 30, 60)
        async with p.controller():
            await p.clock.sleep(5 * MINUTE)
            await break_all(p, 12)
            await p.clock.sleep(10 * MINUTE)
            (storm,) = p.world.recoveries()
            time = p.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ") if year == "now" else year
            await ask(p, storm.name, {"type": "approve", "by": "mallory", "time": time})
            await p.clock.sleep(2 * MINUTE)
            for number in range(12, 30):
                await p.world.commit(f"web-{number}", (deployment(f"web-{number}", "crash", 5),))
            await p.clock.sleep(30 * MINUTE)
            later = [
                r.subject.name
                for r in p.world.recoveries()
                if r.subject.kind == "Application" and int(r.subject.name.split("-")[1]) >= 12
            ]
            print("acted on of the second storm:", later)
            assert not later

    play(script)


def test_nobody_takes_another_ones_request_away() -> None:
    """Ten of one's own push out those of others; the rules let one only add."""

    async def script(p: Play) -> None:
        await p.world.policies(POLICIES)
        await fleet(p.world, 1, 20)
        async with p.controller() as app:
            await p.clock.sleep(5 * MINUTE)
            await break_all(p, 1)
            while not p.world.recoveries():
                await p.clock.sleep(5)
            (record,) = p.world.recoveries()
            now = p.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            await ask(p, record.name, {"type": "failback", "by": "alice", "time": now})
            await ask(p, record.name, *[{"type": "failback", "by": "mallory", "time": now}] * 10)
            await p.clock.sleep(30 * MINUTE)
            kept = {w.by for w in app.recoveries.get(record.name).requests}
            assert "alice" in kept, kept

    play(script)


def test_what_is_asked_is_short() -> None:
    """etcd takes 1.5 MiB; ten requests are kept, and none has an end."""
    from tools import crd

    step = crd.definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][
        "spec"
    ]["properties"]["requests"]["items"]["properties"]
    assert step["step"].get("maxLength")
    assert step["by"].get("maxLength")


def test_one_old_record_that_is_refused_keeps_nobody_from_starting() -> None:
    """What cannot be written anew (403 of the admission policy, 422, 500 of etcd for its size)
    is asked for again for ever, and nothing else begins."""
    from recovery.kube.client import RECOVERIES_BEFORE
    from recovery.kube.errors import Invalid

    old = {
        "apiVersion": "recovery.gitops.dev/v1alpha1",
        "kind": "Recovery",
        "metadata": {"name": "shop-1", "namespace": OURS},
        "spec": {
            "policy": "p",
            "policyHash": "h",
            "openedAt": "2026-01-01T00:00:00Z",
            "subject": {"kind": "Application", "namespace": "argocd", "name": "x", "uid": "u"},
        },
        "status": {
            "format": 1,
            "phase": "Resolved",
            "wishes": [
                {"what": "approve", "by": "mallory", "at": "2026-01-01T00:00:00Z", "step": "x" * 10}
            ],
        },
    }

    async def script(p: Play) -> None:
        await p.world.policies(BY_REVISION)
        await p.world.application("shop", (deployment("shop", "crash", 30),))
        await p.world.cluster.create(RECOVERIES_BEFORE, OURS, old)
        p.faults.append(
            lambda verb, what: (
                Invalid("etcdserver: request is too large", 422)
                if (verb, what) == ("update", RECOVERIES_BEFORE)
                else None
            )
        )
        async with p.controller() as app:
            await p.clock.sleep(3600)
            assert app.store.applications, "it watches"

    play(script)


def test_a_plan_names_no_more_than_the_schema_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema takes MAX_RELOCATIONS (500) entries; beyond it the API server answers 422, and the
    plan of a failover is never written. Any tenant can have 500 Applications on a shared cluster."""
    from recovery.act import failover, relocate
    from recovery.kube.client import RECOVERY_STATUS
    from recovery.kube.errors import Invalid
    from tests.test_clusters import begin, dies, newest, running, where

    for room in (relocate, failover):
        monkeypatch.setattr(room, "MAX_RELOCATIONS", 2)

    async def script(p: Play) -> None:
        await begin(p, "w-a", "w-b", "w-c")
        real = p.world.cluster.update

        async def strict(what, namespace, name, body):  # type: ignore[no-untyped-def]
            if what == RECOVERY_STATUS and len(body["status"].get("relocations", ())) > 2:
                raise Invalid("status.relocations: Too many: 3: must have at most 2 items", 422)
            return await real(what, namespace, name, body)

        p.world.cluster.update = strict  # type: ignore[method-assign]
        async with running(p):
            dies(p)
            await p.clock.sleep(900)
            print(newest(p).phase, newest(p).relocations, where(p, "w-a", "w-b", "w-c"))
        assert where(p, "w-a", "w-b", "w-c").count("secondary") == 2

    play(script)
