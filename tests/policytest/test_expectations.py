"""Whether what was seen is what was expected: a table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import convert

from recovery.model.duration import Duration
from recovery.policytest.expectations import judge
from recovery.policytest.grammar import ExpectText
from recovery.policytest.observation import Observation, Of, Seen
from tests.builders import NOW


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


SEEN = [
    Seen(Of.state, "app", "cart", minutes(-3), "Synced Healthy", until=minutes(5)),
    Seen(Of.state, "app", "cart", minutes(5), "Synced Degraded", until=minutes(12)),
    Seen(Of.refused, "app", "cart", minutes(8), "Paused", "p", "by ann", until=minutes(10)),
    Seen(Of.action, "app", "cart", minutes(10), "restart", "p", "crashed", "Failed"),
    Seen(Of.write, "app", "cart", minutes(10), "patch deployments/cart"),
    Seen(Of.action, "app", "cart", minutes(11), "rollback", "p", "", "Succeeded"),
    Seen(Of.told, "app", "cart", minutes(11), "slack", message="rolled back", severity="high"),
    Seen(Of.phase, "app", "cart", minutes(11), "Remediating", "p", until=minutes(12)),
    Seen(Of.state, "app", "cart", minutes(12), "Synced Healthy"),
    Seen(Of.phase, "app", "cart", minutes(12), "Resolved", "p", "Recovered: well"),
    Seen(Of.action, "app", "bill", minutes(-2), "sync", "p", "", "Succeeded"),
    Seen(Of.phase, "cluster", "far", minutes(20), "Stalled", "c"),
]


def failures(**expect: Any) -> list[str]:
    def duration(kind: type, value: Any) -> Any:
        return Duration.parse(value)

    wanted = convert(expect, ExpectText, dec_hook=duration)
    return [f.message for f in judge((wanted,), Observation(NOW, SEEN))]


@pytest.mark.parametrize(
    "expect",
    [
        {"action": "restart"},
        {"app": "c*", "action": "restart", "result": "Failed", "message": "crash"},
        {"action": "restart", "at": "10m10s"},
        {"action": "restart", "within": ["9m", "10m"]},
        {"action": "restart", "count": 1},
        {"action": "sync", "count": 0},
        {"app": "cart", "phase": "Resolved", "before": "12m"},
        {"phase": "Resolved", "at": "1h"},
        {"cluster": "far", "phase": "Stalled", "after": "20m"},
        {"refused_by": "Paused", "at": "9m", "message": "ann"},
        {"health": "Degraded", "at": "6m"},
        {"sync": "Synced", "health": "Healthy", "at": "1m"},
        {"told": {"channel": "slack", "severity": "high", "count": 1, "message": "rolled"}},
        {"told": {"channel": "pagerduty", "count": 0}},
        {"never": "sync"},
        {"never": ["Stalled"], "app": "*"},
        {"never": "any", "before": "9m"},
        {"never": "any", "app": "bill"},
        {"never": "write", "after": "11m"},
        {"policy": "c", "never": "restart"},
        {"never": "Remediating", "after": "12m"},
        {"never": "Remediating", "at": "13m"},
    ],
    ids=str,
)
def test_what_was_so_is_met(expect: dict[str, Any]) -> None:
    assert failures(**expect) == []


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ({"action": "sync"}, "there was restart Failed, rollback Succeeded"),
        ({"action": "restart", "result": "Succeeded"}, "there was restart Failed"),
        ({"action": "restart", "before": "9m"}, "it was so at 10m"),
        ({"action": "restart", "at": "9m"}, "restart at 9m: it was so at 10m"),
        ({"action": "restart", "count": 2}, "2 times: 1 times"),
        ({"app": "bill", "action": "restart"}, "of bill: there was restart Failed"),
        ({"phase": "Resolved", "at": "11m"}, "it was so at 12m"),
        ({"phase": "Stalled", "app": "far"}, "of far"),
        ({"refused_by": "Paused", "at": "11m"}, "it was so at 8m"),
        ({"refused_by": "Paused", "message": "bob"}, "there was Paused"),
        ({"health": "Degraded", "at": "30m"}, "it was so at 5m"),
        ({"told": {"severity": "critical"}}, "told anybody critical: there was slack"),
        ({"told": {"channel": "slack", "count": 2}}, "1 times"),
        ({"never": "restart"}, "expected never restart: 10m cart restart Failed"),
        ({"never": ["sync", "write"]}, "expected never write: 10m cart wrote patch"),
        ({"never": "told"}, "expected never told"),
        ({"never": "Remediating"}, "expected never Remediating"),
        ({"never": "any", "after": "11m"}, "expected never any"),
        ({"never": "Remediating", "at": "11m30s"}, "expected never Remediating"),
        ({"never": "Remediating", "within": ["11m20s", "11m40s"]}, "expected never Remediating"),
    ],
    ids=str,
)
def test_what_was_not_so_is_told(expect: dict[str, Any], said: str) -> None:
    (message,) = failures(**expect)
    assert said in message
