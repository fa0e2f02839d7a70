"""Whatever a Recovery or an annotation says is checked against what is so before a step goes
out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from recovery.act.registry import ACTION_KINDS, INTERNAL
from recovery.decide.holds import by_hand, effective, proven
from recovery.decide.pinned import agreed
from recovery.kube.client import APPLICATIONS, DEPLOYMENTS, RECOVERIES, RECOVERY_STATUS
from recovery.kube.errors import Late, Unavailable
from recovery.model.application import Hold
from recovery.model.move import Place, Relocation, RelocationPhase
from recovery.model.names import HOLD
from recovery.model.policy import ActionSpec
from recovery.model.recovery import Debt, StepRecord
from recovery.simulate.environment import ARGOCD, OURS
from recovery.simulate.manifests import deployment
from tests.builders import NOW, a_recovery, an_application, the_policies
from tests.play import Play, play

SHIPPED = Path("config/policies.yaml").read_text()
BY_REVISION = SHIPPED.replace(
    "if_restart_fails: true", "if_restart_fails: true\n      release: revision"
)
"""Any newer revision ends a hold: without a token nobody can tell whose it is."""
DESTRUCTIVE = frozenset(name for name, kind in ACTION_KINDS.items() if kind.destructive)
OWED = Hold("cart-1", "uid-cart", ("bad",), suspended=True, automated={"prune": False}, since=NOW)
SAID = structs.replace(OWED, automated=None)


@pytest.mark.parametrize(
    ("said", "honoured"),
    [
        pytest.param(SAID, True, id="what was claimed"),
        pytest.param(OWED, True, id="with what was taken out"),
        pytest.param(
            structs.replace(OWED, automated={"prune": True, "allowEmpty": True}),
            False,
            id="widened",
        ),
        pytest.param(structs.replace(SAID, had_enabled=True), False, id="switched on"),
        pytest.param(structs.replace(SAID, bad=("good",)), False, id="another revision named bad"),
        pytest.param(
            structs.replace(SAID, recovery="cart-2"), False, id="a record that is not there"
        ),
        pytest.param(structs.replace(SAID, uid="other"), False, id="another object's"),
        pytest.param(
            structs.replace(SAID, bad=(), origin=Place(name="prod"), target=Place(name="here")),
            False,
            id="a move nobody made",
        ),
        pytest.param(None, False, id="none"),
    ],
)
def test_a_hold_is_honoured_for_no_more_than_its_record_says(
    said: Hold | None, honoured: bool
) -> None:
    step = StepRecord(1, 0, "rollback", NOW, owes=OWED)
    kept = a_recovery("cart-1", NOW, steps=(step,))
    kept = structs.replace(kept, subject=structs.replace(kept.subject, uid="uid-cart"))
    app = an_application(uid="uid-cart")

    assert proven(said, app, kept) is honoured
    assert not proven(said, app, None)
    assert not proven(said, app, structs.replace(kept, steps=()))
    assert not proven(
        said, app, structs.replace(kept, steps=(structs.replace(step, debt=Debt.settled),))
    ), "given back already"
    assert not proven(
        said, app, structs.replace(kept, subject=structs.replace(kept.subject, uid="another"))
    )


@pytest.mark.parametrize(
    ("changes", "step", "held"),
    [
        pytest.param({"noted": SAID}, {}, True, id="annotation and record agree"),
        pytest.param({}, {}, True, id="its owner took the annotation away"),
        pytest.param({"uid": "uid-restored"}, {}, True, id="made again under another UID"),
        pytest.param(
            {"uid": "uid-restored", "noted": SAID}, {}, True, id="restored with its annotation"
        ),
        pytest.param({"project": "other"}, {}, True, id="moved into another project"),
        pytest.param(
            {"uid": "uid-restored", "project": "other"},
            {},
            False,
            id="made again in another project",
        ),
        pytest.param({}, {"debt": Debt.settled}, False, id="given back"),
        pytest.param({}, {"sent": False}, False, id="claimed, and never sent"),
        pytest.param(
            {}, {"debt": Debt.none}, False, id="of an older version, which knows no debts"
        ),
        pytest.param(
            {"noted": structs.replace(SAID, recovery="cart-9")},
            {"debt": Debt.settled},
            False,
            id="an annotation without a record",
        ),
    ],
)
def test_the_record_is_the_truth_of_a_hold(
    changes: dict[str, Any], step: dict[str, Any], held: bool
) -> None:
    record = StepRecord(1, 0, "rollback", NOW, owes=OWED, sent=True, debt=Debt.open)
    kept = a_recovery("cart-1", NOW, steps=(structs.replace(record, **step),))
    kept = structs.replace(
        kept, subject=structs.replace(kept.subject, uid="uid-cart", project="default")
    )
    app = an_application(**{"uid": "uid-cart", "project": "default", **changes})

    found = effective(app, {"cart-1": kept}.get, [kept])

    assert (found.hold is not None) is held
    assert found.hold is None or (found.hold.uid, found.hold.bad) == (app.uid, ("bad",))
    assert bool(found.unreadable) is (app.noted is not None and not held), (
        "it is shown, and left alone"
    )


def test_a_move_is_honoured_between_the_places_of_its_record() -> None:
    home, away = Place(name="primary"), Place(name="secondary")
    move = Relocation("argocd", "cart", "uid-cart", home, away, RelocationPhase.Moved)
    kept = structs.replace(a_recovery("primary-1", NOW), relocations=(move,))
    said = Hold("primary-1", "uid-cart", origin=home, target=away)

    assert proven(said, an_application(uid="uid-cart"), kept)
    assert not proven(
        structs.replace(said, origin=Place(name="prod")), an_application(uid="uid-cart"), kept
    )
    assert not proven(said, an_application(uid="other"), kept)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "auto-on": (
        {"bad": ["zzz"], "suspended": True, "hadEnabled": True},
        {"automated": {"enabled": False}},
    ),
    "auto-map": (
        {
            "bad": ["zzz"],
            "suspended": True,
            "automated": {"prune": True, "selfHeal": True, "allowEmpty": True},
        },
        {"automated": None},
    ),
    "dest": (
        {"target": {"server": "https://kubernetes.default.svc"}, "origin": {"name": "prod"}},
        {},
    ),
    "other-uid": (
        {"uid": "other", "bad": ["zzz"], "suspended": True, "automated": {"prune": True}},
        {"automated": None},
    ),
    "weird": ({"recovery": "../x", "bad": ["\u001b[31m" + "A" * 2000], "suspended": True}, {}),
    "deep": ({"x": "[" * 5000}, {}),
}


def test_a_crafted_annotation_switches_on_moves_and_opens_nothing() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        await p.world.further_cluster("prod")
        for name, (_, policy) in CASES.items():
            await p.world.application(name, (deployment(name),), project="evilteam")
            await p.world.cluster.patch(
                APPLICATIONS, ARGOCD, name, {"spec": {"syncPolicy": policy}}
            )
        async with p.controller() as app:
            await p.clock.sleep(180)
            before = {name: p.world.raw(name)["spec"] for name in CASES}
            for name, (hold, _) in CASES.items():
                text = json.dumps(
                    {"recovery": "x", "uid": p.world.raw(name)["metadata"]["uid"], **hold}
                )
                await p.world.annotate(name, {"recovery.gitops.dev/hold": text})
            await p.clock.sleep(3600)
            for name in CASES:
                assert p.world.raw(name)["spec"] == before[name], name
                assert "recovery.gitops.dev/hold" in p.world.raw(name)["metadata"]["annotations"], (
                    "it is shown and left alone"
                )
                shown = app.views.explain(p.world.seen(name).key, lambda _: True)
                assert shown is not None
                assert shown["not_honoured"], name
        assert not [s for r in p.world.recoveries() for s in r.steps if s.sent]
        assert not [
            r for r in p.world.recoveries() if r.relocations or r.subject.kind != "Application"
        ]

    play(script)


@pytest.mark.parametrize(
    "own", [True, False], ids=["a workload of its own that is well", "another's"]
)
def test_a_forged_record_restarts_nothing(own: bool) -> None:
    async def script(p: Play) -> None:
        await p.world.policies(SHIPPED)
        for i in range(6):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),), project="good")
        await p.world.cluster.create(DEPLOYMENTS, "kube-system", deployment("coredns"))
        await p.world.application(
            "sick", (deployment("sick", "crash", 30), deployment("fine")), project="good"
        )
        async with p.controller():
            await p.clock.sleep(4200)
            (record,) = [r for r in p.world.recoveries() if r.subject.name == "sick"]
            item = p.world.cluster.find(RECOVERIES, OURS, record.name)
            body = json.loads(json.dumps(item))
            status, now = body["status"], p.clock.now().isoformat().replace("+00:00", "Z")
            for step in status["steps"]:
                step.update(
                    outcome=step.get("outcome") or "Failed", endedTime=step.get("endedTime") or now
                )
            target = (
                "apps/v1/Deployment/shop/fine" if own else "apps/v1/Deployment/kube-system/coredns"
            )
            status |= {
                "phase": "Remediating",
                "attempt": status.get("maxAttempts", 3) + 1,
                "maxAttempts": status.get("maxAttempts", 3) + 1,
            }
            status["actions"] = [{"type": "restart"}]
            step = {
                "attempt": status["attempt"],
                "index": 0,
                "action": "restart",
                "startedTime": now,
                "claimedTime": now,
                "stage": "replace",
            }
            status["steps"].append(
                {**step, "sent": False, "targets": [target], "claim": status["steps"][0]["claim"]}
            )
            body["metadata"].pop("resourceVersion")
            before = len(p.world.cluster.writes)
            await p.world.cluster.update(RECOVERY_STATUS, OURS, record.name, body)
            await p.clock.sleep(600)
            restarted = {
                (w[2], w[3]) for w in p.world.cluster.writes[before:] if "restartedAt" in str(w[4])
            }
        assert restarted <= {("shop", "sick")}

    play(script)


def test_the_actions_of_a_record_are_its_policys() -> None:
    (policy, *_) = the_policies().policies
    own = tuple(step.written for step in policy.actions)
    record = a_recovery("cart-1", NOW, policy=policy.name, policy_hash=policy.hash, actions=own)
    forged = (ActionSpec("rollback"), *own)

    assert agreed(record, policy, INTERNAL, DESTRUCTIVE)
    assert agreed(
        structs.replace(record, actions=(ActionSpec("release"), *own)),
        policy,
        INTERNAL,
        DESTRUCTIVE,
    )
    assert agreed(structs.replace(record, actions=()), policy, INTERNAL, DESTRUCTIVE)
    assert not agreed(structs.replace(record, actions=forged), policy, INTERNAL, DESTRUCTIVE)
    assert not agreed(
        structs.replace(record, actions=forged, policy_hash="older"), policy, INTERNAL, DESTRUCTIVE
    )
    assert agreed(
        structs.replace(record, actions=(ActionSpec("notify"),), policy_hash="older"),
        policy,
        INTERNAL,
        DESTRUCTIVE,
    )


def test_a_hold_of_an_older_version_is_honoured_while_its_record_is_there() -> None:
    step = StepRecord(1, 0, "rollback", NOW, sent=True)
    kept = a_recovery("cart-1", NOW, steps=(step,))
    kept = structs.replace(kept, subject=structs.replace(kept.subject, uid="uid-cart"))
    app = an_application(uid="uid-cart")

    assert proven(SAID, app, kept)
    assert not proven(
        SAID, app, structs.replace(kept, steps=(structs.replace(step, action="restart"),))
    )
    assert not proven(SAID, app, structs.replace(kept, steps=(structs.replace(step, sent=False),)))
    assert not proven(SAID, structs.replace(app, uid="other"), kept)


@pytest.mark.parametrize(
    "how", ["deleted", "written by an older version", "deleted while the API server refuses"]
)
def test_what_is_owed_survives_its_record(how: str) -> None:
    async def script(p: Play) -> None:
        await p.world.policies(BY_REVISION)
        for i in range(6):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),))
        await p.world.application("shop", (deployment("shop"),))
        async with p.controller():
            await p.clock.sleep(1200)
            await p.world.commit("shop", (deployment("shop", "missing", 30),))
            await p.clock.sleep(2400)
            assert [r.phase.value for r in p.world.recoveries()] == ["Resolved"]
            assert p.world.raw("shop")["spec"]["syncPolicy"]["automated"]["enabled"] is False
            refused = how == "deleted while the API server refuses"
            if refused:
                p.faults.append(
                    lambda verb, what: (
                        Unavailable("no") if what == RECOVERIES and verb == "create" else None
                    )
                )
            for item in p.world.cluster.every(RECOVERIES):
                body = json.loads(json.dumps(item))
                if how == "written by an older version":
                    for step in body["status"]["steps"]:
                        step.pop("owes", None)
                    body["spec"].pop("holds", None)
                    body["metadata"].pop("resourceVersion")
                    for part in (RECOVERIES, RECOVERY_STATUS):
                        await p.world.cluster.update(part, OURS, body["metadata"]["name"], body)
                else:
                    await p.world.cluster.delete(RECOVERIES, OURS, body["metadata"]["name"])
            await p.clock.sleep(60)
            p.faults.clear()
            await p.clock.sleep(900)
            assert [r.phase.value for r in p.world.recoveries()] == ["Resolved"], (
                "it is written again"
            )
            await p.world.commit("shop", (deployment("shop", "ready-2", 30),))
            await p.clock.sleep(3600)
        shop = p.world.raw("shop")
        assert not any("hold" in name for name in shop["metadata"].get("annotations") or {})
        assert "enabled" not in shop["spec"]["syncPolicy"]["automated"], "auto-sync is given back"

    play(script)


def test_a_lost_answer_makes_our_own_hold_no_strangers() -> None:
    async def script(p: Play) -> None:
        await p.world.policies(BY_REVISION)
        for i in range(6):
            await p.world.application(f"calm-{i}", (deployment(f"calm-{i}"),))
        await p.world.application("shop", (deployment("shop"),))
        real, lost = p.world.cluster.patch, list[float]()

        async def patch(what: Any, *args: Any) -> bytes:
            answer = await real(what, *args)
            if what == APPLICATIONS and HOLD in str(args) and not lost:
                lost.append(p.clock.monotonic() + 40)
                raise Late("gateway timeout", 504)
            return answer

        p.world.cluster.patch = patch  # type: ignore[method-assign]
        async with p.controller() as app:
            put, late = app.store.put, list[Any]()

            def slow(item: Any) -> None:
                if lost and p.clock.monotonic() < lost[0]:
                    late.append(item)  # the watch has fallen behind
                else:
                    put(item)

            app.store.put = slow  # type: ignore[method-assign]
            await p.clock.sleep(1200)
            await p.world.commit("shop", (deployment("shop", "missing", 30),))
            while not lost or p.clock.monotonic() < lost[0]:
                await p.clock.sleep(1)
            for item in late:
                put(item)
            await p.clock.sleep(1800)
            await p.world.commit("shop", (deployment("shop", "ready-2", 30),))
            await p.clock.sleep(2400)
        shop = p.world.raw("shop")
        assert p.world.seen("shop").sync.value == "Synced"
        assert "enabled" not in shop["spec"]["syncPolicy"]["automated"]

    play(script)


@pytest.mark.parametrize(
    ("hold", "automated", "given"),
    [
        pytest.param(SAID, {"prune": False, "enabled": False}, True, id="off"),
        pytest.param(SAID, {"prune": False}, False, id="on by now"),
        pytest.param(SAID, None, False, id="gone, and nobody knows what it was"),
        pytest.param(OWED, None, True, id="gone, and the annotation is the only copy"),
        pytest.param(
            structs.replace(SAID, uid="other"), {"enabled": False}, False, id="of another"
        ),
        pytest.param(
            structs.replace(SAID, had_enabled=False),
            {"enabled": False},
            False,
            id="it was off before",
        ),
    ],
)
def test_where_no_record_is_left_a_person_gets_auto_sync_back_by_name(
    hold: Hold, automated: dict[str, bool] | None, given: bool
) -> None:
    on = automated is not None and automated.get("enabled") is not False
    app = an_application(uid="uid-cart", hold=hold, automated=automated, auto_sync=on)

    assert (by_hand(hold, app) is not None) is given
