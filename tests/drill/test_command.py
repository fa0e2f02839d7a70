"""What recovery drill looks at before it begins: who would look, and who would be told."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from recovery.act.registry import POLICY_ACTIONS
from recovery.cli import app
from recovery.commands.drill import _look_ahead
from recovery.commands.errors import Refused
from recovery.drill.application import Drill
from recovery.policies import parse
from recovery.settings import Settings

POLICIES = """
defaults: {{channels: [pager]}}
routes:
- {{selector: {{names: [{names}]}}, channels: [slack]}}
recovery_policies:
- name: broken
  selector: {selector}
  condition: {{type: application, health: Degraded, duration: 1m}}
  channels: [default]
  actions: [{{type: rollback}}{more}]
"""


def looked_ahead(
    wanted: str = "", *, names: str = "shop-*", selector: str = "{}", more: str = ""
) -> None:
    text = POLICIES.format(names=names, selector=selector, more=more)
    policies = parse(text, POLICY_ACTIONS)
    made = Drill("000001", "https://git.example/a", ".", "recovery-drill", labels={"tier": "web"})
    channels = tuple(filter(None, wanted.split(",")))
    _look_ahead(made, policies, channels, Settings(), quiet=False)


def test_it_says_who_looks_and_who_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    looked_ahead()
    out = capsys.readouterr().out
    assert "policies: broken" in out
    assert "would notify: pager" in out
    assert "in namespace recovery-drill, as argocd/recovery-drill-000001" in out


def test_a_route_for_drills_keeps_others_out() -> None:
    with pytest.raises(Refused, match="would notify pager, too\nTry: a route before the others"):
        looked_ahead("slack")
    looked_ahead("slack", names="recovery-drill-*")


def test_what_an_action_names_no_route_moves() -> None:
    more = ", {type: notify, parameters: {channels: [mail]}}"
    with pytest.raises(Refused, match="policy broken names mail in notify: name them in"):
        looked_ahead("slack", names="recovery-drill-*", more=more)
    looked_ahead("slack,mail", names="recovery-drill-*", more=more)


def test_a_drill_that_no_policy_looks_at_does_not_begin() -> None:
    with pytest.raises(Refused, match="no policy in force selects recovery-drill-000001"):
        looked_ahead(selector="{labels: {matchLabels: {tier: db}}}")
    looked_ahead(selector="{labels: {matchLabels: {tier: web}}}")


@pytest.mark.parametrize("timeout", ["10s", "7h", "soon"])
def test_a_time_that_makes_no_sense_is_refused(timeout: str) -> None:
    words = ["drill", "--repo", "https://git.example/a", "--path", ".", "--timeout", timeout]
    came = CliRunner().invoke(app, words)
    assert isinstance(came.exception, Refused)
    assert "--timeout" in str(came.exception)
