"""recovery routes test: who is told, when."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recovery.cli import app
from recovery.commands.errors import Refused
from recovery.decide.reminders import remind
from recovery.decide.routing import notified
from recovery.model.recovery import PendingNotification, RecoveryPhase
from tests.builders import NOW, a_recovery, an_application, the_policies

TEXT = """
recovery_policies:
- name: hasty
  condition: {type: application, health: Degraded, duration: 10s}
  actions: [{type: restart}]
- name: shouted
  condition: {type: application, status: OutOfSync}
  channels: [sms]
  actions: [{type: sync}]
defaults: {channels: [slack]}
channels:
  slack: {quiet_hours: [{schedule: "0 22 * * *", duration: 8h}]}
  pager: {fallback: email}
  email: {}
  sms: {}
routes:
- selector: {projects: [shop], labels: {matchLabels: {tier: web}}}
  severities: [high, critical]
  channels: [slack, pager]
  then:
  - {after: 10m, channels: [pager]}
  - {after: 30m, channels: [email]}
"""


def routes(folder: Path, *words: str) -> tuple[int, str]:
    file = folder / "policies.yaml"
    file.write_text(TEXT)
    came = CliRunner().invoke(app, ["routes", "test", "-f", str(file), *words])
    if isinstance(came.exception, Refused):
        return came.exception.code, str(came.exception)
    return came.exit_code, came.output


WEB = ("--project", "shop", "--labels", "tier=web")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (WEB, ["now slack", "now pager", "after 10m pager", "after 30m email"]),
        (("--labels", "tier=web"), ["now slack"]),
        ((*WEB, "--severity", "warning"), ["now slack"]),
        ((*WEB, "--policy", "shouted"), ["now sms", "after 10m pager", "after 30m email"]),
    ],
    ids=str,
)
def test_who_is_told_and_when(tmp_path: Path, words: tuple[str, ...], told: list[str]) -> None:
    code, output = routes(tmp_path, *words, "-o", "json", "--at", "2026-11-23T12:00:00Z")
    assert code == 0
    assert [f"{row['when']} {row['channel']}" for row in json.loads(output)] == told


def test_quiet_hours_and_who_stands_in_are_told(tmp_path: Path) -> None:
    _, output = routes(tmp_path, *WEB, "--severity", "warning", "--at", "2026-11-23T23:00:00Z")
    assert "waits until 2026-11-24 06:00 UTC" in output
    assert "email if it does not answer" in routes(tmp_path, *WEB)[1]


def test_whom_quiet_hours_keep_waiting_is_not_told_now(tmp_path: Path) -> None:
    words = (*WEB, "--severity", "warning", "--at", "2026-11-23T23:00:00Z", "--verify", "slack")
    assert routes(tmp_path, *words)[0] == 1


def test_pipelines_verify(tmp_path: Path) -> None:
    assert routes(tmp_path, *WEB, "--verify", "pager,slack")[0] == 0
    code, output = routes(tmp_path, "--verify", "slack,pager")
    assert code == 1
    assert "expected slack, pager to be told now, found slack" in output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--policy", "hasti"), "did you mean 'hasty'?"),
        (("--labels", "web"), "'web' is no KEY=VALUE"),
        (("--at", "noon"), "'noon' is no time"),
        (("--verify", ""), "name the channels"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_told(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    code, output = routes(tmp_path, *words)
    assert code == 2
    assert said in output


def test_it_says_what_the_controller_does() -> None:
    """Reminded minute by minute, an incident calls those whom the command has named, then."""
    policies = the_policies(TEXT)
    about = an_application(project="shop", labels={"tier": "web"})
    note = PendingNotification("k", "t", "b", "high")
    recovery = a_recovery("cart", NOW, policy="hasty", phase=RecoveryPhase.Stalled)
    named = notified(note, recovery, about, policies, NOW)
    later = {(one.channel, one.after) for one in named if one.after}

    from msgspec import structs

    held = structs.replace(
        recovery, resolved_at=None, talk=structs.replace(recovery.talk, first_at=NOW)
    )
    called = set()
    for minute in range(40):
        after, _ = remind(held, about, policies, NOW + timedelta(minutes=minute))
        for new in after.notes[len(held.notes) :]:
            called |= {(c, timedelta(minutes=minute)) for c in new.channels}
        held = after
    assert later == called
