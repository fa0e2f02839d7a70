"""What waits for others that are at work is not judged in full each time, and ends the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from recovery.act.registry import POLICY_ACTIONS
from recovery.commands.plan import shipped
from recovery.policies import parse
from recovery.replay import past
from recovery.replay.past import Past
from recovery.replay.recorded import Recording, read_files
from recovery.replay.replaying import replay_recording
from tests.replay.made_up_log import log_lines


def _recording(folder: Path, applications: int, seed: int) -> Recording:
    log = folder / f"{applications}-{seed}.log"
    log.write_text("\n".join(log_lines(applications, 0.25, 45, seed)))
    return read_files([str(log)])


def _replayed(recording: Recording) -> Past:
    (found,) = replay_recording(recording, [parse(shipped(), POLICY_ACTIONS)]).pasts
    return found


@pytest.mark.parametrize(("applications", "seed"), [(2000, 1), (150, 3), (150, 4)])
def test_a_shortcut_changes_no_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, applications: int, seed: int
) -> None:
    """In a fleet without storms, and in a small one with many."""
    recording = _recording(tmp_path, applications, seed)
    short = _replayed(recording)
    monkeypatch.setattr(Past, "_still_waits", lambda *_: False)
    assert [(i.name, i.acted, i.storm) for i in short.incidents] == [
        (i.name, i.acted, i.storm) for i in _replayed(recording).incidents
    ]


def test_most_judgements_of_a_busy_fleet_are_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = _recording(tmp_path, 2000, 1)
    judged = [0]
    decide = past.decide

    def counted(*asked: object) -> object:
        judged[0] += 1
        return decide(*asked)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(past, "decide", counted)
    short = _replayed(recording)
    few, judged[0] = judged[0], 0
    monkeypatch.setattr(Past, "_still_waits", lambda *_: False)
    _replayed(recording)
    assert any("InFlightLimit" in incident.held_by for incident in short.incidents)
    assert few * 1.5 < judged[0], (few, judged[0])
