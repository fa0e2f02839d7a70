"""The plan is the controller's own judgement on its first day: what it promises is what happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recovery.act.registry import POLICY_ACTIONS
from recovery.commands.plan import shipped
from recovery.decide.engine import decide
from recovery.decide.forecast import ASSUMED, forecast
from recovery.exported import ExportedFleet
from recovery.model.application import Application, Operation, Phase, Sync
from recovery.model.decision import Kind
from recovery.policies import parse
from tests.builders import BAD, NOW, degraded, gave_up
from tests.commands.test_commands import exported, fleet, recovery

DEGRADED = {"status": "Degraded", "lastTransitionTime": "2026-03-01T00:00:00Z"}
STUCK = {"phase": "Failed", "finishedAt": "2026-03-01T00:00:00Z", "syncResult": {"revision": "def"}}


def stuck(name: str, **more: Any) -> dict[str, Any]:
    made = exported(
        name, sync={"status": "OutOfSync", "revision": "def"}, operationState=STUCK, **more
    )
    made["spec"]["source"]["repoURL"] = f"https://git.example/{name}.git"
    return made


def planned(*arguments: str, text: str) -> dict[str, Any]:
    done = recovery("plan", "-f", "-", "-o", "json", *arguments, text=text)
    assert done.returncode == 0, done.stderr
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def test_a_fleet_that_is_unhealthy_already_is_left_alone_on_the_first_day() -> None:
    found = planned(text=fleet(*(stuck(f"old-{n}") for n in range(40)), exported("well")))

    assert found["summary"] == {
        "act": 0,
        "person": 0,
        "wait": 0,
        "refuse": 40,
        "held_back_by": {"PreExisting": 40},
        "unsure": 0,
    }
    assert found["well"] == 1


def test_after_adopt_the_budget_lets_them_go_one_after_the_other() -> None:
    found = planned("--as-adopted", text=fleet(*(stuck(f"old-{n}") for n in range(40))))

    summary, limit = found["summary"], parse(shipped(), POLICY_ACTIONS).budget.per_project
    assert (summary["act"], summary["wait"], summary["refuse"]) == (limit, 40 - limit, 0)
    assert {row["by"] for row in found["rows"] if row["verdict"] == "wait"} == {"InFlightLimit"}


def test_a_manual_application_that_is_degraded_is_restarted_as_in_life() -> None:
    manual = exported("gate", sync={"status": "OutOfSync", "revision": "def"}, health=DEGRADED)
    manual["spec"]["syncPolicy"] = {}

    rows = {row["policy"]: row for row in planned(text=fleet(manual))["rows"]}

    assert (
        rows["application-sync-failure"]["verdict"],
        rows["application-sync-failure"]["by"],
    ) == ("refuse", "ManualSync")
    assert rows["application-health-degraded"]["message"].startswith("would restart")


def test_a_resource_tree_says_what_it_is_ill_of(tmp_path: Path) -> None:
    sick = exported("api", health=DEGRADED)
    pod = {
        "kind": "Pod",
        "namespace": "shop",
        "name": "api-1",
        "uid": "p",
        "health": {"status": "Degraded", "message": "ImagePullBackOff: no such tag"},
    }
    (tmp_path / "argocd").mkdir()
    (tmp_path / "argocd" / "api.json").write_text(json.dumps({"nodes": [pod]}))

    found = planned("--trees", str(tmp_path), text=fleet(sick))

    (row,) = found["rows"]
    assert found["summary"]["unsure"] == 0
    assert not row["message"].startswith("would restart"), (
        "a restart pulls no image that is not there"
    )
    assert any("ImagePull" in step for step in row["steps"]), row


def test_the_same_of_many_is_said_once() -> None:
    done = recovery("plan", "-f", "-", text=fleet(*(stuck(f"old-{n}") for n in range(40))))

    assert done.stdout.count("recovery adopt") == 1
    assert "and 37 more" in done.stdout


def test_what_is_no_directory_of_trees_is_named() -> None:
    done = recovery("plan", "-f", "-", "--trees", "/no/such", text=fleet(exported("well")))

    assert done.returncode == 2
    assert "/no/such is no directory" in done.stderr


def _of(app: Application) -> ExportedFleet:
    return ExportedFleet(
        [app],
        [],
        [],
        parse(shipped(), POLICY_ACTIONS),
        NOW,
        home="argocd",
        adopted=False,
        has_token=False,
        seen={},
    )


OVER = Operation(Phase.Succeeded, started_at=NOW, finished_at=NOW, revisions=(BAD,))


@pytest.mark.parametrize(
    "app",
    [
        gave_up(),
        degraded(),
        degraded(auto_sync=False, sync=Sync.OutOfSync, revisions=("c" * 40,), operation=OVER),
    ],
    ids=["gave up", "degraded", "manual and degraded"],
)
def test_a_forecast_begins_with_what_decide_says(app: Application) -> None:
    """There is one engine: the first step of the forecast is the step that ``decide`` would send
    out."""
    situation = _of(app).situation(app)
    assert situation is not None

    ahead, said = forecast(situation), decide(situation)

    assert ahead.now == said
    act = next((d for d in said if d.kind is Kind.Remediate), None)
    assert (act.step if act else None) == ahead.acts
    assert [record.index for _, record in ahead.steps if record.reason == ASSUMED] == sorted(
        record.index for _, record in ahead.steps if record.reason == ASSUMED
    )


def test_applications_that_the_controller_does_not_watch_are_left_out_and_counted() -> None:
    others = [stuck(f"other-{n}") for n in range(40)]
    for other in others:
        other["metadata"]["namespace"] = "team-a"
    text = fleet(stuck("ours"), *others)

    done = recovery("plan", "-f", "-", "-o", "json", text=text)
    watched = recovery(
        "plan", "-f", "-", "-o", "json", text=text, ARGOCD_APPLICATION_NAMESPACES="team-*"
    )

    assert (json.loads(done.stdout)["applications"], json.loads(done.stdout)["summary"]["act"]) == (
        1,
        1,
    )
    assert "40 applications are left out" in done.stderr
    assert json.loads(watched.stdout)["applications"] == 41


def test_one_odd_tree_file_is_named_and_a_long_name_has_none(tmp_path: Path) -> None:
    long = exported("a" * 251, health=DEGRADED)
    assert planned("--trees", str(tmp_path), text=fleet(long))["applications"] == 1

    (tmp_path / "api.json").write_text("[" * 20_000)
    done = recovery(
        "plan", "-f", "-", "--trees", str(tmp_path), text=fleet(exported("api", health=DEGRADED))
    )

    assert (done.returncode, "api.json is no resource tree" in done.stderr) == (2, True), (
        done.stderr
    )
