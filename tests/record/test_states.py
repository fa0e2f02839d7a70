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
from recovery.app import App
from recovery.model.application import Application, Destination, Health
from recovery.model.cause import Confidence, Diagnosis
from recovery.model.names import SubjectKey
from recovery.model.situation import HealthyRevision
from recovery.record.states import (
    GROUPS_IN_LINE,
    LINES_AN_HOUR,
    RESTATED_EVERY,
    FleetRecorder,
    StateLog,
    state_of,
)
from recovery.settings import Settings
from recovery.simulate.environment import EmbeddedEnvironment
from recovery.simulate.virtual import VirtualClock, run
from tests.builders import NOW, a_situation, an_application, degraded

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
    states = StateLog(lambda: NOW)
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
    states = StateLog(lambda: NOW)
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
    states = StateLog(lambda: NOW)
    noted(states, degraded(), CRASH)
    noted(states, degraded(**change), CRASH)
    assert len(lines()) == 2


def test_another_cause_is_a_change(lines: Any) -> None:
    states = StateLog(lambda: NOW)
    for finding in (None, CRASH, structs.replace(CRASH, variant="Other")):
        noted(states, degraded(), finding)
    assert [line["state"].get("cause") for line in lines()] == [
        None,
        "RolloutFailed",
        "RolloutFailed/Other",
    ]


def test_who_takes_over_says_so_and_writes_again_what_is_not_well(lines: Any) -> None:
    states = StateLog(lambda: NOW)
    noted(states, degraded(), CRASH)
    lines()
    states.gained([2, 0], 4)
    noted(states, degraded(), CRASH)
    noted(states, an_application(name="well"))
    leads, state = lines()
    assert (leads["kind"], leads["shards"], leads["count"]) == ("leads", [0, 2], 4)
    assert state["state"]["health"] == "Degraded"


def test_one_application_does_not_fill_the_log(lines: Any) -> None:
    now = [NOW]
    states = StateLog(lambda: now[0])
    for number in range(1_000):
        noted(states, degraded(labels={"n": str(number)}), CRASH)
    noted(states, an_application(name="other", health=Health.Degraded), CRASH)
    written = lines()
    assert len(written) == LINES_AN_HOUR + 1
    assert written[-1]["name"] == "other"
    now[0] = NOW + timedelta(hours=1)
    noted(states, degraded(labels={"n": "999"}), CRASH)
    assert len(lines()) == 1


def test_a_line_is_bounded(lines: Any) -> None:
    many = tuple(f"https://git.example/{n}/{'x' * 500}" for n in range(50))
    app = degraded(
        repositories=many,
        revisions=many,
        labels={f"l{n}": "v" * 63 for n in range(500)},
        marks={f"recovery.gitops.dev/{n}": "m" * 500 for n in range(50)},
    )
    noted(StateLog(lambda: NOW), app, CRASH)
    (line,) = lines()
    assert len(json.dumps(line)) < 8_000


def test_a_recorder_that_fails_keeps_nobody_from_recovering(lines: Any) -> None:
    class Broken(StateLog):
        def note(self, *_: Any) -> None:
            raise RuntimeError("no")

    async def inside() -> None:
        app = App(Settings(), EmbeddedEnvironment(VirtualClock()).cluster, VirtualClock(), nobody)
        app.journal._states = Broken(lambda: NOW)
        app.journal.seen(degraded().key, a_situation(degraded()))

    run(inside())
    (line,) = lines()
    assert line["event"] == "its state is not recorded"


async def nobody(url: str, message: Any) -> str:
    return ""


def test_what_is_gone_is_written_once(lines: Any) -> None:
    states = StateLog(lambda: NOW)
    states.gone(degraded().key)
    noted(states, degraded(), CRASH)
    lines()
    states.gone(degraded().key)
    states.gone(degraded().key)
    assert [line["gone"] for line in lines()] == [True]


def test_no_message_is_recorded_and_credentials_are_cleaned(lines: Any) -> None:
    states = StateLog(lambda: NOW)
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


def count_fleet(apps: list[Application]) -> None:
    async def counted() -> None:
        states = StateLog(lambda: NOW)
        clock = VirtualClock(NOW)
        await FleetRecorder(states, lambda: apps, lambda: True, print, clock.sleep).count()

    run(counted())


def test_a_fleet_is_counted_by_what_is_shared(lines: Any) -> None:
    apps = [an_application(name=f"app-{n}", project=f"p{n % 2}") for n in range(7)]
    count_fleet(apps)
    (line,) = lines()
    assert sorted((group[0], group[1]) for group in line["groups"]) == [(3, "p1"), (4, "p0")]
    count_fleet([an_application(project=f"p{n}") for n in range(GROUPS_IN_LINE + 1)])
    assert [(line["part"], len(line["groups"])) for line in lines()] == [
        (0, GROUPS_IN_LINE),
        (GROUPS_IN_LINE, 1),
    ]


@pytest.mark.parametrize("leads", [True, False])
def test_what_is_not_well_is_written_again(lines: Any, *, leads: bool) -> None:
    """By each replica for its own; the fleet is counted by the one that leads."""
    clock, states = VirtualClock(NOW), StateLog(lambda: NOW)
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
    states = StateLog(lambda: NOW)
    noted(states, degraded(), CRASH)
    assert states.restate() == (degraded().key,)
    noted(states, an_application())
    assert [line["state"]["health"] for line in lines()] == ["Degraded", "Healthy"]
    assert states.restate() == ()
