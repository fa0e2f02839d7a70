"""The recorder: a line for each change of state, and for nothing else."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from recovery import logs
from recovery.model.application import Application, Destination, Health
from recovery.model.cause import Confidence, Diagnosis
from recovery.model.names import SubjectKey
from recovery.model.situation import HealthyRevision
from recovery.record.states import (
    GROUPS_IN_LINE,
    RESTATED_EVERY,
    FleetRecorder,
    StateLog,
    count_fleet,
    state_of,
)
from recovery.simulate.virtual import VirtualClock, run
from tests.builders import NOW, an_application, degraded

CRASH = Diagnosis("RolloutFailed", ("a secret: hunter2secret",), Confidence.likely, about="Pod/a")


@pytest.fixture
def lines() -> Any:
    """Read what was logged since the last call."""
    out = io.StringIO()
    logs.configure("info", "json", out)

    def read() -> list[dict[str, Any]]:
        text = out.getvalue()
        out.seek(0)
        out.truncate()
        return [json.loads(line) for line in text.splitlines()]

    return read


def noted(states: StateLog, app: Application, finding: Diagnosis | None = None) -> None:
    states.note(app, finding, None, "")


def test_what_is_well_at_first_sight_is_not_written(lines: Any) -> None:
    states = StateLog()
    noted(states, an_application())
    assert lines() == []
    noted(states, degraded(), CRASH)
    (line,) = lines()
    assert (line["audit"], line["kind"], line["event"]) == (1, "state", "state")
    assert (line["namespace"], line["name"]) == ("argocd", "cart")
    assert line["state"]["health"] == "Degraded"
    assert (line["state"]["cause"], line["state"]["about"]) == ("RolloutFailed", "Pod/a")
    assert "timestamp" in line


def test_a_state_is_written_once(lines: Any) -> None:
    states = StateLog()
    for later in (0, 60):
        again = structs.replace(degraded(), reconciled_at=NOW + timedelta(seconds=later))
        noted(states, again, CRASH)
    assert len(lines()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"sync": type(an_application().sync).OutOfSync},
        {"health": Health.Progressing},
        {"revisions": ("another",)},
        {"auto_sync": False},
        {"labels": {"tier": "web"}},
        {"destination": Destination(name="eu")},
        {"project": "another"},
    ],
)
def test_each_change_is_written(lines: Any, change: dict[str, Any]) -> None:
    states = StateLog()
    noted(states, degraded(), CRASH)
    noted(states, degraded(**change), CRASH)
    assert len(lines()) == 2


def test_another_cause_is_a_change(lines: Any) -> None:
    states = StateLog()
    for finding in (None, CRASH, structs.replace(CRASH, variant="Other")):
        noted(states, degraded(), finding)
    assert [line["state"].get("cause") for line in lines()] == [
        None,
        "RolloutFailed",
        "RolloutFailed/Other",
    ]


def test_what_was_not_well_before_a_restart_is_written_when_it_is_well(lines: Any) -> None:
    states = StateLog()
    states.unwell_before = {an_application().uid}
    noted(states, an_application())
    assert [line["state"]["health"] for line in lines()] == ["Healthy"]
    assert states.unwell_before == set()


def test_what_is_gone_is_written_once(lines: Any) -> None:
    states = StateLog()
    states.gone(degraded().key)
    noted(states, degraded(), CRASH)
    lines()
    states.gone(degraded().key)
    states.gone(degraded().key)
    assert [line["gone"] for line in lines()] == [True]


def test_no_message_is_recorded_and_credentials_are_cleaned(lines: Any) -> None:
    states = StateLog()
    url = "https://bot:hunter2secret@git.example/a.git"
    app = degraded(repositories=(url,), health_message="hunter2secret", labels={"a": url})
    noted(states, app, CRASH)
    count_fleet([app])
    written = lines()
    assert len(written) == 2
    assert "hunter2secret" not in json.dumps(written)
    assert written[0]["state"]["repositories"] == ["https://***@git.example/a.git"]
    assert written[1]["groups"][0][4] == ["https://***@git.example/a.git"]


def test_the_newest_deploy_that_worked_is_told_of_what_is_not_well() -> None:
    good = HealthyRevision(3, ("abc",), NOW)
    assert state_of(degraded(), CRASH, good).good == 3
    assert state_of(an_application(), None, good).good is None


def test_a_fleet_is_counted_by_what_is_shared(lines: Any) -> None:
    apps = [an_application(name=f"app-{n}", project=f"p{n % 2}") for n in range(7)]
    count_fleet(apps)
    (line,) = lines()
    assert sorted((group[0], group[1]) for group in line["groups"]) == [(3, "p1"), (4, "p0")]
    count_fleet(an_application(project=f"p{n}") for n in range(GROUPS_IN_LINE + 1))
    assert [(line["part"], len(line["groups"])) for line in lines()] == [
        (0, GROUPS_IN_LINE),
        (GROUPS_IN_LINE, 1),
    ]


@pytest.mark.parametrize("leads", [True, False])
def test_what_is_not_well_is_written_again(lines: Any, *, leads: bool) -> None:
    """By each replica for its own; the fleet is counted by the one that leads."""
    clock, states = VirtualClock(NOW), StateLog()
    ill, well = degraded(), an_application(name="well")

    def looked(key: SubjectKey) -> None:
        noted(states, ill if key == ill.key else well, CRASH if key == ill.key else None)

    recorder = FleetRecorder(states, lambda: [ill, well], lambda: leads, looked, clock.sleep)

    async def a_day() -> None:
        task = asyncio.create_task(recorder.run())
        await clock.sleep(RESTATED_EVERY.total_seconds() * 2.5)
        task.cancel()

    looked(ill.key)
    looked(well.key)
    run(a_day())
    kinds = [line["kind"] for line in lines()]
    assert kinds.count("state") == 3
    assert kinds.count("fleet") == (3 if leads else 0)


def test_what_is_well_by_the_time_it_would_be_written_again_is_written(lines: Any) -> None:
    states = StateLog()
    noted(states, degraded(), CRASH)
    assert states.restate() == (degraded().key,)
    noted(states, an_application())
    assert [line["state"]["health"] for line in lines()] == ["Degraded", "Healthy"]
    assert states.restate() == ()
